"""The plan of a backfill: what it would do, counted, and tried with some orders."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from typing import Literal, NamedTuple

from syncd.core.errors import ViewError
from syncd.core.event import Event, EventRules, render, without_profile
from syncd.core.intervals import Interval, spread
from syncd.ledger.batches import Ledger
from syncd.postgres.statements import compose, query
from syncd.source.orders import Source
from syncd.source.position import INSTANT, Position, Stretch

Purpose = Literal["send", "resend", "adopt"]

COUNTED_ORDERS = 50_000
"""How many orders are counted by one statement."""

_TO_SEND = ("new", "withdrawn", "released")
_TAKEN: Mapping[Purpose, Sequence[str]] = {
    "send": _TO_SEND,
    "resend": (*_TO_SEND, "adopted", "delivered"),
    "adopt": _TO_SEND,
}

TIMES = 20
EACH = 10
"""So many orders are tried after each of so many times."""

EXAMPLES = 3

Row = dict[str, object]
Fault = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Request:
    """A request: a range, lower excluded, upper included.

    Attributes:
        with_profile: Events carry the customer's fields too, not the order's alone.
        reason: Why orders are sent that were delivered already.
    """

    span: Interval
    purpose: Purpose = "send"
    with_profile: bool = False
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """What trying some orders showed.

    Attributes:
        orders: How many were tried.
        faults: Of those that cannot be sent as they are: key and reason.
    """

    orders: int = 0
    faults: Sequence[Fault] = ()

    @property
    def examples(self) -> list[Fault]:
        """Some faults, those of different reasons first."""
        firsts = {reason: key for key, reason in reversed(self.faults)}
        chosen = [(key, reason) for reason, key in reversed(firsts.items())]
        others = [fault for fault in self.faults if fault not in chosen]
        return [*chosen, *others][:EXAMPLES]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a request comes to.

    Attributes:
        standings: The confirmed orders of the range by where they stand: `new` ones
            that the ledger lacks, or the state of their batch or their exception.
        days: Confirmed orders per day, only days with orders.
    """

    request: Request
    standings: Mapping[str, int]
    days: Mapping[date, int]
    sample: Sample

    @property
    def confirmed(self) -> int:
        """Orders that the range holds."""
        return sum(self.standings.values())

    def count(self, *standings: str) -> int:
        """Count the orders that stand in one of some ways."""
        return sum(self.standings.get(standing, 0) for standing in standings)

    @property
    def orders(self) -> int:
        """Orders that would be captured."""
        return self.count(*_TAKEN[self.request.purpose])

    @property
    def resent(self) -> int:
        """Those of them that were delivered already."""
        again = self.request.purpose == "resend"
        return self.count("delivered", "adopted") if again else 0

    def seconds(self, rate: float | None) -> float:
        """How long sending takes at a rate, in events a second; None: no bound."""
        return self.orders / rate if rate else 0.0


class Planner:
    """Makes plans; reads only."""

    def __init__(self, source: Source, ledger: Ledger, rules: EventRules) -> None:
        self._source = source
        self._ledger = ledger
        self._rules = rules

    def ceiling(self) -> datetime:
        """Return up to which time orders are past ones: the watermark, or the start.

        What the first start listed may lie above its first watermark. Whatever else
        bounds or endangers a range, such as retention, is to be found out here too.
        """
        return self._ledger.database.value(
            datetime, query("backfill_ceiling"), feed=self._ledger.feed_id
        )

    def plan(self, request: Request) -> Plan:
        """Count the orders of a range and try some of them."""
        standings: dict[str, int] = {}
        days: dict[date, int] = {}
        to_send: dict[date, int] = {}
        after, upper = Position(request.span.lower), request.span.upper
        while after != Position(upper):
            stretch = self._source.stretch(after, upper, COUNTED_ORDERS)
            after = stretch.end
            for day, standing, orders in self._count(stretch):
                standings[standing] = standings.get(standing, 0) + orders
                days[day] = days.get(day, 0) + orders
                if standing in _TAKEN[request.purpose]:
                    to_send[day] = to_send.get(day, 0) + orders
        sample = Sample()
        if to_send and request.purpose != "adopt":
            sample = take_sample(
                self._source,
                self._rules,
                to_send,
                request.span,
                whole=request.with_profile,
                taken=partial(self._taken, _TAKEN[request.purpose]),
            )
        return Plan(request, standings, days, sample)

    def _taken(self, standings: Sequence[str], keys: Sequence[str]) -> list[str]:
        """Choose those of some orders that stand in one of some ways."""
        known = self._ledger.database.mapping(
            str, str, query("plan_standings"), feed=self._ledger.feed_id, keys=keys
        )
        return [key for key in keys if known.get(key, "new") in standings]

    def _count(self, stretch: Stretch) -> list["_Counted"]:
        found = self._source.within(stretch)
        return self._ledger.database.rows(
            _Counted,
            compose("plan_counts", found=found.query),
            feed=self._ledger.feed_id,
            zone=str(self._rules.zone),
            **found.params,
        )


class _Counted(NamedTuple):
    """Orders of a day that stand alike."""

    day: date
    standing: str
    orders: int


def take_sample(
    source: Source,
    rules: EventRules,
    days: Mapping[date, int],
    span: Interval,
    *,
    whole: bool,
    taken: Callable[[Sequence[str]], Sequence[str]],
) -> Sample:
    """Render orders spread over a range, of those that would be sent.

    `days` has their numbers by day, and is not empty; `taken` returns which of some
    orders would be sent; with `whole`, the customer's fields are rendered too.
    """
    # the lower end is excluded, and a shop may stamp whole days
    before = [at - INSTANT for at in spread(days, TIMES, rules.zone)]
    starts = [max(start, span.lower) for start in before]
    times = source.spread(starts, span.upper, EACH)
    keys = taken(list(times))
    faults: list[Fault] = []
    for place in range(0, len(keys), EACH):
        rows, unreadable = _read(source, keys[place : place + EACH])
        faults += unreadable
        for key, row in rows.items():
            shown = row if whole else without_profile(row)
            made = render(shown, times[key], rules, span.upper)
            if not isinstance(made, Event):
                faults.append((key, made.reason))
    return Sample(len(keys), faults)


def _read(source: Source, keys: Sequence[str]) -> tuple[dict[str, Row], list[Fault]]:
    """Read rows of the view; those that make it fail are found one by one."""
    try:
        rows = source.read(keys)
    except ViewError as error:
        if len(keys) == 1:
            return {}, [(keys[0], str(error))]
        found = [_read(source, [key]) for key in keys]
        readable = {key: row for rows, _ in found for key, row in rows.items()}
        return readable, [fault for _, faults in found for fault in faults]
    return rows, list(_absent(keys, rows))


def _absent(keys: Sequence[str], rows: Mapping[str, Row]) -> Iterator[Fault]:
    for key in keys:
        if key not in rows:
            yield key, "is not in the purchases view"
