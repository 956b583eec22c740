"""Checks and walks on lists of edges, shared by directed and mixed graphs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from educe.core import UsageError, nearest

__all__ = ["check_edges", "check_names", "closure", "sorted_part", "topological_order"]


def check_names(vertices: Sequence[str]) -> None:
    for vertex in vertices:
        if not isinstance(vertex, str) or not vertex:
            raise UsageError(f"Vertex {vertex!r} is not a name. Give non-empty text.")
    if len(set(vertices)) != len(vertices):
        raise UsageError(f"A vertex is named twice in {list(vertices)}. Name each once.")


def check_edges(vertices: Sequence[str], edges: Sequence[tuple[str, str]]) -> None:
    for a, b in edges:
        for name in (a, b):
            if name not in vertices:
                raise UsageError(f"Edge {a!r} -> {b!r} has an end that is no vertex; {nearest(name, vertices)}")
    if len(set(edges)) != len(edges):
        raise UsageError(f"An edge is given twice in {list(edges)}. Give each once.")


def sorted_part(vertices: Sequence[str], edges: Sequence[tuple[str, str]]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Sort what can be sorted; the second part holds cycles and what hangs below them."""
    done: list[str] = []
    rest = list(vertices)
    while rest:
        free = next((v for v in rest if not any(b == v and a in rest for a, b in edges)), None)
        if free is None:
            break
        done.append(free)
        rest.remove(free)
    return tuple(done), tuple(rest)


def topological_order(vertices: Sequence[str], edges: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    order, rest = sorted_part(vertices, edges)
    if rest:
        # Every vertex that is left has a parent that is left, so walking up must come round.
        walk = [rest[0]]
        while walk[-1] not in walk[:-1]:
            walk.append(next(a for a, b in edges if b == walk[-1] and a in rest))
        cycle = list(reversed(walk[walk.index(walk[-1]) :]))
        raise UsageError(f"The edges close a cycle, {' -> '.join(cycle)}. Take one of them away.")
    return order


def closure(start: Iterable[str], steps: Iterable[tuple[str, str]]) -> frozenset[str]:
    reached = set(start)
    pairs = list(steps)
    grown = True
    while grown:
        new = {b for a, b in pairs if a in reached} - reached
        grown = bool(new)
        reached |= new
    return frozenset(reached)
