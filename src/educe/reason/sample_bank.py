"""`SampleBank`: many samples of many questions, drawn once and replayed by every estimator.

Comparing estimators on fresh samples compares luck as well. A bank holds, for each question and sample, the answer,
the log-probability under the model (temperature 1, nothing truncated) and under the law that the sample was drawn
from, the number of tokens, the verdict of a checker, a key of the token path, and any scores. Every estimator then
sees the same rows, so comparisons are paired and need no model.

A bank is saved as one ``.npz`` file: plain arrays and a JSON header, never pickle. It holds neither hidden states nor
the log-probability of each token.
"""

from __future__ import annotations

import inspect
import json
import zipfile
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from educe.core import Budget, DataError, Seed, UsageError, run_sync
from educe.lm import Completion, LanguageModel, Session
from educe.reason.bank_row import RIGHT, UNDECIDED, WRONG, BankRow
from educe.reason.question import Answer, Question, read_answers
from educe.verify.answers import Verdict, check

__all__ = ["SampleBank"]

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Checker = Callable[[int, Completion], "Verdict | bool | Awaitable[Verdict | bool | None] | None"]

FORMAT = 1
ARRAYS = ("answers", "logprobs", "sampling_logprobs", "tokens", "paths", "verdicts")


@dataclass(frozen=True)
class SampleBank:
    """Question x sample: everything an estimator may look at.

    Parameters
    ----------
    questions : tuple of Question
        What was asked.
    rows : tuple of BankRow
        The samples of each question. Rows may differ in length where a budget ended the drawing.
    texts : tuple of tuple of str, optional
        The completions, where they were kept.
    about : mapping
        How the bank was drawn: model, temperature, seed, ledger. JSON-able.

    Raises
    ------
    UsageError
        The lengths do not fit.

    Examples
    --------
    >>> from educe.lm import FakeLM
    >>> bank = SampleBank.draw_sync(FakeLM(["The answer is 4.", "The answer is 5."]), [Question("2 + 2 = ?")], 6,
    ...                             references=["4"])
    >>> len(bank), len(bank.rows[0]), sorted(answer.text for answer in bank.rows[0].classes)
    (1, 6, ['4', '5'])
    """

    questions: tuple[Question, ...]
    rows: tuple[BankRow, ...]
    texts: tuple[tuple[str, ...], ...] | None = None
    about: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.questions) != len(self.rows):
            raise UsageError(
                f"{len(self.questions)} questions do not fit {len(self.rows)} rows. Give one row per question."
            )
        if self.texts is not None and [len(row) for row in self.rows] != [len(texts) for texts in self.texts]:
            raise UsageError("The texts do not fit the rows. Give one text per sample, or none at all.")

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[BankRow]:
        return iter(self.rows)

    @classmethod
    async def draw(
        cls,
        lm: LanguageModel | Session,
        questions: Sequence[Question],
        n: int,
        *,
        references: Sequence[str] | None = None,
        checker: Checker | None = None,
        temperature: float | Sequence[float] = 1.0,
        top_p: float = 1.0,
        max_tokens: int = 256,
        keep_texts: bool = True,
        budget: Budget | None = None,
        seed: int | Seed = 0,
    ) -> SampleBank:
        """Draw `n` samples of every question.

        Parameters
        ----------
        lm : LanguageModel or Session
            The model; a session brings its own budget and seed.
        questions : sequence of Question
            What to ask, at least one.
        n : int
            Samples per question, >= 1.
        references : sequence of str, optional
            The right answers; each class of answers is compared with its own once.
        checker : callable, optional
            ``checker(index, completion)`` returns a `Verdict`, a truth value, or None for undecided; it may be a
            coroutine function. Used instead of references.
        temperature : float or sequence of float
            Sampling temperature, >= 0; a sequence gives each of the `n` samples its own.
        top_p, max_tokens
            See `Sampling`.
        keep_texts : bool
            Keep the completions, for scorers that come later.
        budget : Budget, optional
            Limits of the whole drawing. At the limit the bank holds what there is.
        seed : int or Seed
            Root of all draws.

        Returns
        -------
        SampleBank

        Raises
        ------
        UsageError
            A size is out of range, references and checker are mixed, or a session is given with a budget.
        """
        if n < 1 or not questions:
            raise UsageError(f"n={n} samples of {len(questions)} questions are no bank. Give at least one of each.")
        if references is not None and (checker is not None or len(references) != len(questions)):
            raise UsageError(
                f"{len(references)} references for {len(questions)} questions do not fit. "
                "Give one per question, or a checker instead."
            )
        if isinstance(lm, Session) and budget is not None:
            raise UsageError("A session has its own budget. Give the budget to the session.")
        heats = [float(temperature)] * n if isinstance(temperature, (int, float)) else [float(t) for t in temperature]
        if len(heats) != n:
            raise UsageError(
                f"{len(heats)} temperatures for {n} samples do not fit. Give one per sample, or one number."
            )
        session = lm if isinstance(lm, Session) else Session(lm, budget, seed)
        rows, texts = [], []
        for index, question in enumerate(questions):
            drawn: list[Completion] = []
            for heat, group in groupby(heats):
                drawn += await session.sample(
                    question.messages(), n=len(list(group)), temperature=heat, top_p=top_p, max_tokens=max_tokens
                )
            answers = await read_answers(question, drawn)
            reference = None if references is None else references[index]
            verdicts = await _verdicts(index, question, drawn, answers, reference, checker)
            rows.append(BankRow.of(drawn, answers, verdicts))
            texts.append(tuple(row.text for row in drawn))
        about = {
            "lm": session.lm.name,
            "n": n,
            "temperature": heats[0] if len(set(heats)) == 1 else heats,
            "top_p": top_p,
            "max_tokens": max_tokens,
            "seed": [session.seed.root, *session.seed.path],
            "ledger": session.ledger.to_json(),
        }
        return cls(tuple(questions), tuple(rows), tuple(texts) if keep_texts else None, about)

    @classmethod
    def draw_sync(
        cls, lm: LanguageModel | Session, questions: Sequence[Question], n: int, **options: Any
    ) -> SampleBank:
        """`draw` for ordinary code; also works inside a running loop.

        Parameters
        ----------
        lm, questions, n
            As for `draw`.
        **options
            As for `draw`.
        """
        return run_sync(cls.draw(lm, questions, n, **options))

    def take(self, index: Sequence[int]) -> SampleBank:
        """Return the bank of these questions only, in this order.

        Parameters
        ----------
        index : sequence of int
            Positions of questions.
        """
        texts = None if self.texts is None else tuple(self.texts[i] for i in index)
        return replace(
            self,
            questions=tuple(self.questions[i] for i in index),
            rows=tuple(self.rows[i] for i in index),
            texts=texts,
        )

    def with_scores(self, name: str, scores: Sequence[npt.ArrayLike]) -> SampleBank:
        """Return the bank with one more score for every sample.

        Parameters
        ----------
        name : str
            What to call it; a score of that name is replaced.
        scores : sequence of array-like
            One array per question, (samples,) or (samples, steps).

        Raises
        ------
        UsageError
            A length does not fit.
        """
        arrays = [np.asarray(values, dtype=np.float64) for values in scores]
        if [len(array) for array in arrays] != [len(row) for row in self.rows]:
            raise UsageError(
                f"Scores {name!r} do not fit the samples. Give one array per question, one row per sample."
            )
        rows = (replace(row, scores={**row.scores, name: array}) for row, array in zip(self.rows, arrays, strict=True))
        return replace(self, rows=tuple(rows))

    @property
    def rates(self) -> Floats:
        """Share of each question's samples that are right, (questions,); NaN for a question without samples."""
        return np.array([np.nan if not len(row) else (row.verdicts == RIGHT).mean() for row in self.rows])

    def counts(self) -> tuple[Integers, Integers]:
        """Samples and right samples of each question, two arrays of (questions,)."""
        samples = np.array([len(row) for row in self.rows], dtype=np.int64)
        return samples, np.array([(row.verdicts == RIGHT).sum() for row in self.rows], dtype=np.int64)

    def save(self, path: Path | str) -> None:
        """Write the bank to one ``.npz`` file of arrays and a JSON header.

        Parameters
        ----------
        path : Path or str
            Where to; overwritten.
        """
        header = {
            "format": FORMAT,
            "questions": [{**question.to_json(), "id": question.id} for question in self.questions],
            "classes": [[answer.text for answer in row.classes] for row in self.rows],
            "texts": self.texts,
            "about": dict(self.about),
        }
        arrays = {
            f"{index}/{name}": values
            for index, row in enumerate(self.rows)
            for name, values in (
                *((name, getattr(row, name)) for name in ARRAYS),
                *((f"score:{name}", values) for name, values in row.scores.items()),
            )
        }
        text = json.dumps(header, ensure_ascii=True).encode()
        with Path(path).open("wb") as file:
            np.savez_compressed(file, header=np.frombuffer(text, dtype=np.uint8), **arrays)

    @classmethod
    def load(cls, path: Path | str) -> SampleBank:
        """Read a bank that `save` wrote.

        Parameters
        ----------
        path : Path or str
            The file.

        Raises
        ------
        DataError
            The file is missing, no bank, or damaged.
        """
        try:
            # NumPy leaves a file that it opened itself open when that turns out to be no archive.
            with Path(path).open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            header = json.loads(arrays.pop("header").tobytes())
            if header["format"] != FORMAT:
                raise DataError(f"{path} has bank format {header['format']!r}, known is {FORMAT}. Draw the bank again.")
            questions = tuple(Question.from_json(item) for item in header["questions"])
            rows = tuple(
                _row(question, texts, {name: values for name, values in arrays.items() if name.startswith(f"{index}/")})
                for index, (question, texts) in enumerate(zip(questions, header["classes"], strict=True))
            )
            kept = header["texts"]
            texts = None if kept is None else tuple(tuple(items) for items in kept)
            return cls(questions, rows, texts, header["about"])
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise DataError(f"{path} is no sample bank: {error}. Draw it again with SampleBank.draw.") from None


def _row(question: Question, texts: Sequence[str], arrays: Mapping[str, Any]) -> BankRow:
    plain = {name.partition("/")[2]: values for name, values in arrays.items()}
    classes = tuple(Answer(text, question.answer_kind, question.choices) for text in texts)
    scores = {name.removeprefix("score:"): values for name, values in plain.items() if name.startswith("score:")}
    row = BankRow(classes, **{name: plain[name] for name in ARRAYS}, scores=scores)
    lengths = {len(values) for values in plain.values()}
    if len(lengths) != 1 or (len(row) and not -1 <= row.answers.min() <= row.answers.max() < len(classes)):
        raise ValueError("its arrays do not fit one another")
    return row


async def _verdicts(
    index: int,
    question: Question,
    completions: Sequence[Completion],
    answers: Sequence[Answer | None],
    reference: str | None,
    checker: Checker | None,
) -> list[int]:
    """Judge each sample, or each class of answers where there is a reference."""
    verdicts = []
    known: dict[int, int] = {}
    for completion, answer in zip(completions, answers, strict=True):
        if checker is not None:
            found = checker(index, completion)
            verdicts.append(_code(await found if inspect.isawaitable(found) else found))
        elif answer is None or reference is None:
            # An unreadable sample is a wrong one as soon as there is anything to be right about.
            verdicts.append(UNDECIDED if reference is None else WRONG)
        else:
            if id(answer) not in known:
                known[id(answer)] = _code(check(answer.text, reference, question.answer_kind, question.choices))
            verdicts.append(known[id(answer)])
    return verdicts


def _code(verdict: Verdict | bool | None) -> int:
    if verdict is None or verdict is Verdict.LIMIT_HIT:
        return UNDECIDED
    return RIGHT if verdict is Verdict.PROVED or verdict is True else WRONG
