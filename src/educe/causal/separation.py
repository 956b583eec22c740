"""d-separation: which independences a causal graph forces.

Decided by the reachability walk of Koller and Friedman (2009, algorithm 3.1), in time linear in the edges.
"""

from __future__ import annotations

from collections.abc import Iterable

from educe.causal.graph import Dag
from educe.core import UsageError

__all__ = ["d_separated"]


def d_separated(dag: Dag, xs: Iterable[str], ys: Iterable[str], given: Iterable[str] = ()) -> bool:
    """Decide whether a graph forces two sets of vertices to be independent given a third.

    Parameters
    ----------
    dag : Dag
        The graph.
    xs, ys, given : iterable of str
        Disjoint sets of its vertices.

    Returns
    -------
    bool
        True where every path between `xs` and `ys` is blocked by `given`.

    Raises
    ------
    UsageError
        A vertex is unknown or stands in two of the sets.

    Examples
    --------
    >>> from educe.causal import as_dag
    >>> collider = as_dag([("A", "C"), ("B", "C")])
    >>> d_separated(collider, ["A"], ["B"]), d_separated(collider, ["A"], ["B"], ["C"])
    (True, False)
    """
    sources, goals, known = set(xs), set(ys), set(given)
    dag.require(*sources, *goals, *known)
    doubled = (sources & goals) | (sources & known) | (goals & known)
    if doubled:
        raise UsageError(f"{sorted(doubled)} stand in two of the three sets. Name each vertex once.")
    opens_colliders = dag.ancestors(known)
    # A walk arrives at a vertex either against an edge ("up", from a child) or along one ("down", from a parent).
    stack = [(vertex, "up") for vertex in sources]
    visited: set[tuple[str, str]] = set()
    while stack:
        vertex, direction = stack.pop()
        if (vertex, direction) in visited:
            continue
        visited.add((vertex, direction))
        if vertex in goals:
            return False
        if direction == "up" and vertex not in known:
            stack.extend((parent, "up") for parent in dag.parents(vertex))
            stack.extend((child, "down") for child in dag.children(vertex))
        elif direction == "down":
            if vertex not in known:
                stack.extend((child, "down") for child in dag.children(vertex))
            if vertex in opens_colliders:
                stack.extend((parent, "up") for parent in dag.parents(vertex))
    return True
