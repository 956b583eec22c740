r"""Compare mathematical expressions in a worker process under an outside clock.

SymPy can take forever, exhaust the memory or overflow the stack on short input (``9^{9^{9^9}}``), and the
time limits of math-verify rest on SIGALRM, which only the main thread may use. So the work happens in one
persistent process (`_expression_worker`): it gets one JSON line per comparison, is killed when it does not answer in
time, and is replaced at once. Its start is paid for by nobody's time limit.

What it does not do: run anything that the expressions say. The worker reads them with a LaTeX grammar, never with
Python's or SymPy's evaluator.
"""

from __future__ import annotations

import atexit
import json
import os
import queue
import re
import subprocess
import sys
import threading
from pathlib import Path

from educe.core.errors import BackendError
from educe.verify._text import compatible

# Longer input is no answer, and the parser's time grows faster than its length.
MAX_CHARACTERS = 2_000
# The imports take about a second; a loaded machine may need far longer.
START_SECONDS = 120.0
WORKER_FILE = Path(__file__).with_name("_expression_worker.py")
LIMIT_HIT = "limit hit"

_SIGNS = str.maketrans(
    {"\N{MINUS SIGN}": "-", "\N{EN DASH}": "-", "×": "*", "·": "*", "⋅": "*", "÷": "/", "π": "\\pi ", "∞": "\\infty "}
)
_SUPERSCRIPT = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻]+")
_SUPERSCRIPT_DIGITS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻", "0123456789+-")
_VULGAR = re.compile("(?<=[0-9])(?=[¼½¾⅐-⅞↉])")
_DRESSING = re.compile(
    r"\\(?:left|right|displaystyle|bigl|bigr|Bigl|Bigr|big|Big)(?![A-Za-z])|(?<!\\)\$|\\[()!]|\\\[|\\\]"
)
_BLANK = re.compile(r"\\[,;: ]|\\q?quad(?![A-Za-z])|~")
_UNIT = re.compile(
    r"(?:(?<=[0-9})\]])|(?<=\\pi))\s{0,3}(?:\\(?:text|mathrm|mbox|textrm)\s{0,3}\{[^{}]{0,40}\}(?:\^\{?[0-9]\}?)?|\^\{?\\circ\}?|\\?%)$"
)
_NEEDLESS_BLANK = re.compile(r"(?<![A-Za-z0-9]) | (?![A-Za-z0-9])")


def spelling(text: str) -> str:
    """Tidy how an expression is written, not what it says; idempotent."""
    for _ in range(6):
        tidied = _tidied(text)
        if tidied == text:
            break
        text = tidied
    return text


def _tidied(text: str) -> str:
    if not text.isascii():
        text = _SUPERSCRIPT.sub(lambda found: f"^{{{found[0].translate(_SUPERSCRIPT_DIGITS)}}}", text)
        text = compatible(_VULGAR.sub(" ", text)).replace("\N{FRACTION SLASH}", "/").translate(_SIGNS)
    text = _BLANK.sub(" ", _DRESSING.sub("", text))
    text = re.sub(r"\\[dtc]frac(?![A-Za-z])", r"\\frac", text).replace("**", "^")
    text = " ".join(text.split()).rstrip(".;, ")
    text = _UNIT.sub("", text)
    # Between two digits or letters a blank can carry a meaning: 1 1/2 is not 11/2.
    text = _NEEDLESS_BLANK.sub("", text)
    if len(text) > 2 and text[0] == "{" and text.find("}") == len(text) - 1:
        text = text[1:-1]
    return text


class _Worker:
    """One worker process with a thread that collects its lines; a line of None is the end."""

    def __init__(self) -> None:
        # The file is run by its path and not with -m, so that the worker imports the prover and nothing of educe, whose
        # own imports (torch) would double its start and its memory. -P keeps the current folder out of its imports.
        self.process = subprocess.Popen(  # noqa: S603 - our own file, nothing of the expressions on the command line
            [sys.executable, "-P", str(WORKER_FILE)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="utf-8",
            errors="replace",
        )
        self.lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self.reader = threading.Thread(target=self._collect, name="educe-expression-worker", daemon=True)
        self.reader.start()
        self.is_ready = False
        self.is_lost = False

    def _collect(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put(None)

    def wait_until_ready(self) -> None:
        if self.is_ready:
            return
        if not (self._receive(START_SECONDS) or {}).get("ready"):
            code = self.process.poll()
            reason = f"exit code {code}" if code is not None else f"no sign of life within {START_SECONDS:g} s"
            raise BackendError(
                f"The prover for expressions did not start ({reason}). "
                f"Run {WORKER_FILE.name} of educe.verify by hand to see why; it needs math-verify[antlr4-13-2]."
            )
        self.is_ready = True

    def ask(self, a: str, b: str, seconds: float) -> str:
        """Verdict of the worker; "limit hit" also when it dies or stays silent, which ends it."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps({"a": a, "b": b, "seconds": seconds}) + "\n")
            self.process.stdin.flush()
            reply = self._receive(seconds)
        except OSError:
            reply = None
        if reply is None:
            self.is_lost = True
            return LIMIT_HIT
        return str(reply["verdict"])

    def _receive(self, seconds: float) -> dict[str, str] | None:
        try:
            line = self.lines.get(timeout=seconds)
        except queue.Empty:
            return None
        reply: dict[str, str] | None = None if line is None else json.loads(line)
        return reply

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        self.reader.join()
        for stream in (self.process.stdin, self.process.stdout):
            try:
                if stream is not None:
                    stream.close()
            except OSError:
                # What was written to a dead worker cannot be flushed.
                pass


class ExpressionChecker:
    """Owner of the worker: one at a time, shared by all threads, started on first use, replaced when it is lost."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._worker: _Worker | None = None
        self._inherited: _Worker | None = None

    def check(self, a: str, b: str, seconds: float) -> str:
        """Compare two spellings; the clock runs while the worker works, not while others wait their turn."""
        if max(len(a), len(b)) > MAX_CHARACTERS:
            return LIMIT_HIT
        with self._lock:
            if self._worker is not None and self._worker.process.poll() is not None:
                # It died while nobody asked it anything, which is no fault of this pair.
                self._worker.stop()
                self._worker = None
            worker = self._worker = self._worker or _Worker()
            try:
                worker.wait_until_ready()
                verdict = worker.ask(a, b, seconds)
            except BaseException:
                # An interrupted wait leaves an answer in the pipe that would be taken for the next one's.
                self._worker = None
                worker.stop()
                raise
            if worker.is_lost:
                worker.stop()
                # The next one starts in the background, so that the next check seldom waits for it.
                self._worker = _Worker()
            return verdict

    def close(self) -> None:
        """End the worker; a later check starts a new one."""
        with self._lock:
            if self._worker is not None:
                self._worker.stop()
                self._worker = None

    def forget(self) -> None:
        """Leave the worker to the parent process after a fork: two processes on one pipe would mix their answers."""
        self._lock = threading.Lock()
        # The reference stays, since its deletion would report a child process that is none of this process's.
        self._inherited, self._worker = self._worker, None


_CHECKER = ExpressionChecker()
atexit.register(_CHECKER.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_CHECKER.forget)


def check(a: str, b: str, seconds: float) -> str:
    """Compare two spellings in the shared worker: "proved", "refuted" or "limit hit"."""
    return _CHECKER.check(a, b, seconds)
