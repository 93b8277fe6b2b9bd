"""Orders that were set aside: list them, try them again, or give them up."""

from dataclasses import asdict
from datetime import datetime
from typing import NamedTuple

import click

from syncd.cli.context import configured, print_json
from syncd.cli.listing import MOST_LISTED, show
from syncd.cli.option import as_json_option
from syncd.cli.order_commands import (
    all_option,
    ask_to_give_up,
    discard_waiting,
    end,
    need_a_choice,
    order_commands,
    orders_argument,
    reason_option,
    yes_option,
)
from syncd.cli.prose import print_lines
from syncd.config.settings import Settings
from syncd.core.command_errors import OrderUnknownError
from syncd.diagnostics.ledger_entry import LedgerEntry
from syncd.diagnostics.order_history import OrderHistory, read_history
from syncd.postgres.statements import query


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
    help="List discarded orders instead.",
)
@click.option(
    "--suspected",
    "which",
    flag_value="suspected",
    help="List orders that the API refused and that are not rejected yet.",
)
@as_json_option
def rejected_list(
    settings: Settings, *, reason: str | None, which: str, as_text: bool
) -> None:
    """List the orders that cannot be sent, with their reasons.

    Example: syncd rejected list --reason email
    """
    listed = query("suspected") if which == "suspected" else query("rejected")
    with order_commands(settings) as commands:
        rows = commands.ledger.rows(
            _SetAside,
            listed,
            feed=commands.feed.feed_id,
            states=[which],
            reason=reason,
            limit=MOST_LISTED,
        )
        is_open = which == "rejected"
        now = commands.now([row.order_key for row in rows]) if is_open else {}
    shown = [(*row, now.get(row.order_key)) for row in rows]
    show(shown, (*_SetAside._fields, "now"), as_text=as_text)


class _SetAside(NamedTuple):
    """An order that was set aside, or may be; as it is listed."""

    order_key: str
    orderid: str
    state: str
    reason: str
    confirmed_at: datetime


@rejected.command("show")
@configured
@click.argument("order")
@as_json_option
def rejected_show(settings: Settings, *, order: str, as_text: bool) -> None:
    """Show why ORDER was set aside, its attempts with receipts, and what to do.

    Example: syncd rejected show 1042
    """
    with order_commands(settings) as commands:
        history = read_history(commands.ledger, commands.source, commands.feed, order)
    if history is None or history.standing is None or history.standing.state is None:
        raise OrderUnknownError(
            f"the order {order!r} is not set aside",
            "`syncd rejected list` lists those that are; `syncd explain` shows any.",
        )
    if not as_text:
        print_lines(*history.lines())
        return
    print_json(_facts(history, history.standing))


def _facts(history: OrderHistory, standing: LedgerEntry) -> dict[str, object]:
    return {
        "order_key": history.key,
        "orderid": history.orderid,
        "state": history.state,
        "reason": standing.reason,
        "confirmed_at": standing.confirmed_at,
        "attempts": [asdict(attempt) for attempt in history.attempts],
        "next": history.next_step(),
    }


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
    """Retry orders, after the data or the view was corrected.

    ORDERS may also be withdrawn or discarded ones. The daemon itself retries orders
    that can be sent, at most ten times each.

    Example: syncd rejected retry 1042 1043
    """
    need_a_choice(orders, everything, reason, mended)
    states = ["rejected", *(["withdrawn", "discarded"] if orders else [])]
    with order_commands(settings) as commands:
        if mended:
            listed = commands.mended.rejected(
                [*commands.keys(orders)] if orders else None, MOST_LISTED
            )
            orders = tuple(commands.mended.sendable(listed))
            if not orders:
                end(0, "are pending again", "rejected", (), as_text=as_text)
        count = commands.ledger.value(
            int,
            query("retry_rejected"),
            feed=commands.feed.feed_id,
            states=states,
            orders=commands.keys(orders),
            all=not orders,
            reason=reason,
            size=settings.squeezely.orders_per_batch,
            most_retries=None,
        )
    end(count, "are pending again", "rejected", orders, as_text=as_text)


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
    """Discard orders: they stay in the ledger, and are never sent.

    ORDERS may also be refused or uncertain ones that wait, as in a hold.

    Example: syncd rejected discard --reason "email is missing"
    """
    need_a_choice(orders, everything, reason)
    ask_to_give_up(yes=yes)
    with order_commands(settings) as commands:
        keys = commands.keys(orders)
        count = commands.ledger.run(
            query("discard_rejected"),
            feed=commands.feed.feed_id,
            states=["rejected"],
            orders=keys,
            all=not orders,
            reason=reason,
        )
        count += discard_waiting(commands, keys)
    end(count, "were given up", "rejected", orders, as_text=as_text)
