"""What a paper claims (`Card`), what we measured (`Check`, `Control`, `Baseline`), and the two together (`Report`).

A report always carries a baseline and at least one negative control; when a control fails, the
verdict is withheld, whatever the checks say. A failed check stays in the report as failed.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from educe.core.errors import UsageError
from educe.core.ledger import Ledger

__all__ = ["TOPICS", "Baseline", "Card", "Check", "Control", "Report", "Scale"]

TOPICS = frozenset(
    {
        "bayesian inference",
        "calibration",
        "causality",
        "code",
        "continual learning",
        "decoding",
        "diffusion",
        "efficiency",
        "evaluation",
        "learning theory",
        "logic",
        "mathematics",
        "meta-learning",
        "neuroscience",
        "planning",
        "privacy",
        "probabilistic programming",
        "prompting",
        "reasoning",
        "reinforcement learning",
        "retrieval",
        "scientific computing",
        "security",
        "speech",
        "statistics",
        "test-time compute",
        "training",
        "uncertainty",
        "variational inference",
        "verification",
        "vision",
    }
)
ROOMS = frozenset(
    {"learn", "reason", "tasks", "audit", "causal", "science", "uncertainty", "accel", "verify", "lm", "prob"}
)


class Scale(StrEnum):
    """One dial that sets every size of a reproduction.

    ``smoke`` takes seconds (tests), ``small`` minutes on two cores (its results are committed),
    ``full`` needs a GPU and real models.

    Examples
    --------
    >>> Scale("small") is Scale.SMALL
    True
    """

    SMOKE = "smoke"
    SMALL = "small"
    FULL = "full"


@dataclass(frozen=True)
class Card:
    """A paper: where it comes from and what it claims, in our own words.

    Parameters
    ----------
    slug : str
        Lower-case words joined by dashes; the module of the paper is the slug with underscores.
    title : str
        The paper's title.
    authors : tuple of str
        Names in the paper's order.
    year : int
        Year of the first public version.
    arxiv : str or None
        Identifier without version (``"2502.00511"``), None where the paper is not on arXiv.
    venue : str or None
        Where it was published, None for a preprint.
    summary : str
        Two sentences of ours: what the method does and why one would want it.
    claim : str
        The central claim in one sentence, with its number where there is one.
    api : tuple of str
        Dotted public names that carry the method.
    topics : tuple of str
        From `TOPICS`.
    room : str
        The room of the library in which the method lives.

    Raises
    ------
    UsageError
        A field is malformed.

    Examples
    --------
    >>> Card("toy", "A toy", ("A. Author",), 2024, None, None, "It does. One wants it.", "It works.",
    ...      ("educe.reason.Greedy",), ("reasoning",), "reason").module
    'educe.papers.toy'
    """

    slug: str
    title: str
    authors: tuple[str, ...]
    year: int
    arxiv: str | None
    venue: str | None
    summary: str
    claim: str
    api: tuple[str, ...]
    topics: tuple[str, ...]
    room: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", self.slug):
            raise UsageError(f"Card slug {self.slug!r} is malformed. Use lower-case words joined by dashes.")
        if self.arxiv is not None and not re.fullmatch(r"\d{4}\.\d{4,5}|[a-z-]+/\d{7}", self.arxiv):
            raise UsageError(f"Card {self.slug}: {self.arxiv!r} is no arXiv id. Write it like '2502.00511'.")
        unknown = set(self.topics) - TOPICS
        if unknown or not self.topics:
            raise UsageError(f"Card {self.slug}: topics {sorted(unknown)} are unknown. Pick from core.TOPICS.")
        if self.room not in ROOMS:
            raise UsageError(f"Card {self.slug}: room {self.room!r} is unknown. Pick one of {sorted(ROOMS)}.")

    @property
    def module(self) -> str:
        """Dotted name of the module that holds this card."""
        return "educe.papers." + self.slug.replace("-", "_")

    @property
    def url(self) -> str | None:
        """Address of the abstract page on arXiv, None where there is none."""
        return f"https://arxiv.org/abs/{self.arxiv}" if self.arxiv else None


@dataclass(frozen=True)
class Check:
    """One claim held against one measurement.

    Parameters
    ----------
    name : str
        What is compared.
    claimed : str
        What the paper says.
    measured : float or str
        What this run gave.
    bar : str
        The condition under which it counts as shown, fixed before the run.
    passed : bool
        Whether the condition held.
    """

    name: str
    claimed: str
    measured: float | str
    bar: str
    passed: bool


@dataclass(frozen=True)
class Control:
    """A negative control: a measurement that must come out null if the experiment is sound.

    Parameters
    ----------
    name : str
        What was broken on purpose (labels shuffled, reward made random, ...).
    measured : float or str
        What this run gave.
    expected : str
        What a sound experiment gives here.
    passed : bool
        Whether it did.
    """

    name: str
    measured: float | str
    expected: str
    passed: bool


@dataclass(frozen=True)
class Baseline:
    """A simple method run beside the paper's, at equal cost.

    Parameters
    ----------
    name : str
        The method.
    measured : float
        Its score on the report's main measure.
    ledger : Ledger
        What it cost.
    """

    name: str
    measured: float
    ledger: Ledger = field(default_factory=Ledger)


@dataclass(frozen=True)
class Report:
    """What one run of a paper's reproduction found.

    Parameters
    ----------
    card : Card
        The paper.
    checks, controls, baselines : tuple
        Claims against measurements; negative controls; simple methods at equal cost.
    seed : int
        Root of all randomness of the run.
    scale : Scale
        Size of the run.
    ledger : Ledger
        Total cost.
    tables : mapping of str to sequence of mappings
        Rows of numbers, by table title.
    figures : mapping of str to str
        SVG text, by figure title; the first is the paper's figure.
    environment : mapping of str to str
        Machine, versions, load; see `Report.here`.
    notes : str
        What a reader must know to weigh the result.

    Examples
    --------
    >>> from educe.core import Check, Control
    >>> card = Card("toy", "A toy", ("A",), 2024, None, None, "S.", "C.", (), ("reasoning",), "reason")
    >>> Report(card, (Check("gain", "2x", 2.1, ">= 2", True),), (Control("shuffled", 0.0, "0", False),)).verdict
    'withheld'
    """

    card: Card
    checks: tuple[Check, ...]
    controls: tuple[Control, ...]
    baselines: tuple[Baseline, ...] = ()
    seed: int = 0
    scale: Scale = Scale.SMALL
    ledger: Ledger = field(default_factory=Ledger)
    tables: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    figures: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=lambda: Report.here())  # noqa: PLW0108  (the class does not exist yet)
    notes: str = ""

    @staticmethod
    def here() -> dict[str, str]:
        """Describe the machine as it is now: date, processor, thread count, load, versions."""
        import torch

        return {
            "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
            "machine": f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores, {platform.system()}",
            "load": " ".join(f"{value:.2f}" for value in os.getloadavg()),
            "python": platform.python_version(),
            "torch": str(torch.__version__),
        }

    @property
    def verdict(self) -> str:
        """``"shown"``, ``"not shown"``, or ``"withheld"`` when a control failed or none was run."""
        if not self.controls or not all(control.passed for control in self.controls):
            return "withheld"
        return "shown" if self.checks and all(check.passed for check in self.checks) else "not shown"

    def to_json(self) -> dict[str, Any]:
        """Return the object that is stored as ``results/<slug>.json``."""
        return {
            "slug": self.card.slug,
            "scale": str(self.scale),
            "seed": self.seed,
            "date": self.environment.get("date", ""),
            "machine": self.environment.get("machine", ""),
            "load": self.environment.get("load", ""),
            "verdict": self.verdict,
            "checks": [asdict(check) for check in self.checks],
            "controls": [asdict(control) for control in self.controls],
            "baselines": [
                {"name": item.name, "measured": item.measured, "ledger": item.ledger.to_json()}
                for item in self.baselines
            ],
            "tables": {title: [dict(row) for row in rows] for title, rows in self.tables.items()},
            "ledger": self.ledger.to_json(),
            "notes": self.notes,
        }

    def write(self, folder: Path) -> list[Path]:
        """Write ``<slug>.json`` and, where there is a figure, ``<slug>.svg`` into a folder.

        Parameters
        ----------
        folder : Path
            Created where missing.

        Returns
        -------
        list of Path
            The files written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        written = [folder / f"{self.card.slug}.json"]
        written[0].write_text(json.dumps(self.to_json(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        if self.figures:
            written.append(folder / f"{self.card.slug}.svg")
            written[1].write_text(next(iter(self.figures.values())), encoding="utf-8")
        return written
