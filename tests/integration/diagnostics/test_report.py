"""A report's figures, read from a real ledger."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from support.feed_harness import ago
from support.ledger_rows import LedgerWriter, delivered_batch
from support.shop import Shop

from syncd.core.verdict import Health
from syncd.diagnostics.report.period import Unit
from syncd.diagnostics.report.report import STEPS, Asked, Report, read_report
from syncd.postgres.database import Database
from syncd.postgres.statements import Statement, query

pytestmark = pytest.mark.db

AMSTERDAM = ZoneInfo("Europe/Amsterdam")
LOWER = datetime(2026, 10, 24, 22, tzinfo=UTC)  # midnight in Amsterdam


@pytest.fixture
def rows(shop: Shop) -> LedgerWriter:
    return LedgerWriter(shop)


def read(shop: Shop, lower: datetime | None = LOWER, days: int | None = 4) -> Report:
    upper = None if lower is None or days is None else lower + timedelta(days=days)
    request = Asked(lower, upper, AMSTERDAM)
    database = Database(shop.dsn)
    steps: list[None] = []
    report = read_report(
        database, ("shop", 1), request, Health(), lambda: steps.append(None)
    )
    database.close()
    assert len(steps) == STEPS
    return report


def test_orders_are_counted_on_the_shops_local_day(
    shop: Shop, rows: LedgerWriter
) -> None:
    """The period has a change of daylight saving time; others lie outside it."""
    rows.batch("2026-10-24 23:59:59.999+02", 7)
    rows.batch("2026-10-25 00:00+02", 1)
    rows.batch("2026-10-25 23:59:59.999+01", 2)
    rows.batch("2026-10-26 00:00+01", 4)
    rows.batch("2026-10-29 00:00+01", 8)
    figures = read(shop).figures
    assert figures.period.unit is Unit.DAY
    assert [str(start.date()) for start in figures.period.starts] == [
        "2026-10-25", "2026-10-26", "2026-10-27", "2026-10-28",
    ]  # fmt: skip
    assert figures.confirmed == [3, 4, 0, 0]
    assert figures.orders["delivered"] == [3, 4, 0, 0]


def test_orders_are_counted_by_their_present_state(
    shop: Shop, rows: LedgerWriter
) -> None:
    """Their own or their batch's; a released order is not counted."""
    at = "2026-10-25 12:00+01"
    rows.batch(at, 5)
    rows.set_aside(at, "rejected", "email is missing", 3)
    rows.set_aside(at, "withdrawn", "gone")
    rows.set_aside(at, "discarded", "email is missing", 2)
    rows.batch(at, 6, state="pending", lane="backfill")
    rows.batch(at, 1, state="held")
    rows.batch(at, 9, state="adopted")
    figures = read(shop).figures
    assert {name: sum(values) for name, values in figures.orders.items()} == {
        "delivered": 5, "pending": 6, "held": 1, "rejected": 3, "discarded": 2,
        "withdrawn": 1, "erased": 0, "adopted": 9,
    }  # fmt: skip
    assert [(r.state, r.reason, r.orders) for r in figures.reasons] == [
        ("rejected", "email is missing", 3),
        ("discarded", "email is missing", 2),
        ("withdrawn", "gone", 1),
    ]


def test_deliveries_and_attempts_are_counted_when_they_happened(
    shop: Shop, rows: LedgerWriter
) -> None:
    """The time of confirmation does not matter; possible repeats are separate."""
    rows.batch("2026-10-25 12:00+01", 5, lag="25 hours", uncertain=1)
    rows.attempt("2026-10-25 13:00+01", "transient")
    rows.attempt("2026-10-26 13:00+01", "accepted")
    rows.batch("2026-10-25 12:00+01", 2, lane="backfill")
    rows.attempt("2026-10-25 13:00+01", "nothing_to_send")
    figures = read(shop).figures
    assert figures.delivered == {"live": [0, 5, 0, 0], "backfill": [2, 0, 0, 0]}
    assert figures.repeats == [0, 5, 0, 0]
    assert figures.attempts["transient"] == [1, 0, 0, 0]
    assert figures.attempts["accepted"] == [0, 1, 0, 0]
    assert sum(map(sum, figures.attempts.values())) == 2


def test_lags_are_those_of_live_orders(shop: Shop, rows: LedgerWriter) -> None:
    """A backfill is late by design; an interval without live orders has none."""
    for seconds, orders in ((1, 50), (10, 45), (60, 4), (600, 1)):
        rows.batch("2026-10-25 12:00+01", orders, lag=f"{seconds} s")
    rows.batch("2026-10-26 12:00+01", 3, lag="3 s")
    rows.batch("2026-10-25 12:00+01", 100, lane="backfill", lag="90 days")
    figures = read(shop).figures
    first, second, *others = figures.lags
    assert first
    assert (first.p50, first.p95, first.p99) == (1, 10, 60)
    assert second
    assert (second.p50, second.p99) == (3, 3)
    assert others == [None, None]
    assert figures.lag
    assert figures.lag.p50 == 3


def test_a_report_covers_thirty_days_or_the_feeds_age(shop: Shop) -> None:
    """A feed of an hour ago has hours; with a backfill, it has the days of that."""
    rows = LedgerWriter(shop)
    period = read(shop, None).figures.period
    assert timedelta(days=30) <= period.upper - period.lower < timedelta(days=31)
    assert (period.lower.hour, period.lower.minute) == (0, 0)
    shop.update("feed", dict.fromkeys(("started_at", "floor_at"), ago(hours=3)))
    assert read(shop, None).figures.period.unit is Unit.HOUR
    upper = ago(days=1)
    times = {"lower_at": ago(days=9), "upper_at": upper, "reached_at": upper}
    shop.insert("backfill", feed_id=1, **times)
    report = read(shop, None)
    assert report.figures.period.unit is Unit.DAY
    assert 9 <= len(report.figures.period.starts) <= 10
    assert len(report.figures.backfills) == 1
    assert rows.shop is shop


def test_a_report_has_the_last_reconciliations_and_all_with_a_finding(
    shop: Shop, rows: LedgerWriter
) -> None:
    """Frequent ones without a finding are omitted."""
    lower, upper = (datetime(2026, 10, day, tzinfo=UTC) for day in (1, 2))
    times = {"lower_at": lower, "upper_at": upper, "reached_at": upper}
    for day, scope, missing in (
        (25, "hours", 0), (25, "hours", 1), (26, "hours", 0), (27, "hours", 0),
        (27, "all", 0), (30, "days", 0),
    ):  # fmt: skip
        rows.shop.insert(
            "reconciliation",
            feed_id=1,
            scope=scope,
            **times,
            finished_at=datetime(2026, 10, day, 12, tzinfo=UTC),
            sentence=f"{scope} {day}",
            **dict.fromkeys(("confirmed", "missing", "captured"), missing),
        )
    accounts = read(shop).figures.reconciled
    assert sorted((a.sentence, a.missing) for a in accounts) == [
        ("all 27", 0), ("hours 25", 1), ("hours 27", 0),
    ]  # fmt: skip


def test_the_ledger_is_read_once_for_the_orders(rows: LedgerWriter) -> None:
    """One scan, and one hash of the batches, whatever indexes the planner prefers."""
    shop = rows.shop
    now = ago()
    batches = ({**delivered_batch(now), "batch_id": n} for n in range(1001, 1501))
    shop.insert_many("batch", batches)
    shop.insert_many(
        "ledger",
        (
            {
                "feed_id": 1,
                "order_key": f"s{n}",
                "confirmed_at": now - timedelta(minutes=n),
                "batch_id": 1000 + n // 100,
            }
            for n in range(100, 50_001)
        ),
    )
    shop.sql("ANALYZE")
    report = read(shop, datetime.now(UTC) - timedelta(days=30), None)
    assert sum(report.figures.confirmed) > 40_000
    period = report.figures.period
    database = Database(shop.dsn)
    for statement in (query("report_orders"), query("report_lags")):
        parameters = {"feed": 1, "starts": [*period.starts], "lower": period.lower,
                 "upper": period.upper}  # fmt: skip
        explain = Statement(b"EXPLAIN " + statement.text)
        plan = "\n".join(database.values(str, explain, **parameters))
        assert plan.count("on ledger") == 1
        assert "Nested Loop" not in plan
    database.close()
