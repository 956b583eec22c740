"""The particle filter against exact posteriors and evidences of an enumerable model, in all its variants."""

import math
import runpy
from collections import Counter
from pathlib import Path
from statistics import fmean, stdev
from types import SimpleNamespace

import numpy as np
import pytest

from educe.core import Budget, EvidenceKind, UsageError, run_sync
from educe.lm import FakeLM, Session, TabularLM
from educe.prob import run as infer
from educe.prob import smc
from educe.reason import FunctionReward, ParticleSearch, Question, StepPolicy, StepTarget, make_method, reasoning

# Tests are imported by path, so a module beside them is too.
world = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("worlds.py"))))
QUESTION, REWARD, STEPS = world.QUESTION, world.REWARD, world.STEPS
distance, exact, model, paths, score = world.distance, world.exact, world.model, world.paths, world.score


def particles(method, seed=0, lm=None):
    """Texts with normalised particle weights, and the posterior."""
    posterior = run_sync(method(QUESTION, Session(lm or model(), seed=seed)))
    logs = np.array(posterior.details["log_weights"])
    weights = np.exp(logs - np.logaddexp.reduce(logs))
    law = Counter()
    for text, weight in zip(posterior.details["texts"], weights, strict=True):
        law[text] += float(weight)
    return law, posterior


@pytest.fixture(autouse=True)
def read_everything(monkeypatch):
    from educe.reason import particle_search
    from educe.reason.question import Answer

    async def read(question, rows):
        return [Answer(repr(row.text)) for row in rows]

    monkeypatch.setattr(particle_search, "read_answers", read)


def test_the_evidence_of_a_few_runs_is_near_the_exact_one():
    """A quick look; the slow tests have the standard errors."""
    total, _ = exact(StepTarget().log_total)
    found = [particles(ParticleSearch(n=64, steps=STEPS, reward=REWARD), seed)[1].log_evidence for seed in range(4)]
    assert all(abs(value - math.log(total)) < 2.0 for value in found)


def test_the_world_is_what_the_tests_think():
    assert len(paths()) == 31
    assert math.fsum(probability for _, probability, _ in paths()) == pytest.approx(1.0)


TARGETS = [
    ("odds", "product"),
    ("odds", "final"),
    ("prob", "product"),
    (lambda value: 2.0 * value, "product"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("potential", "target"), TARGETS)
@pytest.mark.parametrize("options", [{}, {"when": 0.5, "resample": "systematic"}, {"tau": 2.0}, {"temper": "entropic"}])
def test_the_evidence_is_unbiased_and_the_posterior_exact(potential, target, options):
    weigh = StepTarget(potential, target).log_total
    total, law = exact(weigh)
    method = ParticleSearch(
        n=8, steps=STEPS, reward=REWARD, potential=potential, target=target, select="vote", **options
    )
    lm = model()
    runs = 120
    found = [particles(method, seed, lm)[1] for seed in range(runs)]
    assert all(posterior.evidence_kind is EvidenceKind.UNBIASED for posterior in found)
    ratios = [math.exp(posterior.log_evidence) / total for posterior in found]
    # Ratios are bounded and nearly normal in the mean: 5.5 standard errors are passed by chance less than 1e-6 of times.
    assert abs(fmean(ratios) - 1) < 5.5 * stdev(ratios) / math.sqrt(runs)
    # Unnormalised estimates are unbiased for every answer, which a bias of the weights would break.
    for text in sorted(law, key=law.get)[-3:]:
        shares = [
            math.fsum(
                math.exp(weight)
                for seen, weight in zip(posterior.details["texts"], posterior.details["log_weights"], strict=True)
                if seen == text
            )
            / total
            for posterior in found
        ]
        assert abs(fmean(shares) - law[text]) < 5.5 * stdev(shares) / math.sqrt(runs)


@pytest.mark.slow
@pytest.mark.parametrize("target", ["product", "final"])
def test_many_particles_come_close_to_the_posterior(target):
    _, law = exact(StepTarget("odds", target).log_total)
    found, _ = particles(ParticleSearch(n=3000, steps=STEPS, reward=REWARD, target=target, select="vote"), seed=3)
    # Plain Monte Carlo error of 3000 particles is about 0.03.
    assert distance(found, law) < 0.12


@pytest.mark.slow
def test_the_published_treatment_of_finished_particles_has_no_such_target():
    _, law = exact(StepTarget().log_total)
    laws = {}
    for finished in ("freeze", "reweight"):
        method = ParticleSearch(n=600, steps=STEPS, reward=REWARD, finished=finished, select="vote")
        pooled = Counter()
        for seed in range(16):
            found, posterior = particles(method, seed)
            pooled.update({text: share / 16 for text, share in found.items()})
        laws[finished] = pooled
    assert posterior.evidence_kind is EvidenceKind.NONE
    assert distance(laws["freeze"], law) < 0.06
    assert distance(laws["reweight"], law) > 2 * distance(laws["freeze"], law)


@pytest.mark.slow
def test_it_agrees_with_the_core_filter_on_the_same_program():
    """`educe.prob.smc` resamples once more at the end; both are unbiased for the same number."""
    total, _ = exact(StepTarget().log_total)
    lm = model()
    ratios = []
    for seed in range(150):
        program = reasoning(Session(lm, seed=seed), QUESTION, STEPS, REWARD, StepTarget())
        ratios.append(math.exp(infer(program, smc(8, "multinomial"), seed=seed).log_evidence) / total)
    assert abs(fmean(ratios) - 1) < 5.5 * stdev(ratios) / math.sqrt(len(ratios))


@pytest.mark.slow
def test_it_agrees_with_the_particles_library():
    """The same Feynman-Kac model in another library: a bootstrap filter with multinomial resampling."""
    particles_ = pytest.importorskip("particles")
    from particles.core import FeynmanKac

    table = world.table
    rng = np.random.default_rng(0)
    texts = [""]
    index = {"": 0}

    def code(text):
        if text not in index:
            index[text] = len(texts)
            texts.append(text)
        return index[text]

    def step(text):
        if text.endswith("!"):
            return text
        law = table("", text)
        drawn = text + list(law)[rng.choice(3, p=list(law.values()))]
        return drawn + "!" if drawn == text or drawn.count("\n") == 4 else drawn

    class Steps(FeynmanKac):
        def __init__(self):
            super().__init__(T=5)

        def M0(self, N):
            return np.array([code(step("")) for _ in range(N)])

        def M(self, t, xp):
            return np.array([code(step(texts[x])) for x in xp])

        def logG(self, t, xp, x):
            logs = []
            for place, now in enumerate(x):
                before = "" if xp is None else texts[xp[place]]
                odds = score(texts[now].rstrip("!"))
                logs.append(0.0 if before.endswith("!") else math.log(odds / (1 - odds)))
            return np.array(logs)

    total, _ = exact(StepTarget().log_total)
    np.random.seed(1)  # the library draws its ancestors from NumPy's global state
    theirs = []
    for _ in range(150):
        filter_ = particles_.SMC(fk=Steps(), N=8, resampling="multinomial", ESSrmin=1.0)
        filter_.run()
        theirs.append(math.exp(filter_.logLt) / total)
    method = ParticleSearch(n=8, steps=STEPS, reward=REWARD)
    lm = model()
    ours = [math.exp(particles(method, seed, lm)[1].log_evidence) / total for seed in range(150)]
    error = math.hypot(stdev(theirs), stdev(ours)) / math.sqrt(150)
    assert abs(fmean(theirs) - fmean(ours)) < 5.5 * error
    # The spread of the estimate is a property of the algorithm, too.
    assert 0.5 < stdev(ours) / stdev(theirs) < 2.0


def test_a_constant_potential_leaves_plain_samples():
    method = ParticleSearch(n=40, steps=STEPS, reward=REWARD, potential=lambda value: 0.0, select="vote", when=0.5)
    _, posterior = particles(method)
    assert posterior.log_evidence == pytest.approx(0.0)
    assert len(set(posterior.details["log_weights"])) == 1
    assert all("parents" not in entry for entry in posterior.details["rounds"])


def test_one_particle_is_one_sample():
    _, posterior = particles(ParticleSearch(n=1, steps=STEPS, reward=REWARD))
    assert (posterior.confidence, posterior.ledger.samples) == (1.0, 1)


def test_a_cold_draw_keeps_the_best_prefix_only():
    law, _ = particles(ParticleSearch(n=12, steps=STEPS, reward=REWARD, tau=1e-3))
    assert len({text[:2] for text in law}) == 1
    hot = particles(ParticleSearch(n=12, steps=STEPS, reward=REWARD, tau=1e9, resample="systematic"))[1].details
    assert all(entry["unique"] == 12 for entry in hot["rounds"] if "unique" in entry)


def test_effective_sample_sizes_are_in_range_and_genealogies_are_of_the_population():
    for entry in particles(ParticleSearch(n=16, steps=STEPS, reward=REWARD))[1].details["rounds"]:
        assert 1 - 1e-9 <= entry["ess"] <= 16 + 1e-9
        assert all(0 <= parent < 16 for parent in entry.get("parents", []))


def test_all_particles_are_asked_for_in_one_request_per_prefix():
    lm = FakeLM(lambda prompt, seed: "one more step\n" * 9)
    run_sync(ParticleSearch(n=8, steps=StepPolicy(max_steps=3))(QUESTION, Session(lm)))
    assert len(lm.prompts) == 3
    assert lm.prompts[1].endswith("assistant: one more step\n")


def test_argmax_picks_the_best_last_score():
    async def longer(question, text):
        return 0.9 if "b" in text else 0.1

    lm = TabularLM({"": {"a\n": 0.5, "b\n": 0.5}})
    method = ParticleSearch(n=20, reward=FunctionReward(longer), steps=StepPolicy(temperature=1.0))
    posterior = run_sync(method(QUESTION, Session(lm)))
    assert posterior.mode().text == repr("b\n")
    assert len(run_sync(ParticleSearch(select="sample")(QUESTION, Session(lm)))) == 1


def test_a_sample_budget_takes_particles_away_and_lets_the_others_finish():
    session = Session(FakeLM(lambda prompt, seed: "one more step\n" * 9), Budget(samples=3), trace=True)
    posterior = run_sync(ParticleSearch(n=8, steps=StepPolicy(max_steps=3))(QUESTION, session))
    assert posterior.ledger.stopped_by == "samples"
    assert (posterior.ledger.samples, len(posterior)) == (3, 3)
    assert [len(event.completions) for event in session.events] == [3, 3, 3]
    assert posterior.evidence_kind is EvidenceKind.NONE


def test_a_token_budget_keeps_what_was_finished():
    posterior = run_sync(ParticleSearch(n=8, steps=STEPS, reward=REWARD)(QUESTION, Session(model(), Budget(tokens=20))))
    assert posterior.ledger.stopped_by == "tokens"
    assert posterior.evidence_kind is EvidenceKind.NONE


@pytest.mark.parametrize(
    "options",
    [
        {"n": 0},
        {"tau": 0.0},
        {"when": 0.0},
        {"when": 1.5},
        {"potential": "log"},
        {"target": "sum"},
        {"finished": "drop"},
        {"resample": "none"},
        {"reward": "none"},
        {"select": "best"},
    ],
)
def test_bad_options_are_refused(options):
    with pytest.raises(UsageError, match=str(next(iter(options))) + "|Reward"):
        ParticleSearch(**options)


def test_it_can_be_written_on_a_command_line():
    method = make_method(r"particle-filter:n=4,when=0.5,boundary=\n\n,max_steps=7,target=final,reward=exact")
    assert method == ParticleSearch(
        n=4, when=0.5, steps=StepPolicy(boundary="\n\n", max_steps=7), target="final", reward="exact"
    )
    assert make_method("particle-filter:when=every", Budget(samples=5)) == ParticleSearch(n=5)


def test_questions_of_one_session_have_draws_of_their_own():
    session = Session(model())
    first = run_sync(ParticleSearch(n=8, steps=STEPS, reward=REWARD)(QUESTION, session))
    other = Question("Which other letters?", kind="text", examples=())
    second = run_sync(ParticleSearch(n=8, steps=STEPS, reward=REWARD)(other, session))
    assert first.details["rounds"] != second.details["rounds"]
