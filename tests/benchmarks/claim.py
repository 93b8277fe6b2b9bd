"""What a live order costs from the outbox to its receipt, beside the least it could.

    PYTHONPATH=tests python tests/benchmarks/claim.py

Orders are sold one by one; each is admitted and claimed (one exchange), settled, and
the next due time is read. The floor is one statement that does only what no claim can
do without: it takes the order out of the outbox, looks it up in the view and in the
ledger, writes it, its batch (born `sending`) and its attempt with all their
constraints, and reads its event. It tops no batch up, knows no uncertain, withdrawn or
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
from syncd.ledger.claiming import Touched

T = TypeVar("T")
LEASE = timedelta(seconds=70)
WARM = 150
LOCK = "SELECT FROM syncd.watermark WHERE feed_id = %(feed)s FOR NO KEY UPDATE"
BORN = """
WITH gate AS MATERIALIZED (
    SELECT FROM syncd.watermark AS w
      JOIN syncd.endpoint AS e USING (feed_id)
     WHERE w.feed_id = %(feed)s
       AND w.paused_at IS NULL AND e.paused_at IS NULL AND e.state = 'available'
), taken AS (
    DELETE FROM syncd.outbox AS o
     USING (SELECT n.ctid FROM syncd.outbox AS n WHERE n.feed = 'shop' LIMIT 1000) AS r
     WHERE o.ctid = r.ctid AND EXISTS (SELECT FROM gate)
    RETURNING o.order_key
), found AS MATERIALIZED (
    SELECT c.order_key::text COLLATE "C" AS order_key, min(c.confirmed_at) AS at
      FROM syncd.confirmed_orders AS c
     WHERE c.order_key = ANY(ARRAY(SELECT t.order_key FROM taken AS t)::bigint[])
     GROUP BY 1
), fresh AS MATERIALIZED (
    SELECT f.* FROM found AS f
     WHERE NOT EXISTS (SELECT FROM syncd.ledger AS l
                        WHERE l.feed_id = %(feed)s AND l.order_key = f.order_key)
), born AS (
    INSERT INTO syncd.batch (feed_id, lane, state, orders, oldest_at, attempts,
                             claim_token, instance_id, lease_until)
    SELECT %(feed)s, 'live', 'sending', count(*), min(f.at), 1, gen_random_uuid(),
           %(instance)s, clock_timestamp() + %(lease)s
      FROM fresh AS f HAVING count(*) > 0
    RETURNING batch_id, claim_token
), entered AS (
    INSERT INTO syncd.ledger (feed_id, order_key, confirmed_at, batch_id, capture)
    SELECT %(feed)s, f.order_key, f.at, b.batch_id, 'listen'
      FROM fresh AS f CROSS JOIN born AS b
), opened AS (
    INSERT INTO syncd.attempt (batch_id, attempt, claim_token, instance_id)
    SELECT batch_id, 1, claim_token, %(instance)s FROM born
)
SELECT b.batch_id, b.claim_token, to_json(p)::text
  FROM born AS b CROSS JOIN fresh AS f
  JOIN syncd.purchases AS p ON p.order_key = f.order_key::bigint
"""


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
    """Runs the least statement."""

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
            self._connection.execute(LOCK.encode(), self._params)
            cursor = self._connection.execute(BORN.encode(), self._params)
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
    """Sell and send orders one by one; return what sending them cost."""
    costs = Costs(way.server)
    for _ in range(orders):
        owner.execute(SELL, {"number": f"C{time.time_ns()}"}, prepare=True)
        way.send(costs)
    return costs


if __name__ == "__main__":
    main()
