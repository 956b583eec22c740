"""Search: what must be found is found while it is typed, on both databases; merging and meaning against definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from educe.site.database import Database
from educe.site.meaning import MeaningIndex, stop_words
from educe.site.schema import Paper
from educe.site.search import RANK_OFFSET, Search, reciprocal_rank, words_of

PAPERS = [
    ("Weibull mixtures prune reasoning paths", ["Ann Sébastien"], "Low probability paths are dropped."),
    ("Causal discovery from interventions", ["Bob Müller"], "Graphs are found by experiments."),
    ("Interventional graphs and their discovery", ["Cid"], "Causal structure by experiments on graphs."),
    ("Speech codecs for language models", ["Dee"], "Audio tokens."),
    ("Audio tokens and speech", ["Eve"], "A codec for language."),
]


@pytest.fixture
def search(database, tmp_path):
    with database.write(visible=True) as session:
        for number, (title, authors, abstract) in enumerate(PAPERS, start=1):
            session.add(
                Paper(
                    id=number, slug=f"p{number}", title=title, authors=authors, abstract=abstract,
                    source="arxiv", published=number,
                )
            )  # fmt: skip
    (tmp_path / "site").mkdir()
    return Search(database, tmp_path / "site")


@pytest.mark.parametrize("end", range(3, len("weibull") + 1))
def test_a_word_is_found_at_every_letter_on_the_way(search, end):
    assert search.find("weibull"[:end], typing=True)[0] == 1
    assert search.find("weibull"[:end])[0] == 1


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("weibulls", 1),  # a plural that no text has
        ("Sébastien", 1),
        ("müller", 2),
        ("causal discovery", 2),
        ("speech codec", 4),
        ("  Speech   CODECS ", 4),
    ],
)
def test_the_best_paper_comes_first(search, query, first):
    assert search.find(query)[0] == first


def test_meaning_finds_what_shares_no_word(search):
    # "experiments" is not in paper 4 or 5, and the neighbours of paper 2 are about graphs.
    assert search.similar(2, 1) == [3]
    assert search.similar(4, 1) == [5]


def test_marks_of_query_languages_are_plain_text(search):
    marks = [
        '"',
        "'",
        "*",
        "a*b(",
        "NEAR(",
        "AND OR NOT",
        "title:x",
        ":*",
        "&|!",
        "\\",
        "^",
        "-x",
        "%",
        "\x00",
        "'; DROP",
    ]
    for query in marks:
        search.find(query)
        assert 1 in search.find(f"weibull {query}")


@given(query=st.text(max_size=60))
def test_no_text_makes_search_fail(query, tmp_path_factory):
    words = words_of(query)
    assert all(word == word.lower() for word in words)
    assert len(words) <= 12


def test_an_empty_query_finds_nothing(search):
    assert search.find("") == search.find("  ?! ") == []


def test_hidden_and_removed_papers_are_not_found(search, database):
    with database.write(visible=True) as session:
        session.get(Paper, 1).hidden = 1
        session.delete(session.get(Paper, 4))
    search.refresh()
    assert 1 not in search.find("weibull")
    assert 4 not in search.find("speech")
    assert search.similar(4, 3) == []


def test_a_changed_title_is_found_by_its_new_words(search, database):
    with database.write(visible=True) as session:
        session.get(Paper, 1).title = "Gumbel trees"
    with database.read() as session:
        assert search.by_words(session, ["gumbel"]) == [1]
        assert 1 not in search.by_words(session, ["weibull"])


def test_merging_is_the_sum_of_reciprocal_ranks():
    orders = [[3, 1, 2, 9], [2, 3, 7], [9]]
    scores = {}
    for order in orders:
        for rank, number in enumerate(order, 1):
            scores[number] = scores.get(number, 0) + 1 / (RANK_OFFSET + rank)
    merged = reciprocal_rank(orders)
    assert sorted(scores.values(), reverse=True) == [scores[number] for number in merged]
    assert sorted(merged) == sorted(scores)


def test_the_basis_is_that_of_the_singular_value_decomposition():
    rng = np.random.default_rng(0)
    words = [f"w{number:02}" for number in range(30)]
    texts = {row: " ".join(rng.choice(words, 12)) for row in range(25)}
    index = MeaningIndex.build(texts)
    from collections import Counter

    from educe.site.meaning import _terms

    matrix = index._matrix([Counter(_terms(texts[row])) for row in range(25)]).to_dense().numpy()
    exact = np.linalg.svd(matrix, full_matrices=False)[2]
    rank = index.basis.shape[1]
    # Same space: the projection on it loses nothing of the exact vectors.
    inside = exact[:rank] @ index.basis
    assert np.allclose(np.linalg.norm(inside, axis=1), 1, atol=1e-3)
    assert np.allclose(index.basis.T @ index.basis, np.eye(rank), atol=1e-4)
    assert np.allclose(np.linalg.norm(matrix, axis=1), 1, atol=1e-5)


def test_the_index_survives_a_restart_and_a_broken_file(tmp_path):
    index = MeaningIndex.build({1: "causal graphs", 2: "causal graphs of effects", 5: "speech"})
    index.save(tmp_path / "m.npz")
    again = MeaningIndex.load(tmp_path / "m.npz")
    assert again.terms == index.terms
    assert np.array_equal(again.vectors, index.vectors)
    assert again.fits([1, 2, 5])
    assert not again.fits([1, 2])
    (tmp_path / "m.npz").write_bytes(b"no archive")
    assert MeaningIndex.load(tmp_path / "m.npz") is None
    assert MeaningIndex.load(tmp_path / "missing.npz") is None


def test_new_papers_are_laid_into_the_old_space():
    texts = {number: f"causal graph {number % 3} effects word{number % 4}" for number in range(20)}
    index = MeaningIndex.build(texts)
    more = index.extended({20: texts[0]}, [*range(1, 21)])
    assert more.numbers.tolist() == list(range(1, 21))
    assert np.allclose(more.vectors[-1], index.vectors[0], atol=1e-6)
    assert more.built_from == 20


def test_an_empty_corpus_has_no_neighbours():
    index = MeaningIndex.build({})
    assert index.nearest(["x"], 3) == []
    assert MeaningIndex.build({1: "", 2: "the of"}).nearest(["word"], 3) == []


def test_stop_words_stay_when_there_is_nothing_else():
    assert "the" in stop_words()
    assert words_of("the the") == ["the", "the"]


def test_each_card_is_found_by_its_title(cards_url, tmp_path):
    from educe.papers.catalogue import list_cards

    database = Database(cards_url)
    (tmp_path / "site").mkdir(exist_ok=True)
    search = Search(database, tmp_path / "site")
    missed = []
    for card in list_cards():
        with database.read() as session:
            found = [session.get(Paper, number).slug for number in search.find(card.title)]
        if found[:1] != [card.slug]:
            missed.append(card.slug)
    database.close()
    assert not missed
