"""Look-ahead search: beam search that judges a step by where it leads.

Source: Snell et al. (2024), arXiv:2408.03314, section 5.1: a simplified tree search whose roll-outs are greedy and
whose exploration is the beam's. Look-ahead 0 is beam search.
"""

from __future__ import annotations

from dataclasses import dataclass

from educe.reason.beam_search import BeamSearch
from educe.reason.strategy import register

__all__ = ["LookaheadSearch"]


@register("lookahead-search")
@dataclass(frozen=True, repr=False)
class LookaheadSearch(BeamSearch):
    """Judge each step by the reward after some further steps. Costs `lookahead` further samples for each answer.

    Parameters
    ----------
    n : int
        Answers under way at any time, >= 1.
    width : int or str
        Continuations of each prefix that is kept, >= 1; ``"sqrt"`` is the square root of `n`.
    lookahead : int
        Further steps, drawn greedily, >= 0.
    steps : StepPolicy
        What a step is.
    reward : str or Reward
        Judges steps; see `make_reward`.
    aggregation : str
        How the scores of a path become one: ``"last"``, ``"min"``, ``"prod"`` or ``"mean"``.
    final : str
        How the `n` answers become one: ``"weighted"``, ``"best"`` or ``"majority"``.

    Examples
    --------
    >>> LookaheadSearch().lookahead
    1
    """

    lookahead: int = 1
