"""Housekeeping: releases the claims of dead instances, and reports the feed's state.

The heartbeat shows that the daemon runs; its mark in the ledger detects copies.
"""

import resource
import time

from syncd.core.errors import SyncdError
from syncd.daemon.build import Components
from syncd.daemon.opening import OpenFeed
from syncd.delivery.circuit_breaker import CircuitBreaker
from syncd.ledger.order_quality import recent_refusals
from syncd.ledger.stats import read_stats

ALONE_SECONDS = 120.0
"""How long nothing is released while no other instance runs or holds a claim."""


class Housekeeping:
    """Periodic work on one connection; call `run` again and again, from one thread.

    Attributes:
        status_line: How the feed stood at the last beat, in a few words.
    """

    def __init__(self, opened: OpenFeed, components: Components) -> None:
        self._settings = opened.settings
        self._ledger = opened.ledger
        self._feed = opened.feed
        self._instance = opened.instance
        self._clone_guard = opened.clone_guard
        self._log = opened.log
        self._components = components
        self._beat_at = self._release_at = float("-inf")
        self._counted, self._counted_at = 0, time.monotonic()
        self.status_line = "starting"
        self._trouble: str | None = None

    def run(self) -> None:
        """Release dead claims; do what SIGHUP asked for; beat when that is due.

        Raises:
            SyncdError: The database failed, or the ledger went back in time.
        """
        if time.monotonic() >= self._release_at:
            self.release_dead_claims()
            rest = ALONE_SECONDS if self._instance.is_alone else 0.0
            self._release_at = time.monotonic() + rest
        if self._components.is_to_retry.is_set():
            self._retry()
        if (trouble := self._components.reactions.trouble()) != self._trouble:
            self._instance.note_trouble(trouble)
            self._trouble = trouble
        if time.monotonic() >= self._beat_at:
            self._beat()

    def release_dead_claims(self) -> None:
        """Release the claims whose outcome will never be settled."""
        for batch, attempt, orders in self._instance.release_dead_claims():
            self._components.wake_ups.sending.notify()
            self._log.emit(
                "batch.uncertain",
                batch=batch,
                attempt=attempt,
                orders=orders,
                outcome="uncertain",
                reason="the instance ended or its lease passed",
                is_held=self._settings.squeezely.on_uncertain == "hold",
            )

    def _retry(self) -> None:
        self._components.is_to_retry.clear()
        try:
            CircuitBreaker(self._ledger, self._feed.feed_id).release()
        except SyncdError:
            self._components.is_to_retry.set()
            raise
        self._components.wake_ups.sending.notify()
        self._log.emit("sending.retried")

    def _report_refusals(self) -> None:
        """Raise the alarm while so many orders are refused that it is the view."""
        refusals = recent_refusals(self._ledger, self._feed.feed_id)
        if refusals.are_many:
            self._log.emit_folded(
                "orders.refused",
                refusals.reason,
                rejected=refusals.rejected,
                orders=refusals.orders,
                reason=refusals.reason,
            )

    def _beat(self) -> None:
        self._log_heartbeat()
        self._clone_guard.mark()
        beat = self._settings.log.heartbeat.total_seconds()
        self._beat_at = time.monotonic() + beat - 0.5

    def _log_heartbeat(self) -> None:
        delivered, now = self._components.delivered(), time.monotonic()
        minutes = max(now - self._counted_at, 0.001) / 60
        rate = (delivered - self._counted) / minutes
        self._counted, self._counted_at = delivered, now
        self._report_refusals()
        stats = read_stats(self._ledger, self._feed.feed_id)
        self.status_line = (
            f"lag {stats.lag_seconds:.0f} s, {stats.pending} pending, "
            f"endpoint {stats.endpoint}"
        )
        self._log.emit(
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
            rate_factor=self._components.rate_limiter.share,
            unexplained=stats.unexplained,
            missed=stats.missed,
            without_time=stats.without_time,
            reconciled_seconds=stats.reconciled_seconds,
            rss_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        )
