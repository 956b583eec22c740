"""Prompt-lookup drafting: what followed these tokens before may follow them again.

Source: Saxena (2023), "Prompt lookup decoding". That a draft changes nothing is the idea of Leviathan et al. (2023),
arXiv:2211.17192, in the simple form that fixed random numbers allow: a drafted token is kept if the row draws it too.

Where an answer repeats its prompt (code, quotations, lists) several tokens come with one pass; elsewhere the drafts are
wrong and cost a little. What a row says is the same either way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from educe.core.errors import UsageError

__all__ = ["PromptLookup"]


@dataclass(frozen=True)
class PromptLookup:
    """A draft policy: continue the last occurrence of the last tokens.

    Parameters
    ----------
    longest, shortest : int
        How many of the last tokens to look for: the longest run that occurs before is taken, >= 1.
    draft : int
        Most tokens to propose, >= 1.

    Raises
    ------
    UsageError
        A number is out of range.

    Examples
    --------
    >>> PromptLookup(draft=3).propose([7, 8, 9, 4, 5, 7, 8], 10)
    [9, 4, 5]
    """

    longest: int = 3
    shortest: int = 2
    draft: int = 6

    def __post_init__(self) -> None:
        if not 1 <= self.shortest <= self.longest or self.draft < 1:
            raise UsageError(f"{self} asks for nothing. Give 1 <= shortest <= longest and draft >= 1.")

    def propose(self, tokens: Sequence[int], most: int) -> Sequence[int]:
        """Return what followed the last tokens where they stood before, at most ``most`` tokens."""
        for size in range(min(self.longest, len(tokens) - 1), self.shortest - 1, -1):
            wanted = list(tokens[-size:])
            for begin in range(len(tokens) - size - 1, -1, -1):
                if tokens[begin + size - 1] == wanted[-1] and list(tokens[begin : begin + size]) == wanted:
                    return list(tokens[begin + size : begin + size + min(most, self.draft)])
        return []
