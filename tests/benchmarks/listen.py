"""What `capture = "listen"` costs the shop, and how soon an order is sent.

    PYTHONPATH=tests python tests/benchmarks/listen.py cost
    PYTHONPATH=tests python tests/benchmarks/listen.py latency
    PYTHONPATH=tests python tests/benchmarks/listen.py idle

`cost` runs pgbench with 16 writers on a server with fsync, in turns: no trigger, the
trigger without hints, the trigger as it is, and with a NOTIFY in every transaction.
Compare within one run only.
"""

import argparse
import os
import re
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from postgres import SETTINGS, Cluster, _binaries, cluster, wait_until
from psycopg.sql import SQL
from shop import Shop

from syncd.sandbox import Sandbox

HINTS = {**SETTINGS, "max_prepared_transactions": "0"}
DURABLE = {
    **HINTS,
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "wal_level": "replica",
}
WRITERS = 16
ORDERS = 20_000
WORK = {
    "update": r"""
\set id random(1, 20000)
UPDATE orders SET total = total + 1 WHERE id = :id;
""",
    "checkout": r"""
BEGIN;
INSERT INTO orders (total) VALUES (10) RETURNING id AS fresh \gset
UPDATE orders SET confirmed_at = clock_timestamp() WHERE id = :fresh;
COMMIT;
""",
}
BUSY = "SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name = 'pgbench'"
VARIANTS = ("none", "no hints", "as it is", "plain NOTIFY")


@contextmanager
def open_shop(settings: dict[str, str]) -> Iterator[tuple[Cluster, Shop]]:
    with cluster(settings) as server:
        server.sql("CREATE DATABASE shop")
        shop = Shop.open(server.dsn("shop"))
        yield server, shop
        shop.close()


def put_on(shop: Shop, variant: str) -> None:
    """Install one variant of the trigger."""
    shop.sql("DROP TRIGGER IF EXISTS syncd_insert_shop ON orders")
    shop.sql("DROP TRIGGER IF EXISTS syncd_update_shop ON orders")
    if variant == "none":
        return
    shop.listen("orders:id")
    (name, text), *_ = shop.rows(
        "SELECT proname, pg_get_functiondef(oid) FROM pg_proc "
        "WHERE starts_with(proname, 'listen_')"
    )
    guard = re.compile(r"IF current_setting\('max_prepared.*?THEN", re.DOTALL)
    condition = {"no hints": "IF false THEN", "plain NOTIFY": "IF true THEN"}
    if variant in condition:
        changed, count = guard.subn(condition[variant], str(text))
        assert count == 1, name
        with psycopg.connect(shop.owner, autocommit=True) as connection:
            connection.execute(SQL(changed))


def take(shop: Shop, stop: threading.Event) -> None:
    """Listen and empty the outbox, as the daemon would."""
    with psycopg.connect(shop.owner, autocommit=True) as connection:
        connection.execute("LISTEN syncd_shop")
        while not stop.is_set():
            for _ in connection.notifies(timeout=0.05, stop_after=1):
                pass
            connection.execute("DELETE FROM syncd.outbox")
            time.sleep(0.02)


def cpu_seconds(server: Cluster) -> float:
    """Read the processor time of the server's sessions that have ended."""
    pid = (server.data / "postmaster.pid").read_text().split()[0]
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")


def throughput(server: Cluster, script: Path, seconds: int) -> tuple[float, float]:
    """Measure 16 writers: transactions a second, processor microseconds for each."""
    before = cpu_seconds(server)
    done = subprocess.run(
        [
            str(_binaries() / "pgbench"),
            "--no-vacuum",
            *("--client", str(WRITERS), "--jobs", "2", "--time", str(seconds)),
            *("--protocol", "prepared", "--file", str(script)),
            *("--host", str(server.folder), "--username", "postgres", "shop"),
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    tps = re.search(r"tps = ([\d.]+)", done.stdout)
    count = re.search(r"actually processed: (\d+)", done.stdout)
    assert tps, done.stdout
    assert count, done.stdout
    wait_until(lambda: not server.holds(BUSY))
    used = cpu_seconds(server) - before
    return float(tps[1]), used / int(count[1]) * 1e6


def cost(rounds: int, seconds: int) -> None:
    with open_shop(DURABLE) as (server, shop), tempfile.TemporaryDirectory() as folder:
        for variant in VARIANTS:
            put_on(shop, variant)  # the outbox exists from here on
        for name, text in WORK.items():
            script = Path(folder) / f"{name}.sql"
            script.write_text(text)
            seen: dict[str, list[tuple[float, float]]] = {
                variant: [] for variant in VARIANTS
            }
            for _ in range(rounds):
                for variant in VARIANTS:
                    fill(shop, variant)
                    stop = threading.Event()
                    taker = threading.Thread(target=take, args=(shop, stop))
                    taker.start()
                    seen[variant].append(throughput(server, script, seconds))
                    stop.set()
                    taker.join()
            report(name, seen)


def fill(shop: Shop, variant: str) -> None:
    """Begin each turn with the same table."""
    put_on(shop, "none")
    shop.sql("TRUNCATE orders RESTART IDENTITY; TRUNCATE syncd.outbox")
    shop.sql(f"INSERT INTO orders (total) SELECT 1 FROM generate_series(1, {ORDERS})")
    put_on(shop, variant)
    shop.sql("VACUUM ANALYZE orders")
    shop.sql("CHECKPOINT")


def report(name: str, seen: dict[str, list[tuple[float, float]]]) -> None:
    print(f"{name}: {WRITERS} writers, {os.cpu_count()} cores", flush=True)
    for variant, figures in seen.items():
        rates = [rate for rate, _ in figures]
        ratios = [b / a for (a, _), b in zip(seen["none"], rates, strict=True)]
        shown = " ".join(f"{rate:7.0f}" for rate in rates)
        used = statistics.median(cpu for _, cpu in figures)
        print(
            f"  {variant:13s} {shown} /s   {statistics.median(ratios):.2f} of none"
            f"   {used:5.0f} us of the server's processors",
            flush=True,
        )


def latency(per_second: int, seconds: int) -> None:
    """Confirm orders steadily; from the commit's return to the arrival of the POST."""
    with (
        open_shop(HINTS) as (_, shop),
        Sandbox() as sandbox,
        tempfile.TemporaryDirectory() as folder,
        psycopg.connect(shop.owner, autocommit=True) as till,
    ):
        shop.listen("orders:id")
        reading = {"capture": "listen", "poll_interval": "1s"}
        config = shop.configure(Path(folder), sandbox.endpoint, reading)
        daemon = shop.start(config)
        log = config.with_suffix(".log")
        wait_until(lambda: "daemon.started" in log.read_text(), 30)
        time.sleep(2)
        committed: dict[str, float] = {}
        began = time.monotonic()
        for number in range(per_second * seconds):
            time.sleep(max(0.0, began + number / per_second - time.monotonic()))
            row = till.execute(
                "INSERT INTO orders (confirmed_at) VALUES (clock_timestamp()) "
                "RETURNING id"
            ).fetchone()
            assert row
            committed[f"W-{row[0]}"] = time.time()
        wait_until(lambda: sandbox.book.totals.orderids == len(committed), 30)
        daemon.terminate()
        daemon.wait(15)
        heard = shop.value("SELECT count(*) FROM syncd.ledger WHERE capture = 'listen'")
        steps = shop.rows(
            "SELECT 'W-' || l.order_key, extract(epoch FROM b.created_at)::float8, "
            "extract(epoch FROM min(a.started_at))::float8 FROM syncd.ledger AS l "
            "JOIN syncd.batch AS b USING (batch_id) JOIN syncd.attempt AS a "
            "USING (batch_id) WHERE l.capture = 'listen' GROUP BY 1, 2"
        )
        arrivals = {o: sandbox.book.first_received_at(o) for o in committed}
    print(f"{len(committed)} orders at {per_second}/s, {heard} of them by listen")
    first = {str(order): float(str(at)) for order, at, _ in steps}
    claimed = {str(order): float(str(at)) for order, _, at in steps}
    arrived = {order: at.timestamp() for order, at in arrivals.items() if at}
    for name, times in (("batch", first), ("claim", claimed), ("arrival", arrived)):
        waits = sorted((times[o] - committed[o]) * 1000 for o in times)
        p50, p90, p99 = (waits[int(len(waits) * p)] for p in (0.5, 0.9, 0.99))
        print(
            f"  commit to {name:8s} p50 {p50:5.1f}  p90 {p90:5.1f}  p99 {p99:5.1f} ms"
        )


def idle(seconds: int) -> None:
    """Count the statements of a daemon that has nothing to do."""
    with (
        open_shop(
            {**HINTS, "shared_preload_libraries": "'pg_stat_statements'"}
        ) as opened,
        Sandbox() as sandbox,
        tempfile.TemporaryDirectory() as folder,
    ):
        _, shop = opened
        shop.sql("CREATE EXTENSION pg_stat_statements")
        shop.listen("orders:id")
        reading = {"capture": "listen", "poll_interval": "1s"}
        config = shop.configure(Path(folder), sandbox.endpoint, reading)
        shop.start(config)
        log = config.with_suffix(".log")
        wait_until(lambda: "daemon.started" in log.read_text(), 30)
        time.sleep(15)
        shop.sql("SELECT pg_stat_statements_reset()")
        time.sleep(seconds)
        rows = shop.rows(
            "SELECT sum(calls), left(regexp_replace(query, '\\s+', ' ', 'g'), 70) "
            "FROM pg_stat_statements AS s JOIN pg_roles AS r ON r.oid = s.userid "
            f"WHERE r.rolname = '{shop.role}' GROUP BY 2 ORDER BY 1 DESC"
        )
    for calls, query in rows:
        print(f"{float(str(calls)) * 60 / seconds:8.1f} a minute  {query}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("cost", "latency", "idle"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=0)
    parser.add_argument("--rate", type=int, default=50, help="orders a second")
    options = parser.parse_args()
    if options.what == "cost":
        cost(options.rounds, options.seconds or 8)
    elif options.what == "latency":
        latency(options.rate, options.seconds or 20)
    else:
        idle(options.seconds or 60)


if __name__ == "__main__":
    main()
