"""The contrastive encoder recovers a known inner product, up to rotation."""

import math

import numpy as np
import pytest

from educe.core import UsageError
from educe.learn import Contrastive, LeastSquares, MLEThenERM


def pairs(m=6000, seed=0, encode=lambda x: x @ np.array([[1.5, 0], [0, 1.0], [0, 0]])):
    random = np.random.default_rng(seed)
    left, right = random.normal(size=(2, m, 3))
    together = random.random(m) < 1 / (1 + np.exp(-(encode(left) * encode(right)).sum(1)))
    return left, right, together.astype(int)


@pytest.mark.slow
def test_a_linear_encoder_finds_the_inner_product():
    model = Contrastive(rank=2, decay=0.0).fit(pairs())
    weights = model.represent(np.eye(3))
    # 6,000 pairs: entries have a standard error near 0.05; 0.3 is six of them.
    np.testing.assert_allclose(weights @ weights.T, np.diag([2.25, 1.0, 0.0]), atol=0.3)
    assert model.loss_ < math.log(2)
    assert model.log_prob(pairs()).mean() == pytest.approx(-model.loss_)


def test_it_is_logistic_regression_when_one_side_is_fixed():
    linear_model = pytest.importorskip("sklearn.linear_model")
    left, _, _ = pairs(500)
    right = np.tile([1.0, 0, 0], (500, 1))
    flags = (np.random.default_rng(1).random(500) < 1 / (1 + np.exp(-left[:, 0]))).astype(int)
    model = Contrastive(rank=3, decay=0.0, iterations=500).fit((left, right, flags))
    encoded = model.represent(np.eye(3))
    ours = encoded @ encoded[0]  # the logit is x' W'W e1
    theirs = linear_model.LogisticRegression(C=1e9, fit_intercept=False).fit(left, flags).coef_[0]
    np.testing.assert_allclose(ours, theirs, atol=1e-3)


@pytest.mark.slow
def test_an_mlp_fits_what_no_linear_encoder_can():
    curved = pairs(3000, encode=lambda x: 2 * np.tanh(2 * np.abs(x[:, :1]) - 1.5))
    linear = Contrastive(rank=1).fit(curved)
    deep = Contrastive(rank=1, encoder="mlp", hidden=16, seed=1).fit(curved)
    assert deep.loss_ < linear.loss_ - 0.05


def test_a_head_on_the_representation_needs_few_labels():
    left, right, flags = pairs()
    x = np.random.default_rng(5).normal(size=(1000, 3))
    y = x[:, 0] - x[:, 1]
    model = MLEThenERM(Contrastive(rank=2), LeastSquares()).fit((left, right, flags), x[:10], y[:10])
    assert np.mean((model.predict(x) - y) ** 2) < 0.1
    posterior = model.latent.posterior(x[0])
    np.testing.assert_allclose(posterior.mode()["z"], model.represent(x[:1])[0])


def test_bad_input_is_named():
    left, right, flags = pairs(20)
    with pytest.raises(UsageError, match="needs pairs"):
        Contrastive().fit(left)
    with pytest.raises(UsageError, match="one of each per pair"):
        Contrastive().fit((left, right[:5], flags))
    with pytest.raises(UsageError, match="one class only"):
        Contrastive().fit((left, right, np.ones(20)))
    with pytest.raises(UsageError, match="'deep' is unknown"):
        Contrastive(encoder="deep").fit((left, right, flags))
    with pytest.raises(UsageError, match="rank=0"):
        Contrastive(rank=0).fit((left, right, flags))
