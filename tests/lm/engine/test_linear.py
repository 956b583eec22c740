"""Packed products: right against plain ones, and a row the same bit for bit whatever stands beside it."""

from __future__ import annotations

import pytest
import torch

from educe.lm.engine import linear
from educe.lm.engine.linear import PackedLinear, PlainLinear, packed, padded_rows

SHAPES = [(960, 576), (576, 576), (3072, 576), (576, 1536), (1000, 64), (64, 96), (360, 64)]
COUNTS = [2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 15, 16, 17, 24, 31, 32, 33, 48, 63, 64, 65, 100, 128, 200]

needs_packing = pytest.mark.skipif(not linear.AVAILABLE, reason="this build of torch has no packed products")


def made(shape: tuple[int, int], dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(shape, generator=generator) * shape[1] ** -0.5
    rows = torch.randn(256, shape[1], generator=generator)
    return weight.to(dtype), rows, torch.randn(256, shape[0], generator=generator)


@needs_packing
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_row_does_not_depend_on_how_many_there_are(shape: tuple[int, int], dtype: torch.dtype) -> None:
    weight, rows, plus = made(shape, dtype)
    product = PackedLinear(weight)
    whole, added = product(rows), product(rows, plus)
    for count in COUNTS:
        assert torch.equal(product(rows[:count]), whole[:count])
        assert torch.equal(product(rows[:count], plus[:count]), added[:count])
        assert torch.equal(product(rows[7 : 7 + count].contiguous()), whole[7 : 7 + count])
    assert torch.equal(product(rows.flip(0).contiguous()).flip(0), whole)


@pytest.mark.parametrize("kind", [packed, PlainLinear])
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-5), (torch.bfloat16, 0.05)])
def test_products_are_right(kind: type, dtype: torch.dtype, bound: float) -> None:
    weight, rows, plus = made((576, 1536), dtype)
    exact = rows.double() @ weight.double().T
    product = kind(weight)
    assert product(rows).dtype == torch.float32
    assert float((product(rows) - exact).abs().max()) < bound
    assert float((product(rows, plus) - exact - plus).abs().max()) < bound


def test_without_packed_products_rows_come_in_fours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "AVAILABLE", False)
    assert [padded_rows(count) for count in (1, 4, 5)] == [4, 4, 8]
    assert isinstance(packed(torch.eye(4)), PlainLinear)
