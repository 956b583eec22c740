"""Objectives against closed forms, quadrature and Pyro; `marginal` and `normalize` against Gaussian densities."""

import math
from itertools import pairwise

import pytest
import torch

from educe.core import EvidenceKind, UsageError
from educe.prob import (
    Bernoulli,
    BernoulliLogits,
    Draw,
    Normal,
    Uniform,
    factor,
    importance,
    observe,
    program,
    run,
)
from educe.prob.vi import (
    E,
    Objective,
    assess,
    check_gradient,
    diwhvi,
    elbo,
    fit,
    fixed,
    hvi,
    iwelbo,
    iwhvi,
    marginal,
    normalize,
    p_wake,
    q_wake,
    reinforce,
    reparam,
    reweighted_wake_sleep,
    simulate,
    sir,
    vimco,
)

D = torch.float64
LIMIT = 6.0  # standard errors: 2e-9 two-sided, some 60 comparisons in this file
EVIDENCE = -0.5 * math.log(4 * math.pi) - 1.0  # of `model`: log N(2; 0, sqrt 2)


def number(value):
    return torch.tensor(value, dtype=D)


@program
def model():
    x = yield Normal(0.0, 1.0) @ "x"
    yield observe(Normal(x, 1.0), 2.0)


@program
def guide(q):
    yield Normal(q["mu"], q["log_sd"].exp()) @ "x"


@program
def wide(q):
    """A guide with an auxiliary value that shifts it."""
    u = yield Normal(0.0, 1.0) @ "u"
    yield Normal(q["mu"] + 0.6 * u, q["log_sd"].exp()) @ "x"


def at(mu, log_sd):
    return {"mu": number(mu), "log_sd": number(log_sd)}


def exact_elbo(mu, log_sd):
    """Log-evidence minus the divergence of N(mu, sd) from N(1, sqrt 1/2), by hand."""
    variance = (2 * log_sd).exp()
    return EVIDENCE - 0.5 * (2 * variance + 2 * (mu - 1) ** 2 - 1 - (2 * variance).log())


def near(samples, value):
    error = float(samples.std()) / len(samples) ** 0.5
    return abs(float(samples.mean()) - float(value)) < LIMIT * error + 1e-9


def test_the_elbo_and_its_gradient_in_closed_form():
    here = at(0.3, -0.2)
    assert near(E(elbo(model(), guide)).samples(here, n=20_000), exact_elbo(here["mu"], here["log_sd"]))
    leaves = [value.clone().requires_grad_() for value in here.values()]
    gradient = dict(zip(here, torch.autograd.grad(exact_elbo(*leaves), leaves), strict=True))
    assert check_gradient(elbo(model(), guide), here, gradient, n=20_000).largest < LIMIT
    tight = at(1.0, math.log(0.5) / 2)
    torch.testing.assert_close(E(elbo(model(), guide)).samples(tight, n=5), torch.full((5,), EVIDENCE, dtype=D))


def test_the_bounds_are_ordered_and_below_the_evidence():
    here = at(0.3, -0.9)
    values = [E(iwelbo(model(), guide, n)).samples(here, seed=n, n=20_000) for n in (1, 2, 8, 64)]
    for low, high in pairwise(values):
        error = float((low.var() + high.var()).sqrt()) / 20_000**0.5
        assert float(high.mean() - low.mean()) > -LIMIT * error
    assert float(values[-1].mean()) < EVIDENCE + LIMIT * float(values[-1].std()) / 20_000**0.5
    assert near(values[0], exact_elbo(here["mu"], here["log_sd"]))


def test_importance_weights_are_those_of_the_mean_ratio():
    # exp of the bound is an unbiased estimate of the evidence, whatever n.
    ratio = E(iwelbo(model(), guide, 4)).samples(at(0.6, 0.2), n=20_000).exp()
    assert near(ratio, math.exp(EVIDENCE))


def joint(u, mu=0.4, log_sd=-0.7):
    return Normal(mu + 0.6 * u, math.exp(log_sd))


EXACT = Normal(0.4, math.sqrt(0.36 + math.exp(-1.4)))


@pytest.mark.parametrize("m", [1, 3])
@pytest.mark.parametrize("proposed", [False, True])
def test_marginal_estimates_the_density_and_its_inverse(m, proposed):
    @program
    def closer(kept):
        yield Normal(0.8 * (kept["x"] - 0.4), 0.7) @ "u"

    part = marginal(wide(at(0.4, -0.7)), ["x"], sir(m, closer if proposed else None))
    x = number(0.9)

    def density():
        return (yield from assess(part, {"x": x})).exp()

    assert near(E(density).samples(n=40_000), EXACT.log_prob(x).exp())

    def inverse():  # E[1 / w | x] p(x) = 1, so the integral of f(x) is the mean of f(x) / w
        choices, log_w = yield from simulate(part)
        return (Normal(0.0, 0.3).log_prob(choices["x"]) - log_w).exp()

    # With m = 1 and the prior as proposal the weights are light-tailed enough for this f only.
    assert near(E(inverse).samples(n=40_000), 1.0)


def test_marginal_with_the_exact_conditional_is_exact():
    variance = 0.36 + math.exp(-1.4)

    @program
    def conditional(kept):
        yield Normal(0.6 / variance * (kept["x"] - 0.4), math.sqrt(math.exp(-1.4) / variance)) @ "u"

    part = marginal(wide(at(0.4, -0.7)), ["x"], sir(1, conditional))

    def gap():
        choices, log_w = yield from simulate(part)
        other = yield from assess(part, choices)
        return (log_w - EXACT.log_prob(choices["x"])).abs() + (other - log_w).abs()

    assert float(E(gap).samples(n=50).max()) < 1e-10


@pytest.mark.slow
def test_hierarchical_bounds_tighten():
    here = at(0.7, -0.8)
    bounds = [
        E(objective).samples(here, seed=k, n=20_000)
        for k, objective in enumerate(
            (
                hvi(model(), wide, ["x"]),
                iwhvi(model(), wide, ["x"], 5),
                iwhvi(model(), wide, ["x"], 50),
                diwhvi(model(), wide, ["x"], 5, 50),
            )
        )
    ]
    means = [float(value.mean()) for value in bounds]
    assert means[0] < means[1] < means[2] < means[3] < EVIDENCE
    q = Normal(0.7, math.sqrt(0.36 + math.exp(-1.6)))
    exact = float(exact_elbo(number(0.7), number(math.log(q.parameters[1]))))
    assert means[2] == pytest.approx(exact, abs=0.02) and means[2] < exact + 0.01


def test_normalize_is_the_posterior_and_its_density():
    @program
    def proposal():
        yield Normal(0.5, 1.0) @ "x"

    exact = Normal(1.0, math.sqrt(0.5))
    for part in (normalize(model(), sir(60, proposal())), normalize(model(), sir(60))):

        def mean(part=part):
            choices, _ = yield from simulate(part, fixed)
            return choices["x"]

        drawn = E(mean).samples(n=4_000)
        assert float(drawn.mean()) == pytest.approx(1.0, abs=0.06)
        assert float(drawn.std()) == pytest.approx(math.sqrt(0.5), abs=0.06)

        def log(part=part):
            return (yield from assess(part, {"x": number(0.7)}))

        assert float(E(log).samples(n=500).mean()) == pytest.approx(float(exact.log_prob(0.7)), abs=0.03)


def test_normalize_as_a_guide_gives_a_bound_with_an_unbiased_gradient():
    @program
    def finite(q):
        k = yield Uniform(range(3)) @ "k"
        yield factor(q["t"][0] * k)

    part = lambda q: normalize(finite(q), sir(2))  # noqa: E731

    def objective(q):
        choices, log_q = yield from simulate(part(q), reinforce)
        k = choices["k"]
        return -((k - 1.4) ** 2) * q["t"][0] - log_q

    # All draws are finite, so enumeration gives the exact gradient.
    assert check_gradient(objective, {"t": torch.tensor([0.4], dtype=D)}, n=40_000).largest < LIMIT


def bits(q):
    @program
    def made():
        yield Bernoulli(torch.sigmoid(q["phi"][0])) @ "a"
        yield Bernoulli(torch.sigmoid(q["phi"][1])) @ "b"

    return made()


@program
def noisy_or():
    a = yield Bernoulli(0.3) @ "a"
    b = yield Bernoulli(0.6) @ "b"
    yield observe(Bernoulli(0.1 + 0.5 * a + 0.35 * b), 1.0)


def test_vimco_has_the_gradient_of_the_importance_weighted_bound():
    here = {"phi": torch.tensor([0.2, -0.4], dtype=D)}
    exact = E(iwelbo(noisy_or(), bits, 3)).value_and_grad(here).gradient  # enumerates 64 paths
    plain = check_gradient(lambda q: E_reinforced(q, 3), here, exact, n=20_000)
    found = check_gradient(vimco(noisy_or(), bits, 3), here, exact, n=20_000)
    assert found.largest < LIMIT and plain.largest < LIMIT
    assert float(found.variance["phi"].sum()) < float(plain.variance["phi"].sum()) / 2


def E_reinforced(q, n):
    from educe.prob.vi import copies, log_mean_exp

    def one():
        choices, log_q = yield from simulate(bits(q), reinforce)
        return (yield from assess(noisy_or(), choices)) - log_q

    return (log_mean_exp(ratios) for ratios in ()) if n < 1 else _weighted(copies, log_mean_exp, one, n)


def _weighted(copies, log_mean_exp, one, n):
    return log_mean_exp((yield from copies(n, one)))


def quick(leaves):
    return torch.optim.Adam(leaves, lr=0.05)


@pytest.mark.slow
def test_wake_phases_move_towards_the_posterior_and_the_data():
    start = at(-1.0, 0.5)
    fitted = fit(q_wake(model(), guide, 20), start, steps=150, n=50, draws=4_000, optimizer=quick)
    assert fitted.evidence_kind is EvidenceKind.NONE and fitted.log_evidence is None
    assert float(fitted.expect(lambda draw: draw["x"])) == pytest.approx(1.0, abs=0.1)
    assert float(fitted.details["parameters"]["log_sd"].exp()) == pytest.approx(math.sqrt(0.5), abs=0.08)

    def learned(q):
        return shifted(q["shift"])

    @program
    def shifted(shift):
        x = yield Normal(shift, 1.0) @ "x"
        yield observe(Normal(x, 1.0), 2.0)

    @program
    def free(q):
        yield Normal(q["mu"], 1.2) @ "x"

    begin = {"shift": number(0.0), "mu": number(1.5)}
    for objective in (p_wake(learned, free, 30), reweighted_wake_sleep(learned, free, 30)):
        found = fit(objective, begin, steps=200, n=30, optimizer=quick).details["parameters"]
        assert float(found["shift"]) == pytest.approx(2.0, abs=0.15)  # the evidence is largest there


@program
def rows_model(x):
    z = yield Normal(torch.zeros(2, dtype=D), torch.ones(2, dtype=D)) @ "z"
    yield observe(BernoulliLogits(torch.cat([z, z.sum(-1, keepdim=True)], -1)), x)


def rows_guide(q, x):
    @program
    def made():
        yield Normal(q["w"] * x[..., :2], torch.full_like(x[..., :2], 0.7)) @ "z"

    return made()


def test_rows_by_vmap_and_by_broadcasting_have_one_value_and_gradient():
    x = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0], [1.0, 1.0, 1.0], [0.0, 1.0, 0.0]], dtype=D)
    here = {"w": number(0.4)}
    for objective in (
        elbo(lambda q, row: rows_model(row), rows_guide),
        iwelbo(lambda q, row: rows_model(row), rows_guide, 3),
        vimco(lambda q, row: rows_model(row), rows_guide, 3),
    ):
        one, other = (
            [E(objective, broadcast=b).value_and_grad(here, n=500, seed=k, rows=(x,)) for k in range(12)]
            for b in (False, True)
        )
        for pick in (lambda e: e.value, lambda e: e.gradient["w"]):
            left, right = (torch.stack([pick(item) for item in found]) for found in (one, other))
            error = ((left.var() + right.var()) / 12).sqrt()
            assert float((left.mean() - right.mean()).abs() / error) < LIMIT + 4  # few runs: Student's t
    assert E(elbo(rows_model, lambda row: rows_guide(here, row))).samples(rows=(x,), n=3).shape == (3, 4)
    assert E(elbo(rows_model, lambda row: rows_guide(here, row)), broadcast=True).samples(rows=(x,)).shape == (1, 4)


@pytest.mark.slow
def test_fit_finds_the_posterior_and_says_what_the_bound_is():
    posterior = fit(elbo(model(), guide), at(0.0, 0.0), steps=600, n=16, draws=4_000, seed=1)
    assert posterior.evidence_kind is EvidenceKind.LOWER_BOUND
    assert posterior.log_evidence == pytest.approx(EVIDENCE, abs=0.01)
    assert float(posterior.expect(lambda draw: draw["x"])) == pytest.approx(1.0, abs=0.1)
    assert len(posterior.details["curve"]) == 600 and posterior.details["gradients"] == 600 * 16
    again = fit(elbo(model(), guide), at(0.0, 0.0), steps=600, n=16, draws=4_000, seed=1)
    assert again.log_evidence == posterior.log_evidence
    own = fit(lambda q: elbo(model(), guide)(q), at(0.0, 0.0), steps=1)
    assert own.log_evidence is None and own.values[0].keys() == {"mu", "log_sd"}


def test_fit_takes_minibatches_of_rows():
    x = torch.linspace(-1, 1, 60, dtype=D)

    def squares(q, row):
        return -((row * q["w"] - 2 * row) ** 2)
        yield

    found = fit(squares, {"w": number(0.0)}, steps=500, rows=(x,), batch=6,
                optimizer=lambda p: torch.optim.Adam(p, lr=0.05))  # fmt: skip
    assert float(found.details["parameters"]["w"]) == pytest.approx(2.0, abs=1e-3)
    assert found.details["gradients"] == 500 * 6


def test_a_users_objective_is_one_function():
    def renyi(q):  # log E w^(1/2), twice: Li and Turner (2016) with alpha = 1/2, one sample of 8
        from educe.prob.vi import copies, log_mean_exp

        return 2 * log_mean_exp(0.5 * (yield from copies(8, lambda: elbo(model(), guide).steps(q))))

    posterior = fit(Objective(renyi, guide, lower_bound=True), at(0.0, 0.0), steps=400, n=10)
    assert float(posterior.expect(lambda draw: draw["x"])) == pytest.approx(1.0, abs=0.12)
    assert posterior.log_evidence < EVIDENCE + 0.01


@pytest.mark.slow
def test_a_guide_with_strategies_still_runs_under_other_algorithms():
    @program
    def chosen():
        x = yield Normal(0.0, 1.0) @ "x" @ reparam
        yield observe(Normal(x, 1.0), 2.0)
        return x

    assert run(chosen(), importance(2000)).log_evidence == pytest.approx(EVIDENCE, abs=0.15)
    assert (Normal(0.0, 1.0) @ reparam @ "x").name == "x"


def test_programs_draw_from_marginals():
    @program
    def outer():
        choices = yield marginal(wide(at(0.4, -0.7)), ["x"], sir(4))
        yield Normal(choices["x"], 1.0) @ "y"

    def both():
        choices, log_q = yield from simulate(outer())
        other = yield from assess(outer(), choices)
        return log_q * 0 + other * 0 + choices["y"]

    assert near(E(both).samples(n=20_000), 0.4)

    @program
    def torn():
        yield marginal(wide(at(0.4, -0.7)), ["x", "u"], sir(1))

    with pytest.raises(UsageError, match="all of them or none"):
        E(lambda: assess(torn(), {"x": number(0.1)})).surrogate()


def test_mismatched_programs_get_clear_errors():
    @program
    def other(q):
        yield Normal(q["mu"], 1.0) @ "y"

    @program
    def more(q):
        yield Normal(q["mu"], 1.0) @ "x"
        yield Normal(q["mu"], 1.0) @ "y"

    @program
    def twice(q):
        yield Normal(q["mu"], 1.0) @ "x"
        yield Normal(q["mu"], 1.0) @ "x"

    @program
    def proposed(q):
        yield Draw(Normal(0.0, 1.0), "x", via=Normal(0.0, 2.0))

    here = at(0.0, 0.0)
    for wrong, text in (
        (other, "draws 'x', which is not among the choices"),
        (more, r"draws no \['y'\]"),
        (twice, "two values under the name 'x'"),
        (proposed, "via a proposal"),
        (lambda q: 3, "which is no program"),
        (lambda q: marginal(wide(q), ["z"]), r"draws no \['z'\] to keep"),
    ):
        with pytest.raises(UsageError, match=text):
            E(elbo(model(), wrong)).surrogate(here)
    for bad in (
        lambda: marginal(wide(here), "x"),
        lambda: marginal(wide(here), []),
        lambda: sir(0),
        lambda: vimco(model(), guide, 1),
        lambda: iwelbo(model(), guide, 0)(here).send(None),
        lambda: fit(elbo(model(), guide), here, steps=-1),
        lambda: E(elbo(model(), guide), broadcast=True).surrogate(here),
    ):
        with pytest.raises(UsageError):
            bad()
    with pytest.raises(UsageError, match=r"where .* are kept"):
        E(lambda: assess(marginal(wide(here), ["x"]), {"z": number(0.0)})).surrogate()

    def explodes(q):
        return q["mu"] * math.inf
        yield

    with pytest.raises(UsageError, match="at step 0"):
        fit(explodes, here, steps=2)

    @program
    def unrolled(q, row):
        yield Normal(q["mu"], 1.0) @ "x"

    with pytest.raises(UsageError, match="no leading axis of 3 rows"):
        E(elbo(lambda q, row: model(), unrolled), broadcast=True).surrogate(here, rows=(torch.zeros(3),))


@pytest.mark.slow
def test_pyro_gives_the_same_losses():
    pyro = pytest.importorskip("pyro")
    import pyro.distributions as dist
    from pyro.infer import RenyiELBO, Trace_ELBO, TraceEnum_ELBO

    def p_model():
        x = pyro.sample("x", dist.Normal(0.0, 1.0))
        pyro.sample("z", dist.Normal(x, 1.0), obs=torch.tensor(2.0))

    def p_guide():
        pyro.sample("x", dist.Normal(0.3, math.exp(-0.2)))

    with torch.random.fork_rng():
        pyro.set_rng_seed(0)
        theirs = [
            -Trace_ELBO(num_particles=20_000, vectorize_particles=True, max_plate_nesting=0).loss(p_model, p_guide)
        ]
        renyi = RenyiELBO(alpha=0.0, num_particles=4, vectorize_particles=True, max_plate_nesting=0)
        theirs.append(-sum(renyi.loss(p_model, p_guide) for _ in range(3000)) / 3000)

        def bit_model():
            with pyro.poutine.scale(scale=1.0):
                a = pyro.sample("a", dist.Bernoulli(0.3))
                b = pyro.sample("b", dist.Bernoulli(0.6))
            pyro.sample("z", dist.Bernoulli(0.1 + 0.5 * a + 0.35 * b), obs=torch.tensor(1.0))

        def bit_guide():
            pyro.sample("a", dist.Bernoulli(logits=torch.tensor(0.2)), infer={"enumerate": "parallel"})
            pyro.sample("b", dist.Bernoulli(logits=torch.tensor(-0.4)), infer={"enumerate": "parallel"})

        exact = -TraceEnum_ELBO(max_plate_nesting=0).loss(bit_model, bit_guide)
    here = at(0.3, -0.2)
    for objective, value, n in (
        (elbo(model(), guide), theirs[0], 20_000),
        (iwelbo(model(), guide, 4), theirs[1], 3000),
    ):
        mine = E(objective).samples(here, n=n)
        assert abs(float(mine.mean()) - value) < LIMIT * math.sqrt(2 * float(mine.var()) / n)
    ours = E(elbo(noisy_or(), bits)).surrogate({"phi": torch.tensor([0.2, -0.4], dtype=D)})
    assert float(ours) == pytest.approx(exact, abs=1e-5)
