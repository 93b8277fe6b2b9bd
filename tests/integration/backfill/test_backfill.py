"""Backfills in the ledger: captured, steered, sent again, given back."""

import re
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from pathlib import Path

import psycopg
import pytest
from psycopg import errors
from support.ledgers import ago
from support.past import Past, day, sell_past
from support.shop import Shop

from syncd.backfill import sample as sampling
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
def past(shop: Shop, tmp_path: Path) -> Iterator[Past]:
    with Sandbox() as sandbox:
        opened = Past(shop, sandbox, tmp_path, SIZE)
        yield opened
        opened.close()


def tell(past: Past, order: str) -> str:
    """Tell an order's story, the lines joined."""
    harness = past.harness
    feed = harness.feed
    story = read_history(harness.database, harness.source, feed, order)
    assert story
    return "\n".join(story.lines())


# Captured


def test_the_range_is_sent_once_and_nothing_beside_it(past: Past) -> None:
    """Lower excluded, upper included; the progress says so."""
    orders = sell_past(past.shop, 50)
    number = past.ask(lower=10, upper=30)
    past.finish()
    assert past.posts(orders) == [int(10 < n <= 30) for n in range(1, 51)]
    progress = past.register.get(number)
    assert (progress.state, progress.captured, progress.delivered) == (
        "finished",
        20,
        20,
    )
    assert past.counts_agree()
    assert past.plan(lower=10, upper=30).orders == 0


def test_only_a_few_pages_wait_at_a_time(past: Past) -> None:
    """The ledger is not flooded: there is room for a page, or there is none."""
    sell_past(past.shop, 50)
    past.ask()
    while past.driver.step() == 0:
        pass
    assert past.states() == {"pending": 10}
    past.deliver()
    assert past.driver.step() == 0
    assert past.states() == {"pending": 16, "delivered": 4}


def test_orders_of_one_instant_are_captured_page_by_page(past: Past) -> None:
    """No page holds more than was asked for; another driver goes on by key."""
    orders = sell_past(past.shop, 35)
    past.shop.sql(
        "UPDATE orders SET confirmed_at = (SELECT max(confirmed_at) FROM orders)"
    )
    number = past.ask()
    assert past.plan().confirmed == 35
    taken = []
    while past.register.get(number).captured < 35:
        before = past.register.get(number).captured
        past.make_driver().step()
        taken.append(past.register.get(number).captured - before)
        while past.deliver():
            pass
    assert taken == [10, 10, 10, 5]
    past.finish()
    assert past.posts(orders) == [1] * 35


@pytest.mark.parametrize(
    ("rate", "orders"), [(None, 30), (0.5, 10), (4.0, 20), (1000.0, 30)]
)
def test_what_waits_is_sent_within_seconds(
    past: Past, rate: float | None, orders: int
) -> None:
    """At least a page, what the rate sends in a few seconds, and not without end."""
    sell_past(past.shop, 50)
    past.ask()
    quick = past.make_driver(rate, most=30)
    while quick.step() == 0:
        pass
    assert past.states() == {"pending": orders}


def test_a_page_is_taken_by_one_of_two_drivers(past: Past) -> None:
    """Who comes second with the same view of things takes nothing."""
    sell_past(past.shop, 30)
    past.ask()
    (seen,) = past.register.active(LIVE, LIVE)
    page = past.harness.source.page(seen.position, day(5), SIZE)
    assert past.register.capture(seen, page, SIZE) is not None
    assert past.register.capture(seen, page, SIZE) is None


def test_a_live_order_goes_first(past: Past) -> None:
    """No past batch is claimed while a live one is due."""
    sell_past(past.shop, 8)
    past.ask()
    past.driver.step()
    past.harness.confirm(1)
    assert not past.deliver()
    assert past.harness.deliver()
    assert past.deliver()


def test_nothing_is_captured_while_live_orders_wait(past: Past) -> None:
    """Or while the API is in trouble."""
    sell_past(past.shop, 20)
    past.ask()
    past.harness.confirm(1)
    past.shop.update("batch", {"created_at": ago(minutes=1)})
    assert past.driver.step() > 0
    past.harness.deliver_all()
    assert past.driver.step() == 0
    past.shop.set_endpoint("backing_off", "x")
    past.shop.update("batch", {"orders": 1}, state="pending")
    assert past.driver.step() > 0
    assert past.register.unfinished().waits_for == "sending is backing off"
    past.shop.set_endpoint("available", None)
    assert past.driver.step() == 0


def test_a_backfill_tries_an_api_that_nobody_else_tries(past: Past) -> None:
    """In a quiet shop no live order would find out that it is back."""
    orders = sell_past(past.shop, 4)
    past.shop.set_endpoint("backing_off", "x")
    past.ask()
    past.finish()
    assert past.posts(orders) == [1] * 4


def test_a_hold_is_probed_by_a_backfill_when_every_live_order_was_refused(
    past: Past,
) -> None:
    """The batch that was never refused goes first; not one whose backfill is paused."""
    sell_past(past.shop, 8)
    number = past.ask()
    past.driver.step()
    past.harness.confirm(1)
    past.shop.set_endpoint("held", "x")
    past.shop.update("batch", {"refused_at": ago(), "refusals": 1}, lane="live")
    past.register.pause(number)
    assert not past.deliver()
    past.register.resume(number)
    assert not past.harness.deliver()
    assert past.deliver()


# Its own fields


def test_past_events_leave_the_profile_alone(past: Past) -> None:
    """Unless the profile was asked for; a live event has all fields."""
    past.shop.sql(
        "CREATE OR REPLACE VIEW syncd.purchases AS SELECT id AS order_key, "
        "'W-' || id AS orderid, email, 'EUR' AS currency, total AS totalvalue, "
        "products, 'Mila' AS firstname, 'nl-NL' AS language, 7 AS userid, "
        "'x' AS custom_colour FROM orders"
    )
    sell_past(past.shop, 2)
    past.ask(upper=26)
    past.finish()
    past.ask(lower=26, with_profile=True)
    past.finish()
    past.harness.confirm(1)
    past.finish()
    own = {"event", "email", "orderid", "timestamp", "currency", "totalvalue"}
    bare, whole, live = (
        set(p.body or {}) for p in past.harness.sandbox.book.purchases()
    )
    assert bare == own | {"products"}
    assert whole == live == bare | {"firstname", "language", "userid", "custom_colour"}


def test_the_events_time_is_the_orders_own(past: Past) -> None:
    """Not that of sending."""
    sell_past(past.shop, 1, days=10)
    past.ask()
    past.finish()
    (purchase,) = past.harness.sandbox.book.purchases()
    assert purchase.body
    assert str(purchase.body["timestamp"])[:10] == day(10).isoformat()[:10]


def test_a_rejected_past_order_is_retried_as_a_past_one(past: Past) -> None:
    """In its lane, without the profile."""
    sell_past(past.shop, 1)
    past.shop.sql("UPDATE orders SET email = 'nowhere'")
    number = past.ask()
    past.finish()
    assert past.register.get(number).rejected == 1
    past.harness.database.run(
        query("retry_rejected"),
        feed=1,
        states=["rejected"],
        orders=[],
        all=True,
        reason=None,
        size=SIZE,
        most_retries=None,
    )
    batch = past.shop.row_of("batch", state="pending")
    assert (batch.lane, batch.backfill_id) == ("backfill", number)


# Steered


def test_a_paused_backfill_sends_nothing_until_resumed(past: Past) -> None:
    """Also what is captured already; another one goes on meanwhile."""
    orders = sell_past(past.shop, 20)
    number = past.ask(upper=25)
    past.driver.step()
    past.register.pause(number)
    assert not past.deliver()
    assert past.harness.ledger.next_due().seconds is None
    past.ask(lower=25)
    past.finish()
    assert past.posts(orders) == [0] * 10 + [1] * 10
    past.register.resume(number)
    past.finish()
    assert past.posts(orders) == [1] * 20


def test_a_cancelled_backfill_gives_back_what_was_not_sent(past: Past) -> None:
    """It is as if it had never been asked for; a later one takes it."""
    orders = sell_past(past.shop, 30)
    number = past.ask()
    past.driver.step()
    past.deliver()
    cancelled = past.register.cancel(number)
    assert (cancelled.released, cancelled.left) == (6, 0)
    assert past.states() == {"delivered": 4, "released": 6}
    assert past.counts_agree()
    past.finish()
    assert sum(past.posts(orders)) == 4
    assert "released: its backfill was cancelled" in tell(past, orders[5])
    assert "next: syncd watermark reset" in tell(past, orders[5])
    assert past.plan().orders == 26
    past.ask()
    past.finish()
    assert past.posts(orders) == [1] * 30


def test_what_may_have_arrived_is_not_given_back(past: Past) -> None:
    """A batch of which the API said nothing clear is sent to its end."""
    orders = sell_past(past.shop, 8)
    number = past.ask()
    past.driver.step()
    past.harness.sandbox.fail("server-error", status=503, times=1)
    past.deliver()
    cancelled = past.register.cancel(number)
    assert (cancelled.released, cancelled.left) == (4, 4)
    past.finish()
    assert sum(past.posts(orders)) == 4
    assert past.counts_agree()


def test_reconciliation_leaves_cancelled_orders_alone(past: Past) -> None:
    """Nobody asks for them any more; what was delivered is still accounted for."""
    orders = sell_past(past.shop, 30)
    past.shop.set_watermark(ago())
    number = past.ask()
    past.driver.step()
    past.deliver()
    past.register.cancel(number)
    reconciliation = Reconciliation(past.harness.source, past.harness.ledger, size=SIZE)
    run = reconciliation.ask(day(0), None)
    pages = list(reconciliation.pages(run))
    assert sum(page.account.delivered for page in pages) == 4
    assert sum(page.account.missing for page in pages) == 0
    past.finish()
    assert sum(past.posts(orders)) == 4


def test_what_the_feed_answers_for_anyway_is_not_given_back(past: Past) -> None:
    """Another backfill covers it, so reconciliation would only take it again."""
    sell_past(past.shop, 10)
    past.ask()
    past.finish()
    late = sell_past(past.shop, 1)
    number = past.ask()
    past.driver.step()
    past.driver.step()
    cancelled = past.register.cancel(number)
    assert (cancelled.released, cancelled.left) == (0, 1)
    past.finish()
    assert past.posts(late) == [1]


@pytest.mark.parametrize("verb", ["pause", "resume", "cancel"])
def test_a_finished_or_unknown_backfill_cannot_be_steered(
    past: Past, verb: str
) -> None:
    """The error says in what state it is."""
    sell_past(past.shop, 1)
    number = past.ask()
    past.finish()
    steer = getattr(past.register, verb)
    with pytest.raises(BackfillStateError, match="it is finished"):
        steer(number)
    with pytest.raises(BackfillStateError, match="no backfill 99"):
        steer(99)


def test_a_running_backfill_cannot_be_resumed_nor_a_paused_one_paused(
    past: Past,
) -> None:
    """Nor is there one to choose when none, or several, are under way."""
    with pytest.raises(BackfillStateError, match="no backfill is under way"):
        past.register.unfinished()
    sell_past(past.shop, 2)
    number = past.ask(upper=10)
    with pytest.raises(BackfillStateError, match="it is running"):
        past.register.resume(number)
    past.register.pause(number)
    with pytest.raises(BackfillStateError, match="it is paused"):
        past.register.pause(number)
    past.ask(lower=10)
    with pytest.raises(BackfillStateError, match="the backfills 1, 2 are under way"):
        past.register.unfinished()


def test_two_unfinished_backfills_never_share_a_time(past: Past) -> None:
    """Neighbours may be under way together; the database guards it as well."""
    sell_past(past.shop, 10)
    past.ask(lower=10, upper=20)
    past.ask(lower=20, upper=30)
    with pytest.raises(BackfillStateError, match="is in backfill 1, which"):
        past.ask(lower=5, upper=12)
    row = past.shop.rows_of("backfill")[0]
    times = {"lower_at": row.lower_at, "upper_at": row.upper_at}
    with pytest.raises(errors.ExclusionViolation):
        past.shop.insert("backfill", feed_id=1, reached_at=row.lower_at, **times)


def test_each_state_is_told_once(past: Past) -> None:
    """Whichever daemon looks first."""
    lines = StringIO()
    log.configure(style="json", stream=lines)
    past.driver = past.make_driver()
    sell_past(past.shop, 15)
    number = past.ask()
    other = Past(past.shop, past.harness.sandbox, past.harness.folder, SIZE)
    for steer in (None, past.register.pause, past.register.resume):
        if steer:
            steer(number)
        past.driver.step()
        other.driver.step()
    past.shop.update("backfill", {"logged_at": ago(minutes=1)})
    past.deliver()
    past.driver.step()
    other.driver.step()
    past.finish()
    other.driver.step()
    other.close()
    told = re.findall(r'"backfill\.(\w+)"', lines.getvalue())
    assert told == ["started", "paused", "resumed", "progressed", "finished"]


# Sent again


def test_delivered_orders_are_sent_again_only_on_purpose(past: Past) -> None:
    """With the reason in the story; counted apart from possible repeats."""
    orders = sell_past(past.shop, 8)
    past.ask()
    past.finish()
    assert (past.plan().orders, past.plan("resend").resent) == (0, 8)
    number = past.ask("resend")
    past.finish()
    assert past.posts(orders) == [2] * 8
    progress = past.register.get(number)
    assert (progress.resent, progress.delivered) == (8, 8)
    assert past.harness.shop.uncertain_attempts() == 0
    told = tell(past, orders[0])
    assert "sent again by hand (reason: wrong SKUs)" in told
    assert "sent again on purpose: wrong SKUs" in told
    assert past.counts_agree()


def test_a_cancelled_resending_leaves_orders_delivered(past: Past) -> None:
    """They are back in the batch that has their receipt, and can be resent later."""
    orders = sell_past(past.shop, 8)
    past.ask()
    past.finish()
    number = past.ask("resend")
    past.driver.step()
    past.deliver()
    assert past.register.cancel(number).released == 4
    assert past.states() == {"delivered": 8}
    assert past.counts_agree()
    assert "that backfill was cancelled" in tell(past, orders[7])
    assert tell(past, orders[7]).count("attempt 1 at") == 1
    past.ask("resend", lower=26)
    past.finish()
    assert past.posts(orders) == [2] * 8


def test_single_orders_are_sent_again_with_a_reason(past: Past) -> None:
    """Whatever else is under way; what was never delivered is left alone."""
    orders = sell_past(past.shop, 6)
    past.ask(upper=26)
    past.finish()
    past.ask(lower=26)
    number, sent = past.resending.resend(["1", "2", "6", "77"], "mended view")
    assert sent == 2
    past.finish()
    assert past.posts(orders) == [2, 2, 1, 1, 1, 1]
    assert past.register.get(number).state == "finished"
    with pytest.raises(OrderUnknownError, match="none of these"):
        past.resending.resend(["99"], "mended view")
    assert len(past.register.all()) == 3


def test_an_order_listed_twice_is_sent_again_once(past: Past) -> None:
    """The second listing finds it in this very backfill."""
    orders = sell_past(past.shop, 12)
    past.ask()
    past.finish()
    past.shop.sql(
        "CREATE OR REPLACE VIEW syncd.confirmed_orders AS "
        "SELECT id AS order_key, confirmed_at FROM orders UNION ALL "
        "SELECT id, confirmed_at + interval '50 days' FROM orders"
    )
    past.harness.source.views.check()
    past.register.open(past.plan("resend", upper=99))
    past.finish()
    assert past.posts(orders) == [2] * 12


# Adopted


def test_an_adopted_range_is_not_sent(past: Past) -> None:
    """It is covered; a reset leaves it alone, a resending does not."""
    orders = sell_past(past.shop, 12)
    number = past.ask("adopt", upper=26)
    past.finish()
    assert past.states() == {"adopted": 6}
    assert past.register.get(number).state == "finished"
    assert "delivered by something else" in tell(past, orders[0])
    assert past.plan().orders == 6
    past.ask()
    past.finish()
    assert past.posts(orders) == [0] * 6 + [1] * 6
    past.ask("resend", upper=26)
    past.finish()
    assert past.posts(orders) == [1] * 12
    assert past.counts_agree()


def test_what_the_first_start_listed_goes_back_when_cancelled(
    shop: Shop, tmp_path: Path
) -> None:
    """A reset asks for it, a cancellation gives it back as it was."""
    with Sandbox() as sandbox:
        shop.sql("INSERT INTO orders (confirmed_at) VALUES (now() + interval '1 h')")
        past = Past(shop, sandbox, tmp_path, SIZE)
        shop.set_watermark(ago(hours=-2))
        number = past.ask(upper=120)
        past.driver.step()
        assert past.states() == {"pending": 1}
        assert past.register.cancel(number).released == 1
        assert past.states() == {"released": 1}
        past.ask(upper=120)
        past.finish()
        assert past.posts(["W-1"]) == [1]
        past.close()


# Planned


def test_the_plan_counts_without_writing(past: Past) -> None:
    """By where they stand and by day."""
    sell_past(past.shop, 50)
    past.ask(lower=10, upper=20)
    past.finish()
    past.shop.set_watermark(ago())
    before = past.shop.rows_of("backfill"), past.shop.rows_of("batch")
    plan = past.plan()
    assert (plan.confirmed, plan.orders, dict(plan.standings)) == (
        50,
        40,
        {"new": 40, "delivered": 10},
    )
    assert sorted(plan.days) == [day(n).date() for n in range(1, 51)]
    assert plan.seconds(20.0) == 2.0
    assert (past.shop.rows_of("backfill"), past.shop.rows_of("batch")) == before


def test_the_plan_tries_orders_of_the_whole_range(past: Past) -> None:
    """Those that cannot be sent are named with their reason, others first."""
    orders = sell_past(past.shop, 300)
    past.shop.sql(
        "UPDATE orders SET email = 'nowhere' WHERE id <= 3; "
        "UPDATE orders SET products = '[]' WHERE id = 150"
    )
    plan = past.plan()
    assert plan.sample.orders == 200
    assert ("1", "email is not an address like name@example.com") in plan.sample.faults
    assert len(plan.sample.examples) == sampling.EXAMPLES
    assert len(orders) == plan.orders


def test_the_plan_survives_a_row_that_cannot_be_read(past: Past) -> None:
    """It is one more that cannot be sent."""
    sell_past(past.shop, 20)
    past.shop.sql(
        "CREATE OR REPLACE VIEW syncd.purchases AS SELECT id AS order_key, "
        "'W-' || id AS orderid, email, 'EUR' AS currency, "
        "100 / (id - 3)::numeric AS totalvalue, products FROM orders "
        "WHERE id <> 5"
    )
    faults = dict(past.plan().sample.faults)
    assert "SQLSTATE 22012" in faults["3"]
    assert faults["5"] == "is not in the purchases view"


# Older, promoted, apart


def test_after_a_promotion_the_rest_of_a_backfill_may_repeat(past: Past) -> None:
    """Nobody knows which of its pages the old primary had sent; they are counted."""
    sell_past(past.shop, 8)
    past.ask()
    past.shop.update("feed", {"lost_from": ago(days=1), "lost_until": ago()})
    past.finish()
    assert past.harness.shop.uncertain_attempts() == 2
    sell_past(past.shop, 4)
    past.ask()
    past.finish()
    assert past.harness.shop.uncertain_attempts() == 2


def test_the_daemons_role_may_steer_but_not_delete(past: Past) -> None:
    """Cancelling gives orders back without deleting one."""
    with (
        psycopg.connect(past.shop.dsn, autocommit=True) as connection,
        pytest.raises(errors.InsufficientPrivilege),
    ):
        connection.execute("DELETE FROM syncd.backfill")


def test_the_plan_tries_those_that_would_be_sent(past: Past) -> None:
    """What was delivered, rejected or erased is not among them."""
    sell_past(past.shop, 50)
    past.shop.sql("UPDATE orders SET email = 'nowhere' WHERE id IN (3, 40)")
    assert len(past.plan().sample.faults) == 2
    past.ask(upper=30)
    past.finish()
    plan = past.plan()
    assert (plan.orders, plan.sample.orders) == (20, 20)
    assert [key for key, _ in plan.sample.faults] == ["40"]
    again = past.plan("resend")
    assert again.sample.orders == again.orders == 49


def test_it_is_asked_for_and_cancelled_while_capture_is_paused(past: Past) -> None:
    """Whoever has stopped everything can clear up; nothing is captured meanwhile."""
    orders = sell_past(past.shop, 20)
    pauses = PauseStore(past.harness.database, past.harness.ledger.feed_id)
    pauses.begin("capture", "campaign")
    number = past.ask()
    with pytest.raises(PausedError):
        past.driver.step()
    assert past.register.get(number).captured == 0
    pauses.end("capture")
    past.driver.step()
    pauses.begin("capture", "campaign")
    captured = past.register.get(number).captured
    assert past.register.cancel(number).released == captured > 0
    pauses.end("capture")
    past.finish()
    assert past.posts(orders) == [0] * 20
