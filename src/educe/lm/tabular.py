"""`TabularLM`: a language model small enough to enumerate, so that exact answers stand beside sampled ones.

Its law is a table: the text so far gives the probabilities of the next token, a piece of text, or the end.
Probabilities of completions, of any statement about them, and of being right at least once in n samples are sums
over all completions, exact to rounding. A wrong weight in an inference method shows against these.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import torch

from educe.core.errors import UsageError
from educe.core.ledger import Ledger
from educe.core.posterior import EvidenceKind, Posterior
from educe.lm.completion import Chunk, Completion, Sampling
from educe.lm.engine.rows import Row
from educe.lm.engine.sampling import draw
from educe.lm.model import LanguageModel
from educe.lm.prompt import Prompt, check_prompt, prompt_text

__all__ = ["TabularLM"]

END = ""
Table = Mapping[str, Mapping[str, float]]
MOST_COMPLETIONS = 1_000_000


class _Spelling:
    """What `Row` needs of a tokenizer: the end token, and the text of each token."""

    stop = frozenset({0})

    def __init__(self, model: TabularLM) -> None:
        self._model = model

    def decoder(self) -> _Spelling:
        return self

    def feed(self, token: int) -> str:
        return self._model.token_text(token)

    def flush(self) -> str:
        return ""


class TabularLM(LanguageModel):
    """A language model given by its next-token probabilities.

    Parameters
    ----------
    table : mapping or callable
        ``table[text]`` or ``table(prompt, text)``: probabilities of the next token by its text, after the row's
        text so far. The empty token ends the row. A text that a mapping lacks ends the row. Where a chat ends with the
        assistant's beginning, the table sees the chat without it, and the beginning as part of the text.
    name : str
        Shown in results.

    Raises
    ------
    UsageError
        On use: probabilities are negative or do not sum to one.

    Examples
    --------
    >>> lm = TabularLM({"": {"heads": 0.25, "tails": 0.75}})
    >>> lm.probability("toss:", "heads"), round(lm.coverage("toss:", lambda text: text == "heads", n=2), 4)
    (0.25, 0.4375)
    """

    capabilities = frozenset({"logprobs", "score", "seed", "text", "chat", "continuation"})

    def __init__(self, table: Table | Callable[[str, str], Mapping[str, float]], *, name: str = "tabular") -> None:
        self.name = name
        self._table = table
        self._ids: dict[str, int] = {END: 0}
        self._texts = [END]
        self._known: dict[tuple[str, str], dict[str, float]] = {}

    def next_tokens(self, prompt: Prompt, text: str) -> dict[str, float]:
        """Return the probabilities of the next token, by its text, in alphabetical order.

        Parameters
        ----------
        prompt : str or sequence of Message
            What came first.
        text : str
            The row so far.
        """
        if not isinstance(prompt, str) and prompt[-1]["role"] == "assistant":
            prompt, text = prompt[:-1], prompt[-1]["content"] + text
        key = (prompt_text(prompt) if prompt else "", text)
        if key not in self._known:
            given = self._table(*key) if callable(self._table) else self._table.get(text, {END: 1.0})
            law = {token: float(value) for token, value in sorted(given.items()) if value != 0}
            total = math.fsum(law.values())
            if not law or min(law.values()) < 0 or not math.isclose(total, 1.0, abs_tol=1e-9):
                raise UsageError(f"Probabilities after {text!r} are {law}, sum {total}. Give a law that sums to one.")
            self._known[key] = law
        return self._known[key]

    def _id(self, token: str) -> int:
        if token not in self._ids:
            self._ids[token] = len(self._texts)
            self._texts.append(token)
        return self._ids[token]

    def token_text(self, token: int) -> str:
        """Return the text of a token id."""
        return self._texts[token]

    async def stream(self, prompt: Prompt, seeds: Sequence[int], sampling: Sampling) -> AsyncIterator[Chunk]:
        """Draw all rows token by token, in lock-step."""
        check_prompt(prompt)
        self.require(*sampling.needs)
        spelling = _Spelling(self)
        rows = [Row(row, seed, spelling, sampling.stop, sampling.max_tokens) for row, seed in enumerate(seeds)]
        texts = [""] * len(seeds)
        running = list(range(len(seeds)))
        first = 1
        for position in range(sampling.max_tokens):
            drawn = self._drawn(prompt, {row: texts[row] for row in running}, seeds, position, sampling)
            for row, (token, logprob, sampling_logprob) in drawn.items():
                texts[row] += token
                chunk = rows[row].add(self._id(token), logprob, sampling_logprob)
                if rows[row].finish is not None:
                    running.remove(row)
                if chunk is not None:
                    yield replace(chunk, prompt_tokens=first)
                    first = 0
            if not running:
                return

    def _drawn(
        self, prompt: Prompt, texts: Mapping[int, str], seeds: Sequence[int], position: int, sampling: Sampling
    ) -> dict[int, tuple[str, float, float]]:
        """Next token of each row, with its log-probabilities under the table and under the law it was drawn from."""
        laws = {row: self.next_tokens(prompt, text) for row, text in texts.items()}
        found: dict[int, tuple[str, float, float]] = {}
        # Rows are drawn together where their laws have the same size: padding would change last digits.
        for size in {len(law) for law in laws.values()}:
            members = [row for row, law in laws.items() if len(law) == size]
            logits = torch.tensor([list(laws[row].values()) for row in members], dtype=torch.float32).log()
            drawn = draw(logits, [seeds[row] for row in members], [position] * len(members), sampling)
            for row, index, logprob in zip(
                members, drawn.tokens.tolist(), drawn.sampling_logprobs.tolist(), strict=True
            ):
                token = list(laws[row])[index]
                found[row] = (token, math.log(laws[row][token]), logprob)
        return {row: found[row] for row in texts}

    def completions(
        self, prompt: Prompt, *, max_tokens: int = 64, most: int = MOST_COMPLETIONS
    ) -> Iterator[tuple[Completion, float]]:
        """Enumerate every completion with its log-probability at temperature 1.

        Parameters
        ----------
        prompt : str or sequence of Message
            What came first.
        max_tokens : int
            Rows are cut here, as in sampling.
        most : int
            Refuse to enumerate more than this many.

        Yields
        ------
        (Completion, float)
            The same text may come more than once, by different tokens.

        Raises
        ------
        UsageError
            There are too many.
        """
        check_prompt(prompt)
        open_rows: list[tuple[str, tuple[int, ...], tuple[float, ...], tuple[int, ...]]] = [("", (), (), ())]
        count = 0
        while open_rows:
            text, ids, logprobs, offsets = open_rows.pop()
            for token, probability in reversed(self.next_tokens(prompt, text).items()):
                grown = (
                    text + token,
                    (*ids, self._id(token)),
                    (*logprobs, math.log(probability)),
                    (*offsets, len(text)),
                )
                if token == END or len(grown[1]) == max_tokens:
                    count += 1
                    if count > most:
                        raise UsageError(f"There are more than {most:,} completions. Lower max_tokens.")
                    row = Completion(grown[0], grown[1], grown[2], None, grown[3], "stop" if token == END else "length")
                    yield row, row.logprob
                else:
                    open_rows.append(grown)

    def exact(self, prompt: Prompt, *, max_tokens: int = 64) -> Posterior[str]:
        """Return the exact law over completion texts.

        Parameters
        ----------
        prompt : str or sequence of Message
            What came first.
        max_tokens : int
            Rows are cut here.

        Returns
        -------
        Posterior of str
            Distinct texts; its evidence is 1, exactly.
        """
        pairs = list(self.completions(prompt, max_tokens=max_tokens))
        weights = torch.tensor([logprob for _, logprob in pairs], dtype=torch.float64)
        whole: Posterior[str] = Posterior(
            [row.text for row, _ in pairs], weights, 0.0, EvidenceKind.UNBIASED, Ledger(calls=0)
        )
        return whole.marginal()

    def probability(self, prompt: Prompt, text: str | Callable[[str], bool], *, max_tokens: int = 64) -> float:
        """Exact probability of a completion, or of a statement about it.

        Parameters
        ----------
        prompt : str or sequence of Message
            What came first.
        text : str or callable
            The text, or a predicate of it (its evidence, then).
        max_tokens : int
            Rows are cut here.
        """
        holds = text if callable(text) else lambda found: found == text
        return math.fsum(
            math.exp(logprob) for row, logprob in self.completions(prompt, max_tokens=max_tokens) if holds(row.text)
        )

    def coverage(self, prompt: Prompt, right: Callable[[str], bool], *, n: int, max_tokens: int = 64) -> float:
        """Exact probability that at least one of `n` samples is right.

        Parameters
        ----------
        prompt : str or sequence of Message
            What came first.
        right : callable
            Predicate of the completion's text.
        n : int
            Number of independent samples, >= 1.
        max_tokens : int
            Rows are cut here.
        """
        wrong = 1.0 - min(1.0, self.probability(prompt, right, max_tokens=max_tokens))
        return 1.0 - wrong**n

    async def score(self, prompt: Prompt, continuations: Sequence[str]) -> list[Completion]:
        """Score texts by their most probable spelling in tokens, without the end token.

        Raises
        ------
        UsageError
            No spelling of a text has positive probability.
        """
        check_prompt(prompt)
        return [self._best_spelling(prompt, text) for text in continuations]

    def _best_spelling(self, prompt: Prompt, text: str) -> Completion:
        best: dict[int, tuple[float, tuple[tuple[str, float, int], ...]]] = {0: (0.0, ())}
        for start in range(len(text)):
            if start not in best:
                continue
            total, path = best[start]
            for token, probability in self.next_tokens(prompt, text[:start]).items():
                end = start + len(token)
                if token == END or not text.startswith(token, start):
                    continue
                score = total + math.log(probability)
                if end not in best or score > best[end][0]:
                    best[end] = (score, (*path, (token, math.log(probability), start)))
        if len(text) not in best:
            raise UsageError(f"The table gives {text!r} no probability. Score a text that it can say.")
        path = best[len(text)][1]
        return Completion(
            text,
            tuple(self._id(token) for token, _, _ in path),
            tuple(logprob for _, logprob, _ in path),
            None,
            tuple(start for _, _, start in path),
            "given",
        )
