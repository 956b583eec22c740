"""Mails and how they leave: against a real SMTP server with TLS and a login, one that refuses, and one that breaks off."""

import email
import email.policy
import ssl
import stat
import subprocess

import pytest
from aiosmtpd.smtp import AuthResult
from hypothesis import example, given
from hypothesis import strategies as st

from educe.core import UsageError
from educe.site.addresses import parse_address, safe_path
from educe.site.mail import (
    DeferredError,
    MailConfig,
    MailLimits,
    Outbox,
    RefusedError,
    SmtpServer,
    SmtpTransport,
    UncertainError,
    new_message,
)

# The test server's own warning.
WITHOUT_TLS = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS:UserWarning")
CONFIG = MailConfig(None, "Papérs <papers@example.org>")


def a_message(to="ada@example.org", number=1, text="Bonjour é\n.\n.dot\n" + "x" * 2000):
    return new_message(
        CONFIG, to, "Süßes", text, "<p>Bonjour é</p>", f"<educe-{number}@example.org>", {"List-Id": "<x>"}
    )


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A certificate for localhost that only who trusts it accepts."""
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", folder / "key", "-out", folder / "cert"],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "cert", folder / "key")
    return context, folder / "cert"


def check_login(server, session, envelope, mechanism, data):
    return AuthResult(success=(data.login, data.password) == (b"ada", b"p@ss/word"))


async def send(url, message=None):
    transport = SmtpTransport(SmtpServer.parse(url), seconds=5)
    try:
        await transport.send(message or a_message())
    finally:
        await transport.aclose()


async def test_what_arrives_is_what_was_made(mailbox):
    transport = SmtpTransport(SmtpServer.parse(mailbox.url))
    for number in range(3):  # One connection carries several.
        await transport.send(a_message(number=number))
    await transport.aclose()
    message = mailbox.received[2]
    assert message["Subject"] == "Süßes"
    assert message["From"] == "Papérs <papers@example.org>"
    assert message["Message-ID"] == "<educe-2@example.org>"
    assert [part.get_content_type() for part in message.walk()] == ["multipart/alternative", "text/plain", "text/html"]
    assert (
        message.get_body(("plain",)).get_content().replace("\r\n", "\n") == "Bonjour é\n.\n.dot\n" + "x" * 2000 + "\n"
    )
    assert "Bonjour é" in message.get_body(("html",)).get_content()
    # Any server takes it: seven bits and short lines.
    raw = a_message().as_bytes()
    assert raw.isascii()
    assert max(map(len, raw.split(b"\r\n"))) <= 998


@pytest.mark.slow
@WITHOUT_TLS
@pytest.mark.parametrize("security", ["smtps", "smtp+starttls"])
async def test_tls_and_login(certificate, monkeypatch, security, mailbox):
    context, trusted = certificate
    await mailbox.close()
    options = {"authenticator": check_login, "auth_required": True}
    if security == "smtps":
        await mailbox.open(implicit=context, auth_require_tls=False, **options)
    else:
        await mailbox.open(tls_context=context, require_starttls=True, **options)
    place = f"localhost:{mailbox.port}"
    good = f"{security}://ada:p%40ss%2Fword@{place}"
    with pytest.raises(DeferredError, match="cannot be used"):  # Nobody trusts this certificate.
        await send(good)
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    await send(good)
    assert mailbox.addresses == ["ada@example.org"]
    with pytest.raises(DeferredError, match="cannot be used") as refused:
        await send(f"{security}://ada:wrong-one@{place}")
    assert "wrong-one" not in str(refused.value)
    assert len(mailbox.received) == 1


async def test_a_server_without_the_demanded_tls_gets_nothing(mailbox):
    with pytest.raises(DeferredError):
        await send(f"smtp+starttls://ada:secret@127.0.0.1:{mailbox.port}")
    assert not mailbox.received


@WITHOUT_TLS
async def test_login_without_tls_on_this_machine(mailbox):
    await mailbox.close()
    await mailbox.open(authenticator=check_login, auth_required=True, auth_require_tls=False)
    await send(f"smtp://ada:p%40ss%2Fword@127.0.0.1:{mailbox.port}")
    assert len(mailbox.received) == 1


@pytest.mark.parametrize(
    ("where", "reply", "error"),
    [("ada@example.org", "550 no such user", RefusedError), ("ada@example.org", "451 later", DeferredError),
     ("DATA", "554 no spam", RefusedError), ("DATA", "452 full", DeferredError)],
)  # fmt: skip
async def test_the_reply_decides_whether_it_is_tried_again(mailbox, where, reply, error):
    mailbox.replies[where] = reply
    transport = SmtpTransport(SmtpServer.parse(mailbox.url))
    with pytest.raises(error, match=reply[:3]):
        await transport.send(a_message())
    mailbox.replies.clear()
    mailbox.received.clear()
    await transport.send(a_message("bob@example.org"))  # The connection is still of use.
    await transport.aclose()
    assert len(mailbox.received) == 1


async def test_a_connection_that_breaks_in_the_text_leaves_it_open(mailbox):
    async def handle(server, session, envelope):
        server.transport.abort()
        return "250 never read"

    mailbox.handle_DATA = handle
    with pytest.raises(UncertainError):
        await send(mailbox.url)


async def test_nobody_listens():
    with pytest.raises(DeferredError, match=r"127\.0\.0\.1:1 cannot be used"):
        await send("smtp://127.0.0.1:1")


async def test_the_outbox_holds_mails_that_only_its_owner_reads(tmp_path):
    outbox = Outbox(tmp_path / "outbox")
    for _ in range(2):
        await outbox.send(a_message())
    (path,) = (tmp_path / "outbox").iterdir()
    assert path.name == "educe-1.eml"
    message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    assert message["To"] == "ada@example.org"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "url", ["mail.example.org", "http://mail.example.org", "smtp://", "smtps://a:b@host:x", "smtps://user@host",
            "smtps://host/path", "smtp://host?tls=no", "smtp://ada:secret-word@mail.example.org"],
)  # fmt: skip
def test_a_bad_server_address_is_refused_without_showing_the_password(url):
    with pytest.raises(UsageError) as refused:
        MailConfig(url, "a@example.org")
    assert "secret-word" not in str(refused.value)
    assert "secret-word" not in repr(SmtpServer("host", 25, "smtp", "ada", "secret-word"))


@pytest.mark.parametrize(
    "sender", [None, "nobody", "a@b", "a@example.org, b@example.org", "x\r\nBcc: y <a@example.org>"]
)
def test_a_server_needs_a_sender(sender):
    with pytest.raises(UsageError):
        MailConfig("smtp://localhost", sender)
    with pytest.raises(UsageError):
        MailLimits(total=0)


@pytest.mark.slow
@given(st.text(max_size=80) | st.emails())
@example("a@example.org\nBcc: b@example.org")
@example("a@example.org ")
def test_whatever_passes_as_an_address_makes_one_recipient_and_no_header(text):
    try:
        address = parse_address(text)
    except UsageError:
        return
    assert address.isascii()
    assert parse_address(address) == address
    raw = a_message(address).as_bytes()
    parsed = email.message_from_bytes(raw, policy=email.policy.default)
    assert [found.addr_spec for found in parsed["To"].addresses] == [address]
    assert set(parsed) == {"From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "List-Id", "MIME-Version",
                           "Content-Type"}  # fmt: skip


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=60))
@example("/\t/elsewhere.example")
@example("/%0d%0aset-cookie:a")
def test_a_safe_path_is_a_path_of_this_site(text):
    path = safe_path(text)
    assert path.startswith("/")
    assert path[1:2] not in ("/", "\\")
    assert path.isascii()
    assert path.isprintable()
