"""How long a report over a big ledger takes, and how large page and process become.

    PYTHONPATH=tests python tests/benchmarks/report.py [ORDERS]

Seeds a ledger with orders of the last 30 days in a PostgreSQL of its own, and has the
real command make the page of a month and of a day.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg
from support.ledgers import Started
from support.postgres import cluster
from support.shop import Shop

BATCHES = """
INSERT INTO syncd.batch
       (feed_id, lane, state, orders, oldest_at, settled_at, is_pruned)
SELECT 1, 'live', 'delivered', 100, at, at + random() ^ 4 * interval '1 minute',
       true
  FROM (SELECT now() - (n * 100) * interval '30 days' / {orders} AS at
          FROM generate_series({orders} / 100, 1, -1) AS n) AS b;
INSERT INTO syncd.attempt
       (batch_id, attempt, instance_id, started_at, settled_at, outcome)
SELECT batch_id, 1, 1, settled_at, settled_at, 'accepted' FROM syncd.batch;
INSERT INTO syncd.ledger (feed_id, order_key, confirmed_at, batch_id, state, reason)
SELECT 1, n::text, now() - n * interval '30 days' / {orders},
       {orders} / 100 - (n - 1) / 100,
       CASE WHEN n % 500 = 0 THEN 'rejected' END,
       CASE WHEN n % 500 = 0 THEN 'email is missing' END
  FROM generate_series({orders}, 1, -1) AS n;
"""


def main() -> None:
    """Seed, and measure both pages; the command's whole time counts."""
    orders = int(sys.argv[1]) if sys.argv[1:] else 1_000_000
    with cluster() as server, tempfile.TemporaryDirectory() as folder:
        server.sql("CREATE DATABASE shop")
        shop = Shop.open(server.dsn("shop"))
        started = Started(shop)
        started.began("60 days")
        started.close()
        with psycopg.connect(shop.owner, autocommit=True) as connection:
            connection.execute(BATCHES.format(orders=orders).encode())
            connection.execute(b"VACUUM (ANALYZE) syncd.ledger, syncd.batch")
        config = shop.configure(Path(folder), "http://127.0.0.1:1/track")
        out = Path(folder) / "report.html"
        for period in ("30 days ago", "1 day ago"):
            begin = time.perf_counter()
            subprocess.run(
                [sys.executable, "-m", "syncd", "report", "--config", str(config),
                 "--out", str(out), "--from", period],
                check=True,
                stdout=subprocess.DEVNULL,
                env={**os.environ, "SYNCD_SQUEEZELY_API_KEY": "sandbox-key"},
            )  # fmt: skip
            seconds = time.perf_counter() - begin
            peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
            print(
                f"{orders:,} orders, from {period}: {seconds:.1f} s, "
                f"{out.stat().st_size / 1024:.0f} KB, at most {peak / 1024:.0f} MB"
            )


if __name__ == "__main__":
    main()
