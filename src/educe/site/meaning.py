"""Search by meaning without a model: latent semantic analysis of the papers' own words.

Source: Deerwester et al. (1990), Indexing by Latent Semantic Analysis; the truncated singular value decomposition by
random projection of Halko, Martinsson and Tropp (2011), arXiv:0909.4061, algorithm 4.4. Rows are papers, columns are
words and pairs of neighbouring words, entries are (1 + log count) times log inverse document frequency, rows of length
one. A query is laid into the same space through its words. Words that occur together make papers near; so it finds what
shares no word with the query, but it knows nothing that the corpus does not say, and on sixty papers that is little.
"""

from __future__ import annotations

import itertools
import math
import os
import re
import zipfile
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

__all__ = ["MeaningIndex", "stop_words"]

DIMENSIONS = 64
PAPERS_PER_DIMENSION = 4  # As many dimensions as papers would be the words themselves, with nothing latent in them.
OVERSAMPLED = 16
ROUNDS = 3
MOST_TERMS = 40_000
GROWTH = 1.25  # New papers are laid into the old space until there are this many times the papers it was made from.
LEAST_COSINE = 0.15
REMEMBERED = 4096  # points of queries
_STOP_WORDS = """
a an and are as at be been but by can each for from has have how if in into is it its more no not of on one or our over
so such than that the their them then there these they this those to under up was we what when where which while who
why will with without you
"""


@lru_cache(maxsize=1)
def stop_words() -> frozenset[str]:
    """Return the words that every English text has."""
    return frozenset(_STOP_WORDS.split())


def _terms(text: str) -> list[str]:
    words = [re.sub(r"(?<=[a-rt-z]{3})s$", "", word) for word in re.findall(r"[^\W\d_]\w+", text.lower())]
    kept = [word for word in words if word not in stop_words() and len(word) < 40]
    return kept + [f"{first} {second}" for first, second in itertools.pairwise(kept)]


class MeaningIndex:
    """Papers as points whose directions tell what they are about.

    Parameters
    ----------
    numbers : array of int64, shape (papers,)
        Row numbers in ascending order.
    vectors : array of float32, shape (papers, dimensions)
        Of length one, or zero where a paper has no known word.
    terms : list of str
        Known words and pairs, sorted.
    weights : array of float32, shape (terms,)
        Inverse document frequencies.
    basis : array of float32, shape (terms, dimensions)
        Where each word points.
    built_from : int
        Papers that the space was made from.

    Examples
    --------
    >>> index = MeaningIndex.build({1: "causal graphs and effects", 2: "graphs of causal effects", 3: "speech codecs"})
    >>> index.similar(1, 1)
    [2]
    """

    def __init__(
        self,
        numbers: NDArray[np.int64],
        vectors: NDArray[np.float32],
        terms: list[str],
        weights: NDArray[np.float32],
        basis: NDArray[np.float32],
        built_from: int,
    ) -> None:
        self.numbers, self.vectors, self.terms = numbers, vectors, terms
        self.weights, self.basis, self.built_from = weights, basis, built_from
        self._places = {term: place for place, term in enumerate(terms)}
        # Most letters of a query that is being typed change nothing about its meaning yet.
        self._around = lru_cache(REMEMBERED)(self._searched)

    @classmethod
    def build(cls, texts: Mapping[int, str]) -> MeaningIndex:
        """Make the space from the papers.

        Parameters
        ----------
        texts : mapping of int to str
            Text of each paper by row number.
        """
        numbers = sorted(texts)
        counts = [Counter(_terms(texts[number])) for number in numbers]
        frequency: Counter[str] = Counter()
        for row in counts:
            frequency.update(row.keys())
        # A word of one paper says nothing about any other.
        common = [(term, papers) for term, papers in frequency.items() if papers > 1]
        common.sort(key=lambda item: (-item[1], item[0]))
        terms = sorted(term for term, _ in common[:MOST_TERMS])
        weights = np.array([math.log((1 + len(numbers)) / (1 + frequency[term])) for term in terms], dtype=np.float32)
        index = cls(
            np.array(numbers, dtype=np.int64),
            np.zeros((len(numbers), 0), dtype=np.float32),
            terms,
            weights,
            np.zeros((len(terms), 0), dtype=np.float32),
            len(numbers),
        )
        matrix = index._matrix(counts)
        index.basis = _right_vectors(matrix)
        index.vectors = index._laid(matrix)
        return index

    def _matrix(self, counts: Sequence[Mapping[str, int]]) -> torch.Tensor:
        """Return rows of weighted counts of length one, as a sparse tensor."""
        papers: list[int] = []
        places: list[int] = []
        values: list[float] = []
        for paper, row in enumerate(counts):
            known = sorted((self._places[term], count) for term, count in row.items() if term in self._places)
            counted = np.array([1 + math.log(count) for _, count in known])
            entries = counted * self.weights[[place for place, _ in known]]
            length = float(np.linalg.norm(entries)) or 1.0
            papers += [paper] * len(known)
            places += [place for place, _ in known]
            values += (entries / length).tolist()
        size = (len(counts), len(self.terms))
        return torch.sparse_coo_tensor(
            torch.tensor([papers, places]),
            torch.tensor(values, dtype=torch.float32),
            size,
            is_coalesced=True,
            check_invariants=False,
        )

    def _laid(self, matrix: torch.Tensor) -> NDArray[np.float32]:
        """Return where rows of weighted counts lie in the space, as directions."""
        if 0 in matrix.shape:
            return np.zeros((matrix.shape[0], self.basis.shape[1]), dtype=np.float32)
        vectors = np.asarray((matrix @ torch.from_numpy(self.basis)).numpy(), dtype=np.float32)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        unit: NDArray[np.float32] = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 1e-6)
        return unit

    def fits(self, numbers: Sequence[int]) -> bool:
        """Whether the index holds exactly these papers.

        Parameters
        ----------
        numbers : sequence of int
            In ascending order.
        """
        return np.array_equal(self.numbers, np.asarray(numbers, dtype=np.int64))

    def covers(self, numbers: Sequence[int]) -> bool:
        """Whether the space still stands for these papers, so that new ones may be laid into it.

        Parameters
        ----------
        numbers : sequence of int
            All papers.
        """
        return self.built_from > 0 and len(numbers) <= GROWTH * self.built_from

    def extended(self, texts: Mapping[int, str], numbers: Sequence[int]) -> MeaningIndex:
        """Return an index of other papers in the same space.

        Parameters
        ----------
        texts : mapping of int to str
            Texts of the papers that are new.
        numbers : sequence of int
            All papers to hold, in ascending order; those neither new nor held are left out.
        """
        fresh = dict(
            zip(
                sorted(texts),
                self._laid(self._matrix([Counter(_terms(texts[key])) for key in sorted(texts)])),
                strict=True,
            )
        )
        known = {int(number): row for number, row in zip(self.numbers, self.vectors, strict=True)}
        known.update(fresh)
        kept = [number for number in numbers if number in known]
        vectors = np.array([known[number] for number in kept], dtype=np.float32).reshape(len(kept), self.basis.shape[1])
        return MeaningIndex(
            np.array(kept, dtype=np.int64), vectors, self.terms, self.weights, self.basis, self.built_from
        )

    def nearest(self, words: Sequence[str], limit: int) -> list[int]:
        """Return the papers nearest to a query.

        Parameters
        ----------
        words : sequence of str
            The query; a last word that is unknown counts as the beginning of known ones.
        limit : int
            How many at most.
        """
        if not words or not self.terms:
            return []
        point = np.zeros(self.basis.shape[1], dtype=np.float32)
        for term, count in Counter(_terms(" ".join(words))).items():
            if term in self._places:
                place = self._places[term]
                point += (1 + math.log(count)) * self.weights[place] * self.basis[place]
        last = words[-1]
        if last not in self._places and len(last) > 2:
            first = bisect_left(self.terms, last)
            begun = [
                place for place in range(first, min(first + 20, len(self.terms))) if self.terms[place].startswith(last)
            ]
            for place in begun:
                point += self.weights[place] * self.basis[place] / len(begun)
        return list(self._around(point.tobytes(), limit))

    def similar(self, number: int, limit: int) -> list[int]:
        """Return the papers nearest to one paper.

        Parameters
        ----------
        number : int
            Row number of the paper; one that is not here has no neighbours.
        limit : int
            How many at most.
        """
        place = int(np.searchsorted(self.numbers, number))
        if place >= len(self.numbers) or self.numbers[place] != number:
            return []
        return [found for found in self._around(self.vectors[place].tobytes(), limit + 1) if found != number][:limit]

    def _searched(self, bits: bytes, limit: int) -> tuple[int, ...]:
        point = np.frombuffer(bits, dtype=np.float32)
        length = float(np.linalg.norm(point))
        if length < 1e-9 or not len(self.numbers):
            return ()
        cosines = self.vectors @ (point / length)
        limit = min(limit, len(cosines))
        best = np.argpartition(-cosines, limit - 1)[:limit]
        best = best[np.lexsort((self.numbers[best], -cosines[best]))]
        return tuple(int(self.numbers[place]) for place in best if cosines[place] >= LEAST_COSINE)

    def save(self, path: Path) -> None:
        """Write the index to a file, in one step.

        Parameters
        ----------
        path : Path
            The file.
        """
        partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
        with open(partial, "wb") as file:
            np.savez(
                file, numbers=self.numbers, vectors=self.vectors, weights=self.weights, basis=self.basis,
                terms=np.frombuffer("\n".join(self.terms).encode(), dtype=np.uint8),
                built_from=np.array(self.built_from),
            )  # fmt: skip
        os.replace(partial, path)

    @classmethod
    def load(cls, path: Path) -> MeaningIndex | None:
        """Read an index, None where there is none or the file is not one.

        Parameters
        ----------
        path : Path
            The file.
        """
        try:
            with np.load(path, allow_pickle=False) as held:
                terms = held["terms"].tobytes().decode().split("\n")
                index = cls(
                    held["numbers"], held["vectors"], [term for term in terms if term], held["weights"], held["basis"],
                    int(held["built_from"]),
                )  # fmt: skip
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            return None
        sizes: tuple[Any, ...] = (index.vectors.shape[1:], index.basis.shape[1:], len(index.weights), len(index.terms))
        return index if sizes[0] == sizes[1] and sizes[2] == sizes[3] == len(index.basis) else None


def _right_vectors(matrix: torch.Tensor) -> NDArray[np.float32]:
    """Return the leading right singular vectors times nothing: an orthonormal basis of the space of words."""
    papers, terms = matrix.shape
    rank = min(DIMENSIONS, math.ceil(papers / PAPERS_PER_DIMENSION), terms)
    if rank == 0:
        return np.zeros((terms, 0), dtype=np.float32)
    width = min(rank + OVERSAMPLED, papers, terms)
    transposed = matrix.t().coalesce()
    draws = np.random.default_rng(0).standard_normal((terms, width)).astype(np.float32)
    found = torch.linalg.qr(matrix @ torch.from_numpy(draws)).Q
    for _ in range(ROUNDS):
        # Each product is made orthonormal again, or all columns would lean towards the first singular vector.
        found = torch.linalg.qr(transposed @ found).Q
        found = torch.linalg.qr(matrix @ found).Q
    small = (transposed @ found).T
    _, _, rows = torch.linalg.svd(small, full_matrices=False)
    return np.ascontiguousarray(rows[:rank].T.numpy(), dtype=np.float32)
