"""GCRO-DR against SciPy, dense linear algebra, and the relations that each cycle must keep."""

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse as sparse
import scipy.sparse.linalg as sparse_linalg
import torch

from educe.core import UsageError
from educe.science import GCRODR, Darcy, Helmholtz, gcro_dr, gmres, preconditioner, subspace_distance
from educe.science.krylov._arrays import Arrays
from educe.science.krylov._cycle import arnoldi, harmonic_vectors

DARCY = Darcy(20)


@pytest.fixture(scope="module")
def system():
    sample = DARCY.sample(0)
    return sample.matrix, sample.right_side


def random_system(n, seed, kind=float):
    rng = np.random.default_rng(seed)
    matrix = np.eye(n) * 4 + rng.normal(size=(n, n)) / n**0.5
    if kind is complex:
        matrix = matrix + 1j * rng.normal(size=(n, n)) / n**0.5
    return matrix.astype(kind), rng.normal(size=n).astype(kind)


@pytest.mark.parametrize("kind", [float, complex])
@pytest.mark.parametrize("k", [0, 3])
def test_solutions_agree_with_a_direct_solver(kind, k):
    matrix, right_side = random_system(80, 1, kind)
    result = gcro_dr(matrix, right_side, rtol=1e-12, m=10, k=k)
    np.testing.assert_allclose(result.x, np.linalg.solve(matrix, right_side), rtol=1e-9, atol=1e-10)
    assert result.converged and result.x.dtype == kind


def test_it_agrees_with_sparse_lu_with_every_preconditioner(system):
    matrix, right_side = system
    expected = sparse_linalg.spsolve(matrix.tocsc(), right_side)
    for kind in (None, "jacobi", "gauss-seidel", "ilu"):
        result = gcro_dr(matrix, right_side, rtol=1e-10, m=20, k=8, M=preconditioner(matrix, kind))
        assert np.linalg.norm(result.x - expected) < 1e-7 * np.linalg.norm(expected)


def test_without_recycling_its_history_is_that_of_scipys_gmres(system):
    matrix, right_side = system
    theirs = []
    sparse_linalg.gmres(
        matrix, right_side, rtol=1e-8, restart=15, callback=theirs.append, callback_type="pr_norm"
    )  # fmt: skip
    for ours in (gmres(matrix, right_side, rtol=1e-8, restart=15), gcro_dr(matrix, right_side, rtol=1e-8, m=15, k=0)):
        history = ours.residuals[0][1:]
        assert len(history) == len(theirs) and ours.recycle is None
        np.testing.assert_allclose(history, theirs, rtol=1e-5)


def test_arnoldi_keeps_its_relation_and_orthogonality(system):
    """A V = C B + V+ H and W* W = I to 1e-10, with a fixed space."""
    matrix, right_side = system
    rng = np.random.default_rng(0)
    fixed, steps = 5, 30
    basis = np.zeros((fixed + steps + 1, len(right_side)))
    basis[:fixed] = np.linalg.qr(rng.normal(size=(len(right_side), fixed)))[0].T
    residual = right_side - basis[:fixed].T @ (basis[:fixed] @ right_side)
    cycle = arnoldi(lambda v: matrix @ v, basis, fixed, residual, steps, 0.0, Arrays(np.float64))
    assert cycle.steps == steps
    np.testing.assert_allclose(basis @ basis.T, np.eye(fixed + steps + 1), atol=1e-10)
    left = matrix @ basis[fixed : fixed + steps].T
    right = basis[:fixed].T @ cycle.coupling + basis[fixed:].T @ cycle.hessenberg
    np.testing.assert_allclose(left, right, atol=1e-10 * np.abs(left).max())
    true = np.linalg.norm(residual - basis[fixed:].T @ (cycle.hessenberg @ cycle.minimiser))
    assert cycle.norms[-1] == pytest.approx(true, rel=1e-9)


@pytest.mark.parametrize("kind", [None, "jacobi"])
@pytest.mark.parametrize("cycles", [1, 2, 3, 7])
def test_the_recycled_space_and_its_image_fit_after_every_cycle(system, cycles, kind):
    matrix, right_side = system
    operator = preconditioner(matrix, kind)
    result = gcro_dr(matrix, right_side, rtol=1e-14, maxiter=cycles, m=20, k=8, M=operator)
    space = result.recycle
    moved = space.vectors.T if kind is None else space.vectors.T / matrix.diagonal()[:, None]
    np.testing.assert_allclose(matrix @ moved, space.image.T, atol=1e-10)
    np.testing.assert_allclose(space.image @ space.image.T, np.eye(8), atol=1e-10)
    assert result.info == cycles and result.stopped_by == "cycles" and not result.converged


@pytest.mark.parametrize("kind", [float, complex])
@pytest.mark.parametrize("rtol", [1e-3, 1e-6, 1e-9])
def test_the_space_fits_after_a_last_cycle_that_was_cut_short(kind, rtol):
    matrix, right_side = random_system(90, 2, kind)
    for k in (2, 5):
        first = gcro_dr(matrix, right_side, rtol=rtol, m=9, k=k)
        second = gcro_dr(matrix, right_side[::-1], rtol=rtol, m=9, k=k, recycle=first.recycle)
        for space in (first.recycle, second.recycle):
            np.testing.assert_allclose(matrix @ space.vectors.T, space.image.T, atol=1e-10)
            np.testing.assert_allclose(space.image.conj() @ space.image.T, np.eye(len(space.image)), atol=1e-10)


def test_the_recurrence_follows_the_true_residual(system):
    matrix, right_side = system
    for cycles in (1, 3, 6):
        result = gcro_dr(matrix, right_side, rtol=1e-14, maxiter=cycles, m=20, k=8)
        true = np.linalg.norm(right_side - matrix @ result.x) / np.linalg.norm(right_side)
        assert result.residual == pytest.approx(true, rel=1e-8)
        assert result.residuals[0][-1] == pytest.approx(true, rel=1e-6)


def test_harmonic_vectors_against_the_dense_pencil():
    """n = 60: the kept space is that of the eigenvectors of (A V)* A V z = theta (A V)* V z of smallest modulus."""
    for kind in (float, complex):
        matrix, right_side = random_system(60, 3, kind)
        basis = np.zeros((21, 60), dtype=kind)
        cycle = arnoldi(lambda v, a=matrix: a @ v, basis, 0, right_side, 20, 0.0, Arrays(kind))
        v = basis[:20].T
        product = matrix @ v
        values, vectors = scipy.linalg.eig(product.conj().T @ product, product.conj().T @ v)
        order = np.argsort(np.abs(values))
        overlap = np.eye(21, 20)
        for keep in range(1, 9):
            chosen = harmonic_vectors(cycle.hessenberg, overlap, keep)
            if kind is float and abs(values[order[keep - 1]] - np.conj(values[order[min(keep, 19)]])) < 1e-8:
                continue  # a complex pair would be cut in two: one fewer is kept
            expected = vectors[:, order[: chosen.shape[1]]]
            assert subspace_distance(expected, chosen.astype(complex)) < 1e-7


def test_a_right_hand_side_in_the_recycled_image_takes_no_iteration(system):
    matrix, right_side = system
    space = gcro_dr(matrix, right_side, rtol=1e-10, m=20, k=8).recycle
    wanted = space.image.T @ np.arange(1.0, 9)
    result = gcro_dr(matrix, wanted, rtol=1e-9, m=20, k=8, recycle=space)
    assert result.iterations == 0 and result.matvecs == 9  # eight to move U, one to check
    np.testing.assert_allclose(matrix @ result.x, wanted, atol=1e-8)
    assert gcro_dr(matrix, wanted, rtol=1e-9, m=20, k=8, recycle=space, same_matrix=True).matvecs == 1


def test_recycling_helps_on_a_similar_system_and_does_no_harm_on_a_foreign_one(system):
    matrix, right_side = system
    first = gcro_dr(matrix, right_side, rtol=1e-8, m=20, k=8)
    near = gcro_dr(matrix * 1.1, right_side, rtol=1e-8, m=20, k=8, recycle=first.recycle)
    assert near.converged and near.iterations < 0.7 * first.iterations
    foreign, other = random_system(400, 5)
    assert gcro_dr(foreign, other, rtol=1e-8, m=20, k=8, recycle=first.recycle).converged


def test_several_right_hand_sides_share_the_space(system):
    matrix, right_side = system
    sides = np.column_stack([right_side, np.arange(400.0), np.sin(np.arange(400.0))])
    result = gcro_dr(matrix, sides, rtol=1e-9, m=20, k=8)
    expected = sparse_linalg.spsolve(matrix.tocsc(), sides)
    assert result.x.shape == (400, 3) and len(result.residuals) == 3
    np.testing.assert_allclose(result.x, expected, atol=1e-6 * np.abs(expected).max())
    alone = sum(gcro_dr(matrix, sides[:, i], rtol=1e-9, m=20, k=8).iterations for i in range(3))
    assert result.iterations < alone


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
def test_tensors_give_the_same_and_stay_tensors(system):
    matrix, right_side = system
    expected = gcro_dr(matrix, right_side, rtol=1e-9, m=20, k=8, M=preconditioner(matrix, "jacobi"))
    dense = torch.tensor(matrix.toarray())
    for tensor in (dense, dense.to_sparse_coo(), dense.to_sparse_csr()):
        m = preconditioner(tensor, "jacobi")
        result = gcro_dr(tensor, torch.tensor(right_side), rtol=1e-9, m=20, k=8, M=m)
        assert isinstance(result.x, torch.Tensor) and isinstance(result.recycle.vectors, torch.Tensor)
        np.testing.assert_allclose(result.x.numpy(), expected.x, rtol=1e-6)
        again = gcro_dr(tensor * 1.1, torch.tensor(right_side), rtol=1e-9, m=20, k=8, M=m, recycle=result.recycle)
        assert again.iterations < result.iterations
    mixed = gcro_dr(matrix, torch.tensor(right_side), rtol=1e-9)
    assert isinstance(mixed.x, torch.Tensor)


def test_it_takes_what_scipys_solvers_take(system):
    matrix, right_side = system
    expected, info = sparse_linalg.gcrotmk(matrix, right_side, rtol=1e-9)
    seen = []
    for given in (
        matrix,
        matrix.toarray(),
        sparse.coo_matrix(matrix),
        sparse_linalg.aslinearoperator(matrix),
    ):
        x, ours = gcro_dr(given, right_side, x0=np.ones(400), rtol=1e-9, maxiter=1000, callback=seen.append)
        assert ours == info == 0
        np.testing.assert_allclose(x, expected, atol=1e-6 * np.abs(expected).max())
    assert all(item.shape == (400,) for item in seen)


def test_the_tolerances_mean_what_they_mean_in_scipy(system):
    matrix, right_side = system
    absolute = gcro_dr(matrix, right_side, rtol=0.0, atol=1e-3)
    assert np.linalg.norm(right_side - matrix @ absolute.x) <= 1e-3
    assert gcro_dr(matrix, right_side, rtol=1e-3).residual <= 1e-3
    exact = sparse_linalg.spsolve(matrix.tocsc(), right_side)
    started = gcro_dr(matrix, right_side, exact, rtol=1e-8)
    assert started.iterations == 0
    zero = gcro_dr(matrix, np.zeros(400), np.ones(400))
    assert zero.info == 0 and not zero.x.any() and zero.residual == 0


def test_singular_systems():
    """Consistent ones are solved; inconsistent ones end by stagnation, with the least residual and no false claim."""
    rng = np.random.default_rng(0)
    factor = rng.normal(size=(60, 60))
    matrix = factor @ np.diag([0.0] * 3 + [1.0] * 27 + [2.0] * 30) @ factor.T
    consistent = matrix @ rng.normal(size=60)
    assert gcro_dr(matrix, consistent, rtol=1e-8, m=40, k=10).converged
    for singular, right_side in ((matrix, rng.normal(size=60)), (np.diag([1.0, 2.0, 0.0]), np.ones(3))):
        result = gcro_dr(singular, right_side, rtol=1e-8, m=40, k=10, maxiter=200)
        best = np.linalg.lstsq(singular, right_side, rcond=1e-12)[0]
        least = np.linalg.norm(right_side - singular @ best) / np.linalg.norm(right_side)
        assert not result.converged and result.info > 0 and result.stopped_by in ("stagnation", "cycles")
        assert result.residual >= least * (1 - 1e-9)
    assert not gcro_dr(np.zeros((4, 4)), np.ones(4)).converged
    shift = np.roll(np.eye(6), 1, axis=0)  # GMRES makes no progress for n - 1 steps here, then is exact
    assert gcro_dr(shift, np.eye(6)[0], rtol=1e-10, m=6, k=0).converged
    assert gmres(shift, np.eye(6)[0], restart=3).stopped_by == "stagnation"


def test_small_systems_and_large_spaces():
    for n in (1, 2, 5):
        matrix, right_side = random_system(n, n)
        result = gcro_dr(matrix, right_side, rtol=1e-12)  # m = 40 is more than n
        np.testing.assert_allclose(result.x, np.linalg.solve(matrix, right_side), rtol=1e-10)
        again = gcro_dr(matrix * 2, right_side, rtol=1e-12, recycle=result.recycle)
        np.testing.assert_allclose(again.x, np.linalg.solve(matrix * 2, right_side), rtol=1e-10)


def test_indefinite_and_complex_helmholtz():
    sample = Helmholtz(16, wavenumber=(8, 9)).sample(0)
    shifted = (sample.matrix + 2j * sparse.eye_array(256)).tocsr()
    for matrix in (sample.matrix, shifted):
        result = gcro_dr(matrix, sample.right_side, rtol=1e-9, m=30, k=15)
        assert result.converged
        expected = sparse_linalg.spsolve(matrix.tocsc(), sample.right_side)
        np.testing.assert_allclose(result.x, expected, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("a", "b", "options", "message"),
    [
        (np.ones((3, 2)), np.ones(3), {}, r"A has shape \(3, 2\)"),
        (np.eye(3), np.ones(4), {}, r"b has shape \(4,\)"),
        (np.eye(3), np.array([1, np.nan, 1]), {}, "b holds NaN"),
        (np.diag([1, np.nan, 1]), np.ones(3), {}, "A holds NaN"),
        (sparse.diags_array([1.0, np.inf, 1.0]).tocsr(), np.ones(3), {}, "A holds NaN or infinity"),
        (torch.tensor([[float("nan")]]), torch.ones(1), {}, "A holds NaN"),
        (lambda v: v, np.ones(3), {}, "LinearOperator"),
        (np.array([["a"]]), np.ones(1), {}, "no matrix of numbers"),
        (np.eye(3), np.ones(3), {"x0": np.ones(2)}, "x0 has shape"),
        (np.eye(3), np.ones((3, 2)), {"x0": np.ones(3)}, "x0 has 1 column"),
        (np.eye(3), np.ones(3), {"M": np.eye(4)}, "M has shape"),
        (np.eye(3), np.ones(3), {"M": torch.eye(3)}, "M is a tensor"),
        (torch.eye(3), torch.ones(3), {"M": np.eye(3)}, "Give M as a tensor"),
        (np.eye(3), np.ones(3), {"k": 40}, "0 <= k < m"),
        (np.eye(3), np.ones(3), {"rtol": 0.0}, "goal"),
        (np.eye(3), np.ones(3), {"rtol": np.nan}, "goal"),
        (np.eye(3), np.ones(3), {"maxiter": 0}, "maxiter"),
        (np.eye(3), np.ones(3), {"M": np.full((3, 3), 1e308)}, "not finite"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow")
@pytest.mark.filterwarnings("ignore:invalid value")
def test_bad_systems_are_refused(a, b, options, message):
    with pytest.raises(UsageError, match=message):
        gcro_dr(a, b, **options)


def test_a_space_of_another_size_is_refused(system):
    matrix, right_side = system
    space = gcro_dr(matrix, right_side).recycle
    with pytest.raises(UsageError, match="one size"):
        gcro_dr(np.eye(3), np.ones(3), recycle=space)
    with pytest.raises(UsageError, match="restart"):
        gmres(np.eye(3), np.ones(3), restart=0)


def test_the_stateful_solver_carries_and_forgets(system):
    matrix, right_side = system
    solver = GCRODR(m=20, k=8, rtol=1e-8, preconditioner="jacobi")
    first, second = solver.solve_all([(matrix, right_side), (matrix * 1.1, right_side)])
    by_hand = gcro_dr(
        matrix * 1.1, right_side, rtol=1e-8, m=20, k=8, M=preconditioner(matrix, "jacobi"), recycle=first.recycle
    )  # fmt: skip
    assert second.iterations < first.iterations and abs(second.iterations - by_hand.iterations) <= 2
    solver.reset()
    assert solver.space is None and solver.solve(matrix, right_side).iterations == first.iterations
    repeated = solver.solve(matrix, right_side, same_matrix=True)
    assert repeated.matvecs < repeated.iterations + 8
    assert "m=20, k=8" in repr(solver)


def test_sequences_get_easier_when_sorted_by_distance():
    """The distance of the recycled image to an invariant subspace is smaller for the same matrix than a foreign one."""
    first, second = (Darcy(16, amplitude=3.0).sample(seed) for seed in (0, 1))
    space = gcro_dr(first.matrix, first.right_side, rtol=1e-8).recycle.image.T
    low = [sparse_linalg.eigsh(item.matrix, k=4, sigma=0)[1] for item in (first, second)]
    near, far = (subspace_distance(vectors, space) for vectors in low)
    assert 0 <= near < far <= 1 and near < 0.2
    with pytest.raises(UsageError, match="do not fit"):
        subspace_distance(np.eye(3), np.eye(4))
