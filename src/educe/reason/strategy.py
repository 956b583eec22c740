"""What every inference-time method is: hyper-parameters and one coroutine from question to posterior.

Methods are found by name. A built-in one is registered by the decorator below; a third party's package
declares an entry point in the group ``educe.methods`` whose name is the method's and whose object is the class.
"""

from __future__ import annotations

import abc
import dataclasses
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import entry_points
from typing import Any, TypeVar

from educe.core import Budget, Posterior, UsageError, nearest
from educe.lm import Session
from educe.reason.question import Answer, Question

__all__ = ["Strategy", "make_method", "methods", "register"]

C = TypeVar("C", bound="type[Strategy]")
_builtin: dict[str, type[Strategy]] = {}


@dataclass(frozen=True, repr=False)
class Strategy(abc.ABC):
    """Base of all methods. Subclasses are frozen dataclasses that hold hyper-parameters and nothing else.

    Subclasses set `requires` to the capabilities of the model that they cannot do without, validate their fields
    in ``__post_init__``, and write ``__call__``.
    """

    requires: typing.ClassVar[tuple[str, ...]] = ()

    @abc.abstractmethod
    async def __call__(self, question: Question, lm: Session) -> Posterior[Answer]:
        """Answer a question.

        Parameters
        ----------
        question : Question
            What to answer.
        lm : Session
            The model, metered. It returns less than was asked for once the budget is hit.

        Returns
        -------
        Posterior of Answer
            The best that was reached, with ``lm.ledger`` attached; without mass when no answer could be read.
        """

    @classmethod
    def fitted(cls, samples: int, given: Mapping[str, Any]) -> dict[str, Any]:
        """Options under which the method draws about so many samples; by default its ``n``, where it has one.

        Parameters
        ----------
        samples : int
            The budget's limit, >= 1.
        given : mapping
            Options that are settled already.
        """
        return {"n": samples} if any(field.name == "n" for field in dataclasses.fields(cls)) else {}

    def check_options(self) -> None:
        """Refuse values that are not among those that a field's type lists; for ``__post_init__``.

        Raises
        ------
        UsageError
            A value is unknown.
        """
        for name, hint in _hints(type(self)).items():
            allowed = _listed(hint)
            if allowed is not None and getattr(self, name) not in allowed:
                raise UsageError(f"{name}={getattr(self, name)!r} is unknown. Give one of {', '.join(allowed)}.")

    def __repr__(self) -> str:
        changed = (
            f"{field.name}={getattr(self, field.name)!r}"
            for field in dataclasses.fields(self)
            if field.repr and getattr(self, field.name) != _default(field)
        )
        return f"{type(self).__name__}({', '.join(changed)})"

    def to_json(self) -> dict[str, Any]:
        """Return the class and all hyper-parameters, for hashes and records."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {
            "method": type(self).__qualname__,
            **{name: getattr(value, "__qualname__", value) for name, value in values.items()},
        }


@lru_cache(maxsize=256)
def _hints(cls: type) -> dict[str, Any]:
    hints = typing.get_type_hints(cls)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls)}


def _listed(hint: Any) -> tuple[str, ...] | None:
    return typing.get_args(hint) if typing.get_origin(hint) is typing.Literal else None


def _parts(cls: type) -> dict[str, type]:
    """Fields that are a group of options of their own, such as a step policy."""
    return {
        name: hint for name, hint in _hints(cls).items() if isinstance(hint, type) and dataclasses.is_dataclass(hint)
    }


def options(cls: type[Strategy]) -> dict[str, Any]:
    """Return the options that a method takes as text, with their defaults; those of a step policy stand among them.

    Parameters
    ----------
    cls : type
        A method.

    Examples
    --------
    >>> from educe.reason import SelfConsistency
    >>> options(SelfConsistency)["n"]
    16
    """
    found: dict[str, Any] = {}
    parts = _parts(cls)
    for field in dataclasses.fields(cls):
        if field.name in parts:
            inner = _default(field)
            found |= {item.name: getattr(inner, item.name) for item in dataclasses.fields(inner)}
        else:
            found[field.name] = _default(field)
    return found


def _default(field: dataclasses.Field[Any]) -> Any:
    return field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default


def register(name: str) -> Callable[[C], C]:
    """Make a strategy class known under a name.

    Parameters
    ----------
    name : str
        Lower-case words joined by dashes.
    """

    def keep(cls: C) -> C:
        _builtin[name] = cls
        return cls

    return keep


@lru_cache(maxsize=1)
def _third_party() -> dict[str, Any]:
    return {point.name: point for point in entry_points(group="educe.methods")}


def methods() -> dict[str, type[Strategy]]:
    """Return all known methods by name, third parties' included; a built-in name cannot be taken over.

    Raises
    ------
    UsageError
        A third party's entry point cannot be loaded or is no strategy.

    Examples
    --------
    >>> "greedy" in methods()
    True
    """
    known: dict[str, type[Strategy]] = {}
    for name, point in _third_party().items():
        try:
            found = point.load()
        except Exception as error:
            raise UsageError(
                f"Method {name!r} of {point.value!r} cannot be loaded: {error}. Repair or remove its package."
            ) from error
        if not (isinstance(found, type) and issubclass(found, Strategy)):
            raise UsageError(f"Method {name!r} of {point.value!r} is no Strategy. Repair or remove its package.")
        known[name] = found
    return {**known, **_builtin}


def make_method(spec: str, budget: Budget | None = None) -> Strategy:
    """Build a method from text.

    Parameters
    ----------
    spec : str
        ``name`` or ``name:option=value,option=value``; a bare number after the colon is ``n``.
    budget : Budget, optional
        Where it limits samples and the method has a sample count ``n`` that the text leaves open, ``n`` is that limit.

    Returns
    -------
    Strategy

    Raises
    ------
    UsageError
        The name or an option is unknown, or a value is malformed or out of range.

    Examples
    --------
    >>> make_method("self-consistency:n=4,temperature=1.0")
    SelfConsistency(n=4, temperature=1.0)
    >>> make_method("self-consistency", Budget(samples=32))
    SelfConsistency(n=32)
    """
    name, _, text = spec.partition(":")
    known = methods()
    if name not in known:
        raise UsageError(f"Method {name!r} is unknown; {nearest(name, known)}")
    cls = known[name]
    hints, parts = _hints(cls), _parts(cls)
    inner = {option: part for part, kind in parts.items() for option in _hints(kind)}
    fields = (set(hints) | set(inner)) - set(parts)
    given: dict[str, Any] = {}
    within: dict[str, dict[str, Any]] = {part: {} for part in parts}
    for pair in filter(None, (part.strip() for part in text.split(","))):
        option, separator, value = pair.partition("=")
        if not separator:
            option, value = "n", option
        if option not in fields:
            raise UsageError(
                f"Method {name!r} has no option {option!r}; {nearest(option, fields) if fields else 'it has none.'}"
            )
        if option in inner:
            part = inner[option]
            within[part][option] = _convert(name, option, value, _hints(parts[part])[option])
        else:
            given[option] = _convert(name, option, value, hints[option])
    given |= {part: parts[part](**values) for part, values in within.items() if values}
    if budget is not None and budget.samples is not None:
        given = cls.fitted(budget.samples, given) | given
    return cls(**given)


def _convert(method: str, option: str, value: str, hint: Any) -> Any:
    """Read an option's text as the type that its field declares."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        plain = [part for part in typing.get_args(hint) if part is not type(None)]
        if value.lower() == "none" and len(plain) < len(typing.get_args(hint)):
            return None
        if any(value in (_listed(part) or ()) for part in plain):
            return value
        hint = plain[0]
        origin = typing.get_origin(hint)
    try:
        if hint is bool:
            return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[value.lower()]
        if hint in (int, float):
            return hint(value)
    except (ValueError, KeyError):
        raise UsageError(f"Method {method!r}: {option}={value!r} is no {hint.__name__}. Give one.") from None
    if hint is str or origin is typing.Literal:
        # A line break cannot be typed on a command line.
        return value.replace("\\n", "\n")
    raise UsageError(f"Method {method!r}: {option} cannot be given as text. Build the method in Python.")
