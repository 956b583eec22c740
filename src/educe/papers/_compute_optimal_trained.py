"""The trained parts of the compute-optimal report: a copy of abacus that revises, and two sizes at equal operations."""

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
from educe.core import Seed, run_sync
from educe.learn import Pretraining, make_revision_data, pretrain_decoder, revision_text, roll_out
from educe.lm import LanguageModel, Session, flops_matched, model_size
from educe.lm.decoder import Decoder
from educe.lm.packaged import packaged_folder
from educe.reason import Question, Revise, SampleBank, StepPolicy, difficulty
from educe.tasks import Problem, make

FAMILY = "chain_arithmetic"
TOKENS = 160
RATIOS = (0.16, 0.79, 22.0)  # inference over pretraining tokens, as in the paper
END = "<|endoftext|>"


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

    settings = Pretraining(sizes["steps"], batch=16, learning_rate=5e-4, warmup=10)
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
    last, chosen, first, broken, kept = [], [], [], 0, 0
    steps = StepPolicy(max_tokens=TOKENS, temperature=1.0)
    for place, problem in enumerate(problems):
        method = Revise(
            chains=1,
            length=sizes["length"],
            select="majority",
            steps=steps,
            prompt=lambda asked, earlier: revision_text(asked.text, earlier),
        )
        session = Session(model, seed=root.child("revise", place))
        posterior = run_sync(method(Question.from_json(problem.question_json()), session))
        (chain,) = posterior.details["chains"]
        right = [_is_right(problem, answer) for answer in chain]
        first.append(right[0])
        last.append(right[-1])
        chosen.append(posterior.confidence > 0 and problem.check_answer(posterior.mode().text))
        for before, after in pairwise(right):
            kept += before and after
            broken += before and not after
    return {
        "questions": len(problems),
        "length": sizes["length"],
        "first": fmean(first),
        "last": fmean(last),
        "chosen": fmean(chosen),
        "right to wrong": broken / max(1, broken + kept),
    }


def _is_right(problem: Problem, answer: str | None) -> bool:
    return answer is not None and problem.check_answer(answer)


def exchange(root: Seed, sizes: dict[str, int]) -> dict[str, Any]:
    """Majority vote of the small size, at the samples that operations allow, against the large size's greedy answer."""
    small, large = educe.load("abacus-small"), educe.load("abacus")
    try:
        scale = model_size(large).parameters / model_size(small).parameters
        counts = {ratio: max(1, round(flops_matched(scale, 1.0, ratio))) for ratio in RATIOS}
        problems = make(FAMILY, sizes["exchange"], split="test", seed=root.child("exchange"))
        questions = [Question.from_json(problem.question_json()) for problem in problems]

        def verdict(index: int, row: Any) -> bool:
            return problems[index].check(row.text)

        options = {"max_tokens": TOKENS, "check": verdict}
        bank = SampleBank.draw_sync(
            small, questions, max(counts.values()), temperature=1.0, seed=root.child("small"), **options
        )
        greedy = SampleBank.draw_sync(large, questions, 1, temperature=0.0, seed=root.child("large"), **options)
        bins = difficulty(bank).bins
    finally:
        small.close()
        large.close()
    rows = []
    for ratio, n in counts.items():
        for b in range(1, 6):
            places = [place for place in range(len(problems)) if bins[place] == b]
            votes = [educe.reason.aggregate(bank.rows[place].take(range(n)), "sc") for place in places]
            hits = [bank.rows[place].credit(vote) for place, vote in zip(places, votes, strict=True)]
            big = [float((greedy.rows[place].verdicts == 1).any()) for place in places]
            rows.append({"ratio": ratio, "samples": n, "bin": b, "small": fmean(hits), "large": fmean(big)})
    easy = any(row["small"] > row["large"] for row in rows if row["ratio"] == RATIOS[0] and row["bin"] <= 3)
    hard = any(row["small"] < row["large"] for row in rows if row["ratio"] == RATIOS[-1] and row["bin"] == 5)
    verdict_text = (
        "it wins in an easy bin at low inference load and loses in the hardest bin at high load."
        if easy and hard
        else f"not shown (wins in bins 1 to 3 at R = {RATIOS[0]}: {easy}; loses in bin 5 at R = {RATIOS[-1]}: {hard})."
    )
    return {"scale": scale, "rows": rows, "verdict": verdict_text}
