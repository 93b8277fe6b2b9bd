"""From a claimed batch to its events: read by key, then sort by what can be done."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from syncd.config.settings import Settings
from syncd.core.errors import SchemaMismatchError, UnreadableRowError
from syncd.core.event import (
    Event,
    EventRules,
    Rejection,
    render,
    unknown_fields,
    without_profile,
)
from syncd.core.fast_event import FastRenderer
from syncd.ledger.claim import Claim, ExcludedOrder, Order
from syncd.source.orders import Source
from syncd.source.views import columns_of


@dataclass(slots=True)
class Rendered:
    """A batch sorted: events to send, orders set aside, orders (with why) to wait for.

    Each list is in the order of the batch.
    """

    purchases: list[tuple[str, Event]] = field(default_factory=list)
    exclusions: list[ExcludedOrder] = field(default_factory=list)
    waiting: list[tuple[str, str]] = field(default_factory=list)

    def exclude(
        self,
        order: Order,
        reason: str,
        *,
        state: Literal["rejected", "withdrawn"] = "rejected",
        orderid: str | None = None,
    ) -> None:
        """Set an order aside."""
        self.exclusions.append(ExcludedOrder(order.key, state, reason, orderid))

    def __len__(self) -> int:
        """Count the orders."""
        return len(self.purchases) + len(self.exclusions) + len(self.waiting)


def rules_of(settings: Settings) -> EventRules:
    """Take the rules of rendering from the configuration."""
    source = settings.source
    zone = ZoneInfo(source.time_zone or "UTC")
    return EventRules(source.require_language, source.require_currency, zone)


def refuse_unknown_fields(view: str, columns: Iterable[str]) -> None:
    """Refuse a view with columns that Squeezely does not know.

    Raises:
        SchemaMismatchError: It names them.
    """
    if fields := unknown_fields(columns):
        raise SchemaMismatchError(
            f"{view} has columns that are no fields of Squeezely's: "
            f"{', '.join(fields)}",
            "Rename each to custom_<name>, or take it out of the view.",
        )


class Renderer:
    """Makes the events of batches. An order that is not ready is waited for first."""

    def __init__(self, source: Source, rules: EventRules, settle: timedelta) -> None:
        self._source = source
        self._rules = rules
        self._settle = settle
        self._plains: dict[tuple[frozenset[str], bool], FastRenderer] = {}

    def render(self, claim: Claim, rows: Mapping[str, str]) -> Rendered:
        """Sort the orders of a claim by their rows.

        Raises:
            SchemaMismatchError: The view has columns that are no fields.
        """
        plain = self._plain(rows, claim)
        rendered = Rendered()
        absent: list[Order] = []
        for order in claim.orders:
            row = rows.get(order.key)
            if row is None:
                absent.append(order)
            elif made := plain.purchase(row, order.confirmed_at, claim.claimed_at):
                rendered.purchases.append((order.key, made))
            else:
                self._sort(rendered, claim, order, row)
        self._sort_absent(rendered, claim, absent)
        return rendered

    def _plain(self, rows: Mapping[str, str], claim: Claim) -> FastRenderer:
        """Find what makes plain events of a view with these columns."""
        columns = frozenset(_first(rows))
        kind = (columns, claim.with_profile)
        if kind not in self._plains:
            refuse_unknown_fields(self._source.views.purchases, columns)
            plain = FastRenderer(columns, self._rules, with_profile=claim.with_profile)
            self._plains[kind] = plain
        return self._plains[kind]

    def _sort(self, rendered: Rendered, claim: Claim, order: Order, text: str) -> None:
        try:
            row = columns_of(text)
        except UnreadableRowError as error:
            reason = f"the row is no JSON that can be read (SQLSTATE {error.sqlstate})"
            rendered.exclude(order, reason)
            return
        row = row if claim.with_profile else without_profile(row)
        made = render(row, order.confirmed_at, self._rules, claim.claimed_at)
        if isinstance(made, Event):
            rendered.purchases.append((order.key, made))
        elif isinstance(made, Rejection) or self._is_settled(claim, order):
            rendered.exclude(order, made.reason, orderid=made.orderid)
        else:
            rendered.waiting.append((order.key, made.reason))

    def _sort_absent(
        self, rendered: Rendered, claim: Claim, absent: Sequence[Order]
    ) -> None:
        """Decide on orders without a row: wait first, then withdraw or reject."""
        settled = [o.key for o in absent if self._is_settled(claim, o)]
        confirmed = self._source.still_confirmed(settled) if settled else set[str]()
        for order in absent:
            if order.key not in settled:
                rendered.waiting.append((order.key, "not in the purchases view yet"))
            elif order.key in confirmed:
                reason = "is confirmed but has no row in the purchases view"
                rendered.exclude(order, reason)
            else:
                reason = "was no longer confirmed when it was to be sent"
                rendered.exclude(order, reason, state="withdrawn")

    def _is_settled(self, claim: Claim, order: Order) -> bool:
        since = order.waiting_since
        return since is not None and claim.claimed_at - since >= self._settle


def _first(rows: Mapping[str, str]) -> Mapping[str, object]:
    """Return the first row that is JSON, as columns; none for none."""
    for text in rows.values():
        with suppress(UnreadableRowError):
            return columns_of(text)
    return {}
