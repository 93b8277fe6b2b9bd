"""Known keys under which the shop now has other orders."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from support.command import syncd
from support.feed_harness import ago
from support.harness import Harness
from support.shop import Shop

from syncd.capture.reconciliation import Reconciliation
from syncd.core.tally import ReconciliationTally
from syncd.demo.sandbox import Sandbox
from syncd.diagnostics.order_history import read_history
from syncd.ledger.feed import FeedStore
from syncd.ledger.reused_keys import ReusedKeys

pytestmark = [pytest.mark.db, pytest.mark.timeout(300)]

BEGIN_AGAIN = "TRUNCATE orders RESTART IDENTITY"


@pytest.fixture
def delivered_test_orders(
    shop: Shop, sandbox: Sandbox, tmp_path: Path
) -> Iterator[Harness]:
    """Delivery, after three test orders were delivered, confirmed two days ago."""
    opened = Harness(shop, sandbox, tmp_path)
    opened.confirm(3)
    opened.deliver_all()
    shop.sql("UPDATE orders SET confirmed_at = confirmed_at - interval '2 days'")
    shop.shift("ledger", timedelta(days=-2), "confirmed_at")
    yield opened
    opened.close()


def keys(harness: Harness) -> ReusedKeys:
    return ReusedKeys(harness.source, harness.ledger.database, harness.ledger.feed_id)


def test_reused_keys_are_found_among_the_newest_orders(
    delivered_test_orders: Harness,
) -> None:
    """Three test orders, the table emptied, three real ones; no other key is noted."""
    keys(delivered_test_orders).compare_newest()
    assert keys(delivered_test_orders).count().keys == 0
    delivered_test_orders.shop.sql(BEGIN_AGAIN)
    delivered_test_orders.shop.confirm(2)
    keys(delivered_test_orders).compare_newest()
    assert sorted(r.key for r in keys(delivered_test_orders).noted()) == ["1", "2"]
    (first,) = keys(delivered_test_orders).noted(["1"])
    assert (first.known_as, first.listed_as) == ("W-1", "W-1")
    assert "key 1 was order W-1, confirmed at" in first.line()
    assert keys(delivered_test_orders).note(["1", "2", "3"]) == 0


@pytest.mark.parametrize(
    ("change", "reused"),
    [
        ("confirmed_at = confirmed_at + interval '10 minutes'", False),
        ("confirmed_at = confirmed_at + interval '2 hours'", False),  # a zone
        ("confirmed_at = confirmed_at - interval '3 hours 1 second'", True),
        ("confirmed_at = now()", True),
        ("email = 'other@example.com'", False),
    ],
)
def test_a_time_far_from_the_known_one_belongs_to_another_order(
    delivered_test_orders: Harness, change: str, *, reused: bool
) -> None:
    """A small shift, or a zone's offset, is still the same order."""
    delivered_test_orders.shop.sql(f"UPDATE orders SET {change} WHERE id = 2")
    keys(delivered_test_orders).compare_newest()
    assert [r.key for r in keys(delivered_test_orders).noted()] == (
        ["2"] if reused else []
    )


def test_another_number_belongs_to_another_order(
    delivered_test_orders: Harness,
) -> None:
    """Its time does not matter; an order listed by its old number is known."""
    delivered_test_orders.shop.sql(
        "CREATE OR REPLACE VIEW syncd.purchases AS SELECT id AS order_key,"
        " CASE WHEN id = 2 THEN 'X-2' ELSE 'W-' || id END AS orderid, email,"
        " 'EUR' AS currency, total AS totalvalue, products FROM orders"
    )
    keys(delivered_test_orders).compare_newest()
    assert (
        keys(delivered_test_orders).noted() == []
    )  # the same time to the fraction: written again
    delivered_test_orders.shop.sql(
        "UPDATE orders SET confirmed_at = confirmed_at + interval '5 s'"
    )
    keys(delivered_test_orders).compare_newest()
    (found,) = keys(delivered_test_orders).noted()
    assert (found.known_as, found.listed_as) == ("W-2", "X-2")
    delivered_test_orders.shop.recreate_views()
    keys(delivered_test_orders).compare_newest()
    assert keys(delivered_test_orders).noted() == []


def test_explain_describes_both_orders(delivered_test_orders: Harness) -> None:
    """It does so before anything has noted the key."""
    delivered_test_orders.shop.sql(BEGIN_AGAIN)
    delivered_test_orders.shop.confirm(2)
    connections = delivered_test_orders.connections
    feed = FeedStore(connections, "shop").get()
    history = read_history(
        delivered_test_orders.ledger.database, delivered_test_orders.source, feed, "2"
    )
    assert history is not None
    lines = list(history.lines())
    assert lines[0].startswith("key 2 was order W-2, confirmed at")
    assert "the views now list order W-2, confirmed at" in lines[0]
    assert lines[-1].startswith("next: syncd reused send 2")


def test_an_order_under_a_reused_key_is_sent_on_request(
    delivered_test_orders: Harness, sandbox: Sandbox
) -> None:
    """Planned first; the old order keeps its record, under a retired key."""
    shop = delivered_test_orders.shop
    config = delivered_test_orders.folder / "syncd.toml"
    shop.sql(BEGIN_AGAIN)
    shop.confirm(2)
    keys(delivered_test_orders).compare_newest()
    listed = syncd("reused", "list", "--json", "--config", config).stdout
    assert listed.count('"order_key"') == 2
    status = syncd("status", "--config", config).stdout
    assert "2 orders not sent: their keys belonged to others" in status
    plan = syncd("reused", "send", "--all", "--dry-run", "--config", config)
    assert "nothing was changed" in plan.stdout
    assert keys(delivered_test_orders).count().keys == 2
    done = syncd("reused", "send", "1", "--yes", "--config", config)
    assert "1 orders are pending" in done.stdout
    delivered_test_orders.deliver_all()
    assert [sandbox.received.posts(f"W-{n}") for n in (1, 2, 3)] == [2, 1, 1]
    taken = [order.order_key for order in shop.rows_of("ledger")]
    assert [key.split(" until ")[0] for key in taken] == ["1", "1", "2", "3"]
    assert [r.key for r in keys(delivered_test_orders).noted()] == ["2"]
    kept = syncd("reused", "keep", "--all", "--yes", "--config", config)
    assert "1 orders are known" in kept.stdout
    keys(delivered_test_orders).compare_newest()
    assert keys(delivered_test_orders).noted() == []


HISTORY = """
CREATE TABLE history (order_id bigint, at timestamptz);
INSERT INTO history SELECT id, confirmed_at FROM orders;
INSERT INTO history SELECT id, confirmed_at + interval '20 hours' FROM orders;
DROP VIEW syncd.confirmed_orders;
CREATE VIEW syncd.confirmed_orders AS
SELECT order_id AS order_key, min(at) AS confirmed_at FROM history GROUP BY order_id;
GRANT SELECT ON syncd.confirmed_orders TO {};
"""


def reconcile(harness: Harness) -> ReconciliationTally:
    """Reconcile all that is listed."""
    harness.shop.set_watermark(ago(seconds=-1))
    reconciliation = Reconciliation(harness.source, harness.ledger, size=100)
    run = reconciliation.ask(None, None)
    list(reconciliation.pages(run))
    finished = reconciliation.finish(run)
    assert finished
    return finished.account


def with_new_orders(harness: Harness, orders: int) -> None:
    """Add orders of now, beside the three of two days ago."""
    harness.confirm(orders)
    harness.deliver_all()


def test_a_shop_that_deletes_delivered_orders_reuses_no_key(
    delivered_test_orders: Harness,
) -> None:
    """Old orders go, new ones come with higher keys: no alarm."""
    with_new_orders(delivered_test_orders, 3)
    delivered_test_orders.shop.sql(
        "DELETE FROM orders WHERE confirmed_at < now() - interval '1 day'"
    )
    with_new_orders(delivered_test_orders, 2)
    keys(delivered_test_orders).compare_newest()
    assert reconcile(delivered_test_orders) == ReconciliationTally(delivered=5)
    assert keys(delivered_test_orders).noted() == []


def test_a_shop_that_deletes_old_history_rows_reuses_no_key(
    delivered_test_orders: Harness,
) -> None:
    """The remaining rows have other times; the orders still count as delivered."""
    with_new_orders(delivered_test_orders, 4)
    delivered_test_orders.shop.sql(HISTORY.format(delivered_test_orders.shop.role))
    assert reconcile(delivered_test_orders) == ReconciliationTally(delivered=7)
    delivered_test_orders.shop.sql(
        "DELETE FROM history WHERE at < now() - interval '36 hours'"
    )
    keys(delivered_test_orders).compare_newest()
    assert keys(delivered_test_orders).noted() == []
    assert reconcile(delivered_test_orders) == ReconciliationTally(delivered=7)
    assert keys(delivered_test_orders).noted() == []


def test_keys_that_start_over_stay_noted_after_reconciliations(
    delivered_test_orders: Harness,
) -> None:
    """As long as nobody decided, however many reconciliations follow."""
    assert reconcile(delivered_test_orders) == ReconciliationTally(delivered=3)
    delivered_test_orders.shop.sql(BEGIN_AGAIN)
    delivered_test_orders.shop.confirm(2)
    assert reconcile(delivered_test_orders) == ReconciliationTally(reused=2)
    delivered_test_orders.shop.update("reconciliation", {"scope": "hours"})
    delivered_test_orders.shop.shift("reconciliation", timedelta(hours=2), "started_at")
    assert reconcile(delivered_test_orders) == ReconciliationTally(reused=2)
    assert sorted(r.key for r in keys(delivered_test_orders).noted()) == ["1", "2"]


def test_keys_of_another_table_are_reused_whatever_their_times(
    delivered_test_orders: Harness,
) -> None:
    """Its orders are old and never reconciled: the newest ones are gone."""
    with_new_orders(delivered_test_orders, 2)
    assert reconcile(delivered_test_orders) == ReconciliationTally(delivered=5)
    delivered_test_orders.shop.sql(BEGIN_AGAIN)
    delivered_test_orders.shop.sql(
        "INSERT INTO orders (confirmed_at) "
        "SELECT now() - interval '30 hours' FROM generate_series(1, 3)"
    )
    assert reconcile(delivered_test_orders) == ReconciliationTally(reused=3)


def test_reconciliation_never_counts_a_reused_key_as_delivered(
    delivered_test_orders: Harness,
) -> None:
    """It detects that itself, whatever was noted before."""
    delivered_test_orders.shop.sql(BEGIN_AGAIN)
    delivered_test_orders.shop.confirm(2)
    reconciliation = Reconciliation(
        delivered_test_orders.source, delivered_test_orders.ledger, size=100
    )
    delivered_test_orders.shop.set_watermark(ago(seconds=-1))
    run = reconciliation.ask(None, None)
    assert run is not None
    list(reconciliation.pages(run))
    finished = reconciliation.finish(run)
    assert finished
    assert finished.account == ReconciliationTally(reused=2)
    assert "2 confirmed, 0 delivered, 2 under a reused key" in finished.sentence
    assert keys(delivered_test_orders).count().keys == 2
