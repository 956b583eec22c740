"""The sandbox: nothing gets out, limits hold, programs do not see one another, and it comes back after a crash."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal

import psutil
import pytest

from educe.core import CapabilityError, UsageError
from educe.verify.sandbox import Outcome, Sandbox, check_isolation

pytestmark = pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")


@pytest.mark.slow
async def test_every_attempt_to_get_out_fails() -> None:
    results = await check_isolation()
    assert len(results) == 19
    assert [result for result in results if not result.holds] == []


async def test_outcomes() -> None:
    async with Sandbox(seconds=2, workers=1) as sandbox:
        finished = await sandbox.run("import sys\nprint(sys.stdin.read()[::-1])\nprint('e', file=sys.stderr)", "abc")
        assert (finished.outcome, finished.stdout, finished.stderr) == (Outcome.FINISHED, "cba\n", "e\n")
        for program, reason in (
            ("1/0", "ZeroDivisionError: division by zero"),
            ("def f(:", "SyntaxError: invalid syntax"),
            ("raise SystemExit(3)", "exit status 3"),
            ("import sys; sys.exit('sorry')", "exit status 1"),
            ("import os; os.kill(os.getpid(), 9)", "signal SIGKILL"),
            ("import os; os.abort()", "signal SIGABRT"),
            ("def f(): f()\nf()", "RecursionError: maximum recursion depth exceeded"),
        ):
            run = await sandbox.run(program)
            assert (run.outcome, run.reason) == (Outcome.FAILED, reason)
        for harmless in (
            "",
            "raise SystemExit",
            "import sys; sys.exit(0)",
            "print('\\ud800' == chr(0xd800))",
            "é = 'ß'",
        ):
            assert (await sandbox.run(harmless)).outcome is Outcome.FINISHED
        assert (await sandbox.run("print(1)\x00")).outcome is Outcome.FAILED
        assert (await sandbox.run("print('\ud800')")).stdout == "?\n"


async def test_processor_time_is_bounded_apart_from_the_clock() -> None:
    async with Sandbox(seconds=20, cpu_seconds=0.05, workers=1) as sandbox:
        busy = await sandbox.run("while True: pass")
        assert (busy.outcome, busy.reason) == (Outcome.LIMIT_HIT, "seconds")
        assert 0.04 < busy.cpu_seconds < 5
        assert (await sandbox.run("import time; time.sleep(0.3)")).outcome is Outcome.FINISHED


async def test_a_program_leaves_nothing_behind() -> None:
    async with Sandbox(seconds=2, workers=1) as sandbox:
        leave = "import os, builtins\nos.makedirs('d/e')\nopen('d/e/f', 'w').write('x')\nbuiltins.left = 1\nimport json"
        assert (await sandbox.run(leave)).outcome is Outcome.FINISHED
        look = "import os, sys, builtins\nprint(os.listdir('.'), hasattr(builtins, 'left'), dict(os.environ)['HOME'])"
        assert (await sandbox.run(look)).stdout == "[] False /tmp\n"


async def test_it_comes_back_when_a_program_takes_it_down() -> None:
    async with Sandbox(seconds=0.3, workers=1) as sandbox:
        server = next(iter(sandbox._open))
        os.kill(server.pid, signal.SIGKILL)
        assert (await sandbox.run("print(1)")).outcome is Outcome.LIMIT_HIT
        assert (await sandbox.run("print(1)")).stdout == "1\n"
        # The only other process that a program can reach is its parent; it may not even signal that.
        assert (await sandbox.run("import os\nos.kill(os.getppid(), 9)")).outcome is not Outcome.FINISHED
        assert (await sandbox.run("print(2)")).stdout == "2\n"


async def test_cancelling_leaves_no_process() -> None:
    async with Sandbox(seconds=60, workers=2) as sandbox:
        running = asyncio.ensure_future(sandbox.run("while True: pass"))
        await asyncio.sleep(0.3)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert (await sandbox.run("print(1)")).stdout == "1\n"
        pids = [server.pid for server in sandbox._open]
    assert not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" for pid in pids)


async def test_it_refuses_where_it_cannot_isolate(monkeypatch: pytest.MonkeyPatch) -> None:
    for options in (
        {"seconds": 0},
        {"seconds": float("nan")},
        {"cpu_seconds": 0},
        {"memory_bytes": 1},
        {"output_bytes": 0},
        {"workers": 0},
    ):
        with pytest.raises(UsageError):
            Sandbox(**options)
    with pytest.raises(UsageError, match="async with"):
        await Sandbox().run("1")
    monkeypatch.setattr("educe.verify.sandbox.shutil.which", lambda name: "/bin/false")
    with pytest.raises(CapabilityError, match="cannot isolate"):
        await Sandbox().__aenter__()
    monkeypatch.setattr("educe.verify.sandbox.shutil.which", lambda name: None)
    with pytest.raises(CapabilityError, match="apt install bubblewrap"):
        await Sandbox().__aenter__()
