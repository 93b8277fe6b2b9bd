"""What would become of some orders: sent, waited for or refused, and what is odd."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from statistics import median
from typing import cast

from syncd.core.amount import number_of
from syncd.core.event import Event, EventRules, Incomplete, render
from syncd.core.event_text import trimmed

OTHER_UNIT = 20
"""Totals that are so many times their lines, or the reverse, are in another unit."""

Row = Mapping[str, object]


@dataclass(slots=True)
class Tally:
    """How many orders something holds for, and the key of the first."""

    orders: int = 0
    key: str = ""

    def add(self, key: str) -> None:
        """Count one more."""
        self.orders += 1
        self.key = self.key or key


@dataclass(slots=True)
class Survey:
    """Orders of a view as delivery would make events of them.

    Each of the tallies is by reason, or by field, in the order of the first orders.

    Attributes:
        sent: How many would be sent.
        events: By key, of those.
        waiting: What is still missing, for orders that would be waited for.
        refused: Why others would be rejected.
        left_out: Details that orders would be sent without: `field: it reason`.
        padded: Fields with blanks around, which are cut off.
        rounded: Amounts with more digits than their currency has.
    """

    rules: EventRules
    now: datetime
    events: dict[str, Mapping[str, object]] = field(default_factory=dict)
    waiting: dict[str, Tally] = field(default_factory=dict)
    refused: dict[str, Tally] = field(default_factory=dict)
    left_out: dict[str, Tally] = field(default_factory=dict)
    padded: dict[str, Tally] = field(default_factory=dict)
    rounded: dict[str, Tally] = field(default_factory=dict)
    _ratios: list[Decimal] = field(default_factory=list)

    @property
    def sent(self) -> int:
        """How many would be sent."""
        return len(self.events)

    def add(self, key: str, confirmed_at: datetime, row: Row | None) -> None:
        """Make the event of one more order; None: it has no row."""
        if row is None:
            self.refuse(key, "is confirmed but has no row in the purchases view")
            return
        made = render(row, confirmed_at, self.rules, self.now)
        if isinstance(made, Event):
            event = made.event
            self.events[key] = event
            for detail in dict.fromkeys(made.left_out):
                _count(self.left_out, f"{detail.field}: it {detail.reason}", key)
            self._compare(key, row, event)
        elif isinstance(made, Incomplete):
            _count(self.waiting, made.reason, key)
        else:
            self.refuse(key, made.reason)

    def refuse(self, key: str, reason: str) -> None:
        """Count an order that would be rejected."""
        _count(self.refused, reason, key)

    def unit(self) -> Decimal | None:
        """Return how many times their lines totals are; None: about once."""
        if not self._ratios:
            return None
        ratio = median(self._ratios)
        is_other = ratio >= OTHER_UNIT or ratio * OTHER_UNIT <= 1
        return ratio if is_other else None

    def _compare(self, key: str, row: Row, event: Row) -> None:
        """Compare the event with the row."""
        self._compare_part("", key, row, event)
        for before, after in zip(_lines(row), _lines(event), strict=True):
            self._compare_part("products.", key, before, after)
        self._weigh(event)

    def _compare_part(self, within: str, key: str, before: Row, after: Row) -> None:
        for name, value in before.items():
            if isinstance(value, str) and trimmed(value) != value:
                _count(self.padded, within + name, key)
        for name in ("totalvalue", "price"):
            if name in after and number_of(before[name]) != number_of(after[name]):
                _count(self.rounded, within + name, key)

    def _weigh(self, event: Row) -> None:
        lines = sum(
            (
                Decimal(str(line.get("price", 0))) * Decimal(str(line["quantity"]))
                for line in _lines(event)
            ),
            Decimal(0),
        )
        total = number_of(event.get("totalvalue"))
        if total and lines > 0:
            self._ratios.append(total / lines)


def _count(tallies: dict[str, Tally], what: str, key: str) -> None:
    tally = tallies.setdefault(what, Tally())
    if tally.key != key:  # several lines of one order are one order
        tally.add(key)


def _lines(row: Row) -> Sequence[Row]:
    """Return the lines of an event, or of the row that it was made of."""
    return cast("Sequence[Row]", row["products"])
