r"""Read the one number that a phrase states, as an exact printable key.

Two phrases get the same key exactly when they state the same rational number: a terminating value
is printed as a decimal (``1/2`` and ``50/100`` give ``0.5``), any other as a reduced fraction. Decimal text is
handled digit by digit, so a million digits cost a million steps and never meet Python's limit on integer
conversion.

Conventions. A unit, a currency sign or a percent sign is dropped (``12 legs``, ``$12``, ``50%`` are 12, 12, 50):
the question fixes the unit, and answer sheets leave it out. ``3 million`` is multiplied out; ``5k`` is refused,
since it may be thousands or kelvin. A comma or a blank groups thousands only in blocks of three; a point groups them
only where nothing else can be meant (``1.234,5``). ``1.234`` is a little over one, and ``1,5`` is refused. Dates,
clock times, versions, ranges and lists are not numbers. English number words go up to 999,999.

What it does not do: sums and products (``2 + 3``), roots and constants (``\sqrt{2}``, ``2\pi``), roman numerals, number
words of other languages. A quotient of two numbers is a fraction, and so is read: ``24 / 2`` is 12.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from itertools import islice
from typing import NamedTuple

from educe.verify._text import compatible

# A fraction or a power with more digits than this is refused: nobody answers with it, and below it every integer stays
# inside the smallest limit that Python allows for integer conversion (640 digits).
MAX_FRACTION_DIGITS = 300
# Zeros written out before the key turns to an exponent: 10^30 is still readable, 10^400 is not.
MAX_PADDING = 30
MAX_EXPONENT_DIGITS = 18

_SUPERSCRIPT = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻]+")
_SUPERSCRIPT_DIGITS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻", "0123456789+-")
_VULGAR = re.compile("(?<=[0-9])(?=[¼½¾⅐-⅞↉])")
_FOREIGN_DIGIT = re.compile(r"(?![0-9])\d")
_SIGNS = str.maketrans(
    {
        "\N{MINUS SIGN}": "-",
        "\N{EN DASH}": "-",
        "\N{FIGURE DASH}": "-",
        "\N{HYPHEN}": "-",
        "\N{EM DASH}": " ; ",
        "\N{FRACTION SLASH}": "/",
        "\N{RIGHT SINGLE QUOTATION MARK}": "'",
        "\N{DOT OPERATOR}": "×",
        "\N{MIDDLE DOT}": "×",
        "\N{ALMOST EQUAL TO}": "=",
        "\N{ASYMPTOTICALLY EQUAL TO}": "=",
    }
)
_SMALL = r"\s{0,3}\{\s{0,3}(-?[0-9.]{1,300})\s{0,3}\}"
_LATEX = [
    (re.compile(r"\{,\}"), ","),
    (re.compile(r"\\!"), ""),
    (re.compile(r"\\(?:left|right|displaystyle|mathbf|boldsymbol|bf)(?![A-Za-z])"), ""),
    (re.compile(r"\\[dtc]frac(?![A-Za-z])"), r"\\frac"),
    (re.compile(r"(?<=[0-9])(?=\\frac)"), " "),
    (re.compile(rf"\\frac{_SMALL}{_SMALL}"), r"\1/\2 "),
    (re.compile(r"\\frac([0-9])([0-9])"), r"\1/\2 "),
    (re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mathit|mbox|hbox|operatorname)\s{0,3}\{([^{}]*)\}"), r" \1 "),
    (re.compile(r"\\(?:times|cdot|ast)(?![A-Za-z])"), "×"),
    (re.compile(r"\\div(?![A-Za-z])"), "÷"),
    (re.compile(r"\\pm(?![A-Za-z])"), "±"),
    (re.compile(r"\\(?:approx|simeq|cong|equiv)(?![A-Za-z])"), "="),
    (re.compile(r"\\l(?:e|eq|t)(?![A-Za-z])"), "<"),
    (re.compile(r"\\g(?:e|eq|t)(?![A-Za-z])"), ">"),
    (re.compile(r"\^?\{?\\(?:circ|degree)(?![A-Za-z])\}?"), "°"),
    (re.compile(r"\\q?quad(?![A-Za-z])|\\[,;: ()\[\]]|~"), " "),
    (re.compile(r"\\([%$#&])"), r"\1"),
]
# Tags, and the calculator notes of grade-school problems (<<9*2=18>>18).
_TAG = re.compile(r"</?[A-Za-z][A-Za-z0-9]{0,20}>|<<[^<>\n]{0,200}>>")
_CURRENCY = re.compile(r"[$€£¥₹₽₩₺¢]\s?(?=[-+.0-9])|[$€£¥₹₽₩₺¢]")
_ARROW = re.compile(r"[-=]{1,2}>|[→⇒⟹]|\\(?:Rightarrow|rightarrow|implies|to)(?![A-Za-z])")
_SLASH = re.compile(r"(?<=[0-9]) ?/ ?(?=[0-9])")
_POWER_STARS = re.compile(r"(?<=[0-9)]) ?\*\* ?(?=[-0-9(])")
_BLANK_GROUPS = re.compile(r"(?<![0-9.,/:'^-])-?[0-9]{1,3}(?: [0-9]{3})+(?![0-9])")

_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|sept|oct|nov|dec)[a-z]{0,6}\.?"
# Dates and clock times, and the "Step 3" that a chain of thought counts with: numbers, but never the answer.
_NOT_AN_ANSWER = re.compile(
    rf"\b{_MONTH}\s{{1,3}}[0-9]{{1,2}}(?:st|nd|rd|th)?(?:,?\s{{1,3}}[0-9]{{4}})?\b(?![.,/][0-9])"
    rf"|\b[0-9]{{1,2}}(?:st|nd|rd|th)?\s{{1,3}}(?:of\s{{1,3}})?{_MONTH}(?:,?\s{{1,3}}[0-9]{{4}})?(?![A-Za-z0-9])"
    rf"|\b{_MONTH}\s{{1,3}}[0-9]{{4}}\b"
    r"|(?<![0-9./-])(?:[0-9]{4}([-/.])[0-9]{1,2}\1[0-9]{1,2}|[0-9]{1,2}([-/.])[0-9]{1,2}\2[0-9]{2,4})(?![0-9]|[.,/-][0-9])"
    r"|(?<![0-9:.])[0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?(?![0-9:])|\bstep\s{1,3}[0-9]{1,3}\b",
    re.IGNORECASE,
)

_EXPONENT = r"\s{0,2}\^\s{0,2}[({]?\s{0,2}(?P<NAME>[-+]?[0-9]+)\s{0,2}[)}]?(?![0-9^])"
# Every run of digits and number punctuation is taken whole and judged afterwards, so that 3-5, 1.2.3 and 1,2,3
# are seen as what they are. All repetitions are possessive or short: the scan is linear.
_TOKEN = re.compile(
    r"(?<![0-9A-Za-z_.^])(?<![A-Za-z^]-)(?<!\^[({])(?<!\^[({]-)"
    r"(?:(?P<whole>[-+]?[0-9]{1,18})\s{1,3}(?P<part>[0-9]{1,18}/[0-9]{1,18})(?![0-9./:-])"
    r"|(?P<run>[-+]?(?:[0-9]|\.(?=[0-9]))(?:[0-9]++|[.,'_:-](?=[0-9])|/-?(?=[0-9]))*+)"
    r"(?:[eE](?P<e>[-+]?[0-9]++)(?![0-9A-Za-z])"
    rf"|\s{{0,2}}[×*x]\s{{0,2}}10{_EXPONENT.replace('NAME', 'ten')}"
    rf"|{_EXPONENT.replace('NAME', 'power')})?)"
    r"(?:\s{0,2}(?P<scale>hundred|thousand|million|billion|trillion)s?(?![A-Za-z]))?",
    re.IGNORECASE,
)
_SCALES = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12}
_DECIMAL = re.compile(r"[-+]?[0-9]*+(?:\.[0-9]++)?")
_COMMA_GROUPS = re.compile(r"[-+]?[0-9]{1,3}(?:([,'_])[0-9]{3})(?:\1[0-9]{3})*(?:\.[0-9]++)?")
_POINT_GROUPS = re.compile(r"[-+]?[0-9]{1,3}(?:\.[0-9]{3})+,[0-9]++")
# What makes a run of digits a part of something that is not a plain number.
_SPOILED_BEFORE = re.compile(
    r"(?:(?:\\[A-Za-z]+|√|[<>±≤≥≠]|\b(?:sqrt|log|ln|sin|cos|tan|exp))\s{0,3}[({\[]{0,2}\s{0,3}"
    r"|\S[ ]{0,3}[+×÷/][ ]{0,3}|(?:^|\S)[ ]{0,3}-[ ]{1,3}|[A-Za-z0-9)]\s{0,3}\*\s{0,3})$",
    re.IGNORECASE,
)
_SPOILED_AFTER = re.compile(
    r"(?:[A-Za-z]{1,12}[0-9]|[xyzkKMB](?![A-Za-z])|[}\])]{0,2}\s{0,2}(?:\\[A-Za-z]|[π√!]|pi(?![A-Za-z]))"
    r"|\s{0,3}(?:[+×÷^±]|/\s{0,2}[A-Za-z0-9(](?![A-Za-z])|[*-]\s{0,3}[A-Za-z](?![A-Za-z]))|\s{1,3}dozens?(?![A-Za-z])"
    r"|\s{1,3}and\s{1,3}(?:a|an|one|two|three)[\s-]{1,3}(?:half|halves|third|quarter|fourth|fifth|sixth|eighth|tenth))"
)

_SPELLED = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
seventeen eighteen nineteen"""
_SPELLED_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_ONES = {word: value for value, word in enumerate(_SPELLED.split())}
_TENS = {word: 10 * value for value, word in enumerate(_SPELLED_TENS.split(), 2)}
_NUMBER_WORD = "|".join(sorted([*_ONES, *_TENS, "hundred", "thousand"], key=len, reverse=True))
_WORDS = re.compile(
    rf"(?=[a-z])(?<![A-Za-z-])(?:(?:minus|negative)\s{{1,3}})?(?:an?\s{{1,3}}(?=hundred|thousand))?(?:{_NUMBER_WORD})(?![A-Za-z])"
    rf"(?:(?:[\s-]{{1,3}}|[\s-]{{1,3}}and[\s-]{{1,3}})(?:{_NUMBER_WORD})(?![A-Za-z]))*+",
    re.IGNORECASE,
)
_WORDS_SPOILED = re.compile(
    r"[\s-]{1,3}(?:and[\s-]{1,3}a[\s-]{1,3})?(?:hal(?:f|ves)|quarters?|(?:dozen|million|billion|trillion)s?|first|second"
    r"|thirds?|(?:four|fif|six|seven|eigh|nin|ten|eleven|twelf|[a-z]{3,5}teen|hundred|thousand)ths?)(?![A-Za-z])",
    re.IGNORECASE,
)

_LEAD = re.compile(
    r"[\s\"'(\[{*_`:]*(?:(?:about|approximately|approx\.?|around|roughly|nearly|exactly|only|just|simply|equal(?:s| to)"
    r"|a total of|the number|usd|eur|gbp|inr|cad|aud|rs\.?|=)[\s\"'(\[{*_`:]+)*",
    re.IGNORECASE,
)
_CONNECTOR = re.compile(
    r"(?:[,;/&+*×÷^±~-]|(?<![a-z])(?:and|or|to|of|than|through|plus|minus|times|by|over|vs\.?))[\s(]*$", re.IGNORECASE
)
_LIST_GAP = re.compile(r"\s*(?:[,;&+*×÷/-]|,?\s*\b(?:and|or)\b)\s*", re.IGNORECASE)
_NEXT_UNKNOWN = re.compile(r"(?:[,;]|\band\b|\bor\b)\s*[A-Za-z]\w?\s*$")
_UNIT_TAIL = re.compile(r"[\s})\]*_`]*[A-Za-z%°'/^\s-]{0,40}[0-9]?[\s.})\]*_`]*")


class Token(NamedTuple):
    """A number-like stretch of text; ``key`` is None where it is part of something else (``2x``, ``1,2,3``)."""

    start: int
    end: int
    key: str | None


def clean(text: str) -> str:
    """Bring digits, signs, LaTeX and currency to one plain spelling."""
    if not text.isascii():
        # A superscript must become a power before compatibility folding turns 10² into 102, and 1½ needs a blank.
        text = _SUPERSCRIPT.sub(lambda found: f"^({found[0].translate(_SUPERSCRIPT_DIGITS)})", text)
        text = compatible(_VULGAR.sub(" ", text)).translate(_SIGNS)
        text = _FOREIGN_DIGIT.sub(lambda found: str(int(found[0])), text)
    if "\\" in text or "~" in text or "{," in text:
        for pattern, replacement in _LATEX:
            text = pattern.sub(replacement, text)
    if "<" in text:
        text = _TAG.sub(" ", text)
    text = _SLASH.sub("/", _ARROW.sub(" ; ", _CURRENCY.sub("", text)))
    if "**" in text:
        text = _POWER_STARS.sub("^", text).replace("**", " ")
    return _BLANK_GROUPS.sub(lambda found: found[0].replace(" ", ""), text)


def decimal_key(sign: str, integer: str, decimals: str, exponent: int = 0) -> str:
    """Print a decimal number uniquely, without ever converting its digits."""
    digits = (integer + decimals).lstrip("0")
    exponent -= len(decimals)
    stripped = digits.rstrip("0")
    exponent += len(digits) - len(stripped)
    digits = stripped
    if not digits:
        return "0"
    minus = "-" if sign == "-" else ""
    if exponent >= 0:
        return f"{minus}{digits}{'0' * exponent}" if exponent <= MAX_PADDING else f"{minus}{digits}e{exponent}"
    point = len(digits) + exponent
    if point > 0:
        return f"{minus}{digits[:point]}.{digits[point:]}"
    return f"{minus}0.{'0' * -point}{digits}" if -point <= MAX_PADDING else f"{minus}{digits}e{exponent}"


def fraction_key(value: Fraction) -> str:
    """Print a rational number: as a decimal where that terminates, else as ``p/q``."""
    twos, fives, rest = 0, 0, value.denominator
    while rest % 2 == 0:
        twos, rest = twos + 1, rest // 2
    while rest % 5 == 0:
        fives, rest = fives + 1, rest // 5
    if rest != 1:
        return f"{value.numerator}/{value.denominator}"
    places = max(twos, fives)
    # Decimal prints an integer of any length; str would stop at the interpreter's limit.
    digits = str(Decimal(abs(value.numerator) * 10**places // value.denominator))
    return decimal_key("-" if value < 0 else "", digits, "", -places)


def _run_key(run: str, exponent: int = 0) -> str | None:
    """Key of a run of digits and number punctuation, None where it is no number."""
    if "/" in run:
        if exponent or len(run) > MAX_FRACTION_DIGITS:
            return None
        numerator, denominator = run.split("/", 1)
        if not _DECIMAL.fullmatch(numerator) or not _DECIMAL.fullmatch(denominator) or not Fraction(denominator):
            return None
        return fraction_key(Fraction(numerator) / Fraction(denominator))
    if _COMMA_GROUPS.fullmatch(run):
        run = run.replace(",", "").replace("'", "").replace("_", "")
    elif _POINT_GROUPS.fullmatch(run):
        run = run.replace(".", "").replace(",", ".")
    elif not _DECIMAL.fullmatch(run):
        return None
    sign = run[0] if run[0] in "+-" else ""
    integer, _, decimals = run[len(sign) :].partition(".")
    return decimal_key(sign, integer, decimals, exponent)


def _power_key(run: str, exponent: str) -> str | None:
    """Key of a power with an integer exponent, None where its digits would be too many to mean."""
    base = _run_key(run)
    if base is None or len(exponent) > MAX_EXPONENT_DIGITS or "e" in base:
        return None
    if base in {"10", "-10"}:
        return decimal_key(base[0], "1", "", int(exponent))
    if len(base) * abs(int(exponent)) > MAX_FRACTION_DIGITS:
        return None
    value = Fraction(base)
    if not value and int(exponent) <= 0:
        return None
    # -2^2 is minus the square, as everywhere in mathematics.
    power = abs(value) ** int(exponent)
    return fraction_key(-power if value < 0 else power)


def _mixed_key(whole: str, part: str) -> str | None:
    numerator, denominator = map(int, part.split("/"))
    if not 0 < numerator < denominator:
        return None
    size = abs(int(whole)) + Fraction(numerator, denominator)
    return fraction_key(-size if whole.startswith("-") else size)


def _digit_tokens(text: str) -> Iterator[Token]:
    masks = _NOT_AN_ANSWER.finditer(text)
    mask = next(masks, None)
    for found in _TOKEN.finditer(text):
        start, end = found.span()
        while mask is not None and mask.end() <= start:
            mask = next(masks, None)
        if mask is not None and mask.start() < end:
            continue
        exponent = found["e"] or found["ten"] or "0"
        key: str | None = None
        if _SPOILED_BEFORE.search(text[max(0, start - 24) : start]) or _SPOILED_AFTER.match(text, end):
            pass
        elif found["whole"]:
            key = None if found["scale"] else _mixed_key(found["whole"], found["part"])
        elif found["power"]:
            key = None if found["scale"] else _power_key(found["run"], found["power"])
        elif len(exponent) <= MAX_EXPONENT_DIGITS:
            key = _run_key(found["run"], int(exponent) + _SCALES.get((found["scale"] or "").lower(), 0))
        yield Token(start, end, key)


def _word_tokens(text: str) -> Iterator[Token]:
    for found in _WORDS.finditer(text):
        words = found[0].lower().replace("-", " ").split()
        is_negative = words[0] in {"minus", "negative"}
        value = None if _WORDS_SPOILED.match(text, found.end()) else _below_million(words[is_negative:])
        key = None if value is None else fraction_key(Fraction(-value if is_negative else value))
        yield Token(found.start(), found.end(), key)


def _below_million(words: list[str]) -> int | None:
    """Value of English number words, None where they do not form one number ("two three")."""
    if "thousand" not in words:
        return _below_thousand(words)
    cut = words.index("thousand")
    thousands, rest = _below_thousand(words[:cut]), _rest(words[cut + 1 :], _below_thousand)
    return None if not thousands or rest is None or max(thousands, rest) > 999 else 1000 * thousands + rest


def _below_thousand(words: list[str]) -> int | None:
    if "hundred" not in words:
        return 1 if words in (["a"], []) else _below_hundred(words)
    cut = words.index("hundred")
    hundreds, rest = (
        1 if words[:cut] in (["a"], []) else _below_hundred(words[:cut]),
        _rest(words[cut + 1 :], _below_hundred),
    )
    # "Twelve hundred" is English, "twenty hundred" is not.
    return None if not hundreds or rest is None or hundreds > 19 else 100 * hundreds + rest


def _below_hundred(words: list[str]) -> int | None:
    if len(words) == 1:
        return _ONES.get(words[0], _TENS.get(words[0]))
    if len(words) == 2 and words[0] in _TENS and 1 <= _ONES.get(words[1], 0) <= 9:
        return _TENS[words[0]] + _ONES[words[1]]
    return None


def _rest(words: list[str], read: Callable[[list[str]], int | None]) -> int | None:
    words = words[words[:1] == ["and"] :]
    return read(words) if words else 0


def single(phrase: str, *, is_bare: bool = False) -> str | None:
    """Key of the one number that a phrase states, or None.

    A number that opens the phrase is the answer unless it goes on (``5 or 6``, ``2 + 3``); then the right side of the
    last equality sign counts; then a phrase that holds one value only. With `is_bare`, nothing but a unit may follow.
    """
    text = clean(phrase)
    leading = _leading(text, is_bare=is_bare)
    if leading is not None or is_bare:
        return leading
    sides = text.split("=")
    if len(sides) > 1:
        has_two_unknowns = any(_NEXT_UNKNOWN.search(side[-40:]) for side in sides[1:-1])
        return None if has_two_unknowns else _leading(sides[-1])
    return _only(_digit_tokens(text), otherwise=_word_tokens(text), text=text)


def _only(digits: Iterator[Token], *, otherwise: Iterator[Token], text: str) -> str | None:
    """The key that all tokens share; words count where there are no digits."""
    first = next(digits, None)
    if first is None:
        # "One" alone is more often a pronoun than a number.
        digits = (token for token in otherwise if text[token.start : token.end].lower() != "one")
        first = next(digits, None)
    return first.key if first is not None and all(token.key == first.key for token in digits) else None


def _leading(text: str, *, is_bare: bool = False) -> str | None:
    both = [*islice(_digit_tokens(text), 2), *islice(_word_tokens(text), 2)]
    tokens = sorted(both, key=lambda token: token.start)
    lead = _LEAD.match(text)
    if not tokens or lead is None or tokens[0].start > lead.end():
        return None
    first = tokens[0]
    if is_bare and not _UNIT_TAIL.fullmatch(text, first.end):
        return None
    if len(tokens) > 1 and _CONNECTOR.search(text[max(first.end, tokens[1].start - 40) : tokens[1].start]):
        return None
    return first.key


def exact(phrase: str) -> str | None:
    """Key of a phrase that is a number and nothing else: no unit, no word around it."""
    text = clean(phrase).strip()
    tokens = list(islice(_digit_tokens(text), 2))
    if len(tokens) == 1 and (tokens[0].start, tokens[0].end) == (0, len(text)):
        return tokens[0].key
    return None


def last(text: str) -> str | None:
    """Key of the last number written in digits, None when there is none or when it is part of a list or a sum.

    The text is read from its end in windows of doubling size, so that the cost follows the distance of the number.
    """
    window = 4096
    while True:
        piece = clean(text[-window:])
        tokens = list(_digit_tokens(piece))
        is_whole = window >= len(text)
        # A token near the edge of the window may be the tail of a longer one.
        if tokens and (is_whole or tokens[max(0, len(tokens) - 2)].start > 64):
            if len(tokens) > 1 and _LIST_GAP.fullmatch(piece[tokens[-2].end : tokens[-1].start]):
                return None
            return tokens[-1].key
        if is_whole:
            return None
        window *= 2
