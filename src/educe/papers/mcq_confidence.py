"""Fu et al. (2025): reasoning makes a model surer of its choice, also of a wrong one. arXiv:2501.09775.

The same held-out multiple-choice problems are asked at once and after reasoning, by a model trained on both forms. Two
foreign texts stand in for the model's own reasoning: that of another problem, and a filler of the same length.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from educe.core import Baseline, Card, Check, Control, Ledger, Report, Scale, Seed
from educe.lm import Session, load
from educe.papers.figure import draw
from educe.tasks import make
from educe.uncertainty import (
    MultipleChoice,
    OptionPosterior,
    PairedReport,
    option_confidence_sync,
    paired_report,
    reliability,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

card = Card(
    slug="mcq-confidence",
    title=(
        "Multiple Choice Questions: Reasoning Makes Large Language Models (LLMs) More Self-Confident Even When They "
        "Are Wrong"
    ),
    authors=("Tairan Fu", "Javier Conde", "Gonzalo Martínez", "María Grandury", "Pedro Reviriego"),
    year=2025,
    arxiv="2501.09775",
    venue="IEEE Intelligent Systems",
    summary=(
        "The same multiple-choice questions are asked once directly and once with reasoning first, and the "
        "probabilities of the answer letters are compared over all, right and wrong choices. "
        "Pick it to decide whether the probabilities of answer tokens may serve as confidence under a given prompt."
    ),
    claim=(
        "Reasoning raises the mean probability of the chosen option in all seven models and more for wrong choices "
        "than for right ones, as from 58.3 % to 91.5 % on the wrong answers of Llama-3.1-8B."
    ),
    api=(
        "educe.uncertainty.option_confidence",
        "educe.uncertainty.compare_modes",
        "educe.uncertainty.paired_report",
        "educe.uncertainty.reliability",
    ),
    topics=("calibration", "uncertainty", "reasoning"),
    room="uncertainty",
)

SIZES: dict[Scale, dict[str, int]] = {
    Scale.SMOKE: {"questions": 6, "reasonings": 2},
    Scale.SMALL: {"questions": 300, "reasonings": 8},
    Scale.FULL: {"questions": 600, "reasonings": 64},
}
AT_ONCE = "Answer at once."
SPELLINGS = (" {upper}",)
Results = dict[str, dict[str, OptionPosterior]]


def run(scale: Scale = Scale.SMALL, seed: int = 0, lm: Any = None, tasks: Any = None) -> Report:
    """Compare the confidence of answering at once with that after reasoning.

    Parameters
    ----------
    scale : Scale
        Numbers of questions and of reasonings.
    seed : int
        Root of all draws.
    lm : LanguageModel, optional
        A model that scores given text; abacus when left out.
    tasks : sequence of Problem, optional
        Multiple-choice problems; held-out chains of sums when left out.

    Returns
    -------
    Report
    """
    start = time.perf_counter()
    sizes, root = SIZES[scale], Seed.of(seed).child(card.slug)
    model = load("abacus") if lm is None else lm
    items = list(tasks) if tasks else make("multiple_choice", sizes["questions"], "test", root.child("items"))
    results, ledger = _read_all(model, items, sizes["reasonings"], root)
    report = paired_report(items, results, seed=root.child("bootstrap"))
    cot, marginal = report.rises["direct", "cot"], report.modes["marginal"].confidence
    own = cot["all"].value
    foreign = {name: report.rises["direct", name]["all"] for name in ("shuffled", "filler")}
    counts = report.counts["direct", "cot"]

    order = root.child("labels").numpy().permutation(len(items))
    mislabelled = [
        MultipleChoice(item.text, tuple(item.choices), items[place].answer, item.id)
        for item, place in zip(items, order, strict=True)
    ]
    blind = paired_report(mislabelled, results, seed=root.child("bootstrap")).rises["direct", "cot"]
    noise = blind["wrong minus right"]

    checks = (
        *(
            Check(
                f"rise of confidence from direct to reasoned: {group}"
                + (f" ({counts['both wrong']} questions)" if group == "both wrong" else ""),
                claimed,
                _shown(cot[group]),
                "95 % interval above 0",
                cot[group].low > 0,
            )
            for group, claimed in (
                ("all", "72.4 to 95.7 % (Llama-3.1-8B)"),
                ("right", "81.2 to 97.8 %"),
                ("both wrong", "60.4 to 91.4 %"),
            )
        ),
        Check(
            "rise on wrong answers minus rise on right ones",
            "33.2 against 16.6 points",
            _shown(cot["wrong minus right"]),
            "> 0",
            cot["wrong minus right"].value > 0,
        ),
        Check(
            "rise after another problem's reasoning, against the model's own",
            "not in the paper",
            f"{foreign['shuffled'].value:+.3f} against {own:+.3f}",
            "smaller",
            foreign["shuffled"].value < own,
        ),
        Check(
            f"confidence of the mean over {sizes['reasonings']} reasonings against that after one",
            "not in the paper",
            f"{marginal:.3f} against {report.modes['cot'].confidence:.3f}",
            "below",
            marginal < report.modes["cot"].confidence,
        ),
    )
    controls = (
        Control(
            "answers dealt out anew to the questions: rise on wrong minus rise on right",
            _shown(noise),
            "95 % interval holds 0: right and wrong then mean nothing",
            noise.low <= 0 <= noise.high,
        ),
        Control(
            "reasoning replaced by a filler of the same length: rise of confidence",
            _shown(foreign["filler"]),
            "smaller than after the model's own",
            foreign["filler"].value < own,
        ),
    )
    title = "After its own reasoning the model is surer, and more so where it is wrong"
    figure = draw(partial(_figure, report=report, results=results, items=items), width=9.6, height=4.2)
    better = {
        name: report.modes["cot"].__dict__[name] < report.modes["direct"].__dict__[name] for name in ("ece", "brier")
    }
    return Report(
        card,
        checks,
        controls,
        tuple(Baseline(f"{name}: accuracy", summary.accuracy) for name, summary in report.modes.items()),
        seed=seed,
        scale=scale,
        ledger=ledger + Ledger(seconds=time.perf_counter() - start),
        tables={
            "modes": [{"mode": name, **summary.__dict__} for name, summary in report.modes.items()],
            "rises against direct": [
                {"mode": pair[1], "group": group, "rise": e.value, "low": e.low, "high": e.high}
                for pair, rises in report.rises.items()
                for group, e in rises.items()
            ],
        },
        figures={title: figure},
        notes=(
            f"One model ({model.name}) and one training seed instead of three; {len(items)} questions and "
            f"{sizes['reasonings']} reasonings each at temperature 1 instead of 600 and 16. Calibration carries no "
            "bar: from direct to reasoned the calibration error (top choice, 10 bins of equal mass) goes from "
            f"{report.modes['direct'].ece:.3f} to {report.modes['cot'].ece:.3f} "
            f"({'better' if better['ece'] else 'worse'}) and the Brier score from {report.modes['direct'].brier:.3f} "
            f"to {report.modes['cot'].brier:.3f} ({'better' if better['brier'] else 'worse'}). A coherent model must "
            "be surer after reasoning on average (Jensen's inequality), so the rise alone is no fault. The gap between "
            f"the direct probabilities and the mean over reasonings is {report.gap:.3f}, of which "
            f"{report.gap_noise:.3f} is what a coherent model would show with so few reasonings; the excess says that "
            "answering at once is not the mean of answering after reasoning. The panel on SmolLM2-135M, which carries "
            "no bar, was not run."
        ),
    )


def _read_all(model: Any, items: list[Any], reasonings: int, root: Seed) -> tuple[Results, Ledger]:
    """All modes on all questions; one reasoning is the first of the several."""
    found: Results = {name: {} for name in ("direct", "cot", "marginal", "shuffled", "filler")}
    ledger = Ledger()
    for item in items:
        session = Session(model, seed=root.child("reasonings", item.id))
        options: dict[str, Any] = {"instructions": (AT_ONCE, ""), "spellings": SPELLINGS}
        found["direct"][item.id] = option_confidence_sync(session, item, "direct", **options)
        many = option_confidence_sync(session, item, "marginal", n_reasonings=reasonings, **options)
        first = many.table[:1]
        found["marginal"][item.id] = many
        found["cot"][item.id] = OptionPosterior(first[0], float(first.sum()), many.texts[:1], first)
        ledger = ledger + session.ledger
    # The text of the next problem: every reasoning is used once, and none on its own problem.
    for item, other in zip(items, [*items[1:], items[0]], strict=True):
        session = Session(model)
        text = found["cot"][other.id].texts[0]
        filler = "\n".join(["0 + 0 = 0"] * max(1, len(found["cot"][item.id].texts[0].splitlines()) - 1))
        for name, foreign in (("shuffled", text), ("filler", filler)):
            found[name][item.id] = option_confidence_sync(
                session, item, "cot", reasonings=[foreign], instructions=(AT_ONCE, ""), spellings=SPELLINGS
            )
        ledger = ledger + session.ledger
    return found, ledger


def _shown(estimate: Any) -> str:
    return f"{estimate.value:+.3f} [{estimate.low:+.3f}, {estimate.high:+.3f}]"


def _figure(figure: Figure, report: PairedReport, results: Results, items: list[Any]) -> None:
    left, *rest = figure.subplots(1, 4, width_ratios=(1.6, 1.0, 1.0, 1.0))
    names = {"direct": "at once", "cot": "reasoned", "marginal": "mean of several", "shuffled": "foreign reasoning"}
    for row, (mode, name) in enumerate(names.items()):
        summary = report.modes[mode]
        left.plot([summary.wrong, summary.right], [row, row], color="#bbbbbb", linewidth=1.2, zorder=1)
        left.plot(summary.wrong, row, "o", color="C1")
        left.plot(summary.right, row, "o", color="C0")
        left.text(0.02, row - 0.28, name, fontsize=8)
    left.text(report.modes["direct"].wrong, -0.55, "wrong", color="C1", fontsize=8, ha="right")
    left.text(report.modes["direct"].right, -0.55, "right", color="C0", fontsize=8, ha="left")
    left.set_ylim(3.5, -0.9)
    left.set_yticks([])
    left.set_xlim(0, 1)
    left.set_xlabel("mean probability of the choice")
    for axes, mode in zip(rest, ("direct", "cot", "marginal"), strict=True):
        _diagram(axes, results[mode], items, names[mode], report.modes[mode].ece)
    rest[0].set_ylabel("share right")
    title = "After its own reasoning the model is surer, and more so where it is wrong"
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")


def _diagram(axes: Axes, rows: dict[str, OptionPosterior], items: list[Any], name: str, error: float) -> None:
    confidence = [min(1.0, rows[item.id].confidence) for item in items]
    right = [rows[item.id].choice == ord(item.answer) - ord("A") for item in items]
    found = reliability(confidence, np.array(right, dtype=float), 6, "equal")
    axes.plot([0, 1], [0, 1], color="#aaaaaa", linewidth=0.8)
    axes.errorbar(
        found.confidence, found.accuracy, yerr=[found.accuracy - found.low, found.high - found.accuracy], marker="o",
        markersize=3, color="C2",
    )  # fmt: skip
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_title(f"{name}: ECE {error:.2f}", fontsize=9)
    axes.set_xlabel("confidence", fontsize=8)
