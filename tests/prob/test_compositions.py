"""Random compositions of moves are valid on random programs, by `==` over fractions."""

from fractions import Fraction as F

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from educe.prob import (
    Bernoulli,
    Draw,
    Finite,
    Twist,
    advance,
    check_pure,
    compose,
    enumerate_exact,
    ess_below,
    finish,
    gibbs_site,
    independent,
    laws,
    log_of,
    program,
    rejuvenate,
    resample,
    score,
    select,
    single_site,
    spawn,
)

fraction = st.builds(F, st.integers(1, 3), st.integers(4, 6))
request = st.one_of(
    st.tuples(st.just("draw"), fraction, fraction),
    st.tuples(st.just("proposal"), fraction, fraction),
    st.tuples(st.just("score"), fraction, fraction),
    st.tuples(st.just("twist"), fraction, fraction),
    st.tuples(st.just("branch"), fraction, fraction),
)
scripts = st.lists(request, min_size=1, max_size=4)


@program
def scripted(script):
    """A program that follows a random script; what it asks for depends on what it has drawn."""
    state, history = 0, []
    for kind, a, b in script:
        if kind == "draw":
            state = int((yield Bernoulli(a if state else b)))
        elif kind == "proposal":
            state = int((yield Draw(Finite({0: a, 1: b}), via=Finite({0: 1, 1: 2}))))
        elif kind == "score":
            yield score(a if state else b)
        elif kind == "twist":
            yield Twist(a if state else b)
        elif state and (yield Bernoulli(a)):
            yield score(b)
        history.append(state)
    return tuple(history)


resampling = st.builds(
    resample,
    st.sampled_from(["multinomial", "stratified", "systematic", "residual"]),
    st.sampled_from([None, ess_below(F(3, 4)), lambda weights: False]),
)
moves = st.lists(st.one_of(st.builds(advance), resampling), min_size=1, max_size=3)


@settings(max_examples=40)
@given(scripts, moves, st.integers(1, 2))
def test_random_compositions_are_valid(script, chosen, n):
    algorithm = compose(spawn(n), *chosen, finish())
    assert laws.check(algorithm, {"scripted": lambda: scripted(script)}).valid


@settings(max_examples=25)
@given(
    st.lists(request.filter(lambda item: item[0] != "twist"), min_size=1, max_size=3),
    st.sampled_from([single_site, independent]),
)
def test_markov_kernels_keep_the_measure_of_random_programs(script, kernel):
    algorithm = compose(spawn(1), finish(), rejuvenate(kernel), select())
    assert laws.check(algorithm, {"scripted": lambda: scripted(script)}).valid


@settings(max_examples=25)
@given(st.lists(request.filter(lambda item: item[0] != "branch"), min_size=1, max_size=3))
def test_gibbs_keeps_the_measure_of_random_programs(script):
    algorithm = compose(spawn(1), finish(), rejuvenate(gibbs_site()))
    assert laws.check(algorithm, {"scripted": lambda: scripted(script)}).valid


@settings(max_examples=25)
@given(scripts)
def test_random_programs_are_pure_and_their_evidence_is_a_sum(script):
    check_pure(scripted(script))
    total = sum(laws.exact(scripted(script)).values())
    assert enumerate_exact(scripted(script)).log_evidence == pytest.approx(
        float(log_of(total)) if total else -float("inf")
    )
