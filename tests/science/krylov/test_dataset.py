"""Data sets: every solver gives the same one, sorting and workers do not show, and a killed run goes on."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from educe.core import Budget, DataError, UsageError
from educe.science import Darcy, Helmholtz, Poisson, Thermal, generate_dataset

FAMILY = Darcy(12, field="two-parameter")


@pytest.fixture(scope="module")
def reference():
    return generate_dataset(FAMILY, 8, solver="direct")


@pytest.mark.parametrize("solver", ["gcro-dr", "gmres", "gcrotmk", "cg", "own"])
def test_all_solvers_give_the_same_data(reference, solver):
    chosen = (lambda a, b: np.linalg.solve(a.toarray(), b)) if solver == "own" else solver
    data = generate_dataset(FAMILY, 8, solver=chosen, rtol=1e-10)
    assert data.converged.all() and data.residual.max() <= 1e-10
    scale = np.abs(reference.solutions).max()
    np.testing.assert_allclose(data.solutions, reference.solutions, atol=1e-7 * scale)
    np.testing.assert_array_equal(data.params["weights"], reference.params["weights"])
    assert (data.matvecs > 0).all() == (solver != "own")


def test_the_order_of_solving_does_not_show(reference):
    plain, sorted_ = (generate_dataset(FAMILY, 8, sort=sort, rtol=1e-11) for sort in ("none", "greedy"))
    assert plain.order.tolist() == list(range(8)) and sorted_.order.tolist() != list(range(8))
    np.testing.assert_allclose(plain.solutions, sorted_.solutions, atol=1e-8 * np.abs(plain.solutions).max())
    longer = generate_dataset(FAMILY, 9, solver="direct")
    np.testing.assert_array_equal(longer.solutions[:8], reference.solutions)


def test_sorting_is_automatic_for_few_parameters_only():
    assert generate_dataset(Darcy(8), 4).order.tolist() == [0, 1, 2, 3]
    assert sorted(generate_dataset(Helmholtz(8, wavenumber=(1, 2)), 4, sort="greedy").order) == [0, 1, 2, 3]


@pytest.mark.parametrize("problem", [Poisson(10), Thermal(10)])
def test_a_shared_matrix_is_factorised_once_and_its_image_reused(problem):
    direct = generate_dataset(problem, 4, solver="direct")
    krylov = generate_dataset(problem, 4, rtol=1e-10)
    inside = problem.active
    assert np.isnan(direct.solutions[:, ~inside]).all()
    np.testing.assert_allclose(krylov.solutions[:, inside], direct.solutions[:, inside], atol=1e-6)
    assert (krylov.matvecs[krylov.order[1:]] <= krylov.iterations[krylov.order[1:]] + 4).all()


def test_a_missed_tolerance_is_marked_and_not_stored():
    data = generate_dataset(Helmholtz(16, wavenumber=(20, 21)), 2, solver="gmres", maxiter=1, m=5, k=2)
    assert not data.converged.any() and np.isnan(data.solutions).all() and (data.residual > 1e-8).all()
    assert repr(data) == "Dataset(2 systems, 0 solved, grid (16, 16))"


@pytest.mark.parametrize("name", ["data.h5", "data.zarr"])
def test_a_stopped_run_goes_on_in_its_file(tmp_path, name, reference):
    pytest.importorskip("h5py" if name.endswith("h5") else "zarr")
    path, seen = tmp_path / name, []
    part = generate_dataset(
        FAMILY, 8, solver="direct", out=path, save_every=2, budget=Budget(samples=4), progress=lambda *at: seen.append(at)
    )  # fmt: skip
    assert part.ledger.stopped_by == "samples" and part.converged.sum() == 4
    assert seen == [(0, 8), (2, 8), (4, 8)]
    seen.clear()
    whole = generate_dataset(FAMILY, 8, solver="direct", out=path, progress=lambda *at: seen.append(at))
    assert seen == [(4, 8), (8, 8)] and whole.ledger.samples == 4 and whole.ledger.stopped_by is None
    np.testing.assert_array_equal(whole.solutions, reference.solutions)
    again = generate_dataset(FAMILY, 8, solver="direct", out=path)
    assert again.ledger.samples == 0
    np.testing.assert_array_equal(again.solutions, reference.solutions)
    with pytest.raises(UsageError, match="another data set"):
        generate_dataset(FAMILY, 9, solver="direct", out=path)


def test_the_file_can_be_read_without_us(tmp_path, reference):
    h5py = pytest.importorskip("h5py")
    generate_dataset(FAMILY, 8, solver="direct", out=tmp_path / "data.h5")
    with h5py.File(tmp_path / "data.h5") as file:
        np.testing.assert_array_equal(file["solutions"][...], reference.solutions)
        np.testing.assert_array_equal(file["params_weights"][...], reference.params["weights"])
        assert file["done"][...].all()


KILLED = """
import os, signal, sys
from educe.science import Darcy, generate_dataset
def progress(finished, total):
    if finished >= 4:
        os.kill(os.getpid(), signal.SIGKILL)
generate_dataset(Darcy(12, field="two-parameter"), 8, solver="direct", out=sys.argv[1], save_every=2, progress=progress)
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["data.h5", "data.zarr"])
def test_a_killed_run_loses_nothing_that_was_saved(tmp_path, name, reference):
    pytest.importorskip("h5py" if name.endswith("h5") else "zarr")
    path = tmp_path / name
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], env=dict(os.environ), check=False)
    assert done.returncode == -signal.SIGKILL
    whole = generate_dataset(FAMILY, 8, solver="direct", out=path)
    assert whole.ledger.samples == 4
    np.testing.assert_array_equal(whole.solutions, reference.solutions)


@pytest.mark.slow
def test_two_workers_give_the_same_data(reference):
    data = generate_dataset(FAMILY, 8, rtol=1e-10, workers=2, save_every=2)
    assert data.converged.all() and data.ledger.samples == 8
    np.testing.assert_allclose(data.solutions, reference.solutions, atol=1e-7 * np.abs(reference.solutions).max())


def test_a_bar_is_drawn_on_standard_error(capsys):
    generate_dataset(FAMILY, 2, progress=True)
    captured = capsys.readouterr()
    assert not captured.out and "systems" in captured.err


def test_files_that_are_none_of_ours_are_refused(tmp_path):
    h5py = pytest.importorskip("h5py")
    (tmp_path / "text.h5").write_text("no data")
    with pytest.raises(DataError, match="does not open"):
        generate_dataset(FAMILY, 2, out=tmp_path / "text.h5")
    h5py.File(tmp_path / "other.h5", "w").close()
    with pytest.raises(DataError, match="no data set of educe"):
        generate_dataset(FAMILY, 2, out=tmp_path / "other.h5")
    with pytest.raises(UsageError, match="unknown ending"):
        generate_dataset(FAMILY, 2, out=tmp_path / "data.npz")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 0}, "n=0"),
        ({"n": 2, "workers": 0}, "workers"),
        ({"n": 2, "solver": "gcrodr"}, "did you mean 'gcro-dr'"),
        ({"n": 2, "k": 40}, "0 <= k < m"),
        ({"n": 2, "sort": "fast"}, "Sorting"),
        ({"n": 2, "workers": 2, "solver": lambda a, b: b}, "does not travel"),
        ({"n": 2, "preconditioner": "multi"}, "unknown"),
        ({"n": 2, "solver": lambda a, b: b[:3]}, "returned shape"),
    ],
)
def test_bad_requests_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        generate_dataset(FAMILY, **options)
