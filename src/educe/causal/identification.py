"""Decide whether an intervention can be computed from observed data, and how.

Source: Jacobs, Kissinger and Zanasi (2019), arXiv:1811.08338, section 7 and its generalisation to several teeth. The
boxes that touch hidden wires are gathered into one comb; if the vertex acted on is in the comb and none of its
children is, the comb is read off the observed law and the vertex cut out of it (`Comb`). In graph language the comb is
the c-component of Tian and Pearl (2002), and their theorem says that for one vertex and all others this is complete.

The paper stops there. For several vertices, or for an effect on some outcomes only, combs are nested: `NestedCombs`
follows Tian and Pearl's recursion, which Huang and Valtorta (2006) proved complete. It is our addition.

All laws must have full support on what is conditioned on. Not here: conditional effects, several data sources,
selection bias.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from typing import Any, NamedTuple

from educe.causal.graph import as_dag
from educe.causal.mixed import Admg
from educe.causal.table import Table, as_table
from educe.core import Refusal, UsageError, nearest

__all__ = ["Comb", "NestedCombs", "identify"]


@dataclass(frozen=True)
class Comb:
    """One comb that holds the vertex acted on, and how to cut it there.

    Parameters
    ----------
    do : str
        The vertex acted on.
    of : tuple of str
        The outcomes.
    teeth : tuple of str
        Vertices of the comb, in topological order; `do` is one of them.
    holes : tuple of str
        All other vertices.
    order : tuple of str
        The topological order in which the law is taken apart.

    Examples
    --------
    >>> comb = identify([("H", "S"), ("S", "T"), ("T", "C"), ("H", "C")], hidden=["H"], do="S")
    >>> comb.teeth, comb.holes
    (('S', 'C'), ('T',))
    >>> comb.formula
    'P(T, C | do(S)) = P(T | S) * sum_S P(S) P(C | S, T)'
    """

    do: str
    of: tuple[str, ...]
    teeth: tuple[str, ...]
    holes: tuple[str, ...]
    order: tuple[str, ...]

    @property
    def formula(self) -> str:
        """The estimand as text; a sum binds its variable, so outside it ``do`` is the value that was set."""
        return f"P({', '.join(self.of)} | do({self.do})) = {self._sum_text}{self._text(self.holes)}{self._comb_text}"

    @property
    def _sum_text(self) -> str:
        out = [v for v in self.order if v != self.do and v not in self.of]
        return f"sum_{','.join(out)} " if out else ""

    @property
    def _comb_text(self) -> str:
        return f"{' * ' if self.holes else ''}sum_{self.do} {self._text(self.teeth)}"

    def _text(self, vertices: tuple[str, ...]) -> str:
        factors = []
        for vertex in vertices:
            past = ", ".join(self.order[: self.order.index(vertex)])
            factors.append(f"P({vertex} | {past})" if past else f"P({vertex})")
        return " ".join(factors)

    def apply(self, joint: Any) -> Table:
        """Compute the law under intervention from an observed law.

        Parameters
        ----------
        joint : Table, DataFrame or mapping
            Law or counts over at least the vertices in `order`; other variables are summed out.

        Returns
        -------
        Table
            The law of `of` given `do`, whose axis comes first.

        Raises
        ------
        UsageError
            A variable is missing, or a law lacks support.
        """
        law = as_table(joint).normalised().marginal(*self.order)

        def product(vertices: tuple[str, ...]) -> Table:
            return _product([law.condition(v, self.order[: self.order.index(v)]) for v in vertices])

        severed = product(self.teeth)
        others = [name for name in severed.names if name != self.do]
        severed = severed.marginal(*others)
        whole = product(self.holes) * severed if self.holes else severed
        if self.do not in whole.names:
            whole = whole * _ones(law, self.do)
        return Table(whole.names, whole.tensor, (self.do,), whole.levels).marginal(self.do, *self.of)


class Step(NamedTuple):
    """Sum a comb down to `ancestors`, then keep its part `part`."""

    ancestors: frozenset[str]
    part: frozenset[str]


class Recipe(NamedTuple):
    """How the comb of `target` is read off the comb of the c-component `start`."""

    target: frozenset[str]
    start: frozenset[str]
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class NestedCombs:
    """Several combs, each read off a larger one.

    Parameters
    ----------
    do, of : tuple of str
        What is acted on, and the outcomes.
    graph : Admg
        The graph on the outcomes' ancestors.
    recipes : tuple of Recipe
        One per comb of the cut graph.

    Examples
    --------
    >>> napkin = Admg(tuple("WZXY"), (("W", "Z"), ("Z", "X"), ("X", "Y")), (("W", "X"), ("W", "Y")))
    >>> plan = identify(napkin, do="X", of="Y")
    >>> sorted(plan.recipes[0].start)
    ['W', 'X', 'Y']
    """

    do: tuple[str, ...]
    of: tuple[str, ...]
    graph: Admg
    recipes: tuple[Recipe, ...]

    @property
    def formula(self) -> str:
        """The estimand as text, with Q[...] for combs."""
        parts = []
        for target, start, steps in self.recipes:
            chain = [_listed(self.graph, start), *(_listed(self.graph, step.part) for step in steps)]
            if _listed(self.graph, target) != chain[-1]:
                chain.append(_listed(self.graph, target))
            parts.append(" from ".join(f"Q[{name}]" for name in reversed(chain)))
        inner = frozenset().union(*(recipe.target for recipe in self.recipes)) - set(self.of)
        total = f"sum_{_listed(self.graph, inner)} " if inner else ""
        return f"P({', '.join(self.of)} | do({', '.join(self.do)})) = {total}product of {'; '.join(parts)}"

    def apply(self, joint: Any) -> Table:
        """Compute the law under intervention from an observed law.

        Parameters
        ----------
        joint : Table, DataFrame or mapping
            Law or counts over at least the graph's vertices; other variables are summed out.

        Returns
        -------
        Table
            The law of `of` given `do`, whose axes come first. Where the estimand does not depend on a variable in
            theory but does in the given law (a Verma constraint), that variable is averaged out.

        Raises
        ------
        UsageError
            A variable is missing, or a law lacks support.
        """
        full = as_table(joint).normalised()
        law = full.marginal(*self.graph.vertices)
        whole = _product([_read_comb(law, self.graph, recipe) for recipe in self.recipes])
        idle = [name for name in whole.given if name not in self.do]
        whole = whole.marginal(*whole.given, *self.of)
        if idle:
            weighted = whole * law.marginal(*idle)
            keep = tuple(name for name in weighted.names if name not in idle)
            whole = Table(weighted.names, weighted.tensor, (), weighted.levels).marginal(*keep)
        for name in self.do:
            if name not in whole.names:
                whole = whole * _ones(full, name)
        return Table(whole.names, whole.tensor, self.do, whole.levels).marginal(*self.do, *self.of)


def identify(
    edges: Any, hidden: str | Iterable[str] = (), *, do: str | Iterable[str], of: str | Iterable[str] | None = None
) -> Comb | NestedCombs | Refusal:
    """Say whether, and how, an effect can be computed from observed data.

    Parameters
    ----------
    edges : Dag, networkx.DiGraph, iterable of (parent, child), or Admg
        The causal graph.
    hidden : str or iterable of str
        Vertices that the data do not have.
    do : str or iterable of str
        What is acted on.
    of : str or iterable of str, optional
        The outcomes; all other observed vertices when left out.

    Returns
    -------
    Comb, NestedCombs or Refusal
        A recipe with ``.apply(joint)`` and ``.formula``. A refusal names the hidden tie that stands in the way and
        carries it as certificate: two models then exist with equal observed laws and different effects.

    Raises
    ------
    UsageError
        A vertex is unknown or hidden, stands on both sides, or the graph has a cycle.

    Examples
    --------
    >>> identify([("A", "B"), ("H", "A"), ("H", "B")], hidden=["H"], do="A").reason
    'The effect of A on B is not identified: hidden causes tie A to its child B (A <-> B).'
    """
    graph = edges if isinstance(edges, Admg) else None
    unseen = _tuple(hidden)
    if graph is None:
        graph = as_dag(edges).project(unseen)
    elif unseen:
        raise UsageError(f"A mixed graph has no vertices to hide ({list(unseen)}). Give bidirected edges instead.")
    acted = _tuple(do)
    outcomes = tuple(v for v in graph.vertices if v not in acted) if of is None else _tuple(of)
    for name in (*acted, *outcomes):
        if name in unseen:
            raise UsageError(f"Vertex {name!r} is hidden, so no data show it. Ask about observed vertices.")
        if name not in graph.vertices:
            raise UsageError(f"Vertex {name!r} is not in the graph; {nearest(str(name), graph.vertices)}")
    if not acted or not outcomes:
        raise UsageError("No vertex to act on, or no outcome, is named. Name at least one of each.")
    if len({*acted, *outcomes}) != len(acted) + len(outcomes):
        raise UsageError(f"A vertex stands twice in do={list(acted)}, of={list(outcomes)}. Name each once.")
    relevant = graph if of is None else graph.restrict(graph.ancestors(outcomes))
    if len(acted) == 1 and acted[0] in relevant.vertices:
        cause = acted[0]
        component = relevant.component(cause)
        children = [child for parent, child in relevant.directed if parent == cause]
        blocked = [child for child in children if child in component]
        if not blocked:
            order = relevant.topological_order
            teeth = tuple(v for v in order if v in component)
            return Comb(cause, outcomes, teeth, tuple(v for v in order if v not in component), order)
        if of is None:
            path = min((relevant.bidirected_path(cause, child) or () for child in blocked), key=len)
            return Refusal(
                f"The effect of {cause} on {', '.join(outcomes)} is not identified: hidden causes tie {cause} to its "
                f"child {path[-1]} ({' <-> '.join(path)}).",
                {"child": path[-1], "path": list(path)},
            )
    return _nested(relevant, acted, outcomes)


def _nested(graph: Admg, acted: tuple[str, ...], outcomes: tuple[str, ...]) -> NestedCombs | Refusal:
    rest = graph.restrict(v for v in graph.vertices if v not in acted)
    needed = rest.restrict(rest.ancestors(outcomes))
    recipes = []
    for target in needed.components():
        whole = start = graph.component(next(iter(target)))
        steps: list[Step] = []
        while True:
            ancestors = graph.restrict(whole).ancestors(target)
            if ancestors == target:
                break
            if ancestors == whole:
                return _hedge(graph, acted, outcomes, target, whole)
            whole = graph.restrict(ancestors).component(next(iter(target)))
            steps.append(Step(ancestors, whole))
        recipes.append(Recipe(target, start, tuple(steps)))
    return NestedCombs(acted, outcomes, graph, tuple(recipes))


def _hedge(
    graph: Admg, acted: tuple[str, ...], outcomes: tuple[str, ...], inner: frozenset[str], outer: frozenset[str]
) -> Refusal:
    tied = graph.restrict(outer)
    paths = [tied.bidirected_path(a, b) or () for a in acted if a in outer for b in sorted(inner)]
    path = min(paths, key=len)
    return Refusal(
        f"The effect of {', '.join(acted)} on {', '.join(outcomes)} is not identified: hidden causes tie {path[0]} to "
        f"{path[-1]} ({' <-> '.join(path)}), and every part of {{{_listed(graph, outer)}}} feeds "
        f"{{{_listed(graph, inner)}}} (a hedge).",
        {"inner": sorted(inner), "outer": sorted(outer), "path": list(path)},
    )


def _read_comb(law: Table, graph: Admg, recipe: Recipe) -> Table:
    order = graph.topological_order
    factors = []
    for vertex in (v for v in order if v in recipe.start):
        past = graph.restrict(order[: order.index(vertex) + 1])
        tied = past.component(vertex)
        given = tuple(v for v in order if v != vertex and v in tied | past.parents(tied))
        factors.append(law.condition(vertex, given))
    comb = _product(factors)
    for ancestors, part in recipe.steps:
        comb = comb.marginal(*comb.given, *(v for v in order if v in ancestors))
        inside = [v for v in order if v in ancestors]
        pieces = [comb.condition(v, (*comb.given, *inside[: inside.index(v)])) for v in inside if v in part]
        comb = _product(pieces)
    return comb.marginal(*comb.given, *(v for v in order if v in recipe.target))


def _product(factors: list[Table]) -> Table:
    return reduce(lambda a, b: a * b, factors)


def _ones(law: Table, name: str) -> Table:
    size = law.size(name)
    return Table((name,), law.tensor.new_ones(size), (name,), {name: law.levels[name]})


def _tuple(names: str | Iterable[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


def _listed(graph: Admg, vertices: Iterable[str]) -> str:
    chosen = set(vertices)
    return ", ".join(v for v in graph.topological_order if v in chosen)
