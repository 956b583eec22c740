"""The command as a process: killed, interrupted, on a full disk, with its reader gone, under Dask."""

import json
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import time

import pytest

LM = "fake:The answer is 24.|The answer is 18.|Hmm"
QUESTIONS = "\n".join(json.dumps({"id": f"q{i}", "question": f"How many is {i}?"}) for i in range(24))

# A model that takes its time, so that a signal meets a run in the middle.
SLOW = """
import educe.lm.loading as loading
from educe.lm import FakeLM
class Slow(FakeLM):
    def __init__(self, answer, **options):
        super().__init__(answer, **{**options, "delay": 0.04, "chunk_tokens": 4})
loading.FakeLM = Slow
"""
MAIN = "from educe.cli.main import main; main()"


def start(*arguments, slow=False, data, **options):
    code = (SLOW if slow else "") + MAIN
    environment = {**os.environ, "EDUCE_DATA_DIR": str(data)}
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True, **options,
    )  # fmt: skip


def batch(data, *more, slow=False, **options):
    process = start("ask", "--batch", "-", "--lm", LM, "--budget", "samples=4", *more, slow=slow, data=data, **options)
    process.stdin.write(QUESTIONS)
    process.stdin.close()
    process.stdin = None
    return process


def lines_until(process, count):
    return [process.stdout.readline() for _ in range(count)]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    process = batch(tmp_path_factory.mktemp("whole"))
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out


@pytest.mark.slow
def test_kill_9_in_the_middle_and_again_gives_the_same_file(tmp_path, unbroken):
    process = batch(tmp_path, slow=True)
    seen = lines_until(process, 5)
    process.kill()
    process.communicate(timeout=60)
    begin = time.monotonic()
    again = batch(tmp_path, slow=True)
    out, err = again.communicate(timeout=120)
    assert again.returncode == 0, err
    assert out == unbroken
    assert out.startswith("".join(seen))
    assert time.monotonic() - begin < 110


@pytest.mark.slow
def test_ctrl_c_in_a_batch_keeps_what_is_finished(tmp_path, unbroken):
    process = batch(tmp_path, slow=True)
    lines_until(process, 3)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "interrupted" in err and "Traceback" not in err
    again = batch(tmp_path)
    assert again.communicate(timeout=60)[0] == unbroken


@pytest.mark.slow
def test_ctrl_c_shows_and_stores_the_partial_posterior(tmp_path):
    text = "The answer is 24."
    lm = f"fake:{text}|{text}{' and more' * 4000}"
    process = start(
        "ask", "How many?", "--lm", lm, "--method", "self-consistency:max_tokens=40000", slow=True, data=tmp_path
    )
    assert "sample 1: 24" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1, err
    assert "answer: 24" in out and "stopped by interrupt" in out
    assert "educe: interrupted" in err and "Traceback" not in err
    connection = sqlite3.connect(tmp_path / "educe.sqlite")
    ((status, result),) = connection.execute("SELECT status, result FROM units").fetchall()
    connection.close()
    assert status == "partial"
    stored = json.loads(result)
    assert stored["answer"] == "24" and stored["ledger"]["stopped_by"] == "interrupt"


@pytest.mark.slow
def test_a_full_disk_in_a_batch_is_one_line_and_loses_nothing_that_was_shown(tmp_path, unbroken):
    # A file size limit fails writes as a full disk does; SIGXFSZ is what Python ignores by default.
    process = batch(tmp_path, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000)))
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert err.startswith("educe: ") and err.count("\n") == 1, err
    assert unbroken.startswith(out)


@pytest.mark.slow
def test_a_reader_that_leaves_is_no_traceback(tmp_path):
    process = batch(tmp_path, slow=True)
    lines_until(process, 1)
    process.stdout.close()
    err = process.stderr.read()
    process.wait(timeout=60)
    process.stderr.close()
    assert process.returncode == 1 and "Traceback" not in err


@pytest.mark.slow
def test_dask_gives_the_same_posterior(tmp_path, unbroken):
    process = batch(tmp_path, "--executor", "dask")
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    assert out == unbroken
    single = ["ask", "How many legs do three spiders have?", "--lm", LM, "--json"]
    local = start(*single, data=tmp_path)
    clustered = start(*single, "--executor", "dask", data=tmp_path)
    one, other = (json.loads(process.communicate(timeout=200)[0]) for process in (local, clustered))
    assert one["posterior"] == other["posterior"]
