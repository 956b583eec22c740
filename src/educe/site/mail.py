"""Mails as such: who sends them, how one is made, and how it leaves: by SMTP, or into a folder.

A mail has a text and an HTML part and nothing that is fetched. SMTP is spoken by `aiosmtplib`, one command at a time,
so that what went wrong is known: before the text was handed over nothing was sent and it may be tried again; a refusal
is final; a connection that breaks after that leaves it open, and then nothing is sent twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import os
import ssl
from dataclasses import dataclass, field
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

import aiosmtplib

from educe.core import BackendError, UsageError
from educe.core.settings import mail_sender, smtp_url
from educe.site.addresses import domain_of, parse_address

__all__ = [
    "DeferredError",
    "MailConfig",
    "MailLimits",
    "Outbox",
    "RefusedError",
    "SmtpServer",
    "SmtpTransport",
    "Transport",
    "UncertainError",
    "message_id",
    "new_message",
]

# Seven bits: any server takes it, and long lines are broken on the way.
POLICY = SMTP.clone(cte_type="7bit")
SECONDS = 30.0
PORTS = {"smtps": 465, "smtp+starttls": 587, "smtp": 25}
OUTBOX_SENDER = "educe <educe@educe.invalid>"


class DeferredError(BackendError):
    """The mail was not sent, and may be tried again."""


class RefusedError(BackendError):
    """The server will not take this mail."""


class UncertainError(BackendError):
    """The connection broke after the mail was handed over: nobody knows whether it was sent."""


@dataclass(frozen=True)
class MailLimits:
    """How much may be asked for in a day.

    Parameters
    ----------
    per_network, per_domain, total : int
        Mails asked for from one network address, to one mail domain, and in all.
    sign_ins : int
        Sign-in links to one address that is confirmed; one that is not gets a single mail.
    submissions : int
        Papers that one person may submit.

    Raises
    ------
    UsageError
        A limit is not above zero.

    Examples
    --------
    >>> MailLimits(total=5000).total
    5000
    """

    per_network: int = 20
    per_domain: int = 200
    total: int = 1000
    sign_ins: int = 5
    submissions: int = 10

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value <= 0:
                raise UsageError(f"Limit {name}={value} allows nothing. Give a number above zero.")


@dataclass(frozen=True)
class SmtpServer:
    """A mail server, read from its address.

    Parameters
    ----------
    host : str
        Its name.
    port : int
        Its port.
    security : str
        ``"smtps"`` (TLS from the start), ``"smtp+starttls"`` (TLS before anything is said) or ``"smtp"`` (none).
    user, password : str or None
        For the login.

    Examples
    --------
    >>> SmtpServer.parse("smtps://ada:a%40b@mail.example.org").port
    465
    """

    host: str
    port: int
    security: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, url: str) -> SmtpServer:
        """Read ``smtps://user:password@host:port`` and its like; user and password are percent-encoded.

        Parameters
        ----------
        url : str
            The address.

        Raises
        ------
        UsageError
            It cannot be read, or would send a password in clear to another machine.
        """
        # The address holds a password, so no message shows it.
        hint = "Write EDUCE_SMTP_URL like smtps://user:password@mail.example.org."
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise UsageError(f"The mail server's address cannot be read. {hint}") from None
        if parts.scheme not in PORTS or not parts.hostname or parts.path.strip("/") or parts.query:
            raise UsageError(f"The mail server's address cannot be read. {hint}")
        user = None if parts.username is None else unquote(parts.username)
        password = None if parts.password is None else unquote(parts.password)
        if (user is None) != (password is None):
            raise UsageError(f"The mail server's address has a user or a password alone. {hint}")
        local = parts.hostname in ("localhost", "127.0.0.1", "::1")
        if parts.scheme == "smtp" and user is not None and not local:
            raise UsageError(
                f"A password would go to {parts.hostname} in clear. Write smtps:// or smtp+starttls:// instead of smtp://."
            )
        return cls(parts.hostname, port or PORTS[parts.scheme], parts.scheme, user, password)


@dataclass(frozen=True)
class MailConfig:
    """How the site's mails leave.

    Parameters
    ----------
    smtp : str or None
        Address of the mail server, see `SmtpServer`; ``EDUCE_SMTP_URL`` when left out. None writes mails into a folder.
    sender : str or None
        Whom they come from, ``name <address>``; ``EDUCE_MAIL_FROM`` when left out. Demanded with a mail server.
    limits : MailLimits
        How much may be asked for.

    Raises
    ------
    UsageError
        The server's address or the sender cannot be read, or there is a server and no sender.

    Examples
    --------
    >>> MailConfig(smtp=None).server is None
    True
    """

    smtp: str | None = field(default_factory=smtp_url, repr=False)
    sender: str | None = field(default_factory=mail_sender)
    limits: MailLimits = field(default_factory=MailLimits)

    def __post_init__(self) -> None:
        if self.server is not None and self.sender is None:
            raise UsageError("There is a mail server and no sender. Set EDUCE_MAIL_FROM, like papers@example.org.")
        _ = self.author

    @property
    def server(self) -> SmtpServer | None:
        """The mail server, None where mails are written into a folder."""
        return None if self.smtp is None else SmtpServer.parse(self.smtp)

    @property
    def author(self) -> Address:
        """The sender, as a header needs it."""
        name, address = email.utils.parseaddr(self.sender or OUTBOX_SENDER)
        if any(ord(character) < 32 for character in name):
            raise UsageError(
                "The sender's name has a line break. Write EDUCE_MAIL_FROM like educe <papers@example.org>."
            )
        return Address(name or "educe", addr_spec=parse_address(address))


def new_message(
    config: MailConfig,
    to: str,
    subject: str,
    text: str,
    html: str,
    message_id: str,
    extra: dict[str, str] | None = None,
) -> EmailMessage:
    """Make a mail of two parts.

    Parameters
    ----------
    config : MailConfig
        Names the sender.
    to : str
        From `educe.site.addresses.parse_address`.
    subject : str
        One line.
    text, html : str
        The two parts.
    message_id : str
        With its angle brackets.
    extra : dict, optional
        Further headers.
    """
    message = EmailMessage(POLICY)
    message["From"] = config.author
    message["To"] = Address(addr_spec=to)
    message["Subject"] = subject
    message["Date"] = email.utils.format_datetime(email.utils.localtime())
    message["Message-ID"] = message_id
    message["Auto-Submitted"] = "auto-generated"
    for name, value in (extra or {}).items():
        message[name] = value
    message.set_content(text)
    message.add_alternative(html, subtype="html")
    return message


class Transport(Protocol):
    """A way for mails to leave."""

    async def send(self, message: EmailMessage) -> None:
        """Send one mail, or raise `DeferredError`, `RefusedError` or `UncertainError`."""

    async def aclose(self) -> None:
        """Let go of the connection."""


class Outbox:
    """Writes each mail into a folder, as a file that mail programs open.

    Parameters
    ----------
    folder : Path
        Created where missing, readable by its owner alone: the links in the mails sign people in.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    async def send(self, message: EmailMessage) -> None:
        """Write one mail; a file is there whole or not at all."""
        try:
            await asyncio.to_thread(self._write, message)
        except OSError as error:
            raise DeferredError(f"The outbox cannot be written: {error.strerror}. Free the disk.") from error

    def _write(self, message: EmailMessage) -> None:
        # By its own name: a mail that were written twice would be one file.
        name = str(message["Message-ID"]).strip("<>").partition("@")[0]
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        partial = self.folder / f".{name}.partial"
        with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(message.as_bytes())
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self.folder / f"{name}.eml")

    async def aclose(self) -> None:
        """Nothing is open."""


class SmtpTransport:
    """Hands mails to a server over one connection, opened when the first is sent.

    Parameters
    ----------
    server : SmtpServer
        Which server.
    seconds : float
        Longest wait for any of its answers.
    """

    def __init__(self, server: SmtpServer, seconds: float = SECONDS) -> None:
        self.server, self.seconds = server, seconds
        self._client: aiosmtplib.SMTP | None = None

    async def _connected(self) -> aiosmtplib.SMTP:
        if self._client is not None and self._client.is_connected:
            return self._client
        server = self.server
        secure = server.security != "smtp"
        client = aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            username=server.user,
            password=server.password,
            use_tls=server.security == "smtps",
            # False, not None: a server that offers TLS with a certificate of its own would be unreachable.
            start_tls=server.security == "smtp+starttls",
            tls_context=ssl.create_default_context() if secure else None,
            timeout=self.seconds,
        )
        try:
            await client.connect()
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            client.close()
            raise DeferredError(
                f"The mail server {server.host}:{server.port} cannot be used: {_said(error)}. Check EDUCE_SMTP_URL."
            ) from error
        self._client = client
        return client

    async def send(self, message: EmailMessage) -> None:
        """Hand one mail over."""
        sender, recipient = message["From"].addresses[0].addr_spec, message["To"].addresses[0].addr_spec
        client = await self._connected()
        try:
            await client.mail(sender)
            await client.rcpt(recipient)
        except (aiosmtplib.SMTPException, OSError) as error:
            await self._reset(client)
            raise _failure(error, DeferredError) from error
        try:
            await client.data(message.as_bytes())
        except (aiosmtplib.SMTPException, OSError) as error:
            await self._reset(client)
            raise _failure(error, UncertainError) from error
        except BaseException:
            # Cancelled in the middle: the connection is of no use any more.
            client.close()
            raise

    async def _reset(self, client: aiosmtplib.SMTP) -> None:
        try:
            await client.rset()
        except (aiosmtplib.SMTPException, OSError):
            client.close()
            self._client = None

    async def aclose(self) -> None:
        """Say goodbye."""
        client, self._client = self._client, None
        if client is not None and client.is_connected:
            with contextlib.suppress(aiosmtplib.SMTPException, OSError):
                await client.quit()
            client.close()


def _said(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _failure(error: Exception, otherwise: type[BackendError]) -> BackendError:
    """Tell by the reply code what a failure means; without a code it is `otherwise`."""
    if isinstance(error, aiosmtplib.SMTPResponseException):
        if 500 <= error.code < 600:
            return RefusedError(f"{error.code} {_said(error)}")
        if 400 <= error.code < 500:
            return DeferredError(f"{error.code} {_said(error)}")
    return otherwise(_said(error))


def message_id(config: MailConfig, number: int, created: int) -> str:
    """Name a mail in the world.

    Parameters
    ----------
    config : MailConfig
        Its sender's domain is a part of it.
    number, created : int
        Of the mail's row.
    """
    return f"<educe-{created}-{number}@{domain_of(config.author.addr_spec)}>"
