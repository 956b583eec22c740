"""Exchange diagrams with `discopy`, the Python library of string diagrams (its module `discopy.markov`).

Needs ``discopy`` 1.2 or later, which is not installed with educe. A uniform state becomes an ordinary box there, called
``uniform``; on the way back it is told apart by that name and its empty domain.
"""

from __future__ import annotations

import importlib
from typing import Any

from educe.causal.diagram import Box, Composable, Diagram, Placed, Ty
from educe.core import CapabilityError, UsageError

__all__ = ["from_discopy", "to_discopy"]


def _markov() -> Any:
    try:
        return importlib.import_module("discopy.markov")
    except ImportError:
        raise CapabilityError("The library discopy is not installed. Install it with `pip install discopy`.") from None


def to_discopy(diagram: Composable) -> Any:
    """Write a diagram as a `discopy.markov.Diagram`.

    Parameters
    ----------
    diagram : Diagram or box
        Any diagram.

    Returns
    -------
    discopy.markov.Diagram

    Raises
    ------
    CapabilityError
        discopy is not installed.
    """
    markov = _markov()
    form = diagram.diagram

    def ty(names: tuple[str, ...]) -> Any:
        return markov.Ty(*names)

    boxes = tuple(markov.Box(p.box.name, ty(p.box.dom.names), ty(p.box.cod.names)) for p in form.boxes)
    wiring = (form.inputs, tuple((p.inputs, p.outputs) for p in form.boxes), form.outputs)
    graph = markov.Hypergraph(
        dom=ty(form.dom.names),
        cod=ty(form.cod.names),
        boxes=boxes,
        wires=wiring,
        spider_types=tuple(markov.Ty(name) for name in form.wires),
    )
    return graph.to_diagram()


def from_discopy(diagram: Any) -> Diagram:
    """Read a `discopy.markov.Diagram`.

    Parameters
    ----------
    diagram : discopy.markov.Diagram
        A diagram without merges and feedback.

    Returns
    -------
    Diagram

    Raises
    ------
    UsageError
        The diagram joins wires in a way that copying and discarding cannot.
    """
    graph = diagram.to_hypergraph()
    wires = tuple(str(ty) for ty in graph.spider_types)
    inputs, inner, outputs = graph.wires
    waiting = []
    for box, (ins, outs) in zip(graph.boxes, inner, strict=True):
        dom, cod = Ty(*(wires[w] for w in ins)), Ty(*(wires[w] for w in outs))
        uniform = box.name == "uniform" and not dom.names and len(cod) == 1
        waiting.append(Placed(Box(str(box.name), dom, cod, "uniform" if uniform else "process"), ins, outs))
    made = set(inputs)
    boxes: list[Placed] = []
    while waiting:
        free = next((p for p in waiting if made.issuperset(p.inputs)), None)
        if free is None:
            raise UsageError("The discopy diagram feeds a box from itself. Give a diagram without feedback.")
        waiting.remove(free)
        boxes.append(free)
        made.update(free.outputs)
    return Diagram(wires, tuple(boxes), tuple(inputs), tuple(outputs))
