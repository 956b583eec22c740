"""`FactorGraph`: a joint distribution of discrete variables as a product of factors over few of them each.

Exact by enumeration where there are few variables, otherwise by Gibbs sampling or belief propagation (Kschischang et
al. 2001; exact on trees, an approximation with loops).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from educe.core import EvidenceKind, Posterior, Seed, UsageError

__all__ = ["FactorGraph"]

MOST_STATES = 2**20
Names = tuple[str, ...]


@dataclass(frozen=True)
class FactorGraph:
    """Variables with few values, tied by factors.

    Parameters
    ----------
    variables : mapping of str to int
        Number of values of each, which are ``0 .. number - 1``.
    factors : mapping of tuple of str to Tensor
        Log-values of each factor: one axis for each of its variables, in order.

    Raises
    ------
    UsageError
        A factor names a variable that is not there, or its table has the wrong shape or NaN.

    Examples
    --------
    >>> same = torch.tensor([[3.0, 1.0], [1.0, 3.0]]).log()
    >>> graph = FactorGraph({"a": 2, "b": 2}, {("a", "b"): same, ("a",): torch.tensor([1.0, 3.0]).log()})
    >>> round(float(graph.enumerate().probability(lambda state: state["b"] == 1)), 3)
    0.625
    """

    variables: Mapping[str, int]
    factors: Mapping[Names, torch.Tensor]

    def __post_init__(self) -> None:
        clean = {}
        for names, table in self.factors.items():
            missing = [name for name in names if name not in self.variables]
            if missing or len(set(names)) != len(names):
                raise UsageError(f"Factor {names} names {missing or 'a variable twice'}. Use {list(self.variables)}.")
            shape = tuple(self.variables[name] for name in names)
            logs = torch.as_tensor(table, dtype=torch.float64)
            if tuple(logs.shape) != shape or bool(torch.isnan(logs).any()):
                raise UsageError(f"Factor {names} has shape {tuple(logs.shape)} or NaN. Give finite logs, {shape}.")
            clean[tuple(names)] = logs
        object.__setattr__(self, "variables", dict(self.variables))
        object.__setattr__(self, "factors", clean)

    @property
    def edges(self) -> set[tuple[str, str]]:
        """Pairs of variables, in alphabetical order, that share a factor."""
        return {pair for names in self.factors for pair in itertools.combinations(sorted(names), 2)}

    def log_prob(self, state: Mapping[str, Any]) -> torch.Tensor:
        """Log of the product of all factors, not normalised.

        Parameters
        ----------
        state : mapping of str to int or Tensor
            A value, or (n,) values, for each variable.
        """
        values = {name: torch.as_tensor(value) for name, value in state.items()}
        missing = set(self.variables) - set(values)
        if missing:
            raise UsageError(f"No value was given for {sorted(missing)}. Give one for each variable.")
        total = torch.zeros((), dtype=torch.float64)
        for names, table in self.factors.items():
            total = total + table[tuple(values[name] for name in names)]
        return total

    def enumerate(self) -> Posterior[dict[str, int]]:
        """Return the exact distribution, with the log of the normaliser as its evidence."""
        count = math.prod(self.variables.values())
        if count > MOST_STATES:
            raise UsageError(f"{count:,} states are too many to list. Use gibbs or belief_propagation.")
        grids = torch.cartesian_prod(*(torch.arange(k) for k in self.variables.values())).reshape(count, -1)
        columns = dict(zip(self.variables, grids.unbind(1), strict=True))
        logs = self.log_prob(columns).expand(count)
        return Posterior(columns, logs.clone(), float(torch.logsumexp(logs, 0)), EvidenceKind.UNBIASED)

    def _conditional(self, name: str, state: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Log-values of one variable given all others, (n, values), not normalised."""
        total: Any = torch.zeros(self.variables[name], dtype=torch.float64)
        for names, table in self.factors.items():
            if name in names:
                axis = names.index(name)
                others = tuple(state[other] for other in names if other != name)
                moved = table.movedim(axis, -1)
                total = total + (moved[others] if others else moved)
        return total  # type: ignore[no-any-return]

    def gibbs(
        self, n: int, sweeps: int = 100, given: Mapping[str, int] | None = None, seed: int | Seed = 0, start: Any = None
    ) -> Posterior[dict[str, int]]:
        """Draw states by Gibbs sampling, `n` chains side by side.

        Parameters
        ----------
        n : int
            Chains, each giving one state, >= 1.
        sweeps : int
            Passes over all variables, >= 0.
        given : mapping of str to int or None
            Variables held at a value.
        seed : int or Seed
            Same seed, same states.
        start : mapping of str to Tensor or None
            (n,) values to start from; uniform ones when left out.
        """
        if n < 1 or sweeps < 0:
            raise UsageError(f"n={n}, sweeps={sweeps} is out of range. Give n >= 1 and sweeps >= 0.")
        rng = Seed.of(seed).child("gibbs").torch()
        fixed = dict(given or {})
        state = {name: torch.randint(k, (n,), generator=rng) for name, k in self.variables.items()}
        state |= {name: torch.as_tensor(values).clone() for name, values in (start or {}).items()}
        state |= {name: torch.full((n,), value) for name, value in fixed.items()}
        for _ in range(sweeps):
            for name in self.variables:
                if name not in fixed:
                    probabilities = torch.softmax(self._conditional(name, state), -1).expand(n, -1)
                    state[name] = torch.multinomial(probabilities, 1, generator=rng)[:, 0]
        return Posterior(state, torch.zeros(n, dtype=torch.float64))

    def belief_propagation(self, rounds: int = 50, damping: float = 0.0) -> dict[str, torch.Tensor]:
        """Return marginal probabilities by sum-product messages.

        Parameters
        ----------
        rounds : int
            Parallel updates of all messages, >= 1; a tree needs as many as it is wide.
        damping : float
            Share of the old message that is kept, in [0, 1); helps where loops make messages oscillate.
        """
        if rounds < 1 or not 0 <= damping < 1:
            raise UsageError(f"rounds={rounds}, damping={damping} is out of range. Give >= 1 and [0, 1).")
        messages = {
            (names, name): torch.zeros(self.variables[name], dtype=torch.float64)
            for names in self.factors
            for name in names
        }
        for _ in range(rounds):
            beliefs = self._beliefs(messages)
            fresh = {}
            for (names, name), old in messages.items():
                total = self.factors[names]
                for axis, other in enumerate(names):
                    if other != name:
                        shape = [-1 if k == axis else 1 for k in range(len(names))]
                        total = total + (beliefs[other] - messages[names, other]).reshape(shape)
                axes = [k for k, other in enumerate(names) if other != name]
                sent = torch.logsumexp(total, axes) if axes else total
                fresh[names, name] = damping * old + (1 - damping) * torch.log_softmax(sent, 0)
            messages = fresh
        return {name: torch.softmax(belief, 0) for name, belief in self._beliefs(messages).items()}

    def _beliefs(self, messages: Mapping[tuple[Names, str], torch.Tensor]) -> dict[str, torch.Tensor]:
        beliefs = {name: torch.zeros(k, dtype=torch.float64) for name, k in self.variables.items()}
        for (_, name), message in messages.items():
            beliefs[name] = beliefs[name] + message
        return beliefs

    def intervene(self, factor: Sequence[str], table: torch.Tensor) -> FactorGraph:
        """Return the graph with one factor replaced, all others untouched.

        Parameters
        ----------
        factor : sequence of str
            Its variables.
        table : Tensor
            Its new log-values.
        """
        names = tuple(factor)
        if names not in self.factors:
            raise UsageError(f"There is no factor {names}. There are {list(self.factors)}.")
        return replace(self, factors={**self.factors, names: table})

    def adapt(self, factor: Sequence[str], data: Mapping[str, torch.Tensor], smoothing: float = 1.0) -> FactorGraph:
        """Refit one factor as the conditional of its first variable given the rest, by counts.

        Parameters
        ----------
        factor : sequence of str
            Its variables, the one that is explained first.
        data : mapping of str to Tensor
            (n,) observed values of each of them.
        smoothing : float
            Laplace's pseudo-count, > 0.
        """
        names = tuple(factor)
        if names not in self.factors:
            raise UsageError(f"There is no factor {names}. There are {list(self.factors)}.")
        if not smoothing > 0:
            raise UsageError(f"smoothing={smoothing} is not positive. Give for instance 1.")
        counts = torch.full([self.variables[name] for name in names], smoothing, dtype=torch.float64)
        index = tuple(torch.as_tensor(data[name]) for name in names)
        counts.index_put_(index, torch.ones(len(index[0]), dtype=torch.float64), accumulate=True)
        return self.intervene(names, counts.log() - counts.sum(0, keepdim=True).log())
