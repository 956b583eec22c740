"""`Constraint`: the form that a row's text must have, enforced while it is drawn.

A backend that enforces one forbids, at every token, all tokens after which the text could no longer be completed to
the form. A row that ends with ``finish == "stop"`` is then of the form; one that ends for want of tokens is a beginning
of it. Constraints say nothing about what is true or likely: a model that is forced into a form it would not have taken
answers worse than one that was asked for it, so ask in the prompt too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from educe.core.errors import UsageError

__all__ = ["Constraint"]

KINDS = ("json_schema", "regex", "grammar")
MOST_CHARACTERS = 1 << 20


@dataclass(frozen=True, slots=True)
class Constraint:
    """A form for the text of a row.

    Parameters
    ----------
    kind : str
        ``"json_schema"``, ``"regex"`` (the whole text matches; no look-around, no back references) or ``"grammar"``
        (context-free, in the notation of Lark).
    text : str
        The schema as JSON, the expression, or the grammar.

    Raises
    ------
    UsageError
        The kind is unknown, or the text is empty, too long, or no JSON object where a schema is wanted.

    Examples
    --------
    >>> Constraint("regex", "[0-9]+")
    Constraint(kind='regex', text='[0-9]+')
    >>> Constraint.json_schema({"type": "integer"}).text
    '{"type": "integer"}'
    """

    kind: str
    text: str

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UsageError(f"Constraint kind {self.kind!r} is unknown. Use {', '.join(map(repr, KINDS))}.")
        if not self.text or len(self.text) > MOST_CHARACTERS:
            raise UsageError(
                f"A constraint has {len(self.text)} characters. Give from 1 to {MOST_CHARACTERS} characters."
            )
        if self.kind == "json_schema":
            try:
                fine = isinstance(json.loads(self.text), dict | bool)
            except (ValueError, RecursionError):
                fine = False
            if not fine:
                raise UsageError(f"{self.text[:60]!r} is no JSON schema. Give a JSON object.")

    @classmethod
    def json_schema(cls, schema: Mapping[str, Any] | str) -> Constraint:
        """Return the constraint to JSON of a schema.

        Parameters
        ----------
        schema : mapping or str
            The schema, or its JSON.
        """
        return cls("json_schema", schema if isinstance(schema, str) else json.dumps(schema))

    @classmethod
    def regex(cls, pattern: str) -> Constraint:
        """Return the constraint to texts that match an expression as a whole.

        Parameters
        ----------
        pattern : str
            A regular expression without look-around and back references.
        """
        return cls("regex", pattern)

    @classmethod
    def grammar(cls, lark: str) -> Constraint:
        """Return the constraint to texts of a context-free grammar.

        Parameters
        ----------
        lark : str
            Rules in the notation of Lark, beginning with ``start``.
        """
        return cls("grammar", lark)
