"""The result: the shop's committed orders compared with what the fake API received.

The ledger is not asked: it is part of what is being tested.
"""

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from syncd.demo.sandbox import ReceivedEvents
from syncd.demo.screen import megabytes

_MISSED_NAMED = 10  # the others are only counted
_LAGS = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}


@dataclass(frozen=True, slots=True)
class Tally:
    """How the shop's orders and the received events compare.

    Attributes:
        confirmed: Orders that the shop committed as confirmed; each was `delivered` to
            the fake API, or `missed`.
        repeated: Events beyond the first of their order.
        unconfirmed: Received orders that the shop never committed as confirmed.
        lags: Milliseconds from an order's commit to its receipt, by name; None without
            orders.
        missed_orderids: The first ones that were missed.
    """

    confirmed: int
    delivered: int
    missed: int
    repeated: int
    unconfirmed: int
    lags: Mapping[str, float | None]
    missed_orderids: tuple[str, ...]

    @property
    def is_clean(self) -> bool:
        """Return whether each confirmed order arrived, and no other."""
        return not self.missed and not self.unconfirmed


def tally(
    orders: Iterable[tuple[str, datetime | None]], received: ReceivedEvents
) -> Tally:
    """Compare committed orders, as number and time of commit, with the events."""
    confirmed = missed = 0
    named: list[str] = []
    lags = array("d")
    for number, committed_at in orders:
        confirmed += 1
        received_at = received.first_received_at(number)
        if received_at is None:
            missed += 1
            named += [number] if len(named) < _MISSED_NAMED else []
        elif committed_at is not None:
            # An order is visible a moment before its commit is over.
            lags.append(max(0.0, (received_at - committed_at).total_seconds() * 1000))
    totals = received.totals
    delivered = confirmed - missed
    return Tally(
        confirmed=confirmed,
        delivered=delivered,
        missed=missed,
        repeated=totals.repeats,
        unconfirmed=totals.orderids - delivered,
        lags=_lags(lags),
        missed_orderids=tuple(named),
    )


def _lags(values: Sequence[float]) -> Mapping[str, float | None]:
    ordered = sorted(values)
    ranks = {name: int(q * (len(ordered) - 1) + 0.5) for name, q in _LAGS.items()}
    return {n: round(ordered[r], 1) if ordered else None for n, r in ranks.items()}


def print_summary(stream: TextIO, result: Tally, facts: Mapping[str, object]) -> None:
    """Print the figures as a small table, and what they mean."""
    console = Console(file=stream, highlight=False)
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold")
    table.add_column(justify="right")
    table.add_column(style="dim")
    lags = {name: _milliseconds(value) for name, value in result.lags.items()}
    rows: list[tuple[str, object, str]] = [
        ("confirmed", result.confirmed, "orders that the shop committed as confirmed"),
        ("delivered", result.delivered, "of them received by the fake API"),
        ("missed", result.missed, ", ".join(result.missed_orderids)),
        ("repeated", result.repeated, "events beyond the first of an order"),
        ("lag p50", lags.pop("p50"), "from commit to receipt"),
        *((f"lag {name}", lag, "") for name, lag in lags.items()),
        ("daemon", megabytes(facts["daemon_rss_mb"]), "resident at most"),
    ]
    if result.unconfirmed:
        rows.append(("unconfirmed", result.unconfirmed, "received, never confirmed"))
    for name, value, note in rows:
        shown = f"{value:,}" if isinstance(value, int) else str(value)
        table.add_row(name, shown, Text(note))
    console.print(table)
    console.print(_verdict(result, facts), markup=False, soft_wrap=True)


def _verdict(result: Tally, facts: Mapping[str, object]) -> str:
    if code := facts["daemon_exit_code"]:
        return f"the daemon ended with exit code {code}"
    if not result.is_clean:
        waiting = facts["in_ledger"]
        rest = f": {waiting:,} orders still wait in the ledger" if waiting else ""
        return f"what was received is NOT what was confirmed{rest}"
    return "every confirmed order was received, and no other"


def _milliseconds(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f} ms"
