"""Small networks and their training loop: seeded weights, shuffled batches, Adam."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch

from educe.causal._observations import Floats
from educe.core import Seed, UsageError

__all__ = ["Scale", "perceptron", "train"]


class Scale(NamedTuple):
    """Shift and width that bring data to mean 0 and deviation 1, as float32."""

    mean: Floats
    width: Floats

    @classmethod
    def of(cls, values: Floats) -> Scale:
        """Measure the columns."""
        return cls(values.mean(axis=0), values.std(axis=0))

    def __call__(self, values: Floats) -> torch.Tensor:
        return torch.as_tensor((values - self.mean) / self.width, dtype=torch.float32)


def perceptron(
    inputs: int, hidden: Iterable[int], outputs: int, generator: torch.Generator, *, last: bool = True
) -> torch.nn.Sequential:
    """Layers with ELU between them; `last` adds a linear output layer, else the hidden values are returned."""
    layers: list[torch.nn.Module] = []
    for width in hidden:
        layers += [_linear(inputs, width, generator), torch.nn.ELU()]
        inputs = width
    if last:
        layers.append(_linear(inputs, outputs, generator))
    return torch.nn.Sequential(*layers)


def _linear(inputs: int, outputs: int, generator: torch.Generator) -> torch.nn.Linear:
    # torch's own start draws from its global generator, which belongs to the user.
    layer: torch.nn.Linear = torch.nn.utils.skip_init(torch.nn.Linear, inputs, outputs)  # type: ignore[no-untyped-call]
    bound = inputs**-0.5
    with torch.no_grad():
        for parameter in (layer.weight, layer.bias):
            parameter.uniform_(-bound, bound, generator=generator)
    return layer


def train(
    parameters: Iterable[torch.nn.Parameter],
    loss: Callable[[torch.Tensor, Seed], torch.Tensor],
    *,
    rows: int,
    epochs: int,
    batch: int,
    rate: float,
    weight_decay: float,
    seed: Seed,
) -> list[float]:
    """Minimise `loss` of the rows of each batch; return its mean over every epoch. The rate falls to zero."""
    if epochs < 1 or batch < 2 or rate <= 0:
        raise UsageError(f"epochs={epochs}, batch={batch}, rate={rate} train nothing. Give >= 1, >= 2 and > 0.")
    weights = list(parameters)
    optimizer = torch.optim.Adam(weights, lr=rate, weight_decay=weight_decay, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    curve = []
    for epoch in range(epochs):
        here = seed.child("epoch", epoch)
        total = 0.0
        parts = torch.split(torch.randperm(rows, generator=here.child("order").torch()), batch)
        for number, part in enumerate(parts):
            value = loss(part, here.child("batch", number))
            optimizer.zero_grad()
            torch.autograd.backward(value)
            optimizer.step()
            total += float(value.detach()) * len(part) / rows
        if total != total or abs(total) == float("inf"):  # noqa: PLR0124
            raise UsageError(f"The loss is {total} in epoch {epoch}. Lower the rate ({rate}).")
        schedule.step()
        curve.append(total)
    return curve
