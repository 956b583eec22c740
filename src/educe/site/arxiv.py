"""What arXiv and the daily-papers page say about papers: identifiers, and the three formats in which lists come.

Formats: the Atom feed of arXiv's query API (https://info.arxiv.org/help/api), OAI-PMH 2.0 with arXiv's own metadata
(https://info.arxiv.org/help/oa), and the JSON list of a daily-papers page. XML is read by defusedxml, which refuses
entities and external documents. Every field is text from strangers: bounded in length, cleaned of control characters,
and nothing more is believed of it.
"""

from __future__ import annotations

import datetime
import json
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from xml.etree.ElementTree import Element, ParseError

import defusedxml.ElementTree
from defusedxml import DefusedXmlException

from educe.core import DataError, UsageError

__all__ = ["ImportedPaper", "Page", "parse_arxiv_id", "read_atom", "read_daily", "read_oai"]

NEW_ID = re.compile(r"\d{2}(0[1-9]|1[0-2])\.\d{4,5}")
OLD_ID = re.compile(r"[a-z]+(-[a-z]+)?(\.[A-Z]{2})?/\d{2}(0[1-9]|1[0-2])\d{3}")
CATEGORY = re.compile(r"[a-z]+(-[a-z]+)?(\.[A-Za-z-]+)?")
PREFIX = re.compile(r"(https?://(www\.|export\.)?arxiv\.org/(abs|pdf)/|arxiv:)", re.I)
VERSION = re.compile(r"(v\d{1,3})?(\.pdf)?$")
ATOM = "{http://www.w3.org/2005/Atom}"
OAI = "{http://www.openarchives.org/OAI/2.0/}"
ARXIV = "{http://arxiv.org/OAI/arXiv/}"
MOST_TITLE, MOST_ABSTRACT, MOST_NAME, MOST_AUTHORS, MOST_CATEGORIES = 500, 5000, 120, 200, 12
EARLIEST, LATEST = 1900, 2200


@dataclass(frozen=True)
class ImportedPaper:
    """A paper as a list describes it.

    Parameters
    ----------
    arxiv : str
        Identifier without version.
    title : str
        One line.
    authors : tuple of str
        In order.
    abstract : str
        May be empty.
    published : int
        Start of the day it came out, seconds since 1970, UTC.
    categories : tuple of str
        arXiv's own, the primary one first.
    """

    arxiv: str
    title: str
    authors: tuple[str, ...]
    abstract: str
    published: int
    categories: tuple[str, ...] = ()

    @property
    def slug(self) -> str:
        """Name in addresses."""
        return self.arxiv.replace("/", "-")


@dataclass(frozen=True)
class Page:
    """One answer of a list.

    Parameters
    ----------
    papers : tuple of ImportedPaper
        Those that could be read.
    skipped : int
        Entries that were deleted or could not be read.
    more : str
        What to ask for next; empty at the end.
    """

    papers: tuple[ImportedPaper, ...]
    skipped: int = 0
    more: str = ""


def parse_arxiv_id(text: str) -> str:
    """Read an arXiv identifier, or an address on arXiv, and drop its version.

    Parameters
    ----------
    text : str
        As a visitor typed it.

    Returns
    -------
    str
        For instance ``"2502.00511"`` or ``"math/0309136"``.

    Raises
    ------
    UsageError
        It is none.

    Examples
    --------
    >>> parse_arxiv_id("https://arxiv.org/abs/2502.00511v3"), parse_arxiv_id("arXiv:math.GT/0309136")
    ('2502.00511', 'math.GT/0309136')
    """
    shown = text.strip()[:60]
    found = VERSION.sub("", PREFIX.sub("", text.strip(), count=1), count=1) if len(text) < 200 else ""
    if not (NEW_ID.fullmatch(found) or OLD_ID.fullmatch(found)):
        raise UsageError(f"{shown!r} is no arXiv identifier. Write one like 2502.00511 or math/0309136.")
    return found


def clean(text: str | None, most: int) -> str:
    """One line of at most so many characters, without control and direction characters."""
    kept = "".join(c if unicodedata.category(c)[0] != "C" else " " for c in (text or "")[: 4 * most])
    line = " ".join(kept.split())
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"


def _day(text: str | None) -> int:
    """Start of the day that a date or time names."""
    day = datetime.date.fromisoformat((text or "").strip()[:10])
    if not EARLIEST <= day.year <= LATEST:
        raise ValueError(f"the year {day.year}")
    return int(datetime.datetime(day.year, day.month, day.day, tzinfo=datetime.UTC).timestamp())


def _paper(
    identity: str,
    title: str | None,
    authors: Iterable[str],
    abstract: str | None,
    date: str | None,
    terms: Iterable[str],
) -> ImportedPaper:
    names = tuple(name for name in (clean(author, MOST_NAME) for author in authors) if name)[:MOST_AUTHORS]
    categories = tuple(dict.fromkeys(term for term in terms if CATEGORY.fullmatch(term)))[:MOST_CATEGORIES]
    line = clean(title, MOST_TITLE)
    if not line or not names:
        raise ValueError("no title or no author")
    return ImportedPaper(parse_arxiv_id(identity), line, names, clean(abstract, MOST_ABSTRACT), _day(date), categories)


def _parse(body: bytes, what: str) -> Element:
    try:
        root: Element = defusedxml.ElementTree.fromstring(body, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        # LookupError: a declared encoding that nobody knows.
        raise DataError(f"The answer is no {what}: {clean(str(error), 100)}. Try again later.") from None
    return root


def read_atom(body: bytes) -> Page:
    """Read an answer of arXiv's query API.

    Parameters
    ----------
    body : bytes
        An Atom feed.

    Returns
    -------
    Page

    Raises
    ------
    DataError
        It is no Atom feed, or it tells of an error.
    """
    root = _parse(body, "Atom feed")
    if root.tag != f"{ATOM}feed":
        raise DataError(f"The answer is no Atom feed but <{clean(root.tag, 60)}>. Try again later.")
    papers, skipped = [], 0
    for entry in root.iter(f"{ATOM}entry"):
        identity = entry.findtext(f"{ATOM}id") or ""
        if "/api/errors" in identity:
            reason = clean(entry.findtext(f"{ATOM}summary"), 200)
            raise DataError(f"arXiv refuses the request: {reason}. Check the identifier.")
        try:
            papers.append(
                _paper(
                    identity,
                    entry.findtext(f"{ATOM}title"),
                    (author.findtext(f"{ATOM}name") or "" for author in entry.iter(f"{ATOM}author")),
                    entry.findtext(f"{ATOM}summary"),
                    entry.findtext(f"{ATOM}published"),
                    _terms(entry),
                )
            )
        except (UsageError, ValueError):
            skipped += 1
    return Page(tuple(papers), skipped)


def _terms(entry: Element) -> list[str]:
    primary = [node.get("term", "") for node in entry if node.tag.endswith("}primary_category")]
    return primary + [node.get("term", "") for node in entry.iter(f"{ATOM}category")]


def read_oai(body: bytes) -> Page:
    """Read an answer to OAI-PMH's ``ListRecords`` or ``GetRecord`` with metadata of the prefix ``arXiv``.

    Parameters
    ----------
    body : bytes
        An OAI-PMH document.

    Returns
    -------
    Page
        ``more`` is the resumption token; without papers where nothing matched.

    Raises
    ------
    DataError
        It is no OAI-PMH document, or it tells of an error other than that nothing matched.
    """
    root = _parse(body, "OAI-PMH document")
    if root.tag != f"{OAI}OAI-PMH":
        raise DataError(f"The answer is no OAI-PMH document but <{clean(root.tag, 60)}>. Try again later.")
    for problem in root.iter(f"{OAI}error"):
        code = problem.get("code", "")
        if code == "noRecordsMatch":
            return Page(())
        raise DataError(
            f"The archive refuses the request: {code}: {clean(problem.text, 200)}. Check the dates and sets."
        )
    papers, skipped = [], 0
    for record in root.iter(f"{OAI}record"):
        found = record.find(f"{OAI}metadata/{ARXIV}arXiv")
        try:
            if found is None:  # deleted, or in another format
                raise ValueError("no metadata")
            papers.append(
                _paper(
                    found.findtext(f"{ARXIV}id") or "",
                    found.findtext(f"{ARXIV}title"),
                    map(_oai_name, found.iter(f"{ARXIV}author")),
                    found.findtext(f"{ARXIV}abstract"),
                    found.findtext(f"{ARXIV}created"),
                    (found.findtext(f"{ARXIV}categories") or "").split(),
                )
            )
        except (UsageError, ValueError):
            skipped += 1
    token = next(root.iter(f"{OAI}resumptionToken"), None)
    return Page(tuple(papers), skipped, "" if token is None else (token.text or "").strip()[:500])


def _oai_name(author: Element) -> str:
    parts = (author.findtext(f"{ARXIV}{name}") for name in ("forenames", "keyname", "suffix"))
    return " ".join(part for part in parts if part)


def read_daily(body: bytes) -> Page:
    """Read the JSON list of a daily-papers page.

    Parameters
    ----------
    body : bytes
        A list of objects that have a ``paper`` with ``id``, ``title``, ``authors``, ``summary`` and ``publishedAt``.

    Returns
    -------
    Page

    Raises
    ------
    DataError
        It is no such list, or an object with an ``error``.
    """
    try:
        items = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise DataError(f"The answer is no JSON: {clean(str(error), 100)}. Try again later.") from None
    if isinstance(items, Mapping) and "error" in items:
        raise DataError(f"The page refuses the request: {clean(str(items['error']), 200)}. Check the date.")
    if not isinstance(items, list):
        raise DataError("The answer is no list of papers. Try again later.")
    papers, skipped = [], 0
    for item in items:
        try:
            paper = item["paper"]
            names = [author["name"] for author in paper["authors"] if not author.get("hidden")]
            identity, title, published = (_text(paper[name]) for name in ("id", "title", "publishedAt"))
            papers.append(_paper(identity, title, map(_text, names), _text(paper.get("summary") or ""), published, ()))
        except (UsageError, ValueError, KeyError, TypeError, AttributeError):
            skipped += 1
    return Page(tuple(papers), skipped)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} instead of text")
    return value
