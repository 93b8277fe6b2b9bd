"""What the commands share that list orders waiting for a decision, and decide."""

import json
from collections.abc import Sequence

import click

from syncd.cli.context import OpenFeed
from syncd.core.command_errors import OrderUnknownError
from syncd.core.errors import ExitCode
from syncd.ledger.order_lookup import find_key
from syncd.postgres.statements import query

orders_argument = click.argument("orders", nargs=-1)
all_option = click.option("--all", "everything", is_flag=True, help="All of them.")
reason_option = click.option("--reason", help="Orders whose reason contains this text.")
yes_option = click.option("--yes", is_flag=True, help="Do not ask.")


def keys_of(on: OpenFeed, orders: Sequence[str]) -> list[str]:
    """Find the keys of orders given by key or public number; others as given.

    Raises:
        OrderAmbiguousError: One of them means two orders; nothing was done.
    """
    found = (find_key(on.source, on.database, on.feed_id, order) for order in orders)
    return [key or order for key, order in zip(found, orders, strict=True)]


def need_a_choice(*chosen: object) -> None:
    """Refuse a call that chooses no orders."""
    if not any(chosen):
        raise click.UsageError("Name orders, or --all.")


def end(
    count: int, outcome: str, group: str, named_ones: Sequence[str], *, as_text: bool
) -> None:
    """Print how many orders it was; exit 1 when it was none.

    Raises:
        OrderUnknownError: Orders were named, and none of them is set aside.
    """
    if as_text:
        click.echo(json.dumps({"orders": count}))
    elif count or not named_ones:
        click.echo(f"{count} orders {outcome}")
    if named_ones and not count:
        only = len(named_ones) == 1
        which = f"the order {named_ones[0]!r}" if only else "none of these orders"
        raise OrderUnknownError(
            f"{which} is {'not ' if only else ''}set aside",
            f"`syncd {group} list` lists those that are; `syncd explain` shows any.",
        )
    if not count:
        raise click.exceptions.Exit(ExitCode.FAILED)
    if count < len(set(named_ones)):
        click.echo(f"the others of {len(set(named_ones))} are not set aside", err=True)


def discard_waiting(on: OpenFeed, keys: list[str]) -> int:
    """Discard orders that wait after an attempt; return how many those were."""
    discard = query("discard_waiting")
    return on.database.value(int, discard, feed=on.feed_id, orders=keys)


def ask_to_give_up(*, yes: bool) -> None:
    """Ask before orders are given up, unless --yes was given."""
    if not yes:
        click.confirm("Give these orders up?", abort=True, err=True)
