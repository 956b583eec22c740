"""Search by words in memory: BM25 over titles, authors, summaries and claims, fast enough for every letter typed.

Source: Robertson and Zaragoza (2009), The Probabilistic Relevance Framework; k1 = 1.2, b = 0.75. Postings lie in
one array, words in alphabetical order, so that all words with one beginning are one slice of it. Titles count as if
said three times, authors twice. Abstracts are not in here: they are twenty times as long, and the database's own
full-text index holds them.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Entry", "WordIndex", "words_in"]

SATURATION, LENGTH_SHARE = 1.2, 0.75
TITLE, AUTHORS = 3, 2


class Entry(NamedTuple):
    """What is known of one paper: row number, title, authors, and everything else that is short."""

    number: int
    title: str
    authors: Sequence[str]
    rest: str


def words_in(text: str) -> list[str]:
    """Cut a text into words in lower case, without accents.

    Parameters
    ----------
    text : str
        Any text.

    Examples
    --------
    >>> words_in("Sébastien's Q-learning")
    ['sebastien', 's', 'q', 'learning']
    """
    if not text.isascii():
        text = "".join(mark for mark in unicodedata.normalize("NFKD", text) if not unicodedata.combining(mark))
    return re.findall(r"\w+", text.lower())


class WordIndex:
    """BM25 over short texts.

    Parameters
    ----------
    entries : iterable of Entry
        The papers.

    Examples
    --------
    >>> index = WordIndex([Entry(7, "Weibull mixtures", ["Ann"], ""), Entry(9, "Mixtures of experts", [], "Ann")])
    >>> index.find(["mix"]), index.find(["ann", "weib"])
    ([7, 9], [7])
    """

    def __init__(self, entries: Iterable[Entry]) -> None:
        numbers: list[int] = []
        lengths: list[int] = []
        postings: dict[str, list[tuple[int, int]]] = {}
        for place, entry in enumerate(entries):
            counts = Counter(words_in(entry.title) * TITLE)
            counts.update(words_in(" ".join(entry.authors)) * AUTHORS)
            counts.update(words_in(entry.rest))
            numbers.append(entry.number)
            lengths.append(counts.total())
            for word, count in counts.items():
                postings.setdefault(word, []).append((place, count))
        self.numbers: NDArray[np.int64] = np.array(numbers, dtype=np.int64)
        self._words = sorted(postings)
        self._starts = [0, *itertools.accumulate(len(postings[word]) for word in self._words)]
        flat = [posting for word in self._words for posting in postings[word]]
        pairs = np.array(flat, dtype=np.int32).reshape(len(flat), 2)
        self._places = np.ascontiguousarray(pairs[:, 0])
        papers = max(len(numbers), 1)
        frequencies = np.diff(np.array(self._starts))
        rarity = np.repeat(np.log1p((papers - frequencies + 0.5) / (frequencies + 0.5)), frequencies)
        share = np.array(lengths, dtype=np.float64)[self._places] / (sum(lengths) / papers or 1.0)
        counts_in = pairs[:, 1].astype(np.float64)
        damped = counts_in + SATURATION * (1 - LENGTH_SHARE + LENGTH_SHARE * share)
        self._scores: NDArray[np.float64] = rarity * counts_in * (SATURATION + 1) / damped

    def find(self, beginnings: Sequence[str], limit: int = 50) -> list[int]:
        """Return the papers that hold a word with each of the beginnings, best first.

        Parameters
        ----------
        beginnings : sequence of str
            In lower case, without accents.
        limit : int
            How many at most.
        """
        if not beginnings or not len(self.numbers):
            return []
        total: NDArray[np.float64] | None = None
        for beginning in beginnings:
            first = self._starts[bisect_left(self._words, beginning)]
            last = self._starts[bisect_left(self._words, beginning + "\U0010ffff")]
            scores = np.bincount(self._places[first:last], self._scores[first:last], len(self.numbers)).astype(
                np.float64
            )
            total = scores if total is None else np.where((total > 0) & (scores > 0), total + scores, 0.0)
        assert total is not None
        found = np.flatnonzero(total)
        if len(found) > limit:
            found = found[np.argpartition(-total[found], limit)[:limit]]
        found = found[np.lexsort((-self.numbers[found], -total[found]))]
        return [int(number) for number in self.numbers[found]]
