"""Cards refuse nonsense; a report withholds its verdict when a control fails."""

import json

import pytest

from educe.core import Baseline, Card, Check, Control, Ledger, Report, Scale, UsageError

GOOD = {
    "slug": "a-paper",
    "title": "A paper",
    "authors": ("A. Author",),
    "year": 2024,
    "arxiv": "2401.00001",
    "venue": None,
    "summary": "It does. One wants it.",
    "claim": "It works.",
    "api": ("educe.reason.Greedy",),
    "topics": ("reasoning",),
    "room": "reason",
}


def test_a_card_knows_its_module_and_its_address():
    card = Card(**GOOD)
    assert (card.module, card.url) == ("educe.papers.a_paper", "https://arxiv.org/abs/2401.00001")
    assert Card(**{**GOOD, "arxiv": None}).url is None


@pytest.mark.parametrize(
    "change",
    [
        {"slug": "A Paper"},
        {"slug": "../etc"},
        {"arxiv": "2401.1"},
        {"arxiv": "https://arxiv.org/abs/2401.00001"},
        {"topics": ("nonsense",)},
        {"topics": ()},
        {"room": "attic"},
    ],
)
def test_cards_refuse(change):
    with pytest.raises(UsageError):
        Card(**{**GOOD, **change})


GAIN = Check("gain", "2x", 2.5, ">= 2", True)
LOSS = Check("cost", "half", 0.7, "<= 0.5", False)
SOUND = Control("labels shuffled", 0.01, "about 0", True)
BROKEN = Control("labels shuffled", 1.9, "about 0", False)


@pytest.mark.parametrize(
    ("checks", "controls", "verdict"),
    [
        ((GAIN,), (SOUND,), "shown"),
        ((GAIN, LOSS), (SOUND,), "not shown"),
        ((GAIN,), (SOUND, BROKEN), "withheld"),
        ((GAIN,), (), "withheld"),
        ((), (SOUND,), "not shown"),
    ],
)
def test_the_verdict(checks, controls, verdict):
    assert Report(Card(**GOOD), checks, controls).verdict == verdict


def test_the_file_has_the_shape_that_machines_read(tmp_path):
    report = Report(
        Card(**GOOD),
        (GAIN, LOSS),
        (SOUND,),
        (Baseline("greedy", 0.4, Ledger(calls=3)),),
        seed=7,
        scale=Scale.SMOKE,
        ledger=Ledger(calls=9),
        tables={"accuracy": [{"n": 1, "value": 0.5}]},
        figures={"accuracy": "<svg/>"},
        notes="Two cores.",
    )
    written = report.write(tmp_path / "results")
    assert [path.name for path in written] == ["a-paper.json", "a-paper.svg"]
    data = json.loads(written[0].read_text())
    assert set(data) >= {
        "slug", "scale", "seed", "date", "machine", "load", "checks", "controls", "baselines", "ledger", "notes",
    }  # fmt: skip
    assert data["checks"][1] == {
        "name": "cost", "claimed": "half", "measured": 0.7, "bar": "<= 0.5", "passed": False,
    }  # fmt: skip
    assert data["baselines"][0]["ledger"]["calls"] == 3
    assert data["date"] and data["machine"] and data["load"]
