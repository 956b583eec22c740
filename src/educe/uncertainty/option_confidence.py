"""The probability that a model gives to each lettered option: at once, after reasoning, or averaged over reasonings.

Source: Fu et al. (2025), Multiple Choice Questions: Reasoning Makes Large Language Models (LLMs) More Self-Confident
Even When They Are Wrong, arXiv:2501.09775. The probabilities are those of the letter after a forced answer stem,
summed over its spellings (with and without a blank before it, upper and lower case), and are not renormalised: what
is missing to one is the probability that the model says something else (``raw_mass``).

After its own reasoning a model is surer, on average, even when it is perfectly coherent, because the mean of a
maximum is never below the maximum of the mean. The mode ``marginal`` averages the options over several reasonings and
is the confidence to report. Models that only send the drawn token's log-probability (``score`` missing) cannot be
read so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from educe.core import Seed, UsageError, run_sync
from educe.lm import LanguageModel, Message, Session

__all__ = ["Item", "MultipleChoice", "OptionPosterior", "option_confidence", "option_confidence_sync"]

Floats = npt.NDArray[np.float64]
Mode = Literal["direct", "cot", "marginal"]
Debias = Literal["none", "cyclic", "prior"]
STEM = "The answer is"
SPELLINGS = (" {upper}", "{upper}", " {lower}", "{lower}")
MODES = ("direct", "cot", "marginal")


class Item(Protocol):
    """A multiple-choice question; problems of `educe.tasks` are such items.

    Attributes
    ----------
    text : str
        The question.
    choices : sequence of str
        The options.
    answer : str
        Letter of the right option.
    id : str
        What results are paired by.
    """

    @property
    def text(self) -> str:
        """The question."""
        ...

    @property
    def choices(self) -> Sequence[str]:
        """The options."""
        ...

    @property
    def answer(self) -> str:
        """Letter of the right option."""
        ...

    @property
    def id(self) -> str:
        """What results are paired by."""
        ...


@dataclass(frozen=True)
class MultipleChoice:
    """A multiple-choice question of yours.

    Parameters
    ----------
    text : str
        The question.
    choices : tuple of str
        The options, 2 to 26.
    answer : str
        Letter of the right one, from A.
    id : str
        What results are paired by; the text when left out.

    Raises
    ------
    UsageError
        There are not 2 to 26 options, or the answer is not the letter of one.

    Examples
    --------
    >>> MultipleChoice("2 + 2 = ?", ("3", "4"), "B").id
    '2 + 2 = ?'
    """

    text: str
    choices: tuple[str, ...]
    answer: str
    id: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "choices", tuple(self.choices))
        object.__setattr__(self, "id", self.id or self.text)
        if not 2 <= len(self.choices) <= 26:
            raise UsageError(f"{len(self.choices)} options are not a choice. Give 2 to 26.")
        letters = [chr(65 + place) for place in range(len(self.choices))]
        if self.answer not in letters:
            raise UsageError(f"The answer {self.answer!r} is no letter of an option. Give one of {', '.join(letters)}.")


@dataclass(frozen=True)
class OptionPosterior:
    """Probabilities of the options.

    Parameters
    ----------
    probs : (options,) float64
        Probability of each, in the order of the item, not renormalised.
    raw_mass : float
        Their sum before any correction for bias.
    texts : tuple of str
        The reasonings, empty for ``direct``.
    each : (reasonings, options) float64, optional
        Probabilities after each reasoning.

    Examples
    --------
    >>> OptionPosterior(np.array([0.2, 0.7]), 0.9).choice
    1
    """

    probs: Floats
    raw_mass: float
    texts: tuple[str, ...] = ()
    each: Floats | None = None

    @property
    def table(self) -> Floats:
        """Probabilities after each reasoning, one row where nothing was reasoned."""
        return self.probs[None, :] if self.each is None else self.each

    @property
    def choice(self) -> int:
        """Place of the most probable option; the first of a tie."""
        return int(self.probs.argmax())

    @property
    def confidence(self) -> float:
        """Probability of the chosen option."""
        return float(self.probs.max())


async def option_confidence(
    model: LanguageModel | Session,
    item: Item,
    mode: Mode = "direct",
    *,
    n_reasonings: int = 1,
    reasonings: Sequence[str] = (),
    letters: str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    debias: Debias = "none",
    temperature: float = 1.0,
    max_tokens: int = 256,
    instructions: tuple[str, str] = ("", ""),
    stem: str = STEM,
    spellings: tuple[str, ...] = SPELLINGS,
    seed: int | Seed = 0,
) -> OptionPosterior:
    """Read the probability of each option.

    Parameters
    ----------
    model : LanguageModel or Session
        A model that scores given text.
    item : Item
        The question.
    mode : str
        ``"direct"``: the letter at once. ``"cot"``: after one reasoning of the model. ``"marginal"``: the mean over
        several.
    n_reasonings : int
        How many for ``"marginal"``, >= 1; ``"cot"`` takes one.
    reasonings : sequence of str
        Texts to take instead of drawing any, for asking what a foreign reasoning does; not for ``"direct"``.
    letters : str
        What the options are called.
    debias : str
        ``"none"``; ``"cyclic"``: the mean over all rotations of the options; ``"prior"``: divided by what the letters
        get with a question and options that say nothing, renormalised to the same mass.
    temperature : float
        Of the reasonings, >= 0.
    max_tokens : int
        Most tokens of a reasoning, >= 1.
    instructions : pair of str
        What is put after the options, for answering at once and for reasoning.
    stem : str
        The text before the letter. A reasoning is cut where the model writes it last, or it is added.
    spellings : tuple of str
        How a letter may be written after the stem, with ``{upper}`` and ``{lower}`` for it; their probabilities add up.
    seed : int or Seed
        Root of the reasonings; a session brings its own.

    Returns
    -------
    OptionPosterior

    Raises
    ------
    UsageError
        A parameter is out of range, or there are more options than letters.
    CapabilityError
        The model does not score given text.
    BackendError
        The model failed.

    Examples
    --------
    >>> from educe.lm import TabularLM
    >>> lm = TabularLM(lambda prompt, text: {" A": 0.25, " B": 0.75} if text.endswith("is") else {"": 1.0})
    >>> item = MultipleChoice("2 + 2 = ?", ("3", "4"), "B")
    >>> option_confidence_sync(lm, item, spellings=(" {upper}",)).probs.tolist()
    [0.25, 0.75]
    """
    if mode not in MODES or debias not in ("none", "cyclic", "prior"):
        raise UsageError(
            f"mode={mode!r}, debias={debias!r} is unknown. Use direct, cot or marginal, and none, cyclic or prior."
        )
    if n_reasonings < 1 or max_tokens < 1:
        raise UsageError(f"n_reasonings={n_reasonings}, max_tokens={max_tokens} reason nothing. Give numbers >= 1.")
    count = len(item.choices)
    if len(set(letters[:count])) < count:
        raise UsageError(f"{len(letters)} letters do not name {count} options. Give as many distinct ones.")
    session = model if isinstance(model, Session) else Session(model, seed=seed)
    session.lm.require("score")
    rows = {"direct": 0, "cot": 1, "marginal": n_reasonings}[mode]
    names = [[form.format(upper=x, lower=x.lower()) for form in spellings] for x in letters[:count]]

    async def read(text: str, choices: Sequence[str], rows: int) -> tuple[Floats, list[str]]:
        lines = [text, *(f"{letter}. {choice}" for letter, choice in zip(letters, choices, strict=False))]
        instruction = instructions[1 if rows else 0]
        asked = Message(role="user", content="\n".join([*lines, instruction] if instruction else lines))
        if not rows:
            return (await _letters(session, asked, stem, names))[None, :], []
        written = list(reasonings)
        if not written:
            drawn = await session.sample([asked], n=rows, temperature=temperature, max_tokens=max_tokens)
            written = [completion.text for completion in drawn]
        if not written:
            raise UsageError("The budget leaves no reasoning to read. Raise it, or use mode 'direct'.")
        starts = [_begun(one, stem) for one in written]
        known = {start: await _letters(session, asked, start, names) for start in dict.fromkeys(starts)}
        return np.stack([known[start] for start in starts]), written

    shifts = range(count) if debias == "cyclic" else (0,)
    tables, texts = [], []
    for shift in shifts:
        order = [(place + shift) % count for place in range(count)]
        choices = [item.choices[place] for place in order]
        found, written = await read(item.text, choices, rows)
        # Back into the order of the item.
        tables.append(found[:, np.argsort(order)])
        texts += written
    each = np.mean(tables, axis=0) if len({len(table) for table in tables}) == 1 else np.concatenate(tables)
    mass = float(each.sum(1).mean())
    if debias == "prior":
        empty, _ = await read("N/A", ["N/A"] * count, 0)
        lifted = each / np.maximum(empty[0], 1e-12)
        each = lifted / np.maximum(lifted.sum(1, keepdims=True), 1e-300) * each.sum(1, keepdims=True)
    return OptionPosterior(each.mean(0), mass, tuple(texts), each)


def _begun(text: str, stem: str) -> str:
    """A reasoning up to its last announcement of an answer, or with one added."""
    before, found, _ = text.rpartition(stem)
    return (before if found else text.rstrip() + "\n") + stem


async def _letters(session: Session, asked: Message, start: str, names: Sequence[Sequence[str]]) -> Floats:
    """Probability of each letter after the beginning of an answer, summed over its spellings."""
    flat = list(dict.fromkeys(text for group in names for text in group))
    rows = await session.score([asked, Message(role="assistant", content=start)], flat)
    if len(rows) < len(flat):
        raise UsageError("The budget leaves no room to score the options. Raise it.")
    values = {text: float(np.exp(row.logprob)) for text, row in zip(flat, rows, strict=True)}
    return np.array([sum(values[text] for text in dict.fromkeys(group)) for group in names])


def option_confidence_sync(
    model: LanguageModel | Session, item: Item, mode: Mode = "direct", **options: object
) -> OptionPosterior:
    """`option_confidence` for ordinary code; also works inside a running loop.

    Parameters
    ----------
    model, item, mode
        As for `option_confidence`.
    **options
        As for `option_confidence`.
    """
    return run_sync(option_confidence(model, item, mode, **options))  # type: ignore[arg-type]
