"""Confidence with and without reasoning on the same questions, with paired intervals.

Source: Fu et al. (2025), arXiv:2501.09775: mean probability of the chosen option over all, right and wrong answers,
over the questions that both modes get wrong, and over those where both choose the same wrong option; calibration
error and Brier score of the top choice. Questions are paired by their id, never by their place: those whose options
got less than half of the probability in a mode are left out of that mode.

Two measures separate what any coherent model must do from what it should not: the gap between the direct probabilities
and the mean over reasonings (0 for a coherent model, beside its Monte-Carlo error), and the confidence of that mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from educe.core import Seed, UsageError, run_sync
from educe.lm import LanguageModel, Session
from educe.uncertainty.bootstrap import Estimate, bootstrap
from educe.uncertainty.metrics import auroc, brier, ece
from educe.uncertainty.option_confidence import Item, Mode, OptionPosterior, option_confidence

__all__ = ["ModeSummary", "PairedReport", "compare_modes", "compare_modes_sync", "paired_report"]

Floats = npt.NDArray[np.float64]
LEAST_MASS = 0.5
GROUPS = ("all", "right", "wrong", "both wrong", "same wrong option")


@dataclass(frozen=True)
class ModeSummary:
    """One mode on its own questions.

    Parameters
    ----------
    questions, excluded : int
        Questions counted, and left out for lack of mass.
    accuracy, confidence, right, wrong : float
        Share right; mean confidence over all, right and wrong answers (NaN where there are none).
    ece, brier, auroc : float
        Of the top choice; the calibration error over 10 bins of equal mass.
    """

    questions: int
    excluded: int
    accuracy: float
    confidence: float
    right: float
    wrong: float
    ece: float
    brier: float
    auroc: float


@dataclass(frozen=True)
class PairedReport:
    """What modes do on the same questions.

    Parameters
    ----------
    modes : mapping of str to ModeSummary
        Each mode on its own.
    rises : mapping of (str, str) to mapping of str to Estimate
        For each later mode against the first: rise of the mean confidence by group, with the 95 % bootstrap interval
        over questions. ``"right"`` and ``"wrong"`` are each mode's own; ``"wrong minus right"`` compares their rises.
    counts : mapping of (str, str) to mapping of str to int
        Questions in the groups that need both modes.
    gap, gap_noise : float
        Mean distance (sum of absolute differences) between the direct probabilities and the mean over reasonings, and
        what the finite number of reasonings makes of a gap of 0; NaN without both modes.
    """

    modes: Mapping[str, ModeSummary]
    rises: Mapping[tuple[str, str], Mapping[str, Estimate]]
    counts: Mapping[tuple[str, str], Mapping[str, int]]
    gap: float
    gap_noise: float


async def compare_modes(
    model: LanguageModel | Session,
    items: Sequence[Item],
    modes: Sequence[Mode] = ("direct", "cot", "marginal"),
    *,
    n_reasonings: int = 16,
    seed: int | Seed = 0,
    **options: Any,
) -> PairedReport:
    """Run several modes on the same questions and compare them.

    Parameters
    ----------
    model : LanguageModel or Session
        A model that scores given text.
    items : sequence of Item
        The questions, with distinct ids.
    modes : sequence of str
        The first is what the others are compared with.
    n_reasonings : int
        For ``"marginal"``. Its first reasoning is that of ``"cot"``.
    seed : int or Seed
        Root of the reasonings.
    **options
        Further options of `option_confidence`.

    Returns
    -------
    PairedReport

    Raises
    ------
    UsageError
        There is no item, or an id occurs twice.
    CapabilityError
        The model does not score given text.

    Examples
    --------
    >>> from educe.uncertainty import MultipleChoice
    >>> from educe.lm import TabularLM
    >>> lm = TabularLM(lambda prompt, text: {" A": 0.25, " B": 0.75} if text.endswith("is") else {"": 1.0})
    >>> items = [MultipleChoice("2 + 2 = ?", ("3", "4"), "B")]
    >>> report = compare_modes_sync(lm, items, ("direct",), spellings=(" {upper}",))
    >>> report.modes["direct"].confidence
    0.75
    """
    found: dict[str, list[OptionPosterior]] = {mode: [] for mode in modes}
    for mode in modes:
        for item in items:
            # A fresh session per question and mode: equal prompts then give equal first reasonings in every mode.
            own = Seed.of(seed).child("reason", item.id)
            session = model if isinstance(model, Session) else Session(model, seed=own)
            found[mode].append(await option_confidence(session, item, mode, n_reasonings=n_reasonings, **options))
    results = {mode: {item.id: one for item, one in zip(items, rows, strict=True)} for mode, rows in found.items()}
    return paired_report(items, results, seed=seed)


def compare_modes_sync(
    model: LanguageModel | Session,
    items: Sequence[Item],
    modes: Sequence[Mode] = ("direct", "cot", "marginal"),
    **options: Any,
) -> PairedReport:
    """`compare_modes` for ordinary code; also works inside a running loop.

    Parameters
    ----------
    model, items, modes
        As for `compare_modes`.
    **options
        As for `compare_modes`.
    """
    return run_sync(compare_modes(model, items, modes, **options))


def paired_report(
    items: Sequence[Item], results: Mapping[str, Mapping[str, OptionPosterior]], *, seed: int | Seed = 0
) -> PairedReport:
    """Compare modes whose probabilities are known.

    Parameters
    ----------
    items : sequence of Item
        The questions, with distinct ids.
    results : mapping of str to mapping of str to OptionPosterior
        By mode, then by the item's id; the first mode is what the others are compared with.
    seed : int or Seed
        Root of the bootstrap.

    Returns
    -------
    PairedReport

    Raises
    ------
    UsageError
        There is no item or mode, an id occurs twice, or a mode lacks a question.
    """
    ids = [item.id for item in items]
    if not ids or not results or len(set(ids)) < len(ids):
        raise UsageError(
            f"{len(ids)} items with {len(set(ids))} ids in {len(results)} modes do not pair. Give distinct ids."
        )
    for mode, rows in results.items():
        if missing := [name for name in ids if name not in rows]:
            raise UsageError(f"Mode {mode!r} lacks question {missing[0]!r}. Give every question in every mode.")
    right = np.array([ord(item.answer) - ord("A") for item in items])
    tables = {mode: _table([rows[name] for name in ids], right) for mode, rows in results.items()}
    modes = {mode: _summary(table) for mode, table in tables.items()}
    first, *others = tables
    root = Seed.of(seed).child("paired")
    pairs = {(first, other): _rises(tables[first], tables[other], root.child(other)) for other in others}
    gap = noise = float("nan")
    if "direct" in results and "marginal" in results:
        gap, noise = _gap([results["direct"][name] for name in ids], [results["marginal"][name] for name in ids])
    rises = {pair: found for pair, (found, _) in pairs.items()}
    return PairedReport(modes, rises, {pair: counted for pair, (_, counted) in pairs.items()}, gap, noise)


def _table(rows: Sequence[OptionPosterior], right: npt.NDArray[np.int64]) -> dict[str, Any]:
    """Columns over questions: confidence, choice, right, kept."""
    choice = np.array([row.choice for row in rows])
    return {
        "confidence": np.minimum(np.array([row.confidence for row in rows]), 1.0),
        "choice": choice,
        "right": choice == right,
        "kept": np.array([row.raw_mass >= LEAST_MASS for row in rows]),
    }


def _mean(values: Floats, where: Any) -> float:
    return float(values[where].mean()) if where.any() else float("nan")


def _summary(table: dict[str, Any]) -> ModeSummary:
    kept = table["kept"]
    confidence, right = table["confidence"][kept], table["right"][kept]
    if not len(confidence):
        return ModeSummary(0, len(kept), *[float("nan")] * 7)
    return ModeSummary(
        int(kept.sum()),
        int((~kept).sum()),
        float(right.mean()),
        float(confidence.mean()),
        _mean(confidence, right),
        _mean(confidence, ~right),
        ece(confidence, right),
        brier(confidence, right),
        auroc(confidence, right),
    )


def _rises(one: dict[str, Any], other: dict[str, Any], seed: Seed) -> tuple[dict[str, Estimate], dict[str, int]]:
    """Rise of the mean confidence from one mode to the other, by group."""
    kept = one["kept"] & other["kept"]
    columns = [part[kept] for table in (one, other) for part in (table["confidence"], table["right"])]
    both = ~columns[1] & ~columns[3]
    same = both & (one["choice"][kept] == other["choice"][kept])

    def rise(a: Floats, ra: Any, b: Floats, rb: Any, where: str, extra: Any) -> float:
        if where == "all":
            return float((b - a).mean()) if len(a) else float("nan")
        if where == "right":
            return _mean(b, rb) - _mean(a, ra)
        if where == "wrong":
            return _mean(b, ~rb) - _mean(a, ~ra)
        if where == "wrong minus right":
            return rise(a, ra, b, rb, "wrong", extra) - rise(a, ra, b, rb, "right", extra)
        return _mean(b, extra) - _mean(a, extra)

    found = {}
    for where in (*GROUPS, "wrong minus right"):
        extra = same if where == "same wrong option" else both
        if not kept.any():
            found[where] = Estimate(*[float("nan")] * 3)
            continue
        found[where] = bootstrap(
            lambda a, ra, b, rb, e, where=where: rise(a, ra, b, rb, where, e), *columns, extra, seed=seed.child(where)
        )
    return found, {"questions": int(kept.sum()), "both wrong": int(both.sum()), "same wrong option": int(same.sum())}


def _gap(direct: Sequence[OptionPosterior], marginal: Sequence[OptionPosterior]) -> tuple[float, float]:
    """Mean distance of direct from marginal probabilities, and its expectation for a coherent model."""
    distances = [float(np.abs(one.probs - other.probs).sum()) for one, other in zip(direct, marginal, strict=True)]
    noise = [_noise(one.table) for one in marginal]
    return float(np.mean(distances)), float(np.mean(noise))


def _noise(table: Floats) -> float:
    """Expected distance of the mean of so many rows from a mean that is exactly that of their law."""
    if len(table) < 2:
        return float("nan")
    return float(np.sqrt(2 / np.pi) * (table.std(0, ddof=1) / np.sqrt(len(table))).sum())
