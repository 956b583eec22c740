"""The command inside this process: output, exit codes, and one-line errors for bad input."""

import json
import sqlite3

import pytest

from educe.cli.main import main
from educe.core import StoreError, settings

QUESTION = "How many legs do three spiders have?"
LM = "fake:The answer is 24.|The answer is 24.0|The answer is 18.|Hmm"


@pytest.fixture
def educe(capsys):
    """Run the command; return exit code, output and errors."""

    def run(*arguments):
        with pytest.raises(SystemExit) as left:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return left.value.code or 0, captured.out, captured.err

    return run


def rows(kind="ask"):
    with sqlite3.connect(settings.data_dir() / "educe.sqlite") as connection:
        found = connection.execute("SELECT status, result FROM units WHERE kind = ?", (kind,)).fetchall()
    connection.close()
    return found


def test_json_has_the_documented_shape_and_is_stored(educe):
    code, out, _ = educe("ask", QUESTION, "--lm", LM, "--json", "--seed", 3)
    assert code == 0
    shown = json.loads(out)
    assert set(shown) == {"question", "answer", "confidence", "posterior", "ledger", "seed", "method", "lm"}
    assert shown["answer"] == shown["posterior"][0]["answer"]
    assert shown["confidence"] == pytest.approx(shown["posterior"][0]["probability"])
    assert sum(item["probability"] for item in shown["posterior"]) == pytest.approx(1)
    assert (shown["seed"], shown["method"], shown["lm"]) == (3, "self-consistency", LM)
    (stored,) = rows()
    assert stored[0] == "done" and json.loads(stored[1]) == shown


def test_equal_seeds_print_equal_posteriors(educe):
    first = json.loads(educe("ask", QUESTION, "--lm", LM, "--json", "--seed", 5)[1])
    again = json.loads(educe("ask", QUESTION, "--lm", LM, "--json", "--seed", 5)[1])
    other = json.loads(educe("ask", QUESTION, "--lm", LM, "--json", "--seed", 6)[1])
    assert first["posterior"] == again["posterior"] != other["posterior"]


def test_text_shows_bars_confidence_and_cost(educe):
    code, out, err = educe("ask", QUESTION, "--lm", LM, "--budget", "samples=8", "--versus", "greedy")
    assert code == 0
    assert "greedy on" in out and "self-consistency on" in out and "Budget(samples=8)" in out
    assert "█" in out and "confidence:" in out
    assert "1 call, 8 samples," in out and "prompt tokens" in out and "sampled tokens" in out
    assert "sample 8" in err


def test_a_budget_ends_softly(educe):
    code, out, _ = educe("ask", QUESTION, "--lm", LM, "--budget", "tokens=200", "--json")
    shown = json.loads(out)
    assert code == 0 and shown["ledger"]["stopped_by"] == "tokens"


def test_nothing_readable_is_a_null_answer(educe):
    code, out, _ = educe("ask", QUESTION, "--lm", "fake:Hmm", "--json")
    assert code == 0
    assert json.loads(out)["answer"] is None and json.loads(out)["posterior"] == []
    code, out, _ = educe("ask", QUESTION, "--lm", "fake:Hmm")
    assert "no answer could be read" in out


def test_choices_and_kinds(educe):
    code, out, _ = educe(
        "ask", "Which is a fruit?", "--choice", "pear", "--choice", "stone", "--lm", "fake:(A)", "--json"
    )
    assert json.loads(out)["answer"] == "pear"
    code, out, _ = educe("ask", "Really?", "--kind", "boolean", "--lm", "fake:The answer is no.", "--json")
    assert json.loads(out)["answer"] == "no"


USAGE = [
    (["ask"], "no question"),
    (["ask", ""], "question is empty"),
    (["ask", "   "], "question is empty"),
    (["ask", QUESTION, "--method", "self-consistensy"], "did you mean 'self-consistency'"),
    (["ask", QUESTION, "--method", "self-consistency:n=0"], "n=0"),
    (["ask", QUESTION, "--versus", "gredy"], "did you mean 'greedy'"),
    (["ask", QUESTION, "--budget", "samples=0"], "allows nothing"),
    (["ask", QUESTION, "--budget", "tokens=-4"], "allows nothing"),
    (["ask", QUESTION, "--budget", "smaples=4"], "did you mean 'samples'"),
    (["ask", QUESTION, "--lm", "smollm3-135m"], "did you mean 'smollm2-135m'"),
    (["ask", QUESTION, "--lm", "no/such/file.gguf"], "no model file"),
    (["ask", QUESTION, "--lm", "openai:nonsense"], "nonsense"),
    (["ask", QUESTION, "--kind", "colour"], "'colour'"),
    (["ask", QUESTION, "--choice", "one"], "1 choices"),
    (["ask", QUESTION, "--seed", "-1"], "-1"),
    (["ask", QUESTION, "--dtype", "float8"], "float8"),
    (["ask", QUESTION, "--fresh"], "--fresh"),
    (["ask", QUESTION, "--batch", "-"], "--batch takes its questions"),
    (["ask", "--batch", "no-such-file"], "no file"),
    (["ask", "--batch", "."], "folder"),
    (["ask", QUESTION, "--executor", "dusk", "--lm", LM], "dask"),
    (["ask", QUESTION, "--wat"], "--wat"),
    (["asc"], "did you mean 'ask'"),
    (["read", "rcp"], "did you mean 'rpc'"),
    (["run", "alphamath"], "does not run here yet"),
    (["papers", "--topic", "calibrated"], "did you mean 'calibration'"),
    (["models", "get", "smollm3"], "smollm2-135m"),
    (["models", "remove", "smollm3"], "smollm2-135m"),
]


@pytest.mark.parametrize(
    ("arguments", "hint"), USAGE, ids=lambda item: " ".join(item)[:60] if isinstance(item, list) else ""
)
def test_a_usage_error_is_one_line_and_exit_code_2(educe, arguments, hint):
    code, out, err = educe(*arguments)
    assert code == 2, err
    assert hint in err and err.startswith("educe: ") and err.count("\n") == 1, err
    assert out == ""


def test_a_missing_extra_says_what_to_install(educe, monkeypatch):
    def missing(slug):
        raise ModuleNotFoundError("No module named 'scipy'", name="scipy")

    monkeypatch.setattr("educe.cli.papers.find_run", missing)
    code, out, err = educe("run", "krylov-recycling")
    assert code == 2 and "scipy" in err and "educe[science,figures]" in err and err.count("\n") == 1


def test_debug_shows_the_traceback(capsys):
    with pytest.raises(Exception, match="unknown"):
        main(["ask", QUESTION, "--method", "nonsense", "--debug"])


def test_a_model_file_that_is_none(educe, tmp_path):
    for name, data in (("text.gguf", b"hello, this is text"), ("empty.gguf", b""), ("short.gguf", b"GGUF\x03\x00")):
        path = tmp_path / name
        path.write_bytes(data)
        code, out, err = educe("ask", QUESTION, "--lm", path)
        assert code == 1 and err.count("\n") == 1 and name in err, err


@pytest.mark.slow
def test_a_server_that_is_not_there(educe, monkeypatch):
    # Port 9 of the loopback (discard) is closed on every sane machine.
    code, out, err = educe("ask", QUESTION, "--lm", "openai:http://127.0.0.1:9/v1#m")
    assert code == 1 and err.startswith("educe: ") and err.count("\n") == 1
    assert "running" in err


def test_a_data_folder_that_cannot_be_made(educe, tmp_path, monkeypatch):
    blocker = tmp_path / "file"
    blocker.write_text("in the way")
    monkeypatch.setenv("EDUCE_DATA_DIR", str(blocker / "data"))
    code, out, err = educe("ask", QUESTION, "--lm", LM)
    assert code == 1 and "EDUCE_DATA_DIR" in err and err.count("\n") == 1, err


def test_a_cache_folder_that_cannot_be_written(educe, tmp_path, monkeypatch):
    blocker = tmp_path / "file"
    blocker.write_text("in the way")
    monkeypatch.setenv("EDUCE_CACHE_DIR", str(blocker / "cache"))
    code, out, err = educe("models", "get", "smollm2-135m")
    assert code == 1 and "EDUCE_CACHE_DIR" in err and err.count("\n") == 1, err


def test_a_full_disk_does_not_cost_the_answer(educe, monkeypatch):
    def full(self, unit):
        raise StoreError("The disk is full. Free space and run the same command again.")

    monkeypatch.setattr("educe.core.store.Store.put", full)
    code, out, err = educe("ask", QUESTION, "--lm", LM, "--json")
    assert json.loads(out)["question"] == QUESTION
    assert code == 1 and "disk is full" in err


def test_batch(educe, tmp_path):
    questions = tmp_path / "q.jsonl"
    lines = [{"id": f"q{i}", "question": f"How many is {i}?"} for i in range(5)]
    lines.append({"id": "c", "question": "Which?", "choices": ["pear", "stone"]})
    questions.write_text("\ufeff" + "\n".join(map(json.dumps, lines)))
    code, out, err = educe("ask", "--batch", questions, "--lm", "fake:The answer is 3.|(B)", "--budget", "samples=4")
    assert code == 0, err
    found = [json.loads(line) for line in out.splitlines()]
    assert [line["id"] for line in found] == ["q0", "q1", "q2", "q3", "q4", "c"]
    assert len(rows("answer")) == 6
    assert educe("ask", "--batch", questions, "--lm", "fake:The answer is 3.|(B)", "--budget", "samples=4")[1] == out


@pytest.mark.parametrize("content", [b"", b"\n\n", b"{", b"\xff\xfe", b'{"question": ""}', b"[]"])
def test_bad_batches(educe, tmp_path, content):
    path = tmp_path / "q.jsonl"
    path.write_bytes(content)
    code, out, err = educe("ask", "--batch", path, "--lm", LM)
    assert code == 2 and out == "" and err.count("\n") == 1


@pytest.mark.slow
def test_papers_read_methods_models_doctor(educe):
    code, out, _ = educe("papers")
    assert code == 0 and "60 papers" in out and "rpc" in out
    code, out, _ = educe("papers", "--topic", "calibration", "--json")
    assert all("calibration" in json.loads(line)["topics"] for line in out.splitlines())
    code, out, _ = educe("read", "rpc")
    assert code == 0 and "https://arxiv.org/abs/2502.00511" in out and "Claim" in out
    assert json.loads(educe("read", "rpc", "--json")[1])["runs_here"] in (True, False)
    assert "self-consistency" in educe("methods")[1]
    assert "best-of-n" in json.loads(educe("methods", "--json")[1])
    for command in (["models"], ["models", "list"]):
        code, out, _ = educe(*command)
        assert code == 0 and "smollm2-135m" in out and "98 MB" in out
    assert any(row["name"] == "smollm2-135m" for row in json.loads(educe("models", "--json")[1]))
    code, out, _ = educe("doctor")
    assert code == 0 and "store" in out and "threads" in out
    assert {row["state"] for row in json.loads(educe("doctor", "--json")[1])} <= {"ok", "note"}


@pytest.mark.slow
def test_doctor_finds_a_folder_that_cannot_be_written(educe, tmp_path, monkeypatch):
    blocker = tmp_path / "file"
    blocker.write_text("in the way")
    monkeypatch.setenv("EDUCE_DATA_DIR", str(blocker / "data"))
    code, out, _ = educe("doctor")
    assert code == 1 and "fault" in out


def test_help_and_version(educe):
    for arguments in (["--help"], ["-h"], ["ask", "--help"], ["models", "--help"], ["models", "get", "--help"]):
        code, out, _ = educe(*arguments)
        assert code == 0 and "Usage" in out
    assert educe("--version")[1].startswith("educe 0.")
