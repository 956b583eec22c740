"""Matrix products with a weight that is packed once: the inner loop of the engine.

Four number formats; activations come in and go out as float32.

============  =========================================================  ==========================================
format        weight                                                     one thread, layers of a 135M model, 1/32 rows
============  =========================================================  ==========================================
float32       as it is                                                   27 / 45 ms
bfloat16      rounded, and the activations with it; sums in float32      13 / 25 ms
int8          whole numbers with a scale for each output                 9 / 25 ms
int4          whole numbers with scale and centre for each 32 inputs     4 / 25 ms
============  =========================================================  ==========================================

The first two are oneDNN's kernels through torch's private operators (`mkldnn._reorder_linear_weight`,
`mkldnn._linear_pointwise`): the weight is laid out for them when the model is loaded, where the public `linear` does so
at each call or not at all. The other two are torch's weight-only kernels (`_weight_int8pack_mm`,
`_weight_int4pack_mm_for_cpu`), which win while reading the weight takes longer than computing with it; `FEW_ROWS` is
up to where, and above it the same quantised weight is multiplied in bfloat16. Where a build of torch lacks these
operators, or on another device, `torch.nn.functional.linear` does the work.

With float32 and bfloat16 a row's result does not depend, bit for bit, on how many rows stand beside it, provided that
there are at least `LEAST_ROWS` of them; `padded_rows` says up to what a number of rows is filled, which also keeps the
number of sizes small. Tests hold the kernels to that. With int8 and int4 it does depend: the kernel changes at
`FEW_ROWS`.
"""

from __future__ import annotations

import os
from typing import Protocol

import torch
from torch.nn import functional

__all__ = ["FORMATS", "Linear", "PackedLinear", "PlainLinear", "QuantisedLinear", "packed", "padded_rows", "quantised"]

FORMATS = ("float32", "bfloat16", "int8", "int4")
GROUP = 32  # inputs that share a scale and a minimum in int4: the groups of the file format Q4_1
LEAST_ROWS = 2  # one row alone takes a matrix-vector kernel, which adds in another order
ROWS_HINT = 32
FEW_ROWS = {"int8": 2, "int4": 5}
# Up to so many rows a multiple of this many, beyond them of `MANY_STEP`. Four: the kernels behind the public `linear`
# change with the remainder of the rows.
STEPS = ((64, 4), (256, 16))
MANY_STEP = 64

# Each new size of a product costs half a millisecond and half a megabyte, which both libraries keep a thousand times
# unless told otherwise before their first product.
for _name in ("LRU_CACHE_CAPACITY", "ONEDNN_PRIMITIVE_CACHE_CAPACITY"):
    os.environ.setdefault(_name, "64")


class Linear(Protocol):
    """A product with a fixed weight (out, in): float32 in, float32 out, (rows, in) to (rows, out)."""

    def __call__(self, rows: torch.Tensor, plus: torch.Tensor | None = None) -> torch.Tensor:
        """Multiply, and add ``plus`` (rows, out) where it is given."""
        ...


def _available() -> bool:
    return (
        torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )


AVAILABLE = _available()


def padded_rows(rows: int) -> int:
    """Return a number of rows, at least as many as given, of the few for which products are prepared.

    Results do not depend on it.

    Examples
    --------
    >>> [padded_rows(rows) for rows in (33, 65, 257)]
    [36, 80, 320]
    """
    if rows <= LEAST_ROWS and AVAILABLE:
        return LEAST_ROWS
    step = next((step for most, step in STEPS if rows <= most), MANY_STEP)
    return -(-rows // step) * step


class PackedLinear:
    """A weight in oneDNN's own layout.

    Parameters
    ----------
    weight : Tensor
        (out, in) float32 or bfloat16, on the CPU. With bfloat16 the rows are rounded too; sums are float32.
    """

    def __init__(self, weight: torch.Tensor) -> None:
        self.dtype = weight.dtype
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), ROWS_HINT)

    def __call__(self, rows: torch.Tensor, plus: torch.Tensor | None = None) -> torch.Tensor:
        if self.dtype == torch.float32:
            if plus is None:
                product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(rows, self._weight, None, "none", [], "")
            else:
                product = torch.ops.mkldnn._linear_pointwise.binary(rows, plus, self._weight, None, "add")
            return product
        product = torch.ops.mkldnn._linear_pointwise(rows.to(self.dtype), self._weight, None, "none", [], "")
        return product.float() if plus is None else plus + product


class PlainLinear:
    """A weight as it is, for other devices and builds; parameters as for `PackedLinear`."""

    def __init__(self, weight: torch.Tensor) -> None:
        self._weight = weight

    def __call__(self, rows: torch.Tensor, plus: torch.Tensor | None = None) -> torch.Tensor:
        product = functional.linear(rows.to(self._weight.dtype), self._weight).float()
        return product if plus is None else plus + product


def quantised(weight: torch.Tensor, kind: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Round a weight to whole numbers.

    Parameters
    ----------
    weight : Tensor
        (out, in) float32.
    kind : str
        ``"int8"``: from -127 to 127 with a scale for each output. ``"int4"``: from -8 to 7 with a scale and a centre
        for each `GROUP` inputs; the numbers of a weight that was stored in that way (Q4_1) are found again.

    Returns
    -------
    tuple of Tensor
        The numbers (out, in) int8, scales (out, groups) and centres (out, groups): a weight is number times scale plus
        centre. Scales and centres are rounded to what bfloat16 can hold, as the kernels want them.

    Examples
    --------
    >>> numbers, scales, centres = quantised(torch.arange(-1, 1, 1 / 16)[None], "int4")
    >>> numbers.min().item(), numbers.max().item()
    (-8, 7)
    """
    if kind == "int8":
        scales = (weight.abs().amax(1, keepdim=True) / 127).bfloat16().float()
        scales = torch.where(scales > 0, scales, 1.0)
        return (weight / scales).round().clamp(-127, 127).to(torch.int8), scales, torch.zeros_like(scales)
    groups = weight.view(len(weight), -1, GROUP)
    least = groups.amin(-1, keepdim=True)
    scales = (groups.amax(-1, keepdim=True) - least) / 15
    numbers = ((groups - least) / torch.where(scales > 0, scales, 1.0)).round() - 8
    centres = least + 8 * scales
    scales, centres = (part[..., 0].bfloat16().float() for part in (scales, centres))
    return numbers.view_as(weight).to(torch.int8), scales, centres


class QuantisedLinear:
    """A weight as whole numbers, and the same in bfloat16 for many rows.

    Parameters
    ----------
    weight : Tensor
        (out, in) float32, ``in`` a multiple of `GROUP` and ``out`` one of 16.
    kind : str
        ``"int8"`` or ``"int4"``.
    """

    def __init__(self, weight: torch.Tensor, kind: str) -> None:
        numbers, scales, centres = quantised(weight, kind)
        self._kind, self._few = kind, FEW_ROWS[kind]
        size = weight.shape[1] // scales.shape[1]
        rounded = (numbers.view(*scales.shape, size) * scales[..., None] + centres[..., None]).view_as(weight)
        self._many = packed(rounded.bfloat16())
        if kind == "int8":
            self._numbers, self._scales = numbers, scales[:, 0].bfloat16()
        else:
            self._numbers = torch.ops.aten._convert_weight_to_int4pack_for_cpu(numbers.int() + 8, 1)
            self._scales = torch.stack([scales, centres], -1).transpose(0, 1).contiguous().bfloat16()

    def __call__(self, rows: torch.Tensor, plus: torch.Tensor | None = None) -> torch.Tensor:
        if len(rows) > self._few:
            return self._many(rows, plus)
        if self._kind == "int8":
            product: torch.Tensor = torch.ops.aten._weight_int8pack_mm(rows.bfloat16(), self._numbers, self._scales)
        else:
            product = torch.ops.aten._weight_int4pack_mm_for_cpu(rows.bfloat16(), self._numbers, GROUP, self._scales)
        return product.float() if plus is None else plus + product


def packed(weight: torch.Tensor, kind: str = "") -> Linear:
    """Return the fastest product for a weight on this machine.

    Parameters
    ----------
    weight : Tensor
        (out, in) float32 or bfloat16.
    kind : str
        ``"int8"`` or ``"int4"`` to round a float32 weight to whole numbers, where its sizes allow it.

    Examples
    --------
    >>> product = packed(torch.eye(3))
    >>> product(torch.ones(2, 3)).tolist()
    [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    """
    if not AVAILABLE or weight.device.type != "cpu":
        return PlainLinear(weight.bfloat16() if kind in FEW_ROWS else weight)
    if kind in FEW_ROWS:
        fits = weight.shape[0] % 16 == 0 and weight.shape[1] % GROUP == 0
        return QuantisedLinear(weight, kind) if fits else PackedLinear(weight.bfloat16())
    return PackedLinear(weight)
