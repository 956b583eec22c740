"""Pictures of two blobs, their projections, and the distances by which samples are judged."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from educe.core import Seed
from educe.prob import Views, pixel_centres

SIZE, BLOB = 10, 0.14
QUARTER, EIGHTH = math.pi / 2, math.pi / 4


def render(centres: Tensor, size: int = SIZE) -> Tensor:
    """Turn blob centres (n, blobs, 2) into pictures (n, pixels) of total mass 1."""
    squares = (centres[:, :, None, :] - pixel_centres(size)[None, None]).square().sum(-1)
    height = 1 / (centres.shape[1] * 2 * math.pi * BLOB**2)
    return (height * torch.exp(-0.5 * squares / BLOB**2)).sum(1)


def scenes(n: int, seed: Seed) -> Tensor:
    """Draw n pictures of two blobs, centres uniform in a disc of radius 0.7."""
    generator = seed.child("scenes").torch()
    radius = 0.7 * torch.rand(n, 2, generator=generator).sqrt()
    angle = 2 * math.pi * torch.rand(n, 2, generator=generator)
    return render(torch.stack([radius * angle.cos(), radius * angle.sin()], -1))


def lattice(size: int = 8) -> Tensor:
    """Return all pictures of two blobs on different points of a lattice."""
    axis = torch.linspace(-0.7, 0.7, size)
    points = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1).reshape(-1, 2)
    return render(torch.stack([points[list(pair)] for pair in combinations(range(size * size), 2)]))


def observed(pictures: Tensor, project: Callable[[Tensor, Tensor], Tensor], seed: Seed) -> Views:
    """Look at each picture from 0 degrees, 90 degrees, and an angle drawn from all."""
    n = len(pictures)
    angles = torch.zeros(n), torch.full((n,), QUARTER), torch.rand(n, generator=seed.child("angle").torch()) * math.pi
    parts: list[Tensor] = []
    for angle in angles:
        parts += [project(pictures, angle), angle]
    return Views(*parts)


def energy_distance(x: Tensor, y: Tensor) -> float:
    """Energy distance between two samples (Szekely and Rizzo 2013), all pairs counted."""
    across, within, other = torch.cdist(x, y).mean(), torch.cdist(x, x).mean(), torch.cdist(y, y).mean()
    return float(2 * across - within - other)


def blurred(pictures: Tensor, width: float = 0.2) -> Tensor:
    """Blur pictures by a Gaussian."""
    centres = pixel_centres(SIZE)
    kernel = torch.exp(-0.5 * (torch.cdist(centres, centres) / width) ** 2)
    return pictures @ (kernel / kernel.sum(1).max())


def depth(pictures: Tensor) -> Tensor:
    """Mean y of each picture: what a view from 0 degrees cannot tell."""
    return (pictures @ pixel_centres(SIZE)[:, 1]) / pictures.sum(1)


def total_variation(pictures: Tensor, known: Tensor, exact: Tensor) -> float:
    """Read each sample as the nearest known scene and compare frequencies with exact probabilities."""
    found = torch.bincount(torch.cdist(blurred(pictures), blurred(known)).argmin(1), minlength=len(known))
    return float((found / found.sum() - exact).abs().sum() / 2)


def scores(pictures: Tensor, true: Tensor, views: Views, project: Callable[[Tensor, Tensor], Tensor]) -> dict[str, Any]:
    """Distances between samples and true pictures, one of each per context."""
    n = len(pictures)
    at = [torch.full((n,), angle) for angle in (QUARTER, EIGHTH)]
    back = project(pictures, views.phi_ctx)
    return {
        "unseen view, 90 degrees": energy_distance(project(pictures, at[0]), project(true, at[0])),
        "45 degrees": energy_distance(project(pictures, at[1]), project(true, at[1])),
        "context error": float(((back - views.o_ctx).norm(dim=1) / views.o_ctx.norm(dim=1)).mean()),
        "signals": energy_distance(pictures, true),
        "blurred signals": energy_distance(blurred(pictures), blurred(true)),
        "mass": float((pictures.sum(1) / true.sum(1)).mean()),
    }
