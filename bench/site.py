"""The page under load: 50,000 generated papers, 100 readers at once, beside a static file of the same server.

The readers are wrk's: 100 connections on two threads, beside two processes of the server on the same cores.

- feed: the front page, its filters and the topics; each reader asks again as soon as it is answered, without pause.
- typing: readers who type generated titles, each request one letter more, 150 to 350 ms after the last answer, as fast
  typists do. Three quarters of the requests are asked for the first time.
- search: the same without any pause, which no reader does; it shows where the limit lies and carries no bar.

Titles and abstracts are drawn by Zipf's law from 20,000 words. Needs wrk; takes about four minutes. Writes
``bench/results/site.json``.
"""

# ruff: noqa: SIM905  (word lists read better as text)
from __future__ import annotations

import argparse
import datetime
import itertools
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from sqlalchemy import insert

from educe.site.config import SiteConfig
from educe.site.database import Database
from educe.site.schema import Paper, PaperTopic
from educe.site.search import Search
from educe.site.seeds import seed_cards

RESULTS = Path(__file__).with_name("results") / "site.json"
READERS = 100
BARS = {"feed": 30.0, "typing": 50.0, "search": None}
ADJECTIVES = (
    "adaptive amortized approximate bayesian calibrated causal compositional conditional contrastive convex curved "
    "deterministic differentiable discrete distributed doubly efficient equivariant ergodic exact exchangeable fast "
    "federated finite frozen generalized generative geometric greedy hierarchical hybrid implicit incremental "
    "invariant iterative latent linear local low-rank marginal masked minimal modular monotone nested neural "
    "nonparametric online optimal orthogonal parallel partial predictive private probabilistic provable random "
    "recurrent recursive regularized robust scalable self-supervised sequential sharp smooth sparse spectral stable "
    "stochastic structured symmetric tight transductive uniform universal variational weak "
).split()
NOUNS = (
    "abstention agents alignment attention autoencoders bandits bounds caches calibration chains circuits codecs "
    "codes coding compression computation concepts confounders contexts controllers corpora couplings coverage "
    "curricula decoding densities diffusion discovery distillation divergences dynamics embeddings ensembles "
    "entropy estimators evaluation evidence experts explanations features filters flows forests gradients grammars "
    "graphs hashing hypotheses identification inference integrals interventions kernels knowledge labels language "
    "layers likelihoods logics losses manifolds measures memory meshes mixtures models moments networks norms "
    "operators oracles orders particles parsers partitions paths planning policies posteriors preferences priors "
    "processes programs prompts proofs pruning quantization queries reasoning regression relations representations "
    "resampling retrieval rewards routing sampling scaling schedules scores search semantics sequences sketches "
    "solvers spaces speech splines stopping strategies subspaces surrogates tasks tests tokens transformers "
    "transport trees uncertainty verifiers vision weights "
).split()
PATTERNS = (
    "{A} {N} for {a} {n}",
    "{A} {N}: {a} {n} without {n2}",
    "{N} as {a} {n}",
    "On the {n} of {a} {n2}",
    "{A} {N} and {a} {n} under {n2}",
    "When do {a} {n} need {n2}?",
    "Learning {a} {n} from {n2}",
)
FAMILY = (
    "Abe Berg Chen Diaz Endo Fox Gupta Haas Ito Jung Kim Lund Mori Ngo Olsen Park Qian Rossi Sato Tran Ueda Vogt "
    "Wang Xu Yang Zhou "
).split()
SYLLABLES = "ba ce di fo gu ha je ki lo mu na pe qui ro su ta ve wi xo zy bra cle dri flo gru pla sto tri".split()
RARE = 20_000  # Made-up words behind the real ones, so that words are as unequal as in any language (Zipf's law).
CATEGORIES = ("cs.LG", "cs.CL", "stat.ML", "cs.AI", "math.ST", "cs.CV", "stat.ME", "cs.CR")

WRK_SCRIPT = """
local paths, place, threads = {}, 0, 0
for line in io.lines("%(paths)s") do paths[#paths + 1] = line end
function setup(thread)
   thread:set("first", threads)
   threads = threads + 1
end
function request()
   place = place + 1
   return wrk.format("GET", paths[((place - 1) * %(threads)d + first) %% #paths + 1], %(headers)s)
end
%(delay)s
function done(summary, latency, requests)
   local errors = summary.errors
   io.write(string.format(
      '{"p50": %%f, "p95": %%f, "p99": %%f, "requests": %%d, "seconds": %%f, "errors": %%d}\\n',
      latency:percentile(50) / 1000, latency:percentile(95) / 1000, latency:percentile(99) / 1000, summary.requests,
      summary.duration / 1e6,
      errors.connect + errors.read + errors.write + errors.status + errors.timeout
   ))
end
"""


def generate(database: Database, count: int) -> list[str]:
    """Import generated papers and return their titles."""
    rng = random.Random(0)
    titles = []
    vocabulary = [*NOUNS, *("".join(rng.choices(SYLLABLES, k=rng.randrange(2, 5))) for _ in range(RARE))]
    weights = list(itertools.accumulate(1 / (rank + 5) for rank in range(len(vocabulary))))

    def words() -> dict[str, str]:
        nouns = rng.choices(vocabulary, cum_weights=weights, k=3)
        first, second = rng.choices(ADJECTIVES, k=2)
        return {"a": first, "A": second.capitalize(), "n": nouns[0], "n2": nouns[1], "N": nouns[2]}

    start = int(datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC).timestamp())
    papers, topics = [], []
    for number in range(count):
        title = rng.choice(PATTERNS).format(**words())
        title = title[0].upper() + title[1:]
        titles.append(title)
        abstract = ". ".join(rng.choice(PATTERNS).format(**words()) for _ in range(12)) + "."
        published = start + number * 1200
        papers.append({
            "id": 1000 + number, "slug": f"generated-{number}",
            "arxiv": None, "title": title,
            "authors": [f"{rng.choice('ABCDEFGHJKLM')}. {rng.choice(FAMILY)}" for _ in range(rng.randrange(1, 6))],
            "abstract": abstract, "summary": None, "claim": None, "published": published, "precision": "day",
            "source": "arxiv", "added": published, "hidden": 0, "runs_here": 0, "votes": 0, "heat": 0.0,
        })  # fmt: skip
        topics += [
            {"topic": topic, "published": published, "paper_id": 1000 + number} for topic in rng.sample(CATEGORIES, 2)
        ]
    with database.write(visible=True) as session:
        for first in range(0, count, 5000):
            session.execute(insert(Paper), papers[first : first + 5000])
        for first in range(0, len(topics), 10000):
            session.execute(insert(PaperTopic), topics[first : first + 10000])
    return titles


def typed(titles: list[str], count: int) -> list[str]:
    """Return the requests of readers who type titles; those of `READERS` readers stand in turns."""
    rng = random.Random(1)
    readers: list[list[str]] = [[] for _ in range(READERS)]
    while sum(map(len, readers)) < count:
        for reader in readers:
            title = rng.choice(titles)
            reader += [f"/search?q={urllib.parse.quote(title[:length])}" for length in range(3, min(len(title), 24))]
    longest = max(map(len, readers))
    return [reader[turn] for turn in range(longest) for reader in readers if turn < len(reader)]


def load(
    port: int, paths: list[str], seconds: int, folder: Path, *, typing: bool = False, pause: bool = False
) -> dict[str, float]:
    """Put one load on the server and return wrk's figures in milliseconds."""
    (folder / "paths").write_text("\n".join(paths) + "\n", encoding="utf-8")
    script = folder / "load.lua"
    script.write_text(
        WRK_SCRIPT
        % {
            "paths": folder / "paths",
            "threads": 2,
            "headers": '{["HX-Request"] = "true"}' if typing else "{}",
            "delay": "function delay() return math.random(150, 350) end" if pause else "",
        },
        encoding="utf-8",
    )
    wrk = shutil.which("wrk")
    if wrk is None:
        sys.exit("wrk is not installed")
    command = [
        wrk,
        "-t2",
        f"-c{READERS}",
        f"-d{seconds}s",
        "--timeout",
        "10s",
        "-s",
        str(script),
        f"http://127.0.0.1:{port}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    figures: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    if figures["errors"]:
        sys.exit(f"wrk reports errors:\n{done.stdout}")
    return figures


def serve(folder: Path, workers: int) -> tuple[subprocess.Popen[bytes], int]:
    """Start the server on a free port and wait until it is ready."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    environment = {**os.environ, "EDUCE_DATA_DIR": str(folder), "OMP_NUM_THREADS": "1"}
    command = [
        sys.executable,
        "-m",
        "educe.cli.main",
        "serve",
        "--port",
        str(port),
        "--workers",
        str(workers),
        "--lm",
        "fake:4",
    ]
    with open(folder / "server.log", "wb") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    for _ in range(240):
        time.sleep(0.5)
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2):
                return server, port
        except OSError:
            if server.poll() is not None:
                sys.exit((folder / "server.log").read_text(encoding="utf-8"))
    sys.exit("the server did not become ready")


def row(
    workload: str, metric: str, ours: float, peer_value: float, bar: str, passed: bool | None, **more: Any
) -> dict[str, Any]:
    """Return one line of the result; the ratio says how many times the static file's time ours takes."""
    return {
        "workload": workload,
        "metric": metric,
        "ours": round(ours, 3),
        "peer": "static file of the same server",
        "peer_value": round(peer_value, 3),
        "ratio": round(ours / peer_value, 3),
        "bar": bar,
        "passed": passed,
        "roofline_share": None,
        "load": " ".join(f"{value:.2f}" for value in os.getloadavg()),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        **more,
    }


def main() -> None:
    """Fill a database, serve it, load it, write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--papers", type=int, default=50_000)
    parser.add_argument("--seconds", type=int, default=15)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    before = " ".join(f"{value:.2f}" for value in os.getloadavg())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        database = Database(SiteConfig(database=f"sqlite:///{folder / 'site.sqlite'}", key=None).database)
        database.migrate()
        seed_cards(database)
        started = time.monotonic()
        titles = generate(database, options.papers)
        print(f"{options.papers} papers imported in {time.monotonic() - started:.1f} s", flush=True)
        started = time.monotonic()
        (folder / "site").mkdir()
        Search(database, folder / "site").refresh()
        print(f"meaning indexed in {time.monotonic() - started:.1f} s", flush=True)
        database.close()
        feed = ["/", "/?by=day", "/?by=month", "/?runs=true", "/topic/cs.LG", "/trending"]
        feed += [f"/topic/{name}" for name in CATEGORIES]
        searches = typed(titles, 4000 * options.seconds * options.repeats)
        share = len(set(searches)) / len(searches)
        server, port = serve(folder, options.workers)
        figures: dict[str, list[dict[str, float]]] = {"static": [], "feed": [], "typing": [], "search": []}
        try:
            time.sleep(5)  # Both processes read the index of meaning.
            used = 0
            for turn in range(options.repeats):
                figures["static"].append(load(port, ["/static/site.css"], options.seconds, folder))
                figures["feed"].append(load(port, feed, options.seconds, folder))
                # Each load types on where the last one stopped: nothing is asked for that the last one left ready.
                for kind in ("typing", "search"):
                    found = load(port, searches[used:], options.seconds, folder, typing=True, pause=kind == "typing")
                    figures[kind].append(found)
                    used += int(found["requests"])
                print(turn, {kind: runs[-1] for kind, runs in figures.items()}, flush=True)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(60)
    rows = []
    for kind in ("feed", "typing", "search"):
        middle = sorted(figures[kind], key=lambda one: one["p95"])[options.repeats // 2]
        static = sorted(figures["static"], key=lambda one: one["p95"])[options.repeats // 2]
        more = {
            "repeats": options.repeats, "papers": options.papers, "readers": READERS, "load_before": before,
            "p50_ms": round(middle["p50"], 2), "p99_ms": round(middle["p99"], 2),
            "requests_per_second": round(middle["requests"] / middle["seconds"]),
            "distinct_share": None if kind == "feed" else round(share, 3),
        }  # fmt: skip
        bar = BARS[kind]
        passed = None if bar is None or options.papers < 50_000 else middle["p95"] <= bar
        words = "none" if bar is None else f"<= {bar:g} ms"
        rows.append(row(f"site-{kind}", "p95_ms", middle["p95"], static["p95"], words, passed, **more))
    options.out.parent.mkdir(exist_ok=True)
    options.out.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    for item in rows:
        print(f"{item['workload']:<12} p95 {item['ours']} ms, {item['ratio']} times a static file, bar {item['bar']}")


if __name__ == "__main__":
    main()
