"""Heckman's correction: probit and logit against statsmodels, a known selection model, bad input."""

import warnings

import numpy as np
import pytest

from educe.causal import heckman
from educe.causal._binary_regression import fit_binary, inverse_mills
from educe.core import UsageError


def world(n, seed=0):
    rng = np.random.default_rng(seed)
    x, z, c, e = rng.normal(size=(4, n))
    t = (x + 2 * z + c + e > 0).astype(float)
    return np.column_stack([x, z]), t, x + 2 * t + 1.5 * c + 0.3 * rng.normal(size=n)


@pytest.mark.slow
@pytest.mark.parametrize("link", ["probit", "logit"])
def test_binary_regression_agrees_with_statsmodels(link):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        models = pytest.importorskip("statsmodels.api")
        x, t, _ = world(800)
        design = np.column_stack([np.ones(len(x)), x])
        kind = models.Probit if link == "probit" else models.Logit
        theirs = kind(t, design).fit(disp=0).params
    np.testing.assert_allclose(fit_binary(design, t, link), theirs, atol=1e-5)


def test_the_inverse_mills_ratio_does_not_break_in_the_tail():
    stats = pytest.importorskip("scipy.stats")
    points = np.array([-8.0, -2.0, 0.0, 3.0])
    np.testing.assert_allclose(inverse_mills(points), stats.norm.pdf(points) / stats.norm.cdf(points), rtol=1e-9)
    # Far in the tail the ratio is the distance itself, plus its inverse.
    assert inverse_mills(np.array([-60.0]))[0] == pytest.approx(60 + 1 / 60, abs=1e-3)


def test_a_selection_model_is_recovered():
    """The bootstrap's spread is near 0.06 here; five of them are allowed. The naive difference is off by one."""
    x, t, y = world(8000)
    found = heckman(x, t, y, bootstrap=10)
    assert abs(found.details["average"] - 2) < 0.3 < abs(y[t == 1].mean() - y[t == 0].mean() - 2)
    # 1.5 c and c + e, whose deviation is sqrt 2, covary by 1.5: the ratio's coefficient is 1.5 / sqrt 2.
    np.testing.assert_allclose(found.details["selection"], [1.5 / 2**0.5] * 2, atol=0.3)
    low, high = found.details["interval"]
    assert low < found.details["average"] < high and len(found.details["effects"]) == 8000


def test_the_seed_decides():
    x, t, y = world(300)
    one, two, other = (heckman(x, t, y, bootstrap=5, seed=seed).values["average"].tolist() for seed in (1, 1, 2))
    assert one == two != other


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x, t, y: ((x, (x[:, 0] > 0).astype(float), y), {}), "separate treated from untreated"),
        (lambda x, t, y: ((x, t, y), {"bootstrap": 1}), "bootstrap=1"),
        (lambda x, t, y: ((x, t, y), {"mass": 1.0}), "mass=1"),
        (lambda x, t, y: ((x, t * 0, y), {}), "Arm t=1 has 0 units"),
        (lambda x, t, y: ((x * np.nan, t, y), {}), "x contains NaN"),
    ],
)
def test_bad_input_is_refused(change, words):
    arguments, extra = change(*world(200))
    with pytest.raises(UsageError, match=words):
        heckman(*arguments, **extra)
