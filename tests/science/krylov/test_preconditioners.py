"""Preconditioners against the matrices that define them."""

import numpy as np
import pytest
import scipy.sparse as sparse
import scipy.sparse.linalg as sparse_linalg
import torch

from educe.core import UsageError
from educe.science import Darcy, gcro_dr, preconditioner

SAMPLE = Darcy(12).sample(0)


def dense(operator, n=144):
    return operator.matmat(np.eye(n))


def test_jacobi_and_gauss_seidel_by_their_definition():
    a = SAMPLE.matrix.toarray()
    np.testing.assert_allclose(dense(preconditioner(a, "jacobi")), np.diag(1 / np.diag(a)), atol=1e-14)
    lower, upper, diagonal = np.tril(a), np.triu(a), np.diag(np.diag(a))
    expected = np.linalg.inv(upper) @ diagonal @ np.linalg.inv(lower)
    np.testing.assert_allclose(dense(preconditioner(SAMPLE.matrix, "gauss-seidel")), expected, atol=1e-12)


def test_incomplete_lu_is_close_to_the_inverse():
    product = SAMPLE.matrix @ dense(preconditioner(SAMPLE.matrix, "ilu"))
    assert np.linalg.norm(product - np.eye(144), 2) < 0.2


def test_multigrid_beats_jacobi():
    pytest.importorskip("pyamg")
    problem = Darcy(32).sample(0)
    counts = [
        gcro_dr(problem.matrix, problem.right_side, rtol=1e-8, M=preconditioner(problem.matrix, kind)).iterations
        for kind in ("amg", "jacobi")
    ]
    assert counts[0] < 0.5 * counts[1]


def test_they_serve_scipy_as_well():
    plain = sparse_linalg.cg(SAMPLE.matrix, SAMPLE.right_side, rtol=1e-10)[0]
    for kind in ("jacobi", "gauss-seidel"):
        m = preconditioner(SAMPLE.matrix, kind)
        x, info = sparse_linalg.cg(SAMPLE.matrix, SAMPLE.right_side, rtol=1e-10, M=m)
        assert info == 0
        np.testing.assert_allclose(x, plain, rtol=1e-6)


def test_one_of_your_own_and_none():
    assert preconditioner(np.eye(2), None) is None
    assert preconditioner(np.eye(2), lambda matrix: "mine") == "mine"


@pytest.mark.parametrize(
    ("a", "kind", "message"),
    [
        (np.eye(2), "jacobbi", "did you mean 'jacobi'"),
        (np.diag([1.0, 0.0]), "jacobi", "Diagonal entry 1 is zero"),
        (np.diag([1.0, 0.0]), "gauss-seidel", "Diagonal entry 1"),
        (torch.diag(torch.tensor([1.0, 0.0])), "jacobi", "diagonal entry is zero"),
        (torch.eye(2), "ilu", "Tensors take 'jacobi'"),
        (sparse.csr_array((2, 2)), "ilu", "failed"),
        (sparse_linalg.aslinearoperator(np.eye(2)), "jacobi", "entries of A"),
    ],
)
def test_what_cannot_be_built_is_refused(a, kind, message):
    with pytest.raises(UsageError, match=message):
        preconditioner(a, kind)
