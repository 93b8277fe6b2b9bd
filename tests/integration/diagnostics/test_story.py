"""What `syncd explain` tells of an order, wherever it stands."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from support.feed_harness import ago
from support.harness import Harness
from support.shop import Shop

from syncd.demo.sandbox import Sandbox
from syncd.diagnostics.order_history import read_history

pytestmark = pytest.mark.db


@pytest.fixture(autouse=True)
def _steady_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    """No wait is drawn as nothing."""
    monkeypatch.setattr("syncd.delivery.settlement.random.random", lambda: 0.9)


@pytest.fixture
def story_harness(shop: Shop, tmp_path: Path) -> Iterator[Harness]:
    with Sandbox() as sandbox:
        opened = Harness(shop, sandbox, tmp_path, batch_size=4)
        yield opened
        opened.close()


def tell(harness: Harness, order: str) -> str:
    """Tell the story, the lines joined."""
    feed = harness.feed
    story = read_history(harness.database, harness.source, feed, order)
    return "\n".join(story.lines()) if story else "nothing"


def test_a_delivered_order_has_its_receipt(story_harness: Harness) -> None:
    """Which capture, which batch, what was answered to which body."""
    (order,) = story_harness.confirm(1)
    story_harness.deliver_all()
    told = tell(story_harness, order)
    assert "order 1 (W-1) confirmed at" in told
    assert "captured by poll into the live lane, now in batch 1" in told
    assert "batch 1, attempt 1 at" in told
    assert "accepted, 1 events (HTTP 200, body " in told
    assert "now delivered at" in told
    assert "next:" not in told
    assert tell(story_harness, "W-99") == "nothing"


def test_an_order_of_an_older_syncd_has_no_capture(story_harness: Harness) -> None:
    """What was not recorded is not made up."""
    (order,) = story_harness.confirm(1)
    story_harness.shop.update("ledger", {"capture": None})
    assert "captured into the live lane" in tell(story_harness, order)


def test_a_pending_order_tells_what_it_waits_for(story_harness: Harness) -> None:
    """Batches before it, the endpoint, a person, or its own time."""
    story_harness.confirm(4)
    (order,) = story_harness.confirm(1)
    assert "now pending: 1 batches go before it" in tell(story_harness, order)

    story_harness.breaker.back_off("backing_off", timedelta(hours=1), "HTTP 503")
    told = tell(story_harness, order)
    assert "sending is backing off (HTTP 503), tried again at" in told
    assert "next:" not in told

    story_harness.breaker.back_off("held", timedelta(hours=1), "HTTP 401")
    assert "next: mend what the reason names, then syncd resume" in tell(
        story_harness, order
    )

    story_harness.breaker.release()
    story_harness.shop.update("batch", {"due_at": ago(hours=-1)})
    assert "now pending: due at" in tell(story_harness, order)

    story_harness.shop.make_batches_due()
    story_harness.claim()
    assert "now sending" in tell(story_harness, "W-1")
    assert "under way" in tell(story_harness, "W-1")


def test_every_batch_that_an_order_left_is_told(story_harness: Harness) -> None:
    """The attempts of each that it took part in, and none that left it out."""
    good = story_harness.confirm(3)
    (slow,) = story_harness.confirm(1, products="'[]'")
    story_harness.sandbox.fail("server-error", status=503)
    story_harness.deliver_all()
    assert "left batch 1 at" in tell(story_harness, slow)
    assert "so it waited in a batch of its own" in tell(story_harness, slow)
    assert "attempt 1" not in tell(story_harness, slow)
    assert "attempt 1" in tell(story_harness, good[0])

    story_harness.shop.sql("UPDATE orders SET products = DEFAULT")
    story_harness.sandbox.fail("refused", times=1, orderids=(good[2],))
    story_harness.finish(without_waits=True)
    told = tell(story_harness, good[2])
    outcomes = [line.split(": ")[1] for line in told.splitlines() if "attempt " in line]
    assert outcomes[0].startswith("transient, 3 events (HTTP 503")
    assert outcomes[1].startswith("refused, 3 events (HTTP 400, orderid is not")
    assert outcomes[-1].startswith("accepted, 1 events (HTTP 200")
    assert "now delivered" in told
    assert "HTTP 400" not in tell(story_harness, slow)


def test_an_attempt_that_died_is_told_with_its_doubt(story_harness: Harness) -> None:
    """Nobody knows which orders it held."""
    (order,) = story_harness.confirm(1)
    story_harness.claim()
    story_harness.expire_leases()
    story_harness.deliver_all()
    told = tell(story_harness, order)
    assert "uncertain, 0 events (the instance ended or its lease passed" in told
    assert "which orders it held is not known" in told
    assert "1 attempts with unknown outcome" in told


def test_an_attempt_after_an_order_left_is_not_its_own(story_harness: Harness) -> None:
    """Even where it is not known what that attempt held."""
    (good,) = story_harness.confirm(1)
    (slow,) = story_harness.confirm(1, products="'[]'")
    story_harness.sandbox.fail("server-error", status=503)
    story_harness.deliver_all()
    story_harness.end_waits()
    assert story_harness.claim().attempt == 2
    story_harness.expire_leases()
    assert "attempt 2" in tell(story_harness, good)
    assert "attempt 2" not in tell(story_harness, slow)


def test_an_order_that_the_ledger_lacks_tells_why(story_harness: Harness) -> None:
    """Too early, stamped too far back, not yet looked for, not confirmed."""
    start = story_harness.shop.row_of("feed").started_at
    day, second = timedelta(days=1), timedelta(seconds=1)
    times = ", ".join(f"'{start + n}'" for n in (-day, second, 9 * second))
    rows = story_harness.shop.rows(
        "INSERT INTO orders (confirmed_at) SELECT unnest("
        f"ARRAY[{times}, NULL]::timestamptz[]) RETURNING 'W-' || id"
    )
    story_harness.shop.update("watermark", {"confirmed_at": start + 5 * second})
    early, late, soon, never = (tell(story_harness, str(row[0])) for row in rows)
    for told in (early, late):
        assert "below the watermark" in told
        assert "next: syncd reconcile takes it at once" in told
    assert "will be captured" in soon
    assert "is not confirmed" in never
    assert "next:" not in soon + never


def test_a_view_that_fails_hides_no_story(story_harness: Harness) -> None:
    """The ledger tells what it knows by the order's key."""
    story_harness.confirm(1)
    story_harness.deliver_all()
    story_harness.shop.sql(
        "CREATE OR REPLACE VIEW syncd.purchases AS SELECT id AS order_key, "
        "'W-' || id AS orderid, email, 'EUR' AS currency, "
        "(total || 'x')::numeric AS totalvalue, products FROM orders"
    )
    assert "now delivered" in tell(story_harness, "1")
    assert "the row could not be read in the view" in tell(story_harness, "W-1")


def test_an_order_from_before_the_start_is_told_of_as_such(
    shop: Shop, tmp_path: Path
) -> None:
    """By what the start listed, whatever time the view gives it now."""
    shop.sql("INSERT INTO orders (confirmed_at) VALUES (now() - interval '1 hour')")
    with Sandbox() as sandbox:
        harness = Harness(shop, sandbox, tmp_path)
        shop.sql("UPDATE orders SET confirmed_at = now() + interval '1 hour'")
        told = tell(harness, "W-1")
        harness.close()
    assert "it was confirmed before the feed started: confirmed_orders listed" in told
    assert "next: syncd watermark reset --to TIME" in told


def test_an_order_without_a_usable_time_is_told_of_as_such(
    story_harness: Harness,
) -> None:
    """The view lists it, so it is confirmed, and waits for its time."""
    story_harness.shop.sql(
        "CREATE OR REPLACE VIEW syncd.confirmed_orders AS "
        "SELECT id AS order_key, confirmed_at FROM orders; "
        "INSERT INTO orders (confirmed_at) VALUES (NULL), ('infinity')"
    )
    for order in ("W-1", "W-2"):
        told = tell(story_harness, order)
        assert "lists it, but without a usable confirmed_at" in told
        assert "next: let confirmed_orders give it the time" in told
