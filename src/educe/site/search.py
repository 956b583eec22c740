"""Search over titles, authors, summaries, claims and abstracts: by words, by meaning, and both merged.

By words: while one types, the short texts in memory (`educe.site.words`); once the query is sent, also the database's
index of everything, SQLite's FTS5 with BM25 or PostgreSQL's full-text search. By meaning: `educe.site.meaning`. The
orders are merged by reciprocal rank (Cormack, Clarke and Büttcher 2009): a paper scores the sum of 1 / (60 + its rank),
so that no scale has to be matched.

The indexes in memory are read once and again when papers came or went; meanwhile the old ones answer.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import func, select, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from educe.site.database import Database
from educe.site.meaning import MeaningIndex, stop_words
from educe.site.schema import Paper
from educe.site.words import Entry, WordIndex, words_in

__all__ = ["Search", "reciprocal_rank", "words_of"]

RANK_OFFSET = 60
FEW = 5
DEPTH = 50  # Papers taken from each order before they are merged.
MOST_WORDS = 12
MOST_CHARACTERS = 200

_SQLITE = text(
    """
    SELECT papers_text.rowid FROM papers_text JOIN papers ON papers.id = papers_text.rowid
    WHERE papers_text MATCH :query AND papers.hidden = 0
    ORDER BY bm25(papers_text, 8.0, 4.0, 3.0, 2.0, 1.0) LIMIT :depth
    """
)
_POSTGRESQL = text(
    """
    SELECT id FROM papers, to_tsquery('simple', :query) AS query
    WHERE words @@ query AND hidden = 0
    ORDER BY ts_rank_cd('{0.1, 0.3, 0.5, 1.0}', words, query) DESC, id LIMIT :depth
    """
)


def words_of(query: str) -> list[str]:
    """Cut a query into words, without marks and without the words that every text has.

    Parameters
    ----------
    query : str
        What a reader typed.

    Returns
    -------
    list of str
        In lower case; words like "the" stay when there are no others.

    Examples
    --------
    >>> words_of("The Weibull-mixture OR \\"x\\"*")
    ['weibull', 'mixture', 'x']
    """
    words = words_in(query[:MOST_CHARACTERS])[:MOST_WORDS]
    return [word for word in words if word not in stop_words()] or words


def reciprocal_rank(orders: Iterable[Sequence[int]]) -> list[int]:
    """Merge several orders into one.

    Parameters
    ----------
    orders : iterable of sequence of int
        Each the best first.

    Returns
    -------
    list of int
        All of them, by the sum of 1 / (60 + rank); ties in the order of first sight.

    Examples
    --------
    >>> reciprocal_rank([[1, 2, 3], [3, 2]])
    [3, 2, 1]
    """
    scores: dict[int, float] = {}
    for order in orders:
        for rank, number in enumerate(order, start=1):
            scores[number] = scores.get(number, 0.0) + 1 / (RANK_OFFSET + rank)
    return sorted(scores, key=lambda number: -scores[number])


class _Indexes(NamedTuple):
    """What is kept in memory, and of which papers: how many, the last one, the sum of their numbers."""

    shape: tuple[object, ...]
    words: WordIndex
    meaning: MeaningIndex


class Search:
    """All indexes of one site.

    Parameters
    ----------
    database : Database
        Holds the papers and the index of their whole text.
    folder : Path
        Keeps the index of meaning between starts.
    """

    def __init__(self, database: Database, folder: Path) -> None:
        self._database = database
        self._path = folder / "meaning.npz"
        self._kept: _Indexes | None = None
        self._seen = -1
        self._lock = threading.Lock()

    def find(self, query: str, limit: int = 20, *, typing: bool = False) -> list[int]:
        """Return the row numbers of the best papers.

        Parameters
        ----------
        query : str
            What a reader typed.
        limit : int
            How many at most.
        typing : bool
            The query goes on: only what lies in memory is asked.
        """
        words = words_of(query)
        if not words:
            return []
        indexes = self._indexes()
        stems = [_stem(word) for word in words]
        orders = [indexes.words.find(stems, DEPTH)]
        if not typing or not orders[0]:
            with self._database.read() as session:
                orders.append(self.by_words(session, stems))
        # One short word is rarely a meaning yet, and has no neighbours that a reader would expect.
        if len(words) > 1 or len(words[0]) > 3:
            orders.append(indexes.meaning.nearest(words, DEPTH))
        return reciprocal_rank(orders)[:limit]

    def by_words(self, session: Session, stems: Sequence[str]) -> list[int]:
        """Ask the database for papers that hold all words; where there are few, then for those that hold any.

        Parameters
        ----------
        session : Session
            To read with.
        stems : sequence of str
            Beginnings of words, in lower case.
        """
        found: list[int] = []
        for sqlite, postgresql in ((" AND ", " & "), (" OR ", " | "))[: 2 if len(stems) > 1 else 1]:
            if len(found) >= FEW:
                break
            if self._database.is_sqlite:
                statement, text_query = _SQLITE, sqlite.join(f'"{stem}"*' for stem in stems)
            else:
                statement, text_query = _POSTGRESQL, postgresql.join(f"{stem}:*" for stem in stems)
            more = session.scalars(statement, {"query": text_query, "depth": DEPTH}).all()
            found += [number for number in more if number not in found]
        return found

    def similar(self, number: int, limit: int = 5) -> list[int]:
        """Return the papers nearest in meaning to one paper.

        Parameters
        ----------
        number : int
            Row number of the paper.
        limit : int
            How many at most.
        """
        return self._indexes().meaning.similar(number, limit)

    def refresh(self) -> None:
        """Bring the indexes in memory up to date with the database now."""
        with self._lock:
            content = self._database.content()
            self._kept = self._updated(self._kept)
            self._seen = content

    def _indexes(self) -> _Indexes:
        if self._kept is None:
            self.refresh()
        elif self._seen != self._database.content() and self._lock.acquire(blocking=False):
            # Nobody waits for it: the old indexes answer until the new ones are there.
            self._seen = self._database.content()
            threading.Thread(target=self._refresh_held, name="educe-search", daemon=True).start()
        assert self._kept is not None
        return self._kept

    def _refresh_held(self) -> None:
        try:
            self._kept = self._updated(self._kept)
        except SQLAlchemyError:
            self._seen = -1  # The database is away or closed; the next search tries again.
        finally:
            self._lock.release()

    def _updated(self, old: _Indexes | None) -> _Indexes:
        shown = Paper.hidden == 0
        with self._database.read() as session:
            # Most changes are votes and runs: the same papers are there, and three numbers tell it.
            counted = select(func.count(), func.max(Paper.id), func.sum(Paper.id)).where(shown)
            shape = tuple(session.execute(counted).one())
            if old is not None and old.shape == shape:
                return old
            short = (Paper.id, Paper.title, Paper.authors, Paper.summary, Paper.claim)
            rows = session.execute(select(*short).where(shown).order_by(Paper.id)).all()
            words = WordIndex(
                Entry(number, title, authors, f"{summary or ''} {claim or ''}")
                for number, title, authors, summary, claim in rows
            )
            meaning = self._meaning(session, old, words.numbers.tolist())
        return _Indexes(shape, words, meaning)

    def _meaning(self, session: Session, old: _Indexes | None, numbers: list[int]) -> MeaningIndex:
        index = MeaningIndex.load(self._path) if old is None else old.meaning
        if index is not None and index.fits(numbers):
            return index
        columns = (Paper.id, Paper.title, Paper.summary, Paper.claim, Paper.abstract)
        if index is not None and index.covers(numbers):
            fresh = sorted(set(numbers) - set(index.numbers.tolist()))
            rows = [
                row
                for start in range(0, len(fresh), 500)
                for row in session.execute(select(*columns).where(Paper.id.in_(fresh[start : start + 500])))
            ]
            return index.extended(_texts(rows), numbers)
        index = MeaningIndex.build(_texts(session.execute(select(*columns).where(Paper.hidden == 0))))
        index.save(self._path)
        return index


def _stem(word: str) -> str:
    # Beginnings of words stand in for stems: "model" also finds "models", and "models" is looked up as "model".
    return re.sub(r"(?<=[a-rt-z]{3})s$", "", word)


def _texts(rows: Iterable[Sequence[object]]) -> dict[int, str]:
    # The title is said twice: it is short, and says most.
    return {int(str(row[0])): " ".join(str(part) for part in (row[1], *row[1:]) if part) for row in rows}
