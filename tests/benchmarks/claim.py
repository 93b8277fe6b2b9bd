"""The cost of a live order from the outbox to its receipt, beside a minimal statement.

    PYTHONPATH=tests python tests/benchmarks/claim.py

Orders are sold one by one; each is admitted and claimed (one exchange), settled, and
the next due time is read. The floor is one statement that does only what no claim can
do without: it deletes the order from the outbox, finds it in the view and in the
ledger, writes it, its batch (born `sending`) and its attempt with all their
constraints, and reads its event. It extends no batch, has no uncertain, withdrawn or
unreadable order, and no endpoint in trouble. CPU time is that of the server's process
and of the client's thread, in milliseconds for an order.
"""

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from statistics import fmean, median
from typing import TypeVar

import psycopg
from support.harness import Harness

from benchmarks.live import INDEX
from benchmarks.stage import SELL, stage
from syncd.capture.listen.capture import PAGE
from syncd.capture.listen.outbox import Outbox
from syncd.demo.sandbox import Sandbox
from syncd.ledger.claim import Touched

T = TypeVar("T")
LEASE = timedelta(seconds=70)
WARM = 150
BORN = Path(__file__).with_name("claim_floor.sql").read_bytes()


class Costs:
    """CPU time and duration of steps, in milliseconds."""

    def __init__(self, server: int) -> None:
        self._server = Path(f"/proc/{server}/schedstat")
        self.steps: dict[str, list[tuple[float, float, float]]] = defaultdict(list)

    def measure(self, step: str, work: Callable[[], T]) -> T:
        before = self._now()
        done = work()
        spent = [b - a for a, b in zip(before, self._now(), strict=True)]
        self.steps[step].append((spent[0], spent[1], spent[2]))
        return done

    def _now(self) -> tuple[float, float, float]:
        nanoseconds = int(self._server.read_text().split()[0])
        return nanoseconds / 1e6, time.thread_time() * 1e3, time.perf_counter() * 1e3

    def print(self) -> None:
        for step, spent in self.steps.items():
            server, client, took = zip(*spent, strict=True)
            print(
                f"  {step:16s} server {fmean(server):5.2f}  client {fmean(client):5.2f}"
                f"  duration (median) {median(took):5.2f}",
                flush=True,
            )


class Syncd:
    """Claims and settles as a worker does."""

    def __init__(self, harness: Harness) -> None:
        self._harness = harness
        self._taking = Outbox.taking("shop", PAGE)
        self.server = harness.database.peer().pid

    def send(self, costs: Costs) -> None:
        harness = self._harness
        touched = Touched(harness.source.touched(self._taking), 100, lambda _: None)
        claim = costs.measure("admit and claim", lambda: harness.claim(touched))
        costs.measure("settle", lambda: harness.accept(claim))
        costs.measure("next due", harness.ledger.next_due)


class Floor:
    """Runs the minimal statement."""

    def __init__(self, connection: psycopg.Connection, harness: Harness) -> None:
        self._connection = connection
        self._params = {
            "feed": harness.ledger.feed_id,
            "instance": harness.instance.number,
            "lease": LEASE,
        }
        self.server = connection.info.backend_pid

    def send(self, costs: Costs) -> None:
        (row,) = costs.measure("admit and claim", self._claim)
        assert row

    def _claim(self) -> list[tuple[object, ...]]:
        with self._connection.pipeline():
            cursor = self._connection.execute(BORN, self._params)
            self._connection.commit()
        return cursor.fetchall()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=600, help="of each turn")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with (
        stage(20_000) as shop,
        Sandbox() as sandbox,
        tempfile.TemporaryDirectory() as folder,
    ):
        shop.shop.sql(INDEX)
        shop.shop.listen("orders:id")
        with (
            closing(Harness(shop.shop, sandbox, Path(folder))) as harness,
            psycopg.connect(shop.shop.dsn, prepare_threshold=0) as bare,
            psycopg.connect(shop.shop.owner, autocommit=True) as owner,
        ):
            ways: dict[str, Syncd | Floor] = {
                "syncd": Syncd(harness),
                "floor": Floor(bare, harness),
            }
            for _ in range(options.rounds):
                for name, way in ways.items():
                    print(name)
                    bare.execute("DISCARD PLANS")  # made for smaller tables
                    bare.commit()
                    turn(owner, way, WARM)
                    turn(owner, way, options.orders).print()


def turn(owner: psycopg.Connection, way: Syncd | Floor, orders: int) -> Costs:
    """Sell and send orders one by one; return the cost of sending them."""
    costs = Costs(way.server)
    for _ in range(orders):
        owner.execute(SELL, {"number": f"C{time.time_ns()}"}, prepare=True)
        way.send(costs)
    return costs


if __name__ == "__main__":
    main()
