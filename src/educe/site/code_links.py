"""Where the authors of the sixty papers published their own code, as far as they did."""

from __future__ import annotations

__all__ = ["code_link"]

_HOST = "https://github.com/"
_REPOSITORIES = {
    "adaptive-compute": "rohinmanvi/Capability-Aware_and_Mid-Generation_Self-Evaluations",
    "alphamath": "MARIO-Math-Reasoning/Super_MARIO",
    "bag-of-tricks": "usail-hkust/benchmark_inference_time_computation_LLM",
    "causal-de-finetti": "syguo96/Causal-de-Finetti",
    "continual-inference": "LukasHedegaard/continual-inference",
    "critical-questions": "FCast07/CQoT",
    "dynamic-completion": "v587su/SEC",
    "dynamic-connectome": "dyballa/dynamic-connectomes",
    "hypothesis-search": "Relento/hypothesis_search",
    "krylov-recycling": "wanghong1700/NO-DataGen-SKR",
    "language-monkeys": "ScalingIntelligence/large_language_monkeys",
    "leandojo": "lean-dojo/LeanDojo",
    "linc": "benlipkin/linc",
    "longgen": "linxihui/dkernel",
    "mcq-confidence": "aMa2210/LLM_MCQ_LogProbs",
    "particle-scaling": "probabilistic-inference-scaling/probabilistic-inference-scaling",
    "probtree": "THU-KEG/ProbTree",
    "recycled-attention": "carriex/refreshkv",
    "rpc": "WNJXYK/RPC",
    "scaling-flaws": "benediktstroebl/inference-scaling-limits",
}


def code_link(slug: str) -> str | None:
    """Return the address of the authors' code, None where we know of none.

    Parameters
    ----------
    slug : str
        The paper.

    Examples
    --------
    >>> code_link("rpc")
    'https://github.com/WNJXYK/RPC'
    """
    repository = _REPOSITORIES.get(slug)
    return None if repository is None else _HOST + repository
