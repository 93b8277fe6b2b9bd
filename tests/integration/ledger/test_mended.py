"""Rejected orders that were mended are retried: by the daemon, and by a command."""

import json
from pathlib import Path

import pytest
from support.command import syncd
from support.feed_harness import ago
from support.harness import Harness
from support.postgres import wait_until
from support.shop import Shop

from syncd.core.event import EventRules
from syncd.demo.sandbox import Sandbox
from syncd.diagnostics.order_history import read_history
from syncd.ledger.feed import FeedStore
from syncd.ledger.mended import MOST_RETRIES, MendedOrders

pytestmark = pytest.mark.db

GOOD = "'mila@example.com'"


def mended_of(harness: Harness) -> MendedOrders:
    return MendedOrders(harness.source, harness.ledger, EventRules(), size=8)


def reject(harness: Harness, count: int = 1) -> list[str]:
    """Confirm orders that are rejected for their address; return their numbers."""
    orders = harness.confirm(count, email="'nobody'")
    harness.deliver_all()
    assert [harness.set_aside()[order][0] for order in orders] == ["rejected"] * count
    return orders


def test_an_order_that_has_become_sendable_is_retried(harness: Harness) -> None:
    """The others stay as they are; the order's history says why."""
    mended, other = reject(harness, 2)
    assert mended_of(harness).retry_mended() == 0
    harness.shop.sql(f"UPDATE orders SET email = {GOOD} WHERE 'W-' || id = '{mended}'")
    assert mended_of(harness).retry_mended() == 1
    harness.deliver_all()
    assert harness.posts([mended, other]) == [1, 0]
    assert list(harness.set_aside()) == [other]
    connections = harness.connections
    feed = FeedStore(connections, "shop").get()
    history = read_history(harness.database, harness.source, feed, mended)
    assert history is not None
    assert "tried again, since it was changed" in "\n".join(history.lines())


def test_an_order_is_retried_a_bounded_number_of_times(harness: Harness) -> None:
    """An order that is mended and broken repeatedly is not retried for ever."""
    (order,) = reject(harness)
    for _ in range(MOST_RETRIES):
        harness.shop.sql(f"UPDATE orders SET email = {GOOD}")
        assert mended_of(harness).retry_mended() == 1
        harness.shop.sql("UPDATE orders SET email = 'nobody'")
        harness.deliver_all()
    harness.shop.sql(f"UPDATE orders SET email = {GOOD}")
    assert mended_of(harness).retry_mended() == 0
    assert mended_of(harness).retry_mended([order.removeprefix("W-")]) == 0


def test_every_rejected_order_has_its_turn(harness: Harness) -> None:
    """Pages of unsendable orders do not block a mended one behind them."""
    rejected = {"feed_id": 1, "batch_id": 0, "state": "rejected", "reason": "gone"}
    rejected |= {"confirmed_at": ago()}
    keys = (f"0{n}" for n in range(100, 350))
    harness.shop.insert_many("ledger", ({**rejected, "order_key": key} for key in keys))
    (order,) = reject(harness)
    harness.shop.sql(f"UPDATE orders SET email = {GOOD}")
    orders = mended_of(harness)
    assert [orders.retry_mended() for _ in range(4)].count(1) == 1
    harness.deliver_all()
    assert harness.posts([order]) == [1]


def test_many_touched_orders_are_all_examined(harness: Harness) -> None:
    """A statement of the shop may change any number of orders."""
    reject(harness, 130)
    harness.shop.sql(f"UPDATE orders SET email = {GOOD}")
    keys = [str(n) for n in range(1, 131)]
    assert mended_of(harness).retry_mended(keys) == 130


def test_an_order_that_the_api_refused_is_retried_after_a_change(
    harness: Harness, sandbox: Sandbox
) -> None:
    """Its row could be sent all along, so only a change is a reason to retry."""
    (bad,) = harness.confirm(1)
    harness.confirm(3)
    sandbox.fail("refused", times=None, orderids=(bad,))
    harness.finish(without_waits=True)
    assert harness.set_aside()[bad][0] == "rejected"
    assert mended_of(harness).retry_mended() == 0
    assert mended_of(harness).sendable(mended_of(harness).rejected()) == []
    sandbox.clear_faults()
    assert mended_of(harness).retry_mended(["1", "2"]) == 1
    harness.end_waits()
    harness.deliver_all()
    assert harness.set_aside() == {}


def test_a_discarded_order_stays_discarded(harness: Harness) -> None:
    """Mended or touched: a person decided it."""
    (order,) = reject(harness)
    harness.shop.update("ledger", {"state": "discarded"})
    harness.shop.sql(f"UPDATE orders SET email = {GOOD}")
    assert mended_of(harness).retry_mended() == 0
    assert mended_of(harness).retry_mended([order.removeprefix("W-")]) == 0


def test_the_list_shows_which_rejected_orders_could_be_sent_now(
    shop: Shop, sandbox: Sandbox, tmp_path: Path
) -> None:
    """One option of `retry` selects exactly those."""
    config = shop.configure(tmp_path, sandbox.endpoint)
    syncd("run", "--once", "--config", config)
    shop.sql(
        "INSERT INTO orders (confirmed_at, email) "
        "SELECT now(), 'nobody' FROM generate_series(1, 2)"
    )
    syncd("run", "--once", "--config", config)
    shop.sql(f"UPDATE orders SET email = {GOOD} WHERE id = 2")
    listed = json.loads(syncd("rejected", "list", "--json", "--config", config).stdout)
    assert [row["now"] for row in listed] == [
        "still refused: email is not an address like name@example.com",
        "could be sent now",
    ]
    done = syncd("rejected", "retry", "--mended", "--config", config)
    assert (done.returncode, done.stdout) == (0, "1 orders are pending again\n")
    syncd("run", "--once", "--config", config)
    assert [sandbox.received.posts(order) for order in ("W-1", "W-2")] == [0, 1]
    assert syncd("rejected", "retry", "--mended", "--config", config).returncode == 1


def states(shop: Shop) -> list[str | None]:
    """Return the state of each order in the ledger."""
    return [order.state for order in shop.rows_of("ledger")]


def test_the_daemon_sends_a_rejected_order_once_it_is_mended(
    shop: Shop, sandbox: Sandbox, tmp_path: Path
) -> None:
    """Without a person: the shop adds the email, and the purchase is sent."""
    shop.listen()
    config = shop.configure(tmp_path, sandbox.endpoint, {"capture": "listen"})
    shop.start(config)
    wait_until(shop.has_instance)
    shop.sql("INSERT INTO orders (confirmed_at, email) VALUES (now(), NULL)")
    wait_until(lambda: states(shop) == ["rejected"])
    shop.sql(f"UPDATE orders SET email = {GOOD}")
    wait_until(lambda: sandbox.received.posts("W-1") == 1)


def test_each_run_once_retries_mended_orders(
    shop: Shop, sandbox: Sandbox, tmp_path: Path
) -> None:
    """Under `poll` nothing reports a change, so each pass examines them."""
    config = shop.configure(tmp_path, sandbox.endpoint)
    syncd("run", "--once", "--config", config)
    shop.sql("INSERT INTO orders (confirmed_at, email) VALUES (now(), 'nobody')")
    syncd("run", "--once", "--config", config)
    assert states(shop) == ["rejected"]
    shop.sql(f"UPDATE orders SET email = {GOOD}")
    assert syncd("run", "--once", "--config", config).returncode == 0
    assert sandbox.received.posts("W-1") == 1
