"""Log-ratio coordinates against composition-stats and against what they must leave unchanged."""

import numpy as np
import pytest
import torch

from educe.core import UsageError
from educe.science import alr, closure, clr, ilr, ilr_basis, proportionality, replace_zeros, roman_cups, variation


@pytest.fixture
def table():
    return np.random.default_rng(0).lognormal(size=(20, 5))


def test_they_agree_with_composition_stats(table):
    peer = pytest.importorskip("composition_stats")
    np.testing.assert_allclose(closure(table), peer.closure(table), atol=1e-14)
    np.testing.assert_allclose(clr(table), peer.clr(table), atol=1e-12)
    np.testing.assert_allclose(alr(table, 0), peer.alr(table, denominator_idx=0), atol=1e-12)
    distances = np.linalg.norm(ilr(table)[:, None] - ilr(table)[None], axis=-1)
    theirs = peer.ilr(peer.closure(table))  # another basis: only distances can be equal
    np.testing.assert_allclose(distances, np.linalg.norm(theirs[:, None] - theirs[None], axis=-1), atol=1e-12)


@pytest.mark.parametrize("transform", [closure, clr, alr, ilr, variation])
def test_the_scale_of_a_row_does_not_matter(table, transform):
    scaled = table * np.random.default_rng(1).lognormal(sigma=3, size=(20, 1))
    np.testing.assert_allclose(transform(scaled), transform(table), atol=1e-11)


def test_the_basis_is_orthonormal_and_sums_to_zero():
    for parts in (2, 3, 11):
        basis = ilr_basis(parts)
        np.testing.assert_allclose(basis.T @ basis, np.eye(parts - 1), atol=1e-14)
        np.testing.assert_allclose(basis.sum(axis=0), 0, atol=1e-14)
    with pytest.raises(UsageError, match="at least 2"):
        ilr_basis(1)


def test_a_basis_of_ones_own_is_checked(table):
    rotation = np.linalg.qr(np.random.default_rng(2).normal(size=(4, 4)))[0]
    np.testing.assert_allclose(ilr(table, ilr_basis(5) @ rotation), ilr(table) @ rotation, atol=1e-12)
    with pytest.raises(UsageError, match="orthonormal"):
        ilr(table, ilr_basis(5) * 2)
    with pytest.raises(UsageError, match="shape"):
        ilr(table, np.eye(5))


def test_variation_by_its_definition_and_in_subcompositions(table):
    tau = variation(table)
    for i, j in [(0, 1), (3, 2), (4, 4)]:
        assert tau[i, j] == pytest.approx(np.log(table[:, i] / table[:, j]).var(ddof=1), abs=1e-12)
    np.testing.assert_allclose(variation(table[:, 1:4]), tau[1:4, 1:4], atol=1e-12)


def test_proportionality_by_its_definition(table):
    table[:, 1] = 3 * table[:, 0]
    rho_p, phi = proportionality(table)
    centred = clr(table)
    expected = 1 - np.var(centred[:, 0] - centred[:, 2], ddof=1) / (
        centred[:, 0].var(ddof=1) + centred[:, 2].var(ddof=1)
    )
    assert rho_p[0, 2] == pytest.approx(expected, abs=1e-12)
    assert rho_p[0, 1] == pytest.approx(1, abs=1e-12) and phi[0, 1] == pytest.approx(0, abs=1e-12)
    with pytest.raises(UsageError, match="constant"):
        proportionality(np.ones((4, 3)))


def test_tensors_frames_lists_and_tables_are_read_alike():
    pandas = pytest.importorskip("pandas")
    table = roman_cups()
    expected = clr(table.amounts)
    for given in (
        table,
        torch.tensor(table.amounts, requires_grad=True),
        pandas.DataFrame(table.amounts, columns=table.parts),
        table.amounts.tolist(),
    ):
        np.testing.assert_array_equal(clr(given), expected)
    np.testing.assert_array_equal(alr(pandas.DataFrame(table.amounts, columns=table.parts), "Si"), alr(table, 0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (0.0, "Row 2, part 'b' is 0, which has no logarithm"),
        (-1.0, "Row 2, part 'b' is -1, which is no amount"),
        (np.nan, "Row 2, part 'b' is nan, which is no finite number"),
        (np.inf, "Row 2, part 'b' is inf"),
    ],
)
def test_a_bad_cell_is_named(change, message):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(np.ones((4, 3)), columns=["a", "b", "c"])
    frame.iloc[2, 1] = change
    with pytest.raises(UsageError, match=message):
        clr(frame)


def test_what_is_no_table_is_refused():
    sparse = pytest.importorskip("scipy.sparse")
    for bad, message in [
        (np.ones(3), "2D"),
        (np.ones((0, 3)), "at least one row"),
        (sparse.eye(3).tocsr(), "sparse"),
        ([["a", "b"]], "text"),
        (np.ones((2, 2), complex), "Complex"),
    ]:
        with pytest.raises(UsageError, match=message):
            clr(bad)
    with pytest.raises(UsageError, match="unknown"):
        alr(roman_cups(), "Xx")
    with pytest.raises(UsageError, match="no column"):
        alr(roman_cups(), 11)


def test_the_users_data_stay_as_they_are(table):
    before = table.copy()
    clr(table), closure(table), replace_zeros(table), variation(table)
    np.testing.assert_array_equal(table, before)


def test_closure_takes_zeros_but_no_empty_row():
    np.testing.assert_array_equal(closure([[0.0, 2.0]], total=100), [[0.0, 100.0]])
    np.testing.assert_allclose(closure([[1e308, 1e308]]), [[0.5, 0.5]])
    with pytest.raises(UsageError, match="only zeros"):
        closure([[0.0, 0.0]])
    with pytest.raises(UsageError, match="total"):
        closure([[1.0]], total=0)
