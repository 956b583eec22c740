"""`AnyOrderARM`: autoregressive models of discrete vectors that know the next variable in any order.

Trained on data by the order-agnostic bound (Uria et al. 2014, arXiv:1310.1757; Hoogeboom et al. 2022,
arXiv:2110.02037): one random place in one random order per example, averaged over all variables still unknown. Or
trained on an energy in one fixed order, by whole trajectories, by one step of each, or by trajectory balance (Malkin
et al. 2022, arXiv:2201.13259), which is what a generative flow network minimises here; these are the baselines of Liu
et al. (2024), arXiv:2310.12920.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Self

import torch

from educe.core import Posterior, Seed, UsageError
from educe.prob.dist import Dist
from educe.prob.masked_network import MaskedNetwork, Trunk, cosine_adam, cut_at, random_order
from educe.prob.source import Source

__all__ = ["AnyOrderARM", "LogWeight", "as_vectors"]

LogWeight = Callable[[torch.Tensor], torch.Tensor]
LOSSES = ("trajectory", "one step", "trajectory balance")


def as_vectors(x: Any, categories: int, variables: int, name: str = "x") -> torch.Tensor:
    """Check vectors of categories and return them as (n, variables) int64."""
    given = torch.as_tensor(x)
    if given.ndim != 2 or given.shape[1] != variables or not len(given):
        raise UsageError(f"{name} has shape {tuple(given.shape)}. Give rows of {variables} categories.")
    whole = given.to(torch.int64)
    if not torch.equal(whole.to(given.dtype), given) or int(whole.min()) < 0 or int(whole.max()) >= categories:
        raise UsageError(
            f"{name} has values from {given.min()} to {given.max()}. Give whole numbers from 0 to {categories - 1}."
        )
    return whole


class AnyOrderARM(Dist):
    """A distribution over vectors of categories, one variable at a time.

    As a distribution it draws in the natural order and scores by the chain rule in the same order, so that it may
    serve as a proposal.

    Parameters
    ----------
    categories : int
        Values are ``0 .. categories - 1``.
    variables : int
        Length of the vectors.
    width, depth : int
        Of the residual perceptron.
    trunk : callable or None
        Makes another network, see `MaskedNetwork`.
    seed : int or Seed
        Source of the initial weights and of training.

    Examples
    --------
    >>> model = AnyOrderARM(2, 3, width=16, depth=1).fit(torch.tensor([[0, 0, 0], [1, 1, 1]]), steps=200)
    >>> model.sample(4, given={0: 1}).values["x"].shape
    torch.Size([4, 3])
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
        self.categories, self.variables, self.seed = categories, variables, Seed.of(seed)
        self.network = MaskedNetwork(
            categories, variables, variables * categories, width, depth, trunk, self.seed.child("conditional")
        )
        self.parameters = (self.network,)
        self.curve: list[float] = []

    def conditionals(self, x: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
        """Log-probabilities of every variable given what is known.

        Parameters
        ----------
        x : Tensor
            (n, variables) categories.
        known : Tensor
            (n, variables) truth values.

        Returns
        -------
        Tensor
            (n, variables, categories) float32; rows of known variables mean nothing.
        """
        found = self.network(x, known).reshape(len(x), self.variables, self.categories)
        return torch.log_softmax(found, -1)

    def fit(self, data: Any, steps: int = 2000, batch: int = 128, rate: float = 1e-3) -> Self:
        """Maximise the order-agnostic bound on the log-likelihood.

        Parameters
        ----------
        data : array
            (n, variables) categories.
        steps : int
            Adam steps, >= 1; the rate falls along a cosine.
        batch : int
            Examples in a step.
        rate : float
            First learning rate.
        """
        rows = as_vectors(data, self.categories, self.variables, "data")
        rng = self.seed.child("fit").torch()
        optimizer, schedule = cosine_adam(self.network.parameters(), steps, rate)
        self.curve = []
        for _ in range(steps):
            x = rows[torch.randint(len(rows), (batch,), generator=rng)]
            known, _ = cut_at(random_order(batch, self.variables, rng), rng)
            logs = self.conditionals(x, known).gather(2, x[:, :, None])[:, :, 0]
            # The next variable is any unknown one with equal chance, so their mean stands for it, D times for the sum.
            bound = self.variables * torch.where(known, 0.0, logs).sum(1) / (~known).sum(1)
            optimizer.zero_grad()
            torch.autograd.backward(-bound.mean())
            optimizer.step()
            schedule.step()
            self.curve.append(float(bound.detach().mean()))
        return self

    def fit_energy(
        self, log_weight: LogWeight, steps: int = 1500, loss: str = "trajectory", batch: int = 128, rate: float = 1e-3
    ) -> Self:
        """Learn to sample from an unnormalised density, in the natural order.

        Parameters
        ----------
        log_weight : callable
            Takes (n, variables) categories, returns (n,) log-densities up to a constant.
        steps : int
            Adam steps, >= 1.
        loss : str
            ``"trajectory"``: divergence by score-function gradients through whole samples. ``"one step"``: the same
            with the log-density of a sample estimated from a single one of its steps, which is cheap and varies much.
            ``"trajectory balance"``: the squared error of log Z + log p - log weight, with log Z learned.
        batch : int
            Samples in a step.
        rate : float
            First learning rate; log Z of trajectory balance learns a hundred times faster, as is usual.
        """
        if loss not in LOSSES:
            raise UsageError(f"loss={loss!r} is not known. Give one of {', '.join(map(repr, LOSSES))}.")
        rng = self.seed.child("energy").torch()
        optimizer, schedule = cosine_adam(self.network.parameters(), steps, rate)
        log_z = torch.tensor(self.variables * math.log(self.categories), requires_grad=True)
        if loss == "trajectory balance":
            optimizer.add_param_group({"params": [log_z], "lr": 100 * rate, "initial_lr": 100 * rate})
            schedule.base_lrs.append(100 * rate)
        self.curve = []
        for _ in range(steps):
            with torch.no_grad():
                x = self._draw(batch, {}, rng)
            if loss == "one step":
                # Two places, drawn apart: one estimate in both factors of the gradient would bias it.
                total, value = self._one_step(x, rng), self._one_step(x, rng).detach()
            else:
                total = self.log_chain(x, gradient=True)
                value = total
            gap = value - log_weight(x).to(value.dtype)
            if loss == "trajectory balance":
                objective = (gap + log_z).square().mean()
            else:
                signal = gap.detach() - gap.detach().mean()
                objective = (signal * total).mean()
            optimizer.zero_grad()
            torch.autograd.backward(objective)
            optimizer.step()
            schedule.step()
            self.curve.append(float(gap.detach().mean()))
        return self

    def _one_step(self, x: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        """Estimate log-probabilities from one step of each vector, in the natural order."""
        row, place = torch.arange(len(x)), torch.randint(self.variables, (len(x),), generator=rng)
        known = torch.arange(self.variables) < place[:, None]
        return self.variables * self.conditionals(x, known)[row, place, x[row, place]]

    def _draw(self, n: int, given: Mapping[int, int], rng: torch.Generator, order: Any = None) -> torch.Tensor:
        x = torch.zeros(n, self.variables, dtype=torch.int64)
        known = torch.zeros(n, self.variables, dtype=torch.bool)
        for variable, value in given.items():
            x[:, variable], known[:, variable] = value, True
        for variable in range(self.variables) if order is None else order:
            if variable not in given:
                x[:, variable] = self._one(x, known, variable, rng)
                known[:, variable] = True
        return x

    def _one(self, x: torch.Tensor, known: torch.Tensor, variable: int, rng: torch.Generator) -> torch.Tensor:
        probabilities = self.conditionals(x, known)[:, variable].exp()
        return torch.multinomial(probabilities, 1, generator=rng)[:, 0]

    def log_chain(self, x: torch.Tensor, rank: torch.Tensor | None = None, gradient: bool = False) -> torch.Tensor:
        """Log-probabilities of whole vectors by the chain rule, all steps in one call.

        Parameters
        ----------
        x : Tensor
            (n, variables) categories.
        rank : Tensor or None
            (n, variables): when each variable comes; the natural order when left out.
        gradient : bool
            Whether the result is to be differentiated.
        """
        known = torch.ones(x.shape, dtype=torch.bool)
        return self._chain(x, known, torch.arange(self.variables).expand(x.shape) if rank is None else rank, gradient)

    def _chain(self, x: torch.Tensor, known: torch.Tensor, rank: torch.Tensor, gradient: bool = False) -> torch.Tensor:
        row, variable = known.nonzero(as_tuple=True)
        before = known[row] & (rank[row] < rank[row, variable][:, None])
        with torch.set_grad_enabled(gradient):
            logs = self.conditionals(x[row], before)[torch.arange(len(row)), variable, x[row, variable]]
            return torch.zeros(len(x), dtype=logs.dtype).index_add(0, row, logs)

    def log_marginal(self, x: Any, known: Any, orders: int = 1, seed: int | Seed = 0) -> torch.Tensor:
        """Log-probabilities of what is known, everything else summed out, by the chain rule.

        Parameters
        ----------
        x : array
            (n, variables) categories; entries that are not known do not count.
        known : array
            (n, variables) truth values.
        orders : int
            Random orders over which the probability is averaged, >= 1; they disagree where training is not perfect.
        seed : int or Seed
            Source of the orders.

        Returns
        -------
        Tensor
            (n,) float64.
        """
        vectors = as_vectors(x, self.categories, self.variables)
        mask = torch.as_tensor(known, dtype=torch.bool).expand(vectors.shape)
        if orders < 1:
            raise UsageError(f"orders={orders} is no number of orders. Give orders >= 1.")
        rng = Seed.of(seed).child("orders").torch()
        logs = [self._chain(vectors, mask, random_order(len(vectors), self.variables, rng)) for _ in range(orders)]
        return torch.logsumexp(torch.stack(logs).double(), 0) - math.log(orders)

    def sample(  # type: ignore[override]
        self, n: int = 1, seed: int | Seed = 0, given: Mapping[int, int] | None = None, order: Any = None
    ) -> Posterior[Any]:
        """Draw vectors, in any order.

        Parameters
        ----------
        n : int
            How many, >= 1.
        seed : int or Seed
            Same seed, same vectors.
        given : mapping of int to int or None
            Variables with known categories.
        order : sequence of int or None
            In which order variables are drawn; the natural one when left out.

        Returns
        -------
        Posterior
            Equal weights over ``{"x": (n, variables)}``.
        """
        if n < 1:
            raise UsageError(f"n={n} asks for no vector. Give n >= 1.")
        known = dict(given or {})
        if any(not 0 <= v < self.variables or not 0 <= k < self.categories for v, k in known.items()):
            raise UsageError(f"given={known} is out of range. Give indices and categories that the model has.")
        if order is not None and sorted(order) != list(range(self.variables)):
            raise UsageError(f"order={list(order)} is no order of {self.variables} variables. Give each of them once.")
        with torch.no_grad():
            x = self._draw(n, known, Seed.of(seed).child("sample").torch(), order)
        return Posterior({"x": x}, torch.zeros(n, dtype=torch.float64), details={"algorithm": "autoregressive"})

    def log_prob(self, value: Any) -> torch.Tensor:
        """Log-probability of one vector under the law of its draws: the chain rule in the natural order."""
        x = as_vectors(torch.as_tensor(value)[None], self.categories, self.variables, "value")
        return self.log_chain(x)[0].double()

    @classmethod
    def sample_batch(cls, dists: Any, source: Source) -> list[Any]:
        """Draw one vector of each; all are the same model, by `batch_key`."""
        rng = source.next_seed().torch()
        with torch.no_grad():
            return list(dists[0]._draw(len(dists), {}, rng))

    def batch_key(self) -> int:
        """Models do not share calls."""
        return id(self)
