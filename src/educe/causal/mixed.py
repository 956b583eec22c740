"""Mixed graphs: what a causal graph says about its observed vertices alone.

Source: Verma and Pearl (1990) for the graph, Tian and Pearl (2002) for its c-components. A directed edge is a cause, a
bidirected edge an unseen common cause. Made from a DAG by `educe.causal.Dag.project`, or written down directly.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from educe.causal._order import check_edges, check_names, closure, topological_order
from educe.core import UsageError

__all__ = ["Admg"]


@dataclass(frozen=True)
class Admg:
    """An acyclic directed mixed graph: directed edges, and bidirected edges for unseen common causes.

    Parameters
    ----------
    vertices : tuple of str
        Observed names.
    directed : tuple of (str, str)
        Parent and child, without a cycle.
    bidirected : tuple of (str, str)
        Pairs that share an unseen cause.

    Raises
    ------
    UsageError
        As for `Dag`.

    Examples
    --------
    >>> bow = Admg(("A", "B"), (("A", "B"),), (("A", "B"),))
    >>> bow.component("A") == {"A", "B"}
    True
    """

    vertices: tuple[str, ...]
    directed: tuple[tuple[str, str], ...] = ()
    bidirected: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        check_names(self.vertices)
        check_edges(self.vertices, self.directed)
        topological_order(self.vertices, self.directed)
        for a, b in self.bidirected:
            if a == b or a not in self.vertices or b not in self.vertices:
                raise UsageError(f"Bidirected edge {a!r} <-> {b!r} does not join two vertices. Name two that exist.")

    @cached_property
    def topological_order(self) -> tuple[str, ...]:
        """Parents before children; among the free, the order of `vertices`."""
        return topological_order(self.vertices, self.directed)

    def restrict(self, keep: Iterable[str]) -> Admg:
        """Return the subgraph on some of the vertices.

        Parameters
        ----------
        keep : iterable of str
            The vertices to keep.
        """
        kept = set(keep)
        return Admg(
            tuple(v for v in self.vertices if v in kept),
            tuple((a, b) for a, b in self.directed if a in kept and b in kept),
            tuple((a, b) for a, b in self.bidirected if a in kept and b in kept),
        )

    def ancestors(self, vertices: Iterable[str]) -> frozenset[str]:
        """Return the given vertices and all their ancestors.

        Parameters
        ----------
        vertices : iterable of str
            Vertices of this graph.
        """
        return closure(vertices, [(b, a) for a, b in self.directed])

    def parents(self, vertices: Iterable[str]) -> frozenset[str]:
        """Return all parents of the given vertices, which may themselves be among them.

        Parameters
        ----------
        vertices : iterable of str
            Vertices of this graph.
        """
        chosen = set(vertices)
        return frozenset(a for a, b in self.directed if b in chosen)

    def component(self, vertex: str) -> frozenset[str]:
        """Return the vertices joined to this one by bidirected edges, itself included (its c-component).

        Parameters
        ----------
        vertex : str
            A vertex of this graph.
        """
        return closure([vertex], [*self.bidirected, *((b, a) for a, b in self.bidirected)])

    def components(self) -> list[frozenset[str]]:
        """Return all c-components, in the order of their first vertices."""
        found: list[frozenset[str]] = []
        for vertex in self.vertices:
            if not any(vertex in component for component in found):
                found.append(self.component(vertex))
        return found

    def bidirected_path(self, start: str, goal: str) -> tuple[str, ...] | None:
        """Return a shortest path of bidirected edges, None where there is none.

        Parameters
        ----------
        start, goal : str
            Its ends.
        """
        before: dict[str, str | None] = {start: None}
        queue = [start]
        for vertex in queue:
            if vertex == goal:
                path: list[str] = []
                step: str | None = vertex
                while step is not None:
                    path.append(step)
                    step = before[step]
                return tuple(reversed(path))
            for a, b in self.bidirected:
                other = b if a == vertex else a if b == vertex else None
                if other is not None and other not in before:
                    before[other] = vertex
                    queue.append(other)
        return None
