"""Runs the daemon with backfill pages of so many orders: PAGE CONFIG."""

import sys
from pathlib import Path

from syncd.config.configuration import load
from syncd.daemon import backfill_loop as driver
from syncd.daemon.process import Daemon
from syncd.log import log


def main() -> None:
    driver.PAGE_ORDERS = int(sys.argv[1])
    settings = load(Path(sys.argv[2]))
    log.configure(level=settings.log.level, style=settings.log.format)
    sys.exit(Daemon(settings).run())


if __name__ == "__main__":
    main()
