"""Runs the daemon with short time limits: SECONDS CONFIG.

They apply to PostgreSQL's responses and to leases; twice that to its threads.
"""

import sys
from datetime import timedelta
from functools import partial
from pathlib import Path

from syncd.config.configuration import load
from syncd.daemon.process import Daemon
from syncd.daemon.tuning import Tuning
from syncd.log.log import configure
from syncd.postgres.connection import DeadlineConnection


def main() -> None:
    seconds, config = sys.argv[1:]
    DeadlineConnection.answer_seconds = float(seconds)
    margin = timedelta(seconds=float(seconds))
    tuning = Tuning(step_seconds=2 * float(seconds), lease_margin=margin)
    read = partial(load, Path(config))
    settings = read()
    configure(level=settings.log.level)
    sys.exit(Daemon(settings, read, tuning=tuning).run())


if __name__ == "__main__":
    main()
