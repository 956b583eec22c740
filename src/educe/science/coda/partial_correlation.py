"""Partial correlations of the parts of a composition, free of a reference.

Source: Erb (2019), Partial Correlations in Compositional Data Analysis, arXiv:1904.09480. With K the concentration
matrix of the centred log-ratios, rho_ij = -K_ij / sqrt(K_ii K_jj) is the correlation of what is left of log(x_i / x_r)
and log(x_j / x_r) after regression on all other log-ratios with reference r, for every r. The t test and the intervals
are the usual ones for Gaussian partial correlations with D - 3 controls; they are not from the paper.

What it is not: a correlation of absolute amounts. K differs from the concentration of the unseen absolute amounts by a
matrix of rank one that only fades when the parts are many. Dropping parts changes rho.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from educe.core import UsageError
from educe.science._tables import Matrix, PartTable, index_of, read_parts
from educe.science.coda.concentration import _estimate

if TYPE_CHECKING:
    import networkx

__all__ = ["Edge", "PartialCorrelation", "partial_correlation"]

_CORRECTIONS = ("bonferroni", "benjamini-hochberg", "none")


class Edge(NamedTuple):
    """One pair of parts.

    Parameters
    ----------
    first, second : str
        The parts.
    rho : float
        Their partial correlation.
    pvalue : float
        Two-sided, not corrected.
    """

    first: str
    second: str
    rho: float
    pvalue: float


@dataclass(frozen=True, repr=False)
class PartialCorrelation:
    """Partial correlations of parts, with their uncertainty.

    Parameters
    ----------
    rho : ndarray
        (parts, parts) float64 in [-1, 1], symmetric, ones on the diagonal.
    partial_variance : ndarray
        (parts,) variance of each part's log-ratio that the others leave unexplained; the same for every reference.
    concentration : ndarray
        (parts, parts) the matrix K behind both.
    parts : tuple of str
        Names.
    samples : int
        Number of rows.
    shrinkage : float
        Weight of the isotropic target, 0 where none was used.
    condition : float
        Condition number of the log-ratio covariance that was inverted (after shrinkage).
    distinct : tuple of int
        Distinct values per part in the given table. A handful means that rounding limits what can be concluded.
    """

    rho: Matrix
    partial_variance: Matrix
    concentration: Matrix
    parts: tuple[str, ...]
    samples: int
    shrinkage: float
    condition: float
    distinct: tuple[int, ...]

    def __repr__(self) -> str:
        shrunk = f", shrinkage={self.shrinkage:.3g}" if self.shrinkage else ""
        return f"PartialCorrelation({len(self.parts)} parts, {self.samples} samples{shrunk})"

    @property
    def dof(self) -> int:
        """Degrees of freedom of the t test: samples - 2 - (parts - 3)."""
        return self.samples - len(self.parts) + 1

    def _require_test(self) -> None:
        if len(self.parts) < 3:
            raise UsageError("Two parts have rho = 1 always, which tests nothing. Give at least three parts.")
        if self.shrinkage:
            raise UsageError(
                f"A shrunk estimate (shrinkage {self.shrinkage:.3g}) has no t distribution. "
                "Use bootstrap_partial for its spread, or estimate without shrinkage."
            )

    @property
    def pvalue(self) -> Matrix:
        """Two-sided p-values of rho = 0, (parts, parts) with ones on the diagonal; not corrected for many pairs."""
        self._require_test()
        from scipy.special import stdtr

        off = np.where(np.eye(len(self.parts), dtype=bool), 0.0, self.rho)
        with np.errstate(divide="ignore"):
            statistic = np.abs(off) * np.sqrt(self.dof / (1 - off**2))
        return np.asarray(2 * stdtr(self.dof, -statistic))

    @property
    def qvalue(self) -> Matrix:
        """Benjamini-Hochberg adjusted p-values over all pairs, (parts, parts) with ones on the diagonal."""
        return self._adjusted("benjamini-hochberg")

    def _adjusted(self, correction: str) -> Matrix:
        if correction not in _CORRECTIONS:
            raise UsageError(f"correction={correction!r} is unknown. Use one of {', '.join(_CORRECTIONS)}.")
        pvalue = self.pvalue
        rows, columns = np.triu_indices(len(self.parts), 1)
        raw, tests = pvalue[rows, columns], len(rows)
        if correction == "none":
            return pvalue
        if correction == "bonferroni":
            adjusted = np.minimum(raw * tests, 1.0)
        else:
            order = np.argsort(raw)[::-1]
            adjusted = np.empty(tests)
            adjusted[order] = np.minimum.accumulate(np.minimum(raw[order] * tests / np.arange(tests, 0, -1), 1.0))
        result = np.ones_like(pvalue)
        result[rows, columns] = result[columns, rows] = adjusted
        return result

    def interval(self, mass: float = 0.95) -> tuple[Matrix, Matrix]:
        """Confidence limits for every pair by Fisher's z, not corrected for many pairs.

        Parameters
        ----------
        mass : float
            Coverage, in (0, 1).

        Returns
        -------
        low, high : ndarray
            (parts, parts); ones on the diagonal.

        Raises
        ------
        UsageError
            The estimate is shrunk, there is at most one degree of freedom, or `mass` is out of range.
        """
        self._require_test()
        if not 0 < mass < 1:
            raise UsageError(f"mass={mass} is no probability strictly between 0 and 1. Give for instance 0.95.")
        if self.dof < 2:
            raise UsageError(f"{self.samples} samples of {len(self.parts)} parts leave no spread. Give more samples.")
        from scipy.special import ndtri

        diagonal = np.eye(len(self.parts), dtype=bool)
        half = float(ndtri((1 + mass) / 2)) / np.sqrt(self.dof - 1)
        centre = np.arctanh(np.clip(np.where(diagonal, 0.0, self.rho), -1 + 1e-15, 1 - 1e-15))
        low, high = np.tanh(centre - half), np.tanh(centre + half)
        return np.where(diagonal, 1.0, low), np.where(diagonal, 1.0, high)

    def between(self, first: int | str, second: int | str) -> float:
        """Return the partial correlation of two parts, by name or number.

        Parameters
        ----------
        first, second : int or str
            The parts.

        Raises
        ------
        UsageError
            There is no such part.
        """
        return float(self.rho[index_of(first, self.parts), index_of(second, self.parts)])

    def edges(self, alpha: float = 0.05, correction: str = "bonferroni") -> list[Edge]:
        """Return the significant pairs, strongest first.

        Parameters
        ----------
        alpha : float
            Level, in (0, 1].
        correction : str
            ``"bonferroni"`` (any false edge), ``"benjamini-hochberg"`` (share of false edges) or ``"none"``.

        Returns
        -------
        list of Edge

        Raises
        ------
        UsageError
            The estimate is shrunk, the level is out of range or the correction unknown.
        """
        if not 0 < alpha <= 1:
            raise UsageError(f"alpha={alpha} is no level in (0, 1]. Give for instance 0.05.")
        adjusted, pvalue = self._adjusted(correction), self.pvalue
        rows, columns = np.triu_indices(len(self.parts), 1)
        found = [
            Edge(self.parts[i], self.parts[j], float(self.rho[i, j]), float(pvalue[i, j]))
            for i, j in zip(rows, columns, strict=True)
            if adjusted[i, j] <= alpha
        ]
        return sorted(found, key=lambda edge: -abs(edge.rho))

    def graph(self, alpha: float = 0.05, correction: str = "bonferroni") -> networkx.Graph[str]:
        """Return the graph of significant pairs.

        Parameters
        ----------
        alpha : float
            Level, in (0, 1].
        correction : str
            As in `edges`.

        Returns
        -------
        networkx.Graph
            All parts as nodes; edges carry ``rho`` and ``pvalue``.

        Raises
        ------
        UsageError
            As in `edges`, or networkx is not installed.
        """
        try:
            import networkx
        except ImportError:
            raise UsageError("Graphs need networkx. Install it with `pip install 'educe[science]'`.") from None
        result: networkx.Graph[str] = networkx.Graph()
        result.add_nodes_from(self.parts)
        for edge in self.edges(alpha, correction):
            result.add_edge(edge.first, edge.second, rho=edge.rho, pvalue=edge.pvalue)
        return result


def partial_correlation(
    x: Any, names: Sequence[str] | None = None, shrink: str | float | None = None
) -> PartialCorrelation:
    """Partial correlation of each pair of parts given all other parts.

    Parameters
    ----------
    x : array_like
        (samples, parts) positive amounts, at least three parts; array, tensor or data frame. The scale of each row,
        and a factor per part, do not matter.
    names : sequence of str, optional
        Names of the parts; those of the data frame, else the column numbers, when left out.
    shrink : str or float, optional
        ``"ledoit-wolf"``, or the weight of the isotropic target in (0, 1]. Needed when there are fewer samples than
        parts; p-values are not defined then.

    Returns
    -------
    PartialCorrelation

    Raises
    ------
    UsageError
        An amount is not positive and finite, there are too few samples, or log-ratios are linearly dependent.

    Examples
    --------
    >>> from educe.science import roman_cups
    >>> result = partial_correlation(*roman_cups())
    >>> round(result.between("Al", "Fe"), 3)
    0.727
    >>> [(edge.first, edge.second) for edge in result.edges(alpha=0.05)]
    [('Al', 'Fe'), ('Si', 'Al'), ('Si', 'Fe'), ('Ca', 'Na')]
    """
    return _from_table(read_parts(x, names, least=3), shrink)


def _from_table(table: PartTable, shrink: str | float | None) -> PartialCorrelation:
    estimate = _estimate(table, shrink)
    diagonal = np.diag(estimate.concentration)
    rho = np.clip(-estimate.concentration / np.sqrt(np.outer(diagonal, diagonal)), -1.0, 1.0)
    np.fill_diagonal(rho, 1.0)
    return PartialCorrelation(
        rho,
        1 / diagonal,
        estimate.concentration,
        table.parts,
        len(table.amounts),
        estimate.shrinkage,
        estimate.condition,
        tuple(len(np.unique(column)) for column in table.amounts.T),
    )
