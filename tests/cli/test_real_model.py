"""The main job on the real model: one question, end to end, with equal posteriors for equal seeds everywhere."""

import json
import os
import subprocess
import sys

import pytest

QUESTION = "How many legs does a spider have?"


def ask(data, *more):
    command = [sys.executable, "-m", "educe.cli.main", "ask", QUESTION, "--method", "self-consistency:max_tokens=24"]
    environment = {**os.environ, "EDUCE_DATA_DIR": str(data)}
    done = subprocess.run(
        [*command, "--budget", "samples=6", "--lm", "smollm2-135m", "--json", *more],
        capture_output=True, text=True, check=False, env=environment, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_the_same_command_prints_the_same_posterior_here_and_under_dask(real_model, tmp_path):
    first = ask(tmp_path, "--seed", "3", "--versus", "greedy:max_tokens=24")
    assert first["versus"]["ledger"]["samples"] == 1
    assert ask(tmp_path, "--seed", "3")["posterior"] == first["posterior"]
    assert ask(tmp_path, "--seed", "3", "--executor", "dask")["posterior"] == first["posterior"]
    ledger = first["ledger"]
    assert (ledger["calls"], ledger["samples"]) == (1, 6)
    # The prompt is counted once, however many rows go on from it.
    assert 20 < ledger["prompt_tokens"] < 250
    assert 6 < ledger["sampled_tokens"] <= 6 * 24
