"""How soon a live order arrives at the API, beside a floor of the same run.

    PYTHONPATH=tests python tests/benchmarks/live.py

Orders are sold steadily by four sessions, 50 and 500 a second; from the return of each
commit to the arrival of its event at a sink that answers at once. The floor sends the
event itself in a NOTIFY of the shop's transaction, and a script POSTs it: nothing is
stored, and events sent while no one listens are lost. For comparison a queue with a
row per order (`--pgqueuer PYTHON`, one that has pgqueuer and asyncpg): the shop's
transaction enqueues the event. CPU time in milliseconds for an order is that of the
worker, and of the server with the shop's sessions. Compare within one run only.
"""

import argparse
import multiprocessing
import random
import re
import statistics
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from support.postgres import wait_until
from support.wal_harness import install_wal

from benchmarks import cpu, floors
from benchmarks.sink import Sink, sink
from benchmarks.stage import SELL, Stage, stage, started

SESSIONS = 4
EVENT = """
json_build_object('events', json_build_array(
         json_build_object('event', 'Purchase', 'orderid', o.number, 'email', o.email,
           'currency', o.currency, 'totalvalue', o.total, 'products',
           (SELECT json_agg(json_build_object('id', i.sku, 'name', i.title,
                              'quantity', i.quantity, 'price', i.unit_price))
              FROM order_lines AS i WHERE i.order_id = o.id))))::text
"""
OF_ORDER = "FROM orders AS o WHERE o.number = %(number)s"
NOTIFY = f"SELECT pg_notify('floor', {EVENT}) {OF_ORDER}"
ENQUEUE = (
    "INSERT INTO pgqueuer (priority, entrypoint, payload, execute_after, status) "
    f"SELECT 0, 'order', convert_to({EVENT}, 'UTF8'), now(), 'queued' {OF_ORDER}"
)
FORGET_QUEUE = """
DROP TABLE pgqueuer, pgqueuer_log, pgqueuer_statistics, pgqueuer_schedules CASCADE;
DROP TYPE pgqueuer_status CASCADE;
DROP FUNCTION fn_pgqueuer_changed CASCADE;
"""
INDEX = "CREATE INDEX IF NOT EXISTS orders_number ON orders (number)"


def sell_in_session(
    dsn: str, number: int, rate: float, seconds: float, notice: str, results: object
) -> None:
    """Sell at random moments at a steady rate; put the commit times into the queue."""
    committed: dict[str, float] = {}
    chance = random.Random(number)  # noqa: S311
    with psycopg.connect(dsn, autocommit=True) as connection:
        began, sold = time.monotonic(), 0
        while sold < rate * seconds:
            due = began + (sold + chance.random()) / rate
            time.sleep(max(0.0, due - time.monotonic()))
            name = f"T{number}-{time.time_ns()}"
            with connection.transaction():
                connection.execute(SELL, {"number": name}, prepare=True)
                if notice:
                    connection.execute(notice.encode(), {"number": name}, prepare=True)
            committed[name] = time.time()
            sold += 1
    results.put(committed)  # type: ignore[attr-defined]


def sell(dsn: str, rate: float, seconds: float, notice: str = "") -> dict[str, float]:
    """Sell from several sessions; return the time of each order's commit."""
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    processes = [
        context.Process(
            target=sell_in_session,
            args=(dsn, n, rate / SESSIONS, seconds, notice, results),
        )
        for n in range(SESSIONS)
    ]
    for process in processes:
        process.start()
    committed: dict[str, float] = {}
    for _ in processes:
        committed |= results.get(timeout=seconds + 60)
    for process in processes:
        process.join()
    return committed


def delays(to: Sink, committed: dict[str, float]) -> list[float]:
    """Wait until all have arrived; return the sorted milliseconds that each took."""
    wait_until(lambda: to.seen().events >= len(committed), 60)
    seen = to.seen(each=True)
    assert committed.keys() <= seen.arrivals.keys()
    assert not seen.repeats
    return sorted((seen.arrivals[o] - at) * 1000 for o, at in committed.items())


@contextmanager
def running_floor(dsn: str, endpoint: str) -> Iterator[int]:
    """Run the floor's script in a process of its own; yield its pid."""
    context = multiprocessing.get_context("spawn")
    stop, ready = context.Event(), context.Event()
    process = context.Process(
        target=floors.post_notifications, args=(dsn, endpoint, stop, ready)
    )
    process.start()
    assert ready.wait(30)
    assert process.pid
    yield process.pid
    stop.set()
    process.join()


@contextmanager
def running_queue(dsn: str, endpoint: str, python: str) -> Iterator[int]:
    """Run the worker of the other queue, without jobs; yield its pid."""
    worker = Path(__file__).with_name("pgqueuer_worker.py")
    info = psycopg.conninfo.conninfo_to_dict(dsn)
    names = {
        "host": "PGHOST",
        "port": "PGPORT",
        "user": "PGUSER",
        "dbname": "PGDATABASE",
    }
    with subprocess.Popen(
        [python, str(worker), endpoint],
        env={
            variable: str(info[name])
            for name, variable in names.items()
            if name in info
        },
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(1)
        yield process.pid
        process.terminate()
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(FORGET_QUEUE)


@contextmanager
def daemon(
    shop: Stage, folder: Path, endpoint: str, capture: str, interval: str
) -> Iterator[int]:
    """Run syncd until it is started and idle; yield its pid."""
    reading = {"capture": capture, "poll_interval": interval}
    config = shop.configure(folder, endpoint, reading)
    started(shop, config)
    process = shop.shop.processes[-1]
    time.sleep(2)
    yield process.pid
    process.terminate()
    assert process.wait(30) == 0


@dataclass(frozen=True)
class Turn:
    """One measurement of a subject: sorted delays, CPU time for an order; in ms."""

    delays: list[float]
    worker: float
    server: float

    def quantile(self, share: float) -> float:
        return self.delays[min(len(self.delays) - 1, int(len(self.delays) * share))]


def turn(
    shop: Stage, to: Sink, what: str, folder: Path, rate: float, seconds: float
) -> Turn:
    """Measure one subject once."""
    to.clear()
    dsn = shop.shop.owner
    notice = ""
    if what == "floor":
        subject, notice = running_floor(dsn, to.endpoint), NOTIFY
    elif what.startswith("queue"):
        python = what.removeprefix("queue ")
        subject, notice = running_queue(dsn, to.endpoint, python), ENQUEUE
    else:
        capture, _, interval = what.partition(" ")
        subject = daemon(shop, folder, to.endpoint, capture, interval or "1s")
    with subject as pid:
        before = cpu.seconds(pid), cpu.of_server(shop.server)
        took = delays(to, sell(dsn, rate, seconds, notice))
        after = cpu.seconds(pid), cpu.of_server(shop.server)
    each = 1000 / len(took)
    return Turn(took, (after[0] - before[0]) * each, (after[1] - before[1]) * each)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=50_000, help="sold before")
    parser.add_argument("--seconds", type=float, default=10, help="of each turn")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rates", type=int, nargs="*", default=[50, 500])
    parser.add_argument(
        "--only", nargs="*", default=["floor", "listen", "poll 1s", "poll 200ms"]
    )
    parser.add_argument("--pgqueuer", metavar="PYTHON", help="measure it as a peer")
    options = parser.parse_args()
    if options.pgqueuer:
        options.only.append(f"queue {options.pgqueuer}")
    with (
        stage(options.orders) as shop,
        sink(each=True) as to,
        tempfile.TemporaryDirectory() as folder,
    ):
        shop.shop.sql(INDEX)
        for rate in options.rates:
            seen: dict[str, list[Turn]] = defaultdict(list)
            for number in range(options.rounds):
                for what in options.only:
                    prepare(shop, what)
                    name = re.sub(r"\W", "-", what)
                    place = Path(folder) / f"{rate}-{number}-{name}"
                    seen[what].append(
                        turn(shop, to, what, place, rate, options.seconds)
                    )
            report(rate, seen)


def prepare(shop: Stage, what: str) -> None:
    """Install the triggers for `listen` only, and a new slot for `wal`."""
    if what == "wal":
        install_wal(shop.shop, "orders:id", recreate=True)
    if what == "listen":
        shop.shop.listen("orders:id")
    else:
        shop.shop.sql("DROP TRIGGER IF EXISTS syncd_insert_shop ON orders")
        shop.shop.sql("DROP TRIGGER IF EXISTS syncd_update_shop ON orders")


def report(rate: int, seen: dict[str, list[Turn]]) -> None:
    print(f"{rate} orders a second, ms from commit to arrival", flush=True)
    floor = seen.get("floor")
    for what, rounds in seen.items():
        ratio = ""
        if floor and what == "listen":
            ratios = [
                own.quantile(0.99) / base.quantile(0.99)
                for own, base in zip(rounds, floor, strict=True)
            ]
            ratio = f"   p99 {statistics.median(ratios):.1f} x the floor's"
        p50 = statistics.median(one.quantile(0.5) for one in rounds)
        p99 = " ".join(f"{one.quantile(0.99):7.1f}" for one in rounds)
        worker = statistics.median(one.worker for one in rounds)
        server = statistics.median(one.server for one in rounds)
        print(
            f"  {what.split('/')[0]:10s} p50 {p50:6.1f}  p99 {p99}"
            f"  worker {worker:4.1f}  server {server:4.1f}{ratio}",
            flush=True,
        )


if __name__ == "__main__":
    main()
