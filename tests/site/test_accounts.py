"""Leaving: nothing that names the person stays, nothing else goes, and nobody comes back under the old number."""

import asyncio

import httpx
import pytest
from sqlalchemy import func, select

from educe.lm import FakeLM
from educe.site.schema import Answered, Mail, Paper, Person, Run, Subscription, Token, Vote, now
from educe.site.sessions import COOKIE

SAME = {"sec-fetch-site": "same-origin"}


def signed_in(client, site, address):
    with site.database.write() as session:
        person = Person(email=address, confirmed=now())
        session.add(person)
        session.flush()
        number = person.id
    opened = httpx.AsyncClient(transport=client._transport, base_url="http://localhost", headers=SAME)
    opened.cookies.set(COOKIE, site.signer.sign({"person": number, "key": True}), domain="localhost.local")
    return opened, number


def counts(site):
    with site.database.read() as session:
        tables = (Person, Vote, Subscription, Token, Mail, Answered, Run)
        return {table.__tablename__: session.scalar(select(func.count()).select_from(table)) for table in tables}


async def test_all_that_is_theirs_goes_and_nothing_else(client, site):
    ada, ada_number = signed_in(client, site, "ada@example.org")
    bob, bob_number = signed_in(client, site, "bob@example.org")
    async with ada, bob:
        for reader in (ada, bob):
            assert (await reader.post("/papers/rpc/vote")).status_code == 303
            await reader.post("/subscribe", data={"rhythm": "weekly"})
        await ada.post("/papers/causal-de-finetti/vote")
        with site.database.write() as session:
            for number, address in ((ada_number, "ada@example.org"), (bob_number, "bob@example.org")):
                work = {"requester": f"person:{number}", "seed": 0, "state": "finished"}
                session.add(Answered(id=f"answer-{number}"[:22], question={"text": "2 + 2?"}, method="greedy", lm="tiny",
                                     **work))  # fmt: skip
                session.add(Run(id=f"run-{number}"[:22], slug="rpc", scale="smoke", **work))
                session.add(Mail(address=address, issue="digest:daily:2026-11-25", state="sent"))
                session.add(Token(digest=str(number), purpose="sign-in", person_id=number, expires=now() + 99))
            paper = session.scalars(select(Paper).where(Paper.slug == "prm")).first() or session.get_one(Paper, 1)
            paper.submitter, submitted = ada_number, paper.id
        assert counts(site) == {"people": 2, "votes": 3, "subscriptions": 2, "tokens": 2, "mails": 2, "answers": 2, "runs": 2}  # fmt: skip
        shown = await ada.get("/account/delete")
        assert "ada@example.org" in shown.text
        assert counts(site)["people"] == 2  # Looking does nothing.
        foreign = await ada.post("/account/delete", headers={"sec-fetch-site": "cross-site"})
        assert foreign.status_code == 403
        cookie = ada.cookies[COOKIE]
        gone = await ada.post("/account/delete")
        assert gone.status_code == 200
        assert "deleted" in gone.text
        # The server key of the session is no part of the account.
        assert site.signer.read(ada.cookies[COOKIE]) == {"key": True}
        assert counts(site) == {"people": 1, "votes": 1, "subscriptions": 1, "tokens": 1, "mails": 1, "answers": 1, "runs": 2}  # fmt: skip
        with site.database.read() as session:
            assert session.get_one(Paper, submitted).submitter is None
            assert {run.requester for run in session.scalars(select(Run))} == {f"person:{bob_number}", "deleted"}
            assert session.scalars(select(Answered)).one().requester == f"person:{bob_number}"
        assert (await bob.get("/papers/rpc.json")).json()["votes"] == 1
        assert (await bob.get("/papers/causal-de-finetti.json")).json()["votes"] == 0
        assert "bob@example.org" in (await bob.get("/account")).text
        # The old cookie, kept by some other browser, is nobody's, now and after somebody else has come.
        _, new = signed_in(client, site, "new@example.org")
        assert new != ada_number
        ada.cookies.set(COOKIE, cookie, domain="localhost.local")
        for path in ("/account", "/account/delete"):
            assert "/sign-in" in (await ada.get(path)).headers["location"]
        assert "/sign-in" in (await ada.post("/account/delete")).headers["location"]
        assert "/sign-in" in (await ada.post("/papers/rpc/vote")).headers["location"]
        assert counts(site)["people"] == 2


async def test_numbers_of_people_are_never_used_again(database):
    seen = set()
    for turn in range(20):
        with database.write() as session:
            person = Person(email=f"{turn}@example.org")
            session.add(person)
            session.flush()
            seen.add(person.id)
            session.delete(person)
    # 52 random bits: two alike among twenty with probability 4e-14.
    assert len(seen) == 20


@pytest.mark.slow
async def test_a_question_that_is_being_answered_stops_and_its_reader_is_told(client, site):
    site.pool._slots["tiny"].source = lm = FakeLM(["The answer is 24."], delay=0.2, chunk_tokens=1)
    ada, _ = signed_in(client, site, "ada@example.org")
    async with ada:
        address = (await ada.post("/ask", data={"question": "2 + 2?", "lm": "tiny", "samples": "4"})).headers[
            "location"
        ]
        for _ in range(200):
            if lm.open_rows:
                break
            await asyncio.sleep(0.05)
        assert lm.open_rows
        watching = asyncio.create_task(client.get(f"{address}/events"))
        await asyncio.sleep(0.2)
        assert (await ada.post("/account/delete")).status_code == 200
        assert "event: end" in (await asyncio.wait_for(watching, 20)).text
        for _ in range(200):
            if not lm.open_rows:
                break
            await asyncio.sleep(0.05)
        assert not lm.open_rows
        assert counts(site)["answers"] == 0
        assert (await client.get(address)).status_code == 404
