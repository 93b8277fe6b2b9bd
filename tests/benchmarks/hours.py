"""The memory of a daemon that sends live orders for hours, and a big transaction.

    PYTHONPATH=tests python tests/benchmarks/hours.py --hours 3

`listen` with default settings; orders are sold at a steady rate, and at half time a
great many are confirmed by one transaction. Megabytes resident, and orders sent so far.
"""

import argparse
import multiprocessing
import tempfile
import time
from pathlib import Path

from support.postgres import wait_until

from benchmarks import cpu
from benchmarks.idle import resident
from benchmarks.live import sell_in_session
from benchmarks.sink import Sink, sink
from benchmarks.stage import Stage, stage, started

STEPS = 20
IMPORT = """
WITH sold AS (
    INSERT INTO orders (number, email, currency, total, confirmed_at)
    SELECT 'I-' || n, 'mila@example.com', 'EUR', 9.95, clock_timestamp()
      FROM generate_series(1, {orders}) AS n
    RETURNING id
)
INSERT INTO order_lines (order_id, sku, title, quantity, unit_price)
SELECT id, 'SKU-1', 'Product number 1', 1, 9.95
  FROM sold
"""


def run(shop: Stage, to: Sink, folder: Path, options: argparse.Namespace) -> None:
    shop.shop.listen("orders:id")
    reading = {"capture": "listen", "poll_interval": "1s"}
    started(shop, shop.configure(folder, to.endpoint, reading))
    daemon = shop.shop.processes[-1]
    seconds = options.hours * 3600
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    arguments = (shop.shop.owner, 0, options.rate, seconds, "", results)
    selling = context.Process(target=sell_in_session, args=arguments)
    selling.start()
    for step in range(STEPS + 1):
        if step == STEPS // 2:
            shop.shop.sql(IMPORT.format(orders=options.orders))
        print(
            f"{step * seconds / STEPS / 60:5.0f} min  {resident(daemon.pid):4.0f} MB  "
            f"{to.seen().events:8} sent  {cpu.seconds(daemon.pid):6.1f} s of processor",
            flush=True,
        )
        time.sleep(seconds / STEPS)
    sold = len(results.get(timeout=60)) + options.orders
    selling.join()
    wait_until(lambda: to.seen().events >= sold, 120)
    peak = Path(f"/proc/{daemon.pid}/status").read_text().partition("VmHWM:")[2]
    print(f"{int(peak.split()[0]) / 1024:.0f} MB at most, {sold} orders")
    daemon.terminate()
    assert daemon.wait(30) == 0
    assert to.seen().events == sold


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--rate", type=float, default=20, help="orders a second")
    parser.add_argument("--orders", type=int, default=50_000, help="at half time")
    options = parser.parse_args()
    with stage(1000) as shop, sink() as to, tempfile.TemporaryDirectory() as folder:
        run(shop, to, Path(folder) / "daemon", options)


if __name__ == "__main__":
    main()
