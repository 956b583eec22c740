"""Tewari et al. (2023): diffusion over signals that are seen only through a forward model. arXiv:2306.11719."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from educe.core import Baseline, Card, Check, Control, Ledger, Report, Scale, Seed
from educe.papers import _forward_diffusion_worlds as worlds
from educe.papers.figure import draw
from educe.prob import (
    DeterministicInverse,
    ForwardDiffusion,
    SignalDiffusion,
    ViewDenoiser,
    posterior_reference,
    radon,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

card = Card(
    slug="forward-diffusion",
    title="Diffusion with Forward Models: Solving Stochastic Inverse Problems Without Direct Supervision",
    authors=(
        "A. Tewari",
        "T. Yin",
        "G. Cazenavette",
        "S. Rezchikov",
        "J. B. Tenenbaum",
        "F. Durand",
        "W. T. Freeman",
        "V. Sitzmann",
    ),
    year=2023,
    arxiv="2306.11719",
    venue="NeurIPS 2023",
    summary=(
        "The denoiser proposes a whole signal, the known and differentiable measurement process turns it into an "
        "observation, and only that observation is compared with data, at the noisy view and at a new one. "
        "Pick it when the true signals of an inverse problem cannot be collected but the measurement process is "
        "known."
    ),
    claim="Training on observations alone is enough to sample complete signals that agree with a given observation.",
    api=(
        "educe.prob.ForwardDiffusion",
        "educe.prob.DeterministicInverse",
        "educe.prob.SignalDiffusion",
        "educe.prob.posterior_reference",
        "educe.prob.radon",
        "educe.prob.ViewDenoiser",
    ),
    topics=("diffusion", "vision", "scientific computing"),
    room="prob",
)

SIZES: dict[Scale, dict[str, int]] = {
    Scale.SMOKE: {"seeds": 1, "steps": 6, "chain": 3, "train": 300, "test": 40, "samples": 10, "width": 16},
    Scale.SMALL: {"seeds": 3, "steps": 3000, "chain": 50, "train": 20_000, "test": 400, "samples": 100, "width": 192},
    Scale.FULL: {"seeds": 3, "steps": 3000, "chain": 50, "train": 50_000, "test": 600, "samples": 200, "width": 192},
}
OURS, MEAN, ORACLE = "forward diffusion", "deterministic", "diffusion on signals"
SHARP, TARGET_ONLY = "forward diffusion, sharp detector", "forward diffusion, target loss alone"
NINETY, BINS, PIXELS = "unseen view, 90 degrees", 10, 100


def run(scale: Scale = Scale.SMALL, seed: int = 0, lm: Any = None, tasks: Any = None) -> Report:
    """Sample pictures of two blobs from one projection, having been trained on projections alone.

    Parameters
    ----------
    scale : Scale
        Seeds, training steps and samples.
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
    found: dict[str, list[dict[str, float]]] = {}
    shown: dict[str, Any] = {}
    for i in range(sizes["seeds"]):
        for name, values in _one_seed(root.child(i), sizes, shown).items():
            found.setdefault(name, []).append(values)
    variation, guess = _discrete(root.child("discrete"), sizes)
    mean = {name: {key: float(np.mean([v[key] for v in runs])) for key in runs[0]} for name, runs in found.items()}
    ours, theirs, oracle, sharp = mean[OURS], mean[MEAN], mean[ORACLE], mean[SHARP]
    spread = ours["sd of depth"] / oracle["sd of depth"]
    at_seeds = f"mean of {sizes['seeds']} seeds"
    checks = (
        _at_most("distance at 90 degrees over the deterministic one's", "0.12", ours[NINETY] / theirs[NINETY], 0.25),
        _at_most("distance at 90 degrees over the oracle's", "2.0", ours[NINETY] / oracle[NINETY], 4.0),
        Check("sd of depth over the oracle's", "1.14", round(spread, 3), "within 35 % of 1", abs(spread - 1) <= 0.35),
        _at_most("sd of depth, deterministic", "0.000", theirs["sd of depth"], 0.01),
        _at_most("context error", "0.11", ours["context error"], 0.15),
        _at_most(
            "blurred signals: distance over the deterministic one's",
            "0.29",
            ours["blurred signals"] / theirs["blurred signals"],
            0.4,
        ),
        _at_most("raw signals: sharp detector over blurry one", "0.25", sharp["signals"] / ours["signals"], 0.35),
        _at_most("two blobs on a lattice: total variation from the exact posterior", "not given", variation, 0.15),
    )
    floor = mean["two sets of true scenes"][NINETY]
    alone = mean[TARGET_ONLY]["45 degrees"] / ours["45 degrees"]
    controls = (
        Control("two sets of true scenes: distance at 90 degrees over ours", round(floor / ours[NINETY], 4), "< 1",
                floor < ours[NINETY]),
        Control("trained on the target view alone: distance at 45 degrees over ours", round(alone, 3),
                "> 1: the new view matters", alone > 1),
        Control("contexts dealt to other scenes: context error over ours",
                round(mean["contexts dealt to other scenes"]["context error"] / ours["context error"], 3),
                "> 2: samples do follow their context",
                mean["contexts dealt to other scenes"]["context error"] > 2 * ours["context error"]),
        Control("lattice: total variation of equal weights for all scenes", round(guess, 4), "> 0.5", guess > 0.5),
    )  # fmt: skip
    return Report(
        card,
        checks,
        controls,
        tuple(
            Baseline(f"{name}: distance at 90 degrees, {at_seeds}", round(mean[name][NINETY], 5),
                     Ledger(seconds=mean[name]["seconds"]))
            for name in (OURS, MEAN, ORACLE)
        ),
        seed=seed,
        scale=scale,
        ledger=Ledger(seconds=time.perf_counter() - start),
        tables={
            f"{at_seeds}; energy distances": [
                {"method": name, **{key: round(value, 5) for key, value in values.items()}}
                for name, values in mean.items()
            ]
        },
        figures={
            "Trained on projections alone, the samples keep the depths that one projection leaves open": draw(
                partial(_figure, shown=shown), width=9.6, height=3.6
            )
        },
        notes=(
            "All methods have the same network, steps and batches; the deterministic one has the same views and "
            "losses. Target 90 degrees; the new view is drawn from all angles. The context error is the relative "
            "Euclidean error of the sample's projection. The sd of depth is taken over samples for one context, and "
            "averaged over six contexts. Energy distances count all pairs, so that two sets of true scenes are above "
            "zero. Training draws rows with replacement from a fixed set. Lattice scenes are read by the nearest "
            "known scene after a blur, of samples for one context with noise 0.05 in the exact posterior; the lattice "
            "with a single blob was not run. Small scale has the three seeds and 3,000 steps that the bars were set "
            "for, with 20,000 scenes to train on instead of 50,000 and 400 to test on instead of 600. A first run, cut "
            "to one seed and 1,200 steps after a trial of 600 steps on another seed, passed and failed the same bars "
            "(lattice: 0.748); then the cut was taken back."
        ),
    )  # fmt: skip


def _at_most(name: str, claimed: str, measured: float, bar: float) -> Check:
    return Check(name, claimed, round(measured, 4), f"<= {bar}", measured <= bar)


def _network(seed: Seed, noisy: int, width: int, bins: int = BINS) -> ViewDenoiser:
    # Initial weights come from torch's global generator; fork it, so that a run leaves no trace there.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed.bits())
        return ViewDenoiser(bins, noisy, PIXELS, width)


def _one_seed(seed: Seed, sizes: dict[str, int], shown: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Train each method once, and judge one sample for each test context."""
    blurry, sharp = radon(worlds.SIZE, BINS, 0.13), radon(worlds.SIZE, 14, 0.06)
    known, true = (worlds.scenes(sizes[part], seed.child(part)) for part in ("train", "test"))
    steps, width, chain = sizes["steps"], sizes["width"], sizes["chain"]
    methods: dict[str, tuple[Any, Callable[..., Any]]] = {
        OURS: (ForwardDiffusion(blurry, _network(seed, BINS, width), chain), blurry),
        MEAN: (DeterministicInverse(blurry, _network(seed, BINS, width)), blurry),
        ORACLE: (SignalDiffusion(_network(seed, PIXELS, width), PIXELS, chain), blurry),
        TARGET_ONLY: (ForwardDiffusion(blurry, _network(seed, BINS, width), chain, losses=("target",)), blurry),
        SHARP: (ForwardDiffusion(sharp, _network(seed, 14, width, 14), chain), sharp),
    }
    found: dict[str, dict[str, float]] = {}
    for name, (model, project) in methods.items():
        begun = time.perf_counter()
        views = worlds.observed(known, project, seed.child("train"))
        data = (known, views) if name == ORACLE else (views,)
        model.fit(*data, steps, seed=seed.child("fit"))
        seconds = time.perf_counter() - begun
        test = worlds.observed(true, project, seed.child("test"))
        drawn = model.draw(test.o_ctx, test.phi_ctx, test.phi_trg, seed=seed.child("draw"))
        depths = []
        for k in range(6):
            posterior = model.sample(test.o_ctx[k], 0.0, worlds.QUARTER, sizes["samples"], seed=seed.child("one", k))
            depths.append(worlds.depth(posterior.values["signal"]))
            if k == 0 and name in (OURS, MEAN, ORACLE):
                shown.setdefault(name, posterior.values["signal"])
        found[name] = {
            **worlds.scores(drawn, true, test, project),
            "sd of depth": float(torch.stack([d.std() for d in depths]).mean()),
            "seconds": seconds,
        }
        if name == OURS:
            dealt = test._replace(o_ctx=test.o_ctx.roll(1, 0))
            found["contexts dealt to other scenes"] = worlds.scores(drawn, true, dealt, project)
    shown.setdefault("true", true[0])
    shown.setdefault("context", blurry(true[:1], torch.zeros(1))[0])
    again = worlds.scenes(sizes["test"], seed.child("again"))
    found["two sets of true scenes"] = worlds.scores(again, true, worlds.observed(true, blurry, seed), blurry)
    return found


def _discrete(seed: Seed, sizes: dict[str, int]) -> tuple[float, float]:
    """Total variation of samples, and of equal weights, from the exact posterior over lattice scenes."""
    known = worlds.lattice()
    project = radon(worlds.SIZE, BINS, 0.13)
    views = worlds.observed(known, project, seed)
    model = ForwardDiffusion(project, _network(seed, BINS, sizes["width"]), sizes["chain"])
    model.fit(views, sizes["steps"], seed=seed)
    chosen = int(seed.child("scene").numpy().integers(len(known)))
    exact = posterior_reference(range(len(known)), views.o_ctx, views.o_ctx[chosen], 0.05).probabilities
    drawn = model.sample(views.o_ctx[chosen], 0.0, worlds.QUARTER, 10 * sizes["samples"], seed=seed).values
    assert isinstance(drawn, dict)
    even = float((exact - 1 / len(known)).abs().sum() / 2)
    return worlds.total_variation(drawn["signal"], known, exact), even


def _figure(figure: Figure, shown: dict[str, Any]) -> None:
    side = worlds.SIZE
    grid = figure.add_gridspec(2, 6, width_ratios=(1, 1, 1, 1, 0.35, 2.4))
    pictures = [("truth", shown["true"]), ("deterministic", shown[MEAN][0])]
    pictures += [(f"sample {k + 1}", shown[OURS][k]) for k in range(6)]
    for k, (name, picture) in enumerate(pictures):
        axes = figure.add_subplot(grid[k // 4, k % 4])
        axes.imshow(np.asarray(picture).reshape(side, side), origin="lower", cmap="viridis", vmin=0)
        axes.set_title(name, fontsize=9)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.grid(visible=False)
    right = figure.add_subplot(grid[:, 5])
    bins = np.linspace(-0.8, 0.8, 25)
    for k, name in enumerate((OURS, ORACLE)):
        values = np.asarray(worlds.depth(shown[name]))
        share, _ = np.histogram(values, bins)
        error = np.sqrt(share) / len(values)
        centre = (bins[1:] + bins[:-1]) / 2 + 0.008 * k
        right.errorbar(centre, share / len(values), yerr=error, color=f"C{k}", linewidth=1.5)
        right.text(0.03, 0.97 - 0.07 * k, name, color=f"C{k}", fontsize=8, va="top", transform=right.transAxes)
    right.axvline(float(worlds.depth(shown[MEAN]).mean()), color="C2")
    right.text(0.03, 0.83, "deterministic", color="C2", fontsize=8, va="top", transform=right.transAxes)
    right.axvline(float(worlds.depth(shown["true"][None])[0]), color="black", linestyle=":")
    right.text(0.03, 0.76, "truth", color="black", fontsize=8, va="top", transform=right.transAxes)
    right.set_ylim(0, right.get_ylim()[1] * 1.35)
    right.set_xlabel("mean depth (y)")
    right.set_title("Share of samples, one context", fontsize=10)
    title = "Trained on projections alone, samples keep the depths that one projection leaves open (bars: 1 sd)"
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
