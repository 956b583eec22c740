"""String diagrams of causal processes: boxes joined by wires that may be copied, discarded and made uniform.

Source: Jacobs, Kissinger and Zanasi (2019), Causal Inference by String Diagram Surgery, arXiv:1811.08338, sections 2
to 4. A diagram is a morphism of a symmetric monoidal category in which every object carries copying, discarding and a
uniform state (a CDU category). Copying and discarding are not natural: a box followed by a copy is not two boxes.

A diagram is held as a term graph, in which each wire has one source and any number of readers (Corradini and Gadducci
1999). Copying, discarding and swapping then cost nothing and their laws hold by construction; what remains of the
axioms is that a discarded uniform state is nothing, which `normal_form` applies. Two diagrams are equal when their
normal forms are, up to the names of wires and the order of drawing.

This module is syntax only; numbers come in with `educe.causal.Functor`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from educe.causal.graph import as_dag
from educe.core import UsageError, nearest

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Box", "Composable", "Diagram", "Placed", "Ty"]


@dataclass(frozen=True, init=False)
class Ty:
    """A list of objects: the type of one side of a diagram. ``Ty()`` is the empty side.

    Parameters
    ----------
    *names : str
        The objects.

    Examples
    --------
    >>> Ty("A") @ Ty("B", "C")
    Ty('A', 'B', 'C')
    """

    names: tuple[str, ...]

    def __init__(self, *names: str) -> None:
        for name in names:
            if not isinstance(name, str) or not name:
                raise UsageError(f"Object {name!r} is not a name. Give non-empty text.")
        object.__setattr__(self, "names", names)

    def __matmul__(self, other: Ty) -> Ty:
        return Ty(*self.names, *other.names)

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        return f"Ty({', '.join(repr(name) for name in self.names)})"


class Composable:
    """Anything that can be put in sequence (``>>``) and side by side (``@``)."""

    @property
    def diagram(self) -> Diagram:
        """This as a diagram."""
        raise NotImplementedError

    def __rshift__(self, other: Composable) -> Diagram:
        return _sequence(self.diagram, other.diagram)

    def __matmul__(self, other: Composable) -> Diagram:
        return _beside(self.diagram, other.diagram)


@dataclass(frozen=True)
class Box(Composable):
    """A process with a name.

    Parameters
    ----------
    name : str
        What a functor looks up.
    dom, cod : Ty
        Types of what goes in and what comes out.
    kind : {"process", "uniform"}
        A uniform box is the state that surgery puts in; make it with `educe.causal.Uniform`.

    Examples
    --------
    >>> (Box("s", Ty(), Ty("S")) >> Box("t", Ty("S"), Ty("T"))).cod
    Ty('T')
    """

    name: str
    dom: Ty
    cod: Ty
    kind: Literal["process", "uniform"] = "process"

    @property
    def diagram(self) -> Diagram:
        """The diagram of this box alone."""
        n, m = len(self.dom), len(self.cod)
        ins, outs = tuple(range(n)), tuple(range(n, n + m))
        return Diagram(self.dom.names + self.cod.names, (Placed(self, ins, outs),), ins, outs)


class Placed(NamedTuple):
    """A box in a diagram, and the wires at its ports."""

    box: Box
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Diagram(Composable):
    """A string diagram, held as a term graph.

    Build diagrams from boxes with ``>>`` and ``@``, or from a graph with `from_dag`; the constructor is for code that
    transforms diagrams.

    Parameters
    ----------
    wires : tuple of str
        The object on each wire.
    boxes : tuple of Placed
        The boxes, each after those that it reads from.
    inputs, outputs : tuple of int
        The wires at the two sides. A wire among the outputs twice is copied; one that nobody reads is discarded.

    Raises
    ------
    UsageError
        A wire has no source or two, is read before it is made, or carries another object than its port.

    Examples
    --------
    >>> smoking = Diagram.from_dag([("H", "S"), ("S", "T"), ("T", "C"), ("H", "C")], hidden=["H"])
    >>> smoking.dom, smoking.cod
    (Ty(), Ty('S', 'T', 'C'))
    """

    wires: tuple[str, ...]
    boxes: tuple[Placed, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    def __post_init__(self) -> None:
        made = set(self.inputs)
        if len(made) != len(self.inputs):
            raise UsageError(f"Inputs {self.inputs} name a wire twice. Give each input a wire of its own.")
        for box, ins, outs in self.boxes:
            for ty, ports in ((box.dom, ins), (box.cod, outs)):
                carried = tuple(self.wires[w] for w in ports)
                if carried != ty.names:
                    raise UsageError(
                        f"Box {box.name!r} wants {list(ty.names)} where the wires carry {list(carried)}. "
                        "Connect wires to ports of the same object."
                    )
            if not made.issuperset(ins):
                raise UsageError(f"Box {box.name!r} reads a wire before it is made. Place its sources first.")
            if made.intersection(outs) or len(set(outs)) != len(outs):
                raise UsageError(f"Box {box.name!r} writes to a wire that has a source. Give it fresh wires.")
            made.update(outs)
        if made != set(range(len(self.wires))) or not made.issuperset(self.outputs):
            raise UsageError("A wire has no source. Make it an input or the output of a box.")

    @classmethod
    def from_dag(cls, edges: Any, hidden: str | Iterable[str] = ()) -> Diagram:
        """Draw the network diagram of a causal graph: one box per vertex, one output per observed vertex.

        Parameters
        ----------
        edges : Dag, networkx.DiGraph or iterable of (parent, child)
            The graph; the parents of a vertex keep its edge order, and with it the axes of its table.
        hidden : str or iterable of str
            Vertices without an output.

        Returns
        -------
        Diagram
            A state whose outputs are the observed vertices in the order of the graph; box ``v`` makes wire ``v``.

        Raises
        ------
        UsageError
            The graph has a cycle, or a hidden vertex is not in it.

        Examples
        --------
        >>> [placed.box.name for placed in Diagram.from_dag([("A", "B")]).boxes]
        ['A', 'B']
        """
        dag = as_dag(edges)
        unseen = {hidden} if isinstance(hidden, str) else set(hidden)
        for vertex in unseen - set(dag.vertices):
            raise UsageError(f"Hidden vertex {vertex!r} is not in the graph; {nearest(str(vertex), dag.vertices)}")
        order = dag.topological_order
        wire = {vertex: i for i, vertex in enumerate(order)}
        placed = tuple(
            Placed(
                Box(vertex, Ty(*dag.parents(vertex)), Ty(vertex)),
                tuple(wire[parent] for parent in dag.parents(vertex)),
                (wire[vertex],),
            )
            for vertex in order
        )
        return cls(order, placed, (), tuple(wire[v] for v in dag.vertices if v not in unseen))

    @property
    def diagram(self) -> Diagram:
        """The diagram itself."""
        return self

    @property
    def dom(self) -> Ty:
        """Objects that go in."""
        return Ty(*(self.wires[w] for w in self.inputs))

    @property
    def cod(self) -> Ty:
        """Objects that come out."""
        return Ty(*(self.wires[w] for w in self.outputs))

    def normal_form(self) -> Diagram:
        """Return the one diagram that stands for all diagrams equal to this one.

        Discarded uniform states are gone; wires and boxes are numbered by their place in the diagram, so that neither
        the order of building nor the order of drawing is left in it. Takes polynomial time except where many parts of
        a diagram are alike and unconnected.
        """
        from educe.causal._canonical import canonical_diagram

        return canonical_diagram(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Diagram) and self._parts == other._parts

    def __hash__(self) -> int:
        return hash(self._parts)

    @property
    def _parts(self) -> tuple[Any, ...]:
        form = self.normal_form()
        return (form.wires, form.boxes, form.inputs, form.outputs)

    @property
    def canonical_key(self) -> tuple[Any, ...]:
        """Equal for equal diagrams."""
        return self._parts

    def __repr__(self) -> str:
        names = ", ".join(placed.box.name for placed in self.boxes)
        return f"Diagram({list(self.dom.names)} -> {list(self.cod.names)}, boxes: {names or 'none'})"

    def draw(self, title: str | None = None) -> str:
        """Draw the diagram as SVG, read from bottom to top.

        Black dots copy, three shrinking bars discard, the same upside down is the uniform state.

        Parameters
        ----------
        title : str, optional
            A line of text above the drawing, also read out by screen readers.

        Returns
        -------
        str
            A standalone SVG document in the colours of its surroundings.
        """
        from educe.causal._drawing import to_svg

        return to_svg(self, title)

    def plot(self, axes: Axes) -> None:
        """Draw the diagram on matplotlib axes, for figures with further panels.

        Parameters
        ----------
        axes : matplotlib.axes.Axes
            Where to draw; its frame and ticks are taken away.
        """
        from educe.causal._drawing import to_axes

        to_axes(self, axes)


def _sequence(first: Diagram, second: Diagram) -> Diagram:
    if first.cod != second.dom:
        raise UsageError(
            f"Outputs {list(first.cod.names)} do not fit inputs {list(second.dom.names)}. "
            "Permute them with Swap, or copy and discard."
        )
    joined = dict(zip(second.inputs, first.outputs, strict=True))
    return _joined(first, second, joined, first.inputs, None)


def _beside(first: Diagram, second: Diagram) -> Diagram:
    return _joined(first, second, {}, None, first.outputs)


def _joined(
    first: Diagram,
    second: Diagram,
    renamed: dict[int, int],
    inputs: tuple[int, ...] | None,
    outputs: tuple[int, ...] | None,
) -> Diagram:
    wires = list(first.wires)
    for wire, name in enumerate(second.wires):
        if wire not in renamed:
            renamed[wire] = len(wires)
            wires.append(name)

    def move(ports: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(renamed[w] for w in ports)

    boxes = first.boxes + tuple(Placed(box, move(ins), move(outs)) for box, ins, outs in second.boxes)
    return Diagram(
        tuple(wires),
        boxes,
        first.inputs + move(second.inputs) if inputs is None else inputs,
        move(second.outputs) if outputs is None else outputs + move(second.outputs),
    )
