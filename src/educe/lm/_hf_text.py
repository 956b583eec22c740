"""Text to tokens and back with a tokenizer of transformers, whatever its kind.

Text that a user gives is encoded so that it cannot become a control token. Tokens of byte-level
vocabularies are bytes. Nothing is assumed about how other tokenizers spell bytes or spaces: a row's text is what
decoding its tokens adds to decoding those before them, the prompt's last ones included. Characters
that are not whole yet are held back.
"""

from __future__ import annotations

import codecs
import re
import threading
from collections.abc import Callable, Sequence
from typing import Any

from tokenizers.decoders import ByteLevel

from educe.core.errors import CapabilityError, UsageError
from educe.lm.engine.tokenizer import BYTE_OF_SYMBOL
from educe.lm.prompt import Message, Prompt, check_prompt, hide_controls, prompt_text, render_chat, unused_mark

__all__ = ["ByteDecoder", "Decoder", "HFText"]

CONTEXT = 16  # tokens before a row that may change how its first token reads
BROKEN = "\ufffd"


class Decoder:
    """Turns the tokens of one row into text as they come.

    Parameters
    ----------
    decode : callable
        Decodes a list of tokens, without control tokens.
    before : sequence of int
        What precedes the row.

    Attributes
    ----------
    holding : bool
        Whether a character has begun and is not whole.
    """

    def __init__(self, decode: Callable[[list[int]], str], before: Sequence[int]) -> None:
        self._decode = decode
        starts = range(max(0, len(before) - CONTEXT), len(before) + 1)
        # A context that begins inside a character would spoil those that follow it.
        self._tokens = next(part for at in starts if not decode(part := list(before[at:])).startswith(BROKEN))
        self._known = len(self._tokens)  # tokens whose text is told, or is the prompt's
        self._skip = len(decode(self._tokens))
        self._told = 0  # characters told of the tokens after those
        self.holding = False

    def feed(self, token: int) -> str:
        """Return the text that became certain with a token."""
        self._tokens.append(token)
        new = self._decode(self._tokens)[self._skip :]
        certain = new.rstrip(BROKEN)
        text = certain[self._told :]
        self._told += len(text)
        self.holding = len(certain) < len(new)
        if new and not self.holding:
            # Only a place where all characters are whole may become the new beginning.
            self._tokens = self._tokens[self._known :]
            self._known, self._skip, self._told = len(self._tokens), len(self._decode(self._tokens)), 0
        return text

    def flush(self) -> str:
        """Return what is held back, with U+FFFD for what is no character."""
        return self._decode(self._tokens)[self._skip + self._told :] if self.holding else ""


class ByteDecoder:
    """The same as `Decoder`, where each token stands for bytes.

    Parameters
    ----------
    piece : callable
        Returns a token's bytes.
    """

    def __init__(self, piece: Callable[[int], bytes]) -> None:
        self._piece = piece
        self._codec = codecs.getincrementaldecoder("utf-8")("replace")

    @property
    def holding(self) -> bool:
        """Whether a character has begun and is not whole."""
        return bool(self._codec.getstate()[0])

    def feed(self, token: int) -> str:
        """Return the text that became certain with a token."""
        return self._codec.decode(self._piece(token))

    def flush(self) -> str:
        """Return what is held back, as U+FFFD."""
        return self._codec.decode(b"", True)


class HFText:
    """Encodes prompts and texts, decodes rows.

    Parameters
    ----------
    tokenizer : transformers.PreTrainedTokenizerBase
        Of any kind.
    stop : frozenset of int
        Tokens that end a row.
    """

    def __init__(self, tokenizer: Any, stop: frozenset[int]) -> None:
        self.tokenizer, self.stop = tokenizer, stop
        self.template: str | None = tokenizer.get_chat_template() if tokenizer.chat_template else None
        special = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
        self._controls = sorted(special | set(tokenizer.all_special_tokens), key=len, reverse=True)
        self._pattern = re.compile("(" + "|".join(map(re.escape, self._controls)) + ")") if self._controls else None
        self._silent = {token for token, added in tokenizer.added_tokens_decoder.items() if added.special}
        self._silent |= set(tokenizer.all_special_ids)
        fast = getattr(tokenizer, "backend_tokenizer", None)
        self._byte_level = fast is not None and isinstance(fast.decoder, ByteLevel)
        # Encoding switches the library's tokenizer between its two ways with control tokens.
        self._lock = threading.Lock()

    def encode(self, text: str, *, start: bool = False, controls: bool = False) -> list[int]:
        """Encode a text.

        Parameters
        ----------
        text : str
            What to encode.
        start : bool
            Put before it what the model wants before a text.
        controls : bool
            Let it spell control tokens.

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
        with self._lock:
            ids: list[int] = self.tokenizer(
                text, add_special_tokens=start, split_special_tokens=not controls, return_attention_mask=False
            )["input_ids"]
        # Some tokenizers end every text, which leaves nothing to go on from.
        while start and len(ids) > 1 and ids[-1] == self.tokenizer.eos_token_id:
            ids = ids[:-1]
        return ids

    def encode_prompt(self, prompt: Prompt, continuation: str = "") -> list[int]:
        """Encode a prompt and what follows it, jointly.

        Raises
        ------
        UsageError
            The prompt is empty or malformed.
        DataError
            The template is broken or refuses the messages.
        """
        check_prompt(prompt)
        if isinstance(prompt, str) or self.template is None:
            return self.encode(prompt_text(prompt) + continuation, start=True)
        given = [*(message["content"] for message in prompt), continuation]
        whole = "".join(given) + self.template
        mark = unused_mark(whole)
        shown = [
            Message({**message, "content": hide_controls(message["content"], self._controls, mark)})
            for message in prompt
        ]
        hidden = hide_controls(continuation, self._controls, mark)
        names = {name: text for name, text in self.tokenizer.special_tokens_map.items() if isinstance(text, str)}
        text = render_chat(self.template, shown, **names) + hidden
        if mark not in text or self._pattern is None:
            return self.encode(text, controls=True)
        # Someone spells a control token. Around each real one the text is cut, as the library itself does.
        ids: list[int] = []
        for part in self._pattern.split(text):
            if part in self._controls:
                ids.append(self.tokenizer.convert_tokens_to_ids(part))
            elif part:
                ids.extend(self.encode(part.replace(mark, "")))
        return ids

    def decoder(self, before: Sequence[int] = ()) -> Decoder | ByteDecoder:
        """Return a decoder for the row after these tokens."""
        return ByteDecoder(self._piece) if self._byte_level else Decoder(self._decode, before)

    def _piece(self, token: int) -> bytes:
        spelling = self.tokenizer.convert_ids_to_tokens(token)
        if spelling is None or token in self._silent:
            return b""
        symbols: list[int | None] = [BYTE_OF_SYMBOL.get(symbol) for symbol in spelling]
        data = [byte for byte in symbols if byte is not None]
        return bytes(data) if len(data) == len(symbols) else str(spelling).encode()

    def _decode(self, tokens: list[int]) -> str:
        text = self.tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        assert isinstance(text, str)
        return text

    def offsets(self, before: Sequence[int], tokens: Sequence[int], continuation: str) -> list[int]:
        """Return where in the continuation those tokens begin that reach into it: the last ones of ``tokens``.

        Parameters
        ----------
        before : sequence of int
            Tokens that are the prompt's for sure.
        tokens : sequence of int
            What follows them in the joint text.
        continuation : str
            The end of the joint text.

        Raises
        ------
        CapabilityError
            The tokenizer changes the text, so that its tokens have no place in it.
        """
        decoder = self.decoder(before)
        text, spans = "", []
        for token in tokens:
            start = len(text)
            text += decoder.feed(token)
            spans.append((start, len(text) + decoder.holding))
        text += decoder.flush()
        if not text.endswith(continuation):
            raise CapabilityError(
                f"The tokenizer changes the text {continuation[:40]!r}, so its log-probabilities have no place in it. "
                "Use a model whose tokenizer keeps text as it is."
            )
        border = len(text) - len(continuation)
        return [max(start - border, 0) for start, end in spans if end > border or start >= border]
