"""Inference-time methods: from a question, a model and a budget to a posterior over answers."""

from educe.reason.asking import ask, ask_sync, result_json
from educe.reason.batch import Unit, read_questions, solve, solve_all
from educe.reason.best_of_n import BestOfN, mean_logprob, winner_law
from educe.reason.greedy import Greedy
from educe.reason.question import Answer, Question, infer_kind, read_answers
from educe.reason.self_consistency import SelfConsistency
from educe.reason.strategy import Strategy, make_method, methods, register

__all__ = [
    "Answer",
    "BestOfN",
    "Greedy",
    "Question",
    "SelfConsistency",
    "Strategy",
    "Unit",
    "ask",
    "ask_sync",
    "infer_kind",
    "make_method",
    "mean_logprob",
    "methods",
    "read_answers",
    "read_questions",
    "register",
    "result_json",
    "solve",
    "solve_all",
    "winner_law",
]
