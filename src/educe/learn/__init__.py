"""Learning: training and what can be promised about it."""

from educe.learn.contrastive import Contrastive
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

__all__ = [
    "CategoricalTable",
    "Certified",
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
    "RateTable",
    "Rejected",
    "Slope",
    "TesterLearner",
    "certify_halfspace",
    "check_spread",
    "check_strip_mass",
    "disagreement_bound",
    "excess_risk",
    "informativeness",
    "label_equivalent",
    "psgd_sphere",
    "ramp_loss",
    "rate_sweep",
]
