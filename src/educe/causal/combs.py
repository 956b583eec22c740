"""Disintegration: read channels and combs off a joint law.

Source: Jacobs, Kissinger and Zanasi (2019), arXiv:1811.08338, sections 6 and 7. A law on A and B is a law on A followed
by a channel (`disintegrate`). A law of full support on A, B, C is in exactly one way a comb ``f`` (it gives A, waits
for B, gives C, and A does not depend on B) around a channel ``g`` from A to B (`comb_disintegrate`):
``g(b|a) = w(b|a)`` and ``f(a, c|b) = w(a) w(c|a, b)``. With more teeth the same is done in turn.

Exact for laws; for draws of a law give a batched `Table`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from educe.causal.table import Table, as_table
from educe.core import UsageError

__all__ = ["Disintegrated", "comb_disintegrate", "disintegrate"]


class Disintegrated(NamedTuple):
    """A comb and what fills its holes; their product is the law that was taken apart."""

    comb: Table
    filling: Table


def disintegrate(joint: Any, given: str | Iterable[str]) -> Table:
    """Return the channel from some variables of a law to all others.

    Parameters
    ----------
    joint : Table, DataFrame or mapping
        A law or counts; see `as_table`.
    given : str or iterable of str
        Where the channel starts.

    Returns
    -------
    Table
        The conditional law.

    Raises
    ------
    UsageError
        A value of `given` has probability zero: the channel is not unique there.

    Examples
    --------
    >>> disintegrate(Table(("S", "T"), [[0.375, 0.125], [0.25, 0.25]]), "S").tensor.tolist()
    [[0.75, 0.25], [0.5, 0.5]]
    """
    table = as_table(joint).normalised()
    start = (given,) if isinstance(given, str) else tuple(given)
    rest = tuple(name for name in table.names if name not in start)
    return table.condition(rest, start)


def comb_disintegrate(joint: Any, teeth: Sequence[str | Iterable[str]]) -> Disintegrated:
    """Split a law of full support into a comb and the channels in its holes.

    Parameters
    ----------
    joint : Table, DataFrame or mapping
        A law or counts over at least the variables named; see `as_table`.
    teeth : sequence of str or of iterables of str
        What passes in turn between the comb and its holes: out of the comb, into the comb, out, in, ... The usual
        case is ``("A", "B", "C")``: the comb gives A, the hole turns A into B, the comb takes B and gives C.

    Returns
    -------
    Disintegrated
        ``comb`` is the law of what leaves the comb given what enters it, ``filling`` the reverse.

    Raises
    ------
    UsageError
        Fewer than two groups are given, a variable stands twice, or the law lacks full support.

    Examples
    --------
    >>> joint = Table(("A", "B", "C"), [[[0.2, 0.1], [0.1, 0.1]], [[0.1, 0.1], [0.1, 0.2]]])
    >>> comb, filling = comb_disintegrate(joint, ("A", "B", "C"))
    >>> comb, filling
    (Table(A, C | B), Table(B | A))
    """
    groups = [(group,) if isinstance(group, str) else tuple(group) for group in teeth]
    names = [name for group in groups for name in group]
    if len(groups) < 2 or len(set(names)) != len(names):
        raise UsageError(f"Teeth {groups} are no alternation of disjoint groups. Give for instance ('A', 'B', 'C').")
    law = as_table(joint).normalised().marginal(*names)
    if bool((law.tensor.detach() <= 0).any()):
        raise UsageError(
            "The law has cells of probability zero, so its comb is not unique. "
            "Smooth it, for instance by adding a small count to each cell."
        )
    parts: list[Table | None] = [None, None]
    past: tuple[str, ...] = ()
    for turn, group in enumerate(groups):
        if group:
            factor = law.condition(group, past)
            before = parts[turn % 2]
            parts[turn % 2] = factor if before is None else before * factor
        past += group
    comb, filling = parts
    if comb is None or filling is None:
        raise UsageError(f"Teeth {groups} leave the comb or its holes empty. Name variables for both.")
    return Disintegrated(comb, filling)
