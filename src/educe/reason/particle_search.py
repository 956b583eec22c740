"""Particle filter over reasoning steps: prefixes are particles, the process reward is their potential.

Source: Puri et al. (2025), arXiv:2502.01618, Algorithm 1. The target is p_M(x) times the product over steps of a
potential g(r_t) of the reward r_t: its odds r/(1-r), which is what a softmax over logits of r amounts to, or r
itself; with ``target="final"`` it is p_M(x) g(r_T). The inference is `educe.prob`'s sequential Monte Carlo on the
program that `reasoning` writes; this file adds what is special to reasoning: tempered resampling and the published
treatment of finished particles, which is offered for comparison and has no target.

What differs from the published code. By default a finished particle keeps its weight (``finished="freeze"``); the
code multiplies it by its odds again at every later round (``"reweight"``), whereby the outcome depends on how long
*other* particles are, and the evidence means nothing. A resampling temperature here changes which ancestors are drawn
and leaves the target as it is, since offspring carry the rest of their weight. The last round does not resample,
which would only add noise.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Generator, Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

from educe.core import EvidenceKind, Ledger, Posterior, UsageError, content_hash
from educe.lm import Session
from educe.prob import Algorithm, Dist, Program, advance, compose, ess_below, factor, finish, program, repeat, spawn
from educe.prob.driver import run_async
from educe.prob.moves import Move, Population, resample
from educe.prob.numbers import LogNumber, Weight, log_of
from educe.prob.particle import CUT, Particle
from educe.prob.source import Source
from educe.reason.best_of_n import winner_law
from educe.reason.question import Answer, Question, read_answers
from educe.reason.reward import Reward, check_reward, logit, make_reward, score_steps
from educe.reason.steps import Prefix, StepPolicy, extend
from educe.reason.strategy import Strategy, register

__all__ = ["NextStep", "ParticleSearch", "StepTarget", "filtering", "reasoning"]

Potential = Literal["odds", "prob"] | Callable[[float], float]
Temper = Literal["none", "linear", "entropic"]
EARLY, TARGET_SHARE = 0.5, 0.5


class NextStep(Dist):
    """The law of a prefix with one more step, scored; all that are pending are drawn in one round of requests.

    Parameters
    ----------
    lm : Session
        The model, metered.
    question : Question
        What is being answered.
    steps : StepPolicy
        What a step is.
    reward : Reward
        Judges steps.
    prefix : Prefix
        What came before.
    """

    def __init__(self, lm: Session, question: Question, steps: StepPolicy, reward: Reward, prefix: Prefix) -> None:
        self.lm, self.question, self.steps, self.reward, self.prefix = lm, question, steps, reward, prefix
        self.parameters = (lm, question, steps, reward, prefix)

    def batch_key(self) -> Hashable:
        """The session, which is one run of one method."""
        return id(self.lm)

    @classmethod
    async def sample_batch(cls, dists: Sequence[Any], source: Source) -> list[Any]:
        """Draw one step for each; steps that a budget cut make their particles count nothing."""
        first = dists[0]
        grown = await extend(first.question, first.lm, first.steps, [dist.prefix for dist in dists])
        scored = await score_steps(first.reward, first.question, grown, first.lm)
        # The session has counted what it cost; the source only has to know it.
        source.spend(first.lm, Ledger())
        return [CUT if prefix.ended == "budget" else prefix for prefix in scored]


@dataclass(frozen=True)
class StepTarget:
    """What the particles are weighted by.

    Parameters
    ----------
    potential : str or callable
        ``"odds"``, ``"prob"``, or a function from a score in [0, 1] to a log-potential.
    target : str
        ``"product"`` of the potentials of all steps, or the ``"final"`` one alone.
    power : float
        Exponent of all potentials, >= 0.

    Examples
    --------
    >>> StepTarget("prob").log_total([0.5, 0.5]) == 2 * StepTarget("prob", "final").log_total([0.5, 0.5])
    True
    """

    potential: Potential = "odds"
    target: Literal["product", "final"] = "product"
    power: float = 1.0

    def log_potential(self, score: float) -> float:
        """Log-potential of one step's score.

        Parameters
        ----------
        score : float
            In [0, 1].
        """
        if callable(self.potential):
            value = self.potential(score)
        elif self.potential == "odds":
            value = logit(score)
        else:
            value = math.log(score) if score > 0 else -math.inf
        return self.power * value

    def log_total(self, scores: Sequence[float]) -> float:
        """Log-weight of a finished path.

        Parameters
        ----------
        scores : sequence of float
            Of all its steps.
        """
        if self.target == "final":
            return self.log_potential(scores[-1]) if scores else 0.0
        return math.fsum(self.log_potential(score) for score in scores)


@program
def reasoning(lm: Session, question: Question, steps: StepPolicy, reward: Reward, target: StepTarget) -> Any:
    """Write an answer step by step, weighting each step by its reward.

    Parameters
    ----------
    lm : Session
        The model, metered.
    question : Question
        What to answer.
    steps : StepPolicy
        What a step is.
    reward : Reward
        Judges steps.
    target : StepTarget
        What the scores count.

    Returns
    -------
    Program
        Its value is the finished `Prefix`. It means p_M(x) times the target's weight of x.
    """
    prefix, counted = Prefix(), 0.0
    while prefix.ended is None:
        prefix = yield NextStep(lm, question, steps, reward, prefix)
        now = target.log_potential(prefix.scores[-1])
        if target.target == "final" and counted == -math.inf:
            now = counted
        yield factor(now - counted if now > -math.inf else now)
        if target.target == "final":
            counted = now
    return prefix


def reached(particle: Particle) -> Prefix | None:
    """What a particle has written; None once it counts nothing."""
    last = next(reversed(particle.sites.values()), None)
    return last.value if last is not None and isinstance(last.value, Prefix) else None


def _tempered(temper: Temper, tau: float, weights: Sequence[Weight], progress: float) -> float:
    """Temperature of one round of resampling."""
    if temper == "linear":
        return tau + (1.0 - tau) * min(1.0, progress)
    if temper == "entropic" and progress < EARLY:
        logs = [log_of(weight) for weight in weights]
        most = max(logs)
        plain = [math.exp(log - most) for log in logs]
        share = sum(plain) ** 2 / sum(value * value for value in plain) / len(plain)
        return max(1.0, (1.0 - progress) / share) if share < TARGET_SHARE else tau
    return tau


def filtering(
    n: int,
    target: StepTarget,
    *,
    scheme: str = "multinomial",
    when: float | Literal["every"] = "every",
    finished: Literal["freeze", "reweight"] = "freeze",
    temper: Temper = "none",
    tau: float = 1.0,
    max_steps: int = 40,
    diary: list[dict[str, Any]] | None = None,
) -> tuple[Callable[[Program], Population], list[Move]]:
    """Return how the particle filter starts and the moves that it makes, for `educe.prob.compose`.

    Parameters
    ----------
    n : int
        Particles, >= 1.
    target : StepTarget
        For the published treatment of finished particles.
    scheme : str
        See `educe.prob.resample`.
    when : float or str
        ``"every"`` round, or only when the effective sample size is below this share of the particles.
    finished : str
        ``"freeze"`` or ``"reweight"``.
    temper : str
        ``"none"``, ``"linear"`` or ``"entropic"``.
    tau : float
        Temperature of resampling, > 0.
    max_steps : int
        Where a linear course ends.
    diary : list, optional
        Gets one entry per round: ``ess``, ``tau``, ``parents``, ``unique``.
    """
    pick = resample(scheme)
    low = None if when == "every" else ess_below(when)
    log = diary if diary is not None else []

    def again(population: Population) -> Population:
        rounds = max((particle.passed for particle in population), default=0)
        for particle in population:
            prefix = reached(particle)
            if prefix is not None and prefix.ended is not None and particle.passed < rounds:
                particle.weight = particle.weight * LogNumber(target.log_potential(prefix.scores[-1]))
        return population

    def choose(population: Population) -> Generator[Any, Any, Population]:
        # Rows that a budget denied must not come back as copies of others.
        population = [particle for particle in population if reached(particle) is not None] or population
        population = again(population) if finished == "reweight" else population
        weights = [particle.weight for particle in population]
        total = sum(weights, LogNumber(-math.inf))
        entry: dict[str, Any] = {"ess": float(total * total / _squares(weights)) if total > 0 else 0.0}
        log.append(entry)
        written = [reached(particle) for particle in population]
        over = all(prefix is None or prefix.ended is not None for prefix in written)
        if over or total == 0 or (low is not None and not low(weights)):
            return population
        temperature = _tempered(temper, tau, weights, len(log) / max_steps)
        for particle, weight in zip(population, weights, strict=True):
            # The draw sees w^(1/tau); w^(1 - 1/tau) is carried on, so that the meaning stays.
            particle.weight = LogNumber(log_of(weight) / temperature if weight > 0 else -math.inf)
        moves = pick(population)
        asked = next(moves)
        ancestors = yield asked
        try:
            moves.send(ancestors)
        except StopIteration as stop:
            population = stop.value
        if temperature != 1.0:
            for particle, parent in zip(population, ancestors, strict=True):
                rest = log_of(weights[parent]) * (1.0 - 1.0 / temperature)
                particle.weight = particle.weight * LogNumber(rest)
        entry |= {"tau": temperature, "parents": list(ancestors), "unique": len(set(ancestors))}
        return population

    return spawn(n), [repeat(advance(), choose), finish()]


def _squares(weights: Sequence[Weight]) -> Weight:
    return sum((weight * weight for weight in weights), LogNumber(-math.inf))


@register("particle-filter")
@dataclass(frozen=True, repr=False)
class ParticleSearch(Strategy):
    """Resample prefixes in proportion to their rewards instead of cutting them by rank.

    Parameters
    ----------
    n : int
        Particles, >= 1.
    steps : StepPolicy
        What a step is.
    reward : str or Reward
        Judges steps; see `make_reward`.
    potential : str or callable
        What a score in [0, 1] counts: its ``"odds"`` (published), ``"prob"`` (the score itself), or a function from the
        score to a log-potential.
    target : str
        ``"product"`` of all steps' potentials, or the ``"final"`` step's alone.
    resample : str
        ``"multinomial"`` (published), ``"stratified"``, ``"systematic"`` or ``"residual"``.
    when : float or str
        Resample at ``"every"`` step, or only when the effective sample size is below this share of the particles.
    finished : str
        What finished particles do while others go on: ``"freeze"`` keeps their weight; ``"reweight"`` is the published
        setting, which samples no stated posterior and gives no evidence.
    temper : str
        Course of the resampling temperature: ``"none"``; ``"linear"``, from `tau` to 1 over the steps; ``"entropic"``,
        raised in the first half where the effective sample size is below half.
    tau : float
        Temperature of resampling, > 0; 1 is plain, large is blind, small is greedy. The target does not change.
    select : str
        ``"argmax"`` (published) makes the particle with the best last score the mode, by the law of the best of n;
        ``"vote"`` is the posterior itself; ``"sample"`` draws one particle from it.

    Examples
    --------
    >>> from educe.lm import FakeLM, Session
    >>> from educe.core import run_sync
    >>> lm = FakeLM(lambda prompt, seed: "The answer is 24.")
    >>> run_sync(ParticleSearch(n=4)(Question("How many legs do three spiders have?"), Session(lm))).mode().text
    '24'
    """

    requires: ClassVar[tuple[str, ...]] = ("continuation",)
    n: int = 16
    steps: StepPolicy = field(default_factory=StepPolicy)
    reward: str | Reward = "logprob"
    potential: Potential = "odds"
    target: Literal["product", "final"] = "product"
    resample: Literal["multinomial", "stratified", "systematic", "residual"] = "multinomial"
    when: float | Literal["every"] = "every"
    finished: Literal["freeze", "reweight"] = "freeze"
    temper: Temper = "none"
    tau: float = 1.0
    select: Literal["argmax", "vote", "sample"] = "argmax"

    def __post_init__(self) -> None:
        self.check_options()
        check_reward(self.reward)
        if self.n < 1:
            raise UsageError(f"n={self.n} draws nothing. Give n >= 1.")
        if not callable(self.potential) and self.potential not in ("odds", "prob"):
            raise UsageError(f"potential={self.potential!r} is unknown. Give 'odds', 'prob' or a function.")
        if self.when != "every" and not (isinstance(self.when, int | float) and 0 < self.when <= 1):
            raise UsageError(f"when={self.when!r} is out of range. Give 'every', or a share in (0, 1].")
        if not self.tau > 0:
            raise UsageError(f"tau={self.tau} is no temperature. Give a number > 0.")

    async def __call__(self, question: Question, lm: Session) -> Posterior[Answer]:
        """Answer a question; see `Strategy`."""
        judge = make_reward(self.reward)
        lm.lm.require(*judge.requires)
        target = StepTarget(self.potential, self.target)
        diary: list[dict[str, Any]] = []
        start, moves = filtering(
            self.n,
            target,
            scheme=self.resample,
            when=self.when,
            finished=self.finished,
            temper=self.temper,
            tau=self.tau,
            max_steps=self.steps.max_steps,
            diary=diary,
        )
        filter_ = compose(start, *moves, name="particle filter")
        found = await infer(reasoning(lm, question, self.steps, judge, target), filter_, question, lm)
        if self.finished == "reweight":
            found = replace(found, log_evidence=None, evidence_kind=EvidenceKind.NONE)
        return await answered(question, found, lm, self.select, {"rounds": diary})


async def infer(model: Program, algorithm: Algorithm, question: Question, lm: Session) -> Posterior[Prefix]:
    """Run an algorithm with the session's seed, apart for each question."""
    seed = lm.seed.child("resampling", content_hash(question.to_json()))
    return await run_async(model, algorithm, seed)


async def answered(
    question: Question,
    found: Posterior[Prefix],
    lm: Session,
    select: Literal["argmax", "vote", "sample"],
    details: dict[str, Any],
) -> Posterior[Answer]:
    """Read the answers of weighted paths and let one selection decide."""
    prefixes: list[Prefix] = list(found.values)  # type: ignore[arg-type]
    if select == "sample" and prefixes:
        seed = lm.seed.child("selection", content_hash(question.to_json()))
        found = found.resample(1, seed)
        prefixes = list(found.values)  # type: ignore[arg-type]
    answers = await read_answers(question, [prefix.completion() for prefix in prefixes])
    keep = [index for index, answer in enumerate(answers) if answer is not None]
    scores = [prefixes[index].scores[-1] for index in keep]
    weights: Any = found.log_weights[keep] if keep else []
    if select == "argmax":
        weights = [math.log(share) for share in winner_law(scores)]
    return Posterior(
        [answers[index] for index in keep],  # type: ignore[misc]
        weights,
        found.log_evidence,
        found.evidence_kind,
        lm.ledger,
        {
            "unread": len(prefixes) - len(keep),
            "scores": scores,
            "log_weights": [float(found.log_weights[index]) for index in keep],
            "steps": [len(prefixes[index].steps) for index in keep],
            "texts": [prefixes[index].text for index in keep],
            "distinct": len(Counter(prefix.text for prefix in prefixes)),
            **details,
        },
    )
