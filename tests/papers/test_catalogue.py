"""The sixty cards: complete, consistent, and honest about what runs."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from educe.core import UsageError
from educe.papers.catalogue import find_card, find_run, list_cards, runs_here

ROOT = Path(__file__).parents[2]
CARDS = list_cards()


def test_there_are_sixty_and_no_two_are_one():
    assert len(CARDS) == 60
    for field in ("slug", "title", "arxiv"):
        values = [getattr(card, field) for card in CARDS if getattr(card, field)]
        assert len(values) == len(set(values)), field


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.slug)
def test_a_card_is_complete(card):
    assert card.authors and all(card.authors)
    assert 1990 < card.year <= 2026
    assert card.arxiv is None or 0 <= card.year - (2000 + int(card.arxiv[:2])) <= 1 or "/" in card.arxiv
    assert 80 < len(card.summary) < 600
    assert card.summary.count(". ") >= 1 and card.summary.endswith(".")
    assert 30 < len(card.claim) < 400 and card.claim.endswith(".")
    assert 1 <= len(card.topics) <= 4
    assert all(name.startswith("educe.") for name in card.api) and card.api
    assert importlib.import_module(card.module).card is card


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.slug)
def test_a_paper_that_runs_has_its_api_and_its_committed_result(card):
    """Nothing pretends to run: a `run` without the public names and the result is an error."""
    if not runs_here(card.slug):
        with pytest.raises(UsageError, match="does not run here yet"):
            find_run(card.slug)
        return
    for name in card.api:
        module, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(module), attribute), name
    assert (ROOT / "results" / f"{card.slug}.json").exists()
    assert (ROOT / "results" / f"{card.slug}.svg").exists()


@pytest.mark.slow
@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.slug)
def test_a_paper_holds_no_method(card):
    tree = ast.parse((ROOT / "src" / (card.module.replace(".", "/") + ".py")).read_text())
    assert not any(isinstance(node, ast.ClassDef) for node in ast.walk(tree))


def test_topics_select_and_mistyped_ones_are_named():
    assert {card.slug for card in list_cards("calibration")} < {card.slug for card in CARDS}
    assert list_cards("Calibration") == list_cards("calibration")
    with pytest.raises(UsageError, match="did you mean 'calibration'"):
        list_cards("calibrated")
    with pytest.raises(UsageError, match="did you mean 'rpc'"):
        find_card("rcp")


@pytest.mark.slow
def test_the_readme_table_is_current():
    run = subprocess.run(
        [sys.executable, ROOT / "scripts" / "readme_table.py", "--check"], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
