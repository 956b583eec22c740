"""Train `abacus`, the small reasoner that ships with educe, and write its model card.

python scripts/train_abacus.py                          src/educe/lm/abacus, 30 to 45 minutes of one core
python scripts/train_abacus.py --share 0.01 --out DIR   a quick try

Order: tokenizer, pretraining, answers of its own marked by the checkers, self-evaluation, process reward, measuring.
All from the training split but the measuring, which is on the test split. A run that is killed in pretraining goes on
from its last checkpoint in --work.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
import torch
from _abacus_card import accuracy_table, judge_table, write_card

from educe.core import Seed
from educe.learn.decoder_training import Example, Pretraining, pretrain_decoder
from educe.learn.process_reward import train_process_reward
from educe.learn.rollouts import Rollout, question_text, roll_out
from educe.learn.self_evaluation import train_self_eval
from educe.learn.word_tokenizer import END, token_id, train_tokenizer
from educe.lm.decoder import Decoder, DecoderConfig
from educe.tasks import Problem, stream

PACKAGE = Path(__file__).parents[1] / "src" / "educe" / "lm"
SIZE = DecoderConfig(vocabulary=0, layers=4, width=160, heads=5, feed_forward=432)
# Two stages. Families that are learned late (finding an option, rewriting, programs) have larger shares in the second.
FIRST_SHARES = {
    "chain_arithmetic": 2.5,
    "large_arithmetic": 2.0,
    "brackets": 2.0,
    "linear_equations": 1.5,
    "two_hop_facts": 0.6,
    "three_hop_facts": 2.0,
    "claims": 0.8,
    "implications": 1.2,
    "list_programs": 1.5,
    "letters": 1.0,
    "multiple_choice": 1.2,
    "multiple_choice_at_once": 1.2,
}
SECOND_SHARES = {
    "chain_arithmetic": 1.0,
    "large_arithmetic": 1.5,
    "brackets": 2.5,
    "linear_equations": 2.5,
    "two_hop_facts": 0.4,
    "three_hop_facts": 1.5,
    "claims": 0.6,
    "implications": 1.0,
    "list_programs": 2.0,
    "letters": 1.0,
    "multiple_choice": 2.0,
    "multiple_choice_at_once": 4.0,
}
# Lowest and highest difficulty trained at.
FIRST_LEVELS = {
    "chain_arithmetic": (1, 6),
    "large_arithmetic": (1, 3),
    "brackets": (1, 4),
    "linear_equations": (1, 4),
    "two_hop_facts": (1, 3),
    "three_hop_facts": (1, 4),
    "claims": (1, 3),
    "implications": (1, 4),
    "list_programs": (1, 3),
    "letters": (3, 5),
    "multiple_choice": (1, 3),
    "multiple_choice_at_once": (1, 3),
}
SECOND_LEVELS = FIRST_LEVELS | {"multiple_choice": (0, 3), "multiple_choice_at_once": (0, 3)}
VOCABULARY = 768
CORPUS_PER_FAMILY = 4000
FIRST, SECOND = (3600, 3e-3), (1400, 2e-3)  # steps and highest learning rate
BATCH = 32
ANSWERS_PER_PROBLEM = 4
PROBLEMS_PER_FAMILY = {"self-eval": 250, "process-reward": 250}


def training_problems(seed: Seed, per_family: int) -> list[Problem]:
    """Draw problems of all families from the training split."""
    rng = seed.numpy()
    return [
        next(stream(rng, name, int(rng.integers(low, high + 1))))
        for name, (low, high) in FIRST_LEVELS.items()
        for _ in range(per_family)
    ]


def corpus(seed: Seed, per_family: int) -> Iterator[str]:
    """Texts for the tokenizer."""
    for problem in training_problems(seed, per_family):
        yield question_text(problem.prompt) + problem.solution
    yield from [" yes no"] * 100


class Examples:
    """Questions and solutions in tokens, from the training split, by the shares above."""

    def __init__(
        self, tokenizer: tokenizers.Tokenizer, shares: Mapping[str, float], levels: Mapping[str, tuple[int, int]]
    ) -> None:
        self.tokenizer, self.end = tokenizer, token_id(tokenizer, END)
        self.names, self.levels = tuple(shares), levels
        self.shares = np.array(list(shares.values())) / sum(shares.values())

    def __call__(self, seed: Seed, n: int) -> list[Example]:
        rng = seed.numpy()
        problems = []
        for index in rng.choice(len(self.names), n, p=self.shares):
            name = self.names[int(index)]
            low, high = self.levels[name]
            problems.append(next(stream(rng, name, int(rng.integers(low, high + 1)))))
        prompts = self.tokenizer.encode_batch([question_text(problem.prompt) for problem in problems])
        solutions = self.tokenizer.encode_batch([problem.solution for problem in problems])
        return [(p.ids, [*s.ids, self.end]) for p, s in zip(prompts, solutions, strict=True)]


def own_answers(
    decoder: Decoder, tokenizer: tokenizers.Tokenizer, seed: Seed, per_family: int, answers: int = ANSWERS_PER_PROBLEM
) -> list[Rollout]:
    """Let the model answer problems of the training split."""
    problems = training_problems(seed.child("problems"), per_family)
    return roll_out(decoder, tokenizer, [p for p in problems for _ in range(answers)], seed=seed.child("answers"))


def show(row: Any) -> None:
    """Print a line of progress."""
    if row["step"] % 200 == 0:
        print(json.dumps({key: round(value, 4) for key, value in row.items()}), flush=True)


def train(out: Path, work: Path, seed: Seed, share: float) -> None:
    """Train one model and write it with its heads and its card."""
    out.mkdir(parents=True, exist_ok=True)
    work.mkdir(parents=True, exist_ok=True)
    few = max(2, round(CORPUS_PER_FAMILY * min(1.0, 10 * share)))
    tokenizer = train_tokenizer(corpus(seed.child("corpus"), few), VOCABULARY, out)
    decoder = Decoder(replace(SIZE, vocabulary=tokenizer.get_vocab_size()), seed)
    print(json.dumps(decoder.describe()), flush=True)
    curve: list[dict[str, float]] = []
    stages = []
    pretraining = 0.0  # seconds, those before a kill included
    for number, ((most, rate), shares, levels) in enumerate(
        ((FIRST, FIRST_SHARES, FIRST_LEVELS), (SECOND, SECOND_SHARES, SECOND_LEVELS)), start=1
    ):
        steps = max(20, round(most * share))
        settings = Pretraining(steps=steps, batch=BATCH, learning_rate=rate, warmup=min(100, steps // 5))
        draw = Examples(tokenizer, shares, levels)
        at = seed if number == 1 else seed.child("second")
        part = pretrain_decoder(decoder, draw, settings, seed=at, folder=work / f"stage-{number}", told=show)
        pretraining += part[-1]["seconds"]
        curve += [{"stage": number, **row} for row in part]
        stages.append({"settings": settings, "shares": shares, "levels": levels})
    began = time.monotonic()
    before = accuracy_table(decoder, tokenizer, problems=max(4, round(60 * share)), samples=4, defaults_only=True)
    answers = own_answers(
        decoder, tokenizer, seed.child("self-eval"), max(2, round(PROBLEMS_PER_FAMILY["self-eval"] * share))
    )
    judged = train_self_eval(decoder, tokenizer, answers, draw, steps=max(5, round(400 * share)), seed=seed, told=show)
    decoder.save(out, {"eos_token_id": token_id(tokenizer, END), "bos_token_id": None})
    answers = own_answers(
        decoder,
        tokenizer,
        seed.child("process-reward"),
        max(2, round(PROBLEMS_PER_FAMILY["process-reward"] * share)),
    )
    head = train_process_reward(decoder, tokenizer, answers, seed=seed)
    head.save(out / "heads" / "process_reward.safetensors")
    minutes = {"pretraining": pretraining / 60, "judges": (time.monotonic() - began) / 60}
    table = accuracy_table(decoder, tokenizer, problems=max(4, round(40 * share)), samples=max(4, round(64 * share)))
    judges = judge_table(decoder, tokenizer, head, problems=max(4, round(60 * share)))
    write_card(
        out / "MODEL_CARD.md",
        sizes=decoder.describe(),
        seed=seed.root,
        stages=stages,
        curve=curve,
        judged=judged,
        before=before,
        table=table,
        judges=judges,
        minutes=minutes,
    )
    shutil.rmtree(work)


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="root of all draws")
    parser.add_argument("--share", type=float, default=1.0, help="share of the steps and samples, for a quick try")
    parser.add_argument("--out", type=Path, help="where the model goes; the package when left out")
    parser.add_argument("--work", type=Path, help="where checkpoints go; build/abacus when left out")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)  # sums over two threads differ in the last bit, and after some steps in the weights
    work = given.work or Path(__file__).parents[1] / "build" / "abacus"
    train(given.out or PACKAGE / "abacus", work, Seed(given.seed).child("abacus"), given.share)


if __name__ == "__main__":
    main()
