"""Programs of steps mean what the same program without steps means, and are cloned without replay."""

from fractions import Fraction as F

import pytest
import torch

from educe.core import UsageError, run_sync
from educe.prob import (
    Bernoulli,
    Done,
    Normal,
    Particle,
    check_pure,
    enumerate_exact,
    laws,
    layout,
    log_density,
    mh,
    observe,
    program,
    rmsmc,
    run,
    run_steps,
    score,
    smc,
    steps,
)


@steps
def weather(rain, seen, stay=F(3, 4)):
    rain = yield Bernoulli(F(1, 2) if rain is None else stay if rain else 1 - stay)
    yield score(F(2, 3) if rain == seen else F(1, 5))
    return rain


@program
def the_same(observations, stay=F(3, 4)):
    rain = None
    for seen in observations:
        rain = yield Bernoulli(F(1, 2) if rain is None else stay if rain else 1 - stay)
        yield score(F(2, 3) if rain == seen else F(1, 5))
    return rain


SEEN = [True, False, True]


def test_steps_mean_what_the_loop_means():
    assert laws.exact(weather(None, SEEN)) == laws.exact(the_same(SEEN))
    assert laws.exact(weather(None, SEEN, stay=F(1, 5))) == laws.exact(the_same(SEEN, F(1, 5)))
    posterior = run(weather(None, SEEN), smc(400), seed=0)
    exact = enumerate_exact(the_same(SEEN))
    # 400 particles: a relative error of about 0.05.
    assert abs(posterior.log_evidence - exact.log_evidence) < 0.3


def test_algorithms_on_steps_are_valid():
    models = {"weather": lambda: weather(None, [True, False])}
    for algorithm in (smc(2), rmsmc(2), mh(1, starts=1)):
        assert laws.check(algorithm, models).valid


def test_steps_inside_a_program_draw_the_same_names():
    @program
    def outer():
        return (yield from weather(None, SEEN))

    inside = run_steps(Particle(outer()).advance(float("inf")), seed=0)
    alone = run_steps(Particle(weather(None, SEEN)).advance(float("inf")), seed=0)
    assert list(inside.sites) == list(alone.sites)
    assert [name[-3:] for name in alone.sites] == ["[0]", "[1]", "[2]"]
    check_pure(weather(None, SEEN))


def test_steps_may_use_one_name_each_and_work_in_the_vector_engine():
    @steps
    def walk(place, seen):
        place = yield Normal(0.0 if place is None else place, 1.0) @ "place"
        yield observe(Normal(place, 1.0), seen)
        return place

    model = walk(None, [0.5, 1.0])
    where = run_sync(layout(model))
    assert list(where.slots) == ["place[0]", "place[1]"]
    at = torch.tensor([0.2, -0.3], dtype=torch.float64)
    normal = torch.distributions.Normal(0.0, 1.0)
    expected = sum(normal.log_prob(torch.tensor(x)) for x in (0.2, -0.5, 0.3, 1.3))
    assert torch.allclose(log_density(model, where, at), expected.double())


def test_a_clone_replays_no_more_than_the_current_step():
    runs = []

    @steps
    def counted(state, number):
        runs.append(number)
        yield Bernoulli(F(1, 2))
        yield score(F(1, 2))
        return number

    first = run_steps(Particle(counted(None, range(50))).advance(40))
    runs.clear()
    clone = run_steps(first.clone().advance(1))
    # The step in which it stood, and the next.
    assert runs == [39, 40]
    assert clone.passed == 41


def test_a_step_may_end_the_program():
    @steps
    def tosses(count, number):
        if (yield Bernoulli(F(1, 2))):
            return Done(count)
        return count + 1

    posterior = run(tosses(0, None), smc(500), seed=0)
    # Geometric: one half at zero; five standard errors.
    assert abs(posterior.probability(lambda count: count == 0) - 0.5) < 0.12


def test_bad_steps_are_refused():
    with pytest.raises(UsageError, match="no generator function"):
        steps(lambda state, given: state)
    with pytest.raises(UsageError, match="cannot be indexed"):
        weather(None, iter([1]))
    with pytest.raises(UsageError, match="no inputs"):
        run(weather(None, []), smc(2))
