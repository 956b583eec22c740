"""Run Python programs that nobody has read: the sandbox.

Bubblewrap gives a program namespaces of its own (no network, no other process, no file but the interpreter's standard
library and an empty temporary folder), a seccomp filter takes away the system calls that lead out and those that make
processes, resource limits bound memory and output, and a clock outside ends what does not end itself. Where any of
this is missing the sandbox refuses to run; it never runs with less. `check_isolation` shows that it holds.

What it does not do: protect a program's own tests from it. A program that is run together with assertions can cheat
them, because both share one interpreter; it cannot harm the machine. Nor does it bound the number of threads other
than by memory, or hide the processor's model and the time.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from importlib import resources
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from educe.core.errors import BackendError, CapabilityError, UsageError
from educe.core.settings import threads
from educe.verify import _sandbox_server
from educe.verify._seccomp import inner_filter, outer_filter

__all__ = ["Isolation", "Outcome", "Run", "Sandbox", "check_isolation"]

GRACE_SECONDS = 5.0  # beyond a program's own limit, before the whole sandbox is thrown away
START_SECONDS = 20.0
LEAST_MEMORY = 64 * 2**20


class Outcome(StrEnum):
    """How a program ended: by itself with status 0, with an error, or at a limit, which says nothing about it.

    Examples
    --------
    >>> Outcome.LIMIT_HIT.value
    'limit hit'
    """

    FINISHED = "finished"
    FAILED = "failed"
    LIMIT_HIT = "limit hit"


@dataclass(frozen=True)
class Run:
    """What became of one program.

    Parameters
    ----------
    outcome : Outcome
        How it ended.
    reason : str
        Empty where it finished; else the last line of its error, or the limit: ``"seconds"``, ``"memory"``,
        ``"output"``.
    stdout, stderr : str
        What it wrote, up to the limit of the sandbox.
    seconds : float
        Wall-clock time.
    cpu_seconds : float
        Processor time.
    """

    outcome: Outcome
    reason: str = ""
    stdout: str = ""
    stderr: str = ""
    seconds: float = 0.0
    cpu_seconds: float = 0.0


@dataclass(frozen=True)
class Isolation:
    """Result of one attempt to get out; see `check_isolation`.

    Parameters
    ----------
    name : str
        What must not be possible.
    holds : bool
        Whether it was not.
    detail : str
        What the attempt got.
    """

    name: str
    holds: bool
    detail: str


class Sandbox:
    """Isolated Python interpreters that run one program after another; an async context manager.

    Parameters
    ----------
    seconds : float
        Most wall-clock seconds of a program, > 0.
    cpu_seconds : float, optional
        Most processor seconds besides, > 0. Results of programs near a limit then do not depend on how busy the
        machine is; a program can switch this clock off, and the other one ends it.
    memory_bytes : int
        Most address space of a program, >= 64 MiB.
    output_bytes : int
        Most bytes it may write to each of its outputs and to any file, >= 1.
    workers : int, optional
        Programs that run at once, >= 1; `educe.core.settings.threads` when left out.

    Raises
    ------
    UsageError
        A limit is out of range.
    CapabilityError
        On entering: this machine cannot isolate programs; the message names what is missing.

    Examples
    --------
    >>> from educe.core import run_sync
    >>> async def sum_of_two():
    ...     async with Sandbox(workers=1) as sandbox:
    ...         return await sandbox.run("print(1 + 1)")
    >>> run_sync(sum_of_two()).stdout  # doctest: +SKIP
    '2\\n'
    """

    def __init__(
        self,
        *,
        seconds: float = 5.0,
        cpu_seconds: float | None = None,
        memory_bytes: int = 512 * 2**20,
        output_bytes: int = 2**20,
        workers: int | None = None,
    ) -> None:
        if not 0 < seconds < 86_400:
            raise UsageError(f"seconds={seconds} is no time limit. Give a number above 0 and below a day.")
        if cpu_seconds is not None and not 0 < cpu_seconds < 86_400:
            raise UsageError(f"cpu_seconds={cpu_seconds} is no time limit. Give a number above 0 and below a day.")
        if memory_bytes < LEAST_MEMORY:
            raise UsageError(
                f"memory_bytes={memory_bytes} does not hold the interpreter. Give at least {LEAST_MEMORY}."
            )
        if output_bytes < 1:
            raise UsageError(f"output_bytes={output_bytes} leaves no room for output. Give a number >= 1.")
        if workers is not None and workers < 1:
            raise UsageError(f"workers={workers} run nothing. Give a number >= 1.")
        self.seconds, self.cpu_seconds = seconds, cpu_seconds
        self.memory_bytes, self.output_bytes = memory_bytes, output_bytes
        self.workers = workers or threads()
        self._idle: asyncio.LifoQueue[asyncio.subprocess.Process | None] = asyncio.LifoQueue()
        self._open: set[asyncio.subprocess.Process] = set()
        self._entered = False

    async def __aenter__(self) -> Self:
        first = await self._start()
        for _ in range(self.workers - 1):
            self._idle.put_nowait(None)  # started when it is needed
        self._idle.put_nowait(first)
        self._entered = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End all interpreters; what runs is killed. May be called twice."""
        self._entered = False
        for server in list(self._open):
            await self._kill(server)

    async def run(self, program: str, stdin: str = "") -> Run:
        """Run a program and say how it ended.

        Parameters
        ----------
        program : str
            Python source text; runs as ``__main__``.
        stdin : str
            What it can read from its input.

        Returns
        -------
        Run

        Raises
        ------
        UsageError
            The sandbox has not been entered.
        BackendError
            The interpreter could not be started again after a program took it down.
        """
        if not self._entered:
            raise UsageError("The sandbox has not been started. Use it in `async with`.")
        server = await self._idle.get()
        try:
            if server is None:
                server = await self._start()
            answer = await self._ask(server, program, stdin)
        except BaseException:
            if server is not None:
                await self._kill(server)
            self._idle.put_nowait(None)
            raise
        if answer is None:  # the program took the interpreter with it, or its clock did not strike
            await self._kill(server)
            self._idle.put_nowait(None)
            return Run(Outcome.LIMIT_HIT, "seconds", seconds=self.seconds)
        self._idle.put_nowait(server)
        return _read(answer)

    async def _ask(self, server: asyncio.subprocess.Process, program: str, stdin: str) -> dict[str, Any] | None:
        assert server.stdin is not None
        assert server.stdout is not None
        limits = {
            "seconds": self.seconds,
            "cpu_seconds": self.cpu_seconds,
            "memory_bytes": self.memory_bytes,
            "output_bytes": self.output_bytes,
        }
        # Lone surrogates, which a model may well write, are no text to an interpreter; it gets question marks.
        texts = {"program": _encodable(program), "stdin": _encodable(stdin)}
        try:
            server.stdin.write(json.dumps({**texts, **limits}).encode() + b"\n")
            await server.stdin.drain()
            line = await asyncio.wait_for(server.stdout.readline(), self.seconds + GRACE_SECONDS)
        except (TimeoutError, ConnectionError):
            return None
        answer: dict[str, Any] | None = json.loads(line) if line.endswith(b"\n") else None
        return answer

    async def _start(self) -> asyncio.subprocess.Process:
        program = shutil.which("bwrap")
        if program is None:
            raise CapabilityError("The sandbox needs bubblewrap, which is not installed. Run: apt install bubblewrap")
        source = resources.files("educe.verify").joinpath("_sandbox_server.py").read_text()
        inner = inner_filter()
        rules = os.memfd_create("filter")
        try:
            os.write(rules, outer_filter())
            os.lseek(rules, 0, os.SEEK_SET)
            server = await asyncio.create_subprocess_exec(
                program,
                *_arguments(rules, self.output_bytes),
                str(_interpreter()),
                *("-I", "-S", "-B", "-c", source),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                pass_fds=[rules],
                limit=8 * self.output_bytes + 2**16,
                start_new_session=True,
                env={},
            )
        finally:
            os.close(rules)
        self._open.add(server)
        assert server.stdin is not None
        assert server.stdout is not None
        assert server.stderr is not None
        ready = b""
        with suppress(TimeoutError, ConnectionError):
            server.stdin.write(json.dumps({"filter": inner.hex()}).encode() + b"\n")
            await server.stdin.drain()
            ready = await asyncio.wait_for(server.stdout.readline(), START_SECONDS)
        if not ready:
            with suppress(ProcessLookupError):
                server.kill()
            complaint = (await server.stderr.read()).decode(errors="replace").strip().splitlines()[-1:]
            await self._kill(server)
            raise CapabilityError(
                f"Bubblewrap cannot isolate programs here ({complaint[0] if complaint else 'no answer'}). Allow "
                "unprivileged user namespaces, or run nothing that needs the sandbox."
            )
        return server

    async def _kill(self, server: asyncio.subprocess.Process) -> None:
        self._open.discard(server)
        if server.returncode is None:
            with suppress(ProcessLookupError):
                server.kill()  # bubblewrap takes everything inside with it
        await server.wait()
        transport = getattr(server, "_transport", None)
        if transport is not None:
            transport.close()


def _interpreter() -> Path:
    return Path(os.path.realpath(sys.executable))


def _arguments(rules: int, output_bytes: int) -> list[str]:
    """Arguments of bubblewrap: nothing is there but what stands here."""
    own = "/tmp"  # noqa: S108 - an empty folder inside
    size = str(min(4 * output_bytes + 2**20, 2**30))
    arguments = ["--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent", "--new-session"]
    arguments += ["--uid", "65534", "--gid", "65534", "--hostname", "sandbox", "--cap-drop", "ALL", "--clearenv"]
    arguments += ["--setenv", "PATH", "/usr/bin", "--setenv", "HOME", own, "--setenv", "LANG", "C.UTF-8"]
    for folder in ("lib", "lib64", "usr/lib", "usr/lib64"):
        path = Path("/", folder)
        if path.is_symlink():
            arguments += ["--symlink", os.readlink(path), str(path)]
        elif path.is_dir():
            arguments += ["--ro-bind", str(path), str(path)]
    base = _interpreter().parent.parent
    if base == Path("/usr"):
        arguments += ["--ro-bind", str(_interpreter()), str(_interpreter())]
    else:
        for part in ("bin", "lib"):
            arguments += ["--ro-bind", str(base / part), str(base / part)]
    arguments += ["--dev", "/dev", "--size", size, "--tmpfs", own, "--chdir", own, "--remount-ro", "/"]
    return [*arguments, "--seccomp", str(rules), "--"]


def _encodable(text: str) -> str:
    return text.encode(errors="replace").decode()


def _read(answer: Mapping[str, Any]) -> Run:
    stderr = answer["stderr"]
    last = next((line for line in reversed(stderr.splitlines()) if line.strip()), "")
    if answer["timed_out"] or answer["signal"] in (signal.SIGXCPU, signal.SIGPROF):
        outcome, reason = Outcome.LIMIT_HIT, "seconds"
    elif answer["status"] == _sandbox_server.OUT_OF_MEMORY:
        outcome, reason = Outcome.LIMIT_HIT, "memory"
    elif answer["signal"] == signal.SIGXFSZ or "File too large" in last:
        outcome, reason = Outcome.LIMIT_HIT, "output"
    elif answer["signal"]:
        outcome, reason = Outcome.FAILED, f"signal {signal.Signals(answer['signal']).name}"
    elif answer["status"]:
        outcome, reason = Outcome.FAILED, last or f"exit status {answer['status']}"
    else:
        outcome, reason = Outcome.FINISHED, ""
    seconds = {name: float(answer[name]) for name in ("seconds", "cpu_seconds")}
    return Run(outcome, reason, answer["stdout"], stderr, **seconds)


# An attempt that ends otherwise is broken itself and proves nothing.
REFUSALS = ("PermissionError", "FileNotFoundError", "OSError: [Errno 30]", "AssertionError")
# Attempts to get out. Each prints what it got, or raises.
ATTEMPTS: Sequence[tuple[str, str]] = (
    ("no network", "import socket\ns = socket.socket()\ns.settimeout(1)\ns.connect(('127.0.0.1', 9))"),
    ("no unix sockets", "import socket\nsocket.socket(socket.AF_UNIX)"),
    ("no new process", "import os\nif os.fork() == 0: os._exit(0)"),
    ("no other program", "import os\nos.execv('/bin/sh', ['sh'])"),
    ("no shell", "import subprocess\nsubprocess.run(['true'], check=True)"),
    ("no namespaces", "import ctypes\nassert ctypes.CDLL(None).unshare(0x10000000) == 0, 'refused'"),
    ("no mounts", "import ctypes\nassert ctypes.CDLL(None).mount(b'x', b'/tmp', b'tmpfs', 0, None) == 0, 'refused'"),
    ("no tracing", "import ctypes\nassert ctypes.CDLL(None).ptrace(16, 1, 0, 0) == 0, 'refused'"),
    ("no home folders", "import os\nassert os.listdir('/home') + os.listdir('/root'), 'empty'"),
    ("no settings", "open('/etc/passwd').read()"),
    ("no process list", "import os\nos.listdir('/proc')"),
    ("nothing to write but its folder", "open('/usr/lib/x', 'w').write('x')"),
    ("no root folder to write", "open('/x', 'w').write('x')"),
)
LIMITS: Sequence[tuple[str, str, str]] = (
    ("an endless loop ends", "while True: pass", "seconds"),
    ("a sleeper ends", "import time\ntime.sleep(1000)", "seconds"),
    ("memory is bounded", "x = bytearray(8 * 2**30)", "memory"),
    ("output is bounded", "while True: print('x' * 1000)", "output"),
)


async def check_isolation() -> list[Isolation]:
    """Try to get out of the sandbox in every way it claims to close, and to pass its limits.

    Returns
    -------
    list of Isolation
        One for each attempt; all must hold.

    Raises
    ------
    CapabilityError
        There is no sandbox on this machine.
    BackendError
        The sandbox does not run even a harmless program.

    Examples
    --------
    >>> from educe.core import run_sync
    >>> all(result.holds for result in run_sync(check_isolation()))  # doctest: +SKIP
    True
    """
    async with Sandbox(seconds=1.0, memory_bytes=2**28, output_bytes=2**16) as sandbox:
        harmless = await sandbox.run("print(6 * 7)")
        if harmless.stdout != "42\n":
            raise BackendError(f"The sandbox does not run a harmless program: {harmless.reason}. Look at its machine.")
        with tempfile.NamedTemporaryFile("w") as outside:
            stolen = ("no file of this machine", f"print(open({outside.name!r}).read())")
            left = ("nothing of the program before", "import os\nassert os.listdir('/tmp'), 'empty'")
            await asyncio.gather(*(sandbox.run("open('x', 'w').write('x')") for _ in range(sandbox.workers)))
            tried = (*ATTEMPTS, stolen, left)
            attempts = await asyncio.gather(*(sandbox.run(program) for _, program in tried))
        limits = await asyncio.gather(*(sandbox.run(program) for _, program, _ in LIMITS))
    results = [
        Isolation(name, run.reason.startswith(REFUSALS), run.reason or "it worked")
        for (name, _), run in zip(tried, attempts, strict=True)
    ]
    for (name, _, reason), run in zip(LIMITS, limits, strict=True):
        holds = run.outcome is Outcome.LIMIT_HIT and run.reason == reason
        results.append(Isolation(name, holds, f"{run.outcome}: {run.reason}"))
    return results
