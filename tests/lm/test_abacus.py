"""The models that ship: they load offline, as transformers computes them, and answer problems that they were not shown."""

import importlib.resources
import socket
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import pytest
import torch

import educe
from educe.lm.packaged import PACKAGED, packaged_folder
from educe.tasks import make

FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "MODEL_CARD.md")
SHIPPED = [name for name in PACKAGED if packaged_folder(name).exists()]


@pytest.fixture(params=SHIPPED)
def name(request):
    return request.param


def test_it_loads_without_any_connection(name, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    lm = educe.load(name)
    assert lm.name == name
    problem = make("chain_arithmetic", 1, difficulty=1)[0]
    row = lm.sample_sync([{"role": "user", "content": problem.prompt}], max_tokens=40, temperature=0)[0]
    assert row.finish == "stop"
    assert row.text.splitlines()[-1].startswith("The answer is ")


def test_its_log_probabilities_are_those_of_transformers(name):
    transformers = pytest.importorskip("transformers")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = transformers.LlamaForCausalLM.from_pretrained(packaged_folder(name), dtype=torch.float32).eval()
        tokenizer = transformers.AutoTokenizer.from_pretrained(packaged_folder(name))
    lm = educe.load(name)
    for family in ("chain_arithmetic", "three_hop_facts", "multiple_choice"):
        for problem in make(family, 3, "dev"):
            messages = [{"role": "user", "content": problem.prompt}]
            text = tokenizer.apply_chat_template(messages, tokenize=False)
            before = tokenizer(text, add_special_tokens=False).input_ids
            tokens = torch.tensor([before + tokenizer(problem.solution, add_special_tokens=False).input_ids])
            with torch.inference_mode():
                wanted = theirs(tokens).logits[0].log_softmax(-1)
            wanted = wanted[torch.arange(len(before) - 1, tokens.shape[1] - 1), tokens[0, len(before) :]]
            scored = lm.score_sync(messages, [problem.solution])[0]
            assert list(scored.tokens) == tokens[0, len(before) :].tolist()
            assert (torch.tensor(scored.logprobs) - wanted).abs().max() < 1e-3


def test_it_is_right_sometimes(name):
    # Eight samples of each of eight sums of one operation: far above the chance of one in a hundred.
    lm = educe.load(name)
    right = 0
    for problem in make("chain_arithmetic", 8, difficulty=1):
        rows = lm.sample_sync([{"role": "user", "content": problem.prompt}], n=8, max_tokens=40)
        right += sum(problem.check(row.text) for row in rows)
    assert right >= 8


def test_the_package_holds_all_its_files(name):
    folder = importlib.resources.files("educe.lm") / packaged_folder(name).name
    for file in (*FILES, "heads/process_reward.safetensors"):
        assert (folder / file).is_file(), file


@pytest.mark.slow
def test_it_loads_from_the_wheel(tmp_path):
    pytest.importorskip("hatchling")
    root = Path(__file__).parents[2]
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)],
        cwd=root, check=True, capture_output=True,
    )  # fmt: skip
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        wheel.extractall(tmp_path / "installed")
    script = (
        "import sys, pathlib, educe; assert 'installed' in educe.__file__;"
        "print(educe.load('abacus').sample_sync('Question: 1', max_tokens=2)[0].finish)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": str(tmp_path / "installed"), "PATH": "", "EDUCE_THREADS": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() in ("length", "stop")
