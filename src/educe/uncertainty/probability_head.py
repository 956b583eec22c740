"""A head that reads one probability off a decoder's last hidden state, trained on rates by cross-entropy.

Source: Kadavath et al. (2022), arXiv:2207.05221, section 5: a scalar logit at the last token, the whole network
fine-tuned (``finetune``); with the network frozen it is a linear probe (``probe``). The target is the rate at which
the thing came true, which has the same gradient as that many positive and negative copies. Training works on a copy:
the decoder whose knowledge is predicted, and from which the labels came, stays as it is.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from educe.core import Seed, UsageError
from educe.lm.decoder import Decoder, padded_batch
from educe.uncertainty.metrics import checked

__all__ = ["ProbabilityHead"]

Floats = npt.NDArray[np.float64]
AT_ONCE = 256


class ProbabilityHead:
    """Probability that something holds of a text, read off a decoder.

    Parameters
    ----------
    decoder : Decoder
        The model; it is copied.
    head : str
        ``"finetune"`` trains the copy as a whole, ``"probe"`` only a linear layer on it.
    updates : int
        Number of updates, >= 1.
    batch : int
        Texts per update, >= 1.
    learning_rate : float
        Of AdamW at its highest, > 0; it falls linearly to 0.
    seed : int or Seed
        Order of the texts.

    Raises
    ------
    UsageError
        A parameter is out of range.

    Examples
    --------
    >>> from educe.lm.decoder import DecoderConfig
    >>> decoder = Decoder(DecoderConfig(vocabulary=8, layers=1, width=8, heads=2, feed_forward=16))
    >>> head = ProbabilityHead(decoder, updates=60).fit([[1, 2], [1, 3]] * 20, [1.0, 0.0] * 20)
    >>> high, low = head.predict([[1, 2], [1, 3]])
    >>> bool(high > 0.5 > low)
    True
    """

    def __init__(
        self,
        decoder: Decoder,
        *,
        head: str = "finetune",
        updates: int = 250,
        batch: int = 96,
        learning_rate: float = 5e-4,
        seed: int | Seed = 0,
    ) -> None:
        if head not in ("finetune", "probe"):
            raise UsageError(f"head={head!r} is unknown. Give 'finetune' or 'probe'.")
        if updates < 1 or batch < 1 or not learning_rate > 0:
            raise UsageError(
                f"updates={updates}, batch={batch}, learning_rate={learning_rate} train nothing. Give numbers above 0."
            )
        self.head, self.updates, self.batch, self.learning_rate = head, updates, batch, learning_rate
        self.seed = Seed.of(seed).child("probability head")
        self.decoder = copy.deepcopy(decoder)
        self._out = nn.Linear(decoder.config.width, 1)
        nn.init.zeros_(self._out.weight)
        nn.init.zeros_(self._out.bias)

    def fit(self, texts: Sequence[Sequence[int]], rates: npt.ArrayLike) -> ProbabilityHead:
        """Train on texts and the rates at which the thing came true.

        Parameters
        ----------
        texts : sequence of sequences of int
            Tokens, each text not empty.
        rates : (texts,) array-like
            In [0, 1].

        Returns
        -------
        ProbabilityHead
            Itself.

        Raises
        ------
        UsageError
            The lengths differ, a rate is no number in [0, 1], or a text is empty.
        """
        _, target = checked(np.zeros(len(texts)), rates)
        if not all(map(len, texts)):
            raise UsageError("A text has no token, so there is nothing to read it off. Leave it out.")
        wanted = torch.from_numpy(target).float()
        if self.head == "probe":
            return self._fit_probe(texts, wanted)
        weights = [*self.decoder.parameters(), *self._out.parameters()]
        optimizer = torch.optim.AdamW(weights, lr=self.learning_rate, weight_decay=0.01)
        rng = self.seed.numpy()
        order: list[int] = []
        for update in range(self.updates):
            if len(order) < self.batch:
                order += rng.permutation(len(texts)).tolist()
            chosen, order = order[: self.batch], order[self.batch :]
            logits = self._logits([texts[i] for i in chosen])
            functional.binary_cross_entropy_with_logits(logits, wanted[chosen]).backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(weights, 1.0)
            for group in optimizer.param_groups:
                group["lr"] = self.learning_rate * (1 - update / self.updates)
            optimizer.step()
            optimizer.zero_grad()
        return self

    def _fit_probe(self, texts: Sequence[Sequence[int]], wanted: torch.Tensor) -> ProbabilityHead:
        with torch.no_grad():
            states = torch.cat([self._states(texts[i : i + AT_ONCE]) for i in range(0, len(texts), AT_ONCE)])
        optimizer = torch.optim.LBFGS(self._out.parameters(), max_iter=self.updates, line_search_fn="strong_wolfe")

        def loss() -> float:
            optimizer.zero_grad()
            value = functional.binary_cross_entropy_with_logits(self._out(states)[:, 0], wanted)
            # A little shrinkage, or separable data have no minimum.
            value = value + 1e-4 * self._out.weight.square().sum()
            value.backward()  # type: ignore[no-untyped-call]
            return float(value.detach())

        optimizer.step(loss)  # type: ignore[no-untyped-call]
        return self

    def _states(self, texts: Sequence[Sequence[int]]) -> torch.Tensor:
        """Hidden state at each text's last token."""
        hidden = self.decoder.hidden(padded_batch(texts))
        return hidden[torch.arange(len(texts)), torch.tensor([len(text) - 1 for text in texts])]

    def _logits(self, texts: Sequence[Sequence[int]]) -> torch.Tensor:
        found: torch.Tensor = self._out(self._states(texts))[:, 0]
        return found

    @torch.no_grad()
    def predict(self, texts: Sequence[Sequence[int]]) -> Floats:
        """Return the probability for each text, (texts,) float64.

        Parameters
        ----------
        texts : sequence of sequences of int
            Tokens.
        """
        parts = [self._logits(texts[i : i + AT_ONCE]).double().sigmoid() for i in range(0, len(texts), AT_ONCE)]
        return np.asarray(torch.cat(parts).numpy()) if parts else np.empty(0)
