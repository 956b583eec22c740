"""The certificate against the truth: valid on every law tried, refused where it must be, and invariant."""

import math

import numpy as np
import pytest

from educe.core import Refusal, UsageError
from educe.learn import Certified, certify_halfspace
from educe.learn.halfspace_certificate import _flip_proxy, _upper_rate

W = np.array([1.0, 0, 0, 0])


def labelled(n, *, flips=0.2, seed=0, law="normal", w=W):
    random = np.random.default_rng(seed)
    x = {
        "normal": lambda: random.normal(size=(n, len(w))),
        "uniform": lambda: random.uniform(-math.sqrt(3), math.sqrt(3), size=(n, len(w))),
        "laplace": lambda: random.laplace(size=(n, len(w))) / math.sqrt(2),
        "t5": lambda: random.standard_t(5, size=(n, len(w))) * math.sqrt(3 / 5),
    }[law]()
    return x, np.where(x @ w >= 0, 1, -1) * np.where(random.random(n) < flips, -1, 1)


def tilted(angle):
    return np.array([math.cos(angle), math.sin(angle), 0, 0])


@pytest.mark.slow
@pytest.mark.parametrize("law", ["normal", "uniform", "laplace", "t5"])
@pytest.mark.parametrize("angle", [0.0, 0.02, 0.05, 0.1, 0.3, 1.0])
def test_what_is_certified_holds(law, angle):
    """An accepted tilted w has no more excess than certified. With delta = 1e-8 a false alarm is below 1e-6."""
    x, y = labelled(150_000, law=law)
    result = certify_halfspace(tilted(angle), x, y, sigma=0.05, delta=1e-8, target="log_concave", max_excess=0.4)
    if isinstance(result, Refusal):
        assert angle >= 0.02 or law in ("laplace", "t5")
        return
    fresh = labelled(400_000, law=law, seed=1)[0]
    disagreement = ((fresh @ tilted(angle) >= 0) != (fresh @ W >= 0)).mean()
    assert angle <= result.theta
    assert 0.6 * disagreement <= result.excess_bound <= 0.4


def test_a_gaussian_is_accepted_and_a_wrong_halfspace_is_not():
    x, y = labelled(60_000)
    good = certify_halfspace(W, x, y, sigma=0.05)
    assert isinstance(good, Certified) and good.accepted and good.excess_bound < 0.2
    assert all(test.passed for test in good.report)
    assert good.test_error == pytest.approx((np.where(x @ W >= 0, 1, -1) != y).mean())
    bad = certify_halfspace(tilted(0.5), x, y, sigma=0.05)
    assert isinstance(bad, Refusal) and "not stationary" in bad.reason
    assert not bad.certificate[-1].passed


def test_the_mirror_image_of_the_optimum_is_refused():
    """Its gradient vanishes just as well: only the error tells the two apart."""
    x, y = labelled(60_000)
    for noise in ("massart", "adversarial"):
        result = certify_halfspace(-W, x, y, sigma=0.1, noise=noise, max_excess=0.9)
        assert isinstance(result, Refusal) and "contradicts the noise model" in result.reason


def test_random_labels_are_refused():
    x, _ = labelled(60_000)
    y = np.random.default_rng(9).choice([-1, 1], size=len(x))
    assert isinstance(certify_halfspace(W, x, y, sigma=0.05), Refusal)
    # Labels noisier than declared: the certificate would not hold, and the error gives it away.
    x, y = labelled(60_000, flips=0.4)
    assert "contradicts the noise model" in certify_halfspace(W, x, y, sigma=0.05, eta=0.2).reason


@pytest.mark.parametrize(
    ("break_it", "reason"),
    [
        (lambda x: np.sign(x) + 1e-9 * x, "strip mass"),
        (lambda x: np.where(np.arange(len(x))[:, None] % 3 == 0, x * 1e-3, x), "strip mass"),
        (lambda x: np.where(np.abs(x[:, :1]) < 0.2, x * [1, 0.1, 0.1, 0.1], x), "smallest variance"),
        (lambda x: x * [1, 1, 1, 3], "largest variance"),
        (lambda x: np.where(np.arange(len(x))[:, None] % 50 == 0, x * [1, 4.5, 1, 1], x), "fourth moment"),
        (lambda x: x[:100], "strip of width"),
    ],
)  # fmt: skip
def test_the_first_failed_test_is_named(break_it, reason):
    x, _ = labelled(60_000)
    x = break_it(x)
    y = np.where(x @ W >= 0, 1, -1)
    result = certify_halfspace(W, x, y, sigma=0.1 if len(x) > 100 else 0.5)
    assert isinstance(result, Refusal) and reason in result.reason, result


def test_the_certificate_turns_with_the_data_and_ignores_the_length_of_w():
    x, y = labelled(40_000)
    rotation = np.linalg.qr(np.random.default_rng(3).normal(size=(4, 4)))[0]
    first = certify_halfspace(W, x, y, sigma=0.08, max_excess=0.5)
    second = certify_halfspace(7 * rotation.T @ W, x @ rotation, y, sigma=0.08, max_excess=0.5)
    assert isinstance(first, Certified) and isinstance(second, Certified)
    assert second.excess_bound == pytest.approx(first.excess_bound, rel=1e-6)
    for one, other in zip(first.report, second.report, strict=True):
        assert other.value == pytest.approx(one.value, rel=1e-6), one.name
    assert np.linalg.norm(second.w) == pytest.approx(1)


def test_labels_of_any_two_names_are_read_the_same():
    x, y = labelled(20_000)
    one = certify_halfspace(W, x, y, sigma=0.1, max_excess=0.9)
    other = certify_halfspace(W, x, (y + 1) // 2, sigma=0.1, max_excess=0.9)
    assert one.theta == other.theta


def test_excess_is_the_flip_weighted_disagreement():
    """err(w) - opt = E[(1 - 2 eta(x)) 1{disagree}] under Massart noise of varying rate."""
    random = np.random.default_rng(4)
    x = random.normal(size=(1_000_000, 4))
    eta = 0.3 / (1 + x[:, 1] ** 2)
    best, other = x @ W >= 0, x @ tilted(0.4) >= 0
    y = np.where(random.random(len(x)) < eta, ~best, best)
    difference = (other != y).mean() - (best != y).mean()
    # Only disagreeing points differ: a standard error of at most sqrt(0.13 / n) = 3.6e-4.
    assert difference == pytest.approx(((1 - 2 * eta) * (best != other)).mean(), abs=2e-3)


@pytest.mark.parametrize("share", [0.002, 0.01, 0.03])
def test_adversarial_noise_is_survived(share):
    """Flip the labels nearest the boundary on one side: the worst that an adversary can do to the gradient."""
    x, _ = labelled(100_000)
    y = np.where(x @ W >= 0, 1, -1)
    order = np.argsort(np.where((x[:, 0] > 0) == (x[:, 1] > 0), np.abs(x[:, 0]), np.inf))
    y[order[: int(share * len(x))]] *= -1
    for angle in (0.0, 0.05, 0.2):
        result = certify_halfspace(tilted(angle), x, y, sigma=0.2, noise="adversarial", delta=1e-8)
        excess = (np.where(x @ tilted(angle) >= 0, 1, -1) != y).mean() - share
        assert isinstance(result, Refusal) or excess <= result.excess_bound


def test_few_flips_give_an_adversarial_certificate_below_the_error():
    x, y = labelled(300_000, flips=0.0)
    w = tilted(0.25)
    result = certify_halfspace(w, x, y, sigma=0.3, noise="adversarial", max_excess=0.9)
    assert isinstance(result, Refusal) or result.excess_bound <= result.test_error + 0.01


def test_upper_rate_inverts_the_binomial_tail():
    stats = pytest.importorskip("scipy.stats")
    for share, count in [(0.0, 50), (0.1, 200), (0.5, 1000), (1.0, 10)]:
        rate = _upper_rate(share, count, math.log(100))
        exact = 1.0 if share == 1 else stats.beta.ppf(0.99, share * count + 1, count - share * count)
        assert exact <= rate <= exact + 0.06
    assert _upper_rate(0.0, 50, math.log(100)) == pytest.approx(1 - 0.01 ** (1 / 50))


def test_flip_proxy_bounds_the_log_moment_generating_function():
    for p in (0.01, 0.1, 0.2, 0.4, 0.4999):
        for t in np.linspace(-5, 5, 41):
            log_moment = math.log((1 - p) * math.exp(2 * t * p) + p * math.exp(-2 * t * (1 - p)))
            assert log_moment <= _flip_proxy(p) * t * t / 2 + 1e-12
    assert _flip_proxy(0.0) == 0


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"X": [[1.0, math.nan]] * 4}, "NaN or infinity, first in row 0, column 1"),
        ({"X": [[1.0, 2.0], [1.0, 3.0], [1.0, 4.0], [1.0, 1.0]]}, "Column 0 of X is constant"),
        ({"X": [[1.0], [2.0], [3.0], [4.0]], "w": [1]}, "minimum of 2 is required"),
        ({"X": [[1.0, 2.0]], "y": [1]}, "1 sample"),
        ({"y": [0, 1, 2, 1]}, "multiclass: 3 classes"),
        ({"y": [1, 1, 1, 1]}, "one class only"),
        ({"y": [0.5, 1, 0.5, 1]}, "Unknown label type"),
        ({"y": [1, -1]}, "2 values but X has 4 rows"),
        ({"w": [0, 0]}, "no direction"),
        ({"sigma": -1}, "no width"),
        ({"noise": "none"}, "'none' is unknown"),
        ({"eta": 0.5}, "no Massart noise"),
        ({"delta": 0}, "no probability"),
        ({"max_excess": 2}, "no bound"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_at_the_border(change, match):
    given = {"w": [1, 1], "X": [[1.0, 2.0], [2.0, 1.0], [3.0, 5.0], [0.0, 1.0]], "y": [1, -1, 1, -1]} | change
    w, x, y = given.pop("w"), given.pop("X"), given.pop("y")
    with pytest.raises(UsageError, match=match):
        certify_halfspace(w, x, y, **given)
