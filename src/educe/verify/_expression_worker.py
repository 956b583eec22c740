r"""Worker process: compares two mathematical expressions per JSON line.

Protocol. One line ``{"ready": true}`` after the imports, then for each line
``{"a": ..., "b": ..., "seconds": ...}`` one line ``{"verdict": "proved" | "refuted" | "limit hit"}``.

Method. Texts are read by the LaTeX grammar of math-verify (latex2sympy2-extended), decimals as exact fractions.
Tuples, intervals and sets are taken apart and compared part by part. Two scalars are refuted by a point at which they
differ to 20 digits, and proved by expansion or simplification of their difference to zero. Relations and unions of
intervals go to ``math_verify.verify`` in both directions, whose no is taken for a refutation. Where nothing is shown
the verdict is "limit hit".

Safety. Nothing is evaluated as Python: neither ``sympify`` nor ``parse_expr`` sees the text. The process limits its own
memory and may not write files; besides the outside clock, a timer of its own ends it when the parent is gone.

What it does not do: read primes (derivatives), units, or prose; and it takes a run of four or more letters for a name.
"""

from __future__ import annotations

import json
import logging
import os
import random
import re
import sys
from collections.abc import Callable
from functools import lru_cache
from itertools import accumulate
from typing import Any

import sympy
from latex2sympy2_extended.latex2sympy2 import ConversionConfig, latex2sympy
from latex2sympy2_extended.math_normalization import NormalizationConfig, normalize_latex
from math_verify import verify
from sympy.core.evalf import PrecisionExhausted
from sympy.core.function import AppliedUndef

MEMORY_BYTES = 1 << 30
POINTS = 5
DIGITS = 30
# Two values that differ by less than this at DIGITS digits are not called different.
TOLERANCE_DIGITS = 20
# What the own timer leaves to the outside clock to act first.
GRACE_SECONDS = 2.0

# Each level of brackets costs the grammar about a tenth of a second; nobody answers with this many.
MAX_DEPTH = 30

# No units and no repair of spelling: "3t" is not 3.
NORMALIZATION = NormalizationConfig(
    basic_latex=True, units=False, malformed_operators=True, nits=False, boxed="none", equations=False
)
CONVERSION = ConversionConfig(lowercase_symbols=False)

PROVED, REFUTED, LIMIT_HIT = "proved", "refuted", "limit hit"

_FUNCTIONS = "arcsin|arccos|arctan|sinh|cosh|tanh|sin|cos|tan|cot|sec|csc|ln|log|exp|sqrt|pi|infty|max|min|gcd|lcm"
_FUNCTIONS += "|alpha|beta|gamma|delta|epsilon|theta|lambda|mu|rho|sigma|tau|phi|omega"
_FUNCTION = re.compile(rf"(?<![\\A-Za-z])({_FUNCTIONS})(?![A-Za-z])")
_SCIENTIFIC = re.compile(r"(?<![A-Za-z0-9_])([0-9]+(?:\.[0-9]+)?)[eE]([+-]?[0-9]{1,9})(?![0-9^_.])")
_DECIMAL = re.compile(r"(?<![0-9.])([0-9]*)\.([0-9]+)(?![0-9.])")
_SIGNED_EXPONENT = re.compile(r"\^\s*([+-]\s*(?:[0-9]+|[A-Za-z](?![A-Za-z])))")
_WORD = re.compile(r"(?<![\\A-Za-z{])([A-Za-z]{4,})(?![A-Za-z])")
_PROSE = re.compile(r"(?<![\\A-Za-z{])(?:[A-Za-z]{4,}\s+[A-Za-z]{2,}|[A-Za-z]{2,}\s+[A-Za-z]{4,})(?![A-Za-z])")
_TEXT = re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mathit|mbox|operatorname)\s*\{([^{}]*)\}")
_COMPLEX = re.compile(r"(?<![A-Za-z\\])i(?![A-Za-z])|\\[Ii]m|\\[Rr]e|\\arg|\\bar|\\overline")
_PRIME = re.compile(r"['′]|\\prime")


def to_latex(text: str) -> str:
    """Bring plain notation (``sqrt(2)*x**-1``, ``1e5``, ``0.5``) into the LaTeX that the grammar reads."""
    if _PRIME.search(text):
        raise ValueError("the grammar drops primes, which would make f' equal to f")
    text = _TEXT.sub(lambda found: _named(found[1]), text)
    text = _FUNCTION.sub(r"\\\1", text.replace("√", r"\sqrt").replace("\\%", "").replace("%", ""))
    if _PROSE.search(text):
        raise ValueError("two words are not a product")
    text = _WORD.sub(lambda found: _named(found[1]), text)
    text = _SCIENTIFIC.sub(r"(\1\\cdot 10^{\2})", text)
    text = _braced_exponents(text)
    text = _SIGNED_EXPONENT.sub(r"^{\1}", text)
    # A float would carry a rounding error into an exact comparison. The parentheses keep 3(0.5) from becoming 3 1/2.
    return _DECIMAL.sub(lambda found: rf"(\frac{{{int(found[1] + found[2])}}}{{1{'0' * len(found[2])}}})", text)


def _named(word: str) -> str:
    letters = "".join(character for character in word if character.isalnum())
    if len(letters) < 2:
        return letters
    return rf"\text{{{letters.lower()}}}"


def _braced_exponents(text: str) -> str:
    """Turn ``^( ... )`` and ``\\sqrt( ... )`` into their braced forms."""
    for opener in ("^(", "\\sqrt("):
        at = text.find(opener)
        while at >= 0:
            inside = at + len(opener)
            end = _closing(text, inside - 1)
            if end is not None:
                text = f"{text[: inside - 1]}{{{text[inside:end]}}}{text[end + 1 :]}"
            at = text.find(opener, inside)
    return text


def _closing(text: str, start: int) -> int | None:
    """Position of the bracket that closes the one at `start`; an interval may close with the other kind."""
    depth = 0
    for position in range(start, len(text)):
        if text[position] in "([{":
            depth += 1
        elif text[position] in ")]}":
            depth -= 1
            if depth == 0:
                return position
    return None


def components(text: str) -> tuple[str, list[str]]:
    """Brackets and parts of a tuple, interval, set or bare list; brackets are empty for anything else."""
    text = text.strip()
    opener = text[:2] if text.startswith("\\{") else text[:1]
    closing = _closing(text, len(opener) - 1) if opener in {"(", "[", "\\{"} else None
    if closing is not None and closing == len(text) - 1:
        inside = text[len(opener) : closing - (opener == "\\{" and text[closing - 1] == "\\")]
        parts = _split(inside)
        if len(parts) > 1 or opener == "\\{":
            return opener[-1] + text[closing], parts
        return "", [text]
    parts = _split(text)
    return (",", parts) if len(parts) > 1 else ("", [text])


def _split(text: str) -> list[str]:
    """Parts between the commas that no bracket encloses."""
    parts, depth, start = [], 0, 0
    for position, character in enumerate(text):
        if character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
        elif character in ",;" and depth == 0:
            parts.append(text[start:position].strip())
            start = position + 1
    return [*parts, text[start:].strip()]


def _depth(text: str) -> int:
    return max(accumulate(((character in "([{") - (character in ")]}") for character in text), initial=0))


def compare(a: str, b: str) -> str:
    """Verdict on two texts."""
    if max(_depth(a), _depth(b)) > MAX_DEPTH:
        return LIMIT_HIT
    brackets_a, parts_a = components(a)
    brackets_b, parts_b = components(b)
    is_set_a, is_set_b = brackets_a in {"{}", ","}, brackets_b in {"{}", ","}
    if is_set_a and is_set_b:
        return _compare_sets(parts_a, parts_b)
    if len(parts_a) > 1 and len(parts_b) > 1:
        if len(parts_a) != len(parts_b):
            return REFUTED
        if brackets_a != brackets_b:
            # A bare list may mean a tuple; calling it equal to one would, by transitivity, equate (1,2) and (2,1).
            return LIMIT_HIT if "," in (brackets_a, brackets_b) else REFUTED
        return _all(compare(part_a, part_b) for part_a, part_b in zip(parts_a, parts_b, strict=True))
    if len(parts_a) == len(parts_b) == 1 and (is_set_a or is_set_b):
        return compare(parts_a[0], parts_b[0])
    is_real = not (_COMPLEX.search(a) or _COMPLEX.search(b))
    return _compare_parsed(_parse(a, is_real), _parse(b, is_real))


def _all(verdicts: Any) -> str:
    verdicts = list(verdicts)
    return REFUTED if REFUTED in verdicts else LIMIT_HIT if LIMIT_HIT in verdicts else PROVED


def _compare_sets(a: list[str], b: list[str]) -> str:
    """Equal when each member has an equal one on the other side."""
    if len(a) * len(b) > 400:
        return LIMIT_HIT
    table = [[compare(item_a, item_b) for item_b in b] for item_a in a]
    lines = [*table, *map(list, zip(*table, strict=True))]
    if all(PROVED in line for line in lines):
        return PROVED
    return REFUTED if any(set(line) == {REFUTED} for line in lines) else LIMIT_HIT


@lru_cache(maxsize=1024)
def _parse(text: str, is_real: bool) -> Any:
    latex = normalize_latex(to_latex(text), NORMALIZATION)
    parsed = latex2sympy(
        latex, is_real=is_real, convert_degrees=False, normalization_config=None, conversion_config=CONVERSION
    )
    imaginary = [symbol for symbol in getattr(parsed, "free_symbols", ()) if symbol.name == "i"]
    return parsed.subs(dict.fromkeys(imaginary, sympy.I)) if imaginary else parsed


def _compare_parsed(a: Any, b: Any) -> str:
    undefined = (sympy.nan, sympy.zoo)
    if any(hasattr(side, "has") and side.has(*undefined) for side in (a, b)):
        return LIMIT_HIT
    if a == b:
        return PROVED
    a, b = _without_name(a, b), _without_name(b, a)
    if isinstance(a, sympy.MatrixBase) and isinstance(b, sympy.MatrixBase):
        if a.shape != b.shape:
            return REFUTED
        return _all(_compare_parsed(x, y) for x, y in zip(a.flat(), b.flat(), strict=True))
    if isinstance(a, sympy.Expr) and isinstance(b, sympy.Expr):
        return _compare_scalars(a, b)
    options = {
        "numeric_precision": 50,
        "allow_set_relation_comp": True,
        "timeout_seconds": None,
        "raise_on_error": True,
    }
    return PROVED if verify(a, b, **options) and verify(b, a, **options) else REFUTED


def _without_name(side: Any, other: Any) -> Any:
    """The value of ``x = value`` when the other side is a plain value."""
    if (
        isinstance(side, sympy.Eq)
        and isinstance(side.lhs, sympy.Symbol)
        and not isinstance(other, sympy.logic.boolalg.Boolean)
    ):
        return side.rhs
    return side


def _compare_scalars(a: Any, b: Any) -> str:
    if a.is_infinite or b.is_infinite:
        is_shown = (a.is_infinite and b.is_finite) or (a.is_finite and b.is_infinite) or {a, b} == {sympy.oo, -sympy.oo}
        return REFUTED if is_shown else LIMIT_HIT
    difference = a - b
    unfinished = (sympy.Integral, sympy.Sum, sympy.Product, sympy.Limit, sympy.Derivative)
    if difference.has(*unfinished):
        a, b = a.doit(), b.doit()
        difference = a - b
    # An unknown function counts as an unknown: f(x) and f(y) have nothing to do with each other.
    unknown = {call: sympy.Dummy() for call in difference.atoms(AppliedUndef)}
    if _differ_at_a_point(a.xreplace(unknown), b.xreplace(unknown)):
        return REFUTED
    difference = difference.xreplace(unknown)
    for transform in (sympy.expand, sympy.simplify):
        result = transform(difference)
        if result == 0:
            return PROVED
        if result.is_number and result.is_zero is False:
            return REFUTED
    decided = difference.equals(0)
    return LIMIT_HIT if decided is None else PROVED if decided else REFUTED


def _differ_at_a_point(a: Any, b: Any) -> bool:
    """Whether some point shows two different values; points at which a value is missing or infinite show nothing."""
    symbols = sorted(a.free_symbols | b.free_symbols, key=str)
    stream = random.Random(0)  # noqa: S311 - any fixed points do
    for _ in range(POINTS if symbols else 1):
        point = {symbol: sympy.Rational(stream.randint(-300, 300), 97) for symbol in symbols}
        try:
            # Strict: a side that cancels so far that its digits cannot be vouched for shows nothing.
            values = [side.evalf(DIGITS, subs=point, maxn=400, strict=True) for side in (a, b)]
        except PrecisionExhausted:
            continue
        if not all(value.is_number and value.is_finite for value in values):
            continue
        scale = 1 + abs(values[0]) + abs(values[1])
        # The comparison is numerical by now, so its own rounding is far below the tolerance.
        if bool(abs(values[0] - values[1]) > scale * sympy.Float(10) ** -TOLERANCE_DIGITS):
            return True
    return False


def _limit_process() -> None:
    """Cap memory and forbid files, where the system can."""
    try:
        import resource
    except ImportError:
        return
    try:
        with open("/proc/self/statm", encoding="ascii") as statm:
            used = int(statm.read().split()[0]) * resource.getpagesize()
    except OSError:
        used = 3 << 30
    for limit, value in (
        (resource.RLIMIT_AS, used + MEMORY_BYTES),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        try:
            resource.setrlimit(limit, (value, value))
        except (ValueError, OSError):
            # A stricter limit stands already.
            continue


def _set_timer() -> Callable[[float], None]:
    """Function that arms the worker's own alarm, which ends the process even inside a long C call."""
    import signal

    if not hasattr(signal, "setitimer"):
        return lambda seconds: None
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    return lambda seconds: signal.setitimer(signal.ITIMER_REAL, seconds) and None


def main() -> None:
    """Answer lines until the input ends."""
    # The protocol keeps a private handle of the output; whatever a library prints goes nowhere.
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)

    def reply(message: dict[str, object]) -> None:
        replies.write(json.dumps(message) + "\n")
        replies.flush()

    logging.disable(logging.CRITICAL)
    # The grammar unpacks its tables on first use, which is part of the start and not of the first comparison.
    compare("x+1", "1+x")
    _limit_process()
    set_timer = _set_timer()
    reply({"ready": True})
    for line in sys.stdin:
        request = json.loads(line)
        set_timer(request["seconds"] + GRACE_SECONDS)
        try:
            verdict = compare(request["a"], request["b"])
        except (Exception, RecursionError, MemoryError):
            # An expression that the grammar or the algebra cannot handle is undecided, not different.
            verdict = LIMIT_HIT
        set_timer(0.0)
        reply({"verdict": verdict})


if __name__ == "__main__":
    main()
