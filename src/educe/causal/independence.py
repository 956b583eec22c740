"""Tests of (conditional) independence: kernels for continuous data, likelihood ratios for discrete data.

`kci` is the kernel test of Zhang, Peters, Janzing and Schoelkopf (2011), with the gamma approximation of its null law.
The moments of that law are read off an entrywise product of two matrices, so no eigenvectors are needed. `g_test` is
the G-test, summed over the strata of the condition; strata in which a variable does not vary carry no degrees of
freedom.

Samples must be independent of each other: across environments, one row per environment. `kci` needs n^2 memory and
n^3 time. Not here: tests for time series, mixed discrete and continuous data, corrections for many tests.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from educe.causal._observations import plain
from educe.core import UsageError

__all__ = ["IndependenceTest", "g_test", "kci"]

FEWEST = 8
MOST = 8000
SMALL = 1000
# Regression of the kernel matrices on the condition; Zhang et al. recommend 1e-3.
RIDGE = 1e-3


class IndependenceTest(NamedTuple):
    """What a test found.

    `strata` counts the values of the condition that the data show (1 without a condition, 0 for `kci`).
    """

    statistic: float
    p_value: float
    n: int
    strata: int = 0


def kci(x: Any, y: Any, z: Any = None) -> IndependenceTest:
    """Test whether continuous variables are independent, given others, with Gaussian kernels.

    Parameters
    ----------
    x, y : array, tensor or data frame
        (n,) or (n, dimensions) finite numbers.
    z : array, optional
        The condition, of the same length.

    Returns
    -------
    IndependenceTest
        Its p-value is small where independence is implausible. Rejects 4 to 6 % of true independences at level 0.05
        for n = 150.

    Raises
    ------
    UsageError
        Lengths differ, n is below 8 or above 8000, a value is not finite, or a variable is constant.

    Examples
    --------
    >>> generator = np.random.default_rng(0)
    >>> x = generator.normal(size=100)
    >>> kci(x, x**2 + generator.normal(size=100)).p_value < 1e-3 < kci(x, generator.normal(size=100)).p_value
    True
    """
    left, right = _columns(x, "x"), _columns(y, "y")
    given = None if z is None else _columns(z, "z")
    n = len(left)
    if len(right) != n or (given is not None and len(given) != n):
        raise UsageError(f"x has {n} samples, y {len(right)}, z {'none' if given is None else len(given)}. Pair them.")
    if not FEWEST <= n <= MOST:
        raise UsageError(f"n={n} samples do not suit a kernel test. Give {FEWEST} to {MOST}; thin out longer data.")
    with _one_thread(n):
        return _kernel_test(left, right, given)


def _kernel_test(left: torch.Tensor, right: torch.Tensor, given: torch.Tensor | None) -> IndependenceTest:
    n = len(left)
    # Widths by sample size, as in the authors' own program; its unconditional test has narrower kernels.
    few, many = n <= 200, n > 1200
    if given is None or given.shape[1] == 0:
        width = 0.8 if few else 0.3 if many else 0.5
        a, b = _centred_kernel(left, width), _centred_kernel(right, width)
        mean = float(a.trace() * b.trace()) / n
        variance = 2.0 * float(a.square().sum()) * float(b.square().sum()) / n**2
    else:
        width = (1.2 if few else 0.4 if many else 0.7) * math.sqrt(given.shape[1])
        smoother = _centred_kernel(given, width) + RIDGE * torch.eye(n, dtype=torch.float64)
        residual = RIDGE * torch.linalg.inv(smoother)
        a = residual @ _centred_kernel(torch.hstack([left, given / 2]), width) @ residual
        b = residual @ _centred_kernel(right, width) @ residual
        both = a * b
        mean, variance = float(both.trace()), 2.0 * float(both.square().sum())
    statistic = float((a * b).sum())
    if variance <= 0 or mean <= 0:
        return IndependenceTest(statistic, 1.0, n)
    return IndependenceTest(statistic, _gamma_tail(mean**2 / variance, max(statistic, 0.0) * mean / variance), n)


def g_test(x: Any, y: Any, z: Any = None) -> IndependenceTest:
    """Test whether discrete variables are independent, given others, by a likelihood ratio.

    Parameters
    ----------
    x, y : array, tensor or series
        (n,) values of any kind that can be sorted.
    z : array, optional
        (n,) or (n, variables): the condition; every combination of its values is a stratum.

    Returns
    -------
    IndependenceTest
        With the number of strata that the data show. With few samples per stratum the chi-squared law is only a rough
        guide.

    Raises
    ------
    UsageError
        Lengths differ, there are no samples, or a value is missing.

    Examples
    --------
    >>> g_test([0, 0, 1, 1] * 10, [0, 0, 1, 1] * 10).p_value < 1e-6
    True
    >>> g_test([0, 0, 1, 1] * 10, [0, 1, 0, 1] * 10).p_value
    1.0
    """
    left, right = _codes(x, "x"), _codes(y, "y")
    given = np.zeros(len(left), dtype=np.int64)
    if z is not None:
        condition = np.asarray(plain(z))
        condition = condition.reshape(len(condition), -1)
        for column in condition.T:
            code = _codes(column, "z")
            if len(code) == len(given):
                given = _codes(given * (code.max() + 1) + code, "z")
        if len(condition) != len(left):
            given = given[:0]
    if not len(left) == len(right) == len(given):
        raise UsageError(f"x, y and z have {len(left)}, {len(right)} and other numbers of samples. Pair them.")
    shape = (int(given.max()) + 1, int(left.max()) + 1, int(right.max()) + 1)
    counts = np.bincount(np.ravel_multi_index((given, left, right), shape), minlength=math.prod(shape)).reshape(shape)
    rows, columns = counts.sum(2), counts.sum(1)
    totals = counts.sum((1, 2))
    expected = rows[:, :, None] * columns[:, None, :] / totals[:, None, None]
    seen = counts > 0
    statistic = max(0.0, float(2.0 * (counts[seen] * np.log(counts[seen] / expected[seen])).sum()))
    freedom = int((((rows > 0).sum(1) - 1) * ((columns > 0).sum(1) - 1)).sum())
    p_value = 1.0 if freedom == 0 else _gamma_tail(freedom / 2, statistic / 2)
    return IndependenceTest(statistic, p_value, len(left), shape[0])


@contextmanager
def _one_thread(n: int) -> Iterator[None]:
    """Use one thread for small matrices: starting more costs up to 15 times the work where others use the cores."""
    threads = torch.get_num_threads()
    if n > SMALL or threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _gamma_tail(shape: float, point: float) -> float:
    pair = torch.tensor([shape, point], dtype=torch.float64)
    return float(torch.special.gammaincc(pair[0], pair[1]))


def _columns(values: Any, name: str) -> torch.Tensor:
    try:
        array = np.array(plain(values), dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{name} is no array of numbers ({error}). Give (n,) or (n, dimensions) numbers.") from None
    array = array.reshape(len(array), -1) if array.ndim else array.reshape(1, 1)
    if not np.isfinite(array).all():
        raise UsageError(f"{name} holds values that are missing or not finite. Drop these samples first.")
    spread = array.std(axis=0, ddof=min(1, len(array) - 1))
    if (spread <= 1e-12 * np.maximum(1.0, np.abs(array).max(axis=0, initial=0.0))).any():
        raise UsageError(f"{name} has a column that does not vary, so nothing can depend on it. Leave it out.")
    return torch.as_tensor((array - array.mean(axis=0)) / spread)


def _codes(values: Any, name: str) -> npt.NDArray[np.int64]:
    array = np.asarray(plain(values)).reshape(-1)
    if not len(array):
        raise UsageError(f"{name} holds no samples. Give at least one.")
    if array.dtype.kind == "f" and np.isnan(array).any():
        raise UsageError(f"{name} has missing values. Drop these samples first.")
    try:
        return np.unique(array, return_inverse=True)[1].astype(np.int64)
    except TypeError:
        raise UsageError(f"{name} mixes kinds of values that cannot be sorted. Give numbers or text.") from None


def _centred_kernel(points: torch.Tensor, width: float) -> torch.Tensor:
    squares = points.square().sum(1)
    distances = (squares[:, None] + squares[None, :] - 2.0 * points @ points.T).clamp(min=0.0)
    kernel = torch.exp(-distances / (2.0 * width**2))
    kernel = kernel - kernel.mean(0, keepdim=True)
    return kernel - kernel.mean(1, keepdim=True)
