"""Turns rows into HTML: one Jinja environment, which escapes everything, and the words that templates need."""

from __future__ import annotations

import datetime
import hashlib
import re
from functools import cache, lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import jinja2
from starlette.responses import HTMLResponse

from educe.site.results import committed_figure, figure_size
from educe.site.schema import Paper

__all__ = ["STATIC", "authors_line", "bar_state", "date_line", "figure_of", "first_sentence", "page", "render"]

STATIC = Path(__file__).with_name("static")
MOST_AUTHORS = 6
_BARS = {
    "shown": ("shown", "Bar shown", "The committed run meets every check."),
    "not shown": (
        "not-shown",
        "Bar not shown",
        "At least one check of the committed run failed; it stands in the open.",
    ),
    "withheld": ("withheld", "Verdict withheld", "A control of the committed run failed, so that no verdict is given."),
}


def date_line(seconds: int, precision: str = "day") -> str:
    """Say when, as exactly as it is known.

    Parameters
    ----------
    seconds : int
        Since 1970, UTC.
    precision : str
        ``"minute"``, ``"day"``, ``"month"`` or ``"year"``.

    Examples
    --------
    >>> date_line(1738368000, "month")
    'Feb 2025'
    """
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    if precision == "year":
        return f"{moment:%Y}"
    if precision == "month":
        return f"{moment:%b %Y}"
    day = f"{moment.day} {moment:%b %Y}"
    return f"{day}, {moment:%H:%M} UTC" if precision == "minute" else day


def authors_line(authors: list[str], most: int = MOST_AUTHORS) -> str:
    """Join names, the later ones as a count.

    Parameters
    ----------
    authors : list of str
        In the paper's order.
    most : int
        How many to name.

    Examples
    --------
    >>> authors_line(["A", "B", "C"], most=2)
    'A, B and 1 more'
    """
    if len(authors) <= most:
        return ", ".join(authors)
    return f"{', '.join(authors[:most])} and {len(authors) - most} more"


def first_sentence(text: str | None) -> str:
    """Return the first sentence of a text.

    Parameters
    ----------
    text : str or None
        Prose.

    Examples
    --------
    >>> first_sentence("It halves 2.5 to 1.25. One wants it.")
    'It halves 2.5 to 1.25.'
    """
    return re.split(r"(?<=[.!?])\s+(?=[A-Z])", " ".join((text or "").split()), maxsplit=1)[0]


def bar_state(paper: Paper) -> tuple[str, str, str]:
    """Return the state of a paper's bar: a class name, a label, and a sentence that explains it.

    Parameters
    ----------
    paper : Paper
        The row.
    """
    if paper.verdict in _BARS:
        return _BARS[paper.verdict]
    if paper.runs_here:
        return ("not-yet", "No result yet", "Its reproduction runs here; no result is committed yet.")
    return ("not-yet", "Not yet here", "Its reproduction is not written yet.")


def figure_of(slug: str) -> tuple[int, int] | None:
    """Return the size of a paper's committed figure, None where there is none.

    Parameters
    ----------
    slug : str
        The paper.
    """
    svg = committed_figure(slug)
    return None if svg is None else figure_size(svg)


@cache
def _static_url(name: str) -> str:
    digest = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]
    return f"/static/{name}?v={digest}"


def _with(query: dict[str, Any]) -> str:
    # A condition without "else" gives an undefined value in a template: it is left out like any other absent one.
    kept = {name: value for name, value in query.items() if value}
    return f"?{urlencode(kept)}" if kept else ""


@lru_cache(maxsize=1)
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        auto_reload=False,
    )
    environment.globals.update(
        static=_static_url, bar_state=bar_state, figure_of=figure_of, query=_with, date_line=date_line
    )
    environment.filters.update(
        authors=authors_line, first_sentence=first_sentence, path=lambda text: quote(str(text), safe="")
    )
    return environment


def render(template: str, **values: Any) -> str:
    """Fill a template.

    Parameters
    ----------
    template : str
        File name in ``templates``.
    **values
        What it shows; a name that the template asks for and does not get is an error.
    """
    return _environment().get_template(template).render(**values)


def page(template: str, *, status: int = 200, keep: bool = False, **values: Any) -> HTMLResponse:
    """Fill a template and answer with it.

    Parameters
    ----------
    template : str
        File name in ``templates``.
    status : int
        HTTP status.
    keep : bool
        The page depends on the address and on visible content alone, see `educe.site.front`.
    **values
        What it shows.
    """
    response = HTMLResponse(render(template, **values), status_code=status)
    if keep:
        response.headers["x-keep"] = "1"
    return response
