"""Exchangeable data with independent causal mechanisms: how they come about, and which independences they obey.

Source: Guo, Toth, Schoelkopf and Huszar (2023), Causal de Finetti, arXiv:2203.15756. In each environment every variable
draws one parameter of its own, independently of those of other variables; samples are independent given the
parameters, hence exchangeable. `unroll` draws the graph of such a process, in which the parameters are vertices.
`pair_benchmark` and `binary_benchmark` are the paper's two generators, with the details of its published program.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from educe.causal.graph import Dag, as_dag
from educe.core import Seed, UsageError

__all__ = ["Exchangeable", "binary_benchmark", "pair_benchmark", "simulate_icm", "structural_distance", "unroll"]

Prior = Callable[[np.random.Generator, int], npt.NDArray[Any]]
Mechanism = Callable[[np.random.Generator, npt.NDArray[Any], npt.NDArray[Any]], npt.NDArray[Any]]


class Exchangeable(NamedTuple):
    """Groups of samples and the graph that made them."""

    groups: npt.NDArray[Any]
    names: tuple[str, ...]
    dag: Dag


def unroll(dag: Any, n: int = 2) -> Dag:
    """Draw the graph of `n` samples of one environment, with the parameters of the mechanisms as vertices.

    Parameters
    ----------
    dag : Dag, networkx.DiGraph or iterable of (parent, child)
        The graph of one sample.
    n : int
        Number of samples, >= 1.

    Returns
    -------
    Dag
        Vertices ``X[1]`` ... ``X[n]`` and ``theta(X)`` for every `X`; d-separation in it gives the independences of
        exchangeable data.

    Raises
    ------
    UsageError
        `n` is below 1, or the graph has a cycle.

    Examples
    --------
    >>> from educe.causal import d_separated
    >>> two = unroll([("X", "Y")])
    >>> d_separated(two, ["X[1]"], ["Y[2]"], ["X[2]"]), d_separated(two, ["Y[1]"], ["X[2]"], ["Y[2]"])
    (True, False)
    """
    if n < 1:
        raise UsageError(f"n={n} samples make no graph. Give n >= 1.")
    graph = as_dag(dag)
    copies = tuple(f"{v}[{s}]" for s in range(1, n + 1) for v in graph.vertices)
    edges = [(f"{a}[{s}]", f"{b}[{s}]") for s in range(1, n + 1) for a, b in graph.edges]
    edges += [(f"theta({v})", f"{v}[{s}]") for v in graph.vertices for s in range(1, n + 1)]
    return Dag((*(f"theta({v})" for v in graph.vertices), *copies), tuple(edges))


def simulate_icm(
    dag: Any,
    mechanisms: Mapping[str, Mechanism],
    priors: Mapping[str, Prior],
    environments: int,
    n: int = 2,
    seed: int | Seed = 0,
) -> Exchangeable:
    """Draw groups from a process with independent causal mechanisms.

    Parameters
    ----------
    dag : Dag, networkx.DiGraph or iterable of (parent, child)
        The graph.
    mechanisms : mapping of str to callable
        ``mechanism(generator, theta, parents)`` draws a variable: `theta` is what its prior gave with an axis of
        length one put after the first, `parents` is (environments, n, parents) in edge order, the result
        (environments, n).
    priors : mapping of str to callable
        ``prior(generator, environments)`` draws one parameter (or row of parameters) per environment.
    environments : int
        Number of groups, >= 1.
    n : int
        Samples per group, >= 1.
    seed : int or Seed
        Source of all draws; each variable has a stream of its own.

    Returns
    -------
    Exchangeable
        ``groups`` is (environments, n, variables) in the order of the graph's vertices.

    Raises
    ------
    UsageError
        A variable lacks its prior or mechanism, or one returns another shape.

    Examples
    --------
    >>> drawn = simulate_icm(
    ...     [("X", "Y")],
    ...     {"X": lambda g, t, p: g.normal(t, 1, (100, 2)), "Y": lambda g, t, p: p[..., 0] + g.normal(t, 1)},
    ...     {"X": lambda g, e: g.normal(size=e), "Y": lambda g, e: g.normal(size=e)},
    ...     environments=100,
    ... )
    >>> drawn.groups.shape
    (100, 2, 2)
    """
    graph = as_dag(dag)
    if environments < 1 or n < 1:
        raise UsageError(f"environments={environments}, n={n} draw nothing. Give numbers >= 1.")
    missing = [v for v in graph.vertices if v not in priors or v not in mechanisms]
    if missing:
        raise UsageError(f"Variables {missing} lack a prior or a mechanism. Give both for each.")
    values: dict[str, npt.NDArray[Any]] = {}
    for vertex in graph.topological_order:
        generator = Seed.of(seed).child("icm", vertex).numpy()
        theta = np.asarray(priors[vertex](generator, environments))
        if theta.ndim < 1 or len(theta) != environments:
            raise UsageError(f"The prior of {vertex!r} gave shape {theta.shape}. Give one row per environment.")
        parents = [values[p] for p in graph.parents(vertex)]
        stacked = np.stack(parents, axis=-1) if parents else np.zeros((environments, n, 0))
        drawn = np.asarray(mechanisms[vertex](generator, theta[:, None], stacked))
        if drawn.shape == (environments, 1) and n > 1:
            raise UsageError(
                f"The mechanism of {vertex!r} drew once per environment. Draw ({environments}, {n}) values."
            )
        if drawn.shape != (environments, n):
            raise UsageError(f"The mechanism of {vertex!r} gave shape {drawn.shape}. Give {(environments, n)}.")
        values[vertex] = drawn
    return Exchangeable(np.stack([values[v] for v in graph.vertices], axis=-1), graph.vertices, graph)


def pair_benchmark(environments: int, n: int = 2, *, vary: bool = True, seed: int | Seed = 0) -> Exchangeable:
    """Draw the paper's continuous benchmark: X -> Y, Y -> X or no edge, with equal chances.

    Noises are Laplace variables around a mean that differs by environment; effects are linear with whole
    coefficients from 1 to 9, and quadratic as well in a random half of the environments.

    Parameters
    ----------
    environments : int
        Number of groups, >= 2.
    n : int
        Samples per group, >= 2.
    vary : bool
        False takes the differences between environments away: all means are 0, and every environment is linear.
        Such data are i.i.d., and no method can find their direction by this theory.
    seed : int or Seed
        Source of all draws.

    Returns
    -------
    Exchangeable
        Variables ``X`` and ``Y``.

    Raises
    ------
    UsageError
        A number is below two.

    Examples
    --------
    >>> pair_benchmark(50, seed=1).groups.shape
    (50, 2, 2)
    """
    if environments < 2 or n < 2:
        raise UsageError(f"environments={environments}, n={n} make no groups. Give at least 2 of each.")
    generator = Seed.of(seed).child("pair benchmark").numpy()
    means = generator.uniform(-1, 1, (environments, 1, 2)) * float(vary)
    noise = generator.laplace(np.broadcast_to(means, (environments, n, 2)))
    structure = int(generator.integers(3))
    mixing = np.eye(2)
    edges: tuple[tuple[str, str], ...] = ()
    if structure < 2:
        cause, effect = (0, 1) if structure == 0 else (1, 0)
        mixing[effect] = generator.integers(1, 10, size=2)
        edges = (("XY"[cause], "XY"[effect]),)
    values = noise @ mixing.T
    if vary:
        squared = np.zeros(environments)
        squared[generator.choice(environments, environments // 2, replace=False)] = generator.integers(1, 10)
        values = values + squared[:, None, None] * (noise**2 @ (mixing - np.eye(2)).T)
    return Exchangeable(values, ("X", "Y"), Dag(("X", "Y"), edges))


def binary_benchmark(environments: int, variables: int = 3, n: int = 2, *, seed: int | Seed = 0) -> Exchangeable:
    """Draw the paper's binary benchmark on a random graph without isolated vertices.

    A root is a coin; any other variable is a coin, turned over where all of its parents are one. The chance of each
    coin is Beta(1, 3), drawn anew per environment.

    Parameters
    ----------
    environments : int
        Number of groups, >= 2.
    variables : int
        Number of variables, 2 to 20.
    n : int
        Samples per group, >= 2.
    seed : int or Seed
        Source of graph and data.

    Returns
    -------
    Exchangeable
        Variables ``X0``, ``X1``, ..., which are zero or one.

    Raises
    ------
    UsageError
        A number is out of range.

    Examples
    --------
    >>> drawn = binary_benchmark(100, seed=2)
    >>> sorted(set(drawn.groups.ravel().tolist())), len(drawn.dag.edges) >= 2
    ([0, 1], True)
    """
    if environments < 2 or n < 2 or not 2 <= variables <= 20:
        raise UsageError(f"environments={environments}, n={n}, variables={variables}: give >= 2, >= 2 and 2 to 20.")
    root = Seed.of(seed).child("binary benchmark")
    generator = root.child("graph").numpy()
    names = tuple(f"X{i}" for i in range(variables))
    while True:
        edges = tuple((a, b) for i, a in enumerate(names) for b in names[i + 1 :] if generator.random() < 0.5)
        if {name for edge in edges for name in edge} == set(names):
            break
    dag = Dag(names, edges)

    def prior(generator: np.random.Generator, count: int) -> npt.NDArray[Any]:
        return np.asarray(generator.beta(1, 3, count))

    def mechanism(
        generator: np.random.Generator, theta: npt.NDArray[Any], parents: npt.NDArray[Any]
    ) -> npt.NDArray[Any]:
        coin = generator.random(parents.shape[:2]) < theta
        turned = parents.astype(bool).all(axis=-1) if parents.shape[-1] else np.zeros(coin.shape, dtype=bool)
        return np.asarray(coin != turned, dtype=np.int64)

    return simulate_icm(dag, dict.fromkeys(names, mechanism), dict.fromkeys(names, prior), environments, n, root)


def structural_distance(estimated: Iterable[tuple[str, str]], true: Iterable[tuple[str, str]]) -> float:
    """Return the paper's normalised distance of two edge sets.

    Parameters
    ----------
    estimated, true : iterable of (str, str)
        Directed edges; an edge without direction may be given both ways.

    Returns
    -------
    float
        Size of the symmetric difference over the sum of sizes: 0 for equal sets, 1 for disjoint ones.

    Examples
    --------
    >>> structural_distance([("X", "Y")], [("X", "Y"), ("Y", "Z")])
    0.3333333333333333
    """
    left, right = set(estimated), set(true)
    return len(left ^ right) / (len(left) + len(right)) if left or right else 0.0
