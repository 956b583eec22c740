"""From stored samples to a posterior over answers: votes, path probabilities, and both.

Sources: Wang et al. (2022), arXiv:2203.11171 (self-consistency, and its vote weighted by length-normalised
probabilities); Zhou et al. (2025), arXiv:2502.00511 (perplexity, perplexity consistency, reasoning pruning).

Let p_i be the probability of sampled path i. The weight of an answer is

- ``sc``: its number of samples;
- ``maj-logit``: the sum of p_i over its samples, repeats counted;
- ``ppl``: the largest p_i among its paths, so that the mode is the answer of the most probable path;
- ``pc``: the sum of p_i over its *distinct* paths;
- ``rpc``: the same over the distinct paths that `weibull_prune` keeps.

p_i is the model's probability of the whole path (``sequence``) or its geometric mean per token (``geometric``), at
temperature 1 in both cases. Where short paths repeat, geometric means count how many different paths an answer
has, however improbable they are; ``auto`` therefore takes ``sequence`` where more than 5 % of the samples are
repeats, else ``geometric``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from educe.core import CapabilityError, EvidenceKind, Ledger, Posterior, UsageError, nearest
from educe.reason.bank_row import BankRow
from educe.reason.pruning import weibull_prune
from educe.reason.question import Answer

__all__ = ["HOWS", "PROBABILITIES", "aggregate"]

Floats = npt.NDArray[np.float64]
HOWS = ("sc", "ppl", "pc", "rpc", "maj-logit")
PROBABILITIES = ("auto", "sequence", "geometric")
REPEATS = 0.05


def aggregate(
    row: BankRow,
    how: str = "rpc",
    *,
    prob: str = "auto",
    equal: Callable[[Answer, Answer], bool] | None = None,
    ledger: Ledger | None = None,
) -> Posterior[Answer]:
    """Turn the samples of one question into a posterior over its answers.

    Parameters
    ----------
    row : BankRow
        The samples. Those without a readable answer do not count.
    how : str
        ``"sc"``, ``"ppl"``, ``"pc"``, ``"rpc"`` or ``"maj-logit"``.
    prob : str
        ``"sequence"``, ``"geometric"`` or ``"auto"``; see above. Not used by ``"sc"``.
    equal : callable, optional
        Takes two answers and tells whether they are one; classes that it joins, directly or by a chain, are merged.
    ledger : Ledger, optional
        What the samples cost.

    Returns
    -------
    Posterior of Answer
        One value per answer class; classes that lost all paths keep weight 0. ``details`` name the probability used,
        the number of paths seen, distinct and pruned, the probability of the best path (``best_path``), and the
        mixture. For ``pc`` and ``rpc`` on whole paths the log-evidence is the logarithm of the explored mass, a lower
        bound on the probability that the model gives a readable answer.

    Raises
    ------
    UsageError
        `how` or `prob` is unknown.
    CapabilityError
        Log-probabilities are needed and missing.

    Examples
    --------
    >>> from educe.reason import Question, SampleBank
    >>> from educe.lm import TabularLM
    >>> lm = TabularLM({"": {"The answer is 4.": 0.6, "The answer is 5.": 0.4}})
    >>> row = SampleBank.draw_sync(lm, [Question("2 + 2 = ?")], 20).rows[0]
    >>> posterior = aggregate(row, "pc")
    >>> posterior.mode().text, round(posterior.confidence, 6)
    ('4', 0.6)
    """
    if how not in HOWS:
        raise UsageError(f"Aggregation {how!r} is unknown; {nearest(how, HOWS)}")
    if prob not in PROBABILITIES:
        raise UsageError(f"Path probability {prob!r} is unknown; {nearest(prob, PROBABILITIES)}")
    read = np.flatnonzero(row.answers >= 0)
    owners = _merged(row, equal)[row.answers[read]]
    seen = np.unique(owners)
    details: dict[str, Any] = {"unread": len(row) - len(read), "paths": len(read)}
    if how == "sc":
        weights, mode = np.zeros(len(read)), "votes"
    else:
        weights, mode = _log_probabilities(row, read, prob)
        keep, more = _kept(row.paths[read], weights, how, mode)
        owners, weights = owners[keep], weights[keep]
        details.update(more)
    details["prob"] = mode
    sums = np.full(len(row.classes), -np.inf)
    combine = np.maximum if how == "ppl" else np.logaddexp
    combine.at(sums, owners, weights)
    evidence = None
    if how in ("pc", "rpc") and mode == "sequence":
        # Rounding can lift a whole law's mass above one.
        evidence = min(0.0, float(np.logaddexp.reduce(weights))) if len(weights) else -math.inf
    return Posterior(
        [row.classes[code] for code in seen],
        torch.from_numpy(sums[seen]),
        evidence,
        EvidenceKind.NONE if evidence is None else EvidenceKind.LOWER_BOUND,
        ledger or Ledger(),
        details,
    )


def _merged(row: BankRow, equal: Callable[[Answer, Answer], bool] | None) -> npt.NDArray[np.int64]:
    """For each class the first class that it is equal to, by union-find over all pairs."""
    leaders = np.arange(len(row.classes))
    if equal is not None:
        for later in range(len(leaders)):
            for earlier in range(later):
                if leaders[earlier] != leaders[later] and equal(row.classes[earlier], row.classes[later]):
                    kept, gone = sorted((leaders[earlier], leaders[later]))
                    leaders[leaders == gone] = kept
    return leaders


def _log_probabilities(row: BankRow, read: npt.NDArray[np.int64], prob: str) -> tuple[Floats, str]:
    logprobs = row.logprobs[read]
    if np.isnan(logprobs).any():
        raise CapabilityError(
            "These samples have no log-probabilities, which every aggregation but a plain vote needs. "
            "Use a model that serves them, or how='sc'."
        )
    if prob == "auto":
        repeats = 1 - len(np.unique(row.paths[read])) / len(read) if len(read) else 0.0
        prob = "sequence" if repeats > REPEATS else "geometric"
    return (logprobs if prob == "sequence" else logprobs / np.maximum(row.tokens[read], 1)), prob


def _kept(
    paths: npt.NDArray[np.int64], weights: Floats, how: str, mode: str
) -> tuple[npt.NDArray[np.bool_], dict[str, Any]]:
    """Prune and leave out repeats, as the aggregation asks for; say what was done."""
    details: dict[str, Any] = {"best_path": float(np.exp(weights.max())) if len(weights) else 0.0}
    keep = np.ones(len(weights), dtype=bool)
    if how == "rpc" and len(weights) and weights.max() > -np.inf:
        # The mixture is fitted to all samples with their repeats, as the authors' program does.
        whole = mode == "sequence"
        keep, mixture = weibull_prune(np.exp(weights - weights.max()) if whole else np.exp(weights), scale=whole)
        details["pruned"] = int((~keep).sum())
        details["mixture"] = None if mixture is None else mixture._asdict()
    if how in ("pc", "rpc"):
        distinct = np.zeros(len(weights), dtype=bool)
        distinct[np.unique(paths, return_index=True)[1]] = True
        details["distinct"] = int(distinct.sum())
        keep = keep & distinct
    return keep, details
