"""The door to the shop's order database: its two views."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal, cast

import msgspec
from psycopg import sql

from syncd.core.cause import Place
from syncd.core.command_errors import OrderAmbiguousError
from syncd.core.errors import SchemaMismatchError, UnreadableRowError, ViewMissingError
from syncd.core.known import ListedOrder
from syncd.postgres.database import Database
from syncd.postgres.statements import (
    Statement,
    compose,
    composed,
    identifier,
    part,
    query,
    trusted_sql,
)

_CONFIRMED = ("order_key", "confirmed_at")
_PURCHASES = ("order_key", "orderid", "email", "products")
_CREATE = (
    "Create the two views (`syncd views detect`, or sql/shops/template.sql), then run "
    "`syncd check`."
)
INVALID_JSON = "22032"
"""SQLSTATE of JSON that PostgreSQL lets pass (type json) but no reader does."""

INSTANT = timedelta(microseconds=1)
"""The least distance of two times of PostgreSQL's."""

_DECODER = msgspec.json.Decoder(dict[str, object], float_hook=Decimal)


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a view: its name, its type, and the type's schema."""

    name: str
    type: str
    schema: str


class LeftOut:
    """Keys of orders that are read as if they had no time; sources may share them."""

    def __init__(self) -> None:
        self.keys: tuple[str, ...] = ()


class Views:
    """The two views by name, with the key's native type read from the catalogue."""

    def __init__(
        self,
        database: Database,
        confirmed: str,
        purchases: str,
        *,
        left_out: LeftOut | None = None,
    ) -> None:
        self.confirmed = confirmed
        self.purchases = purchases
        self._database = database
        self._key_type: sql.Identifier | None = None
        self._statements: dict[str, Statement] = {}
        self._left_out = left_out or LeftOut()
        self._without: tuple[str, ...] = ()
        database.on_doubt(self.forget)

    @property
    def params(self) -> Mapping[str, object]:
        """The views' names for the statements that look them up in the catalogue."""
        return {"confirmed_view": self.confirmed, "purchases_view": self.purchases}

    def columns(self, view: str) -> list[Column]:
        """List a view's columns in order; empty when there is no such view."""
        rows = self._database.all(query("columns"), view=view)
        return [Column(*cast("tuple[str, str, str]", row)) for row in rows]

    def names(self) -> Mapping[str, sql.Composable]:
        """Identifiers for the statements that read the views.

        Raises:
            SchemaMismatchError: `purchases` or its `order_key` is missing.
        """
        if self._key_type is None:
            self._key_type = self._read_key_type()
        return {
            "confirmed": self._confirmed(),
            "purchases": identifier(self.purchases),
            "key_type": self._key_type,
            "seal": trusted_sql(query("seal").text.decode()),
        }

    @property
    def left_out(self) -> Sequence[str]:
        """Keys of the orders that are read as if they had no time."""
        return self._left_out.keys

    def leave_out(self, keys: Sequence[str]) -> None:
        """Read orders from now on as if they had no time."""
        self._left_out.keys = tuple(keys)

    def _confirmed(self) -> sql.Composable:
        view = identifier(self.confirmed)
        if not self._without:
            return view
        keys = sql.Literal([key.encode().hex() for key in self._without])
        return part("confirmed_without", view=view, keys=keys)

    def check(self) -> None:
        """Refuse views that are missing or lack the columns that syncd needs.

        Raises:
            SchemaMismatchError: It names the view and the column.
        """
        needed = ((self.confirmed, _CONFIRMED), (self.purchases, _PURCHASES))
        for view, columns in needed:
            present = {column.name for column in self.columns(view)}
            if not present:
                raise ViewMissingError(f"the view {view} is missing", _CREATE)
            if missing := [c for c in columns if c not in present]:
                what = f"lacks the column {missing[0]}"
                raise SchemaMismatchError(f"the view {view} {what}", _CREATE)

    def statement(self, name: str) -> Statement:
        """Compose a named statement with the views' identifiers."""
        if self._without != self._left_out.keys:
            self._without = self._left_out.keys
            self._statements.clear()
        if name not in self._statements:
            self._statements[name] = composed(name, **self.names())
        return self._statements[name]

    def forget(self) -> None:
        """Read the key's type again: the shop's migration may have changed it."""
        self._key_type = None
        self._statements.clear()

    def _read_key_type(self) -> sql.Identifier:
        for column in self.columns(self.purchases):
            if column.name == "order_key":
                return sql.Identifier(column.schema, column.type)
        raise SchemaMismatchError(
            f"the view {self.purchases} with a column order_key is missing", _CREATE
        )


def columns_of(row: str) -> dict[str, object]:
    """Read a row's columns; their numbers are int or Decimal.

    Raises:
        UnreadableRowError: It is no JSON that a reader knows.
    """
    try:
        return _DECODER.decode(row)
    except msgspec.DecodeError as error:
        raise UnreadableRowError(INVALID_JSON) from error


@dataclass(frozen=True, slots=True)
class OrderQuery:
    """Confirmed orders for the ledger to look at: a query of keys and times.

    It reads the view where the ledger is beside it, and otherwise gives the orders
    that were read before.

    Attributes:
        taking: Takes the keys out of the outbox, in the same statement; None: no need.
        listings: Reads the first times of the orders that are written; None: the query
            has them.
        sealed: Tells whether they were read under the views that were accepted; None:
            from no view.
        source: Where they were found.
    """

    query: Statement
    params: Mapping[str, object]
    taking: Statement | None = None
    listings: Statement | None = None
    sealed: Statement | None = None
    source: "Source | None" = None

    @property
    def braces(self) -> dict[str, Statement]:
        """What fills the braces of a statement that admits the orders."""
        filled = {
            "found": self.query,
            "taken": self.taking,
            "listings": self.listings,
            "sealed": self.sealed,
        }
        return {brace: query for brace, query in filled.items() if query}


@dataclass(frozen=True, slots=True)
class Position:
    """How far a range was read: up to `at`, included.

    Attributes:
        key: Of the orders stamped `at`, only those up to this key; None: all of them.
    """

    at: datetime
    key: str | None = None

    @classmethod
    def after(cls, passed: datetime, key: str | None) -> "Position":
        """Return the position of which `passed` and `key` are kept."""
        return cls(passed) if key is None else cls(passed + INSTANT, key)

    @property
    def passed(self) -> datetime:
        """Up to when, included, every order was read."""
        return self.at if self.key is None else self.at - INSTANT


@dataclass(frozen=True, slots=True)
class Stretch:
    """What a page holds: the orders of a range, or some of those of one instant.

    Attributes:
        lower: Excluded.
        end: Included.
        after: Of the orders of one instant, the last key before them.
        is_tied: Whether it holds orders of one instant, by key.
    """

    lower: datetime
    end: Position
    after: str | None = None
    is_tied: bool = False


@dataclass(frozen=True, slots=True)
class OrderPage:
    """Some orders of a range that were read: how many, and up to where."""

    found: OrderQuery
    orders: int
    end: Position


class Source:
    """What the daemon reads in the order database; it never writes there.

    Args:
        database: A connection to it.
        confirmed: Name of the view that says which orders are confirmed.
        purchases: Name of the view that says what their events hold.
        beside_ledger: Whether the ledger's statements may read the views themselves.
        left_out: Orders that are read as if they had no time; None: none are.
    """

    def __init__(
        self,
        database: Database,
        confirmed: str,
        purchases: str,
        *,
        beside_ledger: bool = True,
        left_out: LeftOut | None = None,
    ) -> None:
        self.database = database
        self.views = Views(database, confirmed, purchases, left_out=left_out)
        self._beside_ledger = beside_ledger

    def leave_out(self, keys: Sequence[str]) -> None:
        """Read orders from now on as if they had no time."""
        self.views.leave_out(keys)

    def clock(self) -> datetime:
        """Read the server's clock."""
        return cast("datetime", self.database.one(query("clock"))[0])

    def between(
        self,
        lower: datetime,
        upper: datetime | Literal["infinity"],
        *,
        to_admit: bool = False,
    ) -> OrderQuery:
        """Find the orders confirmed in a range (lower excluded, upper included).

        With `to_admit`, with the first time at which the view lists each, wherever
        that lies.
        """
        query = self.views.statement("confirmed_between")
        params = {"lower": lower, "upper": upper}
        if not to_admit:
            return self._found(query, params)
        return self._to_admit(query, params)

    def _to_admit(self, query: Statement, params: Mapping[str, object]) -> OrderQuery:
        listings = self.views.statement("first_listings")
        if self._beside_ledger:
            return replace(self._found(query, params), listings=listings)
        query = compose("found_with_listings", found=query, listings=listings)
        return self._found(query, params)

    def of_keys(self, keys: Sequence[str]) -> OrderQuery:
        """Find those of the keys that are confirmed, each with its first time."""
        query = self.views.statement("confirmed_of")
        return self._found(query, {"keys": list(keys)})

    def touched(self, taking: tuple[Statement, Mapping[str, object]]) -> OrderQuery:
        """Find those that are confirmed of the orders taken out of the outbox.

        Where outbox and ledger are in one database with the views.
        """
        statement, rows = taking
        return OrderQuery(
            self.views.statement("confirmed_touched"),
            {**rows, **self.views.params},
            statement,
            sealed=compose("is_sealed", seal=query("seal")),
            source=self,
        )

    def listed(self, seconds: float) -> Generator[OrderQuery]:
        """Find every order that the view lists at a usable time: keys only.

        All at once beside the ledger; otherwise page by page, of one snapshot.

        Args:
            seconds: How long a page may take; the ledger's transaction sees to its own.
        """
        if self._beside_ledger:
            yield OrderQuery(self.views.statement("listed_keys"), {})
            return
        with self.database.patient_transaction(seconds):
            fetch = replace(query("fetch_listed"), place=Place.CONFIRMED)
            self.database.run(self.views.statement("declare_listed"))
            while rows := self.database.all(fetch):
                yield OrderQuery(
                    query("given_keys"), {"keys": [key for (key,) in rows]}
                )
            self.database.run(query("close_listed"))

    def newest_page(
        self, lower: datetime, upper: datetime | Literal["infinity"], orders: int
    ) -> datetime | None:
        """Return after which time at most `orders` of a range lie; None: all do."""
        statement = self.views.statement("newest_page")
        row = self.database.one(statement, lower=lower, upper=upper, orders=orders)
        return cast("datetime | None", row[0])

    def stretch(self, after: Position, upper: datetime, orders: int) -> Stretch:
        """Find where at most `orders` end that follow a position; they may be fewer.

        A page ends between two instants; the orders of one instant that are more than
        a page holds are read by key.
        """
        if after.key is not None:
            return self._tied(after.at, after.key, orders)
        statement = self.views.statement("oldest_page")
        first, beyond = cast(
            "tuple[datetime | None, datetime | None]",
            self.database.one(statement, lower=after.at, upper=upper, orders=orders),
        )
        if beyond is not None and beyond == first:
            return self._tied(beyond, None, orders)
        end = beyond - INSTANT if beyond is not None else upper
        return Stretch(after.at, Position(end))

    def _tied(self, at: datetime, after: str | None, orders: int) -> Stretch:
        statement = self.views.statement("tied_page_end")
        (until,) = self.database.one(statement, at=at, after=after, orders=orders)
        end = Position(at, cast("str | None", until))
        return Stretch(at - INSTANT, end, after, is_tied=True)

    def within(self, stretch: Stretch, *, to_admit: bool = False) -> OrderQuery:
        """Find the orders of a stretch; with `to_admit` as `between` does."""
        query, params = self._within(stretch)
        if not to_admit:
            return self._found(query, params)
        return self._to_admit(query, params)

    def _within(self, stretch: Stretch) -> tuple[Statement, Mapping[str, object]]:
        end = stretch.end
        if not stretch.is_tied:
            bounds = {"lower": stretch.lower, "upper": end.at}
            return self.views.statement("confirmed_between"), bounds
        tied = {"at": end.at, "after": stretch.after, "until": end.key}
        return self.views.statement("confirmed_tied"), tied

    def page(self, after: Position, upper: datetime, orders: int) -> OrderPage:
        """Read at most `orders` that follow a position, to be admitted."""
        stretch = self.stretch(after, upper, orders)
        query, params = self._within(stretch)
        listings = self.views.statement("first_listings")
        if not self._beside_ledger:
            query = compose("found_with_listings", found=query, listings=listings)
        found, count = self._gather(query, {**params, **self.views.params})
        if self._beside_ledger:
            found = replace(found, listings=listings)
        return OrderPage(found, count, stretch.end)

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

    def orders_without_time(self) -> OrderQuery:
        """Find the orders that are confirmed at no usable time: keys only."""
        return self._found(self.views.statement("orders_without_time"), {})

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

    def _found(self, found: Statement, params: Mapping[str, object]) -> OrderQuery:
        params = {**params, **self.views.params}
        if self._beside_ledger:
            sealed = compose("is_sealed", seal=query("seal"))
            return OrderQuery(found, params, sealed=sealed, source=self)
        return self._gather(found, params)[0]

    def _gather(
        self, found: Statement, params: Mapping[str, object]
    ) -> tuple[OrderQuery, int]:
        gather = compose("gather", found=found, seal=query("seal"))
        keys, times, seal, count = self.database.one(gather, **params)
        return self._given(keys, times, seal), cast("int", count)

    def _given(self, keys: object, times: object, seal: object) -> OrderQuery:
        """Make orders of what was read before, under the views' seal of that moment."""
        return OrderQuery(
            query("given"),
            {"keys": keys, "times": times, "seal": seal},
            sealed=compose("is_sealed", seal=query("given_seal")),
            source=self,
        )

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

    def reading_claimed(self) -> Statement | None:
        """Return what reads a claim's rows with the claim; None: not possible."""
        if not self._beside_ledger:
            return None
        with suppress(SchemaMismatchError):
            return self.views.statement("claimed_purchases")
        return None

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
