"""`syncd uncertain`: orders that may have arrived, and wait for a decision."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import click

from syncd.cli.context import configured, open_feed
from syncd.cli.option import as_json_option
from syncd.cli.order_commands import (
    all_option,
    ask_to_give_up,
    discard_waiting,
    end,
    keys_of,
    need_a_choice,
    orders_argument,
    yes_option,
)
from syncd.cli.output import MOST_LISTED, show
from syncd.config.settings import Settings
from syncd.core.errors import UNREADABLE
from syncd.postgres.statements import query
from syncd.source.orders import Source


@click.group()
def uncertain() -> None:
    """List orders that may have arrived and wait for a decision, and decide.

    They wait with `on_uncertain = "hold"`; otherwise they are sent again.
    """


@uncertain.command("list")
@configured
@as_json_option
def uncertain_list(settings: Settings, *, as_text: bool) -> None:
    """List the orders that wait, with the attempt whose outcome is unknown.

    Example: syncd uncertain list
    """
    with open_feed(settings) as on:
        held = on.database.rows(
            _Held, query("held"), feed=on.feed_id, limit=MOST_LISTED
        )
        numbers = _numbers(on.source, [order.order_key for order in held])
    listed = [(order[0], numbers.get(order.order_key), *order[1:]) for order in held]
    show(listed, ("order_key", "orderid", *_Held._fields[1:]), as_text=as_text)


class _Held(NamedTuple):
    """An order that waits for a person, with the attempt that it waits for."""

    order_key: str
    confirmed_at: datetime
    batch: int
    attempt: int | None
    attempted_at: datetime | None
    reason: str | None


def _numbers(source: Source, keys: Sequence[str]) -> dict[str, str]:
    """Read the public numbers of orders; none when one of them cannot be read."""
    try:
        rows = source.read(keys)
    except UNREADABLE:
        return {}
    return {key: str(row["orderid"]) for key, row in rows.items()}


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
    need_a_choice(orders, everything)
    with open_feed(settings, changes=True) as on:
        chosen = {"orders": keys_of(on, orders), "all": not orders}
        resend = query("resend_held")
        count = on.database.value(int, resend, feed=on.feed_id, **chosen)
    end(count, "are pending again", "uncertain", orders, as_text=as_text)


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

    ORDERS may also be ones that wait to be sent again.

    Example: syncd uncertain discard --all
    """
    need_a_choice(orders, everything)
    ask_to_give_up(yes=yes)
    with open_feed(settings, changes=True) as on:
        keys, discard = keys_of(on, orders), query("discard_held")
        chosen = {"feed": on.feed_id, "orders": keys, "all": not orders}
        count = on.database.value(int, discard, **chosen) + discard_waiting(on, keys)
    end(count, "were given up", "uncertain", orders, as_text=as_text)
