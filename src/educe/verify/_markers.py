r"""Find the stretches of a model's text that announce its answer, latest first.

Strong announcements are ``\boxed{...}``, ``#### X``, ``<answer>X</answer>``, "Answer: X" and "the answer (the correct
option, the final result, ...) is X"; weak ones are "so it's X", "therefore it is X". A span runs to the end of its line
or to the next announcement, so that all spans together are never longer than the text. `is_placeholder` knows the spans
that only repeat the prompt's template ("The answer is X", "[answer]", "...").

What it does not do: decide which span parses; that depends on the kind of answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

# Beyond this many announcements the text is a loop, not a derivation.
MAX_SPANS = 256

_BOX_OR_BRACE = re.compile(r"\\(?:boxed|fbox)\s{0,3}\{|\\[{}\\]|[{}]")
_STRONG = re.compile(
    r"(?P<hash>^[ \t]{0,3}\#{4}(?!\#))"
    r"|(?P<tag><answer>)"
    r"|(?:(?<!to )(?<!can )(?<!me )(?<!i )\banswers?\b"
    r"|\b(?:correct|right|best|true|chosen|final)\s(?:option|choice|statement|value|result|solution)\b)"
    r"(?:[*_]{0,4}\s{0,2}[:=]|[^\n.:=?!]{0,40}?\b(?:is|are|be)\b(?!\s(?:in|of|on|at)\b)|[*_ ]{0,4}\n)",
    re.IGNORECASE | re.MULTILINE,
)
_WEAK = re.compile(
    r"\b(?:so|thus|therefore|hence)\b,?\s{1,3}(?:it|that|this)(?:['’]s|\s{1,3}(?:is|are|must\sbe|equals))\b:?",
    re.IGNORECASE,
)
_BEFORE_ANSWER = re.compile(r"[\s*_:=]*")
_PLACEHOLDER = re.compile(
    r"[\s*_$\"'`]*(?:x|[\[<({]{1,2}\s?(?:x|n|(?:your|the|final|correct)?\s?(?:final\s)?(?:answer|number|result|option|choice|letter)"
    r"(?:\shere)?)\s?[\]>)}]{1,2}|(?:your|the)\s(?:final\s)?answer(?:\shere)?|answer|\.{2,}|…|_{2,})?[\s*_$\"'`.!]*",
    re.IGNORECASE,
)


class Span(NamedTuple):
    """Announced text, and how it was announced: ``boxed``, ``hash``, ``phrase`` or ``weak``.

    Four hashes with more text below may be a mere heading, so their source is ``heading``.
    """

    text: str
    source: str


def is_placeholder(text: str) -> bool:
    """Whether a text is empty or the literal template of a prompt ("X", "[answer]", "...")."""
    return len(text) <= 40 and _PLACEHOLDER.fullmatch(text) is not None


def _boxes(text: str) -> Iterator[tuple[int, int, int]]:
    """Start of each closed box, start and end of its content; one pass, whatever the nesting."""
    start = min((at for at in (text.find("\\boxed"), text.find("\\fbox")) if at >= 0), default=-1)
    if start < 0:
        return
    opened: list[tuple[int, int] | None] = []
    for found in _BOX_OR_BRACE.finditer(text, start):
        if len(found[0]) > 2:
            opened.append((found.start(), found.end()))
        elif found[0] == "{":
            opened.append(None)
        elif found[0] == "}" and opened:
            box = opened.pop()
            if box is not None:
                yield (*box, found.start())


def strong_spans(text: str) -> Iterator[Span]:
    """Strong announcements from the last to the first."""
    starts = [(found.start(), found.end(), -1, found.lastgroup or "phrase") for found in _STRONG.finditer(text)]
    starts += [(start, inside, end, "boxed") for start, inside, end in _boxes(text)]
    return _spans(text, sorted(starts))


def weak_spans(text: str) -> Iterator[Span]:
    """Weak announcements from the last to the first."""
    return _spans(text, [(found.start(), found.end(), -1, "weak") for found in _WEAK.finditer(text)])


def _spans(text: str, starts: list[tuple[int, int, int, str]]) -> Iterator[Span]:
    limit = len(text)
    for start, inside, end, source in reversed(starts[-MAX_SPANS:]):
        span = text[inside:end] if source == "boxed" else _line(text, inside, limit)
        is_heading = source == "hash" and (limit < len(text) or "\n" in text[inside:].strip())
        limit = start
        if source == "tag":
            yield Span(span.partition("</")[0].strip(), "phrase")
        else:
            yield Span(span.strip(), "heading" if is_heading else source)


def _line(text: str, start: int, limit: int) -> str:
    """Rest of the line, or the next line that has anything on it."""
    skipped = _BEFORE_ANSWER.match(text, start, limit)
    start = skipped.end() if skipped else start
    end = text.find("\n", start, limit)
    return text[start : limit if end < 0 else end]
