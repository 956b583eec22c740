"""Orders are permutations; greedy goes to the nearest; groups keep what is similar together."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from educe.core import UsageError
from educe.science import gaussian_random_field, sort_systems


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 30), st.integers(0, 2**31), st.sampled_from(["greedy", "fft_pca", "none"]))
def test_every_system_appears_once(count, seed, method):
    fields = np.random.default_rng(seed).normal(size=(count, 6, 6))
    assert sorted(sort_systems(fields, method)) == list(range(count))


def test_greedy_goes_to_the_nearest_that_is_left():
    rng = np.random.default_rng(0)
    field, scalar = rng.normal(size=(15, 4, 4)), rng.normal(size=15)
    order = sort_systems({"field": torch.tensor(field), "scalar": scalar}, start=3)
    assert order[0] == 3
    for place in range(14):
        current, left = order[place], order[place + 1 :]
        gaps = np.linalg.norm((field[left] - field[current]).reshape(len(left), -1), axis=1)
        gaps += np.abs(scalar[left] - scalar[current])
        assert gaps[0] == gaps.min()


def test_points_on_a_line_come_in_order():
    shuffled = np.random.default_rng(1).permutation(20)
    order = sort_systems(shuffled[:, None].astype(float), start=int(np.argmin(shuffled)))
    assert shuffled[order].tolist() == list(range(20))


@pytest.mark.parametrize("method", ["greedy", "fft_pca"])
def test_neighbours_in_a_smooth_family_are_closer_than_at_random(method):
    modes = [gaussian_random_field(16, seed=seed) for seed in (0, 1)]
    weights = np.random.default_rng(2).uniform(-1, 1, (60, 2))
    fields = np.einsum("nk,kij->nij", weights, modes)

    def length(order):
        return np.linalg.norm(np.diff(fields[order], axis=0), axis=(1, 2)).sum()

    assert length(sort_systems(fields, method)) < 0.6 * length(np.arange(60))


@pytest.mark.parametrize(
    ("params", "options", "message"),
    [
        (np.zeros((3, 2)), {"method": "gray"}, "unknown"),
        (np.zeros((0, 2)), {}, "at least one"),
        ({"a": np.zeros(3), "b": np.zeros(4)}, {}, "same number"),
        (np.array([0.0, np.nan]), {}, "NaN"),
        (np.zeros((3, 2, 4)), {"method": "fft_pca"}, "square"),
        ([[0.0], [0.0, 1.0]], {}, "ragged"),
        (np.array(["a"]), {}, "no real numbers"),
        (np.zeros(3), {"start": 3}, "start"),
    ],
)
def test_what_cannot_be_sorted_is_refused(params, options, message):
    with pytest.raises(UsageError, match=message):
        sort_systems(params, **options)
