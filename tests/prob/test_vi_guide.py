"""Every block of the guide to variational inference runs, in order, and the numbers that it promises come out."""

import math
import re
from pathlib import Path

import pytest
import torch

from educe.prob.vi import check_gradient, enum


@pytest.mark.slow
def test_the_guide_runs(capsys):
    text = (Path(__file__).parents[2] / "docs" / "variational.md").read_text(encoding="utf-8")
    names = {}
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", text, re.S)):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            exec(compile(block, "docs/variational.md", "exec"), names)
        if number == 0:
            found = names["posterior"]
            assert float(found.expect(lambda draw: draw["x"])) == pytest.approx(1.0, abs=0.15)
            assert found.log_evidence == pytest.approx(-0.5 * math.log(4 * math.pi) - 1, abs=0.02)
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert check_gradient(names["cost"](enum, names["Antithetic"]()), names["at"], n=5000).largest < 6
    assert torch.isfinite(names["loss"]) and names["encoder"].weight.grad.abs().sum() > 0
