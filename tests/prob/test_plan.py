"""A plan computes what its graph computes, and nothing that does not depend on its inputs."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from educe.prob import Plan

UNARY = [torch.exp, torch.neg, torch.tanh, torch.sigmoid, torch.nn.functional.softplus, torch.abs,
         lambda x: x**2, lambda x: x**1, lambda x: 0.5 * x, lambda x: -3.0 * x, lambda x: x / 4, lambda x: 2 - x,
         lambda x: x[:, :1].expand(-1, 3), lambda x: torch.where(x > 0, x, x.exp()), lambda x: x.clamp(min=-1.0),
         lambda x: torch.lgamma(x.abs() + 1), lambda x: torch.cat([x[:, 1:], x[:, :1]], 1)]  # fmt: skip
BINARY = [torch.add, torch.sub, torch.mul, lambda a, b: a / (1 + b.abs()), torch.maximum, lambda a, b: a + 2 * b,
          lambda a, b: a * b.sum(1, keepdim=True), lambda a, b: a @ b.T @ a,
          lambda a, b: torch.logsumexp(torch.stack([a, b]), 0)]  # fmt: skip
program = st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99), st.integers(0, 99)), min_size=1, max_size=12)


def build(script):
    """Turn numbers into a function of one (5, 3) tensor, with constants along the way."""

    def function(x):
        pool = [x, torch.full((3,), 0.7, dtype=torch.float64), torch.ones(5, 3, dtype=torch.float64)]
        for kind, left, right in script:
            a, b = pool[left % len(pool)], pool[right % len(pool)]
            if kind % 2 and a.shape == b.shape == x.shape:
                pool.append(BINARY[kind // 2 % len(BINARY)](a, b))
            elif a.shape == x.shape:
                pool.append(UNARY[kind // 2 % len(UNARY)](a))
        return torch.atan(pool[-1]).sum(-1)

    return function


@pytest.mark.slow
@settings(max_examples=60)
@given(program)
def test_values_and_gradients_are_those_of_the_graph(script):
    function = build(script)

    def both(x):
        gradient, value = torch.func.grad_and_value(lambda x: function(x).sum())(x)
        return value, gradient

    generator = torch.Generator().manual_seed(0)
    x = torch.randn(5, 3, generator=generator, dtype=torch.float64)
    plan = Plan(both, [x])
    for _ in range(2):
        x.normal_(generator=generator)
        plan()
        for found, expected in zip(plan.outputs, both(x), strict=True):
            assert torch.allclose(found, expected, rtol=1e-10, atol=1e-10, equal_nan=True)


def test_constants_and_views_and_repetitions_cost_nothing():
    x = torch.zeros(4, 2, dtype=torch.float64)
    fixed = torch.ones(2, dtype=torch.float64)

    def function(x):
        constant = (fixed.exp() + 3).log()
        return (x.exp() * constant + x.exp()).T.reshape(-1)[:3]

    plan = Plan(function, [x])
    # exp, product, sum; the reshape of a transposed array is a copy.
    assert len(plan.calls) <= 4
    x.fill_(0.5)
    plan()
    assert torch.allclose(plan.outputs, function(x))


@pytest.mark.parametrize("scale", [1e-300, 1.0, 50.0, 800.0])
def test_stable_functions_stay_stable(scale):
    x = torch.tensor([-scale, 0.0, scale], dtype=torch.float64)

    def both(x):
        gradient, value = torch.func.grad_and_value(lambda x: torch.nn.functional.softplus(x).sum())(x)
        return value, gradient

    y = x.clone().zero_()
    plan = Plan(both, [y])
    y.copy_(x)
    plan()
    for found, expected in zip(plan.outputs, both(x), strict=True):
        assert torch.allclose(found, expected, rtol=1e-12)
