"""The throughput of two daemons on one ledger, beside one, with a slow API.

    PYTHONPATH=tests python tests/benchmarks/instances.py

Past orders, 100 to a request, one request in flight for each daemon, an API that takes
50 ms for each response. No order may arrive twice.
"""

import argparse
import tempfile
from pathlib import Path

from support.postgres import wait_until

from benchmarks.sink import Sink, sink
from benchmarks.stage import Stage, stage, started

ANSWER_SECONDS = 0.05


def measure(shop: Stage, to: Sink, folder: Path, daemons: int) -> float:
    shop.reset_ledger()
    configs = [
        shop.configure(folder / str(n), to.endpoint, batch_size=100)
        for n in range(daemons)
    ]
    shop.backfill_all(configs[0])
    to.clear()
    for config in configs:
        started(shop, config)
    wait_until(lambda: to.seen().events >= shop.orders, 300)
    wait_until(lambda: shop.delivered() == shop.orders, 60)
    seen = to.seen()
    for process in shop.shop.processes[-daemons:]:
        process.terminate()
        assert process.wait(30) == 0
    assert (seen.events, seen.repeats) == (shop.orders, 0)
    return seen.per_second


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=30_000)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    with (
        stage(options.orders) as shop,
        sink(ANSWER_SECONDS, each=True) as to,
        tempfile.TemporaryDirectory() as folder,
    ):
        for number in range(options.rounds):
            place = Path(folder) / str(number)
            place.mkdir()
            (place / "one").mkdir()
            (place / "two").mkdir()
            one = measure(shop, to, place / "one", 1)
            two = measure(shop, to, place / "two", 2)
            print(
                f"one daemon {one:6.0f} /s, two {two:6.0f} /s: {two / one:.2f} x, "
                "no order twice",
                flush=True,
            )


if __name__ == "__main__":
    main()
