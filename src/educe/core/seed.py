"""Splittable seeds: randomness by name, not by order of use.

A `Seed` is a root number and a path of labels; its bits come from NumPy's `SeedSequence` with the
path as spawn key (O'Neill 2015; NumPy enhancement proposal 19). Two different paths never share a
stream in practice: the pool is 128 bits wide.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import torch

from educe.core.errors import UsageError

__all__ = ["Seed"]


def _words(label: str | int) -> tuple[int, ...]:
    """Encode a label as 32-bit words; the leading word holds type and length, so that no two paths run together."""
    if isinstance(label, str):
        digest = hashlib.blake2b(label.encode(), digest_size=16).digest()
        return (0, *(int.from_bytes(digest[i : i + 4], "little") for i in range(0, 16, 4)))
    words = []
    rest = label
    while True:
        words.append(rest & 0xFFFFFFFF)
        rest >>= 32
        if not rest:
            return (len(words), *words)


@dataclass(frozen=True, slots=True)
class Seed:
    """A key from which independent children are made by name.

    Parameters
    ----------
    root : int
        The number that a user gives, >= 0.
    path : tuple of str or int
        Labels from the root down; integers >= 0.

    Raises
    ------
    UsageError
        The root or a label is negative or of another type.

    Examples
    --------
    >>> seed = Seed(7)
    >>> seed.child("particles", 3) == seed.child("particles").child(3)
    True
    >>> seed.child("a").bits() != seed.child("b").bits()
    True
    """

    root: int = 0
    path: tuple[str | int, ...] = ()

    def __post_init__(self) -> None:
        if isinstance(self.root, bool) or not isinstance(self.root, int) or self.root < 0:
            raise UsageError(f"Seed {self.root!r} is not a whole number >= 0. Give for instance 0.")
        for label in self.path:
            if isinstance(label, bool) or not isinstance(label, (str, int)) or (isinstance(label, int) and label < 0):
                raise UsageError(f"Seed label {label!r} is neither text nor a whole number >= 0. Use one of these.")

    @classmethod
    def of(cls, seed: int | Seed) -> Seed:
        """Accept a number or a seed, as every public entry does."""
        return seed if isinstance(seed, Seed) else cls(seed)

    def child(self, *labels: str | int) -> Seed:
        """Return the seed below this one at the given labels."""
        return Seed(self.root, (*self.path, *labels))

    def _sequence(self) -> np.random.SeedSequence:
        return np.random.SeedSequence(self.root, spawn_key=tuple(w for label in self.path for w in _words(label)))

    def bits(self) -> int:
        """Return 63 random bits, fit for every seed field in use (torch, NumPy, servers)."""
        return int(self._sequence().generate_state(1, np.uint64)[0] >> np.uint64(1))

    def numpy(self) -> np.random.Generator:
        """Return a fresh NumPy generator."""
        return np.random.Generator(np.random.PCG64(self._sequence()))

    def torch(self, device: str = "cpu") -> torch.Generator:
        """Return a fresh torch generator on a device."""
        return torch.Generator(device).manual_seed(self.bits())
