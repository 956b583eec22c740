"""Replay a sampling policy on stored samples and scores: what it would have answered, and what that would have cost.

Source: Manvi, Singh, Ermon (2024), arXiv:2410.02725, evaluated here on one bank for all policies, so that the
comparison is paired and a threshold can be chosen for a wanted number of samples without drawing anything. A replay
equals the live run of the same policy when the bank holds the rows that the live run would have drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from educe.core import UsageError, nearest
from educe.reason.adaptive_sampling import AdaptiveSampling
from educe.reason.adaptive_self_consistency import round_sizes
from educe.reason.bank_row import RIGHT, BankRow
from educe.reason.pruned_best_of_n import PrunedBestOfN, kept
from educe.reason.sample_bank import SampleBank

__all__ = ["Replayed", "replay"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Replayed:
    """Result of a policy on every question of a bank.

    Parameters
    ----------
    credit : (questions,) float64
        1 where the chosen sample is right.
    samples, tokens : (questions,) float64
        Samples begun and tokens drawn.
    chosen : (questions,) int64
        Position of the chosen sample, -1 where there was none to choose.
    score : (questions,) float64
        Score of the chosen sample, NaN where there was none. It is too high: the best of several is chosen by it.
    """

    credit: Floats
    samples: Floats
    tokens: Floats
    chosen: npt.NDArray[np.int64]
    score: Floats


def replay(
    bank: SampleBank,
    policy: AdaptiveSampling | PrunedBestOfN,
    score: str | None = None,
    orders: Sequence[npt.ArrayLike] | None = None,
) -> Replayed:
    """Run a policy over stored samples.

    Parameters
    ----------
    bank : SampleBank
        With verdicts, and scores by name: one number per sample, or one per look and at last that of the whole answer
        (for pruning: as many looks as the policy has checkpoints).
    policy : AdaptiveSampling or PrunedBestOfN
        What to replay; best-of-N is `AdaptiveSampling` with a threshold above 1. Its reward is not asked.
    score : str, optional
        Which score; not needed where there is one.
    orders : sequence of array-like, optional
        In which order each question's samples are seen; as stored when left out.

    Returns
    -------
    Replayed

    Raises
    ------
    UsageError
        The score is unknown or has too few looks, or a question has fewer samples than the policy may draw.

    Examples
    --------
    >>> from educe.reason import Question
    >>> from educe.lm import TabularLM
    >>> lm = TabularLM({"": {"The answer is 4.": 0.6, "The answer is 5.": 0.4}})
    >>> bank = SampleBank.draw_sync(lm, [Question("2 + 2 = ?")], 16, references=["4"])
    >>> known = bank.with_scores("truth", [row.verdicts for row in bank.rows])
    >>> replay(known, AdaptiveSampling(threshold=1.0)).credit.tolist()
    [1.0]
    """
    results = []
    for index, row in enumerate(bank.rows):
        seen = row if orders is None else row.take(orders[index])
        if len(seen) < policy.n:
            raise UsageError(
                f"Question {index} has {len(seen)} samples, and the policy may draw {policy.n}. Draw more."
            )
        scores = _looks(seen, score)
        one = _adaptive if isinstance(policy, AdaptiveSampling) else _pruned
        results.append(one(seen, scores, policy))  # type: ignore[arg-type]
    columns = [np.array(column) for column in zip(*results, strict=True)] or [np.empty(0)] * 5
    credit, samples, tokens, chosen, found = columns
    return Replayed(
        credit.astype(float), samples.astype(float), tokens.astype(float), chosen.astype(np.int64), found.astype(float)
    )


def _looks(row: BankRow, name: str | None) -> Floats:
    """Scores as (samples, looks)."""
    if name is None and len(row.scores) != 1:
        raise UsageError(f"The bank holds the scores {sorted(row.scores)}. Name the one to use.")
    name = name or next(iter(row.scores))
    if name not in row.scores:
        raise UsageError(f"Score {name!r} is not in the bank; {nearest(name, row.scores)}")
    values = row.scores[name]
    return np.nan_to_num(values[:, None] if values.ndim == 1 else values, nan=-np.inf)


Outcome = tuple[float, float, float, int, float]


def _best(row: BankRow, scores: Floats, members: Sequence[int]) -> tuple[float, int, float]:
    """The readable sample of the highest score: its credit, place and score. The earlier one of a tie."""
    readable = [place for place in members if row.answers[place] >= 0]
    if not readable:
        return 0.0, -1, np.nan
    place = max(readable, key=lambda i: (scores[i], -i))
    return float(row.verdicts[place] == RIGHT), place, float(scores[place])


def _adaptive(row: BankRow, looks: Floats, policy: AdaptiveSampling) -> Outcome:
    final = looks[:, -1]
    drawn = 0
    for size in round_sizes(policy.rounds, policy.n):
        drawn += size
        if final[:drawn].max() >= policy.threshold:
            break
    credit, place, score = _best(row, final, range(drawn))
    return credit, drawn, float(row.tokens[:drawn].sum()), place, score


def _pruned(row: BankRow, looks: Floats, policy: PrunedBestOfN) -> Outcome:
    if looks.shape[1] <= len(policy.checkpoints):
        raise UsageError(
            f"The score has {looks.shape[1]} columns for {len(policy.checkpoints)} checkpoints and the end. "
            "Store one per checkpoint and one for the whole answer."
        )
    lengths = row.tokens[: policy.n].astype(float)
    alive = list(range(policy.n))
    ended: list[int] = []
    spent = np.zeros(policy.n)
    for look, (at, share) in enumerate(policy.checkpoints):
        places = at * lengths if at < 1 else np.minimum(at, lengths)
        spent[alive] = np.round(places[alive])
        # An answer that ends before the look is whole, and is never pruned.
        ended += [place for place in alive if at >= 1 and lengths[place] <= at]
        going = [place for place in alive if place not in ended]
        alive = [going[i] for i in kept([float(looks[place, look]) for place in going], share)] if going else []
    spent[alive] = lengths[alive]
    credit, place, score = _best(row, looks[:, -1], sorted([*ended, *alive]))
    return credit, float(policy.n), float(spent.sum()), place, score
