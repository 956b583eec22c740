"""Chain sums modulo m by a model whose knowledge varies from entry to entry, with exact laws of its answers.

Each entry (a, b) of the addition table has a skill drawn from a Beta law; the rest of its probability is spread over
wrong results by a Dirichlet law. A question is a start and a few summands; a sample writes each intermediate result, so
errors are the model's own and carry on. Path probabilities are true by construction, and the law of the final answer
is a product of matrices.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from educe.core import Seed
from educe.lm import TabularLM
from educe.reason import Question

__all__ = ["answer_law", "chain_model", "chain_questions", "draw_table"]

Floats = npt.NDArray[np.float64]


def draw_table(modulus: int, seed: Seed, skill: tuple[float, float] = (1.2, 0.8), spread: float = 0.25) -> Floats:
    """Draw the model: (modulus, modulus, modulus), the law of the result for each pair of summands.

    Parameters
    ----------
    modulus : int
        Size of the addition table.
    seed : Seed
        Source of the draw.
    skill : pair of float
        Parameters of the Beta law of knowing an entry.
    spread : float
        Parameter of the Dirichlet law of wrong results.
    """
    rng = seed.numpy()
    table = np.zeros((modulus, modulus, modulus))
    for a in range(modulus):
        for b in range(modulus):
            right = (a + b) % modulus
            known = rng.beta(*skill)
            # A symmetric Dirichlet draw of small parameter may underflow to zeros; the floor keeps it a law.
            wrong = rng.dirichlet([spread] * (modulus - 1)) + 1e-12
            table[a, b] = np.insert((1 - known) * wrong / wrong.sum(), right, known)
    return table


def chain_questions(
    modulus: int, count: int, steps: Sequence[int], seed: Seed
) -> tuple[list[Question], list[str], list[tuple[int, ...]]]:
    """Draw distinct questions with their right answers and their numbers.

    Parameters
    ----------
    modulus, count : int
        Size of the table and number of questions.
    steps : sequence of int
        Numbers of summands to draw from, all alike.
    seed : Seed
        Source of the draw.
    """
    rng = seed.numpy()
    chains: dict[tuple[int, ...], None] = {}
    while len(chains) < count:
        length = int(rng.choice(np.asarray(steps)))
        chains.setdefault(tuple(int(value) for value in rng.integers(modulus, size=length + 1)))
    questions = [
        Question(f"{' + '.join(map(str, chain))} modulo {modulus}", "number", examples=(), instruction="")
        for chain in chains
    ]
    return questions, [str(sum(chain) % modulus) for chain in chains], list(chains)


def chain_model(table: Floats, name: str = "chain sums") -> TabularLM:
    """Return the language model of a table.

    Parameters
    ----------
    table : (modulus, modulus, modulus) ndarray
        See `draw_table`.
    name : str
        What to call it.
    """
    laws: dict[tuple[int, int, bool], Mapping[str, float]] = {}

    def law(prompt: str, text: str) -> Mapping[str, float]:
        sum_text = prompt.partition("modulo")[0].removeprefix("user: ")
        chain = [int(part) for part in sum_text.split(" + ")]
        done = text.split()
        if "answer" in text:
            return {"": 1.0}
        now = int(done[-1]) if done else chain[0]
        last = len(done) == len(chain) - 2
        key = (now, chain[len(done) + 1], last)
        if key not in laws:
            form = "The answer is {}." if last else "{}\n"
            laws[key] = {form.format(value): float(p) for value, p in enumerate(table[key[:2]]) if p > 0}
        return laws[key]

    return TabularLM(law, name=name)


def answer_law(table: Floats, chain: Sequence[int]) -> Floats:
    """Exact probabilities of the final answer, (modulus,).

    Parameters
    ----------
    table : ndarray
        See `draw_table`.
    chain : sequence of int
        The numbers of one question.
    """
    law: Any = np.eye(len(table))[chain[0]]
    for summand in chain[1:]:
        law = law @ table[:, summand]
    return np.asarray(law)
