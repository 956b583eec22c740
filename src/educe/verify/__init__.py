"""Checkers: what a text answers, and whether two answers are the same."""

from educe.verify.answers import AnswerKind, Verdict, canonical, check, equivalent, extract, group
from educe.verify.imperfect import ErrorRates, ImperfectVerifier, estimate_error_rates, precision_after_acceptance
from educe.verify.process_reward import ProcessReward, StepHead
from educe.verify.sandbox import Isolation, Outcome, Run, Sandbox, check_isolation
from educe.verify.self_eval import SelfEval

__all__ = [
    "AnswerKind",
    "ErrorRates",
    "ImperfectVerifier",
    "Isolation",
    "Outcome",
    "ProcessReward",
    "Run",
    "Sandbox",
    "SelfEval",
    "StepHead",
    "Verdict",
    "canonical",
    "check",
    "check_isolation",
    "equivalent",
    "estimate_error_rates",
    "extract",
    "group",
    "precision_after_acceptance",
]
