"""Particle Gibbs over reasoning steps, and parallel tempering of several such chains.

Sources: Puri et al. (2025), arXiv:2502.01618, Algorithms 2 and 3; Andrieu, Doucet and Holenstein (2010), section
2.4.3; Swendsen and Wang (1986) and Geyer (1991) for the exchange. A first particle filter gives a reference path;
each further iteration runs a filter in which the reference is one particle that is never overwritten but may be an
ancestor, and draws the next reference by weight. The posterior averages the weighted particles of all iterations.

In parallel tempering chain m has the target p_M(x) G(x)^(1/tau_m) with tau_1 = 1. After each iteration neighbouring
references x, y are exchanged with probability min(1, (G(y)/G(x))^(1/tau_m - 1/tau_(m+1))). The posterior is that of
the first chain. Evidence is not estimated.

What differs from the published code: the reference is compared with the other particles at the same step (there, one
step later), its model temperature is the one that was asked for, and no iteration is picked by looking at the right
answer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from educe.core import EvidenceKind, Posterior, UsageError
from educe.lm import Session
from educe.prob import Algorithm, Bernoulli, Finite, Program, Weighted
from educe.prob.driver import together
from educe.prob.moves import Move, Population
from educe.prob.numbers import LogNumber, log_of
from educe.prob.particle import Particle
from educe.prob.particle_gibbs import conditional_population
from educe.prob.program import Steps
from educe.reason.particle_search import Potential, StepTarget, answered, filtering, infer, reasoning
from educe.reason.question import Answer, Question
from educe.reason.reward import Reward, check_reward, make_reward
from educe.reason.steps import StepPolicy
from educe.reason.strategy import Strategy, register

__all__ = ["ParallelTempering", "ParticleGibbs", "gibbs"]


def gibbs(
    programs: list[Program],
    targets: list[StepTarget],
    n: int,
    iterations: int,
    lm: Session,
    diary: list[dict[str, Any]],
) -> Algorithm:
    """Follow one particle Gibbs chain per program, all at the same moments, and exchange references of neighbours.

    Parameters
    ----------
    programs : list of Program
        The same reasoning under targets of falling power; the first is the one that counts.
    targets : list of StepTarget
        Theirs.
    n : int
        Particles of each filter, >= 2.
    iterations : int
        Filters of each chain, >= 1.
    lm : Session
        An iteration that it cut is dropped.
    diary : list
        Gets one entry per iteration: ``ess`` of the first chain, ``swapped``, ``moved``.

    Returns
    -------
    Algorithm
        On the first program; its evidence is none.
    """

    def chain(start: Any, moves: list[Move], model: Program) -> Steps:
        population = start(model)
        for move in moves:
            population = yield from move(population)
        return population

    def run(_: Program) -> Steps:
        filters = [filtering(n, target) for target in targets]
        populations = yield from together(
            chain(start, moves, model) for (start, moves), model in zip(filters, programs, strict=True)
        )
        kept: list[Weighted] = []
        for iteration in range(iterations):
            if any(all(particle.weight == 0 for particle in population) for population in populations):
                break
            kept += _normalised(populations[0])
            entry: dict[str, Any] = {"ess": _ess(populations[0])}
            diary.append(entry)
            if iteration + 1 == iterations or _stopped(lm):
                break
            references = []
            for population in populations:
                chosen = yield Finite(enumerate(particle.weight for particle in population))
                references.append(population[chosen])
            entry["swapped"] = yield from _exchange(references, targets)
            populations = yield from together(
                conditional_population(_under(reference, model), n)
                for reference, model in zip(references, programs, strict=True)
            )
            if _stopped(lm):
                break
        return kept

    return Algorithm(run, "particle gibbs", EvidenceKind.NONE)


def _stopped(lm: Session) -> bool:
    # The limit on samples lets rows under way go on, so no particle is lost to it.
    return lm.stopped not in (None, "samples") or (
        lm.stopped == "samples" and lm.budget.left("samples", lm.ledger) <= 0
    )


def _under(reference: Particle, model: Program) -> Particle:
    particle = Particle(model)
    particle.sites = reference.sites
    return particle


def _exchange(references: list[Particle], targets: list[StepTarget]) -> Steps:
    """Offer neighbours an exchange; return how many took it."""
    swapped = 0
    base = StepTarget(targets[0].potential, targets[0].target)
    for cold in range(len(references) - 1):
        totals = [base.log_total(reference.value.scores) for reference in references[cold : cold + 2]]
        ratio = (totals[1] - totals[0]) * (targets[cold].power - targets[cold + 1].power)
        if (yield Bernoulli(math.exp(min(0.0, ratio)))):
            references[cold], references[cold + 1] = references[cold + 1], references[cold]
            swapped += 1
    return swapped


def _normalised(population: Population) -> list[Weighted]:
    total = sum((particle.weight for particle in population), LogNumber(-math.inf))
    return [Weighted(particle.weight / total, particle.value) for particle in population if particle.weight > 0]


def _ess(population: Population) -> float:
    shares = [math.exp(log_of(item.weight)) for item in _normalised(population)]
    return 1.0 / math.fsum(share * share for share in shares)


@register("particle-gibbs")
@dataclass(frozen=True, repr=False)
class ParticleGibbs(Strategy):
    """Run particle filters around a reference path, iteration after iteration. Draws about `n` x `iterations` answers.

    Parameters
    ----------
    n : int
        Particles of each filter, the reference included, >= 2.
    iterations : int
        Filters, >= 1; one is a plain particle filter.
    steps : StepPolicy
        What a step is.
    reward : str or Reward
        Judges steps; see `make_reward`.
    potential : str or callable
        ``"odds"``, ``"prob"``, or a function from the score to a log-potential.
    target : str
        ``"product"`` of all steps' potentials, or the ``"final"`` step's alone.
    select : str
        ``"vote"`` over the particles of all iterations, ``"argmax"`` of the last score, or ``"sample"``.

    Examples
    --------
    >>> from educe.lm import FakeLM, Session
    >>> from educe.core import run_sync
    >>> lm = FakeLM(lambda prompt, seed: "The answer is 24.")
    >>> run_sync(ParticleGibbs(n=4)(Question("How many legs do three spiders have?"), Session(lm))).mode().text
    '24'
    """

    requires: ClassVar[tuple[str, ...]] = ("continuation",)
    n: int = 8
    iterations: int = 2
    steps: StepPolicy = field(default_factory=StepPolicy)
    reward: str | Reward = "logprob"
    potential: Potential = "odds"
    target: Literal["product", "final"] = "product"
    select: Literal["vote", "argmax", "sample"] = "vote"

    def __post_init__(self) -> None:
        self.check_options()
        check_reward(self.reward)
        if self.n < 2 or self.iterations < 1:
            raise UsageError(f"n={self.n}, iterations={self.iterations} are too few. Give n >= 2 and iterations >= 1.")
        if not callable(self.potential) and self.potential not in ("odds", "prob"):
            raise UsageError(f"potential={self.potential!r} is unknown. Give 'odds', 'prob' or a function.")

    @classmethod
    def fitted(cls, samples: int, given: Mapping[str, Any]) -> dict[str, Any]:
        """All filters together draw the samples."""
        return {"n": max(2, samples // given.get("iterations", cls.iterations))}

    def powers(self) -> list[float]:
        """Exponents of the potential, one per chain, the first 1."""
        return [1.0]

    async def __call__(self, question: Question, lm: Session) -> Posterior[Answer]:
        """Answer a question; see `Strategy`."""
        judge = make_reward(self.reward)
        lm.lm.require(*judge.requires)
        targets = [StepTarget(self.potential, self.target, power) for power in self.powers()]
        programs = [reasoning(lm, question, self.steps, judge, target) for target in targets]
        diary: list[dict[str, Any]] = []
        algorithm = gibbs(programs, targets, self.n, self.iterations, lm, diary)
        found = await infer(programs[0], algorithm, question, lm)
        return await answered(question, found, lm, self.select, {"iterations": diary})


@register("parallel-tempering")
@dataclass(frozen=True, repr=False)
class ParallelTempering(ParticleGibbs):
    """Particle Gibbs in several chains, hotter ones roaming more, that exchange their references.

    Parameters
    ----------
    n : int
        Particles of each filter, the reference included, >= 2.
    iterations : int
        Filters of each chain, >= 1.
    steps : StepPolicy
        What a step is.
    reward : str or Reward
        Judges steps; see `make_reward`.
    potential : str or callable
        ``"odds"``, ``"prob"``, or a function from the score to a log-potential.
    target : str
        ``"product"`` of all steps' potentials, or the ``"final"`` step's alone.
    select : str
        ``"vote"`` over the particles of the first chain, ``"argmax"`` of the last score, or ``"sample"``.
    chains : int
        How many, >= 1.
    hottest : float
        Temperature of the last chain, >= 1; those between are spaced geometrically.

    Examples
    --------
    >>> ParallelTempering(chains=3, hottest=4.0).powers()
    [1.0, 0.5, 0.25]
    """

    chains: int = 2
    hottest: float = 4.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.chains < 1 or not 1 <= self.hottest < math.inf:
            raise UsageError(f"chains={self.chains}, hottest={self.hottest} are out of range. Give numbers >= 1.")

    @classmethod
    def fitted(cls, samples: int, given: Mapping[str, Any]) -> dict[str, Any]:
        """All filters of all chains together draw the samples."""
        filters = given.get("iterations", cls.iterations) * given.get("chains", cls.chains)
        return {"n": max(2, samples // filters)}

    def powers(self) -> list[float]:
        """Exponents of the potential, one per chain, the first 1."""
        last = max(1, self.chains - 1)
        return [self.hottest ** -(chain / last) for chain in range(self.chains)]
