"""Finds the papers: every module of this package that holds a `card`. There is no list to keep.

A paper *runs here* when its module also has a ``run(scale, seed, lm=None, tasks=None)``.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from functools import lru_cache
from typing import Any, cast

import educe.papers
from educe.core import Card, Report, UsageError, nearest

__all__ = ["find_card", "find_run", "list_cards", "runs_here"]


@lru_cache(maxsize=1)
def _modules() -> dict[str, Any]:
    names = (item.name for item in pkgutil.iter_modules(educe.papers.__path__))
    modules = (importlib.import_module(f"educe.papers.{name}") for name in names if name not in ("catalogue", "figure"))
    return {module.card.slug: module for module in modules if isinstance(getattr(module, "card", None), Card)}


def list_cards(topic: str | None = None) -> list[Card]:
    """Return the cards of all papers, by slug.

    Parameters
    ----------
    topic : str, optional
        Only papers on this topic.

    Raises
    ------
    UsageError
        No paper has the topic.

    Examples
    --------
    >>> "rpc" in [card.slug for card in list_cards("calibration")]
    True
    """
    cards = [module.card for _, module in sorted(_modules().items())]
    if topic is None:
        return cards
    topics = {name for card in cards for name in card.topics}
    if topic.lower() not in topics:
        raise UsageError(f"Topic {topic!r} is unknown; {nearest(topic.lower(), topics)}")
    return [card for card in cards if topic.lower() in card.topics]


def find_card(slug: str) -> Card:
    """Return one paper's card.

    Parameters
    ----------
    slug : str
        For instance ``"rpc"``.

    Raises
    ------
    UsageError
        There is no such paper.

    Examples
    --------
    >>> find_card("rpc").arxiv
    '2502.00511'
    """
    modules = _modules()
    if slug not in modules:
        raise UsageError(f"Paper {slug!r} is unknown; {nearest(slug, modules)}")
    return cast(Card, modules[slug].card)


def runs_here(slug: str) -> bool:
    """Whether a paper's reproduction can be run.

    Parameters
    ----------
    slug : str
        The paper.
    """
    find_card(slug)
    return callable(getattr(_modules()[slug], "run", None))


def find_run(slug: str) -> Callable[..., Report]:
    """Return the ``run`` of a paper.

    Parameters
    ----------
    slug : str
        The paper.

    Raises
    ------
    UsageError
        The paper is unknown or does not run yet.
    """
    if not runs_here(slug):
        here = [name for name in _modules() if runs_here(name)]
        raise UsageError(
            f"Paper {slug!r} does not run here yet. "
            f"These do: {', '.join(sorted(here)) or 'none so far'}; `educe read {slug}` shows its card."
        )
    return cast(Callable[..., Report], _modules()[slug].run)
