"""`MarginalModel`: the log-probability of any subset of discrete variables in one network call.

Two networks over partly known vectors: a scalar f(x_S) for the marginal and D x K logits for the conditionals, tied
by self-consistency, f(x_before) + log p(x_j | x_before) = f(x_before, x_j), for every order and place. Source: Liu et
al. (2024), arXiv:2310.12920. What is read is f(x_S) - f(nothing known). Sampling follows the conditionals, marginals
follow f; `consistency` says how far they differ. The penalty is squared in the log, so it says nothing about
marginals of vectors that training never visited.
"""

from __future__ import annotations

import math
from typing import Any, Self

import torch

from educe.core import Seed, UsageError
from educe.prob.any_order import AnyOrderARM, LogWeight, as_vectors
from educe.prob.masked_network import MaskedNetwork, Trunk, cosine_adam, cut_at, random_order

__all__ = ["MarginalModel"]


class MarginalModel(AnyOrderARM):
    """A discrete distribution with all its marginals.

    Parameters
    ----------
    categories : int
        Values are ``0 .. categories - 1``.
    variables : int
        Length of the vectors.
    width, depth : int
        Of the residual perceptrons.
    trunk : callable or None
        Makes another network, see `MaskedNetwork`. Each of the two heads has a trunk of its own, so that the
        conditionals stay as they are while marginals are fitted to them.
    seed : int or Seed
        Source of the initial weights and of training.

    Attributes
    ----------
    log_partition : float or None
        After `fit_energy`: log of the normaliser of the density, by importance sampling from the conditionals.
    divergence : list of float
        After `fit_energy`: mean of f(x) - log weight over the chain at each step, the divergence up to log Z.
    spread : list of float
        After `fit_energy`: what advantages were divided by at each step; it scales the penalty against the rest.

    Examples
    --------
    >>> data = torch.tensor([[0, 0, 0], [1, 1, 1]])
    >>> model = MarginalModel(2, 3, width=32, depth=1).fit(data, stage1_steps=300, stage2_steps=300)
    >>> float(model.log_marginal([[1, 1, 0]], [[True, True, False]])[0].exp()) > 0.4  # exactly 1/2
    True
    """

    def __init__(
        self,
        categories: int,
        variables: int,
        width: int = 128,
        depth: int = 2,
        trunk: Trunk | None = None,
        seed: int | Seed = 0,
    ) -> None:
        super().__init__(categories, variables, width, depth, trunk, seed)
        self.marginal = MaskedNetwork(categories, variables, 1, width, depth, trunk, self.seed.child("marginal"))
        self.parameters = (self.network, self.marginal)
        self.log_partition: float | None = None
        self.divergence: list[float] = []
        self.spread: list[float] = []

    def _raw(self, x: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
        return self.marginal(x, known)[:, 0]  # type: ignore[no-any-return]

    def _nothing(self) -> torch.Tensor:
        x = torch.zeros(1, self.variables, dtype=torch.int64)
        return self._raw(x, torch.zeros_like(x, dtype=torch.bool))[0]

    @property
    def logz(self) -> float:
        """What f gives when nothing is known; it is subtracted from every marginal."""
        with torch.no_grad():
            return float(self._nothing())

    def _errors(self, x: torch.Tensor, rng: torch.Generator, gradient: bool = True) -> torch.Tensor:
        """Log errors of self-consistency at one random place in one random order of each vector."""
        known, place = cut_at(random_order(len(x), self.variables, rng), rng)
        row = torch.arange(len(x))
        after = known.clone()
        after[row, place] = True
        with torch.set_grad_enabled(gradient):
            step = self.conditionals(x, known)[row, place, x[row, place]]
        both = self._raw(torch.cat([x, x]), torch.cat([known, after]))
        return both[: len(x)] + step - both[len(x) :]

    def fit(  # type: ignore[override]
        self,
        data: Any,
        stage1_steps: int = 2000,
        stage2_steps: int = 2000,
        q: str = "data",
        batch: int = 128,
        rate: float = 1e-3,
    ) -> Self:
        """Fit conditionals to data, then marginals to the conditionals.

        Parameters
        ----------
        data : array
            (n, variables) categories.
        stage1_steps, stage2_steps : int
            Adam steps of the two stages; 0 skips one.
        q : str
            On what marginals are to be right: ``"data"``, or ``"mixed"`` for data and samples of the model by halves.
        batch : int
            Examples in a step.
        rate : float
            First learning rate.
        """
        if q not in ("data", "mixed"):
            raise UsageError(f"q={q!r} is not known. Give 'data' or 'mixed'.")
        rows = as_vectors(data, self.categories, self.variables, "data")
        if stage1_steps:
            super().fit(rows, stage1_steps, batch, rate)
            # What the conditionals' trunk has learned is a good start for the marginals' own.
            self.marginal.trunk.load_state_dict(self.network.trunk.state_dict())
        rng = self.seed.child("marginals").torch()
        optimizer, schedule = cosine_adam(self.marginal.parameters(), stage2_steps, rate)
        own = rows
        if q == "mixed" and stage2_steps:
            with torch.no_grad():
                own = self._draw(max(batch, min(len(rows), 2000)), {}, rng)
        for _ in range(stage2_steps):
            x = rows[torch.randint(len(rows), (batch,), generator=rng)]
            if q == "mixed":
                x = torch.cat([x[: batch // 2], own[torch.randint(len(own), (batch - batch // 2,), generator=rng)]])
            errors = self._errors(x, rng, gradient=False)
            # Pinned to log 1 here: data say how large probabilities are.
            loss = self.variables * errors.square().mean() + self._nothing().square()
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
        return self

    def fit_energy(  # type: ignore[override]
        self,
        log_weight: LogWeight,
        steps: int = 1500,
        gibbs: int = 4,
        consistency: float = 4.0,
        batch: int = 128,
        rate: float = 1e-3,
    ) -> Self:
        """Learn an unnormalised density and all its marginals, with a constant number of network calls a step.

        Parameters
        ----------
        log_weight : callable
            Takes (n, variables) categories, returns (n,) log-densities up to a constant.
        steps : int
            Adam steps.
        gibbs : int
            Variables that the persistent chain erases and draws anew in a step, >= 1.
        consistency : float
            Weight of the self-consistency penalty beside the divergence, > 0.
        batch : int
            Chains side by side.
        rate : float
            First learning rate.
        """
        if gibbs < 1 or not consistency > 0:
            raise UsageError(f"gibbs={gibbs}, consistency={consistency} is out of range. Give >= 1 and > 0.")
        rng = self.seed.child("energy").torch()
        both = [*self.network.parameters(), *self.marginal.parameters()]
        optimizer, schedule = cosine_adam(iter(both), steps, rate)
        x = torch.randint(self.categories, (batch, self.variables), generator=rng)
        # f starts near log(number of vectors) when nothing is known; pinning it to 0 stalls large models.
        pin = self.variables * math.log(self.categories)
        self.divergence, self.spread = [], []
        for _ in range(steps):
            x = self._gibbs(x, min(gibbs, self.variables), rng)
            f = self._raw(x, torch.ones_like(x, dtype=torch.bool))
            gap = f.detach() - log_weight(x).to(f.dtype)
            spread = gap.std().clamp(min=1e-6)
            divergence = ((gap - gap.mean()) / spread * f).mean()
            penalty = self.variables * self._errors(x, rng).square().mean() + (self._nothing() - pin).square()
            optimizer.zero_grad()
            torch.autograd.backward(divergence + consistency * penalty)
            optimizer.step()
            schedule.step()
            self.divergence.append(float(gap.mean()))
            self.spread.append(float(spread))
        with torch.no_grad():
            drawn = self._draw(1000, {}, rng)
            ratio = log_weight(drawn).double() - self.log_chain(drawn).double()
            self.log_partition = float(torch.logsumexp(ratio, 0)) - math.log(len(drawn))
        return self

    def _gibbs(self, x: torch.Tensor, count: int, rng: torch.Generator) -> torch.Tensor:
        """Erase the last variables of a random order in each row and draw them again, one by one."""
        rank = random_order(len(x), self.variables, rng)
        x, row = x.clone(), torch.arange(len(x))
        with torch.no_grad():
            for place in range(self.variables - count, self.variables):
                variable = (rank == place).int().argmax(1)
                probabilities = self.conditionals(x, rank < place)[row, variable].exp()
                x[row, variable] = torch.multinomial(probabilities, 1, generator=rng)[:, 0]
        return x

    def log_marginal(  # type: ignore[override]
        self, x: Any, known: Any
    ) -> torch.Tensor:
        """Log-probabilities of what is known, everything else summed out, in one call.

        Parameters
        ----------
        x : array
            (n, variables) categories; entries that are not known do not count.
        known : array
            (n, variables) truth values, or (1, variables) for all rows.

        Returns
        -------
        Tensor
            (n,) float64.
        """
        vectors = as_vectors(x, self.categories, self.variables)
        mask = torch.as_tensor(known, dtype=torch.bool).expand(vectors.shape)
        # The row of which nothing is known goes along, so that one call does it all.
        vectors, mask = torch.cat([vectors, vectors[:1]]), torch.cat([mask, torch.zeros_like(mask[:1])])
        with torch.no_grad():
            found = self._raw(vectors, mask).double()
        return found[:-1] - found[-1]

    def log_conditional(self, x: Any, given: Any, target: Any) -> torch.Tensor:
        """Log-probabilities of some variables given others, the rest summed out.

        Parameters
        ----------
        x : array
            (n, variables) categories.
        given, target : array
            (n, variables) or (1, variables) truth values; no variable may be in both.

        Returns
        -------
        Tensor
            (n,) float64.
        """
        left, right = (torch.as_tensor(mask, dtype=torch.bool) for mask in (given, target))
        if bool((left & right).any()):
            raise UsageError("A variable is both given and asked for. Take it out of one of the two.")
        return self.log_marginal(x, left | right) - self.log_marginal(x, left)

    def consistency(self, x: Any, n: int = 1000, seed: int | Seed = 0) -> float:
        """Root mean square, in nats, of f(before) + log conditional - f(after).

        Parameters
        ----------
        x : array
            (rows, variables) categories at which it is measured.
        n : int
            Random rows, orders and places.
        seed : int or Seed
            Source of these.
        """
        rows = as_vectors(x, self.categories, self.variables)
        rng = Seed.of(seed).child("consistency").torch()
        with torch.no_grad():
            errors = self._errors(rows[torch.randint(len(rows), (n,), generator=rng)], rng)
        return float(errors.square().mean().sqrt())

    def as_conditionals(self) -> AnyOrderARM:
        """Return the model of the conditionals alone, which shares their network: marginals by the chain rule."""
        alone = AnyOrderARM.__new__(AnyOrderARM)
        alone.categories, alone.variables, alone.seed = self.categories, self.variables, self.seed
        alone.network, alone.parameters, alone.curve = self.network, (self.network,), self.curve
        return alone
