"""Bengio (2017): predict few abstract variables from few others, as a sparse factor graph. arXiv:1709.08568."""

from __future__ import annotations

import time
from functools import partial
from statistics import fmean
from typing import Any

import torch

from educe.core import Baseline, Card, Check, Control, Ledger, Report, Scale, Seed
from educe.learn import ConsciousnessPrior, predictive_subspace, verifier
from educe.papers._consciousness_prior_figure import plot
from educe.papers._consciousness_prior_worlds import (
    CONCEPTS,
    dense_network,
    hidden_signals,
    make_world,
    redraw,
    transitions,
)
from educe.papers.figure import draw

card = Card(
    slug="consciousness-prior",
    title="The Consciousness Prior",
    authors=("Yoshua Bengio",),
    year=2017,
    arxiv="1709.08568",
    venue=None,
    summary=(
        "An attention bottleneck picks a handful of elements of a large state and predicts one from the others, so "
        "that a sparse factor graph over abstract variables, and the encoder that yields them, are learned together. "
        "Pick it to discover which few of many noisy variables explain which, or to learn representations without "
        "reconstructing noise."
    ),
    claim=(
        "Sparse factors over abstract variables should improve sample efficiency and generalisation out of "
        "distribution (theory, no numbers)."
    ),
    api=(
        "educe.learn.ConsciousnessPrior",
        "educe.learn.verifier",
        "educe.learn.predictive_subspace",
        "educe.prob.FactorGraph",
    ),
    topics=("neuroscience", "bayesian inference", "training"),
    room="learn",
)

SIZES: dict[Scale, dict[str, Any]] = {
    Scale.SMOKE: {"seeds": 1, "train": (60,), "steps": 20, "restarts": 2, "test": 500, "trials": 4, "signals": 2_000},
    Scale.SMALL: {"seeds": 3, "train": (150, 400), "steps": 400, "restarts": 8, "test": 4_000, "trials": 50,
                  "signals": 20_000},
    Scale.FULL: {"seeds": 10, "train": (150, 400, 1_500), "steps": 400, "restarts": 16, "test": 20_000, "trials": 200,
                 "signals": 20_000},
}  # fmt: skip
BAYES = 0.2788


def run(scale: Scale = Scale.SMALL, seed: int = 0, lm: Any = None, tasks: Any = None) -> Report:
    """Find concepts among distractors by a bottleneck, beside a dense network and an accuracy-only objective.

    Parameters
    ----------
    scale : Scale
        Seeds, transitions and trials.
    seed : int
        Root of all draws.
    lm, tasks : object
        Not used.

    Returns
    -------
    Report
    """
    del lm, tasks
    start = time.perf_counter()
    sizes, root = SIZES[scale], Seed.of(seed).child(card.slug)
    runs = [_world(sizes, root.child("world", k)) for k in range(sizes["seeds"])]
    first = sizes["train"][0]
    rows = {n: [item["by size"][n] for item in runs] for n in sizes["train"]}
    f1 = min(item["f1"] for item in rows[first])
    ours, dense = (fmean(item[name] for item in rows[first]) for name in ("bottleneck", "dense"))
    mass, lost = (fmean(item[name] for item in runs) for name in ("information", "accuracy"))
    subspaces = [_subspaces(sizes["signals"], root.child("signals", k)) for k in range(sizes["seeds"])]
    predictive, pca = min(item[0] for item in subspaces), max(item[1] for item in subspaces)
    trials = [_changed(runs[k % len(runs)], root.child("changed", k), adapt=k % 5 == 0) for k in range(sizes["trials"])]
    located = fmean(item["located"] for item in trials)
    unchanged = fmean(item["unchanged"] for item in trials)
    shuffled = _shuffled(runs[0], sizes, root.child("shuffled"))
    checks = (
        Check(f"smallest F1 of the factor graph, {first} transitions", "no numbers in the paper", round(f1, 4),
              ">= 0.95", f1 >= 0.95),
        Check(
            f"negative log-likelihood of a concept, {first} transitions",
            f"Bayes-optimal {BAYES}",
            f"bottleneck {ours:.4f}, dense network {dense:.4f}",
            "bottleneck <= 0.30, dense >= 0.42",
            ours <= 0.30 and dense >= 0.42,
        ),
        Check(
            "attention on concepts",
            "accuracy alone picks what is trivially predictable",
            f"information {mass:.3f}, accuracy only {lost:.3f}",
            "information >= 0.7, accuracy only <= 0.1",
            mass >= 0.7 and lost <= 0.1,
        ),
        Check(
            "variance of hidden signals explained by the predictive subspace and by PCA",
            "abstract prediction works where pixels are noise",
            f"{predictive:.4f} and {pca:.4f}",
            ">= 0.95 and <= 0.1",
            predictive >= 0.95 and pca <= 0.1,
        ),
        Check(
            f"changed mechanism found by the verifier, {len(trials)} trials of 50 transitions",
            "not in the paper",
            round(located, 4),
            ">= 0.9",
            located >= 0.9,
        ),
    )  # fmt: skip
    controls = (
        Control(
            "successors shuffled over transitions: edges of concepts found",
            shuffled,
            "<= 2: there is nothing to find",
            shuffled <= 2,
        ),
        Control(
            "nothing changed: how often the verifier points at the concept of the trial",
            round(unchanged, 4),
            "<= 0.35: about one in 12",
            unchanged <= 0.35,
        ),
    )
    adapted, tuned = (fmean(item[name] for item in trials if name in item) for name in ("adapted", "tuned"))
    baselines = (
        *(
            Baseline(f"dense network, {n} transitions: negative log-likelihood", fmean(i["dense"] for i in items),
                     Ledger(seconds=sum(i["dense seconds"] for i in items)))
            for n, items in rows.items()
        ),
        Baseline("dense network, all weights tuned on 50 transitions after a change", tuned),
    )  # fmt: skip
    figure = draw(partial(plot, runs=runs, rows=rows), width=9.6)
    return Report(
        card,
        checks,
        controls,
        baselines,
        seed=seed,
        scale=scale,
        ledger=Ledger(seconds=time.perf_counter() - start),
        tables={
            "by transitions": [
                {"transitions": n, "seed": k, **item} for n, items in rows.items() for k, item in enumerate(items)
            ],
            "after a change, 50 transitions, 10 trials": [
                {"way": "one factor refitted by counts", "negative log-likelihood": adapted},
                {"way": "dense network tuned", "negative log-likelihood": tuned},
            ],
        },
        figures={"A bottleneck finds which few variables explain which, from few transitions": figure},
        notes=(
            "The world is ours; the paper has none: 12 binary concepts, each the conjunction, disjunction or copy of "
            "at most two others, flipped with probability 0.08, among 50 coins and 4 near-constants. A first version "
            "with one start and plain BIC left edges out (F1 0.55 to 0.90 on seeds 0 to 2 of another stream, seen "
            "before the method was changed). Restarts, attention without replacement, the extended BIC and a last "
            "search by single changes were then developed on seeds 100 to 103, and no bar was moved. The accuracy-only "
            "objective has no entropy term; a first full run kept it at 0.1 there, where its optimum by itself leaves "
            "a quarter of attention on concepts, and measured 0.205. The dense "
            "network is stopped early on 300 further transitions that the bottleneck does not get. Exclusive or is "
            "not among the mechanisms: it gives attention no gradient. For the linear encoder only the subspace is "
            "claimed: single signals are not identified."
        ),
    )


def _nll(model: ConsciousnessPrior, test: tuple[torch.Tensor, torch.Tensor]) -> float:
    return float(-model.log_prob(*test)[:, :CONCEPTS].mean())


def _dense_nll(net: torch.nn.Module, test: tuple[torch.Tensor, torch.Tensor]) -> float:
    with torch.no_grad():
        logits = net(test[0].float())[:, :CONCEPTS]
    return float(torch.nn.functional.binary_cross_entropy_with_logits(logits, test[1][:, :CONCEPTS].float()))


def _edges(model: ConsciousnessPrior) -> set[tuple[int, int]]:
    return {(target, pick) for target in range(CONCEPTS) for pick in model.attention.picks[target]}


def _world(sizes: dict[str, Any], seed: Seed) -> dict[str, Any]:
    """All methods on one world."""
    world = make_world(seed)
    test, stop = transitions(world, sizes["test"], seed.child("test")), transitions(world, 300, seed.child("stop"))
    truth = {(k, parent) for k, mechanism in enumerate(world) for parent in mechanism.parents}
    settings = {"steps": sizes["steps"], "restarts": sizes["restarts"]}
    by_size = {}
    for n in sizes["train"]:
        train = transitions(world, n, seed.child("train", n))
        begun = time.perf_counter()
        model = ConsciousnessPrior(**settings, seed=seed.child("attention", n)).fit(*train)
        middle = time.perf_counter()
        net = dense_network(train, stop, seed.child("dense", n))
        found = _edges(model)
        by_size[n] = {
            "f1": 2 * len(truth & found) / (len(truth) + len(found)),
            "bottleneck": _nll(model, test),
            "dense": _dense_nll(net, test),
            "seconds": middle - begun,
            "dense seconds": time.perf_counter() - middle,
        }
        if n == sizes["train"][0]:
            accuracy = ConsciousnessPrior(
                **settings, objective="accuracy", diversity=0.0, seed=seed.child("accuracy")
            ).fit(*train)
            weights = {"information": model.attention.weights, "accuracy": accuracy.attention.weights}
    return {
        "world": world, "by size": by_size, "model": model, "net": net, "truth": truth, "found": found,
        "weights": weights, "stop": stop, **{name: float(item[:CONCEPTS].sum()) for name, item in weights.items()},
    }  # fmt: skip


def _changed(run: dict[str, Any], seed: Seed, adapt: bool) -> dict[str, float]:
    """Redraw one mechanism; ask the verifier which; refit it alone, or tune the dense network, on 50 transitions."""
    concept = int(seed.child("concept").numpy().integers(CONCEPTS))
    world = redraw(run["world"], concept, seed)
    model, few = run["model"], transitions(world, 50, seed.child("few"))
    test = transitions(world, 1_000, seed.child("test"))
    usual = verifier(model, *run["stop"])[:, :CONCEPTS]

    def lowest(seen: tuple[torch.Tensor, torch.Tensor]) -> int:
        scores = verifier(model, *seen)[:, :CONCEPTS]
        return int(((scores.mean(0) - usual.mean(0)) / usual.std(0).clamp(min=1e-3)).argmin())

    suspect = lowest(few)
    found = {
        "located": float(suspect == concept),
        "unchanged": float(lowest(transitions(run["world"], 50, seed.child("same"))) == concept),
    }
    if not adapt:
        return found
    refit = ConsciousnessPrior(restarts=1, steps=1, seed=seed.child("refit")).fit(*few)
    table, picks = refit.tables[suspect], refit.attention.picks[suspect]
    columns = model.log_prob(*test)[:, :CONCEPTS].clone()
    columns[:, suspect] = table[(test[1][:, suspect], *(test[0][:, pick] for pick in picks))]
    tuned = dense_network(few, few, seed.child("tune"), steps=20, start=run["net"])
    return {**found, "adapted": float(-columns.mean()), "tuned": _dense_nll(tuned, test)}


def _shuffled(run: dict[str, Any], sizes: dict[str, Any], seed: Seed) -> int:
    now, later = transitions(run["world"], sizes["train"][0], seed)
    later = later[torch.randperm(len(later), generator=seed.child("order").torch())]
    settings = {"steps": sizes["steps"], "restarts": sizes["restarts"]}
    return len(_edges(ConsciousnessPrior(**settings, seed=seed).fit(now, later)))


def _subspaces(n: int, seed: Seed) -> tuple[float, float]:
    """Share of the signals' variance that the predictive subspace and principal components explain."""
    signals, seen = hidden_signals(n, seed)
    centred = seen - seen.mean(0)
    ways = (
        centred[:-1] @ predictive_subspace(seen[:-1], seen[1:], 6),
        centred[:-1] @ torch.linalg.eigh(centred.T @ centred)[1][:, -6:],
    )
    target = signals[:-1] - signals[:-1].mean(0)
    shares = []
    for features in ways:
        basis = torch.linalg.qr(features - features.mean(0))[0]
        shares.append(float((basis.T @ target).square().sum() / target.square().sum()))
    return shares[0], shares[1]
