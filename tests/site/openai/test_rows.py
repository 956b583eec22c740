"""From chunks to pieces: whatever the cut, tokens spell the text, and nothing is lost or told twice."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from educe.core import CapabilityError
from educe.lm import Chunk, FakeLM, Sampling, TabularLM
from educe.site.openai._asked import Asked
from educe.site.openai._rows import LOWEST_LOGPROB, Usage, _Row, draw, given_tokens


@st.composite
def cut_rows(draw):
    """A row of tokens, its text and the chunks in which a model might tell it.

    A model tells a token once its beginning is certain; the text may come later than the token, or earlier than the next
    one.
    """
    tokens = draw(st.lists(st.text("aé😀 ", max_size=3), min_size=1, max_size=8))
    text = "".join(tokens)
    offsets = [sum(map(len, tokens[:place])) for place in range(len(tokens))]
    chunks, told, shown = [], 0, 0
    while told < len(tokens):
        more = draw(st.integers(1, 3))
        end = min(told + more, len(tokens))
        # At least the beginning of the last token told, at most the text of all of them.
        last = end == len(tokens)
        upto = len(text) if last else draw(st.integers(max(shown, offsets[end - 1]), max(shown, offsets[end])))
        chunks.append((text[shown:upto], range(told, end), last))
        told, shown = end, upto
    return tokens, offsets, [
        Chunk(
            row=0,
            text=piece,
            tokens=tuple(places),
            logprobs=tuple(-float(place) for place in places),
            offsets=tuple(offsets[place] for place in places),
            finish="stop" if last else None,
        )
        for piece, places, last in chunks
    ]  # fmt: skip


@given(cut_rows())
def test_tokens_spell_the_text_of_their_piece(case):
    tokens, offsets, chunks = case
    row = _Row(3, logprobs=True)
    pieces = [row.feed(chunk) for chunk in chunks]
    for piece in pieces:
        assert "".join(token.text for token in piece.tokens) == piece.text
        assert piece.row == 3
    told = [token for piece in pieces for token in piece.tokens]
    assert [token.text for token in told] == tokens
    assert [token.offset for token in told] == offsets
    assert [token.logprob for token in told] == [-float(place) for place in range(len(tokens))]
    assert [piece.finish for piece in pieces] == [chunk.finish for chunk in chunks]


@given(cut_rows())
def test_without_logprobs_text_is_told_at_once(case):
    _, _, chunks = case
    row = _Row(0, logprobs=False)
    assert [row.feed(chunk).text for chunk in chunks] == [chunk.text for chunk in chunks]


def test_minus_infinity_becomes_a_number():
    piece = _Row(0, True).feed(Chunk(row=0, text="a", logprobs=(-float("inf"),), offsets=(0,), finish="stop"))
    assert piece.tokens[0].logprob == LOWEST_LOGPROB


def test_missing_logprobs_are_said_where_they_are_missed():
    with pytest.raises(CapabilityError):
        _Row(0, True).feed(Chunk(row=0, text="a", logprobs=None))
    # An empty row has none to miss.
    assert _Row(0, True).feed(Chunk(row=0, logprobs=None, finish="stop")).tokens == ()


class Endless(FakeLM):
    """A model that never says that its rows have ended, and counts cached tokens."""

    async def stream(self, prompt, seeds, sampling):
        yield Chunk(row=0, text="a", prompt_tokens=10, cached_tokens=8, sampled_tokens=1)
        yield Chunk(row=1, text="b", sampled_tokens=1)


async def test_usage_with_cached_tokens_and_rows_without_an_end():
    usage = Usage()
    asked = Asked(["x", "y"], 2, 0, Sampling(), logprobs=False)
    pieces = [piece async for piece in draw(Endless(["?"]), asked, usage)]
    assert {piece.row: piece.finish for piece in pieces} == dict.fromkeys(range(4), "length")
    assert usage.to_json() == {
        "prompt_tokens": 20,
        "completion_tokens": 4,
        "total_tokens": 24,
        "prompt_tokens_details": {"cached_tokens": 16},
    }


async def test_given_text_is_scored_by_the_models_law():
    # The first character is the prompt of the score, so a table that ignores its prompt tells the rest's law.
    lm = TabularLM({"": {"b": 0.25, "c": 0.75}, "b": {"d": 0.5, "e": 0.5}})
    tokens = await given_tokens(lm, "abd", usage := Usage(), alone=True)
    assert [token.text for token in tokens] == ["a", "b", "d"]
    assert tokens[0].logprob is None
    assert [token.logprob for token in tokens[1:]] == pytest.approx([-1.3862943611, -0.6931471806])
    assert usage.prompt == 3
    assert [token.text for token in await given_tokens(lm, "a", Usage(), alone=False)] == ["a"]


def test_seeds_belong_to_the_row():
    def seeds(n, seed):
        return Asked(["x"], n, seed, Sampling(), logprobs=False).seeds()

    assert seeds(3, 5) == seeds(8, 5)[:3]
    assert len({*seeds(8, 5), *seeds(8, 6), *seeds(8, -1)}) == 24
    assert seeds(1, None) != seeds(1, None)  # false alarm with probability 2^-53
