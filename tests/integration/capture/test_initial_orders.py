"""Only the orders listed at the first start are initial, whatever their times."""

from collections.abc import Iterator
from itertools import product

import psycopg
import pytest
from support.feed_harness import FeedHarness, ago
from support.postgres import Cluster
from support.shop import Shop

from syncd.core.cause import Place
from syncd.core.errors import PermissionDeniedError
from syncd.ledger.feed import FeedStore
from syncd.postgres.database import Database
from syncd.postgres.session import SESSION
from syncd.postgres.statements import Statement

pytestmark = pytest.mark.db

INSERT = "INSERT INTO orders (confirmed_at) SELECT {} FROM generate_series(1, {})"
STAMPS = ("now() - interval '2 years'", "now()", "now() + interval '3 days'")


@pytest.fixture(params=["beside", "apart"])
def shops(
    request: pytest.FixtureRequest, database: str, server: Cluster
) -> Iterator[Shop]:
    """A shop with the ledger beside its orders, and one with it elsewhere."""
    if request.param == "beside":
        yield Shop.open(database)
        return
    name = f"{psycopg.conninfo.conninfo_to_dict(database)['dbname']}_state"
    server.sql(f"CREATE DATABASE {name}")
    yield Shop.open(database, state=server.dsn(name))
    server.sql(f"DROP DATABASE {name} WITH (FORCE)")


def touch(feed: FeedHarness, *keys: str) -> int:
    """Admit orders as a follower does that received their keys."""
    with feed.ledger.admission():
        found = feed.source.of_keys(keys)
        return feed.ledger.admit(found, "listen", size=100).orders


def keys(feed: FeedHarness) -> list[str]:
    return [order.order_key for order in feed.shop.rows_of("ledger")]


@pytest.mark.parametrize("stamp", STAMPS)
def test_an_initial_order_is_captured_only_by_a_backfill(
    shops: Shop, stamp: str
) -> None:
    """Polling, touching, listing at another time and reconciling do not capture it."""
    shops.sql(INSERT.format(stamp, 3))
    feed = FeedHarness(shops)
    feed.backdate("10 days")
    feed.poll(whole=True)
    assert touch(feed, "1", "2", "3") == 0
    shops.sql("UPDATE orders SET confirmed_at = now() - interval '1 minute'")
    feed.poll(whole=True)
    assert touch(feed, "1", "2", "3") == 0
    account = feed.tally()
    feed.close()
    assert (account.initial, account.missing) == (3, 0)
    assert keys(feed) == []


@pytest.mark.parametrize("stamp", STAMPS)
def test_an_order_that_the_start_did_not_list_is_captured_when_touched(
    shops: Shop, stamp: str
) -> None:
    """For example a draft from before the start, or an order with its cart's time."""
    shops.sql(INSERT.format("NULL", 2))
    feed = FeedHarness(shops)
    shops.sql(f"UPDATE orders SET confirmed_at = {stamp}")
    taken = touch(feed, "1", "2")
    feed.close()
    assert taken == 2


def test_an_order_that_commits_after_the_start_is_captured(shops: Shop) -> None:
    """Only orders visible at the start are initial, whatever their stamps."""
    with psycopg.connect(shops.owner) as session:
        session.execute(INSERT.format("now() - interval '1 day'", 1).encode())
        feed = FeedHarness(shops)
        session.commit()
    taken = touch(feed, "1")
    feed.close()
    assert taken == 1


def test_the_earliest_confirmation_time_is_recorded(shops: Shop) -> None:
    """The window that found the order may contain only a later time."""
    shops.sql(
        "CREATE TABLE history (order_id bigint, at timestamptz); "
        "CREATE INDEX ON history (at); CREATE INDEX ON history (order_id); "
        "CREATE OR REPLACE VIEW syncd.confirmed_orders AS "
        "SELECT order_id AS order_key, at AS confirmed_at FROM history"
    )
    feed = FeedHarness(shops)
    shops.sql("INSERT INTO history VALUES (1, now() - interval '2 days'), (1, now())")
    assert feed.poll(whole=True) == 1
    feed.close()
    first = shops.value("SELECT min(at) FROM history")
    assert shops.row_of("ledger").confirmed_at == first


def test_an_initial_order_without_a_time_is_captured_once_it_has_one(
    shops: Shop,
) -> None:
    """It was not confirmed at the start; an order that had a time was."""
    shops.sql(
        "CREATE OR REPLACE VIEW syncd.confirmed_orders AS "
        "SELECT id AS order_key, confirmed_at FROM orders; "
        + INSERT.format("NULL", 1)
        + "; INSERT INTO orders (confirmed_at) VALUES ('infinity'), ('-infinity')"
        + "; INSERT INTO orders (confirmed_at) VALUES (now())"
    )
    feed = FeedHarness(shops)
    before = feed.reconcile()
    shops.sql("UPDATE orders SET confirmed_at = now()")
    taken = touch(feed, "1", "2") + feed.poll(whole=True)
    feed.close()
    assert (before.without_time, before.account.initial, taken) == (3, 1, 3)


def test_a_backfill_captures_initial_orders(shops: Shop) -> None:
    """Afterwards the reconciliation counts these orders by their batch."""
    shops.sql(INSERT.format("now() - interval '2 days'", 3))
    feed = FeedHarness(shops)
    feed.backdate("10 days")
    before = feed.tally()
    feed.backfill(ago(days=5))
    account = feed.tally()
    feed.close()
    assert (before.initial, account.initial, account.pending) == (3, 0, 3)


def test_initial_orders_are_stored_in_pages_and_recognised(shops: Shop) -> None:
    """No other order is recognised; also with the source in another database."""
    shops.sql(INSERT.format("now() - interval '1 day'", 120_000))
    feed = FeedHarness(shops)
    shops.sql(INSERT.format("now()", 1000))
    taken = touch(feed, *(str(n) for n in range(1, 121_001, 10)))
    feed.close()
    assert taken == 100
    chunks = shops.rows_of("initial_orders")
    assert sum(len(chunk.hashes) for chunk in chunks) == 120_000
    assert len(chunks) - len({chunk.bucket for chunk in chunks}) <= 1


def test_an_interrupted_start_writes_nothing(shops: Shop) -> None:
    """The next start creates the feed, with the orders that are listed by then."""
    shops.sql(INSERT.format("now()", 2))
    owner = shops.state or shops.owner
    for right in ("REVOKE INSERT ON syncd.{0} FROM", "GRANT INSERT ON syncd.{0} TO"):
        with psycopg.connect(owner, autocommit=True) as connection:
            statement = f"{right.format('initial_orders')} {shops.role}"
            connection.execute(statement.encode())
        if right.startswith("REVOKE"):
            with pytest.raises(PermissionDeniedError):
                FeedHarness(shops)
            assert shops.rows_of("feed") == []
    shops.sql(INSERT.format("now()", 1))
    feed = FeedHarness(shops)
    taken = touch(feed, "1", "2", "3")
    feed.close()
    assert taken == 0


def test_a_start_may_take_longer_than_the_statement_timeout(
    shops: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It sets limits of its own; those of the sessions hold again afterwards."""
    shops.sql(f"ALTER ROLE {shops.role} SET statement_timeout = '30s'")
    shops.sql(
        "CREATE FUNCTION slow(bigint) RETURNS bigint LANGUAGE sql VOLATILE AS "
        "$$ SELECT pg_sleep(0.4); SELECT $1 $$; "
        "CREATE OR REPLACE VIEW syncd.confirmed_orders AS "
        "SELECT slow(id) AS order_key, confirmed_at FROM orders; "
        + INSERT.format("now()", 3)
    )
    monkeypatch.setitem(SESSION, "statement_timeout", "1s")
    feed = FeedHarness(shops)
    for database in (feed.connections.source, feed.connections.ledger):
        assert show(database) == "1s"
    found = FeedStore(feed.connections, "shop").find()
    feed.close()
    assert found


def show(database: Database) -> str:
    return database.value(str, Statement(b"SHOW statement_timeout", Place.LEDGER))


# Exhaustive: every order of a history table, however it was added and captured

HISTORY = """
CREATE TABLE history (order_id bigint NOT NULL, at timestamptz);
CREATE INDEX ON history (at);
CREATE INDEX ON history (order_id);
CREATE OR REPLACE VIEW syncd.confirmed_orders AS
SELECT order_id AS order_key, at AS confirmed_at FROM history;
"""
SAVED = "INSERT INTO history VALUES ({}, {})"
TIMES = (
    "now() - interval '50 days'",
    "now() - interval '3 hours'",
    "now()",
    "now() + interval '3 hours'",
)
BEGINNINGS = ("listed", "listed without a time", "on its way", "not there")
FATES = ("stays", "is saved again", "is stamped anew")
CASES = list(enumerate(product(BEGINNINGS, TIMES, FATES), 1))
CAPTURES = ("poll", "touch", "account")


def capture_by(feed: FeedHarness, how: str) -> None:
    if how == "poll":
        feed.poll(whole=True)
    elif how == "touch":
        touch(feed, *(str(order) for order, _ in CASES))
    else:
        feed.tally()


def orders(*beginnings: str, fate: str | None = None) -> dict[int, str]:
    """Return the times of the orders with one of some beginnings, by number."""
    return {
        order: time
        for order, (beginning, time, its_fate) in CASES
        if beginning in beginnings and fate in {None, its_fate}
    }


def start_feed_with_open_transaction(shop: Shop) -> FeedHarness:
    """Start the feed with some orders listed and others not yet committed."""
    for order, time in orders("listed").items():
        shop.sql(SAVED.format(order, time))
    for order in orders("listed without a time"):
        shop.sql(SAVED.format(order, "NULL"))
    with psycopg.connect(shop.owner) as session:
        for order, time in orders("on its way").items():
            session.execute(SAVED.format(order, time).encode())
        feed = FeedHarness(shop)
    feed.backdate("10 days")
    for order, time in orders("not there").items():
        shop.sql(SAVED.format(order, time))
    return feed


@pytest.mark.parametrize("captures", list(product(CAPTURES, repeat=2)))
def test_exactly_the_orders_that_the_start_did_not_list_are_captured(
    shop: Shop, captures: tuple[str, str]
) -> None:
    """A poll and a reconciliation later every new order is there, and no initial one.

    The poll captures what lies above the watermark, the reconciliation the rest.
    """
    shop.sql(HISTORY)
    feed = start_feed_with_open_transaction(shop)
    capture_by(feed, captures[0])
    for order in orders(*BEGINNINGS, fate="is saved again"):
        shop.sql(SAVED.format(order, "now() + interval '4 hours'"))
    for order in orders(*BEGINNINGS, fate="is stamped anew"):
        shop.sql(f"UPDATE history SET at = now() WHERE order_id = {order}")
    capture_by(feed, captures[1])
    feed.poll()
    account = feed.tally()
    feed.close()
    without_time = orders("listed without a time", fate="stays")
    new = set(orders("on its way", "not there", "listed without a time"))
    new -= set(without_time)
    assert set(keys(feed)) == {str(order) for order in new}
    assert account.confirmed == len(CASES) - len(without_time)
    assert account.initial == account.confirmed - len(new)
    assert account.unexplained == 0
    taken = {order.order_key: order.confirmed_at for order in shop.rows_of("ledger")}
    times = shop.rows(
        "SELECT order_id::text, min(at) FROM history "
        "GROUP BY 1 HAVING min(at) <> max(at)"
    )
    assert [key for key, first in times if key in taken and taken[key] > first] == []
