"""The Bayesian bootstrap against weighted regression, large samples and its own seed."""

import numpy as np
import pytest
import torch

from educe.core import Seed, UsageError
from educe.science import bootstrap_partial, partial_correlation, roman_cups, sample_compositions, sparse_concentration
from educe.science.coda import clr

CUPS = roman_cups()


def test_a_draw_is_the_estimate_from_weighted_samples():
    weights = Seed(3).child("bayesian-bootstrap").numpy().dirichlet(np.ones(47), size=4)
    posterior = bootstrap_partial(CUPS, 4, seed=3)
    for weight, rho in zip(weights, posterior.values["rho"].numpy(), strict=True):
        matrix = np.linalg.pinv(np.cov(clr(CUPS), rowvar=False, aweights=weight), rcond=1e-10)
        scale = 1 / np.sqrt(np.diag(matrix))
        off = ~np.eye(11, dtype=bool)
        np.testing.assert_allclose(rho[off], (-matrix * scale * scale[:, None])[off], atol=1e-7)


def test_intervals_agree_with_fishers_in_large_gaussian_samples():
    """2000 samples, 2000 draws: limits of both kinds differ by a few Monte Carlo errors of 0.001 each."""
    table = sample_compositions(sparse_concentration(5, seed=1), 2000, seed=1).amounts
    posterior = bootstrap_partial(table, 2000, seed=1)
    low, high = partial_correlation(table).interval(0.9)
    for i, j in ((0, 1), (1, 4), (2, 3)):
        interval = posterior.interval(lambda value, i=i, j=j: value["rho"][i, j], 0.9)
        assert interval.low == pytest.approx(low[i, j], abs=0.015)
        assert interval.high == pytest.approx(high[i, j], abs=0.015)


def test_named_pairs_are_those_of_the_whole_matrix():
    whole = bootstrap_partial(CUPS, 20, seed=5)
    some = bootstrap_partial(CUPS, 20, seed=5, pairs=[("Al", "Fe"), (0, -1)])
    assert some.details["pairs"] == [["Al", "Fe"], ["Si", "Sb"]] and some.values["rho"].shape == (20, 2)
    torch.testing.assert_close(some.values["rho"], whole.values["rho"][:, [1, 0], [2, 10]], atol=1e-12, rtol=0)


def test_the_same_seed_gives_the_same_draws():
    first, again, other = (bootstrap_partial(CUPS, 5, seed=seed).values["rho"] for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_more_parts_than_samples_need_shrinkage():
    table = np.random.default_rng(0).lognormal(size=(8, 12))
    with pytest.raises(UsageError, match="shrink"):
        bootstrap_partial(table, 10)
    posterior = bootstrap_partial(table, 10, shrink="ledoit-wolf")
    assert posterior.details["shrinkage"] > 0 and bool(torch.isfinite(posterior.values["rho"]).all())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"draws": 0}, "draws"),
        ({"pairs": []}, "no pair"),
        ({"pairs": [("Al", "Al")]}, "no pair"),
        ({"pairs": [("Al", "Xx")]}, "unknown"),
        ({"draws": 10**8}, "too many"),
    ],
)
def test_bad_requests_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        bootstrap_partial(CUPS, **options)
