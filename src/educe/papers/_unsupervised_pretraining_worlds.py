"""The pretraining report beyond the factor world: a Gaussian mixture, and real digits."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from educe.core import Seed
from educe.learn import CategoricalTable, FactorModel, GaussianMixture, Logistic, MLEThenERM

__all__ = ["run_digits", "run_mixture"]

MIXTURE = (40, 8, 3.1, 0.05)  # dimension, clusters, distance of the centres from the origin, label flips


def run_mixture(sizes: dict[str, Any], seed: Seed, n: int = 100) -> list[dict[str, Any]]:
    """Error of mixture pretraining against the Bayes error and logistic regression, on shared test points."""
    d, clusters, radius, flips = MIXTURE
    errors: dict[str, list[float]] = {}
    for repetition in range(sizes["mixture_repetitions"]):
        own = seed.child("mixture", repetition)
        random = own.numpy()
        centres = random.normal(size=(clusters, d))
        centres *= radius / np.linalg.norm(centres, axis=1, keepdims=True)

        def sample(count: int, centres: Any = centres, random: Any = random) -> tuple[Any, Any]:
            z = random.integers(clusters, size=count)
            y = np.where(random.random(count) < flips, 1 - z % 2, z % 2)
            return centres[z] + random.normal(size=(count, d)), y

        points, _ = sample(max(sizes["mixture"]))
        x, y = sample(n)
        test_x, test_y = sample(20_000)
        truth = GaussianMixture.known(centres).represent(test_x)
        rates = np.where(np.arange(clusters) % 2 == 1, 1 - flips, flips)
        errors.setdefault("Bayes", []).append(float(((truth @ rates > 0.5) != test_y).mean()))
        for m in sizes["mixture"]:
            model = MLEThenERM(GaussianMixture(clusters, seed=own.child("em")), CategoricalTable())
            predicted = model.fit(points[:m], x, y).predict(test_x)
            errors.setdefault(f"pretrained, m={m}", []).append(float((predicted != test_y).mean()))
        plain = [float((Logistic(penalty).fit(x, y).predict(test_x) != test_y).mean()) for penalty in (1, 10, 100)]
        errors.setdefault("logistic regression on x, best of 3 penalties", []).append(min(plain))
    return [
        {
            "method": method,
            "labels": n,
            "error": float(np.mean(values)),
            "standard error": float(np.std(values) / math.sqrt(len(values))),
            "above Bayes": float(np.mean(np.subtract(values, errors["Bayes"]))),
        }
        for method, values in errors.items()
    ]


def run_digits(sizes: dict[str, Any], seed: Seed) -> list[dict[str, Any]]:
    """Accuracy on real digits, where the latent models are wrong and pretraining need not help."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x = x / 16
    learners: dict[str, Callable[[], Any]] = {
        "factors (15), then logistic regression": lambda: MLEThenERM(FactorModel(15, "learn"), Logistic(0.1)),
        "clusters (30), then table": lambda: MLEThenERM(GaussianMixture(30, "learn", starts=3), CategoricalTable()),
        "logistic regression on pixels": lambda: Logistic(0.1),
    }
    rows = []
    for n in (20, 80):
        scores: dict[str, list[float]] = {name: [] for name in learners}
        for repetition in range(sizes["digits"]):
            order = seed.child("digits", repetition).numpy().permutation(len(x))
            train, test = order[:n], order[n:]
            for name, build in learners.items():
                model = build()
                fitted = (
                    model.fit(x, x[train], y[train]) if isinstance(model, MLEThenERM) else model.fit(x[train], y[train])
                )
                scores[name].append(float((fitted.predict(x[test]) == y[test]).mean()))
        rows += [
            {"labels": n, "method": name, "accuracy": float(np.mean(values)),
             "standard error": float(np.std(values) / math.sqrt(len(values)))}
            for name, values in scores.items()
        ]  # fmt: skip
    return rows
