"""Samples of a packaged model with its self-evaluations, drawn and read in large batches.

`educe.verify.SelfEval` asks one text at a time through a session; for thousands of stored samples the same numbers are
read here in batches from the same weights. `agreement` holds the two ways against each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from educe.core import Seed
from educe.learn import Rollout, roll_out
from educe.lm import Completion
from educe.lm.decoder import Decoder, padded_batch
from educe.papers._problems import questions_of
from educe.reason import BankRow, SampleBank, read_answers
from educe.tasks import Problem
from educe.verify import SelfEval

__all__ = ["Model", "agreement", "draw_bank", "open_model"]

Floats = npt.NDArray[np.float64]
AT_ONCE = 128


class Model(NamedTuple):
    """A packaged model: as served, its weights as a plain decoder, and its tokenizer."""

    lm: Any
    decoder: Decoder
    tokenizer: Any


def open_model(lm: Any) -> Model:
    """Open a local model in all three ways.

    Parameters
    ----------
    lm : LanguageModel
        With a folder of weights and a ``tokenizer.json``.
    """
    import tokenizers

    return Model(lm, Decoder.load(lm.path), tokenizers.Tokenizer.from_file(str(lm.path / "tokenizer.json")))


async def draw_bank(
    model: Model, problems: Sequence[Problem], temperatures: Sequence[float], fractions: Sequence[float], seed: Seed
) -> SampleBank:
    """Draw one sample per temperature and problem, with the self-evaluation at each fraction of its tokens.

    Parameters
    ----------
    model : Model
        Trained to judge itself.
    problems : sequence of Problem
        What to ask.
    temperatures : sequence of float
        One per sample.
    fractions : sequence of float
        Rising, the last one 1; at 0 the question alone is judged.
    seed : Seed
        Source of the draws.

    Returns
    -------
    SampleBank
        With the scores ``"self-eval"`` (samples, fractions) and ``"probability"`` (geometric mean per token).
    """
    columns = [
        roll_out(model.decoder, model.tokenizer, problems, temperature=heat, seed=seed.child("sample", place))
        for place, heat in enumerate(temperatures)
    ]
    rows, texts = [], []
    for index, question in enumerate(questions_of(problems)):
        drawn = [column[index] for column in columns]
        judged, logs = _judge(model, drawn, fractions)
        lengths = [len(rollout.drawn) + 1 for rollout in drawn]
        completions = [
            Completion(rollout.text, tuple(rollout.drawn), tuple([log / count] * count))
            for rollout, log, count in zip(drawn, logs, lengths, strict=True)
        ]
        answers = await read_answers(question, completions)
        row = BankRow.of(completions, answers, [int(rollout.right) for rollout in drawn])
        mean = np.exp(np.array(logs) / np.array(lengths))
        rows.append(_with(row, {"self-eval": judged, "probability": mean}, np.array(lengths)))
        texts.append(tuple(rollout.text for rollout in drawn))
    return SampleBank(tuple(questions_of(problems)), tuple(rows), tuple(texts))


def _with(row: BankRow, scores: dict[str, Floats], tokens: npt.NDArray[np.int64]) -> BankRow:
    from dataclasses import replace

    return replace(row, scores=scores, tokens=tokens)


@torch.inference_mode()
def _judge(model: Model, drawn: Sequence[Rollout], fractions: Sequence[float]) -> tuple[Floats, list[float]]:
    """Self-evaluations, (samples, fractions), and the log-probability of each whole answer."""
    check, yes, no, end = (
        model.tokenizer.encode(text).ids[0] for text in ("<|check|>", " yes", " no", "<|endoftext|>")
    )
    line = model.tokenizer.encode("\n").ids
    texts = []
    for rollout in drawn:
        for fraction in fractions:
            part = rollout.drawn[: round(fraction * len(rollout.drawn))]
            # The served model drops line breaks before the token that asks.
            while part and part[-1:] == line:
                part = part[:-1]
            texts.append([*rollout.prompt, *part, check])
    scores = []
    for start in range(0, len(texts), AT_ONCE):
        chunk = texts[start : start + AT_ONCE]
        hidden = model.decoder.hidden(padded_batch(chunk))
        last = hidden[torch.arange(len(chunk)), torch.tensor([len(text) - 1 for text in chunk])]
        logits = model.decoder.logits(last).double()
        scores.append((logits[:, yes] - logits[:, no]).sigmoid())
    table = torch.cat(scores).reshape(len(drawn), len(fractions)).numpy()
    whole = [[*rollout.prompt, *rollout.drawn, end] for rollout in drawn]
    tokens = padded_batch(whole)
    logs = model.decoder(tokens[:, :-1]).log_softmax(-1).gather(-1, tokens[:, 1:, None])[..., 0].double()
    totals = [
        float(logs[place, len(rollout.prompt) - 1 : len(text) - 1].sum())
        for place, (rollout, text) in enumerate(zip(drawn, whole, strict=True))
    ]
    return np.asarray(table), totals


def agreement(model: Model, bank: SampleBank, count: int) -> float:
    """Largest difference between batched self-evaluations of whole answers and those of the served model.

    Parameters
    ----------
    model : Model
        The same as the bank's.
    bank : SampleBank
        From `draw_bank`.
    count : int
        Answers to compare, from the first questions.
    """
    gaps = []
    for question, row, texts in zip(bank.questions[:count], bank.rows, bank.texts or (), strict=False):
        served = SelfEval().score(model.lm, question.messages(), [texts[0]])[0]
        gaps.append(abs(served - float(row.scores["self-eval"][0, -1])))
    return max(gaps)
