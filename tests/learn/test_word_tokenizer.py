"""The trained tokenizer: whole words, single digits, text that comes back, and the engine's reading of it."""

import pytest

from educe.core import UsageError
from educe.learn.word_tokenizer import CHECK, END, LINE_BREAK, token_id, train_tokenizer
from educe.lm.engine.tokenizer import Tokenizer

TEXTS = ["Question: Add 25 to the lamp.\nAnswer:\nThe answer is yes.", "no (3 + 45) * 2 = 96\n"] * 20


@pytest.fixture
def trained(tmp_path):
    return train_tokenizer(TEXTS, 300, tmp_path), tmp_path


def test_words_are_one_token_and_digits_stand_alone(trained):
    tokenizer, _ = trained
    assert tokenizer.encode(" lamp yes").tokens == ["Ġlamp", "Ġyes"]
    assert tokenizer.encode("25 + 967").tokens == ["2", "5", "Ġ+", "Ġ9", "6", "7"]
    assert tokenizer.encode("a\n\nb").tokens == ["a", LINE_BREAK, LINE_BREAK, "b"]


def test_text_comes_back(trained):
    tokenizer, _ = trained
    for text in (*TEXTS, "Unseen words, [brackets] & 100%!"):
        assert tokenizer.decode(tokenizer.encode(text).ids) == text
    assert tokenizer.decode(tokenizer.encode("naïve").ids) == "nave"


def test_the_engine_reads_the_same_tokens(trained):
    tokenizer, folder = trained
    engine = Tokenizer.from_folder(folder, (token_id(tokenizer, END),))
    for text in TEXTS:
        assert engine.encode(text) == tokenizer.encode(text).ids
    chat = engine.encode_prompt(
        [{"role": "user", "content": "Add 2."}, {"role": "assistant", "content": "The" + CHECK}]
    )
    assert [*chat.head, *engine.encode(chat.tail)] == tokenizer.encode(f"Question: Add 2.\nAnswer:\nThe{CHECK}").ids
    assert engine.encode(CHECK) == [token_id(tokenizer, CHECK)]
    # The end token cannot be forged by a text.
    assert token_id(tokenizer, END) not in engine.encode(END)


def test_training_is_deterministic(trained, tmp_path):
    tokenizer, _ = trained
    again = train_tokenizer(TEXTS, 300, tmp_path)
    assert again.to_str() == tokenizer.to_str()


def test_a_token_that_is_missing_is_named(trained):
    with pytest.raises(UsageError, match="no token"):
        token_id(trained[0], "xyzzy")
