"""The chains of `chain_arithmetic` with numbers of up to three digits.

The dial is the number of operations.
"""

from __future__ import annotations

from educe.tasks.chain_arithmetic import ChainArithmetic

__all__ = ["LargeArithmetic"]


class LargeArithmetic(ChainArithmetic):
    """Chains of sums, differences and products of whole numbers up to 999."""

    name = "large_arithmetic"
    summary = "The same chains with values from 0 to 999."
    difficulties = range(1, 9)
    default_difficulty = 2
    most = 999
