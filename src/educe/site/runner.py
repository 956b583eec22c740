"""Works on the queue: runs in processes of their own, questions in this one.

Of several server processes one works, whichever holds the lock file of the site's folder; the system gives it to
another when that one dies. Whoever gets it first marks as interrupted what its predecessor left running.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any

from educe.site.answering import answer_question
from educe.site.queue import claim, finish, interrupt_all, report_progress, wanted_cancel
from educe.site.schema import Answered, Run
from educe.site.state import Site

__all__ = ["Runner"]

POLL = 0.4
LOCK_POLL = 2.0
LINE = 64 << 20  # Bytes of a report with its figure.
PROGRESS_SECONDS = 0.8
LAST_WORDS = 4000


class Runner:
    """Takes work from the queue while it holds the site's lock.

    Parameters
    ----------
    site : Site
        Whose queue.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._wake = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._main: asyncio.Task[None] | None = None
        self._tasks: dict[type[Run] | type[Answered], set[asyncio.Task[None]]] = {Run: set(), Answered: set()}
        self._lock: int | None = None
        self._stopping = False

    def start(self) -> None:
        """Begin; must be called in the event loop."""
        self._loop = asyncio.get_running_loop()
        self._main = asyncio.create_task(self._work())

    def wake(self) -> None:
        """Look at the queue now; may be called from any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake.set)

    async def stop(self) -> None:
        """Let running work end within the grace period, then store the rest as interrupted."""
        self._stopping = True
        self.wake()
        if self._main is not None:
            await self._main
        tasks = set().union(*self._tasks.values())
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=self._site.config.limits.grace_seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if self._lock is not None:
            await asyncio.to_thread(interrupt_all, self._site.database)
            os.close(self._lock)
            self._lock = None

    def _acquire(self) -> bool:
        path = self._site.config.folder / "runner.lock"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._lock = descriptor
        return True

    async def _work(self) -> None:
        while not self._stopping:
            try:
                if self._lock is None and self._acquire():
                    count = await asyncio.to_thread(interrupt_all, self._site.database)
                    if count:
                        self._site.log.event("interrupted", count=count)
                if self._lock is not None:
                    await self._take(Run, self._site.config.limits.runs, self._run)
                    await self._take(Answered, self._site.config.limits.answers, self._answer)
            except Exception as error:
                # The database may be away for a while; the page then says so, and the queue goes on later.
                self._site.log.event("queue", error=error)
                await asyncio.sleep(1)
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), POLL if self._lock is not None else LOCK_POLL)

    async def _take(
        self, kind: type[Run] | type[Answered], most: int, work: Callable[[Any], Coroutine[Any, Any, None]]
    ) -> None:
        tasks = self._tasks[kind]
        while len(tasks) < most and not self._stopping:
            row = await asyncio.to_thread(claim, self._site.database, kind)
            if row is None:
                return
            task = asyncio.create_task(work(row))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            task.add_done_callback(lambda _task: self._wake.set())

    async def _end(self, kind: type[Run] | type[Answered], number: str, state: str, **values: Any) -> None:
        await asyncio.to_thread(finish, self._site.database, kind, number, state, **values)
        self._site.metrics.work("run" if kind is Run else "answer", state)

    async def _answer(self, row: Answered) -> None:
        try:
            state, values = await answer_question(self._site, row)
        except asyncio.CancelledError:
            await asyncio.shield(self._end(Answered, row.id, "interrupted", error="The server was stopped."))
            raise
        await self._end(Answered, row.id, state, **values)

    async def _run(self, row: Run) -> None:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "educe.site.run_worker",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, limit=LINE,
        )  # fmt: skip
        assert child.stdin is not None
        assert child.stderr is not None
        words = asyncio.create_task(_last_words(child.stderr))
        try:
            child.stdin.write(json.dumps({"slug": row.slug, "scale": row.scale, "seed": row.seed}).encode() + b"\n")
            with contextlib.suppress(ConnectionError):
                await child.stdin.drain()
            state, values = await self._follow(row, child)
            if state == "failed" and "error" not in values:
                said = (await words).strip().splitlines()
                values["error"] = said[-1] if said else f"The process ended with code {child.returncode}."
        except asyncio.CancelledError:
            await asyncio.shield(self._end(Run, row.id, "interrupted", error="The server was stopped."))
            raise
        except Exception as error:
            self._site.log.event("run", error=error, slug=row.slug)
            state, values = "failed", {"error": f"{type(error).__name__} in the server."}
        finally:
            await _stop(child)
            words.cancel()
        await self._end(Run, row.id, state, **values)

    async def _follow(self, row: Run, child: asyncio.subprocess.Process) -> tuple[str, dict[str, Any]]:
        """Read what the process tells until it ends, is cancelled, or takes too long."""
        assert child.stdout is not None
        expected = row.progress.get("expected")
        deadline = time.monotonic() + self._site.config.limits.run_seconds
        told = 0.0
        reader = asyncio.create_task(child.stdout.readline())
        try:
            while True:
                await asyncio.wait({reader}, timeout=POLL)
                if await asyncio.to_thread(wanted_cancel, self._site.database, Run, row.id):
                    return "cancelled", {"error": "Cancelled by the visitor."}
                if time.monotonic() > deadline:
                    return "failed", {"error": f"It took longer than {self._site.config.limits.run_seconds:.0f} s."}
                if not reader.done():
                    continue
                line = reader.result()
                if not line:
                    await child.wait()
                    return "failed", {}
                message = json.loads(line)
                if "report" in message:
                    progress = {"verdict": message["report"]["verdict"], "expected": expected}
                    return "finished", {"report": message["report"], "figure": message["figure"], "progress": progress}
                if "error" in message:
                    return "failed", {"error": message["error"][:2000]}
                if time.monotonic() - told > PROGRESS_SECONDS:
                    told = time.monotonic()
                    progress = {**message["progress"], "expected": expected}
                    await asyncio.to_thread(report_progress, self._site.database, Run, row.id, progress)
                reader = asyncio.create_task(child.stdout.readline())
        finally:
            reader.cancel()


async def _last_words(stream: asyncio.StreamReader) -> str:
    """Read standard error to its end, so that the process never waits for us, and keep the last of it."""
    kept = b""
    while piece := await stream.read(4096):
        kept = (kept + piece)[-LAST_WORDS:]
    return kept.decode("utf-8", "replace")


async def _stop(child: asyncio.subprocess.Process) -> None:
    if child.returncode is not None:
        return
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            child.send_signal(number)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(child.wait(), 3)
            return
