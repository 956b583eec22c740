"""Tokens and allowances on both databases: of many who try at once, one gets it."""

import threading

import pytest
from fastapi import HTTPException
from sqlalchemy import func, select

from educe.site.allowances import charge, take
from educe.site.links import make_token, read_token, use_token
from educe.site.schema import Allowance, Person, Token, now

SECRET = "a secret"


@pytest.fixture
def token(database):
    with database.write() as session:
        session.add(Person(id=1, email="a@example.org", confirmed=now()))
        session.flush()
        return make_token(session, SECRET, "sign-in", 1, {"next": "/"}, 60)


def at_once(count, work):
    results, start = [], threading.Barrier(count)

    def run():
        start.wait()
        results.append(work())

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_one_of_many_uses_a_token(database, token):
    def use():
        with database.write() as session:
            return use_token(session, SECRET, "sign-in", token) is not None

    assert sorted(at_once(8, use)) == [False] * 7 + [True]
    with database.read() as session:
        assert read_token(session, SECRET, "sign-in", token) is None


def test_a_token_whose_use_was_not_committed_is_good_again(database, token):
    with pytest.raises(RuntimeError), database.write() as session:
        assert use_token(session, SECRET, "sign-in", token) is not None
        raise RuntimeError
    with database.write() as session:
        link, person = use_token(session, SECRET, "sign-in", token)
    assert (link.payload, person.email) == ({"next": "/"}, "a@example.org")


def test_tokens_go_with_their_owner(database, token):
    with database.write() as session:
        session.delete(session.get(Person, 1))
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(Token)) == 0


def test_no_two_take_the_last_of_an_allowance(database):
    def one():
        try:
            with database.write() as session:
                take(session, "x", 5, "no")
        except HTTPException as error:
            return error.status_code
        return 200

    assert sorted(at_once(9, one)) == [200] * 5 + [429] * 4
    with database.read() as session:
        # What was refused is not counted: the transaction was undone.
        assert session.scalars(select(Allowance.count)).one() == 5


def test_an_allowance_is_new_every_day(database, monkeypatch):
    from educe.site import allowances

    counts = []
    for day in (0, 0, 1, 1, 1):
        monkeypatch.setattr(allowances, "now", lambda day=day: 1_800_000_000 + day * 86400)
        with database.write() as session:
            counts.append(charge(session, "x"))
    assert counts == [1, 2, 1, 2, 3]
