"""Lists: order, pages without gaps or repeats, periods, trending against its formula."""

import datetime
import math
import random

import pytest

from educe.core import UsageError
from educe.site.listing import (
    HALF_LIFE,
    Period,
    Selection,
    heat,
    list_papers,
    list_topics,
    neighbours,
)
from educe.site.schema import Paper, PaperTopic, Person, Vote
from educe.site.votes import cast_vote, withdraw_vote

DAY = 86400


@pytest.fixture
def filled(database):
    """Forty papers, some on one day, every fourth on a topic, every third runs, one hidden."""
    rng = random.Random(0)
    with database.write(visible=True) as session:
        for number in range(1, 41):
            published = rng.randrange(8) * DAY
            session.add(
                Paper(
                    id=number, slug=f"p{number}", title=f"T{number}", authors=[], source="arxiv", published=published,
                    runs_here=int(number % 3 == 0), hidden=int(number == 40),
                )
            )  # fmt: skip
            if number % 4 == 0:
                session.flush()
                session.add(PaperTopic(topic="causality", published=published, paper_id=number))
    return database


def all_pages(database, **options):
    found, cursor, pages = [], None, 0
    while True:
        with database.read() as session:
            page = list_papers(session, Selection(cursor=cursor, limit=7, **options))
        found += [item.paper for item in page.papers]
        pages += 1
        cursor = page.cursor
        if cursor is None:
            return found, pages


def test_pages_hold_every_paper_once_and_in_order(filled):
    found, pages = all_pages(filled)
    assert pages == 6
    assert sorted(paper.id for paper in found) == list(range(1, 40))
    keys = [(paper.published, paper.id) for paper in found]
    assert keys == sorted(keys, reverse=True)


def test_filters_compose(filled):
    found, _ = all_pages(filled, topic="causality", runs=True)
    assert sorted(paper.id for paper in found) == [12, 24, 36]


def test_a_paper_that_arrives_between_two_pages_repeats_nothing(filled):
    with filled.read() as session:
        first = list_papers(session, Selection(limit=10))
    with filled.write() as session:
        session.add(Paper(id=100, slug="late", title="L", authors=[], source="arxiv", published=9 * DAY))
    with filled.read() as session:
        second = list_papers(session, Selection(limit=10, cursor=first.cursor))
    assert not {item.paper.id for item in first.papers} & {item.paper.id for item in second.papers}
    assert len(second.papers) == 10


def test_a_day_holds_its_papers_and_no_others(filled):
    period = Period("day", datetime.date(1970, 1, 4))
    found, _ = all_pages(filled, period=period)
    assert {paper.published for paper in found} == {3 * DAY}


def test_neighbours_skip_empty_periods(database):
    with database.write() as session:
        for number, day in enumerate(["2024-01-31", "2024-02-01", "2025-06-15"]):
            published = int(datetime.datetime.fromisoformat(f"{day}T12:00+00:00").timestamp())
            session.add(Paper(slug=f"p{number}", title="T", authors=[], source="arxiv", published=published))
    with database.read() as session:
        here, before, after = neighbours(session, "month", None)
        assert (here.label, before.label, after) == ("June 2025", "February 2024", None)
        here, before, after = neighbours(session, "month", before)
        assert (here.label, before.label, after.label) == ("February 2024", "January 2024", "June 2025")
        # 31 January and 1 February 2024 are one week.
        assert neighbours(session, "week", Period("week", datetime.date(2024, 2, 1)))[1] is None


@pytest.mark.parametrize(
    ("by", "day", "first", "end"),
    [
        ("day", "2024-02-29", "2024-02-29", "2024-03-01"),
        ("week", "2024-12-31", "2024-12-30", "2025-01-06"),
        ("month", "2024-12-31", "2024-12-01", "2025-01-01"),
    ],
)
def test_periods_begin_and_end_where_the_calendar_says(by, day, first, end):
    period = Period(by, datetime.date.fromisoformat(day))
    assert (period.first.isoformat(), period.end.isoformat()) == (first, end)


def test_trending_orders_as_the_formula_on_the_about_page(filled):
    now = 1_800_000_000
    rng = random.Random(1)
    with filled.write() as session:
        session.add_all([Person(id=number, email=f"{number}@example.org") for number in range(1, 30)])
        session.flush()
        votes = {}
        for paper in range(1, 31):
            for person in rng.sample(range(1, 30), rng.randrange(6)):
                created = now - rng.randrange(60 * DAY)
                votes.setdefault(paper, []).append(created)
                session.add(Vote(person_id=person, paper_id=paper, created=created))
        session.flush()
        for paper, times in votes.items():
            row = session.get(Paper, paper)
            row.heat, row.votes = heat(times), len(times)
    found, _ = all_pages(filled, sort="trending")
    scores = {paper: math.fsum(2 ** (-(now - time) / HALF_LIFE) for time in times) for paper, times in votes.items()}
    assert [paper.id for paper in found] == sorted(scores, key=scores.get, reverse=True)


def test_a_vote_counts_once_and_can_be_taken_back(filled):
    with filled.write() as session:
        session.add(Person(id=1, email="a@example.org"))
    for expected in (True, False):
        with filled.write() as session:
            assert cast_vote(session, 1, 5) is expected
    with filled.read() as session:
        paper = session.get(Paper, 5)
        assert paper.votes == 1
        assert paper.heat > 0
    for expected in (True, False):
        with filled.write() as session:
            assert withdraw_vote(session, 1, 5) is expected
    with filled.read() as session:
        paper = session.get(Paper, 5)
        assert (paper.votes, paper.heat) == (0, 0)


def test_topics_are_counted_without_hidden_papers(filled):
    with filled.read() as session:
        assert list_topics(session) == [("causality", 9)]


@pytest.mark.parametrize("cursor", ["", "1", "x_1", "1_x", "1_1; DROP TABLE papers", "1" * 60 + "_1"])
def test_a_malformed_cursor_is_refused(cursor):
    with pytest.raises(UsageError, match="malformed"):
        Selection(cursor=cursor)


@pytest.mark.parametrize("limit", [0, -1, 201, 10**6])
def test_a_limit_out_of_range_is_refused(limit):
    with pytest.raises(UsageError, match="out of range"):
        Selection(limit=limit)
