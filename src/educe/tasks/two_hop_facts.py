"""Facts about a fixed invented world, asked without any context: what is known must have been learned.

Each of 120 people has a friend, a teacher and a boss among the others, and a city, a job, a pet and a food. The dial is
the number of hops: the job of the friend of Ada has two. People early in the list are asked about more often, so that
a model knows some facts better than others. `hops_text`, `draw_hops` and `recalled` also serve `claims`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from educe.tasks._words import CITIES, FOODS, JOBS, NAMES, PETS
from educe.tasks.problem import Family, Problem
from educe.verify.answers import AnswerKind

__all__ = ["TwoHopFacts", "draw_hops", "fact", "hops_text", "recalled"]

LINKS = ("friend", "teacher", "boss")
LEAVES = {"city": CITIES, "job": JOBS, "pet": PETS, "food": FOODS}


def fact(person: str, relation: str) -> str:
    """Return who or what stands in a relation to a person.

    The world is a hash of its questions: it is the same on every machine and needs no file.

    Parameters
    ----------
    person : str
        One of the world's people.
    relation : str
        ``friend``, ``teacher``, ``boss``, ``city``, ``job``, ``pet`` or ``food``.

    Examples
    --------
    >>> fact("Ada", "job") in JOBS
    True
    """
    values = LEAVES.get(relation) or [name for name in NAMES if name != person]
    digest = hashlib.blake2b(f"{person}/{relation}".encode(), digest_size=8).digest()
    return values[int.from_bytes(digest, "big") % len(values)]


def draw_hops(rng: np.random.Generator, hops: int) -> tuple[str, tuple[str, ...]]:
    """Draw a person and a path of relations from there.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where the draws come from.
    hops : int
        Length of the path, >= 1.

    Returns
    -------
    tuple of str and tuple of str
    """
    # Rank about exponential: the first person is asked about some ten times as often as the last.
    person = NAMES[int(len(NAMES) * rng.random() ** 2)]
    links = tuple(LINKS[int(rng.integers(len(LINKS)))] for _ in range(hops - 1))
    last = (*LINKS, *LEAVES)[int(rng.integers(len(LINKS) + len(LEAVES)))]
    return person, (*links, last)


def hops_text(person: str, path: Sequence[str]) -> str:
    """Name what a path leads to.

    Parameters
    ----------
    person : str
        Where it begins.
    path : sequence of str
        Relations, the nearest first.

    Examples
    --------
    >>> hops_text("Ada", ("friend", "job"))
    'the job of the friend of Ada'
    """
    return " of ".join([*(f"the {relation}" for relation in reversed(path)), person])


def recalled(person: str, path: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """Follow a path through the world.

    Parameters
    ----------
    person : str
        Where it begins.
    path : sequence of str
        Relations, the nearest first.

    Returns
    -------
    tuple of str and tuple of str
        Where it ends, and one line per hop.
    """
    lines = []
    for relation in path:
        value = fact(person, relation)
        lines.append(f"The {relation} of {person} is {value}.")
        person = value
    return person, tuple(lines)


class TwoHopFacts(Family):
    """Facts about an invented world, from memory."""

    name = "two_hop_facts"
    summary = "Facts about an invented world, from memory, one or more hops apart."
    kind = AnswerKind.TEXT
    difficulties = range(1, 5)
    default_difficulty = 2

    def draw(self, rng: np.random.Generator, difficulty: int) -> Problem:
        """Draw one problem; see `Family.draw`."""
        person, path = draw_hops(rng, difficulty)
        answer, steps = recalled(person, path)
        key = ["facts", person, list(path)]
        text = f"What is {hops_text(person, path)}?"
        return Problem(self, difficulty, key, text, self.kind, answer, steps)
