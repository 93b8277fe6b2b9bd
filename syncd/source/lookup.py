"""The views' rows of orders: by key, number, address or time."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Literal, NamedTuple

from syncd.core.cause import Place
from syncd.core.command_errors import OrderAmbiguousError
from syncd.core.errors import UnreadableRowError
from syncd.core.known import ListedOrder
from syncd.core.several_rows import merged
from syncd.postgres.database import Database
from syncd.postgres.statements import query
from syncd.source.views import Views, columns_of


class Listing(NamedTuple):
    """An order, and a time at which the view lists it."""

    order_key: str
    confirmed_at: datetime


class Stamp(NamedTuple):
    """An order's time, and when the server showed it."""

    order_key: str
    confirmed_at: datetime
    seen_at: datetime


class Bounds(NamedTuple):
    """The times of the oldest and the newest order with a usable one, and now."""

    oldest: datetime | None
    newest: datetime | None
    now: datetime


class OrderLookup:
    """Reads the views' rows of orders, by key, number, address or time.

    A row over which a view fails raises `UnreadableRowError`.
    """

    def __init__(self, database: Database, views: Views) -> None:
        self.database = database
        self.views = views

    def clock(self) -> datetime:
        """Read the server's clock."""
        return self.database.value(datetime, query("clock"))

    def newest_page(
        self, lower: datetime, upper: datetime | Literal["infinity"], orders: int
    ) -> datetime | None:
        """Return after which time at most `orders` of a range lie; None: all do."""
        statement = self.views.statement("newest_page")
        return self.database.find_value(
            datetime, statement, lower=lower, upper=upper, orders=orders
        )

    def spread(
        self, starts: Sequence[datetime], upper: datetime, each: int
    ) -> dict[str, datetime]:
        """Pick some orders after each of some times; by key, oldest first."""
        statement = self.views.statement("spread_keys")
        return self.database.mapping(
            str, datetime, statement, starts=list(starts), upper=upper, limit=each
        )

    def count_listed(
        self, keys: Sequence[str], lower: datetime, upper: datetime
    ) -> int:
        """Count those of some orders that the view lists within a range."""
        statement = self.views.statement("count_listed")
        return self.database.value(
            int, statement, keys=list(keys), lower=lower, upper=upper
        )

    def bounds(self) -> Bounds:
        """Read the oldest and the newest usable time that the view lists, and now."""
        return self.database.row(Bounds, self.views.statement("bounds"))

    def keys_after(self, after: str | None, limit: int) -> list[str]:
        """Read keys that the view lists, in their own order, without any time.

        `after` is the last key of the page before, None for the first one; of the
        `limit` a key that is listed twice takes two.
        """
        statement = self.views.statement("keys_after")
        return self.database.values(str, statement, after=after, limit=limit)

    def read_times(self, keys: Sequence[str]) -> None:
        """Read the times of some orders, whatever they are."""
        self.database.run(self.views.statement("read_times"), keys=list(keys))

    def read_span(self, lower: datetime, upper: datetime) -> None:
        """Read keys and times of the orders of a range (lower excluded)."""
        statement = self.views.statement("read_span")
        self.database.run(statement, lower=lower, upper=upper)

    def listings(
        self, keys: Sequence[str], lower: datetime, upper: datetime
    ) -> list[Listing]:
        """Read every time in a range at which the view lists these orders."""
        statement = self.views.statement("listings")
        return self.database.rows(
            Listing, statement, keys=list(keys), lower=lower, upper=upper
        )

    def read(self, keys: Sequence[str]) -> dict[str, dict[str, object]]:
        """Read rows of `purchases` by key; a key without a row is absent."""
        return {key: columns_of(text) for key, text in self.read_json(keys).items()}

    def read_json(self, keys: Sequence[str]) -> dict[str, str]:
        """Read rows of `purchases` by key, as JSON for `columns_of`; one an order."""
        statement = self.views.statement("read_purchases")
        return merged(self.database.pairs(str, str, statement, keys=list(keys)))

    def listed_orders(self, keys: Sequence[str]) -> list[ListedOrder]:
        """Read orders by key as both views list them; keys of another kind are none.

        One whose row of `purchases` fails has no number.
        """
        times = self.listed_times(keys)
        orderids = self.orderids(list(times))
        return [ListedOrder(key, at, orderids.get(key)) for key, at in times.items()]

    def listed_times(self, keys: Sequence[str]) -> dict[str, datetime]:
        """Read the first time of orders, by key; keys of another kind are none."""
        are_keys = replace(self.views.statement("are_keys"), place=Place.PURCHASES)
        try:
            with self.database.transaction():
                self.database.run(are_keys, keys=list(keys))
        except UnreadableRowError:
            return {}
        statement = self.views.statement("listed_times")
        return self.database.mapping(str, datetime, statement, keys=list(keys))

    def orderids(self, keys: Sequence[str]) -> dict[str, str]:
        """Return, by key, the numbers of those orders whose rows can be read."""
        statement = self.views.statement("orderids")
        try:
            with self.database.transaction():
                return self.database.mapping(str, str, statement, keys=list(keys))
        except UnreadableRowError:
            if len(keys) <= 1:
                return {}
            middle = len(keys) // 2
            return self.orderids(keys[:middle]) | self.orderids(keys[middle:])

    def still_confirmed(self, keys: Sequence[str]) -> set[str]:
        """Return which of the keys `confirmed_orders` lists now."""
        statement = self.views.statement("still_confirmed")
        return set(self.database.values(str, statement, keys=list(keys)))

    def find(self, order: str) -> str | None:
        """Find the key of an order by key or public number; None when unknown.

        Raises:
            OrderAmbiguousError: It is one order's key and another's number.
        """
        keys = self.matches(order)
        if len(keys) > 1:
            raise OrderAmbiguousError(order, sorted(keys))
        return keys[0] if keys else None

    def matches(self, order: str) -> list[str]:
        """Find the keys that a key or public number may mean; at most two."""
        statement = self.views.statement("find_order")
        return self.database.values(str, statement, order=order)

    def of_email(self, emails: Sequence[str]) -> list[str]:
        """Find the keys of the orders of any of these addresses, in lower case.

        Raises:
            SlowStatementError: The view has no index for that, and many orders.
        """
        statement = self.views.statement("find_by_email")
        return self.database.values(str, statement, emails=list(emails))

    def confirmed_at(self, key: str) -> datetime | None:
        """Return when an order was confirmed first; None: not at a usable time."""
        statement = self.views.statement("confirmed_at")
        return self.database.find_value(datetime, statement, key=key)

    def without_time(self) -> int:
        """Count the confirmed orders whose time no clock shows; they are never sent."""
        return self.database.value(int, self.views.statement("count_without_time"))

    def newest_stamps(self, orders: int) -> list[Stamp]:
        """List the orders with the newest times, and as of when they were read."""
        statement = self.views.statement("newest_stamps")
        return self.database.rows(Stamp, statement, orders=orders)

    def highest_keys(self, orders: int) -> list[Listing]:
        """List the orders of the highest keys with their first times, by key."""
        statement = self.views.statement("highest_keys")
        return self.database.rows(Listing, statement, orders=orders)

    def sample(self, lower: datetime, limit: int) -> list[Listing]:
        """List the orders confirmed last after `lower`, newest first."""
        statement = self.views.statement("sample_keys")
        return self.database.rows(Listing, statement, lower=lower, limit=limit)

    def plan(self, name: str, **params: object) -> object:
        """Ask for the plan of a look-up (`plan_window` or `plan_read`) as JSON."""
        return self.database.value(object, self.views.statement(name), **params)
