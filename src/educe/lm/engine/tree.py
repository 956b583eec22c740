"""The prefix tree: keys and values of texts, by their tokens, shared by all that begin alike.

A node is one block: up to `BLOCK` tokens at a place that is a multiple of `BLOCK` in the text. Full blocks may have
children; a block that is not full is a leaf and may grow. So storage is by the block, while a text is found down to the
token: whoever goes on from the middle of a block copies its beginning. Nodes in use are pinned, with all above them; of
the others, leaves go first when room is needed, in the order of the cache policy.

The idea of a radix tree over blocks with eviction of leaves is that of Zheng et al. (2023), arXiv:2312.07104. The tree
knows tokens and places, not tensors: `PrefixTree.insert` returns what has to be copied where.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from educe.core.errors import BackendError
from educe.lm.engine.blocks import BLOCK, Block, BlockPool
from educe.lm.engine.policies import CachePolicy, LeastRecentlyUsed

__all__ = ["Match", "Node", "OutOfBlocksError", "PrefixTree", "Write", "common"]


class OutOfBlocksError(BackendError):
    """The cache is full of what is in use."""


class Node:
    """One block of one text; see `CachedBlock` for what a policy sees.

    Attributes
    ----------
    tokens : tuple of int
        From 1 to `BLOCK`.
    block : Block
        Where its keys and values lie.
    parent, children : Node or None, dict
        What comes before, and what may follow, by its first token.
    depth : int
        Blocks before it in the text.
    pins : int
        How many use it.
    last_used : int
        A count of the tree's uses.
    """

    __slots__ = ("block", "children", "depth", "last_used", "parent", "pins", "tokens")

    def __init__(self, tokens: tuple[int, ...], block: Block, parent: Node | None) -> None:
        self.tokens, self.block, self.parent = tokens, block, parent
        self.children: dict[int, list[Node]] = {}  # by their first token
        self.depth: int = parent.depth + 1 if parent is not None else -1
        self.pins = self.last_used = 0


class Match(NamedTuple):
    """What the tree holds of a text: whole blocks, then the first ``in_partial`` tokens of another."""

    path: list[Node]
    partial: Node | None
    in_partial: int

    @property
    def length(self) -> int:
        """Tokens found."""
        return len(self.path) * BLOCK + self.in_partial


class Write(NamedTuple):
    """Positions of a block, counted within it, that a new entry has to be copied to."""

    node: Node
    start: int
    stop: int


def common(a: Sequence[int], b: Sequence[int]) -> int:
    """Return how many tokens two texts have in common at their beginning."""
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


class PrefixTree:
    """Texts and where their keys and values lie.

    Parameters
    ----------
    pool : BlockPool
        Gives the places.
    policy : CachePolicy, optional
        What goes first; the least recently used when left out.

    Examples
    --------
    >>> tree = PrefixTree(BlockPool(layers=1, heads=1, head_dim=2, budget=8192))
    >>> path, writes = tree.insert([1, 2, 3])
    >>> tree.match([1, 2, 4]).length
    2
    """

    def __init__(self, pool: BlockPool, policy: CachePolicy | None = None) -> None:
        self.pool, self._policy = pool, policy or LeastRecentlyUsed()
        self._root = Node((), Block(-1, -1), None)
        self._clock = itertools.count(1)
        self._pinned = 0

    @property
    def available(self) -> int:
        """Blocks that are free or could be."""
        return self.pool.capacity - self._pinned

    def nodes(self) -> Iterator[Node]:
        """All nodes, a parent before its children."""
        waiting = [self._root]
        while waiting:
            node = waiting.pop()
            below = [child for children in node.children.values() for child in children]
            waiting += below
            yield from below

    def match(self, tokens: Sequence[int]) -> Match:
        """Find the longest beginning of a text.

        Parameters
        ----------
        tokens : sequence of int
            The text.
        """
        now = next(self._clock)
        node, path = self._root, list[Node]()
        while True:
            chunk = tuple(tokens[len(path) * BLOCK : (len(path) + 1) * BLOCK])
            if not chunk:
                return Match(path, None, 0)
            best, count = None, 0
            for child in node.children.get(chunk[0], ()):
                shared = common(child.tokens, chunk)
                if shared > count:
                    best, count = child, shared
            if best is None:
                return Match(path, None, 0)
            best.last_used = now
            if count < BLOCK:
                return Match(path, best, count)
            path.append(best)
            node = best

    def insert(self, tokens: Sequence[int]) -> tuple[list[Node], list[Write]]:
        """Make room for a text.

        Parameters
        ----------
        tokens : sequence of int
            The text.

        Returns
        -------
        tuple of list of Node and list of Write
            Its blocks, the last perhaps longer than the text or not full, and what has to be copied.

        Raises
        ------
        OutOfBlocksError
            There is no room; nothing has changed.
        """
        now = next(self._clock)
        chunks = [tuple(tokens[begin : begin + BLOCK]) for begin in range(0, len(tokens), BLOCK)]
        node, path, writes = self._root, list[Node](), list[Write]()
        for chunk in chunks:
            child, shared = None, -1
            for other in node.children.get(chunk[0], ()):
                found = common(other.tokens, chunk)
                if found == len(chunk) or (found == len(other.tokens) and found > shared):
                    child, shared = other, found
                    if found == len(chunk):
                        break
            if child is None:
                break
            if shared < len(chunk):
                writes.append(Write(child, len(child.tokens), len(chunk)))
            child.last_used = now
            path.append(child)
            node = child
        missing = chunks[len(path) :]
        if missing:
            self.pin(path)
            try:
                self._make_room(len(missing))
            finally:
                self.unpin(path)
        for chunk, block in zip(missing, self.pool.allocate(len(missing)), strict=True):
            child = Node(chunk, block, node)
            node.children.setdefault(chunk[0], []).append(child)
            child.last_used = now
            writes.append(Write(child, 0, len(chunk)))
            path.append(child)
            node = child
        for write in writes:
            write.node.tokens = chunks[write.node.depth]
        return path, writes

    def _make_room(self, count: int) -> None:
        if count > self.available:
            raise OutOfBlocksError(
                f"The cache needs {count} more blocks of {BLOCK} tokens and has {self.available} of "
                f"{self.pool.capacity} to give. Ask for less at once, or load the model with a larger cache_bytes."
            )
        if count <= self.pool.free:
            return
        leaves = [node for node in self.nodes() if not node.children and not node.pins]
        order = itertools.count()
        heap = [(self._policy.rank(leaf), next(order), leaf) for leaf in leaves]
        heapq.heapify(heap)
        while self.pool.free < count:
            _, _, leaf = heapq.heappop(heap)
            parent = leaf.parent
            assert parent is not None
            self._remove(leaf)
            if parent is not self._root and not parent.children and not parent.pins:
                heapq.heappush(heap, (self._policy.rank(parent), next(order), parent))

    def _remove(self, node: Node) -> None:
        assert node.parent is not None
        siblings = node.parent.children[node.tokens[0]]
        siblings.remove(node)
        if not siblings:
            del node.parent.children[node.tokens[0]]
        self.pool.release(node.block)

    def pin(self, path: Sequence[Node], times: int = 1) -> None:
        """Keep blocks from being let go, for so many users."""
        for node in path:
            self._pinned += node.pins == 0
            node.pins += times

    def unpin(self, path: Sequence[Node]) -> None:
        """Take one user away."""
        for node in path:
            node.pins -= 1
            self._pinned -= node.pins == 0

    def clear(self) -> None:
        """Let go of all that is not in use."""
        for node in reversed(list(self.nodes())):
            if not node.children and not node.pins:
                self._remove(node)
