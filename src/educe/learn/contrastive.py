"""Contrastive representation by maximum likelihood: ``P(positive | x, x') = sigmoid(<f(x), f(x')>)``.

Source: the contrastive instance of Ge, Tang, Fan, Jin (2023), arXiv:2303.01566. The encoder is linear or a two-layer
perceptron; the logistic loss over all pairs is minimised by L-BFGS in full batches, so it is meant for pairs that fit
in memory. The representation is identified up to a rotation only, and for the perceptron the minimum is a local one.
"""

from __future__ import annotations

import math
from typing import Any, Literal, Self

import numpy as np
import torch

from educe.core import Posterior, Seed, UsageError
from educe.learn._arrays import Floats, matrix, signs
from educe.learn._estimator import Estimator

__all__ = ["Contrastive"]


class Contrastive(Estimator):
    """Encoder fitted to pairs that belong together or not.

    Parameters
    ----------
    rank : int
        Length of the representation, >= 1.
    encoder : {"linear", "mlp"}
        ``x -> W x``, or one hidden layer of tanh units before it.
    hidden : int
        Width of the hidden layer; without a role for the linear encoder.
    decay : float
        Weight decay: half of it times the squared norm is added to the mean loss, >= 0.
    iterations : int
        Most L-BFGS steps, >= 1.
    seed : int or Seed
        Of the first weights.

    Attributes
    ----------
    loss_ : float
        Mean negative log-likelihood at the end; log 2 is what no information gives.

    Examples
    --------
    >>> random = np.random.default_rng(0)
    >>> left, right = random.normal(size=(2, 2000, 2))
    >>> together = random.random(2000) < 1 / (1 + np.exp(-4 * left[:, 0] * right[:, 0]))
    >>> weights = Contrastive(rank=1).fit((left, right, together)).represent(np.eye(2))
    >>> abs(weights).ravel().round()
    array([2., 0.])
    """

    loss_: float
    _net: torch.nn.Sequential

    def __init__(
        self,
        rank: int = 1,
        encoder: Literal["linear", "mlp"] = "linear",
        hidden: int = 32,
        decay: float = 1e-5,
        iterations: int = 200,
        seed: int | Seed = 0,
    ) -> None:
        self.rank = rank
        self.encoder = encoder
        self.hidden = hidden
        self.decay = decay
        self.iterations = iterations
        self.seed = seed

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: N803
        """Fit the encoder to pairs.

        Parameters
        ----------
        X : tuple of array_like
            Left points (m, d), right points (m, d), and (m,) flags of two values, the larger for "belong together".
        y : object
            Ignored.

        Raises
        ------
        UsageError
            The pairs or a parameter are malformed.
        """
        if not isinstance(X, tuple) or len(X) != 3:
            raise UsageError("Contrastive learning needs pairs. Pass a tuple (left points, right points, flags).")
        if min(self.rank, self.hidden, self.iterations) < 1 or not self.decay >= 0:
            raise UsageError(
                f"rank={self.rank}, hidden={self.hidden}, iterations={self.iterations}, decay={self.decay} fit "
                "nothing. Give whole numbers >= 1 and a decay of zero or more."
            )
        if self.encoder not in ("linear", "mlp"):
            raise UsageError(f"encoder={self.encoder!r} is unknown. Use 'linear' or 'mlp'.")
        left, right = matrix(X[0], "left", rows=2), matrix(X[1], "right", rows=2)
        if left.shape != right.shape:
            raise UsageError(f"Left points are {left.shape} and right points {right.shape}. Pass one of each per pair.")
        together = signs(X[2], len(left), "flags")[0]
        self._remember(X[0], left)
        width = left.shape[1]
        layers: list[torch.nn.Module] = [torch.nn.Linear(width, self.rank, bias=False, dtype=torch.float64)]
        if self.encoder == "mlp":
            layers = [
                torch.nn.Linear(width, self.hidden, dtype=torch.float64),
                torch.nn.Tanh(),
                torch.nn.Linear(self.hidden, self.rank, bias=False, dtype=torch.float64),
            ]
        self._net = torch.nn.Sequential(*layers)
        source = Seed.of(self.seed).child("weights").torch()
        with torch.no_grad():
            for parameter in self._net.parameters():
                parameter.normal_(0, 1 / math.sqrt(parameter.shape[-1]), generator=source)
        pairs = torch.as_tensor(np.stack([left, right]))
        sides = torch.as_tensor(together)
        weights = list(self._net.parameters())
        optimiser = torch.optim.LBFGS(
            weights, max_iter=self.iterations, tolerance_grad=1e-9, line_search_fn="strong_wolfe"
        )

        def objective() -> torch.Tensor:
            optimiser.zero_grad()
            value = self._loss(pairs, sides) + 0.5 * self.decay * sum((item**2).sum() for item in weights)
            value.backward()  # type: ignore[no-untyped-call]
            return value

        optimiser.step(objective)  # type: ignore[no-untyped-call]
        with torch.no_grad():
            self.loss_ = float(self._loss(pairs, sides))
        return self

    def _loss(self, pairs: torch.Tensor, sides: torch.Tensor) -> torch.Tensor:
        first, second = self._net(pairs)
        return torch.nn.functional.softplus(-sides * (first * second).sum(1)).mean()

    def represent(self, X: Any) -> Floats:  # noqa: N803
        """Encode points.

        Parameters
        ----------
        X : array_like, tensor or data frame
            (n, d).

        Returns
        -------
        ndarray
            (n, rank).
        """
        table = self._recall(X)
        with torch.no_grad():
            return np.asarray(self._net(torch.as_tensor(table)).numpy(), dtype=np.float64)

    def log_prob(self, X: Any) -> Floats:  # noqa: N803
        """Log-probability of the flags of pairs.

        Parameters
        ----------
        X : tuple of array_like
            As for `fit`.
        """
        together = signs(X[2], len(X[0]), "flags")[0]
        scores = (self.represent(X[0]) * self.represent(X[1])).sum(1)
        return np.asarray(-np.logaddexp(0, -together * scores), dtype=np.float64)

    def posterior(self, x: Any) -> Posterior[dict[str, torch.Tensor]]:
        """Represent one point; the encoder is a function, so all mass is on one value.

        Parameters
        ----------
        x : array_like
            (d,).

        Returns
        -------
        Posterior
            One particle, ``{"z": (rank,) tensor}``.
        """
        value = self.represent(np.asarray(x, dtype=np.float64)[None, :])[0]
        return Posterior({"z": torch.as_tensor(value)[None, :]}, torch.zeros(1, dtype=torch.float64))
