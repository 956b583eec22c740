"""The whole pipeline on a recording whose answer is known, and the reader of recordings."""

import numpy as np
import pytest

from educe.core import DataError, UsageError
from educe.science.connectome import Stimulus, WeightedSBM, dynamic_connectome, from_mat, simulate


@pytest.mark.slow
def test_planted_windows_animals_and_communities_are_found():
    metrics = pytest.importorskip("sklearn.metrics")
    recording = simulate(24, 4, 320, windows=[(0, 150), (170, 320)], sizes=(7, 6), seed=0)
    traces = recording.traces.copy()
    traces[1, 5] = np.nan  # a neuron that one animal lacks
    found = dynamic_connectome(
        traces, [Stimulus("salt", 0, 150), Stimulus("light", 170, 320)], rank=2, starts=2, model=WeightedSBM(draws=20)
    )
    for motif_of, (name, present) in enumerate(zip(("salt", "light"), recording.present, strict=True)):
        motif = max(found.motifs, key=lambda motif: motif.stimuli[name])
        assert motif.stimuli[name] > 2
        assert metrics.normalized_mutual_info_score(recording.labels[motif_of], motif.blocks) > 0.8
        if not present.all():
            assert motif.animals[~present].max() < 0.5 * motif.animals[present].min()
        first, end = recording.windows[motif_of]
        inside = sum(min(b, end) - max(a, first) for a, b in motif.intervals if b > first and a < end)
        assert inside > 0.7 * sum(b - a for a, b in motif.intervals)
        within = np.diag(motif.block_weights)[motif.blocks[int(np.argmax(recording.labels[motif_of] == 1))]]
        assert within > 2 * np.nanmean(motif.block_weights)
    one = int(np.flatnonzero(recording.labels[0] == 1)[0])
    mates = {str(i) for i in np.flatnonzero(recording.labels[0] == 1) if i != one}
    assert len(mates & set(found.partners(str(one), "salt"))) >= 5
    with pytest.raises(UsageError, match="unknown"):
        found.partners("AWB")
    with pytest.raises(UsageError, match="unknown"):
        found.partners("0", "sugar")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rank": "best"}, "'best' is unknown"),
        ({"rank": 2, "stimuli": [Stimulus("salt", 500, 600)]}, "frames, not seconds"),
        ({"rank": 0}, "rank=0"),
    ],
)
def test_bad_input_is_refused(options, message):
    with pytest.raises(UsageError, match=message):
        dynamic_connectome(np.random.default_rng(0).normal(size=(2, 3, 40)), **options)


def test_a_file_in_the_layout_of_the_atlas_is_read(tmp_path):
    from scipy.io import savemat

    rng = np.random.default_rng(0)
    left, right, other = (rng.normal(size=30) for _ in range(3))
    cells = np.empty(2, dtype=object)
    for neuron, items in enumerate(([np.stack([left, right], axis=1), other], [other[:28], np.array([])])):
        cells[neuron] = np.empty(2, dtype=object)
        for animal, item in enumerate(items):
            cells[neuron][animal] = item
    path = tmp_path / "worms.mat"
    fields = {
        "neurons": np.array(["AWA", "AWB"], dtype=object),
        "norm_traces": cells,
        "fps": 4.0,
        "stim_names": np.array(["salt"], dtype=object),
        "stim_times": np.array([[1.0, 3.5]]),
    }
    savemat(path, fields)
    recording = from_mat(path)
    assert recording.neurons == ("AWA", "AWB") and recording.stimuli == (Stimulus("salt", 4, 14),)
    np.testing.assert_allclose(recording.traces[0, 0], ((left + right) / 2)[:28])
    np.testing.assert_allclose(recording.traces[:, 1], [other[:28], np.full(28, np.nan)])
    savemat(path, {"fps": 4.0})
    with pytest.raises(DataError, match="lacks the fields neurons"):
        from_mat(path)
    path.write_text("no such thing")
    with pytest.raises(DataError, match="no readable MATLAB file"):
        from_mat(path)
