"""What runs inside the sandbox: a loop that forks one child a program and tells how it ended.

It reads one JSON object a line and answers with one a line. It sees the standard library alone, so it imports nothing
of educe, and it is handed to the interpreter as text. Each child loses every open file but its own three, gets
its resource limits, and a filter that forbids it to make processes; so nothing survives a program.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import select
import shutil
import signal
import sys
import time
import traceback
from typing import Any

FINISHED, RAISED, OUT_OF_MEMORY = 0, 1, 86
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2


class _Filter(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


def _forbid_processes(instructions: bytes) -> None:
    buffer = ctypes.create_string_buffer(instructions, len(instructions))
    program = _Filter(len(instructions) // 8, ctypes.cast(buffer, ctypes.c_void_p))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0):
        os._exit(99)


def _child(task: dict[str, Any], files: list[int], instructions: bytes) -> None:
    """Run the program in this process, which ends with it."""
    for target, file in enumerate(files):
        os.dup2(file, target)
    os.closerange(3, 4096)
    cpu = int(task["seconds"]) + 2
    for kind, limit in (
        (resource.RLIMIT_AS, task["memory_bytes"]),
        (resource.RLIMIT_FSIZE, task["output_bytes"]),
        (resource.RLIMIT_CPU, cpu),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (limit, limit))
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    if task["cpu_seconds"] is not None:
        signal.setitimer(signal.ITIMER_PROF, task["cpu_seconds"])  # its signal ends the process
    _forbid_processes(instructions)
    status = FINISHED
    try:
        # The text that runs here is foreign; it runs because everything around it is the sandbox.
        exec(compile(task["program"], "<program>", "exec"), {"__name__": "__main__"})  # noqa: S102
    except SystemExit as stopped:
        status = stopped.code if isinstance(stopped.code, int) else int(stopped.code is not None)
    except MemoryError:
        status = OUT_OF_MEMORY
    except BaseException:
        status = RAISED
        traceback.print_exc(limit=-4)
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status & 255)


def _empty_folder() -> None:
    """Remove what the program left, so that the next one finds nothing."""
    for entry in os.scandir("/tmp"):  # noqa: S108 - a folder of the sandbox's own
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path, ignore_errors=True)
        else:
            os.unlink(entry.path)


def _run(task: dict[str, Any], instructions: bytes) -> dict[str, Any]:
    files = [os.memfd_create(name) for name in ("in", "out", "err")]
    os.write(files[0], task["stdin"].encode())
    os.lseek(files[0], 0, os.SEEK_SET)
    begin = time.monotonic()
    pid = os.fork()
    if pid == 0:
        _child(task, files, instructions)
    process = os.pidfd_open(pid)
    ended, _, _ = select.select([process], [], [], task["seconds"])
    if not ended:
        os.kill(pid, signal.SIGKILL)
    _, status, usage = os.wait4(pid, 0)
    seconds = time.monotonic() - begin
    os.close(process)
    texts = [os.pread(file, task["output_bytes"], 0).decode(errors="replace") for file in files[1:]]
    for file in files:
        os.close(file)
    _empty_folder()
    return {
        "timed_out": not ended,
        "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0,
        "status": os.WEXITSTATUS(status) if os.WIFEXITED(status) else -1,
        "stdout": texts[0],
        "stderr": texts[1],
        "seconds": seconds,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
    }


def serve() -> None:
    """Answer tasks until the input ends."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    instructions = bytes.fromhex(json.loads(requests.readline())["filter"])
    answers.write(b'{"ready": true}\n')
    answers.flush()
    for line in requests:
        answers.write(json.dumps(_run(json.loads(line), instructions)).encode() + b"\n")
        answers.flush()


if __name__ == "__main__":
    serve()
