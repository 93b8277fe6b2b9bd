"""The shop's orders: which were confirmed when, for the ledger to admit."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from syncd.core.cause import Place
from syncd.core.errors import SchemaMismatchError
from syncd.postgres.database import Database
from syncd.postgres.statements import Statement, compose, query
from syncd.source.lookup import OrderLookup
from syncd.source.position import INSTANT, Position, Stretch
from syncd.source.views import LeftOut, Views


@dataclass(frozen=True, slots=True)
class OrderQuery:
    """Confirmed orders for the ledger: a query of keys and times.

    It reads the view where the ledger is beside it, and otherwise gives the orders
    that were read before.

    Attributes:
        taking: Takes the keys out of the outbox, in the same statement; None: no need.
        listings: Reads the first times of the orders that are written; None: the query
            has them.
        sealed: Whether they were read under the accepted views; None:
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
class _Gathered:
    """Orders that were read, as texts, and the views' seal of that moment."""

    keys: str
    times: str
    seal: object
    orders: int


@dataclass(frozen=True, slots=True)
class _OldestPage:
    """The first time of a page, and the first one beyond it; None: there is none."""

    first: datetime | None
    beyond: datetime | None


@dataclass(frozen=True, slots=True)
class OrderPage:
    """Some orders of a range that were read: how many, and up to where."""

    found: OrderQuery
    orders: int
    end: Position


class Source(OrderLookup):
    """What the daemon reads in the order database; it never writes there.

    Args:
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
        views = Views(database, confirmed, purchases, left_out=left_out)
        super().__init__(database, views)
        self._beside_ledger = beside_ledger

    def leave_out(self, keys: Sequence[str]) -> None:
        """Read orders from now on as if they had no time."""
        self.views.leave_out(keys)

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

        All at once beside the ledger; otherwise page by page, of one snapshot, where
        each may take so many seconds.
        """
        if self._beside_ledger:
            yield OrderQuery(self.views.statement("listed_keys"), {})
            return
        with self.database.patient_transaction(seconds):
            fetch = replace(query("fetch_listed"), place=Place.CONFIRMED)
            self.database.run(self.views.statement("declare_listed"))
            while keys := self.database.values(str, fetch):
                yield OrderQuery(query("given_keys"), {"keys": keys})
            self.database.run(query("close_listed"))

    def stretch(self, after: Position, upper: datetime, orders: int) -> Stretch:
        """Find where at most `orders` end that follow a position; they may be fewer.

        A page ends between two instants; the orders of one instant that are more than
        a page holds are read by key.
        """
        if after.key is not None:
            return self._tied(after.at, after.key, orders)
        statement = self.views.statement("oldest_page")
        page = self.database.row(
            _OldestPage, statement, lower=after.at, upper=upper, orders=orders
        )
        if page.beyond is not None and page.beyond == page.first:
            return self._tied(page.beyond, None, orders)
        end = page.beyond - INSTANT if page.beyond is not None else upper
        return Stretch(after.at, Position(end))

    def _tied(self, at: datetime, after: str | None, orders: int) -> Stretch:
        statement = self.views.statement("tied_page_end")
        until = self.database.find_value(
            str, statement, at=at, after=after, orders=orders
        )
        return Stretch(at - INSTANT, Position(at, until), after, is_tied=True)

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

    def orders_without_time(self) -> OrderQuery:
        """Find the orders that are confirmed at no usable time: keys only."""
        return self._found(self.views.statement("orders_without_time"), {})

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
        gathered = self.database.row(_Gathered, gather, **params)
        given = OrderQuery(
            query("given"),
            {"keys": gathered.keys, "times": gathered.times, "seal": gathered.seal},
            sealed=compose("is_sealed", seal=query("given_seal")),
            source=self,
        )
        return given, gathered.orders

    def reading_claimed(self) -> Statement | None:
        """Return what reads a claim's rows with the claim; None: not possible."""
        if not self._beside_ledger:
            return None
        with suppress(SchemaMismatchError):
            return self.views.statement("claimed_purchases")
        return None
