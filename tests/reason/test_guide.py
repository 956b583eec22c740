"""Every block of the guide to searches runs, and every method that it lists exists."""

import re
from pathlib import Path

from educe.reason import methods
from educe.reason.reward import REWARDS

TEXT = (Path(__file__).parents[2] / "docs" / "search.md").read_text(encoding="utf-8")


def test_the_guide_runs():
    names = {}
    for block in re.findall(r"```python\n(.*?)```", TEXT, re.S):
        exec(compile(block, "docs/search.md", "exec"), names)
    assert names["posterior"].mode().text == "24"
    assert names["posterior"].log_evidence is not None


def test_the_tables_name_what_exists():
    listed = re.findall(r"^\| `([a-z-]+)` \|", TEXT, re.M)
    assert set(listed) <= {*methods(), *REWARDS}
    assert set(REWARDS) <= set(listed)
