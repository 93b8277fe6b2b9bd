"""Counts of omitted details and refused orders, made by the daemon's own code."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs
from support.checks import CheckRunner
from support.harness import Harness

from syncd.ledger.order_quality import left_out, recent_refusals

pytestmark = pytest.mark.db

NEGATIVE = """'[{"id": "A", "quantity": 1}, {"id": "B", "quantity": 1, "price": -5}]'"""
FRACTION = """'[{"id": "A", "quantity": 0.75}]'"""


def test_an_order_with_a_wrong_detail_is_sent_without_it(harness: Harness) -> None:
    """The purchase arrives; omitted details are counted by field and reason."""
    good = harness.confirm(1)
    odd = harness.confirm(3, products=NEGATIVE)
    with capture_logs() as lines:
        harness.deliver_all()
    assert harness.posts([*good, *odd]) == [1, 1, 1, 1]
    assert harness.set_aside() == {}
    assert not left_out(harness.database, harness.ledger.feed_id)
    harness.delivery.run_idle_work()
    (detail,) = left_out(harness.database, harness.ledger.feed_id)
    assert (detail.field, detail.reason) == ("products.price", "is negative")
    assert detail.orders == 3
    assert f"W-{detail.order_key}" in odd
    logged = [line for line in lines if line["event"] == "fields.left_out"]
    assert [(line["field"], line["orders"]) for line in logged] == [
        ("products.price", 3)
    ]


def test_omitted_details_are_summed_up(harness: Harness) -> None:
    """One row for each field and reason, however often it happens."""
    for _ in range(2):
        harness.confirm(2, products=NEGATIVE)
        harness.deliver_all()
        harness.delivery.run_idle_work()
    (detail,) = left_out(harness.database, harness.ledger.feed_id)
    assert detail.orders == 4
    assert detail.last_at > detail.first_at


def test_refused_orders_are_counted_among_the_newest(harness: Harness) -> None:
    """All of them, the rejected ones, and the most frequent reason."""
    harness.confirm(6, products=FRACTION)
    harness.deliver_all()
    refusals = recent_refusals(harness.database, harness.ledger.feed_id)
    assert (refusals.orders, refusals.rejected) == (6, 6)
    assert refusals.are_many
    assert refusals.reason == (
        "products[0].quantity is not a whole number of at least 1"
    )
    harness.confirm(50)
    harness.deliver_all()
    refusals = recent_refusals(harness.database, harness.ledger.feed_id)
    assert (refusals.orders, refusals.rejected) == (50, 0)


def test_lines_added_after_an_order_was_sent_are_reported(
    harness: Harness, tmp_path: Path
) -> None:
    """A shop that adds lines in later transactions is advised to set a guard."""
    harness.confirm(4)
    harness.deliver_all()
    harness.delivery.close()
    assert "orders.grew" not in CheckRunner(harness.shop, tmp_path).codes()
    harness.shop.sql(
        """UPDATE orders SET products = products || '[{"id": "B", "quantity": 1}]'
            WHERE id = 1"""
    )
    found = CheckRunner(harness.shop, tmp_path).one("orders.grew")
    assert (
        found.message
        == "1 of the last 4 orders sent have gained lines since, for example 1"
    )
