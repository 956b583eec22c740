"""The vector engine against the scalar densities, and Hamiltonian Monte Carlo against quadrature."""

import numpy as np
import pytest
import torch
from scipy import stats

from educe.core import UsageError, run_sync
from educe.prob import (
    Bernoulli,
    Beta,
    Dirichlet,
    Draw,
    Gamma,
    HalfCauchy,
    HalfNormal,
    Normal,
    Poisson,
    effective_sample_size,
    factor,
    hmc,
    layout,
    log_density,
    observe,
    program,
    run,
    split_r_hat,
    value_and_gradient,
)

EFFECTS = torch.tensor([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0], dtype=torch.float64)
ERRORS = torch.tensor([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0], dtype=torch.float64)


@program
def eight_schools():
    mu = yield Normal(0.0, 5.0) @ "mu"
    tau = yield HalfCauchy(5.0) @ "tau"
    raw = yield Normal(0.0, 1.0).expand(8) @ "raw"
    yield observe(Normal(mu + tau * raw, ERRORS), EFFECTS)
    return mu


@program
def mixed_supports():
    p = yield Beta(2.0, 3.0) @ "p"
    rate = yield Gamma(2.0, 1.0) @ "rate"
    parts = yield Dirichlet([1.0, 2.0, 3.0]) @ "parts"
    low, high = yield [HalfNormal(1.0) @ "low", Normal(rate, 1.0) @ "high"]
    yield observe(Bernoulli(p), True)
    yield observe(Poisson(rate), 3)
    yield factor(-(high - low).square() + parts[0])


@pytest.mark.slow
def test_the_traced_density_is_the_sum_of_scalar_ones():
    where = run_sync(layout(mixed_supports()))
    assert where.size == 1 + 1 + 2 + 1 + 1
    model = mixed_supports()
    positions = torch.randn(2, where.size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    values, gradients = value_and_gradient(model, where, positions)(positions)
    draws = {name: slot.value(positions) for name, slot in where.slots.items()}
    for row in range(2):
        p, rate, parts, low, high = (draws[name][row] for name in ("p", "rate", "parts", "low", "high"))
        joint = (
            Beta(2.0, 3.0).log_prob(p) + Gamma(2.0, 1.0).log_prob(rate) + Dirichlet([1.0, 2.0, 3.0]).log_prob(parts)
            + HalfNormal(1.0).log_prob(low) + Normal(rate, 1.0).log_prob(high) + p.log() + Poisson(rate).log_prob(3)
            - (high - low) ** 2 + parts[0]
        )  # fmt: skip
        jacobian = torch.zeros((), dtype=torch.float64)
        for name, slot in where.slots.items():
            part = positions[row, slot.start : slot.end].reshape(slot.shape)
            jacobian += slot.transform.log_abs_det_jacobian(part, draws[name][row]).sum()
        assert torch.allclose(values[row], joint + jacobian, atol=1e-10)
        numeric = [
            (log_density(model, where, positions[row] + h) - log_density(model, where, positions[row] - h)) / 2e-5
            for h in 1e-5 * torch.eye(where.size, dtype=torch.float64)
        ]
        assert torch.allclose(gradients[row], torch.stack(numeric), atol=1e-6)


@pytest.mark.slow
def test_a_graph_is_traced_once_per_program_and_shape():
    model = mixed_supports()
    where = run_sync(layout(model))
    for chains in (3, 3, 4):
        value_and_gradient(model, where, torch.zeros(chains, where.size, dtype=torch.float64))
    assert set(model.traced) == {(3, True, False), (4, True, False)}


def quadrature():
    """Posterior mean of mu and of tau in eight schools: mu and all effects integrated out in closed form."""
    tau = np.linspace(1e-4, 200.0, 100_001)[:, None]
    y, s = EFFECTS.numpy(), ERRORS.numpy()
    precision = 1 / (s**2 + tau**2)
    total = precision.sum(1) + 1 / 25
    mean = (precision * y).sum(1) / total
    log = 0.5 * np.log(precision).sum(1) - 0.5 * (precision * y**2).sum(1) + 0.5 * total * mean**2 - 0.5 * np.log(total)
    weight = np.exp(log - log.max()) / (1 + (tau[:, 0] / 5) ** 2)
    weight /= weight.sum()
    return float((weight * mean).sum()), float((weight * tau[:, 0]).sum()), float(weight[tau[:, 0] < 2].sum())


def test_eight_schools_agree_with_quadrature():
    mean_mu, mean_tau, small_tau = quadrature()
    posterior = run(eight_schools(), hmc(chains=64, draws=150, warmup=150), seed=0)
    assert max(posterior.details["r_hat"].values()) < 1.05
    # The neck of the funnel is narrow: some trajectories diverge, fewer than one in two hundred.
    assert posterior.details["divergences"] < 64 * 150 / 200
    sizes = posterior.details["ess"]
    # Posterior standard deviations are 3.3 and 3.3; five errors by the effective sizes found.
    assert abs(float(posterior.expect(lambda d: d["mu"])) - mean_mu) < 5 * 3.4 / sizes["mu"] ** 0.5
    assert abs(float(posterior.expect(lambda d: d["tau"])) - mean_tau) < 5 * 3.4 / sizes["tau"] ** 0.5
    assert abs(posterior.probability(lambda d: d["tau"] < 2) - small_tau) < 5 * 0.5 / sizes["tau"] ** 0.5


@pytest.mark.slow
def test_constrained_posteriors_agree_with_their_closed_forms():
    @program
    def conjugate():
        p = yield Beta(2.0, 1.5) @ "p"
        rate = yield Gamma(2.0, 1.0) @ "rate"
        yield observe(Bernoulli(p), torch.tensor([1.0, 1.0, 0.0, 1.0]))
        yield observe(Poisson(rate), torch.tensor([3.0, 1.0, 4.0]))

    posterior = run(conjugate(), hmc(chains=64, draws=100, warmup=100, leapfrogs=10), seed=1)
    p, rate = posterior.values["p"], posterior.values["rate"]
    for draws, law, size in (
        (p, stats.beta(5.0, 2.5), posterior.details["ess"]["p"]),
        (rate, stats.gamma(10.0, scale=1 / 4), posterior.details["ess"]["rate"]),
    ):
        assert size > 1000
        assert abs(float(draws.mean()) - law.mean()) < 5 * law.std() / size**0.5
        assert abs(float((draws < law.median()).double().mean()) - 0.5) < 5 * 0.5 / size**0.5
    assert 0.6 < posterior.details["acceptance"] < 0.97


def test_the_same_seed_gives_the_same_chains():
    short = hmc(chains=4, draws=5, warmup=10)
    first, second = run(eight_schools(), short, seed=3), run(eight_schools(), short, seed=3)
    assert torch.equal(first.values["mu"], second.values["mu"])


def refused(match, function):
    with pytest.raises(UsageError, match=match):
        run(program(function)(), hmc(chains=2, draws=4, warmup=0))


def test_what_the_vector_engine_cannot_do_is_refused():
    def branching():
        x = yield Normal(0.0, 1.0)
        yield observe(Normal(x if x > 0 else -x, 1.0), 0.5)

    def converting():
        x = yield Normal(0.0, 1.0)
        yield factor(float(x))

    def discrete():
        yield Bernoulli(0.5) @ "b"

    def varying():
        if (yield Normal(0.0, 1.0) @ "x") > 0:
            yield Normal(0.0, 1.0) @ "y"

    def empty():
        yield factor(0.0)

    def impossible():
        x = yield Normal(0.0, 1.0)
        yield factor(x * float("inf") * 0)

    refused("branches on a drawn value", branching)
    refused("branches on a drawn value", converting)
    refused("discrete", discrete)
    refused("nothing to infer", empty)
    refused("finite log-density", impossible)
    with pytest.raises(UsageError, match=r"one structure|branches"):
        run(program(varying)(), hmc(chains=2))
    for bad in ({"chains": 0}, {"draws": 0}, {"warmup": -1}, {"acceptance": 1.0}):
        with pytest.raises(UsageError):
            hmc(**bad)


def test_a_proposal_does_not_change_the_target_of_the_vector_engine():
    def target(via):
        def model():
            x = yield Draw(Normal(0.0, 1.0), "x", via=via)
            yield observe(Normal(x, 1.0), 1.0)

        return program(model)()

    plain, proposed = target(None), target(Normal(5.0, 2.0))
    at = torch.tensor([0.3], dtype=torch.float64)
    where = run_sync(layout(plain))
    assert torch.equal(log_density(plain, where, at), log_density(proposed, where, at))


def test_diagnostics_follow_their_formulas():
    chains = torch.tensor([[1.0, 2.0, 3.0, 4.0], [2.0, 1.0, 5.0, 3.0]], dtype=torch.float64)
    halves = chains.numpy().reshape(4, 2)
    within = halves.var(1, ddof=1).mean()
    between = 2 * halves.mean(1).var(ddof=1)
    assert torch.allclose(split_r_hat(chains), torch.tensor(np.sqrt((within / 2 + between / 2) / within)))
    with pytest.raises(UsageError, match="too short"):
        split_r_hat(torch.zeros(2, 3))


@pytest.mark.parametrize("rho", [-0.4, 0.0, 0.5, 0.9])
def test_the_effective_size_of_an_autoregression_is_known(rho):
    rng = np.random.default_rng(0)
    chains, draws = 16, 4000
    noise = rng.standard_normal((chains, draws))
    x = np.empty_like(noise)
    x[:, 0] = noise[:, 0]
    for t in range(1, draws):
        x[:, t] = rho * x[:, t - 1] + np.sqrt(1 - rho**2) * noise[:, t]
    expected = chains * draws * (1 - rho) / (1 + rho)
    assert abs(float(effective_sample_size(torch.tensor(x))) / expected - 1) < 0.15
    assert abs(float(split_r_hat(torch.tensor(x))) - 1) < 0.01
