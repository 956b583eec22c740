"""The sampler: answers requests, all pending ones of a kind in one call. `together` makes them pend at once.

This is the only place that waits for language models, and `run` the only entry that draws.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Generator, Hashable, Iterable
from contextlib import nullcontext
from dataclasses import replace
from typing import Any, Protocol

from educe.core import Posterior, Seed, UsageError, run_sync
from educe.prob.program import Program, Steps
from educe.prob.progress import show_progress
from educe.prob.requests import Evaluate, leaves, rebuild
from educe.prob.source import Source

__all__ = ["Inference", "drive", "run", "run_async", "run_steps", "together"]


class Inference(Protocol):
    """What `run` accepts: anything that turns a program into a posterior."""

    async def infer(self, program: Program, source: Source) -> Posterior[Any]:
        """Return the posterior of a program.

        Parameters
        ----------
        program : Program
            The model.
        source : Source
            Randomness and ledger.
        """
        ...


def together(generators: Iterable[Steps]) -> Generator[Any, Any, list[Any]]:
    """Run generators side by side: their pending requests become one list.

    Parameters
    ----------
    generators : iterable of generator
        Each yields requests.

    Returns
    -------
    list
        What they returned, in order.

    Examples
    --------
    >>> from educe.prob import Bernoulli, Particle, program, run_steps
    >>> @program
    ... def coin(p):
    ...     return (yield Bernoulli(p))
    >>> pair = run_steps(together(Particle(coin(p)).advance() for p in (0, 1)))
    >>> [particle.value for particle in pair]
    [False, True]
    """
    running = dict(enumerate(generators))
    results: list[Any] = [None] * len(running)
    answers: dict[int, Any] = dict.fromkeys(running)
    while running:
        pending = {}
        for index, answer in answers.items():
            try:
                pending[index] = running[index].send(answer)
            except StopIteration as stop:
                results[index] = stop.value
                del running[index]
        if pending:
            answers = dict(zip(pending, (yield list(pending.values())), strict=True))
    return results


async def _answers(request: Any, source: Source) -> Any:
    flat = leaves(request)
    groups: dict[Hashable, list[int]] = {}
    for index, leaf in enumerate(flat):
        dist = leaf.dist if isinstance(leaf, Evaluate) else leaf
        groups.setdefault((type(leaf) is Evaluate, type(dist), dist.batch_key()), []).append(index)
    found: list[Any] = [None] * len(flat)
    waiting = {}
    for key, members in groups.items():
        if isinstance(flat[members[0]], Evaluate):
            kind = type(flat[members[0]].dist)
            batch = kind.evaluate_batch([flat[i].dist for i in members], [flat[i].value for i in members], source)
        else:
            batch = type(flat[members[0]]).sample_batch([flat[i] for i in members], source)
        if inspect.isawaitable(batch):
            waiting[key] = batch
        else:
            for index, answer in zip(members, batch, strict=True):
                found[index] = answer
    for key, batch in zip(waiting, await asyncio.gather(*waiting.values()), strict=True):
        for index, answer in zip(groups[key], batch, strict=True):
            found[index] = answer
    return rebuild(request, iter(found))


async def drive(steps: Steps, source: Source) -> Any:
    """Answer a generator's requests until it returns.

    Parameters
    ----------
    steps : generator
        Yields distributions, `Evaluate` requests and lists of these.
    source : Source
        Randomness and ledger.

    Returns
    -------
    object
        What the generator returned.
    """
    answer, done = None, 0
    while True:
        try:
            request = steps.send(answer)
        except StopIteration as stop:
            return stop.value
        answer = await _answers(request, source)
        done += 1
        if source.progress:
            source.progress(done, None, tokens=source.total().sampled_tokens)


def run_steps(steps: Steps, seed: int | Seed = 0) -> Any:
    """`drive` for ordinary code.

    Parameters
    ----------
    steps : generator
        Yields distributions, `Evaluate` requests and lists of these.
    seed : int or Seed
        Source of all draws.
    """
    return run_sync(drive(steps, Source(seed)))


async def run_async(
    program: Program, algorithm: Inference, seed: int | Seed = 0, *, progress: bool = False
) -> Posterior[Any]:
    """`run`, inside an event loop.

    Parameters
    ----------
    program : Program
        The model.
    algorithm : Inference
        For instance ``smc(64)``.
    seed : int or Seed
        Same seed, same posterior.
    progress : bool
        Show a bar on standard error.
    """
    if not isinstance(program, Program):
        raise UsageError(f"{program!r} is no program. Decorate the model with @program and call it.")
    if not hasattr(algorithm, "infer"):
        raise UsageError(f"{algorithm!r} is no algorithm. Give for instance smc(64).")
    start = time.monotonic()
    with show_progress(program.name) if progress else nullcontext() as report:
        source = Source(seed, report)
        posterior = await algorithm.infer(program, source)
    return replace(posterior, ledger=replace(source.total(), seconds=time.monotonic() - start))


def run(program: Program, algorithm: Inference, seed: int | Seed = 0, *, progress: bool = False) -> Posterior[Any]:
    """Infer the posterior of a program.

    Parameters
    ----------
    program : Program
        The model, called with its data.
    algorithm : Inference
        For instance ``importance(1000)``, ``smc(64)``, ``mh(500)`` or ``hmc()``.
    seed : int or Seed
        Same seed, same posterior.
    progress : bool
        Show a bar on standard error, with acceptance and divergences where there are such.

    Returns
    -------
    Posterior
        Weighted values of the program (of its named draws, for `hmc`) with log-evidence and ledger.

    Raises
    ------
    UsageError
        The program is malformed: duplicate names, impure, NaN weights, something yielded that is no request.

    Examples
    --------
    >>> from educe.prob import Beta, Bernoulli, importance, observe, program
    >>> @program
    ... def coin(heads):
    ...     p = yield Beta(1.0, 1.0) @ "p"
    ...     for toss in heads:
    ...         yield observe(Bernoulli(p), toss)
    ...     return p
    >>> posterior = run(coin([True, True]), importance(2000), seed=0)
    >>> round(float(posterior.expect(lambda p: p)), 2), posterior.evidence_kind.value
    (0.75, 'unbiased')
    """
    return run_sync(run_async(program, algorithm, seed, progress=progress))
