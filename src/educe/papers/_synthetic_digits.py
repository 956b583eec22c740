"""Synthetic digits of MNIST's size for benchmarks: seven-segment figures with random place, slant and thickness."""

from __future__ import annotations

import torch

from educe.core import Seed

__all__ = ["seven_segment_digits"]

# Ends of the seven segments in a box of width 1 and height 2, y downwards: a b c d e f g.
ENDS = ((0, 0, 1, 0), (1, 0, 1, 1), (1, 1, 1, 2), (0, 2, 1, 2), (0, 1, 0, 2), (0, 0, 0, 1), (0, 1, 1, 1))
LIT = ("abcdef", "bc", "abged", "abgcd", "fgbc", "afgcd", "afgedc", "abc", "abcdefg", "abcdfg")


def seven_segment_digits(n: int, seed: int | Seed = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw binary images of digits.

    Parameters
    ----------
    n : int
        How many.
    seed : int or Seed
        Same seed, same images.

    Returns
    -------
    (Tensor, Tensor)
        (n, 784) float32 of zeros and ones, and (n,) labels.
    """
    rng = Seed.of(seed).child("digits").torch()
    uniform = torch.rand(n, 5, generator=rng)
    labels = torch.randint(10, (n,), generator=rng)
    lit = torch.tensor([["abcdefg"[k] in word for k in range(7)] for word in LIT])[labels]
    ends = torch.tensor(ENDS, dtype=torch.float32)
    width, left, top = 7 + 3 * uniform[:, 0], 7 + 4 * uniform[:, 1], 3 + 3 * uniform[:, 2]
    slant, thickness = 4 * (uniform[:, 3] - 0.5), 0.9 + 0.9 * uniform[:, 4]
    y, x = torch.meshgrid(torch.arange(28.0), torch.arange(28.0), indexing="ij")
    nearest = torch.full((n, 28, 28), 1e9)
    for k, (x0, y0, x1, y1) in enumerate(ends):
        start = torch.stack([left + x0 * width + slant * (1 - y0), top + y0 * width], -1)[:, None, None]
        along = torch.stack([(x1 - x0) * width - slant * (y1 - y0), (y1 - y0) * width], -1)[:, None, None]
        away = torch.stack([x, y], -1)[None] - start
        share = ((away * along).sum(-1) / along.square().sum(-1)).clamp(0, 1)[..., None]
        distance = (away - share * along).norm(dim=-1)
        nearest = torch.where(lit[:, k, None, None], torch.minimum(nearest, distance), nearest)
    return (nearest < thickness[:, None, None]).float().reshape(n, 784), labels
