"""A language model is a distribution: over a text (`lm_text`), or over the next token (`lm_token`).

They are drawn, observed and used as proposals like any other. What many particles wait for at one moment is sent
at one moment: one request per distinct prompt, with as many rows as particles share it. `lm_steps` writes a text
token by token with a barrier after each token, sentence or line; under `smc` it is the language-model particle
filter (Lew et al. 2023, arXiv:2306.03081). Contexts are texts, so a backend may split a context into other tokens
than those that were drawn.
"""

from __future__ import annotations

import asyncio
import inspect
import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from educe.core import Ledger, UsageError, canonical_key
from educe.prob.dist import Dist
from educe.prob.numbers import LogNumber, Weight, log_of
from educe.prob.particle import CUT
from educe.prob.requests import factor
from educe.prob.source import Source
from educe.prob.steps import Done, StepProgram, steps

__all__ = ["TextModel", "lm_steps", "lm_text", "lm_token"]

Prompt = str | Sequence[Mapping[str, str]]
ENDS: dict[str, tuple[str, ...]] = {"token": ("",), "sentence": (".", "!", "?", "\n"), "line": ("\n",)}


class TextModel(Protocol):
    """What a language model has to offer; `educe.lm.LanguageModel` and `educe.lm.Session` fit."""

    async def sample(self, prompt: Any, *, n: int = 1, max_tokens: int = 256, temperature: float = 1.0) -> Any:
        """Return up to `n` completions, each with ``text``, ``tokens`` and ``finish``.

        Parameters
        ----------
        prompt : str or sequence of message
            What to continue.
        n : int
            Number of rows.
        max_tokens : int
            Most tokens of a row.
        temperature : float
            Divides the logits.
        """
        ...


class _Language(Dist):
    """What `lm_text` and `lm_token` share: grouping by prompt, seeds, costs."""

    max_tokens = 1
    stop: tuple[str, ...] = ()

    def __init__(self, lm: Any, prompt: Prompt, temperature: float) -> None:
        if not callable(getattr(lm, "sample", None)):
            raise UsageError(f"{lm!r} has no method `sample`, so it is no language model. Give for instance a Session.")
        if not prompt:
            raise UsageError("The prompt is empty. Give a text or messages to continue.")
        if not temperature > 0:
            raise UsageError(f"temperature={temperature} is no distribution with densities. Give a number > 0.")
        self.lm, self.prompt, self.temperature = lm, prompt, temperature

    def log_prob(self, value: Any) -> Any:
        """Refuse: a model's score has to be waited for, which only the sampler does."""
        raise UsageError(f"The model {self.lm!r} is asked by samplers only. Use importance, smc or mh.")

    def batch_key(self) -> Hashable:
        """The model and how it is sampled."""
        return id(self.lm), self.stop, self.max_tokens, self.temperature

    def _value(self, completion: Any) -> Any:
        return completion.text

    def _given(self, value: str) -> str:
        return value

    @classmethod
    async def sample_batch(cls, dists: Sequence[Any], source: Source) -> list[Any]:
        """Draw one text per distribution; one request per distinct prompt, all at once."""
        first, groups = dists[0], _by_prompt(dists)
        options: dict[str, Any] = {"max_tokens": first.max_tokens, "temperature": first.temperature}
        if first.stop:
            options["stop"] = first.stop
        known = inspect.signature(first.lm.sample).parameters
        requests = []
        for members in groups:
            seed = source.next_seed()
            # A model is seeded by `seed`; a session has a seed of its own and takes labels.
            extra = {"seed": seed} if "seed" in known else {"key": (seed.root, *seed.path)} if "key" in known else {}
            requests.append(first.lm.sample(dists[members[0]].prompt, n=len(members), **options, **extra))
        values: list[Any] = [CUT] * len(dists)
        for members, rows in zip(groups, await asyncio.gather(*requests), strict=True):
            tokens = sum(len(row.tokens) for row in rows)
            source.spend(first.lm, Ledger(calls=1, samples=len(rows), sampled_tokens=tokens))
            for index, row in zip(members, rows, strict=False):
                if row.finish != "budget":
                    values[index] = first._value(row)
        return values

    @classmethod
    async def evaluate_batch(cls, dists: Sequence[Any], values: Sequence[Any], source: Source) -> list[Weight]:
        """Score one text per distribution; one request per distinct prompt, all at once."""
        first, groups = dists[0], _by_prompt(dists)
        if first.temperature != 1:
            raise UsageError(f"Texts are scored at temperature 1, not {first.temperature}. Observe at temperature 1.")
        texts = [dist._given(value) for dist, value in zip(dists, values, strict=True)]
        requests = [first.lm.score(dists[group[0]].prompt, [texts[i] for i in group]) for group in groups]
        weights: list[Weight] = [LogNumber(-math.inf)] * len(dists)
        for members, rows in zip(groups, await asyncio.gather(*requests), strict=True):
            source.spend(first.lm, Ledger(calls=1, prompt_tokens=sum(len(row.tokens) for row in rows)))
            for index, row in zip(members, rows, strict=False):
                weights[index] = LogNumber(row.logprob)
        return weights


def _by_prompt(dists: Sequence[_Language]) -> list[list[int]]:
    groups: dict[Hashable, list[int]] = {}
    for index, dist in enumerate(dists):
        groups.setdefault(canonical_key(dist.prompt), []).append(index)
    return list(groups.values())


class lm_text(_Language):  # noqa: N801  (reads as a function in programs)
    """The distribution of a model's continuation of a prompt.

    Parameters
    ----------
    lm : object
        With ``async sample(prompt, n=, max_tokens=, temperature=, stop=)``; with ``async score`` to be observed.
    prompt : str or sequence of message
        What to continue.
    stop : str or tuple of str
        The text ends before the first of these; without any, where the model ends it.
    max_tokens : int
        Most tokens, >= 1. A longer text is cut there.
    temperature : float
        Divides the logits, > 0.

    Raises
    ------
    UsageError
        The prompt is empty or a number is out of range; on observing a text without a stop, since a model's score
        does not tell how probable the end is, or at another temperature than 1.

    Examples
    --------
    >>> from educe.lm import TabularLM
    >>> lm = TabularLM({"": {"heads": 0.25, "tails": 0.75}})
    >>> sorted(set(lm_text(lm, "toss:").sample(20, seed=1)))
    ['heads', 'tails']
    """

    def __init__(
        self, lm: Any, prompt: Prompt, stop: str | tuple[str, ...] = (), max_tokens: int = 256, temperature: float = 1.0
    ) -> None:
        super().__init__(lm, prompt, temperature)
        if max_tokens < 1:
            raise UsageError(f"max_tokens={max_tokens} is no text. Give a number >= 1.")
        self.stop = (stop,) if isinstance(stop, str) else tuple(stop)
        self.max_tokens = max_tokens
        self.parameters = (lm, prompt, self.stop, max_tokens, temperature)

    def _given(self, value: str) -> str:
        if not self.stop:
            raise UsageError(f"The probability that the text {value!r} ends there is not known. Give `stop`.")
        return value + self.stop[0]


class lm_token(_Language):  # noqa: N801  (reads as a function in programs)
    """The distribution of a model's next token, as text; the empty text is the end.

    Parameters
    ----------
    lm : object
        As for `lm_text`.
    prompt : str or sequence of message
        What came before.
    temperature : float
        Divides the logits, > 0.

    Notes
    -----
    A token that is only part of a character is drawn as U+FFFD.

    Examples
    --------
    >>> from educe.lm import TabularLM
    >>> lm_token(TabularLM({"": {"a": 1.0}}), "say:").sample()
    ['a']
    """

    def __init__(self, lm: Any, prompt: Prompt, temperature: float = 1.0) -> None:
        super().__init__(lm, prompt, temperature)
        self.parameters = (lm, prompt, temperature)
        self.known: dict[str, Weight] = {}

    def masked(self, allowed: Sequence[str]) -> Dist:
        """Return the law of the next token given that it is one of few.

        ``yield Draw(token, via=token.masked(allowed))`` draws one of them and lets the run count the probability that
        the model gives to all of them; ``yield token.masked(allowed)`` does not.

        Parameters
        ----------
        allowed : sequence of str
            Tokens as text, scored by the model in one request.
        """
        return _Masked(self, allowed)

    @classmethod
    async def evaluate_batch(cls, dists: Sequence[Any], values: Sequence[Any], source: Source) -> list[Weight]:
        """Score one token each; those that a mask has asked for are known."""
        missing = [i for i, (dist, value) in enumerate(zip(dists, values, strict=True)) if value not in dist.known]
        weights: list[Weight] = [
            dist.known.get(value, LogNumber(0.0)) for dist, value in zip(dists, values, strict=True)
        ]
        if missing:
            scored = await super().evaluate_batch([dists[i] for i in missing], [values[i] for i in missing], source)
            for index, weight in zip(missing, scored, strict=True):
                weights[index] = weight
        return weights

    def _value(self, completion: Any) -> Any:
        return completion.text or ("" if completion.finish == "stop" else "\ufffd")

    def _given(self, value: str) -> str:
        if not value:
            raise UsageError("A model's score does not tell how probable the end is. Observe a token with text.")
        return value


class _Masked(Dist):
    """A next token that must be one of few: the model's law, restricted and made to sum to one."""

    def __init__(self, base: lm_token, allowed: Sequence[str]) -> None:
        self.base, self.allowed = base, tuple(dict.fromkeys(allowed))
        self.parameters = (base, self.allowed)
        if not self.allowed or not all(self.allowed):
            raise UsageError(f"Tokens {list(allowed)} cannot be scored. Give at least one, none of them empty.")

    def batch_key(self) -> Hashable:
        """The model."""
        return self.base.batch_key()

    @classmethod
    async def _laws(cls, dists: Sequence[_Masked], source: Source) -> list[list[float]]:
        """Log-probabilities of the allowed tokens under the model, asked for once per distribution."""
        new = [dist for dist in dists if not all(token in dist.base.known for token in dist.allowed)]
        bases = [dist.base for dist in new for _ in dist.allowed]
        tokens = [token for dist in new for token in dist.allowed]
        if new:
            found = await lm_token.evaluate_batch(bases, tokens, source)
            for base, token, weight in zip(bases, tokens, found, strict=True):
                base.known[token] = weight
        return [[log_of(dist.base.known[token]) for token in dist.allowed] for dist in dists]

    @classmethod
    async def sample_batch(cls, dists: Sequence[Any], source: Source) -> list[Any]:
        """Draw one allowed token each."""
        laws = await cls._laws(dists, source)
        values: list[Any] = []
        for dist, logs in zip(dists, laws, strict=True):
            weights = np.exp(np.array(logs) - max(*logs, -1e300))
            if not weights.any():
                values.append(CUT)
                continue
            values.append(dist.allowed[source.rng.choice(len(logs), p=weights / weights.sum())])
        return values

    @classmethod
    async def evaluate_batch(cls, dists: Sequence[Any], values: Sequence[Any], source: Source) -> list[Weight]:
        """Probability of one allowed token each."""
        laws = await cls._laws(dists, source)
        weights: list[Weight] = []
        for dist, logs, value in zip(dists, laws, values, strict=True):
            total = sum(map(LogNumber, logs), LogNumber(-math.inf))
            inside = value in dist.allowed and total > 0
            weights.append(dist.base.known[value] / total if inside else LogNumber(-math.inf))
        return weights


def lm_steps(
    lm: Any,
    prompt: str,
    *,
    granularity: str = "token",
    stop: str = "",
    max_tokens: int = 256,
    potential: Callable[[str], float] | None = None,
) -> StepProgram:
    """Write a text token by token, with barriers, steered by a potential.

    Parameters
    ----------
    lm : object
        As for `lm_text`.
    prompt : str
        What to continue.
    granularity : str
        Where barriers stand: after each ``"token"``, ``"sentence"`` or ``"line"``.
    stop : str
        The text ends before this; empty for the model's own end only.
    max_tokens : int
        Most tokens, >= 1.
    potential : callable or None
        ``potential(text)`` is the log-weight of an unfinished or finished text. At each barrier the weight is moved
        from the old value to the new, so that the finished text counts ``exp(potential(text))``.

    Returns
    -------
    Program
        Its value is the text. Use ``text = yield from lm_steps(...)`` inside a program.

    Examples
    --------
    >>> from educe.lm import TabularLM
    >>> from educe.prob import run, smc
    >>> lm = TabularLM(lambda prompt, text: {"a": 0.5, "b": 0.5})
    >>> steered = lm_steps(lm, "go:", max_tokens=4, potential=lambda text: -9.0 * text.count("b"))
    >>> run(steered, smc(20), seed=0).mode()
    'aaaa'
    """
    if granularity not in ENDS:
        raise UsageError(f"granularity={granularity!r} is unknown. Give one of {', '.join(ENDS)}.")
    if not isinstance(prompt, str):
        raise UsageError("Messages cannot be continued token by token. Give the prompt as text.")
    if max_tokens < 1:
        raise UsageError(f"max_tokens={max_tokens} is no text. Give a number >= 1.")
    steered = potential or (lambda text: 0.0)
    return _write(("", 0.0), range(max_tokens), lm, prompt, granularity, stop, max_tokens, steered)


@steps
def _write(
    state: tuple[str, float], number: int, lm: Any, prompt: str, granularity: str, stop: str, most: int, potential: Any
) -> Any:
    """Add one token; the state is the text and the log-weight that it has counted so far."""
    text, counted = state
    token = yield lm_token(lm, prompt + text)
    text += token
    if not token or (stop and stop in text) or number + 1 == most:
        text = text.split(stop)[0] if stop else text
        yield factor(potential(text) - counted)
        return Done(text)
    if text.endswith(ENDS[granularity]):
        now = potential(text)
        yield factor(now - counted)
        counted = now
    return text, counted
