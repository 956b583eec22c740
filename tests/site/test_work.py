"""Runs and questions: the queue's promises, a real run in its process, cancelling, what a dead server leaves."""

import asyncio
import json
import re

import pytest

from educe.core import UsageError
from educe.site.answering import Samples, check_question
from educe.site.config import Limits
from educe.site.live import event
from educe.site.queue import (
    BusyError,
    FullError,
    ask_to_cancel,
    claim,
    enqueue,
    finish,
    interrupt_all,
    open_count,
    report_progress,
)
from educe.site.run_worker import current_step
from educe.site.schema import Answered, Run

QUICK = "string-diagram-surgery"


def a_run(requester="me", **values):
    return Run(**{"slug": QUICK, "scale": "smoke", "seed": 0, "requester": requester, "progress": {}, **values})


def a_question(text="2 + 2?", **values):
    return Answered(**{
        "question": {"text": text}, "method": "self-consistency", "lm": "fake:4", "budget": "", "requester": "me",
        "progress": {}, "seed": 0, **values,
    })  # fmt: skip


async def until(look, seconds=120):
    for _ in range(int(seconds / 0.1)):
        found = look()
        if found:
            return found
        await asyncio.sleep(0.1)
    raise AssertionError("it did not come")


def stored(site, kind, number):
    with site.database.read() as session:
        return session.get(kind, number)


def test_work_goes_first_in_first_out_and_is_claimed_once(database):
    numbers = []
    for turn in range(3):
        run = a_run(f"v{turn}")
        numbers.append(enqueue(database, run, 8))
        with database.write() as session:
            session.get(Run, numbers[-1]).created = turn
    assert [claim(database, Run).id for _ in range(3)] == numbers
    assert claim(database, Run) is None


def test_one_run_a_visitor_and_a_bounded_queue(database):
    first = enqueue(database, a_run("me"), 2)
    with pytest.raises(BusyError):
        enqueue(database, a_run("me"), 2)
    with database.write() as session:
        session.get(Run, first).created = 1  # Turns go by whole seconds.
    enqueue(database, a_run("you"), 2)
    with pytest.raises(FullError):
        enqueue(database, a_run("she"), 2)
    assert claim(database, Run).id == first
    with pytest.raises(BusyError):
        enqueue(database, a_run("me"), 2)
    finish(database, Run, first, "finished", report={"verdict": "shown"})
    enqueue(database, a_run("me"), 2)
    with database.read() as session:
        assert open_count(session, Run) == 2


def test_a_dead_servers_work_is_marked_and_the_rest_stays(database):
    ended, running, waiting = (enqueue(database, a_run(name), 8) for name in "abc")
    for number, created in ((ended, 1), (running, 2), (waiting, 3)):
        with database.write() as session:
            session.get(Run, number).created = created
    assert claim(database, Run).id == ended
    finish(database, Run, ended, "finished", report={"verdict": "shown"})
    assert claim(database, Run).id == running
    assert interrupt_all(database) == 1
    assert interrupt_all(database) == 0
    with database.read() as session:
        states = {number: session.get(Run, number).state for number in (ended, running, waiting)}
    assert states == {ended: "finished", running: "interrupted", waiting: "queued"}


def test_what_was_cancelled_while_it_waited_is_never_worked_on(database):
    number = enqueue(database, a_run(), 8)
    ask_to_cancel(database, Run, number)
    assert claim(database, Run) is None
    with database.read() as session:
        assert session.get(Run, number).state == "cancelled"


def test_progress_that_comes_late_does_not_reopen_a_run(database):
    number = enqueue(database, a_run(), 8)
    claim(database, Run)
    finish(database, Run, number, "finished", progress={"verdict": "shown"})
    report_progress(database, Run, number, {"step": "late"})
    with database.read() as session:
        assert session.get(Run, number).progress == {"verdict": "shown"}


@pytest.mark.parametrize(
    "values",
    [
        {"method": "no-such"}, {"method": "self-consistency:n=1000000"}, {"budget": "samples=1000000"},
        {"budget": "tokens=1000000000"}, {"budget": "seconds=1e9"}, {"budget": "wishes=3"}, {"lm": "/etc/passwd"},
        {"lm": "openai:http://10.0.0.1/v1#m"}, {"lm": "hf:a/b"}, {"question": {"text": ""}},
        {"question": {"text": "x", "choices": ["only one"]}},
    ],
)  # fmt: skip
def test_what_is_unknown_or_too_much_is_refused(values):
    with pytest.raises(UsageError):
        check_question(Limits(), a_question(**values), ("tiny",))


def test_a_question_gets_the_pages_limits_where_it_names_none():
    _, method, budget = check_question(Limits(tokens=77), a_question(budget="samples=3"), ("tiny",))
    assert method.n == 3
    assert (budget.samples, budget.tokens, budget.seconds) == (3, 77, 300.0)


def test_samples_are_read_as_they_finish():
    from educe.core import Ledger
    from educe.lm import Chunk
    from educe.reason import Question

    samples = Samples(Question("How many legs do three spiders have?"))
    for row, text in ((0, "The answer "), (1, "The answer is 18."), (0, "is 24."), (2, "hm")):
        samples(Chunk(row, text), Ledger(samples=3))
    assert samples.shown()["samples"] == []
    for row in (1, 0, 2):
        samples(Chunk(row, "", finish="stop"), Ledger(samples=3))
    shown = samples.shown()
    assert sorted(shown["tally"]) == [["18", 1], ["24", 1]]
    assert shown["unread"] == 1
    assert [item["answer"] for item in shown["samples"]] == ["18", "24", None]
    assert json.dumps(shown)


def test_an_event_of_many_lines_stays_one_event():
    text = event("fragment", "a\r\nb\n\nevent: forged\n")
    assert text.count("\n\n") == 1
    assert [line for line in text.splitlines() if not line.startswith(("event: fragment", "data: "))] == [""]


def test_a_step_is_told_in_the_words_of_its_docstring():
    import sys

    seen = []

    def outer():
        """Solve everything at once.

        With more words.
        """
        seen.append(current_step(sys._getframe(), __name__))

    globals()["outer"] = outer
    outer.__code__ = outer.__code__.replace(co_name="outer")
    outer()
    del globals()["outer"]
    assert seen[0][0] == "Solve everything at once."


async def test_a_question_is_answered_and_keeps_its_address(client, site):
    data = {"question": "How many legs do three spiders have?", "lm": "fake:The answer is 24.|The answer is 18.",
            "samples": "16", "seed": "3"}  # fmt: skip
    answer = await client.post("/ask", data=data)
    assert answer.status_code == 303
    address = answer.headers["location"]
    number = address.rpartition("/")[2]
    row = await until(lambda: (lambda row: row if row.ended else None)(stored(site, Answered, number)))
    assert row.state == "finished"
    # Independent: the same question through the library.
    from educe.reason import ask

    expected = await ask(data["question"], data["lm"], "self-consistency:16", seed=3)
    shown = (await client.get(f"{address}.json")).json()["result"]
    assert shown["posterior"] == expected.to_json()["posterior"]
    assert shown["ledger"]["samples"] == 16
    text = (await client.get(address)).text
    assert f"Answer: {expected.mode().text}" in text
    assert text.count("<li><i>") == 16


@pytest.mark.slow
async def test_a_question_is_stopped_softly(client, site):
    from educe.lm import FakeLM

    site.pool._slots["tiny"].source = FakeLM(["The answer is 24."], delay=0.5, chunk_tokens=2)
    answer = await client.post("/ask", data={"question": "2 + 2?", "lm": "tiny", "samples": "4"})
    number = answer.headers["location"].rpartition("/")[2]
    await until(lambda: stored(site, Answered, number).progress.get("newest"))
    busy = await client.post("/ask", data={"question": "3 + 3?", "lm": "tiny", "samples": "4"})
    assert busy.status_code == 409
    assert "has not ended" in busy.text
    assert (await client.post(f"/answers/{number}/cancel")).status_code == 303
    row = await until(lambda: (lambda row: row if row.ended else None)(stored(site, Answered, number)))
    assert row.state == "cancelled"
    assert row.result["ledger"]["stopped_by"] == "interrupt"


async def test_a_model_that_fails_is_said_on_the_page(client, site):
    from educe.core import BackendError
    from educe.lm import FakeLM

    def fail(prompt, seed):
        raise BackendError("The model is out. Come back.")

    site.pool._slots["tiny"].source = FakeLM(fail)
    answer = await client.post("/ask", data={"question": "2 + 2?", "lm": "tiny"})
    number = answer.headers["location"].rpartition("/")[2]
    row = await until(lambda: (lambda row: row if row.ended else None)(stored(site, Answered, number)))
    assert row.state == "failed"
    assert "The model is out." in (await client.get(f"/answers/{number}")).text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"question": "2 + 2?", "samples": "1000000"}, "limit"),
        ({"question": ""}, "empty"),
        ({"question": "x", "lm": "/etc/passwd"}, "not served"),
        ({"question": "x", "method": "greedy:n=1"}, "no option"),
    ],
)
async def test_a_question_that_cannot_be_is_refused_with_what_was_typed(client, data, words):
    answer = await client.post("/ask", data=data)
    assert answer.status_code == 422
    assert words in answer.text
    program = await client.post("/ask", data=data, headers={"accept": "application/json"})
    assert words in program.json()["detail"]


@pytest.mark.slow
async def test_a_run_goes_from_button_to_report_and_history(client, site):
    answer = await client.post(f"/papers/{QUICK}/runs", data={"scale": "smoke", "seed": "1"})
    assert answer.status_code == 303
    address = answer.headers["location"]
    busy = await client.post(f"/papers/{QUICK}/runs", data={"scale": "smoke"})
    assert busy.status_code == 409
    events = (await client.get(f"{address}/events")).text  # Ends when the run does.
    assert events.endswith("event: end\ndata: \n\n")
    steps = re.findall(r'class="state running">([^<]+)<', events)
    assert steps
    run = stored(site, Run, address.rpartition("/")[2])
    assert run.state == "finished", run.error
    # Independent: the same run through the library.
    from educe.core import Scale
    from educe.papers.catalogue import find_run

    expected = find_run(QUICK)(Scale.SMOKE, 1).to_json()
    assert [item["measured"] for item in run.report["checks"]] == [item["measured"] for item in expected["checks"]]
    assert (await client.get(f"{address}/figure.svg")).text.startswith("<?xml")
    page = (await client.get(f"/papers/{QUICK}")).text
    assert f'href="{address}"' in page
    assert run.report["verdict"] in page


@pytest.mark.slow
async def test_cancelling_a_run_ends_its_process(client, site):
    import psutil

    answer = await client.post("/papers/unsupervised-pretraining/runs", data={"scale": "small", "seed": "1"})
    address = answer.headers["location"]
    number = address.rpartition("/")[2]

    def children():
        found = psutil.Process().children(recursive=True)
        return [child for child in found if any("run_worker" in part for part in child.cmdline())]

    await until(lambda: stored(site, Run, number).progress.get("step"))
    assert children()
    with site.database.write() as session:
        session.get(Run, number).requester = "somebody else"
    assert (await client.post(f"{address}/cancel")).status_code == 403
    with site.database.write() as session:
        session.get(Run, number).requester = "address:127.0.0.1"
    assert (await client.post(f"{address}/cancel")).status_code == 303
    run = await until(lambda: (lambda run: run if run.ended else None)(stored(site, Run, number)))
    assert run.state == "cancelled"
    await until(lambda: not children())


async def test_papers_that_do_not_run_and_wrong_scales_are_refused(client):
    from educe.papers.catalogue import list_cards, runs_here

    resting = [card.slug for card in list_cards() if not runs_here(card.slug)]
    for slug in resting[:1]:
        assert (await client.post(f"/papers/{slug}/runs", data={"scale": "smoke"})).status_code == 404
    for data in ({"scale": "full"}, {"scale": "smoke", "seed": "-1"}, {"seed": str(2**40)}):
        assert (await client.post(f"/papers/{QUICK}/runs", data=data)).status_code == 422
