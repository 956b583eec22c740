"""Our reader against the package `gguf` on sound files, and against forged ones: `DataError` or a valid read."""

from __future__ import annotations

import struct
import tracemalloc
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from gguf.quants import dequantize, quantize
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from educe.core.errors import DataError
from educe.lm.engine.gguf import GGUFFile

KINDS = gguf.GGMLQuantizationType


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("gguf") / "sound.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_uint32("a.whole", 7)
    writer.add_int64("a.negative", -8)
    writer.add_float32("a.real", 0.5)
    writer.add_bool("a.flag", True)
    writer.add_string("a.text", "früh")
    writer.add_array("a.texts", ["x", "", "日本"])
    writer.add_array("a.numbers", [1, 2, 3])
    noise = np.random.default_rng(0).normal(size=(4, 64)).astype(np.float32)
    writer.add_tensor("plain", noise)
    writer.add_tensor("half", noise.astype(np.float16))
    for kind in (KINDS.Q8_0, KINDS.Q4_1, KINDS.Q4_0):
        writer.add_tensor(kind.name, quantize(noise, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path.read_bytes()


def read(path: Path, data: bytes) -> dict[str, torch.Tensor]:
    path.write_bytes(data)
    with GGUFFile(path) as file:
        return {name: file.tensor(name) for name in file.tensors}


def test_metadata_has_the_written_values(sound: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file.gguf"
    path.write_bytes(sound)
    with GGUFFile(path) as file:
        metadata = file.metadata
        assert (metadata["a.whole"], metadata["a.negative"], metadata["a.real"]) == (7, -8, 0.5)
        assert (metadata["a.flag"], metadata["a.text"], metadata["a.texts"]) == (True, "früh", ["x", "", "日本"])
        assert metadata["a.numbers"].tolist() == [1, 2, 3]
        assert file.get("a.whole", float) == 7.0
        with pytest.raises(DataError, match=r"a\.text"):
            file.get("a.text", int)
        with pytest.raises(DataError, match="missing"):
            file.get("missing", int)
        with pytest.raises(DataError, match="none"):
            file.tensor("none")
        del metadata


def test_tensors_equal_those_of_the_gguf_package(sound: bytes, tmp_path: Path) -> None:
    ours = read(tmp_path / "file.gguf", sound)
    theirs = gguf.GGUFReader(tmp_path / "file.gguf").tensors
    assert {tensor.name for tensor in theirs} == set(ours)
    for tensor in theirs:
        expected = torch.from_numpy(np.array(dequantize(tensor.data, tensor.tensor_type), np.float32))
        assert torch.equal(ours[tensor.name], expected.reshape(4, 64)), tensor.name


@pytest.mark.parametrize("kind", [KINDS.Q4_1, KINDS.Q8_0, KINDS.Q6_K, KINDS.Q4_K, KINDS.Q5_0, KINDS.F16, KINDS.BF16])
def test_blocks_of_any_bytes_equal_those_of_the_gguf_package(kind: KINDS, tmp_path: Path) -> None:
    block, size = gguf.GGML_QUANT_SIZES[kind]
    raw = np.random.default_rng(1).integers(0, 256, (8, 512 // block * size), dtype=np.uint8)
    writer = gguf.GGUFWriter(tmp_path / "one.gguf", "llama")
    writer.add_tensor("t", raw, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with np.errstate(all="ignore"):
        expected = torch.from_numpy(np.array(dequantize(raw, kind), np.float32)).reshape(8, 512)
    with GGUFFile(tmp_path / "one.gguf") as file:
        assert torch.equal(file.tensor("t").nan_to_num(7.0), expected.nan_to_num(7.0))


def test_every_truncation_is_refused(sound: bytes, tmp_path: Path) -> None:
    path = tmp_path / "cut.gguf"
    path.write_bytes(sound)
    tensors = gguf.GGUFReader(path).tensors
    begin = min(tensor.data_offset for tensor in tensors)
    end = max(tensor.data_offset + tensor.n_bytes for tensor in tensors)  # zeros may follow, which nobody misses
    for length in [*range(begin), *range(begin, end, 53), end - 1]:
        with pytest.raises(DataError):
            read(path, sound[:length])


def forged(
    keys: list[tuple[bytes, int, bytes]] = [],  # noqa: B006
    tensors: list[tuple[bytes, tuple[int, ...], int, int]] = [],  # noqa: B006
    *,
    magic: bytes = b"GGUF",
    version: int = 3,
    tensor_count: int | None = None,
    key_count: int | None = None,
    data: bytes = bytes(256),
) -> bytes:
    """Lay out a file by hand, from the specification alone."""
    head = magic + struct.pack("<I", version)
    head += struct.pack("<Q", len(tensors) if tensor_count is None else tensor_count)
    head += struct.pack("<Q", len(keys) if key_count is None else key_count)
    for key, kind, value in keys:
        head += struct.pack("<Q", len(key)) + key + struct.pack("<I", kind) + value
    for name, shape, kind, offset in tensors:
        head += struct.pack("<Q", len(name)) + name + struct.pack("<I", len(shape))
        head += b"".join(struct.pack("<Q", length) for length in shape) + struct.pack("<IQ", kind, offset)
    return head + bytes(-len(head) % 32) + data


HUGE = (1 << 63) - 1
WRONG = {
    "magic": forged(magic=b"GGML"),
    "version": forged(version=1),
    "big-endian": forged(version=3 << 24),
    "tensor count": forged(tensor_count=HUGE),
    "many tensors": forged(tensor_count=1 << 20, data=bytes(1 << 26)),
    "key count": forged(key_count=HUGE),
    "key length": forged(key_count=1, data=struct.pack("<Q", HUGE)),
    "text length": forged([(b"k", 8, struct.pack("<Q", HUGE))]),
    "text length within the file": forged([(b"k", 8, struct.pack("<Q", 1 << 26))], data=bytes(1 << 27)),
    "texts count": forged([(b"k", 9, struct.pack("<IQ", 8, HUGE))]),
    "texts count within the file": forged([(b"k", 9, struct.pack("<IQ", 8, 1 << 23))], data=bytes(1 << 27)),
    "numbers count": forged([(b"k", 9, struct.pack("<IQ", 0, HUGE))]),
    "numbers count within the file": forged([(b"k", 9, struct.pack("<IQ", 0, 1 << 26))], data=bytes(1 << 27)),
    "count that overflows": forged([(b"k", 9, struct.pack("<IQ", 10, (1 << 61) + 1))]),
    "nested array": forged([(b"k", 9, struct.pack("<IQ", 9, 1))]),
    "value type": forged([(b"k", 13, bytes(8))]),
    "text that is not UTF-8": forged([(b"k", 8, struct.pack("<Q", 2) + b"\xff\xfe")]),
    "key twice": forged([(b"k", 0, b"\1"), (b"k", 0, b"\1")]),
    "alignment zero": forged([(b"general.alignment", 4, struct.pack("<I", 0))]),
    "alignment of text": forged([(b"general.alignment", 8, struct.pack("<Q", 1) + b"x")]),
    "tensor type": forged(tensors=[(b"t", (8,), 9999, 0)]),
    "removed tensor type": forged(tensors=[(b"t", (32,), 4, 0)]),
    "no dimension": forged(tensors=[(b"t", (), 0, 0)]),
    "five dimensions": forged(tensors=[(b"t", (1, 1, 1, 1, 1), 0, 0)]),
    "empty tensor": forged(tensors=[(b"t", (0,), 0, 0)]),
    "tensor beyond the end": forged(tensors=[(b"t", (65,), 0, 0)]),
    "tensor that overflows": forged(tensors=[(b"t", (1 << 62, 4), 0, 0)]),
    "offset beyond the end": forged(tensors=[(b"t", (8,), 0, 1 << 62)]),
    "offset not aligned": forged(tensors=[(b"t", (8,), 0, 4)]),
    "half a block": forged(tensors=[(b"t", (40,), 3, 0)]),
    "tensor twice": forged(tensors=[(b"t", (8,), 0, 0), (b"t", (8,), 0, 32)]),
    "overlap": forged(tensors=[(b"t", (16,), 0, 0), (b"u", (8,), 0, 32)]),
    "long tensor name": forged(tensors=[(b"t" * 300, (8,), 0, 0)]),
    "empty file": b"",
}


@pytest.mark.slow
@pytest.mark.parametrize("what", WRONG)
def test_a_forged_file_is_refused_without_much_memory(what: str, tmp_path: Path) -> None:
    path = tmp_path / "forged.gguf"
    path.write_bytes(WRONG[what])
    tracemalloc.start()
    try:
        with pytest.raises(DataError) as caught:
            GGUFFile(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20e6
    assert "forged.gguf" in str(caught.value)


def test_the_hand_made_layout_is_read(tmp_path: Path) -> None:
    data = np.arange(16, dtype=np.float32).tobytes()
    values = read(tmp_path / "x.gguf", forged(tensors=[(b"t", (8,), 0, 0), (b"u", (4, 2), 0, 32)], data=data))
    assert values["t"].tolist() == list(range(8))
    assert values["u"].tolist() == [[8, 9, 10, 11], [12, 13, 14, 15]]


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.gguf", tmp_path):
        with pytest.raises(DataError):
            GGUFFile(path)


@pytest.mark.slow
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=8),
    header_only=st.booleans(),
)
def test_changed_bytes_give_a_data_error_or_a_valid_read(
    changes: list[tuple[int, int]], header_only: bool, sound: bytes, tmp_path: Path
) -> None:
    data = bytearray(sound)
    end = sound.index(b"plain") + 200 if header_only else len(sound)
    for place, byte in changes:
        data[place % end] = byte
    try:
        values = read(tmp_path / "changed.gguf", bytes(data))
    except DataError:
        return
    assert all(value.dtype == torch.float32 and value.numel() > 0 for value in values.values())


@pytest.mark.slow
def test_every_single_byte_of_the_header_may_be_extreme(sound: bytes, tmp_path: Path) -> None:
    for place in range(sound.index(b"plain") + 250):
        for byte in (0x00, 0x01, 0x7F, 0x80, 0xFF):
            data = bytearray(sound)
            data[place] = byte
            try:
                read(tmp_path / "changed.gguf", bytes(data))
            except DataError:
                continue
