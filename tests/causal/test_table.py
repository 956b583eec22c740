"""Tables: algebra against einsum, reading of user data, bad entries."""

import numpy as np
import pytest
import torch

from educe.causal import Table, as_table
from educe.core import UsageError


def law(seed, *sizes):
    raw = np.random.default_rng(seed).random(sizes) + 0.05
    return Table(tuple("ABCD"[: len(sizes)]), raw / raw.sum())


def test_the_chain_rule_rebuilds_a_law_in_any_order():
    joint = law(0, 2, 3, 4)
    for order in ("ABC", "CAB", "BCA"):
        product = joint.condition(order[0])
        for i in (1, 2):
            product = product * joint.condition(order[i], tuple(order[:i]))
        assert product.given == ()
        np.testing.assert_allclose(product.marginal("A", "B", "C").tensor, joint.tensor, atol=1e-13)


def test_products_align_axes_by_name():
    joint = law(1, 2, 3, 4)
    product = joint.condition("C", "A") * joint.marginal("B", "A")
    expected = np.einsum("ac,ba->acb", joint.condition("C", "A").tensor, joint.marginal("B", "A").tensor)
    assert product.names == ("A", "C", "B") and product.given == ()
    np.testing.assert_allclose(product.tensor, expected)
    assert (joint.condition("C", ("A", "B")) * joint.condition("A")).given == ("B",)


def test_a_batch_gives_what_its_members_give():
    members = [law(seed, 2, 3, 2) for seed in range(5)]
    batch = Table(("A", "B", "C"), torch.stack([m.tensor for m in members]))
    assert batch.batched and batch.is_law

    def work(table):
        return (table.condition("C", ("B", "A")) * table.marginal("A")).marginal("B", "C", "A").at(A=1).tensor

    np.testing.assert_allclose(work(batch), torch.stack([work(m) for m in members]))


def test_slices_keep_labels():
    joint = Table(("S", "C"), [[0.1, 0.2], [0.3, 0.4]], levels={"S": ("no", "yes")})
    assert joint.at(S="yes").tensor.tolist() == [0.3, 0.4]
    assert joint.fixed({"S": "no", "C": 1}).tensor.item() == 0.2
    with pytest.raises(UsageError, match="S='maybe' is not among the values"):
        joint.at(S="maybe")


def test_pandas_frames_and_columns_are_counted():
    pandas = pytest.importorskip("pandas")
    columns = {"S": ["no", "yes", "yes", "no"], "C": [2, 0, 2, 2]}
    for data in (columns, pandas.DataFrame(columns), {k: np.array(v) for k, v in columns.items()}):
        table = as_table(data)
        assert table.levels == {"S": ("no", "yes"), "C": (0, 2)}
        assert table.tensor.tolist() == [[0, 2], [1, 1]] and not table.is_law


def test_arrays_with_dimension_names_are_read():
    class DataArray:
        dims = ("S", "C")
        values = np.array([[0.25, 0.25], [0.1, 0.4]])
        coords = {"S": np.array(["no", "yes"])}

    assert as_table(DataArray()).levels == {"S": ("no", "yes"), "C": (0, 1)}


def test_single_precision_is_not_introduced():
    assert Table(("A",), [0.1, 0.9]).tensor[0].item() == 0.1


@pytest.mark.parametrize(
    ("names", "entries", "words"),
    [
        (("A",), [0.5, float("nan")], "Entry nan"),
        (("A",), [1.5, -0.5], "Entry -0.5"),
        (("A",), [float("inf"), 1], "Entry inf"),
        (("A", "B"), [0.5, 0.5], "do not fit 1 axes"),
        (("A", "A"), [[0.5, 0.5], [0, 0]], "named twice"),
        (("A",), ["x", "y"], "no table of numbers"),
        (("A", "B"), [[1], [1, 2]], "no table of numbers"),
    ],
)
def test_bad_entries_are_refused(names, entries, words):
    with pytest.raises(UsageError, match=words):
        Table(names, entries)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({}, "no columns"),
        ({"A": [1, 2], "B": [1]}, "lengths"),
        ({"A": []}, "at least one"),
        ({"A": [1.0, float("nan")]}, "'A' has missing values"),
        ({"A": [None, 1]}, "missing values"),
        ({"A": [[1], [2]]}, "holds lists"),
        ({"A": np.arange(2000) / 7}, "2000 different values. Bin"),
        ({c: np.arange(900) for c in "ABC"}, "does not fit"),
        (3, "is no table"),
    ],
)
def test_bad_data_are_refused(data, words):
    with pytest.raises(UsageError, match=words):
        as_table(data)


def test_other_bad_input():
    joint = Table(("A", "B"), [[0.5, 0.5], [0, 0]])
    with pytest.raises(UsageError, match=r"P\(A=1\) is zero, so the law of B"):
        joint.condition("B", "A")
    with pytest.raises(UsageError, match="no variable 'Z'"):
        joint.marginal("Z")
    with pytest.raises(UsageError, match="no law to sum over"):
        joint.condition("A", "B").marginal("A")
    with pytest.raises(UsageError, match="is empty"):
        Table(("A",), [0, 0]).normalised()
    with pytest.raises(UsageError, match="not the labels"):
        Table(("A",), [1, 0], levels={"A": ("x",)})
    with pytest.raises(UsageError, match="other values"):
        joint * Table(("A",), [1, 0], levels={"A": ("x", "y")})


def test_marks_of_pandas_for_missing_values_are_refused():
    pandas = pytest.importorskip("pandas")
    for column in (pandas.array([1, None], dtype="Int64"), [pandas.NaT, pandas.Timestamp(0)]):
        with pytest.raises(UsageError, match="missing values"):
            as_table(pandas.DataFrame({"A": column}))
