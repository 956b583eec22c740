"""Gibbs sampling: valid by the laws, and right on an Ising chain."""

from fractions import Fraction as F

import pytest

from educe.core import UsageError
from educe.prob import (
    Bernoulli,
    Draw,
    Normal,
    Particle,
    enumerate_exact,
    finite_models,
    gibbs,
    gibbs_site,
    laws,
    observe,
    program,
    rmsmc,
    run,
    run_steps,
    score,
)


def test_gibbs_is_valid():
    fixed = {name: laws.MODELS[name] for name in ("sprinkler", "hidden markov", "random function")}
    assert laws.check(gibbs(1, starts=1), fixed).valid
    assert laws.check(gibbs(2, starts=1), {"sprinkler": finite_models.sprinkler}).valid
    assert laws.check(rmsmc(2, gibbs_site()), {"sprinkler": finite_models.sprinkler}).valid


def test_gibbs_is_valid_where_draws_have_proposals():
    @program
    def proposed():
        a = yield Draw(Bernoulli(F(1, 3)), "a", via=Bernoulli(F(3, 4)))
        b = yield Bernoulli(F(1, 5) if a else F(1, 2)) @ "b"
        yield score(F(1, 2) if a == b else F(1, 7))
        return a, b

    assert laws.check(gibbs(1, starts=1), {"proposed": proposed}).valid


@pytest.mark.slow
def test_a_chain_of_spins():
    @program
    def spins(n):
        before = yield Bernoulli(0.5)
        first = before
        for _ in range(n - 1):
            now = yield Bernoulli(0.5)
            yield score(2.0 if now == before else 1.0)
            before = now
        yield score(3.0 if before else 1.0)
        return first

    exact = enumerate_exact(spins(6)).probability(bool)
    found = run(spins(6), gibbs(4000), seed=0).probability(bool)
    # Neighbours are weakly coupled; more than 300 effective draws, six standard errors.
    assert abs(found - exact) < 6 * 0.5 / 300**0.5


@pytest.mark.slow
def test_real_draws_move_by_another_kernel_and_varying_structure_is_refused():
    @program
    def mixed():
        wide = yield Bernoulli(0.5) @ "wide"
        x = yield Normal(0.0, 3.0 if wide else 1.0) @ "x"
        yield observe(Normal(x, 1.0), 2.5)
        return wide

    # Marginal densities at 2.5 under variances 10 and 2.
    ratio = (2 / 10) ** 0.5 * 2.718281828 ** (-(6.25 / 20) + 6.25 / 4)
    found = run(mixed(), gibbs(3000), seed=0).probability(bool)
    assert abs(found - ratio / (1 + ratio)) < 0.12
    particle = run_steps(Particle(mixed()).advance(float("inf")))
    with pytest.raises(UsageError, match="without finite support"):
        run_steps(gibbs_site(None)(particle))
    with pytest.raises(UsageError, match="depends on the value"):
        laws.check(gibbs(1, starts=1), {"variable length": finite_models.variable_length})
