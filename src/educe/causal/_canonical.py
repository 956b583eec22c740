"""Normal form of a term graph: drop discarded uniform states, then number wires and boxes canonically.

Colours are refined from the ports outwards until they are stable (Weisfeiler and Leman 1968, on a graph with ordered
ports); where parts remain alike, one is singled out in every possible way and the smallest encoding wins.
"""

from __future__ import annotations

from typing import Any

from educe.causal.diagram import Diagram, Placed

__all__ = ["canonical_diagram"]


def canonical_diagram(diagram: Diagram) -> Diagram:
    """Return the normal form; equal diagrams have equal ones."""
    pruned = _without_discarded_uniforms(diagram)
    wires, boxes = len(pruned.wires), len(pruned.boxes)
    start: list[Any] = [
        (0, name, _position(pruned.inputs, w), tuple(i for i, o in enumerate(pruned.outputs) if o == w))
        for w, name in enumerate(pruned.wires)
    ]
    start += [(1, box.name, box.kind, box.dom.names, box.cod.names) for box, _, _ in pruned.boxes]
    best: tuple[Any, Diagram] | None = None
    stack = [_ranks(start)]
    while stack:
        colours = _refine(pruned, stack.pop())
        doubled = sorted({colour for colour in colours if colours.count(colour) > 1})
        if doubled:
            members = [i for i in range(wires + boxes) if colours[i] == doubled[0]]
            stack.extend(_ranks([(colour, i == chosen) for i, colour in enumerate(colours)]) for chosen in members)
            continue
        form = _renumbered(pruned, colours)
        key = [(p.box.name, p.box.kind, p.inputs, p.outputs) for p in form.boxes]
        code = (form.wires, key, form.inputs, form.outputs)
        if best is None or code < best[0]:
            best = (code, form)
    assert best is not None
    return best[1]


def _position(wires: tuple[int, ...], wire: int) -> int:
    return wires.index(wire) if wire in wires else -1


def _without_discarded_uniforms(diagram: Diagram) -> Diagram:
    read = set(diagram.outputs).union(*(ins for _, ins, _ in diagram.boxes))
    kept = tuple(p for p in diagram.boxes if p.box.kind != "uniform" or read.intersection(p.outputs))
    if len(kept) == len(diagram.boxes):
        return diagram
    alive = sorted(set(diagram.inputs).union(*(p.outputs for p in kept)))
    number = {wire: i for i, wire in enumerate(alive)}
    return _moved(diagram, tuple(diagram.wires[w] for w in alive), kept, number)


def _moved(diagram: Diagram, wires: tuple[str, ...], boxes: tuple[Placed, ...], number: dict[int, int]) -> Diagram:
    def move(ports: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(number[w] for w in ports)

    return Diagram(
        wires,
        tuple(Placed(box, move(ins), move(outs)) for box, ins, outs in boxes),
        move(diagram.inputs),
        move(diagram.outputs),
    )


def _ranks(signatures: list[Any]) -> list[int]:
    order = {signature: i for i, signature in enumerate(sorted(set(signatures)))}
    return [order[signature] for signature in signatures]


def _refine(diagram: Diagram, colours: list[int]) -> list[int]:
    wires = len(diagram.wires)
    source: dict[int, tuple[int, int]] = {}
    readers: dict[int, list[tuple[int, int]]] = {w: [] for w in range(wires)}
    for b, (_, ins, outs) in enumerate(diagram.boxes):
        for port, wire in enumerate(outs):
            source[wire] = (wires + b, port)
        for port, wire in enumerate(ins):
            readers[wire].append((wires + b, port))
    while True:
        signatures: list[Any] = []
        for wire in range(wires):
            above = sorted((colours[b], port) for b, port in readers[wire])
            below = (colours[source[wire][0]], source[wire][1]) if wire in source else (-1, -1)
            signatures.append((colours[wire], below, tuple(above)))
        for b, (_, ins, outs) in enumerate(diagram.boxes):
            ports = tuple((colours[w], i) for i, w in enumerate(outs))
            signatures.append((colours[wires + b], (-2, -2), (*((colours[w], -1) for w in ins), *ports)))
        finer = _ranks(signatures)
        if len(set(finer)) == len(set(colours)):
            return finer
        colours = finer


def _renumbered(diagram: Diagram, colours: list[int]) -> Diagram:
    wires = len(diagram.wires)
    order = sorted(range(wires), key=lambda w: colours[w])
    number = {wire: i for i, wire in enumerate(order)}
    waiting = sorted(range(len(diagram.boxes)), key=lambda b: colours[wires + b])
    made = set(diagram.inputs)
    boxes: list[Placed] = []
    while waiting:
        free = next(b for b in waiting if made.issuperset(diagram.boxes[b].inputs))
        waiting.remove(free)
        boxes.append(diagram.boxes[free])
        made.update(diagram.boxes[free].outputs)
    return _moved(diagram, tuple(diagram.wires[w] for w in order), tuple(boxes), number)
