"""VLUCI: its bound against quadrature, symmetry of sign, draws in closed form, inputs of every kind, bad input."""

import math

import numpy as np
import pytest
import torch

from educe.causal import VLUCI, TLearner
from educe.core import UsageError
from educe.prob.vi import E

QUICK = {"hidden": (8,), "epochs": 2, "batch": 100}


def world(n, strength=1.5, seed=0, slope=1.5):
    rng = np.random.default_rng(seed)
    x, c = rng.normal(size=(n, 2)), rng.normal(size=n)
    t = (rng.logistic(size=n) < 0.5 * x[:, 0] + strength * c).astype(float)
    return x, c, t, x[:, 0] + 0.5 * x[:, 1] + slope * c + t + 0.2 * rng.normal(size=n)


def exact_log_likelihood(model, x, t, y):
    """log p(t, y | x) of a fitted model by a sum over a fine grid of its one-dimensional confounder."""
    seen = model._seen(x, t, y)
    rows = model._rows(seen)
    grid = torch.linspace(-6, 6, 2401)
    c = grid[:, None, None].expand(-1, len(t), 1)
    wide = [rows[0].expand(len(grid), *rows[0].shape), rows[1].expand(len(grid), -1), rows[2].expand(len(grid), -1)]
    with torch.no_grad():
        logits = model._model.choose(wide[0], c).parameters[0].double()
        mean = model._model.expected(*wide[:2], c).double()
    sigma = model.sigma_
    log_joint = -0.5 * grid[:, None].double() ** 2 - 0.5 * math.log(2 * math.pi)
    log_joint = log_joint + logits * wide[1] - torch.nn.functional.softplus(logits)
    log_joint = log_joint - 0.5 * ((wide[2] - mean) / sigma) ** 2 - math.log(sigma) - 0.5 * math.log(2 * math.pi)
    return (torch.logsumexp(log_joint, 0) + math.log(float(grid[1] - grid[0]))).numpy()


@pytest.mark.slow
@pytest.mark.parametrize("bound", ["single", "double"])
def test_the_bound_is_below_the_exact_likelihood_and_close_to_it(bound):
    x, c, t, y = world(1000)
    model = VLUCI(bound=bound, hidden=(32,), epochs=100, batch=125).fit(x, t, y)
    exact = exact_log_likelihood(model, x, t, y).mean()
    found = model.evidence(x, t, y, n=50).mean()
    # The mean over 1,000 units of 50 draws each has a standard error near 0.002.
    assert found < exact + 0.01
    # The double bound also pays for the distance of the early guide.
    assert exact - found < (0.05 if bound == "single" else 0.15)
    inferred = model.augment(x, t, y, draw=False)[:, -1]
    assert abs(np.corrcoef(inferred, c)[0, 1]) > 0.9
    oracle = 1.0
    naive = y[t == 1].mean() - y[t == 0].mean()
    assert abs(model.effects(x, t, y).mean() - oracle) < 0.5 * abs(naive - oracle)


@pytest.mark.slow
def test_where_the_confounder_moves_nothing_the_posterior_is_the_prior():
    """The outcome's noise is what the model expects of it, so that nothing is left for the confounder."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(1000, 2))
    t = (rng.random(1000) < 0.5).astype(float)
    y = x[:, 0] + t + rng.normal(size=1000) * 0.3
    sigma = 0.3 / y.std()
    model = VLUCI(hidden=(16,), epochs=100, batch=125, sigma_y=sigma).fit(x, t, y)
    draws = model.posterior(x, t, y, 50).values["c"]
    assert float(draws.std(0).mean()) > 0.8 and float(draws.mean(0).std()) < 0.5


def test_confounders_of_opposite_sign_have_equal_bounds():
    x, _, t, y = world(200)
    model = VLUCI(**QUICK).fit(x, t, y)
    rows = model._rows(model._seen(x, t, y))
    c = torch.linspace(-2, 2, 200)[:, None]
    with torch.no_grad():
        before = [model._model.choose(rows[0], c).parameters[0], model._model.expected(rows[0], rows[1], c)]
        located = model._model.guide(*rows)[0]
        for net in (model._model.choice, model._model.control, model._model.treated):
            net[0].weight[:, -1:] *= -1
        model._model.late[-1].weight[:1] *= -1
        model._model.late[-1].bias[:1] *= -1
        after = [model._model.choose(rows[0], -c).parameters[0], model._model.expected(rows[0], rows[1], -c)]
        torch.testing.assert_close(model._model.guide(*rows)[0], -located)
    torch.testing.assert_close(before, after)


def test_the_gradient_of_the_bound_is_its_slope():
    x, _, t, y = world(60)
    model = VLUCI(**QUICK).fit(x, t, y)
    model._model.double()
    rows = [row.double() for row in model._rows(model._seen(x, t, y))]
    bound = E(model._model.objectives()[0], broadcast=True)
    weight = model._model.late[0].weight
    value = bound.surrogate(rows=rows, seed=3)
    (gradient,) = torch.autograd.grad(value, weight)
    ends = []
    for step in (1e-5, -1e-5):
        with torch.no_grad():
            weight[0, 0] += step
            ends.append(float(bound.surrogate(rows=rows, seed=3)))
            weight[0, 0] -= step
    assert float(gradient[0, 0]) == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-4)


def test_without_an_outcome_the_confounder_follows_from_the_treatment():
    """With log-odds 1.5 c the mean of c among the treated is E[c sigmoid(1.5 c)] / 0.5; 400 units of 200 draws."""
    x, _, t, y = world(400)
    model = VLUCI(strength=1.5, **QUICK).fit(x, t, y)
    with torch.no_grad():
        for parameter in model._model.choice.parameters():
            parameter.zero_()
    draws = model.posterior(x, np.ones(400), n=200).values["c"]
    grid = np.linspace(-8, 8, 4001)
    density = np.exp(-(grid**2) / 2) / np.sqrt(2 * np.pi) * 2 / (1 + np.exp(-1.5 * grid))
    mean = float((grid * density).sum() * (grid[1] - grid[0]))
    # Prior draws are shared by a unit's draws: about 400 * 512 of them stand behind this mean.
    assert float(draws.mean()) == pytest.approx(mean, abs=0.03)


def test_without_anything_seen_the_confounder_has_its_prior():
    """100,000 standard normal numbers: mean and deviation within five standard errors."""
    x, _, t, y = world(100)
    model = VLUCI(**QUICK).fit(x, t, y)
    draws = model.posterior(x, n=1000).values["c"]
    assert draws.shape == (1000, 100, 1)
    assert abs(float(draws.mean())) < 5 / 1e5**0.5 and abs(float(draws.std()) - 1) < 5 / 2e5**0.5
    assert model.effects(x, n=3).shape == (100,)


@pytest.mark.slow
def test_arrays_tensors_and_frames_give_one_answer_and_the_seed_decides():
    pandas = pytest.importorskip("pandas")
    x, _, t, y = world(120)
    state = torch.random.get_rng_state()
    answers = [
        VLUCI(seed=seed, **QUICK).fit(*data).augment(*data)
        for seed, data in (
            (1, (x, t, y)),
            (1, (pandas.DataFrame(x, columns=["a", "b"]), pandas.Series(t), pandas.Series(y))),
            (1, (torch.as_tensor(x), torch.as_tensor(t), torch.as_tensor(y))),
            (2, (x, t, y)),
        )
    ]
    np.testing.assert_array_equal(answers[0], answers[1])
    np.testing.assert_array_equal(answers[0], answers[2])
    assert np.abs(answers[0] - answers[3]).max() > 1e-3
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize(
    "parameters",
    [
        {"treatment": "continuous"},
        {"outcome": "bernoulli", "k": 2},
        {"bound": "double", "learn_sigma": True},
        {"strength": 0.7},
    ],
)
def test_every_form_fits_and_predicts(parameters):
    x, _, t, y = world(150)
    t = t + 0.1 * x[:, 0] if "treatment" in parameters else t
    y = (y > 0).astype(float) if "outcome" in parameters else y
    model = VLUCI(**QUICK, **parameters).fit(x, t, y)
    found = model.counterfactual(x, t, y, 1.0, n=20)
    assert found.values["y"].shape == (20, 150) and bool(torch.isfinite(found.values["y"]).all())
    assert model.effects(x, t, n=5).shape == (150,)
    assert model.posterior(x, t, y, 3).values["c"].shape == (3, 150, parameters.get("k", 1))
    if "outcome" in parameters:
        assert set(found.values["y"].unique().tolist()) <= {0.0, 1.0}


@pytest.mark.slow
def test_intervals_nest_and_a_base_learner_is_used():
    linear = pytest.importorskip("sklearn.linear_model")
    x, _, t, y = world(150)
    model = VLUCI(**QUICK).fit(x, t, y)
    base = TLearner(linear.LinearRegression()).fit(model.augment(x, t, y), t, y)
    wide, narrow = (
        np.array(model.counterfactual(x, t, y, 1 - t, base=base, level=level).details["intervals"])
        for level in (0.95, 0.5)
    )
    assert (wide[:, 0] <= narrow[:, 0]).all() and (narrow[:, 1] <= wide[:, 1]).all()
    control, treated = base.regressors_
    draws = model.posterior(x, t, y, 7, seed=5).values["c"].numpy()
    rows = [np.hstack([x, c]) for c in draws]
    expected = np.mean([treated.predict(row) - control.predict(row) for row in rows], axis=0)
    np.testing.assert_allclose(model.effects(x, t, y, 7, base, seed=5), expected, atol=1e-9)


def test_scikit_learn_can_clone_it():
    clone = pytest.importorskip("sklearn.base").clone
    model = VLUCI(k=2, sigma_y=0.2)
    assert clone(model).get_params() == model.get_params() and repr(model) == "VLUCI(k=2, sigma_y=0.2)"
    assert model.set_params(k=3).k == 3
    with pytest.raises(UsageError, match="no parameter 'kk'"):
        model.set_params(kk=1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x, t, y: (np.where(x > 2, np.nan, x), t, y), "x contains NaN"),
        (lambda x, t, y: (np.c_[x, np.ones(len(x))], t, y), "Column 2 of x is constant"),
        (lambda x, t, y: (x, t * 2, y), "t holds 2"),
        (lambda x, t, y: (x, t * 0, y), "Arm t=1 has 0 units"),
        (lambda x, t, y: (x, t, y[:-1]), "there are 100 units"),
        (lambda x, t, y: (x, t, y * 0), "no effect to find"),
        (lambda x, t, y: (x[:, :, None], t, y), "x has shape"),
        (lambda x, t, y: ([["a"]] * 100, t, y), "no number"),
        (lambda x, t, y: (x, t, np.where(y > 2, np.inf, y)), "y contains NaN or infinity"),
    ],
)
def test_bad_data_are_refused(change, words):
    x, _, t, y = world(100)
    with pytest.raises(UsageError, match=words):
        VLUCI(**QUICK).fit(*change(x, t, y))


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"bound": "triple"}, "bound='triple'"),
        ({"k": 0}, "k=0"),
        ({"sigma_y": 0.0}, "sigma_y=0"),
        ({"hidden": ()}, "at least one layer"),
        ({"strength": 1.0, "treatment": "continuous"}, "log-odds"),
        ({"epochs": 0}, "epochs=0"),
        ({"outcome": "bernoulli"}, "takes 0 and 1 only"),
        ({"rate": 1e30}, "Lower the rate"),
    ],
)
def test_bad_parameters_are_refused(parameters, words):
    x, _, t, y = world(100)
    with pytest.raises(UsageError, match=words):
        VLUCI(**{**QUICK, **parameters}).fit(x, t, y)


def test_questions_before_the_fit_or_out_of_range():
    x, _, t, y = world(100)
    with pytest.raises(UsageError, match="not fitted"):
        VLUCI().posterior(x, t, y)
    model = VLUCI(**QUICK).fit(x, t, y)
    with pytest.raises(UsageError, match="level=1"):
        model.counterfactual(x, t, y, 1, level=1)
    with pytest.raises(UsageError, match="n=0"):
        model.posterior(x, t, y, 0)
    with pytest.raises(UsageError, match="y without t"):
        model.posterior(x, None, y)
    with pytest.raises(UsageError, match="x has 3 columns"):
        model.augment(np.c_[x, x[:, 0]], t, y)
