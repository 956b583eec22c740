"""The families by name, and `make`: distinct problems of one family and one split."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from educe.core.errors import UsageError, nearest
from educe.core.seed import Seed
from educe.tasks.brackets import Brackets
from educe.tasks.chain_arithmetic import ChainArithmetic
from educe.tasks.claims import Claims
from educe.tasks.implications import Implications
from educe.tasks.large_arithmetic import LargeArithmetic
from educe.tasks.letters import Letters
from educe.tasks.linear_equations import LinearEquations
from educe.tasks.list_programs import ListPrograms
from educe.tasks.multiple_choice import MultipleChoice, MultipleChoiceAtOnce
from educe.tasks.problem import SPLITS, Family, Problem
from educe.tasks.three_hop_facts import ThreeHopFacts
from educe.tasks.two_hop_facts import TwoHopFacts

__all__ = ["FAMILIES", "make", "stream"]

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        ChainArithmetic(),
        LargeArithmetic(),
        Brackets(),
        LinearEquations(),
        TwoHopFacts(),
        ThreeHopFacts(),
        Claims(),
        Implications(),
        ListPrograms(),
        Letters(),
        MultipleChoice(),
        MultipleChoiceAtOnce(),
    )
}
TRIES = 2000  # draws without a new problem after which a family counts as exhausted


def family_named(name: str) -> Family:
    """Return a family, or refuse a name that none has."""
    if name not in FAMILIES:
        raise UsageError(f"There is no family of problems {name!r}; {nearest(name, FAMILIES)}")
    return FAMILIES[name]


def stream(rng: np.random.Generator, name: str, difficulty: int, split: str = "train") -> Iterator[Problem]:
    """Yield problems of one family without end, repeats included.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where all randomness comes from.
    name : str
        A family.
    difficulty : int
        The dial's setting.
    split : str
        ``"train"``, ``"dev"`` or ``"test"``.

    Yields
    ------
    Problem

    Raises
    ------
    UsageError
        The name or the split is unknown, or the difficulty is off the dial.

    Examples
    --------
    >>> import numpy as np
    >>> next(stream(np.random.default_rng(0), "letters", 3)).split
    'train'
    """
    family = family_named(name)
    if split not in SPLITS:
        raise UsageError(f"Split {split!r} is unknown. Use one of: {', '.join(SPLITS)}.")
    if difficulty not in family.difficulties:
        low, high = family.difficulties[0], family.difficulties[-1]
        raise UsageError(f"Difficulty {difficulty!r} is off the dial of {name}. Give {low} to {high}.")
    while True:
        problem = family.draw(rng, difficulty)
        if problem.split == split:
            yield problem


def make(name: str, n: int, split: str = "test", seed: int | Seed = 0, difficulty: int | None = None) -> list[Problem]:
    """Make distinct problems of one family and one split.

    Parameters
    ----------
    name : str
        A family; see `FAMILIES`.
    n : int
        How many, >= 1. The first ones are the same whatever ``n`` is.
    split : str
        ``"train"``, ``"dev"`` or ``"test"``; no content belongs to two of them.
    seed : int or Seed
        Which problems of the split.
    difficulty : int, optional
        The dial's setting; the family's default when left out.

    Returns
    -------
    list of Problem

    Raises
    ------
    UsageError
        A name is unknown, the difficulty off the dial, or the split has not so many distinct problems.

    Examples
    --------
    >>> [problem.text for problem in make("linear_equations", 2, difficulty=1)]
    ['Solve ... x = .... What is x?', 'Solve ... x = .... What is x?']
    """
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise UsageError(f"n={n!r} asks for no problem. Give a whole number >= 1.")
    difficulty = family_named(name).default_difficulty if difficulty is None else difficulty
    rng = Seed.of(seed).child("problems", name, split, str(difficulty)).numpy()
    found: dict[str, Problem] = {}
    tries = 0
    for problem in stream(rng, name, difficulty, split):
        tries = tries + 1 if repr(problem.key) in found else 0
        found.setdefault(repr(problem.key), problem)
        if len(found) == n:
            break
        if tries == TRIES:
            raise UsageError(
                f"The {split} split of {name} at difficulty {difficulty} has about {len(found)} problems, not {n}. "
                "Ask for fewer, or for another difficulty."
            )
    return list(found.values())
