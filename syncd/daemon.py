"""The running daemon: capture and delivery side by side, neither waiting for the other.

The scheduler runs what is periodic; each batch in flight has a thread; the main
thread waits for signals. A stop finishes the batches in hand.
"""

import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial

from apscheduler.schedulers.background import BackgroundScheduler

from syncd import __version__, signals
from syncd.capture.watch import UNDERNEATH
from syncd.config import Settings
from syncd.connections import Connections, source_on
from syncd.delivery.rendering import refuse_unknown_fields
from syncd.delivery.verification import is_proven, known
from syncd.errors import DatabaseUnavailableError, ExitCode
from syncd.feed import Feed, Feeds
from syncd.instance import Instance
from syncd.keeper import Keeper
from syncd.lineage import Lineage, Memory
from syncd.log import Log
from syncd.parts import Parts
from syncd.pulse import read_pulse
from syncd.reaction import Reactions

SWEEP_SECONDS = 2.0
"""How often claims of dead instances are looked for."""

ROUND_SECONDS = 60.0
"""How often the ledger is asked whether a reconciliation is due."""


class Daemon:
    """One feed's daemon; make it, then `run` or `run_once`, in the main thread."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._log = Log(settings.feed)
        self._reactions = Reactions(self._log)
        self._parts = Parts(settings, self._log, self._reactions)
        self._started = time.monotonic()

    def run(self) -> ExitCode:
        """Run until SIGTERM or SIGINT; tell how it ended.

        Raises:
            SyncdError: Only a person can help; nothing is half-done.
        """
        signals.block()
        if not self._wait_for_database():
            return ExitCode.OK
        threads = self._watch.start() + self._start_workers()
        scheduler = self._start_schedule()
        self._reactions.run("signals", self._wait_for_stop)
        self._reactions.stopping.set()
        scheduler.shutdown(wait=True)
        self._drain(threads)
        return self._end()

    def run_once(self, patience_seconds: float = 5.0) -> ExitCode:
        """Capture, deliver what is due, and tell whether something is left.

        Args:
            patience_seconds: How long to wait for running transactions, so that the
                watermark can move.

        Raises:
            SyncdError: The database failed, or only a person can help.
        """
        self._open()
        self._keeper.sweep(self._parts, self._log)
        self._watch.poll_until_closed(patience_seconds)
        self._parts.worker(0, self._feed, self._instance.number).drain()
        pulse = read_pulse(self._ledger, self._feed.feed_id)
        self._end()
        left = pulse.pending + pulse.pending_backfill + pulse.sending
        return ExitCode.LEFT if left else ExitCode.OK

    # Start

    def _wait_for_database(self) -> bool:
        """Open everything; False when told to stop before that was possible."""
        while not self._reactions.stopping.is_set():
            try:
                self._open()
            except DatabaseUnavailableError as error:
                self._parts.close()
                self._reactions.react("start", error)
                if self._is_asked_to_stop(self._reactions.seconds_to_wait("start")):
                    return False
            else:
                self._reactions.recover("start")
                return True
        return False

    def _open(self) -> None:
        settings = self._settings
        connections = self._parts.connect("keeper")
        self._ledger = connections.ledger
        self._feed = feed = self._find_feed(connections)
        memory = Memory.of(settings.state.directory, settings.feed)
        lineage = Lineage(self._ledger, feed.feed_id, settings.feed, memory)
        lineage.check()
        self._parts.guard(lineage)
        holds = settings.squeezely.uncertain == "hold"
        self._instance = Instance(self._ledger, feed.feed_id, holds=holds)
        self._log.identify(self._instance.number)
        self._keeper = Keeper(settings, self._ledger, feed, self._instance, lineage)
        self._watch = self._parts.watch(feed)
        self._rounds = self._parts.rounds(feed)
        self._report_start()

    def _find_feed(self, connections: Connections) -> Feed:
        """Start the feed, once ledger and views are as they must be."""
        settings = self._settings
        source = source_on(settings, connections)
        feeds = Feeds(connections, settings.feed)
        feeds.check_schema()
        source.views.check()
        columns = [c.name for c in source.views.columns(settings.source.purchases)]
        refuse_unknown_fields(settings.source.purchases, columns)
        return feeds.start(source, settings.source.lookback)

    def _report_start(self) -> None:
        pulse = read_pulse(self._ledger, self._feed.feed_id)
        self._log.emit(
            "daemon.started",
            version=__version__,
            instance=self._instance.number,
            watermark=pulse.watermark.isoformat(),
            started_at=self._feed.started_at.isoformat(),
            endpoint=self._settings.squeezely.endpoint,
        )
        if not is_proven(self._settings, known(self._ledger, self._settings)):
            self._log.emit(
                "account.unproven",
                body=self._settings.squeezely.body,
                batch_size=self._settings.squeezely.orders_per_batch,
            )

    def _start_workers(self) -> list[threading.Thread]:
        threads = []
        for number in range(self._settings.squeezely.max_in_flight):
            worker = self._parts.worker(number, self._feed, self._instance.number)
            threads.append(threading.Thread(target=worker.run, name=f"send-{number}"))
        for thread in threads:
            thread.start()
        return threads

    def _start_schedule(self) -> BackgroundScheduler:
        defaults = {"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
        scheduler = BackgroundScheduler(timezone=UTC, job_defaults=defaults)
        jobs: list[tuple[str, Callable[[], object], float]] = [
            ("capture", self._watch.poll, self._poll_seconds()),
            (
                "keeper",
                partial(self._keeper.keep, self._parts, self._log),
                SWEEP_SECONDS,
            ),
            ("reconcile", self._rounds.make, ROUND_SECONDS),
        ]
        for name, action, seconds in jobs:
            scheduler.add_job(
                self._reactions.run,
                "interval",
                seconds=seconds,
                args=(name, action),
                next_run_time=datetime.now(UTC),
            )
        scheduler.start()
        return scheduler

    def _poll_seconds(self) -> float:
        interval = self._settings.source.poll_interval
        if self._settings.source.capture != "poll":
            interval = max(interval, UNDERNEATH)
        return interval.total_seconds()

    # Stop

    def _wait_for_stop(self) -> None:
        while not self._is_asked_to_stop(1.0):
            pass

    def _is_asked_to_stop(self, seconds: float) -> bool:
        """Wait for a signal; True as well when a part of the daemon gave up."""
        if self._reactions.stopping.is_set():
            return True
        received = signals.wait(seconds)
        if received is signal.SIGHUP:
            self._parts.is_to_retry.set()
        if received is None or received not in signals.STOPPING:
            return self._reactions.stopping.is_set()
        self._log.emit("daemon.stopping", signal=received.name)
        return True

    def _drain(self, threads: list[threading.Thread]) -> None:
        """Wait for the batches in hand; a second signal ends at once."""
        self._parts.bell.ring()
        while any(thread.is_alive() for thread in threads):
            received = signals.wait(0.05)
            if received is not None and received in signals.STOPPING:
                os._exit(128 + received)

    def _end(self) -> ExitCode:
        fatal = self._reactions.fatal
        code = ExitCode.BUG if self._reactions.crashed else ExitCode.OK
        if fatal is None and not self._reactions.crashed:
            # Only a courtesy: its lock is free anyhow, and nothing is in hand.
            with suppress(DatabaseUnavailableError):
                self._instance.stop()
        self._parts.close()
        self._log.emit(
            "daemon.stopped",
            exit_code=int(fatal.exit_code if fatal else code),
            uptime_seconds=time.monotonic() - self._started,
            delivered=self._parts.delivered(),
        )
        if fatal is not None:
            raise fatal
        return code
