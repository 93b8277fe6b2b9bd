"""The duration of a reconciliation of many orders, and the daemon's memory.

    python tests/benchmarks/reconcile.py [ORDERS]

Seeds a shop and a delivered ledger in a PostgreSQL of its own, once beside each
other and once in two databases, then reconciles everything. Then starts a feed over
as many initial orders, and reconciles those.
"""

import resource
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import psycopg
from support.feed_harness import FeedHarness, ago
from support.ledger_rows import delivered_batch
from support.postgres import Cluster, cluster
from support.shop import Shop

from syncd.capture.reconciliation import PAGE_ORDERS
from syncd.capture.reconciliation_run import HOURS
from syncd.postgres.statements import Statement

ORDERS = """
INSERT INTO orders (confirmed_at)
SELECT now() - n * interval '15 s' FROM generate_series(1, {orders}) AS n
"""


def measure(dsn: str, state: str, orders: int) -> None:
    """Reconcile everything, then the last hours; print a line for each."""
    role = str(psycopg.conninfo.conninfo_to_dict(dsn)["user"])
    started = FeedHarness(Shop("", role, dsn, state or None), page=PAGE_ORDERS)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begin = time.perf_counter()
    finished = started.reconcile()
    seconds = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert finished.account.delivered == orders, finished
    begin = time.perf_counter()
    run = started.reconciliation.due(HOURS)
    assert run
    started.pages(run)
    hours = time.perf_counter() - begin
    where = "two databases" if state else "one database"
    print(  # a script
        f"{where}: {orders:,} orders in {seconds:.1f} s, peak {peak / 1024:.0f} MB "
        f"(before: {before / 1024:.0f} MB); the last 16 hours in {hours * 1000:.0f} ms"
    )
    started.close()


def measure_start(dsn: str, state: str, orders: int) -> None:
    """Start a feed over initial orders, then reconcile them; print a line."""
    role = str(psycopg.conninfo.conninfo_to_dict(dsn)["user"])
    begin = time.perf_counter()
    started = FeedHarness(Shop("", role, dsn, state or None), page=PAGE_ORDERS)
    start = time.perf_counter() - begin
    begin = time.perf_counter()
    finished = started.reconcile()
    seconds = time.perf_counter() - begin
    assert finished.account.initial == orders, finished
    size = started.connections.ledger.value(
        int, Statement(b"SELECT pg_total_relation_size('syncd.initial_orders') / 1000")
    )
    with started.ledger.admission():
        keys = [str(n) for n in range(1, 1001)]
        begin = time.perf_counter()
        assert not started.ledger.admit(
            started.source.of_keys(keys), "listen", size=100
        ).orders
        first = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    where = "two databases" if state else "one database"
    print(  # a script
        f"{where}: a start over {orders:,} old orders in {start:.1f} s, {size} kB; "
        f"their account in {seconds:.1f} s; 1,000 of them admitted to nothing in "
        f"{first * 1000:.0f} ms; peak {peak / 1024:.0f} MB"
    )
    started.close()


def seed_old(server: Cluster, orders: int, *, apart: bool) -> tuple[str, str]:
    """Make a shop with initial orders and an empty ledger."""
    name, beside = ("apart0", "state0") if apart else ("beside0", "beside0")
    server.sql(f"CREATE DATABASE {name}")
    if apart:
        server.sql(f"CREATE DATABASE {beside}")
    shop = Shop.open(server.dsn(name), state=server.dsn(beside) if apart else None)
    with psycopg.connect(server.dsn(name), autocommit=True) as connection:
        connection.execute(ORDERS.format(orders=orders).encode())
        connection.execute("VACUUM (ANALYZE) orders")
    return shop.dsn, shop.state_dsn or ""


def seed(server: Cluster, orders: int, *, apart: bool) -> tuple[str, str]:
    """Make a shop with its delivered ledger; return the two connection strings."""
    name, beside = ("apart", "state") if apart else ("beside", "beside")
    server.sql(f"CREATE DATABASE {name}")
    if apart:
        server.sql(f"CREATE DATABASE {beside}")
    shop = Shop.open(server.dsn(name), state=server.dsn(beside) if apart else None)
    FeedHarness(shop).close()
    with psycopg.connect(server.dsn(name), autocommit=True) as connection:
        connection.execute(ORDERS.format(orders=orders).encode())
        row = connection.execute(
            "SELECT max(confirmed_at) + interval '15 s' FROM orders"
        ).fetchone()
        assert row
        connection.execute("VACUUM (ANALYZE) orders")
    shop.insert_many("batch", [delivered_batch(ago())] * (orders // 100))
    shop.insert_many(
        "ledger",
        (
            {
                "feed_id": 1,
                "order_key": str(n),
                "confirmed_at": row[0] - n * timedelta(seconds=15),
                "batch_id": 1 + (n - 1) // 100,
            }
            for n in range(1, orders + 1)
        ),
    )
    long_ago = datetime(2000, 1, 1, tzinfo=UTC)
    shop.update("feed", {"floor_at": long_ago, "started_at": long_ago})
    shop.update("watermark", {"confirmed_at": ago()})
    with psycopg.connect(shop.ledger_owner, autocommit=True) as connection:
        connection.execute("VACUUM (ANALYZE)")
    return shop.dsn, shop.state_dsn or ""


def main() -> None:
    """Measure both, each in a process of its own, so that each has its own peak."""
    if sys.argv[1:2] == ["--measure"]:
        measure(sys.argv[2], sys.argv[3], int(sys.argv[4]))
        return
    if sys.argv[1:2] == ["--start"]:
        measure_start(sys.argv[2], sys.argv[3], int(sys.argv[4]))
        return
    orders = int(sys.argv[1]) if sys.argv[1:] else 2_000_000
    with cluster() as server:
        for apart in (False, True):
            for what, made in (("--start", seed_old), ("--measure", seed)):
                dsn, state = made(server, orders, apart=apart)
                command = [sys.executable, __file__, what, dsn, state, str(orders)]
                subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
