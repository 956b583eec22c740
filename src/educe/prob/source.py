"""`Source`: where one run's randomness comes from and where its costs go."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from educe.core import Ledger, Seed

__all__ = ["Source"]


class Source:
    """Randomness and ledger of one run.

    Parameters
    ----------
    seed : int or Seed
        Root of all draws.
    progress : callable or None
        Called as ``progress(done, total, **shown)`` while the run goes on.

    Attributes
    ----------
    rng : numpy.random.Generator
        For distributions that draw here.
    ledger : Ledger
        What models were asked for so far.
    sessions : list
        Metered models that were used; their own ledgers replace the count kept here.

    Examples
    --------
    >>> first, second = Source(0), Source(0)
    >>> first.next_seed() == second.next_seed()
    True
    """

    def __init__(self, seed: int | Seed = 0, progress: Callable[..., None] | None = None) -> None:
        self.seed = Seed.of(seed)
        self.progress = progress
        self.rng = self.seed.child("draws").numpy()
        self.ledger = Ledger()
        self.sessions: list[Any] = []
        self._requests = 0

    def next_seed(self) -> Seed:
        """Return a fresh seed for one request to a model."""
        self._requests += 1
        return self.seed.child("request", self._requests)

    def spend(self, model: Any, cost: Ledger) -> None:
        """Charge a request; a model with a `ledger` of its own has charged it already.

        Parameters
        ----------
        model : object
            What was asked.
        cost : Ledger
            What it cost.
        """
        if not hasattr(model, "ledger"):
            self.ledger = self.ledger + cost
        elif not any(model is known for known in self.sessions):
            self.sessions.append(model)

    def total(self) -> Ledger:
        """Return what the run cost so far."""
        return sum((session.ledger for session in self.sessions), self.ledger)
