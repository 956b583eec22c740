"""Exact mean squared error of the confidence that votes and path probabilities give to an answer.

Source: Zhou et al. (2025), arXiv:2502.00511, propositions 1 to 3 and theorem 4. With p the model's probability of the
answer and I whether it is right, E[(estimate - I)^2] is split into a model error (p - I)^2 and the rest, which the
paper calls estimation error; the rest holds a cross term and may be negative.

In the model of theorem 4 the k paths of an answer share its probability equally, q = p/k each. After n samples a path
has been seen with probability 1 - (1-q)^n, and two given paths both with 1 - 2 (1-q)^n + (1-2q)^n, so that

    E1 = p (1 - a^n),   E2 = q^2 [k (1 - a^n) + k (k-1) (1 - 2 a^n + (1-2q)^n)],   a = 1 - q,

and the estimation error of perplexity consistency is E2 - 2 I E1 + 2 I p - p^2. The paper prints
a^n p (2I - (1 + a^n) p) instead, which differs even at k = 1, where proposition 3 applies; it is kept as
``"pc-published"`` for comparison.
"""

from __future__ import annotations

from typing import NamedTuple

from educe.core import UsageError, nearest

__all__ = ["ReasoningError", "reasoning_error"]

HOWS = ("sc", "ppl", "pc", "pc-published")


class ReasoningError(NamedTuple):
    """Mean squared error of a confidence and its two parts; `estimation` may be negative."""

    estimation: float
    model: float

    @property
    def total(self) -> float:
        """E[(estimate - I)^2]."""
        return self.estimation + self.model


def reasoning_error(p: float, k: int, n: int, correct: bool, how: str = "pc") -> ReasoningError:
    """Exact error of an estimator after n samples, in the model of k equally probable paths.

    Parameters
    ----------
    p : float
        The model's probability of the answer, in [0, 1].
    k : int
        Number of its paths, >= 1.
    n : int
        Number of samples, >= 0; a vote needs one.
    correct : bool
        Whether the answer is right.
    how : str
        ``"sc"`` (share of votes), ``"ppl"`` (one of the paths: its probability once seen, else 0), ``"pc"`` (sum over
        the distinct paths seen), or ``"pc-published"``.

    Returns
    -------
    ReasoningError
        For ``"ppl"`` both parts are those of one path of probability p/k.

    Raises
    ------
    UsageError
        A parameter is out of range.

    Examples
    --------
    >>> reasoning_error(0.5, 1, 1, True, "pc").estimation
    0.375
    >>> round(reasoning_error(0.6, 3, 16, True, "pc").estimation, 4)
    0.017
    """
    if how not in HOWS:
        raise UsageError(f"Estimator {how!r} is unknown; {nearest(how, HOWS)}")
    if not 0 <= p <= 1 or k < 1 or n < (1 if how == "sc" else 0):
        raise UsageError(f"p={p}, k={k}, n={n} is out of range. Give p in [0, 1], k >= 1 and n >= 1.")
    right = float(correct)
    q = p / k
    unseen = (1 - q) ** n
    if how == "sc":
        return ReasoningError(p * (1 - p) / n, (p - right) ** 2)
    if how == "ppl":
        return ReasoningError(unseen * q * (2 * right - q), (q - right) ** 2)
    if how == "pc-published":
        return ReasoningError(unseen * p * (2 * right - (1 + unseen) * p), (p - right) ** 2)
    mean = p * (1 - unseen)
    both = 1 - 2 * unseen + max(0.0, 1 - 2 * q) ** n if k > 1 else 0.0
    square = q * q * (k * (1 - unseen) + k * (k - 1) * both)
    return ReasoningError(square - 2 * right * mean + 2 * right * p - p * p, (p - right) ** 2)
