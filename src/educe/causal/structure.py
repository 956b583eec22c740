"""The wiring that every object has: run through, cross, copy, discard, and the uniform state.

Source: Jacobs, Kissinger and Zanasi (2019), arXiv:1811.08338, section 2. Copying and discarding form a commutative
comonoid, and a discarded uniform state is nothing; copying is not natural, so a box cannot be pushed through it.
"""

from __future__ import annotations

from dataclasses import dataclass

from educe.causal.diagram import Box, Composable, Diagram, Placed, Ty
from educe.core import UsageError

__all__ = ["Copy", "Discard", "Identity", "Swap", "Uniform"]


@dataclass(frozen=True)
class Identity(Composable):
    """Wires that run through.

    Parameters
    ----------
    ty : Ty
        Their objects.

    Examples
    --------
    >>> f = Box("f", Ty("A"), Ty("B"))
    >>> Identity(Ty("A")) >> f == f.diagram
    True
    """

    ty: Ty

    @property
    def diagram(self) -> Diagram:
        """The identity diagram."""
        wires = tuple(range(len(self.ty)))
        return Diagram(self.ty.names, (), wires, wires)


@dataclass(frozen=True)
class Swap(Composable):
    """Two bundles of wires that cross.

    Parameters
    ----------
    left, right : Ty
        The bundles, as they come in.

    Examples
    --------
    >>> Swap(Ty("A"), Ty("B")).diagram.cod
    Ty('B', 'A')
    """

    left: Ty
    right: Ty

    @property
    def diagram(self) -> Diagram:
        """The crossing."""
        n, m = len(self.left), len(self.right)
        return Diagram((self.left @ self.right).names, (), tuple(range(n + m)), (*range(n, n + m), *range(n)))


@dataclass(frozen=True)
class Copy(Composable):
    """Copying: every wire comes out several times.

    Parameters
    ----------
    ty : Ty
        What is copied.
    n : int
        How often it comes out, >= 0; at 0 this is `Discard`, at 1 the identity.

    Raises
    ------
    UsageError
        `n` is negative.

    Examples
    --------
    >>> Copy(Ty("A", "B")).diagram.cod
    Ty('A', 'B', 'A', 'B')
    """

    ty: Ty
    n: int = 2

    def __post_init__(self) -> None:
        if self.n < 0:
            raise UsageError(f"n={self.n} copies cannot be made. Give n >= 0.")

    @property
    def diagram(self) -> Diagram:
        """The copying diagram."""
        wires = tuple(range(len(self.ty)))
        return Diagram(self.ty.names, (), wires, wires * self.n)


@dataclass(frozen=True)
class Discard(Composable):
    """Discarding: wires end here.

    Parameters
    ----------
    ty : Ty
        What is discarded.

    Examples
    --------
    >>> Copy(Ty("A")) >> Discard(Ty("A")) @ Identity(Ty("A")) == Identity(Ty("A")).diagram
    True
    """

    ty: Ty

    @property
    def diagram(self) -> Diagram:
        """The discarding diagram."""
        return Diagram(self.ty.names, (), tuple(range(len(self.ty))), ())


@dataclass(frozen=True)
class Uniform(Composable):
    """The uniform state on each of some objects.

    Parameters
    ----------
    ty : Ty
        The objects.

    Examples
    --------
    >>> Uniform(Ty("A")) >> Discard(Ty("A")) == Identity(Ty()).diagram
    True
    """

    ty: Ty

    @property
    def diagram(self) -> Diagram:
        """The uniform state."""
        placed = tuple(
            Placed(Box("uniform", Ty(), Ty(name), "uniform"), (), (i,)) for i, name in enumerate(self.ty.names)
        )
        return Diagram(self.ty.names, placed, (), tuple(range(len(self.ty))))
