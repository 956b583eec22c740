"""Independence tests: causal-learn as second opinion, false alarms, power, chi-squared by hand, bad input."""

import warnings

import numpy as np
import pytest
import torch
from scipy import stats

from educe.causal import g_test, kci
from educe.core import UsageError


def causal_learn(method, data):
    cit = pytest.importorskip("causallearn.utils.cit")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return cit.CIT(data, method, **({"approx": True} if method == "kci" else {}))


@pytest.mark.parametrize("n", [60, pytest.param(210, marks=pytest.mark.slow)])
def test_kci_agrees_with_causal_learn(n):
    generator = np.random.default_rng(n)
    z = generator.normal(size=n)
    x, y = z + generator.normal(size=n), np.sin(2 * z) + generator.normal(size=n) + 0.3 * z
    test = causal_learn("kci", np.stack([x, y, z], 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with_condition, without = test(0, 1, [2]), test(0, 1)
    # They round eigenvalues below a threshold away, hence not to the last digit.
    assert kci(x, y, z).p_value == pytest.approx(with_condition, abs=0.002)
    assert kci(x, y).p_value == pytest.approx(without, rel=1e-6)


def test_kci_rejects_true_independences_at_its_level():
    """150 nulls of each kind at n = 100; Binomial(150, 0.05) exceeds 23 with chance 8e-7."""
    generator = np.random.default_rng(0)
    rejected = np.zeros(2)
    for _ in range(150):
        x, y, z = generator.normal(size=(3, 100))
        rejected += [kci(x, y).p_value < 0.05, kci(z + x, np.cos(z) + y, z).p_value < 0.05]
    assert rejected.max() <= 23
    # Nor never: Binomial(150, 0.03) is 0 with chance 0.01 only, so this asks for some rejection in both together.
    assert rejected.sum() >= 1


def test_kci_sees_what_correlation_does_not():
    generator = np.random.default_rng(1)
    x = generator.normal(size=200)
    y = x**2 + 0.3 * generator.normal(size=200)
    assert abs(np.corrcoef(x, y)[0, 1]) < 0.2 and kci(x, y).p_value < 1e-8
    z = generator.normal(size=200)
    assert kci(x, y + z, z).p_value < 1e-6


def test_kci_does_not_depend_on_scale_and_sides():
    generator = np.random.default_rng(2)
    x, y = generator.normal(size=(2, 80))
    z = generator.normal(size=(80, 2))
    one = kci(x, y, z).p_value
    assert kci(1e6 * x - 3, y / 1e3, 5 * z + 1).p_value == pytest.approx(one, rel=1e-6)
    assert kci(x, y).p_value == pytest.approx(kci(y, x).p_value, rel=1e-9)
    assert torch.get_num_threads() >= 1


def test_the_number_of_threads_is_restored():
    before = torch.get_num_threads()
    kci(np.arange(20.0), np.arange(20.0) ** 2)
    with pytest.raises(UsageError):
        kci(np.arange(20.0), np.zeros(20))
    assert torch.get_num_threads() == before


def test_g_test_is_the_likelihood_ratio_of_scipy():
    generator = np.random.default_rng(3)
    x, y, z = generator.integers(0, (3, 4, 2), size=(400, 3)).T
    found = g_test(x, y, z)
    statistic = freedom = 0
    for stratum in (0, 1):
        counts = np.zeros((3, 4))
        np.add.at(counts, (x[z == stratum], y[z == stratum]), 1)
        g, _, df, _ = stats.chi2_contingency(counts, lambda_="log-likelihood", correction=False)
        statistic, freedom = statistic + g, freedom + df
    assert found.statistic == pytest.approx(statistic, rel=1e-12)
    assert found.p_value == pytest.approx(stats.chi2(freedom).sf(statistic), rel=1e-9)
    assert found.strata == 2 and found.n == 400


def test_g_test_agrees_with_causal_learn():
    generator = np.random.default_rng(4)
    data = generator.integers(0, 2, size=(500, 4))
    data[:, 1] ^= data[:, 0] & data[:, 2]
    theirs = causal_learn("gsq", data)
    assert g_test(data[:, 0], data[:, 1], data[:, 2:]).p_value == pytest.approx(theirs(0, 1, [2, 3]), rel=1e-6)
    assert g_test(data[:, 0], data[:, 3]).p_value == pytest.approx(theirs(0, 3), rel=1e-6)


def test_g_test_rejects_true_independences_at_its_level():
    """400 nulls; Binomial(400, 0.05) leaves [3, 43] with chance below 1e-6."""
    generator = np.random.default_rng(5)
    rejected = 0
    for _ in range(400):
        u = generator.random((3, 1000))
        z = u[2] < 0.5
        rejected += g_test(u[0] < 0.2 + 0.3 * z, u[1] < 0.6 - 0.3 * z, z).p_value < 0.05
    assert 3 <= rejected <= 43


def test_strata_without_variation_carry_no_freedom():
    x, y, z = [0, 1, 0, 1, 1, 1], [0, 1, 0, 1, 0, 1], [0, 0, 0, 0, 1, 1]
    whole, part = g_test(x, y, z), g_test(x[:4], y[:4])
    assert whole.p_value == pytest.approx(part.p_value) and whole.strata == 2
    assert g_test([1, 1, 1], [0, 1, 0]).p_value == 1.0
    assert g_test(["a", "b"] * 20, [True, False] * 20).p_value < 1e-6


@pytest.mark.parametrize(
    ("x", "y", "z", "words"),
    [
        (np.arange(20.0), np.arange(19.0), None, "Pair them"),
        (np.arange(5.0), np.arange(5.0), None, "n=5 samples do not suit"),
        (np.arange(20.0), np.full(20, 3.0), None, "y has a column that does not vary"),
        (np.arange(20.0), np.r_[np.nan, np.arange(19.0)], None, "missing or not finite"),
        (np.arange(20.0), np.r_[np.inf, np.arange(19.0)], None, "missing or not finite"),
        (["a"] * 20, np.arange(20.0), None, "no array of numbers"),
        (np.arange(20.0), np.arange(20.0), np.ones(20), "z has a column"),
        (np.arange(20.0), np.arange(20.0), np.arange(3.0), "Pair them"),
    ],
)
def test_kci_refuses_bad_input(x, y, z, words):
    with pytest.raises(UsageError, match=words):
        kci(x, y, z)


@pytest.mark.parametrize(
    ("x", "y", "z", "words"),
    [
        ([0, 1], [0, 1, 1], None, "Pair them"),
        ([0, 1], [0, 1], [0, 1, 1], "Pair them"),
        ([], [], None, "no samples"),
        ([0.0, np.nan], [0, 1], None, "missing"),
        (np.array([0, "a", None], dtype=object), [0, 1, 1], None, "cannot be sorted"),
    ],
)
def test_g_test_refuses_bad_input(x, y, z, words):
    with pytest.raises(UsageError, match=words):
        g_test(x, y, z)


def test_arrays_tensors_and_frames_give_one_answer():
    pandas = pytest.importorskip("pandas")
    x, y, z = np.random.default_rng(0).normal(size=(3, 60))
    frame = pandas.DataFrame({"x": x, "y": y, "z": z})
    tensors = [torch.as_tensor(item).requires_grad_() for item in (x, y, z)]
    assert kci(x, y, z) == kci(frame["x"], frame["y"], frame[["z"]]) == kci(*tensors)
    signs = [np.sign(item) for item in (x, y, z)]
    found = g_test(*signs)
    assert found == g_test(*(torch.as_tensor(item) for item in signs)) == g_test(*(pandas.Series(s) for s in signs))
