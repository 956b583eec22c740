"""Gradient strategies against exact enumeration over their own randomness, quadrature and finite differences."""

import functools
import math

import pytest
import torch

from educe.core import UsageError
from educe.prob import (
    Bernoulli,
    BernoulliLogits,
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
    Uniform,
    factor,
)
from educe.prob.vi import (
    E,
    Noise,
    Single,
    Strategy,
    average,
    baseline,
    check_gradient,
    copies,
    enum,
    fixed,
    implicit,
    log_density,
    minibatch,
    mvd,
    outcomes,
    reinforce,
    reparam,
    sample,
    score_of,
    surrogate,
)

D = torch.float64
# A two-sided normal deviate exceeds 6 with probability 2e-9; some 80 scores are looked at in this file.
LIMIT = 6.0


def at(*values):
    return {"t": torch.tensor(values, dtype=D)}


class Scripted(Noise):
    """Noise whose Bernoulli draws follow a script; `probability` is that of the script."""

    def __init__(self, script):
        super().__init__(0)
        self.script, self.used = list(script), 0

    def uniform(self, shape, dtype):
        bit = self.script[self.used]
        self.used += 1
        return torch.full(shape, 0.0 if bit else 1.0, dtype=dtype)


def expected_gradient(objective, parameters, p_of, most=6):
    """Sum the estimator over all outcomes of its own draws, all Bernoulli with one probability."""
    total, mass, waiting = 0.0, 0.0, [[]]
    while waiting:
        script = waiting.pop()
        here = {name: value.clone().requires_grad_() for name, value in parameters.items()}
        noise = Scripted(script)
        try:
            value = surrogate(functools.partial(objective, here), noise)
        except IndexError:
            assert len(script) < most
            waiting += [[*script, 0], [*script, 1]]
            continue
        p = float(p_of(parameters))
        weight = math.prod(p if bit else 1 - p for bit in script)
        (gradient,) = torch.autograd.grad(value, [here["t"]])
        total, mass = total + weight * gradient, mass + weight
    assert mass == pytest.approx(1.0)
    return total


def two_coins(strategy):
    def objective(q):
        p = torch.sigmoid(q["t"][0])
        a = yield Bernoulli(p) @ strategy
        b = yield Bernoulli(p) @ strategy
        return (a - 0.3 + q["t"][1] * b) ** 2 + 0.3 * q["t"][0] * a

    return objective


@pytest.mark.parametrize("strategy", [reinforce, mvd, enum, baseline(0.7, reinforce), average(2, reinforce)], ids=str)
def test_the_expectation_over_all_outcomes_is_the_gradient_exactly(strategy):
    parameters = at(0.4, -0.8)
    exact = E(two_coins(enum)).value_and_grad(parameters).gradient["t"]
    here = parameters["t"].clone().requires_grad_()
    p = torch.sigmoid(here[0])
    by_hand = sum(
        (p if a else 1 - p) * (p if b else 1 - p) * ((a - 0.3 + here[1] * b) ** 2 + 0.3 * here[0] * a)
        for a in (0, 1)
        for b in (0, 1)
    )
    torch.testing.assert_close(exact, torch.autograd.grad(by_hand, here)[0], rtol=0, atol=1e-12)
    found = expected_gradient(two_coins(strategy), parameters, lambda q: torch.sigmoid(q["t"][0]))
    torch.testing.assert_close(found, exact, rtol=0, atol=1e-12)


def zoo(first, second):
    def cost(q):
        t = q["t"]
        b = yield Bernoulli(torch.sigmoid(t[0])) @ first
        x = yield Normal(t[1] + b, t[2].exp()) @ second
        return (x - 1) ** 2 * (1 + b / 2) + b * torch.sin(3 * x) + 0.3 * t[1] * b

    return cost


def quadrature():
    """Value and gradient of the cost of `zoo` on a fine grid, by autograd through the integral."""
    t = at(0.3, -0.4, -0.2)["t"].requires_grad_()
    grid = torch.linspace(-12, 12, 200_001, dtype=D)
    total = 0.0
    for b in (0.0, 1.0):
        p = torch.sigmoid(t[0]) if b else 1 - torch.sigmoid(t[0])
        density = torch.distributions.Normal(t[1] + b, t[2].exp()).log_prob(grid).exp()
        cost = (grid - 1) ** 2 * (1 + b / 2) + b * torch.sin(3 * grid) + 0.3 * t[1] * b
        total = total + p * torch.trapezoid(density * cost, grid)
    return total.detach(), torch.autograd.grad(total, t)[0]


@pytest.mark.parametrize("second", [reparam, mvd, reinforce, average(2, reinforce)], ids=str)
@pytest.mark.parametrize("first", [enum, mvd, reinforce, baseline(1.8, reinforce)], ids=str)
def test_all_pairs_agree_with_quadrature(first, second):
    value, gradient = quadrature()
    assert float(value) == pytest.approx(1.79327, abs=1e-5)
    found = check_gradient(zoo(first, second), at(0.3, -0.4, -0.2), {"t": gradient}, n=20_000)
    assert found.largest < LIMIT and found.reference == "given"


def test_a_lost_gradient_is_found():
    _, gradient = quadrature()
    assert check_gradient(zoo(fixed, reparam), at(0.3, -0.4, -0.2), {"t": gradient}, n=2_000).largest > 100
    found = check_gradient(two_coins(fixed), at(0.4, -0.8), n=2_000)
    assert found.reference == "enumeration" and found.largest > 10


def test_finite_differences_stand_in_where_nothing_is_known():
    def cost(q):
        x = yield Normal(q["t"][0], q["t"][1].exp()) @ mvd
        return torch.sin(x) + x**2

    found = check_gradient(cost, at(0.5, -0.3), n=40_000)
    assert found.reference == "finite differences" and found.largest < LIMIT


@pytest.mark.parametrize(
    ("make", "exact"),
    [
        (lambda t: Gamma(t.exp(), 2.0) @ implicit, lambda t: t.exp() / 2),
        (lambda t: Beta(t.exp(), 1.5) @ implicit, lambda t: t.exp() / (t.exp() + 1.5)),
        (lambda t: Exponential(t.exp()) @ reparam, lambda t: (-t).exp()),
        (lambda t: HalfNormal(t.exp()) @ reparam, lambda t: t.exp() * math.sqrt(2 / math.pi)),
        (lambda t: Poisson(t.exp()) @ reinforce, lambda t: t.exp()),
        (lambda t: BernoulliLogits(t) @ mvd, torch.sigmoid),
        (lambda t: BernoulliLogits(t) @ enum, torch.sigmoid),
        (lambda t: Bernoulli(torch.sigmoid(t)), torch.sigmoid),
    ],
)
def test_families_have_the_gradient_of_their_mean(make, exact):
    def cost(q):
        return (yield make(q["t"][0]))

    here = at(0.3)
    t = here["t"][0].clone().requires_grad_()
    gradient = torch.autograd.grad(exact(t), t)[0]
    found = check_gradient(cost, here, {"t": gradient[None]}, n=20_000)
    assert found.largest < LIMIT


def test_dirichlet_categorical_and_half_cauchy():
    def share(q):
        x = yield Dirichlet(q["t"].exp()) @ implicit
        return x[0]

    t = at(0.2, -0.1, 0.5)
    here = t["t"].clone().requires_grad_()
    gradient = torch.autograd.grad(here.exp()[0] / here.exp().sum(), here)[0]
    assert check_gradient(share, t, {"t": gradient}, n=20_000).largest < LIMIT

    def picked(q):
        k = yield Categorical(torch.softmax(q["t"], 0)) @ reinforce
        return torch.tensor([1.0, -2.0, 5.0], dtype=D)[k]

    found = check_gradient(picked, t, n=20_000)
    assert found.reference == "enumeration" and found.largest < LIMIT

    def bounded(q):  # E 1/(1 + (x/s)^2) does not depend on s; E 1/(1 + x^2) = 1/(1 + s)
        x = yield HalfCauchy(q["t"][0].exp())
        return 1 / (1 + x**2)

    s = math.exp(0.3)
    exact = {"t": torch.tensor([-s / (1 + s) ** 2], dtype=D)}
    assert check_gradient(bounded, at(0.3), exact, n=20_000).largest < LIMIT


def test_measure_valued_derivatives_of_arrays():
    def cost(q):
        x = yield Normal(q["t"][:2], q["t"][2:].exp()) @ mvd
        b = yield Bernoulli(torch.sigmoid(q["t"][:2])) @ mvd
        return x[0] ** 2 * x[1] + b[0] * b[1] * x[0]

    m0, m1, l0, l1 = at(0.4, -0.3, 0.1, -0.5)["t"].requires_grad_()
    exact = (m0**2 + (2 * l0).exp()) * m1 + torch.sigmoid(m0) * torch.sigmoid(m1) * m0
    gradient = torch.stack(torch.autograd.grad(exact, [m0, m1, l0, l1], allow_unused=True, materialize_grads=True))
    assert check_gradient(cost, at(0.4, -0.3, 0.1, -0.5), {"t": gradient}, n=20_000).largest < LIMIT


def test_a_minibatch_is_the_subsampled_sum():
    terms = torch.tensor([1.0, 4.0, -2.0, 0.5, 3.0], dtype=D)

    def total(q):
        i = yield Uniform(range(5)) @ minibatch(3)
        return 5 * terms[i] * q["t"][0]

    whole = E(total).samples(at(1.0), n=4_000)
    assert float(whole.mean()) == pytest.approx(6.5, abs=6 * float(whole.std()) / 4_000**0.5)

    def full(q):
        i = yield Uniform(range(5)) @ minibatch(5)
        return 5 * terms[i] * q["t"][0]

    torch.testing.assert_close(E(full).samples(at(1.0), n=3), torch.full((3,), 6.5, dtype=D))


def test_draws_in_one_pass_have_the_gradient_of_draws_in_turn():
    def rewarded(q):
        def one():
            b = yield Bernoulli(torch.sigmoid(q["t"][0])) @ reinforce
            x = yield Normal(q["t"][1], 1.0) @ reparam
            return b + x

        return (yield from copies(3, one)).square().sum().sqrt() + 0.1 * q["t"][0]

    def in_turn(q):
        rows = []
        for _ in range(3):
            b = yield Bernoulli(torch.sigmoid(q["t"][0])) @ enum
            x = yield Normal(q["t"][1], 1.0) @ reparam
            rows.append(b + x)
        return torch.stack(rows).square().sum().sqrt() + 0.1 * q["t"][0]

    one, other = (E(f).gradients(at(0.3, 0.5), n=20_000).gradient["t"] for f in (rewarded, in_turn))
    error = (one.var(0) / len(one) + other.var(0) / len(other)).sqrt()
    assert float(((one.mean(0) - other.mean(0)) / error).abs().max()) < LIMIT


def test_a_strategy_of_ones_own():
    class Antithetic(Strategy):
        """Run the rest at a draw and at its mirror image."""

        def estimate(self, dist, noise):
            loc, scale = dist.parameters
            step = scale * noise.normal((), D)
            return ((yield loc + step) + (yield loc - step)) / 2

    def cost(strategy):
        def objective(q):
            x = yield Normal(q["t"][0], q["t"][1].exp()) @ strategy
            return x + 0.1 * x**2

        return objective

    own = check_gradient(cost(Antithetic()), at(1.0, -1.0), n=4_000)
    plain = check_gradient(cost(reparam), at(1.0, -1.0), n=4_000)
    assert own.largest < LIMIT and float(own.variance["t"][1]) < float(plain.variance["t"][1]) / 3

    class Shrunk(Single):
        def draw(self, dist, noise):
            value = sample(dist, noise)
            return value, 0.5 * score_of(log_density(dist, value))

    assert check_gradient(two_coins(Shrunk()), at(0.4, -0.8), n=20_000).largest > LIMIT


def test_plain_draws_have_the_law_of_the_distribution():
    def table(dist, n=20_000):
        def one():
            return (yield dist @ fixed)

        values = E(one).samples(n=n)
        return {float(value): float((values == value).double().mean()) for value in values.unique()}

    assert table(Finite({2: 1, 5: 3})) == pytest.approx({2.0: 0.25, 5.0: 0.75}, abs=0.02)
    assert table(Categorical([0.2, 0.5, 0.3])) == pytest.approx({0.0: 0.2, 1.0: 0.5, 2.0: 0.3}, abs=0.022)
    assert [float(p) for _, p in outcomes(Bernoulli(torch.tensor([0.5, 0.2])))] == pytest.approx([0.4, 0.1, 0.4, 0.1])
    assert sample(Finite({"a": 1}), Noise(0)) == "a"


def test_the_same_seed_gives_the_same_surrogate():
    cost = E(zoo(reinforce, reparam))
    one, two, other = (float(cost.surrogate(at(0.3, -0.4, -0.2), seed=s, n=5)) for s in (3, 3, 4))
    assert one == two != other
    # More samples do not move earlier ones in a run of their own; state of the global generator does not matter.
    torch.manual_seed(1)
    assert float(cost.surrogate(at(0.3, -0.4, -0.2), seed=3, n=5)) == one


def test_bad_objectives_get_clear_errors():
    def branches(q):
        x = yield Normal(q["t"][0], 1.0) @ reparam
        return x if x > 0 else -x

    for loop in (False, True):
        with pytest.raises(UsageError, match="branches on a drawn value"):
            E(branches, loop=loop).value_and_grad(at(0.1), n=3)

    def may_branch(q):
        b = yield Bernoulli(torch.sigmoid(q["t"][0])) @ reinforce
        return q["t"][0] if b else 2 * q["t"][0]

    with pytest.raises(UsageError, match="loop=True"):
        E(may_branch).surrogate(at(0.1), n=3)
    assert E(may_branch, loop=True).samples(at(1.0), n=20).unique().tolist() == [1.0, 2.0]

    def weighs(q):
        yield factor(-1.0)

    with pytest.raises(UsageError, match="Add its log-weight"):
        E(weighs).surrogate(at(0.1))

    def vector(q):
        return (yield Normal(q["t"], 1.0))

    with pytest.raises(UsageError, match=r"shape \(2,\)"):
        E(vector).surrogate(at(0.1, 0.2))

    def yields(q):
        yield "x"

    with pytest.raises(UsageError, match="no request"):
        E(yields).surrogate(at(0.1))

    for dist, strategy, text in [
        (Bernoulli(0.5), reparam, "cannot be reparameterised"),
        (Gamma(1.0, 1.0), reparam, "Use implicit"),
        (Normal(0.0, 1.0), implicit, "gamma, beta and Dirichlet"),
        (Normal(0.0, 1.0), enum, "no finite support"),
        (Poisson(1.0), mvd, "Normal and Bernoulli"),
        (Bernoulli(0.3), minibatch(1), "not uniform"),
        (Uniform(range(2)), minibatch(3), "too large"),
    ]:

        def draws(q, dist=dist, strategy=strategy):
            return (yield dist @ strategy)

        with pytest.raises(UsageError, match=text):
            E(draws).surrogate(at(0.1))

    for wrong in (lambda: average(0, enum), lambda: minibatch(0), lambda: E(zoo(enum, reparam)).samples(n=0)):
        with pytest.raises(UsageError):
            wrong()
    with pytest.raises(UsageError, match="does not fit"):
        log_density(Normal(torch.zeros(3), 1.0), torch.zeros(2))
    with pytest.raises(UsageError, match="standard error"):
        check_gradient(two_coins(enum), at(0.1, 0.1), n=1)
    with pytest.raises(UsageError, match="lengths"):
        E(zoo(enum, reparam)).samples(at(0.1), rows=(torch.zeros(2), torch.zeros(3)))
    with pytest.raises(UsageError, match="copies"):
        E(lambda: copies(0, None)).samples()
