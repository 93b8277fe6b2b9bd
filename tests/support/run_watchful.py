"""Runs the daemon with quick looks at orders' stamps: SECONDS CONFIG."""

import sys
from functools import partial
from pathlib import Path

from syncd.capture import stamps
from syncd.config.configuration import load
from syncd.daemon import pipeline as life
from syncd.daemon.process import Daemon
from syncd.log.log import configure


def main() -> None:
    seconds, config = sys.argv[1:]
    stamps.LOOK_SECONDS = 1 + float(seconds)
    stamps.REST = 1
    life.STAMP_SECONDS = float(seconds)
    read = partial(load, Path(config))
    settings = read()
    configure(level=settings.log.level)
    sys.exit(Daemon(settings, read).run())


if __name__ == "__main__":
    main()
