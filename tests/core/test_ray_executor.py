"""The Ray executor against a real cluster on this machine, started by Ray's own command."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import itertools
import math
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from educe.core import BackendError, InProcess, RayExecutor, UsageError

pytestmark = pytest.mark.slow

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
'''


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture(scope="module")
def units(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    folder = tmp_path_factory.mktemp("ray-units")
    (folder / "units_of_the_ray_tests.py").write_text(UNITS)
    sys.path.insert(0, str(folder))
    try:
        yield importlib.import_module("units_of_the_ray_tests")
    finally:
        sys.path.remove(str(folder))


@pytest.fixture(scope="module")
def cluster(units: ModuleType) -> Iterator[str]:
    """Client address of a cluster of two cores whose workers can import the units."""
    port = free_port()
    ray = Path(sys.executable).with_name("ray")
    # A short folder: the paths of its sockets are bounded by the kernel.
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp") as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        path = os.pathsep.join([str(Path(str(units.__file__)).parent), os.environ.get("PYTHONPATH", "")])
        options = [f"--ray-client-server-port={port}", "--port=0", "--num-cpus=2", "--include-dashboard=false"]
        memory = f"--object-store-memory={80 * 2**20}"
        start = [str(ray), "start", "--head", "--disable-usage-stats", f"--temp-dir={folder}", memory, *options]
        subprocess.run(start, check=True, capture_output=True, timeout=120, env={**os.environ, "PYTHONPATH": path})
        try:
            # The command ends before the client port listens.
            for _ in range(600):
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    break
                time.sleep(0.2)
            yield f"ray://127.0.0.1:{port}"
        finally:
            subprocess.run([str(ray), "stop", "--force"], check=False, capture_output=True, timeout=60)


async def collect(results: AsyncGenerator[tuple[int, Any], None]) -> list[tuple[int, Any]]:
    return sorted([pair async for pair in results])


@pytest.mark.parametrize("name", ["square", "slow_square"])
async def test_equal_results_in_process_and_on_ray(cluster: str, units: ModuleType, name: str) -> None:
    fn = getattr(units, name)
    items = [*range(10), 0.1, 2**70, math.inf]
    found = []
    for ex in (InProcess(), RayExecutor(cluster)):
        async with ex:
            found.append(await collect(ex.map(fn, items)))
    assert found[0] == found[1] == [(i, x * x) for i, x in enumerate(items)]


async def test_bounded_and_lazy(cluster: str, units: ModuleType) -> None:
    taken, given_out = 0, 0

    def items() -> Iterator[int]:
        nonlocal taken
        for i in itertools.count():
            taken += 1
            assert taken - given_out <= 3
            yield i

    async with RayExecutor(cluster) as ex, contextlib.aclosing(ex.map(units.square, items(), limit=3)) as results:
        assert await ex._default_limit(math.sqrt) == 4
        async for i, result in results:
            assert result == i * i
            given_out += 1
            if given_out == 12:
                break


async def test_errors_carry_their_index(cluster: str, units: ModuleType) -> None:
    async with RayExecutor(cluster) as ex:
        with pytest.raises(ValueError, match="math domain error") as caught:
            await collect(ex.map(math.sqrt, [1.0, 4.0, -1.0, 9.0]))
        assert caught.value.__notes__ == ["This came from item 2 of the map."]
        with pytest.raises(UsageError, match="cannot be sent to a worker"):
            await collect(ex.map(units.square, [threading.Lock()]))
        with pytest.raises(UsageError, match="cannot be imported by a worker"):
            ex.map(lambda x: x, [1])


async def test_cancelling_frees_the_cluster(cluster: str, units: ModuleType, tmp_path: Path) -> None:
    jobs = ((str(tmp_path), i, 0.0 if i == 0 else 0.5) for i in itertools.count())
    async with RayExecutor(cluster) as ex:
        async with contextlib.aclosing(ex.map(units.mark_and_sleep, jobs, limit=8)) as results:
            assert await anext(results) == (0, 0)
        found = await collect(ex.map(units.square, range(3)))
        assert found == [(0, 0), (1, 1), (2, 4)]
        await asyncio.sleep(1)
        # The one that ended, and at most two rounds of the two cores; without cancelling all nine would have run by now.
        assert len(list(tmp_path.iterdir())) <= 1 + 4


async def test_units_of_killed_workers(cluster: str, units: ModuleType, tmp_path: Path) -> None:
    async with RayExecutor(cluster) as ex:
        found = dict(await collect(ex.map(units.die_until, [(str(tmp_path), i, int(i == 1)) for i in range(2)])))
        assert found == {0: (0, 0), 1: (1, 1)}
        with pytest.raises(BackendError, match=r"Unit 0 \(\('.*\) was given up, because .* died \(4 of them\)"):
            await collect(ex.map(units.die_until, [(str(tmp_path), 2, 100)]))


async def test_a_head_that_is_busy_at_first(cluster: str, units: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    monkeypatch.setattr("educe.core.ray_executor.RETRY_SECONDS", (0.0, 0.0))
    real, failures = ray.init, [ConnectionAbortedError("Initialization failure from server")] * 2

    def init(*args: Any, **kwargs: Any) -> Any:
        if failures:
            raise failures.pop()
        return real(*args, **kwargs)

    monkeypatch.setattr(ray, "init", init)
    async with RayExecutor(cluster) as ex:
        assert await collect(ex.map(units.square, [3])) == [(0, 9)]
    failures += [ConnectionAbortedError("Initialization failure from server")] * 3
    with pytest.raises(BackendError, match="No Ray cluster answers"):
        await RayExecutor(cluster).__aenter__()


async def test_nobody_answers() -> None:
    with pytest.raises(BackendError, match=r"No Ray cluster answers at ray://127\.0\.0\.1:9"):
        await RayExecutor("ray://127.0.0.1:9").__aenter__()
    with pytest.raises(UsageError, match="async with"):
        RayExecutor("ray://127.0.0.1:9").map(math.sqrt, [1])


async def test_without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "grpc", None)
    with pytest.raises(UsageError, match=r"pip install 'educe\[ray\]'"):
        await RayExecutor("ray://127.0.0.1:9").__aenter__()
