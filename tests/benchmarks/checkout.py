"""The cost of syncd for the shop: throughput, locks, vacuum.

    PYTHONPATH=tests python tests/benchmarks/checkout.py

One session that waits for nothing; then pgbench with 16 writers that saturate the
machine, on a server with fsync. In turns: no trigger; one that does nothing; one that
only inserts a row; the trigger without notifications, as it is, and with one in every
transaction. Then how long `install --listen` locks the shop's table beside those
writers, and syncd's longest transaction while it polls, listens and sends a backfill.
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
from psycopg.sql import SQL
from support.postgres import SETTINGS, Cluster, _binaries, cluster, wait_until
from support.shop import Shop

from benchmarks import cpu
from benchmarks.sink import sink
from benchmarks.stage import stage, started
from syncd.core.errors import TableBusyError

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
    "confirm": r"""
\set id random(1, 20000)
BEGIN;
SELECT total FROM orders WHERE id = :id;
UPDATE orders SET confirmed_at = clock_timestamp() WHERE id = :id;
INSERT INTO payments (order_id, amount, at) VALUES (:id, 10, now());
INSERT INTO history (order_id, what, at) VALUES (:id, 'confirmed', now());
COMMIT;
""",
    "checkout": r"""
BEGIN;
INSERT INTO orders (total) VALUES (10) RETURNING id AS fresh \gset
UPDATE orders SET confirmed_at = clock_timestamp() WHERE id = :fresh;
COMMIT;
""",
}
BUSY = "SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name = 'pgbench'"
VARIANTS = (
    "none",
    "nothing",
    "only a row",
    "no notifications",
    "as it is",
    "plain NOTIFY",
)
BARE = """
CREATE OR REPLACE FUNCTION syncd.{name}() RETURNS trigger LANGUAGE plpgsql AS $bare$
BEGIN
    {body}
    RETURN NULL;
END
$bare$
"""
ROW = (
    "INSERT INTO syncd.outbox (feed, order_key) SELECT 'shop', n.id FROM touched AS n;"
)
TABLES = """
CREATE TABLE payments (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    order_id bigint, amount numeric, at timestamptz);
CREATE TABLE history (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    order_id bigint, what text, at timestamptz);
CREATE INDEX ON payments (order_id);
CREATE INDEX ON history (order_id);
"""
LONGEST = """
SELECT coalesce(max(extract(epoch FROM clock_timestamp() - xact_start)), 0)::float8
  FROM pg_stat_activity
 WHERE application_name LIKE 'syncd/%' AND xact_start IS NOT NULL
"""


@contextmanager
def open_shop(settings: dict[str, str]) -> Iterator[tuple[Cluster, Shop]]:
    with cluster(settings) as server:
        server.sql("CREATE DATABASE shop")
        shop = Shop.open(server.dsn("shop"))
        shop.sql(TABLES)
        yield server, shop
        shop.close()


def install_trigger(shop: Shop, variant: str) -> None:
    """Install one variant of the trigger."""
    shop.sql("DROP TRIGGER IF EXISTS syncd_insert_shop ON orders")
    shop.sql("DROP TRIGGER IF EXISTS syncd_update_shop ON orders")
    if variant == "none":
        return
    shop.listen("orders:id")
    if variant in {"nothing", "only a row"}:
        install_bare_trigger(shop, ROW if variant == "only a row" else "")
        return
    (name, text), *_ = shop.rows(
        "SELECT proname, pg_get_functiondef(oid) FROM pg_proc "
        "WHERE starts_with(proname, 'listen_')"
    )
    guard = re.compile(r"IF current_setting\('max_prepared.*?THEN", re.DOTALL)
    condition = {"no notifications": "IF false THEN", "plain NOTIFY": "IF true THEN"}
    if variant in condition:
        changed, count = guard.subn(condition[variant], str(text))
        assert count == 1, name
        with psycopg.connect(shop.owner, autocommit=True) as connection:
            connection.execute(SQL(changed))


def install_bare_trigger(shop: Shop, body: str) -> None:
    """Install instead a trigger without any guarantee."""
    shop.sql(BARE.format(name="bare", body=body))
    for event in ("insert", "update"):
        shop.sql(
            f"CREATE OR REPLACE TRIGGER syncd_{event}_shop AFTER {event} ON orders "
            "REFERENCING NEW TABLE AS touched "
            "FOR EACH STATEMENT EXECUTE FUNCTION syncd.bare()"
        )


def empty_outbox(shop: Shop, stop: threading.Event) -> None:
    """Listen and empty the outbox, as the daemon does."""
    with psycopg.connect(shop.owner, autocommit=True) as connection:
        connection.execute("LISTEN syncd_shop")
        while not stop.is_set():
            for _ in connection.notifies(timeout=0.05, stop_after=1):
                pass
            connection.execute("DELETE FROM syncd.outbox")
            time.sleep(0.02)


def throughput(server: Cluster, script: Path, seconds: int) -> tuple[float, float]:
    """Measure 16 writers: transactions a second, processor microseconds for each."""
    before = cpu.of_ended_sessions(server)
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
    used = cpu.of_ended_sessions(server) - before
    return float(tps[1]), used / int(count[1]) * 1e6


def cost(rounds: int, seconds: int) -> None:
    with open_shop(DURABLE) as (server, shop), tempfile.TemporaryDirectory() as folder:
        for variant in VARIANTS:
            install_trigger(shop, variant)  # the outbox exists from here on
        for name, text in WORK.items():
            script = Path(folder) / f"{name}.sql"
            script.write_text(text)
            seen: dict[str, list[tuple[float, float]]] = {
                variant: [] for variant in VARIANTS
            }
            for _ in range(rounds):
                for variant in VARIANTS:
                    reset_table(shop, variant)
                    stop = threading.Event()
                    taker = threading.Thread(target=empty_outbox, args=(shop, stop))
                    taker.start()
                    seen[variant].append(throughput(server, script, seconds))
                    stop.set()
                    taker.join()
            report(name, seen)


ALONE = """
DO $$ BEGIN
    FOR n IN {first}..{last} LOOP
        UPDATE orders SET total = total + 1 WHERE id = n;
        COMMIT;
    END LOOP;
END $$
"""


def alone(times: int = 12, updates: int = 1000) -> None:
    """One session without contention: the best microseconds of each UPDATE."""
    print("one session, microseconds of an UPDATE with its COMMIT", flush=True)
    with open_shop(DURABLE) as (_, shop):
        install_trigger(shop, "as it is")
        for variant in VARIANTS:
            reset_table(shop, variant)
            best = float("inf")
            with psycopg.connect(shop.owner, autocommit=True) as session:
                session.execute("SET synchronous_commit = off")
                for turn in range(times):
                    first = turn * updates + 1
                    loop = ALONE.format(first=first, last=first + updates - 1)
                    began = time.perf_counter()
                    session.execute(SQL(loop))
                    best = min(best, time.perf_counter() - began)
            print(f"  {variant:13s} {best / updates * 1e6:5.1f} us", flush=True)


def reset_table(shop: Shop, variant: str) -> None:
    """Reset the table, so that each round starts with the same rows."""
    install_trigger(shop, "none")
    shop.sql("TRUNCATE orders RESTART IDENTITY; TRUNCATE payments, history")
    shop.empty_outbox()
    shop.sql(f"INSERT INTO orders (total) SELECT 1 FROM generate_series(1, {ORDERS})")
    install_trigger(shop, variant)
    shop.sql("VACUUM ANALYZE orders")
    shop.sql("CHECKPOINT")


def report(name: str, seen: dict[str, list[tuple[float, float]]]) -> None:
    print(f"{name}: {WRITERS} writers, {os.cpu_count()} cores", flush=True)
    for variant, figures in seen.items():
        rates = [rate for rate, _ in figures]
        ratios = [b / a for (a, _), b in zip(seen["none"], rates, strict=True)]
        shown = " ".join(f"{rate:7.0f}" for rate in rates)
        used = statistics.median(each for _, each in figures)
        print(
            f"  {variant:13s} {shown} /s   {statistics.median(ratios):.2f} of none"
            f"   {used:5.0f} us of the server's processors",
            flush=True,
        )


def locks(seconds: int) -> None:
    """Install and remove the triggers beside 16 writers; return the seconds it took."""
    with open_shop(DURABLE) as (server, shop), tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "update.sql"
        script.write_text(WORK["update"])
        install_trigger(shop, "as it is")
        reset_table(shop, "none")
        writing = threading.Thread(target=throughput, args=(server, script, seconds))
        writing.start()
        time.sleep(1)
        taken = []
        while writing.is_alive():
            began = time.monotonic()
            try:
                shop.listen("orders:id")
            except TableBusyError:
                continue  # half a second was not enough; the shop went on
            taken.append((time.monotonic() - began) * 1000)
            install_trigger(shop, "none")
            time.sleep(0.2)
        writing.join()
    print(
        f"install --listen beside {WRITERS} writers, {len(taken)} times: "
        f"median {statistics.median(taken):.1f} ms, longest {max(taken):.1f} ms",
        flush=True,
    )


def longest_transactions(orders: int) -> None:
    """Measure syncd's longest transaction while it does everything at once."""
    with (
        stage(orders) as shop,
        sink() as to,
        tempfile.TemporaryDirectory() as folder,
        psycopg.connect(shop.shop.owner, autocommit=True) as watcher,
    ):
        shop.shop.listen("orders:id")
        reading = {"capture": "listen", "poll_interval": "200ms"}
        config = shop.configure(Path(folder) / "x", to.endpoint, reading)
        shop.backfill_all(config)
        started(shop, config)
        seen = 0.0
        while to.seen().events < orders:
            row = watcher.execute(LONGEST).fetchone()
            assert row
            seen = max(seen, row[0])
    print(f"longest transaction of syncd's own: {seen * 1000:.0f} ms", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=6)
    parser.add_argument("--alone", action="store_true", help="one session only")
    options = parser.parse_args()
    alone()
    if options.alone:
        return
    cost(options.rounds, options.seconds)
    locks(options.seconds * 2)
    longest_transactions(100_000)


if __name__ == "__main__":
    main()
