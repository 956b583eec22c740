"""The database of the page: opening, migrating, reading, writing, backing up.

SQLite in write-ahead mode by default, PostgreSQL by address. Work is plain SQLAlchemy in ordinary functions; FastAPI
runs these in its threads. Writers on SQLite begin with ``BEGIN IMMEDIATE``: a transaction that first reads and then
writes would otherwise fail at once, not wait, when another one wrote in between.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, event, make_url, select, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.orm import Session
from sqlalchemy.pool import QueuePool

from educe.core import StoreError, UsageError
from educe.site.schema import Base, State

__all__ = ["Database", "file_lock"]

MIGRATIONS = Path(__file__).with_name("migrations")
CLOSE_SECONDS = 5.0
FRESH = 0.5  # Seconds for which a process believes that nothing changed elsewhere.
_alembic = threading.Lock()  # Alembic keeps its context in a global.
_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA busy_timeout = 15000",
    "PRAGMA mmap_size = 268435456",
    "PRAGMA cache_size = -32000",
    "PRAGMA temp_store = MEMORY",
)


@contextlib.contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Hold a lock file; a second process waits. The system frees it when the holder dies, however it dies.

    Parameters
    ----------
    path : Path
        The file, created where missing.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _address(url: str) -> URL:
    try:
        address = make_url(url)
    except ArgumentError:
        raise UsageError(
            "The database address cannot be read. Write sqlite:///path/to/file or postgresql://user@host/name."
        ) from None
    if address.drivername in ("postgresql", "postgres"):
        address = address.set(drivername="postgresql+psycopg")
    if address.drivername not in ("sqlite", "postgresql+psycopg"):
        raise UsageError(f"Database {address.drivername!r} is not supported. Use sqlite:/// or postgresql://.")
    if address.drivername == "sqlite" and (address.database or ":memory:") == ":memory:":
        raise UsageError("A database in memory is not shared between threads. Give a file: sqlite:///path.")
    return address


def _dumps(value: Any) -> str:
    # Letters stay letters: the full-text index reads the authors from this text.
    return json.dumps(value, ensure_ascii=False)


class Database:
    """One open database.

    Parameters
    ----------
    url : str
        ``sqlite:///path/to/file`` or ``postgresql://user:password@host/name``.

    Attributes
    ----------
    engine : Engine
        The pool of connections.
    is_sqlite : bool
        Which of the two it is.

    Raises
    ------
    UsageError
        The address is malformed or of another kind of database.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     database = Database(f"sqlite:///{folder}/site.sqlite")
    ...     database.migrate()
    ...     with database.read() as session:
    ...         papers = session.scalar(text("SELECT count(*) FROM papers"))
    ...     database.close()
    >>> papers
    0
    """

    def __init__(self, url: str) -> None:
        self._url = _address(url)
        self.is_sqlite = self._url.drivername == "sqlite"
        if self.is_sqlite:
            self.path = Path(str(self._url.database))
            self.path.parent.mkdir(parents=True, exist_ok=True)
        self.engine = create_engine(self._url, json_serializer=_dumps, pool_size=8, max_overflow=32, pool_timeout=20)
        self._writer = self.engine.execution_options(educe_write=True)
        if self.is_sqlite:
            _prepare_sqlite(self.engine)
        self._content = -1
        self._looked = float("-inf")
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close all connections, those that threads of cancelled tasks still use as soon as they come back."""
        pool = self.engine.pool
        end = time.monotonic() + CLOSE_SECONDS
        while isinstance(pool, QueuePool) and pool.checkedout() and time.monotonic() < end:
            time.sleep(0.01)
        self.engine.dispose()

    @contextlib.contextmanager
    def read(self) -> Iterator[Session]:
        """Give a session for reading; what it loads stays usable after it is closed."""
        with Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextlib.contextmanager
    def write(self, *, visible: bool = False) -> Iterator[Session]:
        """Give a session whose changes are committed together at the end, or not at all.

        Parameters
        ----------
        visible : bool
            The change shows on public pages: pages and searches that were kept are computed anew.
        """
        with Session(self._writer, expire_on_commit=False) as session, session.begin():
            yield session
            if visible:
                session.execute(text("UPDATE state SET value = value + 1 WHERE name = 'content'"))
        if visible:
            self._looked = float("-inf")

    @property
    def fresh(self) -> bool:
        """Whether `content` would answer without asking the database."""
        return time.monotonic() - self._looked <= FRESH

    def content(self) -> int:
        """Return the number of visible changes so far, at most half a second old as far as other processes go."""
        if not self.fresh:
            with self._lock:
                if not self.fresh:
                    looked = time.monotonic()
                    with self.read() as session:
                        self._content = session.scalar(select(State.value).where(State.name == "content")) or 0
                    self._looked = looked
        return self._content

    def migrate(self) -> None:
        """Bring the tables to the newest version; does nothing where they are.

        Raises
        ------
        StoreError
            The database cannot be reached or written, or was made by a newer version of educe.
        """
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
        script = ScriptDirectory.from_config(config)

        def upgrade(revision: Any, _context: Any) -> Any:
            return script._upgrade_revs("head", revision)

        try:
            # No env.py: the connection is ours, and a file that only Alembic may import would trip test collectors.
            with (
                _alembic,
                self._writer.begin() as connection,
                EnvironmentContext(config, script, fn=upgrade) as environment,
            ):
                if not self.is_sqlite:
                    connection.execute(text("SELECT pg_advisory_xact_lock(1701076323)"))
                environment.configure(connection=connection, target_metadata=Base.metadata)
                environment.run_migrations()
        except SQLAlchemyError as error:
            raise StoreError(
                f"The site's database cannot be prepared: {type(error).__name__}. "
                "Check its address, that the server runs, and that the folder can be written."
            ) from error

    def ready(self) -> bool:
        """Whether the database answers."""
        try:
            with self.read() as session:
                session.execute(text("SELECT 1"))
        except SQLAlchemyError:
            return False
        return True

    def backup(self, target: Path) -> None:
        """Copy the whole database into one file while others go on using it.

        Parameters
        ----------
        target : Path
            A new file: a SQLite database, or for PostgreSQL an archive for ``pg_restore``.

        Raises
        ------
        StoreError
            The file exists or cannot be written, or ``pg_dump`` is missing or fails.
        """
        if target.exists():
            raise StoreError(f"{target} exists already. Give a new file name.")
        partial = target.with_name(target.name + ".partial")
        try:
            if self.is_sqlite:
                with (
                    contextlib.closing(sqlite3.connect(self.path)) as source,
                    contextlib.closing(sqlite3.connect(partial)) as copy,
                ):
                    source.backup(copy)
                    # A copy that came from a write-ahead database stays one; as a single file it must not need one.
                    copy.execute("PRAGMA journal_mode = DELETE")
            else:
                _dump_postgresql(self._url, partial)
            os.replace(partial, target)
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"The backup {target} cannot be written: {error}. Choose another place.") from error
        finally:
            partial.unlink(missing_ok=True)


def _prepare_sqlite(engine: Engine) -> None:
    """Set every new connection up, and take transactions out of the driver's hands."""

    def connect(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None
        for pragma in _PRAGMAS:
            connection.execute(pragma)

    def begin(connection: Any) -> None:
        wanted = connection.get_execution_options().get("educe_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if wanted else "BEGIN")

    event.listen(engine, "connect", connect)
    event.listen(engine, "begin", begin)


def _dump_postgresql(url: URL, target: Path) -> None:
    program = shutil.which("pg_dump")
    if program is None:
        raise StoreError("pg_dump is not installed. Install the PostgreSQL client programs of your server's version.")
    address = url.set(drivername="postgresql", password=None).render_as_string(hide_password=False)
    environment = {**os.environ, **({"PGPASSWORD": str(url.password)} if url.password else {})}
    done = subprocess.run(  # noqa: S603  # a program found on the path, with our own arguments
        [program, "--format=custom", f"--file={target}", "--dbname", address],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise StoreError(f"pg_dump failed: {done.stderr.strip()[-300:]} Check that its version fits the server's.")
