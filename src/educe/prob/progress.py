"""`show_progress`: a bar for a run that takes a while, with acceptance, divergences or effective sizes beside it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["show_progress"]

# Redrawing more often costs more than it tells.
SECONDS = 0.1


@contextmanager
def show_progress(name: str, console: Any = None) -> Iterator[Callable[..., None]]:
    """Show a bar while the block runs.

    Parameters
    ----------
    name : str
        What is running.
    console : rich.console.Console or None
        Where to draw; standard error if left out.

    Yields
    ------
    callable
        ``report(done, total, **shown)``; a total of None is not known.

    Examples
    --------
    >>> import io
    >>> from rich.console import Console
    >>> console = Console(file=io.StringIO(), force_terminal=True, width=100)
    >>> with show_progress("hmc", console) as report:
    ...     report(10, 10, acceptance="0.80")
    >>> "acceptance 0.80" in console.file.getvalue()
    True
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
               TextColumn("{task.fields[shown]}"))  # fmt: skip
    bar = Progress(*columns, console=console or Console(stderr=True), auto_refresh=False)
    task = bar.add_task(name, total=None, shown="")
    last = 0.0

    def report(done: int, total: int | None, **shown: Any) -> None:
        nonlocal last
        now = time.monotonic()
        if done != total and now - last < SECONDS:
            return
        last = now
        words = "  ".join(f"{key} {value}" for key, value in shown.items())
        bar.update(task, completed=done, total=total, shown=words)
        bar.refresh()

    with bar:
        yield report
