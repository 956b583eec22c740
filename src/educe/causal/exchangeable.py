"""Causal discovery from many small groups: independences *across* two samples of a group find the graph.

Source: Guo, Toth, Schoelkopf and Huszar (2023), Causal de Finetti, arXiv:2203.15756. If every mechanism draws its own
parameter per environment, a cause of one sample tells nothing about the effect in another sample of the environment
once the other sample's cause is known; the reverse fails. Environments are the units of every test.

Two variables: three tests (`discover`). More: layers by repeated search for sinks (`sink_layers`), then edges from
higher to lower layers (`edges_given_layers`). Where the published program says less or more than the paper, we follow
the paper: co-parents are conditioned on, and nothing is drawn again when a method fails.

What it cannot see: a common cause of two mechanisms' parameters; and from i.i.d. data nothing but dependence, which is
answered by a refusal. There is no correction for the number of tests, and one wrong sink spoils the layers above it.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from educe.causal._groups import Groups, read_groups
from educe.causal.graph import Dag
from educe.causal.independence import g_test, kci
from educe.core import Ledger, Posterior, Refusal, Seed, UsageError

__all__ = ["Edges", "Evidence", "Layers", "discover", "edges_given_layers", "sink_layers"]

Test = Callable[[Any, Any, Any], Any]
MOST_DISCRETE = 5


class Evidence(NamedTuple):
    """One test: what was asked, its p-value, whether independence was rejected."""

    statement: str
    p_value: float
    rejected: bool


class Layers(NamedTuple):
    """Sinks first; `left` holds the variables among which no sink was found."""

    layers: tuple[tuple[str, ...], ...]
    left: tuple[str, ...]
    evidence: tuple[Evidence, ...]


class Edges(NamedTuple):
    """The graph found within given layers, and the tests behind it."""

    dag: Dag
    evidence: tuple[Evidence, ...]


def discover(
    groups: Any,
    *,
    names: Sequence[str] | None = None,
    group: str | None = None,
    test: str | Test = "auto",
    alpha: float = 0.05,
    samples: tuple[int, int] = (0, 1),
    bootstrap: int = 0,
    abstain: bool = True,
    seed: int | Seed = 0,
) -> Posterior[Dag] | Refusal:
    """Find the causal graph behind groups of exchangeable samples.

    Parameters
    ----------
    groups : array, list of arrays, DataFrame or mapping of columns
        (environments, samples, variables); or one (samples, variables) array per environment; or a long table with a
        group column.
    names : sequence of str, optional
        Names of the variables; a table's columns, or X0, X1, ... when left out.
    group : str, optional
        The group column of a table.
    test : {"auto", "kci", "g"} or callable
        The test; "auto" takes "g" where no variable has more than five values. A callable gets x, y, z (z is None or
        (environments, k)) and returns a p-value.
    alpha : float
        Level of every test, in (0, 1).
    samples : (int, int)
        Which two samples of each group are compared.
    bootstrap : int
        Number of resamplings of the environments whose graphs share the posterior; 0 puts all weight on one graph.
    abstain : bool
        Whether to refuse where the tests contradict each other or cannot tell. False always names a graph, as the
        published program does: of contradicting statements the one with the largest p-value is believed.
    seed : int or Seed
        Source of the bootstrap.

    Returns
    -------
    Posterior or Refusal
        Over `Dag`; ``details["evidence"]`` lists every test of the full data. A refusal carries the same list and
        what order was found as certificate.

    Raises
    ------
    UsageError
        Fewer than ten environments, a group with one sample, missing values, or a constant variable.

    Examples
    --------
    >>> from educe.causal import binary_benchmark
    >>> drawn = binary_benchmark(5000, variables=2, seed=1)
    >>> discover(drawn.groups).mode() == drawn.dag
    True
    """
    start = time.perf_counter()
    if bootstrap < 0:
        raise UsageError(f"bootstrap={bootstrap} is negative. Give a number >= 0.")
    read = read_groups(groups, names, group, samples)
    chosen = _choose(read, test, alpha)
    found = _graph(read, chosen, alpha, abstain)
    spent = Ledger(seconds=time.perf_counter() - start)
    if isinstance(found, Refusal):
        return Refusal(found.reason, found.certificate, spent)
    details: dict[str, Any] = {
        "evidence": [item._asdict() for item in found.evidence],
        "environments": len(read.first),
        "unused_samples": read.unused,
    }
    if not bootstrap:
        return Posterior([found.dag], torch.zeros(1), ledger=spent, details=details)
    votes: Counter[Dag] = Counter()
    for i in range(bootstrap):
        generator = Seed.of(seed).child("bootstrap", i).numpy()
        count = len(read.first)
        drawn = _graph(read.take(generator.integers(0, count, count)), chosen, alpha, False)
        assert not isinstance(drawn, Refusal)
        votes[drawn.dag] += 1
    graphs = sorted(votes, key=lambda dag: -votes[dag])
    weights = torch.tensor([float(votes[dag]) for dag in graphs]).log()
    return Posterior(graphs, weights, ledger=Ledger(seconds=time.perf_counter() - start), details=details)


def sink_layers(
    groups: Any,
    *,
    names: Sequence[str] | None = None,
    group: str | None = None,
    test: str | Test = "auto",
    alpha: float = 0.05,
    samples: tuple[int, int] = (0, 1),
    force: bool = False,
) -> Layers:
    """Order variables in layers: sinks, then sinks of the rest, and so on.

    Given all other variables of one sample, a sink of it is independent of every other variable of another sample of
    the group; a variable with a child is not.

    Parameters
    ----------
    groups, names, group, test, alpha, samples
        As in `discover`.
    force : bool
        Where no sink is found, take the variable that is least clearly none, instead of stopping.

    Returns
    -------
    Layers

    Raises
    ------
    UsageError
        As in `discover`.

    Examples
    --------
    >>> from educe.causal import binary_benchmark
    >>> drawn = binary_benchmark(5000, variables=2, seed=2)
    >>> sink_layers(drawn.groups, names=drawn.names).layers, drawn.dag
    ((('X1',), ('X0',)), Dag(X0 -> X1))
    """
    read = read_groups(groups, names, group, samples)
    ask = _choose(read, test, alpha)
    rest = list(read.names)
    layers: list[tuple[str, ...]] = []
    evidence: list[Evidence] = []
    while rest:
        least: dict[str, float] = {}
        for name in rest:
            others = [other for other in rest if other != name]
            p_values = []
            for other in others:
                p = _p(ask, read, (name, 1), (other, 2), [(v, 1) for v in others], alpha, evidence)
                p_values.append(p)
            least[name] = min(p_values, default=1.0)
        sinks = tuple(name for name in rest if least[name] >= alpha)
        if not sinks and not force:
            break
        sinks = sinks or (max(rest, key=lambda name: least[name]),)
        layers.append(sinks)
        rest = [name for name in rest if name not in sinks]
    return Layers(tuple(layers), tuple(rest), tuple(evidence))


def edges_given_layers(
    groups: Any,
    layers: Sequence[Sequence[str]],
    *,
    names: Sequence[str] | None = None,
    group: str | None = None,
    test: str | Test = "auto",
    alpha: float = 0.05,
    samples: tuple[int, int] = (0, 1),
) -> Edges:
    """Find the edges between layers by independences within one sample.

    Parameters
    ----------
    groups, names, group, test, alpha, samples
        As in `discover`.
    layers : sequence of sequences of str
        Sinks first; variables that are left out get no edges.

    Returns
    -------
    Edges

    Raises
    ------
    UsageError
        As in `discover`, or a layer names an unknown variable.

    Examples
    --------
    >>> from educe.causal import binary_benchmark
    >>> drawn = binary_benchmark(5000, variables=2, seed=1)
    >>> edges_given_layers(drawn.groups, [["X1"], ["X0"]]).dag
    Dag(X0 -> X1)
    """
    read = read_groups(groups, names, group, samples)
    ask = _choose(read, test, alpha)
    for name in (name for layer in layers for name in layer):
        if name not in read.names:
            raise UsageError(f"Layer variable {name!r} is not among {list(read.names)}. Name variables of the data.")
    evidence: list[Evidence] = []
    edges: list[tuple[str, str]] = []
    for distance in range(1, len(layers)):
        for upper in range(distance, len(layers)):
            above = [name for layer in layers[upper + 1 :] for name in layer]
            for cause in layers[upper]:
                for effect in layers[upper - distance]:
                    given = list(above)
                    if distance > 1:
                        found = [a for a, b in edges if b == effect]
                        given += [v for v in (*layers[upper], *found) if v != cause and v not in given]
                    p = _p(ask, read, (cause, 1), (effect, 1), [(v, 1) for v in given], alpha, evidence)
                    # The order of layers is what directs the edge; the test only says that it is there.
                    if p < alpha and (cause, effect) not in edges:
                        edges.append((cause, effect))
    return Edges(Dag(read.names, tuple(edges)), tuple(evidence))


def _choose(read: Groups, test: str | Test, alpha: float) -> Test:
    if not 0 < alpha < 1:
        raise UsageError(f"alpha={alpha} is no level strictly between 0 and 1. Give for instance 0.05.")
    if callable(test):
        return test
    discrete = all(len(np.unique(column)) <= MOST_DISCRETE for column in (*read.first.T, *read.second.T))
    if test == "g" or (test == "auto" and discrete):
        return g_test
    if test in ("kci", "auto"):
        return kci
    raise UsageError(f"test={test!r} is unknown. Give 'auto', 'kci', 'g' or a function of x, y, z.")


def _p(
    ask: Test,
    read: Groups,
    left: tuple[str, int],
    right: tuple[str, int],
    given: list[tuple[str, int]],
    alpha: float,
    evidence: list[Evidence],
) -> float:
    """Test one statement, for instance X[1] independent of Y[2] given X[2], and file it."""
    x, y = read.sample(left[1], left[0])[:, 0], read.sample(right[1], right[0])[:, 0]
    z = np.stack([read.sample(which, name)[:, 0] for name, which in given], axis=1) if given else None
    answer = ask(x, y, z)
    p = float(answer.p_value if hasattr(answer, "p_value") else answer)
    if not 0 <= p <= 1:
        raise UsageError(f"The test gave p={p}. Let it return a p-value between 0 and 1.")
    bar = f" | {', '.join(f'{name}[{which}]' for name, which in given)}" if given else ""
    evidence.append(Evidence(f"{left[0]}[{left[1]}] _||_ {right[0]}[{right[1]}]{bar}", p, p < alpha))
    return p


def _graph(read: Groups, ask: Test, alpha: float, abstain: bool) -> Edges | Refusal:
    return _pair(read, ask, alpha, abstain) if len(read.names) == 2 else _many(read, ask, alpha, abstain)


def _pair(read: Groups, ask: Test, alpha: float, abstain: bool) -> Edges | Refusal:
    x, y = read.names
    evidence: list[Evidence] = []
    forward = _p(ask, read, (x, 1), (y, 2), [(x, 2)], alpha, evidence)
    backward = _p(ask, read, (y, 1), (x, 2), [(y, 2)], alpha, evidence)
    neither = _p(ask, read, (x, 1), (y, 1), [], alpha, evidence)
    graphs = [Dag(read.names, ((x, y),)), Dag(read.names, ((y, x),)), Dag(read.names)]
    kept = (forward >= alpha, backward >= alpha, neither >= alpha)
    clear = {(True, False, False): 0, (False, True, False): 1, (True, True, True): 2}
    if kept in clear:
        return Edges(graphs[clear[kept]], tuple(evidence))
    if abstain:
        why = {
            (True, True, False): f"{x} and {y} depend on each other, but their environments do not differ enough to "
            "tell the direction",
            (False, False, False): f"neither direction fits: hidden common causes, or mechanisms that vary together, "
            f"may join {x} and {y}",
        }.get(kept, f"the tests contradict each other on {x} and {y}")
        return _refusal(f"The tests cannot tell: {why}.", evidence, ())
    return Edges(graphs[int(np.argmax([forward, backward, neither]))], tuple(evidence))


def _many(read: Groups, ask: Test, alpha: float, abstain: bool) -> Edges | Refusal:
    order = sink_layers(read, test=ask, alpha=alpha, force=not abstain)
    if order.left:
        return _refusal(
            f"No sink is found among {', '.join(order.left)}: every one of them depends on another sample.",
            order.evidence,
            order.layers,
        )
    evidence = list(order.evidence)
    if abstain:
        for depth, layer in enumerate(order.layers):
            above = [(v, 1) for upper in order.layers[depth + 1 :] for v in upper]
            for i, a in enumerate(layer):
                for b in layer[i + 1 :]:
                    if _p(ask, read, (a, 1), (b, 1), above, alpha, evidence) < alpha:
                        return _refusal(
                            f"{a} and {b} depend on each other, but their environments do not differ enough to tell "
                            "the direction.",
                            evidence,
                            order.layers[:depth],
                        )
    edges = edges_given_layers(read, order.layers, test=ask, alpha=alpha)
    return Edges(edges.dag, (*evidence, *edges.evidence))


def _refusal(reason: str, evidence: Sequence[Evidence], layers: Sequence[tuple[str, ...]]) -> Refusal:
    return Refusal(reason, {"layers": list(layers), "evidence": [item._asdict() for item in evidence]})
