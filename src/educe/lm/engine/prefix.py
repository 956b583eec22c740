"""`PrefixCache`: the prefix tree with its tensors. Copies between the tree and the own parts of rows."""

from __future__ import annotations

from collections.abc import Sequence

from educe.lm.engine.attention import OwnCache
from educe.lm.engine.blocks import BLOCK, BlockPool
from educe.lm.engine.policies import CachePolicy
from educe.lm.engine.tree import Node, PrefixTree

__all__ = ["PrefixCache"]

OWN_BLOCKS = 4  # whole blocks that a row copies rather than attends to in the tree for itself alone
WORTH = 8  # rows times blocks from which on attending once for all is faster than a copy for each


class PrefixCache:
    """Keys and values of texts, shared by all that begin alike.

    Parameters
    ----------
    pool : BlockPool
        Their memory.
    policy : CachePolicy
        What is kept.
    """

    def __init__(self, pool: BlockPool, policy: CachePolicy) -> None:
        self.pool, self.policy, self.tree = pool, policy, PrefixTree(pool, policy)

    @staticmethod
    def trunk(path: Sequence[Node]) -> int:
        """Say how many blocks of a path to attend to in the tree, rather than in a copy of one's own."""
        trunk = 0
        while trunk < len(path):
            users, end = path[trunk].pins, trunk + 1
            while end < len(path) and path[end].pins == users:
                end += 1
            if users < 2 or users * (end - trunk) < WORTH:
                break
            trunk = end
        return max(trunk, len(path) - OWN_BLOCKS)

    def load(self, own: OwnCache, row: int, nodes: Sequence[Node | None], length: int) -> None:
        """Copy blocks to the beginning of a row's own part, the last up to where a text of that length ends."""
        for number, node in enumerate(nodes):
            if node is not None:
                count = min(len(node.tokens), length - node.depth * BLOCK)
                own.view(row, number)[..., :count, :] = self.pool.view(node.block)[..., :count, :]

    def store(self, tokens: Sequence[int], own: OwnCache, row: int, trunk: int) -> list[Node]:
        """Put a text into the tree, all after its first ``trunk`` blocks from a row's own part; return its blocks.

        Raises
        ------
        OutOfBlocksError
            There is no room.
        """
        path, writes = self.tree.insert(tokens)
        for node, start, stop in writes:
            block = own.view(row, node.depth - trunk)
            self.pool.view(node.block)[..., start:stop, :] = block[..., start:stop, :]
        return path
