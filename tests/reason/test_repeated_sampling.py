"""Repeated sampling: what a verifier accepts, an unbiased evidence, and slow or undecided verifiers."""

import math

import pytest

from educe.core import EvidenceKind, UsageError
from educe.lm import FakeLM, Session, TabularLM
from educe.reason import Question, RepeatedSampling, ask
from educe.verify.answers import Verdict

QUESTION = Question("2 + 2 = ?")
LM = {"": {"The answer is 4.": 0.3, "The answer is 5.": 0.5, "What?": 0.2}}


async def test_the_evidence_is_the_share_accepted():
    method = RepeatedSampling(n=2000, temperature=1.0, verifier=lambda question, row: row.text.endswith("4."))
    posterior = await method(QUESTION, Session(TabularLM(LM)))
    assert posterior.mode().text == "4" and posterior.confidence == 1.0
    assert posterior.evidence_kind is EvidenceKind.UNBIASED
    # Standard error of a share of .3 in 2,000 is .0102; six of them.
    assert math.exp(posterior.log_evidence) == pytest.approx(0.3, abs=0.0615)
    assert posterior.details["accepted"] == len(posterior)


async def test_verdicts_time_outs_and_coroutines():
    async def slow(question, row):
        if row.text.endswith("5."):
            raise TimeoutError
        return Verdict.PROVED

    posterior = await RepeatedSampling(n=50, verifier=slow)(QUESTION, Session(TabularLM(LM)))
    details = posterior.details
    assert details["undecided"] > 0 and details["accepted"] + details["undecided"] + details["unread"] == 50
    for verdict in (Verdict.LIMIT_HIT, Verdict.REFUTED, False):
        none = await RepeatedSampling(n=5, verifier=lambda q, r, v=verdict: v)(QUESTION, Session(TabularLM(LM)))
        assert none.confidence == 0.0 and none.log_evidence == -math.inf


async def test_a_verifier_that_raises_is_heard():
    def broken(question, row):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await ask(QUESTION, FakeLM(["4"]), RepeatedSampling(n=2, verifier=broken))


def test_bad_parameters_are_refused():
    for options in ({"n": 0}, {"temperature": 0.0}, {"max_tokens": 0}):
        with pytest.raises(UsageError):
            RepeatedSampling(**options)
