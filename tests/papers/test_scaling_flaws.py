"""The reproduction at its smallest scale, and the programs that it draws."""

import ast
import json
import shutil

import pytest

from educe.core import Scale, Seed
from educe.papers import _scaling_flaws_programs as programs
from educe.papers.scaling_flaws import run

pytestmark = pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")


@pytest.mark.slow
def test_the_smallest_run_is_complete():
    report = run(Scale.SMOKE)
    assert len(report.checks) == 6 and len(report.baselines) == 18 and len(report.controls) == 1
    assert next(check for check in report.checks if "never fall" in check.name).passed
    assert len(report.tables["generators"]) == 6
    assert json.dumps(report.to_json(), allow_nan=False)
    assert "<svg" in next(iter(report.figures.values()))


def test_the_problems_and_their_generators():
    found = programs.problems()
    assert len(found) == 118 and min(len(problem.tests) for problem in found) >= 5
    problem = found[0]
    texts = programs.draw_programs(problem, 0.5, 6, Seed(0))
    assert texts == programs.draw_programs(problem, 0.5, 6, Seed(0)) and len(set(texts)) > 1
    assert texts[:3] == programs.draw_programs(problem, 0.5, 3, Seed(0))
    assert programs.draw_programs(problem, 0.0, 1, Seed(0)) == [ast.unparse(problem.reference)]
    assert len(ast.dump(problem.reference)) > 100  # not edited in place


async def test_the_judge():
    problem = programs.problems()[0]
    reference = ast.unparse(problem.reference)
    endless = f"def {problem.function}(*arguments):\n    while True: pass"
    accepted, right, run_count = await programs.judge([(problem, [reference, endless, "broken(", reference])], 0.1)
    assert accepted[0].tolist() == right[0].tolist() == [True, False, False, True]
    assert run_count == 3
