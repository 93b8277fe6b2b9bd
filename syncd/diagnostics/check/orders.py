"""What `syncd check` finds in the newest orders: what would become of them."""

import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from syncd.capture.stamps import probable_zones
from syncd.config.settings import Settings
from syncd.core.errors import SlowStatementError
from syncd.core.event_diff import LINES, Difference
from syncd.core.field_value import is_array, is_object
from syncd.core.stamps import shift_by
from syncd.core.survey import Row, Survey
from syncd.delivery.rendering import rules_of
from syncd.diagnostics.check.finding import Finding
from syncd.diagnostics.check.role import listed
from syncd.diagnostics.check.server import SKEW
from syncd.diagnostics.check.views import SAMPLE_SPAN
from syncd.diagnostics.comparison import EventDiff, read_each
from syncd.ledger.feed import FeedStore
from syncd.postgres.statements import composed
from syncd.source.connections import Connections
from syncd.source.orders import Source

SAMPLE_ORDERS = 100
NEWEST_SENT = 200
"""So many of the orders sent last are checked for added lines."""
SLOW_ROW_SECONDS = 0.01
_FEW = 20  # fewer orders than these cost what a read costs that holds none

_CODE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z]{2})?")
_GROWN = {(LINES, "added"), (f"{LINES}.quantity", "changed")}


@dataclass(frozen=True, slots=True)
class Sample:
    """The orders confirmed last.

    Attributes:
        times: When each was confirmed, newest first.
        rows: Of the view purchases; some may have none.
        broken: Those over whose data the view fails, with the SQLSTATE.
        read_seconds: How long reading all rows at once took; 0.0: one by one; None: it
            was cut off.
    """

    now: datetime
    times: Mapping[str, datetime]
    rows: Mapping[str, Row]
    broken: Mapping[str, str]
    read_seconds: float | None

    def share(self, orders: int) -> str:
        """Return how many of them that is, and what percentage."""
        total = len(self.times)
        return f"{orders} of the last {total} ({100 * orders / total:.0f} %)"


def check_orders(settings: Settings, source: Source) -> Iterator[Finding]:
    """Render the newest orders as delivery would, and count what is odd of them."""
    sample = _take(source)
    if not sample.times:
        yield Finding("orders.none", "orders", "none confirmed in the last 30 days")
        return
    yield from _slow(sample)
    if sample.read_seconds is None:
        return
    survey = Survey(rules_of(settings), sample.now)
    for key, row in sample.rows.items():
        survey.add(key, sample.times[key], row)
    found = [*_unreadable(source, sample), *_invalid(sample, survey)]
    yield from found
    yield from _left_out(sample, survey)
    yield from _numbers(sample.rows)
    yield from _future(source, sample)
    yield from _kinds(settings, sample.rows)
    if not found:
        message = f"the last {len(sample.times)} can all be sent"
        yield Finding("orders.fit", "orders", message)


def check_times(source: Source) -> Iterator[Finding]:
    """Count the orders that have no time."""
    if orders := source.without_time():
        message = f"{orders} orders have no usable time (NULL, infinity)"
        message += ": not sent until they have"
        yield Finding("orders.without_time", "confirmed_at", message)


def _take(source: Source) -> Sample:
    now = source.clock()
    times = dict(source.sample(now - SAMPLE_SPAN, SAMPLE_ORDERS))
    began = time.monotonic()
    try:
        read = read_each(source, list(times))
    except SlowStatementError:
        return Sample(now, times, {}, {}, None)
    seconds = time.monotonic() - began
    rows = {key: row for key, row in read.items() if not isinstance(row, str)}
    broken = {key: state for key, state in read.items() if isinstance(state, str)}
    return Sample(now, times, rows, broken, 0.0 if broken else seconds)


def _slow(sample: Sample) -> Iterator[Finding]:
    """Report what a row costs; a read has half a minute for a whole batch."""
    orders = len(sample.times)
    if sample.read_seconds is None:
        message = f"reading the last {orders} takes longer than a check waits"
        yield Finding("orders.slow", "orders", message)
    elif sample.read_seconds / max(orders, _FEW) >= SLOW_ROW_SECONDS:
        each = 1000 * sample.read_seconds / orders
        message = f"reading the last {orders} took {sample.read_seconds:.1f} s, "
        yield Finding("orders.slow", "orders", f"{message}{each:.0f} ms each")


def _unreadable(source: Source, sample: Sample) -> Iterator[Finding]:
    """Report orders over which the view fails, and those with no row or several."""
    if sample.broken:
        key, state = next(iter(sample.broken.items()))
        failing = f"{sample.share(len(sample.broken))} fail with SQLSTATE {state}"
        message = f"{failing}, for example {key}"
        yield Finding("orders.unreadable", "orders", message)
    read = {*sample.rows, *sample.broken}
    if absent := [key for key in sample.times if key not in read]:
        message = f"{sample.share(len(absent))} have no row in purchases"
        message += f", for example {absent[0]}"
        yield Finding("orders.rowless", "orders", message)
    if sample.broken:
        return
    statement = composed("repeated_rows", **source.views.names())
    repeated = source.database.mapping(str, int, statement, keys=list(sample.times))
    for key, count in [*repeated.items()][:1]:
        message = f"{sample.share(len(repeated))} have several rows: {key} has {count}"
        yield Finding("orders.multiplied", "orders", message)


def _invalid(sample: Sample, survey: Survey) -> Iterator[Finding]:
    """Report the reasons why orders cannot be sent, by the first orders."""
    reasons = [("orders.incomplete", *entry) for entry in survey.waiting.items()]
    reasons += [("orders.invalid", *entry) for entry in survey.refused.items()]
    keys = list(sample.rows)
    for code, reason, tally in sorted(reasons, key=lambda r: keys.index(r[2].key)):
        message = f"{sample.share(tally.orders)}: {reason}, for example {tally.key}"
        yield Finding(code, "orders", message, f"syncd preview {tally.key}")


def _left_out(sample: Sample, survey: Survey) -> Iterator[Finding]:
    """Report the details that orders would be sent without."""
    for detail, tally in survey.left_out.items():
        message = f"{sample.share(tally.orders)} are sent without {detail}"
        step = f"`syncd preview {tally.key}`, then mend the column in the view."
        example = f"{message}, for example {tally.key}"
        yield Finding("orders.left_out", "orders", example, step)


def _numbers(rows: Mapping[str, Row]) -> Iterator[Finding]:
    numbers = Counter(str(r["orderid"]) for r in rows.values() if r.get("orderid"))
    same = [number for number, count in numbers.items() if count > 1]
    if same:
        message = f"several orders share an orderid: {listed(same)}"
        yield Finding("orders.same_number", "orders", message)


def _future(source: Source, sample: Sample) -> Iterator[Finding]:
    ahead = [k for k, at in sample.times.items() if at > sample.now + SKEW]
    if ahead:
        span: timedelta = sample.times[ahead[0]] - sample.now
        hours = span.total_seconds() / 3600
        message = f"{sample.share(len(ahead))} are stamped up to {hours:.1f} h ahead"
        zones = probable_zones(source.database, shift_by(span, len(ahead)))
        message += f", for example {ahead[0]}"
        message += f"; source.time_zone is probably {zones[0]}" if zones else ""
        yield Finding("orders.future", "orders", message)


def _kinds(settings: Settings, rows: Mapping[str, Row]) -> Iterator[Finding]:
    """Report several currencies or languages where orders without pass."""
    asked = settings.source
    currencies = {row.get("currency") or None for row in rows.values()}
    if len(currencies) > 1 and not asked.require_currency:
        yield Finding("orders.currencies", "orders", _listed(currencies, "currency"))
    languages = {
        line.get("language") or None for row in rows.values() for line in _lines(row)
    }
    if len(languages) > 1 and not asked.require_language:
        yield Finding("orders.languages", "orders", _listed(languages, "language"))


def _lines(row: Row) -> list[dict[str, object]]:
    products = row.get("products")
    return [one for one in products if is_object(one)] if is_array(products) else []


def _listed(values: Iterable[object], what: str) -> str:
    there = sorted({_harmless(value) for value in values if value is not None})
    without = " and none" if None in values else ""
    return f"the {what} is {listed(there)}{without}"


def _harmless(value: object) -> str:
    """Write a code, but nothing else that a view may give in its place."""
    return value if isinstance(value, str) and _CODE.fullmatch(value) else "no code"


def check_growth(settings: Settings, connections: Connections) -> Iterator[Finding]:
    """Compare the newest orders as sent with the view; warn from one in a hundred."""
    feed = FeedStore(connections, settings.feed).find()
    if feed is None or not settings.api_key.get_secret_value():
        return
    comparison = EventDiff(settings, connections, feed).with_sent(NEWEST_SENT)
    grown = [d.key for d in comparison.differences if d.same_mapping and _has_grown(d)]
    if len(grown) * 100 > comparison.compared:
        message = (
            f"{len(grown)} of the last {comparison.compared} orders sent have gained "
            f"lines since, for example {grown[0]}"
        )
        yield Finding("orders.grew", "orders", message)


def _has_grown(difference: Difference) -> bool:
    return any((c.place.field, c.kind) in _GROWN for c in difference.changes)
