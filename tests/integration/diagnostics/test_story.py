"""What `syncd explain` tells of an order, wherever it stands."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from support.desk import Desk
from support.ledgers import ago
from support.shop import Shop

from syncd.demo.sandbox import Sandbox
from syncd.diagnostics.order_history import read_history
from syncd.ledger.feed import FeedStore
from syncd.source.connections import Connections

pytestmark = pytest.mark.db


@pytest.fixture(autouse=True)
def _steady_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    """No wait is drawn as nothing."""
    monkeypatch.setattr("syncd.delivery.settlement.random.random", lambda: 0.9)


@pytest.fixture
def desk(shop: Shop, tmp_path: Path) -> Iterator[Desk]:
    with Sandbox() as sandbox:
        opened = Desk(shop, sandbox, tmp_path, batch_size=4)
        yield opened
        opened.close()


def tell(desk: Desk, order: str) -> str:
    """Tell the story, the lines joined."""
    feed = FeedStore(Connections(desk.database, desk.database), "shop").get()
    story = read_history(desk.database, desk.source, feed, order)
    return "\n".join(story.lines()) if story else "nothing"


def test_a_delivered_order_has_its_receipt(desk: Desk) -> None:
    """Which capture, which batch, what was answered to which body."""
    (order,) = desk.confirm(1)
    desk.deliver_all()
    told = tell(desk, order)
    assert "order 1 (W-1) confirmed at" in told
    assert "captured by poll into the live lane, now in batch 1" in told
    assert "batch 1, attempt 1 at" in told
    assert "accepted, 1 events (HTTP 200, body " in told
    assert "now delivered at" in told
    assert "next:" not in told
    assert tell(desk, "W-99") == "nothing"


def test_an_order_of_an_older_syncd_has_no_capture(desk: Desk) -> None:
    """What was not recorded is not made up."""
    (order,) = desk.confirm(1)
    desk.shop.update("ledger", {"capture": None})
    assert "captured into the live lane" in tell(desk, order)


def test_a_pending_order_tells_what_it_waits_for(desk: Desk) -> None:
    """Batches before it, the endpoint, a person, or its own time."""
    desk.confirm(4)
    (order,) = desk.confirm(1)
    assert "now pending: 1 batches go before it" in tell(desk, order)

    desk.breaker.back_off("backing_off", timedelta(hours=1), "HTTP 503")
    told = tell(desk, order)
    assert "sending is backing off (HTTP 503), tried again at" in told
    assert "next:" not in told

    desk.breaker.back_off("held", timedelta(hours=1), "HTTP 401")
    assert "next: mend what the reason names, then syncd resume" in tell(desk, order)

    desk.breaker.release()
    desk.shop.update("batch", {"due_at": ago(hours=-1)})
    assert "now pending: due at" in tell(desk, order)

    desk.shop.make_batches_due()
    desk.claim()
    assert "now sending" in tell(desk, "W-1")
    assert "under way" in tell(desk, "W-1")


def test_every_batch_that_an_order_left_is_told(desk: Desk) -> None:
    """The attempts of each that it took part in, and none that left it out."""
    good = desk.confirm(3)
    (slow,) = desk.confirm(1, products="'[]'")
    desk.sandbox.fail("server-error", status=503)
    desk.deliver_all()
    assert "left batch 1 at" in tell(desk, slow)
    assert "so it waited in a batch of its own" in tell(desk, slow)
    assert "attempt 1" not in tell(desk, slow)
    assert "attempt 1" in tell(desk, good[0])

    desk.shop.sql("UPDATE orders SET products = DEFAULT")
    desk.sandbox.fail("refused", times=1, orderids=(good[2],))
    desk.finish_hurriedly()
    told = tell(desk, good[2])
    outcomes = [line.split(": ")[1] for line in told.splitlines() if "attempt " in line]
    assert outcomes[0].startswith("transient, 3 events (HTTP 503")
    assert outcomes[1].startswith("refused, 3 events (HTTP 400, orderid is not")
    assert outcomes[-1].startswith("accepted, 1 events (HTTP 200")
    assert "now delivered" in told
    assert "HTTP 400" not in tell(desk, slow)


def test_an_attempt_that_died_is_told_with_its_doubt(desk: Desk) -> None:
    """Nobody knows which orders it held."""
    (order,) = desk.confirm(1)
    desk.claim()
    desk.let_lease_pass()
    desk.deliver_all()
    told = tell(desk, order)
    assert "uncertain, 0 events (the instance ended or its lease passed" in told
    assert "which orders it held is not known" in told
    assert "1 attempts with unknown outcome" in told


def test_an_attempt_after_an_order_left_is_not_its_own(desk: Desk) -> None:
    """Even where it is not known what that attempt held."""
    (good,) = desk.confirm(1)
    (slow,) = desk.confirm(1, products="'[]'")
    desk.sandbox.fail("server-error", status=503)
    desk.deliver_all()
    desk.hurry()
    assert desk.claim().attempt == 2
    desk.let_lease_pass()
    assert "attempt 2" in tell(desk, good)
    assert "attempt 2" not in tell(desk, slow)


def test_an_order_that_the_ledger_lacks_tells_why(desk: Desk) -> None:
    """Too early, stamped too far back, not yet looked for, not confirmed."""
    start = desk.shop.row_of("feed").started_at
    day, second = timedelta(days=1), timedelta(seconds=1)
    times = ", ".join(f"'{start + n}'" for n in (-day, second, 9 * second))
    rows = desk.shop.rows(
        "INSERT INTO orders (confirmed_at) SELECT unnest("
        f"ARRAY[{times}, NULL]::timestamptz[]) RETURNING 'W-' || id"
    )
    desk.shop.update("watermark", {"confirmed_at": start + 5 * second})
    early, late, soon, never = (tell(desk, str(row[0])) for row in rows)
    for told in (early, late):
        assert "below the watermark" in told
        assert "next: syncd reconcile takes it at once" in told
    assert "will be captured" in soon
    assert "is not confirmed" in never
    assert "next:" not in soon + never


def test_a_view_that_fails_hides_no_story(desk: Desk) -> None:
    """The ledger tells what it knows by the order's key."""
    desk.confirm(1)
    desk.deliver_all()
    desk.shop.sql(
        "CREATE OR REPLACE VIEW syncd.purchases AS SELECT id AS order_key, "
        "'W-' || id AS orderid, email, 'EUR' AS currency, "
        "(total || 'x')::numeric AS totalvalue, products FROM orders"
    )
    assert "now delivered" in tell(desk, "1")
    assert "the row could not be read in the view" in tell(desk, "W-1")


def test_an_order_from_before_the_start_is_told_of_as_such(
    shop: Shop, tmp_path: Path
) -> None:
    """By what the start listed, whatever time the view gives it now."""
    shop.sql("INSERT INTO orders (confirmed_at) VALUES (now() - interval '1 hour')")
    with Sandbox() as sandbox:
        desk = Desk(shop, sandbox, tmp_path)
        shop.sql("UPDATE orders SET confirmed_at = now() + interval '1 hour'")
        told = tell(desk, "W-1")
        desk.close()
    assert "it was confirmed before the feed started: confirmed_orders listed" in told
    assert "next: syncd watermark reset --to TIME" in told


def test_an_order_without_a_usable_time_is_told_of_as_such(desk: Desk) -> None:
    """The view lists it, so it is confirmed, and waits for its time."""
    desk.shop.sql(
        "CREATE OR REPLACE VIEW syncd.confirmed_orders AS "
        "SELECT id AS order_key, confirmed_at FROM orders; "
        "INSERT INTO orders (confirmed_at) VALUES (NULL), ('infinity')"
    )
    for order in ("W-1", "W-2"):
        told = tell(desk, order)
        assert "lists it, but without a usable confirmed_at" in told
        assert "next: let confirmed_orders give it the time" in told
