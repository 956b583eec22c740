"""One name for the four ways of spending N generations with a process reward, so that they can be swept like a number.

Source: Snell et al. (2024), arXiv:2408.03314, section 5.1; diverse trees from Beeching, Tunstall and Rush (2024).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from educe.core import Posterior, UsageError
from educe.lm import Session
from educe.reason.beam_search import BeamSearch, Width
from educe.reason.conclusion import Final
from educe.reason.diverse_tree_search import DiverseTreeSearch
from educe.reason.question import Answer, Question
from educe.reason.reward import Aggregation, Reward
from educe.reason.steps import StepPolicy
from educe.reason.strategy import Strategy, register
from educe.reason.weighted_best_of_n import WeightedBestOfN

__all__ = ["PRMSearch"]


@register("prm-search")
@dataclass(frozen=True, repr=False)
class PRMSearch(Strategy):
    """Best-of-N, beam, look-ahead or diverse tree search, by name.

    Parameters
    ----------
    kind : str
        ``"bon"`` (weighted best-of-N), ``"beam"``, ``"lookahead"`` or ``"dvts"``.
    n : int
        Answers, >= 1.
    width : int or str
        Continuations of each prefix that is kept, >= 1; ``"sqrt"`` is the square root of `n`. Not used by ``"bon"``.
    lookahead : int
        Further steps at whose end a step is judged; for ``"lookahead"`` at least 1. Not used by ``"bon"``.
    steps : StepPolicy
        What a step is.
    reward : str or Reward
        Judges steps; see `make_reward`.
    agg : str
        How the scores of a path become one: ``"last"``, ``"min"``, ``"prod"`` or ``"mean"``.
    final : str
        How the `n` answers become one: ``"weighted"``, ``"best"`` or ``"majority"``.

    Examples
    --------
    >>> PRMSearch("dvts", n=8).method()
    DiverseTreeSearch(n=8)
    """

    requires: ClassVar[tuple[str, ...]] = ("continuation",)
    kind: Literal["bon", "beam", "lookahead", "dvts"] = "beam"
    n: int = 16
    width: Width = 4
    lookahead: int = 0
    steps: StepPolicy = field(default_factory=StepPolicy)
    reward: str | Reward = "logprob"
    agg: Aggregation = "last"
    final: Final = "weighted"

    def __post_init__(self) -> None:
        self.check_options()
        if self.kind == "bon" and self.lookahead:
            raise UsageError(f"lookahead={self.lookahead} has no meaning for whole answers. Leave it out.")
        self.method()

    @classmethod
    def fitted(cls, samples: int, given: Mapping[str, Any]) -> dict[str, Any]:
        """Look-ahead of k costs k further samples for each answer."""
        ahead = given.get("lookahead", cls.lookahead)
        ahead = max(1, ahead) if given.get("kind") == "lookahead" else ahead
        return {"n": max(1, samples // (ahead + 1))}

    def method(self) -> Strategy:
        """The method that does it."""
        if self.kind == "bon":
            return WeightedBestOfN(self.n, self.steps, self.reward, self.agg, self.final)
        cls = DiverseTreeSearch if self.kind == "dvts" else BeamSearch
        ahead = max(1, self.lookahead) if self.kind == "lookahead" else self.lookahead
        return cls(self.n, self.width, ahead, self.steps, self.reward, self.agg, self.final)

    async def __call__(self, question: Question, lm: Session) -> Posterior[Answer]:
        """Answer a question; see `Strategy`."""
        return await self.method()(question, lm)
