"""The server as a process: kill -9 in the middle of a run, slow clients, stopping, several processes, the command."""

import contextlib
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from educe.cli.main import cli
from educe.site.sessions import COOKIE, SessionSigner, site_secret

pytestmark = pytest.mark.slow
QUICK, LONG = "string-diagram-surgery", "unsupervised-pretraining"


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


class Server:
    def __init__(self, folder, *options, **settings):
        self.port = free_port()
        environment = {**os.environ, "EDUCE_DATA_DIR": str(folder), "OMP_NUM_THREADS": "1", "EDUCE_THREADS": "1"}
        environment |= {name: value.format(port=self.port) for name, value in settings.items()}
        self.folder, self.environment = folder, environment
        command = [
            sys.executable,
            "-m",
            "educe.cli.main",
            "serve",
            "--port",
            str(self.port),
            "--lm",
            "fake:4",
            *options,
        ]
        self.log = open(folder / "log", "ab")  # noqa: SIM115
        self.process = subprocess.Popen(
            command, env=environment, stdout=self.log, stderr=self.log, start_new_session=True
        )
        deadline = time.monotonic() + 120
        while True:
            try:
                self.get("/readyz")
                return
            except OSError:
                assert self.process.poll() is None, Path(folder / "log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.2)

    def get(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=60) as answer:
            return answer.read().decode()

    def post(self, path, **data):
        class Stay(urllib.request.HTTPRedirectHandler):
            def redirect_request(self, *given):
                return None

        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", urllib.parse.urlencode(data).encode(), method="POST"
        )
        try:
            urllib.request.build_opener(Stay).open(request, timeout=60)
        except urllib.error.HTTPError as answer:
            if answer.code != 303:
                raise
            return answer.headers["location"]
        raise AssertionError("no redirect")

    def until(self, path, states, seconds=200):
        deadline = time.monotonic() + seconds
        while True:
            found = json.loads(self.get(f"{path}.json"))
            if found["state"] in states:
                return found
            assert time.monotonic() < deadline, found
            time.sleep(0.2)

    def kill(self):
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.log.close()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(60)
        self.log.close()
        return code


def workers_alive():
    import psutil

    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if any("educe.site.run_worker" in part for part in process.info["cmdline"] or [])
        and process.status() != psutil.STATUS_ZOMBIE
    ]


def test_kill_9_during_a_run_loses_nothing_finished_and_marks_the_rest(tmp_path):
    server = Server(tmp_path)
    try:
        finished = server.post(f"/papers/{QUICK}/runs", scale="smoke", seed=1)
        before = server.until(finished, ["finished"])
        answered = server.post("/ask", question="2 + 2?", lm="fake:The answer is 4.", samples=4)
        answer = server.until(answered, ["finished"])
        running = server.post(f"/papers/{LONG}/runs", scale="small")
        server.until(running, ["running"])
    finally:
        server.kill()
    deadline = time.monotonic() + 20
    while workers_alive() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not workers_alive()
    with sqlite3.connect(tmp_path / "site.sqlite") as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    database.close()
    server = Server(tmp_path)
    try:
        assert json.loads(server.get(f"{finished}.json")) == before
        assert json.loads(server.get(f"{answered}.json")) == answer
        left = server.until(running, ["interrupted"])
        assert left["ended"]
        assert "interrupted" in server.get(running)
        # The visitor is free again.
        again = server.post(f"/papers/{QUICK}/runs", scale="smoke", seed=2)
        assert server.until(again, ["finished"])["report"]
        assert server.stop() == 0
    finally:
        if server.process.poll() is None:
            server.kill()


def test_kill_9_during_votes_keeps_every_vote_that_was_answered_and_doubles_none(tmp_path):
    server = Server(tmp_path)
    papers = ("rpc", "causal-de-finetti", QUICK)
    with sqlite3.connect(tmp_path / "site.sqlite") as database:
        database.executemany(
            "INSERT INTO people (id, email, created, confirmed) VALUES (?, ?, 1, 1)",
            [(number, f"reader{number}@example.org") for number in range(1, 41)],
        )
    database.close()
    signer = SessionSigner(site_secret(tmp_path / "site"))
    answered = set()

    def vote(number):
        headers = {"sec-fetch-site": "same-origin", "cookie": f"{COOKIE}={signer.sign({'person': number})}"}
        with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", headers=headers, timeout=60) as client:
            for paper in papers:
                answer = client.post(f"/papers/{paper}/vote")
                assert answer.headers["location"] == f"/papers/{paper}"
                answered.add((number, paper))

    def until_killed(number):
        with contextlib.suppress(httpx.TransportError):
            vote(number)

    with ThreadPoolExecutor(8) as voters:
        work = [voters.submit(until_killed, number) for number in range(1, 41)]
        while len(answered) < 30:
            time.sleep(0.002)
        server.kill()
        for task in work:
            task.result()
    at_the_kill = set(answered)
    assert 30 <= len(at_the_kill) < 120

    def votes():
        with sqlite3.connect(tmp_path / "site.sqlite") as database:
            assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            rows = database.execute("SELECT v.person_id, p.slug FROM votes v JOIN papers p ON p.id = v.paper_id")
            rows = rows.fetchall()
            counted = dict(database.execute("SELECT slug, votes FROM papers WHERE votes > 0"))
        database.close()
        assert len(rows) == len(set(rows))
        assert counted == {slug: sum(row[1] == slug for row in rows) for slug in {row[1] for row in rows}}
        return set(rows)

    # What was answered is there; of what was not, each may be there or not, with its count.
    assert votes() >= at_the_kill
    server = Server(tmp_path)
    try:
        with ThreadPoolExecutor(8) as voters:
            for task in [voters.submit(vote, number) for number in range(1, 41)]:
                task.result()
        assert votes() == {(number, paper) for number in range(1, 41) for paper in papers}
        assert server.stop() == 0
    finally:
        if server.process.poll() is None:
            server.kill()


def test_stopping_stores_running_work_and_closes_live_connections(tmp_path):
    server = Server(tmp_path)
    running = server.post(f"/papers/{LONG}/runs", scale="small")
    server.until(running, ["running"])
    stream = urllib.request.urlopen(f"http://127.0.0.1:{server.port}{running}/events", timeout=60)
    assert stream.readline().startswith(b"retry")
    assert server.stop() == 0
    assert b"event: fragment" in stream.read()
    with sqlite3.connect(tmp_path / "site.sqlite") as database:
        assert database.execute("SELECT state FROM runs").fetchall() == [("interrupted",)]
    database.close()
    assert not workers_alive()


def test_slow_clients_are_shown_the_door_and_others_are_served(tmp_path):
    server = Server(tmp_path)
    try:
        slow = []
        for _ in range(50):
            client = socket.create_connection(("127.0.0.1", server.port))
            client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
            slow.append(client)
        body = socket.create_connection(("127.0.0.1", server.port))
        body.sendall(
            b"POST /ask HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n"
            b"Content-Length: 100\r\n\r\nquestion=x"
        )
        assert server.get("/healthz") == "ok\n"
        for client in slow:
            client.settimeout(30)
            assert client.recv(100) == b""  # Closed without an answer after ten seconds.
            client.close()
        body.settimeout(40)
        assert b" 408 " in body.recv(4000)
        body.close()
        long = socket.create_connection(("127.0.0.1", server.port))
        long.settimeout(30)
        try:
            long.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
            for _ in range(40):
                long.sendall(b"X-Long: " + b"a" * 4000 + b"\r\n")
            assert long.recv(100) == b""
        except ConnectionError:
            pass
        long.close()
        assert server.stop() == 0
    finally:
        if server.process.poll() is None:
            server.kill()


def test_several_processes_share_the_work_and_one_that_dies_is_replaced(tmp_path):
    import psutil

    server = Server(tmp_path, "--workers", "2")
    try:
        children = [
            child
            for child in psutil.Process(server.process.pid).children()
            if "spawn_main" in " ".join(child.cmdline())
        ]
        assert len(children) == 2
        address = server.post("/ask", question="2 + 2?", lm="fake:The answer is 4.", samples=4)
        assert server.until(address, ["finished"])["result"]["answer"] == "4"
        for child in children:
            child.kill()
        deadline = time.monotonic() + 120
        while True:
            try:
                assert server.get("/healthz") == "ok\n"
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.3)
        address = server.post("/ask", question="3 + 1?", lm="fake:The answer is 4.", samples=4)
        assert server.until(address, ["finished"])["result"]["answer"] == "4"
        assert server.stop() == 0
    finally:
        if server.process.poll() is None:
            server.kill()


def test_the_command_refuses_the_world_without_a_key(monkeypatch):
    monkeypatch.delenv("EDUCE_SERVER_KEY", raising=False)
    done = CliRunner().invoke(cli, ["serve", "--host", "0.0.0.0"])
    assert done.exit_code != 0
    assert "EDUCE_SERVER_KEY" in str(done.exception)


def test_a_taken_port_is_said_in_a_sentence():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = CliRunner().invoke(cli, ["serve", "--port", str(port), "--lm", "fake:4"])
    assert done.exit_code != 0
    assert "Choose another --port" in str(done.exception)


def test_the_backup_command_writes_a_database(tmp_path, monkeypatch):
    monkeypatch.setenv("EDUCE_DATA_DIR", str(tmp_path))
    from educe.site.config import SiteConfig
    from educe.site.database import Database
    from educe.site.seeds import seed_cards

    database = Database(SiteConfig().database)
    database.migrate()
    seed_cards(database)
    database.close()
    done = CliRunner().invoke(cli, ["site", "backup", str(tmp_path / "copy.sqlite")])
    assert done.exit_code == 0, done.output
    with sqlite3.connect(tmp_path / "copy.sqlite") as copy:
        assert copy.execute("SELECT count(*) FROM papers").fetchone()[0] == 60
    copy.close()
