"""Housekeeping: releases the claims of dead instances, and reports the feed's state.

The heartbeat shows that the daemon runs; its mark in the ledger detects copies.
"""

import resource
import time

from syncd.config.settings import Settings
from syncd.core.errors import SyncdError
from syncd.daemon.build import Components
from syncd.delivery.circuit_breaker import CircuitBreaker
from syncd.ledger.clone_guard import CloneGuard
from syncd.ledger.feed import Feed
from syncd.ledger.instance import Instance
from syncd.ledger.order_quality import recent_refusals
from syncd.ledger.stats import read_stats
from syncd.log.log import Log
from syncd.postgres.database import Database

ALONE_SECONDS = 120.0
"""How long nothing is released while no other instance runs or holds a claim."""


class Housekeeping:
    """Periodic work on one connection; call `run` again and again, from one thread.

    Attributes:
        status_line: How the feed stood at the last beat, in a few words.
    """

    def __init__(
        self,
        settings: Settings,
        ledger: Database,
        feed: Feed,
        instance: Instance,
        clone_guard: CloneGuard,
    ) -> None:
        self._settings = settings
        self._ledger = ledger
        self._feed = feed
        self._instance = instance
        self._clone_guard = clone_guard
        self._beat_at = self._release_at = float("-inf")
        self._counted, self._counted_at = 0, time.monotonic()
        self.status_line = "starting"
        self._trouble: str | None = None

    def run(self, components: Components, log: Log) -> None:
        """Release dead claims; do what SIGHUP asked for; beat when that is due.

        Raises:
            SyncdError: The database failed, or the ledger went back in time.
        """
        if time.monotonic() >= self._release_at:
            self.release_dead_claims(components, log)
            rest = ALONE_SECONDS if self._instance.is_alone else 0.0
            self._release_at = time.monotonic() + rest
        if components.is_to_retry.is_set():
            self._retry(components, log)
        if (trouble := components.trouble()) != self._trouble:
            self._instance.note_trouble(trouble)
            self._trouble = trouble
        if time.monotonic() >= self._beat_at:
            self._beat(components, log)

    def release_dead_claims(self, components: Components, log: Log) -> None:
        """Release the claims whose outcome will never be settled."""
        for batch, attempt, orders in self._instance.release_dead_claims():
            components.wake_ups.sending.notify()
            log.emit(
                "batch.uncertain",
                batch=batch,
                attempt=attempt,
                orders=orders,
                outcome="uncertain",
                reason="the instance ended or its lease passed",
                is_held=self._settings.squeezely.on_uncertain == "hold",
            )

    def _retry(self, components: Components, log: Log) -> None:
        """Probe the API at once, whatever its last response."""
        components.is_to_retry.clear()
        try:
            CircuitBreaker(self._ledger, self._feed.feed_id).release()
        except SyncdError:
            components.is_to_retry.set()
            raise
        components.wake_ups.sending.notify()
        log.emit("sending.retried")

    def _report_refusals(self, log: Log) -> None:
        """Raise the alarm while so many orders are refused that it is the view."""
        refusals = recent_refusals(self._ledger, self._feed.feed_id)
        if refusals.are_many:
            log.emit_folded(
                "orders.refused",
                refusals.reason,
                rejected=refusals.rejected,
                orders=refusals.orders,
                reason=refusals.reason,
            )

    def _beat(self, components: Components, log: Log) -> None:
        self._log_heartbeat(components, log)
        self._clone_guard.mark()
        beat = self._settings.log.heartbeat.total_seconds()
        self._beat_at = time.monotonic() + beat - 0.5

    def _log_heartbeat(self, components: Components, log: Log) -> None:
        delivered, now = components.delivered(), time.monotonic()
        minutes = max(now - self._counted_at, 0.001) / 60
        rate = (delivered - self._counted) / minutes
        self._counted, self._counted_at = delivered, now
        self._report_refusals(log)
        stats = read_stats(self._ledger, self._feed.feed_id)
        self.status_line = (
            f"lag {stats.lag_seconds:.0f} s, {stats.pending} pending, "
            f"endpoint {stats.endpoint}"
        )
        log.emit(
            "heartbeat",
            lag_seconds=stats.lag_seconds,
            watermark_age_seconds=stats.watermark_age_seconds,
            pending=stats.pending,
            pending_backfill=stats.pending_backfill,
            sending=stats.sending,
            rejected=stats.rejected,
            withdrawn=stats.withdrawn,
            held=stats.held,
            uncertain=stats.uncertain,
            endpoint_state=stats.endpoint,
            paused=" and ".join(pause.what for pause in stats.pauses) or None,
            delivered=delivered,
            delivered_per_minute=rate,
            rate_factor=components.rate_limiter.share,
            unexplained=stats.unexplained,
            missed=stats.missed,
            without_time=stats.without_time,
            reconciled_seconds=stats.reconciled_seconds,
            rss_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        )
