"""An unreadable row waits for the view; other orders are sent, and none is rejected."""

import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from support.command import syncd
from support.harness import Harness
from support.shop import Shop

from syncd.core.health import assess
from syncd.core.health_inputs import HealthInputs
from syncd.core.verdict import Severity
from syncd.demo.sandbox import Sandbox
from syncd.ledger.stats import read_stats, read_unread

pytestmark = pytest.mark.db

CATALOGUE = """
CREATE TABLE IF NOT EXISTS catalogue (state text NOT NULL);
CREATE OR REPLACE FUNCTION price_of(order_id bigint, total numeric) RETURNS numeric
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
DECLARE
    fault text := (SELECT state FROM public.catalogue);
BEGIN
    IF total = 7 AND fault = 'slow' THEN PERFORM pg_sleep(2);
    ELSIF fault = 'each' THEN PERFORM pg_sleep(0.02);
    ELSIF total = 7 AND fault <> 'up' THEN
        RAISE EXCEPTION 'down' USING ERRCODE = fault;
    END IF;
    RETURN total;
END $$;
CREATE OR REPLACE VIEW syncd.purchases AS
SELECT id AS order_key, 'W-' || id AS orderid, email, 'EUR' AS currency,
       price_of(id, total) AS totalvalue, products
  FROM orders;
"""


@pytest.fixture
def catalogue_harness(
    shop: Shop, sandbox: Sandbox, tmp_path: Path
) -> Iterator[Harness]:
    """Orders of 7.00 need the catalogue."""
    shop.sql(CATALOGUE + "INSERT INTO catalogue VALUES ('up')")
    opened = Harness(shop, sandbox, tmp_path, batch_size=16)
    yield opened
    opened.close()


def catalogue(harness: Harness, state: str) -> None:
    harness.shop.sql(f"UPDATE catalogue SET state = '{state}'")


OTHERS = ["HV00L", "08001", "53200", "54001", "55000", "57P03", "58030", "XX000",
          "40001", "25000", "F0000", "0A000", "ZZ123"]  # fmt: skip


@pytest.mark.parametrize("state", OTHERS)
def test_a_failure_behind_the_view_rejects_no_order(
    catalogue_harness: Harness, state: str
) -> None:
    """Orders that need it wait with the reason; all others are sent."""
    catalogue(catalogue_harness, state)
    plain = catalogue_harness.confirm(3)
    remote = catalogue_harness.confirm(2, total="7")
    plain += catalogue_harness.confirm(2)
    for _ in range(3):
        catalogue_harness.deliver_all()
        catalogue_harness.end_waits()
    catalogue_harness.deliver_all()
    assert catalogue_harness.posts(plain + remote) == [1] * 5 + [0] * 2
    assert catalogue_harness.set_aside() == {}
    waiting = catalogue_harness.waiting()
    assert waiting.keys() == set(remote)
    assert all(state in str(reason) for reason, _ in waiting.values())
    assert catalogue_harness.endpoint() == ("available", 0)
    catalogue(catalogue_harness, "up")
    catalogue_harness.finish(without_waits=True)
    assert catalogue_harness.posts(plain + remote) == [1] * 7


def test_waits_for_the_view_grow_up_to_five_minutes(catalogue_harness: Harness) -> None:
    """A catalogue that is down is not queried all the time."""
    catalogue(catalogue_harness, "HV00L")
    catalogue_harness.confirm(1, total="7")
    waits = []
    for _ in range(4):
        catalogue_harness.deliver_all()
        waits += [seconds for _, seconds in catalogue_harness.waiting().values()]
        catalogue_harness.shop.update("batch", {"due_at": "-infinity"})
        catalogue_harness.shop.shift("batch", timedelta(seconds=-100), "read_failed_at")
    assert [round(float(str(seconds)), -1) for seconds in waits] == [10, 100, 200, 300]


def test_when_one_order_can_be_read_again_all_are_tried(
    catalogue_harness: Harness,
) -> None:
    """The others do not wait for their own retry."""
    catalogue(catalogue_harness, "HV00L")
    orders = []
    for _ in range(3):
        orders += catalogue_harness.confirm(1, total="7")
        catalogue_harness.deliver_all()
    catalogue(catalogue_harness, "up")
    first = catalogue_harness.shop.rows_of("batch", state="pending")[0].batch_id
    catalogue_harness.shop.update("batch", {"due_at": "-infinity"}, batch_id=first)
    catalogue_harness.deliver_all()
    assert catalogue_harness.posts(orders) == [1] * 3


def test_a_slow_view_is_read_in_smaller_pages(catalogue_harness: Harness) -> None:
    """The size that worked is kept for later batches."""
    catalogue_harness.limit_reads(200)
    catalogue(catalogue_harness, "each")
    orders = catalogue_harness.confirm(16)
    catalogue_harness.deliver_all()
    assert catalogue_harness.posts(orders) == [1] * 16
    assert catalogue_harness.components.reads.size.at_most == 8
    more = catalogue_harness.confirm(16)
    catalogue_harness.deliver_all()
    assert catalogue_harness.posts(more) == [1] * 16
    assert catalogue_harness.components.reads.size.at_most == 8
    catalogue(catalogue_harness, "up")
    for _ in range(2):
        catalogue_harness.confirm(16)
        catalogue_harness.deliver_all()
    assert catalogue_harness.components.reads.size.is_whole


def test_one_slow_order_waits_alone(catalogue_harness: Harness) -> None:
    """It is named and never rejected for its time; the others are sent."""
    catalogue_harness.limit_reads(200)
    catalogue(catalogue_harness, "slow")
    beside = catalogue_harness.confirm(3)
    (slow,) = catalogue_harness.confirm(1, total="7")
    beside += catalogue_harness.confirm(3)
    for _ in range(4):
        catalogue_harness.deliver_all()
        catalogue_harness.end_waits()
    catalogue_harness.deliver_all()
    assert catalogue_harness.posts([*beside, slow]) == [1] * 6 + [0]
    assert catalogue_harness.set_aside() == {}
    ((reason, _),) = catalogue_harness.waiting().values()
    assert reason == f"order {slow.removeprefix('W-')} cannot be read within 30 s"
    catalogue(catalogue_harness, "up")
    catalogue_harness.finish(without_waits=True)
    assert catalogue_harness.posts([slow]) == [1]


def test_unreadable_orders_are_left_to_the_rereading_worker(
    catalogue_harness: Harness,
) -> None:
    """The worker of all other orders never claims them again."""
    catalogue(catalogue_harness, "HV00L")
    catalogue_harness.confirm(1, total="7")
    catalogue_harness.delivery.deliver_next("live")
    catalogue_harness.end_waits()
    assert catalogue_harness.delivery.deliver_next("live") is None
    due = catalogue_harness.ledger.next_due()
    assert (due.seconds, due.unread) == (None, True)
    assert catalogue_harness.ledger.next_due(rereads=True).seconds == 0


@pytest.mark.parametrize("state", ["backing_off", "held"])
def test_a_reread_order_probes_when_nothing_else_waits(
    catalogue_harness: Harness, state: str
) -> None:
    """Otherwise nothing would detect that the endpoint is back."""
    catalogue(catalogue_harness, "HV00L")
    (order,) = catalogue_harness.confirm(1, total="7")
    catalogue_harness.delivery.deliver_next("live")
    catalogue(catalogue_harness, "up")
    (other,) = catalogue_harness.confirm(1)
    catalogue_harness.shop.set_endpoint(state, "down")
    catalogue_harness.end_waits()
    assert catalogue_harness.rereading.deliver_next("live") is None
    catalogue_harness.delivery.deliver_next("live")
    assert catalogue_harness.posts([order, other]) == [0, 1]
    catalogue_harness.shop.set_endpoint(state, "down")
    catalogue_harness.end_waits()
    assert catalogue_harness.delivery.deliver_next("live") is None
    catalogue_harness.rereading.deliver_next("live")
    assert catalogue_harness.posts([order, other]) == [1, 1]
    assert catalogue_harness.endpoint()[0] == "available"


def test_a_row_is_rejected_only_when_it_fails_again(catalogue_harness: Harness) -> None:
    """Some minutes later, and while others can be read."""
    catalogue(catalogue_harness, "22012")
    catalogue_harness.confirm(3)
    (bad,) = catalogue_harness.confirm(1, total="7")
    catalogue_harness.deliver_all()
    catalogue_harness.shop.make_batches_due()
    catalogue_harness.confirm(3)
    catalogue_harness.deliver_all()
    assert catalogue_harness.set_aside() == {}
    catalogue_harness.end_waits()
    catalogue_harness.deliver_all()
    state, reason = catalogue_harness.set_aside()[bad]
    assert (state, "22012" in str(reason)) == ("rejected", True)
    assert catalogue_harness.endpoint() == ("available", 0)
    endpoint = catalogue_harness.shop.row_of("endpoint")
    assert (endpoint.recent_rejected, endpoint.refusals) == (0.0, 0)


def test_status_reports_at_once_what_waits_for_the_view(
    catalogue_harness: Harness,
) -> None:
    """It has number, reason and an example; the lag includes the orders."""
    catalogue(catalogue_harness, "HV00L")
    catalogue_harness.confirm(2, total="7")
    catalogue_harness.confirm(1)
    catalogue_harness.deliver_all()
    (waiting,) = read_unread(
        catalogue_harness.database, catalogue_harness.ledger.feed_id
    )
    assert (waiting.orders, waiting.key) == (2, "1")
    assert "HV00L" in waiting.why
    stats = read_stats(catalogue_harness.database, catalogue_harness.ledger.feed_id)
    assert (stats.pending, stats.lag_seconds > 0) == (2, True)
    reasons = assess(HealthInputs(stats.now, unread=[waiting])).reasons
    assert [r.severity for r in reasons if "2 orders wait for" in r.text] == [
        Severity.DEGRADED
    ]


def test_an_order_that_is_too_slow_is_explained_in_seconds(
    catalogue_harness: Harness, tmp_path: Path
) -> None:
    """The ledger has why it waits, and that no row came in time."""
    catalogue_harness.limit_reads(200)
    catalogue(catalogue_harness, "slow")
    (order,) = catalogue_harness.confirm(1, total="7")
    catalogue_harness.deliver_all()
    catalogue_harness.shop.sql(CATALOGUE.replace("pg_sleep(2)", "pg_sleep(60)"))
    began = time.monotonic()
    config = tmp_path / "syncd.toml"
    history = syncd("explain", order.removeprefix("W-"), "--config", config).stdout
    assert time.monotonic() - began < 25
    assert "cannot be read within 30 s" in history
    assert "the row could not be read in the view: not in time" in history
