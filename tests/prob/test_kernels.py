"""Kernels of the vector engine: reversibility, volume, detailed balance on a grid, closed forms."""

import numpy as np
import pytest
import torch
from scipy import stats

from educe.core import UsageError, run_sync
from educe.prob import (
    Bernoulli,
    BernoulliLogits,
    Beta,
    Categorical,
    Dirichlet,
    Gamma,
    HalfNormal,
    Normal,
    Poisson,
    State,
    elliptical_slice,
    factor,
    hmc,
    layout,
    leapfrog,
    mala,
    nuts,
    observe,
    program,
    run,
    slice_sampling,
    target,
)
from educe.prob.adaptation import Tuning
from educe.prob.hmc import HMC, halton
from educe.prob.mala import MALA
from educe.prob.nuts import NUTS
from educe.prob.slice_sampling import SliceSampling


@program
def banana():
    x = yield Normal(0.0, 1.0) @ "x"
    yield Normal(0.5 * x**2, 0.5) @ "y"


def placed(chains, model=None, seed=0):
    """A target with its chains at random places."""
    model = banana() if model is None else model
    where = run_sync(layout(model))
    compiled = target(model, where, chains)
    generator = torch.Generator().manual_seed(seed)
    compiled.position.normal_(generator=generator)
    compiled()
    state = State(compiled.position.clone(), compiled.value.clone(), compiled.gradient.clone())
    return compiled, state, torch.randn(chains, where.size, generator=generator, dtype=torch.float64)


VARIANCE = torch.tensor([1.0, 0.3], dtype=torch.float64)


def energy(state, momentum):
    return -state.value + 0.5 * momentum.square() @ VARIANCE


def test_leapfrog_is_reversible():
    compiled, start, momentum = placed(7)
    moving = momentum.clone()
    end = leapfrog(compiled, start, moving, 0.1, VARIANCE, 25)
    moving.neg_()
    back = leapfrog(compiled, end, moving, 0.1, VARIANCE, 25)
    assert torch.allclose(back.position, start.position, atol=1e-10)
    assert torch.allclose(-moving, momentum, atol=1e-10)


def test_leapfrog_keeps_volume():
    compiled, start, momentum = placed(4)
    # Chain 0 is the point, the others are moved a little in one direction each: columns of the Jacobian.
    h = 1e-5
    columns = []
    for direction in range(4):
        ends = []
        for sign in (1.0, -1.0):
            shift = torch.zeros(4, dtype=torch.float64)
            shift[direction] = sign * h
            position, moving = start.position + shift[:2], momentum + shift[2:]
            compiled.position.copy_(position)
            compiled()
            state = State(position, compiled.value.clone(), compiled.gradient.clone())
            end = leapfrog(compiled, state, moving, 0.2, VARIANCE, 10)
            ends.append(torch.cat([end.position, moving], 1))
        columns.append((ends[0] - ends[1]) / (2 * h))
    jacobian = torch.stack(columns, 2)
    assert torch.allclose(torch.linalg.det(jacobian).abs(), torch.ones(4, dtype=torch.float64), atol=1e-6)


def test_the_energy_error_shrinks_with_the_square_of_the_step():
    compiled, start, momentum = placed(200)
    errors = []
    for halvings in range(3):
        moving = momentum.clone()
        end = leapfrog(compiled, start, moving, 0.1 / 2**halvings, VARIANCE, 10 * 2**halvings)
        errors.append(float((energy(end, moving) - energy(start, momentum)).abs().mean()))
    assert 3.5 < errors[0] / errors[1] < 4.5 and 3.5 < errors[1] / errors[2] < 4.5


@pytest.mark.parametrize(
    "kernel", [HMC("jittered", 4), HMC("chees", 8), MALA(), NUTS(3), SliceSampling()], ids=lambda kernel: kernel.name
)
def test_detailed_balance_on_a_grid(kernel):
    """Chains start from the exact law: as many must go from one cell to another as come back."""

    @program
    def skewed():
        yield Gamma(3.0, 1.0) @ "x"

    chains = 20_000
    model = skewed()
    where = run_sync(layout(model))
    compiled = target(model, where, chains)
    rng = np.random.default_rng(0)
    compiled.position.copy_(torch.from_numpy(np.log(rng.gamma(3.0, size=(chains, 1)))))
    compiled()
    state = State(compiled.position.clone(), compiled.value.clone(), compiled.gradient.clone())
    tuning = Tuning(0.6, torch.full((1,), 0.4, dtype=torch.float64), 1.0, 2)
    new, _ = kernel.step(rng, compiled, state, tuning)
    compiled.position.copy_(new.position)
    compiled()
    assert torch.allclose(new.value, compiled.value)
    edges = np.log(stats.gamma(3.0).ppf([0.15, 0.3, 0.5, 0.7, 0.85]))
    before, after = (np.searchsorted(edges, s.position[:, 0].numpy()) for s in (state, new))
    counts = np.zeros((6, 6))
    np.add.at(counts, (before, after), 1)
    upper = np.triu_indices(6, 1)
    there, back = counts[upper], counts.T[upper]
    moved = there + back > 20
    assert moved.sum() >= 5
    z = (there - back)[moved] / np.sqrt((there + back)[moved])
    # Up to 15 comparisons at six standard errors: a false-alarm rate of 3e-8.
    assert np.abs(z).max() < 6
    # And the law itself is kept: 20,000 draws over six cells.
    assert (
        stats.chisquare(counts.sum(0), counts.sum(1).sum() * np.diff([0, 0.15, 0.3, 0.5, 0.7, 0.85, 1])).pvalue > 1e-6
    )


@program
def conjugate():
    p = yield Beta(2.0, 1.5) @ "p"
    rate = yield Gamma(2.0, 1.0) @ "rate"
    mean = yield Normal(1.0, 2.0) @ "mean"
    parts = yield Dirichlet([1.0, 2.0, 0.5]) @ "parts"
    precision = yield Gamma(3.0, 2.0) @ "precision"
    yield observe(Bernoulli(p), torch.tensor([1.0, 1.0, 0.0, 1.0]))
    yield observe(Poisson(rate), torch.tensor([3.0, 1.0, 4.0]))
    yield observe(Normal(mean, 1.0), torch.tensor([0.5, 1.5, 2.5]))
    for face in (0, 2, 2, 1):
        yield observe(Categorical(parts), face)
    yield observe(Normal(0.0, precision.rsqrt()), torch.tensor([0.3, -1.2, 0.8, 0.1]))


LAWS = {
    "p": stats.beta(5.0, 2.5),
    "rate": stats.gamma(10.0, scale=1 / 4),
    "mean": stats.norm((0.25 + 4.5) / 3.25, 3.25**-0.5),
    "parts": stats.beta(2.5, 5.0),
    "precision": stats.gamma(5.0, scale=1 / (2.0 + (0.09 + 1.44 + 0.64 + 0.01) / 2)),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "algorithm",
    [hmc(64, 150, 150), hmc(64, 150, 150, trajectory="jittered", leapfrogs=8), nuts(32, 150, 150), mala(64, 400, 200),
     slice_sampling(64, 600, 200)],
    ids=lambda algorithm: algorithm.kernel.name,
)  # fmt: skip
def test_five_conjugate_families(algorithm):
    posterior = run(conjugate(), algorithm, seed=1)
    sizes = posterior.details["ess"]
    for name, law in LAWS.items():
        draws = posterior.values[name]
        draws = draws[:, 2] if name == "parts" else draws
        assert sizes[name] > 300
        # Ten comparisons at six standard errors: a false-alarm rate of 2e-8.
        assert abs(float(draws.mean()) - law.mean()) < 6 * law.std() / sizes[name] ** 0.5
        assert abs(float((draws < law.median()).double().mean()) - 0.5) < 6 * 0.5 / sizes[name] ** 0.5
    assert max(posterior.details["r_hat"].values()) < 1.05


@pytest.mark.slow
def test_warm_up_reaches_the_acceptance_asked_for():
    for algorithm, wanted in (
        (hmc(64, 100, 300), 0.8),
        (nuts(16, 60, 150, acceptance=0.9), 0.9),
        (mala(64, 200, 300), 0.574),
    ):
        assert abs(run(banana(), algorithm, seed=0).details["acceptance"] - wanted) < 0.07


@pytest.mark.slow
def test_elliptical_slice_agrees_with_the_closed_form_and_refuses_other_priors():
    @program
    def regression():
        beta = yield Normal(0.0, 2.0).expand(2) @ "beta"
        shift = yield Normal(1.0, 0.5) @ "shift"
        yield observe(Normal(beta[0] + beta[1] + shift, 1.0), torch.tensor([1.0, 3.0]))

    posterior = run(regression(), elliptical_slice(64, 300), seed=0)
    # The sum of the three draws is N(1, 8.25) before and, with two observations of mean 2, N(1.943, 0.471) after.
    precision = 1 / 8.25 + 2
    total = posterior.values["beta"].sum(1) + posterior.values["shift"]
    size = posterior.details["ess"]["shift"]
    assert size > 1000
    assert abs(float(total.mean()) - (1 / 8.25 + 4) / precision) < 6 * precision**-0.5 / 1000**0.5
    assert abs(float(total.std()) * precision**0.5 - 1) < 0.1

    @program
    def hierarchical():
        x = yield Normal(0.0, 1.0) @ "x"
        yield Normal(x, 1.0) @ "y"

    @program
    def positive():
        yield HalfNormal(1.0) @ "x"

    for model in (hierarchical(), positive()):
        with pytest.raises(UsageError, match="no normal draw with fixed parameters"):
            run(model, elliptical_slice(4, 4))


def test_vandercorput_numbers_fill_the_interval_evenly():
    numbers = [halton(i) for i in range(1, 64)]
    assert sorted(numbers) == [i / 64 for i in range(1, 64)]


def test_a_logistic_regression_finds_the_mode_of_its_posterior():
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.normal(size=(200, 3)))
    y = torch.from_numpy((rng.random(200) < 1 / (1 + np.exp(-x.numpy() @ [1.0, -0.5, 0.0]))).astype(float))

    @program
    def model():
        beta = yield Normal(0.0, 1.0).expand(3) @ "beta"
        yield observe(BernoulliLogits(x @ beta), y)

    posterior = run(model(), hmc(32, 200, 200), seed=0)
    beta = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    for _ in range(50):
        value = (
            torch.nn.functional.binary_cross_entropy_with_logits(x @ beta, y, reduction="sum") + beta.square().sum() / 2
        )
        (gradient,) = torch.autograd.grad(value, beta)
        curvature = torch.autograd.functional.hessian(
            lambda b: (
                torch.nn.functional.binary_cross_entropy_with_logits(x @ b, y, reduction="sum") + b.square().sum() / 2
            ),
            beta.detach(),
        )
        beta = (beta - torch.linalg.solve(curvature, gradient)).detach().requires_grad_()
    # The posterior is nearly normal: its mean lies within a fifth of a standard deviation of the mode.
    spread = torch.linalg.inv(curvature).diagonal().sqrt()
    assert bool(((posterior.values["beta"].mean(0) - beta).abs() < 0.2 * spread).all())
    assert bool(((posterior.values["beta"].std(0) / spread - 1).abs() < 0.1).all())


def test_kernels_refuse_what_makes_no_sense():
    for make in (lambda: hmc(trajectory="long"), lambda: hmc(leapfrogs=0), lambda: nuts(doublings=0),
                 lambda: mala(acceptance=2.0), lambda: slice_sampling(steps_out=0)):  # fmt: skip
        with pytest.raises(UsageError):
            make()

    @program
    def hopeless():
        x = yield Normal(0.0, 1.0)
        yield factor(-torch.inf * x.abs())

    with pytest.raises(UsageError, match="finite log-density"):
        run(hopeless(), nuts(2, 4, 0))
