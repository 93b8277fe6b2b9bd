"""Orders that wait for a person: rejected ones, and those that may have arrived."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import click

from syncd.cli.context import changing, configured, json_time
from syncd.cli.listing import MOST_LISTED, Row, show
from syncd.cli.option import as_json_option
from syncd.cli.prose import tell
from syncd.config.settings import Settings
from syncd.core.errors import UNREADABLE, ExitCode, OrderUnknownError, SyncdError
from syncd.delivery.rendering import rules_of
from syncd.diagnostics.order_history import read_history
from syncd.ledger.batches import Ledger
from syncd.ledger.feed import Feed, FeedStore
from syncd.ledger.mended import MendedOrders, Rejected
from syncd.ledger.order_lookup import find_key
from syncd.postgres.database import Database
from syncd.postgres.statements import query
from syncd.source.connections import source_on
from syncd.source.views import Source

orders_argument = click.argument("orders", nargs=-1)
all_option = click.option("--all", "everything", is_flag=True, help="All of them.")
reason_option = click.option("--reason", help="Those whose reason holds this text.")
yes_option = click.option("--yes", is_flag=True, help="Do not ask.")


@dataclass(frozen=True, slots=True)
class OrderCommands:
    """What a verb works on."""

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
def _desk(settings: Settings) -> Iterator[OrderCommands]:
    with changing(settings) as connections:
        feed = FeedStore(connections, settings.feed).get()
        source = source_on(settings, connections)
        yield OrderCommands(settings, connections.ledger, source, feed)


def _need_a_choice(*chosen: object) -> None:
    if not any(chosen):
        raise click.UsageError("Name orders, or --all.")


def _end(
    count: int, told: str, group: str, named_ones: Sequence[str], *, as_text: bool
) -> None:
    """Print how many orders it was; exit 1 when it was none.

    Raises:
        OrderUnknownError: Orders were named, and none of them is set aside.
    """
    if as_text:
        click.echo(json.dumps({"orders": count}))
    elif count or not named_ones:
        click.echo(f"{count} orders {told}")
    if named_ones and not count:
        only = len(named_ones) == 1
        which = f"the order {named_ones[0]!r}" if only else "none of these orders"
        raise OrderUnknownError(
            f"{which} is {'not ' if only else ''}set aside",
            f"`syncd {group} list` lists those that are; `syncd explain` tells of any.",
        )
    if not count:
        raise click.exceptions.Exit(ExitCode.FAILED)
    if count < len(set(named_ones)):
        click.echo(f"the others of {len(set(named_ones))} are not set aside", err=True)


# Rejected


@click.group()
def rejected() -> None:
    """List orders that were set aside, try them again, or give them up."""


@rejected.command("list")
@configured
@reason_option
@click.option(
    "--discarded",
    "which",
    flag_value="discarded",
    default="rejected",
    help="Those that were given up instead.",
)
@click.option(
    "--suspected",
    "which",
    flag_value="suspected",
    help="Those that wait since the API refused them, and are not blamed yet.",
)
@as_json_option
def rejected_list(
    settings: Settings, *, reason: str | None, which: str, as_text: bool
) -> None:
    """List the orders that cannot be sent, with their reasons.

    Example: syncd rejected list --reason email
    """
    listed = query("suspected") if which == "suspected" else query("rejected")
    with _desk(settings) as desk:
        rows = desk.ledger.all(
            listed,
            feed=desk.feed.feed_id,
            states=[which],
            reason=reason,
            limit=MOST_LISTED,
        )
        is_open = which == "rejected"
        now = desk.now([str(row[0]) for row in rows]) if is_open else {}
    names = ("order_key", "orderid", "state", "reason", "confirmed_at", "now")
    told = [(*row, now.get(str(row[0]))) for row in rows]
    show(told, names, as_text=as_text)


@rejected.command("show")
@configured
@click.argument("order")
@as_json_option
def rejected_show(settings: Settings, *, order: str, as_text: bool) -> None:
    """Show why ORDER was set aside, its attempts with receipts, and what to do.

    Example: syncd rejected show 1042
    """
    with _desk(settings) as desk:
        story = read_history(desk.ledger, desk.source, desk.feed, order)
    if story is None or story.standing is None or story.standing.state is None:
        raise OrderUnknownError(
            f"the order {order!r} is not set aside",
            "`syncd rejected list` lists those that are; `syncd explain` tells of any.",
        )
    if not as_text:
        tell(*story.lines())
        return
    facts = {
        "order_key": story.key,
        "orderid": story.orderid,
        "state": story.state,
        "reason": story.standing.reason,
        "confirmed_at": story.standing.confirmed_at,
        "attempts": [asdict(attempt) for attempt in story.attempts],
        "next": story.next_step(),
    }
    click.echo(json.dumps(facts, indent=2, default=json_time))


@rejected.command("retry")
@configured
@orders_argument
@all_option
@reason_option
@click.option("--mended", is_flag=True, help="Those that could be sent now.")
@as_json_option
def rejected_retry(
    settings: Settings,
    *,
    orders: tuple[str, ...],
    everything: bool,
    reason: str | None,
    mended: bool,
    as_text: bool,
) -> None:
    """Try orders again, after the data or the view was mended.

    Orders that are named may also be withdrawn or discarded ones. The daemon tries
    orders that could be sent by itself, at most ten times each.

    Example: syncd rejected retry 1042 1043
    """
    _need_a_choice(orders, everything, reason, mended)
    states = ["rejected", *(["withdrawn", "discarded"] if orders else [])]
    with _desk(settings) as desk:
        if mended:
            listed = desk.mended.rejected(
                [*desk.keys(orders)] if orders else None, MOST_LISTED
            )
            orders = tuple(desk.mended.sendable(listed))
            if not orders:
                _end(0, "are pending again", "rejected", (), as_text=as_text)
        (count,) = desk.ledger.one(
            query("retry_rejected"),
            feed=desk.feed.feed_id,
            states=states,
            orders=desk.keys(orders),
            all=not orders,
            reason=reason,
            size=settings.squeezely.orders_per_batch,
            most_retries=None,
        )
    _end(int(str(count)), "are pending again", "rejected", orders, as_text=as_text)


@rejected.command("discard")
@configured
@orders_argument
@all_option
@reason_option
@yes_option
@as_json_option
def rejected_discard(
    settings: Settings,
    *,
    orders: tuple[str, ...],
    everything: bool,
    reason: str | None,
    yes: bool,
    as_text: bool,
) -> None:
    """Discard orders: they stay in the ledger, and nothing sends them any more.

    Orders that are named may also wait, refused or in doubt, as those in a hold do.

    Example: syncd rejected discard --reason "email is missing"
    """
    _need_a_choice(orders, everything, reason)
    _ask_to_give_up(yes=yes)
    with _desk(settings) as desk:
        keys = desk.keys(orders)
        count = desk.ledger.run(
            query("discard_rejected"),
            feed=desk.feed.feed_id,
            states=["rejected"],
            orders=keys,
            all=not orders,
            reason=reason,
        )
        count += _discard_waiting(desk, keys)
    _end(count, "were given up", "rejected", orders, as_text=as_text)


def _discard_waiting(desk: OrderCommands, keys: list[str]) -> int:
    """Discard orders that wait after an attempt; return how many those were."""
    chosen = {"feed": desk.feed.feed_id, "orders": keys}
    (count,) = desk.ledger.one(query("discard_waiting"), **chosen)
    return int(str(count))


def _ask_to_give_up(*, yes: bool) -> None:
    if not yes:
        click.confirm("Give these orders up?", abort=True, err=True)


# Uncertain


@click.group()
def uncertain() -> None:
    """List orders that may have arrived and wait for a decision, and decide.

    They wait with `on_uncertain = "hold"` in the settings; else they are sent again.
    """


@uncertain.command("list")
@configured
@as_json_option
def uncertain_list(settings: Settings, *, as_text: bool) -> None:
    """List the orders that wait, with the attempt whose outcome is unknown.

    Example: syncd uncertain list
    """
    with _desk(settings) as desk:
        rows = desk.ledger.all(query("held"), feed=desk.feed.feed_id, limit=MOST_LISTED)
        numbers = desk.numbers([str(row[0]) for row in rows])
    names = ("order_key", "orderid", "confirmed_at", "batch", "attempt",
             "attempted_at", "reason")  # fmt: skip
    told = [(row[0], numbers.get(str(row[0])), *row[1:]) for row in rows]
    show(told, names, as_text=as_text)


@uncertain.command("resend")
@configured
@orders_argument
@all_option
@as_json_option
def uncertain_resend(
    settings: Settings, *, orders: tuple[str, ...], everything: bool, as_text: bool
) -> None:
    """Send orders again that Squeezely does not have, or that may repeat.

    Example: syncd uncertain resend 1042
    """
    _need_a_choice(orders, everything)
    count = _decide(
        settings, orders, lambda d, o: d.ledger.one(query("resend_held"), **o)
    )
    _end(count, "are pending again", "uncertain", orders, as_text=as_text)


@uncertain.command("discard")
@configured
@orders_argument
@all_option
@yes_option
@as_json_option
def uncertain_discard(
    settings: Settings,
    *,
    orders: tuple[str, ...],
    everything: bool,
    yes: bool,
    as_text: bool,
) -> None:
    """Discard orders that Squeezely has: syncd never sends them again.

    Orders that are named may also wait to be sent again.

    Example: syncd uncertain discard --all
    """
    _need_a_choice(orders, everything)
    _ask_to_give_up(yes=yes)
    with _desk(settings) as desk:
        keys = desk.keys(orders)
        chosen = {"feed": desk.feed.feed_id, "orders": keys, "all": not orders}
        (held,) = desk.ledger.one(query("discard_held"), **chosen)
        count = int(str(held)) + _discard_waiting(desk, keys)
    _end(count, "were given up", "uncertain", orders, as_text=as_text)


def _decide(
    settings: Settings,
    orders: tuple[str, ...],
    act: Callable[[OrderCommands, dict[str, object]], Row],
) -> int:
    with _desk(settings) as desk:
        chosen = {"orders": desk.keys(orders), "all": not orders}
        (count,) = act(desk, {"feed": desk.feed.feed_id, **chosen})
    return int(str(count))
