"""Models are loaded once, when they are asked for, and only so many at a time."""

from __future__ import annotations

import asyncio
import threading

import pytest

from educe.core import BackendError, UsageError
from educe.lm import FakeLM
from educe.site.openai import ModelPool


class Loader:
    """Counts what it loads, and what was closed."""

    def __init__(self):
        self.loaded, self.closed, self.failing = [], [], False
        self.open = threading.Event()
        self.open.set()

    def __call__(self, source):
        self.open.wait(20)
        if self.failing:
            raise BackendError("The download broke off. Try again.")
        self.loaded.append(source)
        loader = self

        class Closing(FakeLM):
            async def aclose(self):
                loader.closed.append(source)

        return Closing(["x"], name=source)


async def test_many_requests_share_one_loading():
    loader = Loader()
    pool = ModelPool({"a": "A"}, loader=loader)

    async def use():
        async with pool.lease("a") as lm:
            await asyncio.sleep(0)
            return lm

    models = await asyncio.gather(*(use() for _ in range(50)))
    assert loader.loaded == ["A"]
    assert len(set(map(id, models))) == 1
    assert pool.fingerprint("a").startswith("fp_")
    await pool.aclose()
    await pool.aclose()
    assert loader.closed == ["A"]


async def test_the_longest_idle_model_makes_room():
    loader = Loader()
    pool = ModelPool({name: name.upper() for name in "abc"}, most=2, loader=loader)
    for name in "abac":
        async with pool.lease(name):
            pass
    assert loader.loaded == ["A", "B", "C"]
    assert loader.closed == ["B"]
    async with pool.lease("a"), pool.lease("b"):
        assert loader.closed == ["B", "C"]


async def test_while_all_models_are_in_use_the_next_waits():
    loader = Loader()
    pool = ModelPool({"a": "A", "b": "B"}, most=1, loader=loader)
    entered = asyncio.Event()

    async def second():
        async with pool.lease("b"):
            entered.set()

    async with pool.lease("a"):
        task = asyncio.create_task(second())
        for _ in range(20):
            await asyncio.sleep(0.005)
        assert not entered.is_set()
        assert loader.closed == []
    await asyncio.wait_for(task, 20)
    assert loader.closed == ["A"]


async def test_a_client_that_leaves_during_loading_spoils_nothing():
    loader = Loader()
    loader.open.clear()
    pool = ModelPool({"a": "A"}, loader=loader)

    async def use():
        async with pool.lease("a"):
            return True

    first, second = asyncio.create_task(use()), asyncio.create_task(use())
    await asyncio.sleep(0.02)
    first.cancel()
    loader.open.set()
    assert await second
    assert loader.loaded == ["A"]
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_a_failed_loading_is_tried_again():
    loader = Loader()
    loader.failing = True
    pool = ModelPool({"a": "A"}, loader=loader)
    with pytest.raises(BackendError, match="broke off"):
        async with pool.lease("a"):
            pass
    loader.failing = False
    async with pool.lease("a") as lm:
        assert lm.name == "A"


async def test_a_lent_model_is_the_callers():
    loader, lent = Loader(), FakeLM(["x"], name="lent")
    closed = []

    async def aclose():
        closed.append(True)

    lent.aclose = aclose
    pool = ModelPool({"mine": lent, "a": "A"}, most=1, loader=loader)
    async with pool.lease("mine") as lm, pool.lease("a"):
        assert lm is lent
    await pool.aclose()
    assert closed == []


async def test_unknown_names():
    pool = ModelPool({"smollm2": "fake:x"})
    with pytest.raises(UsageError, match="did you mean 'smollm2'"):
        async with pool.lease("smolm2"):
            pass


@pytest.mark.parametrize(
    ("models", "options", "words"),
    [
        ({}, {}, "no model"),
        ({"a@b": "x"}, {}, "without '@'"),
        ({" ": "x"}, {}, "served as"),
        ({"a": "x"}, {"most": 0}, "most=0"),
    ],
)
def test_unusable_pools_are_refused(models, options, words):
    with pytest.raises(UsageError, match=words):
        ModelPool(models, **options)


def test_names_from_a_command_line():
    pool = ModelPool.of(["smollm2-135m", "big=openai:http://127.0.0.1:1/v1?x=1#M", "fake:a = b"])
    assert pool.names == ("smollm2-135m", "big", "fake:a = b")
    with pytest.raises(UsageError, match="named twice"):
        ModelPool.of(["a=fake:x", "a=fake:y"])


async def test_a_source_that_cannot_be_meant_is_the_operators_mistake():
    pool = ModelPool({"a": "no-such-model"})
    with pytest.raises(BackendError, match="'a' cannot be loaded: Model 'no-such-model' is unknown"):
        async with pool.lease("a"):
            pass
