"""The cost of the unit on a real systemd, with its shipped settings.

As root: `PYTHONPATH=tests python tests/benchmarks/service.py`
"""

import os
import statistics
import tempfile
import time
from pathlib import Path

from support.postgres import wait_until
from system.machine import API, Machine, machine, package

UNIT = "syncd@idle"
STARTS = 5
IDLE_SECONDS = 60
CONFIGURATION = f"""
feed = "idle"
[source]
dsn = "dbname=idle user=syncd"
[squeezely]
account = "SQ-SANDBOX"
endpoint = "{API}/v1/track"
"""


def seconds(box: Machine, verb: str) -> float:
    started = time.monotonic()
    box.systemctl(verb, UNIT)
    return time.monotonic() - started


def cpu_seconds(box: Machine, pid: str) -> float:
    fields = box.run("cat", f"/proc/{pid}/stat").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(box: Machine, pid: str, name: str) -> str:
    text = box.run("cat", f"/proc/{pid}/status")
    return next(line.split()[1] for line in text.splitlines() if name in line)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        box = machine(Path(folder), package(Path(folder)))
        try:
            measure(box)
        finally:
            box.shut_down()


def measure(box: Machine) -> None:
    box.open_shop("idle", 1)
    box.write("/etc/syncd/idle.toml", CONFIGURATION)
    starts, stops = [], []
    for _ in range(STARTS):
        starts.append(seconds(box, "start"))
        stops.append(seconds(box, "stop"))
    box.systemctl("start", UNIT)
    orders = box.confirm(1_000, "idle")
    wait_until(lambda: box.totals()["orderids"] == len(orders), 60)
    (pid,) = box.show(UNIT, "MainPID")
    before = cpu_seconds(box, pid)
    time.sleep(IDLE_SECONDS)
    used = cpu_seconds(box, pid) - before
    resident = int(memory(box, pid, "VmRSS")) / 1024
    print(f"start to READY: {statistics.median(starts):.2f} s (median of {STARTS})")
    print(f"idle stop: {statistics.median(stops):.2f} s")
    print(f"idle CPU: {100 * used / IDLE_SECONDS:.1f} % of a core")
    print(f"resident: {resident:.0f} MB, threads: {memory(box, pid, 'Threads')}")


if __name__ == "__main__":
    main()
