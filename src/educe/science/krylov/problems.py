"""Four families of linear partial differential equations whose solutions train neural operators.

Darcy flow, Helmholtz, Poisson and heat conduction, as in Wang et al. (2024), arXiv:2401.09516, on correct cell-centred
finite volumes. The matrices published with the paper differ: its Darcy matrix is close to a constant Laplacian times
diag(a), not to -div(a grad), and its Helmholtz term is too small to matter. For Poisson and heat conduction the matrix
is the same for all samples; one factorisation then beats any Krylov method.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from scipy import sparse

from educe.core import Seed, UsageError
from educe.science.krylov.finite_volume import Diffusion, assemble_diffusion
from educe.science.krylov.random_field import gaussian_random_field

__all__ = ["Darcy", "Helmholtz", "LinearProblem", "PdeSample", "Poisson", "Thermal"]

Field = npt.NDArray[np.float64]


class PdeSample(NamedTuple):
    """One system of a family.

    Parameters
    ----------
    params : dict of str to ndarray
        What was drawn.
    matrix : csr_array
        (n, n).
    right_side : ndarray
        (n,).
    """

    params: dict[str, Field]
    matrix: Any
    right_side: Field


class LinearProblem(Protocol):
    """What a family of systems offers; the four here, or one of your own."""

    @property
    def sort_on(self) -> tuple[str, ...]:
        """Names of the parameters that say how similar two systems are."""

    @property
    def fixed_matrix(self) -> bool:
        """Whether all samples share one matrix."""

    @property
    def active(self) -> npt.NDArray[np.bool_]:
        """(rows, columns) cells that carry an unknown, in row-major order."""

    def sample(self, seed: int | Seed) -> PdeSample:
        """Draw one system."""


def _check_grid(grid: int) -> None:
    if isinstance(grid, bool) or not isinstance(grid, int) or grid < 4:
        raise UsageError(f"grid={grid!r} is too coarse. Give a whole number of cells per side, at least 4.")


@lru_cache(maxsize=8)
def _modes(grid: int, alpha: float, tau: float, field_seed: int) -> tuple[Field, Field]:
    root = Seed(field_seed).child("darcy-modes")
    fields = [gaussian_random_field(grid, alpha=alpha, tau=tau, seed=root.child(number)) for number in (1, 2)]
    return fields[0] / fields[0].std(), fields[1] / fields[1].std()


@dataclass(frozen=True)
class Darcy:
    """-div(a grad u) = 1 on the unit square, u = 0 on its boundary, a the exponential of a random field.

    Parameters
    ----------
    grid : int
        Cells per side.
    field : str
        ``"gaussian"``: log a is `amplitude` times a fresh random field. ``"two-parameter"``: log a is `amplitude` times
        a combination of two fixed fields of unit variance with weights uniform on (-1, 1).
    amplitude : float
        Scale of log a, >= 0.
    alpha, tau : float
        Law of the fields; see `gaussian_random_field`.
    field_seed : int
        Seed of the two fixed fields.

    Raises
    ------
    UsageError
        A parameter is out of range.

    Examples
    --------
    >>> sample = Darcy(8).sample(0)
    >>> sample.matrix.shape, sorted(sample.params)
    ((64, 64), ['coefficient'])
    """

    grid: int = 64
    field: str = "gaussian"
    amplitude: float = 1.0
    alpha: float = 2.5
    tau: float = 7.0
    field_seed: int = 0

    def __post_init__(self) -> None:
        _check_grid(self.grid)
        if self.field not in ("gaussian", "two-parameter"):
            raise UsageError(f"field={self.field!r} is unknown. Use 'gaussian' or 'two-parameter'.")
        if not 0 <= self.amplitude < 100:
            raise UsageError(f"amplitude={self.amplitude} is not in [0, 100). Its exponential must stay finite.")

    @property
    def sort_on(self) -> tuple[str, ...]:
        """The two weights, or the whole coefficient."""
        return ("weights",) if self.field == "two-parameter" else ("coefficient",)

    @property
    def fixed_matrix(self) -> bool:
        """Each sample has its own matrix."""
        return False

    @property
    def active(self) -> npt.NDArray[np.bool_]:
        """All cells."""
        return np.ones((self.grid, self.grid), dtype=bool)

    def sample(self, seed: int | Seed) -> PdeSample:
        """Draw a coefficient and assemble its system.

        Parameters
        ----------
        seed : int or Seed
            Root of the draw.
        """
        key = Seed.of(seed).child("darcy")
        params: dict[str, Field] = {}
        if self.field == "two-parameter":
            params["weights"] = key.child("weights").numpy().uniform(-1, 1, 2)
            first, second = _modes(self.grid, self.alpha, self.tau, self.field_seed)
            logarithm = params["weights"][0] * first + params["weights"][1] * second
        else:
            logarithm = gaussian_random_field(self.grid, alpha=self.alpha, tau=self.tau, seed=key)
        params["coefficient"] = np.exp(self.amplitude * logarithm)
        matrix = assemble_diffusion(params["coefficient"], 1 / self.grid).matrix
        return PdeSample(params, matrix, np.ones(self.grid**2))


@dataclass(frozen=True)
class Helmholtz:
    """-div(a grad u) - k^2 u = 1 on the unit square, u = 0 on its boundary.

    Parameters
    ----------
    grid : int
        Cells per side; ten cells per wavelength 2 pi / k are a customary least.
    wavenumber : tuple of float
        k is uniform between these two, 0 <= low <= high. The matrix is indefinite once k > pi sqrt(2) or so.
    amplitude : float
        Scale of log a.
    alpha, tau : float
        Law of log a; see `gaussian_random_field`.

    Raises
    ------
    UsageError
        A parameter is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> matrix = Helmholtz(8, wavenumber=(10, 12)).sample(0).matrix.toarray()
    >>> bool(np.linalg.eigvalsh(matrix)[0] < 0)
    True
    """

    grid: int = 64
    wavenumber: tuple[float, float] = (20.0, 40.0)
    amplitude: float = 1.0
    alpha: float = 2.5
    tau: float = 7.0

    def __post_init__(self) -> None:
        _check_grid(self.grid)
        low, high = self.wavenumber
        if not 0 <= low <= high < np.inf:
            raise UsageError(f"wavenumber={self.wavenumber} is no range of numbers >= 0. Give (low, high).")

    @property
    def sort_on(self) -> tuple[str, ...]:
        """The coefficient and the wave number."""
        return ("coefficient", "wavenumber")

    @property
    def fixed_matrix(self) -> bool:
        """Each sample has its own matrix."""
        return False

    @property
    def active(self) -> npt.NDArray[np.bool_]:
        """All cells."""
        return np.ones((self.grid, self.grid), dtype=bool)

    def sample(self, seed: int | Seed) -> PdeSample:
        """Draw a coefficient and a wave number and assemble their system.

        Parameters
        ----------
        seed : int or Seed
            Root of the draw.
        """
        key = Seed.of(seed).child("helmholtz")
        field = gaussian_random_field(self.grid, alpha=self.alpha, tau=self.tau, seed=key)
        coefficient = np.exp(self.amplitude * field)
        wavenumber = key.child("wavenumber").numpy().uniform(*self.wavenumber)
        matrix = assemble_diffusion(coefficient, 1 / self.grid).matrix
        shifted = sparse.csr_array(matrix - wavenumber**2 * sparse.eye_array(matrix.shape[0]))
        params = {"coefficient": coefficient, "wavenumber": np.array([wavenumber])}
        return PdeSample(params, shifted, np.ones(self.grid**2))


@lru_cache(maxsize=4)
def _laplacian(grid: int) -> Diffusion:
    return assemble_diffusion(np.ones((grid, grid)), 1 / grid)


@dataclass(frozen=True)
class Poisson:
    """-div grad u = f on the unit square with given boundary values; the matrix is the same for all samples.

    The source and the values on the four sides are Chebyshev series of degree 5 with coefficients uniform on (-1, 1).

    Parameters
    ----------
    grid : int
        Cells per side.

    Raises
    ------
    UsageError
        The grid is too coarse.

    Examples
    --------
    >>> sample = Poisson(8).sample(0)
    >>> {name: value.shape for name, value in sorted(sample.params.items())}
    {'boundary': (4, 6), 'source': (6, 6)}
    """

    grid: int = 64

    def __post_init__(self) -> None:
        _check_grid(self.grid)

    @property
    def sort_on(self) -> tuple[str, ...]:
        """All coefficients of the series."""
        return ("source", "boundary")

    @property
    def fixed_matrix(self) -> bool:
        """Only right-hand sides differ."""
        return True

    @property
    def active(self) -> npt.NDArray[np.bool_]:
        """All cells."""
        return np.ones((self.grid, self.grid), dtype=bool)

    def sample(self, seed: int | Seed) -> PdeSample:
        """Draw source and boundary values.

        Parameters
        ----------
        seed : int or Seed
            Root of the draw.
        """
        rng = Seed.of(seed).child("poisson").numpy()
        source, sides = rng.uniform(-1, 1, (6, 6)), rng.uniform(-1, 1, (4, 6))
        centres = 2 * (np.arange(self.grid) + 0.5) / self.grid - 1
        operator = _laplacian(self.grid)
        right_side = np.asarray(np.polynomial.chebyshev.chebgrid2d(centres, centres, source).T, np.float64).reshape(-1)
        for series, weights in zip(sides, operator.boundary.values(), strict=True):
            right_side = right_side + weights @ np.polynomial.chebyshev.chebval(centres, series)
        return PdeSample({"source": source, "boundary": sides}, operator.matrix, right_side)


@lru_cache(maxsize=4)
def _slotted(grid: int) -> Diffusion:
    active = np.ones((grid, grid), dtype=bool)
    active[grid // 5 : grid - grid // 5, (9 * grid) // 20 : grid - (9 * grid) // 20] = False
    return assemble_diffusion(np.ones((grid, grid)), 1 / grid, given=("left",), active=active)


@dataclass(frozen=True)
class Thermal:
    """Steady heat in a square plate with a slot: a temperature on the left, a flux on the right, insulated elsewhere.

    The temperature is uniform on (0, 100), the flux on (-100, 0). The matrix is the same for all samples, and the
    solution is linear in the two numbers, so that two solves give all of them.

    Parameters
    ----------
    grid : int
        Cells per side; the slot is a tenth wide and three fifths high.

    Raises
    ------
    UsageError
        The grid is too coarse.

    Examples
    --------
    >>> bool(Thermal(20).active.all())
    False
    """

    grid: int = 64

    def __post_init__(self) -> None:
        _check_grid(self.grid)

    @property
    def sort_on(self) -> tuple[str, ...]:
        """Both numbers."""
        return ("edges",)

    @property
    def fixed_matrix(self) -> bool:
        """Only right-hand sides differ."""
        return True

    @property
    def active(self) -> npt.NDArray[np.bool_]:
        """All cells but the slot."""
        return _slotted(self.grid).active

    def sample(self, seed: int | Seed) -> PdeSample:
        """Draw a temperature and a flux.

        Parameters
        ----------
        seed : int or Seed
            Root of the draw.
        """
        rng = Seed.of(seed).child("thermal").numpy()
        edges = np.array([rng.uniform(0, 100), rng.uniform(-100, 0)])
        operator = _slotted(self.grid)
        flux = np.zeros((self.grid, self.grid))
        flux[:, -1] = edges[1] * self.grid  # a flux through a face of length h spreads over h^2
        right_side = operator.boundary["left"] @ np.full(self.grid, edges[0]) + flux[operator.active]
        return PdeSample({"edges": edges}, operator.matrix, right_side)
