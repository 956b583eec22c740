"""Posteriors of five models against references that NumPyro's NUTS made once (scripts/make_reference_posteriors.py)."""

import json
from pathlib import Path

import pytest
import torch

from educe.prob import (
    Beta,
    HalfCauchy,
    HalfNormal,
    Normal,
    Poisson,
    effective_sample_size,
    factor,
    hmc,
    nuts,
    observe,
    program,
    run,
)

FOLDER = Path(__file__).with_name("reference")


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


@program
def eight_schools(y, s):
    mu = yield Normal(0.0, 5.0) @ "mu"
    tau = yield HalfCauchy(5.0) @ "tau"
    raw = yield Normal(0.0, 1.0).expand(8) @ "raw"
    yield observe(Normal(mu + tau * raw, tensor(s)), tensor(y))


@program
def kidscore(school, score, y):
    beta = yield Normal(0.0, 100.0).expand(3) @ "beta"
    sigma = yield HalfCauchy(2.5) @ "sigma"
    yield observe(Normal(beta[0] + beta[1] * tensor(school) + beta[2] * tensor(score), sigma), tensor(y))


@program
def autoregression(y):
    alpha = yield Normal(0.0, 10.0) @ "alpha"
    beta = yield Normal(0.0, 10.0) @ "beta"
    sigma = yield HalfCauchy(2.5) @ "sigma"
    series = tensor(y)
    yield observe(Normal(alpha + beta * series[:-1], sigma), series[1:])


@program
def poisson_mixed(x, y):
    alpha = yield Normal(0.0, 5.0) @ "alpha"
    beta = yield Normal(0.0, 5.0) @ "beta"
    spread = yield HalfCauchy(1.0) @ "spread"
    raw = yield Normal(0.0, 1.0).expand(20) @ "raw"
    yield observe(Poisson((alpha + beta * tensor(x) + spread * raw[:, None]).exp()), tensor(y))


@program
def mixture(y):
    share = yield Beta(5.0, 5.0) @ "share"
    low = yield Normal(0.0, 2.0) @ "low"
    gap = yield HalfNormal(3.0) @ "gap"
    scales = yield HalfNormal(2.0).expand(2) @ "scales"
    values = tensor(y)

    def log_normal(mean, scale):
        return -0.5 * ((values - mean) / scale) ** 2 - scale.log() - 0.9189385332046727

    parts = torch.stack(
        [share.log() + log_normal(low, scales[0]), torch.log1p(-share) + log_normal(low + gap, scales[1])]
    )
    yield factor(torch.logsumexp(parts, 0).sum())


MODELS = {make.__name__: make for make in (eight_schools, kidscore, autoregression, poisson_mixed, mixture)}


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(
    "algorithm", [hmc(64, 300, 400), nuts(16, 400, 400)], ids=lambda algorithm: algorithm.kernel.name
)
def test_means_and_deviations_are_those_of_the_reference(name, algorithm):
    record = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    posterior = run(MODELS[name](**record["data"]), algorithm, seed=0)
    assert max(posterior.details["r_hat"].values()) < 1.05
    for label, expected in record["parameters"].items():
        parameter, _, index = label.removesuffix("]").partition("[")
        draws = posterior.values[parameter]
        draws = draws[:, int(index)] if index else draws
        chains = draws.reshape(algorithm.chains, algorithm.draws)
        mean, sd = float(draws.mean()), float(draws.std())
        squares = (chains - mean) ** 2
        error = sd / float(effective_sample_size(chains, ranks=False)) ** 0.5
        spread_error = float(squares.std()) / float(effective_sample_size(squares, ranks=False)) ** 0.5 / (2 * sd)
        # Four Monte-Carlo errors of both sides; over new seeds one of 100 comparisons would fail in some 160 runs.
        assert abs(mean - expected["mean"]) < 4 * (error**2 + expected["mcse_mean"] ** 2) ** 0.5, label
        assert abs(sd - expected["sd"]) < 4 * (spread_error**2 + expected["mcse_sd"] ** 2) ** 0.5, label
