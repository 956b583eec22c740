"""P(IK), "I know": the probability that a model will answer a question right, before it answers.

Source: Kadavath et al. (2022), arXiv:2207.05221, section 5: labels are the rates of right samples at temperature 1,
the predictor is a head on the model's own last hidden state (`ProbabilityHead`). Trained on one kind of question it
ranks others above chance but is badly calibrated there. It moves with what stands before the question, such as a
passage that holds the answer.

Labels come from the model as it is; the head trains a copy. A verbal self-report was found worse and is not offered.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from educe.core import CapabilityError, Ledger, Seed, UsageError
from educe.lm import Completion, LanguageModel, Message, Session
from educe.lm.decoder import Decoder
from educe.uncertainty.probability_head import ProbabilityHead

__all__ = ["PIK"]

Floats = npt.NDArray[np.float64]
Encode = Callable[[Any], Sequence[int]]
Checker = Callable[[int, Completion], bool]


class PIK:
    """A fitted predictor of a model's own success.

    Made by `PIK.fit`.

    Parameters
    ----------
    head : ProbabilityHead
        What reads the probability.
    encode : callable
        Puts a question as tokens.
    rates : (questions,) float64
        The rates it was trained on.
    ledger : Ledger
        What drawing the labels cost.
    """

    def __init__(self, head: ProbabilityHead, encode: Encode, rates: Floats, ledger: Ledger) -> None:
        self._head, self._encode, self.rates, self.ledger = head, encode, rates, ledger

    @classmethod
    def fit(
        cls,
        model: LanguageModel | Decoder,
        questions: Sequence[Any],
        checker: Checker | None = None,
        *,
        rates: npt.ArrayLike | None = None,
        samples: int = 30,
        head: str = "finetune",
        epochs: float = 20.0,
        encode: Encode | None = None,
        max_tokens: int = 256,
        seed: int | Seed = 0,
    ) -> PIK:
        """Train a predictor of the model's success.

        Parameters
        ----------
        model : LanguageModel or Decoder
            A local model of our engine that a plain `Decoder` can load, or a decoder, which needs `encode` and `rates`.
        questions : sequence
            Texts, or whatever `encode` takes.
        checker : callable, optional
            ``checker(index, completion)`` tells whether a sample answers question ``index`` right.
        rates : array-like, optional
            Rates of right samples, where they are known; nothing is drawn then.
        samples : int
            Samples per question to draw, >= 1.
        head : str
            ``"finetune"`` or ``"probe"``.
        epochs : float
            How often each question is seen in fine-tuning, > 0.
        encode : callable, optional
            Puts a question as tokens; the model's chat form when left out.
        max_tokens : int
            Most tokens of a sample.
        seed : int or Seed
            Root of samples and order.

        Returns
        -------
        PIK

        Raises
        ------
        UsageError
            There is no question, neither or both of checker and rates are given, or a parameter is out of range.
        CapabilityError
            The model's weights cannot be trained here.

        Examples
        --------
        >>> from educe.lm.decoder import DecoderConfig
        >>> decoder = Decoder(DecoderConfig(vocabulary=16, layers=1, width=8, heads=2, feed_forward=16))
        >>> known = PIK.fit(decoder, [3, 4] * 20, rates=[0.9, 0.1] * 20, encode=lambda number: [1, number])
        >>> easy, hard = known.predict([3, 4])
        >>> bool(easy > hard)
        True
        """
        if not questions or (checker is None) == (rates is None) or samples < 1 or not epochs > 0:
            raise UsageError(
                f"{len(questions)} questions, samples={samples}, epochs={epochs} with checker or rates do not train. "
                "Give questions, numbers above 0, and either a checker or rates."
            )
        root = Seed.of(seed).child("P(IK)")
        if isinstance(model, Decoder):
            if encode is None or rates is None:
                raise UsageError("A bare decoder cannot read or answer questions. Give encode and rates.")
            decoder = model
        else:
            decoder, encode = _decoder_of(model), encode or _chat_encoder(model)
        ledger = Ledger()
        if rates is None and isinstance(model, LanguageModel) and checker is not None:
            rates, ledger = _draw_rates(model, questions, checker, samples, max_tokens, root.child("samples"))
        known = np.asarray(rates, dtype=np.float64)
        batch = min(96, len(questions))
        updates = 250 if head == "probe" else max(1, round(epochs * len(questions) / batch))
        fitted = ProbabilityHead(decoder, head=head, updates=updates, batch=batch, seed=root)
        fitted.fit([list(encode(question)) for question in questions], known)
        return cls(fitted, encode, known, ledger)

    def predict(self, questions: Sequence[Any], context: str | None = None) -> Floats:
        """Return the probability of a right answer to each question, (questions,) float64.

        Parameters
        ----------
        questions : sequence
            As in `fit`.
        context : str, optional
            A text that is put before each question, for questions that are texts.
        """
        asked = questions if context is None else [f"{context}\n{question}" for question in questions]
        return self._head.predict([list(self._encode(question)) for question in asked])


def _decoder_of(model: LanguageModel) -> Decoder:
    if model.path is None or not model.path.is_dir():
        raise CapabilityError(
            f"Model {model.name!r} has no folder of weights that could be trained. Use for instance abacus."
        )
    return Decoder.load(model.path)


def _chat_encoder(model: LanguageModel) -> Encode:
    tokenizer = getattr(model, "tokenizer", None)
    if tokenizer is None:
        raise CapabilityError(f"Model {model.name!r} shows no tokenizer. Give encode.")

    def encode(question: Any) -> Sequence[int]:
        encoded = tokenizer.encode_prompt([Message(role="user", content=str(question))])
        return [*encoded.head, *tokenizer.encode(encoded.tail)]

    return encode


def _draw_rates(
    model: LanguageModel, questions: Sequence[Any], checker: Checker, samples: int, max_tokens: int, seed: Seed
) -> tuple[Floats, Ledger]:
    session = Session(model, seed=seed)
    rates = []
    for index, question in enumerate(questions):
        prompt = [Message(role="user", content=str(question))]
        rows = session.sample_sync(prompt, n=samples, temperature=1.0, max_tokens=max_tokens)
        rates.append(float(np.mean([bool(checker(index, row)) for row in rows])))
    return np.array(rates), session.ledger
