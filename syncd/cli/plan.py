"""The plan of a backfill, for people: a histogram, what is sent, what is not, why."""

from collections.abc import Iterator
from datetime import datetime, tzinfo

from rich.console import Console
from rich.text import Text

from syncd.backfill.plan import Plan
from syncd.cli.output import print_line
from syncd.core.intervals import Interval, bars, unit

WIDEST_BAR = 40

_KEPT = {
    "delivered": "delivered already",
    "adopted": "adopted: delivered by something else",
    "pending": "known, waiting to be sent",
    "sending": "being sent",
    "held": "held, a person decides",
    "rejected": "rejected before: `syncd rejected list`",
    "discarded": "discarded",
    "erased": "erased, never sent",
}
_FLOWS = "Flows in Squeezely may start from past orders: ask Spotler, begin with a few."
_WITH_PROFILE = (
    "Names, addresses and other fields of the customer are sent too: they replace "
    "newer ones on the profile."
)
_WITHOUT_PROFILE = (
    "Only the orders' own fields are sent (--with-profile sends all), so that nothing "
    "newer on a profile is replaced."
)
_UNITS = {
    "day": "per day",
    "week": "per week, from Monday",
    "month": "per month",
    "year": "per year",
}
_AGAIN = "Delivered orders are sent again by --resend --reason TEXT only."


def show(plan: Plan, rate: float | None, zone: tzinfo) -> None:
    """Print a plan, as wide as the terminal; `rate` is in events a second."""
    console = Console(highlight=False)
    print_line(console, f"Orders confirmed {between(plan.request.span, zone)} ({zone})")
    if plan.days:
        console.print(f"\n{_UNITS[unit(plan.days)]}", style="dim")
        for bar in _histogram(plan, console):
            console.print(bar, no_wrap=True)
        console.print()
    for line in _lines(plan, rate):
        print_line(console, line)


def _histogram(plan: Plan, console: Console) -> Iterator[Text]:
    grouped = bars(plan.days)
    most = max(orders for _, orders in grouped)
    digits = len(f"{most:,}")
    for label, orders in grouped:
        room = min(WIDEST_BAR, console.width - len(label) - digits - 3)
        length = round(orders / most * max(1, room)) or int(orders > 0)
        block = "#" if console.options.ascii_only else "█"
        line = Text(f"{label} ")
        line.append(block * length, style="cyan")
        yield line.append(f" {orders:,}")


def _lines(plan: Plan, rate: float | None) -> Iterator[str]:
    yield f"{plan.confirmed:,} confirmed orders"
    yield from _known(plan)
    if plan.request.purpose == "adopt":
        yield f"{plan.orders:,} to mark as delivered: they are never sent"
        yield "  unless `syncd backfill --resend` asks for them."
    elif plan.orders:
        yield f"{plan.orders:,} to send, {_time(plan, rate)}"
        yield from _tried(plan)
        yield _FLOWS
        yield _WITH_PROFILE if plan.request.with_profile else _WITHOUT_PROFILE
    else:
        yield "0 to send"
        if plan.count("delivered", "adopted"):
            yield _AGAIN


def _known(plan: Plan) -> Iterator[str]:
    again = plan.request.purpose == "resend"
    taken = {"delivered", "adopted"} if again else set()
    for standing, words in _KEPT.items():
        orders = plan.count(standing)
        if orders and standing not in taken:
            yield f"  {orders:,} {words}"
    if plan.resent:
        yield f"  {plan.resent:,} delivered already, to be sent AGAIN"


def _tried(plan: Plan) -> Iterator[str]:
    sample = plan.sample
    if not sample.orders:
        yield "  none of them was tried: they are few among the others"
        return
    if not sample.faults:
        yield f"  {sample.orders:,} of them were tried: each can be sent"
        return
    faults = f"{len(sample.faults):,} of {sample.orders:,}"
    yield f"  {faults} that were tried cannot be sent:"
    for key, reason in sample.examples:
        yield f"    order {key}: {reason}"


def _time(plan: Plan, rate: float | None) -> str:
    if rate is None:
        return "as fast as the API takes them (backfill.rate)"
    seconds = max(1.0, plan.seconds(rate))
    return f"about {duration(seconds)} at {rate:g}/s (backfill.rate)"


def between(span: Interval, zone: tzinfo) -> str:
    """Write a range for people."""
    return f"after {minute(span.lower, zone)} up to {minute(span.upper, zone)}"


def minute(time: datetime, zone: tzinfo) -> str:
    """Write a time for people, to the minute; its zone is printed once."""
    return time.astimezone(zone).isoformat(" ", "minutes")[:16]


def duration(seconds: float) -> str:
    """Write a duration for people, in one unit."""
    for name, length in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 1.5 * length:
            return f"{seconds / length:.0f} {name}"
    return f"{seconds:.0f} s"
