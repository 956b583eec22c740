"""The particle filter of the vector engine against the Kalman filter and against the coroutine engine."""

import math
from statistics import fmean, stdev

import pytest
import torch

from educe.core import UsageError
from educe.prob import (
    Bernoulli,
    Categorical,
    Draw,
    Normal,
    Poisson,
    barrier,
    factor,
    observe,
    particle_filter,
    program,
    run,
    smc,
    steps,
    twist,
)

SEEN = [0.3, -0.2, 1.1, 0.8, 1.9, 1.2, 0.4, -0.5, 0.1, 0.6]


@steps
def linear_gaussian(state, seen):
    state = yield Normal(0.0, 1.0) if state is None else Normal(0.9 * state, 0.5)
    yield observe(Normal(state, 1.0), seen)
    return state


def kalman():
    mean, variance, total = 0.0, 1.0, 0.0
    for time, seen in enumerate(SEEN):
        if time:
            mean, variance = 0.9 * mean, 0.81 * variance + 0.25
        total -= 0.5 * ((seen - mean) ** 2 / (variance + 1) + math.log(2 * math.pi * (variance + 1)))
        gain = variance / (variance + 1)
        mean, variance = mean + gain * (seen - mean), (1 - gain) * variance
    return total, mean, variance


@pytest.mark.parametrize("scheme", ["multinomial", "stratified", "systematic", "residual"])
@pytest.mark.parametrize("when", [0.5, 1.0])
def test_the_evidence_is_that_of_the_kalman_filter(scheme, when):
    evidence, mean, variance = kalman()
    posterior = run(linear_gaussian(None, SEEN), particle_filter(20_000, scheme, when=when), seed=0)
    # With 200 particles the log-evidence varies by 0.2; with 20,000 by a tenth of it.
    assert abs(posterior.log_evidence - evidence) < 6 * 0.02
    assert abs(float(posterior.expect(lambda row: row["state"])) - mean) < 6 * variance**0.5 / 5_000**0.5


@pytest.mark.slow
def test_the_evidence_is_unbiased():
    evidence = kalman()[0]
    ratios = [
        math.exp(run(linear_gaussian(None, SEEN), particle_filter(24), seed=s).log_evidence - evidence)
        for s in range(300)
    ]
    assert abs(fmean(ratios) - 1) < 6 * stdev(ratios) / 300**0.5
    assert fmean(map(math.log, ratios)) < 0


@pytest.mark.slow
def test_both_engines_agree():
    model = linear_gaussian(None, SEEN)
    vector = [run(model, particle_filter(400, when=1.0), seed=s).log_evidence for s in range(8)]
    coroutine = [run(model, smc(400), seed=s).log_evidence for s in range(8)]
    error = ((stdev(vector) ** 2 + stdev(coroutine) ** 2) / 8) ** 0.5
    assert abs(fmean(vector) - fmean(coroutine)) < 6 * error


@pytest.mark.slow
def test_states_of_several_parts_proposals_counts_and_twists():
    @steps
    def model(state, seen):
        level = 0.0 if state is None else state["level"]
        level = yield Draw(Normal(level, 1.0), "level", via=Normal(0.5 * level, 1.5))
        events = yield Poisson(level.exp()) @ "events"
        up = yield Bernoulli(0.25)
        yield twist(0.3)
        yield observe(Normal(events + up, 1.0), seen)
        yield barrier()
        return {"level": level, "total": level + events + up}

    vector = run(model(None, [1.0, 2.0]), particle_filter(40_000), seed=0)
    assert set(vector.values) == {"level", "total"}
    coroutine = [run(model(None, [1.0, 2.0]), smc(1500), seed=s).log_evidence for s in range(3)]
    assert abs(vector.log_evidence - fmean(coroutine)) < 0.25


def test_the_same_seed_gives_the_same_particles():
    first, second, other = (run(linear_gaussian(None, SEEN), particle_filter(50), seed=s) for s in (1, 1, 2))
    assert torch.equal(first.values["state"], second.values["state"])
    assert first.log_evidence != other.log_evidence


def test_no_mass_is_an_empty_posterior():
    @steps
    def impossible(state, seen):
        state = yield Normal(0.0, 1.0)
        yield factor(-math.inf * state.abs().clamp(min=1.0))
        return state

    posterior = run(impossible(None, [0, 1]), particle_filter(10))
    assert len(posterior) == 0 and posterior.log_evidence == -math.inf


def test_bad_programs_get_clear_errors():
    @steps
    def branching(state, seen):
        state = yield Normal(0.0, 1.0)
        return state if state > 0 else -state

    @steps
    def categorical(state, seen):
        return (yield Categorical([0.5, 0.5]))

    @steps
    def undefined(state, seen):
        state = yield Normal(0.0, 1.0)
        yield factor(state * math.nan)
        return state

    @steps
    def counting(state, seen):
        yield Normal(0.0, 1.0)
        return "text"

    @steps
    def wild(state, seen):
        return (yield Normal(0.0, torch.tensor(-1.0)) if seen == 2 else Poisson(torch.tensor(-1.0)))

    @program
    def plain():
        yield Normal(0.0, 1.0)

    for model, match in (
        (branching, "branches"), (categorical, "not drawn for many"), (undefined, "NaN or infinite in step 0"),
        (counting, "holds something that is no tensor|cannot be resampled"), (wild, "bad parameters"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=match):
            run(model(None, [0, 1]), particle_filter(4))
    with pytest.raises(UsageError, match="no program of steps"):
        run(plain(), particle_filter(4))
    for bad in (lambda: particle_filter(0), lambda: particle_filter(4, "best"), lambda: particle_filter(4, when=0.0)):
        with pytest.raises(UsageError):
            bad()
