"""What the commands share that list orders waiting for a decision, and decide."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import click

from syncd.cli.context import changing
from syncd.config.settings import Settings
from syncd.core.command_errors import OrderUnknownError
from syncd.core.errors import UNREADABLE, ExitCode, SyncdError
from syncd.delivery.rendering import rules_of
from syncd.ledger.batches import Ledger
from syncd.ledger.feed import Feed, FeedStore
from syncd.ledger.mended import MendedOrders, Rejected
from syncd.ledger.order_lookup import find_key
from syncd.postgres.database import Database
from syncd.postgres.statements import query
from syncd.source.connections import source_on
from syncd.source.orders import Source

orders_argument = click.argument("orders", nargs=-1)

all_option = click.option("--all", "everything", is_flag=True, help="All of them.")

reason_option = click.option("--reason", help="Orders whose reason contains this text.")

yes_option = click.option("--yes", is_flag=True, help="Do not ask.")


@dataclass(frozen=True, slots=True)
class OrderCommands:
    """What a command works on."""

    settings: Settings
    ledger: Database
    source: Source
    feed: Feed

    def keys(self, orders: Sequence[str]) -> list[str]:
        """Find the keys of orders given by key or public number; others as given.

        Raises:
            OrderAmbiguousError: One of them means two orders; nothing was done.
        """
        feed_id = self.feed.feed_id
        found = (find_key(self.source, self.ledger, feed_id, o) for o in orders)
        return [key or order for key, order in zip(found, orders, strict=True)]

    def numbers(self, keys: Sequence[str]) -> dict[str, str]:
        """Read the public numbers of orders; none when one of them cannot be read."""
        try:
            rows = self.source.read(keys)
        except UNREADABLE:
            return {}
        return {key: str(row["orderid"]) for key, row in rows.items()}

    @property
    def mended(self) -> MendedOrders:
        """The rejected orders, and whether they could be sent now."""
        return MendedOrders(
            self.source,
            Ledger(self.ledger, self.feed.feed_id),
            rules_of(self.settings),
            size=self.settings.squeezely.orders_per_batch,
        )

    def now(self, keys: Sequence[str]) -> dict[str, str]:
        """Return of rejected orders what would become of them now; none if unknown."""
        orders = self.mended.rejected(keys, len(keys))
        try:
            faults = self.mended.faults(orders)
        except SyncdError:
            return {}
        return {o.order_key: _now(o, faults[o.order_key]) for o in orders}


def _now(order: Rejected, fault: str | None) -> str:
    if fault is not None:
        return f"still refused: {fault}"
    return "the API refused it" if order.rejected_by == "api" else "could be sent now"


@contextmanager
def order_commands(settings: Settings) -> Iterator[OrderCommands]:
    """Connect to the ledger and the views of the feed."""
    with changing(settings) as connections:
        feed = FeedStore(connections, settings.feed).get()
        source = source_on(settings, connections)
        yield OrderCommands(settings, connections.ledger, source, feed)


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


def discard_waiting(commands: OrderCommands, keys: list[str]) -> int:
    """Discard orders that wait after an attempt; return how many those were."""
    chosen = {"feed": commands.feed.feed_id, "orders": keys}
    return commands.ledger.value(int, query("discard_waiting"), **chosen)


def ask_to_give_up(*, yes: bool) -> None:
    """Ask before orders are given up, unless --yes was given."""
    if not yes:
        click.confirm("Give these orders up?", abort=True, err=True)
