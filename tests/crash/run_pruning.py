"""Prunes a ledger in forks, each killed at one of its steps: CONFIG.

Reads the number of the fatal step from stdin, line by line (0: none), and writes the
exit code, negative for a signal, and the number of steps done.
"""

import os
import sys
import threading
from datetime import timedelta
from pathlib import Path

from run_step_by_step import Steps

from syncd.config.configuration import load
from syncd.config.settings import Settings
from syncd.ledger.batches import Ledger
from syncd.ledger.feed import FeedStore
from syncd.ledger.retention import PruningSteps, Retention
from syncd.log.log import Log, configure
from syncd.postgres.connection import DeadlineConnection
from syncd.source.connections import connect


def prune(settings: Settings) -> int:
    connections = connect(settings, "pruning")
    feed = FeedStore(connections, settings.feed).get()
    ledger = Ledger(connections.ledger, feed.feed_id)
    keep = timedelta(days=30)
    steps = PruningSteps(period=timedelta(minutes=1), batches=2)
    Retention(ledger, keep, Log("shop"), threading.Event(), steps=steps).run()
    return 0


def main() -> None:
    settings = load(Path(sys.argv[1]))
    configure(level="error")
    steps = Steps()
    steps.watch(DeadlineConnection, "wait")
    for line in sys.stdin:
        steps.passed.value = 0
        child = os.fork()
        if child == 0:
            steps.fatal = int(line)
            os._exit(prune(settings))
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        sys.stdout.write(f"{code} {steps.passed.value}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
