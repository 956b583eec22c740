"""Digests: who gets what, what stands in it, and that each (address, issue) leaves at most once, whatever dies when."""

import asyncio
import datetime
import email
import email.policy
import os
import re
import signal
import sys
from html.parser import HTMLParser

import pytest
from sqlalchemy import select, text, update

from educe.core import CapabilityError, UsageError
from educe.site import postman as postman_module
from educe.site.app import create_app
from educe.site.config import SiteConfig
from educe.site.digests import Issue, chosen_issues, due_issues, enqueue, new_papers
from educe.site.mail import MailConfig
from educe.site.openai import ModelPool
from educe.site.postman import Postman, report_lost, senders_lock
from educe.site.schema import Mail, Paper, PaperTopic, Person, Subscription, now
from educe.site.state import Site

COMMAND = "from educe.cli.main import main; main()"
URL = "https://papers.example.org"
EVIL = "<img src=http://x.example/a.png><script>alert(1)</script>\x1bTitle"
ISSUE = due_issues(now())[0]
WEEKLY = due_issues(now())[1]


@pytest.fixture
def kind():
    return "sqlite"


def make_site(url, folder, smtp):
    mail = MailConfig(smtp, "educe <papers@example.org>" if smtp else None)
    config = SiteConfig(database=url, folder=folder, models=("fake:4",), url=URL, mail=mail)
    return Site(config, ModelPool.of(config.models))


@pytest.fixture
def quiet(database_url, tmp_path, mailbox):
    """A site that is not running, so that a test decides when mails leave."""
    made = make_site(database_url, tmp_path / "site", mailbox.url)
    yield made
    made.database.close()


def add_papers(site, issue=ISSUE, count=3, topic="reasoning", prefix="2611"):
    with site.database.write(visible=True) as session:
        for turn in range(count):
            paper = Paper(
                slug=f"{prefix}.{turn:05}", arxiv=f"{prefix}.{turn:05}", title=f"Paper {prefix} {turn}", authors=["A", "B"],
                abstract="It is one. It is no other.", published=issue.start, source="arxiv", added=issue.start + turn,
            )  # fmt: skip
            session.add(paper)
            session.flush()
            session.add(PaperTopic(topic=topic, published=paper.published, paper_id=paper.id))


def add_reader(site, address, rhythm="daily", topics=("",), confirmed=1, person_confirmed=1):
    with site.database.write() as session:
        person = Person(email=address, created=1, confirmed=person_confirmed)
        session.add(person)
        session.flush()
        for topic in topics:
            session.add(Subscription(person_id=person.id, rhythm=rhythm, topic=topic, confirmed=confirmed))


def states(site):
    with site.database.read() as session:
        return {(row.address, row.issue): row.state for row in session.scalars(select(Mail))}


def test_issues_have_days_and_times():
    monday = datetime.date(2026, 11, 23)
    issue = Issue("weekly", monday)
    assert datetime.datetime.fromtimestamp(issue.due, datetime.UTC).isoformat() == "2026-11-23T06:00:00+00:00"
    assert (issue.end - issue.start, issue.due - issue.end) == (7 * 86400, 6 * 3600)
    assert [each.name for each in due_issues(issue.due)] == ["digest:daily:2026-11-23", "digest:weekly:2026-11-23"]
    assert [each.name for each in due_issues(issue.due - 1)] == ["digest:daily:2026-11-22", "digest:weekly:2026-11-16"]
    assert Issue.parse(issue.name) == issue
    for rhythm, day in (("weekly", "2026-11-24"), ("daily", "2999-01-01"), ("daily", "yesterday")):
        with pytest.raises(UsageError):
            chosen_issues(rhythm, day)
    assert chosen_issues("weekly", "2026-11-23") == [issue]
    assert chosen_issues(None, None) == due_issues(now())


def test_consecutive_issues_hold_every_paper_once(quiet):
    moments = [ISSUE.start - 1, ISSUE.start, ISSUE.end - 1, ISSUE.end]
    with quiet.database.write() as session:
        for number, added in enumerate(moments):
            session.add(
                Paper(slug=f"p{number}", title=str(number), authors=[], published=0, source="arxiv", added=added)
            )
    day = datetime.timedelta(days=1)
    with quiet.database.read() as session:
        found = [
            sorted(paper.title for paper in new_papers(session, Issue("daily", ISSUE.day + turn * day), "")[0])
            for turn in (-1, 0, 1)
        ]
    assert found == [["0"], ["1", "2"], ["3"]]


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
async def test_who_gets_an_issue(quiet, mailbox, kind):
    add_papers(quiet)
    add_papers(quiet, WEEKLY, 1, "theory", "2610") if WEEKLY.start != ISSUE.start else None
    add_reader(quiet, "all@example.org")
    add_reader(quiet, "topic@example.org", topics=("reasoning", "nothing"))
    add_reader(quiet, "elsewhere@example.org", topics=("nothing",))
    add_reader(quiet, "weekly@example.org", rhythm="weekly")
    add_reader(quiet, "unconfirmed@example.org", confirmed=None)
    add_reader(quiet, "stranger@example.org", person_confirmed=None)
    add_reader(quiet, "late@example.org", confirmed=ISSUE.due)
    add_reader(quiet, "ended@example.org")
    with quiet.database.write() as session:
        session.execute(
            update(Subscription)
            .where(Subscription.person_id.in_(select(Person.id).where(Person.email == "ended@example.org")))
            .values(ended=2)
        )
    assert enqueue(quiet, ISSUE) == 2
    assert enqueue(quiet, ISSUE) == 0
    assert await Postman(quiet).send_waiting() == {"sent": 2}
    assert sorted(mailbox.addresses) == ["all@example.org", "topic@example.org"]
    assert enqueue(quiet, ISSUE) == 0
    assert await Postman(quiet).send_waiting() == {}
    assert len(mailbox.received) == 2


async def test_who_unsubscribed_meanwhile_gets_nothing(quiet, mailbox):
    add_papers(quiet)
    add_reader(quiet, "a@example.org")
    enqueue(quiet, ISSUE)
    with quiet.database.write() as session:
        session.execute(update(Subscription).values(ended=now()))
    assert await Postman(quiet).send_waiting() == {}
    assert states(quiet) == {}
    assert not mailbox.received


class Parts(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.loaded, self.links = set(), [], []

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        for name, value in attributes:
            if name in ("src", "background", "srcset", "data") or "url(" in (value or ""):
                self.loaded.append((tag, name, value))
            if name == "href":
                self.links.append((tag, value))


@pytest.mark.slow
async def test_what_stands_in_a_digest(quiet, mailbox):
    add_papers(quiet, count=30)
    with quiet.database.write(visible=True) as session:
        session.add(Paper(slug="evil", title=EVIL, authors=["<b>A</b>"], abstract=EVIL, published=ISSUE.start,
                          source="submission", added=ISSUE.start, heat=9.0))  # fmt: skip
        hidden = session.scalars(select(Paper).where(Paper.slug == "2611.00029")).one()
        hidden.hidden = 1
    add_reader(quiet, "a@example.org", topics=("reasoning", ""))
    enqueue(quiet, ISSUE)
    await Postman(quiet).send_waiting()
    (message,) = mailbox.received
    assert [part.get_content_type() for part in message.walk()] == ["multipart/alternative", "text/plain", "text/html"]
    plain, rich = (message.get_body((name,)).get_content() for name in ("plain", "html"))
    parts = Parts()
    parts.feed(rich)
    assert not parts.tags & {"img", "script", "link", "iframe", "object", "form", "style", "video", "input", "b"}
    assert not parts.loaded
    assert all(tag == "a" and value.startswith(URL + "/") for tag, value in parts.links)
    assert EVIL in plain
    assert "&lt;img src=" not in plain
    assert plain.index("Title") < plain.index("Paper 2611 28")  # most votes first
    for body in (plain, rich):
        assert "Paper 2611 29" not in body  # hidden
        assert "It is one." in body
        assert "It is no other." not in body
        assert f"{URL}/papers/2611.00028" in body
        assert body.count(f"{URL}/papers/2611.00028") == 1  # in one section only
        assert "5 more" in body
    # RFC 8058, and the link is a link of this site.
    unsubscribe = re.fullmatch(rf"<({URL}/unsubscribe\?token=[\w.-]+)>", message["List-Unsubscribe"])[1]
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert unsubscribe in plain
    assert message["List-Id"] == "<daily.digest.example.org>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert "\n" not in message["Subject"]
    assert message["Subject"].startswith("educe daily: 2")


async def test_what_a_server_says_decides(quiet, mailbox, monkeypatch):
    add_papers(quiet)
    for name in ("good", "gone", "full"):
        add_reader(quiet, f"{name}@example.org")
    mailbox.replies = {"gone@example.org": "550 nobody", "full@example.org": "452 later"}
    enqueue(quiet, ISSUE)
    assert await Postman(quiet).send_waiting() == {"sent": 1, "failed": 1, "waiting": 1}
    assert await Postman(quiet).send_waiting() == {}  # not before five minutes are over
    moment = now()
    monkeypatch.setattr(postman_module, "now", lambda: moment + 301)
    mailbox.replies = {}
    assert await Postman(quiet).send_waiting() == {"sent": 1}
    assert sorted(mailbox.addresses) == ["full@example.org", "good@example.org"]
    assert sorted(states(quiet).values()) == ["failed", "sent", "sent"]


async def test_a_server_that_is_away_loses_nothing_until_a_day_is_over(quiet, mailbox, monkeypatch):
    add_papers(quiet)
    add_reader(quiet, "a@example.org")
    enqueue(quiet, ISSUE)
    await mailbox.close()
    moment = now()
    for turn in range(3):
        monkeypatch.setattr(postman_module, "now", lambda turn=turn: moment + 400 * turn)
        assert await Postman(quiet).send_waiting() == {"waiting": 1}
    monkeypatch.setattr(postman_module, "now", lambda: moment + 86400 + 400)
    assert await Postman(quiet).send_waiting() == {}
    with quiet.database.read() as session:
        mail = session.scalars(select(Mail)).one()
    assert mail.state == "failed"
    assert mail.error.startswith("Given up after a day. The mail server")


async def test_a_mail_that_cannot_be_made_does_not_hold_up_the_others(quiet, mailbox, monkeypatch):
    add_papers(quiet)
    for name in ("a", "b", "c"):
        add_reader(quiet, f"{name}@example.org")
    enqueue(quiet, ISSUE)
    made = postman_module.compose_digest

    def compose(site, session, mail):
        if mail.address == "a@example.org":
            raise ZeroDivisionError
        return made(site, session, mail)

    monkeypatch.setattr(postman_module, "compose_digest", compose)
    assert await Postman(quiet).send_waiting() == {"sent": 2, "failed": 1}
    assert sorted(mailbox.addresses) == ["b@example.org", "c@example.org"]


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
async def test_many_senders_at_once_send_each_mail_once(quiet, mailbox, kind):
    add_papers(quiet)
    addresses = [f"reader{number}@example.org" for number in range(12)]
    for address in addresses:
        add_reader(quiet, address)
    made = await asyncio.gather(*(asyncio.to_thread(enqueue, quiet, ISSUE) for _ in range(3)))
    assert sum(made) == 12
    counts = await asyncio.gather(*(Postman(quiet).send_waiting() for _ in range(4)))
    assert sum(count["sent"] for count in counts) == 12
    assert sorted(mailbox.addresses) == sorted(addresses)


async def test_links_that_somebody_waits_for_go_before_digests(quiet, mailbox):
    add_papers(quiet)
    add_reader(quiet, "a@example.org")
    enqueue(quiet, ISSUE)
    with quiet.database.write() as session:
        session.add(Person(email="b@example.org"))
        session.add(Mail(address="b@example.org", issue="confirm:2026-11-25", created=now() + 9,
                         payload={"kind": "sign-in", "next": "/", "base": URL}))  # fmt: skip
    await Postman(quiet).send_waiting()
    assert mailbox.addresses == ["b@example.org", "a@example.org"]


def test_only_one_sender_keeps_house(quiet):
    with senders_lock(quiet) as first, senders_lock(quiet) as second:
        assert (first, second) == (True, False)
    with senders_lock(quiet) as again:
        assert again is True


def test_what_is_found_in_sending_is_reported_once_and_never_repeated(quiet):
    with quiet.database.write() as session:
        session.add(Mail(address="a@example.org", issue=ISSUE.name, state="sending"))
        session.add(Mail(address="b@example.org", issue=ISSUE.name, state="waiting"))
    assert report_lost(quiet) == [("a@example.org", ISSUE.name)]
    assert report_lost(quiet) == []
    assert states(quiet) == {("a@example.org", ISSUE.name): "failed", ("b@example.org", ISSUE.name): "waiting"}
    assert enqueue(quiet, ISSUE) == 0


async def test_a_running_site_sends_what_is_due_and_what_was_left(cards_url, tmp_path, mailbox):
    config = SiteConfig(database=cards_url, folder=tmp_path / "site", models=("fake:4",), url=URL,
                        mail=MailConfig(mailbox.url, "papers@example.org"))  # fmt: skip
    app = create_app(config)
    site = app.state.site
    add_papers(site)
    add_reader(site, "a@example.org")
    add_reader(site, "lost@example.org")
    with site.database.write() as session:
        session.add(Mail(address="lost@example.org", issue=ISSUE.name, state="sending"))
    async with app.router.lifespan_context(app):
        await mailbox.expect(1)
    assert mailbox.addresses == ["a@example.org"]
    assert states(site)[("lost@example.org", ISSUE.name)] == "failed"


@pytest.mark.slow
async def test_without_a_server_mails_land_in_the_outbox_and_the_pages_say_so(cards_url, tmp_path, client, app):
    site = app.state.site  # of the fixtures: no mail server
    assert site.config.mail.server is None
    where = str(site.config.folder / "outbox")
    for path in ("/sign-in", "/subscribe"):
        assert where in (await client.get(path)).text
    answer = await client.post("/sign-in", data={"email": "a@example.org"})
    assert where in answer.text
    for _ in range(500):
        if found := list((site.config.folder / "outbox").glob("*.eml")):
            break
        await asyncio.sleep(0.02)
    message = email.message_from_bytes(found[0].read_bytes(), policy=email.policy.default)
    assert "http://localhost/sign-in/confirm?token=" in message.get_body(("plain",)).get_content()


def test_without_an_address_of_its_own_a_site_that_others_read_makes_no_digest(database_url, tmp_path):
    config = SiteConfig(database=database_url, folder=tmp_path / "site", host="0.0.0.0", key="k" * 20, url=None,
                        models=("fake:4",))  # fmt: skip
    site = Site(config, ModelPool.of(config.models))
    add_papers(site)
    add_reader(site, "a@example.org")
    with pytest.raises(CapabilityError, match="EDUCE_SITE_URL"):
        enqueue(site, ISSUE)
    site.database.close()


class Killer:
    """Kills the sender while the server holds one of its mails: before it takes it, or after."""

    def __init__(self, at, after):
        self.at, self.after, self.process, self.count = at, after, None, 0

    async def __call__(self, mailbox, envelope):
        self.count += 1
        if self.count == self.at:
            if self.after:
                mailbox.addresses.extend(envelope.rcpt_tos)  # taken, but the sender never hears of it
            self.process.send_signal(signal.SIGKILL)
            await self.process.wait()
            raise ConnectionResetError


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.timeout(600)
async def test_a_sender_that_is_killed_in_a_digest_loses_and_doubles_nothing(quiet, database_url, mailbox, tmp_path, after,
                                                                             kind):  # fmt: skip
    """kill -9 of `educe site send-digests` in the middle of its third mail, then of its second, then it may finish."""
    add_papers(quiet)
    addresses = [f"reader{number:02}@example.org" for number in range(9)]
    for address in addresses:
        add_reader(quiet, address)
    environment = {
        **os.environ, "EDUCE_SMTP_URL": mailbox.url, "EDUCE_MAIL_FROM": "papers@example.org", "EDUCE_SITE_URL": URL,
        "EDUCE_DATABASE_URL": database_url, "EDUCE_DATA_DIR": str(tmp_path), "EDUCE_LM": "fake:4",
    }  # fmt: skip
    environment.pop("EDUCE_SERVER_KEY", None)
    reported = []

    async def send(killer):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", COMMAND, "site", "send-digests", "--rhythm", "daily",
            env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        mailbox.hold = killer
        if killer is not None:
            killer.process = process
        out, err = await process.communicate()
        reported.extend(re.findall(r"to (\S+): it is not known", err.decode()))
        return process.returncode, out.decode(), err.decode()

    for at in (3, 2):
        code, out, err = await send(Killer(at, after))
        assert code == -signal.SIGKILL, out + err
    code, out, err = await send(None)
    assert code == 0, err
    assert "0 digests made; of all mails 4 sent, 0 failed" in out
    final = states(quiet)
    sent = {address for (address, _), state in final.items() if state == "sent"}
    failed = {address for (address, _), state in final.items() if state == "failed"}
    # Every reader has one row, every row is decided, and what is not known to be sent was reported.
    assert sent | failed == set(addresses)
    assert sorted(reported) == sorted(failed)
    assert len(failed) == 2
    assert len(mailbox.addresses) == len(set(mailbox.addresses))
    assert set(mailbox.addresses) == (set(addresses) if after else sent)
    code, out, err = await send(None)
    assert "0 digests made; of all mails 0 sent" in out
    assert len(mailbox.addresses) == (9 if after else 7)


def test_the_database_keeps_one_mail_for_each_address_and_issue(database):
    with database.write() as session:
        session.add(Mail(address="a@example.org", issue="x"))
    with pytest.raises(Exception, match=r"(?i)unique"), database.write() as session:
        session.execute(
            text(
                "INSERT INTO mails (address, issue, state, created, changed) VALUES ('a@example.org', 'x', 'sent', 1, 1)"
            )
        )
