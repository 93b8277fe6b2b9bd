"""Millions of orders that become visible at once, with live orders meanwhile.

    python tests/benchmarks/mass.py [--orders 4000000] [--same]

Prints how long the capture of all took, how long live orders waited for theirs, and
the peak memory of the capturing process. With --same all have one time.
"""

import argparse
import resource
import statistics
import sys
import time
from contextlib import closing
from datetime import timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.postgres import cluster
from support.shop import Shop

from syncd.capture.poll import PollCapture
from syncd.daemon.capture_loop import REST_SECONDS
from syncd.ledger.batches import Ledger
from syncd.ledger.feed import FeedStore
from syncd.postgres.database import Database
from syncd.source.connections import Connections
from syncd.source.orders import Source
from syncd.source.transactions import Transactions

LOOKBACK = timedelta(minutes=5)


def capture(shop: Shop, poll: PollCapture) -> list[float]:
    """Capture everything; return how long live orders waited, in seconds."""
    waits = []
    poll.poll()
    while poll.is_behind:
        (live,) = shop.confirm()
        confirmed = time.perf_counter()
        time.sleep(REST_SECONDS)
        poll.poll()
        if shop.rows_of("ledger", feed_id=1, order_key=live.removeprefix("W-")):
            waits.append(time.perf_counter() - confirmed)
        else:
            waits.append(float("inf"))
    return waits


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--orders", type=int, default=4_000_000)
    parser.add_argument("--same", action="store_true")
    arguments = parser.parse_args()
    step = "0 s" if arguments.same else "50 us"
    with cluster() as server:
        server.sql("CREATE DATABASE shop")
        shop = Shop.open(server.dsn("shop"))
        with closing(Database(shop.dsn)) as database:
            source = Source(database, "syncd.confirmed_orders", "syncd.purchases")
            feed = FeedStore(Connections(database, database), "shop").start(
                source, LOOKBACK
            )
            ledger = Ledger(database, feed.feed_id)
            poll = PollCapture(
                Transactions(database), source, ledger, lookback=LOOKBACK, size=100
            )
            shop.sql(
                "INSERT INTO orders (confirmed_at) "
                f"SELECT now() - interval '1 s' - n * interval '{step}' "
                f"FROM generate_series(1, {arguments.orders}) AS n"
            )
            started = time.perf_counter()
            waits = capture(shop, poll)
            took = time.perf_counter() - started
        captured = shop.captured()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{captured} captured in {took:.0f} s, at most {peak:.0f} MB")
    print(f"live orders: median {statistics.median(waits):.2f} s, max {max(waits):.2f}")


if __name__ == "__main__":
    main()
