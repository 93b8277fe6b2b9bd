"""Known orders, searched for in the views: by key, by time, by number.

The guard of identity decides by this whether the keys are those of the ledger.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from syncd.core.identity import (
    NEAR,
    Identity,
    Keys,
    Replacement,
    are_alike,
    are_elsewhere,
    are_most,
    are_newest,
    compare_keys,
    shared_number,
)
from syncd.core.known import KnownOrder, ListedOrder
from syncd.postgres.database import Database
from syncd.postgres.statements import compose, query
from syncd.source.orders import Source

SAMPLE = 200
"""Orders that are compared."""

RECENT = timedelta(days=1)
"""How long orders with one number are reported."""

NEIGHBOURS = 10_000
"""Orders around their time that are searched for keys of another type."""


@dataclass(frozen=True, slots=True)
class IdentityCheck:
    """What one comparison found.

    Attributes:
        replaced: Names that stand for other tables than those that are read or heard.
        held: Why nothing may be admitted or sent; None: it may.
        accepted: What was changed, although the keys still stand for the same orders.
        compared: Orders that were compared for that.
        unlisted: Which known orders are listed no more; None: not the newest.
        shared: Which orders have one number; None: none of the last day.
    """

    replaced: Sequence[Replacement] = ()
    held: str | None = None
    accepted: str | None = None
    compared: int = 0
    unlisted: str | None = None
    shared: str | None = None

    @property
    def alarms(self) -> Sequence[str | None]:
        """What needs attention although capture and delivery go on."""
        return self.unlisted, self.shared


class KeyComparison:
    """Compares the newest orders of one feed's ledger with what the views list."""

    def __init__(self, source: Source, ledger: Database, feed_id: int) -> None:
        self._source = source
        self._ledger = ledger
        self._feed_id = feed_id

    def after_change(
        self, known: Identity, now: Identity, change: str
    ) -> IdentityCheck:
        """Compare after the views were changed: accept the same keys, hold others."""
        orders = self._recent()
        if self._compare_keys(known, now, orders) is Keys.OTHER:
            return IdentityCheck(held=_held(change, orders))
        return IdentityCheck(accepted=change, compared=len(orders))

    def unchanged(self, accepted_at: datetime) -> IdentityCheck:
        """Search for the newest orders: what the views read may have changed."""
        orders = self._recent()
        listed = self._source.listed_times([order.key for order in orders])
        lost = [order for order in orders if order.key not in listed]
        if are_most(orders, lost) and are_elsewhere(lost, self._at_times(lost)):
            return IdentityCheck(held=_held("the same views list other keys now", lost))
        since = [order for order in orders if order.confirmed_at > accepted_at]
        is_unlisted = are_newest(since, lost)
        return IdentityCheck(
            unlisted=_unlisted(orders, lost) if is_unlisted else None,
            shared=shared_number(orders, datetime.now(UTC) - RECENT),
        )

    def _recent(self) -> list[KnownOrder]:
        """Return the newest orders; without those that cannot be read now."""
        orders = self._ledger.rows(
            KnownOrder, query("recent_orders"), feed=self._feed_id, limit=SAMPLE
        )
        unreadable = set(self._source.views.left_out)
        return [order for order in orders if order.key not in unreadable]

    def _compare_keys(
        self, known: Identity, now: Identity, orders: Sequence[KnownOrder]
    ) -> Keys:
        self._source.views.forget()
        is_alike = are_alike(known.key_type, now.key_type)
        listed = {
            order.key: order
            for order in self._source.listed_orders([o.key for o in orders])
        }
        lost = [order for order in orders if order.key not in listed]
        candidates = self._candidates(lost) if lost and is_alike else []
        keys = compare_keys(orders, listed, candidates, is_alike=is_alike)
        return Keys.OTHER if keys is Keys.GONE and self._are_old_unknown() else keys

    def _are_old_unknown(self) -> bool:
        """Return whether orders from before the start would count as new."""
        started_at = self._ledger.value(
            datetime, query("feed_start"), feed=self._feed_id
        )
        statement = self._source.views.statement("listed_before")
        old = self._source.database.values(
            str, statement, upper=started_at, limit=SAMPLE
        )
        return bool(old) and 2 * len(self._unknown(old)) >= len(old)

    def _candidates(self, lost: Sequence[KnownOrder]) -> list[ListedOrder]:
        """Find orders that may be the lost ones under keys that the ledger lacks."""
        under = self._under_numbers(lost)
        return [*self._at_times(lost), *self._without_known(under)]

    def _at_times(self, lost: Sequence[KnownOrder]) -> list[ListedOrder]:
        """Find orders at these times, with keys that the ledger lacks."""
        times = [order.confirmed_at for order in lost]
        found = self._source.database.rows(
            ListedOrder,
            self._source.views.statement("listed_about"),
            lower=min(times) - NEAR,
            upper=max(times) + NEAR,
            limit=NEIGHBOURS,
        )
        return self._without_known(found)

    def _under_numbers(self, lost: Sequence[KnownOrder]) -> list[ListedOrder]:
        """Find orders of the same numbers, with a time that no order is near to."""
        numbers = [order.orderid for order in lost if order.orderid is not None]
        if not numbers:
            return []
        under = self._source.database.mapping(
            str, str, self._source.views.statement("listed_under"), numbers=numbers
        )
        far = lost[0].confirmed_at - 2 * NEAR
        return [ListedOrder(key, far, number) for key, number in under.items()]

    def _without_known(self, found: Sequence[ListedOrder]) -> list[ListedOrder]:
        unknown = self._unknown([order.key for order in found])
        return [order for order in found if order.key in unknown]

    def _unknown(self, keys: Sequence[str]) -> set[str]:
        unknown = self._ledger.values(
            str, compose("unknown_keys"), feed=self._feed_id, keys=list(keys)
        )
        return set(unknown)


def _held(change: str, orders: Sequence[KnownOrder]) -> str:
    """Explain in one line why nothing is admitted, and what to do."""
    example = f", like {orders[0].key}" if orders else ""
    what = f"the {len(orders)} newest orders of the ledger{example}"
    return f"{change}, and {what} are not listed under their keys any more"


def _unlisted(orders: Sequence[KnownOrder], lost: Sequence[KnownOrder]) -> str:
    which = f"{len(lost)} of the {len(orders)} newest known orders"
    return f"{which}, like {lost[0].key}, are not in confirmed_orders any more"
