"""Lahlou et al. (2021): predict epistemic uncertainty as excess risk with a second model. arXiv:2102.08501."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from educe.core import Baseline, Card, Check, Control, Ledger, Report, Scale, Seed
from educe.papers.figure import draw, label_line
from educe.uncertainty import DEUP, BayesianPolynomial, evaluate, features

if TYPE_CHECKING:
    from matplotlib.figure import Figure

card = Card(
    slug="deup",
    title="DEUP: Direct Epistemic Uncertainty Prediction",
    authors=(
        "S. Lahlou",
        "M. Jain",
        "H. Nekoei",
        "V. I. Butoi",
        "P. Bertin",
        "J. Rector-Brooks",
        "M. Korablyov",
        "Y. Bengio",
    ),
    year=2021,
    arxiv="2102.08501",
    venue="TMLR 2023",
    summary=(
        "A second model is trained on out-of-sample errors of the first, less an estimate of the noise, and so "
        "predicts at each point the risk in excess of the Bayes predictor's, bias from misspecification included. "
        "Pick it when any predictor, however misspecified, needs epistemic uncertainty and a little out-of-sample "
        "error data can be had."
    ),
    claim=(
        "Predicted uncertainty ranks true losses under shift better than MC-dropout and deep ensembles, and as "
        "acquisition variance it finds better optima than Gaussian processes."
    ),
    api=(
        "educe.uncertainty.DEUP",
        "educe.uncertainty.features",
        "educe.uncertainty.evaluate",
        "educe.uncertainty.BayesianPolynomial",
    ),
    topics=("uncertainty", "calibration"),
    room="uncertainty",
)

SIZES: dict[Scale, dict[str, Any]] = {
    Scale.SMOKE: {"counts": (50, 200), "seeds": 1, "members": 5, "spiky": 1},
    Scale.SMALL: {"counts": (50, 200, 1000), "seeds": 10, "members": 30, "spiky": 5},
    Scale.FULL: {"counts": (50, 200, 1000), "seeds": 50, "members": 30, "spiky": 50},
}
NOISE, WIDTH, EDGE = 0.2, 1.3, 3.0
POSTERIOR, BOOTSTRAP, OURS, TRUE = "posterior variance", "bootstrap variance", "DEUP", "true excess risk"
JUDGED = 200


def run(scale: Scale = Scale.SMALL, seed: int = 0, lm: Any = None, tasks: Any = None) -> Report:
    """Predict the excess risk of a misspecified cubic and of a Gaussian process that never saw its hardest stretch.

    Parameters
    ----------
    scale : Scale
        Sample sizes, seeds and ensemble members.
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
    grid = np.linspace(-EDGE, EDGE, 601)[:, None]
    density = np.exp(-0.5 * (grid[:, 0] / WIDTH) ** 2)
    ranks: dict[int, dict[str, list[float]]] = {}
    means: dict[int, dict[str, list[float]]] = {}
    seconds = dict.fromkeys((POSTERIOR, BOOTSTRAP, OURS), 0.0)
    shown: dict[str, Any] = {}
    for n in sizes["counts"]:
        ranks[n] = {name: [] for name in (POSTERIOR, BOOTSTRAP, OURS)}
        means[n] = {name: [] for name in (POSTERIOR, BOOTSTRAP, OURS, TRUE)}
        for i in range(sizes["seeds"]):
            found, true, fit, taken = _misspecified(n, root.child("misspecified", n, i), grid, sizes["members"])
            means[n][TRUE].append(float(density @ true / density.sum()))
            for name, values in found.items():
                score = evaluate(values, true, weights=density)
                ranks[n][name].append(score.spearman)
                means[n][name].append(score.mean_predicted)
                seconds[name] += taken[name]
            if n == JUDGED and i == 0:
                shown = {"true": true, "fit": fit, **found}
    spiky = [_spiky(root.child("spiky", i)) for i in range(sizes["spiky"])]
    controls = _controls(root, sizes, grid, density)

    rank = {name: float(np.mean(ranks[JUDGED][name])) for name in ranks[JUDGED]}
    mean = {name: float(np.mean(means[JUDGED][name])) for name in means[JUDGED]}
    wins = sum(ours >= theirs for theirs, ours, _ in spiky)
    worst = max(rank[POSTERIOR], rank[BOOTSTRAP])
    needed = -(-4 * len(spiky) // 5)
    checks = (
        Check(
            f"misspecified cubic, n = {JUDGED}: Spearman of DEUP with true excess risk",
            "0.89",
            round(rank[OURS], 4),
            ">= 0.75",
            rank[OURS] >= 0.75,
        ),
        Check(
            f"misspecified cubic, n = {JUDGED}: Spearman of posterior and bootstrap variance",
            "-0.09, 0.07",
            f"{rank[POSTERIOR]:.3f}, {rank[BOOTSTRAP]:.3f}",
            "both <= 0.3",
            worst <= 0.3,
        ),
        Check(
            f"misspecified cubic, n = {JUDGED}: data-weighted mean of DEUP over the true mean",
            "0.414 against 0.397",
            round(mean[OURS] / mean[TRUE], 4),
            "within 25 % of 1",
            abs(mean[OURS] / mean[TRUE] - 1) <= 0.25,
        ),
        Check(
            f"misspecified cubic, n = {JUDGED}: true mean over the mean posterior variance",
            "0.397 against 0.0007",
            round(mean[TRUE] / mean[POSTERIOR], 1),
            ">= 10",
            mean[TRUE] / mean[POSTERIOR] >= 10,
        ),
        Check(
            "unseen spiky centre: seeds on which DEUP(x, d, v) ranks at least as well as the Gaussian process",
            "0.80 against 0.74 on average",
            f"{wins} of {len(spiky)}",
            f">= {needed} of {len(spiky)}",
            wins >= needed,
        ),
        Check(
            "optimisation: simple regret of DEUP-EI at step 40",
            "finds better optima",
            "not run",
            "<= that of GP-EI on average",
            False,
        ),
    )
    return Report(
        card,
        checks,
        controls,
        (
            *(
                Baseline(f"{name}, n = {JUDGED}: Spearman", round(rank[name], 4), Ledger(seconds=seconds[name]))
                for name in (OURS, POSTERIOR, BOOTSTRAP)
            ),
            Baseline("Gaussian process std, spiky centre: Spearman", round(float(np.mean(spiky, axis=0)[0]), 4)),
        ),
        seed=seed,
        scale=scale,
        ledger=Ledger(seconds=time.perf_counter() - start),
        tables={
            "misspecified cubic, means over seeds": [
                {
                    "n": n,
                    **{f"Spearman, {name}": round(float(np.mean(values)), 4) for name, values in ranks[n].items()},
                    **{f"mean, {name}": round(float(np.mean(values)), 5) for name, values in means[n].items()},
                }
                for n in sizes["counts"]
            ],
            "spiky centre: Spearman by seed": [
                {"seed": i, "GP std": round(a, 4), "DEUP(x, d, v)": round(b, 4), "DEUP(x)": round(c, 4)}
                for i, (a, b, c) in enumerate(spiky)
            ],
        },
        figures={
            "DEUP sees the error of a wrong model class where variances see none": draw(
                partial(_figure, grid=grid[:, 0], shown=shown, ranks=ranks), width=9.6, height=3.9
            )
        },
        notes=(
            "Test points are an even grid of 601 points on [-3, 3]; means are weighted by the density of the inputs. "
            "Excess risk is known because the truth is. DEUP fits mean losses (log=False) with a forest on (x, log "
            "posterior variance) in the first experiment (300 trees, leaves of five points), and logarithms with a "
            "Gaussian process in the second, which is judged by ranks alone. It fits the predictor eleven times and "
            "the bootstrap thirty times; the seconds of each stand in the baselines and were taken on a loaded "
            "machine. The details of the second experiment are ours: 100 points at 0.5 < |x| < 1.5, 36 points on "
            "[-1.5, 1.5] for errors, noise 0.05, centre sin(2 pi x) + sin(20 pi x). The published figure's function "
            "was not at hand, so its failed bar speaks of our function alone. Sequential optimisation, and with it "
            "the third bar, was not run; nor were the image experiments. After a first full run only the figure was "
            "changed: it shows every fourth point."
        ),
    )


def _truth(x: Any) -> Any:
    return np.sin(3 * x) + 0.4 * x + (x > 1)


def _drawn(n: int, seed: Seed, cubic: bool = False) -> tuple[Any, Any]:
    rng = seed.child("data").numpy()
    x = np.clip(rng.normal(0, WIDTH, n), -EDGE, EDGE)
    return x[:, None], (_cubic(x) if cubic else _truth(x)) + rng.normal(0, NOISE, n)


def _cubic(x: Any) -> Any:
    return 0.1 * x**3 - 0.5 * x


def _deup() -> DEUP:
    return DEUP(
        BayesianPolynomial(3, NOISE), features=(features.position(), features.model_variance()), aleatoric=NOISE**2
    )


def _misspecified(n: int, seed: Seed, grid: Any, members: int) -> tuple[dict[str, Any], Any, Any, dict[str, float]]:
    """Three uncertainties on the grid, the true excess risk, the fit, and the seconds each took."""
    x, y = _drawn(n, seed)
    taken = {}
    begun = time.perf_counter()
    cubic = BayesianPolynomial(3, NOISE).fit(x, y)
    mean, std = cubic.predict(grid, return_std=True)
    taken[POSTERIOR], begun = time.perf_counter() - begun, time.perf_counter()
    ensemble = features.model_variance("ensemble", members=members).fit(x, y, cubic, seed.child("ensemble"))
    bootstrap = np.exp(ensemble(grid))[:, 0]
    taken[BOOTSTRAP], begun = time.perf_counter() - begun, time.perf_counter()
    ours = _deup().fit(x, y, seed=seed).predict(grid).epistemic
    taken[OURS] = time.perf_counter() - begun
    true = (mean - _truth(grid[:, 0])) ** 2
    return {POSTERIOR: std**2, BOOTSTRAP: bootstrap, OURS: ours}, true, mean, taken


def _spiky(seed: Seed) -> tuple[float, float, float]:
    """Spearman of a Gaussian process's std and of two DEUPs, where the centre was never seen by the process."""
    rng = seed.child("data").numpy()
    flank = rng.uniform(0.5, 1.5, 100) * rng.choice([-1.0, 1.0], 100)
    extra, grid = rng.uniform(-1.5, 1.5, 36), np.linspace(-1.5, 1.5, 601)
    values = [_wave(x) + rng.normal(0, 0.05, len(x)) for x in (flank, extra)]
    process = features.gaussian_process(seed.child("process"))
    scores = []
    for letters in ("xdv", "x"):
        deup = DEUP(process, "gp", letters, aleatoric=0.05**2, log=True)
        deup.fit(flank[:, None], values[0], extra[:, None], values[1], seed=seed)
        found = deup.predict(grid[:, None])
        true = (found.mean - _wave(grid)) ** 2
        scores.append(evaluate(found.epistemic, true).spearman)
    std = deup.predictor_.predict(grid[:, None], return_std=True)[1]
    return evaluate(std, true).spearman, scores[0], scores[1]


def _wave(x: Any) -> Any:
    return np.sin(2 * np.pi * x) + np.where(np.abs(x) < 0.5, np.sin(20 * np.pi * x), 0.0)


def _controls(root: Seed, sizes: dict[str, Any], grid: Any, density: Any) -> tuple[Control, ...]:
    """Errors dealt to the wrong points, and a cubic whose truth is cubic: there must be nothing to find."""
    shuffled, right = [], []
    for i in range(sizes["seeds"]):
        seed = root.child("control", i)
        x, y = _drawn(JUDGED, seed)
        fitted = BayesianPolynomial(3, NOISE).fit(x, y)
        others, truth = _drawn(JUDGED, seed.child("out"))
        residuals = truth - fitted.predict(others)
        dealt = fitted.predict(others) + seed.child("dealt").numpy().permutation(residuals)
        found = _deup().fit(x, y, others, dealt, seed=seed).predict(grid)
        shuffled.append(evaluate(found.epistemic, (found.mean - _truth(grid[:, 0])) ** 2).spearman)
        x, y = _drawn(JUDGED, seed.child("cubic"), cubic=True)
        right.append(density @ _deup().fit(x, y, seed=seed).predict(grid).epistemic / density.sum())
    rank, mean = float(np.mean(shuffled)), float(np.mean(right))
    return (
        Control("errors dealt to other points: Spearman of DEUP", round(rank, 4), "|rank| <= 0.3", abs(rank) <= 0.3),
        Control(
            "truth is a cubic: data-weighted mean of DEUP",
            round(mean, 4),
            "<= 0.04, a tenth of the misspecified mean",
            mean <= 0.04,
        ),
    )


def _figure(figure: Figure, grid: Any, shown: dict[str, Any], ranks: dict[int, dict[str, list[float]]]) -> None:
    names = (OURS, POSTERIOR, BOOTSTRAP)
    left, middle, right = figure.subplots(1, 3, width_ratios=(1.25, 1.0, 1.0))
    left.plot(grid, _truth(grid), color="black", linewidth=1.2)
    left.plot(grid, shown["fit"], color="grey", linewidth=1.2)
    for k, name in enumerate(names):
        half = np.sqrt(shown[name])
        left.fill_between(grid, shown["fit"] - half, shown["fit"] + half, color=f"C{k}", alpha=0.35 if k else 0.25)
        left.text(0.03, 0.96 - 0.08 * k, name, color=f"C{k}", fontsize=8, va="top", transform=left.transAxes)
    left.text(0.03, 0.72, "truth", color="black", fontsize=8, va="top", transform=left.transAxes)
    left.text(0.03, 0.64, "cubic fit", color="grey", fontsize=8, va="top", transform=left.transAxes)
    left.set_xlabel("x")
    left.set_ylim(-4.2, 5.2)
    left.set_title("Fit $\\pm$ root of uncertainty", fontsize=10)
    for k, name in enumerate(names):
        thinned = slice(None, None, 4)
        middle.plot(shown["true"][thinned], np.maximum(shown[name][thinned], 1e-6), ".", color=f"C{k}", markersize=3)
    middle.plot([1e-5, 10], [1e-5, 10], color="black", linewidth=0.8, linestyle=":")
    middle.set_xscale("log")
    middle.set_yscale("log")
    middle.set_xlim(1e-5, 10)
    middle.set_ylim(1e-5, 10)
    middle.set_xlabel("true excess risk")
    middle.set_title(f"Predicted, n = {JUDGED}", fontsize=10)
    counts = list(ranks)
    for k, name in enumerate(names):
        values = [np.array(ranks[n][name]) for n in counts]
        centre = [value.mean() for value in values]
        error = [1.96 * value.std() / np.sqrt(len(value)) for value in values]
        right.errorbar(counts, centre, yerr=error, fmt="none", ecolor=f"C{k}")
        right.plot(counts, centre, marker="o", color=f"C{k}", markersize=4)
        label_line(right, name.split(" ")[0])
    right.set_xscale("log")
    right.set_xlim(counts[0] * 0.8, counts[-1] * 6)
    right.set_xticks(counts, [str(n) for n in counts])
    right.minorticks_off()
    right.set_ylim(-0.5, 1)
    right.axhline(0, color="grey", linewidth=0.8, linestyle=":")
    right.set_xlabel("training points n")
    right.set_title("Spearman with true excess", fontsize=10)
    title = "DEUP sees the error of a wrong model class where variances see none (bars: 95 % of the mean)"
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
