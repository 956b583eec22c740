"""Seeds: children depend on names alone, and do not collide."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from educe.core import Seed, UsageError

labels = st.one_of(st.text(max_size=8), st.integers(0, 2**70))
paths = st.lists(labels, max_size=4).map(tuple)


@given(st.integers(0, 2**80), paths, paths)
def test_a_path_can_be_walked_in_steps(root, head, tail):
    assert Seed(root).child(*head, *tail).bits() == Seed(root).child(*head).child(*tail).bits()


@given(paths, paths)
def test_different_paths_give_different_bits(one, other):
    # A true collision of 63 bits has probability below 1e-17 per example.
    assert (one == other) == (Seed(1).child(*one).bits() == Seed(1).child(*other).bits())


def test_a_label_is_not_its_text():
    assert Seed(0).child(3).bits() != Seed(0).child("3").bits()


def test_big_labels_do_not_run_together():
    assert Seed(0).child(2**32).bits() != Seed(0).child(0, 1).bits()
    assert Seed(0).child(2**32 + 5).bits() != Seed(0).child(5, 1).bits()


@pytest.mark.slow
def test_a_million_children_do_not_collide():
    # Birthday bound at 63 bits: 1e12 / 2^64 < 1e-7.
    seed = Seed(0).child("row")
    assert len({seed.child(index).bits() for index in range(10**6)}) == 10**6


def test_children_do_not_depend_on_order():
    forward = [Seed(5).child("a", index).bits() for index in range(50)]
    backward = [Seed(5).child("a", index).bits() for index in reversed(range(50))]
    assert forward == backward[::-1]


def test_generators_are_fresh_and_equal():
    seed = Seed(3).child("x")
    assert np.array_equal(seed.numpy().random(4), seed.numpy().random(4))
    assert torch.equal(torch.rand(4, generator=seed.torch()), torch.rand(4, generator=seed.torch()))


def test_bits_are_uniform():
    # Mean of 20,000 uniforms: standard error 0.002; five of them is a false alarm below 1e-6.
    values = np.array([Seed(0).child(index).bits() for index in range(20_000)]) / 2**63
    assert abs(values.mean() - 0.5) < 5 * np.sqrt(1 / 12 / 20_000)


@pytest.mark.parametrize("bad", [-1, 1.0, True, "x", None])
def test_roots_refuse(bad):
    with pytest.raises(UsageError):
        Seed(bad)


@pytest.mark.parametrize("bad", [-1, 1.5, None, True])
def test_labels_refuse(bad):
    with pytest.raises(UsageError):
        Seed(0).child(bad)


def test_of_accepts_both():
    assert Seed.of(4) == Seed(4) == Seed.of(Seed(4))
