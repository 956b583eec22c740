"""The bottleneck against exhaustive search, known information, equivariance and canonical correlations."""

import itertools
import math

import pytest
import torch

from educe.core import UsageError
from educe.learn import ConsciousnessPrior, predictive_subspace, verifier

D = torch.float64


def world(n=400, elements=8, seed=0):
    rng = torch.Generator().manual_seed(seed)
    now, later = (torch.randint(2, (n, elements), generator=rng) for _ in range(2))
    flip = (torch.rand(n, 3, generator=rng) < 0.05).long()
    later[:, 0] = (now[:, 1] & now[:, 2]) ^ flip[:, 0]
    later[:, 1] = (now[:, 0] | now[:, 3]) ^ flip[:, 1]
    later[:, 2] = now[:, 4] ^ flip[:, 2]
    return now, later


def fitted(now, later, **settings):
    return ConsciousnessPrior(steps=120, restarts=4, **settings).fit(now, later)


def information(now, later, picks, target):
    """Plug-in mutual information, by counts."""
    total = 0.0
    n = len(now)
    for values in itertools.product((0, 1), repeat=len(picks) + 1):
        agree = later[:, target] == values[0]
        given = torch.ones(n, dtype=torch.bool)
        for pick, value in zip(picks, values[1:], strict=True):
            given &= now[:, pick] == value
        both = int((agree & given).sum())
        if both:
            total += both / n * math.log(both * n / (int(agree.sum()) * int(given.sum())))
    return total


def test_picks_are_those_of_an_exhaustive_search():
    now, later = world()
    model = fitted(now, later)
    assert model.attention.picks[:3] == ((1, 2), (0, 3), (4,))
    for target in (0, 1):
        best = max(itertools.combinations(range(8), 2), key=lambda pair, t=target: information(now, later, pair, t))
        assert model.attention.picks[target] == best
    # A coin gets a pick with probability about 0.015 under the extended BIC: four or more picks of five coins < 1e-6.
    assert sum(len(picks) for picks in model.attention.picks[3:]) <= 4
    assert float(model.attention.weights[:3].sum()) > 0.6
    assert float(model.attention.weights.sum()) == pytest.approx(1.0)


def test_the_gain_is_at_most_the_information():
    now, later = world(4_000)
    model = fitted(*world(300))
    gains = verifier(model, now, later).mean(0)
    exact = -0.05 * math.log(0.05) - 0.95 * math.log(0.95)
    assert float(gains[2]) == pytest.approx(math.log(2) - exact, abs=0.05)
    for target in range(3):
        assert float(gains[target]) <= information(now, later, model.attention.picks[target], target) + 0.02


def test_no_picks_give_the_entropy():
    now, later = world()
    model = fitted(now, later, n_picks=0)
    p = later.double().mean(0)
    entropy = -(p * p.log() + (1 - p) * (1 - p).log())
    torch.testing.assert_close(-model.log_prob(now, later).mean(0), entropy, rtol=0, atol=1e-3)


def test_permuting_elements_permutes_the_graph():
    now, later = world()
    order = torch.tensor([3, 1, 5, 0, 7, 2, 6, 4])
    place = order.argsort()
    one, other = fitted(now, later), fitted(now[:, order], later[:, order])
    for target in range(8):
        moved = tuple(sorted(int(place[pick]) for pick in one.attention.picks[target]))
        assert other.attention.picks[int(place[target])] == moved


def test_accuracy_alone_attends_to_a_constant():
    now, later = world()
    later[:, 7] = 1
    assert float(fitted(now, later, objective="accuracy").attention.weights[7]) > 0.5
    assert float(fitted(now, later).attention.weights[7]) < 0.1


def test_the_verifier_falls_where_a_mechanism_changed():
    model = fitted(*world())
    now, later = world(200, seed=5)
    later[:, 0] = now[:, 5]
    scores = verifier(model, now, later).mean(0)
    assert int(scores.argmin()) == 0 and float(scores[1]) > 0.2


def test_thoughts_follow_factors_and_the_graph_is_that_of_the_tables():
    now, later = world()
    model = fitted(now, later)
    thoughts = model.think(now[0], 12, seed=1)
    assert thoughts == model.think(now[0], 12, seed=1) and len(thoughts) == 12
    for before, after in itertools.pairwise(thoughts):
        assert not before.picks or after.target in before.picks
    for thought in thoughts:
        assert set(thought.picks) == set(model.attention.picks[thought.target])
        assert all(value == int(now[0, pick]) for pick, value in thought.picks.items())
    graph = model.factor_graph()
    state = {f"now {i}": now[:, i] for i in range(8)} | {f"next {i}": later[:, i] for i in range(8)}
    torch.testing.assert_close(graph.log_prob(state), model.log_prob(now, later).sum(1))
    assert ("next 0", "now 1", "now 2") in graph.factors


def test_the_subspace_is_that_of_canonical_correlations():
    decomposition = pytest.importorskip("sklearn.cross_decomposition")
    rng = torch.Generator().manual_seed(0)
    source = torch.randn(3_000, 2, generator=rng, dtype=D)
    mix = torch.randn(2, 5, generator=rng, dtype=D)
    now, later = (source @ mix + 0.5 * torch.randn(3_000, 5, generator=rng, dtype=D) for _ in range(2))
    found = (now - now.mean(0)) @ predictive_subspace(now, later, 2)
    torch.testing.assert_close(found.T @ found / 3_000, torch.eye(2, dtype=D), rtol=0, atol=1e-9)
    theirs = torch.as_tensor(
        decomposition.CCA(2, max_iter=2_000).fit(now.numpy(), later.numpy()).transform(now.numpy())
    )
    basis = torch.linalg.qr(theirs)[0]
    inside = (basis.T @ torch.linalg.qr(found)[0]).square().sum()
    assert float(inside) == pytest.approx(2.0, abs=1e-3)


def test_bad_input_gets_clear_errors():
    now, later = world(20)
    for bad in (
        lambda: ConsciousnessPrior(n_picks=4),
        lambda: ConsciousnessPrior(objective="best"),
        lambda: ConsciousnessPrior(restarts=0),
        lambda: ConsciousnessPrior().fit(now, later[:, :3]),
        lambda: ConsciousnessPrior().fit(now * 2, later),
        lambda: ConsciousnessPrior().fit(now[0], later[0]),
        lambda: ConsciousnessPrior(steps=2, restarts=1).fit(now, later).think(now[0], 0),
        lambda: predictive_subspace(now.double(), later.double(), 9),
    ):
        with pytest.raises(UsageError):
            bad()
