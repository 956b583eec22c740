"""How an effect changes with the strength that a hidden confounder is assumed to have.

The refits of `VLUCI` (Zhao et al., 2023, arXiv:2308.00904) with the confounder's effect on the treatment held fixed are
the honest output where identification by functional form is weak. Whether the data speak for any strength at all is
asked of units that took no part in the fit: their bounds at each strength are held against those at zero. The bounds'
own gaps and the luck of one fit are not in that comparison, so it is a gate and not a test of stated level. Networks
per arm can mimic part of a confounder's work, so that neighbouring strengths fit alike, and the curve at zero need not
be the effect that the covariates alone would give.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from educe.causal._observations import read_observations
from educe.causal.hidden import VLUCI
from educe.core import Seed, UsageError

__all__ = ["Sensitivity", "sensitivity"]

HELD_OUT = 0.3
# Standard errors by which a strength must beat zero; several are tried, and fits differ by luck.
THRESHOLD = 3.0


class Sensitivity(NamedTuple):
    """Average effects by the strength of the confounder, in the fitted model with the confounder drawn from its prior.

    `gains` are the mean differences of the bound to strength zero on units held out, in nats, `z_scores` the same over
    their standard errors. `supported` says whether some z-score exceeds 3: where none does, the data do not call for a
    correction.
    """

    strengths: tuple[float, ...]
    effects: tuple[float, ...]
    gains: tuple[float, ...]
    z_scores: tuple[float, ...]
    supported: bool


def sensitivity(
    model: VLUCI, x: Any, t: Any, y: Any, strengths: Sequence[float] = (0.0, 0.5, 1.0, 1.5, 2.0), restarts: int = 2
) -> Sensitivity:
    """Refit with the confounder's effect on the treatment fixed, and report the average effect for each strength.

    Parameters
    ----------
    model : VLUCI
        Its parameters are used, but for `strength`; it is left as it is.
    x, t, y : array
        Units, as for `VLUCI.fit`. Seven tenths of them are fitted, the rest judge the fits.
    strengths : sequence of float
        Changes of the treatment's log-odds per deviation of the confounder, >= 0; 0 must be among them.
    restarts : int
        Fits for each strength, of which the one with the best bound on the fitted units counts: the confounder's sign
        is fixed with its strength, and a single fit may end on the wrong side. >= 1.

    Returns
    -------
    Sensitivity

    Raises
    ------
    UsageError
        0 is not among the strengths, one is negative, `restarts` is not positive, or the treatment is not binary.

    Examples
    --------
    >>> generator = np.random.default_rng(0)
    >>> x, t = generator.normal(size=(200, 1)), np.arange(200) % 2
    >>> curve = sensitivity(VLUCI(hidden=(8,), epochs=3), x, t, x[:, 0] + t, (0.0, 1.0))
    >>> curve.strengths, len(curve.effects), curve.gains[0]
    ((0.0, 1.0), 2, 0.0)
    """
    given = tuple(float(value) for value in strengths)
    if 0.0 not in given or min(given) < 0 or not all(map(math.isfinite, given)):
        raise UsageError(f"strengths={given} have no zero to compare with, or are negative. Give 0 and numbers above.")
    if restarts < 1:
        raise UsageError(f"restarts={restarts} fits nothing. Give restarts >= 1.")
    seen = read_observations(x, t, y, model.treatment, model.outcome)
    order = Seed.of(model.seed).child("sensitivity").numpy().permutation(len(seen.t))
    held, kept = np.split(order, [int(HELD_OUT * len(order))])
    effects, bounds = [], []
    for strength in given:
        fits = [
            replace(model, strength=strength, seed=Seed.of(model.seed).child("restart", i)).fit(
                seen.x[kept], seen.t[kept], seen.y[kept]
            )
            for i in range(restarts)
        ]
        fitted = min(fits, key=lambda fit: fit.losses_[-1])
        effects.append(float(fitted.effects(seen.x, n=50).mean()))
        bounds.append(fitted.evidence(seen.x[held], seen.t[held], seen.y[held]))
    differences = [bound - bounds[given.index(0.0)] for bound in bounds]
    gains = [float(item.mean()) for item in differences]
    errors = [float(item.std()) / math.sqrt(len(held)) for item in differences]
    scores = [gain / error if error > 0 else 0.0 for gain, error in zip(gains, errors, strict=True)]
    return Sensitivity(given, tuple(effects), tuple(gains), tuple(scores), max(scores) > THRESHOLD)
