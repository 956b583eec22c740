"""Finished work on disk: one SQLite file that holds every unit and every report, and that anyone can open.

A unit is one application of a method to one item under one seed. It is written as soon as it is done, under the
hash of what it is, so a run that was killed resumes and a re-run skips what is there. The tables hold text and
numbers (JSON in the columns ``item``, ``seed``, ``result``, ``ledger``, ``report``); any SQLite tool reads them.

Durability: write-ahead log with ``synchronous=FULL``, which means that `Store.put` returns after the disk has
confirmed. ``NORMAL`` would lose nothing when the process is killed either, but could lose the last units when the power
fails; a unit costs seconds of a model and a confirmation costs milliseconds. Not for network file systems, whose
locks SQLite cannot trust. The files ``-wal`` and ``-shm`` beside the store are part of it while it is open.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from educe.core import settings
from educe.core.canonical import canonical_json
from educe.core.errors import StoreError, UsageError
from educe.core.stored_unit import COLUMNS, STATUSES, StoredUnit, from_row, json_text, now, storable, to_row

__all__ = ["Store", "StoredUnit"]

APPLICATION_ID = 0x65647563  # "educ" in ASCII; tells our files from other applications' SQLite files.
PAGE = 256  # Units read at once by an iteration: few enough to hold, enough to hide the cost of the query.

# One entry per schema version; an entry is never changed once released, the next version is appended.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """
        CREATE TABLE units (
            hash    TEXT PRIMARY KEY NOT NULL,
            kind    TEXT NOT NULL,
            method  TEXT NOT NULL,
            item    TEXT NOT NULL,
            seed    TEXT NOT NULL,
            lm      TEXT,
            status  TEXT NOT NULL CHECK (status IN ('done', 'partial', 'failed')),
            result  TEXT NOT NULL,
            ledger  TEXT NOT NULL,
            error   TEXT,
            created TEXT NOT NULL,
            seconds REAL NOT NULL
        )
        """,
        # One column each: the rowid that SQLite appends then keeps the order in which `Store.units` reads.
        "CREATE INDEX units_by_kind ON units (kind)",
        "CREATE INDEX units_by_method ON units (method)",
        """
        CREATE TABLE reports (
            id      INTEGER PRIMARY KEY,
            slug    TEXT NOT NULL,
            scale   TEXT NOT NULL,
            seed    TEXT NOT NULL,
            verdict TEXT NOT NULL,
            report  TEXT NOT NULL,
            created TEXT NOT NULL
        )
        """,
    ),
)

_RANK = "CASE {}.status " + " ".join(f"WHEN '{name}' THEN {rank}" for rank, name in enumerate(STATUSES)) + " END"
_PUT = f"""
    INSERT INTO units ({COLUMNS}) VALUES ({", ".join("?" * 12)})
    ON CONFLICT (hash) DO UPDATE SET
        {", ".join(f"{name} = excluded.{name}" for name in COLUMNS.split(", ")[1:])}
    WHERE {_RANK.format("excluded")} >= {_RANK.format("units")}
"""  # noqa: S608  # built from the constants above alone


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection, mode: str) -> Iterator[None]:
    connection.execute(f"BEGIN {mode}")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # SQLite has already rolled back by itself after some errors, a full disk among them.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


class Store:
    """The store of units and reports; a context manager, usable from many threads and many processes at once.

    Parameters
    ----------
    path : Path, str or None
        The file, created where missing with its folder; None is ``educe.sqlite`` in `educe.core.settings.data_dir`.
    timeout : float
        Seconds to wait while another process writes, > 0.

    Raises
    ------
    StoreError
        The file is not an SQLite file, belongs to another application or to a newer educe (it is left as it
        is), or cannot be written.
    UsageError
        The path is empty or ``":memory:"``, which would keep nothing.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder, Store(pathlib.Path(folder) / "educe.sqlite") as store:
    ...     store.put(StoredUnit("0f", "answer", "greedy", {"text": "1 + 1 = ?"}, 0, result="2"))
    ...     store.get("0f").result
    True
    '2'
    """

    def __init__(self, path: Path | str | None = None, *, timeout: float = 30.0) -> None:
        if path is not None and str(path) in ("", ":memory:"):
            raise UsageError(f"Store path {str(path)!r} keeps nothing. Give the path of a file.")
        if not timeout > 0:
            raise UsageError(f"Store timeout {timeout} is not above zero. Give seconds, for instance 30.")
        # Absolute, because a later change of the working folder must not change the file.
        self.path = (settings.data_dir() / "educe.sqlite" if path is None else Path(path).expanduser()).absolute()
        self.timeout = timeout
        self._lock = threading.RLock()
        self._process = os.getpid()
        self._connection: sqlite3.Connection | None = None
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"The folder {self.path.parent} cannot be made: {error.strerror}. Choose another with EDUCE_DATA_DIR."
            ) from None
        # The file is never opened but through SQLite: closing any other handle on it would drop, by POSIX rules, the
        # locks that another store of this process holds on it. Its size needs no handle, and has to be looked at,
        # because SQLite takes a file of one byte for an empty one and writes over it; a header alone has 100.
        with contextlib.suppress(OSError):
            if 0 < self.path.stat().st_size < 100:
                raise StoreError(f"{self.path}: this is not an SQLite file. It was left as it is; give another path.")
        with self._errors():
            self._connection = sqlite3.connect(
                self.path, timeout=timeout, isolation_level=None, check_same_thread=False
            )
        try:
            with self._errors():
                self._open(self._connection)
        except BaseException:
            self.close()
            raise

    def __repr__(self) -> str:
        return f"Store({str(self.path)!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", None)
            raise StoreError(f"{self.path}: {_explain(error, code)}") from error
        except OverflowError as error:
            raise StoreError(f"{self.path}: a value is too large for SQLite ({error}). Store less per unit.") from error

    def _open(self, connection: sqlite3.Connection) -> None:
        # Functions and virtual tables in a schema that somebody else wrote must not act when we read a file.
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")
        # Looked at before the first write lock, so that a foreign file is not even locked, and looked at again below,
        # because another process may make the tables in between.
        with _transaction(connection, "DEFERRED"):
            self._version(connection)
        with _transaction(connection, "IMMEDIATE"):
            for statements in MIGRATIONS[self._version(connection) :]:
                for statement in statements:
                    connection.execute(statement)
            # Both numbers stand in the file's header and are part of the transaction. They are written even where
            # nothing has changed: without permission that fails here, before any work is done that could not be kept.
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        self._write_ahead(connection)

    def _version(self, connection: sqlite3.Connection) -> int:
        """Return the schema version, 0 for a new file; refuse a file that is not ours.

        Call it in a transaction: between two reads another process could make the tables.
        """
        (owner,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if owner == 0 and version == 0 and tables == 0:
            return 0
        if owner != APPLICATION_ID:
            raise StoreError(
                f"{self.path} is an SQLite file of another application. It was left as it is; give another path."
            )
        if version > len(MIGRATIONS):
            raise StoreError(
                f"{self.path} was written by a newer educe (schema {version}; this one knows {len(MIGRATIONS)}). "
                "Update educe, or give another path."
            )
        return int(version)

    def _write_ahead(self, connection: sqlite3.Connection) -> None:
        # Changing the journal needs the file for itself, and SQLite does not wait for it.
        deadline = time.monotonic() + self.timeout
        while True:
            try:
                connection.execute("PRAGMA journal_mode = WAL").fetchone()
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
            time.sleep(0.01)

    @contextlib.contextmanager
    def _use(self) -> Iterator[sqlite3.Connection]:
        if os.getpid() != self._process:
            # SQLite forbids carrying a connection over fork; using it can damage the file.
            raise StoreError(f"The store {self.path} was opened before this process was forked. Open it anew here.")
        with self._lock:
            if self._connection is None:
                raise StoreError(f"The store {self.path} is closed. Open it anew.")
            with self._errors():
                yield self._connection

    def put(self, unit: StoredUnit) -> bool:
        """Write a unit; on return it is on disk.

        A unit with the same hash is replaced, unless what is there is worth more: done, then partial, then failed.

        Parameters
        ----------
        unit : StoredUnit
            The unit.

        Returns
        -------
        bool
            False where a unit of higher worth was there and stays.

        Raises
        ------
        StoreError
            The disk is full, the file is read-only, or another process held the lock longer than the timeout. The
            store stays usable; nothing is written in part.
        UsageError
            A value is not JSON, or not finite.
        """
        row = to_row(unit)
        with self._use() as connection:
            return connection.execute(_PUT, row).rowcount > 0

    def get(self, digest: str) -> StoredUnit | None:
        """Return the unit with a hash, None where there is none.

        Parameters
        ----------
        digest : str
            The hash.

        Returns
        -------
        StoredUnit or None

        Raises
        ------
        StoreError
            The file cannot be read.
        """
        with self._use() as connection:
            row = connection.execute(f"SELECT {COLUMNS} FROM units WHERE hash = ?", (storable(digest),)).fetchone()  # noqa: S608
        return None if row is None else from_row(row)

    def units(
        self, kind: str | None = None, method: str | None = None, limit: int | None = None
    ) -> Iterator[StoredUnit]:
        """Go through the units in the order in which they were first written.

        Reading holds no lock between units: the store may be written to meanwhile, and what is added is seen too.

        Parameters
        ----------
        kind, method : str or None
            Only units with this kind and this method; None takes all.
        limit : int or None
            At most this many, >= 0; None takes all.

        Yields
        ------
        StoredUnit

        Raises
        ------
        StoreError
            The file cannot be read.
        UsageError
            The limit is negative.
        """
        if limit is not None and limit < 0:
            raise UsageError(f"Limit {limit} is negative. Give a whole number >= 0.")
        return self._units(kind, method, limit)

    def _units(self, kind: str | None, method: str | None, limit: int | None) -> Iterator[StoredUnit]:
        last = 0
        left = limit
        conditions, values = ["rowid > ?"], []
        for column, value in (("kind", kind), ("method", method)):
            if value is not None:
                conditions.append(f"{column} = ?")
                values.append(storable(value))
        query = f"SELECT rowid, {COLUMNS} FROM units WHERE {' AND '.join(conditions)} ORDER BY rowid LIMIT ?"  # noqa: S608
        while left is None or left > 0:
            size = PAGE if left is None else min(PAGE, left)
            with self._use() as connection:
                rows = connection.execute(query, (last, *values, size)).fetchall()
            for row in rows:
                yield from_row(row[1:])
            if not rows:
                return
            last = rows[-1][0]
            left = None if left is None else left - len(rows)

    def put_report(self, report: Mapping[str, Any]) -> int:
        """Append a report.

        Parameters
        ----------
        report : mapping
            What `educe.core.Report.to_json` returns.

        Returns
        -------
        int
            Its number in the table.

        Raises
        ------
        StoreError
            The store cannot be written, see `put`.
        UsageError
            ``slug``, ``scale``, ``seed`` or ``verdict`` is missing, or a value is not JSON.
        """
        missing = [name for name in ("slug", "scale", "seed", "verdict") if name not in report]
        if missing:
            raise UsageError(f"The report lacks {', '.join(missing)}. Give what Report.to_json() returns.")
        slug, scale, verdict = (storable(str(report[name])) for name in ("slug", "scale", "verdict"))
        row = (slug, scale, canonical_json(report["seed"]), verdict, json_text(dict(report), "The report"), now())
        with self._use() as connection:
            cursor = connection.execute(
                "INSERT INTO reports (slug, scale, seed, verdict, report, created) VALUES (?, ?, ?, ?, ?, ?)", row
            )
            return int(cursor.lastrowid or 0)

    def reports(self, slug: str | None = None) -> Iterator[dict[str, Any]]:
        """Go through the reports, oldest first.

        Parameters
        ----------
        slug : str or None
            Only reports of this paper; None takes all.

        Yields
        ------
        dict
            What was given to `put_report`.

        Raises
        ------
        StoreError
            The file cannot be read.
        """
        last = 0
        while True:
            with self._use() as connection:
                row = connection.execute(
                    "SELECT id, report FROM reports WHERE id > ? AND (? IS NULL OR slug = ?) ORDER BY id LIMIT 1",
                    (last, slug, slug),
                ).fetchone()
            if row is None:
                return
            last, text = row
            try:
                report: dict[str, Any] = json.loads(text)
            except ValueError as problem:
                raise StoreError(f"Report {last} in the store cannot be read: {problem}. Delete this row.") from None
            yield report

    def check(self) -> list[str]:
        """Read the whole file and say what is in it.

        Returns
        -------
        list of str
            Facts as ``name: value``, one a line: path, bytes, schema, journal, integrity, units by status, reports.

        Raises
        ------
        StoreError
            The file is damaged.
        """
        with self._use() as connection:
            problems = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(10)")]
            if problems != ["ok"]:
                raise StoreError(
                    f"{self.path} is damaged ({'; '.join(problems)}). Move it away and run again, or rescue what is "
                    "left with the sqlite3 command's .recover."
                )
            counts = dict(connection.execute("SELECT status, count(*) FROM units GROUP BY status").fetchall())
            (reports,) = connection.execute("SELECT count(*) FROM reports").fetchone()
            (schema,) = connection.execute("PRAGMA user_version").fetchone()
            (journal,) = connection.execute("PRAGMA journal_mode").fetchone()
            (pages,) = connection.execute("PRAGMA page_count").fetchone()
            (page_size,) = connection.execute("PRAGMA page_size").fetchone()
        return [
            f"path: {self.path}",
            f"bytes: {pages * page_size}",
            f"schema: {schema}",
            f"SQLite: {sqlite3.sqlite_version}, journal {journal}",
            "integrity: ok",
            f"units: {', '.join(f'{counts.get(status, 0)} {status}' for status in reversed(STATUSES))}",
            f"reports: {reports}",
        ]

    def close(self) -> None:
        """Close the file; closing twice is allowed, using it afterwards is a StoreError."""
        with self._lock:
            connection, self._connection = self._connection, None
            if connection is not None and os.getpid() == self._process:
                with self._errors():
                    connection.close()


def _explain(error: sqlite3.Error, code: int | None) -> str:
    """Say in two sentences what an SQLite error means here and what to do."""
    explanations = {
        sqlite3.SQLITE_FULL: "the disk is full. Free some space and run again; what was stored before is safe",
        sqlite3.SQLITE_READONLY: "no permission to write. Change the permissions of the file and its folder, "
        "or choose another folder with EDUCE_DATA_DIR",
        sqlite3.SQLITE_CANTOPEN: "the file cannot be opened or made. Check that its folder is there and may be "
        "written, or choose another with EDUCE_DATA_DIR",
        sqlite3.SQLITE_BUSY: "another process holds the store locked. Wait for it or end it, then run again",
        sqlite3.SQLITE_NOTADB: "this is not an SQLite file. It was left as it is; give another path",
        sqlite3.SQLITE_CORRUPT: "the file is damaged. Move it away and run again, or rescue what is left with "
        "the sqlite3 command's .recover",
        sqlite3.SQLITE_IOERR: "the disk refused to read or write. Check the disk, its quota and the limit on file "
        "sizes; what was stored before is safe",
        sqlite3.SQLITE_TOOBIG: "a value is too large for SQLite. Store less per unit",
    }
    primary = None if code is None else code & 0xFF
    sentence = explanations.get(-1 if primary is None else primary)
    return f"{error}. Run `educe doctor` to check the store." if sentence is None else f"{sentence} ({error})."
