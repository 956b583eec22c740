"""One piece of finished work, and how it lies in a row of the store: text and numbers, values as JSON."""

from __future__ import annotations

import datetime
import json
from dataclasses import dataclass, field
from typing import Any

from educe.core.canonical import canonical_json
from educe.core.errors import StoreError, UsageError
from educe.core.ledger import Ledger
from educe.core.seed import Seed

__all__ = ["COLUMNS", "STATUSES", "StoredUnit", "from_row", "json_text", "now", "storable", "to_row"]

COLUMNS = "hash, kind, method, item, seed, lm, status, result, ledger, error, created, seconds"

STATUSES = ("failed", "partial", "done")  # From least to most worth keeping; the order decides what replaces what.


def now() -> str:
    """Return the time as the store writes it, ISO 8601 in UTC."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")


@dataclass(frozen=True)
class StoredUnit:
    """One piece of finished work.

    Parameters
    ----------
    hash : str
        Content hash of what the unit is, see `educe.core.content_hash`.
    kind : str
        What sort of work: ``"answer"``, ``"score"``, ...
    method : str
        The method's name or printed form.
    item : object
        What it was applied to, as a JSON value.
    seed : int or Seed
        Its randomness.
    lm : str or None
        The language model, None where there is none.
    status : str
        ``"done"``, ``"partial"`` (a budget ended it) or ``"failed"``.
    result : object
        What came out, as a JSON value; tuples come back as lists.
    ledger : Ledger
        What it cost.
    error : str or None
        Why it failed.
    created : str
        Time of completion, ISO 8601 in UTC.
    seconds : float
        Wall time, >= 0.

    Raises
    ------
    UsageError
        The status is unknown, or the hash, kind or method is empty.

    Examples
    --------
    >>> StoredUnit("0f", "answer", "greedy", {"text": "1 + 1 = ?"}, 0, result="2").status
    'done'
    """

    hash: str
    kind: str
    method: str
    item: Any
    seed: int | Seed
    lm: str | None = None
    status: str = "done"
    result: Any = None
    ledger: Ledger = field(default_factory=Ledger)
    error: str | None = None
    created: str = field(default_factory=now)
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if self.status not in STATUSES:
            raise UsageError(f"Unit status {self.status!r} is unknown. Use 'done', 'partial' or 'failed'.")
        for name in ("hash", "kind", "method"):
            value = getattr(self, name)
            if not isinstance(value, str) or not value:
                raise UsageError(f"Unit {name} {value!r} is not a text with letters in it. Give its name.")


def json_text(value: Any, what: str) -> str:
    """Write a value as JSON; `what` names it in the error when it is none."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        text.encode("utf-8")
    except UnicodeEncodeError:
        # A lone surrogate cannot be stored as UTF-8; escaped it can, and reads back the same.
        return json.dumps(value, ensure_ascii=True, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"{what} is not a JSON value: {error}. Store text, finite numbers, lists, mappings.") from None
    return text


def storable(value: str) -> str:
    """Make text storable: a path's undecodable bytes must not lose the unit."""
    return value.encode("utf-8", "backslashreplace").decode("utf-8")


def _seed_from_json(data: int | dict[str, Any]) -> int | Seed:
    return data if isinstance(data, int) else Seed(data["fields"]["root"], tuple(data["fields"]["path"]))


def to_row(unit: StoredUnit) -> tuple[Any, ...]:
    """Return the values of `COLUMNS`."""
    return (
        storable(unit.hash),
        storable(unit.kind),
        storable(unit.method),
        json_text(unit.item, "The unit's item"),
        canonical_json(unit.seed if isinstance(unit.seed, Seed) else Seed(unit.seed).root),
        None if unit.lm is None else storable(unit.lm),
        unit.status,
        json_text(unit.result, "The unit's result"),
        json_text(unit.ledger.to_json(), "The unit's ledger"),
        None if unit.error is None else storable(unit.error),
        unit.created,
        float(unit.seconds),
    )


def from_row(row: tuple[Any, ...]) -> StoredUnit:
    """Read the values of `COLUMNS`."""
    digest, kind, method, item, seed, lm, status, result, ledger, error, created, seconds = row
    try:
        return StoredUnit(
            digest,
            kind,
            method,
            json.loads(item),
            _seed_from_json(json.loads(seed)),
            lm,
            status,
            json.loads(result),
            Ledger.from_json(json.loads(ledger)),
            error,
            created,
            seconds,
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as problem:
        raise StoreError(
            f"Unit {digest} in the store cannot be read: {problem}. Delete this row; the unit is computed again."
        ) from None
