"""Programs, names, replay, and what happens to bad ones."""

import math
import random
from fractions import Fraction as F

import pytest

from educe.core import EvidenceKind, UsageError
from educe.prob import (
    Bernoulli,
    Draw,
    Finite,
    Normal,
    Particle,
    Program,
    barrier,
    check_pure,
    enumerate_exact,
    factor,
    importance,
    mh,
    observe,
    program,
    run,
    run_steps,
    score,
    smc,
    together,
)


@program
def walk(steps):
    place = 0.0
    for step in range(steps):
        place = yield Normal(place, 1.0) @ f"x{step}"
        yield observe(Normal(place, 1.0), 0.5)
    return place


def test_a_clone_replays_without_drawing_and_then_goes_its_own_way():
    first = Particle(walk(3))
    run_steps(first.advance(2), seed=1)
    second = first.clone()
    assert second.sites == first.sites and second.weight == first.weight
    left, right = run_steps(together([first.advance(math.inf), second.advance(math.inf)]), seed=2)
    assert [left.sites[f"x{i}"].value for i in (0, 1)] == [right.sites[f"x{i}"].value for i in (0, 1)]
    assert left.value != right.value


def test_names_are_given_by_line_and_count_and_through_sub_programs():
    @program
    def inner():
        return (yield Bernoulli(0.5))

    @program
    def outer():
        for _ in range(2):
            yield Bernoulli(0.5)
        yield from inner()
        yield [Bernoulli(0.5) @ "a", Bernoulli(0.5)]

    particle = run_steps(Particle(outer()).advance(math.inf))
    names = list(particle.sites)
    assert len(names) == 5 and names[3] == "a"
    assert names[0].endswith("#1") and names[1].endswith("#2") and names[0][:-2] == names[1][:-2]
    assert "inner" in names[2] and "/" in names[2]


def test_a_list_of_draws_is_answered_by_a_list_of_values():
    @program
    def pair():
        a, b = yield [Finite({"l": 1}), Finite({"r": 1})]
        return a + b

    assert enumerate_exact(pair()).mode() == "lr"


def test_a_proposal_is_corrected_by_the_ratio():
    @program
    def coin(via):
        heads = yield Draw(Bernoulli(0.2), "heads", via=via)
        yield score(0.5 if heads else 0.25)
        return heads

    exact, proposed = enumerate_exact(coin(None)), enumerate_exact(coin(Bernoulli(0.6)))
    assert math.isclose(exact.log_evidence, proposed.log_evidence)
    assert math.isclose(exact.probability(bool), proposed.probability(bool))
    # 0.1 / 0.3; five standard errors of 1500 steps of a chain whose states are nearly independent
    assert abs(run(coin(Bernoulli(0.6)), mh(1500), seed=0).probability(bool) - 1 / 3) < 0.1


def test_the_same_seed_gives_the_same_posterior():
    first, second, other = (run(walk(3), smc(20), seed=seed) for seed in (5, 5, 6))
    assert first.log_evidence == second.log_evidence != other.log_evidence


def test_pending_draws_of_a_kind_become_one_call():
    class Counting(Normal):
        calls = []

        @classmethod
        def sample_batch(cls, dists, source):
            cls.calls.append(len(dists))
            return super().sample_batch(dists, source)

    @program
    def model():
        place = 0.0
        for _ in range(4):
            place = yield Counting(place, 1.0)
            yield observe(Normal(place, 1.0), 0.0)

    run(model(), smc(32), seed=0)
    assert Counting.calls == [32] * 4


def test_a_value_may_be_anything_and_a_program_need_not_factor():
    @program
    def plain():
        return {"a": (yield Bernoulli(F(1, 2)))}

    posterior = enumerate_exact(plain())
    assert len(posterior) == 2 and posterior.log_evidence == 0.0
    assert run(plain(), smc(4), seed=0).log_evidence == pytest.approx(0.0)


def test_no_mass_gives_an_empty_posterior():
    @program
    def impossible():
        yield Bernoulli(0.5)
        yield factor(-math.inf)

    for algorithm in (importance(4), smc(4)):
        posterior = run(impossible(), algorithm)
        assert len(posterior) == 0 and posterior.log_evidence == -math.inf
    assert len(enumerate_exact(impossible())) == 0
    assert run(impossible(), mh(3)).evidence_kind is EvidenceKind.NONE


def test_a_dead_particle_is_not_run_any_further():
    seen = []

    @program
    def model():
        yield factor(-math.inf)
        seen.append(1)
        yield barrier()

    run(model(), smc(4))
    assert seen == []


def test_a_function_that_does_not_yield_is_refused():
    with pytest.raises(UsageError, match="generator function"):
        program(lambda: 1)


def test_a_program_that_was_not_made_is_refused():
    with pytest.raises(UsageError, match="no program"):
        run(walk, importance(2))
    with pytest.raises(UsageError, match="no algorithm"):
        run(walk(1), importance)


def test_duplicate_names_are_refused():
    @program
    def twice():
        yield Bernoulli(0.5) @ "a"
        yield Bernoulli(0.5) @ "a"

    for attempt in (lambda: run(twice(), importance(2)), lambda: enumerate_exact(twice())):
        with pytest.raises(UsageError, match="'a'"):
            attempt()


@pytest.mark.parametrize("bad", [3, "x", [Bernoulli(0.5), 1], factor])
def test_something_that_is_no_request_is_refused(bad):
    def model():
        yield bad

    with pytest.raises(UsageError, match="no request"):
        run(Program(model, (), {}), importance(2))


@pytest.mark.parametrize("weight", [math.nan, math.inf])
def test_a_weight_that_is_no_number_is_refused(weight):
    @program
    def model():
        yield Normal(0.0, 1.0) @ "a"
        yield factor(weight)

    with pytest.raises(UsageError, match="log-weight"):
        run(model(), importance(2))


def test_bad_sizes_are_refused():
    for make in (
        lambda: importance(0),
        lambda: smc(0),
        lambda: smc(4, every=0),
        lambda: mh(0),
        lambda: mh(3, starts=0),
        lambda: smc(2.5),
    ):
        with pytest.raises(UsageError, match="whole number >= 1"):
            make()
    with pytest.raises(UsageError, match="did you mean 'systematic'"):
        smc(2, "sistematic")


def test_impure_programs_are_refused_by_the_check_and_by_replay():
    state = {"runs": 0}

    @program
    def counting():
        state["runs"] += 1
        yield Bernoulli(0.5)
        yield barrier()
        if state["runs"] % 2:
            yield barrier()
        else:
            yield Normal(0.0, 1.0)

    with pytest.raises(UsageError, match="not pure"):
        check_pure(counting())

    @program
    def noisy():
        for _ in range(6):
            if random.random() < 0.5:
                yield Normal(0.0, 1.0)
            x = yield Normal(0.0, 1.0)
            yield observe(Normal(x, 0.1), 0.0)

    random.seed(0)
    with pytest.raises(UsageError, match="not pure"):
        run(noisy(), smc(20))
    check_pure(walk(3))


def test_enumeration_refuses_what_it_cannot_finish():
    with pytest.raises(UsageError, match="finite support"):
        enumerate_exact(walk(1))

    @program
    def endless():
        while (yield Bernoulli(F(1, 2))):
            pass

    with pytest.raises(UsageError, match="without end"):
        enumerate_exact(endless())

    @program
    def long():
        for _ in range(12):
            yield Bernoulli(F(1, 2))

    with pytest.raises(UsageError, match="more than 100 runs"):
        enumerate_exact(long(), most=100)
