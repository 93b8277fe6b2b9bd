"""Runs the daemon with little patience, for PostgreSQL and leases: SECONDS CONFIG."""

import sys
from datetime import timedelta
from pathlib import Path

from syncd.config import load
from syncd.daemon import Daemon
from syncd.deadline import PunctualConnection
from syncd.delivery import delivery
from syncd.log import configure


def main() -> None:
    seconds, config = sys.argv[1:]
    PunctualConnection.answer_seconds = float(seconds)
    delivery.LEASE_MARGIN = timedelta(seconds=float(seconds))
    settings = load(Path(config))
    configure(level=settings.log.level)
    sys.exit(Daemon(settings).run())


if __name__ == "__main__":
    main()
