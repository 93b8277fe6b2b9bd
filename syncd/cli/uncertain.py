"""Orders that may have arrived, and wait for a person's decision."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import click

from syncd.cli.context import configured
from syncd.cli.listing import MOST_LISTED, Row, show
from syncd.cli.option import as_json_option
from syncd.cli.order_commands import (
    OrderCommands,
    all_option,
    ask_to_give_up,
    discard_waiting,
    end,
    need_a_choice,
    order_commands,
    orders_argument,
    yes_option,
)
from syncd.config.settings import Settings
from syncd.postgres.statements import query


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
    with order_commands(settings) as commands:
        held = commands.ledger.rows(
            _Held, query("held"), feed=commands.feed.feed_id, limit=MOST_LISTED
        )
        numbers = commands.numbers([order.order_key for order in held])
    listed = [order.with_number(numbers.get(order.order_key)) for order in held]
    names = ("order_key", "orderid", "confirmed_at", "batch", "attempt",
             "attempted_at", "reason")  # fmt: skip
    show(listed, names, as_text=as_text)


@dataclass(frozen=True, slots=True)
class _Held:
    """An order that waits for a person, with the attempt that it waits for."""

    order_key: str
    confirmed_at: datetime
    batch: int
    attempt: int | None
    attempted_at: datetime | None
    reason: str | None

    def with_number(self, orderid: str | None) -> Row:
        return (self.order_key, orderid, self.confirmed_at, self.batch, self.attempt,
                self.attempted_at, self.reason)  # fmt: skip


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
    count = _decide(
        settings, orders, lambda d, o: d.ledger.value(int, query("resend_held"), **o)
    )
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
    with order_commands(settings) as commands:
        keys = commands.keys(orders)
        chosen = {"feed": commands.feed.feed_id, "orders": keys, "all": not orders}
        count = commands.ledger.value(int, query("discard_held"), **chosen)
        count += discard_waiting(commands, keys)
    end(count, "were given up", "uncertain", orders, as_text=as_text)


def _decide(
    settings: Settings,
    orders: tuple[str, ...],
    act: Callable[[OrderCommands, dict[str, object]], int],
) -> int:
    with order_commands(settings) as commands:
        chosen = {"orders": commands.keys(orders), "all": not orders}
        return act(commands, {"feed": commands.feed.feed_id, **chosen})
