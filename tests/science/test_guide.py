"""The code of the guide page runs as it stands."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "science.md"


def test_the_blocks_of_the_page_run_in_order(capsys):
    names = {}
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.S | re.M)
    assert len(blocks) == 5
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    assert "Al-Fe  rho = +0.727" in capsys.readouterr().out
