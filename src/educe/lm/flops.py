"""Floating-point operations of decoding, from the sizes of a model.

Source: Brown et al. (2024), arXiv:2407.21787, cost model; Kaplan et al. (2020), arXiv:2001.08361, section 2.1. A token
costs two operations per parameter, and attention adds four per layer, model dimension and token of context. A
prompt that several samples share is computed once. Norms, the softmax and memory traffic are left out, so this is
arithmetic, not time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from educe.core.errors import CapabilityError, UsageError

__all__ = ["ModelSize", "flops", "flops_matched", "model_size"]


@dataclass(frozen=True, slots=True)
class ModelSize:
    """What the cost of a token depends on.

    Parameters
    ----------
    parameters : int
        Weights that take part in every token, >= 1. The input embedding is a look-up and does not count; the output
        matrix does, also where the two are one.
    layers : int
        Number of layers, >= 0.
    width : int
        Model dimension, >= 0.

    Raises
    ------
    UsageError
        A size is out of range.

    Examples
    --------
    >>> ModelSize(8_030_000_000, 32, 4096).layers
    32
    """

    parameters: int
    layers: int = 0
    width: int = 0

    def __post_init__(self) -> None:
        if self.parameters < 1 or self.layers < 0 or self.width < 0:
            raise UsageError(f"{self} is no model. Give parameters >= 1, layers and width >= 0.")


def model_size(model: Any) -> ModelSize:
    """Read the sizes of a local model.

    Parameters
    ----------
    model : ModelSize or LanguageModel
        A model of our engine tells its weights.

    Raises
    ------
    CapabilityError
        The model does not tell its sizes, as servers do not.

    Examples
    --------
    >>> model_size(ModelSize(1000)).parameters
    1000
    """
    if isinstance(model, ModelSize):
        return model
    weights = getattr(getattr(model, "model", None), "weights", None)
    if weights is None:
        raise CapabilityError(
            f"Model {getattr(model, 'name', model)!r} does not tell its sizes. Give a ModelSize of what you know of it."
        )
    matrices = ("query_key_value", "attention_output", "gate_up", "down")
    count = sum(getattr(layer, name).numel() for layer in weights.layers for name in matrices) + weights.output.numel()
    return ModelSize(count, weights.config.layers, weights.config.width)


def flops(
    model: Any, prompt_tokens: int, generated_tokens: int, *, samples: int = 1, shared_prefix: bool = True
) -> float:
    """Operations that a request costs.

    Parameters
    ----------
    model : ModelSize or LanguageModel
        See `model_size`.
    prompt_tokens : int
        Tokens of the prompt, >= 0.
    generated_tokens : int
        Tokens of each sample, >= 0.
    samples : int
        Samples of that prompt, >= 0.
    shared_prefix : bool
        The prompt is computed once, not once per sample.

    Returns
    -------
    float

    Raises
    ------
    UsageError
        A number is negative.

    Examples
    --------
    >>> flops(ModelSize(1000), 10, 5, samples=4), flops(ModelSize(1000), 10, 5, samples=4, shared_prefix=False)
    (60000.0, 120000.0)
    """
    if min(prompt_tokens, generated_tokens, samples) < 0:
        raise UsageError(
            f"{prompt_tokens} prompt tokens and {samples} samples of {generated_tokens} cannot be. Give numbers >= 0."
        )
    size = model_size(model)
    # Token i attends to i tokens: its own keys and values are among them.
    prompt_context = prompt_tokens * (prompt_tokens + 1) / 2
    own_context = generated_tokens * prompt_tokens + generated_tokens * (generated_tokens + 1) / 2
    attention = 4.0 * size.layers * size.width
    prompts = 1 if shared_prefix and samples else samples
    tokens = prompts * prompt_tokens + samples * generated_tokens
    return 2.0 * size.parameters * tokens + attention * (prompts * prompt_context + samples * own_context)


def flops_matched(scale: float, pretraining_tokens: float, inference_tokens: float) -> float:
    """How much more a small model may compute at inference for the total cost of a larger one.

    With N parameters, pretraining on D tokens costs 6 N D and inference 2 N D. A model `scale` times larger multiplies
    both; spending its total on the small model lets inference grow by ``scale + 3 D_pre / D_inf (scale - 1)``.
    Source: Snell et al. (2024), arXiv:2408.03314, section 7. Cache reads, rewards and the estimation of difficulty are
    left out.

    Parameters
    ----------
    scale : float
        Parameters of the large model over those of the small, >= 1.
    pretraining_tokens, inference_tokens : float
        D_pre >= 0 and D_inf > 0; only their ratio counts.

    Returns
    -------
    float

    Raises
    ------
    UsageError
        A number is out of range.

    Examples
    --------
    >>> [round(flops_matched(14, 1, ratio), 1) for ratio in (0.16, 0.79, 22)]
    [257.8, 63.4, 15.8]
    """
    if not scale >= 1 or not pretraining_tokens >= 0 or not inference_tokens > 0:
        raise UsageError(
            f"scale={scale}, pretraining_tokens={pretraining_tokens}, inference_tokens={inference_tokens} are out of "
            "range. Give a scale >= 1 and positive numbers of tokens."
        )
    return scale + 3 * pretraining_tokens / inference_tokens * (scale - 1)
