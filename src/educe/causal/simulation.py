"""Random discrete causal models, for tests and studies of identification.

A random order is drawn, each later vertex gets each earlier one as a parent with a fixed chance, and hidden common
causes of two observed vertices each are added; tables have entries bounded away from zero.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from educe.causal.diagram import Diagram
from educe.causal.functor import Functor
from educe.causal.graph import Dag
from educe.core import Seed, UsageError

__all__ = ["Network", "random_network"]


class Network(NamedTuple):
    """A graph, its hidden vertices, and the tables of all."""

    dag: Dag
    hidden: tuple[str, ...]
    functor: Functor

    @property
    def diagram(self) -> Diagram:
        """The network diagram, hidden vertices without output."""
        return Diagram.from_dag(self.dag, self.hidden)


def random_network(
    observed: int,
    hidden: int,
    *,
    levels: int = 2,
    density: float = 0.5,
    low: float = 0.1,
    seed: int | Seed = 0,
) -> Network:
    """Draw a random causal model with hidden common causes.

    Parameters
    ----------
    observed : int
        Number of observed vertices ``V0, V1, ...``, >= 2.
    hidden : int
        Number of hidden roots ``H0, ...``, each with two observed children.
    levels : int
        Values of each vertex, >= 2.
    density : float
        Chance of each edge between observed vertices, in [0, 1].
    low : float
        Entries of tables are drawn from U(low, 1 - low) and normalised, so that none is near zero; in (0, 0.5).
    seed : int or Seed
        Source of graph and tables.

    Returns
    -------
    Network

    Raises
    ------
    UsageError
        A number is out of range.

    Examples
    --------
    >>> network = random_network(4, 1, seed=3)
    >>> network.functor.table(network.diagram).is_law
    True
    """
    if observed < 2 or hidden < 0 or levels < 2:
        raise UsageError(
            f"observed={observed}, hidden={hidden}, levels={levels} make no model. Give at least 2, 0 and 2."
        )
    if not 0 <= density <= 1 or not 0 < low < 0.5:
        raise UsageError(f"density={density} or low={low} is out of range. Give [0, 1] and (0, 0.5).")
    generator = Seed.of(seed).child("random network").numpy()
    names = [f"V{i}" for i in range(observed)]
    order = [names[i] for i in generator.permutation(observed)]
    edges: list[tuple[str, str]] = []
    unseen = tuple(f"H{i}" for i in range(hidden))
    for cause in unseen:
        first, second = generator.choice(observed, size=2, replace=False)
        edges += [(cause, names[first]), (cause, names[second])]
    edges += [(a, b) for i, a in enumerate(order) for b in order[i + 1 :] if generator.random() < density]
    dag = Dag((*unseen, *names), tuple(edges))
    tables = {}
    for vertex in dag.vertices:
        shape = (levels,) * (len(dag.parents(vertex)) + 1)
        raw = torch.as_tensor(generator.uniform(low, 1 - low, size=shape))
        tables[vertex] = raw / raw.sum(-1, keepdim=True)
    return Network(dag, unseen, Functor(dict.fromkeys(dag.vertices, levels), tables))
