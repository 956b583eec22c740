"""`E`: the expectation of an objective program, its value and its gradient.

An objective is a generator that draws and returns a number. Running it gives a *surrogate*: a scalar whose value is
an unbiased estimate of the expectation and whose autograd derivative is an unbiased estimate of the gradient. Where
a strategy wants the rest of the program again, a fresh generator is fed with the recorded answers. Source: Lew et
al. (2023), arXiv:2212.06386, in reverse mode. Conditions, not checked: values are smooth in the parameters where
draws are reparameterised, and derivative and expectation may be exchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from educe.core import Seed, UsageError
from educe.prob.dist import Dist
from educe.prob.program import Steps
from educe.prob.requests import Draw, Evaluate, Factor, leaves, rebuild, refuse
from educe.prob.vi.families import Noise, log_density
from educe.prob.vi.strategies import Choice, Single, Strategy, default_strategy

__all__ = ["Copies", "E", "Estimate", "Parameters", "copies", "surrogate"]

Make = Callable[[], Steps]
Parameters = Mapping[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class Copies:
    """Ask for independent runs of a part of the program in one pass; `copies` is the way to use it.

    Parameters
    ----------
    n : int
        How many.
    make : callable
        Makes the generator of one run.
    """

    n: int
    make: Make


class _SeveralRuns(Exception):  # noqa: N818 - a signal, never seen outside
    """A strategy wants the rest more than once, so the runs cannot share one pass."""


def copies(n: int, make: Make) -> Generator[Any, Any, Any]:
    """Run a part of an objective `n` times, in one pass where all its strategies allow it.

    Use it by ``results = yield from copies(n, make)``.

    Parameters
    ----------
    n : int
        How many, >= 1.
    make : callable
        Makes the generator of one run, which returns a tensor, or a tuple or mapping of tensors.

    Returns
    -------
    Tensor, tuple or mapping
        Results with a leading axis of length `n`.

    Examples
    --------
    >>> from educe.prob import Normal
    >>> def one():
    ...     return (yield Normal(0.0, 1.0))
    >>> def largest():
    ...     return (yield from copies(5, one)).max()
    >>> float(E(largest).surrogate(n=2000)) > 1
    True
    """
    if n < 1:
        raise UsageError(f"n={n} copies are none. Give n >= 1.")
    together = yield Copies(n, make)
    if together is not None:
        return together
    rows = []
    for _ in range(n):
        rows.append((yield from make()))  # noqa: PERF401 - a comprehension cannot yield
    return _stacked(rows)


def _stacked(rows: Sequence[Any]) -> Any:
    if isinstance(rows[0], Mapping):
        return {name: _stacked([row[name] for row in rows]) for name in rows[0]}
    if isinstance(rows[0], tuple):
        return tuple(_stacked(column) for column in zip(*rows, strict=True))
    return torch.stack([torch.as_tensor(row) for row in rows])


def _one_by_one(steps: Steps) -> Steps:
    """Pass on requests singly where the program asks for a list."""
    answer = None
    while True:
        try:
            request = steps.send(answer)
        except StopIteration as stop:
            return stop.value
        if isinstance(request, list):
            found = []
            for leaf in leaves(request):
                found.append((yield leaf))  # noqa: PERF401 - a comprehension cannot yield
            answer = rebuild(request, iter(found))
        else:
            answer = yield request


def _strategy(request: Any, override: Strategy | None) -> tuple[Dist, Strategy]:
    if isinstance(request, Dist):
        request = Draw(request)
    if isinstance(request, Factor):
        raise UsageError("An objective yielded a factor. Add its log-weight to what the objective returns instead.")
    if not isinstance(request, Draw):
        raise refuse(request, "The objective")
    chosen = request.strategy if isinstance(request, Choice) else None
    return request.dist, override or chosen or default_strategy(request.dist)


def _shared(make: Make, noise: Noise, override: Strategy | None) -> tuple[Any, torch.Tensor | None]:
    """Run once with strategies that need one run only; return the result and the sum of the scores."""
    steps, answer, total = _one_by_one(make()), None, None
    while True:
        try:
            request = steps.send(answer)
        except StopIteration as stop:
            return stop.value, total
        if isinstance(request, Evaluate):
            answer = log_density(request.dist, request.value, noise.rows)
            continue
        if isinstance(request, Copies):
            answer, score = run_copies(request, noise, override)
        else:
            dist, strategy = _strategy(request, override)
            if not isinstance(strategy, Single):
                raise _SeveralRuns
            answer, score = strategy.draw(dist, noise)
        if score is not None:
            total = score if total is None else total + score


def run_copies(request: Copies, noise: Noise, override: Strategy | None = None) -> tuple[Any, torch.Tensor | None]:
    """Run copies in one pass; return their results and the sum of their scores."""
    scored = False

    def one(lane: torch.Tensor) -> tuple[Any, torch.Tensor]:
        nonlocal scored
        result, score = _shared(request.make, noise, override)
        scored = score is not None
        return result, lane if score is None else score

    result, scores = torch.func.vmap(one, randomness="different")(torch.zeros(request.n, dtype=torch.float64))
    return result, scores.sum(0) if scored else None


def _finish(score: torch.Tensor) -> Generator[Any, torch.Tensor, torch.Tensor]:
    rest = yield None
    return rest + rest.detach() * score


class _Frame(NamedTuple):
    estimate: Generator[Any, torch.Tensor, torch.Tensor]
    depth: int


def surrogate(make: Make, noise: Noise, override: Strategy | None = None) -> torch.Tensor:
    """Run an objective once and return the scalar to differentiate.

    Parameters
    ----------
    make : callable
        Makes the objective's generator; it is called again where a strategy needs the rest more than once.
    noise : Noise
        Randomness.
    override : Strategy or None
        Used at every draw, whatever the program says.

    Returns
    -------
    Tensor
        One number, or one for each of ``noise.rows``.
    """
    waiting: list[_Frame] = []
    answers: list[Any] = []
    steps, answer = _one_by_one(make()), None
    while True:
        try:
            request = steps.send(answer)
        except StopIteration as stop:
            value = torch.as_tensor(stop.value)
            if value.shape != (() if noise.rows is None else (noise.rows,)):
                wanted = "one number" if noise.rows is None else f"one number for each of {noise.rows} rows"
                raise UsageError(
                    f"The objective returned shape {tuple(value.shape)}. Return {wanted}, as by summing."
                ) from None
            while waiting:
                estimate, depth = waiting[-1]
                try:
                    answer = estimate.send(value)
                except StopIteration as done:
                    value = done.value
                    waiting.pop()
                    continue
                steps = _one_by_one(make())
                del answers[depth:]
                for known in [None, *answers]:
                    steps.send(known)
                answers.append(answer)
                break
            else:
                return value
            continue
        score = None
        if isinstance(request, Evaluate):
            answer = log_density(request.dist, request.value, noise.rows)
        elif isinstance(request, Copies):
            try:
                answer, score = run_copies(request, noise, override)
            except _SeveralRuns:
                answer = None
        else:
            dist, strategy = _strategy(request, override)
            if isinstance(strategy, Single):
                answer, score = strategy.draw(dist, noise)
            elif noise.rows is not None:
                raise UsageError(f"{strategy} does not take all rows at once. Use E without broadcast=True.")
            else:
                estimate = strategy.estimate(dist, noise)
                answer = next(estimate)
                waiting.append(_Frame(estimate, len(answers)))
        if score is not None:
            finish = _finish(score)
            next(finish)
            waiting.append(_Frame(finish, len(answers)))
        answers.append(answer)


class Estimate(NamedTuple):
    """Value and gradient of an expectation, estimated."""

    value: torch.Tensor
    gradient: dict[str, torch.Tensor]


@dataclass(frozen=True)
class E:
    """The expectation of an objective over its own draws.

    Parameters
    ----------
    objective : callable
        Takes parameters (and one row of data), is a generator that yields draws and returns a number; or a plain
        function that returns such a generator. Draws are tensors; finite ones are numbers in tensors.
    loop : bool
        Run samples one after the other instead of in one pass: the objective may then branch on draws that are not
        reparameterised.
    broadcast : bool
        The objective is written for all rows of data at once: every draw and observation has a leading axis of rows,
        and it returns one number for each. This saves the cost of ``vmap`` where the work is a network's; strategies
        that need one run only.

    Examples
    --------
    >>> from educe.prob import Normal
    >>> from educe.prob.vi import reparam
    >>> def cost(parameters):
    ...     x = yield Normal(parameters["mu"], 1.0) @ reparam
    ...     return x ** 2
    >>> value, gradient = E(cost).value_and_grad({"mu": torch.tensor(2.0)}, n=20_000)
    >>> round(float(value), 1), round(float(gradient["mu"]), 1)  # exactly mu^2 + 1 and 2 mu
    (5.0, 4.0)
    """

    objective: Callable[..., Any]
    loop: bool = False
    broadcast: bool = False

    def samples(
        self,
        *args: Any,
        rows: Sequence[torch.Tensor] = (),
        seed: int | Seed = 0,
        n: int = 1,
        strategy: Strategy | None = None,
    ) -> torch.Tensor:
        """Return independent surrogates.

        Parameters
        ----------
        *args : object
            Passed to the objective.
        rows : sequence of Tensor
            Data with one common leading axis; the objective gets one row of each after its other arguments.
        seed : int or Seed
            Same seed, same samples.
        n : int
            Samples, >= 1.
        strategy : Strategy or None
            Used at every draw instead of what the objective says.

        Returns
        -------
        Tensor
            (n,), or (n, rows) with data.
        """
        if n < 1:
            raise UsageError(f"n={n} asks for no sample. Give n >= 1.")
        lengths = {len(item) for item in rows}
        if len(lengths) > 1:
            raise UsageError(f"Rows of data of lengths {sorted(lengths)} do not belong together. Give equal lengths.")
        if self.broadcast and not rows:
            raise UsageError("broadcast=True needs data in rows. Give rows=(tensor, ...).")
        noise = Noise(seed, len(rows[0]) if self.broadcast else None)

        def one(lane: torch.Tensor, *row: torch.Tensor) -> torch.Tensor:
            if self.loop:
                noise.lane = lane
            return surrogate(lambda: self.objective(*args, *row), noise, strategy)

        run: Callable[..., torch.Tensor] = one
        randomness = "same" if self.loop else "different"
        if self.broadcast:
            run = lambda lane: one(lane, *rows)  # noqa: E731
        elif rows:
            inner = run
            run = lambda lane: torch.func.vmap(  # noqa: E731
                inner, in_dims=(None, *[0] * len(rows)), randomness="different"
            )(lane, *rows)
        lanes = torch.zeros(n, dtype=torch.float64)
        try:
            if self.loop:
                several = torch.func.vmap(run, randomness=randomness)
                return torch.cat([several(lane) for lane in lanes[:, None]])
            # One sample over rows needs no second axis, which costs a little in every operation.
            if n == 1 and rows:
                return run(lanes[0])[None]
            return torch.func.vmap(run, randomness=randomness)(lanes)
        except RuntimeError as error:
            if "vmap" not in str(error) and "data-dependent" not in str(error).lower():
                raise
            raise UsageError(
                "The objective branches on a drawn value or takes it out of its tensor. "
                "Use torch.where, or E(objective, loop=True) if the value is not reparameterised."
            ) from error

    def surrogate(
        self,
        *args: Any,
        rows: Sequence[torch.Tensor] = (),
        seed: int | Seed = 0,
        n: int = 1,
        strategy: Strategy | None = None,
    ) -> torch.Tensor:
        """Return the mean of `samples`, ready for ``backward``.

        Parameters
        ----------
        *args : object
            Passed to the objective.
        rows : sequence of Tensor
            See `samples`.
        seed : int or Seed
            Same seed, same number.
        n : int
            Samples, >= 1.
        strategy : Strategy or None
            See `samples`.
        """
        return self.samples(*args, rows=rows, seed=seed, n=n, strategy=strategy).mean()

    def value_and_grad(
        self,
        parameters: Parameters,
        seed: int | Seed = 0,
        n: int = 1,
        rows: Sequence[torch.Tensor] = (),
        strategy: Strategy | None = None,
    ) -> Estimate:
        """Estimate the expectation and its gradient.

        Parameters
        ----------
        parameters : mapping of str to Tensor
            What to differentiate by; the objective's first argument.
        seed : int or Seed
            Same seed, same estimate.
        n : int
            Samples, >= 1.
        rows : sequence of Tensor
            See `samples`; the result is the mean over rows.
        strategy : Strategy or None
            See `samples`.

        Returns
        -------
        Estimate
            Value and, by name, gradient; zeros for parameters that do not occur.
        """
        at = {name: value.detach().clone().requires_grad_() for name, value in parameters.items()}
        value = self.surrogate(at, rows=rows, seed=seed, n=n, strategy=strategy)
        if not value.requires_grad:
            return Estimate(value, {name: torch.zeros_like(item) for name, item in parameters.items()})
        found = torch.autograd.grad(value, list(at.values()), allow_unused=True, materialize_grads=True)
        return Estimate(value.detach(), dict(zip(at, found, strict=True)))

    def gradients(
        self, parameters: Parameters, seed: int | Seed = 0, n: int = 1, strategy: Strategy | None = None
    ) -> Estimate:
        """Return single-sample estimates, to see how much they vary.

        Parameters
        ----------
        parameters : mapping of str to Tensor
            What to differentiate by.
        seed : int or Seed
            Same seed, same estimates.
        n : int
            How many, >= 1.
        strategy : Strategy or None
            See `samples`.

        Returns
        -------
        Estimate
            Values (n,) and gradients with a leading axis of length `n`.
        """
        noise = Noise(seed)

        def one(at: dict[str, torch.Tensor]) -> torch.Tensor:
            return surrogate(lambda: self.objective(at), noise, strategy)

        # Each sample gets parameters of its own, so that one backward pass gives all gradients apart.
        many = {
            name: value.detach().expand(n, *value.shape).clone().requires_grad_() for name, value in parameters.items()
        }
        values = torch.func.vmap(one, randomness="different")(many)
        if not values.requires_grad:
            return Estimate(values, {name: torch.zeros_like(item) for name, item in many.items()})
        found = torch.autograd.grad(values.sum(), list(many.values()), allow_unused=True, materialize_grads=True)
        return Estimate(values.detach(), dict(zip(many, found, strict=True)))
