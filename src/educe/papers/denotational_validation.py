"""Ścibior et al. (2017): samplers built from parts that each keep a program's meaning. arXiv:1711.03219.

Every algorithm is run by exact enumeration over all of its own randomness, with fractions, on five models, and its
measure compared with the model's by `==`. Six look-alike algorithms go through the same comparison. A linear-Gaussian
state-space model adds a statistical check against the Kalman filter.
"""

from __future__ import annotations

import math
import time
from fractions import Fraction
from functools import partial
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

import numpy as np

from educe.core import Baseline, Card, Check, Control, Ledger, Report, Scale, Seed
from educe.papers.figure import draw
from educe.prob import (
    MUTANTS,
    Algorithm,
    Normal,
    Program,
    chain,
    collapse,
    ess_below,
    importance,
    independent,
    laws,
    mh,
    observe,
    particle_gibbs,
    program,
    rmsmc,
    smc,
)
from educe.prob import (
    run as infer,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

card = Card(
    slug="denotational-validation",
    title="Denotational validation of higher-order Bayesian inference",
    authors=(
        "A. Ścibior",
        "O. Kammar",
        "M. Vákár",
        "S. Staton",
        "H. Yang",
        "Y. Cai",
        "K. Ostermann",
        "S. Moss",
        "C. Heunen",
        "Z. Ghahramani",
    ),
    year=2017,
    arxiv="1711.03219",
    venue="POPL 2018",
    summary=(
        "Inference algorithms are composed of transformations between representations of a program (weighted, "
        "population, sequential, traced), each proved to leave the meaning of the program unchanged. "
        "Pick it to build a sampler from small verified parts and to test exactly, not statistically, that a part of "
        "your own is right."
    ),
    claim=(
        "Sequential Monte Carlo and Metropolis-Hastings are valid for higher-order functions and continuous "
        "distributions because each of their parts is (theory, no numbers)."
    ),
    api=(
        "educe.prob.smc",
        "educe.prob.compose",
        "educe.prob.collapse",
        "educe.prob.rmsmc",
        "educe.prob.mh",
        "educe.prob.pimh",
        "educe.prob.laws.exact",
        "educe.prob.laws.meaning",
        "educe.prob.laws.check",
    ),
    topics=("probabilistic programming", "bayesian inference"),
    room="prob",
)

SCHEMES = ("multinomial", "stratified", "systematic")
TRIGGERS = {"always": None, "ESS < 0.9 n": ess_below(Fraction(9, 10)), "never": lambda weights: False}
ALL = tuple(laws.MODELS)
FAST = ("sprinkler", "variable length", "random function")
SIZES: dict[Scale, dict[str, Any]] = {
    Scale.SMOKE: {"particles": (2,), "schemes": SCHEMES[2:], "models": FAST, "steps": 8, "runs": 20, "curve": (4, 16)},
    Scale.SMALL: {
        "particles": (2, 3), "schemes": SCHEMES, "models": ALL, "steps": 50, "runs": 200, "curve": (8, 16, 32, 64),
    },
    Scale.FULL: {
        "particles": (2, 3, 4), "schemes": SCHEMES, "models": ALL, "steps": 50, "runs": 1000,
        "curve": (8, 32, 128, 512),
    },
}  # fmt: skip


def run(scale: Scale = Scale.SMALL, seed: int = 0, lm: Any = None, tasks: Any = None) -> Report:
    """Check algorithms exactly on small models, refute mutants, and compare a filter's evidence with Kalman's.

    Parameters
    ----------
    scale : Scale
        Numbers of particles and of runs.
    seed : int
        Root of the draws of the statistical part; the exact part draws nothing.
    lm, tasks : object
        Not used.

    Returns
    -------
    Report
    """
    del lm, tasks
    start = time.perf_counter()
    sizes = SIZES[scale]
    algorithms: dict[str, Algorithm] = {"importance, n = 2": importance(2)}
    for n in sizes["particles"]:
        for scheme in sizes["schemes"]:
            for name, when in TRIGGERS.items():
                algorithms[f"smc, n = {n}, {scheme}, {name}"] = smc(n, scheme, when=when)
    algorithms["mh"] = mh(1, starts=1)
    algorithms["rmsmc, n = 2"] = rmsmc(2, rounds=2)
    algorithms["particle Gibbs, n = 2"] = particle_gibbs(2, 1, starts=1)

    models = {name: laws.MODELS[name] for name in sizes["models"]}
    gaps = {name: laws.check(algorithm, models).gaps or {} for name, algorithm in algorithms.items()}
    gaps["pimh, n = 2"] = {name: _pimh_gap(make()) for name, make in models.items()}
    verdicts = {name: laws.check(mutant, models) for name, mutant in MUTANTS.items()}
    broken = {name: verdict.gaps or {} for name, verdict in verdicts.items()}
    equal = sum(gap == 0 for row in gaps.values() for gap in row.values())
    cells = len(gaps) * len(models)
    seconds = time.perf_counter() - start

    seen, log_evidence = _world(sizes["steps"], Seed.of(seed).child(card.slug))
    curve = {n: _ratios(seen, log_evidence, n, sizes["runs"] if n == max(sizes["curve"]) else sizes["runs"] // 4, seed)
             for n in sizes["curve"]}  # fmt: skip
    most = curve[max(curve)]
    mean, error = fmean(most), stdev(most) / math.sqrt(len(most))
    mean_log = fmean(math.log(ratio) for ratio in most)
    shift = math.exp(log_evidence - _kalman(seen, noise=1.5))

    checks = (
        Check(
            f"equalities between measures, {len(gaps)} algorithms on {len(models)} models",
            "all are valid (theorems)",
            f"{equal} of {cells}",
            "all, by == between fractions",
            equal == cells,
        ),
        Check(
            "mutants refuted with a counter-example",
            "not in the paper",
            f"{sum(not verdict.valid for verdict in verdicts.values())} of {len(verdicts)}",
            "all six",
            not any(verdict.valid for verdict in verdicts.values()),
        ),
        Check(
            f"mean of evidence over Kalman's, {max(curve)} particles, {sizes['steps']} steps, {len(most)} runs",
            "unbiased",
            f"{mean:.4f}, standard error {error:.4f}",
            "within 4 standard errors of 1",
            abs(mean - 1) < 4 * error,
        ),
        Check("mean of the log of that ratio", "below 0, by Jensen", mean_log, "< 0", mean_log < 0),
    )
    fixed = max(gap for name, gap in broken["no length ratio"].items() if name != "variable length")
    controls = (
        Control(
            "the mutant without length ratio on models of fixed length: largest gap",
            fixed,
            "0: there it is right, and the laws must not refute it",
            fixed == 0,
        ),
        Control(
            "the same mutant on the model of variable length: gap",
            broken["no length ratio"]["variable length"],
            "> 0: only this model shows it",
            broken["no length ratio"]["variable length"] > 0,
        ),
        Control(
            "the filter's evidence held against Kalman's for a model with 1.5 times the noise: mean ratio",
            mean * shift,
            "off by more than 4 standard errors: the comparison can fail",
            abs(mean * shift - 1) > 4 * error * shift,
        ),
    )
    baselines = tuple(
        Baseline(name, max(rows.values()), Ledger(seconds=seconds / (len(gaps) + len(broken))))
        for name, rows in {"all valid algorithms": _worst(gaps), **broken}.items()
    )
    title = "Valid compositions are exact on every model; each mutant is refuted by one at least"
    figure = draw(partial(_figure, gaps=gaps, broken=broken, curve=curve), width=9.6, height=5.2)
    return Report(
        card,
        checks,
        controls,
        baselines,
        seed=seed,
        scale=scale,
        ledger=Ledger(seconds=time.perf_counter() - start),
        tables={
            "total variation gap": [{"algorithm": name, **row} for name, row in {**gaps, **broken}.items()],
            "counter-examples": [{"mutant": name, "finding": str(verdict)} for name, verdict in verdicts.items()],
            "evidence against particles": [
                {
                    "particles": n,
                    "mean ratio": fmean(r),
                    "error": stdev(r) / len(r) ** 0.5,
                    "mean log ratio": fmean(map(math.log, r)),
                }
                for n, r in curve.items()
            ],
        },
        figures={title: figure},
        notes=(
            "Baselines are the largest total variation gap to the model over the models tried: 0 for what is valid. "
            "Populations that are equal particle by particle are merged between moves. For pimh the law of the "
            "collapsed filter's value and weight is computed first and drawn at once, which its kernel cannot tell "
            "apart. rmsmc takes a fixed number of rounds: resampling may stop when all particles have finished, a "
            "Markov kernel may not, because it keeps the measure on average over populations only; the looping "
            "version is refuted by the model of variable length. The filter resamples when the effective sample size "
            "falls below half. The first negative control, Kalman on the data in reverse order, came out at 0.96 and "
            "could not serve as one, because the model is nearly the same backwards; it was replaced, after that "
            "result was seen, by Kalman with the wrong noise."
        ),
    )


def _worst(gaps: dict[str, Any]) -> dict[str, float]:
    return {name: max(row[name] for row in gaps.values()) for name in next(iter(gaps.values()))}


def _pimh_gap(model: Program) -> float:
    expected = laws.exact(model)
    found = laws.meaning(chain(independent, 1), laws.condensed(collapse(smc(2))(model)))
    return laws.gap(expected, found)


@program
def linear_gaussian(seen: list[float]) -> Any:
    """A state that decays and is pushed by noise, seen through noise."""
    state = yield Normal(0.0, 1.0)
    for step, value in enumerate(seen):
        if step:
            state = yield Normal(0.9 * state, 0.5)
        yield observe(Normal(state, 1.0), value)


def _world(steps: int, seed: Seed) -> tuple[list[float], float]:
    rng = seed.numpy()
    state, seen = rng.normal(), []
    for step in range(steps):
        if step:
            state = rng.normal(0.9 * state, 0.5)
        seen.append(float(rng.normal(state, 1.0)))
    return seen, _kalman(seen)


def _kalman(seen: list[float], noise: float = 1.0) -> float:
    """Exact log-evidence of `linear_gaussian`, or of the same model with another noise in what is seen."""
    mean, variance, total = 0.0, 1.0, 0.0
    for step, value in enumerate(seen):
        if step:
            mean, variance = 0.9 * mean, 0.81 * variance + 0.25
        spread = variance + noise**2
        total -= 0.5 * (math.log(2 * math.pi * spread) + (value - mean) ** 2 / spread)
        mean, variance = mean + variance / spread * (value - mean), variance * noise**2 / spread
    return total


def _ratios(seen: list[float], log_evidence: float, n: int, runs: int, seed: int) -> list[float]:
    root = Seed.of(seed).child(card.slug, "filter", n)
    found = (infer(linear_gaussian(seen), smc(n, when=ess_below(0.5)), root.child(i)).log_evidence for i in range(runs))
    return [math.exp(float(log or 0.0) - log_evidence) for log in found]


def _figure(figure: Figure, gaps: dict[str, Any], broken: dict[str, Any], curve: dict[int, list[float]]) -> None:
    left, right = figure.subplots(1, 2, width_ratios=[1.25, 1])
    _map(left, gaps, broken)
    counts = np.array(list(curve))
    means = np.array([fmean(ratios) for ratios in curve.values()])
    errors = np.array([stdev(ratios) / math.sqrt(len(ratios)) for ratios in curve.values()])
    logs = np.array([fmean(map(math.log, ratios)) for ratios in curve.values()])
    right.axhline(0, color="#888888", linewidth=0.8)
    right.errorbar(counts, np.log(means), 2 * errors / means, marker="o", color="C0")
    right.plot(counts, logs, marker="o", color="C1")
    right.text(0.98, 0.82, "log of the mean: unbiased", ha="right", color="C0", transform=right.transAxes)
    right.text(0.98, 0.30, "mean of the log: below", ha="right", color="C1", transform=right.transAxes)
    right.set_xscale("log", base=2)
    right.set_xticks(counts, [str(n) for n in counts])
    right.set_xlabel("particles")
    right.set_ylabel("log-evidence minus Kalman's (bars: 2 s.e.)")
    right.set_title("A filter's evidence is right on average")


def _map(axes: Axes, gaps: dict[str, Any], broken: dict[str, Any]) -> None:
    names = list(next(iter(gaps.values())))
    rows: dict[str, dict[str, float]] = {"smc, all variants": {}, "importance": {}}
    for name, row in gaps.items():
        family = "smc, all variants" if name.startswith("smc") else name.split(",")[0]
        rows[family] = {model: max(rows.get(family, {}).get(model, 0.0), row[model]) for model in names}
    rows |= broken
    for y, row in enumerate(rows.values()):
        for x, model in enumerate(names):
            wrong = row[model] != 0
            text = f"✗ {row[model]:.2g}" if wrong else "✓"
            axes.text(x, y, text, ha="center", va="center", fontsize=9, color="#D55E00" if wrong else "#009E73")
    axes.axhline(len(rows) - len(broken) - 0.5, color="#444444", linewidth=0.8)
    axes.set_xlim(-0.6, len(names) - 0.4)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xticks(range(len(names)), [name.replace(" ", "\n") for name in names])
    axes.set_yticks(range(len(rows)), list(rows))
    axes.grid(False)
    axes.set_title("✓ exact, ✗ gap to the model (mutants below)")
