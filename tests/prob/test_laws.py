"""Algorithms are valid by `==` over fractions, and six look-alikes are not."""

from fractions import Fraction as F

import pytest

from educe.core import UsageError
from educe.prob import (
    Bernoulli,
    advance,
    chain,
    collapse,
    compose,
    ess_below,
    finish,
    finite_models,
    importance,
    independent,
    laws,
    mh,
    particle_gibbs,
    pimh,
    program,
    repeat,
    resample,
    rmsmc,
    score,
    select,
    smc,
    spawn,
)
from educe.prob.mutants import MUTANTS

SCHEMES = ["multinomial", "stratified", "systematic", "residual"]


@program
def one_step():
    state = yield Bernoulli(F(1, 2))
    yield score(F(2, 3) if state else F(1, 5))
    return (yield Bernoulli(F(3, 4) if state else F(1, 4)))


@program
def two_steps():
    state = False
    for seen in (F(2, 3), F(1, 5)):
        state = yield Bernoulli(F(3, 4) if state else F(1, 4))
        yield score(seen if state else F(1, 2))
    return state


def refuted(verdict):
    assert not verdict.valid
    assert verdict.expected != verdict.found
    assert str(verdict.found) in str(verdict)
    return verdict


def test_the_measure_of_a_model_is_exact():
    assert laws.exact(finite_models.sprinkler()) == {True: F(1, 5) * F(9, 10), False: F(4, 5) * (F(9, 20) + F(1, 20))}


@pytest.mark.slow
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("when", [None, ess_below(F(9, 10)), lambda weights: False])
def test_smc_is_valid(scheme, when):
    assert laws.check(smc(2, scheme, when=when)).valid


@pytest.mark.slow
def test_smc_is_valid_with_three_particles_and_longer_batches():
    assert laws.check(
        smc(3), {"sprinkler": finite_models.sprinkler, "variable length": finite_models.variable_length}
    ).valid
    assert laws.check(smc(2, every=2)).valid


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", [importance(1), importance(2), mh(1, starts=1), mh(2, starts=1)])
def test_importance_and_metropolis_hastings_are_valid(algorithm):
    assert laws.check(algorithm).valid


@pytest.mark.slow
def test_particle_gibbs_is_valid():
    assert laws.check(particle_gibbs(2, 1, starts=1)).valid


@pytest.mark.slow
def test_resample_move_is_valid():
    fixed = {name: make for name, make in laws.MODELS.items() if name not in ("variable length", "nested")}
    assert laws.check(rmsmc(2), fixed).valid
    assert laws.check(rmsmc(2, rounds=2), {"variable length": finite_models.variable_length}).valid
    assert laws.check(rmsmc(2, when=ess_below(F(9, 10))), {"one step": one_step}).valid


def test_resample_move_is_valid_over_two_barriers():
    assert laws.check(rmsmc(2), {"two steps": two_steps}).valid


@pytest.mark.slow
def test_particle_independent_metropolis_hastings_is_valid():
    assert laws.check(pimh(2, 1), {"one step": one_step, "short": short}).valid


@pytest.mark.slow
def test_pimh_is_valid_on_every_model_once_its_filter_is_condensed():
    """The kernel looks at outcomes of whole filters only, so their law may be drawn at once."""
    for make in laws.MODELS.values():
        filtered = collapse(smc(2))(make())
        assert laws.exact(laws.condensed(filtered)) == laws.exact(filtered)
        assert laws.meaning(chain(independent, 1), laws.condensed(filtered)) == laws.exact(make())


@pytest.mark.slow
def test_smc_inside_smc_is_valid():
    @program
    def outer():
        inner = yield from collapse(smc(2))(one_step())
        yield score(F(1, 3) if inner else F(1, 2))
        return inner

    expected = {value: weight * F(1, 3 if value else 2) for value, weight in laws.exact(one_step()).items()}
    assert laws.exact(outer()) == expected
    assert laws.meaning(smc(2), outer()) == expected


def test_a_collapsed_filter_means_what_its_model_means():
    assert laws.exact(collapse(smc(2))(two_steps())) == laws.exact(two_steps())


def test_a_move_that_keeps_no_meaning_by_stopping_on_the_population_is_refused():
    with pytest.raises(UsageError, match="rounds="):
        laws.check(rmsmc(2), {"variable length": finite_models.variable_length})


def test_stopping_a_markov_kernel_by_looking_at_the_population_is_biased():
    """The subtle one: each part is valid, the loop around them is not."""
    from educe.prob.mh import single_site
    from educe.prob.moves import rejuvenate

    looping = compose(spawn(2), repeat(advance(), resample(), rejuvenate(single_site)), finish())
    # A stopped population is moved no further, the others are: each group alone misses its target.
    models = {"short": short}
    refuted(laws.check(looping, models))
    fixed = compose(spawn(2), repeat(advance(), resample(), rejuvenate(single_site), rounds=2), finish())
    assert laws.check(fixed, models).valid


@program
def short():
    if (yield Bernoulli(F(1, 2))):
        yield score(F(3, 2))
        yield score(F(1, 4))
        return "long"
    yield score(F(1, 3))
    return "short"


@pytest.mark.slow
@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_refuted_with_a_counter_example(name):
    refuted(laws.check(MUTANTS[name]))


def test_a_missing_length_ratio_shows_only_where_lengths_vary():
    fixed = {name: make for name, make in laws.MODELS.items() if name not in ("variable length",)}
    mutant = MUTANTS["no length ratio"]
    assert laws.check(mutant, fixed).valid
    refuted(laws.check(mutant, {"variable length": finite_models.variable_length}))


def test_moves_compose_and_resampling_twice_is_harmless():
    assert laws.check(compose(spawn(2), advance(), resample(), resample("multinomial"), finish())).valid
    assert laws.check(compose(spawn(2), advance(), advance(), finish(), select())).valid


def test_all_particles_dead_is_an_evidence_of_zero():
    @program
    def impossible():
        yield Bernoulli(F(1, 2))
        yield score(0)
        return "never"

    assert laws.exact(impossible()) == {} == laws.meaning(smc(2), impossible())
