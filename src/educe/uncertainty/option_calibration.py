"""Calibration on multiple choice: lettered or not, with worked examples, with "none of the above".

Source: Kadavath et al. (2022), arXiv:2207.05221, sections 2 and 3.1: the probabilities of all options count, not only
that of the top choice, over ten bins of equal mass. Letters that stand before visible options calibrate best; scoring
the options' texts is worse, and replacing one by "none of the above" hurts both accuracy and calibration.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from educe.core import UsageError, run_sync
from educe.lm import LanguageModel, Message, Session
from educe.uncertainty.metrics import auroc, brier, ece, rms_ce
from educe.uncertainty.option_confidence import STEM, Item

__all__ = ["CalibrationReport", "option_calibration"]

Floats = npt.NDArray[np.float64]
NONE = "none of the above"


@dataclass(frozen=True)
class CalibrationReport:
    """Calibration of a model on multiple-choice questions.

    Parameters
    ----------
    probs : tuple of (options,) float64
        Probabilities of each question's options, normalised over them.
    right : tuple of int
        Place of the right option.
    accuracy : float
        Share of questions whose most probable option is right.
    ece, rms : float
        Calibration errors over all options, 10 bins of equal mass.
    brier, auroc : float
        Over all options.
    mass : float
        Mean probability that all options got together before normalising; NaN where texts were scored.
    """

    probs: tuple[Floats, ...]
    right: tuple[int, ...]
    accuracy: float
    ece: float
    rms: float
    brier: float
    auroc: float
    mass: float


def option_calibration(
    model: LanguageModel | Session,
    items: Sequence[Item],
    *,
    shots: Sequence[Item] = (),
    letters: bool = True,
    none_of_above: bool = False,
    stem: str = STEM,
) -> CalibrationReport:
    """Measure how well the probabilities of options are calibrated.

    Parameters
    ----------
    model : LanguageModel or Session
        A model that scores given text.
    items : sequence of Item
        The questions.
    shots : sequence of Item
        Worked examples, shown first.
    letters : bool
        Show the options by letter and score the letters; else show none and score the options' texts.
    none_of_above : bool
        Put "none of the above" in the place of the last option; it is right where that one was.
    stem : str
        The text before the letter or the option.

    Returns
    -------
    CalibrationReport

    Raises
    ------
    UsageError
        There is no question, or the budget ends before the last one.
    CapabilityError
        The model does not score given text.

    Examples
    --------
    >>> from educe.lm import TabularLM
    >>> from educe.uncertainty import MultipleChoice
    >>> lm = TabularLM(lambda prompt, text: {" A": 0.25, " B": 0.75} if text.endswith("is") else {"": 1.0})
    >>> round(option_calibration(lm, [MultipleChoice("2 + 2 = ?", ("3", "4"), "B")]).brier, 6)
    0.0625
    """
    if not items:
        raise UsageError("There is no question to be calibrated on. Give at least one.")
    session = model if isinstance(model, Session) else Session(model)
    session.lm.require("score")
    probs, right, masses = [], [], []
    for item in items:
        logs, lengths = run_sync(_score(session, item, shots, letters, none_of_above, stem))
        masses.append(float(np.exp(logs).sum()) if letters else float("nan"))
        # A long text is no less likely to be right for being long.
        scaled = logs if letters else logs / lengths
        shares = np.exp(scaled - scaled.max())
        probs.append(shares / shares.sum())
        right.append(ord(item.answer) - ord("A"))
    flat = np.concatenate(probs)
    hits = np.concatenate([np.arange(len(p)) == place for p, place in zip(probs, right, strict=True)])
    accuracy = float(np.mean([p.argmax() == place for p, place in zip(probs, right, strict=True)]))
    return CalibrationReport(
        tuple(probs), tuple(right), accuracy, ece(flat, hits), rms_ce(flat, hits), brier(flat, hits), auroc(flat, hits),
        float(np.mean(masses)),
    )  # fmt: skip


def _shown(item: Item, letters: bool, none_of_above: bool) -> tuple[str, list[str]]:
    """The question as text, and what is scored for each option."""
    choices = [*item.choices[:-1], NONE] if none_of_above else list(item.choices)
    if not letters:
        return item.text, [f" {choice}" for choice in choices]
    names = [chr(65 + place) for place in range(len(choices))]
    lines = [item.text, *(f"{name}. {choice}" for name, choice in zip(names, choices, strict=True))]
    return "\n".join(lines), [f" {name}" for name in names]


async def _score(
    session: Session, item: Item, shots: Sequence[Item], letters: bool, none_of_above: bool, stem: str
) -> tuple[Floats, Floats]:
    """Log-probability and number of tokens of each option."""
    messages: list[Message] = []
    for shot in shots:
        text, options = _shown(shot, letters, none_of_above)
        messages.append(Message(role="user", content=text))
        messages.append(Message(role="assistant", content=f"{stem}{options[ord(shot.answer) - ord('A')]}."))
    text, options = _shown(item, letters, none_of_above)
    messages += [Message(role="user", content=text), Message(role="assistant", content=stem)]
    rows = await session.score(messages, options)
    if len(rows) < len(options):
        raise UsageError("The budget leaves no room to score the options. Raise it.")
    return np.array([row.logprob for row in rows]), np.array([max(1, len(row.tokens)) for row in rows], dtype=float)
