"""What cannot be read waits for the view: no other order does, and none is blamed."""

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
def harness(shop: Shop, sandbox: Sandbox, tmp_path: Path) -> Iterator[Harness]:
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
def test_trouble_behind_the_view_rejects_nobody(harness: Harness, state: str) -> None:
    """Orders that need it wait with the reason; all others go on, the API untouched."""
    catalogue(harness, state)
    plain = harness.confirm(3)
    remote = harness.confirm(2, total="7")
    plain += harness.confirm(2)
    for _ in range(3):
        harness.deliver_all()
        harness.end_waits()
    harness.deliver_all()
    assert harness.posts(plain + remote) == [1] * 5 + [0] * 2
    assert harness.set_aside() == {}
    waiting = harness.waiting()
    assert waiting.keys() == set(remote)
    assert all(state in str(reason) for reason, _ in waiting.values())
    assert harness.endpoint() == ("available", 0)
    catalogue(harness, "up")
    harness.finish(without_waits=True)
    assert harness.posts(plain + remote) == [1] * 7


def test_waits_for_the_view_grow_up_to_five_minutes(harness: Harness) -> None:
    """A catalogue that is away is not asked all the time."""
    catalogue(harness, "HV00L")
    harness.confirm(1, total="7")
    waits = []
    for _ in range(4):
        harness.deliver_all()
        waits += [seconds for _, seconds in harness.waiting().values()]
        harness.shop.update("batch", {"due_at": "-infinity"})
        harness.shop.shift("batch", timedelta(seconds=-100), "read_failed_at")
    assert [round(float(str(seconds)), -1) for seconds in waits] == [10, 100, 200, 300]


def test_when_one_can_be_read_again_all_are_tried(harness: Harness) -> None:
    """The others do not wait for their own turn."""
    catalogue(harness, "HV00L")
    orders = []
    for _ in range(3):
        orders += harness.confirm(1, total="7")
        harness.deliver_all()
    catalogue(harness, "up")
    first = harness.shop.rows_of("batch", state="pending")[0].batch_id
    harness.shop.update("batch", {"due_at": "-infinity"}, batch_id=first)
    harness.deliver_all()
    assert harness.posts(orders) == [1] * 3


def test_a_slow_view_is_read_in_smaller_pieces(harness: Harness) -> None:
    """The size that worked is kept: later batches are not too slow again."""
    harness.limit_reads(200)
    catalogue(harness, "each")
    orders = harness.confirm(16)
    harness.deliver_all()
    assert harness.posts(orders) == [1] * 16
    assert harness.components.reads.size.at_most == 8
    more = harness.confirm(16)
    harness.deliver_all()
    assert harness.posts(more) == [1] * 16
    assert harness.components.reads.size.at_most == 8
    catalogue(harness, "up")
    for _ in range(2):
        harness.confirm(16)
        harness.deliver_all()
    assert harness.components.reads.size.is_whole


def test_one_slow_order_waits_alone(harness: Harness) -> None:
    """It is named and never rejected for time; those beside it are sent."""
    harness.limit_reads(200)
    catalogue(harness, "slow")
    beside = harness.confirm(3)
    (slow,) = harness.confirm(1, total="7")
    beside += harness.confirm(3)
    for _ in range(4):
        harness.deliver_all()
        harness.end_waits()
    harness.deliver_all()
    assert harness.posts([*beside, slow]) == [1] * 6 + [0]
    assert harness.set_aside() == {}
    ((reason, _),) = harness.waiting().values()
    assert reason == f"order {slow.removeprefix('W-')} cannot be read within 30 s"
    catalogue(harness, "up")
    harness.finish(without_waits=True)
    assert harness.posts([slow]) == [1]


def test_what_cannot_be_read_is_left_to_who_reads_again(harness: Harness) -> None:
    """The worker of all the other orders never meets it twice."""
    catalogue(harness, "HV00L")
    harness.confirm(1, total="7")
    harness.delivery.deliver_next("live")
    harness.end_waits()
    assert harness.delivery.deliver_next("live") is None
    due = harness.ledger.next_due()
    assert (due.seconds, due.unread) == (None, True)
    assert harness.ledger.next_due(rereads=True).seconds == 0


@pytest.mark.parametrize("state", ["backing_off", "held"])
def test_what_can_be_read_again_probes_where_nothing_else_waits(
    harness: Harness, state: str
) -> None:
    """Else nobody would ever find out that the endpoint is back."""
    catalogue(harness, "HV00L")
    (order,) = harness.confirm(1, total="7")
    harness.delivery.deliver_next("live")
    catalogue(harness, "up")
    (other,) = harness.confirm(1)
    harness.shop.set_endpoint(state, "down")
    harness.end_waits()
    assert harness.rereading.deliver_next("live") is None
    harness.delivery.deliver_next("live")
    assert harness.posts([order, other]) == [0, 1]
    harness.shop.set_endpoint(state, "down")
    harness.end_waits()
    assert harness.delivery.deliver_next("live") is None
    harness.rereading.deliver_next("live")
    assert harness.posts([order, other]) == [1, 1]
    assert harness.endpoint()[0] == "available"


def test_a_row_is_blamed_only_when_it_fails_again(harness: Harness) -> None:
    """Some minutes later, and while others can be read."""
    catalogue(harness, "22012")
    harness.confirm(3)
    (bad,) = harness.confirm(1, total="7")
    harness.deliver_all()
    harness.shop.make_batches_due()
    harness.confirm(3)
    harness.deliver_all()
    assert harness.set_aside() == {}
    harness.end_waits()
    harness.deliver_all()
    state, reason = harness.set_aside()[bad]
    assert (state, "22012" in str(reason)) == ("rejected", True)
    assert harness.endpoint() == ("available", 0)
    endpoint = harness.shop.row_of("endpoint")
    assert (endpoint.recent_rejected, endpoint.refusals) == (0.0, 0)


def test_status_tells_at_once_what_waits_for_the_view(harness: Harness) -> None:
    """How many, why, and one to look at; the lag counts them."""
    catalogue(harness, "HV00L")
    harness.confirm(2, total="7")
    harness.confirm(1)
    harness.deliver_all()
    (waiting,) = read_unread(harness.database, harness.ledger.feed_id)
    assert (waiting.orders, waiting.key) == (2, "1")
    assert "HV00L" in waiting.why
    stats = read_stats(harness.database, harness.ledger.feed_id)
    assert (stats.pending, stats.lag_seconds > 0) == (2, True)
    reasons = assess(HealthInputs(stats.now, unread=[waiting])).reasons
    assert [r.severity for r in reasons if "2 orders wait for" in r.text] == [
        Severity.DEGRADED
    ]


def test_an_order_that_is_too_slow_is_explained_in_seconds(
    harness: Harness, tmp_path: Path
) -> None:
    """From the ledger: why it waits, and that the view gave no row in time."""
    harness.limit_reads(200)
    catalogue(harness, "slow")
    (order,) = harness.confirm(1, total="7")
    harness.deliver_all()
    harness.shop.sql(CATALOGUE.replace("pg_sleep(2)", "pg_sleep(60)"))
    began = time.monotonic()
    config = tmp_path / "syncd.toml"
    told = syncd("explain", order.removeprefix("W-"), "--config", config).stdout
    assert time.monotonic() - began < 25
    assert "cannot be read within 30 s" in told
    assert "the row could not be read in the view: not in time" in told
