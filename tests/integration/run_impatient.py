"""Runs the daemon with a short deadline for PostgreSQL's answers: SECONDS CONFIG."""

import sys
from pathlib import Path

from syncd.config import load
from syncd.daemon import Daemon
from syncd.deadline import PunctualConnection
from syncd.log import configure


def main() -> None:
    seconds, config = sys.argv[1:]
    PunctualConnection.answer_seconds = float(seconds)
    settings = load(Path(config))
    configure(level=settings.log.level)
    sys.exit(Daemon(settings).run())


if __name__ == "__main__":
    main()
