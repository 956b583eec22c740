"""Surgery on string diagrams: cut a vertex, or grow a counterfactual twin.

Source: Jacobs, Kissinger and Zanasi (2019), arXiv:1811.08338, section 5 (`cut`), and the journal version of 2021 in
Mathematical Structures in Computer Science (`twin`, there for counterfactuals after Balke and Pearl 1994).

Both act on syntax; no number is looked at. What a cut does to probabilities is computed by `educe.causal.intervene`.
"""

from __future__ import annotations

from educe.causal.diagram import Box, Diagram, Placed, Ty
from educe.core import UsageError, nearest

__all__ = ["cut", "twin"]


def cut(diagram: Diagram, *vertices: str) -> Diagram:
    """Replace boxes by uniform states and discard what they read.

    This is the functor of syntax ``cut_A``: every box called `A` becomes "discard the parents, then uniform".

    Parameters
    ----------
    diagram : Diagram
        Any diagram.
    *vertices : str
        Names of boxes. Cutting twice changes nothing more; the order of cuts does not matter.

    Returns
    -------
    Diagram
        Of the same type.

    Raises
    ------
    UsageError
        A name is neither a box nor an object of the diagram.

    Examples
    --------
    >>> smoking = Diagram.from_dag([("H", "S"), ("S", "T"), ("T", "C"), ("H", "C")], hidden=["H"])
    >>> cut(cut(smoking, "S"), "S") == cut(smoking, "S") != smoking
    True
    """
    known = {p.box.name for p in diagram.boxes} | set(diagram.wires)
    for vertex in vertices:
        if vertex not in known:
            raise UsageError(f"The diagram has no box {vertex!r}; {nearest(str(vertex), known)}")
    boxes: list[Placed] = []
    for placed in diagram.boxes:
        if placed.box.kind == "process" and placed.box.name in vertices:
            boxes.extend(_uniform(diagram, wire) for wire in placed.outputs)
        else:
            boxes.append(placed)
    return Diagram(diagram.wires, tuple(boxes), diagram.inputs, diagram.outputs)


def twin(diagram: Diagram, *vertices: str) -> Diagram:
    """Draw the factual world beside a counterfactual one in which some vertices are cut.

    Boxes without inputs (exogenous states) stand once and are copied into both worlds, unless they are cut; every
    other box stands twice. For this to mean a counterfactual, the boxes with inputs must be deterministic, with all
    chance in the exogenous states; `educe.causal.counterfactual` checks that.

    Parameters
    ----------
    diagram : Diagram
        A state (no inputs).
    *vertices : str
        Boxes to cut in the counterfactual world.

    Returns
    -------
    Diagram
        First the factual outputs, then the counterfactual ones, of the same objects.

    Raises
    ------
    UsageError
        The diagram has inputs, or a vertex is unknown.

    Examples
    --------
    >>> twin(Diagram.from_dag([("U", "S"), ("S", "T")], hidden=["U"]), "S").cod
    Ty('S', 'T', 'S', 'T')
    """
    if diagram.inputs:
        raise UsageError(f"The diagram has inputs {list(diagram.dom.names)}, so it is no world. Give it states first.")
    altered = cut(diagram, *vertices)
    shared = {wire for p in diagram.boxes if not p.box.dom.names and p.box.name not in vertices for wire in p.outputs}
    wires = list(diagram.wires)
    number: dict[int, int] = {}
    for wire, name in enumerate(diagram.wires):
        number[wire] = wire if wire in shared else len(wires)
        if wire not in shared:
            wires.append(name)
    boxes = list(diagram.boxes)
    for box, ins, outs in altered.boxes:
        if not shared.intersection(outs):
            boxes.append(Placed(box, tuple(number[w] for w in ins), tuple(number[w] for w in outs)))
    return Diagram(tuple(wires), tuple(boxes), (), (*diagram.outputs, *(number[w] for w in diagram.outputs)))


def _uniform(diagram: Diagram, wire: int) -> Placed:
    return Placed(Box("uniform", Ty(), Ty(diagram.wires[wire]), "uniform"), (), (wire,))
