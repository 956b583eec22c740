"""The script behind `make abacus`, at a hundredth of its size: it runs through, and twice it gives the same model."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import educe
from educe.verify import ProcessReward

SCRIPT = Path(__file__).parents[2] / "scripts" / "train_abacus.py"


def train(out, work):
    command = [sys.executable, str(SCRIPT), "--share", "0.004", "--out", str(out), "--work", str(work)]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1", "EDUCE_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_script_gives_the_same_model_twice(tmp_path):
    for name in ("first", "second"):
        train(tmp_path / name, tmp_path / f"{name}-work")
        assert not (tmp_path / f"{name}-work").exists()
    for file in ("model.safetensors", "tokenizer.json", "heads/process_reward.safetensors"):
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes(), file
    card = (tmp_path / "first" / "MODEL_CARD.md").read_text()
    assert "coverage@16" in card
    assert "nan" not in card
    lm = educe.load(str(tmp_path / "first"))
    assert lm.sample_sync([{"role": "user", "content": "What is 1 + 1?"}], max_tokens=4)[0].tokens
    ProcessReward.load(tmp_path / "first")
