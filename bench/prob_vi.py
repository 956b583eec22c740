"""A gradient step of a small VAE: the library, a hand-written loop and Pyro, taking turns in one run.

784-200-10-200-784, leaky rectifiers, Bernoulli pixels, synthetic digits of MNIST's size, Adam; the ELBO with one
draw, and the importance-weighted bound with 8. All three start from the same weights and make the same number of
draws; the hand-written loop encodes once for all particles, as the library does by itself. Numbers are medians over
turns, in milliseconds. Writes ``bench/results/prob_vi.json``; takes about two minutes on one core.
"""

from __future__ import annotations

import copy
import datetime
import json
import math
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from educe.core import Seed
from educe.papers._synthetic_digits import seven_segment_digits
from educe.prob import BernoulliLogits, Normal, observe, program
from educe.prob.vi import E, elbo, iwelbo

REPEATS = 41
BATCHES = (64, 256, 1024)
RESULTS = Path(__file__).with_name("results") / "prob_vi.json"
Step = Callable[[], float]


def networks(seed: int = 0) -> nn.ModuleDict:
    """Return encoder and decoder."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.ModuleDict(
            {
                "encoder": nn.Sequential(nn.Linear(784, 200), nn.LeakyReLU(), nn.Linear(200, 20)),
                "decoder": nn.Sequential(nn.Linear(10, 200), nn.LeakyReLU(), nn.Linear(200, 784)),
            }
        )


def ours(images: torch.Tensor, particles: int) -> Step:
    """Return one training step of the library; it gives the bound per image."""
    nets = networks()
    optimizer = torch.optim.Adam(nets.parameters(), lr=1e-3)

    @program
    def model(image: torch.Tensor) -> Any:
        z = yield Normal(torch.zeros(10), torch.ones(10)) @ "z"
        yield observe(BernoulliLogits(nets["decoder"](z)), image)

    @program
    def guide(image: torch.Tensor) -> Any:
        loc, log_scale = nets["encoder"](image).chunk(2, -1)
        yield Normal(loc, log_scale.exp()) @ "z"

    expectation = E(elbo(model, guide) if particles == 1 else iwelbo(model, guide, particles), broadcast=True)
    root, count = Seed.of(0), 0

    def step() -> float:
        nonlocal count
        count += 1
        optimizer.zero_grad()
        bound = expectation.surrogate(rows=(images,), seed=root.child(count))
        (-bound).backward()
        optimizer.step()
        return float(bound.detach())

    return step


def by_hand(images: torch.Tensor, particles: int) -> Step:
    """Return the same step, written out."""
    nets = networks()
    optimizer = torch.optim.Adam(nets.parameters(), lr=1e-3)
    rng = torch.Generator().manual_seed(0)

    def step() -> float:
        optimizer.zero_grad()
        loc, log_scale = nets["encoder"](images).chunk(2, -1)
        shape = loc.shape if particles == 1 else (particles, *loc.shape)
        noise = torch.randn(shape, generator=rng)
        z = loc + log_scale.exp() * noise
        logits = nets["decoder"](z)
        likelihood = (logits * images - functional.softplus(logits)).sum(-1)
        # The constants of both normal densities cancel.
        ratio = likelihood + (0.5 * noise.square() + log_scale - 0.5 * z.square()).sum(-1)
        bound = (ratio if particles == 1 else torch.logsumexp(ratio, 0) - math.log(particles)).mean()
        (-bound).backward()
        optimizer.step()
        return float(bound.detach())

    return step


def with_pyro(images: torch.Tensor, particles: int) -> Step:
    """Return the same step by Pyro's `Trace_ELBO` or `RenyiELBO` with alpha = 0."""
    import pyro
    import pyro.distributions as dist
    from pyro.infer import SVI, RenyiELBO, Trace_ELBO

    pyro.clear_param_store()
    nets = networks()
    size = len(images)

    def model(batch: torch.Tensor) -> None:
        pyro.module("decoder", nets["decoder"])
        with pyro.plate("rows", size):
            z = pyro.sample("z", dist.Normal(torch.zeros(10), torch.ones(10)).to_event(1))
            logits = nets["decoder"](z)
            pyro.sample("x", dist.Bernoulli(logits=logits, validate_args=False).to_event(1), obs=batch)

    def guide(batch: torch.Tensor) -> None:
        pyro.module("encoder", nets["encoder"])
        with pyro.plate("rows", size):
            loc, log_scale = nets["encoder"](batch).chunk(2, -1)
            pyro.sample("z", dist.Normal(loc, log_scale.exp()).to_event(1))

    if particles == 1:
        loss: Any = Trace_ELBO()
    else:
        loss = RenyiELBO(alpha=0.0, num_particles=particles, vectorize_particles=True, max_plate_nesting=1)
    svi = SVI(model, guide, pyro.optim.Adam({"lr": 1e-3}), loss)
    return lambda: -float(svi.step(images)) / size


def turns(steps: dict[str, Step], repeats: int) -> tuple[dict[str, float], dict[str, float]]:
    """Time the steps in turn; return medians in milliseconds and the mean bound over the last turns."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    bounds: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(repeats + 3):
        for name, step in steps.items():
            start = time.perf_counter()
            value = step()
            if turn >= 3:
                times[name].append(1e3 * (time.perf_counter() - start))
                bounds[name].append(value)
    return (
        {name: statistics.median(values) for name, values in times.items()},
        {name: statistics.fmean(values[-10:]) for name, values in bounds.items()},
    )


def main() -> None:
    """Run all workloads and write the result."""
    torch.set_num_threads(1)
    images, _ = seven_segment_digits(max(BATCHES), seed=0)
    lines = []
    for batch in BATCHES:
        for particles in (1, 8):
            part = copy.copy(images[:batch])
            steps = {"ours": ours(part, particles), "hand-written PyTorch": by_hand(part, particles)}
            peer = "Pyro Trace_ELBO" if particles == 1 else "Pyro RenyiELBO"
            steps[peer] = with_pyro(part, particles)
            times, bounds = turns(steps, REPEATS if batch < 1024 else REPEATS // 2)
            name = "ELBO" if particles == 1 else "IWAE-8"
            print(f"{name}, batch {batch}:", {k: round(v, 2) for k, v in times.items()}, "bound", bounds)
            for other, bar, limit in (("hand-written PyTorch", "<= 1.1 x", 1.1), (peer, "faster", 1.0)):
                ratio = times[other] / times["ours"]
                lines.append(
                    {
                        "workload": f"VAE step, {name}, batch {batch}",
                        "metric": "ms a step",
                        "ours": round(times["ours"], 4),
                        "peer": other,
                        "peer_value": round(times[other], 4),
                        "ratio": round(ratio, 3),
                        "bar": bar,
                        "passed": times["ours"] <= limit * times[other],
                        "roofline_share": None,
                        "repeats": REPEATS if batch < 1024 else REPEATS // 2,
                        "load": " ".join(f"{value:.2f}" for value in os.getloadavg()),
                        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
                    }
                )
    RESULTS.write_text(json.dumps(lines, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
