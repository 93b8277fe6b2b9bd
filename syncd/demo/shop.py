"""A small shop that keeps selling, from several connections at once.

Quick cashiers confirm at once; slow ones leave a transaction open for seconds, or
confirm later, when the payment comes in. Some orders are rolled back.
"""

import json
import math
import random
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.resources import files
from itertools import cycle
from typing import Self

from syncd.demo.customers import (
    Browsers,
    Order,
    customers,
    front_end_purchase,
    new_order,
)
from syncd.postgres.database import Database
from syncd.postgres.statements import Statement, trusted_sql
from syncd.setup.install.install import Grantees, install
from syncd.source.connections import Connections

NAMES = Grantees("syncd", "syncd.confirmed_orders", "syncd.purchases")

_CASHIERS = 6
_QUICK_CASHIERS = 4
_FULL_GROUP = 100  # orders of one transaction when there is no rate to keep
_GROUPS_PER_SECOND = 20
_ROLLED_BACK_SHARE = 0.08
_FIRST_SHARE, _LATER_SHARE = 0.25, 0.25  # the other thank-you pages never load

_CHOICE = random.Random()  # noqa: S311  # a demo


@dataclass(frozen=True, slots=True)
class Sales:
    """Orders by what became of them; `open` are placed and not confirmed yet."""

    confirmed: int = 0
    rolled_back: int = 0
    open: int = 0


class _RolledBackError(Exception):
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


class Arrivals:
    """Hands out orders to be sold, in groups that share a transaction.

    Args:
        rate: Orders per second; None is as fast as possible.
        limit: Orders in all; None is no limit.
    """

    def __init__(self, rate: float | None, limit: int | None) -> None:
        self._rate = rate
        self._limit = limit
        self._group = math.ceil(rate / _GROUPS_PER_SECOND) if rate else _FULL_GROUP
        self._taken = 0
        self._started: float | None = None
        self._guard = threading.Lock()

    def take(self, closing: threading.Event) -> int:
        """Wait until the next group is due; return its size, 0 when all is sold."""
        with self._guard:
            self._started = self._started or time.monotonic()
            left = self._group if self._limit is None else self._limit - self._taken
            group = min(self._group, left)
            due = (self._taken + group) / self._rate if self._rate else 0.0
            seconds = self._started + due - time.monotonic()
            if not group or closing.wait(max(0.0, seconds)):
                return 0
            self._taken += group
            return group


class Shop:
    """Sells from the moment it is entered until `close`, or until all is sold."""

    def __init__(self, dsn: str, arrivals: Arrivals, browsers: Browsers) -> None:
        self._dsn = dsn
        self._arrivals = arrivals
        self._browsers = browsers
        self._closing = threading.Event()
        self._sales = Sales()
        self._guard = threading.Lock()
        self._threads = ThreadPoolExecutor(_CASHIERS)
        self._cashiers: list[Future[None]] = []

    def __enter__(self) -> Self:
        for number in range(_CASHIERS):
            self._cashiers.append(self._threads.submit(self._serve, number))
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._threads.shutdown()

    @property
    def sales(self) -> Sales:
        """What was sold so far."""
        return self._sales

    @property
    def is_selling(self) -> bool:
        """Return whether a cashier is still at work.

        Raises:
            SyncdError: A cashier's database failed.
        """
        ended = [cashier for cashier in self._cashiers if cashier.done()]
        for cashier in ended:
            cashier.result()
        return len(ended) < len(self._cashiers)

    def close(self) -> None:
        """Make the cashiers finish the transactions in hand, without waiting for it."""
        self._closing.set()

    def _serve(self, number: int) -> None:
        """Sell over one connection, in the ways of this cashier."""
        slow = (self._sell_slowly, self._sell_and_confirm_later)
        ways = (self._sell,) if number < _QUICK_CASHIERS else slow
        database = Database(self._dsn, application_name=f"shop/cashier-{number}")
        with closing(database):
            for sell in cycle(ways):
                if not (group := self._arrivals.take(self._closing)):
                    return
                sell(database, group)

    def _sell(self, database: Database, group: int, seconds: float = 0.0) -> None:
        """Stamp orders as confirmed now, and commit `seconds` later."""
        if _CHOICE.random() < _ROLLED_BACK_SHARE:
            self._roll_back(database, group)
        self._count(placed=group)
        with database.transaction():
            late = self._show_early(_place(database, group, confirmed=True))
            self._closing.wait(seconds)
        self._count(confirmed=group, placed=-group)
        self._show_later(late)

    def _sell_slowly(self, database: Database, group: int) -> None:
        """Leave the transaction open for seconds."""
        self._sell(database, group, _CHOICE.uniform(1, 4))

    def _sell_and_confirm_later(self, database: Database, group: int) -> None:
        """Place orders, and confirm them when their payment comes in."""
        orders = _place(database, group, confirmed=False)
        self._count(placed=group)
        if self._closing.wait(_CHOICE.uniform(0.5, 3)):
            return
        ids = [int(number.rpartition("-")[2]) for number in orders]
        with database.transaction():
            late = self._show_early(orders)
            database.run(_statements()["confirm"], ids=ids)
        self._count(confirmed=group, placed=-group)
        self._show_later(late)

    def _roll_back(self, database: Database, group: int) -> None:
        """Confirm orders and roll back: they must never be sent."""
        with suppress(_RolledBackError), database.transaction():
            _place(database, group, confirmed=True)
            raise _RolledBackError
        self._count(rolled_back=group)

    def _count(self, confirmed: int = 0, rolled_back: int = 0, placed: int = 0) -> None:
        with self._guard:
            self._sales = Sales(
                self._sales.confirmed + confirmed,
                self._sales.rolled_back + rolled_back,
                self._sales.open + placed,
            )

    def _show_early(self, orders: dict[str, Order]) -> dict[str, Order]:
        """Load some thank-you pages before the commit; return those to load later."""
        late = {}
        for number, order in orders.items():
            chance = _CHOICE.random()
            if chance < _FIRST_SHARE:
                self._browsers.load(front_end_purchase(order, number))
            elif chance < _FIRST_SHARE + _LATER_SHARE:
                late[number] = order
        return late

    def _show_later(self, orders: dict[str, Order]) -> None:
        for number, order in orders.items():
            self._browsers.load_later(front_end_purchase(order, number))


def _place(database: Database, group: int, *, confirmed: bool) -> dict[str, Order]:
    """Write orders, confirmed now or not yet; return them by their public number."""
    orders = [new_order(_CHOICE) for _ in range(group)]
    numbers = database.values(
        int, _statements()["place"], orders=json.dumps(orders), confirmed=confirmed
    )
    return {f"DEMO-{n}": o for n, o in zip(numbers, orders, strict=True)}
