"""`fit`: stochastic gradient ascent on an objective; the result is a `Posterior` of draws from the guide."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from educe.core import EvidenceKind, Ledger, Posterior, Seed, UsageError
from educe.prob.vi.expectation import Copies, E, Parameters, run_copies
from educe.prob.vi.families import Noise
from educe.prob.vi.objectives import Objective
from educe.prob.vi.strategies import fixed
from educe.prob.vi.trace import made, simulate

__all__ = ["fit"]

Optimizer = Callable[[list[torch.Tensor]], torch.optim.Optimizer]


def fit(
    objective: Objective | Callable[..., Any],
    parameters: Parameters,
    steps: int = 1000,
    optimizer: Optimizer | None = None,
    seed: int | Seed = 0,
    n: int = 1,
    rows: Sequence[torch.Tensor] = (),
    batch: int | None = None,
    draws: int = 1000,
) -> Posterior[Any]:
    """Maximise an objective.

    Parameters
    ----------
    objective : Objective or callable
        See `E`; for instance ``elbo(model, guide)``.
    parameters : mapping of str to Tensor
        Where to start.
    steps : int
        Gradient steps, >= 0.
    optimizer : callable or None
        Makes a torch optimiser from the list of parameters; Adam with rate 0.01 when left out.
    seed : int or Seed
        Same seed, same result.
    n : int
        Samples in a step, >= 1.
    rows : sequence of Tensor
        Data, one row for each term of the objective.
    batch : int or None
        Rows in a step, drawn without replacement; all when left out.
    draws : int
        Draws from the fitted guide, and samples for the final value of the objective, >= 1.

    Returns
    -------
    Posterior
        Draws by name where the objective knows its guide and has no rows, else one value, the parameters. The
        log-evidence is the final estimate of the objective (summed over rows) where that is a lower bound.
        ``details``: ``parameters``, ``curve`` (objective at each step), ``bound``, ``bound_error`` (its standard
        error), ``gradients`` (how many single-sample gradients were taken).

    Raises
    ------
    UsageError
        The objective became NaN or infinite; the message says at which step.

    Examples
    --------
    >>> from educe.prob import Normal, observe, program
    >>> from educe.prob.vi import elbo
    >>> @program
    ... def model():
    ...     x = yield Normal(0.0, 1.0) @ "x"
    ...     yield observe(Normal(x, 1.0), 2.0)
    >>> @program
    ... def guide(q):
    ...     yield Normal(q["mu"], q["log_sd"].exp()) @ "x"
    >>> start = {"mu": torch.tensor(0.0), "log_sd": torch.tensor(0.0)}
    >>> posterior = fit(elbo(model(), guide), start, steps=400, n=20)
    >>> abs(float(posterior.expect(lambda draw: draw["x"])) - 1) < 0.2, posterior.evidence_kind.value
    (True, 'lower bound')
    """
    if steps < 0 or draws < 1:
        raise UsageError(f"steps={steps}, draws={draws} is out of range. Give steps >= 0 and draws >= 1.")
    start = time.perf_counter()
    root = Seed.of(seed)
    at = {name: value.detach().clone().requires_grad_() for name, value in parameters.items()}
    leaves = list(at.values())
    make = optimizer or (lambda tensors: torch.optim.Adam(tensors, lr=0.01))
    chosen, expectation, curve, total = make(leaves), E(objective), [], len(rows[0]) if rows else 1
    for step in range(steps):
        here = root.child("step", step)
        part = rows
        if rows and batch is not None and batch < total:
            index = torch.randperm(total, generator=here.child("rows").torch())[:batch]
            part = [item[index] for item in rows]
        value = expectation.surrogate(at, rows=part, seed=here, n=n)
        if not bool(torch.isfinite(value)):
            raise UsageError(
                f"The objective is {float(value.detach())} at step {step}. Lower the rate or change the start."
            )
        chosen.zero_grad()
        (-value).backward()  # type: ignore[no-untyped-call]
        chosen.step()
        curve.append(float(value.detach()))
    fitted = {name: value.detach() for name, value in at.items()}
    with torch.no_grad():
        final = expectation.samples(fitted, rows=rows, seed=root.child("final"), n=draws).reshape(draws, -1).mean(1)
        values = _draws(objective, fitted, draws, root.child("draws")) if not rows else None
    bound = float(final.mean()) * total
    is_bound = isinstance(objective, Objective) and objective.lower_bound
    details = {
        "algorithm": "variational inference",
        "parameters": fitted,
        "curve": curve,
        "bound": bound,
        "bound_error": float(final.std()) * total / draws**0.5 if draws > 1 else float("nan"),
        "gradients": steps * n * (min(batch or total, total)),
    }
    return Posterior(
        [fitted] if values is None else values,
        torch.zeros(1 if values is None else draws, dtype=torch.float64),
        bound if is_bound else None,
        EvidenceKind.LOWER_BOUND if is_bound else EvidenceKind.NONE,
        Ledger(seconds=time.perf_counter() - start),
        details,
    )


def _draws(objective: Any, fitted: Parameters, draws: int, seed: Seed) -> Any:
    guide = getattr(objective, "guide", None)
    if guide is None:
        return None

    def one() -> Any:
        choices, _ = yield from simulate(made(guide, (fitted,)), fixed)
        return choices

    return run_copies(Copies(draws, one), Noise(seed))[0]
