"""The engine beside its peers, on the same GGUF file (SmolLM2-135M-Instruct, 4-bit weights as published).

    python bench/engine.py                       # all rows, 5 repeats: see bench/README.md for the minutes
    python bench/engine.py --rows many mixed     # some rows; the results of the others stay
    python bench/engine.py --tiny --repeats 1    # to try it

Every peer is a process of its own, once pinned to one processor with one thread (CPU seconds; the bars are on these)
and once with two threads (wall time, reported beside it). A repeat asks each of them in turn, so that whatever else
the machine does hits all alike; medians are taken. First the machine's own rate of bfloat16 products and its memory
bandwidth are measured: the share of the roofline is the time that the work would take at these over the time it took.

Tokens are those drawn (for scoring, those scored). Peers draw exactly as many as asked for; our rows also end where
the model ends them. A peer that is not installed is reported as absent.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "engine.json"
README = HERE / "README.md"
MARKS = ("<!-- engine: written by bench/engine.py -->", "<!-- end of engine -->")
PEERS = {
    "educe": ("ours", "Ours"),
    "openvino-genai": ("openvino", "OpenVINO"),
    "llama.cpp": ("llama", "LlamaCpp"),
    "transformers": ("hugging_face", "Transformers"),
}
BARS = {
    "many": {"openvino-genai": 1.2, "llama.cpp": 4.0, "transformers": 10.0},
    "mixed": {"openvino-genai": 1.1, "llama.cpp": 3.0},
    "single": {"llama.cpp": 0.8, "transformers": 2.0},
    "scoring": {"llama.cpp": 3.0, "transformers": 3.0},
    "particles": {"llama.cpp": 5.0},
}
MEMORY_BAR, START_BAR = 1.5, 2.0
WARM = 999  # the number of a repeat of tiny size that is thrown away
TWO_THREAD_REPEATS = 3  # they are reported beside the bars
LIMIT = 900  # seconds for one answer of a worker


def titles(sizes: Any) -> dict[str, str]:
    """Say what each workload is."""
    return {
        "many": f"{sizes.many_rows} rows x {sizes.many_tokens} tokens from one {sizes.many_prompt}-token prompt",
        "mixed": f"{sizes.mixed_requests} requests at once, 8 prompts of {sizes.mixed_prompts[0]}-"
        f"{sizes.mixed_prompts[1]} tokens, {sizes.mixed_tokens[0]}-{sizes.mixed_tokens[1]} tokens out",
        "single": f"one greedy row of {sizes.single_tokens} tokens",
        "scoring": f"{sizes.score_texts} texts of {sizes.score_tokens} tokens after {sizes.score_prefix} tokens",
        "particles": f"{sizes.particles} particles x {sizes.steps} steps of {sizes.step_tokens} tokens, resampled",
    }


# --- the worker: one peer in a process of its own, asked by lines of JSON ---


def pin(threads: int) -> None:
    """Keep to the first processors."""
    os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:threads]))


def resident() -> int:
    """Return the resident bytes of this process."""
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) * 1024


def work(name: str, threads: int, tiny: bool) -> None:
    """Answer requests until the other side closes."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries print what they like
    pin(threads)
    from engine_peers import workloads

    module, kind = PEERS[name]
    peer: Any = None
    sizes = workloads.TINY if tiny else workloads.Sizes()
    for line in sys.stdin:
        row, repeat = json.loads(line)
        answer: dict[str, Any]
        try:
            if row == "machine":
                answer = machine()
            elif row == "load":
                peer = getattr(__import__(f"engine_peers.{module}", fromlist=[kind]), kind)(threads, sizes)
                answer = {"rows": [row for row in workloads.ROWS if getattr(peer, row) is not None]}
            else:
                peer.sizes = workloads.TINY if repeat == WARM else sizes
                wall, used = time.perf_counter(), time.process_time()
                spent = getattr(peer, row)(repeat)
                used, wall = time.process_time() - used, time.perf_counter() - wall
                answer = {**spent._asdict(), "cpu": used, "wall": wall, "resident": resident()}
        except ImportError as error:
            answer = {"absent": str(error)}
        except Exception as error:
            answer = {"failed": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


def machine() -> dict[str, float]:
    """Measure the best rate of bfloat16 products (FLOP/s) and of reading memory (bytes/s) of this process."""
    import torch

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    left, right = torch.randn(1024, 2048).bfloat16(), torch.randn(2048, 2048).bfloat16()
    data = torch.ones(1 << 26)
    fastest: dict[str, float] = {}
    for _ in range(5):
        for key, size, run in (
            ("flops", 2 * 1024 * 2048 * 2048, lambda: left @ right),
            ("bytes", data.nbytes, data.sum),
        ):
            run()
            begin = time.process_time()  # of one thread, so that other work on the machine does not count
            run()
            fastest[key] = max(fastest.get(key, 0.0), size / (time.process_time() - begin))
    return fastest


class Worker:
    """The other end of `work`."""

    def __init__(self, name: str, threads: int, tiny: bool) -> None:
        command = [sys.executable, __file__, "--worker", name, "--threads", str(threads), *(["--tiny"] if tiny else [])]
        environment = os.environ | {"OMP_NUM_THREADS": str(threads), "EDUCE_THREADS": str(threads)}
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if os.environ.get("BENCH_LOUD") else subprocess.DEVNULL,
            text=True,
            env=environment,
        )

    def ask(self, row: str, repeat: int = 0) -> dict[str, Any]:
        """Ask for one thing."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            print(json.dumps([row, repeat]), file=self._process.stdin, flush=True)
            line = self._process.stdout.readline()
        except OSError:
            line = ""
        answer: dict[str, Any] = json.loads(line) if line else {"failed": "the process ended"}
        return answer

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()


# --- the rows ---


def measure(rows: list[str], repeats: int, threads: int, tiny: bool) -> tuple[dict[str, float], dict[str, Any]]:
    """Ask every peer for every row, in turn, and return the machine's rates and all answers by row and peer."""
    workers = {name: Worker(name, threads, tiny) for name in PEERS}
    found: dict[str, Any] = {row: {} for row in rows}
    try:
        rates = workers["educe"].ask("machine")
        able: dict[str, list[str]] = {}
        for name, worker in workers.items():
            loaded = worker.ask("load")
            able[name] = loaded.get("rows", [])
            if not able[name]:
                print(f"  {name} is absent: {loaded.get('absent') or loaded.get('failed')}", flush=True)
        for row in rows:
            for repeat in (WARM, *range(repeats)):
                for name, worker in workers.items():
                    if row in able[name]:
                        answer = worker.ask(row, repeat)
                        if "failed" in answer:
                            print(f"  {name} failed in {row}: {answer['failed']}", flush=True)
                            able[name] = [other for other in able[name] if other != row]
                        elif repeat != WARM:
                            found[row].setdefault(name, []).append(answer | {"load": os.getloadavg()[0]})
            shown = "  ".join(
                f"{name} {statistics.median(a['drawn'] / a['cpu'] for a in answers):.0f}"
                f"/{statistics.median(a['drawn'] / a['wall'] for a in answers):.0f}"
                for name, answers in found[row].items()
            )
            print(f"  {row}, {threads} thread(s), tokens per CPU second / per second: {shown}", flush=True)
    finally:
        for worker in workers.values():
            worker.close()
    return rates, found


def roofline_share(rates: dict[str, float], answers: list[dict[str, Any]], weight_bytes: float) -> float:
    """Return the time that arithmetic or weights would take at the machine's rates, over the time it took."""
    from engine_peers.workloads import DRAWN_PARAMETERS, READ_PARAMETERS

    def share(answer: dict[str, Any]) -> float:
        operations = 2.0 * (answer["read"] * READ_PARAMETERS + answer["drawn"] * DRAWN_PARAMETERS)
        moved = answer["passes"] * DRAWN_PARAMETERS * weight_bytes
        least: float = max(operations / rates["flops"], moved / rates["bytes"])
        return least / float(answer["cpu"])

    return statistics.median(map(share, answers))


def entry(workload: str, metric: str, ours: float, peer: str, value: float | None, **more: Any) -> dict[str, Any]:
    """Return one line of the results, in the shape of all benchmarks."""
    return {
        "workload": workload,
        "metric": metric,
        "ours": ours,
        "peer": peer,
        "peer_value": value,
        "ratio": ours / value if value else None,
        "bar": None,
        "passed": None,
        "roofline_share": None,
        "repeats": 1,
        "load": os.getloadavg()[0],
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        **more,
    }


def compared(one: tuple[Any, Any], two: tuple[Any, Any], sizes: Any) -> list[dict[str, Any]]:
    """Turn answers into results: CPU seconds on one thread with the bar, wall time on two without."""
    results: list[dict[str, Any]] = []
    threads = len(os.sched_getaffinity(0))
    for (rates, found), clock in ((one, "cpu"), (two, "wall")):
        metric = "tokens per CPU second, 1 thread" if clock == "cpu" else f"tokens per second, {threads} threads"
        for row, by_peer in found.items():
            speed = {
                name: statistics.median(a["drawn"] / a[clock] for a in answers) for name, answers in by_peer.items()
            }
            if "educe" not in speed:
                continue
            load = max(answer["load"] for answers in by_peer.values() for answer in answers)
            # int4 with scale and centre takes 5 bits a weight in the layers, and bfloat16 in the output matrix.
            weight_bytes = 0.92 if row == "single" else 2.0
            share = roofline_share(rates, by_peer["educe"], weight_bytes) if clock == "cpu" else None
            for name in PEERS:
                bar = BARS[row].get(name) if clock == "cpu" else None
                if name == "educe" or (name not in speed and bar is None):
                    continue
                value = speed.get(name)
                passed = None if bar is None or value is None else speed["educe"] / value >= bar
                results.append(
                    entry(
                        f"{row}: {titles(sizes)[row]}",
                        metric,
                        speed["educe"],
                        name,
                        value,
                        bar=bar,
                        passed=passed,
                        roofline_share=share,
                        load=load,
                        repeats=len(by_peer["educe"]),
                    )
                )
    return results


def memory(sizes: Any, tiny: bool) -> list[dict[str, Any]]:
    """Measure resident bytes after the first row of the table, each peer in a fresh process."""
    held: dict[str, float] = {}
    for name in PEERS:
        worker = Worker(name, 1, tiny)
        answer = worker.ask("many") if worker.ask("load").get("rows") else {}
        worker.close()
        if "resident" in answer:
            held[name] = answer["resident"] / 2**20
    print("  memory, MiB: " + "  ".join(f"{name} {value:.0f}" for name, value in held.items()), flush=True)
    results = []
    for name, value in held.items():
        if name != "educe":
            bar = MEMORY_BAR if name == "llama.cpp" else None
            passed = held["educe"] / value <= bar if bar else None
            what = f"memory: {titles(sizes)['many']}"
            results.append(entry(what, "resident MiB", held["educe"], name, value, bar=bar, passed=passed, repeats=1))
    return results


START = """
import time; begin = time.perf_counter()
import asyncio, educe
from educe.lm.completion import Sampling
ready = time.perf_counter()
lm = educe.load("smollm2-135m", dtype="{dtype}")
async def first():
    async for chunk in lm.stream("Once upon a time", [1], Sampling(max_tokens=1)):
        if chunk.sampled_tokens:
            return time.perf_counter()
end = asyncio.run(first())
print(ready - begin, end - ready)
"""


def start(repeats: int) -> list[dict[str, Any]]:
    """Measure `educe.load` to the first token, in fresh processes, beside the seconds that the imports take."""
    results = []
    for dtype in ("float32", "bfloat16", "int4"):
        times = []
        for _ in range(repeats):
            run = subprocess.run(
                [sys.executable, "-c", START.format(dtype=dtype)],
                capture_output=True,
                text=True,
                check=True,
                env=os.environ | {"OMP_NUM_THREADS": "1", "EDUCE_THREADS": "1"},
            )
            times.append([float(part) for part in run.stdout.split()])
        imports, seconds = (statistics.median(column) for column in zip(*times, strict=True))
        print(f"  start, {dtype}: {seconds:.2f} s after {imports:.2f} s of imports", flush=True)
        results.append(
            entry(
                f"start: load to first token, {dtype}",
                "seconds, 1 thread",
                seconds,
                "imports before it",
                imports,
                bar=START_BAR,
                passed=seconds <= START_BAR,
                repeats=repeats,
            )
        )
    return results


def table(results: list[dict[str, Any]]) -> str:
    """Write the results as Markdown."""
    lines = [
        "| workload | metric | ours | peer | its value | ratio | bar | | roofline | load | date |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for one in results:
        sign = "≤" if one["metric"].startswith(("resident", "seconds")) else "≥"
        verdict = {True: "pass", False: "**fail**", None: ""}[one["passed"]]
        cells = [
            one["workload"],
            one["metric"],
            f"{one['ours']:.3g}" if one["ours"] < 100 else f"{one['ours']:.0f}",
            one["peer"],
            f"{one['peer_value']:.4g}" if one["peer_value"] is not None else "absent" if one["peer"] else "",
            "" if one["ratio"] is None or "start" in one["workload"] else f"{one['ratio']:.2f}",
            "" if one["bar"] is None else f"{sign} {one['bar']:g}",
            verdict,
            "" if one["roofline_share"] is None else f"{one['roofline_share']:.0%}",
            f"{one['load']:.1f}",
            one["date"],
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def write_readme(text: str) -> None:
    """Put the table between its marks."""
    before, _, rest = README.read_text().partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    README.write_text(f"{before}{MARKS[0]}\n\n{text}\n\n{MARKS[1]}{after}")


def main() -> None:
    """Measure, print, and write the results of whole runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="*", default=[*BARS, "memory", "start"], help="which rows (default: all)")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--tiny", action="store_true", help="small sizes; nothing is written")
    parser.add_argument("--one-thread", action="store_true", help="leave out the runs on two threads")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--threads", type=int, default=1, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        with contextlib.suppress(KeyboardInterrupt):
            work(options.worker, options.threads, options.tiny)
        return
    from engine_peers import workloads

    sizes = workloads.TINY if options.tiny else workloads.Sizes()
    rows = [row for row in BARS if row in options.rows]
    print(f"load {os.getloadavg()[0]:.2f}, {len(os.sched_getaffinity(0))} processors", flush=True)
    one = measure(rows, options.repeats, 1, options.tiny)
    print(f"  one thread: {one[0]['flops'] / 1e9:.0f} GFLOP/s, {one[0]['bytes'] / 1e9:.1f} GB/s", flush=True)
    two = one[0], dict[str, Any]()
    if not options.one_thread:
        repeats = min(options.repeats, TWO_THREAD_REPEATS)
        two = measure(rows, repeats, len(os.sched_getaffinity(0)), options.tiny)
    results = [
        entry("machine: bfloat16 products", "GFLOP/s, 1 thread", one[0]["flops"] / 1e9, "", None),
        entry("machine: reading memory", "GB/s, 1 thread", one[0]["bytes"] / 1e9, "", None),
        *compared(one, two, sizes),
    ]
    if "memory" in options.rows:
        results += memory(sizes, options.tiny)
    if "start" in options.rows:
        results += start(options.repeats)
    if not options.tiny:
        done = {result["workload"].partition(":")[0] for result in results}
        before = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
        results += [result for result in before if result["workload"].partition(":")[0] not in done]
        order = ["machine", *BARS, "memory", "start"]
        results.sort(key=lambda result: order.index(result["workload"].partition(":")[0]))
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
        write_readme(table(results))
    print(table(results))


if __name__ == "__main__":
    main()
