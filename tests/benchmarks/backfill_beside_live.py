"""The delay of live orders that a large backfill adds.

    PYTHONPATH=tests python tests/benchmarks/backfill_beside_live.py

A shop with a million past orders, `capture = "listen"`, a fake of the API that
takes 30 ms for each request. At the default rate and without a bound to it, the same
backfill is resumed and paused in turns, so that idle and busy are measured side by
side: from the commit of a live order to its arrival at the API, and to its settlement,
which is what syncd calls its lag. Compare within one run only.
"""

import argparse
import random
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from support.command import syncd
from support.postgres import SETTINGS, cluster, wait_until
from support.shop import Shop

from syncd.demo.sandbox import Sandbox

HINTS = {**SETTINGS, "max_prepared_transactions": "0", "shared_buffers": "256MB"}
ANSWER_SECONDS = 0.03
BATCH = 100


@dataclass
class Turn:
    """Times of live orders in ms, and past orders that were sent a second."""

    arrival: list[float] = field(default_factory=list)
    lag: list[float] = field(default_factory=list)
    pace: float = 0.0

    def add(self, other: "Turn") -> None:
        self.arrival += other.arrival
        self.lag += other.lag
        self.pace += other.pace


class Bench:
    """A shop, its daemon, and a session that sells at a steady rate."""

    def __init__(self, shop: Shop, sandbox: Sandbox, folder: Path, rate: str) -> None:
        self.shop = shop
        self.sandbox = sandbox
        folder.mkdir(exist_ok=True)
        reading = {"capture": "listen", "poll_interval": "1s"}
        self.config = shop.configure(folder, sandbox.endpoint, reading)
        with self.config.open("a") as file:
            file.write(f'\n[backfill]\nrate = "{rate}"\n')

    def start(self) -> None:
        log = self.config.with_suffix(".log")
        self.daemon = self.shop.start_alone(self.config, log=log)
        wait_until(lambda: "daemon.started" in log.read_text(), 60)
        time.sleep(2)

    def stop(self) -> None:
        self.daemon.terminate()
        self.daemon.wait(30)

    def change_backfill(self, *arguments: str) -> None:
        done = syncd("backfill", *arguments, "--config", self.config)
        assert done.returncode == 0, done.stderr

    def sent(self) -> int:
        return self.shop.batch_orders(lane="backfill", state="delivered")

    def sell(self, per_second: int, seconds: int) -> Turn:
        """Confirm live orders at a steady rate."""
        committed: dict[str, float] = {}
        before, began = self.sent(), time.monotonic()
        with closing(psycopg.connect(self.shop.owner, autocommit=True)) as session:
            for number in range(per_second * seconds):
                due = began + (number + random.random()) / per_second  # noqa: S311
                time.sleep(max(0.0, due - time.monotonic()))
                row = session.execute(
                    "INSERT INTO orders (confirmed_at) VALUES (clock_timestamp()) "
                    "RETURNING id"
                ).fetchone()
                assert row
                committed[f"W-{row[0]}"] = time.time()
        pace = (self.sent() - before) / (time.monotonic() - began)
        book = self.sandbox.received
        wait_until(lambda: committed.keys() <= self.settled().keys(), 60)
        settled = self.settled()
        turn = Turn(pace=pace)
        for order, at in committed.items():
            arrived = book.first_received_at(order)
            assert arrived
            turn.arrival.append((arrived.timestamp() - at) * 1000)
            turn.lag.append((settled[order] - at) * 1000)
        return turn

    def settled(self) -> dict[str, float]:
        batches = self.shop.rows_of("batch", lane="live", state="delivered")
        settled = {batch.batch_id: batch.settled_at.timestamp() for batch in batches}
        orders = self.shop.rows_of("ledger", batch_id=list(settled))
        return {f"W-{order.order_key}": settled[order.batch_id] for order in orders}


def quantiles(lags: list[float]) -> tuple[float, float]:
    ordered = sorted(lags)
    return ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.99)]


def measure(bench: Bench, name: str, rounds: int, seconds: int, rate: int) -> None:
    bench.start()
    idle, busy = Turn(), Turn()
    for _ in range(rounds):
        idle.add(bench.sell(rate, seconds))
        bench.change_backfill("resume")
        time.sleep(6)
        busy.add(bench.sell(rate, seconds))
        bench.change_backfill("pause")
        time.sleep(2)
    bench.stop()
    print(f"{name}: {len(idle.lag)} live orders, {busy.pace / rounds:.0f} past ones/s")
    for what in ("arrival", "lag"):
        alone = quantiles(getattr(idle, what))
        beside = quantiles(getattr(busy, what))
        print(
            f"  {what:8s} idle p50 {alone[0]:6.1f} p99 {alone[1]:6.1f} ms"
            f"   beside p50 {beside[0]:6.1f} p99 {beside[1]:6.1f} ms"
            f"   ratio {beside[0] / alone[0]:.2f} {beside[1] / alone[1]:.2f}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seconds", type=int, default=10, help="of each turn")
    parser.add_argument("--rate", type=int, default=10, help="live orders a second")
    options = parser.parse_args()
    with (
        cluster(HINTS) as server,
        Sandbox(keep_bodies=10) as sandbox,
        tempfile.TemporaryDirectory() as folder,
    ):
        server.sql("CREATE DATABASE shop")
        shop = Shop.open(server.dsn("shop"))
        shop.sql(
            "INSERT INTO orders (confirmed_at) SELECT now() - interval '3 years' "
            f"+ n * interval '1 s' FROM generate_series(1, {options.orders}) AS n"
        )
        shop.sql("VACUUM ANALYZE orders")
        shop.listen("orders:id")
        sandbox.fail("latency", times=None, seconds=ANSWER_SECONDS)
        rates = {"20/s": "20/s", "unlimited": "unlimited"}
        benches = {
            name: Bench(shop, sandbox, Path(folder) / str(number), rate)
            for number, (name, rate) in enumerate(rates.items())
        }
        first = benches["20/s"]
        assert syncd("run", "--once", "--config", first.config).returncode == 0
        began = time.monotonic()
        first.change_backfill("--from", "1460 days ago", "--yes")
        print(f"planned {options.orders} orders in {time.monotonic() - began:.1f} s")
        first.change_backfill("pause")
        for name, bench in benches.items():
            measure(bench, name, options.rounds, options.seconds, options.rate)
        shop.close()


if __name__ == "__main__":
    main()
