"""The No-U-Turn sampler: trajectories that double until they turn back. The reference to check other kernels by.

Source: Hoffman and Gelman (2014), arXiv:1111.4246, with the multinomial choice of Betancourt (2017), arXiv:1701.02434,
appendix A, and the turn criterion over momentum sums; subtrees are walked without recursion, keeping one momentum per
level (Phan, Pradhan and Jankowiak 2019, arXiv:1912.11554, section 3). Chains double in step: one that has turned
waits for the others, which is what many chains pay for it. `hmc` does not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from educe.prob.adaptation import Info, Tuning
from educe.prob.chains import DIVERGED, Chains, chains_of
from educe.prob.leapfrog import State, kinetic_energy, leapfrog, momentum_draw, uniforms
from educe.prob.moves import at_least_one
from educe.prob.vector import Target

__all__ = ["NUTS", "nuts"]


class _Tree:
    """A stretch of trajectory of all chains: its ends, a point drawn from it, its log-weight and momentum sum."""

    def __init__(self, state: State, momentum: torch.Tensor) -> None:
        self.left = self.right = state
        self.left_momentum = self.right_momentum = momentum
        self.chosen = state
        self.log_weight = torch.zeros_like(state.value)
        self.momentum_sum = momentum


def _where(rows: torch.Tensor, new: State, old: State) -> State:
    wide = rows[:, None]
    return State(
        torch.where(wide, new.position, old.position),
        torch.where(rows, new.value, old.value),
        torch.where(wide, new.gradient, old.gradient),
    )


def _turns(left: torch.Tensor, right: torch.Tensor, total: torch.Tensor, variance: torch.Tensor) -> torch.Tensor:
    """Whether the ends of a stretch, by their momenta and the sum of all, no longer move apart."""
    # Half an end is left out on either side, so that a stretch of two is judged by the mean of its momenta.
    span = total - 0.5 * (left + right)
    return (((left * span) @ variance) <= 0) | (((right * span) @ variance) <= 0)


@dataclass(frozen=True)
class NUTS:
    """The kernel of `nuts`.

    Parameters
    ----------
    doublings : int
        Trajectories have at most ``2 ** doublings - 1`` steps.
    acceptance : float
        To tune for.
    """

    doublings: int = 10
    acceptance: float = 0.8
    name = "nuts"
    gradient = True
    lengths = False

    def step(self, rng: np.random.Generator, target: Target, state: State, tuning: Tuning) -> tuple[State, Info]:
        """Double a trajectory until it turns and draw a point from it."""
        momentum = momentum_draw(rng, state, tuning.variance)
        start_energy = state.value - kinetic_energy(momentum, tuning.variance)
        tree = _Tree(state, momentum)
        going = torch.ones_like(state.value, dtype=torch.bool)
        diverged = torch.zeros_like(going)
        accepted, counted, evaluations = torch.zeros_like(state.value), torch.zeros_like(state.value), 0
        for depth in range(self.doublings):
            ahead = uniforms(rng, going) < 0.5
            end = _where(ahead, tree.right, tree.left)
            momentum = torch.where(ahead[:, None], tree.right_momentum, tree.left_momentum)
            step = torch.where(ahead, tuning.step_size, -tuning.step_size)[:, None]
            branch: _Tree | None = None
            levels: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
            # Rows that still grow this branch; a row that turned or diverged keeps stepping, unread.
            growing, valid = going.clone(), going.clone()
            for leaf in range(2**depth):
                momentum = momentum.clone()
                end = leapfrog(target, end, momentum, step, tuning.variance, 1)
                evaluations += 1
                log_weight = end.value - kinetic_energy(momentum, tuning.variance) - start_energy
                log_weight = torch.nan_to_num(log_weight, nan=-math.inf)
                accepted += torch.where(growing, log_weight.clamp(max=0).exp(), 0.0)
                counted += growing
                bad = growing & (log_weight < -DIVERGED)
                diverged |= bad
                branch = self._grown(rng, branch, end, momentum, log_weight, growing)
                turned = self._turned(levels, leaf, branch.momentum_sum, momentum, tuning.variance)
                valid &= ~(growing & (bad | turned))
                growing &= valid
                if not bool(growing.any()):
                    break
            assert branch is not None
            self._join(rng, tree, branch, ahead, valid, end, momentum)
            going = valid & ~_turns(tree.left_momentum, tree.right_momentum, tree.momentum_sum, tuning.variance)
            if not bool(going.any()):
                break
        return tree.chosen, Info(accepted / counted, diverged, evaluations)

    def _grown(
        self, rng: np.random.Generator, branch: _Tree | None, end: State, momentum: torch.Tensor,
        log_weight: torch.Tensor, growing: torch.Tensor,
    ) -> _Tree:  # fmt: skip
        """Add a leaf to a branch; the chosen point is drawn by weight."""
        if branch is None:
            branch = _Tree(end, momentum)
            branch.log_weight = log_weight
            return branch
        total = torch.logaddexp(branch.log_weight, log_weight)
        takes = uniforms(rng, total).log() < log_weight - total
        branch.chosen = _where(growing & takes, end, branch.chosen)
        branch.log_weight = torch.where(growing, total, branch.log_weight)
        branch.momentum_sum = branch.momentum_sum + momentum
        return branch

    def _turned(
        self, levels: dict[int, tuple[torch.Tensor, torch.Tensor]], leaf: int, total: torch.Tensor,
        momentum: torch.Tensor, variance: torch.Tensor,
    ) -> torch.Tensor:  # fmt: skip
        """Whether any balanced subtree that ends at this leaf turns. Even leaves begin subtrees, odd ones end them."""
        depth = (leaf >> 1).bit_count()
        if leaf % 2 == 0:
            levels[depth] = (momentum, total)
            return torch.zeros(len(momentum), dtype=torch.bool)
        ending = (~leaf & (leaf + 1)).bit_length() - 1
        turned = torch.zeros(len(momentum), dtype=torch.bool)
        for level in range(depth, depth - ending, -1):
            first, before = levels[level]
            turned |= _turns(first, momentum, total - before + first, variance)
        return turned

    def _join(
        self, rng: np.random.Generator, tree: _Tree, branch: _Tree, ahead: torch.Tensor, valid: torch.Tensor,
        end: State, momentum: torch.Tensor,
    ) -> None:  # fmt: skip
        """Extend the tree by a whole branch, where it is valid; prefer the branch's point."""
        chance = (branch.log_weight - tree.log_weight).clamp(max=0).exp()
        takes = uniforms(rng, chance) < chance
        tree.chosen = _where(valid & takes, branch.chosen, tree.chosen)
        right, left = valid & ahead, valid & ~ahead
        tree.right, tree.left = _where(right, end, tree.right), _where(left, end, tree.left)
        tree.right_momentum = torch.where(right[:, None], momentum, tree.right_momentum)
        tree.left_momentum = torch.where(left[:, None], momentum, tree.left_momentum)
        tree.momentum_sum = torch.where(valid[:, None], tree.momentum_sum + branch.momentum_sum, tree.momentum_sum)
        total = torch.logaddexp(tree.log_weight, branch.log_weight)
        tree.log_weight = torch.where(valid, total, tree.log_weight)


def nuts(
    chains: int = 64, draws: int = 200, warmup: int = 200, *, doublings: int = 10, acceptance: float = 0.8
) -> Chains:
    """The No-U-Turn sampler, for programs of fixed structure with real draws only. There is no evidence.

    Parameters
    ----------
    chains : int
        Chains side by side, >= 1. All wait for the longest trajectory of each iteration.
    draws : int
        States to keep of each, >= 1.
    warmup : int
        States for tuning, dropped, >= 0.
    doublings : int
        Longest trajectory: ``2 ** doublings - 1`` steps, >= 1.
    acceptance : float
        Mean acceptance probability along trajectories to tune for, in (0, 1).

    Returns
    -------
    Chains
        For `run`; the posterior is that of `hmc`.

    Examples
    --------
    >>> from educe.prob import Normal, observe, program, run
    >>> @program
    ... def mean(seen):
    ...     mu = yield Normal(0.0, 10.0) @ "mu"
    ...     yield observe(Normal(mu, 1.0), seen)
    >>> posterior = run(mean(torch.tensor([1.0, 3.0])), nuts(chains=8, draws=200), seed=0)
    >>> round(float(posterior.expect(lambda draw: draw["mu"])), 1)
    2.0
    """
    at_least_one(doublings=doublings)
    return chains_of(NUTS(doublings, acceptance), chains, draws, warmup)
