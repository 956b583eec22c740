"""Diverse verifier tree search: several independent beams, so that one early mistake of the reward cannot take all.

Source: Beeching, Tunstall and Rush (2024), "Scaling test-time compute with open models", Hugging Face. The n answers
are dealt to n/M trees; each keeps its best prefix at every step and branches it M-fold.
"""

from __future__ import annotations

from dataclasses import dataclass

from educe.reason.beam_search import BeamSearch
from educe.reason.strategy import register

__all__ = ["DiverseTreeSearch"]


@register("dvts")
@dataclass(frozen=True, repr=False)
class DiverseTreeSearch(BeamSearch):
    """Search several trees that do not compete.

    Parameters
    ----------
    n : int
        Answers under way at any time, all trees together, >= 1.
    width : int or str
        Candidates of each tree, >= 1, so there are ``n / width`` trees; ``"sqrt"`` is the square root of `n`.
    lookahead : int
        Further steps, drawn greedily, at whose end a step is judged, >= 0.
    steps : StepPolicy
        What a step is.
    reward : str or Reward
        Judges steps; see `make_reward`.
    aggregation : str
        How the scores of a path become one: ``"last"``, ``"min"``, ``"prod"`` or ``"mean"``.
    final : str
        How the answers of all trees become one: ``"weighted"``, ``"best"`` or ``"majority"``.

    Examples
    --------
    >>> DiverseTreeSearch(n=10, width=4).groups()
    [4, 4, 2]
    """

    def groups(self) -> list[int]:
        """How many answers each tree has; the last one takes what is left."""
        whole, rest = divmod(self.n, self.branching)
        return [self.branching] * whole + [rest] * (rest > 0)
