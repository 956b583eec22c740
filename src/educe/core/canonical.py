"""One text for one value: canonical JSON and the content hash of a work unit; one key for equal hypotheses.

Two values with the same canonical text are the same work; the store keys its rows by the hash of that
text. Keys are sorted, floats are written by `repr` (the shortest text that reads back as the same 64
bits, so 1 and 1.0 differ), dataclasses carry their name, and nothing is guessed: what has no canonical
form is refused. Text is not Unicode-normalised. The text is for hashing; it cannot be read back into objects.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Hashable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import PurePath
from typing import Any, cast

import numpy as np
import torch

from educe.core.errors import UsageError

__all__ = ["canonical_json", "canonical_key", "content_hash"]


def _plain(value: Any, where: str) -> Any:
    """Turn a value into what `json.dumps` writes in exactly one way; ``where`` is its place, for messages."""
    if isinstance(value, np.generic):
        # NumPy's own float64 is a float with another repr; long doubles and dates stay NumPy scalars and are refused.
        value = value.item()
    if isinstance(value, Enum):
        if not isinstance(value, (str, int)):
            raise UsageError(
                f"{where} is {value!r}, an enumeration that is neither text nor number. Give its value instead."
            )
        value = value.value
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        # The text itself, not what a subclass prints.
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise UsageError(f"{where} is {float(value)!r}, which JSON cannot hold. Give a finite number.")
        return float(value)
    if is_dataclass(value) and not isinstance(value, type):
        # A field that equality ignores (a cache, a handle) is no part of the content.
        content = {
            field.name: _plain(getattr(value, field.name), f"{where}.{field.name}")
            for field in fields(value)
            if field.compare
        }
        return {"type": type(value).__qualname__, "fields": content}
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise UsageError(
                    f"{where} has the key {key!r}, and only text can be a key in JSON. Use text, or a list of pairs."
                )
        return {str.__str__(key): _plain(item, f"{where}[{key!r}]") for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, f"{where}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, AbstractSet):
        return sorted((_plain(item, f"an element of {where}") for item in value), key=_text)
    advice = (
        "Give the text of the path, or a hash of the file."
        if isinstance(value, PurePath)
        else "Give text, finite numbers, lists, sets, mappings with text keys, or dataclasses of these."
    )
    raise UsageError(f"{where} is of type {type(value).__name__}, which has no canonical form. {advice}")


def _text(plain: Any) -> str:
    # ASCII only: lone surrogates, which models' byte fallbacks can produce, then need no special encoding.
    return json.dumps(plain, sort_keys=True, allow_nan=False, ensure_ascii=True, separators=(",", ":"))


def canonical_json(value: Any) -> str:
    """Write a value as the one JSON text that stands for it.

    Parameters
    ----------
    value : object
        None, truth values, text, whole numbers, finite floats (NumPy scalars too), text and whole-number
        enumerations; lists and tuples (both become arrays), sets (arrays in the order of their elements' texts),
        mappings with text keys, and dataclasses, which become ``{"type": qualified name without module,
        "fields": {...}}`` with the fields that take part in equality.

    Returns
    -------
    str
        ASCII, keys sorted, no blanks.

    Raises
    ------
    UsageError
        A part has no canonical form: NaN, an infinity, bytes, a path, a key that is not text, an object of another
        type, a structure that contains itself.

    Examples
    --------
    >>> canonical_json({"b": (1, 2.50), "a": {"y", "x"}})
    '{"a":["x","y"],"b":[1,2.5]}'
    >>> from educe.core.ledger import Budget
    >>> canonical_json(Budget(samples=4))
    '{"fields":{"calls":null,"samples":4,"seconds":null,"tokens":null,"usd":null},"type":"Budget"}'
    """
    try:
        return _text(_plain(value, "The value"))
    except RecursionError:
        raise UsageError("The value is nested too deeply or contains itself. Flatten it.") from None
    except UsageError:
        raise
    except ValueError as error:
        # Python refuses to write whole numbers of more than some thousand digits.
        raise UsageError(f"The value cannot be written as JSON: {error}. Give such a number as text.") from None


def content_hash(*parts: Any) -> str:
    """Hash values by their canonical JSON: the name of a work unit, of a cache entry.

    Parameters
    ----------
    *parts : object
        What makes the content; order and boundaries count.

    Returns
    -------
    str
        40 hexadecimal digits of BLAKE2b (160 bits): equal contents have equal hashes on every machine and in every
        version of Python, and no two different contents are expected to meet.

    Raises
    ------
    UsageError
        A part has no canonical form, see `canonical_json`.

    Examples
    --------
    >>> content_hash("self-consistency", {"n": 16}, 7) == content_hash("self-consistency", {"n": 16}, 7)
    True
    >>> content_hash("ab", "c") == content_hash("a", "bc")
    False
    """
    return hashlib.blake2b(canonical_json(list(parts)).encode("ascii"), digest_size=20).hexdigest()


def canonical_key(value: Any) -> Hashable:
    """Return a key that is equal for equal hypotheses.

    Parameters
    ----------
    value : object
        A value with a ``canonical_key`` attribute, a hashable object, a tensor, or lists, sets, mappings and
        dataclasses of these.

    Returns
    -------
    hashable

    Raises
    ------
    UsageError
        The value has no canonical key.

    Examples
    --------
    >>> canonical_key([1, {"a": {2, 3}}]) == canonical_key([1, {"a": {3, 2}}])
    True
    """
    own = getattr(value, "canonical_key", None)
    if own is not None:
        return cast(Hashable, own() if callable(own) else own)
    if isinstance(value, torch.Tensor):
        return (str(value.dtype), tuple(value.shape), tuple(value.detach().reshape(-1).tolist()))
    if isinstance(value, Mapping):
        return ("mapping", frozenset((canonical_key(key), canonical_key(item)) for key, item in value.items()))
    if isinstance(value, (list, tuple)):
        return ("sequence", tuple(canonical_key(item) for item in value))
    if isinstance(value, (set, frozenset)):
        return ("set", frozenset(canonical_key(item) for item in value))
    if is_dataclass(value) and not isinstance(value, type):
        parts = tuple(canonical_key(getattr(value, item.name)) for item in fields(value) if item.compare)
        return (type(value).__qualname__, parts)
    if isinstance(value, Hashable):
        return value
    raise UsageError(f"A {type(value).__name__} has no canonical key. Give the class a `canonical_key` attribute.")
