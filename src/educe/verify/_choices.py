"""Read which of the given choices, or which truth value, a phrase states.

A choice is named by its letter or by its text. A letter that opens the phrase decides, unless the text beside it is
another choice's. Otherwise lettered mentions ("(B)", "option B") and mentions of a text as whole words are collected:
negated ones ("not Paris", "rather than (A)") do not count, the last one wins, and two joined by "or", "and" or a comma
leave the phrase ambiguous. A truth value needs all its signs to agree, each after its own negations: "No, it is not
true" is false twice, "Yes, it is not true" is nothing.

What it does not do: guess from what is left when other choices are excluded, or match a text by its meaning.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from string import ascii_uppercase

from educe.verify._numbers import exact
from educe.verify._text import first_sentence, plain, text_key

# A statement of a choice is short; what comes after this many characters explains it.
MAX_PHRASE = 4000

_ADVERB = re.compile(
    r"(?:(?:clearly|definitely|probably|likely|therefore|thus|simply|just|indeed|obviously|most|option|choice|letter|answer|number)"
    r"[\s:*]+)+(?=\(?[A-Za-z]\b)",
    re.IGNORECASE,
)
_LABEL = re.compile(r"[\[(*_\s]*([A-Za-z])[\])*_]*(?:[.:)\]]+[*_]*(?=\s|$)|(?=\s*$))|[\[(]([A-Za-z])[\])]")
_BARE_LABEL = re.compile(
    r"[*_]*([A-Z])[*_]*(?=\s*[,;/&]|\s+[-–—]|\s+(?:because|since|is|as|and|or|which|for|not|rather|instead|due)\b|[.:!?])"
)
_LETTERED = re.compile(
    r"[\[(]([A-Za-z])[\])]|\b(?:option|choice|letter|answer)s?\s{1,3}[*_]{0,2}([A-Za-z])\b", re.IGNORECASE
)
_JOINED_LETTER = re.compile(
    r"[\])*_.]*\s*(?:,|/|&|,?\s?\b(?:and|or)\b)\s*(?:option\s|choice\s)?[\[(*_]*([A-Z])\b(?!\w)"
)
_NEGATED = re.compile(
    r"\b(?:not|never|isnt|arent|wasnt|isn['’]t|aren['’]t|wasn['’]t|than|instead of|except|nor|neither)"
    r"(?:\s(?:option|choice|in|by|the|a|an|be))*\s*$"
)
_JOIN = re.compile(r"\s*(?:,|/|&|\band\b|\bor\b|\s)*\s*")
_REASON = re.compile(r"\b(?:because|since|whereas|while|unlike|but not|rather than|instead of)\b")

_POLARITY = re.compile(r"(?<!\w)(yes|no|true|false|untrue|correct|incorrect)(?!\w)", re.IGNORECASE)
_NOT_BEFORE = re.compile(r"(?:\b(?:not|never|cannot be|hardly)|n['’]t)(?:\s\w+){0,2}?\s+$", re.IGNORECASE)
_BOTH = re.compile(r"\b(?:neither|either|whether|true or false|yes or no|yes/no|true/false)\b", re.IGNORECASE)
# "No" is an answer only where it stands for a sentence; before a noun it counts things.
_NO_IS_ANSWER = re.compile(
    r"[\s\"'*_)\]}]*(?:[,.;:!?\n]|[-–—]|$|(?:because|since|it|they|he|she|that|this|there|we|you|as|not)\b)",
    re.IGNORECASE,
)


def letter_of(index: int) -> str:
    """Letter of a choice: A for the first; empty beyond the alphabet."""
    return ascii_uppercase[index] if index < len(ascii_uppercase) else ""


def choice(phrase: str, choices: Sequence[str]) -> int | None:
    """Index of the choice that a phrase states, None when it states none or several."""
    if phrase.strip() in choices:
        return choices.index(phrase.strip())
    # What is far longer than the longest choice states none as a whole.
    phrase = plain(phrase[: max(MAX_PHRASE, 2 * max(map(len, choices)))])
    keys = [text_key(item) for item in choices]
    whole = _same(text_key(phrase), keys)
    if whole is not None:
        return whole
    phrase = phrase[:MAX_PHRASE]
    for part in dict.fromkeys((first_sentence(phrase), phrase)):
        index = _named(part, keys)
        if index is not None:
            return index
    number = exact(phrase.rstrip("."))
    matching = [index for index, item in enumerate(choices) if number is not None and exact_or_unit(item) == number]
    return matching[0] if len(matching) == 1 else None


def exact_or_unit(text: str) -> str | None:
    """Number that a choice such as "24 km" states at its beginning, without its unit."""
    head = text.split()
    return exact(head[0]) if head and len(head) <= 3 else None


def _same(key: str, keys: Sequence[str]) -> int | None:
    return keys.index(key) if keys.count(key) == 1 else None


def _named(phrase: str, keys: Sequence[str]) -> int | None:
    phrase = phrase.strip()
    adverb = _ADVERB.match(phrase)
    opening = phrase[adverb.end() :] if adverb else phrase
    label = _LABEL.match(opening) or _BARE_LABEL.match(opening)
    if label is not None:
        index = ascii_uppercase.index((label[1] or label.group(label.lastindex or 1)).upper())
        if index < len(keys):
            return _labelled(opening, label.end(), index, keys)
    lettered, has_letters = _last_letter(phrase, len(keys))
    worded, has_words = _last_text(phrase, keys)
    if has_letters and has_words and lettered != worded:
        return None
    return lettered if has_letters else worded


def _labelled(opening: str, end: int, index: int, keys: Sequence[str]) -> int | None:
    """A leading label, checked against a second letter and against the text that stands beside it."""
    joined = _JOINED_LETTER.match(opening, end)
    if (
        joined is not None
        and ascii_uppercase.index(joined[1]) < len(keys)
        and ascii_uppercase.index(joined[1]) != index
    ):
        return None
    beside = text_key(opening[end:])
    named = max((key for key in keys if key and f"{beside} ".startswith(f"{key} ")), key=len, default=keys[index])
    return index if named == keys[index] else None


def _last_letter(phrase: str, count: int) -> tuple[int | None, bool]:
    """Index of the last letter in parentheses or after "option"; whether there was one at all."""
    final: tuple[int, int] | None = None
    for found in _LETTERED.finditer(phrase):
        index = ascii_uppercase.find((found[1] or found[2]).upper())
        if not 0 <= index < count or _NEGATED.search(phrase[max(0, found.start() - 40) : found.start()].lower()):
            continue
        if final is not None and final[1] != index and _JOIN.fullmatch(phrase, final[0], found.start()):
            return None, True
        final = (found.end(), index)
    if final is None:
        return None, False
    joined = _JOINED_LETTER.match(phrase, final[0])
    is_joined = (
        joined is not None and ascii_uppercase.index(joined[1]) < count and ascii_uppercase.index(joined[1]) != final[1]
    )
    return (None, True) if is_joined else (final[1], True)


def _last_text(phrase: str, keys: Sequence[str]) -> tuple[int | None, bool]:
    """Index of the choice whose text is mentioned last; whether there was a mention at all."""
    normal = f" {text_key(phrase)} "
    mentions = _mentions(normal, keys)
    reason = _REASON.search(normal, mentions[0][1]) if mentions else None
    if reason is not None:
        mentions = [mention for mention in mentions if mention[0] < reason.start()]
    kept = [mention for mention in mentions if not _NEGATED.search(normal[max(0, mention[0] - 40) : mention[0]])]
    if not kept:
        return None, bool(mentions)
    start, _, index = kept[-1]
    if keys.count(keys[index]) > 1:
        return None, True
    if len(kept) > 1 and kept[-2][2] != index and _JOIN.fullmatch(normal, kept[-2][1], start):
        return None, True
    return index, True


def _mentions(normal: str, keys: Sequence[str]) -> list[tuple[int, int, int]]:
    """Whole-word occurrences (start, end, index) in reading order; where they overlap, the longest stays."""
    found: list[tuple[int, int, int]] = []
    for index, key in enumerate(keys):
        at = normal.find(f" {key} ") if key else -1
        while at >= 0:
            found.append((at + 1, at + 1 + len(key), index))
            at = normal.find(f" {key} ", at + 1)
    found.sort(key=lambda mention: (mention[0], -mention[1]))
    kept: list[tuple[int, int, int]] = []
    for mention in found:
        if not kept or mention[0] >= kept[-1][1]:
            kept.append(mention)
        elif mention[1] - mention[0] > kept[-1][1] - kept[-1][0]:
            kept[-1] = mention
    return kept


def truth(phrase: str) -> bool | None:
    """Truth value that a phrase states, None when it states none or both."""
    phrase = plain(phrase[:MAX_PHRASE])
    if _BOTH.search(phrase):
        return None
    values = set()
    for found in _POLARITY.finditer(phrase):
        word = found[1].lower()
        if word == "no" and not _NO_IS_ANSWER.match(phrase, found.end()):
            continue
        is_negated = word not in {"yes", "no"} and _NOT_BEFORE.search(
            phrase[max(0, found.start() - 40) : found.start()]
        )
        values.add((word in {"yes", "true", "correct"}) != bool(is_negated))
    return values.pop() if len(values) == 1 else None
