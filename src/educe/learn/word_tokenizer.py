"""Train a small byte-level BPE tokenizer whose pieces end up as whole words, single digits and signs.

Text is cut into words (with the blank before them), single capital letters where they stand alone, single digits,
signs and line breaks, and only what lies within one such piece is merged. Its alphabet is printable ASCII and the line
break; other characters are dropped. The chat template is plain text, so that a chat and its text are the same tokens.
Source: Sennrich et al. (2016), arXiv:1508.07909; the training itself is done by the `tokenizers` library.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

from educe.core.errors import UsageError

__all__ = ["CHAT_TEMPLATE", "CHECK", "END", "LINE_BREAK", "token_id", "train_tokenizer"]

END, CHECK = "<|endoftext|>", "<|check|>"
LINE_BREAK = "\u010a"  # how byte-level BPE spells it
PIECES = r" ?[A-Z]?[a-z]+| ?[A-Z]| ?\d|\n| ?[^\sA-Za-z\d]|\s"
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message.role == 'assistant' %}{{ message.content }}{{ eos_token }}"
    "{% else %}Question: {{ message.content }}\nAnswer:\n{% endif %}"
    "{% endfor %}"
)


def token_id(tokenizer: tokenizers.Tokenizer, spelling: str) -> int:
    """Return the number of a token by the vocabulary's spelling of it.

    Parameters
    ----------
    tokenizer : tokenizers.Tokenizer
        Any.
    spelling : str
        Such as `END` or `LINE_BREAK`.

    Raises
    ------
    UsageError
        There is no such token.
    """
    number: int | None = tokenizer.token_to_id(spelling)
    if number is None:
        raise UsageError(f"The tokenizer has no token {spelling!r}. Train one with train_tokenizer.")
    return number


def train_tokenizer(texts: Iterable[str], size: int, folder: Path) -> tokenizers.Tokenizer:
    """Train a tokenizer and write ``tokenizer.json`` and ``tokenizer_config.json``.

    Parameters
    ----------
    texts : iterable of str
        What to learn the words from.
    size : int
        Most tokens.
    folder : Path
        Where the files go; must exist.

    Returns
    -------
    tokenizers.Tokenizer
    """
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(tokenizers.Regex(PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    # The names that byte-level BPE has for printable ASCII, the blank and the line break.
    alphabet = [chr(code) for code in range(0x21, 0x7F)] + [chr(0x100 + 0x20), chr(0x100 + 0x0A)]
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=2,
        initial_alphabet=alphabet,
        limit_alphabet=len(alphabet),
        special_tokens=[END],
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    # Not special: a text may hold it, and it is found there.
    tokenizer.add_tokens([tokenizers.AddedToken(CHECK, special=False, normalized=False)])
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": END, "chat_template": CHAT_TEMPLATE}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")
    return tokenizer
