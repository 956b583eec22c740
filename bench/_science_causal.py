"""The parts of the science benchmark on causality and learning; see `science.py`."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from typing import Any

import networkx
import numpy as np
from _rows import REPEATS, Calls, Rows, absent, curve, race, row

from educe.causal import VLUCI, Table, TARNet, discover, do, heckman, identify, pair_benchmark, random_network
from educe.core import Posterior, Refusal, Seed
from educe.learn import FactorModel, GaussianMixture, MomentTester, TesterLearner

__all__ = ["confounder", "exchangeable", "halfspace", "pretraining", "surgery"]


def surgery(tiny: bool) -> Rows:
    """Interventions beside pgmpy's do-calculus, and verdicts beside causaleffect's ID algorithm."""
    networks = [random_network(5, 0, density=0.7, seed=seed) for seed in range(4 if tiny else 30)]
    asks = []  # the first pair of cause and effect of each; pgmpy refuses effects that do not descend from the cause
    for network in networks:
        pairs = itertools.permutations(network.dag.vertices, 2)
        asks.append(next((a, b) for a, b in pairs if b in network.dag.descendants([a])))
    rows = absent("surgery-do", "pgmpy") + absent("surgery-identify", "causaleffect")
    missing = {line["peer"] for line in rows}
    laws = [network.functor.table(network.diagram) for network in networks]

    def ours() -> Any:
        found = []
        for network, law, (cause, effect) in zip(networks, laws, asks, strict=True):
            answer = do(law, network.dag, do={cause: 1}, of=effect)
            assert isinstance(answer, Posterior)
            found.append(answer.probabilities.numpy())
        return np.array(found)

    if "pgmpy" not in missing:
        from pgmpy.factors.discrete import TabularCPD
        from pgmpy.inference import CausalInference
        from pgmpy.models import DiscreteBayesianNetwork

        asked = []
        for network in networks:
            model = DiscreteBayesianNetwork(list(network.dag.edges))
            model.add_nodes_from(network.dag.vertices)
            for vertex in network.dag.vertices:
                parents = list(network.dag.parents(vertex))
                values = np.moveaxis(network.functor.ar[vertex].numpy(), -1, 0).reshape(2, -1)
                model.add_cpds(TabularCPD(vertex, 2, values, parents, [2] * len(parents)))
            asked.append(CausalInference(model))

        def peer() -> Any:
            return np.array(
                [
                    model.query([effect], do={cause: 1}, show_progress=False).values
                    for model, (cause, effect) in zip(asked, asks, strict=True)
                ]
            )

        seconds, found = race({"ours": ours, "pgmpy": peer})
        assert np.abs(found["ours"] - found["pgmpy"]).max() < 1e-9
        rows.append(row("surgery-do", "seconds", seconds["ours"], "pgmpy", seconds["pgmpy"]))
    if "causaleffect" not in missing:
        import causaleffect

        mixed = [random_network(4, 2, seed=seed) for seed in range(4 if tiny else 40)]
        graphs = [network.dag.project(network.hidden) for network in mixed]
        graphs = [g for g in graphs if {v for e in (*g.directed, *g.bidirected) for v in e} == set(g.vertices)]

        def their_verdicts() -> list[bool]:
            drawn = [[f"{a}->{b}" for a, b in g.directed] + [f"{a}<->{b}" for a, b in g.bidirected] for g in graphs]
            return [
                "not identifiable" in causaleffect.ID({"V2"}, {"V0"}, causaleffect.createGraph(arrows)).printLatex()
                for arrows in drawn
            ]

        def our_verdicts() -> list[bool]:
            return [isinstance(identify(graph, do="V0", of="V2"), Refusal) for graph in graphs]

        seconds, verdicts = race({"ours": our_verdicts, "peer": their_verdicts})
        assert verdicts["ours"] == verdicts["peer"]
        rows.append(row("surgery-identify", "seconds", seconds["ours"], "causaleffect", seconds["peer"]))

    def chain(length: int) -> Callable[[], Any]:
        names = [f"V{i}" for i in range(length)]
        law = Table(tuple(names), np.full((2,) * length, 0.5**length))
        edges = networkx.DiGraph(list(itertools.pairwise(names)))
        return lambda: do(law, edges, do={names[0]: 1}, of=names[-1])

    # The joint law has 2^n cells, so the size that doubles is the law.
    lengths = (4, 6) if tiny else (14, 15, 16, 17, 18)
    sizes = [2**length for length in lengths]
    return rows + curve("surgery-do", "cells of the law", sizes, lambda cells: chain(cells.bit_length() - 1), 1.0)


def exchangeable(tiny: bool) -> Rows:
    """Bivariate structure from 300 environments beside causal-learn on pooled data."""
    workload, environments, repeats = "exchangeable-pairs", 60 if tiny else 300, 3 if tiny else 30
    rows = absent(workload, "causallearn")
    data = [pair_benchmark(environments, seed=seed) for seed in range(repeats)]

    def ours() -> float:
        found = [discover(item.groups, names=item.names, abstain=False) for item in data]
        return float(np.mean([set(f.mode().edges) == set(d.dag.edges) for f, d in zip(found, data, strict=True)]))

    if not rows:
        from causallearn.search.FCMBased import lingam

        def peer() -> float:
            right = []
            for item in data:
                model = lingam.DirectLiNGAM()
                model.fit(item.groups.reshape(-1, 2))
                marks = np.argwhere(model.adjacency_matrix_ != 0)
                right.append({(item.names[j], item.names[i]) for i, j in marks} == set(item.dag.edges))
            return float(np.mean(right))

        seconds, found = race({"ours": ours, "peer": peer}, 1)
        name = "DirectLiNGAM (causal-learn)"
        line = row(workload, "share of right structures", found["ours"], name, found["peer"])
        rows.append({**line, "bar": "ours >= peer + 0.2", "passed": found["ours"] >= found["peer"] + 0.2})
        rows.append(row(workload, "seconds per data set", seconds["ours"] / repeats, name, seconds["peer"] / repeats))

    def fit(count: int) -> Callable[[], Any]:
        item = pair_benchmark(count, seed=0)
        return lambda: discover(item.groups, names=item.names, abstain=False)

    # The kernel test factorises matrices of environments by environments.
    return rows + curve("exchangeable", "environments", (40, 80) if tiny else (200, 400, 800), fit, 3.0)


def confounder(tiny: bool) -> Rows:
    """Individual effects with a hidden confounder beside TARNet and Heckman's correction on the same columns."""
    from educe.papers._vluci_worlds import errors_of, synthetic_world

    world = synthetic_world(200 if tiny else 2000, 1.5, Seed(0).child("bench"))
    x, t, y = world.x, world.t, world.y
    settings: dict[str, Any] = {"epochs": 5} if tiny else {}

    def ours() -> Any:
        model = VLUCI(**settings).fit(x, t, y)
        return model.effects(x, t, y, base=TARNet(**settings).fit(model.augment(x, t, y), t, y))

    calls: Calls = {
        "ours": ours,
        "TARNet(x)": lambda: TARNet(**settings).fit(x, t, y).effect(x),
        "Heckman": lambda: heckman(x, t, y, bootstrap=2).details["effects"],
    }
    seconds, found = race(calls, 1)
    errors = {name: errors_of(np.asarray(value), world.effect)["pehe"] for name, value in found.items()}
    rows = []
    for name, least in (("TARNet(x)", 1 / 0.6), ("Heckman", None)):
        line = row("confounder-1.5", "root PEHE", errors["ours"], name, errors[name], least and round(least, 3))
        rows += [line, row("confounder-1.5", "seconds", seconds["ours"], name, seconds[name])]

    def fit(n: int) -> Callable[[], Any]:
        own = synthetic_world(n, 1.5, Seed(0).child("bench"))
        return lambda: VLUCI(epochs=5).fit(own.x, own.t, own.y)

    return rows + curve("confounder", "units", (100, 200) if tiny else (500, 1000, 2000), fit, 1.0)


def halfspace(tiny: bool) -> Rows:
    """A certified halfspace beside logistic regression, the averaged perceptron, and moments of degree four."""
    rows = absent("halfspace", "sklearn")
    if rows:
        return rows
    from sklearn.linear_model import LogisticRegression, SGDClassifier

    from educe.papers._halfspace_tester_laws import make

    n, dimension = (2**14, 4) if tiny else (200_000, 8)
    best = np.eye(dimension)[0]
    x, y, excess = make("gaussian", "massart", n, best, Seed(0).child("bench"))
    perceptron = SGDClassifier(
        loss="perceptron", average=True, fit_intercept=False, max_iter=2, tol=None, random_state=0
    )
    calls: Calls = {
        "ours": lambda: TesterLearner().fit(x, y).coef_[0],
        "logistic regression": lambda: LogisticRegression(fit_intercept=False).fit(x, y).coef_[0],
        "averaged perceptron": lambda: perceptron.fit(x, y).coef_[0],
        "moment tester, degree 4": lambda: MomentTester(degree=4).test(x),
    }
    seconds, found = race(calls, 1 if tiny else REPEATS)
    for name in list(calls)[1:]:
        if name != "moment tester, degree 4":
            line = row("halfspace-gaussian", "excess error", excess(found["ours"]), name, excess(found[name]))
            mine = line["ours"]
            rows.append({**line, "bar": "ours <= 0.005", "passed": mine <= 0.005})
        rows.append(row("halfspace-gaussian", "seconds", seconds["ours"], name, seconds[name]))

    def fit(count: int) -> Callable[[], Any]:
        points, labels, _ = make("gaussian", "massart", count, best, Seed(1).child("bench"))
        return lambda: TesterLearner().fit(points, labels)

    return rows + curve("halfspace", "points", (2**12, 2**13) if tiny else (2**15, 2**16, 2**17, 2**18), fit, 1.0)


def pretraining(tiny: bool) -> Rows:
    """The latent models of pretraining beside scikit-learn's, on the same data."""
    rows = absent("pretraining", "sklearn")
    if rows:
        return rows
    from sklearn.decomposition import PCA
    from sklearn.mixture import GaussianMixture as Mixture

    n, d = (300, 8) if tiny else (20_000, 40)
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(n, 3)) @ rng.normal(size=(3, d)) + rng.normal(size=(n, d))
    groups = rng.normal(size=(4, d))[rng.integers(4, size=n)] * 3 + rng.normal(size=(n, d))
    calls: Calls = {
        "ours": lambda: FactorModel(3).fit(factors),
        "PCA (scikit-learn)": lambda: PCA(3, svd_solver="full").fit(factors),
    }
    seconds, _ = race(calls)
    name = "PCA (scikit-learn)"
    rows.append(row("pretraining-factors", "seconds", seconds["ours"], name, seconds[name]))
    calls = {
        "ours": lambda: GaussianMixture(4).fit(groups),
        "mixture": lambda: Mixture(4, covariance_type="spherical", n_init=1, random_state=0).fit(groups),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a limit on iterations at tiny sizes
        seconds, _ = race(calls, 1 if tiny else REPEATS)
    name = "GaussianMixture (scikit-learn)"
    rows.append(row("pretraining-mixture", "seconds", seconds["ours"], name, seconds["mixture"]))

    def fit(count: int) -> Callable[[], Any]:
        data = np.random.default_rng(1).normal(size=(count, 20))
        return lambda: FactorModel(3).fit(data)

    return rows + curve("pretraining", "points", (2**10, 2**11) if tiny else (2**15, 2**16, 2**17, 2**18), fit, 1.0)
