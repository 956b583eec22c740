"""Particle filters and chains against closed forms: conjugate pairs, the Kalman filter, the forward algorithm."""

import math
from statistics import fmean, stdev

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import betaln, gammaln

from educe.prob import (
    Bernoulli,
    Beta,
    Categorical,
    Dirichlet,
    Gamma,
    Normal,
    Poisson,
    enumerate_exact,
    ess_below,
    importance,
    mh,
    observe,
    particle_gibbs,
    pimh,
    program,
    rmsmc,
    run,
    smc,
)

TOSSES = [True, True, False, True]
COUNTS = [3, 1, 4]
FACES = [0, 2, 2, 1]


@program
def beta_bernoulli():
    p = yield Beta(2.0, 1.5) @ "p"
    for toss in TOSSES:
        yield observe(Bernoulli(p), toss)
    return p


@program
def gamma_poisson():
    rate = yield Gamma(2.0, 1.0) @ "rate"
    for count in COUNTS:
        yield observe(Poisson(rate), count)
    return rate


@program
def normal_normal():
    mean = yield Normal(1.0, 2.0) @ "mean"
    yield observe(Normal(mean, 1.0), torch.tensor([0.5, 1.5, 2.5]))
    return mean


@program
def dirichlet_multinomial():
    p = yield Dirichlet([1.0, 2.0, 0.5]) @ "p"
    for face in FACES:
        yield observe(Categorical(p), face)
    return p[2]


def _gamma_poisson_evidence():
    total, n = sum(COUNTS), len(COUNTS)
    return gammaln(2 + total) - gammaln(2) - (2 + total) * math.log(1 + n) - sum(gammaln(c + 1) for c in COUNTS)


def _dirichlet_evidence():
    alpha, counts = np.array([1.0, 2.0, 0.5]), np.bincount(FACES, minlength=3)
    return gammaln(alpha.sum()) - gammaln(alpha.sum() + counts.sum()) + (gammaln(alpha + counts) - gammaln(alpha)).sum()


_covariance = np.eye(3) + 4.0 * np.ones((3, 3))
CLOSED = {
    "beta": (beta_bernoulli, betaln(5.0, 2.5) - betaln(2.0, 1.5), 5.0 / 7.5),
    "gamma": (gamma_poisson, _gamma_poisson_evidence(), 10.0 / 4.0),
    "normal": (
        normal_normal,
        stats.multivariate_normal.logpdf([0.5, 1.5, 2.5], [1.0] * 3, _covariance),
        (1.0 / 4 + 4.5) / (1 / 4 + 3),
    ),
    "dirichlet": (dirichlet_multinomial, _dirichlet_evidence(), 2.5 / 7.5),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CLOSED)
@pytest.mark.parametrize("algorithm", [importance(200), smc(200, when=ess_below(0.7))], ids=lambda a: a.name)
def test_conjugate_evidence_is_unbiased_and_the_mean_right(name, algorithm):
    make, evidence, mean = CLOSED[name]
    runs = [run(make(), algorithm, seed=seed) for seed in range(8)]
    ratios = [math.exp(posterior.log_evidence - evidence) for posterior in runs]
    # Six standard errors; the seeds are fixed.
    assert abs(fmean(ratios) - 1) < 6 * stdev(ratios) / 8**0.5
    means = [float(posterior.expect(lambda x: x)) for posterior in runs]
    assert abs(fmean(means) - mean) < 6 * stdev(means) / 8**0.5 + 2e-3


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", [mh(1500), rmsmc(200, steps=2), pimh(16, 200), particle_gibbs(8, 200)])
def test_chains_find_the_conjugate_mean(algorithm):
    make, _, mean = CLOSED["gamma"]
    posterior = run(make(), algorithm, seed=4)
    # The posterior has standard deviation 0.79; the chains have effective sizes above 80.
    assert abs(float(posterior.expect(lambda x: x)) - mean) < 5 * 0.79 / 80**0.5


@program
def linear_gaussian(observations):
    state = yield Normal(0.0, 1.0)
    for time, seen in enumerate(observations):
        if time:
            state = yield Normal(0.9 * state, 0.5)
        yield observe(Normal(state, 1.0), seen)
    return state


def kalman(observations):
    mean, variance, total = 0.0, 1.0, 0.0
    for time, seen in enumerate(observations):
        if time:
            mean, variance = 0.9 * mean, 0.81 * variance + 0.25
        total += stats.norm.logpdf(seen, mean, math.sqrt(variance + 1.0))
        gain = variance / (variance + 1.0)
        mean, variance = mean + gain * (seen - mean), (1 - gain) * variance
    return total, mean


@pytest.mark.slow
def test_the_evidence_of_a_particle_filter_is_that_of_the_kalman_filter_on_average():
    observations = [0.3, -0.2, 1.1, 0.8, 1.9, 1.2, 0.4, -0.5, 0.1, 0.6]
    evidence, mean = kalman(observations)
    runs = [run(linear_gaussian(observations), smc(32), seed=seed) for seed in range(100)]
    ratios = [math.exp(posterior.log_evidence - evidence) for posterior in runs]
    assert abs(fmean(ratios) - 1) < 4 * stdev(ratios) / 10
    assert fmean(math.log(ratio) for ratio in ratios) < 0
    assert abs(fmean(float(p.expect(lambda x: x)) for p in runs) - mean) < 0.1


@program
def hidden_markov(observations):
    state = yield Bernoulli(0.5)
    for seen in observations:
        state = yield Bernoulli(0.8 if state else 0.3)
        yield observe(Bernoulli(0.9 if state else 0.2), seen)
    return state


def test_a_hidden_markov_model_agrees_with_the_forward_algorithm():
    observations = [True, False, True, True, False]
    forward = np.array([0.5, 0.5])
    move = np.array([[0.7, 0.3], [0.2, 0.8]])
    for seen in observations:
        forward = forward @ move * (np.array([0.2, 0.9]) if seen else np.array([0.8, 0.1]))
    exact = enumerate_exact(hidden_markov(observations))
    assert math.isclose(exact.log_evidence, math.log(forward.sum()), rel_tol=1e-12)
    assert math.isclose(exact.probability(bool), forward[1] / forward.sum(), rel_tol=1e-12)
    for scheme in ("multinomial", "stratified", "systematic", "residual"):
        posterior = run(hidden_markov(observations), smc(300, scheme), seed=1)
        # 300 particles: relative error of about 0.045.
        assert abs(posterior.log_evidence - exact.log_evidence) < 0.27
