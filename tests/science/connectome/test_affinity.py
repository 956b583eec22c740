"""Affinities: symmetry, silence, scale and shift; and what is refused."""

import numpy as np
import pytest

from educe.core import UsageError
from educe.science.connectome import affinity, simulate

TRACES = np.random.default_rng(0).normal(size=(2, 5, 80)).cumsum(-1)


def test_a_value_is_min_squared_over_max():
    from scipy.ndimage import gaussian_filter1d

    slope = gaussian_filter1d(TRACES, 1.5, axis=-1, order=1)
    u = np.maximum(slope / slope.std(-1, keepdims=True), 0)
    tensor = affinity(TRACES, smooth=0, step=3)
    for p, (i, j) in enumerate(zip(*np.triu_indices(5, 1), strict=True)):
        low, high = np.minimum(u[:, i], u[:, j]), np.maximum(u[:, i], u[:, j])
        expected = np.divide(low**2, high, out=np.zeros_like(low), where=high > 0)[:, ::3].T
        np.testing.assert_allclose(tensor.values[:, :, p], expected, atol=1e-12)
    np.testing.assert_array_equal(tensor.frames, np.arange(0, 80, 3))


@pytest.mark.parametrize("kind", ["minmax", "product"])
def test_order_of_neurons_and_units_do_not_matter(kind):
    tensor = affinity(TRACES, kind)
    units = TRACES * np.array([1e-3, 1, 7, 1e4, 2])[:, None] + 5
    np.testing.assert_allclose(affinity(units, kind).values, tensor.values, rtol=1e-6, atol=1e-9)
    turned = affinity(TRACES[:, ::-1], kind)
    for step in (0, 20):
        for animal in (0, 1):
            np.testing.assert_allclose(
                turned.matrix(turned.values[step, animal])[::-1, ::-1],
                tensor.matrix(tensor.values[step, animal]),
                atol=1e-12,
            )


def test_a_later_recording_gives_a_later_affinity():
    bump = np.zeros((1, 2, 200))
    bump[0, :, 60:70] = np.hanning(10)
    early, late = affinity(bump, step=1).values, affinity(np.roll(bump, 37, axis=-1), step=1).values
    np.testing.assert_allclose(np.roll(early, 37, axis=0), late, atol=1e-12)


def test_a_flat_neuron_has_no_affinity_and_an_unseen_one_is_masked():
    traces = TRACES.copy()
    traces[:, 0] = 0.1  # not exactly representable: rounding must not be blown up
    traces[1, 3] = np.nan
    tensor = affinity(traces)
    matrix = tensor.matrix(tensor.values.max((0, 1)))
    assert (matrix[0] == 0).all() and matrix[1, 2] > 0
    unseen = tensor.matrix(~tensor.mask[1])
    np.testing.assert_array_equal(np.flatnonzero(unseen[0]), [3])
    assert tensor.mask[0].all() and np.isfinite(tensor.values).all()


@pytest.mark.parametrize(
    ("traces", "options", "message"),
    [
        (TRACES[0], {}, "traces\\[None\\]"),
        (TRACES[:, :1], {}, "neurons >= 2"),
        ([["a"]], {}, "no array of numbers"),
        (np.full((1, 3, 9), np.nan), {}, "All traces are NaN"),
        (TRACES, {"kind": "cosine"}, "'cosine' is unknown"),
        (TRACES, {"sigma": 0}, "sigma=0"),
        (TRACES, {"step": 0}, "step=0"),
        (TRACES, {"neurons": ["AWA"]}, "1 names do not fit 5"),
    ],
)
def test_bad_input_is_refused(traces, options, message):
    with pytest.raises(UsageError, match=message):
        affinity(traces, **options)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_gap_is_refused_with_its_place(bad):
    traces = TRACES.copy()
    traces[1, 2, 7] = bad
    with pytest.raises(UsageError, match="neuron 2 in animal 1"):
        affinity(traces)


def test_a_simulation_is_the_same_for_the_same_seed_and_silent_where_it_says():
    first, second = simulate(seed=3), simulate(seed=3)
    np.testing.assert_array_equal(first.traces, second.traces)
    assert not np.array_equal(first.traces, simulate(seed=4).traces)
    assert [np.bincount(row).tolist() for row in first.labels] == [[15, 8, 7]] * 3
    quiet = simulate(noise=0.0, private_rate=0.0, seed=3)
    first_frame = quiet.windows[2][0]
    risen = np.diff(quiet.traces[:, :, first_frame:], axis=-1).max((1, 2)) > 0
    np.testing.assert_array_equal(risen, quiet.present[2])


@pytest.mark.parametrize(
    "options", [{"sizes": (20, 20)}, {"windows": [(5, 5)]}, {"windows": [(0, 999)]}, {"rate": 2.0}, {"decay": 0}]
)
def test_a_simulation_that_does_not_fit_is_refused(options):
    with pytest.raises(UsageError):
        simulate(**options)
