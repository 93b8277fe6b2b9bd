"""Claims and admissions check for a pause in their own transaction."""

import io
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from support.feed_harness import FeedHarness
from support.harness import LEASE, Harness
from support.postgres import wait_until
from support.shop import Shop
from support.wal_harness import QUICK, WalHarness

from syncd.capture.listen.capture import AdmissionContext, OutboxCapture, OutboxTuning
from syncd.capture.listen.notify import NotifyListener
from syncd.capture.listen.outbox import Outbox
from syncd.capture.reconciliation import Reconciliation
from syncd.core.errors import PausedError
from syncd.daemon.error_policy import ErrorPolicy
from syncd.daemon.jobs import ReconciliationJob
from syncd.daemon.wakeup import WakeUp
from syncd.ledger.batches import Ledger
from syncd.ledger.pauses import PauseStore
from syncd.ledger.stats import read_stats
from syncd.log import log as logging
from syncd.log.log import Log
from syncd.postgres.database import Database

pytestmark = pytest.mark.db

INSERT = "INSERT INTO orders (confirmed_at) VALUES (clock_timestamp())"


def listening(feed: FeedHarness) -> tuple[OutboxCapture, Outbox]:
    source, notifications_database = feed.connections.source, Database(feed.shop.dsn)
    outbox = Outbox(source, source, "shop")
    intake = AdmissionContext(feed.source, feed.ledger, 100, True)  # noqa: FBT003
    notifications = NotifyListener(notifications_database, source, "shop")
    return OutboxCapture(
        outbox,
        notifications,
        intake,
        Log("shop"),
        tuning=OutboxTuning(fallback_seconds=0.1),
    ), outbox


def pauses(ledger: Ledger) -> PauseStore:
    return PauseStore(ledger.database, ledger.feed_id)


# Sending


def test_a_pause_of_sending_stops_claims_but_not_capture(
    pair_harness: Harness,
) -> None:
    """The current batch is settled; orders captured meanwhile are sent afterwards."""
    orders = pair_harness.confirm(2)
    claim = pair_harness.claim()
    pause, is_new = pauses(pair_harness.ledger).begin("sending", "a campaign")
    orders += pair_harness.confirm(2)
    assert pair_harness.accept(claim) == 2
    with pytest.raises(PausedError, match=r"sending is paused since .* \(a campaign\)"):
        pair_harness.deliver()
    assert (pause.why, is_new) == ("a campaign", True)
    assert pair_harness.ledger.next_due().seconds is None
    assert pair_harness.posts(orders) == [0, 0, 0, 0]
    assert pauses(pair_harness.ledger).end("sending") == pause.since
    pair_harness.finish()
    assert pair_harness.posts(orders) == [0, 0, 1, 1]


def test_a_pause_outlasts_a_hold_of_the_endpoint(pair_harness: Harness) -> None:
    """A released or probing endpoint stays paused."""
    pair_harness.confirm(1)
    pair_harness.sandbox.fail("server-error", status=503)
    pair_harness.deliver()
    pauses(pair_harness.ledger).begin("sending", None)
    pair_harness.breaker.release()
    pair_harness.end_waits()
    with pytest.raises(PausedError):
        pair_harness.deliver()
    pauses(pair_harness.ledger).end("sending")
    pair_harness.finish()
    assert pair_harness.received() == ["W-1"]


def test_a_second_pause_keeps_the_beginning_of_the_first(pair_harness: Harness) -> None:
    """It may add a reason; resuming twice does nothing."""
    ours = pauses(pair_harness.ledger)
    first, _ = ours.begin("sending", None)
    second, is_new = ours.begin("sending", "still mending")
    third, _ = ours.begin("sending", None)
    assert (second.since, third.why, is_new) == (first.since, "still mending", False)
    assert ours.end("sending") == first.since
    assert ours.end("sending") is None


def test_a_pause_applies_to_one_feed_only(pair_harness: Harness) -> None:
    """Another feed in the same ledger sends and captures."""
    pair_harness.confirm(1)
    for what in ("sending", "capture"):
        pauses(pair_harness.ledger).begin(what, None)
    columns = vars(pair_harness.shop.row_of("feed"))
    del columns["feed_id"]
    number = pair_harness.shop.insert("feed", **columns | {"feed": "other"}).feed_id
    stands_at = pair_harness.shop.row_of("watermark").confirmed_at
    pair_harness.shop.insert("watermark", feed_id=number, confirmed_at=stands_at)
    pair_harness.shop.insert("endpoint", feed_id=number)
    other = Ledger(pair_harness.database, number)
    with other.admission() as watermark:
        found = pair_harness.source.between(watermark, "infinity")
        assert other.admit(found, "poll", size=5).orders == 1
    assert other.claim(pair_harness.instance.number, "live", LEASE)


# Capture


def test_a_pause_of_capture_loses_no_late_commit(shop: Shop) -> None:
    """Transactions begin before and during the pause, and end during and after it."""
    feed = FeedHarness(shop, lookback=timedelta(milliseconds=1))
    sessions = [psycopg.connect(shop.owner) for _ in range(4)]
    before, through, inside, across = sessions
    before.execute(INSERT)
    through.execute(INSERT)
    feed.poll()
    pauses(feed.ledger).begin("capture", None)
    stood = feed.ledger.watermark()
    inside.execute(INSERT)
    across.execute(INSERT)
    before.commit()
    inside.commit()
    shop.confirm(3)
    for _ in range(3):
        with pytest.raises(PausedError, match="capture is paused"):
            feed.poll(whole=True)
    assert feed.captures() == []
    assert feed.ledger.watermark() == stood
    pauses(feed.ledger).end("capture")
    assert feed.poll() == 5
    feed.poll()
    assert feed.ledger.watermark() == stood  # the window waits for both that run
    through.commit()
    across.commit()
    for _ in range(3):
        feed.poll()
    assert feed.captures() == [("poll", 7)]
    assert feed.ledger.watermark() > stood
    for session in sessions:
        session.close()
    feed.close()


def test_a_pause_waits_for_the_current_admission(feed: FeedHarness, shop: Shop) -> None:
    """When the command returns, nothing is admitted any more."""
    shop.confirm(1)
    begun = threading.Event()
    other = FeedHarness(shop)

    def pause() -> None:
        pauses(other.ledger).begin("capture", None)
        begun.set()

    thread = threading.Thread(target=pause)
    with feed.ledger.admission() as watermark:
        thread.start()
        waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        wait_until(lambda: shop.value(waits) == 1)
        found = feed.source.between(watermark, "infinity")
        feed.ledger.admit(found, "poll", size=10)
        assert not begun.is_set()
    thread.join(10)
    assert begun.is_set()
    with pytest.raises(PausedError), feed.ledger.admission():
        pass
    other.close()


def test_reconciliation_captures_nothing_while_capture_is_paused(
    feed: FeedHarness, shop: Shop
) -> None:
    """Neither by command nor by job; the daemon logs once why, and when it resumes."""
    lines = io.StringIO()
    logging.configure(style="json", stream=lines)
    reactions = ErrorPolicy(Log("shop"))
    job = ReconciliationJob(
        feed.reconciliation, WakeUp(), Log("shop"), reactions.stopping
    )
    shop.sql("INSERT INTO orders (confirmed_at) VALUES (now() - interval '3 hours')")
    pauses(feed.ledger).begin("capture", "the till is counted")
    for _ in range(2):
        wait_until(lambda: reactions.seconds_to_wait("reconcile") == 0)
        reactions.run("reconcile", job.run)
    with pytest.raises(PausedError):
        feed.reconcile()
    assert feed.captures() == []
    pauses(feed.ledger).end("capture")
    wait_until(lambda: reactions.seconds_to_wait("reconcile") == 0)
    reactions.run("reconcile", job.run)
    assert feed.captures() == [("reconcile", 1)]
    logged = [json.loads(line) for line in lines.getvalue().splitlines()]
    events = [(t["event"], t.get("reason")) for t in logged if "feed." in t["event"]]
    assert events == [("feed.paused", "the till is counted"), ("feed.resumed", None)]


def test_a_reconciliation_that_a_pause_interrupts_is_continued(
    feed: FeedHarness, shop: Shop
) -> None:
    """Its finished pages are kept; missing orders are captured after the pause."""
    for hours in (3, 2):
        shop.sql(
            "INSERT INTO orders (confirmed_at) "
            f"VALUES (now() - interval '{hours} hours')"
        )
    reconciliation = Reconciliation(feed.source, feed.ledger, size=10, page=1)
    run = reconciliation.ask(None, None)
    pages = reconciliation.pages(run)
    assert next(pages).account.captured == 1
    pauses(feed.ledger).begin("capture", None)
    with pytest.raises(PausedError):
        next(pages)
    pauses(feed.ledger).end("capture")
    assert feed.tally().captured == 1
    assert feed.captures() == [("reconcile", 2)]


def test_rows_of_the_outbox_stay_while_capture_is_paused(
    feed: FeedHarness, shop: Shop
) -> None:
    """They are captured after it, also those with an old stamp."""
    shop.listen("orders:id")
    notifications, outbox = listening(feed)
    pauses(feed.ledger).begin("capture", None)
    shop.confirm(2)
    wait_until(lambda: outbox.count() == 2)

    def is_refused() -> bool:
        try:
            notifications.step(0.05)
        except PausedError:
            return True
        return False

    wait_until(is_refused)
    wait_until(is_refused)
    assert outbox.count() == 2
    assert feed.captures() == []
    pauses(feed.ledger).end("capture")
    wait_until(lambda: notifications.step(0.05).orders == 2)
    assert outbox.count() == 0
    notifications.close()


# The write-ahead log


@pytest.fixture
def monitored_feed(wal_shop: Shop, tmp_path: Path) -> Iterator[WalHarness]:
    """A feed whose slot is checked at each step."""
    started = WalHarness(wal_shop, tmp_path, tuning=replace(QUICK, guard_seconds=0))
    started.step_until_read()
    yield started
    started.close()


def test_the_slot_does_not_advance_while_capture_is_paused(
    monitored_feed: WalHarness,
) -> None:
    """Its growth is reported; after the pause every order is captured."""
    ledger = monitored_feed.ledger
    with monitored_feed.session() as late:
        late.execute(INSERT)
        pauses(ledger).begin("capture", None)
        stood = monitored_feed.confirmed_position()
        monitored_feed.shop.confirm(2)
        with pytest.raises(PausedError):
            monitored_feed.next_keys()
        late.commit()
    monitored_feed.shop.confirm(1)
    monitored_feed.retune(at_risk_share=0)
    for _ in range(3):
        with pytest.raises(PausedError):
            monitored_feed.step()
    assert monitored_feed.confirmed_position() == stood
    assert (monitored_feed.admitted(), len(monitored_feed.events("stream.opened"))) == (
        0,
        1,
    )
    assert monitored_feed.events("slot.at_risk")
    pauses(ledger).end("capture")
    monitored_feed.step_until_admitted(4)
    monitored_feed.step_until_read()
    assert monitored_feed.confirmed_position() > stood


# What is reported


def test_the_feeds_stats_include_a_pause(feed: FeedHarness) -> None:
    """They have its reason; a pause of the other half is separate."""
    pauses(feed.ledger).begin("capture", "stocktaking")
    stats = read_stats(feed.ledger.database, feed.ledger.feed_id)
    assert [(p.what, p.why) for p in stats.pauses] == [("capture", "stocktaking")]
