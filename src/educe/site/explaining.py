"""How a paper's method works and how one calls it, read from the library itself.

The words are those of docstrings, which are ours and are tested; a page cannot say what the code does not do.
"""

from __future__ import annotations

import importlib
import inspect
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from educe.core import Card, EduceError
from educe.papers.catalogue import find_card

__all__ = ["Entry", "Explained", "explain"]


@dataclass(frozen=True)
class Entry:
    """One public name that carries the method.

    Parameters
    ----------
    name : str
        Dotted name.
    about : str or None
        First sentence of its docstring; None while it is not written.
    """

    name: str
    about: str | None


@dataclass(frozen=True)
class Explained:
    """What a paper's page says about its method.

    Parameters
    ----------
    card : Card
        The card.
    paragraphs : tuple of str
        How it works, and what our run does.
    entries : tuple of Entry
        Where it lives.
    snippet : str or None
        Lines of Python that run as they stand; None while nothing of it is written.
    """

    card: Card
    paragraphs: tuple[str, ...]
    entries: tuple[Entry, ...]
    snippet: str | None


@lru_cache(maxsize=256)
def explain(slug: str) -> Explained | None:
    """Explain a paper of ours.

    Parameters
    ----------
    slug : str
        The paper.

    Returns
    -------
    Explained or None
        None where no card has the name.

    Examples
    --------
    >>> explain("rpc").card.arxiv
    '2502.00511'
    """
    try:
        card = find_card(slug)
    except EduceError:
        return None
    objects = [(name, _object(name)) for name in card.api]
    entries = tuple(Entry(name, None if value is None else _about(value)) for name, value in objects)
    snippets = (_snippet(name, value) for name, value in objects if value is not None)
    return Explained(card, _paragraphs(card), entries, next(filter(None, snippets), None))


def _object(name: str) -> Any:
    module, _, attribute = name.rpartition(".")
    try:
        return getattr(importlib.import_module(module), attribute, None)
    except ImportError:
        return None


def _plain(text: str) -> str:
    """Take the marks of reStructuredText out of a paragraph."""
    return re.sub(r"`+([^`]*)`+", r"\1", " ".join(text.split()))


def _about(value: Any) -> str:
    return _plain((inspect.getdoc(value) or "").partition("\n\n")[0])


def _paragraphs(card: Card) -> tuple[str, ...]:
    doc = inspect.getdoc(importlib.import_module(card.module)) or ""
    # The first paragraph names the paper; the rest says what the run does.
    said = [_plain(part) for part in doc.split("\n\n")[1:] if not re.match(r"\w+\n-+", part)]
    return (card.summary, *said)


def _snippet(name: str, value: Any) -> str | None:
    doc = inspect.getdoc(value) or ""
    section = re.search(r"^Examples\n-+\n(.*?)(?=^\w[\w ]*\n-+\n|\Z)", doc, re.S | re.M)
    if section is None:
        return None
    lines: list[str] = []
    for line in section[1].splitlines():
        if line.startswith((">>> ", "... ")):
            lines.append(line[4:])
        elif line.strip() and lines:
            lines.append(f"# {line}")
    if not lines:
        return None
    module, _, attribute = name.rpartition(".")
    code = "\n".join(lines)
    if not re.search(rf"import .*\b{attribute}\b", code):
        code = f"from {module} import {attribute}\n{code}"
    return code
