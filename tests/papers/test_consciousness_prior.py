"""The reproduction at its smallest scale: complete, and its worlds are as described."""

import json
import xml.etree.ElementTree as ElementTree

import pytest
import torch

from educe.core import Scale, Seed
from educe.papers._consciousness_prior_worlds import CONCEPTS, ELEMENTS, Mechanism, make_world, redraw, transitions
from educe.papers.consciousness_prior import run


@pytest.mark.slow
def test_a_smoke_run_is_complete():
    pytest.importorskip("matplotlib")
    report = run(Scale.SMOKE)
    assert len(report.checks) == 5 and len(report.controls) == 2 and len(report.baselines) == 2
    (figure,) = report.figures.values()
    ElementTree.fromstring(figure)
    stored = json.loads(json.dumps(report.to_json()))
    assert stored["slug"] == "consciousness-prior" and len(stored["tables"]) == 2


def test_the_world_is_as_described():
    world = make_world(Seed.of(1))
    now, later = transitions(world, 20_000, Seed.of(2))
    assert now.shape == later.shape == (20_000, ELEMENTS)
    for concept, mechanism in enumerate(world):
        flips = (mechanism.next(now) != later[:, concept]).double().mean()
        assert float(flips) == pytest.approx(0.08, abs=6 * (0.08 * 0.92 / 20_000) ** 0.5)
    assert float(now[:, -4:].double().mean()) == pytest.approx(0.99, abs=0.003)
    changed = redraw(world, 3, Seed.of(4))
    assert [k for k in range(CONCEPTS) if changed[k] != world[k]] == [3]
    table = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]])
    assert Mechanism("and", (0, 1)).next(table).tolist() == [0, 0, 0, 1]
    assert Mechanism("or", (0, 1)).next(table).tolist() == [0, 1, 1, 1]
    assert Mechanism("copy", (1,)).next(table).tolist() == [0, 1, 0, 1]
