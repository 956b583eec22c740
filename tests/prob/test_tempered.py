"""Tempered sequential Monte Carlo: evidence against closed forms, and modes that chains do not leave."""

import math
from statistics import fmean, stdev

import pytest
import torch
from scipy import stats

from educe.core import EvidenceKind, UsageError
from educe.prob import Gamma, Normal, Poisson, factor, observe, program, run, tempered


@program
def gamma_poisson():
    rate = yield Gamma(2.0, 1.0) @ "rate"
    yield observe(Poisson(rate), torch.tensor([3.0, 1.0, 4.0]))


@program
def normal():
    mean = yield Normal(1.0, 2.0) @ "mean"
    yield observe(Normal(mean, 1.0), torch.tensor([0.5, 1.5, 2.5]))


LOG_GAMMA = sum(stats.nbinom(2 + n, (1 + t) / (2 + t)).logpmf(k) for t, (n, k) in enumerate([(0, 3), (3, 1), (4, 4)]))
LOG_NORMAL = stats.multivariate_normal([1.0] * 3, torch.eye(3).numpy() + 4).logpdf([0.5, 1.5, 2.5])


@pytest.mark.slow
@pytest.mark.parametrize(("make", "evidence"), [(gamma_poisson, LOG_GAMMA), (normal, LOG_NORMAL)])
def test_the_evidence_is_unbiased(make, evidence):
    runs = [run(make(), tempered(300, 3), seed=seed) for seed in range(6)]
    ratios = [math.exp(posterior.log_evidence - evidence) for posterior in runs]
    assert abs(fmean(ratios) - 1) < 6 * stdev(ratios) / 6**0.5
    assert all(posterior.evidence_kind is EvidenceKind.UNBIASED for posterior in runs)
    assert runs[0].details["powers"][-1] == 1.0


@pytest.mark.slow
def test_two_far_modes_keep_their_shares():
    @program
    def two():
        x = yield Normal(0.0, 5.0) @ "x"
        left = math.log(0.3) + Normal(-6.0, 0.3).log_prob(x)
        right = math.log(0.7) + Normal(6.0, 0.3).log_prob(x)
        yield factor(torch.logaddexp(left, right))

    shares = [run(two(), tempered(400), seed=s).probability(lambda d: d["x"] > 0) for s in range(6)]
    assert abs(fmean(shares) - 0.7) < 6 * stdev(shares) / 6**0.5


def test_bad_programs_and_sizes():
    @program
    def impossible():
        x = yield Normal(0.0, 1.0)
        yield factor(-math.inf * x.abs().clamp(min=1.0))

    @program
    def undefined():
        x = yield Normal(0.0, 1.0)
        yield factor(x * math.nan)

    posterior = run(impossible(), tempered(8))
    assert posterior.log_evidence == -math.inf
    with pytest.raises(UsageError, match="NaN"):
        run(undefined(), tempered(8))
    for bad in (lambda: tempered(0), lambda: tempered(8, 0), lambda: tempered(8, share=1.0)):
        with pytest.raises(UsageError):
            bad()
