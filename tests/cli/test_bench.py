"""The command `educe bench`, its files, and `--method auto`, which uses what it found."""

import csv
import json
import re

import pytest
from click.testing import CliRunner

from educe.cli.bench import _names
from educe.cli.main import cli
from educe.core import UsageError


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("EDUCE_DATA_DIR", str(tmp_path / "data"))

    def call(*arguments):
        return CliRunner().invoke(cli, list(arguments))

    return call


ASKED = ("bench", "--lm", "fake:The answer is yes.", "--tasks", "claims", "--methods", "best-of-n", "--budget", "samples=2",
         "--problems", "6")  # fmt: skip


@pytest.mark.slow
def test_table_files_and_auto(run, tmp_path):
    pytest.importorskip("matplotlib")
    page, rows = tmp_path / "b.html", tmp_path / "b.csv"
    before = run("ask", "Is ice cold?", "--method", "auto", "--lm", "fake:The answer is yes.", "--json")
    assert before.exit_code == 0 and "nothing was measured" in before.output
    done = run(*ASKED, "--html", str(page), "--rows", str(rows))
    assert done.exit_code == 0 and "6 problems of 1 tasks" in done.output
    text = page.read_text()
    assert text.count("<svg") == 2 and not re.search(r"(src|href)=['\"]?https?:", text)
    assert len(list(csv.DictReader(rows.read_text().splitlines()))) == 4 * 6
    shown = json.loads(run(*ASKED, "--json").stdout)
    assert {cell["method"] for cell in shown["cells"]} == set(shown["methods"])
    after = run("ask", "Is ice cold?", "--method", "auto", "--budget", "samples=2", "--lm", "fake:The answer is yes.")
    assert after.exit_code == 0 and "auto: self-consistency:n=" in after.output


def test_lists_of_methods():
    assert _names("a,b") == ("a", "b")
    assert _names("a:n=8,width=4,b, c:n=2") == ("a:n=8,width=4", "b", "c:n=2")
    assert _names("a:n=8,width=4;b") == ("a:n=8,width=4", "b")


def test_bad_input(run, tmp_path):
    for extra, message in (
        (("--methods", "bestofn"), "did you mean"),
        (("--tasks", "claim"), "did you mean"),
        (("--html", str(tmp_path / "no" / "x.html")), "does not exist"),
        (("--budget", "samples=0"), "samples"),
    ):
        done = run(*ASKED, *extra)
        assert isinstance(done.exception, UsageError) and message in str(done.exception)
