"""What a method may spend (`Budget`) and what it did spend (`Ledger`).

A budget is soft: the method that hits it returns its best posterior so far and writes the name of
the limit into ``ledger.stopped_by``. Nothing is raised and no finished work is lost.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from educe.core.errors import UsageError, nearest

__all__ = ["Budget", "Ledger"]


@dataclass(frozen=True, slots=True)
class Ledger:
    """The price of a result. Ledgers add up with ``+``; the empty ledger is neutral.

    Parameters
    ----------
    calls : int
        Requests made to a model.
    samples : int
        Completions received, whole or cut by the budget.
    prompt_tokens : int
        Tokens of all prompts, counted once per request however many rows it drew.
    cached_tokens : int
        Those prompt tokens that the model still held from an earlier request, of this session or of another.
    sampled_tokens : int
        Tokens drawn from the model.
    draft_tokens : int
        Tokens proposed by a cheaper model, whether accepted or not.
    tool_calls, tool_seconds : int, float
        Runs of checkers, provers and sandboxes, and their wall time.
    flops : float
        Floating-point operations of the models, where they can be counted.
    seconds : float
        Wall time.
    usd : float
        Price in US dollars, where the model states one.
    stopped_by : str or None
        The limit that ended the method (``"tokens"``, ``"seconds"``, ``"interrupt"``, ...), None when it ended by
        itself.

    Examples
    --------
    >>> (Ledger(calls=1, sampled_tokens=20) + Ledger(calls=2, stopped_by="calls")).calls
    3
    """

    calls: int = 0
    samples: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    sampled_tokens: int = 0
    draft_tokens: int = 0
    tool_calls: int = 0
    tool_seconds: float = 0.0
    flops: float = 0.0
    seconds: float = 0.0
    usd: float = 0.0
    stopped_by: str | None = None

    @property
    def tokens(self) -> int:
        """Tokens that were asked for, which is what a budget counts: what a cache holds must not change a result."""
        return self.prompt_tokens + self.sampled_tokens

    @property
    def computed_tokens(self) -> int:
        """Tokens that had to be computed: prompt tokens that no cache held, plus sampled tokens."""
        return self.tokens - self.cached_tokens

    def __add__(self, other: Ledger) -> Ledger:
        if not isinstance(other, Ledger):
            return NotImplemented
        sums = {
            field.name: getattr(self, field.name) + getattr(other, field.name)
            for field in fields(self)
            if field.name != "stopped_by"
        }
        return Ledger(**sums, stopped_by=self.stopped_by if self.stopped_by is not None else other.stopped_by)

    def stopped(self, reason: str) -> Ledger:
        """Return a copy that names the limit; the first reason stays."""
        return self if self.stopped_by is not None else replace(self, stopped_by=reason)

    def to_json(self) -> dict[str, Any]:
        """Return the ledger as a JSON object with all fields."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Ledger:
        """Rebuild a ledger from `to_json`; fields that are missing get their defaults, unknown ones are left out."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in data.items() if name in known})


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits on what a method may spend; None means no limit. The words mean the same for every method.

    Parameters
    ----------
    tokens : int or None
        Limit on `Ledger.tokens`, >= 1.
    calls : int or None
        Limit on requests to a model, >= 1.
    seconds : float or None
        Limit on wall time, > 0.
    samples : int or None
        Limit on completions, >= 1. Methods with a sample count ``n`` take it from here unless told otherwise.
    usd : float or None
        Limit on the price in US dollars, > 0.

    Raises
    ------
    UsageError
        A limit is zero, negative or not finite.

    Examples
    --------
    >>> Budget.parse("samples=16,seconds=2.5")
    Budget(samples=16, seconds=2.5)
    >>> Budget(samples=4).exceeded(Ledger(samples=4))
    'samples'
    """

    tokens: int | None = None
    calls: int | None = None
    seconds: float | None = None
    samples: int | None = None
    usd: float | None = None

    def __post_init__(self) -> None:
        for name, value in self.limits().items():
            whole = name in ("tokens", "calls", "samples")
            if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
                kind = "a whole number" if whole else "a number"
                raise UsageError(f"Budget {name}={value!r} is not {kind}. Give {kind} above zero.")
            if not math.isfinite(value) or value <= 0:
                raise UsageError(f"Budget {name}={value} allows nothing. Give a number above zero, or leave it out.")

    def __repr__(self) -> str:
        order = ("tokens", "calls", "samples", "seconds", "usd")
        limits = self.limits()
        return f"Budget({', '.join(f'{name}={limits[name]!r}' for name in order if name in limits)})"

    def limits(self) -> dict[str, float]:
        """Return the limits that are set, by name."""
        values = ((field.name, getattr(self, field.name)) for field in fields(self))
        return {name: value for name, value in values if value is not None}

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Read a budget from ``name=number`` pairs separated by commas or blanks.

        Parameters
        ----------
        text : str
            For instance ``"samples=16"`` or ``"tokens=4096,seconds=10"``; empty text is no limit.

        Returns
        -------
        Budget

        Raises
        ------
        UsageError
            A name is unknown, given twice, or its number is malformed or not above zero.
        """
        known = [field.name for field in fields(cls)]
        limits: dict[str, Any] = {}
        for pair in text.replace(",", " ").split():
            name, separator, number = pair.partition("=")
            if not separator or not number:
                raise UsageError(f"Budget {pair!r} is malformed. Write name=number, for instance samples=16.")
            if name not in known:
                raise UsageError(f"Budget name {name!r} is unknown; {nearest(name, known)}")
            if name in limits:
                raise UsageError(f"Budget {name} is given twice. Give it once.")
            try:
                limits[name] = int(number) if name in ("tokens", "calls", "samples") else float(number)
            except ValueError:
                raise UsageError(f"Budget {name}={number!r} is not a number. Write for instance {name}=16.") from None
        return cls(**limits)

    def exceeded(self, ledger: Ledger) -> str | None:
        """Name the first limit that a ledger has reached.

        Parameters
        ----------
        ledger : Ledger
            What has been spent.

        Returns
        -------
        str or None
            None while all limits leave room.
        """
        for name, limit in self.limits().items():
            if getattr(ledger, name) >= limit:
                return name
        return None

    def left(self, name: str, ledger: Ledger) -> float:
        """Return how much of one limit is left, ``inf`` where there is none, never below zero.

        Parameters
        ----------
        name : str
            One of the limits' names.
        ledger : Ledger
            What has been spent.
        """
        limit: float | None = getattr(self, name)
        return math.inf if limit is None else max(0, limit - getattr(ledger, name))
