"""Calibration: uniform ranks for three models, uneven ones for samplers that are wrong."""

import numpy as np
import pytest
import torch

from educe.core import UsageError
from educe.prob import BernoulliLogits, Gamma, Normal, Poisson, calibrate, hmc, observe, program


def simulate_normal(rng):
    mu, scale = rng.normal(), rng.gamma(3.0, 1 / 3.0)
    return {"mu": mu, "scale": scale}, rng.normal(mu, scale, size=6)


@program
def normal(data):
    mu = yield Normal(0.0, 1.0) @ "mu"
    scale = yield Gamma(3.0, 3.0) @ "scale"
    yield observe(Normal(mu, scale), data)


def simulate_poisson(rng):
    rate = rng.gamma(2.0)
    return {"rate": rate}, rng.poisson(rate, size=4)


@program
def poisson(data):
    rate = yield Gamma(2.0, 1.0) @ "rate"
    yield observe(Poisson(rate), data)


X = torch.linspace(-2, 2, 12, dtype=torch.float64)


def simulate_logistic(rng):
    beta = rng.normal(size=2)
    return {"beta": beta}, rng.random(12) < 1 / (1 + np.exp(-beta[0] - beta[1] * X.numpy()))


@program
def logistic(data):
    beta = yield Normal(0.0, 1.0).expand(2) @ "beta"
    yield observe(BernoulliLogits(beta[0] + beta[1] * X), data)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("simulate", "model", "names"),
    [(simulate_normal, normal, ["mu", "scale"]), (simulate_poisson, poisson, ["rate"]),
     (simulate_logistic, logistic, ["beta[0]", "beta[1]"])],
)  # fmt: skip
def test_ranks_are_uniform(simulate, model, names):
    found = calibrate(simulate, model, hmc(draws=597, warmup=200, trajectory="jittered", leapfrogs=8), 1000, thin=3)
    assert list(found.ranks) == names
    for name in names:
        assert found.draws == 199
        assert found.p_value(name) > 1e-6
        # Data-averaged posterior: the mean rank is one half, at six standard errors.
        assert abs(float(found.ranks[name].double().mean()) / 199 - 0.5) < 6 / 12**0.5 / 1000**0.5


def test_a_wrong_model_is_caught():
    @program
    def narrow(data):
        mu = yield Normal(0.0, 1.0) @ "mu"
        yield Gamma(3.0, 3.0) @ "scale"
        yield observe(Normal(mu, 0.3), data)

    found = calibrate(simulate_normal, narrow, hmc(draws=190, warmup=100, trajectory="jittered", leapfrogs=6), 400)
    assert found.p_value("mu") < 1e-6
    counts = found.counts("mu", bins=10)
    assert counts.sum() == 400 and counts[0] + counts[-1] > 200


def test_too_few_replications_are_refused():
    with pytest.raises(UsageError, match="fill no histogram"):
        calibrate(simulate_poisson, poisson, hmc(), replications=5)
