"""The trained parts of the compute-optimal report: strategies on abacus, and a copy of it that revises."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any

import tokenizers

import educe
from educe.core import Posterior, Seed, run_sync
from educe.learn import Pretraining, make_revision_data, pretrain_decoder, revision_text, roll_out
from educe.lm import LanguageModel, Session
from educe.lm.decoder import Decoder
from educe.lm.packaged import packaged_folder
from educe.reason import ComputeOptimal, Question, Revise, StepPolicy
from educe.tasks import Problem, make

FAMILY = "chain_arithmetic"
TOKENS = 160
END = "<|endoftext|>"
TRAINED = StepPolicy(max_tokens=TOKENS, temperature=1.0)


def sweep(chooser: ComputeOptimal, root: Seed, sizes: dict[str, int]) -> list[dict[str, Any]]:
    """Accuracy of every strategy on the trained model."""
    problems = make(FAMILY, sizes["sweep"], split="test", seed=root.child("sweep"))
    questions = [Question.from_json(problem.question_json()) for problem in problems]
    model = educe.load("abacus")
    try:
        right = run_sync(
            chooser.run(questions, lambda place, answer: problems[place].check_answer(answer.text), model, root)
        )
    finally:
        model.close()
    return [
        {"strategy": name, **{f"N = {n}": float(value) for n, value in zip(chooser.budgets, row, strict=True)}}
        for name, row in zip(chooser.strategies, right.mean(2), strict=True)
    ]


def revisions(root: Seed, sizes: dict[str, int]) -> dict[str, Any]:
    """Fine-tune a copy on its own chains, let it revise held-out questions, and compare last with chosen."""
    folder = packaged_folder("abacus")
    decoder = Decoder.load(folder)
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    problems = [
        problem
        for problem in make(FAMILY, sizes["train"], split="train", seed=root.child("train"))
        for _ in range(sizes["samples"])
    ]
    answers = roll_out(decoder, tokenizer, problems, temperature=1.2, seed=root.child("answers"))
    lessons = make_revision_data(answers, seed=root.child("lessons"))
    end = int(tokenizer.token_to_id(END) or 0)
    encoded: list[tuple[Sequence[int], Sequence[int]]] = [
        (
            tokenizer.encode(revision_text(lesson.question, lesson.earlier)).ids,
            [*tokenizer.encode(lesson.answer).ids, end],
        )
        for lesson in lessons
    ]
    fitting = [pair for pair in encoded if len(pair[0]) + len(pair[1]) < decoder.config.context]

    def draw(seed: Seed, n: int) -> Sequence[tuple[Sequence[int], Sequence[int]]]:
        return [fitting[int(place)] for place in seed.numpy().integers(len(fitting), size=n)]

    settings = Pretraining(sizes["steps"], batch=16, learning_rate=1e-4, warmup=10)
    pretrain_decoder(decoder, draw, settings, seed=root.child("fine-tuning"))
    with tempfile.TemporaryDirectory() as place:
        for name in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(folder / name, Path(place) / name)
        known = json.loads((folder / "config.json").read_text())
        decoder.save(Path(place), {name: known[name] for name in known if name.endswith("_token_id")})
        model = educe.load(place)
        try:
            return _chains(model, root, sizes)
        finally:
            model.close()


def _chains(model: LanguageModel, root: Seed, sizes: dict[str, int]) -> dict[str, Any]:
    problems = make(FAMILY, sizes["test"], split="test", seed=root.child("test"))
    right: list[list[bool]] = []
    chosen: list[list[bool]] = []
    for place, problem in enumerate(problems):
        method = Revise(
            chains=1,
            length=sizes["length"],
            select="majority",
            steps=TRAINED,
            prompt=lambda asked, earlier: revision_text(asked.text, earlier),
        )
        session = Session(model, seed=root.child("revise", place))
        posterior = run_sync(method(Question.from_json(problem.question_json()), session))
        (chain,) = posterior.details["chains"]
        right.append([_is_right(problem, answer) for answer in chain])
        votes = [[answer for answer in chain[: count + 1] if answer is not None] for count in range(len(chain))]
        chosen.append([bool(vote) and _is_right(problem, Posterior.uniform(vote).mode()) for vote in votes])
    pairs = [pair for row in right for pair in pairwise(row)]
    broken = sum(before and not after for before, after in pairs)
    return {
        "questions": len(problems),
        "by position": [fmean(column) for column in zip(*right, strict=True)],
        "chosen from so many": [fmean(column) for column in zip(*chosen, strict=True)],
        "last": fmean(row[-1] for row in right),
        "chosen": fmean(row[-1] for row in chosen),
        "right to wrong": broken / max(1, sum(before for before, _ in pairs)),
        "wrong to right": sum(after and not before for before, after in pairs) / max(1, sum(not b for b, _ in pairs)),
    }


def _is_right(problem: Problem, answer: str | None) -> bool:
    return answer is not None and problem.check_answer(answer)
