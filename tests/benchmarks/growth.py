"""The cost of a poll, a claim and an event as the tables grow, and the memory.

    PYTHONPATH=tests python tests/benchmarks/growth.py
    PYTHONPATH=tests python tests/benchmarks/growth.py --no-backfill --sizes 20000000

The orders table and a ledger that has all its orders grow; at each size the server
times the real statements of an idle poll, and of 20 live batches (median of many), and
the daemon's memory is read after it has sent a backfill.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import psycopg
from support.postgres import wait_until

from benchmarks import cpu
from benchmarks.idle import resident
from benchmarks.sink import Sink, sink
from benchmarks.stage import Stage, stage, started
from syncd.config import configuration
from syncd.config.settings import Settings
from syncd.daemon.build import Components
from syncd.daemon.error_policy import ErrorPolicy
from syncd.daemon.opening import open_feed
from syncd.daemon.pipeline import Pipeline
from syncd.daemon.tuning import DEFAULTS
from syncd.log import log
from syncd.log.log import Log

os.environ.setdefault("SYNCD_SQUEEZELY_API_KEY", "sandbox-key")
TIMES = 60
KNOWN = """
INSERT INTO syncd.batch
       (feed_id, lane, state, orders, oldest_at, settled_at, is_pruned)
SELECT 1, 'live', 'delivered', 100, now() - interval '2 years', clock_timestamp(), true
  FROM generate_series(1, %(batches)s::bigint);
"""
ORDERS = """
INSERT INTO syncd.ledger (feed_id, order_key, confirmed_at, batch_id, capture)
SELECT 1, o.id::text, o.confirmed_at, 1 + o.id / 100, 'poll'
  FROM orders AS o
 WHERE o.id > %(from)s AND o.id <= %(to)s
"""


def fill_ledger(shop: Stage) -> None:
    """Fill the ledger with every order, delivered in batches of 100."""
    step = 1_000_000
    with psycopg.connect(shop.shop.owner, autocommit=True) as connection:
        connection.execute(KNOWN, {"batches": shop.orders // 100 + 1})
        for first in range(0, shop.orders, step):
            connection.execute(ORDERS, {"from": first, "to": first + step})
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")


def median_ms(action: Callable[[], object], times: int = TIMES) -> float:
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        action()
        taken.append((time.perf_counter() - began) * 1000)
    return statistics.median(taken)


def poll_and_claim_ms(shop: Stage, settings: Settings) -> tuple[float, float]:
    """Time an idle poll, and a claim with its settlement; milliseconds."""
    opened = open_feed(settings, Log(settings.feed), DEFAULTS, new_feed=False)
    capture = Components(opened, ErrorPolicy(opened.log)).capture_loop()
    capture.poll()
    poll = median_ms(capture.poll)
    ledger = opened.connector.access("delivery-0", opened.feed, by_key=True).ledger

    def deliver() -> None:
        shop.shop.sql(
            "INSERT INTO orders (number, email, currency, total, confirmed_at)"
            " SELECT 'L', 'mila@example.com', 'EUR', 1, clock_timestamp()"
        )
        capture.poll()

    lease = timedelta(seconds=60)
    claims = []
    for _ in range(TIMES):
        deliver()
        began = time.perf_counter()
        claim = ledger.claim(opened.instance.number, "live", lease)
        claims.append((time.perf_counter() - began) * 1000)
        assert claim is not None
    opened.connector.close()
    sold = shop.shop.rows("DELETE FROM orders WHERE number = 'L' RETURNING id::text")
    shop.shop.delete("ledger", feed_id=1, order_key=[key for (key,) in sold])
    shop.shop.delete("batch", state=["pending", "sending"])
    return poll, statistics.median(claims)


def backfilled(shop: Stage, to: Sink, folder: Path) -> tuple[float, float, float]:
    """Send every order; return CPU microseconds an event, MB at half and at the end."""
    shop.reset_ledger()
    config = shop.configure(folder, to.endpoint, batch_size=1000, max_in_flight=4)
    shop.backfill_all(config)
    to.clear()
    started(shop, config)
    pid = shop.shop.processes[-1].pid
    wait_until(lambda: to.seen().events >= shop.orders // 2, 3600)
    half = resident(pid)
    wait_until(lambda: to.seen().events >= shop.orders, 3600)
    used, end = cpu.seconds(pid), resident(pid)
    shop.shop.processes[-1].terminate()
    shop.shop.processes[-1].wait(30)
    return used / shop.orders * 1e6, half, end


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--sizes", type=int, nargs="*", default=[10_000, 200_000, 1_000_000]
    )
    parser.add_argument("--no-backfill", action="store_true")
    options = parser.parse_args()
    log.configure(level="warning")
    with sink() as to, tempfile.TemporaryDirectory() as folder:
        for size in options.sizes:
            with stage(size, lines=not options.no_backfill) as shop:
                place = Path(folder) / str(size)
                config = shop.configure(place, to.endpoint)
                settings = configuration.load(config)
                Pipeline.open(settings, Log(settings.feed)).close()
                fill_ledger(shop)
                poll, claim = poll_and_claim_ms(shop, settings)
                print(
                    f"{size:10d} orders: poll {poll:5.2f} ms, claim {claim:5.2f} ms",
                    end="",
                    flush=True,
                )
                if not options.no_backfill:
                    each, half, end = backfilled(shop, to, place / "b")
                    print(
                        f", {each:5.1f} us CPU an event, "
                        f"{half:.0f} MB at half, {end:.0f} MB at the end",
                        end="",
                    )
                print(flush=True)


if __name__ == "__main__":
    main()
