"""The cost of an idle daemon: processor time, memory, statements.

    PYTHONPATH=tests python tests/benchmarks/idle.py

Counted in the server's own log, BEGIN and COMMIT included, while nothing is sold.
"""

import argparse
import re
import tempfile
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path

from benchmarks import cpu
from benchmarks.stage import DURABLE, Stage, stage, started

TOLD = {
    **DURABLE,
    "log_statement": "all",
    "log_min_messages": "warning",
    "log_line_prefix": "'%a|'",
}
_STATEMENT = re.compile(
    r"^syncd/shop/([^|]*)\|LOG: +(?:statement|execute [^:]*): *(.*)"
)


def resident(pid: int) -> float:
    text = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in text.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def measure(shop: Stage, folder: Path, capture: str, seconds: float) -> None:
    config = shop.configure(folder, "http://127.0.0.1:9/v1/track", {"capture": capture})
    started(shop, config)
    process = shop.shop.processes[-1]
    # As if it had begun an hour ago: its first reconciliations, of all scopes, run now.
    shop.shop.shift("feed", timedelta(hours=-1), "floor_at")
    time.sleep(150)
    log = shop.server.data / "server.log"
    read = log.stat().st_size
    before = cpu.seconds(process.pid)
    time.sleep(seconds)
    used = cpu.seconds(process.pid) - before
    with log.open("rb") as file:
        file.seek(read)
        lines = file.read().decode(errors="replace").splitlines()
    process.terminate()
    process.wait(30)
    found = [match for line in lines if (match := _STATEMENT.match(line))]
    kinds = Counter(match[1] for match in found)
    shown = ", ".join(f"{part} {n}" for part, n in kinds.most_common())
    print(
        f"{capture:7s} {100 * used / seconds:5.2f} % of a core, "
        f"{len(found) * 60 / seconds:5.1f} statements a minute ({shown})",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--seconds", type=float, default=630, help="of each turn; periods are up to 315"
    )
    parser.add_argument("--only", nargs="*", default=["listen", "poll"])
    options = parser.parse_args()
    with stage(10_000, TOLD) as shop, tempfile.TemporaryDirectory() as folder:
        for capture in options.only:
            if capture == "listen":
                shop.shop.listen("orders:id")
            measure(shop, Path(folder) / capture, capture, options.seconds)


if __name__ == "__main__":
    main()
