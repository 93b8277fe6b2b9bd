"""Days on which an order may be lost silently, and whether syncd reports it.

The shop reuses keys, replaces a table, changes the zone of its stamps, or confirms
orders without a time; one fault or several in turn. The checker knows each order by a
number of its own: each was sent, or syncd reports the fault.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import timedelta
from itertools import permutations
from pathlib import Path

from support.clock import Clock
from support.feed_harness import ago
from support.harness import Harness
from support.shop import Shop

from syncd.capture.reconciliation import Reconciliation
from syncd.capture.stamps import KEPT, StampWatch
from syncd.capture.tuning import StampTuning
from syncd.capture.wal.slot import slot_name
from syncd.demo.sandbox import Sandbox
from syncd.ledger.batches import Ledger
from syncd.ledger.identity import IdentityGuard
from syncd.ledger.reused_keys import ReusedKeys
from syncd.log.log import Log
from syncd.source.orders import Source

VIEWS = """
DROP VIEW syncd.confirmed_orders;
ALTER TABLE orders ADD is_paid boolean DEFAULT true;
CREATE VIEW syncd.confirmed_orders AS
SELECT id AS order_key, confirmed_at FROM orders WHERE is_paid;
GRANT SELECT ON syncd.confirmed_orders TO {role};
"""
TROUBLES = {
    "reused keys": "TRUNCATE orders RESTART IDENTITY",
    "swapped table": "ALTER TABLE orders RENAME TO orders_old; "
    "CREATE TABLE orders (LIKE orders_old INCLUDING ALL); "
    "ALTER TABLE orders ALTER id RESTART WITH 1000",
    "changed zone": "",
    "NULL times": "",
}
STAMPS = {
    "changed zone": "clock_timestamp() - interval '2 hours'",
    "NULL times": "NULL",
}
OLD = "UPDATE orders SET confirmed_at = confirmed_at - interval '2 days'"
SELL = "INSERT INTO orders (confirmed_at, total) VALUES ({stamp}, {number})"


class SilentLossError(AssertionError):
    """An order was not sent, and nothing reports why."""


class SilentLossScenario:
    """A shop's day with a started feed, and what syncd reports."""

    def __init__(self, shop: Shop, sandbox: Sandbox, folder: Path) -> None:
        shop.sql(VIEWS.replace("{role}", shop.role))
        self._shop = shop
        self._sandbox = sandbox
        self._harness = harness = Harness(shop, sandbox, folder)
        source: Source = harness.source
        ledger: Ledger = harness.ledger
        self._guard = IdentityGuard(
            source,
            ledger.database,
            ledger.feed_id,
            "shop",
            publication=slot_name("shop"),
            capture="poll",
        )
        self._keys = ReusedKeys(source, ledger.database, ledger.feed_id)
        self._clock = Clock()
        tuning = StampTuning(clock=self._clock)
        self._watch = StampWatch(source, ledger, Log("shop"), tuning=tuning)
        self._account = Reconciliation(source, ledger, size=100)
        self._number = 0
        self.reported: set[str] = set()
        self._under: dict[int, frozenset[str]] = {}
        self._stamp = "clock_timestamp()"

    def close(self) -> None:
        self._harness.close()

    def run(self, troubles: Sequence[str]) -> None:
        """Sell, let faults occur, sell after each; then check.

        Raises:
            SilentLossError: An order is lost, and the fault is not reported.
        """
        self._sell()
        self._shop.sql(OLD)
        self._shop.shift("ledger", timedelta(days=-2), "confirmed_at")
        for number, trouble in enumerate(troubles, 1):
            if statement := TROUBLES[trouble]:
                self._shop.sql(statement)
            self._stamp = STAMPS.get(trouble, "clock_timestamp()")
            self._sell(*troubles[:number])
        self._check()

    def _sell(self, *troubles: str) -> None:
        """Sell as many orders as an offset needs; syncd runs meanwhile."""
        for _ in range(KEPT + 2):
            self._number += 1
            self._under[self._number] = frozenset(troubles)
            values = {"stamp": self._stamp, "number": self._number}
            self._shop.sql(SELL.format(**values))
            self._clock.advance(3600)
            self._watch.check()
        self._harness.admit()
        self._harness.deliver_all()
        self._run_jobs()

    def _run_jobs(self) -> None:
        """Run what the daemon runs by itself within minutes; keep its reports."""
        if self._guard.check().replaced:
            self.reported.add("swapped table")
        self._keys.compare_newest()
        self._shop.update("watermark", {"confirmed_at": ago()})
        run = self._account.ask(None, None)
        list(self._account.pages(run))
        finished = self._account.finish(run)
        assert finished
        if finished.without_time:
            self.reported.add("NULL times")
        if self._keys.count().keys:
            self.reported.add("reused keys")
        if self._shop.alarms("stamps.shifted"):
            self.reported.add("changed zone")
        self._harness.deliver_all()

    def _check(self) -> None:
        sent = {
            float(str((purchase.body or {}).get("totalvalue")))
            for purchase in self._sandbox.received.purchases()
        }
        for number, troubles in self._under.items():
            if number not in sent and not troubles & self.reported:
                why = f"order {number} was not sent, and nothing says: {set(troubles)}"
                raise SilentLossError(why)
        met = frozenset().union(*self._under.values())
        if "changed zone" in met - self.reported and "swapped table" not in met:
            raise SilentLossError("the stamps are hours away, and nothing says so")


def days() -> Iterator[tuple[str, ...]]:
    """Yield each fault alone, then each after another."""
    yield from ((trouble,) for trouble in TROUBLES)
    yield from permutations(TROUBLES, 2)


def lose(owner: str, folder: Path, troubles: Sequence[str]) -> str:
    """Run one day in an empty database; return what was lost silently."""
    shop = Shop.open(owner)
    with (
        Sandbox() as sandbox,
        closing(SilentLossScenario(shop, sandbox, folder)) as day,
    ):
        try:
            day.run(troubles)
        except SilentLossError as loss:
            return f"{', '.join(troubles)}: {loss}"
        finally:
            shop.close()
    return ""
