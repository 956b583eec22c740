"""Zhou et al. (2025): sum path probabilities per answer and prune unlikely paths first. arXiv:2502.00511.

Part A simulates the paper's estimators and holds them against the exact formulas of their errors. Part B draws
samples of chain sums from a model whose path probabilities are known, and replays every estimator on the same subsets.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from educe.core import Baseline, Card, Check, Control, Ledger, Report, Scale, Seed
from educe.papers._chain_world import answer_law, chain_model, chain_questions, draw_table
from educe.papers._problems import checker_of, questions_of
from educe.papers._rpc_figure import plot
from educe.papers._rpc_replay import Replay
from educe.papers._rpc_theory import Cell, compare, crossing
from educe.papers.figure import draw
from educe.reason import BankRow, SampleBank, aggregate, coverage, reasoning_error
from educe.tasks import make
from educe.uncertainty import bootstrap, ece

card = Card(
    slug="rpc",
    title="Bridging Internal Probability and Self-Consistency for Effective and Efficient LLM Reasoning",
    authors=(
        "Zhi Zhou",
        "Yuhao Tan",
        "Zenan Li",
        "Yuan Yao",
        "Lan-Zhe Guo",
        "Xiaoxing Ma",
        "Yu-Feng Li",
    ),
    year=2025,
    arxiv="2502.00511",
    venue="NeurIPS 2025",
    summary=(
        "Each sampled answer is weighted by the probability that the model itself gives to the reasoning path, and "
        "paths of low probability are pruned by a two-component Weibull mixture before the sum. "
        "Pick it when log-probabilities can be had, samples are dear, and each answer needs a confidence."
    ),
    claim="Half the samples reach the accuracy of self-consistency, and at equal samples accuracy is higher.",
    api=(
        "educe.reason.RPC",
        "educe.reason.PerplexityConsistency",
        "educe.reason.aggregate",
        "educe.reason.weibull_prune",
        "educe.reason.reasoning_error",
        "educe.reason.SampleBank",
    ),
    topics=("reasoning", "test-time compute", "calibration"),
    room="reason",
)

SIZES: dict[Scale, dict[str, Any]] = {
    Scale.SMOKE: {
        "repeats": 2_000, "samples": (1, 4), "models": ((0.6, 3),), "questions": 8, "drawn": 64, "subsets": 1,
    },
    Scale.SMALL: {
        "repeats": 200_000, "samples": (1, 2, 4, 8, 16, 32, 64),
        "models": tuple(product((0.3, 0.6), (1, 3, 10))), "questions": 80, "drawn": 512, "subsets": 10,
    },
    Scale.FULL: {
        "repeats": 200_000, "samples": tuple(range(1, 65)),
        "models": tuple(product((0.3, 0.6), (1, 3, 10))), "questions": 500, "drawn": 512, "subsets": 10,
    },
}  # fmt: skip
KS = (8, 16, 32)
HOWS = ("sc", "ppl", "pc", "rpc")
NAMES = {"sc": "self-consistency", "ppl": "perplexity", "pc": "PC", "rpc": "RPC"}
Floats = npt.NDArray[np.float64]


def run(scale: Scale = Scale.SMALL, seed: int = 0, lm: Any = None, tasks: Any = None) -> Report:
    """Check the theory against simulation and replay the estimators on stored samples.

    Parameters
    ----------
    scale : Scale
        Numbers of simulated runs, questions, samples and subsets.
    seed : int
        Root of all draws.
    lm : LanguageModel, optional
        A model with log-probabilities to draw part B from; the exact model of chain sums when left out.
    tasks : sequence of Problem, optional
        Problems for that model; held-out chain arithmetic when left out.

    Returns
    -------
    Report
    """
    start = time.perf_counter()
    sizes, root = SIZES[scale], Seed.of(seed).child(card.slug)
    cells = [
        cell
        for index, (p, k) in enumerate(sizes["models"])
        for cell in compare(p, k, list(sizes["samples"]), sizes["repeats"], root.child("theory", index))
    ]
    farthest = max(cells, key=lambda cell: cell.distance)
    refuted = sum(map(_refutes_published, (cell for cell in cells if cell.how == "pc")))
    crossings = {(p, k): crossing(p, k) for p, k in sizes["models"]}

    bank, limit = _bank(sizes, root, lm, tasks)
    ks = (*KS, *(k for k in (64, 128) if k <= sizes["drawn"]))
    orders = [
        root.child("subsets", subset).numpy().permutation(min(len(row) for row in bank.rows))
        for subset in range(sizes["subsets"])
    ]
    replays = {(how, k): _replay(bank, how, k, orders, "sequence") for how, k in product(HOWS, ks)}
    geometric = {(how, k): _replay(bank, how, k, orders[:2], "geometric") for how, k in product(("pc", "rpc"), ks)}
    shuffled = _shuffled(bank, root.child("shuffle"))
    broken = _replay(shuffled, "rpc", 32, orders, "sequence")
    against_double = {
        k: _difference(replays["rpc", k], replays["sc", 2 * k], root.child("bootstrap", k)) for k in KS if 2 * k in ks
    }
    against_pc = {k: _difference(replays["rpc", k], replays["pc", k], root.child("bootstrap pc", k)) for k in KS}
    lead = _difference(broken, replays["sc", max(k for k in (64, 32) if k in ks)], root.child("bootstrap control"))

    checks = (
        Check(
            f"exact errors of {', '.join(sorted({cell.how for cell in cells}))} against {sizes['repeats']:,} simulated "
            f"runs in {len(cells)} cells: largest distance in standard errors",
            "propositions 2 and 3; theorem 4 (whose printed form is not exact)",
            f"{farthest.distance:.2f} ({farthest.how}, p={farthest.p}, k={farthest.k}, n={farthest.n})",
            "<= 4",
            farthest.distance <= 4,
        ),
        Check(
            "samples from which on path sums have a smaller exact error than votes, right answer",
            "exponential against linear rate",
            "; ".join(f"p={p}, k={k}: {n}" for (p, k), n in crossings.items()),
            "<= 10 k / p in every model",
            all(n <= 10 * k / p for (p, k), n in crossings.items()),
        ),
        Check(
            "RPC with K samples minus self-consistency with 2K, points of accuracy (90 % interval)",
            "half the samples for the same accuracy",
            _shown(against_double),
            "for K = 8, 16, 32: mean >= 0 and lower end of the paired 90 % interval > -1 point",
            len(against_double) == len(KS) and all(e.value >= 0 and e.low > -0.01 for e in against_double.values()),
        ),
        Check(
            "RPC minus PC at equal samples, points of accuracy (90 % interval)",
            "pruning helps",
            _shown(against_pc),
            "for K = 8, 16, 32: mean >= -1 point",
            all(estimate.value >= -0.01 for estimate in against_pc.values()),
        ),
    )
    controls = (
        Control(
            "path probabilities shuffled among the paths of each question: RPC with 32 samples minus votes with 64",
            f"{100 * lead.value:+.1f} points [{100 * lead.low:+.1f}, {100 * lead.high:+.1f}]",
            "no lead: mean <= 0",
            lead.value <= 0,
        ),
        Control(
            "theorem 4 as printed against the same simulation: cells off by more than 4 standard errors",
            refuted,
            "> 0: the comparison can refute a formula",
            refuted > 0,
        ),
    )
    calibration = [
        {"K": k, **{NAMES[how]: ece(replays[how, k].confidence, replays[how, k].credit, 10, "width") for how in HOWS}}
        for k in ks
    ]
    drawn = SampleBank(bank.questions, tuple(row.take(orders[0]) for row in bank.rows))
    accuracy = [
        {
            "K": k,
            **{NAMES[how]: float(replays[how, k].credit.mean()) for how in HOWS},
            "PC, geometric": float(geometric["pc", k].credit.mean()),
            "RPC, geometric": float(geometric["rpc", k].credit.mean()),
            "coverage": float(coverage(drawn, [k], replicates=0).mean[0]),
        }
        for k in ks
    ]
    cost = _cost(bank)
    figure = draw(
        partial(
            plot,
            cells=cells,
            accuracy=accuracy,
            spread=_spread(replays, root),
            replays=replays,
            limit=limit,
            names=NAMES,
        ),
        width=9.6,
        height=4.4,
    )
    best = max(ks)
    top_ece = calibration[-1]
    return Report(
        card,
        checks,
        controls,
        (
            Baseline("one sample", float(np.nanmean(bank.rates)), cost(1)),
            *(Baseline(f"{NAMES[how]}, {k} samples", float(replays[how, k].credit.mean()), cost(k))
              for how in HOWS for k in (8, 32, best) if k in ks),
        ),
        seed=seed,
        scale=scale,
        ledger=replace(Ledger.from_json(dict(bank.about["ledger"])), seconds=time.perf_counter() - start),
        tables={
            "accuracy": accuracy,
            "ECE (top answer, 10 bins of equal width)": calibration,
            "theory": [cell._asdict() for cell in cells if cell.n in (1, 4, 16, 64)],
        },
        figures={"RPC with K samples is ahead of votes with 2K": figure},
        notes=(
            f"Accuracy when every path is known (the mode of the model's exact law): {_text(limit)}. Below the bar of "
            "part A votes do better for few samples: at p = 0.6, k = 3, n = 4 the error is "
            f"{reasoning_error(0.6, 3, 4, True, 'pc').estimation:.3f} for path sums and "
            f"{reasoning_error(0.6, 3, 4, True, 'sc').estimation:.3f} for votes. Calibration is not barred: at "
            f"K = {best} the ECE is {top_ece['RPC']:.3f} for RPC, {top_ece['self-consistency']:.3f} for votes and "
            f"{top_ece['perplexity']:.3f} for perplexity, so the claim of a better calibrated confidence is "
            f"{'reproduced' if top_ece['RPC'] < top_ece['self-consistency'] else 'not reproduced'} here. With "
            "geometric means and repeated short paths, sums count how many different paths an answer has (table), "
            "which is why whole-path probabilities are the default where paths repeat. Intervals resample questions; "
            "the subsets are shared by all estimators, and the subset of K is part of that of 2K. Pruning fits its "
            "mixture after division by the mean, which the authors' program does not do, because whole-path "
            "probabilities are tiny."
        ),
    )  # fmt: skip


def _refutes_published(cell: Cell) -> bool:
    """Whether the printed form of theorem 4 is off by more than 4 standard errors in this cell."""
    published = reasoning_error(cell.p, cell.k, cell.n, cell.correct, "pc-published").total
    return abs(cell.simulated - published) > 4 * cell.error


def _bank(sizes: dict[str, Any], root: Seed, lm: Any, tasks: Any) -> tuple[SampleBank, float | None]:
    """Draw part B's samples; with the accuracy of the exact law where it is known."""
    samples = root.child("samples")
    if lm is not None:
        problems = list(tasks) if tasks else make("chain_arithmetic", sizes["questions"], "test", root.child("tasks"))
        questions, checker = questions_of(problems), checker_of(problems)
        return SampleBank.draw_sync(lm, questions, sizes["drawn"], checker=checker, seed=samples), None
    table = draw_table(13, root.child("table"))
    questions, references, chains = chain_questions(13, sizes["questions"], range(2, 7), root.child("questions"))
    bank = SampleBank.draw_sync(chain_model(table), questions, sizes["drawn"], references=references, seed=samples)
    modes = [int(answer_law(table, chain).argmax()) for chain in chains]
    return bank, float(np.mean([mode == int(right) for mode, right in zip(modes, references, strict=True)]))


def _replay(bank: SampleBank, how: str, k: int, orders: Sequence[npt.NDArray[np.int64]], prob: str) -> Replay:
    """Let one estimator see the first k samples of each order."""
    credit = np.zeros((len(bank), len(orders)))
    confidence = np.zeros_like(credit)
    for index, row in enumerate(bank.rows):
        verdicts = row.class_verdicts
        for subset, order in enumerate(orders):
            posterior = aggregate(row.take(order[:k]), how, prob=prob)
            credit[index, subset] = row.credit(posterior, verdicts)
            # The paper's perplexity confidence is the path's own probability, not a share.
            top = posterior.details["best_path"] if how == "ppl" else float(posterior.probabilities.max())
            confidence[index, subset] = top if len(posterior) else 0.0
    return Replay(credit, confidence)


def _shuffled(bank: SampleBank, seed: Seed) -> SampleBank:
    """Give each path of a question the log-probability of another of its paths."""

    def one(row: BankRow, index: int) -> BankRow:
        paths, first, owner = np.unique(row.paths, return_index=True, return_inverse=True)
        order = seed.child(index).numpy().permutation(len(paths))
        return replace(row, logprobs=row.logprobs[first][order][owner.reshape(-1)])

    return replace(bank, rows=tuple(one(row, index) for index, row in enumerate(bank.rows)))


def _difference(one: Replay, other: Replay, seed: Seed) -> Any:
    return bootstrap(lambda a, b: float((a - b).mean()), one.credit.mean(1), other.credit.mean(1), mass=0.9, seed=seed)


def _spread(replays: dict[tuple[str, int], Replay], root: Seed) -> dict[tuple[str, int], Any]:
    return {
        key: bootstrap(lambda a: float(a.mean()), replay.credit.mean(1), replicates=500, seed=root.child("spread"))
        for key, replay in replays.items()
    }


def _shown(estimates: dict[int, Any]) -> str:
    return "; ".join(
        f"K={k}: {100 * e.value:+.1f} [{100 * e.low:+.1f}, {100 * e.high:+.1f}]" for k, e in estimates.items()
    )


def _text(limit: float | None) -> str:
    return "not known for this model" if limit is None else f"{limit:.3f}"


def _cost(bank: SampleBank) -> Callable[[int], Ledger]:
    """What k samples of every question cost."""
    tokens = float(np.mean([row.tokens.mean() for row in bank.rows]))
    return lambda k: Ledger(samples=k * len(bank), sampled_tokens=round(k * len(bank) * tokens))
