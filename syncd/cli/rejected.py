"""`syncd rejected`: list, retry and discard orders that were set aside."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import NamedTuple

import click

from syncd.cli.context import OpenFeed, configured, open_feed, print_json
from syncd.cli.option import as_json_option
from syncd.cli.order_commands import (
    all_option,
    ask_to_give_up,
    discard_waiting,
    end,
    keys_of,
    need_a_choice,
    orders_argument,
    reason_option,
    yes_option,
)
from syncd.cli.output import MOST_LISTED, print_lines, show
from syncd.config.settings import Settings
from syncd.core.command_errors import OrderUnknownError
from syncd.core.errors import SyncdError
from syncd.delivery.rendering import rules_of
from syncd.diagnostics.order_history import LedgerEntry, OrderHistory, read_history
from syncd.ledger.mended import MendedOrders, Rejected
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
    with open_feed(settings) as on:
        rows = on.database.rows(
            _SetAside,
            listed,
            feed=on.feed_id,
            states=[which],
            reason=reason,
            limit=MOST_LISTED,
        )
        is_open = which == "rejected"
        now = _now(on, [row.order_key for row in rows]) if is_open else {}
    shown = [(*row, now.get(row.order_key)) for row in rows]
    show(shown, (*_SetAside._fields, "now"), as_text=as_text)


class _SetAside(NamedTuple):
    """An order that was set aside, or may be; as it is listed."""

    order_key: str
    orderid: str
    state: str
    reason: str
    confirmed_at: datetime


def _mended(on: OpenFeed) -> MendedOrders:
    size = on.settings.squeezely.orders_per_batch
    return MendedOrders(on.source, on.ledger, rules_of(on.settings), size=size)


def _now(on: OpenFeed, keys: Sequence[str]) -> dict[str, str]:
    """Return what would become of rejected orders now; empty if that is unknown."""
    mended = _mended(on)
    orders = mended.rejected(keys, len(keys))
    try:
        faults = mended.faults(orders)
    except SyncdError:
        return {}
    return {o.order_key: _fate(o, faults[o.order_key]) for o in orders}


def _fate(order: Rejected, fault: str | None) -> str:
    if fault is not None:
        return f"still refused: {fault}"
    return "the API refused it" if order.rejected_by == "api" else "could be sent now"


@rejected.command("show")
@configured
@click.argument("order")
@as_json_option
def rejected_show(settings: Settings, *, order: str, as_text: bool) -> None:
    """Show why ORDER was set aside, its attempts with receipts, and what to do.

    Example: syncd rejected show 1042
    """
    with open_feed(settings) as on:
        history = read_history(on.database, on.source, on.feed, order)
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
    with open_feed(settings, changes=True) as on:
        if mended:
            named = keys_of(on, orders) if orders else None
            found = _mended(on)
            orders = tuple(found.sendable(found.rejected(named, MOST_LISTED)))
            if not orders:
                end(0, "are pending again", "rejected", (), as_text=as_text)
        count = on.database.value(
            int,
            query("retry_rejected"),
            feed=on.feed_id,
            states=states,
            orders=keys_of(on, orders),
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
    with open_feed(settings, changes=True) as on:
        keys = keys_of(on, orders)
        count = on.database.run(
            query("discard_rejected"),
            feed=on.feed_id,
            states=["rejected"],
            orders=keys,
            all=not orders,
            reason=reason,
        )
        count += discard_waiting(on, keys)
    end(count, "were given up", "rejected", orders, as_text=as_text)
