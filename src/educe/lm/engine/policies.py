"""Where cheaper inference plugs in: five small protocols, each with the plain default that the engine itself uses.

==================  =============================================================  ====================
protocol            decides                                                        default
==================  =============================================================  ====================
`AttentionPolicy`   which earlier positions a position sees, by layer              `FullAttention`
`CachePolicy`       what the prefix tree keeps, and what it lets go first          `LeastRecentlyUsed`
`ExitPolicy`        after which layer a position has been computed enough          `AllLayers`
`DraftPolicy`       which tokens to try beyond the next one                        `NoDraft`
`WeightTransform`   what becomes of a weight before it is packed                   `AsStored`
==================  =============================================================  ====================

All are called in the engine's thread, one call at a time. Whatever a policy raises ends the requests that were being
computed, with a `BackendError` that names it; the engine goes on.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch

__all__ = [
    "AllLayers",
    "AsStored",
    "AttentionPolicy",
    "CachePolicy",
    "CachedBlock",
    "DraftPolicy",
    "ExitPolicy",
    "FullAttention",
    "LeastRecentlyUsed",
    "LocalLayers",
    "NoDraft",
    "Policies",
    "WeightTransform",
]


class AttentionPolicy(Protocol):
    """Which earlier positions a position sees.

    It may assume that causality is kept by the engine, that positions are those of the whole text (a cached prefix
    changes nothing), and that the same question gets the same answer in every step.
    """

    def kind(self, layer: int) -> Hashable:
        """Return a name for what a layer sees; masks are made once a step for each name, None means everything."""
        ...

    def visible(self, kind: Hashable, queries: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
        """Say what is seen.

        Parameters
        ----------
        kind : Hashable
            A name that `kind` gave, not None.
        queries, keys : Tensor
            int64 positions in the text, of shapes that broadcast.

        Returns
        -------
        Tensor
            bool, of their common shape. A position has to see itself.
        """
        ...


class FullAttention:
    """Every position sees all before it."""

    def kind(self, layer: int) -> Hashable:
        """Return None: no layer is masked."""
        return None

    def visible(self, kind: Hashable, queries: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
        """Return all true."""
        return (queries >= 0) & (keys >= 0)


class LocalLayers:
    """Some layers see a window, as the model was trained; another policy holds beside it.

    Parameters
    ----------
    inner : AttentionPolicy
        What else is decided.
    layers : frozenset of int
        The layers with a window.
    window : int
        How many positions they see, their own included.
    """

    def __init__(self, inner: AttentionPolicy, layers: frozenset[int], window: int) -> None:
        self._inner, self._layers, self._window = inner, layers, window

    def kind(self, layer: int) -> Hashable:
        """Return the other policy's name for the layer, and whether it has a window."""
        inner = self._inner.kind(layer)
        return inner if layer not in self._layers else (LocalLayers, inner)

    def visible(self, kind: Hashable, queries: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
        """Return what is in the window and seen by the other policy."""
        if not (isinstance(kind, tuple) and kind[0] is LocalLayers):
            return self._inner.visible(kind, queries, keys)
        seen = queries - keys < self._window
        return seen if kind[1] is None else seen & self._inner.visible(kind[1], queries, keys)


class CachedBlock(Protocol):
    """What a cache policy sees of a block of the prefix tree."""

    tokens: tuple[int, ...]
    last_used: int
    depth: int


class CachePolicy(Protocol):
    """What the prefix tree keeps. It may assume that blocks in use are never offered."""

    def keeps(self, tokens: Sequence[int]) -> bool:
        """Whether the keys and values of a row that has ended, prompt included, go into the tree."""
        ...

    def rank(self, block: CachedBlock) -> float:
        """Return how much a block without continuation is worth; the lowest goes first when room is needed."""
        ...


class LeastRecentlyUsed:
    """Keep everything; let go first what was used longest ago."""

    def keeps(self, tokens: Sequence[int]) -> bool:
        """Return true."""
        return True

    def rank(self, block: CachedBlock) -> float:
        """Return the step of the last use."""
        return block.last_used


class ExitPolicy(Protocol):
    """After which layer a position has been computed enough.

    A position that has left keeps its state to the end; keys and values of the layers above are made of that state,
    so that later positions find them. Layers are skipped where all positions of a step have left.
    """

    def leaves(self, layer: int, states: torch.Tensor) -> torch.Tensor | None:
        """Return which of the states (positions, width) after a layer are final, bool (positions,); None for none."""
        ...


class AllLayers:
    """No position leaves early."""

    def leaves(self, layer: int, states: torch.Tensor) -> torch.Tensor | None:
        """Return None."""
        return None


class DraftPolicy(Protocol):
    """Which tokens to try beyond the next one.

    Drafted tokens are read in the same pass as the row's last token and kept as far as the row, drawn with its own
    random numbers, would have drawn them anyway: a draft changes how long a row takes, never what it says. With int8
    and int4 more positions go through another kernel, and rows may differ as they do between batch sizes.
    """

    def propose(self, tokens: Sequence[int], most: int) -> Sequence[int]:
        """Return at most ``most`` tokens that may follow ``tokens`` (prompt and row so far); empty for none."""
        ...


class NoDraft:
    """Nothing is drafted."""

    def propose(self, tokens: Sequence[int], most: int) -> Sequence[int]:
        """Return nothing."""
        return ()


class WeightTransform(Protocol):
    """What becomes of a weight of the layers, or of the output, before it is packed."""

    def __call__(self, name: str, weight: torch.Tensor) -> torch.Tensor:
        """Return the weight to use, of the same shape and type; ``name`` is for instance ``"layers.3.gate_up"``."""
        ...


class AsStored:
    """Weights stay as they are."""

    def __call__(self, name: str, weight: torch.Tensor) -> torch.Tensor:
        """Return the weight."""
        return weight


@dataclass(frozen=True)
class Policies:
    """One of each, the plain defaults unless told otherwise.

    Parameters
    ----------
    attention, cache, exit, draft, weights
        See the protocols of this module.

    Examples
    --------
    >>> Policies().draft.propose([1, 2, 3], 4)
    ()
    """

    attention: AttentionPolicy = field(default_factory=FullAttention)
    cache: CachePolicy = field(default_factory=LeastRecentlyUsed)
    exit: ExitPolicy = field(default_factory=AllLayers)
    draft: DraftPolicy = field(default_factory=NoDraft)
    weights: WeightTransform = field(default_factory=AsStored)
