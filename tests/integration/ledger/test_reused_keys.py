"""Known keys under which the shop has other orders now."""

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
def tested_harness(shop: Shop, sandbox: Sandbox, tmp_path: Path) -> Iterator[Harness]:
    """Three test orders were delivered, two days ago by their times."""
    opened = Harness(shop, sandbox, tmp_path)
    opened.confirm(3)
    opened.deliver_all()
    shop.sql("UPDATE orders SET confirmed_at = confirmed_at - interval '2 days'")
    shop.shift("ledger", timedelta(days=-2), "confirmed_at")
    yield opened
    opened.close()


def keys(harness: Harness) -> ReusedKeys:
    return ReusedKeys(harness.source, harness.ledger.database, harness.ledger.feed_id)


def test_reused_keys_are_found_among_the_newest_orders(tested_harness: Harness) -> None:
    """Three test orders, the table emptied, three real ones; nothing else is named."""
    keys(tested_harness).compare_newest()
    assert keys(tested_harness).count().keys == 0
    tested_harness.shop.sql(BEGIN_AGAIN)
    tested_harness.shop.confirm(2)
    keys(tested_harness).compare_newest()
    assert sorted(r.key for r in keys(tested_harness).noted()) == ["1", "2"]
    (first,) = keys(tested_harness).noted(["1"])
    assert (first.known_as, first.listed_as) == ("W-1", "W-1")
    assert "key 1 was order W-1, confirmed at" in first.line()
    assert keys(tested_harness).note(["1", "2", "3"]) == 0


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
def test_a_time_that_is_far_from_the_known_one_is_another_order(
    tested_harness: Harness, change: str, *, reused: bool
) -> None:
    """A small move, or a whole offset between zones, is the same order's."""
    tested_harness.shop.sql(f"UPDATE orders SET {change} WHERE id = 2")
    keys(tested_harness).compare_newest()
    assert [r.key for r in keys(tested_harness).noted()] == (["2"] if reused else [])


def test_another_number_is_another_order(tested_harness: Harness) -> None:
    """However near its time is; what is listed with the old number again is known."""
    tested_harness.shop.sql(
        "CREATE OR REPLACE VIEW syncd.purchases AS SELECT id AS order_key,"
        " CASE WHEN id = 2 THEN 'X-2' ELSE 'W-' || id END AS orderid, email,"
        " 'EUR' AS currency, total AS totalvalue, products FROM orders"
    )
    keys(tested_harness).compare_newest()
    assert (
        keys(tested_harness).noted() == []
    )  # the same time to the fraction: written anew
    tested_harness.shop.sql(
        "UPDATE orders SET confirmed_at = confirmed_at + interval '5 s'"
    )
    keys(tested_harness).compare_newest()
    (found,) = keys(tested_harness).noted()
    assert (found.known_as, found.listed_as) == ("W-2", "X-2")
    tested_harness.shop.recreate_views()
    keys(tested_harness).compare_newest()
    assert keys(tested_harness).noted() == []


def test_explain_tells_of_both_orders(tested_harness: Harness) -> None:
    """Also before anything has noted it."""
    tested_harness.shop.sql(BEGIN_AGAIN)
    tested_harness.shop.confirm(2)
    connections = tested_harness.connections
    feed = FeedStore(connections, "shop").get()
    story = read_history(
        tested_harness.ledger.database, tested_harness.source, feed, "2"
    )
    assert story is not None
    lines = list(story.lines())
    assert lines[0].startswith("key 2 was order W-2, confirmed at")
    assert "the views now list order W-2, confirmed at" in lines[0]
    assert lines[-1].startswith("next: syncd reused send 2")


def test_what_is_reused_is_sent_when_somebody_says_so(
    tested_harness: Harness, sandbox: Sandbox
) -> None:
    """Planned first; the old order keeps what is known of it, under a retired key."""
    shop = tested_harness.shop
    config = tested_harness.folder / "syncd.toml"
    shop.sql(BEGIN_AGAIN)
    shop.confirm(2)
    keys(tested_harness).compare_newest()
    listed = syncd("reused", "list", "--json", "--config", config).stdout
    assert listed.count('"order_key"') == 2
    status = syncd("status", "--config", config).stdout
    assert "2 orders not sent: their keys belonged to others" in status
    plan = syncd("reused", "send", "--all", "--dry-run", "--config", config)
    assert "nothing was changed" in plan.stdout
    assert keys(tested_harness).count().keys == 2
    done = syncd("reused", "send", "1", "--yes", "--config", config)
    assert "1 orders are pending" in done.stdout
    tested_harness.deliver_all()
    assert [sandbox.book.posts(f"W-{n}") for n in (1, 2, 3)] == [2, 1, 1]
    taken = [order.order_key for order in shop.rows_of("ledger")]
    assert [key.split(" until ")[0] for key in taken] == ["1", "1", "2", "3"]
    assert [r.key for r in keys(tested_harness).noted()] == ["2"]
    kept = syncd("reused", "keep", "--all", "--yes", "--config", config)
    assert "1 orders are known" in kept.stdout
    keys(tested_harness).compare_newest()
    assert keys(tested_harness).noted() == []


HISTORY = """
CREATE TABLE history (order_id bigint, at timestamptz);
INSERT INTO history SELECT id, confirmed_at FROM orders;
INSERT INTO history SELECT id, confirmed_at + interval '20 hours' FROM orders;
DROP VIEW syncd.confirmed_orders;
CREATE VIEW syncd.confirmed_orders AS
SELECT order_id AS order_key, min(at) AS confirmed_at FROM history GROUP BY order_id;
GRANT SELECT ON syncd.confirmed_orders TO {};
"""


def account(harness: Harness) -> ReconciliationTally:
    """Account for all that is listed."""
    harness.shop.set_watermark(ago(seconds=-1))
    reconciliation = Reconciliation(harness.source, harness.ledger, size=100)
    run = reconciliation.ask(None, None)
    list(reconciliation.pages(run))
    finished = reconciliation.finish(run)
    assert finished
    return finished.account


def sold(harness: Harness, orders: int) -> None:
    """Orders of now, beside the three of two days ago."""
    harness.confirm(orders)
    harness.deliver_all()


def test_a_shop_that_deletes_delivered_orders_reuses_no_key(
    tested_harness: Harness,
) -> None:
    """Old ones go, new ones come with higher keys; nothing is alarmed."""
    sold(tested_harness, 3)
    tested_harness.shop.sql(
        "DELETE FROM orders WHERE confirmed_at < now() - interval '1 day'"
    )
    sold(tested_harness, 2)
    keys(tested_harness).compare_newest()
    assert account(tested_harness) == ReconciliationTally(delivered=5)
    assert keys(tested_harness).noted() == []


def test_a_shop_that_prunes_the_history_of_orders_reuses_no_key(
    tested_harness: Harness,
) -> None:
    """Their times are those of what is left; accounts go on to call them delivered."""
    sold(tested_harness, 4)
    tested_harness.shop.sql(HISTORY.format(tested_harness.shop.role))
    assert account(tested_harness) == ReconciliationTally(delivered=7)
    tested_harness.shop.sql(
        "DELETE FROM history WHERE at < now() - interval '36 hours'"
    )
    keys(tested_harness).compare_newest()
    assert keys(tested_harness).noted() == []
    assert account(tested_harness) == ReconciliationTally(delivered=7)
    assert keys(tested_harness).noted() == []


def test_keys_that_begin_again_stay_noted_though_accounts_follow(
    tested_harness: Harness,
) -> None:
    """As long as nobody decided; also where the accounts are many."""
    assert account(tested_harness) == ReconciliationTally(delivered=3)
    tested_harness.shop.sql(BEGIN_AGAIN)
    tested_harness.shop.confirm(2)
    assert account(tested_harness) == ReconciliationTally(reused=2)
    tested_harness.shop.update("reconciliation", {"scope": "hours"})
    tested_harness.shop.shift("reconciliation", timedelta(hours=2), "started_at")
    assert account(tested_harness) == ReconciliationTally(reused=2)
    assert sorted(r.key for r in keys(tested_harness).noted()) == ["1", "2"]


def test_keys_of_another_table_are_reused_whatever_their_times(
    tested_harness: Harness,
) -> None:
    """Its orders are old, and were accounted for by nobody: the newest are gone."""
    sold(tested_harness, 2)
    assert account(tested_harness) == ReconciliationTally(delivered=5)
    tested_harness.shop.sql(BEGIN_AGAIN)
    tested_harness.shop.sql(
        "INSERT INTO orders (confirmed_at) "
        "SELECT now() - interval '30 hours' FROM generate_series(1, 3)"
    )
    assert account(tested_harness) == ReconciliationTally(reused=3)


def test_an_account_never_calls_a_reused_key_delivered(tested_harness: Harness) -> None:
    """It finds it by itself, whatever was noted before."""
    tested_harness.shop.sql(BEGIN_AGAIN)
    tested_harness.shop.confirm(2)
    reconciliation = Reconciliation(
        tested_harness.source, tested_harness.ledger, size=100
    )
    tested_harness.shop.set_watermark(ago(seconds=-1))
    run = reconciliation.ask(None, None)
    assert run is not None
    list(reconciliation.pages(run))
    finished = reconciliation.finish(run)
    assert finished
    assert finished.account == ReconciliationTally(reused=2)
    assert "2 confirmed, 0 delivered, 2 under a reused key" in finished.sentence
    assert keys(tested_harness).count().keys == 2
