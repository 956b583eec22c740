"""The head's gradient, what it learns, what it leaves alone; P(IK) end to end."""

import numpy as np
import pytest
import torch

from educe.core import CapabilityError, UsageError
from educe.lm import FakeLM
from educe.lm.decoder import Decoder, DecoderConfig
from educe.uncertainty import PIK, ProbabilityHead, auroc


@pytest.fixture(scope="module")
def decoder():
    return Decoder(DecoderConfig(vocabulary=24, layers=1, width=16, heads=2, feed_forward=32))


def texts_and_rates(n, seed=0):
    """The rate depends on the last token alone."""
    rng = np.random.default_rng(seed)
    texts = [rng.integers(4, 24, size=int(rng.integers(2, 6))).tolist() for _ in range(n)]
    return texts, np.array([0.9 if text[-1] < 14 else 0.2 for text in texts])


def test_a_rate_has_the_gradient_of_its_copies(decoder):
    texts = [[1, 2, 3], [4, 5]]
    grads = []
    for rows, targets in (
        (texts, torch.tensor([2 / 3, 0.5])),
        ([texts[0]] * 6 + [texts[1]] * 6, torch.tensor([1.0] * 4 + [0.0] * 2 + [1.0] * 3 + [0.0] * 3)),
    ):
        head = ProbabilityHead(decoder)
        torch.nn.functional.binary_cross_entropy_with_logits(head._logits(rows), targets).backward()
        grads.append(head._out.weight.grad.clone())
    assert torch.allclose(grads[0], grads[1], atol=1e-6)


def test_it_learns_rates_and_leaves_the_model_alone(decoder):
    before = {name: weight.clone() for name, weight in decoder.named_parameters()}
    texts, rates = texts_and_rates(400)
    head = ProbabilityHead(decoder, updates=100, learning_rate=3e-3).fit(texts, rates)
    new, truth = texts_and_rates(200, seed=1)
    found = head.predict(new)
    assert np.abs(found - truth).mean() < 0.1 and auroc(found, truth > 0.5) > 0.97
    assert all(torch.equal(weight, before[name]) for name, weight in decoder.named_parameters())


def test_a_probe_is_a_logistic_regression(decoder):
    linear = pytest.importorskip("sklearn.linear_model")
    texts, rates = texts_and_rates(300)
    y = (np.random.default_rng(2).random(300) < rates).astype(float)
    head = ProbabilityHead(decoder, head="probe", updates=500).fit(texts, y)
    with torch.no_grad():
        states = head._states(texts).numpy()
    # Our shrinkage is 1e-4 |w|^2 beside a mean loss; theirs is |w|^2 / (2 C) beside a summed one.
    theirs = linear.LogisticRegression(C=1 / (2 * 1e-4 * 300), max_iter=5000, tol=1e-8).fit(states, y)
    assert head.predict(texts) == pytest.approx(theirs.predict_proba(states)[:, 1], abs=0.01)


def test_padding_and_company_do_not_matter(decoder):
    head = ProbabilityHead(decoder, updates=5).fit(*texts_and_rates(50))
    alone = head.predict([[5, 6]])[0]
    assert head.predict([[5, 6], [1, 2, 3, 4, 5, 6, 7]])[0] == pytest.approx(alone, abs=1e-6)
    assert head.predict([]).tolist() == []


def test_the_same_seed_gives_the_same_head(decoder):
    data = texts_and_rates(60)
    one, two, other = (ProbabilityHead(decoder, updates=5, batch=20, seed=s).fit(*data) for s in (1, 1, 2))
    probe = [[5, 6], [7, 8, 9]]
    assert one.predict(probe).tolist() == two.predict(probe).tolist() != other.predict(probe).tolist()


@pytest.mark.parametrize(
    "make",
    [
        lambda d: ProbabilityHead(d, head="mlp"),
        lambda d: ProbabilityHead(d, updates=0),
        lambda d: ProbabilityHead(d, batch=0),
        lambda d: ProbabilityHead(d, learning_rate=0.0),
        lambda d: ProbabilityHead(d).fit([[1]], [1.5]),
        lambda d: ProbabilityHead(d).fit([[]], [0.5]),
        lambda d: ProbabilityHead(d).fit([], []),
        lambda d: PIK.fit(d, []),
        lambda d: PIK.fit(d, ["a"], rates=[0.5]),
        lambda d: PIK.fit(d, ["a"], lambda i, c: True, rates=[0.5]),
        lambda d: PIK.fit(d, ["a"]),
        lambda d: PIK.fit(d, [1], rates=[0.5], encode=lambda q: [q], epochs=0),
    ],
)
def test_bad_input_is_refused(decoder, make):
    with pytest.raises(UsageError):
        make(decoder)


def test_a_model_without_weights_is_refused():
    with pytest.raises(CapabilityError, match="no folder of weights"):
        PIK.fit(FakeLM(["4"]), ["2 + 2 = ?"], rates=[1.0])


@pytest.mark.slow
def test_it_reads_a_model_of_the_engine():
    import educe
    from educe.tasks import make

    lm = educe.load("abacus")
    problems = make("chain_arithmetic", 24, "dev", difficulty=1)
    questions = [problem.prompt for problem in problems]
    known = PIK.fit(lm, questions, lambda i, row: problems[i].check(row.text), samples=4, epochs=1)
    assert known.ledger.samples == 24 * 4 and set(known.rates * 4) <= {0.0, 1.0, 2.0, 3.0, 4.0}
    found = known.predict(questions[:3], context="Hint: none.")
    assert found.shape == (3,) and ((found > 0) & (found < 1)).all()
    lm.close()
