"""Inference-time methods beside its-hub, on the same engine, prompts and reward.

    python bench/reason.py                            # 16 answers of 10 steps, 3 repeats: some six minutes
    python bench/reason.py --tiny --out /tmp/r.json   # to try it

Ours runs in process on `abacus`; its-hub drives the same model through the OpenAI-compatible API of `educe serve`, as
its users would. The reward is one function for both: it computes every equation. its-hub sends fields
that the server does not know (`extra_body`, `include_stop_str_in_output`); a subclass leaves them out and counts the
tokens that the server reports. its-hub cannot send a seed for each row, so accuracies agree within their error, not row
by row.

Sides take turns within a repeat, in alternating order; medians are taken and the load stands beside them. What we add
to a call is measured on a model that answers at once: time of a whole particle filter less the time of the same rows
drawn from that model alone, per row.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime
import json
import logging
import math
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
import warnings
from pathlib import Path
from typing import Any

import educe
from educe.core import Ledger
from educe.lm import FakeLM, Session
from educe.reason import (
    BeamSearch,
    FunctionReward,
    ParticleSearch,
    Question,
    SelfConsistency,
    StepCheck,
    StepPolicy,
    WeightedBestOfN,
)
from educe.tasks import Problem, make

RESULTS = Path(__file__).parent / "results" / "reason.json"
FAMILY, TEMPERATURE, WIDTH = "chain_arithmetic", 0.8, 4
BARS = {"particle-filter": 5.0, "beam-search": 5.0}
OVERHEAD_BAR = 0.3  # milliseconds for each call of the model
END = "The answer is"
LINE = "1 + 1 = 2"


def judge(text: str) -> float:
    """Score an answer as far as it goes: low as soon as the equation of one of its steps does not hold."""
    lines = [line for line in text.split("\n") if line.strip()] or [""]
    return min(StepCheck().score_of(Question("sum", kind="number"), [line]) for line in lines)


def read(text: str) -> str:
    """The number that an answer states last."""
    found = re.findall(r"answer is (-?\d+)", text)
    return str(found[-1]) if found else ""


class Ours:
    """Our strategies, in process."""

    def __init__(self, n: int, steps: int) -> None:
        async def score(question: Question, text: str) -> float:
            return judge(text)

        reward, policy = FunctionReward(score, "equations"), StepPolicy(max_steps=steps + 2, temperature=TEMPERATURE)
        self.lm: Any = educe.load("abacus")
        self.methods: dict[str, Any] = {
            "self-consistency": SelfConsistency(n, temperature=TEMPERATURE),
            "best-of-n": WeightedBestOfN(n, steps=policy, reward=reward, final="best"),
            "particle-filter": ParticleSearch(n, steps=policy, reward=reward, finished="reweight"),
            "beam-search": BeamSearch(n, width=WIDTH, steps=policy, reward=reward, final="best"),
        }

    async def solve(self, name: str, problem: Problem, seed: int) -> tuple[bool, Ledger]:
        """Answer a problem."""
        session = Session(self.lm, seed=seed)
        posterior = await self.methods[name](Question.from_json(problem.question_json()), session)
        return posterior.confidence > 0 and problem.check_answer(posterior.mode().text), posterior.ledger


class Theirs:
    """its-hub, against the served model."""

    def __init__(self, n: int, steps: int, url: str) -> None:
        from its_hub.algorithms import BeamSearch as Beam
        from its_hub.algorithms import BestOfN, ParticleFiltering
        from its_hub.algorithms import SelfConsistency as Vote
        from its_hub.api import AbstractOutcomeRewardModel, AbstractProcessRewardModel, GenerationUsage
        from its_hub.core.lms.openai_lm import OpenAICompatibleLanguageModel
        from its_hub.core.lms.step_generation import StepGeneration

        class Adapter(OpenAICompatibleLanguageModel):
            usage = GenerationUsage()

            def _prepare_request_data(self, *arguments: Any, **options: Any) -> dict[str, Any]:
                data: dict[str, Any] = super()._prepare_request_data(*arguments, **options)
                for name in ("extra_body", "include_stop_str_in_output"):
                    data.pop(name, None)
                return data

            async def _agenerate(self, *arguments: Any, **options: Any) -> Any:
                return await super()._agenerate(*arguments[:-1], self.usage, **options)

            async def agenerate_single(self, *arguments: Any, **options: Any) -> Any:
                return await super().agenerate_single(*arguments, **{**options, "usage_accumulator": self.usage})

        class Steps(AbstractProcessRewardModel):
            def score(self, prompt: Any, steps: list[str]) -> list[float]:
                return [judge(text) for text in steps]

            async def ascore(self, prompt: Any, steps: list[str]) -> list[float]:
                return self.score(prompt, steps)

        class Whole(AbstractOutcomeRewardModel):
            def score(self, messages: Any, **options: Any) -> Any:
                many = messages if isinstance(messages, list) and isinstance(messages[0], list) else [messages]
                found = [judge(str(getattr(chat, "messages", chat)[-1].content)) for chat in many]
                return found if many is messages else found[0]

            async def ascore(self, messages: Any, orchestrator: Any = None, **options: Any) -> Any:
                return self.score(messages)

        self.n, self.usage = n, GenerationUsage
        self.lm = Adapter(url, "none", "abacus", temperature=TEMPERATURE)
        policy = StepGeneration(steps + 2, "\n", END, temperature=TEMPERATURE)
        self.methods: dict[str, Any] = {
            "self-consistency": Vote(read),
            "best-of-n": BestOfN(Whole()),
            "particle-filter": ParticleFiltering(policy, Steps()),
            "beam-search": Beam(policy, Steps(), WIDTH),
        }

    async def solve(self, name: str, problem: Problem, seed: int) -> tuple[bool, Ledger]:
        """Answer a problem; what the server says of tokens is all that is known of them."""
        self.lm.usage = self.usage()
        answer = await self.methods[name].ainfer(self.lm, problem.prompt, self.n)
        text = answer if isinstance(answer, str) else str(answer["content"])
        spent = Ledger(prompt_tokens=self.lm.usage.prompt_tokens, sampled_tokens=self.lm.usage.completion_tokens)
        return problem.check_answer(read(text)), spent


def serve() -> tuple[subprocess.Popen[bytes], str, tempfile.TemporaryDirectory[str]]:
    """Start a server of abacus on a free port, with data of its own, and wait for it."""
    folder = tempfile.TemporaryDirectory()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "educe.cli.main", "serve", "--lm", "abacus", "--port", str(port)]
    process = subprocess.Popen(
        command, env={**os.environ, "EDUCE_DATA_DIR": folder.name}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    url = f"http://127.0.0.1:{port}/v1"
    for _ in range(300):
        try:
            with urllib.request.urlopen(f"{url}/models", timeout=2):
                return process, url, folder
        except OSError:
            time.sleep(0.2)
    process.terminate()
    raise SystemExit("the server did not start within a minute")


async def overhead(n: int, steps: int) -> float:
    """Milliseconds of processor time that our particle filter adds to each row, on a model that answers at once."""
    lines = [f"{LINE}\n"] * steps + [f"{END} 2."]
    lm = FakeLM(lambda prompt, seed: lines[min(steps, prompt.count(LINE))], chunk_tokens=64)

    async def score(question: Question, text: str) -> float:
        return 0.5

    question = Question("1 + 1 = ?", kind="number", examples=(), instruction="")
    method = ParticleSearch(n, steps=StepPolicy(max_steps=steps + 2), reward=FunctionReward(score, "none"))
    begin = time.process_time()
    await method(question, Session(lm, seed=0))
    whole = time.process_time() - begin
    begin = time.process_time()
    for _ in range(steps + 1):
        await lm.sample(question.messages(), n=n, max_tokens=64)
    return 1000 * (whole - (time.process_time() - begin)) / (n * (steps + 1))


async def measure(options: argparse.Namespace, url: str) -> list[dict[str, Any]]:
    """Take turns on long problems for time and on the family's own for accuracy, and make the rows of the result."""
    sides: dict[str, Any] = {"ours": Ours(options.n, options.steps), "its-hub": Theirs(options.n, options.steps, url)}
    long = make(FAMILY, options.problems, split="test", seed=1, difficulty=options.steps)
    own = make(FAMILY, 4 * options.problems, split="test", seed=1)
    rows = await compare(options, sides, f"{options.n}x{options.steps}", long, options.repeats)
    rows += await compare(options, sides, f"{options.n}, own length", own, 1)
    await sides["its-hub"].lm.close()
    sides["ours"].lm.close()
    added = statistics.median([await overhead(options.n, options.steps) for _ in range(max(3, options.repeats))])
    rows.append(
        row(options, f"orchestration-{options.n}x{options.steps}", "milliseconds of processor time added to each call",
            added, None, f"<= {OVERHEAD_BAR}", added <= OVERHEAD_BAR)
    )  # fmt: skip
    return rows


async def compare(
    options: argparse.Namespace, sides: dict[str, Any], workload: str, problems: list[Problem], repeats: int
) -> list[dict[str, Any]]:
    """Both sides on the same problems: accuracy, seconds and tokens of each method."""
    seconds: dict[tuple[str, str], list[float]] = {}
    right: dict[tuple[str, str], list[bool]] = {}
    spent: dict[tuple[str, str], Ledger] = {}
    for repeat in range(-1, repeats):  # the first round warms both sides up
        for name in sides["ours"].methods:
            for side in ("ours", "its-hub") if repeat % 2 else ("its-hub", "ours"):
                begin = time.perf_counter()
                for place, problem in enumerate(problems if repeat >= 0 else problems[:1]):
                    hit, ledger = await sides[side].solve(name, problem, 1000 * (repeat + 1) + place)
                    if repeat >= 0:
                        right.setdefault((side, name), []).append(hit)
                        spent[side, name] = spent.get((side, name), Ledger()) + ledger
                if repeat >= 0:
                    seconds.setdefault((side, name), []).append((time.perf_counter() - begin) / len(problems))
                    print(f"{repeat} {name:<17} {side:<8} {seconds[side, name][-1]:7.3f} s a question", flush=True)
    rows = []
    for name in sides["ours"].methods:
        mine, peer = ("ours", name), ("its-hub", name)
        count = len(right[mine])
        shares = [statistics.fmean(right[key]) for key in (mine, peer)]
        error = math.sqrt(sum(max(share * (1 - share), 1 / count) / count for share in shares))
        rows.append(
            row(options, f"{name}, {workload}", "accuracy", *shares, f"within 3 standard errors ({3 * error:.3f})",
                abs(shares[0] - shares[1]) <= 3 * error)
        )  # fmt: skip
        times = [statistics.median(seconds[key]) for key in (mine, peer)]
        # The bars on time are for the long problems.
        bar = BARS.get(name) if "x" in workload else None
        rows.append(
            row(options, f"{name}, {workload}", "seconds a question", *times,
                None if bar is None else f"ratio >= {bar:g}", None if bar is None else times[1] / times[0] >= bar)
        )  # fmt: skip
        tokens = [spent[mine].computed_tokens / count, spent[peer].tokens / count]
        rows.append(row(options, f"{name}, {workload}", "tokens a question: computed by us, sent by its-hub", *tokens))
    return rows


def row(
    options: argparse.Namespace,
    workload: str,
    metric: str,
    ours: float,
    peer: float | None,
    bar: str | None = None,
    passed: bool | None = None,
) -> dict[str, Any]:
    """One row of the result, as all benches write it."""
    return {
        "workload": workload,
        "metric": metric,
        "ours": round(ours, 4),
        "peer": None if peer is None else "its-hub 1.2.0",
        "peer_value": None if peer is None else round(peer, 4),
        "ratio": None if peer is None or not ours else round(peer / ours, 3),
        "bar": bar,
        "passed": passed,
        "roofline_share": None,
        "repeats": options.repeats,
        "load": " ".join(f"{value:.2f}" for value in os.getloadavg()),
        "date": datetime.date.today().isoformat(),
    }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=16)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--problems", type=int, default=6, help="long ones; four times as many of the own length")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--tiny", action="store_true", help="4 answers of 3 steps, 2 problems, 1 repeat")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    if options.tiny:
        options.n, options.steps, options.problems, options.repeats = 4, 3, 2, 1
    warnings.simplefilter("ignore", DeprecationWarning)
    logging.disable(logging.ERROR)
    print("load", *(f"{value:.2f}" for value in os.getloadavg()), flush=True)
    process, url, folder = serve()
    try:
        rows = asyncio.run(measure(options, url))
    finally:
        process.terminate()
        process.wait(20)
        folder.cleanup()
    for item in rows:
        peer = "" if item["peer_value"] is None else f"  its-hub {item['peer_value']}  ratio {item['ratio']}"
        verdict = {True: "passed", False: "FAILED", None: ""}[item["passed"]]
        print(f"{item['workload']:<28} {item['metric']:<52} {item['ours']}{peer}  {item['bar'] or ''} {verdict}")
    options.out.write_text(json.dumps(rows, indent=1) + "\n")
    print(f"wrote {options.out}")


if __name__ == "__main__":
    main()
