"""Finite volumes against manufactured solutions, exact ones, conservation, and the law of the random fields."""

import numpy as np
import pytest
import scipy.sparse as sparse
import scipy.sparse.linalg as sparse_linalg

from educe.core import UsageError
from educe.science import Darcy, Helmholtz, Poisson, Thermal, assemble_diffusion, gaussian_random_field


def centres(grid):
    line = (np.arange(grid) + 0.5) / grid
    return np.meshgrid(line, line)


def solve(matrix, right_side):
    return sparse_linalg.spsolve(matrix.tocsc(), right_side)


def rates(error_of):
    errors = np.array([error_of(grid) for grid in (16, 32, 64)])
    return np.log2(errors[:-1] / errors[1:])


def darcy_error(grid, wavenumber=0.0):
    x, y = centres(grid)
    u = np.sin(np.pi * x) * np.sin(2 * np.pi * y)
    a = 1 + x * y
    source = (
        5 * np.pi**2 * a * u
        - y * np.pi * np.cos(np.pi * x) * np.sin(2 * np.pi * y)
        - x * 2 * np.pi * np.sin(np.pi * x) * np.cos(2 * np.pi * y)
        - wavenumber**2 * u
    )
    matrix = assemble_diffusion(a, 1 / grid).matrix - wavenumber**2 * sparse.eye_array(grid**2)
    return np.abs(solve(matrix, source.ravel()) - u.ravel()).max()


@pytest.mark.parametrize("wavenumber", [0.0, 10.0])
def test_darcy_and_helmholtz_converge_at_second_order(wavenumber):
    np.testing.assert_allclose(rates(lambda grid: darcy_error(grid, wavenumber)), 2, atol=0.25)


def poisson_error(grid):
    x, y = centres(grid)
    line = (np.arange(grid) + 0.5) / grid
    operator = assemble_diffusion(np.ones((grid, grid)), 1 / grid)

    def u(x, y):
        return np.exp(x) * np.sin(y)  # harmonic

    sides = {"left": u(0, line), "right": u(1, line), "bottom": u(line, 0), "top": u(line, 1)}
    right_side = sum(operator.boundary[side] @ values for side, values in sides.items())
    return np.abs(solve(operator.matrix, right_side) - u(x, y).ravel()).max()


def test_given_boundary_values_converge_at_second_order():
    np.testing.assert_allclose(rates(poisson_error), 2, atol=0.3)


def thermal_error(grid):
    """u = cos(pi y / 1) e^(-pi x)-like solution: given values on the left, insulation elsewhere but on the right."""
    x, y = centres(grid)
    line = (np.arange(grid) + 0.5) / grid
    operator = assemble_diffusion(np.ones((grid, grid)), 1 / grid, given=("left",))

    def u(x, y):
        return np.cosh(np.pi * (x - 2)) * np.cos(np.pi * y)  # harmonic, du/dy = 0 at y = 0 and 1

    flux = np.zeros((grid, grid))
    flux[:, -1] = np.pi * np.sinh(np.pi * (1 - 2)) * np.cos(np.pi * line) * grid
    right_side = operator.boundary["left"] @ u(0, line) + flux.ravel()
    return np.abs(solve(operator.matrix, right_side) - u(x, y).ravel()).max() / np.cosh(2 * np.pi)


def test_mixed_boundaries_converge_at_second_order():
    np.testing.assert_allclose(rates(thermal_error), 2, atol=0.3)


def test_poisson_samples_meet_their_series():
    """The right-hand side is the source plus boundary values: rebuilt from the drawn series in another way."""
    sample = Poisson(8).sample(3)
    line = 2 * (np.arange(8) + 0.5) / 8 - 1
    series = np.polynomial.chebyshev.Chebyshev
    source = np.array(
        [[sum(sample.params["source"][i, j] * series.basis(i)(x) * series.basis(j)(y) for i in range(6) for j in range(6))
          for x in line] for y in line]
    )  # fmt: skip
    values = [series(c)(line) for c in sample.params["boundary"]]
    source[:, 0] += 128 * values[0]
    source[:, -1] += 128 * values[1]
    source[0] += 128 * values[2]
    source[-1] += 128 * values[3]
    np.testing.assert_allclose(sample.right_side, source.ravel(), atol=1e-10)


def test_heat_that_enters_leaves():
    problem = Thermal(20)
    sample = problem.sample(5)
    temperature, flux = sample.params["edges"]
    grid = np.full((20, 20), np.nan)
    grid[problem.active] = solve(sample.matrix, sample.right_side)
    through_left = (2 * (grid[:, 0] - temperature)).sum()  # a (u - T) / (h / 2) h, over all faces
    assert through_left == pytest.approx(flux, rel=1e-9)
    assert np.isnan(grid).sum() == 20**2 - problem.active.sum() == 2 * 12


def test_a_jump_in_the_coefficient_is_exact_in_one_dimension():
    """Two layers with given values 0 and 1: the interface flux is that of resistors in series."""
    a = np.ones((4, 8))
    a[:, 4:] = 100.0
    operator = assemble_diffusion(a, 1 / 8, given=("left", "right"))
    u = solve(operator.matrix, operator.boundary["right"] @ np.ones(4)).reshape(4, 8)
    x = (np.arange(8) + 0.5) / 8
    flux = 1 / (0.5 / 1 + 0.5 / 100)
    np.testing.assert_allclose(u, np.where(x < 0.5, flux * x, 1 - flux * (1 - x) / 100)[None].repeat(4, 0), atol=1e-12)


def test_matrices_are_symmetric_and_definite_where_they_should_be():
    for problem in (Darcy(10), Darcy(10, "two-parameter"), Poisson(10), Thermal(10)):
        matrix = problem.sample(1).matrix.toarray()
        np.testing.assert_allclose(matrix, matrix.T, atol=1e-9)
        assert np.linalg.eigvalsh(matrix)[0] > 0
    values = np.linalg.eigvalsh(Helmholtz(10, wavenumber=(12, 12), amplitude=0).sample(0).matrix.toarray())
    exact = np.sort((4 * 100 * np.sin(np.arange(1, 11) * np.pi / 20) ** 2)[:, None] + (4 * 100 * np.sin(
        np.arange(1, 11) * np.pi / 20) ** 2)[None])  # fmt: skip
    assert abs((values < 0).sum() - (exact < 144).sum()) <= 3 and (values < 0).sum() > 3


def test_samples_follow_the_seed():
    for problem in (Darcy(8), Helmholtz(8), Poisson(8), Thermal(8)):
        first, again, other = (problem.sample(seed) for seed in (1, 1, 2))
        for name in first.params:
            np.testing.assert_array_equal(first.params[name], again.params[name])
            assert (first.params[name] != other.params[name]).any()


def test_the_field_has_the_spectrum_asked_for():
    """400 fields: the mean power of a mode has a relative standard error of 0.07 (complex) or less; bound 6 of them."""
    fields = np.array([gaussian_random_field(16, seed=seed) for seed in range(400)])
    power = (np.abs(np.fft.fft2(fields) / 16**2) ** 2).mean(axis=0)
    for i, j in ((1, 0), (1, 1), (2, 3), (0, 5)):
        expected = (7**1.5 * (4 * np.pi**2 * (i * i + j * j) + 49) ** -1.25) ** 2
        assert power[i, j] == pytest.approx(expected, rel=0.42)
    assert power[0, 0] < 1e-30


@pytest.mark.parametrize(
    "make",
    [
        lambda: Darcy(2),
        lambda: Darcy(8, field="lognormal"),
        lambda: Darcy(8, amplitude=-1),
        lambda: Helmholtz(8, wavenumber=(3, 2)),
        lambda: Poisson(1.5),
        lambda: Thermal(0),
        lambda: gaussian_random_field(1),
        lambda: gaussian_random_field(8, alpha=0.5),
        lambda: assemble_diffusion([[1.0, -1.0]], 1.0),
        lambda: assemble_diffusion([[1.0, np.nan]], 1.0),
        lambda: assemble_diffusion([[1.0, 1.0]], 1.0, given=()),
        lambda: assemble_diffusion([[1.0, 1.0]], 1.0, given=("north",)),
        lambda: assemble_diffusion([1.0], 1.0),
    ],
)
def test_what_makes_no_problem_is_refused(make):
    with pytest.raises(UsageError):
        make()
