"""Monte Carlo tree search over reasoning steps, with a process reward in the place of roll-outs.

Sources: Silver et al. (2017), AlphaZero, for the search; Liu et al. (2025), arXiv:2502.07191, section 3, for its use
here. A simulation walks down from the root by the largest Q + U, where

    U = (c_init + ln((N + c_base + 1) / c_base)) sqrt(N) / (1 + n),

N visits of the node and n of the child, Q the child's mean value, and before its first visit the reward of its own
prefix. At a leaf that was visited before (or at the root) it draws the children, scores them in one batch and goes to
the best of them; the value of where it ends is added along the path. After so many simulations the most visited child
becomes the root.

Two slips of the official code are not repeated: an answer that has ended is backed up like any other node, and
children of equal text are kept apart, so that visits count draws. There is no prior over children.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar

from educe.core import Posterior, UsageError
from educe.lm import Session
from educe.reason.conclusion import Final, conclude
from educe.reason.question import Answer, Question
from educe.reason.reward import Aggregation, Reward, aggregate_scores, check_reward, make_reward, score_steps
from educe.reason.steps import Prefix, StepPolicy, extend
from educe.reason.strategy import Strategy, register

__all__ = ["MonteCarloTreeSearch", "Node"]

EXPLORATION_BASE, EXPLORATION_START = 19652.0, 1.25


@dataclass
class Node:
    """A prefix in the tree.

    Parameters
    ----------
    prefix : Prefix
        What is written so far.
    value : float
        Its reward.
    visits : int
        Simulations that passed it.
    total : float
        Sum of the values that they found.
    children : list of Node
        Next steps, in order of drawing.

    Examples
    --------
    >>> root = Node(Prefix(), visits=1, children=[Node(Prefix(), 0.2), Node(Prefix(), 0.9)])
    >>> root.best_child().value
    0.9
    """

    prefix: Prefix
    value: float = 0.0
    visits: int = 0
    total: float = 0.0
    children: list[Node] = field(default_factory=list)

    def best_child(self) -> Node:
        """The child with the largest Q + U; the earlier one of a tie."""
        factor = EXPLORATION_START + math.log((self.visits + EXPLORATION_BASE + 1) / EXPLORATION_BASE)

        def upper(child: Node) -> float:
            mean = child.total / child.visits if child.visits else child.value
            return mean + factor * math.sqrt(self.visits) / (1 + child.visits)

        return max(self.children, key=upper)


@register("mcts")
@dataclass(frozen=True, repr=False)
class MonteCarloTreeSearch(Strategy):
    """Search a tree of steps, going down where rewards were high and visits few.

    Parameters
    ----------
    n : int
        Children of a node, >= 1.
    simulations : int
        Walks before each real step, >= 1.
    steps : StepPolicy
        What a step is.
    reward : str or Reward
        Judges steps; see `make_reward`.
    aggregation : str
        How the scores of a path become one: ``"last"``, ``"min"``, ``"prod"`` or ``"mean"``.
    final : str
        How all answers that the tree holds become one: ``"weighted"``, ``"best"`` or ``"majority"``.

    Examples
    --------
    >>> from educe.lm import FakeLM, Session
    >>> from educe.core import run_sync
    >>> lm = FakeLM(lambda prompt, seed: "The answer is 24.")
    >>> question = Question("How many legs do three spiders have?")
    >>> run_sync(MonteCarloTreeSearch(n=4)(question, Session(lm))).mode().text
    '24'
    """

    requires: ClassVar[tuple[str, ...]] = ("continuation",)
    n: int = 4
    simulations: int = 5
    steps: StepPolicy = field(default_factory=StepPolicy)
    reward: str | Reward = "logprob"
    aggregation: Aggregation = "last"
    final: Final = "weighted"

    def __post_init__(self) -> None:
        self.check_options()
        check_reward(self.reward)
        if self.n < 1 or self.simulations < 1:
            raise UsageError(f"n={self.n}, simulations={self.simulations} search nothing. Give numbers >= 1.")

    async def __call__(self, question: Question, lm: Session) -> Posterior[Answer]:
        """Answer a question; see `Strategy`."""
        lm.lm.require(*make_reward(self.reward).requires)
        root = top = Node(Prefix())
        moves = 0
        while root.prefix.ended is None and lm.stopped in (None, "samples"):
            for _ in range(self.simulations):
                await self._simulate(question, lm, root)
            if not root.children:
                break
            root = max(root.children, key=lambda child: child.visits)
            moves += 1
        ended = [node.prefix for node in _nodes(top) if node.prefix.ended is not None]
        details = {"moves": moves, "nodes": len(_nodes(top)) - 1}
        return await conclude(question, ended, lm, final=self.final, aggregation=self.aggregation, details=details)

    async def _simulate(self, question: Question, lm: Session, root: Node) -> None:
        path = [root]
        while path[-1].children:
            path.append(path[-1].best_child())
        leaf = path[-1]
        if leaf.prefix.ended is None and (leaf is root or leaf.visits):
            # One child goes on with a sample that is counted; its siblings are further ones.
            continues = 1 if leaf.prefix.steps else 0
            grown = await extend(question, lm, self.steps, [leaf.prefix] * self.n, continues=continues)
            scored = await score_steps(self.reward, question, grown, lm)
            leaf.children = [
                Node(prefix, aggregate_scores(prefix.scores, self.aggregation))
                for prefix in scored
                if prefix.ended != "budget"
            ]
            if leaf.children:
                path.append(max(leaf.children, key=lambda child: child.value))
        for node in path:
            node.visits += 1
            node.total += path[-1].value


def _nodes(node: Node) -> list[Node]:
    found, waiting = [], [node]
    while waiting:
        node = waiting.pop()
        found.append(node)
        waiting += reversed(node.children)
    return found
