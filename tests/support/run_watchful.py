"""Runs the daemon with frequent checks of orders' stamps: SECONDS CONFIG."""

import sys
from functools import partial
from pathlib import Path

from syncd.capture.tuning import StampTuning
from syncd.config.configuration import load
from syncd.daemon.process import Daemon
from syncd.daemon.tuning import Tuning
from syncd.log.log import configure


def main() -> None:
    seconds, config = sys.argv[1:]
    often = float(seconds)
    stamps = StampTuning(check_seconds=often, compare_seconds=1 + often, rest=1)
    read = partial(load, Path(config))
    settings = read()
    configure(level=settings.log.level)
    sys.exit(Daemon(settings, read, tuning=Tuning(stamps=stamps)).run())


if __name__ == "__main__":
    main()
