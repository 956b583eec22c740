"""Train `abacus`, the small reasoner that ships with educe, and write its model card.

python scripts/train_abacus.py                          src/educe/lm/abacus, about 25 minutes of one core
python scripts/train_abacus.py --size small             src/educe/lm/abacus_small, about 6 minutes
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
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
import torch
from _abacus_card import accuracy_table, judge_table, write_card

from educe.core import Seed
from educe.core.settings import threads
from educe.learn.decoder_training import Example, Pretraining, pretrain_decoder
from educe.learn.process_reward import train_process_reward
from educe.learn.rollouts import Rollout, question_text, roll_out
from educe.learn.self_evaluation import train_self_eval
from educe.learn.word_tokenizer import END, token_id, train_tokenizer
from educe.lm.decoder import Decoder, DecoderConfig
from educe.tasks import FAMILIES, Family, Problem, stream

PACKAGE = Path(__file__).parents[1] / "src" / "educe" / "lm"
SIZES = {
    "abacus": DecoderConfig(vocabulary=0, layers=4, width=160, heads=5, feed_forward=432),
    "small": DecoderConfig(vocabulary=0, layers=3, width=56, heads=2, feed_forward=160),
}
# Shares of the examples. Facts from memory are learned soonest, looking things up in the question latest.
WEIGHTS = {
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
# Training goes from the lowest difficulty to these.
TOP_LEVELS = {
    "chain_arithmetic": 6,
    "large_arithmetic": 3,
    "brackets": 4,
    "linear_equations": 4,
    "two_hop_facts": 3,
    "three_hop_facts": 4,
    "claims": 3,
    "implications": 4,
    "list_programs": 3,
    "letters": 5,
    "multiple_choice": 3,
    "multiple_choice_at_once": 3,
}
VOCABULARY = 768
CORPUS_PER_FAMILY = 4000
STEPS, BATCH, RATE = 3600, 32, 3e-3
ANSWERS_PER_PROBLEM = 4
PROBLEMS_PER_FAMILY = {"self-eval": 250, "process-reward": 250}


def level(rng: np.random.Generator, family: Family) -> int:
    """Draw a difficulty to train at."""
    return int(rng.integers(family.difficulties[0], TOP_LEVELS[family.name] + 1))


def training_problems(seed: Seed, per_family: int) -> list[Problem]:
    """Draw problems of all families from the training split."""
    rng = seed.numpy()
    return [next(stream(rng, name, level(rng, family))) for name, family in FAMILIES.items() for _ in range(per_family)]


def corpus(seed: Seed, per_family: int) -> Iterator[str]:
    """Texts for the tokenizer."""
    for problem in training_problems(seed, per_family):
        yield question_text(problem.prompt) + problem.solution
    yield from [" yes no"] * 100


class Examples:
    """Questions and solutions in tokens, from the training split, by the shares above."""

    def __init__(self, tokenizer: tokenizers.Tokenizer) -> None:
        self.tokenizer, self.end = tokenizer, token_id(tokenizer, END)
        self.names = tuple(WEIGHTS)
        self.shares = np.array(list(WEIGHTS.values())) / sum(WEIGHTS.values())

    def __call__(self, seed: Seed, n: int) -> list[Example]:
        rng = seed.numpy()
        problems = []
        for index in rng.choice(len(self.names), n, p=self.shares):
            name = self.names[int(index)]
            problems.append(next(stream(rng, name, level(rng, FAMILIES[name]))))
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


def train(name: str, out: Path, work: Path, seed: Seed, share: float, steps: int) -> None:
    """Train one model and write it with its heads and its card."""
    began, cpu = time.monotonic(), time.process_time()
    out.mkdir(parents=True, exist_ok=True)
    work.mkdir(parents=True, exist_ok=True)
    few = max(2, round(CORPUS_PER_FAMILY * min(1.0, 10 * share)))
    tokenizer = train_tokenizer(corpus(seed.child("corpus"), few), VOCABULARY, out)
    decoder = Decoder(replace(SIZES[name], vocabulary=tokenizer.get_vocab_size()), seed)
    print(json.dumps(decoder.describe()), flush=True)
    draw = Examples(tokenizer)
    settings = Pretraining(
        steps=max(20, round(steps * share)), batch=BATCH, learning_rate=RATE, warmup=min(100, round(steps * share / 5))
    )
    curve = pretrain_decoder(decoder, draw, settings, seed=seed, folder=work, told=show)
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
    minutes = {"wall": (time.monotonic() - began) / 60, "processor": (time.process_time() - cpu) / 60}
    table = accuracy_table(decoder, tokenizer, problems=max(4, round(60 * share)), samples=max(4, round(64 * share)))
    judges = judge_table(decoder, tokenizer, head, problems=max(4, round(60 * share)))
    write_card(
        out / "MODEL_CARD.md",
        name="abacus" if name == "abacus" else "abacus-small",
        sizes=decoder.describe(),
        seed=seed.root,
        settings=settings,
        weights=WEIGHTS,
        tops=TOP_LEVELS,
        curve=curve,
        judged=judged,
        before=before,
        table=table,
        judges=judges,
        minutes=minutes,
        threads=torch.get_num_threads(),
    )
    shutil.rmtree(work)


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=tuple(SIZES), default="abacus", help="which of the two models")
    parser.add_argument("--seed", type=int, default=0, help="root of all draws")
    parser.add_argument("--steps", type=int, default=STEPS, help="updates of pretraining")
    parser.add_argument("--share", type=float, default=1.0, help="share of the steps and samples, for a quick try")
    parser.add_argument("--out", type=Path, help="where the model goes; the package when left out")
    parser.add_argument("--work", type=Path, help="where checkpoints go; build/abacus when left out")
    given = parser.parse_args(arguments)
    torch.set_num_threads(threads())
    default = PACKAGE / ("abacus" if given.size == "abacus" else "abacus_small")
    work = given.work or Path(__file__).parents[1] / "build" / default.name
    train(given.size, given.out or default, work, Seed(given.seed).child("abacus"), given.share, given.steps)


if __name__ == "__main__":
    main()
