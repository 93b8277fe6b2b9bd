"""Runs the daemon with a given size of backfill pages: PAGE CONFIG."""

import sys
from pathlib import Path

from syncd.config.configuration import load
from syncd.daemon.backfill_loop import BackfillLimits
from syncd.daemon.process import Daemon
from syncd.daemon.tuning import Tuning
from syncd.log import log


def main() -> None:
    tuning = Tuning(backfill=BackfillLimits(page=int(sys.argv[1])))
    settings = load(Path(sys.argv[2]))
    log.configure(level=settings.log.level, style=settings.log.format)
    sys.exit(Daemon(settings, tuning=tuning).run())


if __name__ == "__main__":
    main()
