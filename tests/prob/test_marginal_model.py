"""Marginal and any-order models against enumeration; the Ising model against transfer matrices and brute force."""

import itertools
import math

import pytest
import torch

from educe.core import UsageError
from educe.prob import AnyOrderARM, Ising, MarginalModel, MaskedNetwork, Source
from educe.prob.masked_network import cut_at, random_order


def table(variables=3, seed=0):
    """A random distribution over binary vectors, peaked enough to be worth learning."""
    rng = torch.Generator().manual_seed(seed)
    states = torch.tensor(list(itertools.product((0, 1), repeat=variables)))
    return states, torch.softmax(2 * torch.randn(len(states), generator=rng, dtype=torch.float64), 0)


class Exact(AnyOrderARM):
    """Conditionals read off a table: what training should lead to."""

    def __init__(self, variables, states, probabilities):
        super().__init__(2, variables, width=4, depth=1)
        self.states, self.probabilities = states, probabilities

    def conditionals(self, x, known):
        agrees = ((self.states[None] == x[:, None]) | ~known[:, None]).all(2)
        mass = self.probabilities * agrees
        ones = (mass[:, :, None] * self.states).sum(1)
        share = (ones / mass.sum(1, keepdim=True)).clamp(1e-12, 1 - 1e-12)
        return torch.stack([1 - share, share], -1).log()


def subsets(variables):
    return torch.tensor(list(itertools.product((False, True), repeat=variables)))


def exact_marginal(states, probabilities, x, known):
    agrees = ((states[None] == x[:, None]) | ~known[:, None]).all(2)
    return (probabilities * agrees).sum(1).log()


def test_the_chain_rule_gives_exact_marginals_in_any_order():
    states, probabilities = table(4)
    model = Exact(4, states, probabilities)
    for known in subsets(4):
        mask = known.expand(states.shape)
        found = model.log_marginal(states, mask, orders=3)
        torch.testing.assert_close(found, exact_marginal(states, probabilities, states, mask), rtol=0, atol=1e-9)
    torch.testing.assert_close(model.log_chain(states).exp(), probabilities, rtol=0, atol=1e-9)
    # Jensen: the mean over orders of the log-likelihood is at most the log of the mean; equal for exact conditionals.
    rough = AnyOrderARM(2, 4, width=8, depth=1, seed=3)
    full = torch.ones(states.shape, dtype=torch.bool)
    each = torch.stack([rough.log_marginal(states, full, seed=k) for k in range(30)])
    assert bool((each.mean(0) <= torch.logsumexp(each, 0) - math.log(30) + 1e-9).all())
    assert float(each.std(0).max()) > 1e-3


def test_draws_follow_the_conditionals_whatever_the_order_and_what_is_given():
    states, probabilities = table(3)
    model = Exact(3, states, probabilities)
    n = 20_000
    for order in (None, [2, 0, 1]):
        x = model.sample(n, 1, order=order).values["x"]
        counts = torch.bincount((x * torch.tensor([4, 2, 1])).sum(1), minlength=8) / n
        assert float(((counts - probabilities) / (probabilities * (1 - probabilities) / n).sqrt()).abs().max()) < 6
    x = model.sample(n, 2, given={1: 1}).values["x"]
    assert bool((x[:, 1] == 1).all())
    share = (probabilities * states[:, 0] * states[:, 1]).sum() / (probabilities * states[:, 1]).sum()
    assert float(x[:, 0].double().mean()) == pytest.approx(float(share), abs=6 * 0.5 / n**0.5)


def test_the_gibbs_chain_keeps_the_distribution():
    states, probabilities = table(4, seed=2)
    exact = Exact(4, states, probabilities)
    model = MarginalModel(2, 4, width=4, depth=1)
    model.conditionals = exact.conditionals
    rng = torch.Generator().manual_seed(0)
    n = 20_000
    x = states[torch.multinomial(probabilities, n, replacement=True, generator=rng)]
    for _ in range(3):
        x = model._gibbs(x, 2, rng)
    counts = torch.bincount((x * torch.tensor([8, 4, 2, 1])).sum(1), minlength=16) / n
    assert float(((counts - probabilities) / (probabilities / n).sqrt()).abs().max()) < 6


def test_consistent_networks_are_exact_marginal_tables():
    states, probabilities = table(3)
    exact = Exact(3, states, probabilities)
    model = MarginalModel(2, 3, width=4, depth=1)
    model.conditionals = exact.conditionals
    model._raw = lambda x, known: exact_marginal(states, probabilities, x, known)
    assert model.consistency(states, n=500) < 1e-9
    model._raw = lambda x, known: exact_marginal(states, probabilities, x, known) + 0.1 * known.sum(1)
    assert model.consistency(states, n=500) == pytest.approx(0.1, abs=1e-6)


def test_orders_and_cuts_are_uniform():
    rng = torch.Generator().manual_seed(0)
    rank = random_order(6_000, 3, rng)
    assert bool((rank.sort(1).values == torch.arange(3)).all())
    codes, counts = (rank * torch.tensor([9, 3, 1])).sum(1).unique(return_counts=True)
    assert len(codes) == 6 and float((counts / 6_000 - 1 / 6).abs().max()) < 6 * (5 / 36 / 6_000) ** 0.5
    known, place = cut_at(rank, rng)
    row = torch.arange(6_000)
    assert bool((known.sum(1) == rank[row, place]).all()) and not bool(known[row, place].any())


@pytest.mark.slow
def test_training_on_data_finds_the_marginals():
    states, probabilities = table(3)
    rng = torch.Generator().manual_seed(0)
    data = states[torch.multinomial(probabilities, 4_000, replacement=True, generator=rng)]
    for q in ("data", "mixed"):
        model = MarginalModel(2, 3, width=64, depth=1).fit(data, 600, 600, q=q, rate=3e-3)
        heavy = states[probabilities > 0.03]
        for known in subsets(3):
            mask = known.expand(heavy.shape)
            gap = model.log_marginal(heavy, mask) - exact_marginal(states, probabilities, heavy, mask)
            assert float(gap.abs().max()) < 0.35
        assert abs(float(model.log_marginal(heavy, torch.zeros(1, 3, dtype=torch.bool))[0])) < 1e-6
        given, target = torch.tensor([[True, False, False]]), torch.tensor([[False, True, False]])
        both = torch.tensor([[0, 0, 0], [0, 1, 0]])
        assert float(model.log_conditional(both, given, target).exp().sum()) == pytest.approx(1.0, abs=0.25)
        assert model.consistency(data) < 0.25


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["trajectory", "trajectory balance"])
def test_training_on_an_energy(loss):
    model = Ising(2, 0.2, 0.3)
    found = AnyOrderARM(2, 4, width=32, depth=1).fit_energy(model.log_weight, 250, loss=loss, rate=5e-3)
    gap = float((model.log_probabilities.exp() * (model.log_probabilities - found.log_chain(model.states))).sum())
    assert gap < 0.05


@pytest.mark.slow
def test_the_gradient_from_one_step_is_that_of_whole_trajectories_with_more_noise():
    # At rest this estimator does not converge, so its gradient is looked at instead, on average over many samples.
    model = Ising(2, 0.2, 0.3)
    found = AnyOrderARM(2, 4, width=16, depth=1, seed=0)
    rng = torch.Generator().manual_seed(0)
    x = model.states[torch.multinomial(found.log_chain(model.states).exp(), 100_000, replacement=True, generator=rng)]

    def gradient(total, value):
        gap = (value - model.log_weight(x)[: len(value)]).detach()
        loss = ((gap - gap.mean()) * total).mean()
        return torch.cat([part.reshape(-1) for part in torch.autograd.grad(loss, found.network.head.parameters())])

    exact = gradient(found.log_chain(x, gradient=True), found.log_chain(x))

    def score(parts):
        return float(((parts.mean(0) - exact) / (parts.std(0) / 8**0.5).clamp(min=1e-6)).square().mean())

    parts = torch.stack([gradient(found._one_step(x, rng), found._one_step(x, rng)) for _ in range(8)])
    # Student's t with 7 degrees of freedom, 136 entries: the mean square score is about 1.4; 4 is far outside.
    assert score(parts) < 4
    assert float(torch.dot(parts.mean(0), exact) / parts.mean(0).norm() / exact.norm()) > 0.9
    # One estimate in both factors is biased, and the same score tells.
    assert score(torch.stack([gradient(total := found._one_step(x, rng), total) for _ in range(8)])) > 100


@pytest.mark.slow
def test_a_marginal_model_learns_an_energy():
    model = Ising(2, 0.2, 0.3)
    found = MarginalModel(2, 4, width=64, depth=1).fit_energy(model.log_weight, 700, gibbs=2, rate=3e-3)
    x = model.states
    for known in subsets(4):
        mask = known.expand(x.shape)
        weights = model.log_probabilities.exp()
        gap = (weights * (found.log_marginal(x, mask) - model.log_marginal(x, mask)).abs()).sum()
        assert float(gap) < 0.25
    assert found.log_partition == pytest.approx(model.log_partition, abs=0.1)
    assert len(found.divergence) == len(found.spread) == 700
    again = MarginalModel(2, 4, width=64, depth=1).fit_energy(model.log_weight, 5)
    other = MarginalModel(2, 4, width=64, depth=1).fit_energy(model.log_weight, 5)
    assert again.log_partition == other.log_partition


def test_a_model_is_a_distribution_for_proposals():
    states, probabilities = table(3)
    model = Exact(3, states, probabilities)
    drawn = AnyOrderARM.sample_batch([model] * 5, Source(0))
    assert len(drawn) == 5 and drawn[0].shape == (3,)
    assert float(model.log_prob([1, 0, 1]).exp()) == pytest.approx(float(probabilities[5]), abs=1e-9)


@pytest.mark.parametrize("side", [2, 3])
def test_ising_weights_partition_and_marginals(side):
    model = Ising(side, 0.13, -0.2)
    spins = 2.0 * model.states.double() - 1
    by_hand = torch.zeros(len(spins), dtype=torch.float64)
    for i, j in itertools.product(range(side), repeat=2):
        here = spins[:, i * side + j]
        for a, b in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            by_hand += 0.13 * here * spins[:, (i + a) % side * side + (j + b) % side]
        by_hand += -0.2 * here
    torch.testing.assert_close(model.log_weight(model.states), by_hand)
    assert model.log_partition == pytest.approx(float(torch.logsumexp(by_hand, 0)), abs=1e-9)
    assert float(model.log_probabilities.exp().sum()) == pytest.approx(1.0)
    x, known = model.sample(40, seed=1), torch.rand(40, side**2, generator=torch.Generator().manual_seed(0)) < 0.5
    less = known & (torch.rand(known.shape, generator=torch.Generator().manual_seed(1)) < 0.5)
    assert bool((model.log_marginal(x, less) >= model.log_marginal(x, known) - 1e-12).all())


def test_bad_input_gets_clear_errors():
    model = MarginalModel(2, 3, width=4, depth=1)
    full = torch.ones(1, 3, dtype=torch.bool)
    for bad in (
        lambda: model.log_marginal([[0, 1]], full),
        lambda: model.log_marginal([[0, 1, 2]], full),
        lambda: model.log_marginal([[0.5, 1, 0]], full),
        lambda: model.log_conditional([[0, 1, 0]], full, full),
        lambda: model.fit([[0, 1, 0]], q="noise"),
        lambda: model.fit_energy(lambda x: x.sum(1), gibbs=0),
        lambda: model.sample(0),
        lambda: model.sample(1, given={3: 0}),
        lambda: model.sample(1, order=[0, 1]),
        lambda: AnyOrderARM(2, 3).fit_energy(lambda x: x.sum(1), loss="best"),
        lambda: AnyOrderARM(2, 3).log_marginal([[0, 1, 0]], full, orders=0),
        lambda: MaskedNetwork(1, 3, 1),
        lambda: Ising(1),
        lambda: Ising(5).states,
        lambda: Ising(12).log_partition,
    ):
        with pytest.raises(UsageError):
            bad()
