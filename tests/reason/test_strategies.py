"""Every registered method passes the battery; each does what its formula says; broken ones are caught."""

import asyncio
import itertools
import math
from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from educe.core import Budget, CapabilityError, Posterior, UsageError
from educe.lm import FakeLM, Session
from educe.reason import (
    Answer,
    BestOfN,
    Greedy,
    Question,
    SelfConsistency,
    Strategy,
    ask,
    make_method,
    methods,
    winner_law,
)
from educe.reason.question import read_answers
from educe.testing import CHECKS, ConformanceError, check_strategy

QUESTION = Question("How many legs do three spiders have?")


QUICK = ("best-of-n", "greedy", "self-consistency")
BATTERY = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in sorted(methods())]


@pytest.mark.parametrize("name", BATTERY)
def test_every_method_passes_the_battery(name):
    cls = methods()[name]
    small = {"n": 6} if "n" in cls.__dataclass_fields__ else {}
    assert check_strategy(cls(**small)) == list(CHECKS)


async def test_self_consistency_counts_votes():
    posterior = await ask(QUESTION, FakeLM(["The answer is 24.", "The answer is 18.", "What?"]), SelfConsistency(n=60))
    drawn = Counter()
    session = Session(FakeLM(["The answer is 24.", "The answer is 18.", "What?"]))
    for row in await session.sample(QUESTION.messages(), n=60, temperature=0.7):
        drawn[row.text] += 1
    assert posterior.details["unread"] == drawn["What?"]
    readable = 60 - drawn["What?"]
    assert posterior.probability(lambda a: a.text == "24") == pytest.approx(drawn["The answer is 24."] / readable)


def brute_force_law(scores):
    """Enumerate all resamples with replacement; ties share."""
    n, wins = len(scores), [Fraction(0)] * len(scores)
    for draw in itertools.product(range(n), repeat=n):
        best = max(scores[i] for i in draw)
        winners = [i for i in range(n) if scores[i] == best]
        for i in winners:
            wins[i] += Fraction(1, n**n * len(winners))
    return wins


@pytest.mark.slow
@given(st.lists(st.integers(0, 3), min_size=1, max_size=5))
def test_the_winner_law_agrees_with_enumeration(scores):
    assert winner_law(scores) == pytest.approx([float(share) for share in brute_force_law(scores)])


@given(st.lists(st.floats(allow_nan=True), min_size=1, max_size=30))
def test_the_winner_law_is_a_law_and_keeps_the_best(scores):
    law = winner_law(scores)
    assert sum(law) == pytest.approx(1.0)
    clean = [-math.inf if math.isnan(score) else score for score in scores]
    best = [share for share, score in zip(law, clean, strict=True) if score == max(clean)]
    assert sum(best) >= 1 - math.exp(-1) - 1e-12


async def test_best_of_n_keeps_the_best_sample():
    def answer(prompt, seed):
        return ("The answer is 24.", -1.0) if seed % 8 == 0 else ("The answer is 18.", -9.0)

    posterior = await ask(QUESTION, FakeLM(answer), BestOfN(n=32))
    assert posterior.mode().text == "24"
    longest = BestOfN(n=32, scorer=lambda question, row: -row.logprob)
    assert (await ask(QUESTION, FakeLM(answer), longest)).mode().text == "18"


async def test_a_scorer_that_gives_nan_loses_and_one_that_raises_is_heard():
    nan = BestOfN(n=4, scorer=lambda question, row: math.nan)
    assert (await ask(QUESTION, FakeLM(["The answer is 24."]), nan)).mode().text == "24"

    def broken(question, row):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await ask(QUESTION, FakeLM(["The answer is 24."]), BestOfN(n=4, scorer=broken))


async def test_a_method_refuses_a_model_that_lacks_what_it_needs():
    lm = FakeLM(["4"])
    lm.capabilities = frozenset({"text", "chat"})
    with pytest.raises(CapabilityError, match="logprobs"):
        await ask(QUESTION, lm, BestOfN())


async def test_greedy_asks_once_at_temperature_zero():
    session = Session(FakeLM(["The answer is 24."]), trace=True)
    posterior = await ask(QUESTION, session, Greedy())
    assert [event.sampling.temperature for event in session.events] == [0.0]
    assert (posterior.mode().text, posterior.ledger.samples) == ("24", 1)


def test_methods_print_what_was_changed():
    assert repr(SelfConsistency()) == "SelfConsistency()"
    assert repr(SelfConsistency(temperature=1.0)) == "SelfConsistency(temperature=1.0)"


@pytest.mark.parametrize(
    ("spec", "method"),
    [
        ("greedy", Greedy()),
        ("self-consistency:8", SelfConsistency(n=8)),
        ("self-consistency:n=8,temperature=0.5", SelfConsistency(n=8, temperature=0.5)),
        ("best-of-n: n=3 , top_p=0.9", BestOfN(n=3, top_p=0.9)),
    ],
)
def test_a_method_from_text(spec, method):
    assert make_method(spec) == method


def test_the_sample_budget_is_the_sample_count_unless_told_otherwise():
    assert make_method("self-consistency", Budget(samples=64)).n == 64
    assert make_method("self-consistency:8", Budget(samples=64)).n == 8
    assert make_method("greedy", Budget(samples=64)) == Greedy()


@pytest.mark.parametrize(
    ("spec", "hint"),
    [
        ("self-consistensy", "did you mean 'self-consistency'"),
        ("", "unknown"),
        ("self-consistency:m=3", "no option 'm'"),
        ("self-consistency:n=few", "is no int"),
        ("self-consistency:n=0", "n=0"),
        ("self-consistency:n=-2", "n=-2"),
        ("self-consistency:temperature=0", "temperature"),
        ("best-of-n:scorer=eval", "cannot be given as text"),
        ("greedy:max_tokens=0", "max_tokens=0"),
    ],
)
def test_bad_methods_are_refused(spec, hint):
    with pytest.raises(UsageError, match=hint):
        make_method(spec)


def test_a_session_brings_its_own_budget():
    with pytest.raises(UsageError, match="its own budget"):
        asyncio.run(ask(QUESTION, Session(FakeLM(["4"])), budget=Budget(samples=1)))


class Points:
    """Stands for the installed packages' entry points."""

    def __init__(self, **found):
        self.found = found

    def __call__(self, *, group):
        assert group == "educe.methods"
        return [self.Point(name, value) for name, value in self.found.items()]

    @dataclass
    class Point:
        name: str
        value: object

        def load(self):
            if isinstance(self.value, Exception):
                raise self.value
            return self.value


@pytest.fixture
def installed(monkeypatch):
    """Pretend that other packages declare methods."""
    from educe.reason import strategy

    def install(**found):
        monkeypatch.setattr(strategy, "entry_points", Points(**found))
        strategy._third_party.cache_clear()

    yield install
    monkeypatch.undo()
    strategy._third_party.cache_clear()


async def test_another_package_brings_a_method_and_cannot_take_a_name_over(installed):
    installed(theirs=Broken, greedy=Broken)
    assert methods()["theirs"] is Broken
    assert methods()["greedy"] is Greedy
    posterior = await ask(QUESTION, FakeLM(["The answer is 24."]), "theirs")
    assert posterior.mode().text == "24"


@pytest.mark.parametrize("broken", [ImportError("no module"), print, int])
def test_a_broken_method_of_another_package_is_named(installed, broken):
    installed(theirs=broken)
    with pytest.raises(UsageError, match="'theirs'"):
        methods()


@dataclass(frozen=True, repr=False)
class Broken(Strategy):
    """A method that breaks one promise."""

    how: str = ""
    calls: list = field(default_factory=list, compare=False, repr=False)

    async def __call__(self, question, lm):
        self.calls.append(1)
        temperature = 0.7
        if self.how == "impure":
            return Posterior.uniform([str(len(self.calls))], ledger=lm.ledger)
        if self.how == "overspends":
            rows = await lm.lm.sample(question.messages(), n=8)
        else:
            rows = await lm.sample(question.messages(), n=8, temperature=temperature)
        if self.how == "raises":
            raise ValueError("no rows") if len(rows) < 8 else None
        answers = [answer for answer in await read_answers(question, rows) if answer is not None]
        if self.how == "crashes on nothing":
            answers[0]
        if self.how == "batch":
            answers = answers[:1] if len(lm.lm.prompts) and type(lm.lm).__name__ == "_OneByOne" else answers
        ledger = Posterior.uniform([1]).ledger if self.how == "no ledger" else lm.ledger
        return Posterior.uniform(answers, ledger=ledger)


@dataclass(frozen=True, repr=False)
class Careless(Strategy):
    """A method with a reward that it does not look after, or that makes up an answer."""

    how: str = ""
    n: int = 2
    reward: object = "logprob"

    async def __call__(self, question, lm):
        rows = await lm.sample(question.messages(), n=self.n)
        answers = [answer for answer in await read_answers(question, rows) if answer is not None]
        if self.how == "believes all" and not isinstance(self.reward, str):
            return Posterior.uniform(answers, ledger=lm.ledger)
        if self.how == "makes up":
            return Posterior.uniform(answers or [Answer("24", "number")], ledger=lm.ledger)
        if self.how == "needs logprobs":
            [row.logprob for row in rows]
        if self.how == "never alone" and self.n == 1:
            answers = []
        return Posterior.uniform(answers, ledger=lm.ledger)


@pytest.mark.parametrize(
    ("how", "check"),
    [
        ("believes all", "a reward of nan"),
        ("makes up", "less than one sample|from an answer without an end|concludes"),
        ("needs logprobs", "does not say so before it begins"),
        ("never alone", "with n=1"),
    ],
)
def test_the_battery_catches_careless_methods(how, check):
    with pytest.raises(ConformanceError, match=check):
        check_strategy(Careless(how), skip=("plain data", *(() if how == "believes all" else ("a reward that fails",))))


@pytest.mark.parametrize(
    ("how", "check"),
    [
        ("impure", "same seed"),
        ("overspends", "behind the session|stopped_by|less than one sample"),
        ("crashes on nothing", "raised IndexError"),
        ("batch", "depends on the batch"),
        ("no ledger", "stopped_by|ledger"),
    ],
)
def test_the_battery_catches_broken_methods(how, check):
    with pytest.raises(ConformanceError, match=check):
        check_strategy(Broken(how), skip=("plain data",))


def test_the_battery_lets_a_sound_method_of_somebody_else_pass():
    assert "plain data" not in check_strategy(Broken(), skip=("plain data",))
