"""Packed products: right against plain ones, and a row the same bit for bit whatever stands beside it."""

from __future__ import annotations

import pytest
import torch

from educe.lm.engine import linear
from educe.lm.engine.linear import GROUP, PackedLinear, PlainLinear, QuantisedLinear, packed, padded_rows, quantised

SHAPES = [(960, 576), (576, 576), (3072, 576), (576, 1536), (1000, 64), (64, 96), (360, 64)]
COUNTS = [2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 15, 16, 17, 24, 31, 32, 33, 48, 63, 64, 65, 100, 128, 200]

needs_packing = pytest.mark.skipif(not linear.AVAILABLE, reason="this build of torch has no packed products")


def made(shape: tuple[int, int], dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(shape, generator=generator) * shape[1] ** -0.5
    rows = torch.randn(256, shape[1], generator=generator)
    return weight.to(dtype), rows, torch.randn(256, shape[0], generator=generator)


@pytest.mark.slow
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


# --- whole numbers ---


def test_weights_in_groups_of_32_are_found_again() -> None:
    """What Q4_1 stores: a scale and a minimum in half precision and numbers from 0 to 15, both ends in use."""
    generator = torch.Generator().manual_seed(1)
    stored = torch.randint(0, 16, (64, 6, GROUP), generator=generator)
    stored[..., 0], stored[..., 1] = 0, 15
    scale = torch.rand(64, 6, 1, generator=generator).half().float() * 0.01
    least = -torch.rand(64, 6, 1, generator=generator).half().float()
    numbers, scales, centres = quantised((stored * scale + least).view(64, -1), "int4")
    assert torch.equal(numbers.view(stored.shape) + 8, stored)
    # Scale and centre are rounded to bfloat16: eight bits.
    assert torch.allclose(scales, scale[..., 0], rtol=2**-8)
    assert torch.allclose(centres, (least + 8 * scale)[..., 0], rtol=2**-8)


@pytest.mark.parametrize(("kind", "bound"), [("int8", 0.5 / 127), ("int4", 0.5 / 15)])
def test_rounding_is_off_by_half_a_step(kind: str, bound: float) -> None:
    weight = torch.randn(32, 128, generator=torch.Generator().manual_seed(2))
    numbers, scales, centres = quantised(weight, kind)
    back = numbers.view(*scales.shape, -1) * scales[..., None] + centres[..., None]
    width = (weight.abs().amax() if kind == "int8" else weight.amax() - weight.amin()) * 1.02
    assert float((back.view_as(weight) - weight).abs().max()) < bound * width + 0.02
    assert torch.equal(
        quantised(torch.zeros(16, 32), kind)[0].float().abs().amax(), torch.tensor(8.0 * (kind == "int4"))
    )


@needs_packing
@pytest.mark.parametrize("kind", ["int8", "int4"])
def test_few_and_many_rows_have_the_same_weight(kind: str) -> None:
    """Both kernels against the product with the rounded weight, in double precision."""
    weight, rows, plus = made((576, 576), torch.float32)
    numbers, scales, centres = quantised(weight, kind)
    back = (numbers.view(*scales.shape, -1) * scales[..., None] + centres[..., None]).view_as(weight).double()
    exact = rows.bfloat16().double() @ back.T
    product = QuantisedLinear(weight, kind)
    for count in (1, 2, 5, 6, 64):
        got = product(rows[:count].contiguous(), plus[:count].contiguous())
        assert got.dtype == torch.float32
        assert float((got - exact[:count] - plus[:count]).abs().max()) < 0.06
    assert isinstance(packed(torch.randn(24, 40), kind), PackedLinear)
