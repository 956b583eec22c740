"""The store: exact round trips, what replaces what, and every way in which a disk or a neighbour can fail it."""

from __future__ import annotations

import contextlib
import datetime
import json
import math
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from educe.core import settings
from educe.core import store as store_module
from educe.core.canonical import content_hash
from educe.core.errors import StoreError, UsageError
from educe.core.ledger import Ledger
from educe.core.seed import Seed
from educe.core.store import Store, StoredUnit

texts = st.text(st.characters(), max_size=20)  # all of Unicode, NUL and lone surrogates included
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
whole = st.integers(0, 2**62)
seeds = whole | st.builds(Seed, whole, st.lists(texts.filter(lambda t: t.isascii()) | whole, max_size=3).map(tuple))
ledgers = st.builds(
    Ledger,
    calls=whole,
    sampled_tokens=whole,
    flops=st.floats(0, 1e300),
    seconds=st.floats(0, 1e9),
    stopped_by=st.none() | st.just("tokens"),
)

# Examples wait for the disk, whose speed is not what is tested.
no_deadline = hypothesis.settings(deadline=None)


def unit(name: str = "a", **changes: Any) -> StoredUnit:
    return StoredUnit(content_hash(name), "answer", "greedy", {"text": name}, 7, **changes)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "educe.sqlite") as opened:
        yield opened


# What is put is what is got.


@pytest.mark.slow
@no_deadline
@given(json_values, json_values, seeds, ledgers, st.none() | texts, st.floats(0, 1e9))
def test_round_trip(
    item: Any, result: Any, seed: int | Seed, ledger: Ledger, error: str | None, seconds: float
) -> None:
    put = StoredUnit("0f", "answer", "m", item, seed, "fake:", "done", result, ledger, error, seconds=seconds)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s.sqlite"
        with Store(path) as store:
            assert store.put(put)
        with Store(path) as store:
            got = store.get("0f")
            assert got is not None
            # Text columns cannot hold lone surrogates; JSON columns can, escaped.
            expected = None if error is None else error.encode("utf-8", "backslashreplace").decode()
            assert got.error == expected
            assert repr(got).replace(repr(expected), "") == repr(put).replace(repr(error), "")  # repr tells 1 from 1.0
            assert list(store.units()) == [got]


def test_other_tools_can_read_it_while_it_is_open(store: Store, tmp_path: Path) -> None:
    store.put(unit(result={"answer": "Zürich", "p": 0.25}, ledger=Ledger(calls=2)))
    with contextlib.closing(sqlite3.connect(tmp_path / "educe.sqlite")) as other:
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        row = other.execute(
            "SELECT json_extract(result, '$.answer'), json_extract(result, '$.p'), json_extract(ledger, '$.calls'), "
            "seed, status, kind, method, lm, error, datetime(created) IS NOT NULL FROM units"
        ).fetchone()
        assert row == ("Zürich", 0.25, 2, "7", "done", "answer", "greedy", None, None, 1)
        assert "Zürich" in other.execute("SELECT result FROM units").fetchone()[0]  # readable, not escaped


def test_created_is_now_in_utc() -> None:
    created = datetime.datetime.fromisoformat(unit().created)
    assert created.utcoffset() == datetime.timedelta(0)
    assert abs((datetime.datetime.now(datetime.UTC) - created).total_seconds()) < 60


def test_large_values_are_kept(store: Store) -> None:
    text = "long " * 1_000_000
    store.put(unit(result=text))
    got = store.get(content_hash("a"))
    assert got is not None
    assert got.result == text


def test_get_of_what_is_not_there(store: Store) -> None:
    assert store.get("0f") is None
    assert store.get("\ud800") is None


# What replaces what.


@pytest.mark.slow
@no_deadline
@given(st.lists(st.tuples(st.sampled_from(["done", "partial", "failed"]), st.integers()), min_size=1, max_size=6))
def test_done_stays_before_partial_before_failed(writes: list[tuple[str, int]]) -> None:
    worth = {"failed": 0, "partial": 1, "done": 2}
    kept: tuple[str, int] | None = None
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder) / "s.sqlite") as store:
        for status, result in writes:
            replaces = kept is None or worth[status] >= worth[kept[0]]
            assert store.put(unit(status=status, result=result)) is replaces
            if replaces:
                kept = (status, result)
            got = store.get(content_hash("a"))
            assert got is not None
            assert (got.status, got.result) == kept
        assert len(list(store.units())) == 1


# Iteration.


@pytest.mark.slow
@pytest.mark.parametrize("page", [1, 3, 256])
@pytest.mark.parametrize(
    ("kind", "method", "limit"),
    [(None, None, None), ("a", None, None), (None, "m1", None), ("a", "m1", None), ("a", None, 4), (None, None, 0)],
)
def test_units_filtered_in_order(
    store: Store, monkeypatch: pytest.MonkeyPatch, page: int, kind: str | None, method: str | None, limit: int | None
) -> None:
    monkeypatch.setattr(store_module, "PAGE", page)
    written = [StoredUnit(f"{i:02x}", "ab"[i % 2], f"m{i % 3}", i, i) for i in reversed(range(20))]
    for each in written:
        store.put(each)
    expected = [u for u in written if kind in (None, u.kind) and method in (None, u.method)][:limit]
    assert list(store.units(kind, method, limit)) == expected


def test_iteration_allows_writing_and_sees_it(store: Store) -> None:
    for i in range(3):
        store.put(StoredUnit(f"{i}", "a", "m", i, 0))
    seen = []
    for each in store.units():
        seen.append(each.item)
        if each.item < 600:
            store.put(StoredUnit(f"{each.item + 3}", "a", "m", each.item + 3, 0))
    assert seen == list(range(603))


def test_negative_limit_is_refused_at_once(store: Store) -> None:
    with pytest.raises(UsageError, match="-1"):
        store.units(limit=-1)


# Reports.


def test_reports(store: Store) -> None:
    reports = [
        {"slug": slug, "scale": "smoke", "seed": seed, "verdict": "shown", "checks": [{"measured": 0.5}]}
        for seed, slug in enumerate(["rpc", "deup", "rpc"])
    ]
    assert [store.put_report(report) for report in reports] == [1, 2, 3]
    assert list(store.reports()) == reports
    assert list(store.reports("rpc")) == [reports[0], reports[2]]
    assert list(store.reports("none")) == []
    with pytest.raises(UsageError, match="lacks seed, verdict"):
        store.put_report({"slug": "rpc", "scale": "smoke"})
    with pytest.raises(UsageError, match="not a JSON value"):
        store.put_report({**reports[0], "notes": math.nan})


# What is refused.


@pytest.mark.parametrize("value", [math.nan, math.inf, {"a": [-math.inf]}, b"bytes", object(), {(1, 2): 3}])
@pytest.mark.parametrize("column", ["item", "result"])
def test_values_that_are_not_json(store: Store, value: Any, column: str) -> None:
    with pytest.raises(UsageError, match=f"unit's {column} is not a JSON value"):
        store.put(StoredUnit("0f", "answer", "m", **({"item": 1, "seed": 0} | {column: value})))
    assert store.get("0f") is None


@pytest.mark.parametrize(
    "changes", [{"status": "finished"}, {"hash": ""}, {"kind": ""}, {"method": None}, {"status": "DONE"}]
)
def test_malformed_units(changes: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=repr(next(iter(changes.values())))):
        StoredUnit(**({"hash": "0f", "kind": "a", "method": "m", "item": 1, "seed": 0} | changes))


@pytest.mark.parametrize("seed", [-1, True, "7", 1.5])
def test_malformed_seed(store: Store, seed: Any) -> None:
    with pytest.raises(UsageError, match="Seed"):
        store.put(StoredUnit("0f", "a", "m", 1, seed))


def test_malformed_arguments(tmp_path: Path) -> None:
    for path in ("", ":memory:"):
        with pytest.raises(UsageError, match="keeps nothing"):
            Store(path)
    for timeout in (0, -1, math.nan):
        with pytest.raises(UsageError, match="timeout"):
            Store(tmp_path / "s.sqlite", timeout=timeout)
    assert not any(tmp_path.iterdir())


# Where it is.


def test_default_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EDUCE_DATA_DIR", str(tmp_path / "new" / "folder"))
    with Store() as store:
        assert store.path == settings.data_dir() / "educe.sqlite" == tmp_path / "new/folder/educe.sqlite"
        assert repr(store) == f"Store('{tmp_path}/new/folder/educe.sqlite')"
    assert [p.name for p in (tmp_path / "new/folder").iterdir()] == ["educe.sqlite"]  # one file when closed


def test_path_stays_when_the_folder_changes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    with Store("s.sqlite") as store:
        monkeypatch.chdir(tmp_path / "other")
        store.put(unit())
        assert store.path == tmp_path / "s.sqlite"
    with Store("~/s.sqlite") as store:
        assert store.get(content_hash("a")) is not None


def test_closed(store: Store) -> None:
    units = store.units()
    store.close()
    store.close()
    for use in (store.check, lambda: store.put(unit()), lambda: store.get("0f"), lambda: next(units)):
        with pytest.raises(StoreError, match="is closed"):
            use()


# Files that are not ours: refused, and left byte for byte as they were.


@no_deadline
@given(st.binary(min_size=1, max_size=5000))
def test_any_other_file_is_refused_and_left(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        path.write_bytes(content)
        with pytest.raises(StoreError, match="not an SQLite file"):
            Store(path)
        assert path.read_bytes() == content
        assert list(Path(folder).iterdir()) == [path]


@pytest.mark.parametrize("statement", ["CREATE TABLE t (a)", "PRAGMA user_version = 1", "PRAGMA application_id = 5"])
@pytest.mark.parametrize("journal", ["DELETE", "WAL"])
def test_another_application_is_refused_and_left(tmp_path: Path, statement: str, journal: str) -> None:
    path = tmp_path / "other.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute(f"PRAGMA journal_mode = {journal}")
        other.execute(statement)
    content = path.read_bytes()
    with pytest.raises(StoreError, match="another application"):
        Store(path)
    assert path.read_bytes() == content


def test_empty_file_becomes_a_store(tmp_path: Path) -> None:
    (tmp_path / "s.sqlite").touch()
    with Store(tmp_path / "s.sqlite") as store:
        assert store.put(unit())


def test_folder_instead_of_a_file(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be opened"):
        Store(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot be made"):
        Store(tmp_path / "file" / "s.sqlite")


def test_truncated_store_is_refused(store: Store, tmp_path: Path) -> None:
    for i in range(200):
        store.put(unit(str(i)))
    store.close()
    content = (tmp_path / "educe.sqlite").read_bytes()
    (tmp_path / "educe.sqlite").write_bytes(content[: len(content) // 2])
    with pytest.raises(StoreError, match="damaged"), Store(tmp_path / "educe.sqlite") as cut:
        cut.check()


def test_damaged_row_names_itself(store: Store, tmp_path: Path) -> None:
    for i in range(3):
        store.put(unit(str(i)))
    with contextlib.closing(sqlite3.connect(tmp_path / "educe.sqlite", isolation_level=None)) as other:
        other.execute("UPDATE units SET result = '{' WHERE hash = ?", (content_hash("1"),))
        other.execute("UPDATE units SET ledger = '3' WHERE hash = ?", (content_hash("2"),))
    assert store.get(content_hash("0")) is not None
    for name in "12":
        with pytest.raises(StoreError, match=content_hash(name)):
            store.get(content_hash(name))


# Schema versions.


def test_newer_schema_is_refused(store: Store, tmp_path: Path) -> None:
    store.put(unit())
    store.close()
    with contextlib.closing(sqlite3.connect(tmp_path / "educe.sqlite", isolation_level=None)) as other:
        other.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreError, match=r"newer educe \(schema 99; this one knows 1\)\. Update educe"):
        Store(tmp_path / "educe.sqlite")


def test_migration_keeps_what_is_there(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put(unit(result=[1]))
    store.close()
    later = (*store_module.MIGRATIONS, ("ALTER TABLE units ADD COLUMN note TEXT",), ("CREATE TABLE more (a)",))
    monkeypatch.setattr(store_module, "MIGRATIONS", later)
    with Store(tmp_path / "educe.sqlite") as newer:
        assert "schema: 3" in newer.check()
        assert [u.result for u in newer.units()] == [[1]]


def test_migration_that_fails_leaves_the_old_schema(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put(unit())
    store.close()
    known = store_module.MIGRATIONS
    monkeypatch.setattr(store_module, "MIGRATIONS", (*known, ("CREATE TABLE more (a)", "NONSENSE")))
    with pytest.raises(StoreError, match="NONSENSE"):
        Store(tmp_path / "educe.sqlite")
    monkeypatch.setattr(store_module, "MIGRATIONS", known)
    with Store(tmp_path / "educe.sqlite") as old:
        assert "schema: 1" in old.check()
        assert len(list(old.units())) == 1
    with contextlib.closing(sqlite3.connect(tmp_path / "educe.sqlite")) as other:
        assert other.execute("SELECT count(*) FROM sqlite_master WHERE name = 'more'").fetchone() == (0,)


def test_many_open_a_new_file_at_once(tmp_path: Path) -> None:
    """Every thread has its own connection, so that SQLite's locks stand between them as between processes."""
    errors: list[BaseException] = []
    threads = 6

    def work(barrier: threading.Barrier, path: Path, name: int) -> None:
        try:
            barrier.wait()
            with Store(path) as store:
                store.put(unit(str(name)))
        except BaseException as error:
            errors.append(error)

    for attempt in range(8):
        path = tmp_path / f"{attempt}.sqlite"
        barrier = threading.Barrier(threads)
        workers = [threading.Thread(target=work, args=(barrier, path, name)) for name in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert errors == []
        with Store(path) as store:
            assert "integrity: ok" in store.check()
            assert {u.hash for u in store.units()} == {content_hash(str(name)) for name in range(threads)}


def test_owner_and_version_are_read_at_one_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two separate reads another process could make the tables, and the file would look like a foreign one."""
    calls = []
    read = Store._version

    def watched(self: Store, connection: sqlite3.Connection) -> int:
        calls.append(connection.in_transaction)
        return read(self, connection)

    monkeypatch.setattr(Store, "_version", watched)
    Store(tmp_path / "s.sqlite").close()
    assert calls == [True, True]


def test_one_store_serves_many_threads(store: Store) -> None:
    errors: list[BaseException] = []

    def work(name: int) -> None:
        try:
            for i in range(30):
                store.put(unit(f"{name}-{i}", result=i))
                got = store.get(content_hash(f"{name}-{i}"))
                assert got is not None
                assert got.result == i
                next(store.units())
        except BaseException as error:
            errors.append(error)

    workers = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert errors == []
    assert len(list(store.units())) == 120


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_forked_child_is_refused(store: Store) -> None:
    child = os.fork()
    if child == 0:
        try:
            store.get("0f")
        except StoreError as error:
            os._exit(0 if "forked" in str(error) else 2)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert store.put(unit())


# Disks and neighbours that fail.


def test_full_disk_loses_nothing(store: Store) -> None:
    for i in range(5):
        store.put(unit(str(i)))
    connection = store._connection
    assert connection is not None
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreError, match=r"the disk is full\. Free some space"):
        store.put(unit("large", result="x" * 100_000))
    assert store.get(content_hash("large")) is None
    assert len(list(store.units())) == 5
    connection.execute("PRAGMA max_page_count = 1000000")
    assert store.put(unit("large", result="x" * 100_000))
    assert "integrity: ok" in store.check()


def test_locked_too_long(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    with Store(path, timeout=0.1) as store, contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        store.put(unit("before"))
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="another process holds the store locked"):
            store.put(unit())
        with pytest.raises(StoreError, match="another process holds the store locked"):
            Store(path, timeout=0.1)
        assert store.get(content_hash("before")) is not None  # readers are not held up
        other.execute("ROLLBACK")
        assert store.put(unit())


@contextlib.contextmanager
def unprivileged() -> Iterator[None]:
    """Without root's power to write where permissions say no."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("made_before", [False, True])
def test_folder_without_write_permission(made_before: bool) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if made_before:
            Store(folder / "s.sqlite").close()
            (folder / "s.sqlite").chmod(0o666)
        folder.chmod(0o555)
        try:
            with (
                unprivileged(),
                pytest.raises(StoreError, match=r"(no permission to write|cannot be opened)") as caught,
            ):
                Store(folder / "s.sqlite")
            assert "EDUCE_DATA_DIR" in str(caught.value)
            with unprivileged(), pytest.raises(StoreError, match="cannot be made: Permission denied"):
                Store(folder / "below" / "s.sqlite")
        finally:
            folder.chmod(0o755)


def test_file_without_write_permission_is_refused_before_any_work() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        Store(folder / "s.sqlite").close()
        (folder / "s.sqlite").chmod(0o444)
        folder.chmod(0o777)
        with unprivileged(), pytest.raises(StoreError, match=r"(no permission to write|cannot be opened)"):
            Store(folder / "s.sqlite")


def test_damage_is_found_and_named(store: Store, tmp_path: Path) -> None:
    for i in range(300):
        store.put(unit(str(i)))
    store.close()
    content = bytearray((tmp_path / "educe.sqlite").read_bytes())
    for page in range(3, len(content) // 4096 - 1, 2):
        content[page * 4096 : page * 4096 + 64] = os.urandom(64)
    (tmp_path / "educe.sqlite").write_bytes(content)
    with Store(tmp_path / "educe.sqlite") as damaged, pytest.raises(StoreError, match="damaged"):
        damaged.check()


def test_check_says_what_is_in_it(store: Store, tmp_path: Path) -> None:
    store.put(unit("a"))
    store.put(unit("b", status="partial"))
    store.put(unit("c", status="partial"))
    store.put_report({"slug": "rpc", "scale": "smoke", "seed": 0, "verdict": "shown"})
    facts = dict(line.split(": ", 1) for line in store.check())
    assert facts["path"] == str(tmp_path / "educe.sqlite")
    assert facts["integrity"] == "ok"
    assert facts["units"] == "1 done, 2 partial, 0 failed"
    assert facts["reports"] == "1"
    assert facts["schema"] == "1"
    assert facts["SQLite"].endswith("journal wal")


def test_commits_wait_for_the_disk(store: Store) -> None:
    assert store._connection is not None
    assert store._connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
    assert store._connection.execute("PRAGMA foreign_keys").fetchone() == (1,)


WRITER = """
import sys
from educe.core.store import Store, StoredUnit
path, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
with Store(path) as store:
    for i in range(count):
        store.put(StoredUnit(f"{name}{i:06}", "answer", "m", i, i, result="x" * (i % 7) * 1000))
        print(f"{name}{i:06}", flush=True)
"""


def start(script: str, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "error", "-c", script, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_kill_loses_nothing_and_spares_the_neighbour(tmp_path: Path) -> None:
    """One of two writers is killed in mid-write; all that either was told is stored, is stored."""
    path = tmp_path / "s.sqlite"
    victim, neighbour = start(WRITER, str(path), "victim", "1000000"), start(WRITER, str(path), "other", "300")
    assert victim.stdout is not None
    told = [victim.stdout.readline().strip() for _ in range(200)]
    victim.send_signal(signal.SIGKILL)
    told += victim.communicate()[0].split()
    out, err = neighbour.communicate(timeout=60)
    assert (neighbour.returncode, err) == (0, "")
    assert victim.returncode == -signal.SIGKILL
    # The last line may have been cut in two; a line is whole when it has its six digits.
    told = [name for name in told if len(name) == len("victim") + 6]
    with Store(path) as store:
        there = {u.hash for u in store.units()}
        assert set(told) | set(out.split()) <= there
        assert len(there) <= len(told) + 300 + 1  # at most the one unit that was written but not yet told
        assert "integrity: ok" in store.check()
        assert store.put(unit())


LIMITED = """
import resource, sys
from educe.core.errors import StoreError
from educe.core.store import Store, StoredUnit
with Store(sys.argv[1]) as store:
    for i in range(20):
        store.put(StoredUnit(f"{i}", "answer", "m", i, i))
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, hard))
    try:
        for i in range(20, 1000):
            store.put(StoredUnit(f"{i}", "answer", "m", i, i, result="x" * 20_000))
        print("no limit was met")
    except StoreError as error:
        print(i, str(error).removeprefix(sys.argv[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert store.get(f"{i}") is None
    assert store.put(StoredUnit(f"{i}", "answer", "m", i, i))
"""


@pytest.mark.slow
def test_limit_on_file_sizes_loses_nothing(tmp_path: Path) -> None:
    done = start(LIMITED, str(tmp_path / "s.sqlite"))
    out, err = done.communicate(timeout=60)
    assert (done.returncode, err) == (0, "")
    number, message = out.split(maxsplit=1)
    assert "the disk refused to read or write. Check the disk, its quota" in message
    with Store(tmp_path / "s.sqlite") as store:
        assert [u.item for u in store.units()] == list(range(int(number) + 1))
        assert "integrity: ok" in store.check()


def test_result_column_is_strict_json(store: Store, tmp_path: Path) -> None:
    """Python would write NaN, which no other reader of JSON takes; what is stored is standard."""
    store.put(unit(result={"a": [1e300, -0.0, "\ud800", "\0"]}))
    with contextlib.closing(sqlite3.connect(tmp_path / "educe.sqlite")) as other:
        row = other.execute(
            "SELECT result, json_valid(result), json_valid(item), json_valid(ledger) FROM units"
        ).fetchone()
    assert row[1:] == (1, 1, 1)
    assert json.loads(row[0], parse_constant=pytest.fail) == {"a": [1e300, -0.0, "\ud800", "\0"]}
