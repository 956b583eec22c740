"""Pretrain a small decoder on a stream of questions and solutions, on one CPU core, in minutes.

Muon for the matrices of the layers, AdamW for the embedding and the norms, both with linear warm-up and cosine decay;
the loss counts the solutions alone. What is drawn at a step depends on the seed and the step's number only, so a run
that was killed goes on from its last checkpoint and ends with the same weights, bit for bit, as one that was not (same
machine, same number of threads).
Source: Jordan et al. (2024), "Muon: an optimizer for hidden layers in neural networks", with the scale of Liu et al.
(2025), arXiv:2502.16982; Loshchilov, Hutter (2019), arXiv:1711.05101 and arXiv:1608.03983.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from educe.core.errors import CapabilityError, UsageError
from educe.core.seed import Seed
from educe.lm.decoder import IGNORED, Decoder, padded_batch

__all__ = ["Example", "Pretraining", "examples_in_batches", "pretrain_decoder"]

Example = tuple[Sequence[int], Sequence[int]]
SHARD = 16  # batches sorted by length together, so that little is padded


@dataclass(frozen=True)
class Pretraining:
    """How a decoder is trained.

    Parameters
    ----------
    steps : int
        Number of updates, >= 1.
    batch : int
        Examples per update, >= 1.
    learning_rate : float
        At its highest, > 0.
    warmup : int
        Steps of linear rise, >= 0.
    floor : float
        Share of the highest learning rate that the cosine ends at, in [0, 1].
    weight_decay : float
        Of the layers' matrices, >= 0.
    clip : float
        Most norm of a gradient, > 0.
    checkpoint_every : int
        Steps between checkpoints, >= 1.

    Raises
    ------
    UsageError
        A value is out of range.

    Examples
    --------
    >>> Pretraining(steps=100).rate(0) < Pretraining(steps=100).rate(50)
    True
    """

    steps: int = 4000
    batch: int = 32
    learning_rate: float = 3e-3
    warmup: int = 100
    floor: float = 0.05
    weight_decay: float = 0.05
    clip: float = 1.0
    checkpoint_every: int = 200

    def __post_init__(self) -> None:
        for name, fine in (
            ("steps", self.steps >= 1),
            ("batch", self.batch >= 1),
            ("learning_rate", self.learning_rate > 0),
            ("warmup", self.warmup >= 0),
            ("floor", 0 <= self.floor <= 1),
            ("weight_decay", self.weight_decay >= 0),
            ("clip", self.clip > 0),
            ("checkpoint_every", self.checkpoint_every >= 1),
        ):
            if not fine:
                raise UsageError(f"Pretraining {name}={getattr(self, name)!r} is out of range. See its docstring.")

    def rate(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0."""
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        done = (step - self.warmup) / max(1, self.steps - self.warmup)
        return self.learning_rate * (self.floor + (1 - self.floor) * (1 + math.cos(math.pi * done)) / 2)


def examples_in_batches(
    draw: Callable[[Seed, int], Sequence[Example]], seed: Seed, batch: int, first: int = 0
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield the batches of a run from a given step on; each depends on the seed and its number alone.

    Parameters
    ----------
    draw : callable
        Gives so many examples, each a prompt and a solution in tokens, from a seed.
    seed : Seed
        Root of all draws.
    batch : int
        Examples in a batch.
    first : int
        Number of the first batch to yield.

    Yields
    ------
    tuple of two tensors
        Tokens and targets, both (batch, length); targets of prompts and padding are -100.
    """
    shard = first // SHARD
    while True:
        at = seed.child("shard", shard)
        examples = sorted(draw(at, SHARD * batch), key=lambda example: len(example[0]) + len(example[1]))
        order = list(range(SHARD))
        at.child("order").numpy().shuffle(order)
        for place in order[first % SHARD if shard == first // SHARD else 0 :]:
            rows = examples[place * batch : (place + 1) * batch]
            tokens = padded_batch([[*prompt, *solution] for prompt, solution in rows])
            targets = torch.full_like(tokens, IGNORED)
            for row, (prompt, solution) in enumerate(rows):
                begin = len(prompt) - 1
                targets[row, begin : begin + len(solution)] = torch.tensor(solution)
            yield tokens, targets
        shard += 1


def pretrain_decoder(
    decoder: Decoder,
    draw: Callable[[Seed, int], Sequence[Example]],
    settings: Pretraining,
    *,
    seed: int | Seed = 0,
    folder: Path | None = None,
    told: Callable[[Mapping[str, Any]], None] | None = None,
) -> list[dict[str, float]]:
    """Train a decoder in place.

    Parameters
    ----------
    decoder : Decoder
        The model.
    draw : callable
        ``draw(seed, n)`` gives n examples, each a prompt and a solution in tokens. It must depend on its arguments
        alone.
    settings : Pretraining
        Steps, rates and the like.
    seed : int or Seed
        Root of all draws of examples.
    folder : Path, optional
        Where checkpoints go; a run that finds one of the same settings there goes on from it.
    told : callable, optional
        Given the step, the loss per solution token and the seconds of training so far, every 50 steps.

    Returns
    -------
    list of dict
        The curve: ``step``, ``loss`` and ``seconds``, every 50 steps.

    Raises
    ------
    UsageError
        The folder holds a checkpoint of a run with other settings.
    CapabilityError
        This torch has no Muon.

    Examples
    --------
    >>> from educe.lm.decoder import DecoderConfig
    >>> model = Decoder(DecoderConfig(vocabulary=16, layers=1, width=8, heads=2, feed_forward=16))
    >>> def count_up(seed, n):
    ...     return [([a], [a + 1, a + 2]) for a in seed.numpy().integers(0, 10, n).tolist()]
    >>> curve = pretrain_decoder(model, count_up, Pretraining(steps=100, warmup=10))
    >>> curve[-1]["loss"] < curve[0]["loss"]
    True
    """
    seed = Seed.of(seed).child("pretrain")
    optimizers = _optimizers(decoder, settings)
    label = json.dumps([asdict(settings), decoder.describe(), repr(seed)])
    start, curve, before = _resume(decoder, optimizers, folder, label)
    began, losses, counted = time.monotonic(), 0.0, 0
    batches = examples_in_batches(draw, seed, settings.batch, start)
    for step in range(start, settings.steps):
        tokens, targets = next(batches)
        loss = decoder.loss(tokens, targets)
        count = int((targets != IGNORED).sum())
        (loss / count).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(decoder.parameters(), settings.clip)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = settings.rate(step)
            optimizer.step()
            optimizer.zero_grad()
        losses, counted = losses + float(loss.detach()), counted + count
        done = step + 1
        if done % 50 == 0 or done == settings.steps:
            seconds = before + time.monotonic() - began
            curve.append({"step": done, "loss": losses / counted, "seconds": seconds})
            losses, counted = 0.0, 0
            if told is not None:
                told(curve[-1])
        if folder is not None and (done % settings.checkpoint_every == 0 or done == settings.steps):
            _checkpoint(decoder, optimizers, folder, label, done, curve)
    return curve


def _optimizers(decoder: Decoder, settings: Pretraining) -> list[torch.optim.Optimizer]:
    if not hasattr(torch.optim, "Muon"):
        raise CapabilityError(
            f"Pretraining uses Muon, which torch {torch.__version__} lacks. Install torch 2.9 or newer."
        )
    matrices = [weight for layer in decoder.layers for weight in layer.parameters() if weight.dim() == 2]
    chosen = set(map(id, matrices))
    rest = [weight for weight in decoder.parameters() if id(weight) not in chosen]
    rate, decay = settings.learning_rate, settings.weight_decay
    return [
        torch.optim.Muon(matrices, lr=rate, weight_decay=decay, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(rest, lr=rate, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def _slots(optimizers: Sequence[torch.optim.Optimizer]) -> Iterator[tuple[str, torch.optim.Optimizer, torch.Tensor]]:
    """The weights of all optimizers, each with a name for what is remembered of it."""
    for number, optimizer in enumerate(optimizers):
        for place, weight in enumerate(weight for group in optimizer.param_groups for weight in group["params"]):
            yield f"optimizer/{number}/{place}/", optimizer, weight


def _state(decoder: Decoder, optimizers: Sequence[torch.optim.Optimizer]) -> dict[str, torch.Tensor]:
    """All that a checkpoint must hold, by name."""
    tensors = {f"weight/{name}": weight.detach() for name, weight in decoder.named_parameters()}
    for prefix, optimizer, weight in _slots(optimizers):
        tensors |= {prefix + name: value for name, value in optimizer.state[weight].items()}
    return tensors


def _checkpoint(
    decoder: Decoder,
    optimizers: Sequence[torch.optim.Optimizer],
    folder: Path,
    label: str,
    step: int,
    curve: Sequence[Mapping[str, float]],
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    new = folder / "checkpoint.new"
    metadata = {"label": label, "step": str(step), "curve": json.dumps(list(curve))}
    safetensors.torch.save_file(
        {name: tensor.clone().contiguous() for name, tensor in _state(decoder, optimizers).items()}, new, metadata
    )
    os.replace(new, folder / "checkpoint.safetensors")


def _resume(
    decoder: Decoder, optimizers: Sequence[torch.optim.Optimizer], folder: Path | None, label: str
) -> tuple[int, list[dict[str, float]], float]:
    file = None if folder is None else folder / "checkpoint.safetensors"
    if file is None or not file.exists():
        return 0, [], 0.0
    with safetensors.safe_open(file, framework="pt") as opened:
        metadata = opened.metadata()
        if metadata["label"] != label:
            raise UsageError(f"{folder} holds a checkpoint of another run. Give another folder, or delete it.")
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    with torch.no_grad():
        for name, weight in decoder.named_parameters():
            weight.copy_(tensors[f"weight/{name}"])
    for prefix, optimizer, moved in _slots(optimizers):
        optimizer.state[moved] = {
            name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)
        }
    curve = json.loads(metadata["curve"])
    return int(metadata["step"]), curve, curve[-1]["seconds"] if curve else 0.0
