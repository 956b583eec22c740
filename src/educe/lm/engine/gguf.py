"""GGUF files: metadata and tensors, read as foreign data.

Source: the GGUF specification, versions 2 and 3, little-endian. Block layouts come from the package
`gguf`; the three formats that small models use most have a torch version here, equal bit for bit.

`gguf.GGUFReader` is not used: it believes counts and lengths in the file before it compares them with
the file's size, walks arrays element by element into Python lists, and fails with whatever error the
bytes happen to provoke. Here every count, length and offset is held against the bytes that are left
before anything is allocated, and everything that is wrong is a `DataError` that says what and where.

Not covered: big-endian files, version 1, nested arrays, models split over several files.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, TypeVar

import gguf
import numpy as np
import torch
from gguf.quants import dequantize

from educe.core.errors import DataError

__all__ = ["GGUFFile", "TensorEntry"]

T = TypeVar("T")
MOST_ENTRIES = 1 << 16  # metadata keys, and tensors: the largest published models have a few thousand
MOST_ELEMENTS = 1 << 22  # of one array: the largest vocabularies have a quarter of a million tokens
MOST_BYTES = 1 << 22  # of one text: chat templates have some ten thousand characters
STRING, ARRAY = 8, 9
NUMBERS = {
    0: "<u1",
    1: "<i1",
    2: "<u2",
    3: "<i2",
    4: "<u4",
    5: "<i4",
    6: "<f4",
    7: "?",
    10: "<u8",
    11: "<i8",
    12: "<f8",
}


class TensorEntry(NamedTuple):
    """Where one tensor lies: ``shape`` in torch's order, ``kind`` the format, ``start`` and ``size`` in bytes."""

    name: str
    shape: tuple[int, ...]
    kind: gguf.GGMLQuantizationType
    start: int
    size: int


class _Cursor:
    """A place in the header that never leaves the file."""

    def __init__(self, data: mmap.mmap, path: Path) -> None:
        self.data, self.path, self.at = data, path, 0

    def wrong(self, what: str) -> DataError:
        return DataError(f"{self.path.name} is not a sound GGUF file: {what} (byte {self.at}). Fetch the file again.")

    def need(self, size: int, what: str) -> int:
        """Step over ``size`` bytes and return where they began."""
        if size > len(self.data) - self.at:
            raise self.wrong(f"{what} needs {size} bytes and {len(self.data) - self.at} are left")
        begin, self.at = self.at, self.at + size
        return begin

    def unsigned(self, size: int, what: str) -> int:
        begin = self.need(size, what)
        return int.from_bytes(self.data[begin : begin + size], "little")

    def count(self, what: str, most: int, least_size: int) -> int:
        """Read a count and refuse it where that many items, each of at least ``least_size`` bytes, cannot follow."""
        number = self.unsigned(8, f"the number of {what}")
        if number > most or number * least_size > len(self.data) - self.at:
            raise self.wrong(f"{number} {what} cannot be in a file of {len(self.data)} bytes")
        return number

    def text(self, what: str, most: int = MOST_BYTES) -> str:
        size = self.count(f"bytes of {what}", most, 1)
        begin = self.need(size, what)
        try:
            return self.data[begin : begin + size].decode()
        except UnicodeDecodeError:
            raise self.wrong(f"{what} is not UTF-8") from None

    def value(self, kind: int, key: str) -> Any:
        if kind == STRING:
            return self.text(f"the value of {key!r}")
        if kind == ARRAY:
            return self.array(key)
        if kind not in NUMBERS:
            raise self.wrong(f"{key!r} has the unknown value type {kind}")
        dtype = np.dtype(NUMBERS[kind])
        begin = self.need(dtype.itemsize, f"the value of {key!r}")
        if kind == 7:
            return self.data[begin] != 0
        return np.frombuffer(self.data, dtype, 1, begin)[0].item()

    def array(self, key: str) -> Any:
        kind = self.unsigned(4, f"the element type of {key!r}")
        if kind == STRING:
            return [
                self.text(f"an element of {key!r}") for _ in range(self.count(f"texts of {key!r}", MOST_ELEMENTS, 8))
            ]
        if kind not in NUMBERS:
            raise self.wrong(f"{key!r} is an array of the unknown or nested type {kind}")
        # Booleans are read as bytes: a NumPy bool that is neither 0 nor 1 is undefined.
        dtype = np.dtype("u1" if kind == 7 else NUMBERS[kind])
        number = self.count(f"numbers of {key!r}", MOST_ELEMENTS, dtype.itemsize)
        begin = self.need(number * dtype.itemsize, key)
        return np.frombuffer(self.data[begin : self.at], dtype)


class GGUFFile:
    """An open GGUF file; a context manager.

    Parameters
    ----------
    path : Path
        The file.

    Attributes
    ----------
    metadata : dict
        By key: bool, int, float, str, list of str, or a one-dimensional NumPy array.
    tensors : dict of str to TensorEntry
        By name, in file order.

    Raises
    ------
    DataError
        The file cannot be opened or is not sound.

    Examples
    --------
    >>> GGUFFile(Path("missing.gguf"))
    Traceback (most recent call last):
        ...
    educe.core.errors.DataError: The model file missing.gguf cannot be read: No such file or directory. Check the path.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        try:
            with self.path.open("rb") as file:
                # A private writable map: torch warns about read-only memory. Nothing writes, so nothing is copied.
                self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        except ValueError:
            raise DataError(f"The model file {self.path.name} is empty. Fetch the file again.") from None
        except OSError as error:
            raise DataError(f"The model file {self.path} cannot be read: {error.strerror}. Check the path.") from error
        try:
            self._read_header()
        except BaseException:
            self.close()
            raise

    def _read_header(self) -> None:
        cursor = self._cursor = _Cursor(self._data, self.path)
        if self._data[:4] != b"GGUF":
            raise cursor.wrong(f"it begins with {self._data[:4]!r} in place of b'GGUF'")
        cursor.need(4, "the magic number")
        version = cursor.unsigned(4, "the version")
        if version not in (2, 3):
            raise cursor.wrong(f"version {version} is not 2 or 3, or it is big-endian")
        # Least sizes: a tensor has a name length, a rank, one dimension, a type and an offset; a key has
        # a length, a type and one byte.
        number_of_tensors = cursor.count("tensors", MOST_ENTRIES, 32)
        number_of_keys = cursor.count("metadata keys", MOST_ENTRIES, 13)
        self.metadata: dict[str, Any] = {}
        for _ in range(number_of_keys):
            key = cursor.text("a metadata key", 1 << 16)
            if key in self.metadata:
                raise cursor.wrong(f"the metadata key {key!r} stands twice")
            self.metadata[key] = cursor.value(cursor.unsigned(4, f"the type of {key!r}"), key)
        alignment = self.metadata.get("general.alignment", 32)
        if type(alignment) is not int or not 8 <= alignment <= 1 << 16 or alignment & (alignment - 1):
            raise cursor.wrong(f"the alignment {alignment!r} is not a power of two from 8 to 65536")
        entries = [self._read_entry(cursor, alignment) for _ in range(number_of_tensors)]
        begin = -(-cursor.at // alignment) * alignment
        self.tensors: dict[str, TensorEntry] = {}
        for entry in entries:
            if entry.name in self.tensors:
                raise cursor.wrong(f"the tensor {entry.name!r} stands twice")
            if begin + entry.start + entry.size > len(self._data):
                raise cursor.wrong(f"the tensor {entry.name!r} reaches beyond the end, byte {len(self._data)}")
            self.tensors[entry.name] = entry._replace(start=begin + entry.start)
        self._refuse_overlap(self.tensors.values())

    @staticmethod
    def _read_entry(cursor: _Cursor, alignment: int) -> TensorEntry:
        name = cursor.text("a tensor name", 256)
        rank = cursor.unsigned(4, f"the rank of {name!r}")
        if not 1 <= rank <= 4:
            raise cursor.wrong(f"the tensor {name!r} has {rank} dimensions, not 1 to 4")
        shape = tuple(cursor.unsigned(8, f"the shape of {name!r}") for _ in range(rank))[::-1]
        number = cursor.unsigned(4, f"the type of {name!r}")
        start = cursor.unsigned(8, f"the offset of {name!r}")
        try:
            kind = gguf.GGMLQuantizationType(number)
            block, block_bytes = gguf.GGML_QUANT_SIZES[kind]
        except (ValueError, KeyError):
            raise cursor.wrong(f"the tensor {name!r} has the unknown type {number}") from None
        elements = 1
        for length in shape:
            elements *= length
        if elements == 0 or shape[-1] % block:
            raise cursor.wrong(f"the tensor {name!r} of shape {shape} does not divide into blocks of {block}")
        if start % alignment:
            raise cursor.wrong(f"the tensor {name!r} begins at {start}, not a multiple of {alignment}")
        return TensorEntry(name, shape, kind, start, elements // block * block_bytes)

    def _refuse_overlap(self, entries: Iterable[TensorEntry]) -> None:
        end, before = 0, ""
        for entry in sorted(entries, key=lambda entry: entry.start):
            if entry.start < end:
                raise self._cursor.wrong(f"the tensors {before!r} and {entry.name!r} overlap")
            end, before = entry.start + entry.size, entry.name

    def get(self, key: str, kind: type[T]) -> T:
        """Return a metadata value of a given type.

        Parameters
        ----------
        key : str
            For instance ``"general.architecture"``.
        kind : type
            bool, int, float, str, list or numpy.ndarray; whole numbers do for float.

        Raises
        ------
        DataError
            It is missing or of another type.
        """
        value: Any = self.metadata.get(key)
        if kind is float and type(value) is int:
            value = float(value)
        if type(value) is not kind:
            raise DataError(
                f"{self.path.name} says {key} = {str(value)[:40]!r}, which is no {kind.__name__}. Fetch the file again."
            )
        return value

    def tensor(self, name: str) -> torch.Tensor:
        """Return a tensor as float32.

        Parameters
        ----------
        name : str
            One of `tensors`.

        Raises
        ------
        DataError
            There is no such tensor, or its format cannot be read.
        """
        if name not in self.tensors:
            raise DataError(f"{self.path.name} has no tensor {name!r}. Use a file of a supported architecture.")
        entry = self.tensors[name]
        raw = np.frombuffer(self._data, np.uint8, entry.size, entry.start)
        if entry.kind in _BLOCKS:
            size = gguf.GGML_QUANT_SIZES[entry.kind][1]
            values = _BLOCKS[entry.kind](torch.from_numpy(raw).reshape(-1, size))
        else:
            try:
                # Reserved block codes and scales that are not numbers overflow; `Weights` looks for those.
                with np.errstate(all="ignore"):
                    values = torch.from_numpy(np.array(dequantize(raw, entry.kind), np.float32))
            except (NotImplementedError, ValueError, IndexError) as error:
                raise DataError(
                    f"{self.path.name}: tensor {name!r} has the format {entry.kind.name}, which cannot be read here. "
                    "Use a file in Q4_1, Q8_0, Q6_K or F16."
                ) from error
        return values.reshape(entry.shape)

    def close(self) -> None:
        """Let go of the file."""
        try:
            self._data.close()
        except BufferError:
            # A traceback may still hold a view; the map then closes when the last view dies.
            return

    def __enter__(self) -> GGUFFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _half(blocks: torch.Tensor, at: int) -> torch.Tensor:
    return blocks[:, at : at + 2].contiguous().view(torch.float16).float()


def _q8_0(blocks: torch.Tensor) -> torch.Tensor:
    """32 signed bytes times a scale."""
    return blocks[:, 2:].view(torch.int8).float().mul_(_half(blocks, 0))


def _q4_1(blocks: torch.Tensor) -> torch.Tensor:
    """32 half-bytes times a scale, plus a minimum; low half-bytes are the first 16 values."""
    codes = blocks[:, 4:]
    both = torch.cat((codes & 15, codes >> 4), 1)
    return both.float().mul_(_half(blocks, 0)).add_(_half(blocks, 2))


def _f16(blocks: torch.Tensor) -> torch.Tensor:
    return blocks.clone().view(torch.float16).float()


_BLOCKS = {
    gguf.GGMLQuantizationType.Q8_0: _q8_0,
    gguf.GGMLQuantizationType.Q4_1: _q4_1,
    gguf.GGMLQuantizationType.F16: _f16,
}
