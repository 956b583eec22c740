"""The prefix tree against a dictionary of texts, and the pool against a count of its blocks."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from educe.lm.engine import blocks, tree
from educe.lm.engine.blocks import Block, BlockPool
from educe.lm.engine.tree import Node, OutOfBlocksError, PrefixTree

SMALL = 4  # block size in these tests, so that short texts have many blocks


def pool_of(count: int) -> BlockPool:
    """At least so many blocks, in slabs of three."""
    pool = BlockPool(layers=1, heads=1, head_dim=1, budget=1)
    pool.slab_blocks, pool._most_slabs = 3, -(-count // 3)
    pool._shape = (1, 2, 1, 3, blocks.BLOCK, 1)
    pool.capacity = pool.free = pool.slab_blocks * pool._most_slabs
    return pool


class TreeAgainstDictionary(RuleBasedStateMachine):
    """Texts are put in, pinned, asked for and let go at random.

    The model is a dictionary from (text up to a position) to the token at that position; a second dictionary keeps what
    was written to each place of the pool, as the tensors would.
    """

    @initialize(count=st.integers(2, 12))
    def begin(self, count: int) -> None:
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(tree, "BLOCK", SMALL)
        self.pool = pool_of(count)
        self.tree = PrefixTree(self.pool)
        self.written: dict[tuple[Block, int], tuple[int, ...]] = {}  # the text up to and with the position
        self.ever: set[tuple[int, ...]] = set()
        self.pinned: list[tuple[tuple[int, ...], list[Node]]] = []

    def teardown(self) -> None:
        self.patch.undo()

    texts = st.lists(st.integers(0, 2), min_size=1, max_size=14).map(tuple)

    @rule(text=texts)
    def insert(self, text: tuple[int, ...]) -> None:
        before = {id(node): node.tokens for node in self.tree.nodes()}
        free = self.pool.free
        try:
            path, writes = self.tree.insert(text)
        except OutOfBlocksError:
            assert -(-len(text) // SMALL) > self.pool.capacity - len(self.pinned_nodes())
            assert {id(node): node.tokens for node in self.tree.nodes()} == before
            assert self.pool.free == free
            return
        for node, start, stop in writes:
            for at in range(start, stop):
                self.written[node.block, at] = text[: node.depth * SMALL + at + 1]
        self.ever.add(text)
        assert len(path) == -(-len(text) // SMALL)
        assert self.tree.match(text).length == len(text)

    @rule(text=texts)
    def find(self, text: tuple[int, ...]) -> None:
        found = self.tree.match(text)
        length = found.length
        # What is found is really there, position for position, and was put in by somebody.
        nodes = [*found.path, *([found.partial] if found.partial else [])]
        for number in range(length):
            assert self.written[nodes[number // SMALL].block, number % SMALL] == text[: number + 1]
        longest = max((tree.common(text, other) for other in self.ever), default=0)
        assert length <= longest

    @rule(text=texts)
    def pin(self, text: tuple[int, ...]) -> None:
        found = self.tree.match(text)
        path = [*found.path, *([found.partial] if found.partial else [])]
        if path:
            self.tree.pin(path)
            self.pinned.append((text[: found.length], path))

    @precondition(lambda self: self.pinned)
    @rule(number=st.integers(0, 100))
    def unpin(self, number: int) -> None:
        _, path = self.pinned.pop(number % len(self.pinned))
        self.tree.unpin(path)

    @rule()
    def clear(self) -> None:
        self.tree.clear()
        assert {id(node) for node in self.tree.nodes()} == {id(node) for node in self.pinned_nodes()}

    def pinned_nodes(self) -> set[Node]:
        return {node for _, path in self.pinned for node in path}

    @invariant()
    def what_is_pinned_stays(self) -> None:
        for text, path in self.pinned:
            for number, _ in enumerate(text):
                assert self.written[path[number // SMALL].block, number % SMALL] == text[: number + 1]

    @invariant()
    def blocks_add_up(self) -> None:
        nodes = list(self.tree.nodes())
        assert len({node.block for node in nodes}) == len(nodes)
        assert self.pool.free + len(nodes) == self.pool.capacity
        assert self.tree.available == self.pool.capacity - len(self.pinned_nodes())
        for node in nodes:
            assert 0 < len(node.tokens) <= SMALL
            assert not node.children or len(node.tokens) == SMALL


TestTree = TreeAgainstDictionary.TestCase


def test_nothing_is_lost_while_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "BLOCK", SMALL)
    cache = PrefixTree(pool_of(60))
    texts = [
        (0, 1, 2, 3, 4, 5),
        (0, 1, 2, 3, 9),
        (0, 1, 7),
        (0,),
        (5, 5, 5, 5, 5, 5, 5, 5),
        (0, 1, 2, 3, 4, 5, 6, 7, 8),
    ]
    for text in texts:
        cache.insert(text)
    for text in [*texts, (0, 1, 2, 3, 4, 8, 8), (5, 5, 5, 1), (8,), (0, 1, 7, 7)]:
        assert cache.match(text).length == max(tree.common(text, other) for other in texts)


def test_the_least_recently_used_leaf_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "BLOCK", SMALL)
    cache = PrefixTree(pool_of(3))
    cache.insert([1, 1, 1, 1, 2])
    cache.insert([3])
    cache.match([1, 1, 1, 1, 2])
    cache.insert([4])
    assert cache.match([3]).length == 0
    assert cache.match([1, 1, 1, 1, 2]).length == 5


def test_a_pool_takes_and_gives_back_memory() -> None:
    pool = BlockPool(layers=2, heads=3, head_dim=8, budget=10 * 2 * 2 * 3 * blocks.BLOCK * 8 * 4)
    assert pool.capacity == 10
    assert pool.bytes == 0
    run = pool.allocate(6)
    assert [block.place for block in run] == list(range(run[0].place, run[0].place + 6))
    assert 0 < pool.bytes <= 10 * pool.block_bytes
    pool.view(run[2])[:] = 7.0
    assert float(pool.slab(run[2].slab)[:, :, :, run[2].place].min()) == 7.0
    for block in run[1:5]:
        pool.release(block)
    again = pool.allocate(8)
    assert len({*again, run[0], run[5]}) == 10
    for block in {*again, run[0], run[5]}:
        pool.release(block)
    assert (pool.free, pool.bytes) == (10, 0)
