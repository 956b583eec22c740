"""Make the reference posteriors that the tests of `educe.prob` compare with: NumPyro's NUTS, run once.

Each file in tests/prob/reference holds the data of a model, and of each parameter the mean and standard deviation with
their Monte-Carlo errors. Only the eight schools are real data (Rubin 1981); the others are drawn here, in sizes and
with coefficients of the textbook examples that they are named after, since those data may not be shipped.

    python scripts/make_reference_posteriors.py [name ...]
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).parents[1] / "tests" / "prob" / "reference"
CHAINS, WARMUP, DRAWS = 8, 1000, 2500
Model = tuple[dict[str, Any], Callable[..., None]]


def eight_schools(rng: np.random.Generator) -> Model:
    """Normal effects with a common mean and spread, not centred."""
    import jax.numpy as jnp
    import numpyro
    import numpyro.distributions as dist

    data = {"y": [28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0], "s": [15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0]}

    def model(y: Any, s: Any) -> None:
        mu = numpyro.sample("mu", dist.Normal(0.0, 5.0))
        tau = numpyro.sample("tau", dist.HalfCauchy(5.0))
        raw = numpyro.sample("raw", dist.Normal(0.0, 1.0).expand([8]).to_event(1))
        numpyro.sample("obs", dist.Normal(mu + tau * raw, jnp.array(s)), obs=jnp.array(y))

    return data, model


def kidscore(rng: np.random.Generator) -> Model:
    """Linear regression with two covariates and unknown noise: 434 children."""
    import jax.numpy as jnp
    import numpyro
    import numpyro.distributions as dist

    school = (rng.random(434) < 0.79).astype(float)
    score = rng.normal(0.0, 1.0, 434)
    outcome = 83.0 + 6.0 * school + 8.4 * score + rng.normal(0.0, 18.1, 434)
    data = {"school": school.tolist(), "score": score.round(4).tolist(), "y": outcome.round(3).tolist()}

    def model(school: Any, score: Any, y: Any) -> None:
        beta = numpyro.sample("beta", dist.Normal(0.0, 100.0).expand([3]).to_event(1))
        sigma = numpyro.sample("sigma", dist.HalfCauchy(2.5))
        mean = beta[0] + beta[1] * jnp.array(school) + beta[2] * jnp.array(score)
        numpyro.sample("obs", dist.Normal(mean, sigma), obs=jnp.array(y))

    return data, model


def autoregression(rng: np.random.Generator) -> Model:
    """A first-order autoregression of length 200."""
    import jax.numpy as jnp
    import numpyro
    import numpyro.distributions as dist

    y = [0.0]
    for _ in range(199):
        y.append(0.5 + 0.6 * y[-1] + float(rng.normal(0.0, 0.8)))
    data = {"y": np.round(y, 4).tolist()}

    def model(y: Any) -> None:
        alpha = numpyro.sample("alpha", dist.Normal(0.0, 10.0))
        beta = numpyro.sample("beta", dist.Normal(0.0, 10.0))
        sigma = numpyro.sample("sigma", dist.HalfCauchy(2.5))
        series = jnp.array(y)
        numpyro.sample("obs", dist.Normal(alpha + beta * series[:-1], sigma), obs=series[1:])

    return data, model


def poisson_mixed(rng: np.random.Generator) -> Model:
    """Poisson counts with a slope and an intercept of its own for each of 20 groups."""
    import jax.numpy as jnp
    import numpyro
    import numpyro.distributions as dist

    x = rng.normal(0.0, 1.0, (20, 6)).round(4)
    effects = rng.normal(0.0, 0.5, 20)
    counts = rng.poisson(np.exp(1.0 + 0.4 * x + effects[:, None]))
    data = {"x": x.tolist(), "y": counts.tolist()}

    def model(x: Any, y: Any) -> None:
        alpha = numpyro.sample("alpha", dist.Normal(0.0, 5.0))
        beta = numpyro.sample("beta", dist.Normal(0.0, 5.0))
        spread = numpyro.sample("spread", dist.HalfCauchy(1.0))
        raw = numpyro.sample("raw", dist.Normal(0.0, 1.0).expand([20]).to_event(1))
        rate = jnp.exp(alpha + beta * jnp.array(x) + spread * raw[:, None])
        numpyro.sample("obs", dist.Poisson(rate), obs=jnp.array(y))

    return data, model


def mixture(rng: np.random.Generator) -> Model:
    """Two normal components with ordered means, the assignments summed out."""
    import jax.numpy as jnp
    import numpyro
    import numpyro.distributions as dist
    from jax.scipy.special import logsumexp

    first = rng.random(300) < 0.35
    y = np.where(first, rng.normal(-1.5, 0.7, 300), rng.normal(1.2, 1.0, 300)).round(4)
    data = {"y": y.tolist()}

    def model(y: Any) -> None:
        share = numpyro.sample("share", dist.Beta(5.0, 5.0))
        low = numpyro.sample("low", dist.Normal(0.0, 2.0))
        gap = numpyro.sample("gap", dist.HalfNormal(3.0))
        scales = numpyro.sample("scales", dist.HalfNormal(2.0).expand([2]).to_event(1))
        values = jnp.array(y)
        parts = jnp.stack([
            jnp.log(share) + dist.Normal(low, scales[0]).log_prob(values),
            jnp.log1p(-share) + dist.Normal(low + gap, scales[1]).log_prob(values),
        ])  # fmt: skip
        numpyro.factor("likelihood", logsumexp(parts, 0).sum())

    return data, model


MODELS = {
    "eight_schools": eight_schools,
    "kidscore": kidscore,
    "autoregression": autoregression,
    "poisson_mixed": poisson_mixed,
    "mixture": mixture,
}


def main() -> None:
    """Run NUTS on the chosen models and write their files."""
    warnings.simplefilter("ignore")
    import arviz
    import jax
    import numpyro
    from numpyro.infer import MCMC, NUTS

    numpyro.enable_x64()
    for number, (name, make) in enumerate(MODELS.items()):
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        data, model = make(np.random.default_rng([2026, number]))
        sampler = MCMC(
            NUTS(model, target_accept_prob=0.95), num_warmup=WARMUP, num_samples=DRAWS, num_chains=CHAINS,
            chain_method="vectorized", progress_bar=False,
        )  # fmt: skip
        sampler.run(jax.random.PRNGKey(number), **data)
        drawn = arviz.from_dict({k: np.asarray(v) for k, v in sampler.get_samples(group_by_chain=True).items()})
        table = {
            measure: arviz.summary(drawn, kind="stats" if measure in ("mean", "sd") else "diagnostics", round_to="none")
            for measure in ("mean", "mcse_mean")
        }
        stats, checks = table["mean"], table["mcse_mean"]
        assert float(checks["r_hat"].max()) < 1.005, name
        rows = {
            label: {
                "mean": float(stats.loc[label, "mean"]), "sd": float(stats.loc[label, "sd"]),
                "mcse_mean": float(checks.loc[label, "mcse_mean"]), "mcse_sd": float(checks.loc[label, "mcse_sd"]),
            }
            for label in stats.index
        }  # fmt: skip
        record = {
            "model": name,
            "made_with": f"numpyro {numpyro.__version__}, NUTS, {CHAINS} chains x {DRAWS} draws, float64",
            "smallest_ess": float(checks["ess_bulk"].min()),
            "data": data,
            "parameters": rows,
        }
        FOLDER.mkdir(parents=True, exist_ok=True)
        (FOLDER / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        print(name, record["smallest_ess"], flush=True)


if __name__ == "__main__":
    main()
