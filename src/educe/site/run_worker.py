"""One run of a paper's reproduction in a process of its own: ``python -m educe.site.run_worker``.

Standard input brings one line of JSON (``slug``, ``scale``, ``seed``) and then stays open; when it closes, the server
is gone and so is this process. Standard output carries lines of JSON: ``progress`` about twice a second, at the end
``report`` and ``figure``, or ``error``. What the paper itself prints goes to standard error.

Papers know nothing of this page, so progress is read from outside: a thread looks at which function of the paper's
module the main thread is in, and tells the first line of that function's docstring.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import sys
import threading
import time
from types import FrameType
from typing import Any, TextIO

from educe.core import EduceError, Scale
from educe.papers.catalogue import find_run

__all__ = ["current_step", "main"]

INTERVAL = 0.5


def current_step(frame: FrameType | None, module: str) -> tuple[str, str]:
    """Say what a thread is computing.

    Parameters
    ----------
    frame : frame or None
        The innermost frame of the thread.
    module : str
        Name of the paper's module; private modules beside it count as its own.

    Returns
    -------
    tuple of str
        The step in words (from the innermost function of the paper), and the innermost function of educe.

    Examples
    --------
    >>> current_step(None, "educe.papers.rpc")
    ('starting', '')
    """
    step, detail = "", ""
    while frame is not None:
        name = str(frame.f_globals.get("__name__", ""))
        if not detail and name.startswith("educe.") and not frame.f_code.co_name.startswith("<"):
            detail = f"{name}.{frame.f_code.co_name}"
        own = name == module or name.startswith("educe.papers._")
        if not step and own and not frame.f_code.co_name.startswith("<"):
            step = _words(frame)
        frame = frame.f_back
    return step or "starting", detail


def _words(frame: FrameType) -> str:
    code = frame.f_code
    function = frame.f_globals.get(code.co_name)
    doc = inspect.getdoc(function) if inspect.isfunction(function) else None
    if doc:
        return " ".join(doc.partition("\n\n")[0].split())
    return code.co_name.strip("_").replace("_", " ") if code.co_name != "run" else "running"


def _tell(out: TextIO, lock: threading.Lock, **message: Any) -> None:
    # A report may hold texts of a model, so every line is pure ASCII.
    line = json.dumps(message, ensure_ascii=True)
    with lock, contextlib.suppress(BrokenPipeError):
        out.write(line + "\n")
        out.flush()


def _die_with_the_server() -> None:
    sys.stdin.buffer.read()
    os._exit(1)


def main() -> None:
    """Do what the first line of standard input says."""
    # Papers may print; the protocol keeps the real standard output for itself.
    out = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)
    lock = threading.Lock()
    job = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_die_with_the_server, daemon=True).start()
    with contextlib.suppress(OSError):
        os.nice(5)  # The page answers first.
    started = time.monotonic()
    main_thread = threading.get_ident()
    over = threading.Event()
    module = f"educe.papers.{job['slug'].replace('-', '_')}"

    def look() -> None:
        while not over.wait(INTERVAL):
            step, detail = current_step(sys._current_frames().get(main_thread), module)
            _tell(out, lock, progress={"step": step, "detail": detail, "seconds": round(time.monotonic() - started, 1)})

    threading.Thread(target=look, daemon=True).start()
    try:
        report = find_run(job["slug"])(Scale(job["scale"]), job["seed"])
        shown, figure = report.to_json(), next(iter(report.figures.values()), None)
    except Exception as error:
        over.set()
        said = str(error) if isinstance(error, EduceError) else f"{type(error).__name__}: {error}"
        _tell(out, lock, error=" ".join(said.split()))
        raise
    over.set()
    _tell(out, lock, report=shown, figure=figure)


if __name__ == "__main__":
    main()
