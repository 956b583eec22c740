"""Draw a diagram from bottom to top: layers by longest path, crossings thinned by barycentres, wires as Bezier curves.

The layout is a list of strokes, which one renderer writes as SVG and another puts on matplotlib axes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from educe.causal.diagram import Diagram

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["to_axes", "to_svg"]

LAYER = 1.7
HEIGHT = 0.72
GAP = 0.55
SWEEPS = 12
PIXELS = 46
Point = tuple[float, float]


class Stroke(NamedTuple):
    """One mark: ``curve`` (4 points), ``line`` (2), ``shape`` (polygon with label), ``dot`` (1), ``text`` (1)."""

    kind: str
    points: tuple[Point, ...]
    label: str = ""


@dataclass
class _Node:
    layer: int
    width: float
    label: str = ""
    ins: int = 0
    outs: int = 0
    kind: str = "bend"
    x: float = 0.0
    below: list[tuple[_Node, int, int]] = field(default_factory=list)
    above: list[tuple[_Node, int, int]] = field(default_factory=list)

    def port(self, index: int, count: int) -> float:
        inner = self.width * 0.6
        return self.x + (0.0 if count < 2 else inner * (index / (count - 1) - 0.5))

    @property
    def y(self) -> float:
        return self.layer * LAYER


def _nodes(diagram: Diagram) -> tuple[list[_Node], dict[int, tuple[_Node, int]]]:
    """Place everything on layers; return the nodes and where each wire comes from."""
    source: dict[int, tuple[_Node, int]] = {}
    nodes: list[_Node] = []
    for wire in diagram.inputs:
        node = _Node(0, 0.5, diagram.wires[wire], 0, 1, "input")
        nodes.append(node)
        source[wire] = (node, 0)
    placed: list[tuple[_Node, tuple[int, ...]]] = []
    for box, ins, outs in diagram.boxes:
        layer = 1 + max((source[w][0].layer for w in ins), default=0)
        kind = "uniform" if box.kind == "uniform" else "box" if ins else "state"
        width = 0.6 if kind == "uniform" else max(0.85, 0.17 * len(box.name) + 0.55) * (1.0 if ins else 1.35)
        node = _Node(layer, max(width, 0.5 * max(len(ins), len(outs))), box.name, len(ins), len(outs), kind)
        nodes.append(node)
        placed.append((node, ins))
        source.update({wire: (node, port) for port, wire in enumerate(outs)})
    top = 1 + max((node.layer for node in nodes), default=0)
    for node, ins in reversed(placed):
        # A state floats up to its first reader, which keeps its wires short.
        readers = [other.layer for other, read in placed if any(source[w][0] is node for w in read)]
        if not ins and readers:
            node.layer = max(1, min(readers) - 1)
    ends = [_Node(top, 0.5, diagram.wires[wire], 1, 0, "output") for wire in diagram.outputs]
    nodes.extend(ends)
    for node, ins in [*placed, *((end, (w,)) for end, w in zip(ends, diagram.outputs, strict=True))]:
        for port, wire in enumerate(ins):
            _connect(nodes, *source[wire], node, port)
    return nodes, source


def _connect(nodes: list[_Node], start: _Node, out: int, end: _Node, into: int) -> None:
    before, port = start, out
    for layer in range(start.layer + 1, end.layer):
        bend = _Node(layer, 0.12, "", 1, 1)
        nodes.append(bend)
        before.above.append((bend, port, 0))
        bend.below.append((before, port, 0))
        before, port = bend, 0
    before.above.append((end, port, into))
    end.below.append((before, port, into))


def _arrange(nodes: list[_Node]) -> None:
    layers: dict[int, list[_Node]] = {}
    for node in nodes:
        layers.setdefault(node.layer, []).append(node)
    for row in layers.values():
        _spread(row, [float(i) * 2.0 for i in range(len(row))])
    for sweep in range(2 * SWEEPS):
        downward = sweep % 2 == 0
        for layer in sorted(layers, reverse=downward):
            row = layers[layer]
            wanted = {}
            for node in row:
                pull = [other.port(p, other.outs) for other, p, _ in node.below]
                push = [other.port(q, other.ins) for other, _, q in node.above]
                near = (push or pull) if downward else (pull or push)
                if sweep >= SWEEPS:
                    near = pull + push
                wanted[id(node)] = sum(near) / len(near) if near else node.x
            if sweep < SWEEPS and not any(node.kind in ("input", "output") for node in row):
                row.sort(key=lambda node: wanted[id(node)])
            _spread(row, [wanted[id(node)] for node in row])


def _spread(row: Sequence[_Node], wanted: list[float]) -> None:
    """Move to the wanted places as far as order and distance allow."""
    if not row:
        return
    gaps = [(a.width + b.width) / 2 + GAP for a, b in pairwise(row)]
    right = [wanted[0]]
    for gap, place in zip(gaps, wanted[1:], strict=True):
        right.append(max(place, right[-1] + gap))
    left = [wanted[-1]]
    for gap, place in zip(reversed(gaps), reversed(wanted[:-1]), strict=True):
        left.append(min(place, left[-1] - gap))
    for node, a, b in zip(row, right, reversed(left), strict=True):
        node.x = (a + b) / 2


def _strokes(diagram: Diagram) -> list[Stroke]:
    nodes, source = _nodes(diagram)
    _arrange(nodes)
    strokes: list[Stroke] = []
    readers = dict.fromkeys(range(len(diagram.wires)), 0)
    for wires in (diagram.outputs, *(p.inputs for p in diagram.boxes)):
        for wire in wires:
            readers[wire] += 1
    lifted: dict[tuple[int, int], float] = {}
    for wire, (node, port) in source.items():
        x, y = node.port(port, node.outs), _top(node)
        if readers[wire] == 0:
            strokes.append(Stroke("line", ((x, y), (x, y + 0.3))))
            strokes.extend(_bars(x, y + 0.3, 1))
        elif readers[wire] > 1:
            lifted[id(node), port] = 0.22
            strokes.append(Stroke("line", ((x, y), (x, y + 0.22))))
            strokes.append(Stroke("dot", ((x, y + 0.22),)))
    for node in nodes:
        for other, out, into in node.above:
            x0, y0 = node.port(out, node.outs), _top(node) + lifted.get((id(node), out), 0.0)
            x1, y1 = other.port(into, other.ins), _bottom(other)
            middle = (y0 + y1) / 2
            strokes.append(Stroke("curve", ((x0, y0), (x0, middle), (x1, middle), (x1, y1))))
        strokes.extend(_marks(node))
    return strokes


def _top(node: _Node) -> float:
    return node.y + (HEIGHT / 2 if node.kind in ("box", "state") else 0.0)


def _bottom(node: _Node) -> float:
    return node.y - (HEIGHT / 2 if node.kind in ("box", "state") else 0.0)


def _bars(x: float, y: float, direction: int) -> list[Stroke]:
    """Three bars that shrink away from the wire: the earth sign."""
    sizes = ((0.0, 0.24), (0.09, 0.15), (0.18, 0.06))
    return [Stroke("line", ((x - half, y + direction * up), (x + half, y + direction * up))) for up, half in sizes]


def _marks(node: _Node) -> list[Stroke]:
    x, y, half, up = node.x, node.y, node.width / 2, HEIGHT / 2
    if node.kind == "box":
        return [
            Stroke("shape", ((x - half, y - up), (x + half, y - up), (x + half, y + up), (x - half, y + up))),
            _text(node, y),
        ]
    if node.kind == "state":
        return [Stroke("shape", ((x - half, y + up), (x + half, y + up), (x, y - up))), _text(node, y + 0.12)]
    if node.kind == "uniform":
        return _bars(x, y, -1)
    if node.kind == "input":
        return [_text(node, y - 0.22)]
    return [_text(node, y + 0.22)] if node.kind == "output" else []


def _text(node: _Node, y: float) -> Stroke:
    return Stroke("text", ((node.x, y),), node.label)


def _bounds(strokes: Sequence[Stroke]) -> tuple[float, float, float, float]:
    points = [point for stroke in strokes for point in stroke.points] or [(0.0, 0.0)]
    xs, ys = [p[0] for p in points], [p[1] for p in points]
    return min(xs) - 0.6, min(ys) - 0.45, max(xs) + 0.6, max(ys) + 0.45


def to_svg(diagram: Diagram, title: str | None) -> str:
    """Write the drawing as an SVG document."""
    strokes = _strokes(diagram)
    left, low, right, high = _bounds(strokes)
    if title:
        high += 0.5
    width, height = (right - left) * PIXELS, (high - low) * PIXELS

    def at(point: Point) -> str:
        return f"{(point[0] - left) * PIXELS:.1f},{(high - point[1]) * PIXELS:.1f}"

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}" role="img" color="#222" fill="none" stroke="currentColor" stroke-width="1.6" '
        'font-family="DejaVu Sans, sans-serif" font-size="14">',
        f"<title>{escape(title or repr(diagram))}</title>",
    ]
    for kind, points, label in strokes:
        if kind == "curve":
            parts.append(f'<path d="M{at(points[0])} C{at(points[1])} {at(points[2])} {at(points[3])}"/>')
        elif kind == "line":
            parts.append(f'<path d="M{at(points[0])} L{at(points[1])}"/>')
        elif kind == "shape":
            parts.append(f'<polygon points="{" ".join(at(p) for p in points)}" stroke-linejoin="round"/>')
        elif kind == "dot":
            x, y = at(points[0]).split(",")
            parts.append(f'<circle cx="{x}" cy="{y}" r="4" fill="currentColor"/>')
        else:
            x, y = at(points[0]).split(",")
            parts.append(_svg_text(x, y, label))
    if title:
        parts.append(_svg_text(f"{width / 2:.1f}", "14", title))
    return "\n".join([*parts, "</svg>", ""])


def _svg_text(x: str, y: str, label: str) -> str:
    return (
        f'<text x="{x}" y="{y}" text-anchor="middle" dominant-baseline="central" fill="currentColor" '
        f'stroke="none">{escape(label)}</text>'
    )


def to_axes(diagram: Diagram, axes: Axes) -> None:
    """Put the drawing on matplotlib axes."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    strokes = _strokes(diagram)
    left, low, right, high = _bounds(strokes)
    codes = {2: [Path.MOVETO, Path.LINETO], 4: [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4]}
    for kind, points, label in strokes:
        if kind in ("curve", "line"):
            axes.add_patch(PathPatch(Path(list(points), codes[len(points)]), fill=False, lw=1.2))
        elif kind == "shape":
            axes.fill([p[0] for p in points], [p[1] for p in points], facecolor="white", edgecolor="black", lw=1.2)
        elif kind == "dot":
            axes.plot([points[0][0]], [points[0][1]], "o", color="black", markersize=4)
        else:
            axes.text(*points[0], label, ha="center", va="center", fontsize=9)
    axes.set_xlim(left, right)
    axes.set_ylim(low, high)
    axes.set_aspect("equal")
    axes.axis("off")
