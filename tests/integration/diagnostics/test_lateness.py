"""`check` measures how late orders become visible, and compares the clocks."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from support.feed_harness import FeedHarness, ago
from support.ledger_rows import delivered_batch
from support.shop import Shop

from syncd.diagnostics.check import server
from syncd.diagnostics.check.check import run_checks
from syncd.diagnostics.check.finding import Finding
from syncd.postgres.statements import query

pytestmark = pytest.mark.db


@pytest.fixture
def late_feed(shop: Shop) -> Iterator[FeedHarness]:
    started = FeedHarness(shop)
    started.backdate("10 days", "3 hours")
    yield started
    started.close()


def find(feed: FeedHarness, folder: Path, subject: str) -> list[Finding]:
    """Run the check with a lookback of five minutes."""
    config = feed.shop.configure(
        folder, "http://localhost:1/v1/track", {"lookback": "5m"}
    )
    found = run_checks(config, {"SYNCD_SQUEEZELY_API_KEY": "x"})
    return [finding for finding in found if finding.subject == subject]


def confirm(feed: FeedHarness, before: str, orders: int = 1) -> None:
    feed.shop.sql(
        f"INSERT INTO orders (confirmed_at) SELECT now() - interval '{before}' "
        f"FROM generate_series(1, {orders})"
    )


def test_a_sufficient_lookback_is_reported_as_such(
    late_feed: FeedHarness, tmp_path: Path
) -> None:
    """The finding has the part of it that was needed."""
    confirm(late_feed, "2 s", 99)
    confirm(late_feed, "100 s")
    assert late_feed.poll() == 100
    (finding,) = find(late_feed, tmp_path, "lookback")
    assert (finding.code, finding.severity) == ("lookback.enough", "ok")
    assert "5 m; the last 100 orders became visible within 1.6" in finding.message
    assert "(p99 2" in finding.message


def test_shifted_stamps_that_a_daemon_found_are_reported(
    late_feed: FeedHarness, tmp_path: Path
) -> None:
    """Instead of advice for a longer lookback, which would not help."""
    reason = "stamped 60 min before"
    late_feed.shop.insert("alarm", feed_id=1, alarm="stamps.shifted", reason=reason)
    (finding,) = find(late_feed, tmp_path, "lookback")
    assert (finding.code, finding.severity) == ("orders.shifted", "warning")
    assert finding.message == "stamped 60 min before"


def test_an_order_that_became_visible_late_requires_a_longer_lookback(
    late_feed: FeedHarness, tmp_path: Path
) -> None:
    """The finding names a sufficient setting."""
    instance = {"feed_id": 1, "host": "here", "pid": 1}
    late_feed.shop.insert("instance", **instance, started_at=ago(hours=1))
    confirm(late_feed, "19 minutes")
    late_feed.poll()
    (finding,) = find(late_feed, tmp_path, "lookback")
    assert (finding.code, finding.severity) == ("lookback.small", "warning")
    assert "became visible 19 m after its stamp" in finding.message
    assert finding.next_step.endswith('set source.lookback to "30m".')


def test_orders_found_by_reconciliation_require_a_longer_lookback(
    late_feed: FeedHarness, tmp_path: Path
) -> None:
    """They prove that the lookback is too short."""
    confirm(late_feed, "1 s")
    late_feed.poll()
    late_feed.shop.set_watermark(ago(minutes=1))
    confirm(late_feed, "7 hours", 2)
    late_feed.reconcile()
    (finding,) = find(late_feed, tmp_path, "lookback")
    assert finding.severity == "warning"
    assert finding.message.startswith("2 orders were stamped up to 7 h before")
    assert finding.next_step == 'Set source.lookback to "12h".'


def test_orders_that_waited_for_a_daemon_are_ignored(
    late_feed: FeedHarness, tmp_path: Path
) -> None:
    """So are those that were incomplete, and are in a later batch."""
    confirm(late_feed, "2 hours", 5)
    late_feed.shop.insert("instance", feed_id=1, host="here", pid=1)
    late_feed.poll()
    assert find(late_feed, tmp_path, "lookback") == []
    late_feed.shop.delete("instance")
    late_feed.shop.update("ledger", {"waiting_since": ago()})
    assert find(late_feed, tmp_path, "lookback") == []
    late_feed.shop.update("ledger", {"waiting_since": None})
    assert len(find(late_feed, tmp_path, "lookback")) == 1


def test_times_outside_the_range_of_datetime_are_counted(
    late_feed: FeedHarness, tmp_path: Path
) -> None:
    """These orders are never sent."""
    assert find(late_feed, tmp_path, "confirmed_at")[1:] == []
    late_feed.shop.sql(
        "INSERT INTO orders (confirmed_at) VALUES ('infinity'), ('-infinity')"
    )
    _, finding = find(late_feed, tmp_path, "confirmed_at")
    assert finding.message.startswith("2 orders have no usable time")


@pytest.mark.parametrize("seconds", [-40, 40])
def test_clocks_that_differ_are_reported(
    late_feed: FeedHarness,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    seconds: int,
) -> None:
    """The check compares the clocks of database and host."""
    subject = "clock of the order database"
    assert find(late_feed, tmp_path, subject)[0].code == "clock.agrees"
    monkeypatch.setattr(server, "skew", lambda _ask: timedelta(seconds=seconds))
    (finding,) = find(late_feed, tmp_path, subject)
    way = "ahead of" if seconds > 0 else "behind"
    assert (finding.code, finding.severity) == ("clock.differs", "warning")
    assert finding.message == f"is 40 s {way} this host's clock"


def test_a_slow_response_is_no_clock_skew() -> None:
    """Only a difference beyond the round trip counts."""

    def slow() -> datetime:
        now = datetime.now(UTC)
        while datetime.now(UTC) < now + timedelta(milliseconds=50):
            pass
        return now

    assert abs(server.skew(slow)) <= timedelta(milliseconds=10)


def read_of(node: object, table: str) -> int:
    """Count the rows of a table that a plan read."""
    if isinstance(node, list):
        return sum(read_of(child, table) for child in node)
    if not isinstance(node, dict):
        return 0
    here = 0
    if node.get("Relation Name") == table:
        rows = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
        here = int(rows * node["Actual Loops"])
    return here + sum(read_of(node.get(name), table) for name in ("Plan", "Plans"))


def test_the_query_does_not_read_the_whole_past(late_feed: FeedHarness) -> None:
    """A quiet feed's ledger is not scanned to its beginning."""
    confirm(late_feed, "1 s", 5)
    late_feed.poll()
    begin = ago(days=40)
    times = (begin - timedelta(minutes=n) for n in range(1, 3001))
    late_feed.shop.insert_many("batch", (delivered_batch(at, 1) for at in times))
    late_feed.shop.sql("ANALYZE")
    explained = b"EXPLAIN (ANALYZE, FORMAT JSON) " + query("lateness").text
    with psycopg.connect(late_feed.shop.owner) as connection:
        bounds = {"feed": late_feed.ledger.feed_id, "batches": 2000, "orders": 20_000}
        (plan,) = connection.execute(explained, bounds).fetchone() or ((),)
    assert 0 < read_of(plan, "batch") < 100
