"""The door to PostgreSQL: what is planned once, and what goes out together."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import NamedTuple

import psycopg
import pytest
from support.pooler import PidMaskingPooler
from support.postgres import wait_until
from support.shop import Shop

from syncd.core.errors import DatabaseUnavailableError, SyncdError
from syncd.postgres import connection as door
from syncd.postgres.database import Database, Step, rows_of
from syncd.postgres.statements import Statement, query

pytestmark = pytest.mark.db

LOOK = Statement(b"SELECT feed FROM notes WHERE feed = %(feed)s")
PREPARED = Statement(b"SELECT count(*) FROM pg_prepared_statements")
NOTE = Statement(b"INSERT INTO notes VALUES (%(feed)s)")
NOTED = Statement(b"SELECT count(*) AS noted FROM notes")
WRONG = Statement(b"SELECT 1 / %(zero)s::integer")


class Noted(NamedTuple):
    """How many are noted."""

    noted: int


def prepared(database: Database, looks: int = 5) -> int:
    """Look often; tell how many statements the server keeps a plan of."""
    for _ in range(looks):
        database.run(LOOK, feed="one")
    return database.value(int, PREPARED)


@pytest.fixture
def shop_with_notes(shop: Shop) -> Shop:
    """With a table that the daemon may write to."""
    shop.sql("CREATE TABLE notes (feed text PRIMARY KEY)")
    shop.sql(f"GRANT SELECT, INSERT ON notes TO {shop.role}")
    return shop


@pytest.fixture
def keeping(shop_with_notes: Shop) -> Iterator[Database]:
    """A connection of the daemon's that looks up by key."""
    with closing(Database(shop_with_notes.dsn, keeps_plans=True)) as database:
        yield database


def test_look_ups_by_key_are_planned_once(
    shop_with_notes: Shop, keeping: Database
) -> None:
    """Others, whose plan depends on their values, each time."""
    assert prepared(keeping) == 1
    with closing(Database(shop_with_notes.dsn)) as other:
        assert prepared(other) == 0


def test_plans_are_made_anew_ever_more_rarely(
    keeping: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tables may have been empty when the first were made."""
    renewed: list[int] = []
    real = query

    def named(name: str) -> Statement:
        renewed.extend([keeping._age] * (name == "discard_plans"))  # noqa: SLF001
        return real(name)

    monkeypatch.setattr(door, "query", named)
    prepared(keeping, looks=900)
    assert renewed == [100, 200, 400, 800]
    keeping.age_plans(5_000)
    prepared(keeping, looks=900)
    assert renewed[4:] == [5_902]


def test_nothing_is_prepared_behind_a_pooler(shop_with_notes: Shop) -> None:
    """The next transaction may be another server's, which knows no such statement."""
    pooler = PidMaskingPooler(shop_with_notes.dsn)
    try:
        with closing(Database(pooler.dsn, keeps_plans=True)) as database:
            assert prepared(database) == 0
    finally:
        pooler.close()


def test_statements_sent_together_are_one_transaction(keeping: Database) -> None:
    """Each gives its rows; all hold, or none."""
    first = Step(rows_of(Noted), NOTE, {"feed": "one"})
    assert keeping.together(first, Step(rows_of(Noted), NOTED, {})) == ([], [Noted(1)])
    with pytest.raises(SyncdError):
        keeping.together(
            Step(rows_of(Noted), NOTE, {"feed": "two"}),
            Step(rows_of(Noted), WRONG, {"zero": 0}),
        )
    assert keeping.value(int, NOTED) == 1


def test_statements_sent_together_see_what_is_committed_between_them(
    shop_with_notes: Shop, keeping: Database
) -> None:
    """Each has a snapshot of its own: the admission needs one behind the lock."""
    lock = Statement(b"SELECT count(*) AS noted FROM pg_advisory_lock(7), notes")
    waiting = (
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    )
    with (
        psycopg.connect(shop_with_notes.owner, autocommit=True) as holder,
        ThreadPoolExecutor() as pool,
    ):
        holder.execute("SELECT pg_advisory_lock(7)")
        both = pool.submit(
            lambda: keeping.together(
                Step(rows_of(Noted), lock, {}), Step(rows_of(Noted), NOTED, {})
            )
        )
        wait_until(lambda: shop_with_notes.value(waiting) == 1)
        shop_with_notes.sql(NOTE.text.decode() % {"feed": "'other'"})
        holder.execute("SELECT pg_advisory_unlock(7)")
        assert both.result(30) == ([Noted(0)], [Noted(1)])


def test_a_connection_that_was_opened_by_half_is_not_used(
    shop_with_notes: Shop,
) -> None:
    """What has to be done at its beginning failed: the next use opens another."""
    begun: list[int] = []

    def begin() -> None:
        begun.append(database.peer().pid)
        if len(begun) == 1:
            raise DatabaseUnavailableError("nothing was noted", "Wait.")

    with closing(Database(shop_with_notes.dsn)) as database:
        database.on_open(begin)
        with pytest.raises(DatabaseUnavailableError):
            database.run(NOTED)
        database.run(NOTED)
        database.run(NOTED)
        assert len(begun) == 2
        assert begun[0] != begun[1] == database.peer().pid
