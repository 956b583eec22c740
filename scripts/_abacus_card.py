"""Measure a trained reasoner on the test split and write its model card; every number in the card comes from here."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
import torch

from educe.core import Seed
from educe.learn.decoder_training import Pretraining
from educe.learn.process_reward import step_ends
from educe.learn.rollouts import Rollout, roll_out
from educe.learn.word_tokenizer import CHECK, LINE_BREAK, token_id
from educe.lm.decoder import Decoder, padded_batch
from educe.tasks import FAMILIES, Family, make
from educe.verify.process_reward import StepHead

Row = dict[str, Any]
MOST_LEVELS_ABOVE = 2
# What guessing among the answers of a family gives, where there are few.
CHANCE = {"claims": 0.5, "implications": 0.5} | dict.fromkeys(
    ("multiple_choice", "multiple_choice_at_once", "fact_choice", "fact_choice_at_once"), 0.25
)


def levels(family: Family) -> list[int]:
    """Difficulties to measure: the lowest, those around the default, and two above."""
    top = min(family.difficulties[-1], family.default_difficulty + MOST_LEVELS_ABOVE)
    return sorted({family.difficulties[0], *range(max(family.difficulties[0], family.default_difficulty - 1), top + 1)})


def accuracy_table(
    decoder: Decoder,
    tokenizer: tokenizers.Tokenizer,
    *,
    problems: int,
    samples: int,
    split: str = "test",
    defaults_only: bool = False,
    temperature: float = 1.0,
) -> list[Row]:
    """Measure accuracy per family and difficulty; off the default with a quarter of the samples."""
    rows = []
    for name, family in FAMILIES.items():
        for difficulty in [family.default_difficulty] if defaults_only else levels(family):
            is_default = difficulty == family.default_difficulty
            count = samples if is_default else max(4, samples // 4)
            asked = _some(name, problems, split, difficulty)
            greedy = roll_out(decoder, tokenizer, asked, temperature=0)
            many = roll_out(
                decoder,
                tokenizer,
                [problem for problem in asked for _ in range(count)],
                temperature=temperature,
                seed=Seed(1).child("card", name, difficulty),
            )
            right = np.array([rollout.right for rollout in many]).reshape(len(asked), count)
            rows.append(
                {
                    "family": name,
                    "difficulty": difficulty,
                    "default": is_default,
                    "problems": len(asked),
                    "samples": count,
                    "pass@1": float(right.mean()),
                    "spread": float(right.mean(1).std()),
                    "greedy": float(np.mean([rollout.right for rollout in greedy])),
                    "coverage@4": _coverage(right, 4),
                    "coverage@16": _coverage(right, 16),
                    "coverage@64": _coverage(right, 64),
                    "tokens": float(np.mean([len(rollout.drawn) + 1 for rollout in many])),
                }
            )
            print(
                f"{name:24} {difficulty} pass@1 {right.mean():.3f} greedy {rows[-1]['greedy']:.3f} "
                f"any of {count} {right.any(1).mean():.3f} spread {rows[-1]['spread']:.2f}",
                flush=True,
            )
    return rows


def _some(name: str, problems: int, split: str, difficulty: int) -> list[Any]:
    """As many problems as asked for, or as the split has."""
    from educe.core import UsageError

    while True:
        try:
            return make(name, problems, split, seed=1, difficulty=difficulty)
        except UsageError:
            problems = problems * 3 // 4


def _coverage(right: np.ndarray[Any, Any], k: int) -> float:
    """Unbiased estimate of the share of problems that k samples solve; NaN where there are fewer samples."""
    n = right.shape[1]
    if n < k:
        return float("nan")
    wrong = n - right.sum(1)
    # Probability that k draws without replacement are all wrong.
    missed = np.prod([(wrong - i) / (n - i) for i in range(k)], axis=0)
    return float(1 - np.clip(missed, 0, 1).mean())


def judge_table(
    decoder: Decoder, tokenizer: tokenizers.Tokenizer, head: StepHead, *, problems: int, samples: int = 8
) -> dict[str, list[Row]]:
    """Measure both judges on the model's answers to the test split, per family and in all."""
    judged: dict[str, list[Row]] = {"self-evaluation": [], "process reward": []}
    pooled: dict[str, list[Any]] = {"whole": [], "thirds": [], "last": [], "steps": []}
    for name, family in FAMILIES.items():
        asked = _some(name, problems, "test", family.default_difficulty)
        answers = roll_out(
            decoder,
            tokenizer,
            [problem for problem in asked for _ in range(samples)],
            seed=Seed(1).child("judges", name),
        )
        right = np.array([answer.right for answer in answers], dtype=float)
        whole = _asked(decoder, tokenizer, answers, 1.0)
        parts = {share: _asked(decoder, tokenizer, answers, share) for share in (0.0, 1 / 3, 2 / 3)}
        judged["self-evaluation"].append(
            {"family": name, "base": right.mean(), **_quality(whole, right)}
            | {f"AUROC at {share:.2f}": _auroc(p, right) for share, p in parts.items()}
        )
        scores, verdicts, last = _steps(decoder, tokenizer, head, answers)
        judged["process reward"].append(
            {"family": name, "base": right.mean(), **_quality(last, right), "AUROC of steps": _auroc(scores, verdicts)}
        )
        pooled["whole"].append((whole, right))
        pooled["last"].append((last, right))
        pooled["steps"].append((scores, verdicts))
        pooled["thirds"].append((parts, right))
    whole, right = (np.concatenate(column) for column in zip(*pooled["whole"], strict=True))
    thirds = {
        f"AUROC at {share:.2f}": _auroc(
            np.concatenate([parts[share] for parts, _ in pooled["thirds"]]),
            np.concatenate([truth for _, truth in pooled["thirds"]]),
        )
        for share in (0.0, 1 / 3, 2 / 3)
    }
    judged["self-evaluation"].append({"family": "all", "base": right.mean(), **_quality(whole, right), **thirds})
    last, right = (np.concatenate(column) for column in zip(*pooled["last"], strict=True))
    scores, verdicts = (np.concatenate(column) for column in zip(*pooled["steps"], strict=True))
    judged["process reward"].append(
        {"family": "all", "base": right.mean(), **_quality(last, right), "AUROC of steps": _auroc(scores, verdicts)}
    )
    return judged


@torch.inference_mode()
def _asked(
    decoder: Decoder, tokenizer: tokenizers.Tokenizer, answers: Sequence[Rollout], share: float
) -> np.ndarray[Any, Any]:
    """P(yes) after a share of each answer's tokens."""
    check, yes, no = (tokenizer.encode(text).ids[0] for text in (CHECK, " yes", " no"))
    rows = [[*a.prompt, *a.drawn[: round(share * len(a.drawn))], check] for a in answers]
    values = np.empty(len(rows))
    for begin in range(0, len(rows), 128):
        batch = rows[begin : begin + 128]
        hidden = decoder.hidden(padded_batch(batch))
        logits = decoder.logits(hidden[torch.arange(len(batch)), [len(row) - 1 for row in batch]])
        values[begin : begin + len(batch)] = (logits[:, yes] - logits[:, no]).sigmoid().double().numpy()
    return values


@torch.inference_mode()
def _steps(
    decoder: Decoder, tokenizer: tokenizers.Tokenizer, head: StepHead, answers: Sequence[Rollout]
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Scores of all steps, whether everything up to each was right by the checker, and scores of the last steps."""
    line_break = token_id(tokenizer, LINE_BREAK)
    scores: list[float] = []
    verdicts: list[float] = []
    last: list[float] = []
    for answer in answers:
        ends = step_ends(answer.drawn, line_break)
        hidden = decoder.hidden(torch.tensor([[*answer.prompt, *answer.drawn]]))[0]
        values = head(hidden[[len(answer.prompt) + end for end in ends]]).tolist() if ends else []
        last.append(values[-1] if values else 0.5)
        truth = answer.problem.check_steps(answer.text)
        if len(truth) == len(values):
            scores += values
            verdicts += np.minimum.accumulate(np.array(truth, dtype=float)).tolist()
    return np.array(scores), np.array(verdicts), np.array(last)


def _quality(probability: np.ndarray[Any, Any], right: np.ndarray[Any, Any]) -> dict[str, float]:
    bins = np.minimum((probability * 10).astype(int), 9)
    gaps = [
        abs(probability[bins == b].mean() - right[bins == b].mean()) * (bins == b).mean()
        for b in range(10)
        if (bins == b).any()
    ]
    return {
        "AUROC": _auroc(probability, right),
        "ECE": float(np.sum(gaps)),
        "Brier": float(((probability - right) ** 2).mean()),
    }


def _auroc(scores: np.ndarray[Any, Any], right: np.ndarray[Any, Any]) -> float:
    """Probability that a right one scores above a wrong one, ties counted half."""
    positive, negative = scores[right > 0.5], scores[right <= 0.5]
    if not len(positive) or not len(negative):
        return float("nan")
    order = np.sort(negative)
    below = np.searchsorted(order, positive, "left") + np.searchsorted(order, positive, "right")
    return float(below.mean() / 2 / len(negative))


def _table(rows: Sequence[Row], columns: Sequence[str]) -> list[str]:
    def cell(value: Any) -> str:
        if isinstance(value, float | np.floating):
            return "-" if np.isnan(value) else f"{value:.3f}"
        return str(value)

    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    return [*lines, *("| " + " | ".join(cell(row[column]) for column in columns) + " |" for row in rows)]


def _stage(
    number: int, settings: Pretraining, shares: Mapping[str, float], levels: Mapping[str, tuple[int, int]]
) -> str:
    shown = ", ".join(f"{key} {value}" for key, value in asdict(settings).items())
    whole = sum(shares.values())
    parts = ", ".join(
        f"{name} {part / whole:.0%} ({levels[name][0]} to {levels[name][1]})" for name, part in shares.items()
    )
    return (
        f"Stage {number}: {shown}; {settings.steps * settings.batch:,} examples. Shares, with the difficulties trained "
        f"at: {parts}.\n"
    )


def write_card(
    file: Path,
    *,
    sizes: Mapping[str, Any],
    seed: int,
    stages: Sequence[Mapping[str, Any]],
    curve: Sequence[Mapping[str, float]],
    judged: Sequence[Mapping[str, float]],
    before: Sequence[Row],
    table: Sequence[Row],
    judges: Mapping[str, Sequence[Row]],
    minutes: Mapping[str, float],
) -> None:
    """Write the card."""
    defaults = [row for row in table if row["default"]]
    after = np.mean([row["pass@1"] for row in defaults])
    load = os.getloadavg()[0]
    every = max(1, len(curve) // 16)
    steps = [
        {"stage": row["stage"], "step": row["step"], "loss": row["loss"], "minutes": row["seconds"] / 60}
        for row in curve[every - 1 :: every]
    ]
    described = [_stage(number, **stage) for number, stage in enumerate(stages, start=1)]
    losses = ", ".join(f"{row['loss']:.3f} at {row['step']:.0f}" for row in judged[:: max(1, len(judged) // 4)])
    guessed = [row["family"] for row in defaults if row["pass@1"] < CHANCE.get(row["family"], 0.0) + 0.1]
    defaults_shown = ", ".join(f"{row['family']} {row['difficulty']}" for row in defaults)
    accuracy = ["family", "difficulty", "problems", "samples", "pass@1", "spread", "greedy"]
    accuracy += ["coverage@4", "coverage@16", "coverage@64", "tokens"]
    judge = ["family", "base", "AUROC", "ECE", "Brier"]
    lines = [
        "# abacus",
        "",
        f"A decoder of the Llama architecture with {sizes['parameters']:,} parameters ({sizes['layers']} layers, width "
        f"{sizes['width']}), trained from scratch on the procedural tasks of `educe.tasks`. It reasons one step a line "
        "and ends with a marked answer. Its training was stopped while it still made mistakes of its own, so that "
        "methods which spend more samples, search or checking on a question have something to win. It knows nothing "
        "but these tasks. Every number below is written by `scripts/train_abacus.py`.",
        "",
        "## Training",
        "",
        f"Seed {seed}; one thread; {minutes['pretraining']:.1f} minutes of wall time for pretraining and "
        f"{minutes['judges']:.1f} for the judges; load of the machine at the end {load:.1f}; {platform.machine()}, "
        f"torch {torch.__version__}. "
        "The same seed gives the same weights on the same machine.",
        "",
        *described,
        "The loss is per token of the solutions; examples are drawn afresh from the training split.",
        "",
        *_table(steps, ["stage", "step", "loss", "minutes"]),
        "",
        "Self-evaluation: trained on its own answers to problems of the training split, marked by the checkers; loss "
        f"{losses}. Mean pass@1 over the families before {np.mean([row['pass@1'] for row in before]):.3f}, after "
        f"{after:.3f} (the first from fewer samples).",
        "",
        "## Accuracy on the test split",
        "",
        "Samples at temperature 1. `spread` is the standard deviation of pass@1 over problems.",
        "",
        *_table(table, accuracy),
        "",
        f"Default difficulties: {defaults_shown}.",
        "",
        f"No better than guessing, or hardly, at the default difficulty: {', '.join(guessed) or 'none'}. Do not use "
        "these families to compare methods on this model.",
        "",
        "## Judges, on its own answers to the test split at default difficulty",
        "",
        "Self-evaluation: probability of ` yes` after `<|check|>`. ECE has 10 bins of equal width. `AUROC at s` is "
        "after a share s of the answer's tokens.",
        "",
        *_table(judges["self-evaluation"], [*judge, "AUROC at 0.00", "AUROC at 0.33", "AUROC at 0.67"]),
        "",
        "Process reward: the score of the last step against the outcome, and the scores of all steps against the exact "
        "step checker (right so far or not).",
        "",
        *_table(judges["process reward"], [*judge, "AUROC of steps"]),
        "",
        "## Use",
        "",
        "Prompt: `Question: {question}` and a line break, `Answer:` and a line break; the chat template writes that. "
        "Steps are separated by a line break, and the end token follows the answer. Licence: Apache-2.0.",
        "",
    ]
    file.write_text("\n".join(lines), encoding="utf-8")
