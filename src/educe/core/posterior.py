"""`Posterior`: the one result type, a weighted set of hypotheses with a price. `Refusal`: a reasoned no.

A majority vote, a particle filter, a Markov chain and a causal effect all return a posterior, so they
can be read, merged and compared in the same way. Values are either a list of objects with a canonical
key, or a mapping of tensors with a leading particle axis; a function handed to a method always sees one
particle (an object, or a mapping of tensors without that axis).

Weights are float64 logarithms and may be of any size; log-evidence keeps its kind beside it and is
never printed without it. This file does not draw: how values and weights come about is each method's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Generic, NamedTuple, TypeVar, cast

import torch

from educe.core.canonical import canonical_key
from educe.core.errors import UsageError
from educe.core.ledger import Ledger
from educe.core.seed import Seed

__all__ = ["EvidenceKind", "Interval", "Posterior", "Refusal"]

T = TypeVar("T")
S = TypeVar("S")


class EvidenceKind(StrEnum):
    """What a log-evidence is: the logarithm of an unbiased estimate, a lower bound, or nothing."""

    UNBIASED = "unbiased"
    LOWER_BOUND = "lower bound"
    NONE = "none"


class Interval(NamedTuple):
    """An equal-tailed interval that holds `mass` of the posterior."""

    low: float
    high: float
    mass: float


class _Batch(Sequence[Any]):
    """A mapping of tensors seen as a sequence of particles."""

    def __init__(self, tensors: Mapping[str, torch.Tensor]) -> None:
        self.tensors = dict(tensors)

    def __len__(self) -> int:
        return next(iter(self.tensors.values())).shape[0]

    def __getitem__(self, index: Any) -> Any:
        return {name: tensor[index] for name, tensor in self.tensors.items()}

    def __iter__(self) -> Iterator[Any]:
        return (self[index] for index in range(len(self)))


@dataclass(frozen=True)
class Posterior(Generic[T]):
    """Weighted hypotheses, their evidence and their cost.

    Parameters
    ----------
    values : sequence of object, or mapping of str to Tensor
        The hypotheses; tensors carry a leading particle axis of length ``n``.
    log_weights : Tensor or sequence of float
        (n,) unnormalised logarithms, kept as float64; ``-inf`` is a weight of zero. NaN and ``+inf`` are refused.
    log_evidence : float or None
        Logarithm of the estimated normalising constant.
    evidence_kind : EvidenceKind
        What that estimate is.
    ledger : Ledger
        What the posterior cost.
    details : mapping
        Diagnostics of the method, JSON-able; no method relies on them.

    Raises
    ------
    UsageError
        Lengths differ, a weight is NaN or ``+inf``, or an evidence comes without its kind.

    Examples
    --------
    >>> from educe.core import Posterior
    >>> votes = Posterior.uniform(["24", "24", "18"])
    >>> votes.mode(), round(votes.confidence, 3)
    ('24', 0.667)
    """

    values: Sequence[T] | Mapping[str, torch.Tensor]
    log_weights: torch.Tensor
    log_evidence: float | None = None
    evidence_kind: EvidenceKind = EvidenceKind.NONE
    ledger: Ledger = field(default_factory=Ledger)
    details: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        weights = torch.as_tensor(self.log_weights, dtype=torch.float64).detach().reshape(-1)
        object.__setattr__(self, "log_weights", weights)
        object.__setattr__(self, "evidence_kind", EvidenceKind(self.evidence_kind))
        if isinstance(self.values, Mapping):
            lengths = {name: tensor.shape[0] if tensor.ndim else -1 for name, tensor in self.values.items()}
            if not lengths or set(lengths.values()) != {len(weights)}:
                raise UsageError(
                    f"Leading axes {lengths} do not fit {len(weights)} weights. Give each tensor one row per particle."
                )
        elif len(self.values) != len(weights):
            raise UsageError(f"{len(self.values)} values do not fit {len(weights)} weights. Give one weight per value.")
        if bool(torch.isnan(weights).any()) or bool((weights == math.inf).any()):
            bad = int((torch.isnan(weights) | (weights == math.inf)).nonzero()[0])
            raise UsageError(f"Log-weight {bad} is {weights[bad].item()}. Give finite numbers or -inf.")
        if (self.log_evidence is None) != (self.evidence_kind is EvidenceKind.NONE):
            raise UsageError(
                f"log_evidence={self.log_evidence} with kind {self.evidence_kind.value!r} says nothing. "
                "Give both or neither."
            )

    @classmethod
    def uniform(cls, values: Sequence[T], **rest: Any) -> Posterior[T]:
        """Give every value the same weight, as a plain vote does.

        Parameters
        ----------
        values : sequence of object
            The votes.
        **rest
            Further fields of `Posterior`.
        """
        return cls(values, torch.zeros(len(values), dtype=torch.float64), **rest)

    def __len__(self) -> int:
        return len(self.log_weights)

    def __repr__(self) -> str:
        if not self._has_mass:
            return f"Posterior(n={len(self)}, no mass)"
        evidence = "" if self.log_evidence is None else f", log_evidence={self.log_evidence:.4g} ({self.evidence_kind})"
        return f"Posterior(n={len(self)}, ess={self.ess:.4g}{evidence})"

    @property
    def _particles(self) -> Sequence[Any]:
        return _Batch(self.values) if isinstance(self.values, Mapping) else self.values

    @property
    def _has_mass(self) -> bool:
        return len(self) > 0 and bool((self.log_weights > -math.inf).any())

    def _require_mass(self) -> None:
        if not self._has_mass:
            raise UsageError(
                f"This posterior of {len(self)} values has no mass. Look at its ledger and details for the reason."
            )

    @property
    def probabilities(self) -> torch.Tensor:
        """Normalised weights, (n,) float64, summing to one; zeros when there is no mass."""
        if not self._has_mass:
            return torch.zeros_like(self.log_weights)
        return torch.softmax(self.log_weights, dim=0)

    @property
    def ess(self) -> float:
        """Effective sample size (sum w)^2 / sum w^2 (Kong 1992), between 1 and n; 0 when there is no mass."""
        if not self._has_mass:
            return 0.0
        return float(1.0 / self.probabilities.square().sum())

    @property
    def entropy(self) -> float:
        """Shannon entropy over distinct values, in nats."""
        probabilities = self.marginal().probabilities
        return float(-torch.special.xlogy(probabilities, probabilities).sum()) + 0.0

    def marginal(self, fn: Callable[[T], S] | None = None, key: Callable[[S], Hashable] | None = None) -> Posterior[S]:
        """Push the particles through a function and sum the weights of equal results.

        Parameters
        ----------
        fn : callable, optional
            What to look at; the value itself when left out.
        key : callable, optional
            Two results with equal keys are one; `canonical_key` when left out.

        Returns
        -------
        Posterior
            One value per distinct result, heaviest first (ties in order of first appearance); total mass, evidence
            and ledger are unchanged.
        """
        find = key if key is not None else canonical_key
        results: list[S] = []
        index_of: dict[Hashable, int] = {}
        owners: list[int] = []
        for particle in self._particles:
            result = cast(S, particle) if fn is None else fn(particle)
            owner = index_of.setdefault(find(result), len(results))
            if owner == len(results):
                results.append(result)
            owners.append(owner)
        sums = _logsumexp_by(self.log_weights, owners, len(results))
        order = sorted(range(len(results)), key=lambda i: (-sums[i].item(), i))
        return Posterior(
            [results[i] for i in order],
            sums[order],
            self.log_evidence,
            self.evidence_kind,
            self.ledger,
            self.details,
        )

    def mode(self, key: Callable[[T], Hashable] | None = None) -> T:
        """Return the value with the largest summed weight; the earlier one of a tie.

        Parameters
        ----------
        key : callable, optional
            Values with equal keys count together; `canonical_key` when left out.

        Raises
        ------
        UsageError
            There is no mass.
        """
        self._require_mass()
        return cast(Sequence[T], self.marginal(key=key).values)[0]

    @property
    def confidence(self) -> float:
        """Probability of the mode; 0 when there is no mass."""
        return float(self.marginal().probabilities[0]) if self._has_mass else 0.0

    def probability(self, predicate: Callable[[T], bool]) -> float:
        """Probability that a statement about the value holds.

        Parameters
        ----------
        predicate : callable
            Takes one particle, returns a truth value.
        """
        holds = torch.tensor([bool(predicate(particle)) for particle in self._particles], dtype=torch.float64)
        return min(1.0, float((self.probabilities * holds).sum())) if len(self) else 0.0

    def _apply(self, fn: Callable[[T], Any]) -> torch.Tensor:
        if isinstance(self.values, Mapping):
            try:
                return cast(torch.Tensor, torch.vmap(fn)(dict(self.values))).to(torch.float64)  # type: ignore[arg-type]
            except (RuntimeError, ValueError, TypeError):
                # Control flow on a value, or a result that is no tensor: one particle at a time.
                pass
        rows = [torch.as_tensor(fn(particle), dtype=torch.float64) for particle in self._particles]
        return torch.stack(rows)

    def expect(self, fn: Callable[[T], Any]) -> torch.Tensor:
        """Expected value of a numeric function.

        Parameters
        ----------
        fn : callable
            Takes one particle, returns a number or tensor of fixed shape. Particles of weight zero do not count, even
            where the function is not finite.

        Returns
        -------
        Tensor
            float64 of the function's shape.

        Raises
        ------
        UsageError
            There is no mass.
        """
        self._require_mass()
        results = self._apply(fn)
        probabilities = self.probabilities.reshape(-1, *[1] * (results.ndim - 1))
        return torch.where(probabilities > 0, probabilities * results, 0.0).sum(0)

    def interval(self, fn: Callable[[T], Any], mass: float = 0.95) -> Interval:
        """Equal-tailed credible interval of a numeric function.

        Parameters
        ----------
        fn : callable
            Takes one particle, returns a number.
        mass : float
            Probability inside, in (0, 1).

        Returns
        -------
        Interval
            Its ends are values that the function takes: the smallest whose cumulated probability reaches each tail.

        Raises
        ------
        UsageError
            `mass` is out of range or there is no mass.
        """
        if not 0 < mass < 1:
            raise UsageError(f"mass={mass} is no probability strictly between 0 and 1. Give for instance 0.95.")
        self._require_mass()
        results = self._apply(fn).reshape(-1)
        keep = self.probabilities > 0
        ordered, order = results[keep].sort()
        cumulated = self.probabilities[keep][order].cumsum(0)
        # A tolerance of rounding size keeps a tail that is hit exactly from moving on to the next value.
        tails = torch.tensor([(1 - mass) / 2, (1 + mass) / 2], dtype=torch.float64) - 1e-12
        ends = ordered[torch.searchsorted(cumulated, tails).clamp(max=len(ordered) - 1)]
        return Interval(float(ends[0]), float(ends[1]), mass)

    def resample(self, n: int, seed: int | Seed = 0) -> Posterior[T]:
        """Draw `n` equally weighted particles by systematic resampling (Kitagawa 1996).

        Parameters
        ----------
        n : int
            Number of particles, >= 1.
        seed : int or Seed
            Source of the one uniform number that is used.

        Returns
        -------
        Posterior
            Each particle appears ``n * probability`` times in expectation; evidence and ledger are unchanged.

        Raises
        ------
        UsageError
            `n` is below 1 or there is no mass.
        """
        if n < 1:
            raise UsageError(f"n={n} asks for no particle. Give n >= 1.")
        self._require_mass()
        start = float(Seed.of(seed).child("resample").numpy().random())
        points = (torch.arange(n, dtype=torch.float64) + start) / n
        cumulated = self.probabilities.cumsum(0)
        last = int((self.probabilities > 0).nonzero()[-1])
        index = torch.searchsorted(cumulated, points, right=True).clamp(max=last)
        values: Any
        if isinstance(self.values, Mapping):
            values = {name: tensor[index] for name, tensor in self.values.items()}
        else:
            values = [self.values[i] for i in index.tolist()]
        weights = torch.zeros(n, dtype=torch.float64)
        return Posterior(values, weights, self.log_evidence, self.evidence_kind, self.ledger, self.details)

    def map(self, fn: Callable[[T], S]) -> Posterior[S]:
        """Push every particle through a function; weights, evidence and ledger stay.

        Parameters
        ----------
        fn : callable
            Takes one particle.

        Returns
        -------
        Posterior
            Batched again where the values were batched and the function returns a mapping of tensors.
        """
        values: Any
        if isinstance(self.values, Mapping):
            try:
                values = torch.vmap(fn)(dict(self.values))  # type: ignore[arg-type]
            except (RuntimeError, ValueError, TypeError):
                values = None
            if not isinstance(values, Mapping):
                values = [fn(particle) for particle in self._particles]
        else:
            values = [fn(particle) for particle in self.values]
        return Posterior(values, self.log_weights, self.log_evidence, self.evidence_kind, self.ledger, self.details)

    def merge(self, other: Posterior[T]) -> Posterior[T]:
        """Pool two independent estimates of the same posterior.

        With evidence on both sides (of one kind), each side weighs by evidence times its particle count, which is the
        pooled importance sampler; the merged evidence is the particle-weighted mean of the two. Without, each side
        weighs by its particle count (a vote of both).

        Parameters
        ----------
        other : Posterior
            Same target, same kind of values.

        Returns
        -------
        Posterior
            Ledgers added.

        Raises
        ------
        UsageError
            Batched and unbatched values, or two kinds of evidence, are mixed.
        """
        if isinstance(self.values, Mapping) != isinstance(other.values, Mapping):
            raise UsageError("A batched and an unbatched posterior do not merge. Turn one into the other with map().")
        if self.evidence_kind is not other.evidence_kind:
            raise UsageError(
                f"Evidences of kind {self.evidence_kind.value!r} and {other.evidence_kind.value!r} do not merge. "
                "Drop one with dataclasses.replace."
            )
        values: Any
        if isinstance(self.values, Mapping) and isinstance(other.values, Mapping):
            if self.values.keys() != other.values.keys():
                raise UsageError(
                    f"Names {sorted(self.values)} and {sorted(other.values)} differ. Merge posteriors of one program."
                )
            values = {name: torch.cat([tensor, other.values[name]]) for name, tensor in self.values.items()}
        else:
            values = [*cast(Sequence[T], self.values), *cast(Sequence[T], other.values)]
        parts, evidences = [], []
        for side in (self, other):
            share = math.log(len(side)) if len(side) else -math.inf
            evidence = 0.0 if side.log_evidence is None else side.log_evidence
            evidences.append(share + evidence)
            total = float(torch.logsumexp(side.log_weights, 0)) if side._has_mass else 0.0
            parts.append(side.log_weights - total + (share + evidence if side._has_mass else 0.0))
        weights = torch.cat(parts)
        merged_evidence = None
        if self.log_evidence is not None:
            merged_evidence = _logaddexp(*evidences) - math.log(max(1, len(self) + len(other)))
        ledger = self.ledger + other.ledger
        return Posterior(
            values, weights, merged_evidence, self.evidence_kind, ledger, {**self.details, **other.details}
        )

    def to_json(self, show: Callable[[T], Any] = str) -> dict[str, Any]:
        """Return the posterior over distinct values as a JSON object.

        Parameters
        ----------
        show : callable
            Turns a value into text or another JSON value.
        """
        distinct: Posterior[T] = self.marginal()
        pairs = zip(distinct._particles, distinct.probabilities.tolist(), strict=True)
        return {
            "posterior": [{"answer": show(value), "probability": probability} for value, probability in pairs],
            "log_evidence": self.log_evidence,
            "evidence_kind": str(self.evidence_kind),
            "ledger": self.ledger.to_json(),
        }


def _logaddexp(a: float, b: float) -> float:
    return float(torch.logaddexp(torch.tensor(a, dtype=torch.float64), torch.tensor(b, dtype=torch.float64)))


def _logsumexp_by(log_weights: torch.Tensor, owners: Iterable[int], groups: int) -> torch.Tensor:
    """Sum weights by group in the log domain, each group shifted by its own maximum."""
    index = torch.tensor(list(owners), dtype=torch.int64)
    maxima = torch.full((groups,), -math.inf, dtype=torch.float64).scatter_reduce(0, index, log_weights, "amax")
    shift = torch.where(maxima > -math.inf, maxima, torch.zeros_like(maxima))
    sums = torch.zeros(groups, dtype=torch.float64).scatter_add(0, index, (log_weights - shift[index]).exp())
    return sums.log() + shift


@dataclass(frozen=True)
class Refusal:
    """A method's reasoned no: not identifiable, a tester rejected, an abstention. A result, not an exception.

    Parameters
    ----------
    reason : str
        One sentence.
    certificate : object
        What proves it (a graph, a witness, a test statistic), None where there is nothing to show.
    ledger : Ledger
        What finding out cost.

    Examples
    --------
    >>> Refusal("The effect is not identified: an unseen confounder joins X and Y.").reason[:10]
    'The effect'
    """

    reason: str
    certificate: Any = None
    ledger: Ledger = field(default_factory=Ledger)

    def to_json(self) -> dict[str, Any]:
        """Return the refusal as a JSON object."""
        return {
            "refusal": self.reason,
            "certificate": None if self.certificate is None else str(self.certificate),
            "ledger": self.ledger.to_json(),
        }
