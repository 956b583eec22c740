"""A PostgreSQL cluster of our own, the site on both databases, and a client that needs no socket."""

import asyncio
import contextlib
import email.message
import email.policy
import os
import pwd
import shutil
import sqlite3
import subprocess
import tempfile
import uuid
from pathlib import Path

import aiosmtpd.smtp
import httpx
import pytest
from sqlalchemy import create_engine, text

from educe.site.app import create_app, prepare
from educe.site.config import SiteConfig
from educe.site.database import Database
from educe.site.openai import ModelPool
from educe.site.seeds import seed_cards


def postgresql_programs():
    """Return the folder of initdb and pg_ctl, None where PostgreSQL is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).parent if on_path else None


@pytest.fixture(scope="session")
def postgresql():
    """Start a private cluster that listens on a Unix socket alone, and give its address."""
    programs = postgresql_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed: no initdb in /usr/lib/postgresql or on the path")
    # A short path: Unix sockets allow about 100 characters.
    folder = Path(tempfile.mkdtemp(prefix="educe-pg-"))
    as_user = {}
    if os.geteuid() == 0:  # initdb refuses root.
        owner = next(entry for name in ("postgres", "nobody") for entry in pwd.getpwall() if entry.pw_name == name)
        os.chown(folder, owner.pw_uid, owner.pw_gid)
        as_user = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
    data = folder / "data"

    def call(program, *arguments):
        done = subprocess.run(
            [programs / program, *arguments], capture_output=True, text=True, cwd=folder, timeout=120, **as_user
        )
        assert done.returncode == 0, done.stdout + done.stderr

    try:
        call("initdb", "-D", str(data), "-U", "educe", "-A", "trust", "-E", "UTF8", "--no-sync", "--locale=C.UTF-8")
        options = f"-c listen_addresses='' -k {folder} -c fsync=off -c max_connections=200"
        call("pg_ctl", "-D", str(data), "-w", "-t", "60", "-l", str(folder / "log"), "-o", options, "start")
        yield f"postgresql://educe@/postgres?host={folder}"
    finally:
        with contextlib.suppress(AssertionError):
            call("pg_ctl", "-D", str(data), "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)


class Templates:
    """Databases that tests get copies of: making one anew takes a hundred times as long as copying."""

    def __init__(self, folder, cluster):
        self.folder, self.cluster, self.made = folder, cluster, {}

    def copy(self, kind, name, prepare_it, target):
        """Return the address of a fresh copy of the template `name`, made by `prepare_it` on first use."""
        if kind == "sqlite":
            template = self.folder / f"{name}.sqlite"
            if not template.exists():
                prepare_it(f"sqlite:///{template}")
                with contextlib.closing(sqlite3.connect(template)) as connection:
                    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            shutil.copy(template, target)
            return f"sqlite:///{target}"
        if name not in self.made:
            self.made[name] = self._create("template0")
            prepare_it(self._address(self.made[name]))
        return self._address(self._create(self.made[name]))

    def _address(self, database):
        return self.cluster().replace("/postgres?", f"/{database}?")

    def _create(self, template):
        # Never dropped: the whole cluster goes at the end.
        name = f"site_{uuid.uuid4().hex}"
        driver = self.cluster().replace("postgresql://", "postgresql+psycopg://")
        admin = create_engine(driver, isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY wal_log"))
        admin.dispose()
        return name


@pytest.fixture(scope="session")
def templates(request, tmp_path_factory):
    return Templates(tmp_path_factory.mktemp("templates"), lambda: request.getfixturevalue("postgresql"))


def migrated(url):
    opened = Database(url)
    opened.migrate()
    opened.close()


def with_cards(url):
    opened = Database(url)
    opened.migrate()
    seed_cards(opened)
    opened.close()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def kind(request):
    return request.param


@pytest.fixture
def empty_url(kind, templates, tmp_path):
    """Address of a database without any table."""
    return (
        templates.copy(kind, "empty", lambda url: None, tmp_path / "site.sqlite")
        if kind == "postgresql"
        else (f"sqlite:///{tmp_path / 'site.sqlite'}")
    )


@pytest.fixture
def database_url(kind, templates, tmp_path):
    """Address of a migrated database without papers."""
    return templates.copy(kind, "migrated", migrated, tmp_path / "site.sqlite")


@pytest.fixture
def database(database_url):
    opened = Database(database_url)
    yield opened
    opened.close()


@pytest.fixture
def cards_url(kind, templates, tmp_path):
    """Address of a database with the sixty cards."""
    return templates.copy(kind, "cards", with_cards, tmp_path / "site.sqlite")


@pytest.fixture
def site_config(cards_url, tmp_path):
    return SiteConfig(database=cards_url, folder=tmp_path / "site", models=("tiny=fake:The answer is 24.",))


@pytest.fixture
async def app(site_config):
    """The site, running."""
    made = create_app(site_config)
    async with made.router.lifespan_context(made):
        yield made


@pytest.fixture
def site(app):
    return app.state.site


@pytest.fixture
async def client(app):
    """A reader's client: asks for HTML, follows nothing, keeps no cookies unless told."""
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://localhost", headers={"accept": "text/html"}
    ) as opened:
        yield opened


@pytest.fixture
def seeded(tmp_path):
    """A site on SQLite that is prepared but not running, for tests of what routes are made of."""
    config = SiteConfig(database=f"sqlite:///{tmp_path / 'site.sqlite'}", folder=tmp_path / "site", models=("fake:4",))
    from educe.site.state import Site

    made = Site(config, ModelPool.of(config.models))
    prepare(made)
    yield made
    made.database.close()


class Mailbox:
    """A real SMTP server in this event loop, and what it was given."""

    def __init__(self):
        self.received, self.addresses, self.replies, self.hold = [], [], {}, None
        self.server = self.port = None

    async def handle_RCPT(self, server, session, envelope, address, options):
        reply = self.replies.get(address)
        if reply is None or reply.startswith("250"):
            envelope.rcpt_tos.append(address)
        return reply or "250 OK"

    async def handle_DATA(self, server, session, envelope):
        if self.hold is not None:
            await self.hold(self, envelope)
        self.received.append(email.message_from_bytes(envelope.content, policy=email.policy.default))
        self.addresses.extend(envelope.rcpt_tos)
        return self.replies.get("DATA", "250 taken")

    async def open(self, **options):
        loop = asyncio.get_running_loop()
        implicit = options.pop("implicit", None)
        self.server = await loop.create_server(
            lambda: aiosmtpd.smtp.SMTP(self, loop=loop, hostname="mail.test", **options), "127.0.0.1", 0, ssl=implicit
        )
        self.port = self.server.sockets[0].getsockname()[1]

    @property
    def url(self):
        return f"smtp://127.0.0.1:{self.port}"

    async def expect(self, count, seconds=30):
        for _ in range(int(seconds / 0.02)):
            if len(self.received) >= count:
                break
            await asyncio.sleep(0.02)
        assert len(self.received) == count, self.addresses
        return self.received[-1] if self.received else None

    async def close(self):
        self.server.close()
        await self.server.wait_closed()


@pytest.fixture
async def mailbox():
    """A mail server on loopback that takes everything."""
    opened = Mailbox()
    await opened.open()
    yield opened
    await opened.close()
