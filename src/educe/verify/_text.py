r"""Plain text out of model text: compatibility folding, sentences, LaTeX and markdown wrappers, and a text key.

The key of a text follows the normalisation of extractive question answering (Rajpurkar et al. (2016),
arXiv:1606.05250: case, articles, punctuation, blanks), with one deliberate difference: signs that carry a meaning
stay. The decimal point, a minus before a digit, and ``% + = < > / ^ &`` are kept, since without them -5 would equal 5,
3.5 would equal 35 and x+1 would equal x-1.

What it does not do: stemming, spelling, synonyms, or any language but English in the list of articles.
"""

from __future__ import annotations

import re
import unicodedata

# Unicode's limit for stream-safe text (UAX 15): no script stacks more marks than this on one letter. Normalisation
# sorts a run of marks in quadratic time, so longer runs are cut.
MAX_MARKS = 30
# Three vowel signs of Tibetan have class 0 and yet decompose into marks, so they count as marks.
_HIDDEN_MARKS = frozenset("\u0f73\u0f75\u0f81")
_ARTICLES = frozenset({"a", "an", "the"})
_KEPT_SIGNS = frozenset("%/&+=<>^|~")

_SENTENCE_END = re.compile(r"[.!?][\"')\]*_]{0,4}(?=\s+[\"'(\[*_$\\]{0,4}[A-Z0-9]|\s*\Z)")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(\"'*])(?:[A-Za-z]|mr|mrs|ms|dr|st|prof|jr|sr|mt|ft|vs|no|approx|e\.g|i\.e|inc|ltd|co|gen|gov|u\.s)$",
    re.IGNORECASE,
)
_WRAPPER = re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mathit|mbox|hbox|operatorname)\s{0,3}\{([^{}]*)\}")
_MATH_DELIMITER = re.compile(r"(?<!\\)\${1,2}|\\[()\[\]]")
_LATEX_BLANK = re.compile(r"\\[,;:! ]|~")


def compatible(text: str) -> str:
    """Fold compatibility characters (NFKC) in linear time."""
    if text.isascii():
        return text
    kept: list[str] = []
    marks = 0
    for character in text:
        marks = marks + 1 if unicodedata.combining(character) or character in _HIDDEN_MARKS else 0
        if marks <= MAX_MARKS:
            kept.append(character)
    return unicodedata.normalize("NFKC", "".join(kept))


def text_key(text: str) -> str:
    """Key under which two texts count as the same answer; idempotent."""
    # Folding can make new characters to fold; one or two rounds settle it.
    for _ in range(5):
        key = _text_key_once(text)
        if key == text:
            break
        text = key
    return text


def _text_key_once(text: str) -> str:
    text = compatible(compatible(text).casefold())
    kept: list[str] = []
    for position, character in enumerate(text):
        following = text[position + 1 : position + 2]
        if character in _KEPT_SIGNS or not unicodedata.category(character).startswith("P"):
            kept.append("" if character == "$" else " " if character == "`" else character)
        elif character in ".-" and following.isdigit():
            kept.append(character)
        elif character in "'’." or (character == "," and _groups_thousands(text, position)):
            pass
        else:
            kept.append(" ")
    tokens = "".join(kept).split()
    words = [token for token in tokens if token not in _ARTICLES] or tokens
    # A text of nothing but punctuation is its own key: "?" and "!" are different answers.
    return " ".join(words or text.split())


def _groups_thousands(text: str, position: int) -> bool:
    block = text[position + 1 : position + 4]
    return text[max(0, position - 1) : position].isdigit() and len(block) == 3 and block.isdigit()


def plain(text: str) -> str:
    r"""Take away what only dresses a text: ``\text{...}``, math delimiters, markdown emphasis, outer quotes."""
    if "\\" in text or "$" in text:
        text = _LATEX_BLANK.sub(" ", _MATH_DELIMITER.sub("", _WRAPPER.sub(r"\1", text)))
    text = text.replace("**", "").replace("__", "").strip().strip("`").strip()
    for quotes in ('""', "''", "“”", "‘’", "**", "__", "{}"):
        if len(text) > 2 and text[0] == quotes[0] and text[-1] == quotes[1] and quotes[0] not in text[1:-1]:
            text = text[1:-1].strip()
    return text


def first_sentence(text: str) -> str:
    """Text up to the first full stop that is not part of an abbreviation or of initials; without that stop."""
    for found in _SENTENCE_END.finditer(text):
        if (
            found[0][0] == "."
            and found.end() < len(text)
            and _ABBREVIATION.search(text[max(0, found.start() - 8) : found.start()])
        ):
            continue
        return text[: found.start()] + found[0][1:]
    return text


def last_sentence(text: str) -> str:
    """Last sentence of the last line that is not empty."""
    line = text.rstrip()[-4000:].rpartition("\n")[2].strip()
    while True:
        head = first_sentence(line)
        rest = line[len(head) + 1 :].strip()
        if not rest:
            return line
        line = rest
