"""Matrix products with a weight that is packed once: the inner loop of the engine.

oneDNN's kernels through torch's private operators (`mkldnn._reorder_linear_weight`, `mkldnn._linear_pointwise`): the
weight is laid out for them when the model is loaded, where the public `linear` does so at each call or not at all.
Where a build of torch lacks these operators, or on another device, `torch.nn.functional.linear` does the work.

A row's result does not depend, bit for bit, on how many rows stand beside it, provided that there are at least
`LEAST_ROWS` of them; `padded_rows` says up to what a number of rows has to be filled. Tests hold the kernels to that.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch.nn import functional

__all__ = ["Linear", "PackedLinear", "PlainLinear", "packed", "padded_rows"]

LEAST_ROWS = 2  # one row alone takes a matrix-vector kernel, which adds in another order
ROWS_HINT = 32
PLAIN_MULTIPLE = 4  # the kernels behind the public `linear` change with the remainder of the rows


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
    """Return the number of rows, at least as many as given, for which results do not depend on it."""
    return max(rows, LEAST_ROWS) if AVAILABLE else -(-rows // PLAIN_MULTIPLE) * PLAIN_MULTIPLE


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


def packed(weight: torch.Tensor) -> Linear:
    """Return the fastest product for a weight on this machine.

    Parameters
    ----------
    weight : Tensor
        (out, in) float32 or bfloat16.

    Examples
    --------
    >>> product = packed(torch.eye(3))
    >>> product(torch.ones(2, 3)).tolist()
    [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    """
    return PackedLinear(weight) if AVAILABLE and weight.device.type == "cpu" else PlainLinear(weight)
