"""Snell et al. (2024): choose the test-time strategy by the difficulty of the question. arXiv:2408.03314.

On a simulated task of five known difficulties every strategy answers every question at every budget; the choice by
difficulty is made on one half of each bin and scored on the other. A fine-tuned copy of the small trained model revises
its own answers.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from functools import partial
from statistics import fmean
from typing import Any

import numpy as np

from educe.core import Baseline, Card, Check, Control, Ledger, Report, Scale, Seed, run_sync
from educe.lm import LanguageModel, Session, flops_matched
from educe.papers._compute_optimal_figure import figure
from educe.papers._compute_optimal_trained import TRAINED, revisions, sweep
from educe.papers._compute_optimal_world import POLICY, SKILLS, task
from educe.papers.figure import draw
from educe.reason import (
    Answer,
    BeamSearch,
    ComputeOptimal,
    ComputeOptimalPolicy,
    LookaheadSearch,
    Reward,
    StepPolicy,
    Strategy,
    WeightedBestOfN,
    difficulty,
)

card = Card(
    slug="compute-optimal",
    title="Scaling LLM Test-Time Compute Optimally can be More Effective than Scaling Model Parameters",
    authors=(
        "Charlie Snell",
        "Jaehoon Lee",
        "Kelvin Xu",
        "Aviral Kumar",
    ),
    year=2024,
    arxiv="2408.03314",
    venue="ICLR 2025",
    summary=(
        "Questions are binned by difficulty, and for each bin and budget the best way to search with a process reward "
        "or to revise answers is chosen on validation questions. "
        "Pick it when a budget and an estimate of difficulty must be turned into how to search or revise, how wide "
        "and how deep."
    ),
    claim=(
        "Choosing by difficulty matches best-of-N with about 4 times less compute: 16 instead of 64 generations for "
        "search, 64 instead of 256 for revisions."
    ),
    api=(
        "educe.reason.ComputeOptimal",
        "educe.reason.PRMSearch",
        "educe.reason.Revise",
        "educe.reason.difficulty",
        "educe.learn.train_process_reward",
        "educe.learn.make_revision_data",
        "educe.lm.flops_matched",
    ),
    topics=("test-time compute", "reasoning", "efficiency"),
    room="reason",
)

BON, BEAM, ROOT, AHEAD = NAMES = ("best-of-N", "beam, M = 4", "beam, M = sqrt N", "look-ahead, k = 1")
SIZES: dict[Scale, dict[str, Any]] = {
    Scale.SMOKE: {"seeds": 1, "questions": 10, "budgets": (2, 4), "measure": 8, "trained": None},
    Scale.SMALL: {
        "seeds": 3, "questions": 100, "budgets": (4, 16, 64), "measure": 256,
        "trained": {"train": 60, "samples": 16, "steps": 120, "test": 60, "length": 5,
                    "sweep": 20},
    },
    Scale.FULL: {
        "seeds": 3, "questions": 300, "budgets": (4, 16, 64, 256), "measure": 2048,
        "trained": {"train": 400, "samples": 64, "steps": 1000, "test": 300, "length": 8,
                    "sweep": 300},
    },
}  # fmt: skip


def methods(reward: str | Reward, steps: StepPolicy = POLICY) -> dict[str, Any]:
    """What is chosen from; look-ahead spends half of its generations on roll-outs."""
    shared: dict[str, Any] = {"steps": steps, "reward": reward}

    def ahead(n: int) -> Strategy:
        return LookaheadSearch(max(1, n // 2), width=4, lookahead=1, **shared)

    return {
        BON: lambda n: WeightedBestOfN(n, **shared),
        BEAM: lambda n: BeamSearch(n, width=4, **shared),
        ROOT: lambda n: BeamSearch(n, width="sqrt", **shared),
        AHEAD: ahead,
    }


def run(
    scale: Scale = Scale.SMALL, seed: int = 0, lm: LanguageModel | None = None, tasks: Sequence[Any] | None = None
) -> Report:
    """Sweep strategies, budgets and difficulties; choose by difficulty; revise.

    Parameters
    ----------
    scale : Scale
        Numbers of questions and samples.
    seed : int
        Root of all draws.
    lm, tasks : object
        Not used: the simulated task knows its difficulties, and the trained part trains a copy of its own model.

    Returns
    -------
    Report
    """
    del lm, tasks
    start = time.perf_counter()
    sizes = SIZES[scale]
    root = Seed.of(seed).child(card.slug)
    worlds = [_world(root.child("replicate", replicate), sizes) for replicate in range(sizes["seeds"])]
    budgets = list(sizes["budgets"])
    chooser = ComputeOptimal(methods("exact"), budgets)
    policies: dict[str, list[ComputeOptimalPolicy]] = {
        how: [chooser.fit(world["right"], difficulty(world[how]), seed=root.child("folds")) for world in worlds]
        for how in ("oracle", "verifier", "shuffled")
    }
    curves = {name: {n: fmean(world["means"][name, n] for world in worlds) for n in budgets} for name in NAMES}
    curves[BON] = {n: fmean(world["bon"][n] for world in worlds) for n in worlds[0]["bon"]}
    chosen = {how: {n: [policy.accuracy(n) for policy in found] for n in budgets} for how, found in policies.items()}
    revised = revisions(root, sizes["trained"]) if sizes["trained"] else None
    swept = sweep(ComputeOptimal(methods("prm", TRAINED), [4, 16]), root, sizes["trained"]) if sizes["trained"] else []
    pooled = _pooled(worlds, chooser)
    ledgers = {name: sum((world["spent"][name] for world in worlds), Ledger()) for name in NAMES}
    return Report(
        card,
        _checks(curves, chosen, pooled, budgets, revised),
        _controls(worlds, curves, chosen, budgets),
        tuple(
            Baseline(
                f"{name}, N = {budgets[min(1, len(budgets) - 1)]}",
                curves[name][budgets[min(1, len(budgets) - 1)]],
                ledgers[name],
            )
            for name in NAMES
        ),
        seed=seed,
        scale=scale,
        ledger=sum(ledgers.values(), Ledger()) + Ledger(seconds=time.perf_counter() - start),
        tables={
            "accuracy": [
                {"strategy": name, **{f"N = {n}": value for n, value in row.items()}}
                for name, row in {
                    **curves,
                    **{
                        f"chosen by difficulty, {how} bins": {n: fmean(v) for n, v in row.items()}
                        for how, row in chosen.items()
                    },
                }.items()
            ],
            "by bin": pooled.table(),
            "held-out accuracy by fold": [
                {"replicate": place, "N": n, "folds": policy.fold_accuracies(n)}
                for place, policy in enumerate(policies["oracle"])
                for n in budgets
            ],
            "trained model, its own process reward": swept,
            "revisions": [revised] if revised else [],
            "operations: inference may grow by": [
                {"times larger": scale, "R = D_inf / D_pre": ratio, "factor": flops_matched(scale, 1.0, ratio)}
                for scale in (8, 14)
                for ratio in (0.16, 0.79, 22.0)
            ],
        },
        figures={
            "Choosing by difficulty keeps what beam search gains and avoids where it loses": draw(
                partial(figure, curves=curves, chosen=chosen, pooled=pooled.table(), names=NAMES, revised=revised),
                width=10.5,
                height=3.8,
            )
        },
        notes=_notes(sizes, revised),
    )


def _world(root: Seed, sizes: dict[str, Any]) -> dict[str, Any]:
    """Accuracy of all strategies on the questions of one replicate, and three measures of difficulty."""
    budgets = list(sizes["budgets"])
    most = max(4 * max(budgets), sizes["measure"]) if len(budgets) < 4 else max(budgets)
    count = sizes["questions"]
    right = np.zeros((len(NAMES), len(budgets), count))
    bon: dict[int, list[float]] = {n: [] for n in sorted({*budgets, *(4 * n for n in budgets if 4 * n <= most)})}
    ease: dict[str, list[float]] = {"oracle": [], "verifier": []}
    spent = dict.fromkeys(NAMES, Ledger())
    for place in range(count):
        question, model, reward, answer = task(root, place)
        reference = Answer(str(answer), "number")  # type: ignore[arg-type]
        measured = run_sync(
            WeightedBestOfN(sizes["measure"], steps=POLICY, reward=reward)(
                question, Session(model, seed=root.child("measure", place))
            )
        )
        ease["oracle"].append(fmean(value == reference for value in measured.values))
        ease["verifier"].append(fmean(measured.details["scores"]))
        for row, (name, make) in enumerate(methods(reward).items()):
            for column, n in enumerate(budgets):
                if name == ROOT and n == 16:
                    right[row, column, place] = right[1, column, place]
                    continue
                session = Session(model, seed=root.child("solve", place))
                posterior = run_sync(make(n)(question, session))
                right[row, column, place] = posterior.confidence > 0 and posterior.mode() == reference
                if column == min(1, len(budgets) - 1):
                    spent[name] = spent[name] + posterior.ledger
        for n, hits in bon.items():
            # The samples of a smaller N are the first ones of a larger.
            if n in budgets:
                hits.append(float(right[0, budgets.index(n), place]))
            else:
                session = Session(model, seed=root.child("solve", place))
                posterior = run_sync(WeightedBestOfN(n, steps=POLICY, reward=reward)(question, session))
                hits.append(float(posterior.mode() == reference))
    shuffled = root.child("shuffle").numpy().permutation(ease["oracle"]).tolist()
    return {
        "right": right,
        "means": {
            (name, n): right[row, column].mean() for row, name in enumerate(NAMES) for column, n in enumerate(budgets)
        },
        "bon": {n: fmean(hits) for n, hits in bon.items()},
        "spent": spent,
        "one": fmean(ease["oracle"]),
        "shuffled": shuffled,
        **ease,
    }


def _pooled(worlds: list[dict[str, Any]], chooser: ComputeOptimal) -> ComputeOptimalPolicy:
    """All replicates' questions together, each in the oracle bin of its own replicate."""
    bins = np.concatenate([difficulty(world["oracle"]).bins for world in worlds])
    return chooser.fit(np.concatenate([world["right"] for world in worlds], axis=2), bins.tolist())


def _checks(
    curves: dict[str, dict[int, float]],
    chosen: dict[str, dict[int, list[float]]],
    pooled: ComputeOptimalPolicy,
    budgets: list[int],
    revised: dict[str, Any] | None,
) -> tuple[Check, ...]:
    checks = []
    for n in budgets[:2]:
        mine, theirs = fmean(chosen["oracle"][n]), curves[BON].get(4 * n, math.nan)
        checks.append(
            Check(
                f"chosen by difficulty at N = {n} against best-of-N at {4 * n}",
                "equal with about 4 times less compute",
                f"{mine:.3f} against {theirs:.3f}",
                "not more than 1 point below",
                mine >= theirs - 0.01,
            )
        )
    low, high = budgets[0], budgets[-1]
    checks.append(
        Check(
            f"beam (M = 4) minus best-of-N at N = {low} and at N = {high}",
            "beam wins at small budgets, loses at large ones",
            f"{curves[BEAM][low] - curves[BON][low]:+.3f} and {curves[BEAM][high] - curves[BON][high]:+.3f}",
            "> 0 and < 0",
            curves[BEAM][low] > curves[BON][low] and curves[BEAM][high] < curves[BON][high],
        )
    )
    larger = [n for n in budgets if n >= 16] or budgets[-1:]
    best = {n: max(NAMES, key=lambda name: curves[name][n]) for n in larger}
    checks.append(
        Check(
            "best strategy at each N >= 16, equal generations",
            "look-ahead is worse than the others",
            "; ".join(f"N = {n}: {name}" for n, name in best.items()),
            "look-ahead nowhere",
            AHEAD not in best.values(),
        )
    )
    middle = budgets[min(1, len(budgets) - 1)]
    names = {row["bin"]: row["choice"] for row in pooled.table() if row["budget"] == middle}
    checks.append(
        Check(
            f"best strategy by bin at N = {middle}",
            "depends on difficulty",
            "; ".join(f"{b}: {name}" for b, name in names.items()),
            "not the same in all bins",
            len(set(names.values())) > 1,
        )
    )
    gains = {how: fmean(fmean(chosen[how][n]) - curves[BON][n] for n in budgets) for how in ("oracle", "verifier")}
    checks.append(
        Check(
            "gain over best-of-N at equal N, mean over N: predicted bins, oracle bins",
            "predicted bins work nearly as well",
            f"{gains['verifier']:+.3f}, {gains['oracle']:+.3f}",
            "at least half of the oracle bins' gain",
            gains["verifier"] >= 0.5 * gains["oracle"],
        )
    )
    if revised is not None:
        checks.append(
            Check(
                "revisions: accuracy of the last answer, of the choice over the chain",
                "38% of right answers are broken at the next step",
                f"{revised['last']:.3f}, {revised['chosen']:.3f}; {revised['right to wrong']:.0%} of right ones broken",
                "the last answer is worse",
                revised["last"] < revised["chosen"],
            )
        )
    return tuple(checks)


def _controls(
    worlds: list[dict[str, Any]],
    curves: dict[str, dict[int, float]],
    chosen: dict[str, dict[int, list[float]]],
    budgets: list[int],
) -> tuple[Control, ...]:
    fixed = fmean(max(curves[name][n] for name in NAMES) for n in budgets)
    shuffled = fmean(fmean(chosen["shuffled"][n]) for n in budgets)
    exact = fmean(skill**6 for skill in SKILLS)
    one = fmean(world["one"] for world in worlds)
    count = sum(len(world["oracle"]) for world in worlds)
    return (
        Control(
            "choosing by shuffled difficulties minus the best fixed strategy, mean over N",
            shuffled - fixed,
            "not above 0.01: bins that say nothing give nothing",
            shuffled - fixed <= 0.01,
        ),
        Control(
            "share of right samples minus its exact value",
            one - exact,
            "within 0.02: the task is what it is said to be",
            abs(one - exact) < 0.02 or count < 100,
        ),
    )


def _notes(sizes: dict[str, Any], revised: dict[str, Any] | None) -> str:
    told = (
        "The bars on strategies are checked on the simulated task for which the difficulties are known "
        f"({sizes['seeds']} x {sizes['questions']} questions, bins by {sizes['measure']} samples that are not charged "
        f"and not used for answering). Searches stop at N = {sizes['budgets'][-1]}; the paper goes to 256. Best-of-N "
        "is weighted. Look-ahead of one step is charged two generations for each answer, so it keeps half as many. "
        "Slips had both signs at first, so that two of them could cancel and a path scored as wrong end at the right "
        "answer; they were given one sign before this run, after that was seen in the task of another report. "
        "Accuracies of the choice are held out in two folds within each bin. Exchanging the size of a model for "
        "samples is not shown: one size of the trained model ships; the table has the factors."
    )
    if revised is None:
        return told
    return (
        f"{told} Revisions: a copy of the small model, fine-tuned for {sizes['trained']['steps']} steps on chains of "
        f"its own wrong and right answers; of right answers {revised['right to wrong']:.0%} are broken at the next "
        f"step, of wrong ones {revised['wrong to right']:.0%} are mended. Its first answers "
        f"are right {revised['by position'][0]:.0%} of times; where that is far below the model it was copied from, so "
        "short a fine-tuning has harmed more than it taught, and the bar on revisions says little. The strategies on "
        f"the trained model with its own reward ({sizes['trained']['sweep']} questions) carry no bar."
    )
