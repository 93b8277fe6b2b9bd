"""A small shop that keeps selling, from several connections at once.

Quick cashiers confirm at once and change their mind now and then; slow ones leave a
transaction open for seconds, or confirm later, when the payment comes in.
"""

import json
import random
import re
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.resources import files
from types import TracebackType
from typing import Self

from syncd.demo.arrivals import Arrivals
from syncd.demo.browsers import Browsers
from syncd.demo.products import Order, customers, front_end_purchase, new_order
from syncd.postgres.database import Database
from syncd.postgres.statements import Statement, trusted_sql
from syncd.setup.install.install import Grantees, install
from syncd.source.connections import Connections

NAMES = Grantees("syncd", "syncd.confirmed_orders", "syncd.purchases")

QUICK_CASHIERS = 4
SLOW_CASHIERS = 2

_CHANGES_OF_MIND = 0.08
_FIRST_SHARE, _LATER_SHARE = 0.25, 0.25  # the other thank-you pages never load


@dataclass(frozen=True, slots=True)
class Sales:
    """Orders by what became of them; `open` are placed and not confirmed yet."""

    confirmed: int = 0
    rolled_back: int = 0
    open: int = 0


class _ChangedMindError(Exception):
    """Rolls a transaction back."""


@cache
def _statements() -> dict[str, Statement]:
    text = (files("syncd.demo") / "shop.sql").read_text(encoding="utf-8")
    parts = re.split(r"^-- name: (\w+) :\w+$", text, flags=re.MULTILINE)
    named = zip(parts[1::2], parts[2::2], strict=True)
    return {
        name: Statement.of(trusted_sql(statement).format()) for name, statement in named
    }


def open_shop(owner: Database) -> None:
    """Make the shop's tables, syncd's ledger with its role, and the two views."""
    owner.run(_statements()["role"])
    owner.run(_statements()["tables"])
    owner.run(_statements()["register"], customers=json.dumps(customers()))
    install(Connections(owner, owner), NAMES)
    owner.run(_statements()["views"])
    install(Connections(owner, owner), NAMES)


@dataclass(frozen=True, slots=True)
class _Confirmed:
    id: int
    orderid: str
    committed_at: datetime | None


def count_confirmed(owner: Database) -> int:
    """Count the confirmed orders that the shop has committed."""
    return owner.value(int, _statements()["count_confirmed"])


def confirmed_orders(owner: Database) -> Iterator[tuple[str, datetime | None]]:
    """Read every confirmed order's public number and time of commit, page by page."""
    after, statement = 0, _statements()["confirmed_page"]
    while page := owner.rows(_Confirmed, statement, after=after):
        yield from ((order.orderid, order.committed_at) for order in page)
        after = page[-1].id


class Shop:
    """Sells from the moment it is entered until `close`, or until all is sold.

    Args:
        dsn: Connection string of the shop's owner.
        pace: How fast, and how much in all.
        browsers: The clients of the thank-you pages.
    """

    def __init__(self, dsn: str, pace: Arrivals, browsers: Browsers) -> None:
        self._dsn = dsn
        self._pace = pace
        self._browsers = browsers
        self._closing = threading.Event()
        self._sales = Sales()
        self._guard = threading.Lock()
        self._failure: BaseException | None = None
        self._cashiers = [
            threading.Thread(target=self._serve, args=(n,), name=f"cashier-{n}")
            for n in range(QUICK_CASHIERS + SLOW_CASHIERS)
        ]

    def __enter__(self) -> Self:
        for cashier in self._cashiers:
            cashier.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._closing.set()
        for cashier in self._cashiers:
            cashier.join()

    @property
    def sales(self) -> Sales:
        """What was sold so far."""
        with self._guard:
            return self._sales

    @property
    def is_selling(self) -> bool:
        """Return whether a cashier is still at work.

        Raises:
            SyncdError: A cashier's database failed.
        """
        if self._failure is not None:
            raise self._failure
        return any(cashier.is_alive() for cashier in self._cashiers)

    def close(self) -> None:
        """Make the cashiers finish the transactions in hand, without waiting for it."""
        self._closing.set()

    def _serve(self, number: int) -> None:
        database = Database(self._dsn, application_name=f"shop/cashier-{number}")
        cashier = _Cashier(self, database, random.Random())  # noqa: S311  # a play
        ways = (
            (cashier.sell,)
            if number < QUICK_CASHIERS
            else (cashier.sell_slowly, cashier.sell_and_confirm_later)
        )
        turn = number
        try:
            while group := self._pace.take(self._closing):
                ways[turn % len(ways)](group)
                turn += 1
        except Exception as error:  # noqa: BLE001  # raised again by is_selling
            self._failure = error
            self._closing.set()
        finally:
            database.close()

    def count(self, confirmed: int = 0, rolled_back: int = 0, placed: int = 0) -> None:
        """Add to the sales."""
        with self._guard:
            self._sales = Sales(
                self._sales.confirmed + confirmed,
                self._sales.rolled_back + rolled_back,
                self._sales.open + placed,
            )

    def wait(self, seconds: float) -> bool:
        """Wait; True when the shop closes meanwhile."""
        return self._closing.wait(seconds)

    def show_early(self, orders: dict[str, Order]) -> dict[str, Order]:
        """Load some thank-you pages before the commit; return the others' orders."""
        pages = {number: random.random() for number in orders}  # noqa: S311  # a play
        for number, chance in pages.items():
            if chance < _FIRST_SHARE:
                self._browsers.load(front_end_purchase(orders[number], number))
        late = [n for n, c in pages.items() if 0 <= c - _FIRST_SHARE < _LATER_SHARE]
        return {number: orders[number] for number in late}

    def show_later(self, orders: dict[str, Order]) -> None:
        """Load thank-you pages after the commit."""
        for number, order in orders.items():
            self._browsers.load_later(front_end_purchase(order, number))


class _Cashier:
    """One connection to the shop's database, and the ways of selling over it."""

    def __init__(self, shop: Shop, database: Database, choice: random.Random) -> None:
        self._shop = shop
        self._database = database
        self._choice = choice

    def sell(self, group: int) -> None:
        """Confirm orders in a transaction of milliseconds."""
        if self._choice.random() < _CHANGES_OF_MIND:
            self._change_mind(group)
        with self._database.transaction():
            late = self._shop.show_early(self._place(group, confirmed=True))
        self._shop.count(confirmed=group)
        self._shop.show_later(late)

    def sell_slowly(self, group: int) -> None:
        """Stamp orders as confirmed now, and commit seconds later."""
        self._shop.count(placed=group)
        with self._database.transaction():
            late = self._shop.show_early(self._place(group, confirmed=True))
            self._shop.wait(self._choice.uniform(1, 4))
        self._shop.count(confirmed=group, placed=-group)
        self._shop.show_later(late)

    def sell_and_confirm_later(self, group: int) -> None:
        """Place orders, and confirm them when their payment comes in."""
        orders = self._place(group, confirmed=False)
        self._shop.count(placed=group)
        if self._shop.wait(self._choice.uniform(0.5, 3)):
            return
        ids = [int(number.rpartition("-")[2]) for number in orders]
        with self._database.transaction():
            late = self._shop.show_early(orders)
            self._database.run(_statements()["confirm"], ids=ids)
        self._shop.count(confirmed=group, placed=-group)
        self._shop.show_later(late)

    def _change_mind(self, group: int) -> None:
        """Confirm orders and roll back: they must never be sent."""
        with suppress(_ChangedMindError), self._database.transaction():
            self._place(group, confirmed=True)
            raise _ChangedMindError
        self._shop.count(rolled_back=group)

    def _place(self, group: int, *, confirmed: bool) -> dict[str, Order]:
        orders = [new_order(self._choice) for _ in range(group)]
        numbers = self._database.values(
            int, _statements()["place"], orders=json.dumps(orders), confirmed=confirmed
        )
        return {f"DEMO-{n}": o for n, o in zip(numbers, orders, strict=True)}
