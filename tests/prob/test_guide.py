"""Every block of the guide runs, in order, and says what it promises."""

import math
import re
from pathlib import Path

import pytest


@pytest.mark.slow
def test_the_guide_runs(capsys):
    text = (Path(__file__).parents[2] / "docs" / "prob.md").read_text(encoding="utf-8")
    names = {}
    for block in re.findall(r"```python\n(.*?)```", text, re.S):
        exec(compile(block, "docs/prob.md", "exec"), names)
    printed = capsys.readouterr().out
    assert "valid on every model tried" in printed and "invalid: on sprinkler" in printed
    assert abs(names["walked"].details["acceptance"] - 0.234) < 0.08
    assert names["found"].p_value("mu") > 1e-6
    # 64 particles: a relative error of about a tenth.
    assert abs(math.exp(names["posterior"].log_evidence) / names["exact"] - 1) < 0.5
