"""How a feed stands, for scripts: the fields of docs/status.md, and one line."""

from collections.abc import Mapping
from dataclasses import asdict

from syncd.core.health import LAG_LIMIT
from syncd.core.verdict import Health, Severity
from syncd.diagnostics.status.facts import FeedStatus
from syncd.diagnostics.status.rows import Quick

MARKS: Mapping[Severity, str] = {
    Severity.NOTICE: "OK",
    Severity.DEGRADED: "WARNING",
    Severity.DOWN: "CRITICAL",
}


def document(feed: str, health: Health, facts: FeedStatus | None) -> dict[str, object]:
    """Lay out everything that is known; only the verdict when nothing could be read."""
    head: dict[str, object] = {
        "feed": feed,
        "verdict": health.verdict,
        "healthy": health.severity is Severity.NOTICE,
        "reasons": reasons(health),
    }
    if facts is None:
        return head
    return head | _flow(facts) | _orders(facts) | _capture(facts) | _background(facts)


def reasons(health: Health) -> list[dict[str, object]]:
    """Lay out the reasons of a verdict, the worst first."""
    return [
        {
            "severity": reason.severity.name.lower(),
            "reason": reason.text,
            "next": reason.next_step,
        }
        for reason in health.reasons
    ]


def _flow(facts: FeedStatus) -> dict[str, object]:
    quick, stats = facts.quick, facts.quick.stats
    return {
        "read_at": stats.now,
        "started_at": facts.feed.started_at,
        "watermark": stats.watermark,
        "watermark_age_seconds": round(stats.watermark_age_seconds, 1),
        "watermark_held_by": quick.holders,
        "lag_seconds": round(stats.lag_seconds, 1),
        "lag_orders": stats.pending + stats.sending,
        "delivered_per_minute": quick.delivered.per_minute,
        "last_delivered_at": quick.delivered.last_at,
        "endpoint": stats.endpoint,
        "endpoint_reason": stats.endpoint_reason,
        "endpoint_since": stats.endpoint_since,
        "paused": {p.what: p.since for p in stats.pauses},
        "payload_verified": facts.slow.payload_verified,
    }


def _orders(facts: FeedStatus) -> dict[str, object]:
    quick, stats = facts.quick, facts.quick.stats
    return {
        "pending": stats.pending,
        "sending": stats.sending,
        "pending_backfill": stats.pending_backfill,
        "delivered": facts.delivered,
        "adopted": facts.slow.totals.adopted,
        "rejected": stats.rejected,
        "withdrawn": stats.withdrawn,
        "held": stats.held,
        "uncertain_attempts": quick.uncertain.attempts,
        "possible_repeats": quick.uncertain.orders,
        "reused": facts.slow.reused,
        "unexplained": stats.unexplained,
        "missed": stats.missed,
        "without_time": stats.without_time,
        "recent_refusals": asdict(facts.slow.refusals),
        "left_out": [asdict(detail) for detail in facts.slow.left_out],
        "unread": sum(unread.orders for unread in quick.unread),
        "refused": sum(refused.orders for refused in quick.refused),
    }


def _capture(facts: FeedStatus) -> dict[str, object]:
    outbox, stream = facts.slow.outbox, facts.slow.stream
    return {
        "capture": facts.settings.source.capture,
        "source": facts.slow.source_fault or "readable",
        "keys": facts.slow.identity.held or "known",
        "replaced": [table.reason for table in facts.slow.identity.replaced],
        "outbox": outbox and outbox.fault,
        "outbox_rows": outbox and outbox.rows,
        "outbox_faults": outbox and outbox.faults,
        "slot_lost": stream and stream.lost,
        "slot_wal_status": stream and stream.wal_status,
        "slot_retained_bytes": stream and stream.retained_bytes,
        "slot_read_by_pid": stream and stream.read_by_pid,
        "slot_reached_at": stream and stream.reached_at,
    }


def _background(facts: FeedStatus) -> dict[str, object]:
    place, failed = facts.quick.place, facts.quick.failed_start
    return {
        "heartbeat_at": place.heartbeat_at,
        "instances": [
            asdict(member) | {"host": member.machine} for member in facts.quick.members
        ],
        "backfills": [asdict(backfill) for backfill in facts.slow.backfills],
        "reconciled": dict(facts.slow.accounts),
        "reconciled_seconds": facts.quick.stats.reconciled_seconds,
        "identity": {
            "timeline": place.timeline,
            "system_identifier": str(place.system_identifier),
            "database_oid": place.database_oid,
            "ledger_identifier": str(place.ledger_identifier),
            "ledger_oid": place.ledger_oid,
            "ledger_database": place.ledger_database,
        },
        "failed_start": failed and asdict(failed),
    }


def check_line(health: Health, facts: FeedStatus | None) -> str:
    """Return it as the one line of a monitoring plugin, with its performance data."""
    pressing = [r.text for r in health.reasons if r.severity is health.severity]
    is_well = health.severity is Severity.NOTICE
    line = f"SYNCD {MARKS[health.severity]} - "
    line += "" if is_well else "; ".join(pressing).replace("|", "/")
    if facts is None:
        return line
    stats = facts.quick.stats
    if is_well:
        waiting = stats.pending + stats.sending
        line += f"lag {stats.lag_seconds:.0f} s, {waiting} orders wait"
    return f"{line} | {_performance(facts.quick)}"


def _performance(quick: Quick) -> str:
    """Return the figures as a monitoring plugin writes them."""
    stats = quick.stats
    figures = {
        "lag": f"{stats.lag_seconds:.0f}s;{LAG_LIMIT.total_seconds():.0f}",
        "waiting": stats.pending + stats.sending,
        "delivered_per_minute": quick.delivered.per_minute,
        "rejected": stats.rejected,
        "held": stats.held,
    }
    return " ".join(f"{name}={value}" for name, value in figures.items())
