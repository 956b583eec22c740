"""What the command shows: samples as they come, the posterior as bars, the ledger as one line."""

from __future__ import annotations

import sys
import time
from collections import Counter
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from educe.core import Ledger, Posterior
from educe.lm import Chunk
from educe.reason import Answer, Question
from educe.verify.answers import extract

__all__ = ["LiveSamples", "bars", "ledger_line"]

LABEL_WIDTH = 32
BAR_WIDTH = 40


def _shorten(text: str, width: int = LABEL_WIDTH) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= width else flat[: width - 1] + "…"


def bars(posterior: Posterior[Answer], *, most: int = 8, width: int = BAR_WIDTH) -> str:
    """Draw the posterior over answers as a bar chart.

    Parameters
    ----------
    posterior : Posterior of Answer
        What to draw.
    most : int
        Answers to show; the rest share one line.
    width : int
        Characters of a bar of probability one.

    Returns
    -------
    str
        One line an answer, most probable first.

    Examples
    --------
    >>> print(bars(Posterior.uniform([Answer("24"), Answer("24"), Answer("18"), Answer("24")]), width=4))
    24  ███   0.75
    18  █     0.25
    """
    rows = [(_shorten(item["answer"]), item["probability"]) for item in posterior.to_json()["posterior"]]
    if len(rows) > most:
        rest = rows[most - 1 :]
        rows = [*rows[: most - 1], (f"{len(rest)} other answers", sum(share for _, share in rest))]
    if not rows:
        return "(no answer could be read)"
    label = max(len(text) for text, _ in rows)
    lines = []
    for text, share in rows:
        bar = "█" * round(share * width) or "▏"
        lines.append(f"{text:<{label}}  {bar:<{width}}  {share:.2f}")
    return "\n".join(lines)


def ledger_line(ledger: Ledger) -> str:
    """Say what a result cost, in one line.

    Parameters
    ----------
    ledger : Ledger
        What was spent.

    Examples
    --------
    >>> ledger_line(Ledger(calls=1, samples=16, prompt_tokens=40, sampled_tokens=300, seconds=1.5))
    '1 call, 16 samples, 40 prompt tokens (0 cached), 300 sampled tokens, 1.5 s'
    """
    parts = [
        f"{ledger.calls:,} call{'s' * (ledger.calls != 1)}",
        f"{ledger.samples:,} sample{'s' * (ledger.samples != 1)}",
        f"{ledger.prompt_tokens:,} prompt tokens ({ledger.cached_tokens:,} cached)",
        f"{ledger.sampled_tokens:,} sampled tokens",
        f"{ledger.seconds:.1f} s",
    ]
    if ledger.tool_calls:
        parts.append(f"{ledger.tool_calls:,} tool calls ({ledger.tool_seconds:.1f} s)")
    if ledger.usd:
        parts.append(f"${ledger.usd:.4f}")
    if ledger.stopped_by:
        parts.append(f"stopped by {ledger.stopped_by}")
    return ", ".join(parts)


class LiveSamples:
    """Shows on standard error how the samples of one question come in.

    On a terminal a tally that redraws itself; elsewhere one line for each finished sample. The answers shown
    are read from single samples, as they come; the posterior is the method's own.

    Parameters
    ----------
    question : Question
        What is asked; tells how to read an answer.
    method : str
        Shown at the top.
    quiet : bool
        Show nothing.
    """

    def __init__(self, question: Question, method: str, *, quiet: bool = False) -> None:
        self._question = question
        self._method = method
        self._quiet = quiet
        self._console = Console(stderr=True, highlight=False)
        self._live = Live(console=self._console, refresh_per_second=8, transient=True)
        self._texts: dict[int, str] = {}
        self._tally: Counter[str] = Counter()
        self._done = 0
        self._drawn = 0.0

    @property
    def _animated(self) -> bool:
        return self._console.is_terminal and not self._quiet

    def __enter__(self) -> Self:
        if self._animated:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._animated:
            self._live.stop()

    def __call__(self, chunk: Chunk, ledger: Ledger) -> None:
        """Take one chunk; fits `Session`'s ``on_chunk``."""
        if self._quiet:
            return
        self._texts[chunk.row] = self._texts.get(chunk.row, "") + chunk.text
        if chunk.finish is not None:
            text = self._texts.pop(chunk.row)
            answer = extract(text, self._question.answer_kind, self._question.choices)
            self._done += 1
            self._tally[_shorten(answer) if answer is not None else "(unread)"] += 1
            if not self._animated:
                said = answer if answer is not None else f"(unread) {_shorten(text, 60)!r}"
                print(f"{self._method}, sample {self._done}: {said}", file=sys.stderr)
        now = time.monotonic()
        # Rendering on every token would cost more than a small model's step.
        if self._animated and (now - self._drawn > 0.1 or chunk.finish is not None):
            self._drawn = now
            self._live.update(self._picture(ledger), refresh=False)

    def _picture(self, ledger: Ledger) -> Text:
        spent = f"{ledger.sampled_tokens:,} tokens, {ledger.seconds:.1f} s"
        lines = [f"{self._method}: {self._done} of {ledger.samples} samples, {spent}"]
        lines += [f"  {text:<{LABEL_WIDTH}} {'█' * count} {count}" for text, count in self._tally.most_common(8)]
        newest = next(reversed(self._texts.values()), "")
        lines.append(f"  … {newest[-60:].replace(chr(10), ' ')}")
        return Text("\n".join(lines))


def outcome(method: str, posterior: Posterior[Answer]) -> dict[str, Any]:
    """Return the parts of a result that the command prints for people."""
    confidence = posterior.confidence
    return {
        "method": method,
        "answer": posterior.mode().text if confidence else None,
        "confidence": confidence,
        "unread": posterior.details.get("unread", 0),
    }
