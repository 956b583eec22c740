"""`educe ask`: one question with live progress, or many from JSON lines that a killed run goes on with."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from educe.cli.render import LiveSamples, bars, ledger_line, outcome
from educe.core import (
    Budget,
    EduceError,
    Executor,
    Ledger,
    Posterior,
    Store,
    StoredUnit,
    UsageError,
    content_hash,
    make_executor,
)
from educe.lm import LanguageModel, Session, load
from educe.reason import Answer, Question, Unit, make_method, read_questions, result_json, solve_all
from educe.reason import ask as ask_method
from educe.reason.asking import DEFAULT_METHOD

__all__ = ["ask"]

INTERRUPTED = 1
AUTO = "auto"


@click.command()
@click.argument("question", required=False)
@click.option(
    "--method",
    default=DEFAULT_METHOD,
    show_default=True,
    help="Method, perhaps with options (best-of-n:n=8), or auto: what `educe bench` found best.",
)
@click.option("--budget", default="", metavar="NAME=N,…", help="Limits: samples, tokens, calls, seconds, usd.")
@click.option("--lm", default=None, help="Model: a name of `educe models`, a path, hf:…, openai:http://…/v1#MODEL.")
@click.option(
    "--dtype", type=click.Choice(["float32", "bfloat16"]), default="float32", help="Numbers of a local model."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Root of all draws.")
@click.option(
    "--kind", default=None, help="Answer kind: number, choice, boolean, expression, text. Guessed if left out."
)
@click.option("--choice", "choices", multiple=True, help="An option to pick from; give it once for each.")
@click.option("--versus", default=None, metavar="METHOD", help="Answer the same question with this method too.")
@click.option(
    "--batch", type=click.Path(allow_dash=True), default=None, help="File of JSON lines, or - for standard input."
)
@click.option("--executor", "executor_spec", default="local", help="local, dask, dask://HOST:PORT or ray://HOST:PORT.")
@click.option("--fresh", is_flag=True, help="With --batch: answer again what the store already holds.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def ask(
    question: str | None,
    method: str,
    budget: str,
    lm: str | None,
    dtype: str,
    seed: int,
    kind: str | None,
    choices: tuple[str, ...],
    versus: str | None,
    batch: str | None,
    executor_spec: str,
    fresh: bool,
    as_json: bool,
) -> int:
    """Answer QUESTION and say how sure the answer is and what it cost.

    \b
    educe ask "How many legs do three spiders have?" --budget samples=16
    educe ask "Which is a fruit?" --choice pear --choice stone --method greedy
    cat questions.jsonl | educe ask --batch - > answers.jsonl

    With --batch each input line is an object: question, and perhaps id, kind, choices, examples, instruction.
    Output lines keep the order of the input. What is finished lies in the store, so the same command
    goes on where a killed one stopped.
    """
    limits = Budget.parse(budget)
    if method == AUTO:
        method = _chosen(lm, kind, question, choices, limits)
    make_method(method, limits)
    if versus is not None:
        make_method(versus)
    if batch is not None:
        if question is not None or choices or kind or versus:
            raise UsageError(
                "--batch takes its questions from the file. Leave out QUESTION, --choice, --kind and --versus."
            )
        questions = read_questions(_lines(batch))
        return _answer_many(questions, method, limits, lm, dtype, seed, executor_spec, fresh)
    if question is None:
        raise UsageError("There is no question. Give a text, or --batch FILE.")
    if fresh:
        raise UsageError("--fresh goes with --batch; a single question is always answered anew.")
    asked = Question(question, kind, choices)
    name, model = _model(lm, dtype)
    with Store() as store:
        run = _Single(asked, name, model, dtype, seed, store, executor_spec, quiet=as_json)
        wanted = [(method, limits)] if versus is None else [(versus, Budget()), (method, limits)]
        results = asyncio.run(run.answer_all(wanted))
        # Shown first and stored second: a full disk must not cost the answer.
        if as_json:
            shown = results[-1].shown
            if versus is not None:
                shown["versus"] = results[0].shown
            click.echo(json.dumps(shown, ensure_ascii=False))
        else:
            _show(asked, name, results, limits)
        for result in results:
            result.keep()
    if any(result.ledger.stopped_by == "interrupt" for result in results):
        click.echo("educe: interrupted; what was there is shown and stored.", err=True)
        return INTERRUPTED
    return 0


def _chosen(lm: str | None, kind: str | None, question: str | None, choices: tuple[str, ...], budget: Budget) -> str:
    """Choose a method from the latest table of the model, and say why."""
    from educe.cli.bench import latest_summary
    from educe.core.settings import default_model
    from educe.reason.bench_summary import recommend

    name = lm or default_model()
    if kind is None and question is not None:
        kind = str(Question(question, None, choices).answer_kind)
    with Store() as store:
        summary = latest_summary(store, name)
    if summary is None:
        click.echo(f"auto: {DEFAULT_METHOD}; nothing was measured on {name} yet (`educe bench --lm {name}`).", err=True)
        return DEFAULT_METHOD
    found = recommend(summary, budget, kind)
    click.echo(f"auto: {found.method}; {found.reason}.", err=True)
    return found.method


def _model(lm: str | None, dtype: str) -> tuple[str, LanguageModel]:
    """Load the model, with a line about a first download."""
    from educe.core.settings import default_model

    name = lm or default_model()
    told = False

    def progress(done: int, total: int) -> None:
        nonlocal told
        if not told:
            told = True
            click.echo(f"Fetching {name} ({total / 1e6:,.0f} MB, once) …", err=True)

    return name, load(name, dtype=dtype, progress=progress)


@dataclasses.dataclass
class _Result:
    """One method's outcome, ready to show and to keep."""

    method: str
    shown: dict[str, Any]
    ledger: Ledger
    posterior: Posterior[Answer] | None
    keep: Callable[[], object]


class _Single:
    """Answers one question, here with live progress or under another executor."""

    def __init__(
        self,
        question: Question,
        name: str,
        model: LanguageModel,
        dtype: str,
        seed: int,
        store: Store,
        executor_spec: str,
        *,
        quiet: bool,
    ) -> None:
        self.question, self.name, self.model, self.dtype, self.seed = question, name, model, dtype, seed
        self.store, self.executor_spec, self.quiet = store, executor_spec, quiet
        self.session: Session | None = None
        self.interrupted = False

    async def answer_all(self, wanted: list[tuple[str, Budget]]) -> list[_Result]:
        """Answer with one method after the other; the first Ctrl-C ends what runs and all that would follow, softly."""
        loop = asyncio.get_running_loop()
        local = self.executor_spec in ("", "local")
        if local:
            loop.add_signal_handler(signal.SIGINT, self._interrupt)
        try:
            answer = self._here if local else self._elsewhere
            return [
                await answer(Unit(self.question, method, self.name, self.dtype, self.seed, limits))
                for method, limits in wanted
            ]
        finally:
            if local:
                loop.remove_signal_handler(signal.SIGINT)
            await self.model.aclose()

    def _interrupt(self) -> None:
        # A second Ctrl-C is a plain KeyboardInterrupt.
        asyncio.get_running_loop().remove_signal_handler(signal.SIGINT)
        self.interrupted = True
        if self.session is not None:
            self.session.stop()

    async def _here(self, unit: Unit) -> _Result:
        with LiveSamples(self.question, unit.method, quiet=self.quiet) as live:
            self.session = Session(self.model, unit.budget, unit.seed, on_chunk=live)
            if self.interrupted:
                self.session.stop()
            posterior = await ask_method(self.question, self.session, make_method(unit.method, unit.budget))
        shown = result_json(self.question, posterior, method=unit.method, lm=self.name, seed=self.seed)
        stored = StoredUnit(
            # Wall times make this record another one than the batch's, which leaves them out.
            hash=content_hash("ask", unit.digest(self.model.fingerprint)),
            kind="ask",
            method=unit.method,
            item=self.question.to_json(),
            seed=self.seed,
            lm=self.name,
            status="partial" if posterior.ledger.stopped_by == "interrupt" else "done",
            result=shown,
            ledger=posterior.ledger,
            seconds=posterior.ledger.seconds,
        )
        return _Result(unit.method, shown, posterior.ledger, posterior, lambda: self.store.put(stored))

    async def _elsewhere(self, unit: Unit) -> _Result:
        async with make_executor(self.executor_spec) as workers:
            (line,) = [line async for line in solve_all([unit], self.model, workers, self.store, fresh=True)]
        if "error" in line:
            raise EduceError(line["error"])
        line.pop("id", None)
        return _Result(unit.method, line, Ledger.from_json(line["ledger"]), None, lambda: None)


def _show(question: Question, name: str, results: list[_Result], limits: Budget) -> None:
    """Print results for people."""
    click.echo(f"\n{question.text}")
    for result in results:
        posterior = result.posterior or _rebuilt(question, result)
        facts = outcome(result.method, posterior)
        under = f" under {limits!r}" if limits.limits() and result is results[-1] else ""
        click.echo(f"\n{result.method} on {name}{under}")
        click.echo("  " + bars(posterior).replace("\n", "\n  "))
        answer = facts["answer"] if facts["answer"] is not None else "none"
        certain = " (one sample says nothing about certainty)" if result.ledger.samples == 1 else ""
        click.echo(f"  answer: {answer}   confidence: {facts['confidence']:.2f}{certain}")
        if facts["unread"]:
            click.echo(f"  in {facts['unread']} of {result.ledger.samples} samples no answer could be read")
        click.echo(f"  cost: {ledger_line(result.ledger)}")


def _rebuilt(question: Question, result: _Result) -> Posterior[Answer]:
    """Turn a worker's JSON back into a posterior over answers."""
    pairs = [(item["answer"], item["probability"]) for item in result.shown["posterior"]]
    import torch

    answers = [Answer(text, question.answer_kind, question.choices) for text, _ in pairs]
    weights = torch.tensor([share for _, share in pairs], dtype=torch.float64).log()
    return Posterior(answers, weights, ledger=result.ledger)


def _lines(batch: str) -> list[str]:
    try:
        if batch == "-":
            return sys.stdin.buffer.read().decode("utf-8-sig").splitlines()
        return Path(batch).read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise UsageError(
            f"The batch is not UTF-8 text: {error.reason} at byte {error.start}. Convert it first."
        ) from None
    except FileNotFoundError:
        raise UsageError(f"There is no file {batch!r}. Check the path, or use - for standard input.") from None
    except IsADirectoryError:
        raise UsageError(f"{batch!r} is a folder. Give a file of JSON lines.") from None


def _answer_many(
    questions: list[Question],
    method: str,
    limits: Budget,
    lm: str | None,
    dtype: str,
    seed: int,
    executor_spec: str,
    fresh: bool,
) -> int:
    name, model = _model(lm, dtype)
    units = [Unit(question, method, name, dtype, seed, limits) for question in questions]
    with Store() as store:
        counts = asyncio.run(_batch(units, model, make_executor(executor_spec), store, fresh))
    if counts.interrupted:
        click.echo(
            f"educe: interrupted; {counts.shown} of {len(units)} answers are out, all finished ones are stored. "
            "The same command goes on from here.",
            err=True,
        )
        return INTERRUPTED
    if counts.failed:
        click.echo(f"educe: {counts.failed} of {len(units)} questions failed; see 'error' in their lines.", err=True)
        return 1
    return 0


@dataclasses.dataclass
class _Counts:
    shown: int = 0
    failed: int = 0
    interrupted: bool = False


async def _batch(units: list[Unit], model: LanguageModel, workers: Executor, store: Store, fresh: bool) -> _Counts:
    counts = _Counts()
    loop = asyncio.get_running_loop()
    this = asyncio.current_task()
    assert this is not None

    def interrupt() -> None:
        loop.remove_signal_handler(signal.SIGINT)
        counts.interrupted = True
        this.cancel()

    loop.add_signal_handler(signal.SIGINT, interrupt)
    terminal = sys.stderr.isatty()
    try:
        async with workers:
            lines = solve_all(units, model, workers, store, fresh=fresh)
            try:
                async for line in lines:
                    sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")
                    sys.stdout.flush()
                    counts.shown += 1
                    counts.failed += "error" in line
                    if terminal:
                        print(f"\r{counts.shown} of {len(units)}", end="", file=sys.stderr, flush=True)
            finally:
                await lines.aclose()
    except asyncio.CancelledError:
        if not counts.interrupted:
            raise
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        if terminal:
            print(file=sys.stderr)
        await model.aclose()
    return counts
