"""Executors: equal results in any order, bounded, lazy, cancellable, and nothing left behind."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import importlib
import itertools
import math
import operator
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import hypothesis
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from educe.core import BackendError, DaskExecutor, InProcess, RayExecutor, UsageError, make_executor, run_sync

limits = st.integers(1, 5)
# Examples wait for threads, whose speed is not what is tested.
no_deadline = hypothesis.settings(deadline=None)


async def collect(
    results: AsyncGenerator[tuple[int, Any], None], found: list[tuple[int, Any]] | None = None
) -> list[tuple[int, Any]]:
    """Take all results; a list that is given also keeps those that came before an error."""
    found = [] if found is None else found
    async for pair in results:
        found.append(pair)  # a comprehension would lose them with the error
    return found


async def settle() -> None:
    """Let every task that can go on, go on."""
    for _ in range(10):
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def nothing_left() -> AsyncGenerator[None, None]:
    before = asyncio.all_tasks()
    yield
    assert asyncio.all_tasks() <= before
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("educe-unit")]


# Results.


@no_deadline
@given(st.lists(st.integers(0, 20), max_size=12), limits)
def test_results_do_not_depend_on_the_order_of_completion(delays: list[int], limit: int) -> None:
    async def run() -> None:
        async def fn(turns: int) -> int:
            for _ in range(turns):
                await asyncio.sleep(0)
            return turns * turns

        async with nothing_left(), InProcess() as ex:
            found = await collect(ex.map(fn, delays, limit=limit))
        assert sorted(found) == [(i, turns * turns) for i, turns in enumerate(delays)]
        if limit == 1:
            assert found == sorted(found)

    asyncio.run(run())


async def test_results_come_as_each_finishes() -> None:
    gates = [asyncio.Event() for _ in range(3)]

    async def fn(i: int) -> int:
        await gates[i].wait()
        return i

    async with nothing_left(), InProcess() as ex, contextlib.aclosing(ex.map(fn, range(3))) as results:
        for i in (2, 0, 1):
            gates[i].set()
            assert await anext(results) == (i, i)
        with pytest.raises(StopAsyncIteration):
            await anext(results)


class AsyncCallable:
    async def __call__(self, x: int) -> int:
        return 2 * x


async def double(x: int) -> int:
    return 2 * x


@pytest.mark.parametrize(
    "fn",
    [
        double,
        lambda x: 2 * x,
        functools.partial(operator.mul, 2),
        functools.partial(double),
        AsyncCallable(),
        AsyncCallable().__call__,
        lambda x: double(x),
    ],
)
async def test_every_sort_of_function(fn: Callable[[int], Any]) -> None:
    async with nothing_left(), InProcess() as ex:
        assert sorted(await collect(ex.map(fn, range(5)))) == [(i, 2 * i) for i in range(5)]
        assert await collect(ex.map(fn, [])) == []


async def test_plain_functions_run_in_threads_that_see_the_context() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
    variable.set("set")
    async with nothing_left(), InProcess() as ex:
        found = await collect(ex.map(lambda _: (variable.get(), threading.current_thread().name), range(2)))
    assert all(value == "set" and name.startswith("educe-unit") for _, (value, name) in found)


# Bounds.


@no_deadline
@given(st.integers(0, 12), limits, st.booleans())
def test_bounded_in_flight_and_ahead(n: int, limit: int, set_on_executor: bool) -> None:
    async def run() -> None:
        flying, most, taken, given_out = 0, 0, 0, 0

        async def fn(i: int) -> int:
            nonlocal flying, most
            flying += 1
            most = max(most, flying)
            for _ in range(i % 3 + 1):
                await asyncio.sleep(0)
            flying -= 1
            return i

        def items() -> Iterator[int]:
            nonlocal taken
            for i in range(n):
                taken += 1
                assert taken - given_out <= limit
                yield i

        async with InProcess(limit=limit if set_on_executor else None) as ex:
            async for _ in ex.map(fn, items(), limit=None if set_on_executor else limit):
                given_out += 1
        assert most == min(limit, n)
        assert given_out == n

    asyncio.run(run())


@pytest.mark.parametrize("asynchronous", [True, False])
async def test_endless_items_are_taken_as_needed(asynchronous: bool) -> None:
    taken = itertools.count()
    fn = double if asynchronous else functools.partial(operator.mul, 2)
    async with nothing_left(), InProcess() as ex:
        async with contextlib.aclosing(ex.map(fn, taken, limit=4)) as results:
            found = [await anext(results) for _ in range(20)]
        assert all(result == 2 * i for i, result in found)
        assert next(taken) <= 20 + 4


async def test_threads_run_side_by_side_up_to_the_limit() -> None:
    meeting = threading.Barrier(3)  # passes only when three units are in flight at once
    async with nothing_left(), InProcess() as ex:
        assert len(await collect(ex.map(lambda _: meeting.wait(timeout=10), range(6), limit=3))) == 6


async def test_default_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDUCE_THREADS", "3")
    assert await InProcess()._default_limit(double) == 64
    assert await InProcess()._default_limit(math.sqrt) == 3


@pytest.mark.parametrize("limit", [0, -1, True, 1.5, "4"])
async def test_malformed_limits(limit: Any) -> None:
    with pytest.raises(UsageError, match="limit"):
        InProcess(limit=limit)
    with pytest.raises(UsageError, match="limit"):
        InProcess().map(double, [1], limit=limit)


# Cancellation.


@pytest.mark.parametrize("how", ["close", "cancel", "close executor"])
async def test_cancelling_stops_what_runs_and_starts_nothing(how: str) -> None:
    started, cancelled = [], []

    async def fn(i: int) -> int:
        started.append(i)
        if i == 0:
            return i
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(i)
            raise
        raise AssertionError

    async with nothing_left():
        ex = InProcess(limit=3)
        results = ex.map(fn, itertools.count())
        assert await anext(results) == (0, 0)
        consumer = asyncio.ensure_future(anext(results))
        await settle()
        assert started == [0, 1, 2, 3]
        if how == "close":
            consumer.cancel()  # a generator that runs cannot be closed
            await asyncio.wait([consumer])
            await results.aclose()
        elif how == "cancel":
            consumer.cancel()
            with pytest.raises(asyncio.CancelledError):
                await consumer
        else:
            await ex.aclose()
            with pytest.raises(BackendError, match=r"Unit [123] was cancelled"):
                await consumer
        assert started == [0, 1, 2, 3]
        assert sorted(cancelled) == [1, 2, 3]
        await ex.aclose()


async def test_leaving_a_loop_early_frees_at_the_latest_with_the_executor() -> None:
    async with nothing_left():
        async with InProcess(limit=3) as ex:
            results = ex.map(asyncio.sleep, itertools.chain([0.0], itertools.repeat(1000.0)))
            async for _ in results:
                break
        await results.aclose()


async def test_closing_waits_for_threads_that_cannot_be_stopped() -> None:
    gate, started, ended = threading.Event(), [], []

    def fn(i: int) -> int:
        started.append(i)
        if i:
            gate.wait(10)
            ended.append(i)
        return i

    async with nothing_left():
        async with InProcess() as ex:
            async with contextlib.aclosing(ex.map(fn, itertools.count(), limit=2)) as results:
                assert await anext(results) == (0, 0)
            asyncio.get_running_loop().call_later(0.1, gate.set)
        assert len(started) <= 3
        assert ended == [i for i in started if i]


async def test_timeout_around_a_map() -> None:
    async with nothing_left(), InProcess() as ex:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await collect(ex.map(asyncio.sleep, [1000.0] * 3))


async def test_cancelled_while_closing_still_gives_everything_back() -> None:
    gate = threading.Event()
    ex = InProcess()
    results = ex.map(lambda _: gate.wait(10), [0])
    consumer = asyncio.ensure_future(anext(results))
    await settle()
    closing = asyncio.ensure_future(ex.aclose())
    await settle()
    async with nothing_left():
        closing.cancel()
        asyncio.get_running_loop().call_later(0.05, gate.set)
        with pytest.raises(asyncio.CancelledError):
            await closing
        with pytest.raises(BackendError):
            await consumer


# Errors.


@no_deadline
@given(st.integers(0, 6), st.integers(0, 6), limits, st.booleans())
def test_an_error_carries_its_index_and_cancels_the_others(n: int, bad: int, limit: int, asynchronous: bool) -> None:
    async def run() -> None:
        def fail(i: int) -> int:
            if i == bad:
                raise LookupError(f"bad {i}")
            return i

        async def fail_async(i: int) -> int:
            if i > bad:
                await asyncio.Event().wait()
            return fail(i)

        async with nothing_left(), InProcess() as ex:
            found: list[tuple[int, Any]] = []
            results = ex.map(fail_async if asynchronous else fail, range(bad + n + 1), limit=limit)
            with pytest.raises(LookupError, match=f"bad {bad}") as caught:
                await collect(results, found)
            assert caught.value.__notes__ == [f"This came from item {bad} of the map."]
            assert all(i == result != bad for i, result in found)

    asyncio.run(run())


async def test_error_of_the_items_themselves_cancels_what_runs() -> None:
    def items() -> Iterator[float]:
        yield 1000.0
        raise LookupError("no more")

    async with nothing_left(), InProcess() as ex:
        with pytest.raises(LookupError, match="no more"):
            await collect(ex.map(asyncio.sleep, items()))


@pytest.mark.parametrize("asynchronous", [True, False])
async def test_stop_iteration_does_not_hang(asynchronous: bool) -> None:
    async def fn(items: Iterator[int]) -> int:
        return next(items)

    async with asyncio.timeout(5), InProcess() as ex:
        with pytest.raises(RuntimeError, match="StopIteration"):
            await collect(ex.map(fn if asynchronous else next, [iter([])]))


async def test_closed_executor_is_refused() -> None:
    async with InProcess() as ex:
        pass
    await ex.aclose()
    with pytest.raises(UsageError, match="closed"):
        ex.map(double, [1])
    with pytest.raises(UsageError, match="cannot be called"):
        InProcess().map(3, [1])  # type: ignore[call-overload]


# Names.


def test_names() -> None:
    assert isinstance(make_executor(), InProcess)
    assert isinstance(make_executor("local"), InProcess)
    own = make_executor("dask")
    assert isinstance(own, DaskExecutor)
    assert own.address is None
    for host in ("127.0.0.1", "[::1]", "scheduler.example"):
        there = make_executor(f"dask://{host}:8786")
        assert isinstance(there, DaskExecutor)
        assert there.address == f"tcp://{host}:8786"
        ray = make_executor(f"ray://{host}:10001")
        assert isinstance(ray, RayExecutor)
        assert ray.address == f"ray://{host}:10001"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("dsk", "did you mean 'dask'"),
        ("locl", "did you mean 'local'"),
        ("local://x", "unknown"),
        ("spark://host:1", "unknown"),
        ("ray", "lacks an address"),
        ("ray://host", "host or a port"),
        ("rai://host:1", "did you mean 'ray"),
        ("dask://", "host or a port"),
        ("dask://host", "host or a port"),
        ("dask://:8786", "host or a port"),
        ("dask://host:port", "host or a port"),
        ("dask://host:99999", "host or a port"),
        ("dask://host:1/path", "host or a port"),
        ("dask://user@host:1", "host or a port"),
    ],
)
def test_malformed_names(spec: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        make_executor(spec)
    assert repr(spec) in str(caught.value)


async def test_without_dask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UsageError, match=r"pip install 'educe\[dask\]'"):
        async with make_executor("dask"):
            pass


def test_dask_is_refused_before_it_is_started() -> None:
    with pytest.raises(UsageError, match="async with"):
        make_executor("dask").map(math.sqrt, [1])


# On Dask. The functions stand in a module of their own, which the workers can import and this test module is not.

UNITS = '''
import asyncio
import os
import pathlib
import time


def square(x):
    return x * x


async def slow_square(x):
    await asyncio.sleep(0.001)
    return x * x


async def loop_of_unit(_):
    return id(asyncio.get_running_loop()), os.getpid()


def mark_and_sleep(job):
    folder, i, seconds = job
    (pathlib.Path(folder) / str(i)).touch()
    time.sleep(seconds)
    return i


def die_until(job):
    """End the worker, as the kernel does when memory is short, in the first runs of a unit."""
    folder, i, deaths = job
    runs = len(list(pathlib.Path(folder).glob(f"{i}-*")))
    (pathlib.Path(folder) / f"{i}-{runs}").touch()
    if runs < deaths:
        os.kill(os.getpid(), 9)
    return i, runs


class Method:
    def run(self, x):
        return x
'''


@pytest.fixture(scope="module")
def units(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    folder = tmp_path_factory.mktemp("units")
    (folder / "units_of_the_executor_tests.py").write_text(UNITS)
    sys.path.insert(0, str(folder))
    try:
        yield importlib.import_module("units_of_the_executor_tests")
    finally:
        sys.path.remove(str(folder))


@pytest.fixture(scope="module")
def cluster(units: ModuleType) -> Iterator[str]:
    """Address of a real cluster of two worker processes, started by the executor itself."""
    environment = dict(os.environ)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDUCE_THREADS", "2")
        own = DaskExecutor()
        run_sync(own.__aenter__())
    # Dask notes its own process number for its workers; all else is as it was.
    assert {name: value for name, value in os.environ.items() if name != "__DASK_PARENT_PID"} == environment
    yield own._cluster.scheduler_address
    run_sync(own.aclose())
    assert not workers_of(os.getpid())


def workers_of(pid: int) -> list[psutil.Process]:
    """Children of a process, without the tracker that Python keeps for as long as it runs."""
    return [child for child in psutil.Process(pid).children(recursive=True) if is_worker(child)]


def is_worker(child: psutil.Process) -> bool:
    """Whether a process runs and is not that tracker; one that ends while it is looked at does not run."""
    try:
        running = child.status() != psutil.STATUS_ZOMBIE
        return running and not any("resource_tracker" in word for word in child.cmdline())
    except psutil.Error:
        return False


@contextlib.asynccontextmanager
async def threads_cluster() -> AsyncGenerator[Any, None]:
    """A scheduler and a worker inside this process: real messages, started in no time."""
    import distributed

    async with distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, host="127.0.0.1", dashboard_address=None, asynchronous=True,
        scheduler_kwargs={"dashboard_address": "127.0.0.1:0"}, protocol="tcp://",
    ) as there:  # fmt: skip
        yield there


async def test_functions_that_a_worker_cannot_import(units: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def local(x: int) -> int:
        return x

    async with threads_cluster() as there, DaskExecutor(there.scheduler_address) as ex:
        monkeypatch.setattr(units, "renamed", lambda x: x, raising=False)
        main = lambda x: x  # noqa: E731
        main.__module__, main.__qualname__ = "__main__", "main"
        for fn in (
            local,
            lambda x: x,
            units.renamed,
            main,
            functools.partial(units.square),
            units.Method().run,
            "a".join,
        ):
            with pytest.raises(UsageError, match="cannot be imported by a worker"):
                ex.map(fn, [1])
        with pytest.raises(UsageError, match="limit"):
            ex.map(units.square, [1], limit=0)
        assert sorted(await collect(ex.map(units.slow_square, range(4)))) == [(i, i * i) for i in range(4)]
        with pytest.raises(UsageError, match="cannot be sent to a worker") as caught:
            await collect(ex.map(units.square, [threading.Lock()]))
        assert caught.value.__notes__ == ["This came from item 0 of the map."]


@pytest.mark.slow
async def test_cluster_that_goes_away(units: ModuleType, tmp_path: Path) -> None:
    async with threads_cluster() as there, DaskExecutor(there.scheduler_address) as ex:
        results = ex.map(units.mark_and_sleep, [(str(tmp_path), 0, 0.0), (str(tmp_path), 1, 0.5)])
        assert await anext(results) == (0, 0)
        await there.close()
        with pytest.raises(BackendError, match="Unit 1 was lost with its cluster"):
            await anext(results)


async def test_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("educe.core.dask_executor.CONNECT_SECONDS", 0.2)
    async with nothing_left():
        with pytest.raises(BackendError, match=r"No Dask scheduler answers at tcp://127\.0\.0\.1:9"):
            await DaskExecutor("tcp://127.0.0.1:9").__aenter__()
        with pytest.raises(UsageError, match="malformed"):
            await DaskExecutor("nonsense://127.0.0.1:9").__aenter__()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["square", "slow_square"])
async def test_equal_results_in_process_and_on_dask(cluster: str, units: ModuleType, name: str) -> None:
    fn = getattr(units, name)
    items = [*range(20), 0.1, 2**70, math.inf]
    found = []
    for ex in (InProcess(), DaskExecutor(cluster)):
        async with ex:
            found.append(sorted(await collect(ex.map(fn, items))))
    assert found[0] == found[1] == [(i, x * x) for i, x in enumerate(items)]


@pytest.mark.slow
async def test_items_are_data_on_dask(cluster: str) -> None:
    """Dask's own notation for tasks (a tuple that begins with a function) and for keys (texts) means nothing here."""
    items = [(print, "x"), "_run_unit", ["_run_unit", (sum, [1, 2])], {"a": (len, "abc")}, None]
    async with DaskExecutor(cluster) as ex:
        found = sorted(await collect(ex.map(repr, items)))
    assert [result for _, result in found] == [repr(item) for item in items]


@pytest.mark.slow
async def test_coroutines_of_a_worker_share_one_loop(cluster: str, units: ModuleType) -> None:
    async with DaskExecutor(cluster) as ex:
        found = {result for _, result in await collect(ex.map(units.loop_of_unit, range(12)))}
    assert len(found) == len({pid for _, pid in found}) <= 2


@pytest.mark.slow
async def test_workers_have_one_thread_each_and_listen_on_loopback(cluster: str) -> None:
    async with DaskExecutor(cluster) as ex:
        assert await ex._default_limit(math.sqrt) == 4
        found = await collect(ex.map(os.getenv, ["EDUCE_THREADS", "OMP_NUM_THREADS"]))
    assert sorted(found) == [(0, "1"), (1, "1")]
    processes = [psutil.Process(), *workers_of(os.getpid())]
    assert len(processes) == 3
    listening = [c.laddr.ip for p in processes for c in p.net_connections("inet") if c.status == psutil.CONN_LISTEN]
    assert set(listening) == {"127.0.0.1"}


@pytest.mark.slow
async def test_bounded_and_lazy_on_dask(cluster: str, units: ModuleType) -> None:
    taken, given_out = 0, 0

    def items() -> Iterator[int]:
        nonlocal taken
        for i in itertools.count():
            taken += 1
            assert taken - given_out <= 3
            yield i

    async with DaskExecutor(cluster) as ex, contextlib.aclosing(ex.map(units.square, items(), limit=3)) as results:
        async for i, result in results:
            assert result == i * i
            given_out += 1
            if given_out == 30:
                break


@pytest.mark.slow
async def test_error_on_dask_carries_its_index(cluster: str) -> None:
    async with DaskExecutor(cluster) as ex:
        with pytest.raises(ValueError, match="math domain error") as caught:
            await collect(ex.map(math.sqrt, [1.0, 4.0, -1.0, 9.0]))
        assert caught.value.__notes__ == ["This came from item 2 of the map."]
        with pytest.raises(RuntimeError, match="StopIteration"):
            await collect(ex.map(next, [iter([])]))


@pytest.mark.slow
async def test_cancelling_frees_the_cluster(cluster: str, units: ModuleType, tmp_path: Path) -> None:
    jobs = ((str(tmp_path), i, 0.0 if i == 0 else 0.5) for i in itertools.count())
    async with DaskExecutor(cluster) as ex:
        async with contextlib.aclosing(ex.map(units.mark_and_sleep, jobs, limit=8)) as results:
            assert await anext(results) == (0, 0)
        for _ in range(100):
            if await ex._client.run_on_scheduler(_count_tasks) == 0:
                break
            await asyncio.sleep(0.05)
        else:
            pytest.fail("the scheduler still holds units")
        started = _count_files(tmp_path)
        assert started <= 1 + 4  # the one that ended, and at most two rounds of the two workers
        await asyncio.sleep(0.6)
        assert _count_files(tmp_path) == started
        assert sorted(await collect(ex.map(units.square, range(3)))) == [(0, 0), (1, 1), (2, 4)]


def _count_files(folder: Path) -> int:
    return len(list(folder.iterdir()))


def _allowed_failures(dask_scheduler: Any) -> int:
    return int(dask_scheduler.allowed_failures)


def _set_allowed_failures(dask_scheduler: Any, *, number: int) -> None:
    dask_scheduler.allowed_failures = number


def _count_tasks(dask_scheduler: Any) -> int:
    return len(dask_scheduler.tasks)


@pytest.mark.slow
async def test_unit_of_a_killed_worker_runs_again(cluster: str, units: ModuleType, tmp_path: Path) -> None:
    jobs = [(str(tmp_path), i, 1 if i == 1 else 0) for i in range(4)]
    async with DaskExecutor(cluster) as ex:
        found = dict(await collect(ex.map(units.die_until, jobs)))
    assert found[1] == (1, 1)
    # A unit that waited on the dead worker may have run before; its own record tells.
    assert {i: result[0] for i, result in found.items()} == {i: i for i in range(4)}


@pytest.mark.slow
async def test_unit_that_kills_every_worker_is_given_up(cluster: str, units: ModuleType, tmp_path: Path) -> None:
    async with DaskExecutor(cluster) as ex:
        # Each death costs seconds; the number that the executor sets is looked at here and lowered.
        assert await ex._client.run_on_scheduler(_allowed_failures) == 3
        await ex._client.run_on_scheduler(_set_allowed_failures, number=0)
        try:
            with pytest.raises(
                BackendError, match=r"Unit 0 \(\('.*\) was given up, because .* died \(1 of them\)"
            ) as caught:
                await collect(ex.map(units.die_until, [(str(tmp_path), 0, 100)]))
        finally:
            await ex._client.run_on_scheduler(_set_allowed_failures, number=3)
        assert caught.value.__notes__ == ["This came from item 0 of the map."]
        assert sorted(await collect(ex.map(units.square, range(3)))) == [(0, 0), (1, 1), (2, 4)]


SCRIPT = """
import asyncio, sys, time

async def main():
    from educe.core import make_executor  # here, because the worker imports this file and needs none of it

    async with make_executor("dask") as ex:
        if sys.argv[1] == "interrupt":  # in the middle of a unit
            async for _ in ex.map(time.sleep, [0, 1000], limit=2):
                print("ready", flush=True)
        print("ready", flush=True)
        if sys.argv[1] == "error":
            raise LookupError("on purpose")
        await asyncio.sleep(1000)

if __name__ == "__main__":
    asyncio.run(main())
"""


@pytest.mark.slow
def test_no_process_stays_behind(tmp_path: Path) -> None:
    """After an error, after Ctrl-C, and after the driver was killed without a chance to clean up."""
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, "-W", "error", str(tmp_path / "script.py")]
    last = {"error": "LookupError: on purpose", "interrupt": "KeyboardInterrupt", "kill": ""}
    drivers = {
        end: subprocess.Popen(
            [*command, end],
            env={**os.environ, "EDUCE_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for end in last
    }
    children: dict[str, list[psutil.Process]] = {end: [] for end in last}
    while not all(children.values()):
        time.sleep(0.02)
        for end, driver in drivers.items():
            assert children[end] or driver.poll() is None
            with contextlib.suppress(psutil.NoSuchProcess):
                children[end] = children[end] or workers_of(driver.pid)
    for end, driver in drivers.items():
        assert driver.stdout is not None
        assert driver.stdout.readline() == "ready\n"
        if end == "interrupt":
            driver.send_signal(signal.SIGINT)
        elif end == "kill":
            driver.kill()
    for end, driver in drivers.items():
        err = driver.communicate(timeout=60)[1]
        assert (err.strip().splitlines() or [""])[-1] == last[end]
        assert err.count("Traceback") <= 1 + (end == "interrupt")  # asyncio shows the cancellation under the interrupt
        assert "Warning" not in err
        assert len(children[end]) == 1
        assert psutil.wait_procs(children[end], timeout=10)[1] == []
