"""Variational objectives, each an ordinary program over `simulate` and `assess`; all are to be maximised.

Sources: ELBO; importance-weighted bound (Burda et al. 2016, arXiv:1509.00519); hierarchical bounds (Ranganath et al.
2016, arXiv:1511.02386; Sobolev and Vetrov 2019, arXiv:1905.03290); reweighted wake-sleep (Bornschein and Bengio 2015,
arXiv:1406.2751); VIMCO (Mnih and Rezende 2016, arXiv:1602.06725). `model` and `guide` are programs, or functions that
make programs from the arguments of the objective: parameters and perhaps one row of data.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from educe.core import UsageError
from educe.prob.program import Steps
from educe.prob.vi.expectation import copies
from educe.prob.vi.marginal import log_mean_exp, marginal, normalize, sir
from educe.prob.vi.strategies import fixed, score_of
from educe.prob.vi.trace import Generative, assess, made, simulate

__all__ = [
    "Objective",
    "diwhvi",
    "elbo",
    "hvi",
    "iwelbo",
    "iwhvi",
    "p_wake",
    "q_wake",
    "reweighted_wake_sleep",
    "vimco",
]

Maker = Generative | Callable[..., Generative]


@dataclass(frozen=True)
class Objective:
    """An objective that knows its guide, so that `fit` can draw from it.

    Parameters
    ----------
    steps : callable
        Takes the objective's arguments, makes the generator that draws and returns a number.
    guide : Program, callable or None
        What is fitted.
    lower_bound : bool
        Whether the expectation is at most the log-evidence.
    """

    steps: Callable[..., Steps]
    guide: Maker | None = None
    lower_bound: bool = False

    def __call__(self, *args: Any) -> Steps:
        """Make the generator of one run."""
        return self.steps(*args)


def elbo(model: Maker, guide: Maker) -> Objective:
    """Evidence lower bound: mean of log p(choices, data) - log q(choices).

    Parameters
    ----------
    model : Program or callable
        Draws the same names as the guide, and observes.
    guide : Program, marginal or callable
        Draws a value for every draw of the model.

    Examples
    --------
    >>> from educe.prob import Normal, observe, program
    >>> from educe.prob.vi import E
    >>> @program
    ... def model():
    ...     x = yield Normal(0.0, 1.0) @ "x"
    ...     yield observe(Normal(x, 1.0), 2.0)
    >>> @program
    ... def guide(q):
    ...     yield Normal(q["mu"], 0.5 ** 0.5) @ "x"
    >>> bound = E(elbo(model(), guide)).value_and_grad({"mu": torch.tensor(1.0)}, n=100)
    >>> round(float(bound.value), 4)  # the guide is the posterior: log N(2; 0, 2)
    -2.2655
    """

    def steps(*args: Any) -> Steps:
        choices, log_q = yield from simulate(made(guide, args))
        return (yield from assess(made(model, args), choices)) - log_q

    return Objective(steps, guide, lower_bound=True)


def iwelbo(model: Maker, guide: Maker, n: int) -> Objective:
    """Importance-weighted bound: log of the mean of `n` ratios p / q. Tighter with larger `n`.

    The signal in the gradient of the guide's parameters falls with `n` beside its noise (Rainforth et al. 2018).

    Parameters
    ----------
    model, guide : Program or callable
        See `elbo`.
    n : int
        Particles, >= 1.
    """

    def steps(*args: Any) -> Steps:
        return log_mean_exp((yield from copies(n, lambda: elbo(model, guide).steps(*args))))

    return Objective(steps, guide, lower_bound=True)


def hvi(model: Maker, guide: Maker, keep: Sequence[str], proposal: Any = None) -> Objective:
    """Hierarchical bound: the guide has auxiliary choices, integrated out with one particle.

    Parameters
    ----------
    model, guide : Program or callable
        See `elbo`; the guide draws more names than the model.
    keep : sequence of str
        The names of the model.
    proposal : callable or None
        See `sir`.
    """
    return iwhvi(model, guide, keep, 1, proposal)


def iwhvi(model: Maker, guide: Maker, keep: Sequence[str], m: int, proposal: Any = None) -> Objective:
    """Hierarchical bound with `m` particles for the auxiliary choices.

    Parameters
    ----------
    model, guide : Program or callable
        See `hvi`.
    keep : sequence of str
        The names of the model.
    m : int
        Particles, >= 1.
    proposal : callable or None
        See `sir`.
    """
    return elbo(model, lambda *args: marginal(made(guide, args), keep, sir(m, proposal)))


def diwhvi(model: Maker, guide: Maker, keep: Sequence[str], n: int, m: int, proposal: Any = None) -> Objective:
    """Doubly importance-weighted hierarchical bound: `iwelbo` over the guide of `iwhvi`.

    Parameters
    ----------
    model, guide : Program or callable
        See `hvi`.
    keep : sequence of str
        The names of the model.
    n, m : int
        Particles outside and inside, >= 1.
    proposal : callable or None
        See `sir`.
    """
    return iwelbo(model, lambda *args: marginal(made(guide, args), keep, sir(m, proposal)), n)


def q_wake(model: Maker, guide: Maker, n: int) -> Objective:
    """Wake phase of the guide: log q(z) at a z drawn from the model's posterior by `n` guide particles, held fixed.

    Parameters
    ----------
    model, guide : Program or callable
        See `elbo`.
    n : int
        Particles, >= 1.
    """

    def steps(*args: Any) -> Steps:
        posterior = normalize(made(model, args), sir(n, made(guide, args)))
        choices, _ = yield from simulate(posterior, fixed)
        return (yield from assess(made(guide, args), choices))

    return Objective(steps, guide)


def p_wake(model: Maker, guide: Maker, n: int) -> Objective:
    """Wake phase of the model: log p(z, data) at a z drawn as in `q_wake`.

    Parameters
    ----------
    model, guide : Program or callable
        See `elbo`.
    n : int
        Particles, >= 1.
    """

    def steps(*args: Any) -> Steps:
        posterior = normalize(made(model, args), sir(n, made(guide, args)))
        choices, _ = yield from simulate(posterior, fixed)
        return (yield from assess(made(model, args), choices))

    return Objective(steps, guide)


def reweighted_wake_sleep(model: Maker, guide: Maker, n: int) -> Objective:
    """Both wake phases at the same z: log p(z, data) + log q(z). Model and guide must not share parameters.

    Parameters
    ----------
    model, guide : Program or callable
        See `elbo`.
    n : int
        Particles, >= 1.
    """

    def steps(*args: Any) -> Steps:
        posterior = normalize(made(model, args), sir(n, made(guide, args)))
        choices, _ = yield from simulate(posterior, fixed)
        return (yield from assess(made(model, args), choices)) + (yield from assess(made(guide, args), choices))

    return Objective(steps, guide)


def vimco(model: Maker, guide: Maker, n: int) -> Objective:
    """`iwelbo` with score-function gradients and a baseline for each particle made from the others.

    Parameters
    ----------
    model, guide : Program or callable
        See `elbo`; strategies of the guide are not used.
    n : int
        Particles, >= 2.
    """
    if n < 2:
        raise UsageError(f"n={n} leaves no other particle for the baseline. Give n >= 2.")

    def particle(*args: Any) -> Steps:
        choices, log_q = yield from simulate(made(guide, args), fixed)
        return (yield from assess(made(model, args), choices)) - log_q, log_q

    def steps(*args: Any) -> Steps:
        ratios, log_q = yield from copies(n, lambda: particle(*args))
        bound, detached = log_mean_exp(ratios), ratios.detach()
        others = (detached.sum(0) - detached) / (n - 1)
        alone = torch.eye(n, dtype=torch.bool).reshape(n, n, *[1] * (detached.ndim - 1))
        replaced = torch.where(alone, others[:, None], detached[None])
        signal = bound.detach() - (torch.logsumexp(replaced, 1) - math.log(n))
        return bound + (signal * score_of(log_q)).sum(0)

    return Objective(steps, guide, lower_bound=True)
