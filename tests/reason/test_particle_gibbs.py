"""Particle Gibbs and parallel tempering leave the exact posterior of an enumerable model as it is."""

import math
import runpy
from collections import Counter
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import chi2

from educe.core import Budget, Seed, UsageError, run_sync
from educe.lm import Session
from educe.prob.driver import drive
from educe.prob.moves import select
from educe.prob.particle import Particle, Site
from educe.prob.particle_gibbs import conditional_population
from educe.prob.source import Source
from educe.reason import ParallelTempering, ParticleGibbs, Prefix, Step, StepTarget, make_method, reasoning
from educe.reason.particle_gibbs import _exchange
from educe.reason.particle_search import NextStep

world = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("worlds.py"))))
QUESTION, REWARD, STEPS = world.QUESTION, world.REWARD, world.STEPS


def reference(program, text, lm):
    """A finished particle that wrote a text, by replaying its steps as kept sites."""
    parts = text.splitlines(keepends=True)
    if len(parts) < 4:
        parts.append("")
    keep, prefix = {}, Prefix()
    for number, part in enumerate(parts, start=1):
        before = prefix
        ended = ("length" if len(parts) == 4 and part else "stop") if number == len(parts) else None
        written = (*prefix.steps, Step(part, 1, math.log(world.table("", prefix.text)[part])))
        prefix = Prefix(written, (*prefix.scores, world.score("".join(step.text for step in written))), ended)
        keep[number] = Site(NextStep(lm, QUESTION, STEPS, REWARD, before), prefix)
    particle = Particle(program)
    # Names are lines and counts; one run tells them.
    probe = Particle(program)
    run_sync(drive(probe.advance(math.inf), Source(0)))
    name = next(iter(probe.sites)).rpartition("#")[0]
    particle.sites = {f"{name}#{number}": site for number, site in keep.items()}
    return particle


@pytest.mark.slow
def test_one_sweep_from_exact_draws_keeps_the_exact_posterior():
    total, law = world.exact(StepTarget().log_total)
    rng = np.random.default_rng(4)
    texts = list(law)
    starts = rng.choice(len(texts), size=600, p=list(law.values()))
    lm = world.model()
    after = Counter()

    async def sweep(particle, n):
        def steps():
            population = yield from conditional_population(particle, n)
            (chosen,) = yield from select()(population)
            return chosen

        return await drive(steps(), Source(Seed(9).child("sweep", len(after), sum(after.values()))))

    for run, start in enumerate(starts):
        session = Session(lm, seed=run)
        program = reasoning(session, QUESTION, STEPS, REWARD, StepTarget())
        chosen = run_sync(sweep(reference(program, texts[start], session), 3))
        after[chosen.value.text] += 1
    # Rare texts are pooled so that every cell expects at least five.
    big = [text for text in texts if law[text] * 600 >= 5]
    observed = [after[text] for text in big] + [600 - sum(after[text] for text in big)]
    expected = [law[text] * 600 for text in big] + [600 * (1 - math.fsum(law[text] for text in big))]
    statistic = sum((seen - wanted) ** 2 / wanted for seen, wanted in zip(observed, expected, strict=True))
    assert statistic < chi2.isf(1e-6, len(observed) - 1)


def test_the_retained_path_asks_the_model_for_nothing():
    lm = world.model()
    session = Session(lm)
    program = reasoning(session, QUESTION, STEPS, REWARD, StepTarget())
    particle = reference(program, "a\nb\n", session)
    spent = session.ledger.samples

    async def run():
        return await drive(conditional_population(particle, 4), Source(0))

    population = run_sync(run())
    assert population[0].value.text == "a\nb\n"
    assert session.ledger.samples - spent == 3


def law_of(posterior):
    logs = np.array(posterior.details["log_weights"])
    weights = np.exp(logs - np.logaddexp.reduce(logs))
    law = Counter()
    for text, weight in zip(posterior.details["texts"], weights, strict=True):
        law[text] += float(weight)
    return law


@pytest.fixture
def read_everything(monkeypatch):
    from educe.reason import particle_search
    from educe.reason.question import Answer

    async def read(question, rows):
        return [Answer(repr(row.text)) for row in rows]

    monkeypatch.setattr(particle_search, "read_answers", read)


@pytest.mark.slow
@pytest.mark.parametrize("target", ["product", "final"])
@pytest.mark.parametrize("cls", [ParticleGibbs, ParallelTempering])
def test_many_iterations_come_close_to_the_posterior(read_everything, cls, target):
    _, law = world.exact(StepTarget("odds", target).log_total)
    _, other = world.exact(StepTarget("odds", "final" if target == "product" else "product").log_total)
    method = cls(n=16, iterations=60, steps=STEPS, reward=REWARD, target=target)
    posterior = run_sync(method(QUESTION, Session(world.model(), seed=5)))
    # About 900 particles that depend on one another; a blunder in the weights gives the law of another target.
    assert world.distance(law_of(posterior), law) < 0.6 * world.distance(other, law)
    assert len(posterior.details["iterations"]) == 60


def test_the_exchange_is_that_of_metropolis():
    """Over both orders of two references the exchange balances the joint law of the two chains."""
    targets = [StepTarget(power=1.0), StepTarget(power=0.5)]
    lm = Session(world.model())
    programs = [reasoning(lm, QUESTION, STEPS, REWARD, target) for target in targets]
    paths = [Prefix((Step("a"),), (0.9,), "stop"), Prefix((Step("b"),), (0.3,), "stop")]

    def accepted(first, second):
        particles = []
        for program, value in zip(programs, (first, second), strict=True):
            particle = Particle(program)
            particle.value = value
            particles.append(particle)
        coin = next(_exchange(particles, targets))
        return float(coin.parameters[0])

    def joint(first, second):
        return math.exp(targets[0].log_total(first.scores) + targets[1].log_total(second.scores))

    there, back = accepted(*paths), accepted(*paths[::-1])
    assert joint(*paths) * there == pytest.approx(joint(*paths[::-1]) * back)
    assert max(there, back) == 1.0


def test_chains_and_iterations_share_the_sample_budget():
    assert make_method("particle-gibbs", Budget(samples=32)) == ParticleGibbs(n=16)
    assert make_method("parallel-tempering:chains=4", Budget(samples=32)) == ParallelTempering(n=4, chains=4)
    session = Session(world.model(), Budget(samples=20))
    posterior = run_sync(ParticleGibbs(n=8, iterations=9, steps=STEPS, reward=REWARD)(QUESTION, session))
    assert posterior.ledger.stopped_by == "samples"
    # The first filter draws eight, the next two seven each; the third is cut and dropped.
    assert len(posterior.details["iterations"]) == 2


def test_one_iteration_is_a_particle_filter_without_evidence():
    posterior = run_sync(ParticleGibbs(n=4, iterations=1)(QUESTION, Session(world.model())))
    assert posterior.log_evidence is None


@pytest.mark.parametrize("options", [{"n": 1}, {"iterations": 0}, {"potential": "log"}, {"select": "best"}])
def test_bad_options_are_refused(options):
    with pytest.raises(UsageError, match=next(iter(options))):
        ParticleGibbs(**options)


@pytest.mark.parametrize("options", [{"chains": 0}, {"hottest": 0.5}, {"hottest": math.inf}])
def test_bad_temperatures_are_refused(options):
    with pytest.raises(UsageError, match=next(iter(options))):
        ParallelTempering(**options)


def test_powers_fall_geometrically_from_one():
    assert ParallelTempering(chains=1).powers() == [1.0]
    powers = ParallelTempering(chains=5, hottest=16.0).powers()
    assert powers[0] == 1.0
    assert powers[-1] == pytest.approx(float(Fraction(1, 16)))
    assert [powers[i] / powers[i + 1] for i in range(4)] == pytest.approx([2.0] * 4)
