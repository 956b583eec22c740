"""Signing in by mail: nothing tells who is known, and a link works once, for its purpose, for its owner, for a while."""

import re
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from itsdangerous import URLSafeSerializer
from sqlalchemy import event, func, select

from educe.site import links, postman
from educe.site.app import create_app
from educe.site.config import SiteConfig
from educe.site.links import make_token
from educe.site.mail import MailConfig, MailLimits
from educe.site.schema import Mail, Person, Token, Vote, now

URL = "https://papers.example.org"
SAME = {"sec-fetch-site": "same-origin"}


@pytest.fixture
def kind():
    return "sqlite"


@pytest.fixture
def site_config(cards_url, tmp_path, mailbox):
    return SiteConfig(
        database=cards_url, folder=tmp_path / "site", models=("fake:4",), url=URL,
        mail=MailConfig(mailbox.url, "educe <papers@example.org>", MailLimits(per_network=8, per_domain=9, total=12)),
    )  # fmt: skip


def link_in(message):
    text = message.get_body(("plain",)).get_content()
    return re.search(rf"{URL}\S+", text)[0]


def token_in(message):
    return parse_qs(urlsplit(link_in(message)).query)["token"][0]


def path_in(message):
    return link_in(message).removeprefix(URL)


def person(site, address="ada@example.org", confirmed=True):
    with site.database.write() as session:
        row = Person(email=address, confirmed=now() if confirmed else None)
        session.add(row)
        session.flush()
        return row.id


def count(site, table, *conditions):
    with site.database.read() as session:
        return session.scalar(select(func.count()).select_from(table).where(*conditions))


async def test_the_whole_way_from_the_address_to_a_vote(client, site, mailbox):
    answer = await client.post("/papers/rpc/vote")
    assert answer.headers["location"] == "/sign-in?next=/papers/rpc"
    form = (await client.get(answer.headers["location"])).text
    assert 'name="next" value="/papers/rpc"' in form
    answer = await client.post("/sign-in", data={"email": " Ada@Example.ORG", "next": "/papers/rpc"})
    assert answer.status_code == 200
    message = await mailbox.expect(1)
    assert mailbox.addresses == ["ada@example.org"]
    assert link_in(message).startswith(URL + "/sign-in/confirm?token=")
    for _ in range(3):  # Looking does nothing, as often as one likes.
        looked = await client.get(path_in(message))
        assert looked.status_code == 200
        assert "set-cookie" not in looked.headers
        assert looked.headers["cache-control"] == "no-store"
        assert looked.headers["referrer-policy"] == "no-referrer"
    assert count(site, Person, Person.confirmed.is_not(None)) == 0
    answer = await client.post("/sign-in/confirm", data={"token": token_in(message)})
    assert (answer.status_code, answer.headers["location"]) == (303, "/papers/rpc")
    assert count(site, Person, Person.confirmed.is_not(None)) == 1
    answer = await client.post("/papers/rpc/vote", headers=SAME)
    assert answer.headers["location"] == "/papers/rpc"
    assert count(site, Vote) == 1
    assert "ada@example.org" in (await client.get("/account")).text
    await client.post("/sign-out", headers=SAME)
    assert (await client.get("/account")).headers["location"] == "/sign-in?next=/account"


async def test_known_and_unknown_addresses_get_the_same_answer_by_the_same_work(app, client, site, mailbox):
    person(site, "known@example.org")
    person(site, "waiting@example.org", confirmed=False)
    await app.state.postman.stop()  # What is left are the statements of the request.
    statements = []
    event.listen(site.database.engine, "before_cursor_execute", lambda *call: statements.append(call[2]))
    answers, work = [], []
    for address in ("known@example.org", "waiting@example.org", "unknown@example.org", "unknown@example.org"):
        statements.clear()
        answer = await client.post("/sign-in", data={"email": address})
        work.append([text for text in statements if "people" in text or "mails" in text or "allowances" in text])
        headers = {name: value for name, value in answer.headers.items() if name != "content-length"}
        answers.append((answer.status_code, headers, answer.text.replace(address, "X")))
    assert answers[0] == answers[1] == answers[2] == answers[3]
    assert work[0] == work[1] == work[2] == work[3]
    assert sum(text.startswith("INSERT") for text in work[0]) == 6  # four allowances, the person, the mail
    assert len(work[0]) == 7
    assert count(site, Mail) == 3


async def test_an_unconfirmed_address_gets_one_mail_a_day_and_a_confirmed_one_a_few(client, site, mailbox):
    for path, more in (("/sign-in", {}), ("/subscribe", {"rhythm": "daily"}), ("/sign-in", {})):
        assert (await client.post(path, data={"email": "new@example.org", **more})).status_code == 200
    await mailbox.expect(1)
    person(site, "old@example.org")
    for _ in range(3):
        await client.post("/sign-in", data={"email": "old@example.org"})
    await mailbox.expect(4)
    assert mailbox.addresses == ["new@example.org"] + ["old@example.org"] * 3
    assert len({token_in(message) for message in mailbox.received}) == 4


async def test_allowances_of_networks_domains_and_the_site(app, mailbox):
    async def ask(host, address):
        transport = httpx.ASGITransport(app=app, client=(host, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as reader:
            return await reader.post("/sign-in", data={"email": address})

    assert [(await ask("192.0.2.1", f"a{turn}@one.example")).status_code for turn in range(9)] == [200] * 8 + [429]
    refused = await ask("192.0.2.1", "b@two.example")
    assert "your network" in refused.json()["detail"]
    assert 0 < int(refused.headers["retry-after"]) <= 86400
    # Another network has its own; one visitor's IPv6 addresses are one network; a domain's allowance is everybody's.
    assert [(await ask(f"2001:db8::{turn}", f"c{turn}@one.example")).status_code for turn in range(2)] == [200, 429]
    assert "one.example" in (await ask("2001:db8::7", "d@one.example")).json()["detail"]
    codes = [(await ask(f"198.51.100.{turn}", f"e@d{turn}.example")).status_code for turn in range(5)]
    assert codes == [200] * 3 + [429] * 2
    await mailbox.expect(12)


@pytest.mark.slow
async def test_refused_requests_store_nothing(client, site):
    for address in (
        "",
        "nobody",
        "a@b",
        "@example.org",
        "a b@example.org",
        "a@example.org\r\nBcc: x@example.org",
        "a@exam\nple.org",
        "a@example.org,b@example.org",
        '"a"@example.org',
        "a@-x.example",
        "a@1.2.3.4",
        "a" * 65 + "@example.org",
        "a@" + "b" * 64 + ".org",
        "<a@example.org>",
        "a@example.org\x00",
    ):
        answer = await client.post("/sign-in", data={"email": address})
        assert answer.status_code == 422, address
        assert 'role="alert"' in answer.text
    assert (await client.post("/sign-in", data={"email": "<script>alert(1)</script>"})).text.count("<script>") == 0
    assert count(site, Mail) == count(site, Person) == 0


@pytest.mark.slow
@pytest.mark.parametrize("path", ["https://elsewhere.example", "//elsewhere.example", "/\\elsewhere.example", "x",
                                  "/a\r\nset-cookie: a=b", "javascript:alert(1)", "/" + "a" * 400])  # fmt: skip
async def test_signing_in_leads_nowhere_else(client, mailbox, path):
    answer = await client.post("/sign-in", data={"email": "a@example.org", "next": path[:400]})
    assert answer.status_code == 200
    message = await mailbox.expect(1)
    answer = await client.post("/sign-in/confirm", data={"token": token_in(message)})
    assert answer.headers["location"] == "/"


async def test_links_are_not_made_from_what_a_request_says(client, mailbox):
    headers = {"host": "localhost", "x-forwarded-host": "elsewhere.example", "forwarded": "host=elsewhere.example"}
    await client.post("/sign-in", data={"email": "a@example.org"}, headers=headers)
    assert link_in(await mailbox.expect(1)).startswith(URL)
    answer = await client.post("/sign-in", data={"email": "b@example.org"}, headers={"host": "elsewhere.example"})
    assert answer.status_code == 421


async def test_a_site_that_others_read_sends_no_mail_before_it_knows_its_address(cards_url, tmp_path):
    key = "k" * 20
    app = create_app(SiteConfig(database=cards_url, folder=tmp_path / "other", host="0.0.0.0", key=key, url=None))
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app=app)
        headers = {"authorization": f"Bearer {key}", "host": "papers.example.org"}
        async with httpx.AsyncClient(transport=transport, base_url="http://x", headers=headers) as reader:
            answer = await reader.post("/sign-in", data={"email": "a@example.org"})
    assert answer.status_code == 503
    assert "EDUCE_SITE_URL" in answer.json()["detail"]


def stored(site, purpose="sign-in", seconds=3600):
    number = person(site, f"{purpose}@example.org")
    with site.database.write() as session:
        return make_token(session, site.secret, purpose, number, {}, seconds)


@pytest.mark.slow
async def test_forged_replayed_expired_and_misdirected_tokens(client, site, monkeypatch):
    good = stored(site)
    forged = [
        "", "x", good[:-1], good + "A", good.upper(), "." + good, "a" * 5000, "\x00", "../" + good,
        # The right form under another secret, and the right signature without a row.
        str(URLSafeSerializer("another secret", salt="educe.link.sign-in").dumps("x" * 24)),
        str(URLSafeSerializer(site.secret, salt="educe.link.sign-in").dumps("x" * 24)),
        stored(site, "subscribe"), stored(site, "unsubscribe"),
    ]  # fmt: skip
    for token in forged:
        answer = await client.post("/sign-in/confirm", data={"token": token[:400]})
        assert answer.status_code == 410, token
        assert "set-cookie" not in answer.headers
        assert (await client.get("/sign-in/confirm", params={"token": token})).status_code == 410
    moment = now()
    monkeypatch.setattr(links, "now", lambda: moment + 3601)
    assert (await client.post("/sign-in/confirm", data={"token": good})).status_code == 410
    monkeypatch.setattr(links, "now", now)
    assert (await client.post("/sign-in/confirm", data={"token": good})).status_code == 303
    client.cookies.clear()
    replayed = await client.post("/sign-in/confirm", data={"token": good})
    assert replayed.status_code == 410
    assert "set-cookie" not in replayed.headers


async def test_the_database_holds_no_token(client, site, mailbox):
    await client.post("/sign-in", data={"email": "a@example.org"})
    token = token_in(await mailbox.expect(1))
    raw = site.database.path.read_bytes() + site.database.path.with_name("site.sqlite-wal").read_bytes()
    assert token.encode() not in raw
    assert token.partition(".")[0].encode() not in raw
    with site.database.read() as session:
        assert len(session.scalars(select(Token)).one().digest) == 64


async def test_another_sites_page_can_neither_ask_nor_sign_in(client, site):
    token = stored(site)
    for headers in ({"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}, {"origin": "https://x.example"}):
        for path, data in (("/sign-in", {"email": "a@example.org"}), ("/sign-in/confirm", {"token": token}),
                           ("/sign-out", {}), ("/subscribe", {"email": "a@example.org", "rhythm": "daily"}),
                           ("/subscriptions/end", {}), ("/submit", {"arxiv": "2502.00511"})):  # fmt: skip
            assert (await client.post(path, data=data, headers=headers)).status_code == 403
    assert count(site, Mail) == 0
    assert count(site, Token, Token.used.is_not(None)) == 0


async def test_a_session_of_somebody_who_is_gone_opens_nothing(client, site):
    for session in ({"person": 999}, {"person": person(site, confirmed=False)}, {"person": "1"}):
        client.cookies.set("educe_session", site.signer.sign(session))
        assert (await client.get("/account")).headers["location"] == "/sign-in?next=/account"


async def test_the_key_of_a_session_survives_signing_in_and_out(client, site):
    client.cookies.set("educe_session", site.signer.sign({"key": True}), domain="localhost.local")
    answer = await client.post("/sign-in/confirm", data={"token": stored(site)}, headers=SAME)
    session = site.signer.read(answer.cookies["educe_session"])
    assert session["key"] is True
    assert isinstance(session["person"], int)
    answer = await client.post("/sign-out", headers=SAME)
    assert site.signer.read(answer.cookies["educe_session"]) == {"key": True}


async def test_unconfirmed_addresses_go_after_seven_days_with_all_that_names_them(client, site, mailbox):
    await client.post("/sign-in", data={"email": "never@example.org"})
    await mailbox.expect(1)
    person(site, "always@example.org")
    week = 7 * 86400

    def age(seconds):
        with site.database.write() as session:
            for row in [*session.scalars(select(Person)), *session.scalars(select(Mail))]:
                row.created = now() - seconds

    age(week - 60)
    assert postman.clean(site) == 0
    age(week + 60)
    assert postman.clean(site) == 1
    with site.database.read() as session:
        assert list(session.scalars(select(Person.email))) == ["always@example.org"]
        assert not list(session.scalars(select(Mail.address)))
        assert not list(session.scalars(select(Token.digest)))
