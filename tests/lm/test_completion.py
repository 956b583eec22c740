"""Chunks make completions; spans of a partition add up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from educe.core import CapabilityError, UsageError
from educe.lm import Chunk, Completion, Sampling


def chunk(text, logprob, offset, **rest):
    return Chunk(0, text, (1,), (logprob,), (logprob * 2,), (offset,), sampled_tokens=1, **rest)


def test_a_completion_is_its_chunks():
    chunks = [chunk("The ", -1.0, 0, prompt_tokens=5), chunk("end", -0.5, 4), chunk("", -0.25, 7, finish="stop")]
    done = Completion.of_chunks(chunks)
    assert (done.text, done.finish, done.tokens) == ("The end", "stop", (1, 1, 1))
    assert done.logprob == -1.75
    assert done.sampling_logprobs == (-2.0, -1.0, -0.5)


def test_a_row_that_was_cut_says_what_cut_it():
    assert Completion.of_chunks([chunk("The", -1.0, 0)], finish="budget").finish == "budget"


def test_one_chunk_without_logprobs_leaves_none():
    done = Completion.of_chunks([chunk("a", -1.0, 0), Chunk(0, "b", logprobs=None)])
    assert done.logprobs is None
    with pytest.raises(CapabilityError):
        done.logprob  # noqa: B018
    with pytest.raises(CapabilityError):
        done.logprob_of(0, 1)


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(-20, 0)), min_size=1, max_size=12), st.data())
def test_spans_of_a_partition_add_up(tokens, data):
    # Tokens of zero characters occur: bytes inside a character, and the end token.
    offsets, text = [], ""
    for length, _ in tokens:
        offsets.append(len(text))
        text += "x" * length
    done = Completion(text, tuple(range(len(tokens))), tuple(p for _, p in tokens), None, tuple(offsets))
    cut = data.draw(st.integers(0, len(text)))
    assert done.logprob_of(0, cut) + done.logprob_of(cut) == pytest.approx(done.logprob, abs=1e-9)


def test_the_end_token_counts_only_in_an_open_span():
    done = Completion("ab", (1, 2), (-1.0, -4.0), None, (0, 2))
    assert (done.logprob_of(0, 2), done.logprob_of(0)) == (-1.0, -5.0)


@pytest.mark.parametrize("span", [(-1, 1), (0, 3), (2, 1)])
def test_spans_outside_are_refused(span):
    with pytest.raises(UsageError, match="not inside"):
        Completion("ab", (1,), (-1.0,), None, (0,)).logprob_of(*span)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_tokens", 0),
        ("temperature", -0.1),
        ("temperature", float("nan")),
        ("temperature", float("inf")),
        ("top_p", 0.0),
        ("top_p", 1.1),
        ("top_k", -1),
        ("min_p", -0.1),
        ("min_p", 1.5),
        ("stop", ("",)),
    ],
)
def test_sampling_refuses(field, value):
    with pytest.raises(UsageError, match=field):
        Sampling(**{field: value})


def test_a_single_stop_text_is_a_tuple_of_one():
    assert Sampling(stop="\n").stop == ("\n",)
