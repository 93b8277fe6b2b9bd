"""`syncd preview` and `explain`: what would be sent of an order, what became of it."""

import json
from dataclasses import asdict

import click

from syncd.cli.context import OpenFeed, configured, connected, print_json
from syncd.cli.option import as_json_option
from syncd.cli.output import print_lines, shown_json
from syncd.config.settings import Settings
from syncd.core.command_errors import OrderUnknownError
from syncd.core.errors import ExitCode
from syncd.core.event import Event, render, without_profile
from syncd.core.payload import encode
from syncd.delivery.rendering import rules_of
from syncd.diagnostics.order_history import read_history
from syncd.source.connections import source_on

VIEW_SECONDS = 4
"""How long an order's history waits for the view: the ledger has the rest."""


@click.command()
@configured
@click.argument("order")
@click.option("--backfill", "past", is_flag=True, help="As a backfill would send it.")
def preview(settings: Settings, order: str, *, past: bool) -> None:
    """Print the exact JSON that would be sent for ORDER (key or public number).

    Example: syncd preview W-1042
    """
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
        row = source.read([key])[key]
        row = without_profile(row) if past else row
        made = render(row, confirmed_at or now, rules_of(settings), now)
    if not isinstance(made, Event):
        click.echo(f"syncd: order {key} cannot be sent: {made.reason}", err=True)
        raise click.exceptions.Exit(ExitCode.FAILED)
    click.echo(shown_json(json.loads(encode([made.body], "single"))))
    for detail in made.left_out:
        note = f"note: {detail.field} {detail.reason}, so it is left out"
        click.echo(note, err=True)
    if confirmed_at is None:
        click.echo("note: the order is not confirmed, so it is not sent", err=True)


@click.command()
@configured
@click.argument("order")
@as_json_option
def explain(settings: Settings, order: str, *, as_text: bool) -> None:
    """Show the history of ORDER, and why it was not sent.

    Example: syncd explain W-1042
    """
    with connected(settings) as connections:
        connections.source.limit(VIEW_SECONDS)
        on = OpenFeed.on(settings, connections)
        history = read_history(on.database, on.source, on.feed, order)
    if history is None:
        raise OrderUnknownError(
            f"neither the views nor the ledger have the order {order!r}",
            "ORDER is the order_key or the orderid of the purchases view.",
        )
    if as_text:
        print_json(asdict(history) | {"lines": list(history.lines())})
        return
    print_lines(*history.lines())
