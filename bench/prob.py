"""The probabilistic core beside NumPyro, BlackJAX, Pyro and `particles`, in one process, taking turns.

Effective sample sizes are rank-normalised ("bulk"), the smallest over all parameters, per second including warm-up;
numbers are medians over turns. Every library gets one thread. JAX computes in float32, as is its default; we in
float64. Pyro runs its chains one after the other, so one chain is run and its rate taken. Peers that compile are
given their second call; the first is compared by itself. Writes ``bench/results/prob.json``.

    python bench/prob.py [name ...]        only these workloads; the others keep their rows
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("EDUCE_THREADS", "1")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")

import datetime
import gc
import json
import math
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from educe import prob

REPEATS = 3
RESULTS = Path(__file__).with_name("results") / "prob.json"
Chains = dict[str, Any]  # draws by name, (chains, draws, ...)


def row(
    workload: str, metric: str, ours: float, peer: str, value: float, ratio: float, bar: str, passed: bool | None,
    share: float | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Return one line of the result; the ratio says how many times better than the peer we are."""
    return {
        "workload": workload,
        "metric": metric,
        "ours": round(ours, 4),
        "peer": peer,
        "peer_value": round(value, 4),
        "ratio": round(ratio, 3),
        "bar": bar,
        "passed": passed,
        "roofline_share": share,
        "repeats": REPEATS,
        "load": " ".join(f"{value:.2f}" for value in os.getloadavg()),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def smallest_size(chains: Chains) -> float:
    """Smallest bulk effective sample size over all parameters."""
    return min(float(prob.effective_sample_size(torch.tensor(np.array(item))).min()) for item in chains.values())


def turns(runs: dict[str, Callable[[int], Any]], size: Callable[[Any], float]) -> tuple[dict[str, float], ...]:
    """Run all in turn; return seconds of each one's first call, and the median of ESS per second of later ones."""
    first, rates = {}, {name: [] for name in runs}
    for turn in range(REPEATS + 1):
        for name, call in runs.items():
            gc.collect()
            start = time.perf_counter()
            drawn = call(turn)
            seconds = time.perf_counter() - start
            if turn == 0:
                first[name] = seconds
            else:
                rates[name].append(size(drawn) / seconds)
            print(f"  {name:<10} turn {turn}: {seconds:8.3f} s, {size(drawn) / seconds:10.1f} a second", flush=True)
    return first, {name: median(values) for name, values in rates.items()}


def ours(model: prob.Program, chains: int, warmup: int, draws: int) -> Callable[[int], Chains]:
    """Return a run of our default sampler."""

    def call(seed: int) -> Chains:
        posterior = prob.run(model, prob.hmc(chains, draws, warmup), seed=seed)
        return {name: v.reshape(chains, draws, *v.shape[1:]).numpy() for name, v in posterior.values.items()}

    return call


def numpyro_run(model: Any, data: tuple[Any, ...], chains: int, warmup: int, draws: int) -> Callable[[int], Chains]:
    """Return a run of NumPyro's NUTS, chains vectorised.

    ``MCMC.run`` compiles anew at each call; the whole run is put under ``jax.jit``, which makes later calls up to fifty
    times faster than that.
    """
    import jax
    from numpyro.infer import MCMC, NUTS

    @jax.jit
    def compiled(key: Any) -> Any:
        sampler = MCMC(
            NUTS(model), num_warmup=warmup, num_samples=draws, num_chains=chains, chain_method="vectorized",
            progress_bar=False,
        )  # fmt: skip
        sampler.run(key, *data)
        return sampler.get_samples(group_by_chain=True)

    def call(seed: int) -> Chains:
        drawn = compiled(jax.random.PRNGKey(seed))
        return {name: np.asarray(value) for name, value in drawn.items()}

    return call


def blackjax_run(model: Any, data: tuple[Any, ...], chains: int, warmup: int, draws: int) -> Callable[[int], Chains]:
    """Return a run of BlackJAX's NUTS with window adaptation, vmapped over chains, on NumPyro's log-density."""
    import blackjax
    import jax
    from numpyro.infer.util import initialize_model

    start, potential, *_ = initialize_model(jax.random.PRNGKey(0), model, model_args=data)

    def density(position: Any) -> Any:
        return -potential(position)

    def one(key: Any) -> Any:
        begin, warm, sample = jax.random.split(key, 3)
        keys = jax.random.split(begin, len(start.z))
        position = {
            name: jax.random.uniform(k, value.shape, minval=-2, maxval=2)
            for k, (name, value) in zip(keys, start.z.items(), strict=True)
        }
        (state, tuned), _ = blackjax.window_adaptation(blackjax.nuts, density).run(warm, position, num_steps=warmup)
        step = blackjax.nuts(density, **tuned).step

        def go(state: Any, key: Any) -> Any:
            state, _ = step(key, state)
            return state, state.position

        return jax.lax.scan(go, state, jax.random.split(sample, draws))[1]

    compiled = jax.jit(jax.vmap(one))

    def call(seed: int) -> Chains:
        drawn = compiled(jax.random.split(jax.random.PRNGKey(seed), chains))
        return {name: np.asarray(jax.block_until_ready(value)) for name, value in drawn.items()}

    return call


def pyro_run(model: Any, data: tuple[Any, ...], warmup: int, draws: int) -> Callable[[int], Chains]:
    """Return a run of one chain of Pyro's NUTS."""
    import pyro
    from pyro.infer import MCMC, NUTS

    def call(seed: int) -> Chains:
        pyro.set_rng_seed(seed)
        sampler = MCMC(NUTS(model), num_samples=draws, warmup_steps=warmup, disable_progbar=True)
        sampler.run(*data)
        return {name: np.asarray(value) for name, value in sampler.get_samples(group_by_chain=True).items()}

    return call


EFFECTS = [28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0]
ERRORS = [15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0]


@prob.program
def schools() -> Any:
    """Eight schools, not centred."""
    mu = yield prob.Normal(0.0, 5.0) @ "mu"
    tau = yield prob.HalfCauchy(5.0) @ "tau"
    raw = yield prob.Normal(0.0, 1.0).expand(8) @ "raw"
    yield prob.observe(prob.Normal(mu + tau * raw, torch.tensor(ERRORS)), torch.tensor(EFFECTS))


def eight_schools() -> list[dict[str, Any]]:
    """Run all on eight schools, with 64 and with 512 chains."""
    import jax.numpy as jnp
    import numpyro
    import numpyro.distributions as dist
    import pyro
    import pyro.distributions as pdist

    def in_numpyro() -> None:
        mu = numpyro.sample("mu", dist.Normal(0.0, 5.0))
        tau = numpyro.sample("tau", dist.HalfCauchy(5.0))
        raw = numpyro.sample("raw", dist.Normal(0.0, 1.0).expand([8]).to_event(1))
        numpyro.sample("y", dist.Normal(mu + tau * raw, jnp.array(ERRORS)).to_event(1), obs=jnp.array(EFFECTS))

    def in_pyro() -> None:
        mu = pyro.sample("mu", pdist.Normal(0.0, 5.0))
        tau = pyro.sample("tau", pdist.HalfCauchy(5.0))
        raw = pyro.sample("raw", pdist.Normal(0.0, 1.0).expand([8]).to_event(1))
        pyro.sample("y", pdist.Normal(mu + tau * raw, torch.tensor(ERRORS)).to_event(1), obs=torch.tensor(EFFECTS))

    rows = []
    for chains, warmup, draws in ((4, 500, 500), (64, 500, 500), (512, 150, 200)):
        print(f"eight schools, {chains} chains")
        first, rates = turns(
            {
                "ours": ours(schools(), chains, warmup, draws),
                "numpyro": numpyro_run(in_numpyro, (), chains, warmup, draws),
                "blackjax": blackjax_run(in_numpyro, (), chains, warmup, draws),
                "pyro": pyro_run(in_pyro, (), 100, 200),
            },
            smallest_size,
        )
        rows += compared(f"eight-schools-{chains}-chains", first, rates, 1.0, 2.0, 5.0, judged=chains > 4)
    return rows


def compared(
    workload: str, first: dict[str, float], rates: dict[str, float], numpyro: float, others: float | None,
    sooner: float | None, judged: bool = True,
) -> list[dict[str, Any]]:  # fmt: skip
    """Turn rates and first calls into rows with their bars."""
    rows = []
    best = max((name for name in rates if name not in ("ours", "numpyro")), key=rates.__getitem__, default="")
    for name, rate in rates.items():
        if name == "ours":
            continue
        wanted = numpyro if name == "numpyro" else others if name == best else None
        ratio = rates["ours"] / rate
        bar = f"ratio >= {wanted}" if judged and wanted else "none"
        passed = ratio >= wanted if judged and wanted else None
        rows.append(row(workload, "min bulk ESS per second", rates["ours"], name, rate, ratio, bar, passed))
    ratio = first["numpyro"] / first["ours"]
    bar, passed = (f"ratio >= {sooner}", ratio >= sooner) if judged and sooner else ("none", None)
    rows.append(row(workload, "seconds of first call", first["ours"], "numpyro", first["numpyro"], ratio, bar, passed))
    return rows


@prob.program
def regression(x: torch.Tensor, y: torch.Tensor) -> Any:
    """Logistic regression with standard normal coefficients."""
    intercept = yield prob.Normal(0.0, 1.0) @ "intercept"
    slopes = yield prob.Normal(0.0, 1.0).expand(x.shape[1]) @ "slopes"
    yield prob.observe(prob.BernoulliLogits(intercept + x @ slopes), y)


def logistic_regression() -> list[dict[str, Any]]:
    """Run all on 1000 cases with 24 covariates, the size of the German credit data."""
    import jax.numpy as jnp
    import numpyro
    import numpyro.distributions as dist

    rng = np.random.default_rng(0)
    x = rng.normal(size=(1000, 24))
    y = (rng.random(1000) < 1 / (1 + np.exp(-(x @ rng.normal(size=24) * 0.4 + 0.5)))).astype(np.float64)

    def in_numpyro(x: Any, y: Any) -> None:
        intercept = numpyro.sample("intercept", dist.Normal(0.0, 1.0))
        slopes = numpyro.sample("slopes", dist.Normal(0.0, 1.0).expand([24]).to_event(1))
        numpyro.sample("y", dist.Bernoulli(logits=intercept + x @ slopes).to_event(1), obs=y)

    print("logistic regression, 64 chains")
    data = (jnp.array(x), jnp.array(y))
    model = regression(torch.tensor(x), torch.tensor(y))
    chains, warmup, draws = 64, 300, 300
    first, rates = turns(
        {
            "ours": ours(model, chains, warmup, draws),
            "numpyro": numpyro_run(in_numpyro, data, chains, warmup, draws),
            "blackjax": blackjax_run(in_numpyro, data, chains, warmup, draws),
        },
        smallest_size,
    )
    return compared("logistic-regression-64-chains", first, rates, 0.7, None, None)


@prob.steps
def linear_gaussian(state: Any, seen: float) -> Any:
    """One step of a linear-Gaussian state space."""
    state = yield prob.Normal(0.0, 1.0) if state is None else prob.Normal(0.9 * state, 0.5)
    yield prob.observe(prob.Normal(state, 1.0), seen)
    return state


def kalman(seen: list[float]) -> float:
    """Exact log-evidence of `linear_gaussian`."""
    mean, variance, total = 0.0, 1.0, 0.0
    for time_, value in enumerate(seen):
        if time_:
            mean, variance = 0.9 * mean, 0.81 * variance + 0.25
        spread = variance + 1.0
        total += -0.5 * ((value - mean) ** 2 / spread + math.log(2 * math.pi * spread))
        mean, variance = mean + variance / spread * (value - mean), variance / spread
    return total


def bootstrap_filter() -> list[dict[str, Any]]:
    """Filter 100 observations with 100,000 particles."""
    import particles
    from particles import distributions as pdist
    from particles import state_space_models

    rng = np.random.default_rng(1)
    state, seen = float(rng.normal()), []
    for time_ in range(100):
        state = 0.9 * state + 0.5 * float(rng.normal()) if time_ else state
        seen.append(state + float(rng.normal()))

    class Model(state_space_models.StateSpaceModel):
        def PX0(self) -> Any:  # noqa: N802
            return pdist.Normal(0.0, 1.0)

        def PX(self, t: int, xp: Any) -> Any:  # noqa: N802
            return pdist.Normal(loc=0.9 * xp, scale=0.5)

        def PY(self, t: int, xp: Any, x: Any) -> Any:  # noqa: N802
            return pdist.Normal(loc=x, scale=1.0)

    def peer(seed: int) -> float:
        np.random.seed(seed)
        filtering = state_space_models.Bootstrap(ssm=Model(), data=np.array(seen))
        run = particles.SMC(fk=filtering, N=100_000, resampling="systematic", ESSrmin=0.5)
        run.run()
        return float(run.logLt)

    def mine(seed: int) -> float:
        evidence = prob.run(linear_gaussian(None, seen), prob.particle_filter(100_000), seed=seed).log_evidence
        assert evidence is not None
        return evidence

    print("bootstrap filter")
    exact = kalman(seen)
    seconds: dict[str, list[float]] = {"ours": [], "particles": []}
    for turn in range(REPEATS + 1):
        for name, call in (("ours", mine), ("particles", peer)):
            start = time.perf_counter()
            found = call(turn)
            if turn:  # the first compiles
                seconds[name].append(time.perf_counter() - start)
            assert abs(found - exact) < 0.3, name
    ours_, peers = median(seconds["ours"]), median(seconds["particles"])
    name = "bootstrap-filter-100000x100"
    return [
        row(name, "seconds", ours_, "particles", peers, peers / ours_, "ratio >= 1.0", peers >= ours_),
        row(name, "seconds", ours_, "wall clock", 1.0, 1.0 / ours_, "ratio >= 1.0", ours_ <= 1.0),
    ]


WORKLOADS: dict[str, Callable[[], list[dict[str, Any]]]] = {
    "eight-schools": eight_schools,
    "logistic-regression": logistic_regression,
    "bootstrap-filter": bootstrap_filter,
}


def main() -> None:
    """Run the workloads and write the result."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    chosen = sys.argv[1:] or list(WORKLOADS)
    before = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else []
    rows = [item for item in before if not any(item["workload"].startswith(name) for name in chosen)]
    for name in chosen:
        rows += WORKLOADS[name]()
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    for item in rows:
        print(
            f"{item['workload']:<30} {item['metric']:<26} ours {item['ours']:<12} {item['peer']:<10} "
            f"{item['peer_value']:<12} ratio {item['ratio']:<9} {item['bar']:<14} {item['passed']}"
        )


if __name__ == "__main__":
    main()
