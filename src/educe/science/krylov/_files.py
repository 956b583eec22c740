"""A data set on disk that survives being killed: arrays of full length in HDF5 or Zarr, and a mark per finished row.

All arrays are laid out when the file is made, so that later writes change numbers and never the structure of the file;
a row is marked only after its numbers are flushed. The description of the data set is stored with it, and a file of
another description is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from educe.core import DataError, UsageError

__all__ = ["DatasetFile"]

_SUFFIXES = {".h5": "hdf5", ".hdf5": "hdf5", ".zarr": "zarr"}


class DatasetFile:
    """An open file of a data set, a context manager.

    Parameters
    ----------
    path : Path
        Ends in ``.h5``, ``.hdf5`` or ``.zarr``.
    description : mapping
        JSON-able; what the data set is.
    arrays : mapping of str to ndarray
        Initial arrays, all with one row per system.
    """

    def __init__(self, path: Path, description: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        kind = _SUFFIXES.get(path.suffix)
        if kind is None:
            raise UsageError(f"File {path.name!r} has an unknown ending. Use one of {', '.join(_SUFFIXES)}.")
        fresh = not path.exists()
        self._file: Any
        try:
            if kind == "hdf5":
                import h5py

                self._file = h5py.File(path, "a")
            else:
                import zarr

                self._file = zarr.open_group(str(path), mode="a")
        except ImportError as error:
            raise UsageError(
                f"{path.suffix} files need the package {error.name}. Install it with `pip install {error.name}`."
            ) from None
        except (OSError, ValueError) as error:
            raise DataError(f"{path} does not open as a data set ({error}). Move it away or name another.") from None
        wanted = json.dumps(dict(description), sort_keys=True)
        if fresh:
            for name, values in arrays.items():
                if kind == "hdf5":
                    self._file.create_dataset(name, data=values)
                else:
                    chunks = (1, *values.shape[1:]) if values.ndim > 1 else values.shape
                    array = self._file.create_array(name, shape=values.shape, dtype=values.dtype, chunks=chunks)
                    array[...] = values
            # Last: a file that was cut off while being laid out has no description and is refused.
            self._file.attrs["description"] = wanted
            self.flush()
            return
        found = self._file.attrs.get("description")
        if found != wanted:
            self.close()
            if found is None:
                raise DataError(f"{path} holds no data set of educe. Move it away or name another file.")
            differing = {
                name: (value, dict(description).get(name))
                for name, value in json.loads(found).items()
                if dict(description).get(name) != value
            }
            raise UsageError(f"{path} holds another data set: {differing} (there, here). Name another file.")

    def __enter__(self) -> DatasetFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(self, name: str) -> npt.NDArray[Any]:
        """Return a whole array."""
        return np.asarray(self._file[name][...])

    def write(self, index: int, values: Mapping[str, Any]) -> None:
        """Write one row of some arrays."""
        for name, value in values.items():
            self._file[name][index] = value

    def flush(self) -> None:
        """Hand everything to the operating system."""
        if hasattr(self._file, "flush"):
            self._file.flush()

    def close(self) -> None:
        """Close the file."""
        if hasattr(self._file, "close"):
            self._file.close()
