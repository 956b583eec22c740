"""Directed acyclic graphs: order, ancestors, latent projection.

A `Dag` keeps its edges in the order in which they were given, because the parents of a vertex are the axes of its
table. Its latent projection (`Dag.project`; Verma and Pearl 1990) is what remains once hidden vertices are gone.

Not here: learning a graph (see `exchangeable`), cyclic graphs, selection bias.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

from educe.causal._order import check_edges, check_names, closure, sorted_part, topological_order
from educe.causal.mixed import Admg
from educe.core import UsageError, nearest

__all__ = ["Dag", "all_dags", "as_dag"]


@dataclass(frozen=True, eq=False)
class Dag:
    """A directed acyclic graph.

    Parameters
    ----------
    vertices : tuple of str
        Names, each once.
    edges : tuple of (str, str)
        Parent and child. The parents of a vertex keep this order.

    Raises
    ------
    UsageError
        A name is doubled, an edge is doubled or leads to an unknown vertex, or the edges close a cycle.

    Examples
    --------
    >>> smoking = Dag(("H", "S", "T", "C"), (("H", "S"), ("S", "T"), ("T", "C"), ("H", "C")))
    >>> smoking.parents("C"), smoking.topological_order
    (('T', 'H'), ('H', 'S', 'T', 'C'))
    """

    vertices: tuple[str, ...]
    edges: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        check_names(self.vertices)
        check_edges(self.vertices, self.edges)
        topological_order(self.vertices, self.edges)

    @property
    def canonical_key(self) -> Hashable:
        """Equal for graphs with the same vertices and edges, in whatever order."""
        return ("dag", frozenset(self.vertices), frozenset(self.edges))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Dag) and self.canonical_key == other.canonical_key

    def __hash__(self) -> int:
        return hash(self.canonical_key)

    def __repr__(self) -> str:
        lonely = [v for v in self.vertices if not any(v in edge for edge in self.edges)]
        parts = [f"{a} -> {b}" for a, b in sorted(self.edges)] + sorted(lonely)
        return f"Dag({', '.join(parts)})"

    @cached_property
    def topological_order(self) -> tuple[str, ...]:
        """Parents before children; among the free, the order of `vertices`."""
        return topological_order(self.vertices, self.edges)

    def parents(self, vertex: str) -> tuple[str, ...]:
        """Return the parents of a vertex in the order of the edges.

        Parameters
        ----------
        vertex : str
            A vertex of this graph.
        """
        self.require(vertex)
        return tuple(a for a, b in self.edges if b == vertex)

    def children(self, vertex: str) -> tuple[str, ...]:
        """Return the children of a vertex in the order of the edges.

        Parameters
        ----------
        vertex : str
            A vertex of this graph.
        """
        self.require(vertex)
        return tuple(b for a, b in self.edges if a == vertex)

    def ancestors(self, vertices: Iterable[str]) -> frozenset[str]:
        """Return the given vertices and everything from which a directed path leads to them.

        Parameters
        ----------
        vertices : iterable of str
            Vertices of this graph.
        """
        vertices = list(vertices)
        self.require(*vertices)
        return closure(vertices, [(b, a) for a, b in self.edges])

    def descendants(self, vertices: Iterable[str]) -> frozenset[str]:
        """Return the given vertices and everything to which a directed path leads from them.

        Parameters
        ----------
        vertices : iterable of str
            Vertices of this graph.
        """
        vertices = list(vertices)
        self.require(*vertices)
        return closure(vertices, self.edges)

    def project(self, hidden: str | Iterable[str] = ()) -> Admg:
        """Return the latent projection: what the graph says about its observed vertices alone.

        Parameters
        ----------
        hidden : str or iterable of str
            Vertices to project out, anywhere in the graph.

        Returns
        -------
        Admg
            ``a -> b`` for a directed path with hidden inner vertices only, ``a <-> b`` where one hidden vertex reaches
            both through hidden vertices only.
        """
        unseen = {hidden} if isinstance(hidden, str) else set(hidden)
        self.require(*unseen)
        reached: dict[str, list[str]] = {}
        for start in self.vertices:
            seen: list[str] = []
            stack = list(reversed(self.children(start)))
            visited = set()
            while stack:
                vertex = stack.pop()
                if vertex in visited:
                    continue
                visited.add(vertex)
                if vertex in unseen:
                    stack.extend(reversed(self.children(vertex)))
                else:
                    seen.append(vertex)
            reached[start] = seen
        observed = tuple(v for v in self.vertices if v not in unseen)
        directed = tuple((a, b) for a in observed for b in reached[a])
        pairs = {frozenset((a, b)) for h in self.vertices if h in unseen for a in reached[h] for b in reached[h]}
        bidirected = tuple(
            (a, b) for i, a in enumerate(observed) for b in observed[i + 1 :] if frozenset((a, b)) in pairs
        )
        return Admg(observed, directed, bidirected)

    def require(self, *vertices: str) -> None:
        """Refuse names that are not in the graph.

        Parameters
        ----------
        *vertices : str
            Names to look up.
        """
        for vertex in vertices:
            if vertex not in self.vertices:
                raise UsageError(f"Vertex {vertex!r} is not in the graph; {nearest(str(vertex), self.vertices)}")


def as_dag(edges: Any, vertices: Iterable[str] = ()) -> Dag:
    """Read a graph from what users have.

    Parameters
    ----------
    edges : Dag, networkx.DiGraph or iterable of (parent, child)
        The graph. Names that are not text are written as text.
    vertices : iterable of str
        Further vertices, for those without an edge.

    Returns
    -------
    Dag

    Raises
    ------
    UsageError
        It is no graph, it is undirected, or it has a cycle.

    Examples
    --------
    >>> import networkx
    >>> as_dag(networkx.DiGraph([("rain", "wet"), ("sprinkler", "wet")]))
    Dag(rain -> wet, sprinkler -> wet)
    """
    if isinstance(edges, Dag):
        return edges
    names: list[str] = [str(v) for v in vertices]
    pairs: list[Any]
    if hasattr(edges, "nodes") and hasattr(edges, "is_directed"):
        if not edges.is_directed():
            raise UsageError("The graph is undirected, so it names no causes. Give a networkx.DiGraph.")
        nodes, pairs = list(edges.nodes), list(edges.edges())
        if len({str(node) for node in nodes}) != len(nodes):
            raise UsageError(f"Some of the nodes {nodes} are equal when written as text. Rename them.")
        names.extend(str(node) for node in nodes)
    elif isinstance(edges, str) or not isinstance(edges, Iterable):
        raise UsageError(f"{edges!r} is no graph. Give a networkx.DiGraph or a list of (parent, child) pairs.")
    else:
        pairs = list(edges)
    read: list[tuple[str, str]] = []
    for pair in pairs:
        if isinstance(pair, str) or not isinstance(pair, Sequence) or len(pair) != 2:
            raise UsageError(f"{pair!r} is no edge. Write each edge as (parent, child).")
        read.append((str(pair[0]), str(pair[1])))
    names.extend(name for pair in read for name in pair)
    return Dag(tuple(dict.fromkeys(names)), tuple(read))


def all_dags(vertices: Sequence[str]) -> Iterator[Dag]:
    """Yield every directed acyclic graph on the given vertices (3, 25, 543 for 2, 3, 4 of them).

    Parameters
    ----------
    vertices : sequence of str
        At most five names.

    Yields
    ------
    Dag

    Raises
    ------
    UsageError
        More than five vertices are given.

    Examples
    --------
    >>> sum(1 for _ in all_dags("ABC"))
    25
    """
    names = tuple(vertices)
    if len(names) > 5:
        raise UsageError(f"{len(names)} vertices have more graphs than can be listed. Give at most five.")
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    for choice in product((None, 0, 1), repeat=len(pairs)):
        edges = tuple(
            (a, b) if way == 0 else (b, a) for (a, b), way in zip(pairs, choice, strict=True) if way is not None
        )
        if sorted_part(names, edges)[1] == ():
            yield Dag(names, edges)
