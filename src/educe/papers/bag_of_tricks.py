"""Liu et al. (2025): measure which setting of an inference-time method is worth turning. arXiv:2502.07191.

Eight families of procedural problems mirror the paper's eight tasks. On one small trained model the temperature and
top-p of the vote are turned one at a time and together, four rewards choose among the same samples, and six methods
are compared with the vote at the tokens that they spent.
"""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from educe.core import (
    Baseline,
    Budget,
    Card,
    Check,
    Control,
    Executor,
    InProcess,
    Ledger,
    Report,
    Scale,
    Seed,
    Store,
    UsageError,
    run_sync,
)
from educe.lm import LanguageModel, Session, load
from educe.papers._bag_of_tricks_figure import plot
from educe.papers.figure import draw
from educe.reason import FunctionReward, Question, Reward, WeightedBestOfN, make_reward
from educe.reason.ablation import Ablation, Combination, ablate, combine
from educe.reason.bench import Grid, GridRow
from educe.reason.bench_summary import ALL, Summary, summarize
from educe.tasks import Problem
from educe.uncertainty import bootstrap

card = Card(
    slug="bag-of-tricks",
    title="Bag of Tricks for Inference-time Computation of LLM Reasoning",
    authors=(
        "Fan Liu",
        "Wenshuo Chao",
        "Naiqiang Tan",
        "Hao Liu",
    ),
    year=2025,
    arxiv="2502.07191",
    venue="NeurIPS 2025 Datasets & Benchmarks",
    summary=(
        "Within one pipeline of proposer and verifier, the prompt style, temperature, top-p, reward and number of "
        "rounds are varied one at a time, and six methods are compared on eight tasks at equal budgets. "
        "Pick it to learn which knob matters for your own model and tasks before compute is bought."
    ),
    claim="Temperature alone moves accuracy by up to 5%, and the gains of single tricks do not add up.",
    api=(
        "educe.reason.bench.Grid",
        "educe.reason.bench_summary.summarize",
        "educe.reason.ablation.ablate",
        "educe.reason.ablation.combine",
    ),
    topics=("test-time compute", "evaluation", "reasoning", "prompting"),
    room="reason",
)

TASKS = (
    "chain_arithmetic",
    "large_arithmetic",
    "linear_equations",
    "two_hop_facts",
    "three_hop_facts",
    "claims",
    "implications",
    "list_programs",
)
N = 8
VOTE = f"self-consistency:n={N}"
METHODS = {
    "best-of-N": f"weighted-best-of-n:n={N},reward=prm,final=best",
    "step-level best-of-N": f"step-best-of-n:n={N},reward=prm",
    "beam search": f"beam-search:n={N},width=4,reward=prm",
    "MCTS": "mcts:n=4,reward=prm",
    "self-consistency": VOTE,
    "self-refine": "self-refine:n=2",
}
TEMPERATURES = (0.4, 0.6, 0.8, 1.0, 1.2)
TOP_PS = (0.6, 0.8, 0.9)
TIGHT = 500  # tokens, prompts included: every method is stopped by it somewhere
LONGEST_STEP = 32  # tokens
REWARDS = ("exact", "process reward", "self-evaluation", "random")
SIZES: dict[Scale, dict[str, int]] = {
    Scale.SMOKE: {"tasks": 1, "problems": 1, "tight": 1, "repeats": 2, "replicates": 50},
    Scale.SMALL: {"tasks": 8, "problems": 20, "tight": 3, "repeats": 5, "replicates": 1000},
    Scale.FULL: {"tasks": 8, "problems": 120, "tight": 10, "repeats": 5, "replicates": 1000},
}
Floats = npt.NDArray[np.float64]


def run(scale: Scale = Scale.SMALL, seed: int = 0, lm: Any = None, tasks: Any = None) -> Report:
    """Turn knobs one at a time, rank rewards, and compare methods at equal tokens.

    Parameters
    ----------
    scale : Scale
        Numbers of tasks and problems.
    seed : int
        Root of problems and draws.
    lm : LanguageModel, optional
        A model that scores given text, with a process reward of its own under the name "prm"; abacus when left out.
    tasks : sequence of str, optional
        Families of `educe.tasks`; the eight when left out.

    Returns
    -------
    Report

    Raises
    ------
    UsageError
        A task is no name of a family.
    """
    if tasks is not None and not all(isinstance(task, str) for task in tasks):
        raise UsageError("A task of this report is a family of problems. Give names such as 'chain_arithmetic'.")
    start = time.perf_counter()
    sizes = SIZES[scale]
    names = tuple(tasks) if tasks else TASKS[: sizes["tasks"]]
    model = load("abacus") if lm is None else lm
    grid = Grid(tuple(METHODS.values()), names, model.name, Budget(samples=N), sizes["problems"], seed=seed)
    found = run_sync(_everything(grid, model, sizes))
    if lm is None:
        model.close()
    summary = summarize(grid, found["rows"], replicates=sizes["replicates"])
    rewards: dict[str, Floats] = found["rewards"]
    root = Seed(seed).child(card.slug)
    above = {
        name: bootstrap(lambda a, b: float(np.mean(a - b)), values, rewards["random"], seed=root.child(name))
        for name, values in rewards.items()
    }
    wins = {name: _wins(summary, method, names) for name, method in METHODS.items()}
    heat: Ablation = found["temperature"]
    noise = float(np.ptp(found["repeats"]))
    shown = {name: f"{values.mean():.3f}" for name, values in rewards.items()}
    most = {
        name: max(row.tokens + row.prompt_tokens for row in found["tight"] if row.method == method)
        for name, method in METHODS.items()
    }
    title = "What six methods gain on eight kinds of problems, and two knobs of the vote"
    figure = draw(
        partial(plot, summary=summary, methods=METHODS, heat=heat, top_p=found["top_p"], names=names, title=title),
        width=11.0,
        height=6.4,
    )
    return Report(
        card,
        (
            Check(
                f"vote of {N}: best minus worst temperature of {', '.join(map(str, TEMPERATURES))}, mean of the tasks",
                "up to 5 % by temperature alone",
                f"{100 * heat.spread:.1f} points; {_told(heat)}",
                ">= 2 points, and the best value is not the same on all tasks",
                heat.spread >= 0.02 and not set.intersection(*(set(v) for v in heat.best_values.values())),
            ),
            Check(
                f"best of {N} by reward: {', '.join(REWARDS)}",
                "rewards differ by task; self-evaluation is hardly better than random",
                f"{', '.join(shown[name] for name in REWARDS)}; exact minus random "
                f"{above['exact'].value:+.3f} [{above['exact'].low:+.3f}, {above['exact'].high:+.3f}]",
                "exact >= process reward > random, exact above random beyond the 95 % interval",
                above["exact"].value >= above["process reward"].value > 0 and above["exact"].low > 0,
            ),
            Check(
                "gain of self-evaluation over random, of the exact reward over random",
                "self-evaluation is a weak selector",
                f"{above['self-evaluation'].value:+.3f}, {above['exact'].value:+.3f}",
                "less than half",
                above["self-evaluation"].value < 0.5 * above["exact"].value,
            ),
            Check(
                f"tasks of {len(names)} on which a method gains most over the vote at equal tokens (ties count)",
                "no method is best everywhere",
                ", ".join(f"{name} {count}" for name, count in wins.items()),
                "no method on all",
                max(wins.values()) < len(names),
            ),
            Check(
                f"most tokens on any question under a budget of {TIGHT}, prompts and rewards included",
                "not given",
                ", ".join(f"{name} {count}" for name, count in most.items()),
                f"<= {TIGHT} + one step of all rows ({N} x {LONGEST_STEP})",
                max(most.values()) <= TIGHT + N * LONGEST_STEP,
            ),
        ),
        (
            Control(
                f"vote of {N} at one temperature with {sizes['repeats']} seeds: best minus worst, mean of the tasks",
                f"{100 * noise:.1f} points",
                f"below the spread over temperatures ({100 * heat.spread:.1f} points): else that is luck",
                noise < heat.spread,
            ),
            Control(
                "best of the samples by chance against the mean sample",
                f"{rewards['random'].mean():.3f} against {found['mean']:.3f}",
                "within 4 standard errors",
                bool(abs(rewards["random"].mean() - found["mean"]) <= 4 * np.sqrt(0.25 / len(rewards["random"]))),
            ),
        ),
        tuple(
            Baseline(method, summary.cell(method).accuracy, _spent(found["rows"], method))
            for method in grid.all_methods
        ),
        seed=seed,
        scale=scale,
        ledger=sum((_spent(found["rows"], method) for method in grid.all_methods), Ledger())
        + Ledger(seconds=time.perf_counter() - start),
        tables={
            "methods": [cell for cell in summary.to_json()["cells"] if cell["task"] == ALL],
            "accuracy minus greedy": [
                {
                    "method": name,
                    **{task: summary.cell(m, task).accuracy - summary.cell("greedy", task).accuracy for task in names},
                }
                for name, m in METHODS.items()
            ],
            "temperature": heat.table(),
            "top-p": found["top_p"].table(),
            "rewards": [
                {"reward": name, "accuracy": float(rewards[name].mean()), "over random": e.value, "low": e.low,
                 "high": e.high}
                for name, e in above.items()
            ],
        },
        figures={title: figure},
        notes=_notes(model.name, grid, summary, found["together"], heat),
    )  # fmt: skip


async def _everything(grid: Grid, lm: LanguageModel, sizes: dict[str, int]) -> dict[str, Any]:
    """Run all parts on one store, so that what two parts share is done once."""
    one = Grid((VOTE,), grid.tasks, grid.lm, grid.budget, grid.problems, seed=grid.seed)
    again = Grid(
        (VOTE,), grid.tasks, grid.lm, grid.budget, grid.problems, sizes["repeats"], seed=grid.seed, beside=False
    )
    tight = Grid(
        tuple(METHODS.values()), grid.tasks, grid.lm, Budget(tokens=TIGHT), sizes["tight"], seed=grid.seed, beside=False
    )
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder) / "store.sqlite") as store:
        async with InProcess() as executor:
            found: dict[str, Any] = {"rows": await _rows(grid, lm, executor, store)}
            found["tight"] = await _rows(tight, lm, executor, store)
            for knob, values in (("temperature", TEMPERATURES), ("top_p", TOP_PS)):
                found[knob] = await ablate(one, knob, values, lm, executor, store)
            found["together"] = await combine(one, (found["temperature"], found["top_p"]), lm, executor, store)
            repeats = await _rows(again, lm, executor, store)
    found["repeats"] = [
        float(np.mean([row.correct for row in repeats if row.seed == number])) for number in range(sizes["repeats"])
    ]
    problems = [problem for drawn in grid.draw_problems().values() for problem in drawn]
    found["rewards"], found["mean"] = await _by_reward(problems, lm, Seed(grid.seed).child(card.slug, "rewards"))
    return found


async def _rows(grid: Grid, lm: LanguageModel, executor: Executor, store: Store) -> list[GridRow]:
    return [row async for row in grid.run(lm, executor, store)]


async def _by_reward(problems: Sequence[Problem], lm: LanguageModel, root: Seed) -> tuple[dict[str, Floats], float]:
    """Whether the best of the same samples by each reward is right, and the share of all samples that are."""
    right: dict[str, list[float]] = {name: [] for name in REWARDS}
    means: list[float] = []
    for problem in problems:
        question = Question.from_json(problem.question_json())
        seed = root.child(problem.id)
        posteriors = await asyncio.gather(
            *(WeightedBestOfN(N, reward=_reward(name, problem, seed), final="best")(question, Session(lm, seed=seed))
              for name in REWARDS)
        )  # fmt: skip
        for name, posterior in zip(REWARDS, posteriors, strict=True):
            right[name].append(float(posterior.confidence > 0 and problem.check_answer(posterior.mode().text)))
        means.append(float(np.mean([problem.check(text) for text in posteriors[0].details["texts"]])))
    return {name: np.array(values) for name, values in right.items()}, float(np.mean(means))


def _reward(name: str, problem: Problem, seed: Seed) -> Reward:
    async def exact(question: Question, text: str) -> float:
        return float(problem.check(text))

    async def lot(question: Question, text: str) -> float:
        drawn = hashlib.blake2b(text.encode(), key=seed.bits().to_bytes(16, "big"), digest_size=6)
        return int.from_bytes(drawn.digest(), "big") / 2**48

    if name in ("exact", "random"):
        return FunctionReward(exact if name == "exact" else lot, name)
    return make_reward("prm" if name == "process reward" else "self-eval-token")


def _wins(summary: Summary, method: str, names: Sequence[str]) -> int:
    """On how many tasks no other method has a larger gain at equal tokens."""
    return sum(
        summary.cell(method, task).gain >= max(summary.cell(other, task).gain for other in METHODS.values()) - 1e-12
        for task in names
    )


def _spent(rows: Sequence[GridRow], method: str) -> Ledger:
    mine = [row for row in rows if row.method == method]
    return Ledger(
        calls=sum(row.calls for row in mine),
        samples=sum(row.samples for row in mine),
        prompt_tokens=sum(row.prompt_tokens for row in mine),
        cached_tokens=sum(row.cached_tokens for row in mine),
        sampled_tokens=sum(row.tokens for row in mine),
    )


def _told(ablation: Ablation) -> str:
    return "best by task: " + "; ".join(f"{task} {'/'.join(v)}" for task, v in ablation.best_values.items())


def _notes(name: str, grid: Grid, summary: Summary, together: Combination, heat: Ablation) -> str:
    tried = [cell for cell in summary.cells if not cell.baseline and cell.task != ALL]
    real = [f"{cell.method} on {cell.task} ({cell.gain:+.2f})" for cell in tried if cell.real]
    return (
        f"{name}, {len(grid.tasks)} families of problems with {grid.problems} problems each and one seed, instead of "
        "60 and two, cut for time before the run. Methods draw at most 8 samples; the vote that each is held against "
        "is read at the tokens that the method drew, the reward's included. The process reward and the self-evaluation "
        "are the model's own heads. Prompt styles are not turned: the model knows the one form it was trained on. It "
        "was never trained to criticise, which self-refine asks of it. A reward reads all rows of a round at once and "
        "is charged after that, which is how a search can pass its budget by more than a step. Settings of a knob "
        "share their seeds, the repeats of the control do not: what they differ by is all the luck there is. Of "
        f"{len(tried)} cells {len(real)} differ from the vote at equal tokens beyond chance, false discoveries held at "
        f"5 %{': ' + ', '.join(real) if real else ''}. Best temperature and top-p together gain "
        f"{together.gain.value:+.3f} [{together.gain.low:+.3f}, {together.gain.high:+.3f}] over the base, the single "
        f"gains add up to {together.sum_of_gains:+.3f}; the best of several values is too good by having been picked. "
        f"At temperature {heat.best.value} {heat.best.wins} problems are won and {heat.best.losses} lost against 0.7."
    )
