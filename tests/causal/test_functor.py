"""Semantics: functoriality in Kronecker products and matrix products, discopy as second opinion, bad tensors."""

import itertools
import string

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from educe.causal import (
    Box,
    Copy,
    Diagram,
    Discard,
    Functor,
    Identity,
    Swap,
    Ty,
    Uniform,
    from_discopy,
    intervene,
    random_network,
    to_discopy,
)  # fmt: skip
from educe.core import CapabilityError, UsageError

A, B, C = Ty("A"), Ty("B"), Ty("C")


def stochastic(generator, *shape):
    raw = generator.random(shape) + 0.05
    return raw / raw.sum(-1, keepdims=True)


def model(seed, sizes=(2, 3, 4)):
    generator = np.random.default_rng(seed)
    a, b, c = sizes
    tables = {"s": stochastic(generator, a), "f": stochastic(generator, a, b), "g": stochastic(generator, b, c),
              "h": stochastic(generator, a, b, c)}  # fmt: skip
    boxes = {"s": Box("s", Ty(), A), "f": Box("f", A, B), "g": Box("g", B, C), "h": Box("h", A @ B, C)}
    return Functor({"A": a, "B": b, "C": c}, tables), boxes


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), sizes=st.tuples(*[st.integers(1, 4)] * 3))
def test_a_functor_keeps_sequence_tensor_and_structure(seed, sizes):
    functor, box = model(seed, sizes)
    m = functor.matrix
    close = np.testing.assert_allclose
    close(m(box["f"] >> box["g"]), m(box["g"]) @ m(box["f"]), atol=1e-14)
    close(m(box["f"] @ box["g"]), np.kron(m(box["f"]), m(box["g"])), atol=1e-14)
    close(m(Identity(A @ B)), np.eye(sizes[0] * sizes[1]))
    close(m(Discard(A @ C)), np.ones((1, sizes[0] * sizes[2])))
    close(m(Uniform(A @ B)), np.full((sizes[0] * sizes[1], 1), 1 / (sizes[0] * sizes[1])))
    copy = np.zeros((sizes[0] ** 2, sizes[0]))
    copy[np.arange(sizes[0]) * (sizes[0] + 1), np.arange(sizes[0])] = 1
    close(m(Copy(A)), copy)
    swap = np.zeros((sizes[0] * sizes[1],) * 2)
    for i in range(sizes[0]):
        for j in range(sizes[1]):
            swap[j * sizes[0] + i, i * sizes[1] + j] = 1
    close(m(Swap(A, B)), swap)
    # Causality: discarding what a stochastic box gives is discarding what it takes.
    close(m(box["h"] >> Discard(C)), m(Discard(A @ B)), atol=1e-14)
    # A state, copied twice into one box: a wire read at several ports.
    loop = box["s"] >> Copy(A, 3) >> box["f"] @ Identity(A @ A) >> Swap(B, A) @ Identity(A) >> box["h"] @ Discard(A)
    expected = np.einsum("a,ab,abc->c", functor.ar["s"], functor.ar["f"], functor.ar["h"])
    close(functor(loop), expected, atol=1e-14)


def test_copying_is_not_natural_unless_the_box_is_deterministic():
    functor, box = model(0)
    noisy = [functor(box["f"] >> Copy(B)), functor(Copy(A) >> box["f"] @ box["f"])]
    assert float((noisy[0] - noisy[1]).abs().max()) > 0.05
    sure = Functor(functor.ob, {"f": np.eye(3)[[2, 0]]})
    np.testing.assert_allclose(sure(box["f"] >> Copy(B)), sure(Copy(A) >> box["f"] @ box["f"]))


@pytest.mark.parametrize("seed", range(6))
def test_a_network_is_the_product_of_its_tables(seed):
    network = random_network(4, 2, seed=seed)
    letters = dict(zip(network.dag.vertices, string.ascii_letters, strict=False))
    terms = ["".join(letters[v] for v in (*network.dag.parents(x), x)) for x in network.dag.vertices]
    tables = [np.asarray(network.functor.ar[x]) for x in network.dag.vertices]
    out = "".join(letters[v] for v in network.diagram.cod.names)
    expected = np.einsum(f"{','.join(terms)}->{out}", *tables)
    np.testing.assert_allclose(network.functor(network.diagram), expected, atol=1e-14)
    assert network.functor.evaluate(network.diagram).contractions >= 1


def test_long_chains_contract_without_filling_memory():
    n = 60
    names = [f"X{i}" for i in range(n)]
    diagram = Diagram.from_dag(list(itertools.pairwise(names)), hidden=names[:-1])
    step = np.array([[0.9, 0.1], [0.4, 0.6]])
    functor = Functor(dict.fromkeys(names, 2), {names[0]: [1.0, 0.0], **dict.fromkeys(names[1:], step)})
    np.testing.assert_allclose(functor(diagram), np.linalg.matrix_power(step, n - 1)[0], atol=1e-13)
    assert functor.evaluate(diagram).flops < 4 * 60 * 4


def test_gradients_flow_through():
    prior = torch.tensor([0.3, 0.7], dtype=torch.float64, requires_grad=True)
    table = torch.tensor([[0.9, 0.1], [0.2, 0.8]], dtype=torch.float64, requires_grad=True)
    diagram = Diagram.from_dag([("A", "B")], hidden=["A"])

    def law(p, t):
        return Functor({"A": 2, "B": 2}, {"A": p, "B": t}, stochastic=False)(diagram)

    assert torch.autograd.gradcheck(law, (prior, table))
    law(prior, table)[1].backward()
    np.testing.assert_allclose(prior.grad, [0.1, 0.8])


def test_discopy_gives_the_same_matrices():
    """Evaluate in discopy's own functor to matrices, and come back unchanged."""
    markov = pytest.importorskip("discopy.markov")
    functor, box = model(5, (2, 3, 2))
    diagram = (
        box["s"] >> Copy(A) >> box["f"] @ Identity(A) >> Swap(B, A) >> Copy(A) @ Identity(B) >> Identity(A) @ box["h"]
    )
    theirs = to_discopy(diagram)
    assert isinstance(theirs, markov.Diagram)
    assert from_discopy(theirs) == diagram
    uniform = Uniform(A) >> Copy(A)
    assert from_discopy(to_discopy(uniform)) == uniform
    # Follow discopy's own layers, one Kronecker product each.
    state, wires = np.ones(1), []
    sizes = functor.ob
    for left, layer_box, right in theirs.inside:
        before, after = [str(o) for o in left], [str(o) for o in right]
        dom, cod = [str(o) for o in layer_box.dom], [str(o) for o in layer_box.cod]
        if isinstance(layer_box, markov.Copy):
            own = Copy(Ty(*dom), len(cod)).diagram
        elif isinstance(layer_box, markov.Swap):
            own = Swap(Ty(dom[0]), Ty(dom[1])).diagram
        else:
            own = Box(layer_box.name, Ty(*dom), Ty(*cod)).diagram
        eye = [np.eye(int(np.prod([sizes[n] for n in names], initial=1))) for names in (before, after)]
        state = np.kron(np.kron(eye[0], functor.matrix(own)), eye[1]) @ state
        wires = before + cod + after
    assert wires == list(diagram.cod.names)
    np.testing.assert_allclose(state, functor.matrix(diagram).reshape(-1), atol=1e-14)


def test_discopy_is_optional(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "discopy.markov", None)
    with pytest.raises(CapabilityError, match="not installed"):
        to_discopy(Identity(A))


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        ({}, "has no tensor"),
        ({"f": np.ones((2, 2)) / 2}, r"has shape \(2, 2\). Give \(2, 3\), with axes \['A', 'B'\]"),
        ({"f": np.full((2, 3), 0.3)}, "not stochastic: one row sums to 0.9"),
        ({"f": [[1.5, -0.5, 0], [1, 0, 0]]}, "negative or non-finite"),
        ({"f": np.full((2, 3), np.nan)}, "negative or non-finite"),
        ({"f": [[1, 0], [1]]}, "no table of numbers"),
    ],
)
def test_bad_tensors_are_refused(tables, words):
    with pytest.raises(UsageError, match=words):
        Functor({"A": 2, "B": 3}, tables)(Box("f", A, B))


def test_other_bad_input():
    with pytest.raises(UsageError, match="size 0"):
        Functor({"A": 0}, {})
    with pytest.raises(UsageError, match="has no size"):
        Functor({"A": 2}, {})(Identity(Ty("Z")))
    with pytest.raises(UsageError, match="more than 2\\*\\*27 entries"):
        Functor({"A": 1000}, {})(Copy(A, 10))
    functor, box = model(1)
    with pytest.raises(UsageError, match="is no output"):
        intervene(box["s"] >> Discard(A), functor, {"A": 0})
    with pytest.raises(UsageError, match="not among the values"):
        intervene(
            Diagram.from_dag([("A", "B")]), Functor({"A": 2, "B": 2}, {"A": [0.5, 0.5], "B": np.eye(2)}), {"A": 2}
        )
    with pytest.raises(UsageError, match="named twice"):
        functor.table(Copy(A))
