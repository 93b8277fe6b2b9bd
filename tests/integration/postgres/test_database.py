"""Connections to PostgreSQL: cached plans, and statements sent together."""

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

LOOKUP = Statement(b"SELECT feed FROM notes WHERE feed = %(feed)s")
PREPARED = Statement(b"SELECT count(*) FROM pg_prepared_statements")
NOTE = Statement(b"INSERT INTO notes VALUES (%(feed)s)")
NOTED = Statement(b"SELECT count(*) AS noted FROM notes")
WRONG = Statement(b"SELECT 1 / %(zero)s::integer")


class NoteCount(NamedTuple):
    """The number of notes."""

    noted: int


def prepared_plans(database: Database, queries: int = 5) -> int:
    """Run a query often; return how many plans the server has cached."""
    for _ in range(queries):
        database.run(LOOKUP, feed="one")
    return database.value(int, PREPARED)


@pytest.fixture
def shop_with_notes(shop: Shop) -> Shop:
    """A shop with a table that the daemon may write to."""
    shop.sql("CREATE TABLE notes (feed text PRIMARY KEY)")
    shop.sql(f"GRANT SELECT, INSERT ON notes TO {shop.role}")
    return shop


@pytest.fixture
def caching_database(shop_with_notes: Shop) -> Iterator[Database]:
    """A connection of the daemon that caches plans of queries by key."""
    with closing(Database(shop_with_notes.dsn, keeps_plans=True)) as database:
        yield database


def test_queries_by_key_are_planned_once(
    shop_with_notes: Shop, caching_database: Database
) -> None:
    """Others, whose plan depends on their values, are planned each time."""
    assert prepared_plans(caching_database) == 1
    with closing(Database(shop_with_notes.dsn)) as other:
        assert prepared_plans(other) == 0


def test_cached_plans_are_renewed_ever_more_rarely(
    caching_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tables may have been empty when the first were made."""
    renewed: list[int] = []
    real = query

    def named(name: str) -> Statement:
        renewed.extend([number] * (name == "discard_plans"))
        return real(name)

    monkeypatch.setattr(door, "query", named)
    for number in range(1, 901):  # noqa: B007  # `named` reads it
        caching_database.run(LOOKUP, feed="one")
    assert renewed == [100, 200, 400, 800]
    caching_database.age_plans(5_000)
    prepared_plans(caching_database, queries=900)
    assert len(renewed) == 5


def test_nothing_is_prepared_behind_a_pooler(shop_with_notes: Shop) -> None:
    """The next transaction may run on another server, which lacks the statement."""
    pooler = PidMaskingPooler(shop_with_notes.dsn)
    try:
        with closing(Database(pooler.dsn, keeps_plans=True)) as database:
            assert prepared_plans(database) == 0
    finally:
        pooler.close()


def test_statements_sent_together_are_one_transaction(
    caching_database: Database,
) -> None:
    """Each returns its rows; all are committed, or none."""
    first = Step(rows_of(NoteCount), NOTE, {"feed": "one"})
    assert caching_database.together(first, Step(rows_of(NoteCount), NOTED, {})) == (
        [],
        [NoteCount(1)],
    )
    with pytest.raises(SyncdError):
        caching_database.together(
            Step(rows_of(NoteCount), NOTE, {"feed": "two"}),
            Step(rows_of(NoteCount), WRONG, {"zero": 0}),
        )
    assert caching_database.value(int, NOTED) == 1


def test_statements_sent_together_have_a_snapshot_each(
    shop_with_notes: Shop, caching_database: Database
) -> None:
    """The admission needs a snapshot that is taken after the lock."""
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
            lambda: caching_database.together(
                Step(rows_of(NoteCount), lock, {}), Step(rows_of(NoteCount), NOTED, {})
            )
        )
        wait_until(lambda: shop_with_notes.value(waiting) == 1)
        shop_with_notes.sql(NOTE.text.decode() % {"feed": "'other'"})
        holder.execute("SELECT pg_advisory_unlock(7)")
        assert both.result(30) == ([NoteCount(0)], [NoteCount(1)])


def test_a_connection_that_failed_to_initialise_is_not_used(
    shop_with_notes: Shop,
) -> None:
    """The next use opens another one."""
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
