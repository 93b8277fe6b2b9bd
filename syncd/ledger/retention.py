"""Retention: what the ledger keeps of orders that were delivered long ago.

Receipts and batches go; the order's row stays, so that no capture, reconciliation or
backfill counts it as new, whatever its stamp by then (ADR-0013).
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from syncd.ledger.batches import Ledger
from syncd.log.log import Log
from syncd.postgres.statements import query


@dataclass(frozen=True, slots=True)
class PruningSteps:
    """How much is done at a time, and when.

    Attributes:
        period: How often the ledger is pruned, whatever the number of daemons.
        batches: One statement examines so many, at most.
        orders: After so many a statement examines no further batch.
        steps: Statements of one run; the next run continues from there.
    """

    period: timedelta = timedelta(hours=1)
    batches: int = 500
    orders: int = 5_000
    steps: int = 200


@dataclass(frozen=True, slots=True)
class _Pruned:
    """Batches that a step passed, orders that it merged, batches that it deleted."""

    passed: int
    orders: int
    gone: int


class Retention:
    """Prunes one feed's ledger, in small steps, each whole by itself.

    Args:
        keep: How long everything is kept; None: for ever.
        stopping: Ends a run between two steps.
        clock: By which a run is due.
    """

    def __init__(
        self,
        ledger: Ledger,
        keep: timedelta | None,
        log: Log,
        stopping: threading.Event,
        *,
        steps: PruningSteps = PruningSteps(),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger = ledger
        self._keep = keep
        self._log = log
        self._stopping = stopping
        self._steps = steps
        self._clock = clock
        self._due_at = float("-inf")

    def run(self) -> None:
        """Prune the ledger if that is due, by this process's clock and by the ledger's.

        Raises:
            SyncdError: The database failed; the steps that were done are done.
        """
        if self._keep is None or self._clock() < self._due_at:
            return
        self._due_at = self._clock() + self._steps.period.total_seconds()
        begun = self._ledger.database.run(
            query("begin_pruning"),
            feed=self._ledger.feed_id,
            period=self._steps.period - timedelta(minutes=1),
        )
        if begun:
            self._prune(self._keep)

    def _prune(self, keep: timedelta) -> None:
        started = time.monotonic()
        orders = batches = 0
        for _ in range(self._steps.steps):
            began = time.monotonic()
            step = self._step(keep)
            orders += step.orders
            batches += step.gone
            # As long as it took, the database is left to others.
            if not step.passed or self._stopping.wait(time.monotonic() - began):
                break
        if orders or batches:
            self._log.emit(
                "ledger.pruned",
                orders=orders,
                batches=batches,
                duration_ms=round((time.monotonic() - started) * 1000),
            )

    def _step(self, keep: timedelta) -> _Pruned:
        return self._ledger.database.row(
            _Pruned,
            query("thin"),
            feed=self._ledger.feed_id,
            keep=keep,
            batches=self._steps.batches,
            orders=self._steps.orders,
        )
