"""A sample: some orders of a range, rendered as they would be sent."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from syncd.core.errors import ViewError
from syncd.core.event import Event, EventRules, render, without_profile
from syncd.core.intervals import Interval, spread
from syncd.source.orders import Source

TIMES = 20
EACH = 10
"""So many orders are tried after each of so many times."""

EXAMPLES = 3

_INSTANT = timedelta(microseconds=1)

Row = dict[str, object]
Fault = tuple[str, str]


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

    Args:
        source: The views.
        rules: Of rendering.
        days: Orders that would be sent per day of the range, not empty.
        span: The range.
        whole: With the customer's fields.
        taken: Returns which of some orders would be sent.

    Raises:
        SyncdError: The views cannot be read at all.
    """
    # the lower end is excluded, and a shop may stamp whole days
    before = [at - _INSTANT for at in spread(days, TIMES, rules.zone)]
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
