"""Which fields of a request an OpenAI-compatible server takes, learnt from what it refuses by name."""

from __future__ import annotations

import json
import re
from typing import Any

from educe.core.errors import CapabilityError
from educe.lm._openai_answers import RequestError
from educe.lm.completion import Sampling
from educe.lm.prompt import Prompt

__all__ = ["Dialect"]

SEED_RANGE = 2**31  # some servers keep seeds in 32 signed bits
UNUSED = ("logprobs", "seed", "stream_options")  # say nothing about the law of a row
ASKED = (
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "top_logprobs",
    "response_format",
)  # sent where asked for
NEUTRAL: dict[str, float] = {"temperature": 1.0, "top_p": 1.0, "top_k": 0, "min_p": 0.0}
CONTINUE: dict[str, bool] = {"continue_final_message": True, "add_generation_prompt": False}


class Dialect:
    """Write requests, and remember what the server refused.

    Attributes
    ----------
    refused : set of str
        Fields that are left out from now on, where leaving them out does not change the law of a row.

    Examples
    --------
    >>> path, body = Dialect().request("tiny", "Once", 2**40 + 3, Sampling(max_tokens=5))
    >>> path, body["max_tokens"], body["seed"]
    ('/completions', 5, 3)
    """

    def __init__(self) -> None:
        self.refused: set[str] = set()

    def request(self, model: str, prompt: Prompt, seed: int, sampling: Sampling) -> tuple[str, dict[str, Any]]:
        """Return path and body of one row's request."""
        longest = "max_completion_tokens" if "max_tokens" in self.refused else "max_tokens"
        body: dict[str, Any] = {
            "model": model,
            longest: sampling.max_tokens,
            # Told even where they change nothing: llama.cpp and vLLM truncate unless told not to.
            **{name: getattr(sampling, name) for name in NEUTRAL},
            "n": 1,
            "seed": seed % SEED_RANGE,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if sampling.stop:
            body["stop"] = list(sampling.stop)
        for penalty in ("presence_penalty", "frequency_penalty"):
            if getattr(sampling, penalty):
                body[penalty] = getattr(sampling, penalty)
        if sampling.logit_bias:
            body["logit_bias"] = {str(token): value for token, value in sampling.logit_bias}
        if sampling.constraint is not None:
            form = {"name": "answer", "schema": json.loads(sampling.constraint.text), "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": form}
        if isinstance(prompt, str):
            path = "/completions"
            body |= {"prompt": prompt, "logprobs": max(sampling.top_logprobs, 1)}
        else:
            path = "/chat/completions"
            body |= {"messages": [dict(message) for message in prompt], "logprobs": True}
            if sampling.top_logprobs:
                body["top_logprobs"] = sampling.top_logprobs
            if prompt[-1]["role"] == "assistant":
                body |= CONTINUE
        return path, {
            name: value for name, value in body.items() if name not in self.refused or self._matters(name, value)
        }

    @staticmethod
    def _matters(name: str, value: object) -> bool:
        if name == "logprobs":
            return value not in (True, 1)  # some of the most probable tokens were asked for
        return name in CONTINUE or name in ASKED or (name in NEUTRAL and value != NEUTRAL[name])

    def learn(self, failure: RequestError, body: dict[str, Any]) -> bool:
        """Read a refusal; tell whether a request without the fields that it names is worth a try.

        Raises
        ------
        CapabilityError
            It names a field without which the row would have another law.
        """
        if failure.status not in {400, 422}:
            return False
        named = {
            name for name in (*UNUSED, *NEUTRAL, *CONTINUE, *ASKED) if name in body and _names(failure.words, name)
        }
        for name in sorted(named):
            if name in CONTINUE:
                raise CapabilityError(
                    f"The server cannot go on with an assistant's beginning ({failure.words[:200]}). "
                    "Use a method that asks for whole answers, or a server that can, for instance vLLM or SGLang."
                )
            if self._matters(name, body[name]):
                raise CapabilityError(
                    f"The server refuses {name}={str(body[name])[:80]} ({failure.words[:200]}). "
                    "Leave it as it is by default, or use another server."
                )
        if "max_tokens" in body and _names(failure.words, "max_completion_tokens"):
            named.add("max_tokens")
        self.refused |= named
        return bool(named)


def _names(words: str, field: str) -> bool:
    return re.search(rf"\b(top_)?{field}\b", words) is not None
