"""Learners of individual effects: closed forms, known effects, the discrepancy by its definition, bad input."""

import numpy as np
import pytest
import torch

from educe.causal import CEVAE, CFR, DragonNet, TARNet, TLearner
from educe.causal.cate import mean_discrepancy
from educe.core import UsageError

LEARNERS = [
    TARNet(hidden=(8,), epochs=2),
    CFR(hidden=(8,), epochs=2),
    CFR(hidden=(8,), epochs=2, discrepancy="rbf"),
    DragonNet(hidden=(8,), epochs=2),
    DragonNet(hidden=(8,), epochs=2, targeted=1.0),
    CEVAE(latent=2, hidden=(8,), epochs=2),
]


def world(n, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3))
    t = (rng.logistic(size=n) < x[:, 0]).astype(float)
    effect = 1 + x[:, 1]
    return x, t, x[:, 0] + t * effect + 0.1 * rng.normal(size=n), effect


@pytest.mark.slow
@pytest.mark.parametrize("kind", [TARNet, CFR, DragonNet])
def test_effects_that_covariates_explain_are_found(kind):
    x, t, y, effect = world(1000)
    model = kind(hidden=(32,), epochs=80, batch=100).fit(x, t, y)
    assert float(np.sqrt(np.mean((model.effect(x) - effect) ** 2))) < 0.35
    assert abs(y[t == 1].mean() - y[t == 0].mean() - 1) > 0.5 > abs(model.effect(x).mean() - 1)


@pytest.mark.slow
def test_cevae_finds_an_average_effect_through_proxies():
    """Five noisy proxies of what confounds; the naive difference is off by more than the model's."""
    rng = np.random.default_rng(3)
    z = rng.normal(size=1000)
    x = z[:, None] + 0.5 * rng.normal(size=(1000, 5))
    t = (rng.logistic(size=1000) < 1.5 * z).astype(float)
    y = 2 * z + t + 0.5 * rng.normal(size=1000)
    naive = y[t == 1].mean() - y[t == 0].mean()
    model = CEVAE(latent=3, hidden=(32,), epochs=50).fit(x, t, y)
    assert abs(model.effect(x).mean() - 1) < 0.5 * abs(naive - 1)


def test_a_t_learner_is_one_regression_per_arm():
    linear = pytest.importorskip("sklearn.linear_model")
    x, t, y, _ = world(200)
    regressor = linear.LinearRegression()
    model = TLearner(regressor).fit(x, t, y)
    design = np.column_stack([np.ones(len(x)), x])
    arms = [np.linalg.lstsq(design[t == arm], y[t == arm], rcond=None)[0] for arm in (0, 1)]
    np.testing.assert_allclose(model.effect(x), design @ (arms[1] - arms[0]), atol=1e-9)
    np.testing.assert_allclose(model.predict(x, t), np.where(t == 1, design @ arms[1], design @ arms[0]), atol=1e-9)
    assert not hasattr(regressor, "coef_")


def test_the_discrepancy_is_what_it_says():
    rng = np.random.default_rng(0)
    a, b = torch.as_tensor(rng.normal(size=(7, 2))), torch.as_tensor(rng.normal(1, 1, size=(5, 2)))
    assert float(mean_discrepancy(a, b, "linear")) == pytest.approx(float(((a.mean(0) - b.mean(0)) ** 2).sum()))
    both = torch.cat([a, b]).numpy()
    squares = ((both[:, None] - both[None]) ** 2).sum(-1)
    width = float(torch.as_tensor(squares).median())

    def mean_kernel(u, v):
        return np.mean([[np.exp(-((p - q) ** 2).sum() / width) for q in v] for p in u])

    expected = mean_kernel(a.numpy(), a.numpy()) + mean_kernel(b.numpy(), b.numpy())
    expected -= 2 * mean_kernel(a.numpy(), b.numpy())
    assert float(mean_discrepancy(a, b, "rbf")) == pytest.approx(expected)
    assert float(mean_discrepancy(a, a, "rbf")) == pytest.approx(0, abs=1e-12)
    assert float(mean_discrepancy(a, b[:0], "rbf")) == 0


@pytest.mark.parametrize("model", LEARNERS, ids=repr)
def test_the_protocol_is_one(model):
    x, t, y, _ = world(60)
    fitted = type(model)(**model.get_params()).fit(x, t, y)
    np.testing.assert_allclose(fitted.effect(x), fitted.predict(x, 1) - fitted.predict(x, 0), atol=1e-6)
    np.testing.assert_allclose(fitted.predict(x, t), np.where(t == 1, fitted.predict(x, 1), fitted.predict(x, 0)))
    again = type(model)(**model.get_params()).fit(torch.as_tensor(x), t.tolist(), torch.as_tensor(y))
    np.testing.assert_array_equal(fitted.effect(x), again.effect(torch.as_tensor(x)))
    clone = pytest.importorskip("sklearn.base").clone
    assert clone(model).get_params() == model.get_params()
    with pytest.raises(UsageError, match="not fitted"):
        type(model)().effect(x)
    with pytest.raises(UsageError, match="x has 2 columns"):
        fitted.effect(x[:, :2])
    with pytest.raises(UsageError, match="Arm t=0 has 0 units"):
        type(model)(**model.get_params()).fit(x, np.ones(60), y)
    with pytest.raises(UsageError, match="NaN"):
        type(model)(**model.get_params()).fit(np.where(x > 1, np.nan, x), t, y)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (TARNet(hidden=()), "leaves no layer"),
        (CFR(balance=-1), "balance=-1"),
        (CFR(discrepancy="energy"), "'energy'"),
        (DragonNet(targeted=-1), "targeted=-1"),
        (CEVAE(latent=0), "latent=0"),
        (TARNet(batch=1), "batch=1"),
        (TLearner("no regressor"), "no fit and predict"),
    ],
)
def test_bad_parameters_are_refused(model, words):
    x, t, y, _ = world(60)
    with pytest.raises(UsageError, match=words):
        model.fit(x, t, y)
