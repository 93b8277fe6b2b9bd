"""Looking: what is wrong, what would be sent, how it stands, what became of it."""

import json
from collections.abc import Mapping
from dataclasses import asdict

import click
from rich.console import Console
from rich.table import Table

from syncd.capture.outbox import Outbox
from syncd.capture.poll import HELD_SECONDS
from syncd.capture.slot import Progress, Slots
from syncd.check.check import as_json, run_checks
from syncd.cli.shell import as_json_option, configured, connected, json_time
from syncd.config import Settings
from syncd.connections import Connections, source_on, transactions_of
from syncd.core.purchase import Purchase, render
from syncd.delivery.rendering import refuse_unknown_fields, rules_of
from syncd.delivery.squeezely import encode
from syncd.delivery.verification import is_proven, known
from syncd.errors import ExitCode, OrderUnknownError, SyncdError
from syncd.feed import Feed, Feeds
from syncd.pulse import Pulse, read_pulse, read_reconciled, read_totals
from syncd.story import read_story

LAG_LIMIT_SECONDS = 600.0
"""Lag from which `syncd status` calls a feed degraded."""


@click.command()
@configured
@as_json_option
def check(settings: Settings, *, as_text: bool) -> None:
    """Look at database, views, plans and sample orders; say what to do next."""
    with connected(settings) as connections:
        findings = run_checks(settings, connections)
    if as_text:
        click.echo(json.dumps(as_json(findings), indent=2))
    else:
        for finding in findings:
            mark = {"ok": "ok     ", "warning": "warning", "error": "ERROR  "}
            click.echo(f"{mark[finding.severity]} {finding.subject}: {finding.message}")
            if finding.next_step:
                click.echo(f"        -> {finding.next_step}")
    if any(finding.severity == "error" for finding in findings):
        raise click.exceptions.Exit(ExitCode.CONFIG)


@click.command()
@configured
@click.argument("order")
def preview(settings: Settings, order: str) -> None:
    """Print the exact JSON that would be sent for ORDER (key or public number)."""
    with connected(settings) as connections:
        source = source_on(settings, connections)
        source.views.check()
        key = source.find(order)
        if key is None:
            raise OrderUnknownError(
                f"the purchases view has no order {order!r}",
                "ORDER is the order_key or the orderid of the view.",
            )
        now = source.clock()
        confirmed_at = source.confirmed_at(key)
        made = render(
            source.read([key])[key], confirmed_at or now, rules_of(settings), now
        )
    if not isinstance(made, Purchase):
        click.echo(f"syncd: order {key} cannot be sent: {made.reason}", err=True)
        raise click.exceptions.Exit(ExitCode.FAILED)
    click.echo(json.dumps(json.loads(encode([made.event], "single")), indent=2))
    if confirmed_at is None:
        click.echo("note: the order is not confirmed, so it is not sent", err=True)


@click.command()
@configured
@as_json_option
def status(settings: Settings, *, as_text: bool) -> None:
    """Is it healthy, how far behind, what needs me? (exit 0 healthy, 1 degraded)."""
    with connected(settings) as connections:
        feed = Feeds(connections, settings.feed).get()
        pulse = read_pulse(connections.ledger, feed.feed_id)
        totals = read_totals(connections.ledger, feed.feed_id)
        reconciled = read_reconciled(connections.ledger, feed.feed_id)
        holders = _holders(settings, pulse, connections)
        proven = is_proven(settings, known(connections.ledger, settings))
        source = _source_fault(settings, connections)
        outbox = _outbox(settings, connections)
        stream = _stream(settings, feed, connections)
    healthy = (
        _is_healthy(pulse)
        and source is None
        and not reconciled.unexplained
        and not (stream and stream["lost"])
        and "outbox" not in outbox  # it cannot be read
    )
    facts: dict[str, object] = {
        "feed": settings.feed,
        "healthy": healthy,
        "started_at": feed.started_at,
        "watermark": pulse.watermark,
        "watermark_age_seconds": round(pulse.watermark_age_seconds, 1),
        "lag_seconds": round(pulse.lag_seconds, 1),
        "pending": pulse.pending,
        "sending": pulse.sending,
        "pending_backfill": pulse.pending_backfill,
        "rejected": pulse.rejected,
        "withdrawn": pulse.withdrawn,
        "held": pulse.held,
        "source": source or "readable",
        "endpoint": pulse.endpoint,
        "endpoint_reason": pulse.endpoint_reason,
        "form_proven": proven,
        **totals,
        **outbox,
        "watermark_held_by": holders,
        "unexplained": reconciled.unexplained,
        "reconciled": reconciled.sentences,
    }
    if stream:
        facts |= {f"slot_{name}": value for name, value in stream.items()}
    if as_text:
        click.echo(json.dumps(facts, indent=2, default=json_time))
    else:
        _print_facts(facts)
    if not healthy:
        raise click.exceptions.Exit(ExitCode.FAILED)


def _holders(
    settings: Settings, pulse: Pulse, connections: Connections
) -> list[str] | None:
    """Name the transactions that hold the watermark back; None when nothing does.

    Application and times are shown to roles with pg_read_all_stats only.
    """
    expected = settings.source.lookback.total_seconds() + HELD_SECONDS
    if pulse.watermark_age_seconds < expected:
        return None
    holders = transactions_of(connections).holders()
    return [
        (f"pid {pid} " if pid else "")
        + f"{application or ''} since {started or 'unknown'}"
        + (f", its query since {query}" if query else "")
        for pid, application, started, query in holders
    ]


def _source_fault(settings: Settings, connections: Connections) -> str | None:
    """Tell why the two views cannot be read; None when they can."""
    source = source_on(settings, connections)
    try:
        source.views.check()
        columns = source.views.columns(settings.source.purchases)
        refuse_unknown_fields(settings.source.purchases, [c.name for c in columns])
        source.read([])
        source.still_confirmed([])
    except SyncdError as error:
        return str(error)
    return None


def _outbox(settings: Settings, connections: Connections) -> dict[str, object]:
    """Tell how the outbox stands, if there is one to look at."""
    if settings.source.capture != "listen":
        return {}
    source = connections.source
    outbox = Outbox(source, connections.primary or source, settings.feed)
    try:
        rows, faults = outbox.count(), outbox.condition().faults
    except SyncdError as error:
        return {"outbox": f"cannot be read: {error}"}
    return {"outbox_rows": rows, "outbox_faults": faults}


def _stream(
    settings: Settings, feed: Feed, connections: Connections
) -> dict[str, object] | None:
    """Tell how the replication slot stands; None for another capture."""
    if settings.source.capture != "wal":
        return None
    slot = Slots(connections.source, settings.feed).find()
    reached = Progress(connections.ledger, feed.feed_id).read()
    return {
        "lost": "there is none" if slot is None else slot.lost,
        "wal_status": slot and slot.wal_status,
        "retained_bytes": slot and slot.retained,
        "read_by_pid": slot and slot.active_pid,
        "reached_at": reached and reached.at,
    }


def _is_healthy(pulse: Pulse) -> bool:
    return (
        pulse.endpoint == "open"
        and pulse.lag_seconds < LAG_LIMIT_SECONDS
        and not pulse.rejected
        and not pulse.held
    )


def _print_facts(facts: dict[str, object]) -> None:
    table = Table(show_header=False, box=None)
    for name, value in facts.items():
        if isinstance(value, Mapping):
            for part, text in value.items():
                table.add_row(f"{name.replace('_', ' ')}, {part}", str(text))
            continue
        shown = "-" if value is None else json_time(value)
        table.add_row(name.replace("_", " "), shown)
    Console().print(table)


@click.command()
@configured
@click.argument("order")
@as_json_option
def explain(settings: Settings, order: str, *, as_text: bool) -> None:
    """Tell the whole story of ORDER, also why it was not sent.

    Example: syncd explain W-1042
    """
    with connected(settings) as connections:
        feed = Feeds(connections, settings.feed).get()
        source = source_on(settings, connections)
        story = read_story(connections.ledger, source, feed, order)
    if story is None:
        raise OrderUnknownError(
            f"neither the views nor the ledger know the order {order!r}",
            "ORDER is the order_key or the orderid of the purchases view.",
        )
    if as_text:
        told = asdict(story) | {"story": list(story.lines())}
        click.echo(json.dumps(told, indent=2, default=json_time))
        return
    for line in story.lines():
        click.echo(line)
