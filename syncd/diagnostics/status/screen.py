"""A feed on one screen: health, progress, and what needs attention."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from rich.console import Group, RenderableType
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from syncd.core.verdict import Health, Severity
from syncd.core.wording import count, span
from syncd.diagnostics.status.facts import FeedStatus
from syncd.diagnostics.status.rows import PastRange

_STYLES: Mapping[Severity, str] = {
    Severity.NOTICE: "green",
    Severity.DEGRADED: "yellow",
    Severity.DOWN: "red",
}
_MARKS: Mapping[Severity, str] = {
    Severity.NOTICE: "·",
    Severity.DEGRADED: "▲",
    Severity.DOWN: "✖",
}
_MOST_REASONS = 6
LABEL_WIDTH = 10

Row = tuple[str, str, str]
"""A label, what stands there, and its style."""


def draw(
    feed: str,
    health: Health,
    facts: FeedStatus | None,
    *,
    at: datetime,
    history: RenderableType | None = None,
) -> RenderableType:
    """Draw the screen.

    Args:
        feed: Its name.
        health: The verdict with its reasons.
        facts: What was read last; None when nothing could be.
        at: When the verdict was found; aware.
        history: What a watch has seen, drawn; None outside of one.
    """
    parts: list[RenderableType] = [_verdict(feed, health, at), *_reasons(health)]
    if facts is not None:
        title = "progress"
        if facts.quick.stats.now != at:
            title += f", last read at {facts.quick.stats.now.astimezone():%H:%M:%S}"
        parts += [_title(title), _grid(_progress(facts))]
        if history is not None:
            parts.append(history)
        parts += [_title("orders"), _grid(_orders(facts))]
        rows = [*_accounts(facts), *_capture(facts), *_daemons(facts)]
        parts += [_title("internals"), _grid([*rows, _identity(facts)])]
    return Group(*parts)


def _verdict(feed: str, health: Health, at: datetime) -> RenderableType:
    line = Table.grid(expand=True, padding=(0, 1))
    line.add_column(ratio=1)
    line.add_column(justify="right", no_wrap=True)
    mark = "●" if health.severity is Severity.NOTICE else _MARKS[health.severity]
    text = Text(f"{mark} {feed} is {health.verdict}")
    text.stylize(f"bold {_STYLES[health.severity]}")
    line.add_row(text, Text(f"{at.astimezone():%Y-%m-%d %H:%M:%S}", style="dim"))
    return line


def _reasons(health: Health) -> Iterable[RenderableType]:
    if not health.reasons:
        return
    table = Table.grid(padding=(0, 1))
    table.add_column()
    table.add_column(overflow="fold")
    for reason in health.reasons[:_MOST_REASONS]:
        text = Text(reason.text)
        if reason.next_step:
            text.append(f" → {reason.next_step}", style="bold")
        style = "dim" if reason.severity is Severity.NOTICE else ""
        mark = Text(f" {_MARKS[reason.severity]}", style=_STYLES[reason.severity])
        table.add_row(mark, text, style=style)
    if (left := len(health.reasons) - _MOST_REASONS) > 0:
        table.add_row("", f"and {left} more: --json", style="dim")
    yield table


def _title(text: str) -> RenderableType:
    return Rule(Text(text, style="bold"), align="left", style="dim", characters="─")


def _grid(rows: Sequence[Row]) -> RenderableType:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True, min_width=LABEL_WIDTH)
    table.add_column(overflow="fold")
    for label, value, style in rows:
        table.add_row(f" {label}", Text(value, style=style))
    return table


def _progress(facts: FeedStatus) -> list[Row]:
    quick, stats = facts.quick, facts.quick.stats
    waiting = stats.pending + stats.sending
    rate = f"{quick.delivered.per_minute:,} in the last minute"
    if last_at := quick.delivered.last_at:
        rate += f", the last {_ago(stats.now, last_at)}"
    lag = f"{span(timedelta(seconds=stats.lag_seconds))}, {count(waiting)}"
    age = span(timedelta(seconds=stats.watermark_age_seconds))
    lookback = span(facts.settings.source.lookback)
    watermark = f"{_moment(stats.watermark)}, {age} ago (lookback {lookback})"
    rows = [
        ("lag", lag, "bold"),
        ("delivered", rate, ""),
        ("watermark", watermark, ""),
    ]
    rows += [("held by", holder, "yellow") for holder in quick.holders or ()]
    state = f"{stats.endpoint} since {_moment(stats.endpoint_since)}"
    if stats.endpoint_reason:
        state += f": {stats.endpoint_reason}"
    style = "" if stats.endpoint == "available" else "yellow"
    return [*rows, ("endpoint", state, style)]


def _orders(facts: FeedStatus) -> list[Row]:
    quick, slow, stats = facts.quick, facts.slow, facts.quick.stats
    settled = f"{facts.delivered:,} delivered, {stats.withdrawn:,} withdrawn"
    settled += f", {slow.totals.adopted:,} adopted"
    attention = f"{stats.rejected:,} rejected, {stats.held:,} held as uncertain"
    uncertain = count(quick.uncertain.orders, "possible repeat")
    uncertain += f", {count(quick.uncertain.attempts, 'uncertain attempt')}"
    rows = [
        ("settled", settled, ""),
        ("attention", attention, "yellow" if stats.rejected or stats.held else ""),
        ("uncertain", uncertain, ""),
    ]
    going_on = [_backfill(b) for b in slow.backfills if b.finished_at is None]
    if going_on or stats.pending_backfill:
        pending = f"{count(stats.pending_backfill)} pending"
        rows.append(("backfill", "; ".join([pending, *going_on]), ""))
    return rows


def _backfill(backfill: PastRange) -> str:
    whole = max(backfill.planned, backfill.orders)
    return f"#{backfill.backfill} {backfill.state}, {backfill.settled:,} of {whole:,}"


def _accounts(facts: FeedStatus) -> list[Row]:
    accounts = facts.slow.accounts
    if not accounts:
        return [("reconciled", "none yet", "dim")]
    style = "yellow" if facts.quick.stats.unexplained else ""
    rows: list[Row] = []
    for scope, sentence in accounts.items():
        shown = sentence.partition(": ")[2] or sentence  # the range is in `--json`
        rows.append(("" if rows else "reconciled", f"{scope}: {shown}", style))
    return rows


def _capture(facts: FeedStatus) -> list[Row]:
    outbox, stream = facts.slow.outbox, facts.slow.stream
    text: str = facts.settings.source.capture
    if outbox is not None:
        text += f", outbox {outbox.fault or f'{outbox.rows:,} rows'}"
        text += f", {outbox.faults} faults" if outbox.faults else ""
    if stream is not None and stream.lost:
        text += f", slot unusable: {stream.lost}"
    elif stream is not None:
        kept = (stream.retained_bytes or 0) / 1e6
        text += f", slot {stream.wal_status}, keeps {kept:,.0f} MB"
        text += "" if stream.read_by_pid else ", without a reader"
    return [("capture", text, "")]


def _daemons(facts: FeedStatus) -> list[Row]:
    now, heartbeat_at = facts.quick.stats.now, facts.quick.place.heartbeat_at
    beat = f", heartbeat {_ago(now, heartbeat_at)}" if heartbeat_at else ""
    alive = [m for m in facts.quick.members if m.is_alive]
    text = [
        f"{m.machine}, pid {m.pid}, for {span(now - m.started_at)}{beat}" for m in alive
    ]
    for member in [] if alive else facts.quick.members:
        ended = member.stopped_at
        how = f"ended {_ago(now, ended)}" if ended else "dead"
        text.append(f"none; the last, {member.machine} pid {member.pid}: {how}")
    return [("daemon", text, "") for text in text]


def _identity(facts: FeedStatus) -> Row:
    place = facts.quick.place
    text = f"cluster {place.ledger_identifier}, database {place.ledger_database}"
    if place.ledger_identifier != place.system_identifier:
        text += f", orders in cluster {place.system_identifier}"
    return ("ledger", f"{text}, timeline {place.timeline or '-'}", "")


def _moment(at: datetime) -> str:
    return f"{at.astimezone():%Y-%m-%d %H:%M:%S %Z}"


def _ago(now: datetime, at: datetime) -> str:
    return f"{span(now - at)} ago"
