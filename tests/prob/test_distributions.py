"""Log-densities against torch.distributions, draws against moments, batches against single calls."""

import math
from fractions import Fraction as F

import pytest
import torch
from torch import distributions as reference

from educe.core import UsageError
from educe.prob import (
    Bernoulli,
    Beta,
    Categorical,
    Dirichlet,
    Exponential,
    Finite,
    Gamma,
    HalfCauchy,
    HalfNormal,
    Normal,
    Poisson,
    Source,
    Uniform,
)

D = torch.float64
PAIRS = [
    (Normal(0.3, 1.7), reference.Normal(torch.tensor(0.3, dtype=D), torch.tensor(1.7, dtype=D)), 0.8),
    (HalfNormal(1.7), reference.HalfNormal(torch.tensor(1.7, dtype=D)), 0.8),
    (HalfCauchy(1.7), reference.HalfCauchy(torch.tensor(1.7, dtype=D)), 0.8),
    (Gamma(2.5, 1.7), reference.Gamma(torch.tensor(2.5, dtype=D), torch.tensor(1.7, dtype=D)), 0.8),
    (Exponential(1.7), reference.Exponential(torch.tensor(1.7, dtype=D)), 0.8),
    (Beta(2.5, 1.7), reference.Beta(torch.tensor(2.5, dtype=D), torch.tensor(1.7, dtype=D)), 0.8),
    (Bernoulli(0.3), reference.Bernoulli(torch.tensor(0.3, dtype=D)), 1.0),
    (Poisson(1.7), reference.Poisson(torch.tensor(1.7, dtype=D)), 3.0),
    (Dirichlet([0.5, 2.0, 3.0]), reference.Dirichlet(torch.tensor([0.5, 2.0, 3.0], dtype=D)), [0.2, 0.3, 0.5]),
]


@pytest.mark.parametrize(("ours", "theirs", "value"), PAIRS, ids=lambda item: type(item).__name__)
def test_densities_equal_the_reference(ours, theirs, value):
    value = torch.tensor(value, dtype=D)
    assert torch.allclose(ours.log_prob(value), theirs.log_prob(value), atol=1e-12)
    copies = ours.expand(4)
    stacked = torch.stack([value] * 4)
    assert torch.allclose(copies.log_prob(stacked), 4 * theirs.log_prob(value), atol=1e-12)
    batch = type(ours).evaluate_batch([ours, ours], [value, value], Source(0))
    assert math.isclose(batch[1].log, float(theirs.log_prob(value)), abs_tol=1e-12)


@pytest.mark.parametrize(("ours", "theirs", "value"), PAIRS, ids=lambda item: type(item).__name__)
def test_draws_have_the_right_distribution(ours, theirs, value):
    drawn = torch.stack([torch.as_tensor(x, dtype=D) for x in ours.sample(5_000, seed=3)])
    if isinstance(ours, HalfCauchy):
        # The median is the scale; a share of one half has standard error 0.0071. Five of them: 6e-7.
        assert abs(float((drawn < 1.7).double().mean()) - 0.5) < 5 * 0.0071
        return
    error = 5 * theirs.variance.sqrt() / 5_000**0.5
    assert bool(((drawn.mean(0) - theirs.mean).abs() < error).all())


def test_values_outside_the_support_weigh_nothing():
    for dist, value in [
        (HalfNormal(1.0), -1.0), (Gamma(2.0), -1.0), (Exponential(1.0), -0.1), (Beta(2.0, 2.0), 1.5),
        (Poisson(1.0), 0.5), (Poisson(1.0), -1), (Bernoulli(0.5), 2), (Categorical([0.5, 0.5]), 2),
        (Uniform("ab"), "c"), (Dirichlet([1.0, 1.0]), [0.7, 0.7]),
    ]:  # fmt: skip
        assert dist.weight(value) == 0, (dist, value)


def test_values_of_the_wrong_kind_are_refused():
    for dist, value in [
        (Normal(0.0, 1.0), "a"), (Bernoulli(0.5), "x"), (Categorical([0.5, 0.5]), "a"), (Categorical([0.5, 0.5]), 0.5),
        (Normal(torch.zeros(3), 1.0), torch.zeros(2)), (Dirichlet([1.0, 1.0]), [0.2, 0.3, 0.5]),
    ]:  # fmt: skip
        with pytest.raises(UsageError):
            dist.weight(value)


def test_parameters_out_of_range_are_refused():
    for make in (
        lambda: Normal(0.0, -1.0), lambda: Normal(0.0, math.nan), lambda: Bernoulli(1.2), lambda: Gamma(0.0),
        lambda: Categorical([0.5, 0.6]), lambda: Finite({}), lambda: Finite({"a": -1}), lambda: Finite({"a": math.nan}),
        lambda: Finite([([], 1)]), lambda: Dirichlet(1.0), lambda: Beta(1.0, 0.0), lambda: Poisson(0.0),
        lambda: Normal(torch.tensor(0.0), torch.tensor(-1.0)).sample(),
    ):  # fmt: skip
        with pytest.raises(UsageError):
            make()


def test_finite_distributions_are_exact():
    assert Finite({"a": 1, "b": 2}).weight("b") == F(2, 3)
    assert Uniform("aab").weight("a") == F(2, 3)
    assert Bernoulli(F(1, 3)).weight(False) == F(2, 3)
    assert sum(p for _, p in Categorical([F(1, 3), F(2, 3)]).enumerate()) == 1
    counts = Finite({"a": 1, "b": 3}).sample(10_000, seed=1).count("b")
    assert abs(counts - 7500) < 5 * 43.4  # five standard deviations: 6e-7


def test_categorical_probabilities_may_be_a_drawn_tensor():
    p = torch.tensor([0.2, 0.8], dtype=D, requires_grad=True)
    Categorical(p).log_prob(1).backward()
    assert p.grad.tolist() == [0.0, 1.25]
    assert set(Categorical(p.detach()).sample(50)) == {0, 1}
