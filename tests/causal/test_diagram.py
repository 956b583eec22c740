"""Syntax: the CDU axioms, equality up to drawing, and the SVG."""

import itertools
import xml.etree.ElementTree as ElementTree

import networkx
import numpy as np
import pytest

from educe.causal import Box, Copy, Dag, Diagram, Discard, Identity, Placed, Swap, Ty, Uniform, cut, twin
from educe.core import UsageError

A, B, C = Ty("A"), Ty("B"), Ty("C")
f, g = Box("f", A, B), Box("g", B, C)
SMOKING = [("H", "S"), ("S", "T"), ("T", "C"), ("H", "C")]


def test_the_comonoid_laws():
    one = Identity(A)
    assert Copy(A) >> Copy(A) @ one == Copy(A) >> one @ Copy(A) == Copy(A, 3).diagram
    assert Copy(A) >> Discard(A) @ one == one.diagram
    assert Copy(A) >> Swap(A, A) == Copy(A).diagram
    assert Uniform(A) >> Discard(A) == Identity(Ty()).diagram


def test_the_laws_are_compatible_with_the_tensor():
    assert Copy(A @ B).diagram == (Copy(A) @ Copy(B)) >> Identity(A) @ Swap(A, B) @ Identity(B)
    assert Discard(A @ B).diagram == Discard(A) @ Discard(B)
    assert Uniform(A @ B).diagram == Uniform(A) @ Uniform(B)


def test_sequence_and_tensor_form_a_strict_symmetric_category():
    assert (f >> g) >> Discard(C) == f >> (g >> Discard(C))
    assert (f @ g) @ f == f @ (g @ f)
    assert Identity(A) >> f == f.diagram == f >> Identity(B)
    assert f @ g == (f @ Identity(B)) >> (Identity(B) @ g)
    assert (f @ g) >> Swap(B, C) == Swap(A, B) >> (g @ f)
    assert Swap(A, B) >> Swap(B, A) == Identity(A @ B).diagram


def test_copying_and_discarding_are_not_natural():
    assert f >> Copy(B) != Copy(A) >> f @ f
    assert f >> Discard(B) != Discard(A).diagram


def test_what_differs_is_not_equal():
    h = Box("h", A @ A, B)
    assert Identity(A @ A) >> h != Swap(A, A) >> h
    assert f.diagram != Box("f", A, C).diagram
    assert Uniform(A).diagram != Box("uniform", Ty(), A).diagram
    assert f.diagram != f


def shuffled(diagram, generator):
    """Renumber wires and place boxes in another possible order."""
    number = {int(w): i for i, w in enumerate(generator.permutation(len(diagram.wires)))}
    wires = [""] * len(diagram.wires)
    for w, name in enumerate(diagram.wires):
        wires[number[w]] = name
    waiting = [diagram.boxes[i] for i in generator.permutation(len(diagram.boxes))]
    made, boxes = set(diagram.inputs), []
    while waiting:
        free = next(p for p in waiting if made.issuperset(p.inputs))
        waiting.remove(free)
        made.update(free.outputs)
        boxes.append(Placed(free.box, tuple(number[w] for w in free.inputs), tuple(number[w] for w in free.outputs)))
    return Diagram(
        tuple(wires), tuple(boxes), tuple(number[w] for w in diagram.inputs), tuple(number[w] for w in diagram.outputs)
    )


@pytest.mark.parametrize(
    "diagram",
    [
        Diagram.from_dag(SMOKING, ["H"]),
        cut(Diagram.from_dag(SMOKING, ["H"]), "S", "T"),
        twin(Diagram.from_dag(SMOKING, ["H"]), "S"),
        f @ f @ f,
        (Box("s", Ty(), A) >> Discard(A)) @ (Box("s", Ty(), A) >> Discard(A)) @ Uniform(A),
    ],
    ids=["smoking", "cut", "twin", "three alike", "scalars"],
)
def test_the_normal_form_does_not_see_drawing_order(diagram):
    generator = np.random.default_rng(5)
    form = diagram.normal_form()
    parts = (form.wires, form.boxes, form.inputs, form.outputs)
    for _ in range(10):
        other = shuffled(diagram, generator).normal_form()
        assert (other.wires, other.boxes, other.inputs, other.outputs) == parts
    assert hash(shuffled(diagram, generator)) == hash(diagram)


def test_every_topological_order_draws_the_same_network():
    graph = networkx.DiGraph(SMOKING)
    diagrams = set()
    for order in networkx.all_topological_sorts(graph):
        edges = sorted(SMOKING, key=lambda edge: (order.index(edge[1]), edge[0]))
        built = Diagram.from_dag(Dag(tuple(order), tuple(edges)), ["H"])
        wires = {built.wires[w]: w for w in built.outputs}
        diagrams.add(Diagram(built.wires, built.boxes, (), tuple(wires[v] for v in "STC")))
    assert len(diagrams) == 1


def test_a_network_diagram_has_one_box_per_vertex_in_parent_order():
    diagram = Diagram.from_dag(networkx.DiGraph(SMOKING), ["H"])
    boxes = {p.box.name: p.box for p in diagram.boxes}
    assert boxes["C"].dom == Ty("H", "T") or boxes["C"].dom == Ty("T", "H")
    assert diagram.cod.names == ("S", "T", "C") and diagram.dom == Ty()


@pytest.mark.parametrize(
    "diagram",
    [Diagram.from_dag(SMOKING, ["H"]), twin(Diagram.from_dag(SMOKING, ["H"]), "S"), Identity(A).diagram, Copy(A, 0).diagram,
     Diagram.from_dag([(a, b) for a, b in itertools.combinations("ABCDEFG", 2)]), Identity(Ty()).diagram],
)  # fmt: skip
def test_the_drawing_is_well_formed_and_shows_every_box(diagram):
    root = ElementTree.fromstring(diagram.draw("A title <with> signs"))
    names = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert all(p.box.name in names for p in diagram.boxes if p.box.kind == "process")
    assert names[-1] == "A title <with> signs"
    assert diagram.draw() == diagram.draw()
    shapes = list(root.iter("{http://www.w3.org/2000/svg}polygon"))
    assert len(shapes) == sum(p.box.kind == "process" for p in diagram.boxes)


def test_boxes_do_not_overlap_in_the_drawing():
    diagram = Diagram.from_dag([(a, b) for a, b in itertools.combinations("ABCDEFG", 2)])
    root = ElementTree.fromstring(diagram.draw())
    frames = []
    for shape in root.iter("{http://www.w3.org/2000/svg}polygon"):
        points = [tuple(map(float, p.split(","))) for p in shape.get("points").split()]
        xs, ys = zip(*points, strict=True)
        frames.append((min(xs), min(ys), max(xs), max(ys)))
    for a, b in itertools.combinations(frames, 2):
        assert a[2] < b[0] or b[2] < a[0] or a[3] < b[1] or b[3] < a[1]


def test_it_draws_on_matplotlib_axes():
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    cut(Diagram.from_dag(SMOKING, ["H"]), "S").plot(axes)
    assert {text.get_text() for text in axes.texts} == {"H", "S", "T", "C"}


def test_bad_diagrams_are_refused():
    with pytest.raises(UsageError, match="do not fit inputs"):
        f >> f
    with pytest.raises(UsageError, match="cannot be made"):
        Copy(A, -1)
    with pytest.raises(UsageError, match="is not a name"):
        Ty("")
    with pytest.raises(UsageError, match="Connect wires"):
        Diagram(("A", "C"), (Placed(f, (0,), (1,)),), (0,), (1,))
    with pytest.raises(UsageError, match="before it is made"):
        Diagram(("A", "B"), (Placed(f, (0,), (1,)),), (), (1,))
    with pytest.raises(UsageError, match="has a source"):
        Diagram(("A", "B"), (Placed(f, (0,), (1,)), Placed(f, (0,), (1,))), (0,), (1,))
    with pytest.raises(UsageError, match="no source"):
        Diagram(("A",), (), (), (0,))
    with pytest.raises(UsageError, match="name a wire twice"):
        Diagram(("A",), (), (0, 0), ())
    with pytest.raises(UsageError, match="is not in the graph"):
        Diagram.from_dag([("A", "B")], ["Z"])
    with pytest.raises(UsageError, match="cycle"):
        Diagram.from_dag([("A", "B"), ("B", "A")])
