"""SMC squared: the filtered program means the marginal measure of its parameters, exactly."""

from fractions import Fraction as F

import pytest

from educe.prob import Bernoulli, Finite, enumerate_exact, filtered, independent, laws, program, rmsmc, run, score, smc2


@program
def prior():
    return (yield Finite({F(1, 4): 1, F(3, 4): 2}))


@program
def states(stay, observations=(True, False)):
    state = yield Bernoulli(F(1, 2))
    for seen in observations:
        state = yield Bernoulli(stay if state else 1 - stay)
        yield score(F(2, 3) if state == seen else F(1, 3))
    return state


@program
def both(observations=(True, False)):
    stay = yield from prior()
    yield from states(stay, observations)
    return stay


def test_a_filtered_program_means_its_marginal():
    for n in (1, 2):
        assert laws.exact(filtered(prior(), states, n)) == laws.exact(both())


def test_smc_squared_is_valid():
    def one(stay):
        return states(stay, (True,))

    model = {"filtered": lambda: filtered(prior(), one, 1)}
    assert laws.check(rmsmc(2, independent, rounds=1), model).valid
    assert laws.meaning(smc2(1), filtered(prior(), one, 1)) == laws.exact(both((True,)))


@pytest.mark.slow
def test_parameters_are_found():
    observations = (True, True, False, True)
    exact = enumerate_exact(both(observations))
    posterior = run(filtered(prior(), lambda stay: states(stay, observations), 16), smc2(200), seed=0)
    assert abs(posterior.log_evidence - exact.log_evidence) < 0.3
    # 200 particles: five standard errors.
    assert abs(posterior.probability(lambda p: p > 0.5) - exact.probability(lambda p: p > 0.5)) < 0.18
