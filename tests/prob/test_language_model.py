"""Language models as distributions, against the exact evidence of an enumerable model."""

import math
from collections import Counter
from statistics import fmean, stdev

import pytest

from educe.core import Budget, EvidenceKind, UsageError, run_sync
from educe.lm import Session, TabularLM
from educe.prob import (
    Bernoulli,
    Draw,
    ess_below,
    factor,
    importance,
    lm_steps,
    lm_text,
    lm_token,
    mh,
    observe,
    program,
    run,
    smc,
)


class Counted(TabularLM):
    """Notes every request: prompt and number of rows."""

    def __init__(self, table):
        super().__init__(table)
        self.requests = []

    async def sample(self, prompt, *, n=1, **options):
        self.requests.append((prompt, n))
        return await super().sample(prompt, n=n, **options)


def letters(prompt, text):
    """After 'go:' letters a and b, where b follows b more often; the text ends after four."""
    said = (prompt + text).removeprefix("go:")
    if len(said) == 4:
        return {"": 1.0}
    return {"a": 0.3, "b": 0.7} if said.endswith("b") else {"a": 0.6, "b": 0.4}


def exact(log_weight):
    """Evidence and law of texts under a log-weight, by enumeration."""
    table = {
        row.text: math.exp(logprob + log_weight(row.text)) for row, logprob in TabularLM(letters).completions("go:")
    }
    return sum(table.values()), table


def few_b(text):
    return -1.5 * text.count("b")


@program
def steered(lm, granularity="token"):
    return (yield from lm_steps(lm, "go:", granularity=granularity, potential=few_b))


@program
def whole(lm):
    text = yield lm_text(lm, "go:")
    yield factor(few_b(text))
    return text


@pytest.mark.parametrize("make", [whole, steered])
@pytest.mark.parametrize("algorithm", [importance(32), smc(32), smc(32, when=ess_below(0.5))], ids=lambda a: a.name)
def test_the_evidence_of_a_steered_text_is_that_of_enumeration(make, algorithm):
    evidence, table = exact(few_b)
    runs = [run(make(TabularLM(letters)), algorithm, seed=seed) for seed in range(6)]
    ratios = [math.exp(posterior.log_evidence) / evidence for posterior in runs]
    # Six standard errors; the seeds are fixed.
    assert abs(fmean(ratios) - 1) < 6 * stdev(ratios) / 6**0.5
    shares = [posterior.probability(lambda text: text == "aaaa") for posterior in runs]
    assert abs(fmean(shares) - table["aaaa"] / evidence) < 6 * stdev(shares) / 6**0.5
    assert all(posterior.evidence_kind is EvidenceKind.UNBIASED for posterior in runs)


@pytest.mark.slow
def test_resampling_makes_the_evidence_less_variable():
    def spread(algorithm):
        return stdev(run(steered(TabularLM(letters)), algorithm, seed=s).log_evidence for s in range(12))

    assert spread(smc(24)) < spread(importance(24))


def test_particles_that_share_a_prompt_share_a_request():
    lm = Counted(letters)
    run(whole(lm), importance(64), seed=0)
    assert lm.requests == [("go:", 64)]

    lm = Counted(letters)
    posterior = run(steered(lm), smc(64), seed=0)
    # One request per distinct text at each of five tokens, whatever the number of particles.
    assert len(lm.requests) == len({prompt for prompt, _ in lm.requests})
    at_length = Counter(len(prompt) for prompt, _ in lm.requests)
    assert all(count <= 2 ** (length - 3) for length, count in at_length.items())
    assert sum(n for _, n in lm.requests) == 64 * 5
    assert posterior.ledger.samples == 64 * 5 and posterior.ledger.calls == len(lm.requests)


def test_granularity_decides_where_barriers_stand():
    def speech(prompt, text):
        return {1: {"a. ": 1.0}, 2: {"b\n": 1.0}}.get((prompt + text).count(" ") + 1, {"": 1.0})

    from educe.prob import Particle, run_steps

    passed = {}
    for granularity in ("token", "sentence", "line"):
        steps = lm_steps(TabularLM(lambda p, t: speech(p, t)), "go:", granularity=granularity, max_tokens=3)
        passed[granularity] = run_steps(Particle(steps).advance(math.inf)).passed
    assert passed["token"] > passed["line"] >= 1


def test_a_text_is_observed_with_its_stop():
    lm = TabularLM(lambda prompt, text: {"": {"yes": 0.25, "no": 0.75}}.get(text, {"\n": 1.0}))

    @program
    def model():
        polite = yield Bernoulli(0.5)
        yield observe(lm_text(lm, "polite?" if polite else "rude?", stop="\n"), "yes")

    posterior = run(model(), importance(8), seed=0)
    assert math.isclose(posterior.log_evidence, math.log(0.25))
    with pytest.raises(UsageError, match="Give `stop`"):
        run_sync(_evaluate(lm_text(lm, "q"), "yes"))


async def _evaluate(dist, value):
    from educe.prob import Source

    return await type(dist).evaluate_batch([dist], [value], Source(0))


def test_a_model_may_propose_for_another():
    wide, narrow = TabularLM({"": {"a": 0.5, "b": 0.5}}), TabularLM({"": {"a": 0.9, "b": 0.1}})

    @program
    def model():
        return (yield Draw(lm_token(narrow, "go"), via=lm_token(wide, "go")))

    posterior = run(model(), importance(400), seed=0)
    assert abs(posterior.probability(lambda t: t == "a") - 0.9) < 0.06  # five standard errors
    assert abs(math.exp(posterior.log_evidence) - 1) < 0.21


@pytest.mark.slow
def test_metropolis_hastings_moves_over_texts():
    evidence, table = exact(few_b)
    posterior = run(whole(TabularLM(letters)), mh(400), seed=0)
    # Independent proposals with acceptance about one half: more than 60 independent states.
    assert abs(posterior.probability(lambda t: t == "aaaa") - table["aaaa"] / evidence) < 5 * 0.5 / 60**0.5


def test_a_session_meters_the_run_and_its_budget_ends_it_softly():
    session = Session(TabularLM(letters), seed=1)
    posterior = run(whole(session), importance(16), seed=0)
    assert posterior.ledger.samples == 16 == session.ledger.samples
    again = run(whole(Session(TabularLM(letters), seed=1)), importance(16), seed=0)
    assert again.values == posterior.values

    short = Session(TabularLM(letters), Budget(samples=10), seed=1)
    posterior = run(whole(short), importance(16), seed=0)
    assert len(posterior) == 10 and posterior.ledger.stopped_by == "samples"
    assert posterior.evidence_kind is EvidenceKind.NONE


def test_the_same_seed_gives_the_same_texts():
    first, second, other = (run(steered(TabularLM(letters)), smc(8), seed=s).values for s in (3, 3, 4))
    assert first == second != other


def test_bad_arguments_are_refused():
    lm = TabularLM(letters)
    for make in (
        lambda: lm_text(None, "a"), lambda: lm_text(lm, ""), lambda: lm_text(lm, "a", temperature=0),
        lambda: lm_text(lm, "a", max_tokens=0), lambda: run(lm_steps(lm, "a", granularity="word"), smc(2)),
        lambda: run(lm_steps(lm, [{"role": "user", "content": "a"}]), smc(2)),
    ):  # fmt: skip
        with pytest.raises(UsageError):
            make()
