"""Random models: shapes, bounds, seeds."""

import pytest

from educe.causal import random_network
from educe.core import UsageError


def test_a_random_model_is_one():
    for seed in range(10):
        network = random_network(4, 2, levels=3, low=0.2, seed=seed)
        table = network.functor.table(network.diagram)
        assert table.names == ("V0", "V1", "V2", "V3") and table.is_law
        for vertex in network.hidden:
            assert network.dag.parents(vertex) == () and len(network.dag.children(vertex)) == 2
        entries = [network.functor.ar[v] for v in network.dag.vertices]
        assert all(float(t.min()) > 0.2 / (3 * 0.8) for t in entries)


def test_the_seed_decides():
    assert random_network(4, 1, seed=1).dag == random_network(4, 1, seed=1).dag
    assert len({random_network(4, 1, seed=s).dag for s in range(10)}) > 5


@pytest.mark.parametrize("wrong", [{"observed": 1}, {"hidden": -1}, {"levels": 1}, {"density": 2}, {"low": 0.5}])
def test_bad_sizes_are_refused(wrong):
    with pytest.raises(UsageError):
        random_network(**({"observed": 3, "hidden": 1} | wrong))
