"""The networks and programs behind `VLUCI`: a hidden confounder, what it moves, and the guides that infer it."""

from __future__ import annotations

import math
from typing import Any

import torch

from educe.causal._networks import perceptron
from educe.prob import BernoulliLogits, Normal, observe, program
from educe.prob.vi import Objective, elbo

__all__ = ["ConfoundedModel"]


class ConfoundedModel(torch.nn.Module):
    """c ~ N(0, I), t | x, c, y | x, t, c and guides for c; every program is written for all rows at once."""

    def __init__(
        self,
        d: int,
        k: int,
        hidden: tuple[int, ...],
        *,
        binary_treatment: bool,
        binary_outcome: bool,
        double: bool,
        strength: float | None,
        sigma: float,
        learn_sigma: bool,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.k, self.strength = k, strength
        self.binary_treatment, self.binary_outcome, self.two_guides = binary_treatment, binary_outcome, double
        self.choice = perceptron(d if strength is not None else d + k, hidden, 1, generator)
        self.late = perceptron(d + 2, hidden, 2 * k, generator)
        if binary_treatment:
            self.control = perceptron(d + k, hidden, 1, generator)
            self.treated = perceptron(d + k, hidden, 1, generator)
        else:
            self.response = perceptron(d + 1 + k, hidden, 1, generator)
        if double:
            self.early = perceptron(d + 1, hidden, 2 * k, generator)
        self.log_sigma_y = torch.nn.Parameter(torch.tensor(math.log(sigma)), requires_grad=learn_sigma)
        self.log_sigma_t = torch.nn.Parameter(torch.tensor(-0.7))

    def guide(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and deviation of the confounder given x, t (early) or x, t, y (late)."""
        network = self.late if len(inputs) == 3 else self.early
        flat = torch.cat([item if item.ndim == 2 else item[:, None] for item in inputs], dim=1)
        loc, log_scale = network(flat).chunk(2, 1)
        # Bounded, so that no early step leaves the range of numbers.
        return loc, log_scale.clamp(-6, 3).exp()

    def choose(self, x: torch.Tensor, c: torch.Tensor) -> Any:
        """The law of the treatment."""
        if self.strength is None:
            index = self.choice(torch.cat([x, c], dim=-1)).squeeze(-1)
        else:
            index = self.choice(x).squeeze(-1) + self.strength * c[..., 0]
        return BernoulliLogits(index) if self.binary_treatment else Normal(index, self.log_sigma_t.exp())

    def expected(self, x: torch.Tensor, t: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        """The outcome's mean, or log-odds."""
        if not self.binary_treatment:
            single: torch.Tensor = self.response(torch.cat([x, t[..., None], c], dim=-1)).squeeze(-1)
            return single
        both = torch.cat([x, c], dim=-1)
        return torch.where(t == 1, self.treated(both).squeeze(-1), self.control(both).squeeze(-1))

    def respond(self, x: torch.Tensor, t: torch.Tensor, c: torch.Tensor) -> Any:
        """The law of the outcome."""
        middle = self.expected(x, t, c)
        return BernoulliLogits(middle) if self.binary_outcome else Normal(middle, self.log_sigma_y.exp())

    def objectives(self) -> list[Objective]:
        """The bounds whose sum is maximised."""

        @program
        def late(x: torch.Tensor, t: torch.Tensor, y: torch.Tensor) -> Any:
            yield Normal(*self.guide(x, t, y)) @ "c"

        @program
        def early(x: torch.Tensor, t: torch.Tensor, y: torch.Tensor) -> Any:
            yield Normal(*self.guide(x, t)) @ "c"

        @program
        def whole(x: torch.Tensor, t: torch.Tensor, y: torch.Tensor) -> Any:
            c = yield Normal(torch.zeros(self.k), torch.ones(self.k)) @ "c"
            yield observe(self.choose(x, c), t)
            yield observe(self.respond(x, t, c), y)

        @program
        def treatment(x: torch.Tensor, t: torch.Tensor, y: torch.Tensor) -> Any:
            c = yield Normal(torch.zeros(self.k), torch.ones(self.k)) @ "c"
            yield observe(self.choose(x, c), t)

        @program
        def outcome(x: torch.Tensor, t: torch.Tensor, y: torch.Tensor) -> Any:
            c = yield Normal(*self.guide(x, t)) @ "c"
            yield observe(self.respond(x, t, c), y)

        return [elbo(treatment, early), elbo(outcome, late)] if self.two_guides else [elbo(whole, late)]
