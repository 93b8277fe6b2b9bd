"""The throughput of past orders with the ledger, beside floors of the same run.

    PYTHONPATH=tests python tests/benchmarks/backfill.py

200,000 orders with 2.5 lines each, 8 requests in flight, a sink that answers at once
or after 50 ms. Events a second from the first to the last arrival; processor time of
syncd alone. Rounds go through all rows in turns; compare within one run only.
"""

import argparse
import multiprocessing
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from support.postgres import wait_until

from benchmarks import cpu, floors
from benchmarks.sink import Sink, sink
from benchmarks.stage import Stage, stage, started

IN_FLIGHT = 8
CASES = ((100, 0.0), (1000, 0.0), (1000, 0.05))


def floor(stage: Stage, to: Sink, batch: int, what: str) -> dict[str, float]:
    to.clear()
    arguments = {"dsn": stage.shop.owner, "endpoint": to.endpoint, "batch": batch}
    if what == "pipe":
        arguments |= {"orders": stage.orders, "in_flight": IN_FLIGHT}
    process = multiprocessing.get_context("spawn").Process(
        target=getattr(floors, what), kwargs=arguments
    )
    process.start()
    process.join()
    seen = to.seen()
    assert seen.events == stage.orders, (what, seen.events)
    return {"per_second": seen.per_second}


def syncd(stage: Stage, to: Sink, batch: int, folder: Path) -> dict[str, float]:
    """Empty ledger, one backfill of all; then the daemon, from its start."""
    stage.reset_ledger()
    config = stage.configure(
        folder, to.endpoint, batch_size=batch, max_in_flight=IN_FLIGHT
    )
    stage.backfill_all(config)
    to.clear()
    at = started(stage, config)
    daemon = stage.shop.processes[-1]
    wait_until(lambda: to.seen().events >= stage.orders, 300)
    used = cpu.seconds(daemon.pid)
    status = Path(f"/proc/{daemon.pid}/status").read_text()
    peak = next(line.split()[1] for line in status.splitlines() if "VmHWM" in line)
    wait_until(lambda: stage.delivered() == stage.orders, 60)
    time.sleep(0.5)
    seen = to.seen()
    daemon.terminate()
    assert daemon.wait(30) == 0
    assert seen.events == stage.orders, seen.events
    return {
        "per_second": seen.per_second,
        "cold": seen.first - at,
        "cpu": used / stage.orders * 1e6,
        "peak": int(peak) / 1024,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--case", type=int, choices=range(len(CASES)), nargs="*")
    parser.add_argument("--only", nargs="*", default=["pipe", "loop", "syncd"])
    options = parser.parse_args()
    cases = [CASES[n] for n in options.case] if options.case else list(CASES)
    with stage(options.orders) as shop, tempfile.TemporaryDirectory() as folder:
        for batch, seconds in cases:
            seen: dict[str, list[dict[str, float]]] = defaultdict(list)
            with sink(seconds) as to:
                for number in range(options.rounds):
                    for what in options.only:
                        place = Path(folder) / f"{batch}-{seconds}-{number}"
                        figures = (
                            syncd(shop, to, batch, place)
                            if what == "syncd"
                            else floor(shop, to, batch, what)
                        )
                        seen[what].append(figures)
            report(batch, seconds, seen)


def report(batch: int, seconds: float, seen: dict[str, list[dict[str, float]]]) -> None:
    print(f"batch {batch}, answers after {seconds * 1000:.0f} ms", flush=True)
    for what, rounds in seen.items():
        rates = [figures["per_second"] for figures in rounds]
        ratios = [
            rate / pipe["per_second"]
            for rate, pipe in zip(rates, seen.get("pipe", []), strict=False)
        ]
        ratio = f"{statistics.median(ratios):5.2f} of the pipe" if ratios else ""
        rest = ""
        if "cpu" in rounds[0]:
            median = {
                name: statistics.median(figures[name] for figures in rounds)
                for name in rounds[0]
            }
            rest = (
                f"  {median['cpu']:4.0f} us CPU, first arrival after "
                f"{median['cold']:.2f} s, {median['peak']:.0f} MB"
            )
        shown = " ".join(f"{rate:7.0f}" for rate in rates)
        print(f"  {what:6s} {shown} /s {ratio}{rest}", flush=True)


if __name__ == "__main__":
    main()
