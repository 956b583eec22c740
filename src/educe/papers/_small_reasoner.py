"""A decoder of some hundred thousand weights that learns chain sums modulo m, stopped before it knows the whole table.

A question is ``Q a b1 ... bL =``; an answer writes each step as ``now b result``, then the end. Knowledge of the
addition table then varies from entry to entry and errors are the model's own. What counts as the answer is the last
result, or all of them: then the space of answers is open, and no right one is hit by chance. Chains are split by
content, so that no test chain was seen in training; the entries of the table are shared by all.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from educe.core import Seed
from educe.learn import Pretraining, pretrain_decoder, sample_batch
from educe.lm.decoder import Decoder, DecoderConfig
from educe.reason import Answer, BankRow, Question, SampleBank
from educe.tasks import split_of

__all__ = ["bank_of", "chains", "hint_for", "prompt_of", "results", "sampled", "solution_of", "trained"]

Chain = tuple[int, ...]
EXTRA = 16


def chains(modulus: int, count: int, steps: Sequence[int], seed: Seed, split: str = "train") -> list[Chain]:
    """Draw chains of one split; distinct ones outside of training.

    Parameters
    ----------
    modulus, count : int
        Size of the table and number of chains.
    steps : sequence of int
        Numbers of summands, all alike.
    seed : Seed
        Source of the draw.
    split : str
        ``"train"``, ``"dev"`` or ``"test"``.
    """
    rng = seed.numpy()
    found: dict[Chain, None] | list[Chain] = [] if split == "train" else {}
    while len(found) < count:
        lengths = rng.choice(np.asarray(steps), size=count)
        numbers = rng.integers(modulus, size=(count, max(steps) + 1))
        for length, row in zip(lengths.tolist(), numbers.tolist(), strict=True):
            chain = tuple(row[: length + 1])
            if split_of(list(chain)) != split:
                continue
            if isinstance(found, list):
                found.append(chain)
            else:
                found.setdefault(chain)
    return list(found)[:count]


def prompt_of(chain: Chain, modulus: int, hint: Sequence[int] = ()) -> list[int]:
    """Put a chain as tokens, perhaps after a line that states one entry of the table (two summands and a sum)."""
    return [*([modulus + 3, *hint] if hint else []), modulus, *chain, modulus + 1]


def hint_for(chain: Chain, modulus: int, rng: np.random.Generator, right: bool = True) -> tuple[int, int, int]:
    """State an entry that the chain needs, or a wrong value for it."""
    place = int(rng.integers(len(chain) - 1))
    now = sum(chain[: place + 1]) % modulus
    value = (now + chain[place + 1]) % modulus
    if not right:
        value = (value + int(rng.integers(1, modulus))) % modulus
    return now, chain[place + 1], value


def solution_of(chain: Chain, modulus: int) -> list[int]:
    """Write each step as two summands and their sum, then the end."""
    tokens: list[int] = []
    now = chain[0]
    for summand in chain[1:]:
        tokens += [now, summand, (now + summand) % modulus]
        now = tokens[-1]
    return [*tokens, modulus + 2]


def trained(
    modulus: int, steps: Sequence[int], config: tuple[int, int], updates: int, seed: Seed, *, hinted: float = 0.0
) -> Decoder:
    """Train a decoder on chain sums.

    Parameters
    ----------
    modulus : int
        Size of the table.
    steps : sequence of int
        Numbers of summands in training.
    config : pair of int
        Layers and width.
    updates : int
        Number of updates of 96 chains.
    seed : Seed
        Of weights and examples.
    hinted : float
        Share of the training questions that come after a right hint.
    """
    layers, width = config
    sizes = DecoderConfig(modulus + EXTRA, layers, width, heads=4, feed_forward=2 * width, context=96)
    decoder = Decoder(sizes, seed.child("weights"))

    def draw(at: Seed, n: int) -> list[tuple[list[int], list[int]]]:
        rng = at.child("hints").numpy()
        return [
            (
                prompt_of(chain, modulus, hint_for(chain, modulus, rng) if rng.random() < hinted else ()),
                solution_of(chain, modulus),
            )
            for chain in chains(modulus, n, steps, at)
        ]

    settings = Pretraining(steps=updates, batch=96, learning_rate=3e-3, warmup=min(50, updates // 4))
    pretrain_decoder(decoder, draw, settings, seed=seed)
    return decoder


def sampled(
    decoder: Decoder,
    chosen: Sequence[Chain],
    n: int,
    modulus: int,
    seed: Seed,
    hints: Sequence[Sequence[int]] | None = None,
) -> list[list[list[int]]]:
    """Draw n answers to each chain at temperature 1: for each chain n lists of tokens, the end left out.

    Parameters
    ----------
    decoder : Decoder
        The model.
    chosen : sequence of chains
        What to ask.
    n : int
        Answers each.
    modulus : int
        Size of the table.
    seed : Seed
        Source of the draws.
    hints : sequence, optional
        A hint for each chain, empty for none.
    """
    given: Sequence[Sequence[int]] = [()] * len(chosen) if hints is None else hints
    prompts = [prompt_of(chain, modulus, hint) for chain, hint in zip(chosen, given, strict=True) for _ in range(n)]
    longest = 3 * max(len(chain) for chain in chosen)
    rows = sample_batch(decoder, prompts, end=modulus + 2, max_tokens=longest, seed=seed, rows_at_once=2048)
    texts = [row[:-1] if row[-1] == modulus + 2 else row for row in rows]
    return [texts[i * n : (i + 1) * n] for i in range(len(chosen))]


def results(row: Sequence[int]) -> tuple[int, ...]:
    """Intermediate results of an answer, the last one included."""
    return tuple(row[2::3])


def bank_of(
    chosen: Sequence[Chain], drawn: Sequence[Sequence[Sequence[int]]], modulus: int, *, whole: bool = False
) -> SampleBank:
    """Put drawn answers into a bank.

    Parameters
    ----------
    chosen : sequence of chains
        What was asked.
    drawn : sequence
        From `sampled`.
    modulus : int
        Size of the table.
    whole : bool
        All intermediate results are the answer, not the last alone.
    """
    rows = []
    for chain, answers in zip(chosen, drawn, strict=True):
        right = results(solution_of(chain, modulus))
        keys = [results(row) if whole else results(row)[-1:] for row in answers]
        codes = {key: code for code, key in enumerate(dict.fromkeys(key for key in keys if key))}
        n = len(answers)
        rows.append(
            BankRow(
                tuple(Answer(" ".join(map(str, key)), "text") for key in codes),  # type: ignore[arg-type]
                np.array([codes.get(key, -1) for key in keys], dtype=np.int64),
                np.full(n, np.nan),
                np.full(n, np.nan),
                np.array([len(row) + 1 for row in answers], dtype=np.int64),
                np.array([hash(tuple(row)) & (2**62 - 1) for row in answers], dtype=np.int64),
                np.array([key == (right if whole else right[-1:]) for key in keys], dtype=np.int64),
            )
        )
    form = "Running sums" if whole else "Sum"
    questions = [Question(f"{form} of {' + '.join(map(str, chain))} modulo {modulus}", "text") for chain in chosen]
    return SampleBank(tuple(questions), tuple(rows))
