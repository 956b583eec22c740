"""The guide runs as it stands; the part that trains networks has a test of its own, because it takes longer."""

import doctest
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "causal.md").read_text(encoding="utf-8")
NETWORKS = PAGE.index("## Covariates, a treatment, an outcome")


def run_examples(text):
    test = doctest.DocTestParser().get_doctest(text, {}, "causal.md", "docs/causal.md", 0)
    return doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test)


def test_the_guide_runs():
    failed, tried = run_examples(PAGE[:NETWORKS])
    assert tried > 20 and failed == 0


@pytest.mark.slow
def test_the_guide_of_hidden_causes_runs():
    failed, tried = run_examples(PAGE[NETWORKS:])
    assert tried > 14 and failed == 0
