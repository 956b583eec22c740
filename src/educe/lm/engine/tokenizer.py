"""Text to tokens and back, with control tokens that user text cannot forge.

Byte-level BPE through the `tokenizers` library, from GGUF metadata or from a ``tokenizer.json``. The
library's tokenizer is built *without* added tokens, so ordinary text can never become a control token
such as ``<|im_end|>``. Only a rendered chat template is searched for control tokens. Before it is
rendered, each control token spelled out in a message gets a private-use character after its first
letter, which hides it from that search and is taken out again before encoding: the template sees the
message as it is (it may trim or split it), and text on both sides of a border is tokenised jointly.

Tokens whose bytes are not yet a whole character are held back by the decoder. Characters with a byte
that the vocabulary lacks are dropped, as in the models' own tokenizers. Not covered: SentencePiece
(Llama 1 and 2, Gemma) and WordPiece.
"""

from __future__ import annotations

import codecs
import itertools
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import tokenizers
from tokenizers import models, pre_tokenizers

from educe.core.errors import DataError, UsageError
from educe.lm.engine.gguf import GGUFFile
from educe.lm.prompt import Message, Prompt, check_prompt, hide_controls, prompt_text, render_chat, unused_mark

__all__ = ["Encoded", "Tokenizer"]

CONTROL, USER_DEFINED = 3, 4
# Vocabularies name their end-of-turn token only by its spelling.
ENDS = ("<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|end_of_text|>", "</s>")
PRE_TOKENIZERS = ("smollm", "gpt-2")


class Encoded(NamedTuple):
    """A prompt: ``head`` are tokens that what follows cannot change, ``tail`` the text after the last of them."""

    head: tuple[int, ...]
    tail: str


def _byte_of_symbol() -> dict[str, int]:
    """Byte-level BPE writes each byte as one printable character: Latin-1 where printable, else from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(0x100 + i): byte for i, byte in enumerate(rest)}


BYTE_OF_SYMBOL = _byte_of_symbol()


def _pattern(names: Iterable[str]) -> re.Pattern[str] | None:
    longest_first = sorted((name for name in names if name), key=len, reverse=True)
    return re.compile("(" + "|".join(map(re.escape, longest_first)) + ")") if longest_first else None


class Tokenizer:
    """Encodes prompts and texts, decodes tokens.

    Parameters
    ----------
    plain : tokenizers.Tokenizer
        Byte-level BPE without added tokens.
    spellings : sequence of str
        The vocabulary, by token id.
    control, user_defined : dict of str to int
        Tokens that stand for control marks, found in templates only, and tokens found whole in any text.
    begin : tuple of int
        Tokens put before a text.
    ends : tuple of int
        The model's end tokens.
    template : str or None
        The chat template.
    bos : str
        Spelling of the beginning token, for the template.

    Attributes
    ----------
    stop : frozenset of int
        Tokens that end a row.
    pieces : list of bytes
        What each token stands for; empty for control tokens.
    """

    def __init__(
        self,
        plain: tokenizers.Tokenizer,
        spellings: Sequence[str],
        *,
        control: dict[str, int],
        user_defined: dict[str, int],
        begin: tuple[int, ...],
        ends: tuple[int, ...],
        template: str | None,
        bos: str = "",
    ) -> None:
        self._plain, self.control, self.user_defined = plain, control, user_defined
        self.begin, self.template, self._bos = begin, template, bos
        self._eos = spellings[ends[0]] if ends else ""
        self._in_template, self._in_text = _pattern([*control, *user_defined]), _pattern(user_defined)
        self.stop = frozenset(control[name] for name in ENDS if name in control) | set(ends)
        special = {*control.values(), *user_defined.values()}
        self.pieces = [b"" if token in special else _bytes_of(text) for token, text in enumerate(spellings)]
        for name, token in user_defined.items():
            self.pieces[token] = name.encode()
        self._names = {token: name.encode() for name, token in control.items()}
        self._known = {byte for symbol, byte in BYTE_OF_SYMBOL.items() if plain.token_to_id(symbol) is not None}

    @classmethod
    def from_gguf(cls, file: GGUFFile) -> Tokenizer:
        """Build from the metadata of a GGUF file.

        Raises
        ------
        DataError
            The tokenizer is of another kind or not sound.
        """
        kind, pre = file.get("tokenizer.ggml.model", str), file.metadata.get("tokenizer.ggml.pre", "gpt-2")
        if kind != "gpt2" or pre not in PRE_TOKENIZERS:
            raise DataError(
                f"{file.path.name} has the tokenizer {kind}/{pre}, which this version of the engine does not support "
                f"(it does: gpt2/{', gpt2/'.join(PRE_TOKENIZERS)}). Load the model with hf: instead."
            )
        spellings: list[str] = file.get("tokenizer.ggml.tokens", list)
        merges: list[str] = file.get("tokenizer.ggml.merges", list)
        types = list(file.metadata.get("tokenizer.ggml.token_type", ()))
        vocabulary = {text: token for token, text in enumerate(spellings)}
        pairs = [(merge.split(" ")[0], merge.split(" ")[-1]) for merge in merges if merge.count(" ") == 1]
        if len(vocabulary) != len(spellings) or len(types) not in (0, len(spellings)):
            raise DataError(f"{file.path.name} has a token twice or token types missing. Fetch the file again.")
        if len(pairs) != len(merges):
            raise DataError(f"{file.path.name} has a merge that is not two tokens. Fetch the file again.")
        try:
            plain = tokenizers.Tokenizer(models.BPE(vocabulary, pairs))
        except Exception as error:  # the library raises no class of its own
            raise DataError(f"{file.path.name} has an unsound tokenizer: {error}. Fetch the file again.") from error
        by_regex: pre_tokenizers.PreTokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
        if pre == "smollm":
            by_regex = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), by_regex])
        plain.pre_tokenizer = by_regex
        named: list[dict[str, int]] = [
            {spellings[token]: token for token, its in enumerate(types) if its == wanted and spellings[token]}
            for wanted in (CONTROL, USER_DEFINED)
        ]
        bos, end = (_token_id(file, f"tokenizer.ggml.{name}_token_id", len(spellings)) for name in ("bos", "eos"))
        template = file.metadata.get("tokenizer.chat_template")
        starts = file.metadata.get("tokenizer.ggml.add_bos_token", False) is True and bos is not None
        return cls(
            plain,
            spellings,
            control=named[0],
            user_defined=named[1],
            begin=(bos,) if starts and bos is not None else (),
            ends=(end,) if end is not None else (),
            template=template if isinstance(template, str) else None,
            bos=spellings[bos] if bos is not None else "",
        )

    @classmethod
    def from_folder(cls, folder: Path, ends: tuple[int, ...]) -> Tokenizer:
        """Build from ``tokenizer.json`` (and ``tokenizer_config.json``) in a folder.

        Raises
        ------
        DataError
            A file is missing, unsound, or describes another kind of tokenizer.
        """
        data = read_json(folder / "tokenizer.json")
        model, decoder = data.get("model") or {}, json.dumps(data.get("decoder"))
        if model.get("type") != "BPE" or '"ByteLevel"' not in decoder or data.get("normalizer") is not None:
            raise DataError(
                f"The tokenizer in {folder.name} is not plain byte-level BPE, which is all that this version of the "
                "engine supports. Load the model with hf: instead."
            )
        config = read_json(folder / "tokenizer_config.json") if (folder / "tokenizer_config.json").exists() else {}
        template = config.get("chat_template")
        if (folder / "chat_template.jinja").exists():
            template = (folder / "chat_template.jinja").read_text()
        try:
            begin = tuple(tokenizers.Tokenizer.from_str(json.dumps(data)).encode("").ids)
            added = {(token["content"], bool(token["special"])): int(token["id"]) for token in data["added_tokens"]}
            plain = tokenizers.Tokenizer.from_str(json.dumps(data | {"added_tokens": [], "post_processor": None}))
            spelled = {token: text for text, token in plain.get_vocab().items()}
            spelled |= {token: text for (text, _), token in added.items()}
        except Exception as error:  # the library raises no class of its own
            raise DataError(f"The tokenizer in {folder.name} is unsound: {error}. Fetch the folder again.") from error
        size = max(spelled, default=-1) + 1
        if size > 2 * len(spelled) or min(spelled, default=0) < 0 or not all(0 <= end < size for end in ends):
            raise DataError(f"The tokenizer in {folder.name} has token ids out of range. Fetch the folder again.")
        bos = config.get("bos_token")
        return cls(
            plain,
            [spelled.get(token, "") for token in range(size)],
            control={text: token for (text, special), token in added.items() if special},
            user_defined={text: token for (text, special), token in added.items() if not special},
            begin=begin,
            ends=ends,
            template=template if isinstance(template, str) else None,
            bos=bos if isinstance(bos, str) else "",
        )

    def encode(self, text: str) -> list[int]:
        """Encode ordinary text; whatever it spells, no control token comes out.

        Raises
        ------
        UsageError
            The text has a lone surrogate, which is no character.
        """
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise UsageError(
                f"The text has half a character (surrogate) at {error.start}. Give well-formed text."
            ) from None
        tokens: list[int] = []
        for part in self._in_text.split(text) if self._in_text else [text]:
            tokens.extend([self.user_defined[part]] if part in self.user_defined else self._plain.encode(part).ids)
        return tokens

    def encode_prompt(self, prompt: Prompt) -> Encoded:
        """Encode a text, or a chat by the model's template, all but the text that what follows may still join.

        Raises
        ------
        UsageError
            The prompt is empty or malformed.
        DataError
            The template is broken or refuses the messages.
        """
        check_prompt(prompt)
        if isinstance(prompt, str) or self.template is None:
            return Encoded(self.begin, prompt_text(prompt))
        contents = "".join(message["content"] for message in prompt)
        mark = unused_mark(contents + self.template)
        shown = [
            Message({**message, "content": hide_controls(message["content"], self.control, mark)}) for message in prompt
        ]
        text = render_chat(self.template, shown, bos_token=self._bos, eos_token=self._eos)
        parts = self._in_template.split(text) if self._in_template else [text]
        head: list[int] = []
        for part in parts[:-1]:
            token = self.control.get(part, self.user_defined.get(part))
            head.extend([token] if token is not None else self.encode(part.replace(mark, "")))
        if tuple(head[: len(self.begin)]) != self.begin:
            head = [*self.begin, *head]
        return Encoded(tuple(head), parts[-1].replace(mark, ""))

    def starts(self, text: str, tokens: Sequence[int]) -> list[int]:
        """Return where in the UTF-8 bytes of a text each of its tokens begins, and at last where the text ends."""
        data = text.encode()
        kept = [place for place, byte in enumerate(data) if byte in self._known]
        begins = list(itertools.accumulate((len(self.pieces[token]) for token in tokens), initial=0))[:-1]
        return [kept[begin] if begin < len(kept) else len(data) for begin in begins] + [len(data)]

    def spelling(self, token: int) -> bytes:
        """Return the bytes of a token; a control token gives its name."""
        return self._names.get(token) or (self.pieces[token] if token < len(self.pieces) else b"")

    def decoder(self) -> TextDecoder:
        """Return a decoder for one row."""
        return TextDecoder(self.pieces)

    def decode(self, tokens: Iterable[int]) -> str:
        """Return the text of tokens; control tokens have none, and bytes that are no character become U+FFFD."""
        return b"".join(self.pieces[token] for token in tokens).decode(errors="replace")


class TextDecoder:
    """Turns the tokens of one row into text as they come; bytes of an unfinished character wait."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._pieces = pieces
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode

    def feed(self, token: int) -> str:
        """Return the text that became certain with a token."""
        return self._decode(self._pieces[token]) if token < len(self._pieces) else ""

    def flush(self) -> str:
        """Return what waits, as U+FFFD."""
        return self._decode(b"", True)


def _bytes_of(text: str) -> bytes:
    if all(symbol in BYTE_OF_SYMBOL for symbol in text):
        return bytes(BYTE_OF_SYMBOL[symbol] for symbol in text)
    return text.encode(errors="replace")


def _token_id(file: GGUFFile, key: str, size: int) -> int | None:
    if key not in file.metadata:
        return None
    token = file.get(key, int)
    if not 0 <= token < size:
        raise DataError(f"{file.path.name} says {key} = {token}, outside its {size} tokens. Fetch the file again.")
    return token


def read_json(path: Path, most: int = 1 << 26) -> dict[str, Any]:
    """Read a JSON object of bounded size.

    Raises
    ------
    DataError
        It is missing, too long or no JSON object.
    """
    try:
        if path.stat().st_size > most:
            raise DataError(f"{path.name} has more than {most} bytes. Fetch the folder again.")
        data = json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}. Check the folder.") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path.name} is not JSON: {error}. Fetch the folder again.") from error
    if not isinstance(data, dict):
        raise DataError(f"{path.name} is not a JSON object. Fetch the folder again.")
    return data
