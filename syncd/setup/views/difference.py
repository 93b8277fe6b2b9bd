"""What the same orders become under other views: which are listed, and their events."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from syncd.core.event_diff import compare, places
from syncd.core.survey import Tally

_EVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Listing:
    """The newest orders of two views: when each was confirmed, and its event.

    Attributes:
        is_whole: Whether the views list no other orders.
    """

    times: Mapping[str, datetime]
    events: Mapping[str, Mapping[str, object]]
    is_whole: bool

    @property
    def since(self) -> datetime:
        """From when on every order is among them."""
        return _EVER if self.is_whole else min(self.times.values())


@dataclass(slots=True)
class Difference:
    """How two listings differ; of the orders that are newer than the oldest of both.

    Attributes:
        compared: Orders that both list.
        fields: By field and kind (`email changed`): how many events.
    """

    compared: int = 0
    added: Tally = field(default_factory=Tally)
    gone: Tally = field(default_factory=Tally)
    moved: Tally = field(default_factory=Tally)
    changed: Tally = field(default_factory=Tally)
    fields: dict[str, int] = field(default_factory=dict)

    @property
    def is_none(self) -> bool:
        """Whether there is no difference."""
        tallies = self.added, self.gone, self.moved, self.changed
        return not any(tally.orders for tally in tallies)


def difference(before: Listing, after: Listing) -> Difference:
    """Compare two listings of the newest orders."""
    since = max(before.since, after.since)
    found = Difference()
    for key in dict.fromkeys([*after.times, *before.times]):
        was, now = before.times.get(key), after.times.get(key)
        if max(t for t in (was, now) if t) < since:
            continue
        if was is None or now is None:
            (found.added if was is None else found.gone).add(key)
            continue
        found.compared += 1
        if was != now:
            found.moved.add(key)
        _compare_events(found, key, before.events.get(key), after.events.get(key))
    return found


def _compare_events(
    found: Difference,
    key: str,
    before: Mapping[str, object] | None,
    after: Mapping[str, object] | None,
) -> None:
    if before is None and after is None:
        return
    changes = compare(places(before or {}), places(after or {}))
    changes = [c for c in changes if c.place.field != "timestamp"]
    if changes:
        found.changed.add(key)
        for name in {f"{c.place.field} {c.kind}" for c in changes}:
            found.fields[name] = found.fields.get(name, 0) + 1
