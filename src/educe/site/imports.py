"""Bringing papers from arXiv and from daily-papers pages into the database.

Each answer is stored before the next is asked for, so a killed import loses nothing, and beginning again changes
nothing: a paper that is there is left as it is, but for the abstract and title of an import that was revised. A card of
ours is never overwritten.
"""

from __future__ import annotations

import datetime
from collections.abc import AsyncIterator
from dataclasses import dataclass

from sqlalchemy import select

from educe.core import DataError, UsageError
from educe.site.arxiv import CATEGORY, ImportedPaper, parse_arxiv_id, read_atom, read_daily, read_oai
from educe.site.database import Database
from educe.site.fetching import PoliteClient
from educe.site.schema import Paper, PaperTopic

__all__ = ["ATOM_URL", "DAILY_URL", "OAI_URL", "Imported", "fetch_one", "import_daily", "import_recent", "import_since",
           "store_papers"]  # fmt: skip

ATOM_URL = "https://export.arxiv.org/api/query"
OAI_URL = "https://oaipmh.arxiv.org/oai"
DAILY_URL = "https://huggingface.co/api/daily_papers"
AT_ONCE = 100
MOST_RECENT = 2000
MOST_PAGES = 10_000  # of one OAI list; a server that never ends its list is left then


@dataclass(frozen=True)
class Imported:
    """What an import brought.

    Parameters
    ----------
    added, revised, skipped : int
        New papers, papers whose title or abstract changed, and entries that were deleted or could not be read.
    """

    added: int = 0
    revised: int = 0
    skipped: int = 0

    def __add__(self, other: Imported) -> Imported:
        return Imported(self.added + other.added, self.revised + other.revised, self.skipped + other.skipped)


def store_papers(
    database: Database,
    papers: tuple[ImportedPaper, ...],
    source: str,
    *,
    submitter: int | None = None,
    skipped: int = 0,
) -> Imported:
    """Store papers in one transaction.

    Parameters
    ----------
    database : Database
        Where to.
    papers : tuple of ImportedPaper
        What to store; of two with one identifier the first counts.
    source : str
        ``"arxiv"``, ``"oai"``, ``"daily"`` or ``"submission"``.
    submitter : int, optional
        Row number of the person who submitted them.
    skipped : int
        Entries that could not be read, for the count.

    Returns
    -------
    Imported
    """
    distinct = {paper.arxiv: paper for paper in reversed(papers)}
    with database.read() as session:
        known = {
            paper.arxiv: paper
            for batch in _batches(list(distinct))
            for paper in session.scalars(select(Paper).where(Paper.arxiv.in_(batch)))
        }
    new = [paper for key, paper in distinct.items() if key not in known]
    revised = [
        paper
        for key, paper in distinct.items()
        if key in known and known[key].source != "card" and _revised(known[key], paper)
    ]
    if not new and not revised:
        return Imported(skipped=skipped)
    added = 0
    with database.write(visible=True) as session:
        # Looked up again inside the transaction: another process may have stored some meanwhile.
        there = {
            paper.arxiv: paper
            for batch in _batches([paper.arxiv for paper in (*new, *revised)])
            for paper in session.scalars(select(Paper).where(Paper.arxiv.in_(batch)))
        }
        rows = []
        for paper in new:
            if paper.arxiv in there:
                continue
            row = Paper(
                slug=paper.slug, arxiv=paper.arxiv, title=paper.title, authors=list(paper.authors),
                abstract=paper.abstract, published=paper.published, precision="day", source=source, submitter=submitter,
            )  # fmt: skip
            rows.append((row, paper.categories))
        session.add_all(row for row, _ in rows)
        session.flush()
        session.add_all(
            PaperTopic(topic=topic, published=row.published, paper_id=row.id)
            for row, categories in rows
            for topic in categories
        )
        added = len(rows)
        for paper in revised:
            row = there[paper.arxiv]
            row.title, row.abstract, row.authors = paper.title, paper.abstract or row.abstract, list(paper.authors)
    return Imported(added, len(revised), skipped)


def _revised(row: Paper, paper: ImportedPaper) -> bool:
    return (row.title, row.authors) != (paper.title, list(paper.authors)) or (
        bool(paper.abstract) and row.abstract != paper.abstract
    )


def _batches(keys: list[str]) -> list[list[str]]:
    # SQLite takes a bounded number of parameters in one statement.
    return [keys[start : start + 500] for start in range(0, len(keys), 500)]


async def fetch_one(identity: str, client: PoliteClient, url: str = ATOM_URL) -> ImportedPaper:
    """Ask arXiv about one paper.

    Parameters
    ----------
    identity : str
        An identifier as a visitor typed it.
    client : PoliteClient
        Keeps the pace.
    url : str
        Address of the query API.

    Returns
    -------
    ImportedPaper

    Raises
    ------
    UsageError
        It is no identifier, or arXiv knows no such paper.
    BackendError
        arXiv cannot be asked now.
    DataError
        Its answer makes no sense.
    """
    wanted = parse_arxiv_id(identity)
    page = read_atom(await client.get(url, {"id_list": wanted, "max_results": "1"}))
    for paper in page.papers:
        if paper.arxiv == wanted:
            return paper
    raise UsageError(f"arXiv knows no paper {wanted}. Check the identifier.")


async def import_recent(
    database: Database, category: str, most: int, client: PoliteClient, url: str = ATOM_URL
) -> AsyncIterator[Imported]:
    """Import the newest papers of a category by the query API.

    Parameters
    ----------
    database : Database
        Where to.
    category : str
        For instance ``"cs.CL"``.
    most : int
        How many, 1 to 2000.
    client : PoliteClient
        Keeps the pace.
    url : str
        Address of the query API.

    Yields
    ------
    Imported
        After each answer, which is stored by then.

    Raises
    ------
    UsageError
        The category or the number is malformed.
    """
    if not CATEGORY.fullmatch(category):
        raise UsageError(f"{category[:40]!r} is no arXiv category. Write one like cs.CL.")
    if not 1 <= most <= MOST_RECENT:
        raise UsageError(f"{most} papers are not to be had at once. Ask for 1 to {MOST_RECENT}.")
    for start in range(0, most, AT_ONCE):
        count = min(AT_ONCE, most - start)
        query = {"search_query": f"cat:{category}", "sortBy": "submittedDate", "sortOrder": "descending"}
        page = read_atom(await client.get(url, {**query, "start": str(start), "max_results": str(count)}))
        yield store_papers(database, page.papers, "arxiv", skipped=page.skipped)
        if len(page.papers) + page.skipped < count:
            return


async def import_since(
    database: Database, day: str, set_name: str, client: PoliteClient, url: str = OAI_URL
) -> AsyncIterator[Imported]:
    """Import everything that changed since a day by OAI-PMH.

    Parameters
    ----------
    database : Database
        Where to.
    day : str
        ``YYYY-MM-DD``.
    set_name : str
        A set of the archive, for instance ``"cs"``; empty for all.
    client : PoliteClient
        Keeps the pace.
    url : str
        Address of the archive.

    Yields
    ------
    Imported
        After each answer, which is stored by then.

    Raises
    ------
    UsageError
        The day is malformed.
    DataError
        The archive refuses, or its list does not end.
    """
    query = {"verb": "ListRecords", "metadataPrefix": "arXiv", "from": _checked_day(day)}
    if set_name:
        query["set"] = set_name
    seen = set()
    for _ in range(MOST_PAGES):
        page = read_oai(await client.get(url, query))
        yield store_papers(database, page.papers, "oai", skipped=page.skipped)
        if not page.more:
            return
        if page.more in seen:
            raise DataError("The archive's list goes in a circle. What came so far is stored; try again later.")
        seen.add(page.more)
        query = {"verb": "ListRecords", "resumptionToken": page.more}
    raise DataError(f"The archive's list passes {MOST_PAGES} pages. What came is stored; use a later day.")


async def import_daily(database: Database, day: str, client: PoliteClient, url: str = DAILY_URL) -> Imported:
    """Import the papers of one day from a daily-papers page.

    Parameters
    ----------
    database : Database
        Where to.
    day : str
        ``YYYY-MM-DD``.
    client : PoliteClient
        Keeps the pace.
    url : str
        Address of the list.

    Returns
    -------
    Imported

    Raises
    ------
    UsageError
        The day is malformed.
    """
    page = read_daily(await client.get(url, {"date": _checked_day(day)}))
    return store_papers(database, page.papers, "daily", skipped=page.skipped)


def _checked_day(day: str) -> str:
    try:
        return datetime.date.fromisoformat(day).isoformat()
    except ValueError:
        raise UsageError(f"{day[:40]!r} is no day. Write it like 2026-11-25.") from None
