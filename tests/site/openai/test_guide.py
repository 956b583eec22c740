"""The lines of the guide's page on the server work as they stand there."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

GUIDE = (Path(__file__).parents[3] / "docs" / "server.md").read_text(encoding="utf-8")
ADDRESS = "http://127.0.0.1:8000"


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", GUIDE, re.M | re.S)


def commands():
    """Each curl line as a list of words; a quoted body spans lines."""
    words = shlex.split("".join(blocks("bash")))
    starts = [place for place, word in enumerate(words) if word == "curl"]
    return [words[start:end] for start, end in zip(starts, [*starts[1:], len(words)], strict=True)]


@pytest.fixture(scope="module")
def address(serve):
    with serve({"smollm2-135m": "fake:The answer is 24."}) as served:
        yield served.url


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")
@pytest.mark.parametrize("words", commands(), ids=lambda words: words[-1][:20])
def test_a_curl_line_gets_an_answer(address, words):
    got = subprocess.run(
        [word.replace(ADDRESS, address) for word in [*words, "-s", "-f"]], capture_output=True, text=True, timeout=60
    )
    assert got.returncode == 0, got.stderr
    if '"stream": true' in words[-1]:
        assert got.stdout.endswith("data: [DONE]\n\n")
        assert '"content":"24"' in got.stdout
    else:
        assert json.loads(got.stdout)["object"] in ("chat.completion", "text_completion", "list")


def test_the_python_block_prints_an_answer(address, capsys):
    (block,) = [block for block in blocks("python") if "OpenAI(" in block]
    variables: dict[str, object] = {}
    exec(block.replace(ADDRESS, address), variables)
    variables["client"].close()
    assert capsys.readouterr().out.startswith("24 1.0\n1.00  24\n")


def test_the_limits_that_the_guide_names_are_the_defaults():
    from educe.site.openai import Limits

    limits = Limits()
    told = (
        f"{limits.n} rows, {limits.tokens:,} tokens a row, {limits.request_tokens:,} tokens a request, "
        f"{limits.texts} texts, {limits.characters:,} characters of text, {limits.stops} stop texts, {limits.bytes >> 20} MiB a body, "
        f"{limits.concurrency} requests at work and {limits.queue} waiting"
    )
    assert told in GUIDE
