"""The workloads of `bench/engine.py`: prompts, sizes and seeds, the same for every peer.

Texts are cut from the language reference that comes with Python (`pydoc_data.topics`), counted in tokens of our
tokenizer. Peers get the token ids where their interface takes ids, and the text where it does not.
"""

from __future__ import annotations

import functools
import random
from dataclasses import dataclass
from pydoc_data import topics
from typing import Any, NamedTuple, Protocol

from educe.lm import zoo
from educe.lm.engine.gguf import GGUFFile
from educe.lm.engine.tokenizer import Tokenizer

MODEL = "smollm2-135m"
DRAWN_PARAMETERS = 134_515_008  # every matrix that a drawn token goes through, the output matrix included
READ_PARAMETERS = 106_204_608  # the same without the output matrix
ROWS = ("many", "mixed", "single", "scoring", "particles")


class Prompt(NamedTuple):
    """A text and its tokens."""

    text: str
    tokens: list[int]


class Spent(NamedTuple):
    """What a peer did: positions read, tokens drawn, passes over the weights that this takes at least."""

    read: int
    drawn: int
    passes: int


class Peer(Protocol):
    """One method for each workload; a workload that a peer cannot do is None."""

    many: Any
    mixed: Any
    single: Any
    scoring: Any
    particles: Any


@dataclass(frozen=True)
class Sizes:
    """How large the workloads are; ``tiny`` to try the script."""

    many_rows: int = 32
    many_prompt: int = 256
    many_tokens: int = 64
    mixed_requests: int = 64
    mixed_prompts: tuple[int, int] = (50, 400)
    mixed_tokens: tuple[int, int] = (16, 128)
    single_tokens: int = 128
    score_texts: int = 256
    score_prefix: int = 128
    score_tokens: int = 64
    particles: int = 32
    steps: int = 12
    step_tokens: int = 12


TINY = Sizes(8, 64, 8, 8, (20, 60), (4, 12), 16, 16, 32, 16, 4, 3, 4)


def model_path() -> str:
    """Return the file that all peers load."""
    path = zoo.model_path(MODEL)
    if path is None:
        raise SystemExit(f"The model is not there. Run: educe models get {MODEL}")
    return str(path)


@functools.cache
def tokenizer() -> Tokenizer:
    """Return the tokenizer that counts."""
    with GGUFFile(zoo.model_path(MODEL)) as file:  # type: ignore[arg-type]
        return Tokenizer.from_gguf(file)


@functools.cache
def _all_tokens() -> list[int]:
    text = "\n\n".join(topics.topics[name] for name in sorted(topics.topics))
    return tokenizer().encode(text[:600_000])


def text_of(place: int, length: int) -> Prompt:
    """Return so many tokens of the reference from the ``place``-th cut on."""
    begin = place * 517 % 60_000
    text = tokenizer().decode(_all_tokens()[begin : begin + length])
    return Prompt(text, tokenizer().encode(text))


class Mixed(NamedTuple):
    """A request of the mixed service."""

    prompt: Prompt
    tokens: int
    seed: int


def mixed(sizes: Sizes, repeat: int) -> list[Mixed]:
    """Return the requests of the mixed service; every repeat has prompts of its own, so that no cache knows them."""
    generator = random.Random(1000 + repeat)
    prompts = [text_of(100 + 8 * repeat + number, generator.randint(*sizes.mixed_prompts)) for number in range(8)]
    return [
        Mixed(generator.choice(prompts), generator.randint(*sizes.mixed_tokens), number)
        for number in range(sizes.mixed_requests)
    ]


def ancestors(sizes: Sizes, repeat: int, step: int) -> list[int]:
    """Return which particle each particle goes on from: multinomial resampling with uneven weights."""
    generator = random.Random(f"{repeat}/{step}")
    weights = [generator.random() ** 2 for _ in range(sizes.particles)]
    return sorted(generator.choices(range(sizes.particles), weights, k=sizes.particles))
