"""Brown et al. (2024): measure and forecast how coverage grows with repeated samples. arXiv:2407.21787.

Part A fits the paper's law to curves that are known exactly. Part B trains two small decoders on chain sums, stops them
early, draws a thousand answers to each held-out problem and asks how much of the coverage a selector can realise. The
answer to a problem is the whole list of running sums, so that no right one is hit by chance.
"""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from educe.core import Baseline, Card, Check, Control, Ledger, Report, Scale, Seed
from educe.lm import ModelSize, flops, model_size
from educe.papers._language_monkeys_figure import plot
from educe.papers._problems import checker_of, questions_of
from educe.papers._small_reasoner import bank_of, chains, sampled, trained
from educe.papers.figure import draw
from educe.reason import CoverageLaw, SampleBank, align_curves, coverage, fit_coverage, select
from educe.tasks import make

card = Card(
    slug="language-monkeys",
    title="Large Language Monkeys: Scaling Inference Compute with Repeated Sampling",
    authors=(
        "Bradley Brown",
        "Jordan Juravsky",
        "Ryan Ehrlich",
        "Ronald Clark",
        "Quoc V. Le",
        "Christopher Ré",
        "Azalia Mirhoseini",
    ),
    year=2024,
    arxiv="2407.21787",
    venue=None,
    summary=(
        "Many independent samples are drawn per problem, the share of problems solved by at least one of them is "
        "estimated without bias, and an exponentiated power law in the number of samples is fitted to it. "
        "Pick it to forecast how many samples a verifier needs before one is right, and to see how little of that a "
        "selector without a verifier realises."
    ),
    claim=(
        "On SWE-bench Lite, DeepSeek-Coder-V2-Instruct rises from 15.9 % with one sample to 56 % with 250, above the "
        "43 % of the best single attempt."
    ),
    api=(
        "educe.reason.RepeatedSampling",
        "educe.reason.pass_at_k",
        "educe.reason.coverage",
        "educe.reason.fit_coverage",
        "educe.reason.align_curves",
        "educe.reason.select",
        "educe.lm.flops",
    ),
    topics=("test-time compute", "verification", "evaluation"),
    room="reason",
)

MODULUS = 13
STEPS = range(2, 9)
TRAINING_STEPS = range(1, 9)
LARGE, SMALL = (2, 96), (2, 48)
SIZES: dict[Scale, dict[str, Any]] = {
    Scale.SMOKE: {"updates": 4, "problems": 6, "samples": 60, "subsets": 5, "replicates": 10, "longest": range(1, 3)},
    Scale.SMALL: {
        "updates": 300, "problems": 128, "samples": 1000, "subsets": 100, "replicates": 200, "longest": STEPS,
    },
    Scale.FULL: {
        "updates": 300, "problems": 128, "samples": 10_000, "subsets": 100, "replicates": 500, "longest": STEPS,
    },
}  # fmt: skip
HEAVY = ((0.15, 1.0), (0.2, 2.0), (0.3, 3.0), (0.5, 5.0))
EVEN = (0.02, 0.002)
GRID = np.unique(np.geomspace(1, 10_000, 40).round().astype(int))
Floats = npt.NDArray[np.float64]


def run(scale: Scale = Scale.SMALL, seed: int = 0, lm: Any = None, tasks: Any = None) -> Report:
    """Fit laws of coverage and compare selectors with the oracle.

    Parameters
    ----------
    scale : Scale
        Sizes of part B.
    seed : int
        Root of all draws.
    lm : LanguageModel, optional
        A model to sample in part B instead of the larger decoder; it gets no smaller rival then.
    tasks : sequence of Problem, optional
        Problems for that model; held-out chain arithmetic when left out.

    Returns
    -------
    Report
    """
    start = time.perf_counter()
    sizes, root = SIZES[scale], Seed.of(seed).child(card.slug)
    exact = _exact_fits()
    worst_heavy, best_even = max(exact[pair] for pair in HEAVY), min(exact[p] for p in EVEN)

    bank, size, rival = _banks(sizes, root, lm, tasks)
    samples = min(len(row) for row in bank.rows)
    ks = np.unique(np.geomspace(1, samples, 40).round().astype(int))
    curve = coverage(bank, ks, replicates=sizes["replicates"], seed=root.child("bootstrap"))
    law = fit_coverage(curve)
    misfit = float(np.abs(law.predict(ks) - curve.mean).mean())
    forecasts = _forecasts(bank, samples)
    few = max(1, samples // 10)
    points = sorted({*(k for k in (1, 3, 10, 30, 100, 300, 1000) if k <= samples), few, samples})
    rewarded = bank.with_scores("reward", _rewards(bank, root.child("reward")))
    selectors = {
        how: select(rewarded, how, points, repeats=sizes["subsets"], seed=root.child("subsets")).mean
        for how in ("majority", "best", "weighted")
    }
    at = [points.index(few), points.index(samples)]
    gain = float(np.diff(coverage(bank, [few, samples], replicates=0).mean)[0])
    best = max(selectors, key=lambda how: float(selectors[how][at[1]]))
    selected = float(selectors[best][at[1]] - selectors[best][at[0]])
    cheaper, budgets = _cheaper(bank, size, rival)

    mixed = _mixed(bank, root.child("mix"))
    pooled = float(bank.rates.mean())
    even = 1 - (1 - pooled) ** few
    spread = float(coverage(mixed, [few], replicates=0).mean[0])
    blind = bank.with_scores("reward", _rewards(bank, root.child("reward"), worth=0.0, shared=0.0))
    blind_best = float(select(blind, "best", samples, repeats=sizes["subsets"], seed=root.child("subsets")).mean[0])
    # A subset of all samples is one and the same whatever the repeat: the spread is that of one sample per problem.
    noise = float(np.sqrt(np.mean(bank.rates * (1 - bank.rates)) / len(bank)))
    shown = ", ".join(f"{k}: {c:.3f}" for k, c in zip(points, coverage(bank, points, replicates=0).mean, strict=True))

    checks = (
        Check(
            f"the law exp(a k^b) on {len(ks)} points of {len(bank)} problems: mean absolute error",
            "coverage follows it over four orders of magnitude",
            misfit,
            "<= 0.035",
            misfit <= 0.035,
        ),
        Check(
            f"rise of coverage from {few} to {samples} samples ({shown})",
            "82.9 % at 100 to 98.4 % at 10,000 (Llama-3-8B on MATH)",
            gain,
            ">= 0.15 from 100 to 1,000",
            gain >= 0.15 and samples >= 1000,
        ),
        Check(
            f"rise of the best selector without the truth ({best}) from {few} to {samples}",
            "40.5 % to 41.4 %",
            selected,
            "<= 0.03 from 100 to 1,000",
            selected <= 0.03 and samples >= 1000,
        ),
        Check(
            "exact mixtures, k = 1 to 10,000: largest misfit of the heavy-tailed ones against the even ones",
            "not in the paper",
            f"{worst_heavy:.3f} against {best_even:.3f}",
            "at least 2 times smaller",
            2 * worst_heavy <= best_even,
        ),
        Check(
            "budgets of equal operations at which the smaller decoder covers more, though it is right less often",
            "Llama-3-8B passes 70B on GSM8K, MATH and MiniF2F",
            cheaper,
            "at least one, else not shown",
            any(row["smaller"] > row["larger"] for row in budgets)
            and rival is not None
            and float(rival[0].rates.mean()) < pooled,
        ),
    )
    controls = (
        Control(
            f"verdicts mixed among all problems: coverage at {few} against even rates",
            f"{spread:.3f} against {even:.3f}",
            "equal within 0.02: without hard problems there is no slow tail",
            abs(spread - even) <= 0.02,
        ),
        Control(
            f"best of {samples} by a reward that knows nothing against one sample",
            f"{blind_best:.4f} against {pooled:.4f}",
            "equal within 4 standard errors",
            abs(blind_best - pooled) <= 4 * noise,
        ),
    )
    cost = _cost(bank, size)
    figure = draw(
        partial(
            plot, curve=curve, law=law, points=points, selectors=selectors, rates=bank.rates, exact=_exact_curves()
        ),
        width=9.6,
        height=4.2,
    )
    notes = (
        f"Part B's decoder has {size.parameters:,} weights that count and was stopped after {sizes['updates']} "
        f"updates; its samples are drawn at temperature 1, not 0.6, {samples} per problem where 2,000 were planned. "
        "The reward is simulated: 1 for a right answer, plus noise of deviation 1 that all equal answers to a problem "
        "share and of 0.5 that is a sample's own; its weighted vote sums the logistic of it. Equal answers share noise "
        "because a reward model errs alike on alike texts; fresh noise on each sample would be averaged away. "
        f"Coverage at {samples} foretold from the first {few} samples alone: "
        + ", ".join(f"{name} {value:.3f}" for name, value in forecasts.items())
        + f"; measured {curve.mean[-1]:.3f}. The panel on SmolLM2-135M, which carries no bar, was not run: 30 problems "
        "with 64 samples take the better part of an hour on this machine."
    )
    if rival is not None:
        notes += (
            f" The smaller decoder had the same {sizes['updates']} updates and is right on {rival[0].rates.mean():.3f} "
            "of its samples: a pair further apart than the paper's, on which cheaper samples cannot make up for it."
        )
        levels = {"larger": curve, "smaller": coverage(rival[0], ks, replicates=0)}
        try:
            notes += f" Shifted along log k the two curves lie within {align_curves(levels).spread:.3f} of each other."
        except ValueError:
            notes += " The two curves have no coverage in common and cannot be aligned."
    return Report(
        card,
        checks,
        controls,
        (
            Baseline("one sample", pooled, cost(1)),
            *(Baseline(f"{how}, {k} samples", float(values[points.index(k)]), cost(k))
              for how, values in selectors.items() for k in (few, samples)),
            Baseline(f"oracle (coverage), {samples} samples", float(curve.mean[-1]), cost(samples)),
        ),
        seed=seed,
        scale=scale,
        ledger=cost(samples) + Ledger(seconds=time.perf_counter() - start),
        tables={
            "coverage and selection": [
                {"samples": k, "coverage": float(c), **{how: float(v[i]) for how, v in selectors.items()}}
                for i, (k, c) in enumerate(zip(points, coverage(bank, points, replicates=0).mean, strict=True))
            ],
            "largest misfit of exp(a k^b) to exact curves": [
                {"rates": f"Beta{key}" if isinstance(key, tuple) else f"all {key}", "misfit": value}
                for key, value in exact.items()
            ],
            "equal operations": budgets,
        },
        figures={"Coverage climbs on where selectors have all but stopped": figure},
        notes=notes,
    )  # fmt: skip


def _exact_curves() -> dict[Any, Floats]:
    curves = {pair: CoverageLaw("beta_binomial", pair).predict(GRID) for pair in HEAVY}
    return {**curves, **{p: 1 - (1 - p) ** GRID.astype(float) for p in EVEN}}


def _exact_fits() -> dict[Any, float]:
    return {
        key: float(np.abs(fit_coverage(GRID, values).predict(GRID) - values).max())
        for key, values in _exact_curves().items()
    }


def _banks(
    sizes: dict[str, Any], root: Seed, lm: Any, tasks: Any
) -> tuple[SampleBank, ModelSize, tuple[SampleBank, ModelSize] | None]:
    """The bank of part B with the size of its model, and those of a smaller rival where there is one."""
    if lm is not None:
        problems = list(tasks) if tasks else make("chain_arithmetic", sizes["problems"], "test", root.child("tasks"))
        bank = SampleBank.draw_sync(
            lm, questions_of(problems), sizes["samples"], checker=checker_of(problems), keep_texts=False,
            seed=root.child("samples"),
        )  # fmt: skip
        return bank, model_size(lm), None
    asked = chains(MODULUS, sizes["problems"], sizes["longest"], root.child("problems"), "test")
    found = []
    for config in (LARGE, SMALL):
        decoder = trained(MODULUS, TRAINING_STEPS, config, sizes["updates"], root.child("training"))
        drawn = sampled(decoder, asked, sizes["samples"], MODULUS, root.child("samples", *config))
        parameters = decoder.describe()["parameters"]
        found.append((bank_of(asked, drawn, MODULUS, whole=True), ModelSize(parameters, *config)))
    return (*found[0], found[1])


def _rewards(bank: SampleBank, seed: Seed, worth: float = 1.0, shared: float = 1.0) -> list[Floats]:
    """Simulated rewards in (0, 1): worth of being right, noise of the answer, noise of the sample."""
    scores = []
    for index, row in enumerate(bank.rows):
        rng = seed.child(index).numpy()
        common = (
            np.append(rng.normal(0, shared, size=len(row.classes)), 0.0) if shared else np.zeros(len(row.classes) + 1)
        )
        raw = worth * row.verdicts + common[row.answers] + rng.normal(0, 0.5, size=len(row))
        scores.append(1 / (1 + np.exp(-raw)))
    return scores


def _mixed(bank: SampleBank, seed: Seed) -> SampleBank:
    """Deal all verdicts out to the problems anew."""
    lengths = [len(row) for row in bank.rows]
    verdicts = seed.numpy().permutation(np.concatenate([row.verdicts for row in bank.rows]))
    parts = np.split(verdicts, np.cumsum(lengths)[:-1])
    return replace(bank, rows=tuple(replace(row, verdicts=part) for row, part in zip(bank.rows, parts, strict=True)))


def _forecasts(bank: SampleBank, samples: int) -> dict[str, float]:
    """Coverage at all samples, foretold from the first tenth of them."""
    few = max(2, samples // 10)
    first = SampleBank(bank.questions, tuple(row.take(np.arange(few)) for row in bank.rows))
    early = coverage(first, np.unique(np.geomspace(1, few, 20).round().astype(int)), replicates=0)
    return {name: float(law.predict(samples)) for name, law in fit_coverage(early, law="both").items()}


def _operations(bank: SampleBank, size: ModelSize, k: int) -> float:
    """Operations of k samples of every problem."""
    generated = round(float(np.mean([row.tokens.mean() for row in bank.rows])))
    prompt = round(float(np.mean([len(question.text.split()) // 2 + 2 for question in bank.questions])))
    return flops(size, prompt, generated, samples=k) * len(bank)


def _cheaper(bank: SampleBank, size: ModelSize, rival: Any) -> tuple[str, list[dict[str, float]]]:
    """Coverage of both models at budgets of equal operations."""
    if rival is None:
        return "there is one model alone", []
    other, other_size = rival
    most = min(len(row) for row in other.rows)
    rows = []
    for k in (1, 2, 5, 10, 20, 50, 100, 200):
        many = round(k * _operations(bank, size, k) / max(_operations(other, other_size, k), 1.0))
        if k <= min(len(row) for row in bank.rows) and many <= most:
            larger = float(coverage(bank, [k], replicates=0).mean[0])
            smaller = float(coverage(other, [many], replicates=0).mean[0])
            rows.append({"larger samples": k, "smaller samples": many, "larger": larger, "smaller": smaller})
    wins = [f"{row['larger samples']:.0f}" for row in rows if row["smaller"] > row["larger"]]
    accuracy = f"pass@1 {other.rates.mean():.3f} against {bank.rates.mean():.3f}"
    return (f"at {', '.join(wins)} samples of the larger; {accuracy}" if wins else f"none; {accuracy}"), rows


def _cost(bank: SampleBank, size: ModelSize) -> Any:
    tokens = float(np.mean([row.tokens.mean() for row in bank.rows]))
    return lambda k: Ledger(
        samples=k * len(bank), sampled_tokens=round(k * len(bank) * tokens), flops=_operations(bank, size, k)
    )
