"""What each number format of the engine costs: mean KL divergence from float32, and perplexity, on text.

    python bench/quality.py [--model smollm2-135m] [--tokens 10240] [--out bench/results/quality.json]

The text is the language reference that comes with Python (`pydoc_data.topics`), cut into windows of 512 tokens. Each
window is read by all formats, so that the comparison is paired. Whole numbers are measured as they are multiplied for
many rows; for few rows the same rounded weights go through another kernel. Takes some five minutes on one thread.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import os
from pathlib import Path
from pydoc_data import topics

import torch

from educe.lm import load
from educe.lm.engine import Engine
from educe.lm.engine.attention import OwnCache, RowSet, StepAttention
from educe.lm.engine.linear import FORMATS
from educe.lm.engine.policies import FullAttention

WINDOW = 512
MOST_CHANGE = 1.005  # of perplexity, for a format that is chosen without being asked for


def all_logprobs(engine: Engine, tokens: list[int]) -> torch.Tensor:
    """Log-probabilities (len(tokens) - 1, vocabulary) of the next token after each but the last."""
    config, model = engine.model.config, engine.model
    own = OwnCache(config.layers, config.key_value_heads, config.head_dim, 1)
    positions = torch.arange(len(tokens) - 1)[None]
    rows = RowSet(own, torch.zeros(1, dtype=torch.int64), positions, [])
    attention = StepAttention(
        engine.scheduler.cache.pool, config.heads, config.key_value_heads, config.head_dim, [rows], FullAttention()
    )
    hidden = model.hidden(torch.tensor(tokens[:-1]), positions[0], attention)
    return model.logits(hidden).log_softmax(-1)


@torch.inference_mode()
def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--tokens", type=int, default=10_240)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "quality.json")
    options = parser.parse_args()
    engines = {name: load(options.model, dtype=name) for name in FORMATS}
    exact = engines["float32"]
    assert isinstance(exact, Engine)
    text = "\n\n".join(topics.topics[name] for name in sorted(topics.topics))
    tokens = exact.tokenizer.encode(text[: 8 * options.tokens])[: options.tokens]
    losses, divergences, agreements = (
        dict.fromkeys(FORMATS, 0.0),
        dict.fromkeys(FORMATS, 0.0),
        dict.fromkeys(FORMATS, 0),
    )
    counted = 0
    for begin in range(0, len(tokens) - WINDOW + 1, WINDOW):
        window = tokens[begin : begin + WINDOW]
        wanted = torch.tensor(window[1:])[:, None]
        reference = all_logprobs(exact, window)
        counted += len(wanted)
        for name, engine in engines.items():
            assert isinstance(engine, Engine)
            logprobs = reference if name == "float32" else all_logprobs(engine, window)
            losses[name] -= float(logprobs.gather(-1, wanted).double().sum())
            divergences[name] += float((reference.exp() * (reference - logprobs)).sum(-1).double().sum())
            agreements[name] += int((reference.argmax(-1) == logprobs.argmax(-1)).sum())
        print(f"{begin + WINDOW}/{len(tokens)} tokens", end="\r", flush=True)
    perplexity = {name: math.exp(loss / counted) for name, loss in losses.items()}
    table = []
    for name in FORMATS:
        change = perplexity[name] / perplexity["float32"]
        shown = f"KL {divergences[name] / counted:.5f}  top-1 {agreements[name] / counted:.1%}"
        print(f"{name:9s} perplexity {perplexity[name]:.4f} ({change - 1:+.3%})  {shown}")
        table.append(
            {
                "workload": f"quality of {name}, {counted} tokens",
                "metric": "perplexity",
                "ours": perplexity[name],
                "peer": "float32",
                "peer_value": perplexity["float32"],
                "ratio": change,
                "bar": MOST_CHANGE,
                "passed": change <= MOST_CHANGE,
                "kl": divergences[name] / counted,
                "top1_agreement": agreements[name] / counted,
                "roofline_share": None,
                "repeats": 1,
                "load": os.getloadavg()[0],
                "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
            }
        )
    options.out.write_text(json.dumps(table, indent=1) + "\n")
    for engine in engines.values():
        engine.close()


if __name__ == "__main__":
    main()
