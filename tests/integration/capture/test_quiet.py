"""`source.quiet` delays new orders, for shops that add lines afterwards."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from support.harness import Harness
from support.postgres import wait_until
from support.shop import Shop

from syncd.core.event import EventRules
from syncd.demo.sandbox import Sandbox
from syncd.ledger.mended import MendedOrders

pytestmark = [pytest.mark.db, pytest.mark.slow]


def longest_wait(harness: Harness) -> timedelta:
    """Return the longest time from a pending batch's creation until it is due."""
    batches = harness.shop.rows_of("batch", state="pending")
    waits: list[timedelta] = [batch.due_at - batch.created_at for batch in batches]
    return max(waits)


@pytest.fixture
def quiet_harness(shop: Shop, sandbox: Sandbox, tmp_path: Path) -> Iterator[Harness]:
    opened = Harness(shop, sandbox, tmp_path, batch_size=8)
    opened.shop.update("feed", {"quiet": timedelta(minutes=5)})
    yield opened
    opened.close()


def test_a_new_order_is_delayed(quiet_harness: Harness) -> None:
    """Each admission has a batch of its own, due after the quiet time."""
    quiet_harness.confirm(2)
    quiet_harness.confirm(1)
    assert quiet_harness.deliver() is None
    assert quiet_harness.shop.batches() == 2
    assert abs(longest_wait(quiet_harness).total_seconds() - 300) < 5
    quiet_harness.end_waits()
    quiet_harness.deliver_all()
    assert quiet_harness.shop.unsettled() == 0


def test_a_change_prolongs_the_delay_up_to_a_limit(
    quiet_harness: Harness,
) -> None:
    """The limit is ten quiet times; attempted orders are not delayed."""
    quiet_harness.confirm(1)
    orders = MendedOrders(
        quiet_harness.source, quiet_harness.ledger, EventRules(), size=8
    )
    quiet_harness.shop.shift("batch", timedelta(minutes=-4), "created_at")
    assert orders.defer(["1", "77"]) == 1
    assert 535 < longest_wait(quiet_harness).total_seconds() < 545
    quiet_harness.shop.shift("batch", timedelta(minutes=-47), "created_at")
    assert orders.defer(["1"]) == 1
    assert longest_wait(quiet_harness) == timedelta(minutes=50)
    quiet_harness.end_waits()
    assert orders.defer(["1"]) == 0


def test_lines_added_later_are_sent_with_their_order(
    shop: Shop, sandbox: Sandbox, tmp_path: Path
) -> None:
    """The real daemon with `listen`: three statements of the shop, one purchase."""
    shop.listen()
    source = {"capture": "listen", "quiet": "4s"}
    shop.start(shop.configure(tmp_path, sandbox.endpoint, source))
    wait_until(shop.has_instance)
    shop.confirm(1)
    for sku in ("A", "B"):
        wait_until(lambda: shop.captured() > 0)
        shop.sql(
            "UPDATE orders SET products = products || "
            f"""'[{{"id": "{sku}", "quantity": 1}}]'"""
        )
    wait_until(lambda: sandbox.received.posts("W-1") == 1)
    (purchase,) = sandbox.received.purchases()
    assert len(purchase.products) == 3
