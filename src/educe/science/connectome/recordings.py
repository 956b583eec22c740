"""Recordings of several animals from the MATLAB files of the NeuroPAL atlas.

The layout is that of Yemini et al. (2021), ``Head_Activity_OH16230.mat``: ``neurons`` names, ``norm_traces`` one cell
per neuron with one trace per animal (or two, left and right), ``fps``, ``stim_names``, ``stim_times`` in seconds. The
file itself was not at hand: the reader is tested on files written in this layout. Files of MATLAB 7.3 are not read.
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from educe.core import DataError

__all__ = ["Recording", "Stimulus", "from_mat"]


class Stimulus(NamedTuple):
    """Something that was shown to the animals.

    Parameters
    ----------
    name : str
        What it was.
    first, end : int
        First frame and the frame after the last one.
    """

    name: str
    first: int
    end: int


class Recording(NamedTuple):
    """Traces with names.

    Parameters
    ----------
    traces : ndarray
        (animals, neurons, frames) float64; NaN over all frames where a neuron was not seen.
    neurons : tuple of str
        Names.
    stimuli : tuple of Stimulus
        In frames.
    fps : float
        Frames per second.
    """

    traces: npt.NDArray[np.float64]
    neurons: tuple[str, ...]
    stimuli: tuple[Stimulus, ...]
    fps: float


def from_mat(path: str | PathLike[str]) -> Recording:
    """Read a recording from a MATLAB file in the NeuroPAL layout.

    Traces are cut to the shortest; left and right of one neuron class are averaged; a trace with a gap counts as not
    seen.

    Parameters
    ----------
    path : path
        The file, of a MATLAB version before 7.3.

    Returns
    -------
    Recording

    Raises
    ------
    DataError
        The file cannot be read or lacks a field.
    """
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        fields = loadmat(Path(path), simplify_cells=True)
    except (OSError, ValueError, NotImplementedError, MatReadError) as error:
        raise DataError(f"{path} is no readable MATLAB file ({error}). Save it as version 7 or earlier.") from None
    missing = [name for name in ("neurons", "norm_traces", "fps", "stim_names", "stim_times") if name not in fields]
    if missing:
        raise DataError(f"{path} lacks the fields {', '.join(missing)}. Give a file in the NeuroPAL layout.")
    names = tuple(str(name).strip() for name in np.atleast_1d(fields["neurons"]))
    rows = [[_trace(item) for item in cell] for cell in fields["norm_traces"]]
    animals = {len(row) for row in rows}
    lengths = [len(trace) for row in rows for trace in row if trace is not None]
    if len(rows) != len(names) or len(animals) != 1 or not lengths:
        raise DataError(
            f"{path} holds {len(rows)} cells of traces for {len(names)} neurons and {sorted(animals)} animals. "
            "Every neuron needs one entry per animal, and one trace must be there."
        )
    traces = np.full((animals.pop(), len(names), min(lengths)), np.nan)
    for neuron, row in enumerate(rows):
        for animal, trace in enumerate(row):
            if trace is not None:
                traces[animal, neuron] = trace[: min(lengths)]
    fps = float(fields["fps"])
    times = np.asarray(fields["stim_times"], dtype=np.float64).reshape(-1, 2)
    titles = [str(name) for name in np.atleast_1d(fields["stim_names"])]
    stimuli = tuple(
        Stimulus(title, round(first * fps), round(end * fps))
        for title, (first, end) in zip(titles, times.tolist(), strict=False)
    )
    return Recording(traces, names, stimuli, fps)


def _trace(item: Any) -> npt.NDArray[np.float64] | None:
    """One animal's trace of one neuron; the mean of its sides where there are two."""
    sides = item if isinstance(item, list | tuple) or getattr(item, "dtype", None) == np.dtype(object) else [item]
    found = []
    for side in sides:
        trace = np.asarray(side, dtype=np.float64)
        for row in trace.T if trace.ndim == 2 and trace.shape[1] == 2 else [trace.reshape(-1)]:
            found += [row] if row.size and np.isfinite(row).all() else []
    if not found:
        return None
    shortest = min(map(len, found))
    return np.asarray(np.mean([row[:shortest] for row in found], axis=0))
