"""Databases of real shops through the real daemon, over HTTP: exact events."""

import json
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from support.postgres import wait_until
from support.shop import Shop
from support.shop_dumps import (
    advised_indexes,
    apply_views,
    dump_of,
    exact,
    expected_of,
    restore,
)

from syncd.backfill.plan import Planner, Request
from syncd.backfill.store import BackfillStore
from syncd.core.event import EventRules
from syncd.core.intervals import Interval
from syncd.demo.sandbox import Sandbox
from syncd.ledger.batches import Ledger
from syncd.ledger.feed import FeedStore
from syncd.postgres.database import Database
from syncd.setup.install.install import Grantees, install
from syncd.setup.views.shop import shop as shop_of
from syncd.setup.views.shop import shops
from syncd.source.connections import Connections
from syncd.source.orders import Source

COUNT = "SELECT count(DISTINCT order_key) FROM syncd.confirmed_orders"
NAMES = ("syncd.confirmed_orders", "syncd.purchases")

pytestmark = [pytest.mark.db, pytest.mark.slow]


@pytest.fixture(params=sorted(shops()))
def real_shop(request: pytest.FixtureRequest, database: str) -> Iterator[Shop]:
    """A shop system's own tables, with its preset views."""
    name: str = request.param
    if not dump_of(name).exists():
        pytest.skip(f"{name} IS NOT TESTED: its dump is not here")
    restore(database, name)
    role = f"role_{psycopg.conninfo.conninfo_to_dict(database)['dbname']}"
    dsn = psycopg.conninfo.make_conninfo(database, user=role)
    shop = Shop(database, role, dsn)
    shop.sql(f"CREATE ROLE {role} LOGIN")
    owner = Database(database)
    install(Connections(owner, owner), Grantees(role, *NAMES))
    with psycopg.connect(database, autocommit=True) as connection:
        apply_views(connection, name)
    install(Connections(owner, owner), Grantees(role, *NAMES))
    owner.close()
    yield shop
    shop.close()


def test_the_daemon_delivers_every_confirmed_order_exactly(
    real_shop: Shop, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """All past orders, by a reset of the watermark, as the least privileged role."""
    name = str(request.node.callspec.params["real_shop"])
    with Sandbox() as sandbox:
        zone = shop_of(name).time_zone
        source = {"time_zone": zone} if zone else {}
        config = real_shop.configure(tmp_path, sandbox.endpoint, source)
        with config.open("a") as file:
            file.write('\n[backfill]\nrate = "unlimited"\n')
        daemon = real_shop.start(config)
        log = config.with_suffix(".log")
        wait_until(lambda: "daemon.started" in log.read_text())
        reset(real_shop)
        expected = real_shop.value(COUNT)
        assert isinstance(expected, int)
        wait_until(lambda: settled(real_shop) == expected)
        daemon.terminate()
        assert daemon.wait(60) == 0
        received = {p.orderid: p.body for p in sandbox.received.purchases()}
        assert sandbox.received.totals.repeats == 0
    rejected = [order for order in real_shop.rows_of("ledger") if order.state]
    assert len(received) + len(rejected) == expected, rejected
    for event in expected_of(name):
        got = exact(json.dumps(received[str(event["orderid"])]))
        assert got.pop("timestamp")
        assert got == event
    text = log.read_text()
    assert not [e["email"] for e in received.values() if e and e["email"] in text]


def test_the_facts_of_a_preset_match_its_views(
    real_shop: Shop, request: pytest.FixtureRequest
) -> None:
    """The columns that they read, and the index that the file recommends."""
    name = str(request.node.callspec.params["real_shop"])
    facts = shop_of(name)
    read = real_shop.rows(
        """
        SELECT DISTINCT t.relname::text, a.attname::text
          FROM pg_rewrite AS r
          JOIN pg_depend AS d ON d.objid = r.oid AND d.classid = 'pg_rewrite'::regclass
          JOIN pg_class AS t ON t.oid = d.refobjid AND t.relkind = 'r'
          JOIN pg_attribute AS a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid
         WHERE d.refclassid = 'pg_class'::regclass
           AND r.ev_class IN ('syncd.confirmed_orders'::regclass,
                              'syncd.purchases'::regclass)
        """
    )
    documented = {
        (table, one) for table, columns in facts.columns.items() for one in columns
    }
    assert documented == {*read}
    advised = [" ".join(each.split()) for each in advised_indexes(name)]
    assert [f"{index};" for index in facts.index] == advised


def reset(shop: Shop) -> None:
    """Reset the watermark to long ago."""
    database = Database(shop.dsn)
    source = Source(database, *NAMES)
    feed = FeedStore(Connections(database, database), "shop").get()
    long_ago = source.clock().replace(year=2000)
    ledger = Ledger(database, feed.feed_id)
    planner = Planner(source, ledger, EventRules())
    BackfillStore(ledger).open(
        planner.plan(Request(Interval(long_ago, planner.ceiling()), with_profile=True))
    )
    database.close()


def settled(shop: Shop) -> int:
    orders = shop.captured_orders()
    return len([o for o in orders if o.state or o.batch.state == "delivered"])
