"""Search over titles, authors, summaries, claims and abstracts: by words, by meaning, and both merged.

By words: SQLite's FTS5 with BM25, or PostgreSQL's full-text search; the last word counts as the beginning of one, for
search as one types. By meaning: `educe.site.meaning`. The two orders are merged by reciprocal rank
(Cormack, Clarke and Büttcher 2009): a paper scores the sum of 1 / (60 + its rank), so that no scale has to be matched.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

from sqlalchemy import TextClause, func, select, text
from sqlalchemy.orm import Session

from educe.site.database import Database
from educe.site.meaning import MeaningIndex, stop_words
from educe.site.schema import Paper

__all__ = ["Search", "reciprocal_rank", "words_of"]

RANK_OFFSET = 60
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
    words = re.findall(r"\w+", query[:MOST_CHARACTERS].lower())[:MOST_WORDS]
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


class Search:
    """Both indexes of one site.

    Parameters
    ----------
    database : Database
        Holds the index of words.
    folder : Path
        Keeps the index of meaning between starts.
    """

    def __init__(self, database: Database, folder: Path) -> None:
        self._database = database
        self._path = folder / "meaning.npz"
        self._index: MeaningIndex | None = None
        self._seen = -1
        self._shape: tuple[object, ...] = ()
        self._lock = threading.Lock()

    def find(self, query: str, limit: int = 20) -> list[int]:
        """Return the row numbers of the best papers.

        Parameters
        ----------
        query : str
            What a reader typed.
        limit : int
            How many at most.
        """
        words = words_of(query)
        if not words:
            return []
        with self._database.read() as session:
            by_words = self.by_words(session, words, typing=not query[-1:].isspace())
        # One short word is rarely a meaning yet, and has no neighbours that a reader would expect.
        by_meaning = self.meaning().nearest(words, DEPTH) if len(words[-1]) > 2 or len(words) > 1 else []
        return reciprocal_rank([by_words, by_meaning])[:limit]

    def by_words(self, session: Session, words: Sequence[str], *, typing: bool) -> list[int]:
        """Return the papers that hold all words, best first; where there are few, then those that hold any.

        Parameters
        ----------
        session : Session
            To read with.
        words : sequence of str
            From `words_of`.
        typing : bool
            The last word may go on.
        """
        found: list[int] = []
        for joined in (" AND ", " OR ") if len(words) > 1 else (" AND ",):
            if len(found) >= 5:
                break
            statement, values = self._statement(words, typing, joined)
            more = session.scalars(statement, values).all()
            found += [number for number in more if number not in found]
        return found

    def _statement(self, words: Sequence[str], typing: bool, joined: str) -> tuple[TextClause, dict[str, object]]:
        # Beginnings of words stand in for stems: "model" also finds "models", and "models" is looked up as "model".
        stems = [re.sub(r"(?<=[a-rt-z]{3})s$", "", word) for word in words]
        if self._database.is_sqlite:
            terms = [
                f'"{word}"*' if len(word) > 3 or (typing and last) else f'"{word}"' for word, last in _ended(stems)
            ]
            return _SQLITE, {"query": joined.join(terms), "depth": DEPTH}
        terms = [f"{word}:*" if len(word) > 3 or (typing and last) else word for word, last in _ended(stems)]
        return _POSTGRESQL, {"query": {" AND ": " & ", " OR ": " | "}[joined].join(terms), "depth": DEPTH}

    def similar(self, number: int, limit: int = 5) -> list[int]:
        """Return the papers nearest in meaning to one paper.

        Parameters
        ----------
        number : int
            Row number of the paper.
        limit : int
            How many at most.
        """
        return self.meaning().similar(number, limit)

    def meaning(self) -> MeaningIndex:
        """Return the index of meaning, brought up to date with the database."""
        content = self._database.content()
        if self._index is None or self._seen != content:
            with self._lock:
                if self._index is None or self._seen != content:
                    self._index = self._updated()
                    self._seen = content
        return self._index

    def _updated(self) -> MeaningIndex:
        with self._database.read() as session:
            # Most changes are votes and runs: then the same papers are there, and a sum tells it without reading them.
            shape = tuple(
                session.execute(
                    select(func.count(), func.max(Paper.id), func.sum(Paper.id)).where(Paper.hidden == 0)
                ).one()
            )
            if self._index is not None and shape == self._shape:
                return self._index
            self._shape = shape
            numbers = list(session.scalars(select(Paper.id).where(Paper.hidden == 0).order_by(Paper.id)))
            index = self._index or MeaningIndex.load(self._path)
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
            rows = list(session.execute(select(*columns).where(Paper.hidden == 0).order_by(Paper.id)))
        index = MeaningIndex.build(_texts(rows))
        index.save(self._path)
        return index


def _ended(words: Sequence[str]) -> list[tuple[str, bool]]:
    return [(word, place == len(words) - 1) for place, word in enumerate(words)]


def _texts(rows: Iterable[Sequence[object]]) -> dict[int, str]:
    # The title is said twice: it is short, and says most.
    return {int(str(row[0])): " ".join(str(part) for part in (row[1], *row[1:]) if part) for row in rows}
