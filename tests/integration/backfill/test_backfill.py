"""Backfills in the ledger: captured, paused and resumed, sent again, cancelled."""

import re
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from pathlib import Path

import psycopg
import pytest
from psycopg import errors
from support.backfill_harness import BackfillHarness, day, insert_past_orders
from support.feed_harness import ago
from support.shop import Shop

from syncd.backfill.plan import EXAMPLES
from syncd.capture.reconciliation import Reconciliation
from syncd.core.command_errors import BackfillStateError, OrderUnknownError
from syncd.core.errors import PausedError
from syncd.demo.sandbox import Sandbox
from syncd.diagnostics.order_history import read_history
from syncd.ledger.pauses import PauseStore
from syncd.log import log
from syncd.postgres.statements import query

pytestmark = pytest.mark.db

SIZE = 4
LIVE = timedelta(days=1)


@pytest.fixture
def harness(shop: Shop, tmp_path: Path) -> Iterator[BackfillHarness]:
    with Sandbox() as sandbox:
        opened = BackfillHarness(shop, sandbox, tmp_path, SIZE)
        yield opened
        opened.close()


def history(harness: BackfillHarness, order: str) -> str:
    """Return an order's history as text."""
    feed = harness.feed
    history = read_history(harness.database, harness.source, feed, order)
    assert history
    return "\n".join(history.lines())


# Capture


def test_a_range_is_sent_once_and_nothing_outside_it(harness: BackfillHarness) -> None:
    """The lower end is excluded, the upper included; the progress agrees."""
    orders = insert_past_orders(harness.shop, 50)
    number = harness.start(lower=10, upper=30)
    harness.finish_backfills()
    assert harness.posts(orders) == [int(10 < n <= 30) for n in range(1, 51)]
    progress = harness.store.get(number)
    assert (progress.state, progress.captured, progress.delivered) == (
        "finished",
        20,
        20,
    )
    assert harness.shop.counts_agree()
    assert harness.plan(lower=10, upper=30).orders == 0


def test_only_a_few_pages_wait_at_a_time(harness: BackfillHarness) -> None:
    """The ledger is not flooded: a page is captured only when there is room."""
    insert_past_orders(harness.shop, 50)
    harness.start()
    while harness.loop.step() == 0:
        pass
    assert harness.states() == {"pending": 10}
    harness.deliver_past()
    assert harness.loop.step() == 0
    assert harness.states() == {"pending": 16, "delivered": 4}


def test_orders_with_equal_stamps_are_captured_page_by_page(
    harness: BackfillHarness,
) -> None:
    """No page exceeds its size; another loop continues by key."""
    orders = insert_past_orders(harness.shop, 35)
    harness.shop.sql(
        "UPDATE orders SET confirmed_at = (SELECT max(confirmed_at) FROM orders)"
    )
    number = harness.start()
    assert harness.plan().confirmed == 35
    taken = []
    while harness.store.get(number).captured < 35:
        before = harness.store.get(number).captured
        harness.make_loop().step()
        taken.append(harness.store.get(number).captured - before)
        while harness.deliver_past():
            pass
    assert taken == [10, 10, 10, 5]
    harness.finish_backfills()
    assert harness.posts(orders) == [1] * 35


@pytest.mark.parametrize(
    ("rate", "orders"), [(None, 30), (0.5, 10), (4.0, 20), (1000.0, 30)]
)
def test_captured_orders_are_sent_within_seconds(
    harness: BackfillHarness, rate: float | None, orders: int
) -> None:
    """At least a page, or what the rate sends in a few seconds, up to a limit."""
    insert_past_orders(harness.shop, 50)
    harness.start()
    quick = harness.make_loop(rate, most=30)
    while quick.step() == 0:
        pass
    assert harness.states() == {"pending": orders}


def test_a_page_is_captured_by_one_of_two_loops(harness: BackfillHarness) -> None:
    """The second one with the same progress captures nothing."""
    insert_past_orders(harness.shop, 30)
    harness.start()
    (seen,) = harness.store.active(LIVE, LIVE)
    page = harness.source.page(seen.position, day(5), SIZE)
    assert harness.store.capture(seen, page, SIZE) is not None
    assert harness.store.capture(seen, page, SIZE) is None


def test_a_live_order_is_sent_first(harness: BackfillHarness) -> None:
    """No past batch is claimed while a live one is due."""
    insert_past_orders(harness.shop, 8)
    harness.start()
    harness.loop.step()
    harness.confirm(1)
    assert not harness.deliver_past()
    assert harness.deliver()
    assert harness.deliver_past()


def test_nothing_is_captured_while_live_orders_wait(harness: BackfillHarness) -> None:
    """The loop waits for them, and while sending is backing off."""
    insert_past_orders(harness.shop, 20)
    harness.start()
    harness.confirm(1)
    harness.shop.update("batch", {"created_at": ago(minutes=1)})
    assert harness.loop.step() > 0
    harness.deliver_all()
    assert harness.loop.step() == 0
    harness.shop.set_endpoint("backing_off", "x")
    harness.shop.update("batch", {"orders": 1}, state="pending")
    assert harness.loop.step() > 0
    assert harness.store.unfinished().waits_for == "sending is backing off"
    harness.shop.set_endpoint("available", None)
    assert harness.loop.step() == 0


def test_a_backfill_probes_an_api_that_nothing_else_probes(
    harness: BackfillHarness,
) -> None:
    """In a quiet shop no live order would detect that the API is back."""
    orders = insert_past_orders(harness.shop, 4)
    harness.shop.set_endpoint("backing_off", "x")
    harness.start()
    harness.finish_backfills()
    assert harness.posts(orders) == [1] * 4


def test_a_backfill_probes_a_hold_when_every_live_batch_was_refused(
    harness: BackfillHarness,
) -> None:
    """First a batch that was never refused; none whose backfill is paused."""
    insert_past_orders(harness.shop, 8)
    number = harness.start()
    harness.loop.step()
    harness.confirm(1)
    harness.shop.set_endpoint("held", "x")
    harness.shop.update("batch", {"refused_at": ago(), "refusals": 1}, lane="live")
    harness.store.pause(number)
    assert not harness.deliver_past()
    harness.store.resume(number)
    assert not harness.deliver()
    assert harness.deliver_past()


# Fields of past events


def test_past_events_omit_the_profile(harness: BackfillHarness) -> None:
    """A request can include it; a live event has all fields."""
    harness.shop.sql(
        "CREATE OR REPLACE VIEW syncd.purchases AS SELECT id AS order_key, "
        "'W-' || id AS orderid, email, 'EUR' AS currency, total AS totalvalue, "
        "products, 'Mila' AS firstname, 'nl-NL' AS language, 7 AS userid, "
        "'x' AS custom_colour FROM orders"
    )
    insert_past_orders(harness.shop, 2)
    harness.start(upper=26)
    harness.finish_backfills()
    harness.start(lower=26, with_profile=True)
    harness.finish_backfills()
    harness.confirm(1)
    harness.finish_backfills()
    own = {"event", "email", "orderid", "timestamp", "currency", "totalvalue"}
    bare, whole, live = (
        set(p.body or {}) for p in harness.sandbox.received.purchases()
    )
    assert bare == own | {"products"}
    assert whole == live == bare | {"firstname", "language", "userid", "custom_colour"}


def test_the_events_timestamp_is_the_orders_own(harness: BackfillHarness) -> None:
    """The timestamp is not the time of sending."""
    insert_past_orders(harness.shop, 1, days=10)
    harness.start()
    harness.finish_backfills()
    (purchase,) = harness.sandbox.received.purchases()
    assert purchase.body
    assert str(purchase.body["timestamp"])[:10] == day(10).isoformat()[:10]


def test_a_rejected_past_order_is_retried_as_a_past_one(
    harness: BackfillHarness,
) -> None:
    """It is sent in its lane, without the profile."""
    insert_past_orders(harness.shop, 1)
    harness.shop.sql("UPDATE orders SET email = 'nowhere'")
    number = harness.start()
    harness.finish_backfills()
    assert harness.store.get(number).rejected == 1
    harness.database.run(
        query("retry_rejected"),
        feed=1,
        states=["rejected"],
        orders=[],
        all=True,
        reason=None,
        size=SIZE,
        most_retries=None,
    )
    batch = harness.shop.row_of("batch", state="pending")
    assert (batch.lane, batch.backfill_id) == ("backfill", number)


# Paused, resumed, cancelled


def test_a_paused_backfill_sends_nothing_until_resumed(
    harness: BackfillHarness,
) -> None:
    """Captured orders wait too; another backfill continues meanwhile."""
    orders = insert_past_orders(harness.shop, 20)
    number = harness.start(upper=25)
    harness.loop.step()
    harness.store.pause(number)
    assert not harness.deliver_past()
    assert harness.ledger.next_due().seconds is None
    harness.start(lower=25)
    harness.finish_backfills()
    assert harness.posts(orders) == [0] * 10 + [1] * 10
    harness.store.resume(number)
    harness.finish_backfills()
    assert harness.posts(orders) == [1] * 20


def test_a_cancelled_backfill_releases_what_was_not_sent(
    harness: BackfillHarness,
) -> None:
    """A later backfill captures the released orders."""
    orders = insert_past_orders(harness.shop, 30)
    number = harness.start()
    harness.loop.step()
    harness.deliver_past()
    cancelled = harness.store.cancel(number)
    assert (cancelled.released, cancelled.left) == (6, 0)
    assert harness.states() == {"delivered": 4, "released": 6}
    assert harness.shop.counts_agree()
    harness.finish_backfills()
    assert sum(harness.posts(orders)) == 4
    assert "released: its backfill was cancelled" in history(harness, orders[5])
    assert "next: syncd watermark reset" in history(harness, orders[5])
    assert harness.plan().orders == 26
    harness.start()
    harness.finish_backfills()
    assert harness.posts(orders) == [1] * 30


def test_orders_that_may_have_arrived_are_not_released(
    harness: BackfillHarness,
) -> None:
    """A batch with an unclear response is sent to its end."""
    orders = insert_past_orders(harness.shop, 8)
    number = harness.start()
    harness.loop.step()
    harness.sandbox.fail("server-error", status=503, times=1)
    harness.deliver_past()
    cancelled = harness.store.cancel(number)
    assert (cancelled.released, cancelled.left) == (4, 4)
    harness.finish_backfills()
    assert sum(harness.posts(orders)) == 4
    assert harness.shop.counts_agree()


def test_reconciliation_ignores_cancelled_orders(harness: BackfillHarness) -> None:
    """They are not expected any more; delivered ones are still accounted for."""
    orders = insert_past_orders(harness.shop, 30)
    harness.shop.set_watermark(ago())
    number = harness.start()
    harness.loop.step()
    harness.deliver_past()
    harness.store.cancel(number)
    reconciliation = Reconciliation(harness.source, harness.ledger, size=SIZE)
    run = reconciliation.ask(day(0), None)
    pages = list(reconciliation.pages(run))
    assert sum(page.account.delivered for page in pages) == 4
    assert sum(page.account.missing for page in pages) == 0
    harness.finish_backfills()
    assert sum(harness.posts(orders)) == 4


def test_orders_that_another_backfill_covers_are_not_released(
    harness: BackfillHarness,
) -> None:
    """Reconciliation would only capture them again."""
    insert_past_orders(harness.shop, 10)
    harness.start()
    harness.finish_backfills()
    late = insert_past_orders(harness.shop, 1)
    number = harness.start()
    harness.loop.step()
    harness.loop.step()
    cancelled = harness.store.cancel(number)
    assert (cancelled.released, cancelled.left) == (0, 1)
    harness.finish_backfills()
    assert harness.posts(late) == [1]


@pytest.mark.parametrize("verb", ["pause", "resume", "cancel"])
def test_a_finished_or_unknown_backfill_cannot_be_changed(
    harness: BackfillHarness, verb: str
) -> None:
    """The error names its state."""
    insert_past_orders(harness.shop, 1)
    number = harness.start()
    harness.finish_backfills()
    steer = getattr(harness.store, verb)
    with pytest.raises(BackfillStateError, match="it is finished"):
        steer(number)
    with pytest.raises(BackfillStateError, match="no backfill 99"):
        steer(99)


def test_a_running_backfill_cannot_be_resumed_nor_a_paused_one_paused(
    harness: BackfillHarness,
) -> None:
    """Nor is there one to choose when none, or several, are unfinished."""
    with pytest.raises(BackfillStateError, match="no backfill is under way"):
        harness.store.unfinished()
    insert_past_orders(harness.shop, 2)
    number = harness.start(upper=10)
    with pytest.raises(BackfillStateError, match="it is running"):
        harness.store.resume(number)
    harness.store.pause(number)
    with pytest.raises(BackfillStateError, match="it is paused"):
        harness.store.pause(number)
    harness.start(lower=10)
    with pytest.raises(BackfillStateError, match="the backfills 1, 2 are under way"):
        harness.store.unfinished()


def test_two_unfinished_backfills_never_overlap(harness: BackfillHarness) -> None:
    """Adjacent ranges are allowed; the database guards it as well."""
    insert_past_orders(harness.shop, 10)
    harness.start(lower=10, upper=20)
    harness.start(lower=20, upper=30)
    with pytest.raises(BackfillStateError, match="is in backfill 1, which"):
        harness.start(lower=5, upper=12)
    row = harness.shop.rows_of("backfill")[0]
    times = {"lower_at": row.lower_at, "upper_at": row.upper_at}
    with pytest.raises(errors.ExclusionViolation):
        harness.shop.insert("backfill", feed_id=1, reached_at=row.lower_at, **times)


def test_each_state_is_logged_once(harness: BackfillHarness) -> None:
    """The daemon that notices it first logs it."""
    lines = StringIO()
    log.configure(style="json", stream=lines)
    harness.loop = harness.make_loop()
    insert_past_orders(harness.shop, 15)
    number = harness.start()
    other = BackfillHarness(harness.shop, harness.sandbox, harness.folder, SIZE)
    for steer in (None, harness.store.pause, harness.store.resume):
        if steer:
            steer(number)
        harness.loop.step()
        other.loop.step()
    harness.shop.update("backfill", {"logged_at": ago(minutes=1)})
    harness.deliver_past()
    harness.loop.step()
    other.loop.step()
    harness.finish_backfills()
    other.loop.step()
    other.close()
    logged = re.findall(r'"backfill\.(\w+)"', lines.getvalue())
    assert logged == ["started", "paused", "resumed", "progressed", "finished"]


# Sent again


def test_delivered_orders_are_sent_again_only_on_request(
    harness: BackfillHarness,
) -> None:
    """The history has the reason; they are counted apart from possible repeats."""
    orders = insert_past_orders(harness.shop, 8)
    harness.start()
    harness.finish_backfills()
    assert (harness.plan().orders, harness.plan("resend").resent) == (0, 8)
    number = harness.start("resend")
    harness.finish_backfills()
    assert harness.posts(orders) == [2] * 8
    progress = harness.store.get(number)
    assert (progress.resent, progress.delivered) == (8, 8)
    assert harness.shop.uncertain_attempts() == 0
    shown = history(harness, orders[0])
    assert "sent again by hand (reason: wrong SKUs)" in shown
    assert "sent again on purpose: wrong SKUs" in shown
    assert harness.shop.counts_agree()


def test_a_cancelled_resend_leaves_orders_delivered(
    harness: BackfillHarness,
) -> None:
    """They return to the batch that has their receipt, and can be resent later."""
    orders = insert_past_orders(harness.shop, 8)
    harness.start()
    harness.finish_backfills()
    number = harness.start("resend")
    harness.loop.step()
    harness.deliver_past()
    assert harness.store.cancel(number).released == 4
    assert harness.states() == {"delivered": 8}
    assert harness.shop.counts_agree()
    assert "that backfill was cancelled" in history(harness, orders[7])
    assert history(harness, orders[7]).count("attempt 1 at") == 1
    harness.start("resend", lower=26)
    harness.finish_backfills()
    assert harness.posts(orders) == [2] * 8


def test_single_orders_are_sent_again_with_a_reason(harness: BackfillHarness) -> None:
    """Other unfinished backfills do not matter; undelivered orders are skipped."""
    orders = insert_past_orders(harness.shop, 6)
    harness.start(upper=26)
    harness.finish_backfills()
    harness.start(lower=26)
    number, sent = harness.resending.resend(["1", "2", "6", "77"], "mended view")
    assert sent == 2
    harness.finish_backfills()
    assert harness.posts(orders) == [2, 2, 1, 1, 1, 1]
    assert harness.store.get(number).state == "finished"
    with pytest.raises(OrderUnknownError, match="none of these"):
        harness.resending.resend(["99"], "mended view")
    assert len(harness.store.all()) == 3


def test_an_order_listed_twice_is_sent_again_once(harness: BackfillHarness) -> None:
    """Its second row finds it in this backfill already."""
    orders = insert_past_orders(harness.shop, 12)
    harness.start()
    harness.finish_backfills()
    harness.shop.sql(
        "CREATE OR REPLACE VIEW syncd.confirmed_orders AS "
        "SELECT id AS order_key, confirmed_at FROM orders UNION ALL "
        "SELECT id, confirmed_at + interval '50 days' FROM orders"
    )
    harness.source.views.check()
    harness.store.open(harness.plan("resend", upper=99))
    harness.finish_backfills()
    assert harness.posts(orders) == [2] * 12


# Adopted


def test_an_adopted_range_is_not_sent(harness: BackfillHarness) -> None:
    """It is covered: a reset skips it, a resend does not."""
    orders = insert_past_orders(harness.shop, 12)
    number = harness.start("adopt", upper=26)
    harness.finish_backfills()
    assert harness.states() == {"adopted": 6}
    assert harness.store.get(number).state == "finished"
    assert "delivered by something else" in history(harness, orders[0])
    assert harness.plan().orders == 6
    harness.start()
    harness.finish_backfills()
    assert harness.posts(orders) == [0] * 6 + [1] * 6
    harness.start("resend", upper=26)
    harness.finish_backfills()
    assert harness.posts(orders) == [1] * 12
    assert harness.shop.counts_agree()


def test_cancelled_initial_orders_are_initial_again(shop: Shop, tmp_path: Path) -> None:
    """A reset captures them, its cancellation returns them to what they were."""
    with Sandbox() as sandbox:
        shop.sql("INSERT INTO orders (confirmed_at) VALUES (now() + interval '1 h')")
        harness = BackfillHarness(shop, sandbox, tmp_path, SIZE)
        shop.set_watermark(ago(hours=-2))
        number = harness.start(upper=120)
        harness.loop.step()
        assert harness.states() == {"pending": 1}
        assert harness.store.cancel(number).released == 1
        assert harness.states() == {"released": 1}
        harness.start(upper=120)
        harness.finish_backfills()
        assert harness.posts(["W-1"]) == [1]
        harness.close()


# Planned


def test_the_plan_counts_without_writing(harness: BackfillHarness) -> None:
    """The plan has the orders by state and by day."""
    insert_past_orders(harness.shop, 50)
    harness.start(lower=10, upper=20)
    harness.finish_backfills()
    harness.shop.set_watermark(ago())
    before = harness.shop.rows_of("backfill"), harness.shop.rows_of("batch")
    plan = harness.plan()
    assert (plan.confirmed, plan.orders, dict(plan.standings)) == (
        50,
        40,
        {"new": 40, "delivered": 10},
    )
    assert sorted(plan.days) == [day(n).date() for n in range(1, 51)]
    assert plan.seconds(20.0) == 2.0
    assert (harness.shop.rows_of("backfill"), harness.shop.rows_of("batch")) == before


def test_the_plan_samples_the_whole_range(harness: BackfillHarness) -> None:
    """Orders that cannot be sent are listed with their reason."""
    orders = insert_past_orders(harness.shop, 300)
    harness.shop.sql(
        "UPDATE orders SET email = 'nowhere' WHERE id <= 3; "
        "UPDATE orders SET products = '[]' WHERE id = 150"
    )
    plan = harness.plan()
    assert plan.sample.orders == 200
    assert ("1", "email is not an address like name@example.com") in plan.sample.faults
    assert len(plan.sample.examples) == EXAMPLES
    assert len(orders) == plan.orders


def test_the_plan_counts_an_unreadable_row_as_unsendable(
    harness: BackfillHarness,
) -> None:
    """An unreadable row does not make the plan fail."""
    insert_past_orders(harness.shop, 20)
    harness.shop.sql(
        "CREATE OR REPLACE VIEW syncd.purchases AS SELECT id AS order_key, "
        "'W-' || id AS orderid, email, 'EUR' AS currency, "
        "100 / (id - 3)::numeric AS totalvalue, products FROM orders "
        "WHERE id <> 5"
    )
    faults = dict(harness.plan().sample.faults)
    assert "SQLSTATE 22012" in faults["3"]
    assert faults["5"] == "is not in the purchases view"


# Initial orders, promotions, privileges


def test_after_a_promotion_the_rest_of_a_backfill_may_repeat(
    harness: BackfillHarness,
) -> None:
    """It is unknown which pages the old primary had sent; they are counted."""
    insert_past_orders(harness.shop, 8)
    harness.start()
    harness.shop.update("feed", {"lost_from": ago(days=1), "lost_until": ago()})
    harness.finish_backfills()
    assert harness.shop.uncertain_attempts() == 2
    insert_past_orders(harness.shop, 4)
    harness.start()
    harness.finish_backfills()
    assert harness.shop.uncertain_attempts() == 2


def test_the_daemons_role_may_change_backfills_but_not_delete(
    harness: BackfillHarness,
) -> None:
    """Cancelling releases orders without deleting any."""
    with (
        psycopg.connect(harness.shop.dsn, autocommit=True) as connection,
        pytest.raises(errors.InsufficientPrivilege),
    ):
        connection.execute("DELETE FROM syncd.backfill")


def test_the_plan_samples_only_orders_that_would_be_sent(
    harness: BackfillHarness,
) -> None:
    """Delivered, rejected and erased orders are not sampled."""
    insert_past_orders(harness.shop, 50)
    harness.shop.sql("UPDATE orders SET email = 'nowhere' WHERE id IN (3, 40)")
    assert len(harness.plan().sample.faults) == 2
    harness.start(upper=30)
    harness.finish_backfills()
    plan = harness.plan()
    assert (plan.orders, plan.sample.orders) == (20, 20)
    assert [key for key, _ in plan.sample.faults] == ["40"]
    again = harness.plan("resend")
    assert again.sample.orders == again.orders == 49


def test_a_backfill_can_be_requested_and_cancelled_while_capture_is_paused(
    harness: BackfillHarness,
) -> None:
    """The pause holds: nothing is captured meanwhile."""
    orders = insert_past_orders(harness.shop, 20)
    pauses = PauseStore(harness.database, harness.ledger.feed_id)
    pauses.begin("capture", "campaign")
    number = harness.start()
    with pytest.raises(PausedError):
        harness.loop.step()
    assert harness.store.get(number).captured == 0
    pauses.end("capture")
    harness.loop.step()
    pauses.begin("capture", "campaign")
    captured = harness.store.get(number).captured
    assert harness.store.cancel(number).released == captured > 0
    pauses.end("capture")
    harness.finish_backfills()
    assert harness.posts(orders) == [0] * 20
