"""`syncd diff`: the last delivered orders as a view would send them, beside another.

Nothing is sent or written unasked. The other is a candidate view of the same shape, or
the fingerprints of what was sent (ADR-0014).
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from syncd.backfill.resending import Resending
from syncd.config.settings import Settings
from syncd.core.command_errors import OrderUnknownError
from syncd.core.errors import PermissionDeniedError, ViewError
from syncd.core.event import Event, render
from syncd.core.event_diff import (
    Change,
    Difference,
    FieldPath,
    FingerprintKey,
    against_fingerprints,
    compare,
    places,
    unpack,
)
from syncd.delivery.fingerprints import mapping_of
from syncd.delivery.rendering import refuse_unknown_fields, rules_of
from syncd.ledger.batches import Ledger
from syncd.ledger.feed import Feed
from syncd.postgres.statements import query
from syncd.source.connections import Connections, source_on
from syncd.source.lookup import Listing
from syncd.source.orders import Source

PAGE_ORDERS = 100


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a comparison found.

    Attributes:
        keys: Of the orders that were compared.
        differences: Of those that differ, newest first.
        foreign: Orders whose fingerprints another API key made.
        same_mapping: Whether the view's text is the one that all of them were sent
            with; None for a candidate view.
    """

    keys: Sequence[str]
    differences: Sequence[Difference]
    foreign: int = 0
    same_mapping: bool | None = None

    @property
    def compared(self) -> int:
        """Orders that were compared."""
        return len(self.keys)

    def only(self, keys: Collection[str]) -> "Comparison":
        """Leave other orders out.

        Raises:
            OrderUnknownError: One of them was not compared.
        """
        if unknown := sorted({*keys} - {*self.keys}):
            raise OrderUnknownError(
                f"not among the orders compared: {', '.join(unknown)}",
                "Name orders by order_key; a higher --last goes further back.",
            )
        return replace(
            self,
            keys=[*keys],
            differences=[d for d in self.differences if d.key in keys],
        )


@dataclass(frozen=True, slots=True)
class _Rendered:
    """An order's event by place, or why there is none."""

    places: Mapping[FieldPath, object] | None = None
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class _Asked:
    """An order to render: as it was confirmed, and as of when."""

    key: str
    confirmed_at: datetime
    at: datetime


@dataclass(frozen=True, slots=True)
class _Fingerprint:
    """What was sent of an order, field by field; and its time in the ledger."""

    order_key: str
    sent_at: datetime
    key_id: bytes
    mapping: str
    fields: Mapping[str, str]
    confirmed_at: datetime | None


class EventDiff:
    """Compares events of one feed."""

    def __init__(
        self, settings: Settings, connections: Connections, feed: Feed
    ) -> None:
        self._settings = settings
        self._source = source_on(settings, connections)
        self._ledger = connections.ledger
        self._feed = feed
        self._rules = rules_of(settings)

    def with_view(self, view: str, last: int) -> Comparison:
        """Compare the last delivered orders with what a candidate view makes of them.

        Raises:
            SchemaMismatchError: The view is missing, or not of the shape.
            PermissionDeniedError: It may not be read.
        """
        candidate = self._candidate(view)
        delivered = self._ledger.rows(
            Listing, query("last_delivered"), feed=self._feed.feed_id, last=last
        )
        now = self._source.clock()
        asked = [_Asked(key, at, now) for key, at in delivered]
        before = self._render(self._source, asked)
        after = self._render(candidate, asked)
        found: list[Difference] = []
        for order, one, other in zip(asked, before, after, strict=True):
            changes = compare(one.places or {}, other.places or {})
            if other.places is not None or one != other:
                found += _difference(order.key, other, changes)
        return Comparison([order.key for order in asked], found)

    def with_sent(self, last: int) -> Comparison:
        """Compare the last orders sent live with what the view makes of them today."""
        fingerprints = FingerprintKey.of(self._settings.api_key.get_secret_value())
        view = self._settings.source.purchases_view
        mapping = mapping_of(self._source.database, view)
        kept = self._ledger.rows(
            _Fingerprint, query("fingerprints"), feed=self._feed.feed_id, last=last
        )
        ours = [each for each in kept if each.key_id == fingerprints.key_id]
        asked = [self._asked(each) for each in ours]
        found: list[Difference] = []
        for each, now in zip(ours, self._render(self._source, asked), strict=True):
            sent, places = unpack(each.fields), now.places or {}
            changes = against_fingerprints(fingerprints, each.order_key, sent, places)
            is_same = each.mapping == mapping
            found += _difference(each.order_key, now, changes, same_mapping=is_same)
        same = all(each.mapping == mapping for each in ours)
        return Comparison([o.key for o in asked], found, len(kept) - len(ours), same)

    def resend(self, keys: Sequence[str], reason: str) -> tuple[int, int]:
        """Send orders again, with all fields; return the backfill's number and theirs.

        Raises:
            OrderUnknownError: None of them was delivered.
        """
        ledger = Ledger(self._ledger, self._feed.feed_id)
        size = self._settings.squeezely.orders_per_batch
        resending = Resending(self._source, ledger, size=size)
        return resending.resend(keys, reason, with_profile=True)

    def _asked(self, kept: _Fingerprint) -> _Asked:
        key, confirmed_at = kept.order_key, kept.confirmed_at
        confirmed_at = confirmed_at or self._source.confirmed_at(key) or kept.sent_at
        return _Asked(key, confirmed_at, kept.sent_at)

    def _candidate(self, view: str) -> Source:
        database = self._source.database
        source = Source(
            database,
            self._settings.source.confirmed_view,
            view,
            beside_ledger=database is self._ledger,
        )
        try:
            source.views.check()
            columns = [column.name for column in source.views.columns(view)]
            refuse_unknown_fields(view, columns)
            source.read([])
        except PermissionDeniedError as error:
            raise PermissionDeniedError(
                str(error), f"GRANT SELECT ON {view} to the role of source.dsn."
            ) from error
        return source

    def _render(self, source: Source, asked: Sequence[_Asked]) -> Iterator[_Rendered]:
        """Render orders, in their order."""
        for first in range(0, len(asked), PAGE_ORDERS):
            page = asked[first : first + PAGE_ORDERS]
            rows = read_each(source, [order.key for order in page])
            for order in page:
                yield self._rendered(order, rows.get(order.key))

    def _rendered(
        self, order: _Asked, row: Mapping[str, object] | str | None
    ) -> _Rendered:
        if row is None:
            return _Rendered()
        if isinstance(row, str):
            return _Rendered(fault=f"the view fails (SQLSTATE {row})")
        made = render(row, order.confirmed_at, self._rules, order.at)
        if isinstance(made, Event):
            return _Rendered(places(made.event))
        return _Rendered(fault=made.reason)


def read_each(
    source: Source, keys: Sequence[str]
) -> Mapping[str, Mapping[str, object] | str]:
    """Read rows by key; of one that makes the view fail, the SQLSTATE."""
    try:
        return source.read(keys)
    except ViewError as error:
        if len(keys) == 1:
            return {keys[0]: error.sqlstate}
    return {k: row for key in keys for k, row in read_each(source, [key]).items()}


def _difference(
    key: str,
    now: _Rendered,
    changes: Sequence[Change],
    *,
    same_mapping: bool | None = None,
) -> Iterator[Difference]:
    """Yield how an order differs; nothing when it does not."""
    if now.places is None:
        yield Difference(key, (), now.fault, now.fault is None, same_mapping)
    elif changes:
        yield Difference(key, changes, same_mapping=same_mapping)
