"""The database: migrations agree with the schema, writes are whole, backups open."""

import json
import sqlite3
import subprocess
import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import func, select, text
from sqlalchemy.exc import IntegrityError

from educe.core import StoreError, UsageError
from educe.site.database import Database, file_lock
from educe.site.schema import Base, Paper, Person, Run, Vote

from .conftest import postgresql_programs


def a_paper(slug="one", **values):
    return Paper(**{"slug": slug, "title": "T", "authors": ["Ann"], "published": 0, "source": "arxiv", **values})


def test_the_migrations_make_the_tables_of_the_schema(database):
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        found = compare_metadata(context, Base.metadata)
    text_index = {"papers_text", "papers_text_data", "papers_text_idx", "papers_text_docsize", "papers_text_config"}
    unknown = []
    for change in found:
        kind, thing = change[0], change[-1]
        if kind == "remove_table" and thing.name in text_index:
            continue
        if kind == "remove_column" and thing.name == "words":
            continue
        if kind == "remove_index" and thing.name == "papers_words":
            continue
        unknown.append(change)
    assert not unknown


def test_migrating_again_changes_nothing(database):
    with database.write() as session:
        session.add(a_paper())
    database.migrate()
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(Paper)) == 1


def test_four_processes_may_migrate_at_once(empty_url):
    opened = [Database(empty_url) for _ in range(4)]
    errors = []

    def migrate(one):
        try:
            one.migrate()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=migrate, args=(one,)) for one in opened]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one in opened:
        one.close()
    assert not errors


def test_a_failed_write_leaves_nothing(database):
    with pytest.raises(RuntimeError), database.write(visible=True) as session:
        session.add(a_paper())
        session.flush()
        raise RuntimeError
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(Paper)) == 0


def test_only_visible_changes_are_counted(database):
    before = database.content()
    with database.write() as session:
        session.add(Person(email="a@example.org"))
    assert database.content() == before
    with database.write(visible=True) as session:
        session.add(a_paper())
    assert database.content() == before + 1


def test_a_change_of_another_process_is_seen_within_the_promised_time(database_url, database):
    other = Database(database_url)
    before = other.content()
    with database.write(visible=True) as session:
        session.add(a_paper())
    other._looked -= 0.51  # Half a second passes.
    assert other.content() == before + 1
    other.close()


def test_writers_wait_for_each_other_and_lose_nothing(database):
    with database.write() as session:
        session.add(a_paper())

    def add(number):
        for turn in range(20):
            with database.write(visible=True) as session:
                # Reads before it writes: this is what an ordinary BEGIN would fail at.
                session.scalar(select(func.count()).select_from(Person))
                session.add(Person(email=f"{number}-{turn}@example.org"))

    threads = [threading.Thread(target=add, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(Person)) == 80
    assert database.content() == 80


def test_the_database_itself_allows_one_vote_and_one_open_run(database):
    with database.write() as session:
        session.add_all([a_paper(), Person(id=1, email="a@example.org")])
    with database.write() as session:
        session.add(Vote(person_id=1, paper_id=1))
    with pytest.raises(IntegrityError), database.write() as session:
        session.add(Vote(person_id=1, paper_id=1))
    run = {"slug": "one", "scale": "smoke", "seed": 0, "requester": "me", "progress": {}}
    with database.write() as session:
        session.add_all([Run(id="a", state="finished", **run), Run(id="b", state="queued", **run)])
    with pytest.raises(IntegrityError), database.write() as session:
        session.add(Run(id="c", state="running", **run))


def test_foreign_keys_hold(database):
    with pytest.raises(IntegrityError), database.write() as session:
        session.add(Vote(person_id=5, paper_id=5))


def test_a_backup_is_a_whole_database_while_the_site_writes(database_url, database, tmp_path, monkeypatch):
    with database.write() as session:
        session.add_all([a_paper(f"p{number}", title=f"Tïtle {number}") for number in range(100)])
    if not database.is_sqlite:
        monkeypatch.setenv("PATH", str(postgresql_programs()), prepend=":")
    target = tmp_path / "backup"
    database.backup(target)
    if database.is_sqlite:
        with sqlite3.connect(target) as copy:
            assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            assert copy.execute("SELECT count(*) FROM papers").fetchone() == (100,)
            assert copy.execute("SELECT rowid FROM papers_text WHERE papers_text MATCH '7'").fetchone() == (8,)
        copy.close()
        assert not Path(f"{target}-wal").exists()
    else:
        listed = subprocess.run(
            [postgresql_programs() / "pg_restore", "--list", target], capture_output=True, text=True, check=True
        )
        assert "TABLE DATA public papers" in listed.stdout
    with pytest.raises(StoreError, match="exists already"):
        database.backup(target)


@pytest.mark.parametrize("url", ["nonsense", "mysql://a/b", "sqlite://", "sqlite:///:memory:"])
def test_other_databases_are_refused(url):
    with pytest.raises(UsageError):
        Database(url)


def test_a_database_that_is_not_there_is_said_in_a_sentence():
    lost = Database("postgresql://educe@/postgres?host=/nowhere")
    with pytest.raises(StoreError, match="cannot be prepared"):
        lost.migrate()
    assert not lost.ready()
    lost.close()


def test_letters_stay_letters_in_json(database):
    with database.write() as session:
        session.add(a_paper(authors=["Sébastien Bubeck"]))
    with database.read() as session:
        stored = session.scalar(text("SELECT authors FROM papers"))
    assert "Sébastien" in (stored if isinstance(stored, str) else json.dumps(stored, ensure_ascii=False))


def test_a_lock_is_held_by_one(tmp_path):
    order = []

    def second():
        with file_lock(tmp_path / "lock"):
            order.append("second")

    with file_lock(tmp_path / "lock"):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.2)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
