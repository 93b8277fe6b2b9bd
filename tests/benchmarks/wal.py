"""How soon `capture = "wal"` sends an order, and how many it captures a second.

    PYTHONPATH=tests python tests/benchmarks/wal.py latency
    PYTHONPATH=tests python tests/benchmarks/wal.py intake

`latency` confirms orders at a steady rate: from the commit's return to the arrival of
the POST. `intake` lets a daemon find 100,000 orders waiting in its slot, confirmed in
one transaction, then one by one: from its start until the ledger has them.
"""

import argparse
import re
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from support.feed_harness import ago
from support.postgres import cluster, wait_until
from support.shop import Shop
from support.wal_harness import WAL_SETTINGS, install_wal

from syncd.demo.sandbox import Sandbox

WRITERS = 8


@contextmanager
def opened_shop() -> Iterator[tuple[Shop, Sandbox, Path]]:
    with (
        cluster(WAL_SETTINGS) as server,
        Sandbox() as sandbox,
        tempfile.TemporaryDirectory() as folder,
    ):
        server.sql("CREATE DATABASE shop")
        shop = Shop.open(server.dsn("shop"))
        install_wal(shop, "orders:id")
        reading = {"capture": "wal", "poll_interval": "1s"}
        yield shop, sandbox, shop.configure(Path(folder), sandbox.endpoint, reading)
        shop.close()


def start(shop: Shop, config: Path) -> None:
    shop.start_alone(config)
    wait_until(lambda: "stream.opened" in config.with_suffix(".log").read_text(), 30)


def stop(shop: Shop) -> None:
    shop.processes[-1].terminate()
    shop.processes[-1].wait(30)


def latency(per_second: int, seconds: int) -> None:
    with (
        opened_shop() as (shop, sandbox, config),
        psycopg.connect(shop.owner, autocommit=True) as session,
    ):
        start(shop, config)
        time.sleep(2)
        committed: dict[str, float] = {}
        began = time.monotonic()
        for number in range(per_second * seconds):
            time.sleep(max(0.0, began + number / per_second - time.monotonic()))
            row = session.execute(
                "INSERT INTO orders (confirmed_at) VALUES (clock_timestamp()) "
                "RETURNING id"
            ).fetchone()
            assert row
            committed[f"W-{row[0]}"] = time.time()
        wait_until(lambda: sandbox.received.totals.orderids == len(committed), 30)
        stop(shop)
        waits = sorted(
            (at.timestamp() - committed[order]) * 1000
            for order in committed
            if (at := sandbox.received.first_received_at(order)) is not None
        )
        captured = shop.captured("wal")
    share = [waits[int(len(waits) * p)] for p in (0.5, 0.9, 0.99)]
    print(
        f"{len(waits)} orders at {per_second}/s, {captured} of them by wal: "
        f"p50 {share[0]:.1f} ms, p90 {share[1]:.1f} ms, p99 {share[2]:.1f} ms, "
        f"max {waits[-1]:.1f} ms"
    )


def confirm_singly(shop: Shop, orders: int) -> None:
    """Confirm orders in a transaction each, from several sessions."""

    def confirm() -> None:
        with psycopg.connect(shop.owner, autocommit=True) as session:
            session.execute(
                "DO 'BEGIN FOR i IN 1.." + str(orders // WRITERS) + " LOOP "
                "INSERT INTO orders (confirmed_at) VALUES (clock_timestamp()); "
                "COMMIT; END LOOP; END'"
            )

    writers = [threading.Thread(target=confirm) for _ in range(WRITERS)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()


def intake(orders: int) -> None:
    for kind in ("one transaction", "a transaction each"):
        with opened_shop() as (shop, sandbox, config):
            sandbox.fail("server-error", None, status=503)  # capture alone
            start(shop, config)
            wait_until(lambda: shop.rows_of("replication_position"))
            stop(shop)
            if kind == "one transaction":
                shop.confirm(orders)
            else:
                confirm_singly(shop, orders)
            shop.set_watermark(ago(hours=-1))
            began = time.monotonic()
            start(shop, config)
            while shop.captured("wal") != orders:
                time.sleep(0.2)  # counting them takes a while, too
            took = time.monotonic() - began
            stop(shop)
            resident = re.findall(
                r'"rss_mb":([\d.]+)', config.with_suffix(".log").read_text()
            )
        print(
            f"{orders} orders, {kind}: {took:.1f} s with the daemon's start, "
            f"{orders / took:.0f}/s, {resident[-1]} MB resident"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("latency", "intake"))
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--rate", type=int, default=50, help="orders a second")
    parser.add_argument("--orders", type=int, default=100_000)
    options = parser.parse_args()
    if options.what == "latency":
        latency(options.rate, options.seconds)
    else:
        intake(options.orders)


if __name__ == "__main__":
    main()
