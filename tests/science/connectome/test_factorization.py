"""Non-negative factors: planted ones are found, the error never rises, hidden entries have no say."""

import numpy as np
import pytest

from educe.core import UsageError
from educe.science.connectome import affinity, choose_rank, ntf, simulate

RNG = np.random.default_rng(1)
PLANTED = [RNG.random((n, 3)) ** 3 for n in (25, 6, 40)]
TENSOR = np.einsum("tr,ar,pr->tap", *PLANTED)


def cosines(found):
    unit = [part / np.linalg.norm(part, axis=0) for part in PLANTED]
    parts = (found.time, found.animal, found.pair)
    return np.prod([a.T @ b for a, b in zip(unit, parts, strict=True)], axis=0).max(1)


def test_planted_factors_are_recovered():
    found = ntf(TENSOR, 3, starts=2, sweeps=600, tol=1e-12)
    assert found.fit > 0.99999 and cosines(found).min() > 0.99
    assert found.stability > 0.99
    np.testing.assert_allclose(np.linalg.norm(found.pair, axis=0), 1)
    assert (np.diff(found.weights) <= 0).all()
    gap = np.linalg.norm(found.tensor() - TENSOR) ** 2 / np.linalg.norm(TENSOR) ** 2
    assert abs(1 - gap - found.fit) < 1e-9


@pytest.mark.parametrize("hidden", [False, True])
def test_the_error_never_rises(hidden):
    data = TENSOR + RNG.random(TENSOR.shape) / 5
    mask = RNG.random(data.shape) > 0.3 if hidden else None
    losses = ntf(data, 4, mask, starts=1, sweeps=40, tol=0).losses
    assert len(losses) == 40 and (np.diff(losses) <= 1e-12).all()


def test_hidden_entries_have_no_influence_and_are_filled_in():
    mask = RNG.random((6, 40)) > 0.25
    spoilt = np.where(mask, TENSOR, np.nan)
    first = ntf(np.where(mask, TENSOR, 1e6), 3, mask, starts=1, sweeps=2000, tol=1e-13)
    second = ntf(spoilt, 3, mask, starts=1, sweeps=2000, tol=1e-13)
    np.testing.assert_array_equal(first.pair, second.pair)
    np.testing.assert_allclose(first.tensor()[:, ~mask], TENSOR[:, ~mask], atol=0.05 * TENSOR.max())


def test_a_full_mask_is_no_mask():
    one, two = (ntf(TENSOR, 2, mask, starts=1, sweeps=5) for mask in (None, np.ones(TENSOR.shape, dtype=bool)))
    np.testing.assert_array_equal(one.time, two.time)


@pytest.mark.slow
def test_the_fit_is_that_of_tensorly():
    decomposition = pytest.importorskip("tensorly.decomposition")
    tensor = affinity(simulate(12, 4, 240, windows=[(0, 110), (130, 240)], sizes=(4, 3)).traces).values
    ours = ntf(tensor, 3, starts=3, sweeps=300, tol=1e-9).fit
    theirs = 0.0
    for state in range(3):
        cp = decomposition.non_negative_parafac_hals(tensor, 3, n_iter_max=300, init="random", random_state=state)
        gap = np.linalg.norm(cp.to_tensor() - tensor) ** 2 / np.linalg.norm(tensor) ** 2
        theirs = max(theirs, 1 - gap)
    assert abs(ours - theirs) < 2e-3


def test_a_planted_rank_is_chosen():
    choice = choose_rank(TENSOR, range(1, 6), starts=2, sweeps=150)
    assert choice.rank == 3 and choice.fits[3] > choice.fits[2] + 0.01


@pytest.mark.parametrize(
    ("tensor", "options", "message"),
    [
        (TENSOR[0], {}, "three axes"),
        (-TENSOR, {}, "finite and >= 0"),
        (np.where(TENSOR.mean() < TENSOR, np.nan, TENSOR), {}, "finite and >= 0"),
        (0 * TENSOR, {}, "nothing to factor"),
        (TENSOR, {"mask": np.zeros((6, 40))}, "nothing to factor"),
        (TENSOR, {"mask": np.ones((5, 40))}, "does not fit"),
        (TENSOR, {"rank": 0}, "rank=0"),
        (TENSOR, {"starts": 0}, "starts=0"),
        (TENSOR, {"tol": -1}, "tol=-1"),
    ],
)
def test_bad_input_is_refused(tensor, options, message):
    with pytest.raises(UsageError, match=message):
        ntf(tensor, **{"rank": 2, **options})


@pytest.mark.parametrize("options", [{"ranks": []}, {"ranks": [3, 2]}, {"starts": 1}, {"stable": 2}])
def test_a_choice_without_a_question_is_refused(options):
    with pytest.raises(UsageError):
        choose_rank(TENSOR, **options)
