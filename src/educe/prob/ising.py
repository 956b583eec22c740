"""The Ising model on a torus, with its exact normaliser and marginals where they can be computed.

log weight = coupling * sum over ordered pairs of neighbours s_i s_j + field * sum s_i with spins -1 and 1, as Liu et
al. (2024), arXiv:2310.12920, count it: each edge occurs twice, so the usual coupling is twice the one given here.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property

import torch

from educe.core import Seed, UsageError

__all__ = ["Ising"]

MOST_STATES = 2**20


@dataclass(frozen=True)
class Ising:
    """Spins on a square lattice that wraps around.

    Parameters
    ----------
    side : int
        The lattice has side x side spins, >= 2. Where side is 2 both neighbours in a direction are the same spin, and
        the pair counts twice.
    coupling : float
        Of each ordered pair of neighbours.
    field : float
        On each spin.

    Examples
    --------
    >>> model = Ising(2, coupling=0.0, field=0.0)
    >>> round(float(model.log_partition), 4)  # 16 equal states
    2.7726
    """

    side: int
    coupling: float = 0.1
    field: float = 0.2

    def __post_init__(self) -> None:
        if self.side < 2:
            raise UsageError(f"side={self.side} has no neighbours. Give side >= 2.")

    @property
    def variables(self) -> int:
        """Number of spins."""
        return self.side**2

    def log_weight(self, x: torch.Tensor) -> torch.Tensor:
        """Unnormalised log-probability.

        Parameters
        ----------
        x : Tensor
            (n, variables) with 0 for spin down and 1 for spin up, row by row.
        """
        spins = (2 * x.double() - 1).reshape(-1, self.side, self.side)
        pairs = spins * (spins.roll(1, 1) + spins.roll(1, 2))
        return 2 * self.coupling * pairs.sum((1, 2)) + self.field * spins.sum((1, 2))

    @cached_property
    def states(self) -> torch.Tensor:
        """All states, (2 ** variables, variables)."""
        if 2**self.variables > MOST_STATES:
            raise UsageError(f"{self.variables} spins have too many states to list. Give side <= 4.")
        index = torch.arange(2**self.variables)
        return (index[:, None] >> torch.arange(self.variables - 1, -1, -1)) & 1

    @cached_property
    def log_probabilities(self) -> torch.Tensor:
        """Exact log-probabilities of `states`."""
        return torch.log_softmax(self.log_weight(self.states), 0)

    @cached_property
    def log_partition(self) -> float:
        """Log of the sum of all weights, by transfer matrices; for side <= 10."""
        if self.side > 10:
            raise UsageError(f"side={self.side} is too wide for transfer matrices. Give side <= 10.")
        lines = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=self.side)), dtype=torch.float64)
        within = 2 * self.coupling * (lines * lines.roll(1, 1)).sum(1) + self.field * lines.sum(1)
        transfer = 2 * self.coupling * lines @ lines.T + (within[:, None] + within) / 2
        shift = float(transfer.max())
        powers = torch.linalg.eigvalsh((transfer - shift).exp())
        return self.side * shift + float((powers**self.side).sum().log())

    @property
    def entropy(self) -> float:
        """Entropy in nats, by enumeration."""
        return float(-(self.log_probabilities.exp() * self.log_probabilities).sum())

    def log_marginal(self, x: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
        """Exact log-probabilities of what is known, by enumeration.

        Parameters
        ----------
        x : Tensor
            (n, variables) states.
        known : Tensor
            (n, variables) truth values.
        """
        agrees = ((self.states[None] == x[:, None]) | ~known[:, None]).all(2)
        return torch.logsumexp(torch.where(agrees, self.log_probabilities, -torch.inf), 1)

    def sample(self, n: int, seed: int | Seed = 0) -> torch.Tensor:
        """Draw exact samples, by enumeration.

        Parameters
        ----------
        n : int
            How many.
        seed : int or Seed
            Same seed, same samples.
        """
        rng = Seed.of(seed).child("ising").torch()
        return self.states[torch.multinomial(self.log_probabilities.exp(), n, replacement=True, generator=rng)]
