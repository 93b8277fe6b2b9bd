"""The cost of a poll while a transaction of the shop stays open.

    python tests/benchmarks/open_window.py [--orders 100000]

Prints the median and the longest of 200 polls in milliseconds: with an idle shop,
and with a transaction open and so many orders captured since; and their ratio.
"""

import argparse
import statistics
import sys
import time
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import psycopg

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.feed_harness import ago
from support.postgres import cluster
from support.shop import Shop

from syncd.capture.poll import PollCapture
from syncd.ledger.batches import Ledger
from syncd.ledger.feed import FeedStore
from syncd.postgres.database import Database
from syncd.source.connections import Connections
from syncd.source.orders import Source
from syncd.source.transactions import Transactions

POLLS = 200
LOOKBACK = timedelta(minutes=5)


def measure(poll: PollCapture) -> list[float]:
    """Time polls, in milliseconds."""
    took = []
    for _ in range(POLLS):
        started = time.perf_counter()
        poll.poll()
        took.append((time.perf_counter() - started) * 1000)
    return took


def report(name: str, took: list[float]) -> None:
    print(f"{name:32} median {statistics.median(took):6.2f}  longest {max(took):6.2f}")


def main() -> None:
    """Measure both and print the ratio."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--orders", type=int, default=100_000)
    orders = parser.parse_args().orders
    with cluster() as server:
        server.sql("CREATE DATABASE shop")
        shop = Shop.open(server.dsn("shop"))
        with (
            closing(Database(shop.dsn)) as database,
            closing(psycopg.connect(shop.owner)) as session,
        ):
            source = Source(database, "syncd.confirmed_orders", "syncd.purchases")
            feed = FeedStore(Connections(database, database), "shop").start(
                source, LOOKBACK
            )
            ledger = Ledger(database, feed.feed_id)
            poll = PollCapture(
                Transactions(database), source, ledger, lookback=LOOKBACK, size=100
            )
            poll.poll()
            idle = measure(poll)
            session.execute("SELECT now()")
            shop.set_watermark(ago(hours=4))
            shop.sql(
                "INSERT INTO orders (confirmed_at) SELECT now() - interval '10 min' - "
                f"n * interval '0.1 s' FROM generate_series(1, {orders}) AS n"
            )
            shop.sql("ANALYZE")
            poll.forget()
            poll.poll()
            while poll.is_behind:
                poll.poll()
            held = measure(poll)
    report("idle shop", idle)
    report(f"{orders} orders in an open window", held)
    ratio = statistics.median(held) / statistics.median(idle)
    print(f"ratio of the medians {ratio:.2f}")


if __name__ == "__main__":
    main()
