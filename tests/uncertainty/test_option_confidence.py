"""Option probabilities and their comparison, against a model that is coherent by construction."""

from collections import Counter

import numpy as np
import pytest

from educe.core import Budget, CapabilityError, UsageError
from educe.lm import FakeLM, Session, TabularLM
from educe.uncertainty import (
    MultipleChoice,
    OptionPosterior,
    bootstrap,
    compare_modes_sync,
    option_calibration,
    option_confidence_sync,
    paired_report,
)

UPPER = (" {upper}",)
REASONS = {"x": 0.5, "y": 0.3, "z": 0.2}
GIVEN = {"x": (0.9, 0.1), "y": (0.2, 0.8), "z": (0.6, 0.4)}
ITEM = MultipleChoice("Which?", ("red", "blue"), "A")
DIRECT = np.array([sum(REASONS[r] * GIVEN[r][i] for r in REASONS) for i in range(2)])


def law(prompt, text):
    """Reasons by one word, then answers by it; answers at once by the mean over words: coherent by construction."""
    if text == "":
        return {f"{r}\n": p for r, p in REASONS.items()}
    if text.endswith("is"):
        shares = GIVEN.get(text[0], DIRECT)
        return {" A": shares[0], " B": shares[1]}
    if text.endswith("\n"):
        return {"The answer is": 1.0}
    return {"": 1.0}


def test_direct_probabilities_are_the_models():
    found = option_confidence_sync(TabularLM(law), ITEM, spellings=UPPER)
    assert found.probs == pytest.approx(DIRECT) and found.raw_mass == pytest.approx(1.0)
    assert found.choice == 0 and found.confidence == pytest.approx(0.63) and found.texts == ()


def test_after_reasoning_they_are_those_of_the_reasoning():
    found = option_confidence_sync(TabularLM(law), ITEM, "cot", spellings=UPPER, seed=4)
    assert found.probs == pytest.approx(GIVEN[found.texts[0][0]])


def test_the_mean_over_reasonings_tends_to_the_direct_law():
    errors = []
    for n in (50, 3200):
        found = option_confidence_sync(TabularLM(law), ITEM, "marginal", n_reasonings=n, spellings=UPPER)
        shares = Counter(text[0] for text in found.texts)
        mixed = sum(np.array(GIVEN[r]) * count for r, count in shares.items()) / n
        assert found.probs == pytest.approx(mixed) and found.table.shape == (n, 2)
        errors.append(np.abs(found.probs - DIRECT).max())
    # Standard deviation of one reasoning's probability is .29; six standard errors of 3,200.
    assert errors[1] < 6 * 0.29 / 3200**0.5
    # Jensen: the mean of the largest is never below the largest of the mean.
    assert found.table.max(1).mean() >= found.probs.max()


def test_spellings_add_up():
    table = {" A": 0.1, "A": 0.2, " a": 0.05, "a": 0.05, " B": 0.3, "B": 0.1, " b": 0.05, "b": 0.05, " C": 0.1}
    lm = TabularLM(lambda prompt, text: table if text.endswith("is") else {"": 1.0})
    found = option_confidence_sync(lm, ITEM)
    assert found.probs == pytest.approx([0.4, 0.5]) and found.raw_mass == pytest.approx(0.9)
    digits = option_confidence_sync(
        TabularLM(lambda p, t: {" 1": 0.7, " 2": 0.3} if t.endswith("is") else {"": 1.0}),
        ITEM,
        letters="12",
        spellings=UPPER,
    )
    assert digits.probs == pytest.approx([0.7, 0.3])


def biased(prompt, text):
    """Prefers the letter A three to one, and red two to one."""
    if not text.endswith("is"):
        return {"": 1.0}
    lines = prompt.splitlines()
    first = next(line for line in lines if "A. " in line)
    worth = [3.0 * (2.0 if "red" in first else 1.0), 2.0 if "red" not in first else 1.0]
    if "N/A" in prompt:
        worth = [3.0, 1.0]
    return {" A": worth[0] / sum(worth), " B": worth[1] / sum(worth)}


def test_rotating_the_options_removes_the_letters_bias():
    lm = TabularLM(biased)
    turned = MultipleChoice("Which?", ("blue", "red"), "B")
    one = option_confidence_sync(lm, ITEM, debias="cyclic", spellings=UPPER).probs
    other = option_confidence_sync(lm, turned, debias="cyclic", spellings=UPPER).probs
    assert one == pytest.approx(other[::-1])
    plain = [option_confidence_sync(lm, item, spellings=UPPER).probs for item in (ITEM, turned)]
    assert plain[0][0] > 0.8 and plain[1][1] < 0.5
    prior = option_confidence_sync(lm, ITEM, debias="prior", spellings=UPPER).probs
    assert prior == pytest.approx([2 / 3, 1 / 3])


def test_a_reasoning_without_a_stem_gets_one():
    def silent(prompt, text):
        if text == "":
            return {"hm": 1.0}
        return {" A": 0.8, " B": 0.2} if text.endswith("hm\nThe answer is") else {"": 1.0}

    found = option_confidence_sync(TabularLM(silent), ITEM, "cot", spellings=UPPER)
    assert found.probs == pytest.approx([0.8, 0.2]) and found.texts == ("hm",)


ITEMS = [MultipleChoice(f"Question {i}?", ("red", "blue"), "AB"[i % 2]) for i in range(12)]


@pytest.mark.slow
def test_modes_are_compared_on_the_same_questions():
    report = compare_modes_sync(TabularLM(law), ITEMS, n_reasonings=40, spellings=UPPER, seed=1)
    direct, cot, marginal = (report.modes[mode] for mode in ("direct", "cot", "marginal"))
    assert direct.questions == 12 and direct.accuracy == 0.5 and direct.confidence == pytest.approx(DIRECT.max())
    assert cot.confidence > direct.confidence and marginal.confidence < cot.confidence
    rise = report.rises["direct", "cot"]["all"]
    assert rise.value == pytest.approx(cot.confidence - direct.confidence) and rise.low <= rise.value <= rise.high
    assert report.gap == pytest.approx(report.gap_noise, rel=0.6)
    assert report.counts["direct", "cot"]["questions"] == 12


def posterior(probs):
    return OptionPosterior(np.array(probs), float(sum(probs)))


def test_groups_are_those_of_the_definitions():
    items = ITEMS[:4]
    results = {
        "direct": dict(zip([i.id for i in items], map(posterior, ([0.7, 0.3], [0.6, 0.4], [0.4, 0.6], [0.1, 0.2])), strict=True)),
        "cot": dict(zip([i.id for i in items], map(posterior, ([0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.1, 0.9])), strict=True)),
    }  # fmt: skip
    report = paired_report(items, results)
    # Right: A, B, A, B. Direct chooses A, A, B and is left out of the fourth for lack of mass.
    assert report.modes["direct"].questions == 3 and report.modes["direct"].excluded == 1
    assert report.modes["direct"].right == pytest.approx(0.7) and report.modes["direct"].wrong == pytest.approx(0.6)
    assert report.modes["cot"].accuracy == 0.5
    rises = report.rises["direct", "cot"]
    assert rises["all"].value == pytest.approx((0.2 + 0.2 + 0.1) / 3)
    assert rises["both wrong"].value == pytest.approx(0.15) and report.counts["direct", "cot"]["both wrong"] == 2
    assert rises["wrong"].value == pytest.approx(0.75 - 0.6) and rises["right"].value == pytest.approx(0.2)
    assert rises["wrong minus right"].value == pytest.approx(-0.05)
    assert np.isnan(report.gap)


@pytest.mark.slow
def test_pairing_goes_by_id_and_a_shuffle_is_seen():
    rng = np.random.default_rng(0)
    rows = rng.dirichlet([1, 1], size=12)
    direct = {item.id: posterior(row) for item, row in zip(ITEMS, rows, strict=True)}
    cot = {item.id: posterior(row**2 / (row**2).sum()) for item, row in zip(ITEMS, rows, strict=True)}
    paired = paired_report(ITEMS, {"direct": direct, "cot": cot})
    reordered = {name: cot[name] for name in reversed(list(cot))}
    again = paired_report(ITEMS, {"direct": direct, "cot": reordered})
    assert again.modes == paired.modes and again.counts == paired.counts
    names = list(cot)
    shuffled = {name: cot[other] for name, other in zip(names, names[2:] + names[:2], strict=True)}
    moved = paired_report(ITEMS, {"direct": direct, "cot": shuffled})
    assert moved.modes["cot"].confidence == pytest.approx(paired.modes["cot"].confidence)
    assert moved.counts != paired.counts


def test_a_paired_interval_is_that_of_the_differences():
    rng = np.random.default_rng(1)
    p = rng.uniform(0.5, 0.9, 12)
    direct = {item.id: posterior([a, 1 - a]) for item, a in zip(ITEMS, p, strict=True)}
    cot = {item.id: posterior([a + 0.05, 0.95 - a]) for item, a in zip(ITEMS, p, strict=True)}
    rise = paired_report(ITEMS, {"direct": direct, "cot": cot}).rises["direct", "cot"]["all"]
    assert (rise.low, rise.high) == pytest.approx((0.05, 0.05))
    assert bootstrap(np.mean, p).high > rise.high


def test_calibration_on_options():
    report = option_calibration(TabularLM(law), ITEMS)
    assert report.accuracy == 0.5 and report.mass == pytest.approx(1.0)
    # Shares .63 and .37 for options that are right half of the time each.
    assert report.ece == pytest.approx(0.13) and report.rms == pytest.approx(0.13) and report.auroc == 0.5
    shown = FakeLM(lambda prompt, seed: "x")
    option_calibration(shown, ITEMS[:1], shots=ITEMS[1:3], none_of_above=True)
    texts = option_calibration(shown, ITEMS[:2], letters=False)
    assert np.isnan(texts.mass) and len(texts.probs) == 2
    with pytest.raises(UsageError, match="no question"):
        option_calibration(shown, [])


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"mode": "think"}, "mode='think'"),
        ({"debias": "shuffle"}, "debias='shuffle'"),
        ({"n_reasonings": 0}, "n_reasonings=0"),
        ({"max_tokens": 0}, "max_tokens=0"),
        ({"letters": "A"}, "1 letters"),
    ],
)
def test_bad_options_are_refused(options, hint):
    with pytest.raises(UsageError, match=hint):
        option_confidence_sync(TabularLM(law), ITEM, **options)


def test_bad_items_models_and_budgets():
    with pytest.raises(UsageError, match="1 options"):
        MultipleChoice("Which?", ("red",), "A")
    with pytest.raises(UsageError, match="'C' is no letter"):
        MultipleChoice("Which?", ("red", "blue"), "C")
    deaf = FakeLM(["x"])
    deaf.capabilities = frozenset({"text", "chat"})
    with pytest.raises(CapabilityError, match="score"):
        option_confidence_sync(deaf, ITEM)
    spent = Session(TabularLM(law), Budget(calls=1))
    option_confidence_sync(spent, ITEM, spellings=UPPER)
    with pytest.raises(UsageError, match="budget"):
        option_confidence_sync(spent, ITEM, spellings=UPPER)
    with pytest.raises(UsageError, match="do not pair"):
        paired_report([ITEM, ITEM], {"direct": {}})
    with pytest.raises(UsageError, match="lacks question"):
        paired_report(ITEMS, {"direct": {}})
