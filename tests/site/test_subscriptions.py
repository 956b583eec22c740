"""Double opt-in, ending by a button, by one click of a mail program, and in the account."""

import re
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from sqlalchemy import select

from educe.site.app import create_app
from educe.site.config import SiteConfig
from educe.site.links import make_token
from educe.site.mail import MailConfig
from educe.site.schema import Mail, Person, Subscription, now
from educe.site.subscriptions import end, subscribe

URL = "https://papers.example.org"
SAME = {"sec-fetch-site": "same-origin"}


@pytest.fixture
def kind():
    return "sqlite"


@pytest.fixture
def site_config(cards_url, tmp_path, mailbox):
    mail = MailConfig(mailbox.url, "papers@example.org")
    return SiteConfig(database=cards_url, folder=tmp_path / "site", models=("fake:4",), url=URL, mail=mail)


def token_in(message):
    link = re.search(rf"{URL}\S+", message.get_body(("plain",)).get_content())[0]
    return parse_qs(urlsplit(link).query)["token"][0]


def subscriptions(site, live=True):
    with site.database.read() as session:
        rows = session.execute(select(Subscription, Person.email).join(Person, Person.id == Subscription.person_id))
        return sorted(
            (email, row.topic, row.rhythm) for row, email in rows if not live or (row.confirmed and row.ended is None)
        )


def signed_in(client, site, address="ada@example.org"):
    with site.database.write() as session:
        person = Person(email=address, confirmed=now())
        session.add(person)
        session.flush()
        client.cookies.set("educe_session", site.signer.sign({"person": person.id}))
        return person.id


def digest_token(site, person, rhythm):
    with site.database.write() as session:
        return make_token(session, site.secret, "unsubscribe", person, {"rhythm": rhythm}, 3600)


async def test_nothing_is_subscribed_before_the_button_is_pressed(client, site, mailbox):
    topics = sorted(topic for topic, _ in site.topics())[:2]
    data = {"email": "ada@example.org", "rhythm": "daily", "topic": topics}
    answer = await client.post("/subscribe", data=data)
    assert answer.status_code == 200
    message = await mailbox.expect(1)
    for topic in data["topic"]:
        assert f"- {topic}" in message.get_body(("plain",)).get_content()
        assert topic in message.get_body(("html",)).get_content()
    assert subscriptions(site, live=False) == []
    token = token_in(message)
    assert "Confirm" in (await client.get("/subscribe/confirm", params={"token": token})).text
    assert subscriptions(site, live=False) == []
    # A link of one purpose is none of another.
    assert (await client.post("/sign-in/confirm", data={"token": token})).status_code == 410
    assert (await client.post(f"/unsubscribe?token={token}")).status_code == 410
    assert (await client.post("/subscribe/confirm", data={"token": token})).status_code == 200
    assert subscriptions(site) == [("ada@example.org", topic, "daily") for topic in data["topic"]]
    assert (await client.post("/subscribe/confirm", data={"token": token})).status_code == 410


async def test_no_topic_means_all_papers_and_unknown_ones_are_refused(client, site, mailbox):
    answer = await client.post(
        "/subscribe", data={"email": "a@example.org", "rhythm": "daily", "topic": ["<script>alert(1)</script>"]}
    )
    assert answer.status_code == 422
    assert "<script>alert" not in answer.text
    assert (await client.post("/subscribe", data={"email": "a@example.org", "rhythm": "hourly"})).status_code == 422
    assert (await client.post("/subscribe", data={"email": "a@b", "rhythm": "daily"})).status_code == 422
    many = [topic for topic, _ in site.topics()][:21]
    answer = await client.post("/subscribe", data={"email": "a@example.org", "rhythm": "daily", "topic": many})
    assert answer.status_code == (422 if len(many) > 20 else 200)
    with site.database.read() as session:
        assert not list(session.scalars(select(Mail)))
    await client.post("/subscribe", data={"email": "a@example.org", "rhythm": "weekly"})
    await client.post("/subscribe/confirm", data={"token": token_in(await mailbox.expect(1))})
    assert subscriptions(site) == [("a@example.org", "", "weekly")]


async def test_who_is_signed_in_needs_no_mail_and_can_change_and_end(client, site, mailbox):
    signed_in(client, site)
    topic = site.topics()[0][0]
    for rhythm in ("daily", "weekly"):
        answer = await client.post("/subscribe", data={"rhythm": rhythm, "topic": topic}, headers=SAME)
        assert answer.headers["location"] == "/account"
        assert subscriptions(site) == [("ada@example.org", topic, rhythm)]
    await client.post("/subscribe", data={"rhythm": "daily"}, headers=SAME)
    numbers = re.findall(r'name="number" value="(\d+)"', (await client.get("/account")).text)
    assert len(numbers) == 2
    await client.post("/subscriptions/end", data={"number": numbers[0]}, headers=SAME)
    assert len(subscriptions(site)) == 1
    await client.post("/subscriptions/end", headers=SAME)
    assert subscriptions(site) == []
    assert not mailbox.received


async def test_nobody_ends_what_is_somebody_elses(client, site):
    other = signed_in(client, site, "other@example.org")
    with site.database.write() as session:
        subscribe(session, other, "daily", [""])
        number = session.scalars(select(Subscription.id)).one()
    signed_in(client, site)
    await client.post("/subscriptions/end", data={"number": number}, headers=SAME)
    await client.post("/subscriptions/end", headers=SAME)
    client.cookies.clear()
    assert (await client.post("/subscriptions/end", data={"number": number})).headers["location"].startswith("/sign-in")
    assert subscriptions(site) == [("other@example.org", "", "daily")]


async def test_one_click_ends_the_digest_it_came_with(client, site):
    person = signed_in(client, site)
    client.cookies.clear()
    with site.database.write() as session:
        subscribe(session, person, "daily", ["a", "b"])
        subscribe(session, person, "weekly", ["c"])
    token = digest_token(site, person, "daily")
    for _ in range(2):
        looked = await client.get("/unsubscribe", params={"token": token})
        assert "End the daily digest" in looked.text
        assert "End every digest" in looked.text
    assert len(subscriptions(site)) == 3
    # What RFC 8058 says that a mail program sends: no cookie, no origin, this body, in either encoding.
    answer = await client.post(f"/unsubscribe?token={token}", data={"List-Unsubscribe": "One-Click"})
    assert answer.status_code == 200
    assert subscriptions(site) == [("ada@example.org", "c", "weekly")]
    assert (await client.post(f"/unsubscribe?token={token}")).status_code == 410
    again = digest_token(site, person, "weekly")
    answer = await client.post(f"/unsubscribe?token={again}", files={"List-Unsubscribe": (None, "One-Click")})
    assert answer.status_code == 200
    assert subscriptions(site) == []


async def test_the_button_can_end_everything(client, site):
    person = signed_in(client, site)
    with site.database.write() as session:
        subscribe(session, person, "daily", [""])
        subscribe(session, person, "weekly", ["c"])
    token = digest_token(site, person, "daily")
    answer = await client.post(f"/unsubscribe?token={token}", data={"every": "true"}, headers=SAME)
    assert "Every digest" in answer.text
    assert subscriptions(site) == []


async def test_one_click_works_where_every_other_route_demands_the_key(cards_url, tmp_path):
    key = "k" * 20
    app = create_app(SiteConfig(database=cards_url, folder=tmp_path / "keyed", host="0.0.0.0", key=key, url=URL))
    async with app.router.lifespan_context(app):
        site = app.state.site
        with site.database.write() as session:
            session.add(Person(id=1, email="a@example.org", confirmed=now()))
            session.flush()
            subscribe(session, 1, "daily", [""])
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="https://papers.example.org") as program:
            for path in ("/subscribe", "/sign-in", "/account", "/submit", "/sign-in/confirm", "/subscribe/confirm"):
                assert (await program.post(path)).status_code == 401
            assert (await program.post("/unsubscribe?token=x")).status_code == 410
            answer = await program.post(
                f"/unsubscribe?token={digest_token(site, 1, 'daily')}", data={"List-Unsubscribe": "One-Click"}
            )
        assert answer.status_code == 200
        assert subscriptions(site) == []


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def test_subscribing_twice_is_one_subscription(database, kind):
    with database.write() as session:
        session.add(Person(id=1, email="a@example.org", confirmed=now()))
        session.flush()
        subscribe(session, 1, "daily", ["", "a"])
        assert end(session, 1, rhythm="weekly") == 0
        assert end(session, 1, rhythm="daily") == 2
        assert end(session, 1) == 0
        subscribe(session, 1, "weekly", ["a"])
    with database.read() as session:
        rows = session.scalars(select(Subscription).order_by(Subscription.topic)).all()
    assert [(row.topic, row.rhythm, row.ended is None) for row in rows] == [("", "daily", False), ("a", "weekly", True)]
