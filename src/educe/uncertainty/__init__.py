"""Uncertainty: how sure a model is, how sure it should be, and how to tell the difference."""

from educe.uncertainty import features
from educe.uncertainty.bayesian_polynomial import BayesianPolynomial
from educe.uncertainty.bootstrap import Estimate, bootstrap
from educe.uncertainty.calibration import Platt, fit_platt
from educe.uncertainty.compare_modes import ModeSummary, PairedReport, compare_modes, compare_modes_sync, paired_report
from educe.uncertainty.deup import DEUP, Prediction
from educe.uncertainty.excess_risk import ExcessRiskScore, evaluate
from educe.uncertainty.features import Feature
from educe.uncertainty.metrics import (
    Bins,
    SelectiveCurve,
    auroc,
    binned,
    brier,
    ece,
    fit_temperature,
    rms_ce,
    selective_curve,
)
from educe.uncertainty.option_calibration import CalibrationReport, option_calibration
from educe.uncertainty.option_confidence import (
    Item,
    MultipleChoice,
    OptionPosterior,
    option_confidence,
    option_confidence_sync,
)
from educe.uncertainty.p_ik import PIK
from educe.uncertainty.p_true import Judgement, PTrueScorer, Shot, judge, p_true, reweigh
from educe.uncertainty.probability_head import ProbabilityHead
from educe.uncertainty.reliability import Decomposition, Reliability, murphy, reliability

__all__ = [
    "DEUP",
    "PIK",
    "BayesianPolynomial",
    "Bins",
    "CalibrationReport",
    "Decomposition",
    "Estimate",
    "ExcessRiskScore",
    "Feature",
    "Item",
    "Judgement",
    "ModeSummary",
    "MultipleChoice",
    "OptionPosterior",
    "PTrueScorer",
    "PairedReport",
    "Platt",
    "Prediction",
    "ProbabilityHead",
    "Reliability",
    "SelectiveCurve",
    "Shot",
    "auroc",
    "binned",
    "bootstrap",
    "brier",
    "compare_modes",
    "compare_modes_sync",
    "ece",
    "evaluate",
    "features",
    "fit_platt",
    "fit_temperature",
    "judge",
    "murphy",
    "option_calibration",
    "option_confidence",
    "option_confidence_sync",
    "p_true",
    "paired_report",
    "reliability",
    "reweigh",
    "rms_ce",
    "selective_curve",
]
