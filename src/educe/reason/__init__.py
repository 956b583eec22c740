"""Inference-time methods: from a question, a model and a budget to a posterior over answers."""

from educe.reason.adaptive_sampling import AdaptiveSampling, win_or_tie
from educe.reason.adaptive_self_consistency import AdaptiveSelfConsistency, BetaSelfConsistency, stopping_probability
from educe.reason.aggregation import aggregate
from educe.reason.asking import ask, ask_sync, result_json
from educe.reason.bank_row import BankRow, path_key
from educe.reason.batch import Unit, read_questions, solve, solve_all
from educe.reason.beam_search import BeamSearch
from educe.reason.best_of_n import BestOfN, mean_logprob, winner_law
from educe.reason.compute_optimal import (
    ComputeOptimal,
    ComputeOptimalPolicy,
    Difficulty,
    difficulty,
)
from educe.reason.conclusion import conclude
from educe.reason.coverage import Curve, coverage, pass_at_k
from educe.reason.coverage_law import Alignment, CoverageLaw, align_curves, fit_coverage
from educe.reason.diverse_tree_search import DiverseTreeSearch
from educe.reason.greedy import Greedy
from educe.reason.lookahead_search import LookaheadSearch
from educe.reason.particle_gibbs import ParallelTempering, ParticleGibbs
from educe.reason.particle_search import ParticleSearch, StepTarget, reasoning
from educe.reason.prm_search import PRMSearch
from educe.reason.pruned_best_of_n import PrunedBestOfN
from educe.reason.pruning import Pruning, WeibullMixture, weibull_prune
from educe.reason.question import Answer, Question, infer_kind, read_answers
from educe.reason.reasoning_error import ReasoningError, reasoning_error
from educe.reason.repeated_sampling import RepeatedSampling
from educe.reason.replay import Replayed, replay
from educe.reason.resample_until_accepted import ABSTAIN, ResampleUntilAccepted
from educe.reason.resampling_limits import (
    Ceiling,
    RewardCurve,
    resampling_ceiling,
    resampling_reward,
    two_type_attempts,
    two_type_reward,
)
from educe.reason.revise import Revise, revision_prompt
from educe.reason.reward import (
    FunctionReward,
    LogprobReward,
    Reward,
    SelfEvaluation,
    StepCheck,
    aggregate_scores,
    make_reward,
    score_steps,
)
from educe.reason.routed_by_difficulty import RoutedByDifficulty
from educe.reason.rpc import RPC, PerplexityConsistency
from educe.reason.sample_bank import SampleBank
from educe.reason.self_consistency import SelfConsistency
from educe.reason.self_refine import SelfRefine
from educe.reason.step_best_of_n import StepBestOfN
from educe.reason.steps import Prefix, Step, StepPolicy
from educe.reason.strategy import Strategy, make_method, methods, register
from educe.reason.subset_selection import Selection, select
from educe.reason.tree_search import MonteCarloTreeSearch
from educe.reason.weighted_best_of_n import WeightedBestOfN
from educe.reason.weighted_self_consistency import WeightedSelfConsistency

__all__ = [
    "ABSTAIN",
    "RPC",
    "AdaptiveSampling",
    "AdaptiveSelfConsistency",
    "Alignment",
    "Answer",
    "BankRow",
    "BeamSearch",
    "BestOfN",
    "BetaSelfConsistency",
    "Ceiling",
    "ComputeOptimal",
    "ComputeOptimalPolicy",
    "CoverageLaw",
    "Curve",
    "Difficulty",
    "DiverseTreeSearch",
    "FunctionReward",
    "Greedy",
    "LogprobReward",
    "LookaheadSearch",
    "MonteCarloTreeSearch",
    "PRMSearch",
    "ParallelTempering",
    "ParticleGibbs",
    "ParticleSearch",
    "PerplexityConsistency",
    "Prefix",
    "PrunedBestOfN",
    "Pruning",
    "Question",
    "ReasoningError",
    "RepeatedSampling",
    "Replayed",
    "ResampleUntilAccepted",
    "Revise",
    "Reward",
    "RewardCurve",
    "RoutedByDifficulty",
    "SampleBank",
    "Selection",
    "SelfConsistency",
    "SelfEvaluation",
    "SelfRefine",
    "Step",
    "StepBestOfN",
    "StepCheck",
    "StepPolicy",
    "StepTarget",
    "Strategy",
    "Unit",
    "WeibullMixture",
    "WeightedBestOfN",
    "WeightedSelfConsistency",
    "aggregate",
    "aggregate_scores",
    "align_curves",
    "ask",
    "ask_sync",
    "conclude",
    "coverage",
    "difficulty",
    "fit_coverage",
    "infer_kind",
    "make_method",
    "make_reward",
    "mean_logprob",
    "methods",
    "pass_at_k",
    "path_key",
    "read_answers",
    "read_questions",
    "reasoning",
    "reasoning_error",
    "register",
    "replay",
    "resampling_ceiling",
    "resampling_reward",
    "result_json",
    "revision_prompt",
    "score_steps",
    "select",
    "solve",
    "solve_all",
    "stopping_probability",
    "two_type_attempts",
    "two_type_reward",
    "weibull_prune",
    "win_or_tie",
    "winner_law",
]
