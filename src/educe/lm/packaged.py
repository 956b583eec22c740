"""Models that ship inside the package: loaded by name, offline, with nothing fetched."""

from __future__ import annotations

from pathlib import Path

__all__ = ["ASKED_BARE", "PACKAGED", "packaged_folder"]

PACKAGED = {
    "abacus": "A small reasoner on procedural step-by-step tasks, trained from scratch by this project.",
}
# Models that were trained on bare questions: examples before a question and an instruction after it throw them off.
ASKED_BARE = frozenset({"abacus"})


def packaged_folder(name: str | Path) -> Path:
    """Return the folder of a model that ships with educe; any other name is taken as a path.

    Parameters
    ----------
    name : str or Path
        Such as ``"abacus"``.

    Examples
    --------
    >>> (packaged_folder("abacus") / "config.json").exists()
    True
    """
    if str(name) in PACKAGED:
        return Path(__file__).parent / str(name).replace("-", "_")
    return Path(name)
