"""Learning: training and what can be promised about it."""

from educe.learn.batched_sampling import sample_batch
from educe.learn.consciousness_prior import (
    Attention,
    ConsciousnessPrior,
    ConsciousState,
    predictive_subspace,
    verifier,
)
from educe.learn.contrastive import Contrastive
from educe.learn.decoder_training import Pretraining, pretrain_decoder
from educe.learn.factor_model import FactorModel
from educe.learn.factor_risk import FactorWorld, Informativeness, excess_risk, informativeness
from educe.learn.gaussian_mixture import GaussianMixture
from educe.learn.halfspace import Rejected, TesterLearner, psgd_sphere, ramp_loss
from educe.learn.halfspace_certificate import Certified, certify_halfspace
from educe.learn.halfspace_moments import HalfspaceTest, check_spread, check_strip_mass, disagreement_bound
from educe.learn.heads import CategoricalTable, LeastSquares, Logistic
from educe.learn.label_value import RateTable, Slope, label_equivalent, rate_sweep
from educe.learn.moment_tester import Moment, MomentsAccepted, MomentTester
from educe.learn.polynomial_l1 import PolynomialL1
from educe.learn.pretrain import Head, LatentModel, MLEThenERM
from educe.learn.process_reward import train_process_reward
from educe.learn.revision_data import Revision, edit_distance, make_revision_data, revision_text
from educe.learn.rollouts import Rollout, roll_out
from educe.learn.self_evaluation import train_self_eval
from educe.learn.word_tokenizer import train_tokenizer

__all__ = [
    "Attention",
    "CategoricalTable",
    "Certified",
    "ConsciousState",
    "ConsciousnessPrior",
    "Contrastive",
    "FactorModel",
    "FactorWorld",
    "GaussianMixture",
    "HalfspaceTest",
    "Head",
    "Informativeness",
    "LatentModel",
    "LeastSquares",
    "Logistic",
    "MLEThenERM",
    "Moment",
    "MomentTester",
    "MomentsAccepted",
    "PolynomialL1",
    "Pretraining",
    "RateTable",
    "Rejected",
    "Revision",
    "Rollout",
    "Slope",
    "TesterLearner",
    "certify_halfspace",
    "check_spread",
    "check_strip_mass",
    "disagreement_bound",
    "edit_distance",
    "excess_risk",
    "informativeness",
    "label_equivalent",
    "make_revision_data",
    "predictive_subspace",
    "pretrain_decoder",
    "psgd_sphere",
    "ramp_loss",
    "rate_sweep",
    "revision_text",
    "roll_out",
    "sample_batch",
    "train_process_reward",
    "train_self_eval",
    "train_tokenizer",
    "verifier",
]
