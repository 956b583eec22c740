"""GCRO-DR: a restarted Krylov solver that keeps a small space between cycles and from one system to the next.

Source: Parks, de Sturler, Mackey, Johnson and Maiti (2006), Recycling Krylov subspaces for sequences of linear
systems, SIAM J. Sci. Comput. 28; used for data generation by Wang et al. (2024), arXiv:2401.09516. Each cycle works
in k recycled vectors U with orthonormal image C = A U and m - k new Krylov vectors, and then keeps the k harmonic Ritz
vectors of smallest modulus. The preconditioner M stands on the right, so that residuals are true ones; below, A means
A M. M may change from one system to the next, not within one.

With k = 0 it is GMRES restarted every m steps. It is not a block method: several right-hand sides are solved one after
the other, each starting from the space the one before left. For symmetric positive definite matrices conjugate
gradients cost far less per step.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from educe.core import Ledger, UsageError
from educe.science.krylov._arrays import Host, System, finite, read_system
from educe.science.krylov._cycle import Cycle, arnoldi, harmonic_vectors
from educe.science.krylov.solve import RecycledSpace, Solve

__all__ = ["gcro_dr"]

# A cycle that reduces the residual by less than this share makes no progress; so many in a row end the solve. Slow
# progress does not: restarted methods creep over long plateaus.
_PROGRESS = 1e-12
_PATIENCE = 5


def gcro_dr(
    A: Any,  # noqa: N803
    b: Any,
    x0: Any = None,
    *,
    rtol: float = 1e-5,
    atol: float = 0.0,
    maxiter: int = 1000,
    M: Any = None,  # noqa: N803
    callback: Callable[[Any], None] | None = None,
    m: int = 40,
    k: int = 20,
    recycle: RecycledSpace | None = None,
    same_matrix: bool = False,
) -> Solve:
    """Solve A x = b, recycling a subspace; takes what ``scipy.sparse.linalg.gcrotmk`` takes.

    Parameters
    ----------
    A : array_like, sparse matrix, LinearOperator or Tensor
        (n, n), real or complex; dense or sparse tensors stay on their device.
    b : array_like
        (n,), or (n, columns) for several right-hand sides.
    x0 : array_like, optional
        First guess, of the shape of `b`; zero when left out.
    rtol, atol : float
        Done when ``|b - A x| <= max(rtol |b|, atol)``.
    maxiter : int
        Limit on cycles (of up to m steps) per right-hand side.
    M : like A, or callable, optional
        Right preconditioner, close to the inverse of A; for tensors a tensor or a function.
    callback : callable, optional
        Called with the current solution after each cycle.
    m : int
        Dimension of the space that a cycle minimises over, > k.
    k : int
        Dimensions kept. The costs of a step grow with m.
    recycle : RecycledSpace, optional
        From the `Solve` of an earlier, similar system.
    same_matrix : bool
        The recycled space comes from a system with this very A and M; saves k products with A.

    Returns
    -------
    Solve

    Raises
    ------
    UsageError
        Shapes do not fit, a number is not finite, or a parameter is out of range.

    Examples
    --------
    >>> import numpy as np, scipy.sparse as sparse
    >>> A = sparse.diags([-1.0, 2.1, -1.0], [-1, 0, 1], shape=(200, 200), format="csr")
    >>> first = gcro_dr(A, np.ones(200), m=20, k=8)
    >>> x, info = second = gcro_dr(A * 1.01, np.ones(200), m=20, k=8, recycle=first.recycle)
    >>> info, second.iterations < first.iterations
    (0, True)
    """
    start = time.perf_counter()
    if not 0 <= k < m:
        raise UsageError(f"m={m} and k={k} leave no room for new vectors. Give 0 <= k < m.")
    if not (rtol >= 0 and atol >= 0 and max(rtol, atol) > 0):
        raise UsageError(f"rtol={rtol} and atol={atol} set no reachable goal. Give one of them above zero.")
    if maxiter < 1:
        raise UsageError(f"maxiter={maxiter} allows nothing. Give at least 1.")
    system = read_system(A, b, x0, M)
    if recycle is not None and tuple(recycle.vectors.shape[1:]) != (system.size,):
        raise UsageError(
            f"The recycled space has vectors of length {recycle.vectors.shape[1]} and A is {system.size} x "
            f"{system.size}. Recycle between systems of one size."
        )
    runs = []
    for column in range(len(system.right_sides)):
        guess = None if system.starts is None else system.starts[column]
        run = _Run(system, system.right_sides[column], guess, (rtol, atol, maxiter), (min(m, system.size), k), callback)
        run.go(recycle, same_matrix)
        recycle, same_matrix = run.space(), True
        runs.append(run)
    rows = system.arrays.zeros(len(runs), system.size)
    for column, run in enumerate(runs):
        rows[column] = run.x
    return Solve(
        system.finish(rows),
        max(run.true_residual for run in runs),
        sum(len(run.history) - 1 for run in runs),
        sum(run.matvecs for run in runs),
        sum(run.cycles for run in runs),
        tuple(np.array(run.history) for run in runs),
        next((run.stopped_by for run in runs if run.stopped_by != "tolerance"), "tolerance"),
        recycle if k else None,
        Ledger(seconds=time.perf_counter() - start, flops=sum(run.flops for run in runs)),
    )


class _Run:
    """One right-hand side: the current solution, residual and recycled space."""

    def __init__(
        self,
        system: System,
        right_side: Any,
        guess: Any,
        limits: tuple[float, float, int],
        sizes: tuple[int, int],
        callback: Callable[[Any], None] | None,
    ) -> None:
        rtol, atol, self.maxiter = limits
        self.system, self.right_side, self.callback = system, right_side, callback
        self.m, self.k = sizes
        self.k = min(self.k, self.m - 1)
        self.scale = finite(system.arrays.norm(right_side), "b")
        self.target = max(rtol * self.scale, atol)
        self.x = system.arrays.zeros(system.size) if guess is None else guess
        self.matvecs = self.cycles = 0
        self.flops = 0.0
        self.vectors: Any = None
        self.image: Any = None
        self.stopped_by = "tolerance"
        self.residual = right_side if guess is None else self._true()
        self.norm = system.arrays.norm(self.residual)
        self.history = [self._relative(self.norm)]
        self.true_residual = self.history[0]

    def _relative(self, norm: float) -> float:
        return norm / self.scale if self.scale else norm

    def _true(self) -> Any:
        self.matvecs += 1
        return self.right_side - self.system.apply(self.x)

    def _apply(self, vector: Any) -> Any:
        self.matvecs += 1
        return self.system.apply(self.system.precondition(vector))

    def space(self) -> RecycledSpace | None:
        return None if self.vectors is None else RecycledSpace(self.vectors, self.image)

    def go(self, recycle: RecycledSpace | None, same_matrix: bool) -> None:
        if recycle is not None and self.k and len(recycle.vectors):
            if self.scale:
                self._adopt(recycle, same_matrix)
            else:
                self.vectors, self.image = recycle.vectors, recycle.image
        if not self.scale:
            self.x = self.system.arrays.zeros(self.system.size)
            self.true_residual = self.history[0] = 0.0
            return
        idle = 0
        while True:
            if self.norm <= self.target:
                # The recurrence may have drifted from the truth: only the true residual ends a solve.
                self.residual = self._true()
                self.norm = finite(self.system.arrays.norm(self.residual), "The residual")
                self.true_residual = self._relative(self.norm)
                if self.norm <= self.target:
                    self.stopped_by = "tolerance"
                    return
            if idle >= _PATIENCE or self.cycles >= self.maxiter:
                self.stopped_by = "stagnation" if idle >= _PATIENCE else "cycles"
                self.residual = self._true()
                self.true_residual = self._relative(self.system.arrays.norm(self.residual))
                return
            before = self.norm
            self._cycle()
            idle = idle + 1 if self.norm > (1 - _PROGRESS) * before else 0

    def _adopt(self, recycle: RecycledSpace, same_matrix: bool) -> None:
        """Take a space to this matrix: A U = C R, U <- U R^-1, and minimise the residual over it."""
        arrays = self.system.arrays
        vectors = recycle.vectors[: self.k]
        if same_matrix:
            self.vectors, self.image = vectors, recycle.image[: self.k]
        else:
            moved = vectors
            if self.system.preconditioned:
                moved = arrays.zeros(*vectors.shape)
                for row in range(len(vectors)):
                    moved[row] = self.system.precondition(vectors[row])
            product = self.system.apply_rows(moved)
            self.matvecs += len(vectors)
            orthonormal, triangle = arrays.qr(product)
            left, values, right = np.linalg.svd(triangle)
            finite(float(values[0]) if len(values) else 0.0, "The image of the recycled space")
            good = values > 1e-12 * values[0]
            if not good.any():
                return
            # C = Q left, U = U right* / values: equal to U R^-1 up to a rotation, and safe where R is near singular.
            self.image = arrays.give(left[:, good].T) @ orthonormal
            self.vectors = arrays.give(right[good].conj() / values[good, None]) @ vectors
        inside = self.image.conj() @ self.residual
        self.x = self.x + self.system.precondition(inside @ self.vectors)
        self.residual = self.residual - inside @ self.image
        again = self.image.conj() @ self.residual
        self.residual = self.residual - again @ self.image
        self.norm = arrays.norm(self.residual)
        self.history[0] = self._relative(self.norm)

    def _cycle(self) -> None:
        arrays = self.system.arrays
        fixed = 0 if self.vectors is None else len(self.vectors)
        if fixed:
            # C and r drift apart where a true residual replaced the recurrence.
            inside = self.image.conj() @ self.residual
            self.x = self.x + self.system.precondition(inside @ self.vectors)
            self.residual = self.residual - inside @ self.image
            self.norm = arrays.norm(self.residual)
            if self.norm <= self.target:
                self.cycles += 1
                return
        steps = self.m - fixed
        basis = arrays.zeros(fixed + steps + 1, self.system.size)
        if fixed:
            basis[:fixed] = self.image
        cycle = arnoldi(self._apply, basis, fixed, self.residual, steps, self.target, arrays)
        self.cycles += 1
        self.flops += cycle.flops
        self.history += [self._relative(norm) for norm in cycle.norms]
        minimiser = arrays.give(cycle.minimiser)
        direction = minimiser @ basis[fixed : fixed + cycle.steps]
        if fixed:
            direction = direction - arrays.give(cycle.coupling @ cycle.minimiser) @ self.vectors
        self.x = self.x + self.system.precondition(direction)
        self.residual = (
            self.residual - arrays.give(cycle.hessenberg @ cycle.minimiser) @ basis[fixed : fixed + cycle.steps + 1]
        )
        self.norm = finite(arrays.norm(self.residual), "The residual")
        if self.k:
            self._keep(basis, fixed, cycle)
        if self.callback is not None:
            self.callback(arrays.host(self.x))

    def _keep(self, basis: Any, fixed: int, cycle: Cycle) -> None:
        """Replace the recycled space by harmonic Ritz vectors of the whole cycle space."""
        arrays, steps = self.system.arrays, cycle.steps
        kind = cycle.hessenberg.dtype
        used = basis[: fixed + steps + 1]
        image = np.zeros((fixed + steps + 1, fixed + steps), dtype=kind)
        overlap = np.zeros_like(image)
        image[fixed:, fixed:] = cycle.hessenberg
        overlap[fixed + np.arange(steps), fixed + np.arange(steps)] = 1.0
        scales: Host = np.ones(0)
        if fixed:
            lengths = np.array([arrays.norm(row) for row in self.vectors])
            scales = 1 / lengths
            image[:fixed, :fixed] = np.diag(scales)
            image[:fixed, fixed:] = cycle.coupling
            overlap[:, :fixed] = arrays.host(used.conj() @ self.vectors.T) * scales
        chosen = harmonic_vectors(image, overlap, min(self.k, fixed + steps))
        orthonormal, triangle = np.linalg.qr(image @ chosen)
        size = np.abs(np.diag(triangle))
        if size.min() <= 1e-14 * size.max():
            return  # a null vector of A: it has no image to project on, so the old space stays
        coefficients = np.linalg.solve(triangle.T, chosen.T)  # rows of (Z R^-1)'
        vectors = arrays.give(coefficients[:, fixed:]) @ basis[fixed : fixed + steps]
        if fixed:
            vectors = vectors + arrays.give(coefficients[:, :fixed] * scales) @ self.vectors
        self.image = arrays.give(orthonormal.T) @ used
        self.vectors = vectors
