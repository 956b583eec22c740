"""Rows held to a form: which tokens may come next, by the library `llguidance`.

A constraint is compiled once and copied for each row. The library derives token masks from an Earley parser over
lexemes of derivatives (Koo, Liu and He, 2024, arXiv:2407.08103, describe the family), and computes one in some tens of
microseconds, after some milliseconds for a schema. Rows under a constraint are not drafted: what may come next
depends on what was drawn.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from educe.core.errors import BackendError, CapabilityError, UsageError
from educe.lm.constraint import Constraint
from educe.lm.engine.tokenizer import Tokenizer

__all__ = ["AVAILABLE", "Grammars", "Guide"]

AVAILABLE = importlib.util.find_spec("llguidance") is not None
MOST_KEPT = 64  # compiled constraints
WHITE_SPACE: Any = {"whitespace_pattern": r"[ \n]{0,4}"}


class _Vocabulary:
    """The tokenizer as the library wants it."""

    def __init__(self, tokenizer: Tokenizer, end: int) -> None:
        self.eos_token_id, self.bos_token_id = end, None
        names = {token: name.encode() for name, token in tokenizer.control.items()}
        self.tokens = [names.get(token, piece) for token, piece in enumerate(tokenizer.pieces)]
        self.special_token_ids = sorted({*tokenizer.control.values(), *tokenizer.stop})
        self._encode = tokenizer.encode

    def __call__(self, text: str | bytes) -> list[int]:
        return self._encode(text if isinstance(text, str) else text.decode(errors="ignore"))


class Guide:
    """What one row may still say.

    Parameters
    ----------
    matcher : LLMatcher
        The row's own.
    ends : sequence of int
        Tokens that end a row; the first is the one that the library knows.
    tokens : int
        How many the tokenizer has.
    """

    def __init__(self, matcher: Any, ends: Sequence[int], tokens: int) -> None:
        self._matcher, self._ends = matcher, list(ends)
        self._bits = np.zeros(-(-tokens // 32), np.int32)

    def allowed(self) -> NDArray[np.bool_]:
        """Return which tokens may come next, (tokens filled up to a multiple of 32,) bool."""
        self._matcher.unsafe_compute_mask_ptr(self._bits.ctypes.data, self._bits.nbytes)
        self._check()
        allowed = np.unpackbits(self._bits.view(np.uint8), bitorder="little").astype(bool)
        allowed[self._ends] = allowed[self._ends[0]]
        return allowed

    def take(self, token: int) -> None:
        """Go on to the state after a token."""
        if token not in self._ends:
            self._matcher.consume_token(token)
            self._check()

    def _check(self) -> None:
        if self._matcher.is_error():
            raise BackendError(
                f"A constraint became too complex while a row was drawn: {self._matcher.get_error()}. Simplify it."
            )


class Grammars:
    """Constraints compiled for a tokenizer, the last few kept.

    Parameters
    ----------
    tokenizer : Tokenizer
        The model's.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._vocabulary: Any = None
        self._compiled: dict[Constraint, Any] = {}

    def guides(self, constraint: Constraint, rows: int) -> list[Guide]:
        """Compile a constraint and return a guide for each row.

        Raises
        ------
        UsageError
            The schema, expression or grammar is not one that the library understands.
        CapabilityError
            The library is not installed, or the model has no end token.
        """
        if not AVAILABLE:
            raise CapabilityError("Constraints need the package llguidance. Install educe[constrained].")
        ends = sorted(self._tokenizer.stop)
        if not ends:
            raise CapabilityError("The model has no end token, so that no constrained row could end. Choose another.")
        if constraint not in self._compiled:
            while len(self._compiled) >= MOST_KEPT:
                del self._compiled[next(iter(self._compiled))]
            self._compiled[constraint] = self._matcher(constraint, ends[0])
        matcher, tokens = self._compiled[constraint], len(self._tokenizer.pieces)
        return [Guide(matcher.deep_copy(), ends, tokens) for _ in range(rows)]

    def _matcher(self, constraint: Constraint, end: int) -> Any:
        import llguidance

        if self._vocabulary is None:
            wrapper = llguidance.TokenizerWrapper(_Vocabulary(self._tokenizer, end))
            self._vocabulary = llguidance.LLTokenizer(wrapper, n_vocab=len(self._tokenizer.pieces))
        library = llguidance.LLMatcher
        # Any amount of white space is JSON, and small models like it well enough to fill a row with it.
        make: dict[str, Callable[[], str]] = {
            "json_schema": lambda: library.grammar_from_json_schema(constraint.text, defaults=WHITE_SPACE),
            "regex": lambda: library.grammar_from_regex(constraint.text),
            "grammar": lambda: library.grammar_from_lark(constraint.text),
        }
        try:
            matcher = library(self._vocabulary, make[constraint.kind](), log_level=0)
            wrong = matcher.get_error() if matcher.is_error() else ""
        except ValueError as error:
            wrong = str(error)
        if wrong:
            raise UsageError(
                f"The {constraint.kind} {constraint.text[:60]!r} cannot be used: {wrong.strip()[:300]}. Correct it."
            )
        return matcher
