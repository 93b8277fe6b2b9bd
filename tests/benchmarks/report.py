"""The duration of a report over a big ledger, its size, and the process's memory.

    PYTHONPATH=tests python tests/benchmarks/report.py [ORDERS]

Seeds a ledger with orders of the last 30 days in a PostgreSQL of its own, and runs the
real command for the page of a month and of a day.
"""

import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

from support.feed_harness import FeedHarness, ago
from support.ledger_rows import delivered_batch
from support.postgres import cluster
from support.shop import Shop

MONTH = timedelta(days=30)


def seed(shop: Shop, orders: int) -> None:
    """Fill a ledger with a month's delivered orders, the oldest first."""
    now, chance = ago(), random.Random(1)  # noqa: S311  # a distribution, not a secret
    step, minute = MONTH / orders, timedelta(minutes=1)
    settled = []
    batches = []
    for n in range(orders // 100, 0, -1):
        at = now - n * 100 * step
        settled.append(at + chance.random() ** 4 * minute)
        batches.append({**delivered_batch(at), "settled_at": settled[-1]})
    shop.insert_many("batch", batches)
    attempt = {"attempt": 1, "instance_id": 1, "outcome": "accepted"}
    shop.insert_many(
        "attempt",
        (
            {**attempt, "batch_id": n, "started_at": at, "settled_at": at}
            for n, at in enumerate(settled, 1)
        ),
    )
    shop.insert_many(
        "ledger",
        (
            {
                "feed_id": 1,
                "order_key": str(n),
                "confirmed_at": now - n * step,
                "batch_id": orders // 100 - (n - 1) // 100,
                "state": None if n % 500 else "rejected",
                "reason": None if n % 500 else "email is missing",
            }
            for n in range(orders, 0, -1)
        ),
    )


def main() -> None:
    """Seed, and measure both pages; the command's whole time counts."""
    orders = int(sys.argv[1]) if sys.argv[1:] else 1_000_000
    with cluster() as server, tempfile.TemporaryDirectory() as folder:
        server.sql("CREATE DATABASE shop")
        shop = Shop.open(server.dsn("shop"))
        started = FeedHarness(shop)
        started.backdate("60 days")
        started.close()
        seed(shop, orders)
        shop.sql("VACUUM (ANALYZE)")
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
