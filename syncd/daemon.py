"""The running daemon: capture and delivery side by side, neither waiting for the other.

The scheduler runs what is periodic; each batch in flight has a thread; the main
thread waits for signals. A stop finishes the batches in hand.
"""

import os
import resource
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial

from apscheduler.schedulers.background import BackgroundScheduler

from syncd import __version__, signals
from syncd.bell import Bell
from syncd.capture.follower import Follower
from syncd.capture.hints import Hints
from syncd.capture.listen import Intake, Listen
from syncd.capture.outbox import Outbox
from syncd.capture.poll import Poll
from syncd.capture.wal import follow_wal
from syncd.capture.watch import PATIENCE_SECONDS, UNDERNEATH, Watch
from syncd.config import Settings
from syncd.connections import Connections, connect, source_on, transactions_of
from syncd.database import Database
from syncd.delivery.breaker import Breaker
from syncd.delivery.delivery import Delivery
from syncd.delivery.rendering import refuse_unknown_fields
from syncd.delivery.verification import is_proven, known
from syncd.delivery.worker import Pace, Worker
from syncd.errors import ConfigError, DatabaseUnavailableError, ExitCode
from syncd.feed import Feed, Feeds
from syncd.instance import Instance
from syncd.ledger import Ledger
from syncd.lineage import Lineage, Memory
from syncd.log import Log
from syncd.pulse import read_pulse, read_reconciled
from syncd.reaction import Reactions
from syncd.reconciliation import Reconciliation
from syncd.rounds import Rounds

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
        self._bell = Bell()
        self._pace = Pace(settings.squeezely.rate, settings.backfill.rate)
        self._connections: list[Connections] = []
        self._workers: list[Worker] = []
        self._started = time.monotonic()
        self._beat_at = float("-inf")
        self._is_to_retry = threading.Event()

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
        self._sweep()
        self._watch.poll_until_closed(patience_seconds)
        worker = self._make_worker(0)
        worker.drain()
        pulse = read_pulse(self._keeper, self._feed_id)
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
                self._close()
                self._reactions.react("start", error)
                if self._is_asked_to_stop(self._reactions.seconds_to_wait("start")):
                    return False
            else:
                self._reactions.recover("start")
                return True
        return False

    def _open(self) -> None:
        settings = self._settings
        connections = self._connect("keeper")
        self._keeper = connections.ledger
        source = source_on(settings, connections)
        feeds = Feeds(connections, settings.feed)
        feeds.check_schema()
        source.views.check()
        columns = [c.name for c in source.views.columns(settings.source.purchases)]
        refuse_unknown_fields(settings.source.purchases, columns)
        feed = feeds.start(source, settings.source.lookback)
        self._feed_id = feed.feed_id
        self._lineage = Lineage(
            self._keeper,
            feed.feed_id,
            settings.feed,
            Memory.of(settings.state.directory, settings.feed),
        )
        self._lineage.check()
        self._keeper.on_open(partial(self._note_promotion, self._keeper))
        holds = settings.squeezely.uncertain == "hold"
        self._instance = Instance(self._keeper, feed.feed_id, holds=holds)
        self._watch = Watch(
            self._make_poll(feed),
            self._make_follower(feed),
            self._bell,
            self._reactions,
            self._log,
        )
        self._rounds = self._make_rounds(feed)
        self._log.emit(
            "daemon.started",
            version=__version__,
            instance=self._instance.number,
            watermark=read_pulse(self._keeper, feed.feed_id).watermark.isoformat(),
            started_at=feed.started_at.isoformat(),
            endpoint=settings.squeezely.endpoint,
        )
        if not is_proven(settings, known(self._keeper, settings)):
            self._log.emit(
                "account.unproven",
                body=settings.squeezely.body,
                batch_size=settings.squeezely.orders_per_batch,
            )

    def _connect(self, role: str) -> Connections:
        connections = connect(self._settings, role)
        self._connections.append(connections)
        if role != "keeper":  # that one finds the feed first
            ledger = connections.ledger
            ledger.on_open(partial(self._note_promotion, ledger))
        return connections

    def _note_promotion(self, ledger: Database) -> None:
        """Note on a new connection that a standby took over, before it is used."""
        if promotion := self._lineage.note_promotion(ledger):
            self._log.emit(
                "database.promoted",
                timeline=promotion.timeline,
                orders=promotion.orders,
            )

    def _make_follower(self, feed: Feed) -> Follower | None:
        """Make the capture that is configured beside the poll; None for none."""
        capture = self._settings.source.capture
        if capture == "poll":
            return None
        if capture == "listen":
            return self._make_listen(feed)
        if capture == "wal":
            return follow_wal(self._settings, feed, self._connect("wal"), self._log)
        raise ConfigError(
            f"feed {feed.feed_id}: no such capture {capture!r}", "Use poll."
        )

    def _make_listen(self, feed: Feed) -> Listen:
        settings = self._settings
        connections, ears = self._connect("listen"), self._connect("hints")
        writer = connections.primary or connections.source
        intake = Intake(
            source_on(settings, connections),
            Ledger(connections.ledger, feed.feed_id),
            feed.floor_at,
            settings.squeezely.orders_per_batch,
            spans_outbox=writer is connections.ledger,
        )
        return Listen(
            Outbox(connections.source, writer, settings.feed),
            Hints(ears.primary or ears.source, writer, settings.feed),
            intake,
            self._log,
            deaf_seconds=settings.source.poll_interval.total_seconds(),
        )

    def _make_poll(self, feed: Feed) -> Poll:
        connections = self._connect("capture")
        transactions = transactions_of(connections)
        poll = Poll(
            transactions,
            source_on(self._settings, connections),
            Ledger(connections.ledger, feed.feed_id),
            lookback=self._settings.source.lookback,
            size=self._settings.squeezely.orders_per_batch,
        )
        for database in (connections.source, connections.primary):
            if database is not None:
                database.on_open(poll.forget)
        if transactions.is_blind:
            self._log.emit("source.unproven")
        return poll

    def _make_rounds(self, feed: Feed) -> Rounds:
        connections = self._connect("reconcile")
        stopping = self._reactions.stopping
        follows = self._settings.source.capture != "poll"
        reconciliation = Reconciliation(
            source_on(self._settings, connections),
            Ledger(connections.ledger, feed.feed_id),
            size=self._settings.squeezely.orders_per_batch,
            wait=lambda: follows and stopping.wait(PATIENCE_SECONDS),
        )
        return Rounds(reconciliation, self._bell, self._log, stopping)

    def _make_worker(self, number: int) -> Worker:
        connections = self._connect(f"delivery-{number}")
        ledger = Ledger(connections.ledger, self._feed_id)
        source = source_on(self._settings, connections)
        delivery = Delivery(
            self._settings, source, ledger, self._log, instance=self._instance.number
        )
        worker = Worker(
            number, delivery, ledger, self._pace, self._bell, self._reactions
        )
        self._workers.append(worker)
        return worker

    def _start_workers(self) -> list[threading.Thread]:
        threads = []
        for number in range(self._settings.squeezely.max_in_flight):
            worker = self._make_worker(number)
            threads.append(threading.Thread(target=worker.run, name=f"send-{number}"))
        for thread in threads:
            thread.start()
        return threads

    def _start_schedule(self) -> BackgroundScheduler:
        defaults = {"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
        scheduler = BackgroundScheduler(timezone=UTC, job_defaults=defaults)
        jobs: list[tuple[str, Callable[[], object], float]] = [
            ("capture", self._watch.poll, self._poll_seconds()),
            ("keeper", self._keep, SWEEP_SECONDS),
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

    # Periodic work

    def _keep(self) -> None:
        """Sweep, and say how the feed stands when a heartbeat is due."""
        self._sweep()
        if self._is_to_retry.is_set():
            self._is_to_retry.clear()
            self._retry()
        if time.monotonic() >= self._beat_at:
            self._beat()
            self._lineage.mark()
            beat = self._settings.log.heartbeat.total_seconds()
            self._beat_at = time.monotonic() + beat - 0.5

    def _retry(self) -> None:
        """Try the API again at once, whatever it said before."""
        Breaker(self._keeper, self._feed_id).release()
        self._bell.ring()
        self._log.emit("sending.retried")

    def _sweep(self) -> None:
        for batch, attempt, orders in self._instance.sweep():
            self._bell.ring()
            self._log.emit(
                "batch.uncertain",
                batch=batch,
                attempt=attempt,
                orders=orders,
                reason="the instance ended or its lease passed",
                held=self._settings.squeezely.uncertain == "hold",
            )

    def _beat(self) -> None:
        pulse = read_pulse(self._keeper, self._feed_id)
        reconciled = read_reconciled(self._keeper, self._feed_id)
        self._log.emit(
            "heartbeat",
            lag_seconds=pulse.lag_seconds,
            watermark_age_seconds=pulse.watermark_age_seconds,
            pending=pulse.pending,
            pending_backfill=pulse.pending_backfill,
            sending=pulse.sending,
            rejected=pulse.rejected,
            withdrawn=pulse.withdrawn,
            held=pulse.held,
            endpoint=pulse.endpoint,
            delivered=self._delivered(),
            pace=self._pace.share,
            unexplained=reconciled.unexplained,
            reconciled_seconds=reconciled.age_seconds,
            rss_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        )

    def _delivered(self) -> int:
        return sum(worker.delivered for worker in self._workers)

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
            self._is_to_retry.set()
        if received is None or received not in signals.STOPPING:
            return self._reactions.stopping.is_set()
        self._log.emit("daemon.stopping", signal=received.name)
        return True

    def _drain(self, threads: list[threading.Thread]) -> None:
        """Wait for the batches in hand; a second signal ends at once."""
        self._bell.ring()
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
        self._close()
        self._log.emit(
            "daemon.stopped",
            exit_code=int(fatal.exit_code if fatal else code),
            uptime_seconds=time.monotonic() - self._started,
            delivered=self._delivered(),
        )
        if fatal is not None:
            raise fatal
        return code

    def _close(self) -> None:
        for connections in self._connections:
            connections.close()
        self._connections.clear()
