r"""Find the final answer in a model's text, and decide whether two answers are the same.

`extract` reads the latest announcement that parses ("The answer is X", ``\boxed{X}``, ``#### X``, ...), then the text
itself, by rules that each kind of answer documents. `canonical` gives a key; equal keys mean equal answers, exactly
for numbers, truth values and choices. `check` compares two answers with a three-valued verdict: only expressions need a
prover (math-verify and SymPy in a process of their own, under a clock), and running into its limit is never an
answer. `group` sorts many answers into classes, which is what a vote counts.

What it does not do: judge free text by meaning (a paraphrase is another answer), read answers in languages other than
English beyond their numbers, or tell the model's answer from a next question that it went on to invent; give
the generation a stop sequence for that.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from enum import StrEnum

from educe.core.errors import UsageError, nearest
from educe.verify import _choices, _expressions, _markers, _numbers, _text

__all__ = ["AnswerKind", "Verdict", "canonical", "check", "equivalent", "extract", "group"]

_MATH = re.compile(r"\$\$([^$]+)\$\$|(?<!\\)\$([^$\n]+)\$|\\\(([^\n]{1,2000}?)\\\)|\\\[([^$]{1,2000}?)\\\]")
_CHOICE_IS_RIGHT = re.compile(r"(?<![A-Za-z])\(?([A-Z])\)?\s(?:is|must be)\s(?:the\s)?(?:correct|right|best|true)\b")
# A line longer than this that announces nothing is a paragraph, not an answer.
MAX_TEXT_ANSWER = 200


class AnswerKind(StrEnum):
    """What sort of thing a question asks for; it decides how answers are read and compared.

    Examples
    --------
    >>> AnswerKind("number") is AnswerKind.NUMBER
    True
    """

    NUMBER = "number"
    CHOICE = "choice"
    BOOLEAN = "boolean"
    EXPRESSION = "expression"
    TEXT = "text"


class Verdict(StrEnum):
    """Result of a check: shown equal, shown different, or not decided within the limits.

    ``LIMIT_HIT`` covers the clock, the memory, the length and the reach of the prover. It says nothing about
    the answers.

    Examples
    --------
    >>> Verdict.LIMIT_HIT.value
    'limit hit'
    """

    PROVED = "proved"
    REFUTED = "refuted"
    LIMIT_HIT = "limit hit"


def extract(text: str, kind: AnswerKind | str, choices: Sequence[str] = ()) -> str | None:
    r"""Final answer that a text gives, in printable form.

    Announcements are tried from the last to the first; one that only repeats the prompt's template ("The answer is X.")
    is passed over, and so is one that does not parse. A text with announcements of which none parses has no answer. A
    text without any is read by kind:

    - number: the text when it is one number, else its last number in digits, unless that belongs to a list or a sum;
    - choice, boolean: its first and its last sentence, which must not contradict each other;
    - expression: its last piece in ``$...$`` or ``\(...\)``, else the text when it is one short line;
    - text: the text when it is one short line.

    Parameters
    ----------
    text : str
        What the model wrote; any length, read in about linear time.
    kind : AnswerKind or str
        What the question asks for.
    choices : sequence of str
        The choices in the order of their letters; needed for choices, else unused.

    Returns
    -------
    str or None
        A number as its canonical decimal or fraction, a choice as its text in `choices`, "yes" or "no", an
        expression or a text as written; None when the text gives no answer of this kind or an ambiguous one.

    Raises
    ------
    UsageError
        If `kind` is unknown, or is choice and `choices` is empty.

    Examples
    --------
    >>> extract("3 * 4 = 12 legs. The answer is 1,012.", "number")
    '1012'
    >>> extract("So the answer is (b).", "choice", ["London", "Paris"])
    'Paris'
    >>> extract("No, it is not true.", "boolean")
    'no'
    """
    kind = _checked(kind, choices)
    has_marker = False
    for spans in (_markers.strong_spans(text), _markers.weak_spans(text)):
        for span in spans:
            has_marker = has_marker or span.source not in {"hash", "heading"}
            answer = _read(span, kind, choices)
            if answer is not None:
                return answer
    # A template alone is an announcement too: what else the text holds was not meant as its answer.
    return None if has_marker else _unmarked(text, kind, choices)


def _checked(kind: AnswerKind | str, choices: Sequence[str]) -> AnswerKind:
    try:
        kind = AnswerKind(kind)
    except ValueError:
        raise UsageError(
            f"{kind!r} is not a kind of answer; {nearest(str(kind), [item.value for item in AnswerKind])}"
        ) from None
    if kind is AnswerKind.CHOICE and not choices:
        raise UsageError("A choice needs the list of choices and got none. Pass the texts of the choices in order.")
    return kind


def _read(span: _markers.Span, kind: AnswerKind, choices: Sequence[str]) -> str | None:
    """Answer in an announced span."""
    sentence = _text.first_sentence(span.text)
    is_number = kind is AnswerKind.NUMBER
    if span.source == "heading" and not is_number:
        return None
    if kind is AnswerKind.CHOICE:
        index = _choices.choice(span.text, choices)
        return None if index is None else choices[index]
    if kind is AnswerKind.BOOLEAN:
        return _printed(_choices.truth(sentence))
    if span.text[:4].lower() == "not " or _markers.is_placeholder(span.text):
        return None
    if is_number:
        if span.source in {"hash", "heading"}:
            # What opens a heading may count the steps, so a number must fill the line but for its unit.
            return _numbers.single(span.text, is_bare=True)
        return _numbers.single(sentence) or (_numbers.single(span.text) if sentence != span.text else None)
    written = span.text if span.source == "boxed" else sentence
    if kind is AnswerKind.EXPRESSION:
        pieces = _math_pieces(written)
        return (pieces[0] if len(pieces) == 1 else _text.plain(written).rstrip(".,;")) or None
    return _text.plain(written) or None


def _unmarked(text: str, kind: AnswerKind, choices: Sequence[str]) -> str | None:
    """Answer of a text that announces none."""
    stripped = text.strip()
    is_short = 0 < len(stripped) <= MAX_TEXT_ANSWER and "\n" not in stripped and not _markers.is_placeholder(stripped)
    if kind is AnswerKind.NUMBER:
        return (_numbers.single(stripped) if is_short else None) or _numbers.last(text)
    if kind is AnswerKind.TEXT:
        return _text.plain(stripped).rstrip(".") or None if is_short else None
    if kind is AnswerKind.EXPRESSION:
        pieces = _math_pieces(text)
        return pieces[-1] if pieces else _text.plain(stripped).rstrip(".") or None if is_short else None
    sentences = dict.fromkeys((_text.first_sentence(stripped.partition("\n")[0]), _text.last_sentence(stripped)))
    if kind is AnswerKind.BOOLEAN:
        values = {_choices.truth(sentence) for sentence in sentences} - {None}
        return _printed(values.pop()) if len(values) == 1 else None
    indices = {_choices.choice(sentence, choices) for sentence in sentences} - {None}
    if not indices and is_short:
        indices = {_choices.choice(stripped, choices)} - {None}
    if not indices:
        indices = {ord(found[1]) - ord("A") for found in _CHOICE_IS_RIGHT.finditer(text)}
    index = indices.pop() if len(indices) == 1 else None
    return choices[index] if index is not None and index < len(choices) else None


def _math_pieces(text: str) -> list[str]:
    return [piece.strip() for found in _MATH.finditer(text) for piece in found.groups() if piece and piece.strip()]


def _printed(value: bool | None) -> str | None:
    return None if value is None else ("yes" if value else "no")


def canonical(answer: str, kind: AnswerKind | str, choices: Sequence[str] = ()) -> str:
    r"""Key of an answer: equal keys mean equal answers.

    For numbers the converse holds as well: ``0.5``, ``1/2`` and ``50/100`` have one key, and so have the names of one
    choice and of one truth value. Texts fold case, articles, punctuation and blanks, but keep the signs that carry
    a meaning (-5 is not 5). The key of an expression is only a tidied spelling: ``x+1`` and ``1+x`` differ, while
    `check` finds them equal. An answer that does not parse keeps its own text, blanks folded, which never equals the
    key of one that does. The key of a key is the key itself.

    Parameters
    ----------
    answer : str
        An extracted or a reference answer.
    kind : AnswerKind or str
        What the question asks for.
    choices : sequence of str
        The choices in the order of their letters.

    Returns
    -------
    str
        The key; printable.

    Raises
    ------
    UsageError
        If `kind` is unknown, or is choice and `choices` is empty.

    Examples
    --------
    >>> canonical("50/100", "number"), canonical("1/3", "number"), canonical("$1,200.50", "number")
    ('0.5', '1/3', '1200.5')
    >>> canonical("The Eiffel Tower!", "text")
    'eiffel tower'
    """
    kind = _checked(kind, choices)
    key: str | None
    if kind is AnswerKind.TEXT:
        return _text.text_key(answer)
    if kind is AnswerKind.EXPRESSION:
        spelling = _expressions.spelling(answer)
        return _numbers.exact(spelling) or spelling
    if kind is AnswerKind.NUMBER:
        key = _numbers.single(answer)
    elif kind is AnswerKind.BOOLEAN:
        key = _printed(_choices.truth(answer))
    else:
        index = _choices.choice(answer, choices)
        key = None if index is None else choices[index]
    return " ".join(answer.split()) if key is None else key


def check(a: str, b: str, kind: AnswerKind | str, choices: Sequence[str] = (), *, seconds: float = 2.0) -> Verdict:
    """Compare two answers.

    Equal keys prove equality. For every kind but expressions, different keys refute it. Expressions go to the prover:
    numbers among them are compared exactly; the rest is refuted by a value at which the two differ, and proved by
    algebra (unions of intervals and relations: by math-verify). The order in a set or a bare list does not matter, in
    a tuple it does; ``x = 5`` equals 5; ``i`` is the imaginary unit; ``log`` has base 10 and ``ln`` base e.

    The call blocks for up to `seconds`, and the first one for the start of the prover on top; an async caller
    runs it in a thread. It may be called from several threads, which take turns.

    Parameters
    ----------
    a, b : str
        The answers.
    kind : AnswerKind or str
        What the question asks for.
    choices : sequence of str
        The choices in the order of their letters.
    seconds : float
        Time for one comparison of expressions, > 0.

    Returns
    -------
    Verdict
        What was shown.

    Raises
    ------
    UsageError
        If `kind` is unknown, is choice and `choices` is empty, or `seconds` is not positive and finite.
    BackendError
        If the prover does not start.

    Examples
    --------
    >>> check("0.50", "1/2", "number").value
    'proved'
    """
    kind = _checked(kind, choices)
    if not (math.isfinite(seconds) and seconds > 0):
        raise UsageError(f"seconds={seconds!r} is no time to check in. Pass a positive number of seconds.")
    return _check_keys(canonical(a, kind, choices), canonical(b, kind, choices), kind, seconds)


def _check_keys(a: str, b: str, kind: AnswerKind, seconds: float) -> Verdict:
    if a == b:
        return Verdict.PROVED
    if kind is not AnswerKind.EXPRESSION or (_numbers.exact(a) and _numbers.exact(b)):
        return Verdict.REFUTED
    return Verdict(_expressions.check(a, b, seconds))


def equivalent(a: str, b: str, kind: AnswerKind | str, choices: Sequence[str] = (), *, seconds: float = 2.0) -> bool:
    """Whether two answers were shown to be the same; `check` with everything but a proof counted as no.

    Parameters
    ----------
    a, b, kind, choices, seconds
        As in `check`.

    Returns
    -------
    bool
        True only on a proof. False may also mean that the limit was hit.

    Raises
    ------
    UsageError, BackendError
        As in `check`.

    Examples
    --------
    >>> equivalent("twenty-four", "24.0", "number")
    True
    """
    return check(a, b, kind, choices, seconds=seconds) is Verdict.PROVED


def group(
    answers: Sequence[str | None], kind: AnswerKind | str, choices: Sequence[str] = (), *, seconds: float = 2.0
) -> list[int | None]:
    """Sort answers into classes of equivalent ones.

    Answers with equal keys share a class. Expressions with different keys are compared pairwise, and each proof merges
    two classes: equality is transitive, so a chain of proofs counts as a proof. When a pair hits the limit, each of the
    two is compared with 0; one that hits the limit even then is compared no further.

    Parameters
    ----------
    answers : sequence of str or None
        Extracted answers, None for an unparsable one.
    kind : AnswerKind or str
        What the question asks for.
    choices : sequence of str
        The choices in the order of their letters.
    seconds : float
        Time for one comparison of expressions, > 0.

    Returns
    -------
    list of int or None
        For each answer the index of its class, counted from 0 in order of first appearance; None for None.

    Raises
    ------
    UsageError, BackendError
        As in `check`.

    Examples
    --------
    >>> group(["1/2", None, "3", "0.5"], "number")
    [0, None, 1, 0]
    """
    kind = _checked(kind, choices)
    keys = [None if answer is None else canonical(answer, kind, choices) for answer in answers]
    distinct = list(dict.fromkeys(key for key in keys if key is not None))
    # The first member of a class stands for it, so that indices follow the first appearance.
    leader = {key: key for key in distinct}
    is_hard: dict[str, bool] = {}
    for position, key in enumerate(distinct if kind is AnswerKind.EXPRESSION else ()):
        for other in distinct[:position]:
            if leader[other] == leader[key] or is_hard.get(other) or is_hard.get(key):
                continue
            verdict = _check_keys(other, key, kind, seconds)
            if verdict is Verdict.PROVED:
                kept, gone = sorted((leader[other], leader[key]), key=distinct.index)
                leader = {item: kept if of == gone else of for item, of in leader.items()}
            elif verdict is Verdict.LIMIT_HIT:
                # One expression that never ends would otherwise cost its time once per other answer.
                for item in {other, key} - is_hard.keys():
                    is_hard[item] = _check_keys(item, "0", kind, seconds) is Verdict.LIMIT_HIT
    numbers: dict[str, int] = {}
    for key in distinct:
        numbers.setdefault(leader[key], len(numbers))
    return [None if key is None else numbers[leader[key]] for key in keys]
