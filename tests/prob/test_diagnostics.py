"""Diagnostics: the numbers of ArviZ, and what a run shows while it goes on."""

import io
import sys
import warnings

import numpy as np
import pytest
import torch

from educe.core import CapabilityError, UsageError
from educe.prob import (
    Bernoulli,
    Normal,
    effective_sample_size,
    hmc,
    observe,
    pareto_k,
    plot_ranks,
    program,
    r_hat,
    rank_histogram,
    run,
    show_progress,
    smc,
    split_r_hat,
    tail_effective_sample_size,
    to_arviz,
)


@pytest.fixture(scope="module")
def arviz():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("arviz")


def chains(kind, m=4, n=101):
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((m, n))
    x = np.empty_like(noise)
    x[:, 0] = noise[:, 0]
    rho = {"rough": -0.5, "slow": 0.9}.get(kind, 0.3)
    for t in range(1, n):
        x[:, t] = rho * x[:, t - 1] + noise[:, t]
    if kind == "ties":
        x = np.round(x)
    if kind == "heavy":
        x = np.sinh(2 * x)
    if kind == "apart":
        x += np.arange(m)[:, None]
    return x


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["plain", "rough", "slow", "ties", "heavy", "apart"])
@pytest.mark.parametrize("n", [40, 101, 500])
def test_numbers_are_those_of_arviz(arviz, kind, n):
    x = chains(kind, n=n)
    ours = torch.tensor(x)
    for found, expected in (
        (r_hat(ours), arviz.rhat(x)),
        (split_r_hat(ours), arviz.rhat(x, method="split")),
        (effective_sample_size(ours), arviz.ess(x)),
        (effective_sample_size(ours, ranks=False), arviz.ess(x, method="mean")),
        (tail_effective_sample_size(ours), arviz.ess(x, method="tail")),
    ):
        assert abs(float(found) / float(expected) - 1) < 1e-6


@pytest.mark.parametrize("shape", [0.1, 0.5, 0.9])
def test_the_shape_of_a_pareto_tail_is_that_of_arviz(arviz, shape):
    logs = np.log(np.random.default_rng(1).pareto(1 / shape, size=4000) + 1)
    expected = float(arviz.psislw(logs)[1])
    assert abs(pareto_k(torch.tensor(logs)) - expected) < 1e-6
    assert pareto_k(torch.zeros(100)) == -np.inf
    with pytest.raises(UsageError, match="no tail"):
        pareto_k(torch.zeros(10))


def test_ranks_of_chains():
    mixed = torch.randn(4, 500, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    counts = rank_histogram(mixed)
    assert counts.shape == (4, 20) and bool((counts.sum(1) == 500).all())
    apart = rank_histogram(mixed + 10 * torch.arange(4)[:, None], bins=4)
    assert torch.equal(apart, 500 * torch.eye(4, dtype=torch.int64))
    with pytest.raises(UsageError):
        rank_histogram(mixed[0])


def test_a_rank_plot_has_a_line_per_chain(monkeypatch):
    pytest.importorskip("matplotlib").use("agg")
    axes = plot_ranks(torch.full((3, 10), 7))
    assert len(axes.patches) == 3
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(CapabilityError, match="educe\\[figures\\]"):
        plot_ranks(torch.full((3, 10), 7))


@program
def model():
    x = yield Normal(0.0, 1.0).expand(2) @ "x"
    yield observe(Normal(x.sum(), 1.0), 1.0)


def test_chains_go_to_arviz(arviz):
    posterior = run(model(), hmc(chains=4, draws=50, warmup=50), seed=0)
    data = to_arviz(posterior)
    assert data.posterior["x"].shape == (4, 50, 2)
    assert float(arviz.ess(data)["x"].min()) == pytest.approx(posterior.details["ess"]["x"], rel=1e-6)
    with pytest.raises(UsageError, match="no chains"):
        to_arviz(run(model(), smc(4)))


def test_a_run_shows_how_it_goes(capsys):
    # A fifth of the warm-up brings the chains in, before there is anything to show.
    posterior = run(model(), hmc(chains=4, draws=20, warmup=20), seed=0, progress=True)
    shown = capsys.readouterr().err
    assert "36/36" in shown and "acceptance" in shown and "divergences" in shown
    assert torch.equal(posterior.values["x"], run(model(), hmc(chains=4, draws=20, warmup=20), seed=0).values["x"])

    @program
    def coin():
        return (yield Bernoulli(0.5))

    run(coin(), smc(4), progress=True)
    assert "coin" in capsys.readouterr().err


def test_the_last_report_is_always_drawn():
    console = pytest.importorskip("rich.console").Console(file=io.StringIO(), force_terminal=True, width=100)
    with show_progress("slow", console) as report:
        for done in range(1, 1001):
            report(done, 1000, step=done)
    assert "step 1000" in console.file.getvalue()
