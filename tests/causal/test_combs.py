"""Combs: rebuilding, the comb condition, uniqueness, and the hidden half of a known model."""

import numpy as np
import pytest
import torch

from educe.causal import Diagram, Functor, Table, comb_disintegrate, disintegrate, random_network
from educe.core import UsageError

# Order S, T, C; the paper's numbers.
SMOKING = Table(("S", "T", "C"), [[[0.5, 0.1], [0.01, 0.02]], [[0.1, 0.05], [0.02, 0.2]]])


def law(seed, *sizes):
    raw = np.random.default_rng(seed).random(sizes) + 0.05
    return Table(tuple("ABCDE"[: len(sizes)]), raw / raw.sum())


@pytest.mark.parametrize("seed", range(5))
def test_a_law_is_its_start_and_its_channel(seed):
    joint = law(seed, 2, 3, 2)
    channel = disintegrate(joint, ["B"])
    np.testing.assert_allclose(channel.tensor.sum(dim=(1, 2)), np.ones(3))
    rebuilt = (joint.marginal("B") * channel).marginal("A", "B", "C")
    np.testing.assert_allclose(rebuilt.tensor, joint.tensor, atol=1e-13)


@pytest.mark.parametrize("seed", range(5))
def test_comb_and_filling_rebuild_the_law_and_the_comb_condition_holds(seed):
    joint = law(seed, 2, 3, 2, 3, 2)
    for teeth in (
        ("A", "B", "C"),
        ("C", "A", "B"),
        ("A", ("B", "C"), "D"),
        tuple("ABCDE"),
        (("A", "B"), "C", ("D", "E")),
    ):
        comb, filling = comb_disintegrate(joint, teeth)
        names = [name for group in teeth for name in group]
        np.testing.assert_allclose((comb * filling).marginal(*names).tensor, joint.marginal(*names).tensor, atol=1e-13)
        out = [tuple(group) for group in teeth[::2]]
        # Without what it gives last, the comb does not depend on what it takes last; and so on backwards.
        for last in range(len(out) - 1, 0, -1):
            early = comb.marginal(*comb.given, *(n for group in out[:last] for n in group))
            for name in teeth[2 * last - 1]:
                axis = early.names.index(name)
                spread = early.tensor - early.tensor.mean(dim=axis, keepdim=True)
                assert float(spread.abs().max()) < 1e-13


def test_the_worked_example():
    comb, filling = comb_disintegrate(SMOKING, ("S", "T", "C"))
    np.testing.assert_allclose(filling.at(T=1).tensor, [0.0476, 0.5946], atol=5e-5)
    assert comb.given == ("T",)
    np.testing.assert_allclose(comb.marginal("T", "C").at(C=1).tensor, [0.2283, 0.7564], atol=5e-5)


def test_the_comb_is_unique():
    """A second pair built from unknowns has to coincide: solve for f and g by the two conditions alone."""
    joint = law(9, 2, 2, 2)
    comb, filling = comb_disintegrate(joint, ("A", "B", "C"))
    # From (i) and (ii): sum over c of f(a, c | b) g(b | a) = f1(a) g(b | a), whose sum over b is f1(a).
    f1 = joint.tensor.sum(dim=(1, 2))
    g = joint.tensor.sum(dim=2) / f1[:, None]
    f = joint.tensor / g[:, :, None]
    np.testing.assert_allclose(filling.marginal("A", "B").tensor, g, atol=1e-13)
    np.testing.assert_allclose(comb.marginal("A", "B", "C").tensor, f, atol=1e-13)


@pytest.mark.parametrize("seed", range(5))
def test_the_comb_is_the_hidden_part_of_the_model(seed):
    """H, box S and box C form the comb although H is not observed: compare with the model that knows H."""
    generator = torch.Generator().manual_seed(seed)

    def table(*shape):
        raw = torch.rand(shape, generator=generator, dtype=torch.float64) + 0.1
        return raw / raw.sum(-1, keepdim=True)

    edges = [("H", "S"), ("S", "T"), ("T", "C"), ("H", "C")]
    tables = {"H": table(3), "S": table(3, 2), "T": table(2, 3), "C": table(3, 3, 2)}
    functor = Functor({"H": 3, "S": 2, "T": 3, "C": 2}, tables)
    observed = functor.table(Diagram.from_dag(edges, ["H"]))
    comb, filling = comb_disintegrate(observed, ("S", "T", "C"))
    hidden = torch.einsum("h,hs,thc->stc", tables["H"], tables["S"], tables["C"])
    np.testing.assert_allclose(comb.marginal("S", "T", "C").tensor, hidden, atol=1e-14)
    np.testing.assert_allclose(filling.marginal("S", "T").tensor, tables["T"], atol=1e-14)


def test_counts_are_taken_as_they_stand():
    counts = Table(("A", "B"), [[30, 10], [5, 5]])
    np.testing.assert_allclose(disintegrate(counts, "A").tensor, [[0.75, 0.25], [0.5, 0.5]])


def test_bad_input():
    joint = random_network(3, 0, seed=0)
    table = joint.functor.table(joint.diagram)
    with pytest.raises(UsageError, match="no alternation"):
        comb_disintegrate(table, ("V0",))
    with pytest.raises(UsageError, match="no alternation"):
        comb_disintegrate(table, ("V0", "V1", "V0"))
    with pytest.raises(UsageError, match="empty"):
        comb_disintegrate(table, ("V0", (), "V1"))
    with pytest.raises(UsageError, match="no variable 'Z'"):
        comb_disintegrate(table, ("V0", "Z"))
    hollow = Table(("A", "B"), [[0.5, 0.5], [0.0, 0.0]])
    with pytest.raises(UsageError, match="cells of probability zero"):
        comb_disintegrate(hollow, ("A", "B"))
    with pytest.raises(UsageError, match=r"P\(A=1\) is zero"):
        disintegrate(hollow, "A")
