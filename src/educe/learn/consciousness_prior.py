"""An attention bottleneck that explains each variable by very few others, and the sparse factor graph it finds.

Bengio (2017), arXiv:1709.08568, is a theory paper; this is a concrete form of it for binary elements that stand at
two successive moments. For each target, heads of attention pick elements of the present; a table over the picks
predicts the target's next value. Which targets are attended to is learned too: the objective is the information that
picks give about them plus the entropy of attention, since accuracy alone would attend to what never changes.
Afterwards attention is made hard, tables are refitted by counts and picks without support are dropped by BIC. Factors
with no pairwise information (exclusive or) give attention no gradient and are not found. `predictive_subspace` is the
linear-Gaussian encoder whose objective is the same without a bottleneck: canonical correlations between the present
and the next moment.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from typing import Any, Self

import torch

from educe.core import Seed, UsageError
from educe.prob import FactorGraph

__all__ = ["Attention", "ConsciousState", "ConsciousnessPrior", "predictive_subspace", "verifier"]

D = torch.float64
OBJECTIVES = ("mi", "accuracy")
# Unattended predictors still learn with this weight.
REST = 0.02
TEMPERATURES = (1.65, 0.15)


@dataclass(frozen=True)
class Attention:
    """What is looked at.

    Parameters
    ----------
    picks : tuple of tuple of int
        For each target, the elements that predict it, after pruning.
    weights : Tensor
        (elements,) probability of each element to be the target.
    """

    picks: tuple[tuple[int, ...], ...]
    weights: torch.Tensor


@dataclass(frozen=True)
class ConsciousState:
    """A handful of elements with their values, and one that they predict.

    Parameters
    ----------
    target : int
        The element spoken of.
    value : int
        Its predicted next value.
    picks : dict of int to int
        The elements that it was predicted from, with their values.
    """

    target: int
    value: int
    picks: dict[int, int]


@dataclass
class ConsciousnessPrior:
    """Find which few binary elements predict which, from pairs of successive states.

    Parameters
    ----------
    n_picks : int
        Heads of attention, 0 to 3.
    objective : str
        ``"mi"``: information about the target. ``"accuracy"``: log-probability alone, which attends to constants.
    diversity : float
        Weight of the entropy of attention over targets, >= 0.
    steps : int
        Full-batch Adam steps, over which the temperature of attention falls.
    rate : float
        Of Adam.
    seed : int or Seed
        Source of the initial weights and of the noise in attention.

    Attributes
    ----------
    attention : Attention
        After `fit`.
    tables : list of Tensor
        After `fit`: for each target, log-probabilities of its next value (2,) by the picks' values, target first.
    base : Tensor
        After `fit`: (elements, 2) log-probabilities of next values without any pick.

    Examples
    --------
    >>> rng = torch.Generator().manual_seed(0)
    >>> now = torch.randint(2, (300, 4), generator=rng)
    >>> later = now.clone()
    >>> later[:, 0] = now[:, 1] & now[:, 2]
    >>> model = ConsciousnessPrior(steps=100).fit(now, later)
    >>> model.attention.picks[0], model.attention.picks[3]
    ((1, 2), (3,))
    """

    n_picks: int = 2
    objective: str = "mi"
    diversity: float = 0.1
    steps: int = 400
    rate: float = 0.05
    seed: int | Seed = 0
    attention: Attention = field(init=False)
    tables: list[torch.Tensor] = field(init=False)
    base: torch.Tensor = field(init=False)

    def __post_init__(self) -> None:
        if not 0 <= self.n_picks <= 3 or self.objective not in OBJECTIVES or self.diversity < 0 or self.steps < 1:
            raise UsageError(
                f"n_picks={self.n_picks}, objective={self.objective!r}, diversity={self.diversity}, "
                f"steps={self.steps} is out of range. Give 0 to 3, one of {OBJECTIVES}, >= 0 and >= 1."
            )

    def fit(self, x_t: Any, x_next: Any) -> Self:
        """Learn attention and tables.

        Parameters
        ----------
        x_t, x_next : array
            (n, elements) of zeros and ones: states and their successors.
        """
        now, later = _binary(x_t, "x_t"), _binary(x_next, "x_next")
        if now.shape != later.shape:
            raise UsageError(
                f"x_t and x_next have shapes {tuple(now.shape)} and {tuple(later.shape)}. Give equal ones."
            )
        heads, weights = self._attend(now, later)
        self.base = torch.stack([_conditional(now[:, :0], column) for column in later.T])
        picks, tables = [], []
        for target in range(now.shape[1]):
            chosen: list[int] = []
            for head in heads:
                chosen.append(next(int(k) for k in head[target].argsort(descending=True) if int(k) not in chosen))
            chosen.sort()
            best = min(
                (subset for k in range(len(chosen) + 1) for subset in itertools.combinations(chosen, k)),
                key=lambda subset, target=target: _bic(now[:, list(subset)], later[:, target]),  # type: ignore[misc]
            )
            picks.append(best)
            tables.append(_conditional(now[:, list(best)], later[:, target]))
        self.attention, self.tables = Attention(tuple(picks), weights), tables
        return self

    def _attend(self, now: torch.Tensor, later: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Train soft attention; return the scores of each head and the attention over targets."""
        rng = Seed.of(self.seed).child("attention").torch()
        n = now.shape[1]
        signs, aims = 2.0 * now.float() - 1, later.float()
        p = aims.mean(0).clamp(1e-6, 1 - 1e-6)
        entropy = -(p * p.log() + (1 - p) * (1 - p).log())
        heads = [(0.01 * torch.randn(n, n, generator=rng)).requires_grad_() for _ in range(self.n_picks)]
        terms = list(itertools.chain.from_iterable(
            itertools.combinations(range(self.n_picks), k) for k in range(self.n_picks + 1)
        ))  # fmt: skip
        table = (0.1 * torch.randn(len(terms), n, generator=rng)).requires_grad_()
        focus = torch.zeros(n, requires_grad=True)
        optimizer = torch.optim.Adam([*heads, table, focus], lr=self.rate)
        for step in range(self.steps):
            share = step / max(1, self.steps - 1)
            temperature = TEMPERATURES[0] * (TEMPERATURES[1] / TEMPERATURES[0]) ** share
            seen, free = [], torch.ones(())
            for head in heads:
                # Noise of its own for each example and target: many choices are tried in each step.
                noise = -torch.empty(len(now), n, n).exponential_(generator=rng).clamp(min=1e-9).log()
                # What an earlier head has picked is no longer free, or all heads would pick the strongest parent.
                weights = torch.softmax((head + noise) / temperature + free.clamp(min=1e-4).log(), 2)
                free = free - weights
                seen.append(torch.einsum("taj,tj->ta", weights, signs))
            logits = torch.zeros(len(now), n)
            for weight, term in zip(table, terms, strict=True):
                product = torch.ones(())
                for k in term:
                    product = product * seen[k]
                logits = logits + weight * product
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, aims, reduction="none").mean(0)
            gain = (entropy if self.objective == "mi" else 0.0) - loss
            attention = torch.softmax(focus, 0)
            spread = -(attention * attention.clamp(min=1e-12).log()).sum()
            objective = (attention * gain).sum() + self.diversity * spread + REST * gain.sum()
            optimizer.zero_grad()
            torch.autograd.backward(-objective)
            optimizer.step()
        return [head.detach() for head in heads], torch.softmax(focus.detach(), 0).double()

    def log_prob(self, x_t: Any, x_next: Any) -> torch.Tensor:
        """Log-probability of each next value given its picks, (n, elements) float64.

        Parameters
        ----------
        x_t, x_next : array
            (n, elements) of zeros and ones.
        """
        now, later = _binary(x_t, "x_t"), _binary(x_next, "x_next")
        columns = []
        for target, (picks, table) in enumerate(zip(self.attention.picks, self.tables, strict=True)):
            columns.append(table[(later[:, target], *(now[:, pick] for pick in picks))])
        return torch.stack(columns, 1)

    def factor_graph(self) -> FactorGraph:
        """Return the conditionals as a factor graph over ``now i`` and ``next i``."""
        n = len(self.tables)
        variables = {f"{when} {i}": 2 for when in ("now", "next") for i in range(n)}
        factors = {
            (f"next {target}", *(f"now {pick}" for pick in picks)): table
            for target, (picks, table) in enumerate(zip(self.attention.picks, self.tables, strict=True))
        }
        return FactorGraph(variables, factors)

    def think(self, h: Any, steps: int, seed: int | Seed = 0) -> list[ConsciousState]:
        """Follow factors from one element to those it was predicted from, as a sequence of conscious states.

        Parameters
        ----------
        h : array
            (elements,) the present state.
        steps : int
            Length of the sequence, >= 1.
        seed : int or Seed
            Source of the choices.
        """
        if steps < 1:
            raise UsageError(f"steps={steps} is no sequence. Give steps >= 1.")
        state = _binary(torch.as_tensor(h)[None], "h")[0].tolist()
        rng = Seed.of(seed).child("think").numpy()
        weights = self.attention.weights.numpy()
        found: list[ConsciousState] = []
        pool: tuple[int, ...] = ()
        for _ in range(steps):
            target = int(rng.choice(pool)) if pool else int(rng.choice(len(weights), p=weights / weights.sum()))
            picks = self.attention.picks[target]
            chance = float(self.tables[target][(1, *(state[pick] for pick in picks))].exp())
            found.append(ConsciousState(target, int(rng.random() < chance), {pick: state[pick] for pick in picks}))
            pool = tuple(pick for pick in picks if pick != target)
        return found


def verifier(prior: ConsciousnessPrior, x_t: Any, x_next: Any) -> torch.Tensor:
    """Score how well what was predicted from picks agrees with what came: pointwise mutual information.

    Parameters
    ----------
    prior : ConsciousnessPrior
        Fitted.
    x_t, x_next : array
        (n, elements) of zeros and ones.

    Returns
    -------
    Tensor
        (n, elements) log p(next | picks) - log p(next); a factor whose mean falls no longer holds.

    Examples
    --------
    >>> now = torch.tensor([[0, 1], [1, 0]]).repeat(50, 1)
    >>> scores = verifier(ConsciousnessPrior(steps=50).fit(now, now), now, 1 - now)
    >>> bool((scores < 0).all())
    True
    """
    later = _binary(x_next, "x_next")
    return prior.log_prob(x_t, later) - prior.base[torch.arange(later.shape[1]), later]


def predictive_subspace(x_t: Any, x_next: Any, width: int) -> torch.Tensor:
    """Return the directions of the present that best predict the next moment: the leading canonical variates.

    Parameters
    ----------
    x_t, x_next : array
        (n, elements) observations.
    width : int
        Number of directions.

    Returns
    -------
    Tensor
        (elements, width) float64; ``x_t @ result`` has uncorrelated columns of variance one.
    """
    now, later = (torch.as_tensor(x, dtype=D) for x in (x_t, x_next))
    if now.ndim != 2 or now.shape != later.shape or not 1 <= width <= now.shape[1]:
        raise UsageError(f"Shapes {tuple(now.shape)}, {tuple(later.shape)} and width={width} do not fit together.")
    now, later = now - now.mean(0), later - later.mean(0)
    first, second = (torch.linalg.cholesky(x.T @ x / len(x)) for x in (now, later))
    cross = torch.linalg.solve_triangular(first, now.T @ later / len(now), upper=False)
    whitened = torch.linalg.solve_triangular(second, cross.T, upper=False).T
    left, _, _ = torch.linalg.svd(whitened)
    directions: torch.Tensor = torch.linalg.solve_triangular(first.T, left[:, :width], upper=True)
    return directions


def _binary(x: Any, name: str) -> torch.Tensor:
    given = torch.as_tensor(x)
    if given.ndim != 2 or not len(given) or not bool(((given == 0) | (given == 1)).all()):
        raise UsageError(f"{name} of shape {tuple(given.shape)} is no table of zeros and ones. Give (n, elements).")
    return given.long()


def _counts(picks: torch.Tensor, target: torch.Tensor, smoothing: float) -> torch.Tensor:
    counts = torch.full([2] * (1 + picks.shape[1]), smoothing, dtype=D)
    index = (target, *picks.unbind(1))
    return counts.index_put_(index, torch.ones(len(target), dtype=D), accumulate=True)


def _conditional(picks: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    counts = _counts(picks, target, 1.0)
    return (counts / counts.sum(0, keepdim=True)).log()


def _bic(picks: torch.Tensor, target: torch.Tensor) -> float:
    counts = _counts(picks, target, 0.0)
    total = counts.sum(0, keepdim=True).expand_as(counts)
    fit = torch.special.xlogy(counts, counts).sum() - torch.special.xlogy(counts, total).sum()
    return -2 * float(fit) + 2.0 ** picks.shape[1] * math.log(len(target))
