"""What the views say of orders: by key, number, address or time."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Literal, cast

from syncd.core.cause import Place
from syncd.core.command_errors import OrderAmbiguousError
from syncd.core.errors import UnreadableRowError
from syncd.core.known import ListedOrder
from syncd.postgres.database import Database
from syncd.postgres.statements import query
from syncd.source.views import Views, columns_of


class OrderLookup:
    """Reads what the views say of orders, by key, number, address or time.

    Args:
        database: A connection to the order database.
        views: The two views.
    """

    def __init__(self, database: Database, views: Views) -> None:
        self.database = database
        self.views = views

    def clock(self) -> datetime:
        """Read the server's clock."""
        return cast("datetime", self.database.one(query("clock"))[0])

    def newest_page(
        self, lower: datetime, upper: datetime | Literal["infinity"], orders: int
    ) -> datetime | None:
        """Return after which time at most `orders` of a range lie; None: all do."""
        statement = self.views.statement("newest_page")
        row = self.database.one(statement, lower=lower, upper=upper, orders=orders)
        return cast("datetime | None", row[0])

    def spread(
        self, starts: Sequence[datetime], upper: datetime, each: int
    ) -> dict[str, datetime]:
        """Pick some orders after each of some times; by key, oldest first."""
        statement = self.views.statement("spread_keys")
        rows = self.database.all(
            statement, starts=list(starts), upper=upper, limit=each
        )
        return dict(cast("list[tuple[str, datetime]]", rows))

    def count_listed(
        self, keys: Sequence[str], lower: datetime, upper: datetime
    ) -> int:
        """Count those of some orders that the view lists within a range."""
        statement = self.views.statement("count_listed")
        row = self.database.one(statement, keys=list(keys), lower=lower, upper=upper)
        return cast("int", row[0])

    def bounds(self) -> tuple[datetime | None, datetime | None, datetime]:
        """Read the oldest and the newest usable time that the view lists, and now."""
        row = self.database.one(self.views.statement("bounds"))
        return cast("tuple[datetime | None, datetime | None, datetime]", row)

    def keys_after(self, after: str | None, limit: int) -> list[str]:
        """Read keys that the view lists, in their own order, without any time.

        Args:
            after: The last key of the page before; None for the first one.
            limit: How many; a key that is listed twice counts twice.
        """
        statement = self.views.statement("keys_after")
        rows = self.database.all(statement, after=after, limit=limit)
        return [str(key) for (key,) in rows]

    def read_times(self, keys: Sequence[str]) -> None:
        """Read the times of some orders, whatever they are.

        Raises:
            UnreadableRowError: One of the rows makes the view fail.
        """
        self.database.all(self.views.statement("read_times"), keys=list(keys))

    def read_span(self, lower: datetime, upper: datetime) -> None:
        """Read keys and times of the orders of a range (lower excluded).

        Raises:
            UnreadableRowError: One of the rows makes the view fail.
        """
        statement = self.views.statement("read_span")
        self.database.one(statement, lower=lower, upper=upper)

    def listings(
        self, keys: Sequence[str], lower: datetime, upper: datetime
    ) -> Iterator[tuple[str, datetime]]:
        """Read every time in a range at which the view lists these orders."""
        statement = self.views.statement("listings")
        rows = self.database.all(statement, keys=list(keys), lower=lower, upper=upper)
        yield from cast("list[tuple[str, datetime]]", rows)

    def read(self, keys: Sequence[str]) -> dict[str, dict[str, object]]:
        """Read rows of `purchases` by key; a key without a row is absent.

        Raises:
            UnreadableRowError: One of the rows makes the view fail.
        """
        return {key: columns_of(text) for key, text in self.read_json(keys).items()}

    def read_json(self, keys: Sequence[str]) -> dict[str, str]:
        """Read rows of `purchases` as JSON (`columns_of` reads it).

        Raises:
            UnreadableRowError: One of the rows makes the view fail.
        """
        statement = self.views.statement("read_purchases")
        rows = self.database.all(statement, keys=list(keys))
        return dict(cast("list[tuple[str, str]]", rows))

    def listed_orders(self, keys: Sequence[str]) -> list[ListedOrder]:
        """Read orders by key as both views list them; keys of another kind are none.

        One whose row of `purchases` fails has no number.

        Raises:
            UnreadableRowError: A row of `confirmed_orders` makes that view fail.
        """
        are_keys = replace(self.views.statement("are_keys"), place=Place.PURCHASES)
        try:
            with self.database.transaction():
                self.database.one(are_keys, keys=list(keys))
        except UnreadableRowError:
            return []
        statement = self.views.statement("listed_times")
        rows = self.database.all(statement, keys=list(keys))
        times = cast("list[tuple[str, datetime]]", rows)
        orderids = self.orderids([key for key, _ in times])
        return [ListedOrder(key, at, orderids.get(key)) for key, at in times]

    def orderids(self, keys: Sequence[str]) -> dict[str, str]:
        """Return, by key, the numbers of those orders whose rows can be read."""
        statement = self.views.statement("orderids")
        try:
            with self.database.transaction():
                rows = self.database.all(statement, keys=list(keys))
        except UnreadableRowError:
            if len(keys) <= 1:
                return {}
            middle = len(keys) // 2
            return self.orderids(keys[:middle]) | self.orderids(keys[middle:])
        return dict(cast("list[tuple[str, str]]", rows))

    def still_confirmed(self, keys: Sequence[str]) -> set[str]:
        """Return which of the keys `confirmed_orders` lists now."""
        statement = self.views.statement("still_confirmed")
        return {str(key) for (key,) in self.database.all(statement, keys=list(keys))}

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
        rows = self.database.all(self.views.statement("find_order"), order=order)
        return [str(key) for (key,) in rows]

    def of_email(self, emails: Sequence[str]) -> list[str]:
        """Find the keys of the orders of any of these addresses, in lower case.

        Raises:
            SlowStatementError: The view has no index for that, and many orders.
        """
        statement = self.views.statement("find_by_email")
        rows = self.database.all(statement, emails=list(emails))
        return [str(key) for (key,) in rows]

    def confirmed_at(self, key: str) -> datetime | None:
        """Return when an order was confirmed first; None: not at a usable time."""
        (moment,) = self.database.one(self.views.statement("confirmed_at"), key=key)
        return cast("datetime | None", moment)

    def without_time(self) -> int:
        """Count the confirmed orders whose time no clock shows; they are never sent."""
        (orders,) = self.database.one(self.views.statement("count_without_time"))
        return cast("int", orders)

    def newest_stamps(self, orders: int) -> list[tuple[str, datetime, datetime]]:
        """List the orders with the newest times: key, time, as of when it was read."""
        statement = self.views.statement("newest_stamps")
        rows = self.database.all(statement, orders=orders)
        return cast("list[tuple[str, datetime, datetime]]", rows)

    def highest_keys(self, orders: int) -> list[tuple[str, datetime]]:
        """List the orders of the highest keys with their first times, by key."""
        statement = self.views.statement("highest_keys")
        rows = self.database.all(statement, orders=orders)
        return cast("list[tuple[str, datetime]]", rows)

    def sample(self, lower: datetime, limit: int) -> list[tuple[str, datetime]]:
        """List the orders confirmed last after `lower`, newest first."""
        statement = self.views.statement("sample_keys")
        rows = self.database.all(statement, lower=lower, limit=limit)
        return cast("list[tuple[str, datetime]]", rows)

    def plan(self, name: str, **params: object) -> object:
        """Ask for the plan of a look-up (`plan_window` or `plan_read`) as JSON."""
        return self.database.one(self.views.statement(name), **params)[0]
