"""The daemon: pipelines one after the other in one process, and their watchdog.

The main thread waits for signals, notifies the watchdog while every component makes
progress, and replaces the pipeline when the configuration was reloaded. A stop finishes
the batches being sent.
"""

import os
import signal
import sys
import time
from collections.abc import Callable
from functools import partial

from syncd.config.settings import Settings
from syncd.core.errors import (
    ConfigError,
    DatabaseUnavailableError,
    ExitCode,
    StartDelayedError,
    SyncdError,
)
from syncd.core.progress import report_progress, watched
from syncd.daemon import signals
from syncd.daemon.error_policy import ErrorPolicy
from syncd.daemon.pipeline import Pipeline
from syncd.daemon.systemd import Notifier
from syncd.daemon.tuning import DEFAULTS, Tuning
from syncd.daemon.watchdog import stack_summary
from syncd.ledger.start_journal import StartJournal
from syncd.log.log import Log, configure

SWITCH_SECONDS = 0.0005
"""How long a thread may run before it switches: an order may be waiting."""

DRAIN_TICK_SECONDS = 0.05

_STATUS = 200
"""Characters of a reason in systemd's status."""


class Daemon:
    """One feed's daemon; make it, then `run` or `run_once`, in the main thread.

    Args:
        reread: Reads the settings again, for SIGHUP; None: they stay as they are.
        new_feed: Whether a new feed is wanted even beside others.
    """

    def __init__(
        self,
        settings: Settings,
        reread: Callable[[], Settings] | None = None,
        *,
        new_feed: bool = False,
        tuning: Tuning = DEFAULTS,
    ) -> None:
        self._settings = settings
        self._open = partial(Pipeline.open, tuning=tuning)
        self._open_first = partial(self._open, new_feed=new_feed)
        self._reread = reread or (lambda: settings)
        self._log = Log(settings.feed)
        self._start = ErrorPolicy(self._log)
        self._notifier = Notifier()
        self._journal = StartJournal(settings)
        self._successor: Pipeline | None = None
        self._is_stopping = False
        self._stalled: set[str] = set()
        self._delivered = 0
        self._started = time.monotonic()

    def run(self) -> ExitCode:
        """Run until SIGTERM or SIGINT; return the exit code.

        Raises:
            SyncdError: Only a person can help; nothing is half-done.
        """
        signals.block()
        sys.setswitchinterval(SWITCH_SECONDS)
        with watched(self._notifier.note_progress):
            pipeline = self._wait_for_database()
            if pipeline is None:
                return ExitCode.OK
            pipeline.report_start()
            self._journal.clear()
            return self._end(self._serve(pipeline))

    def run_once(self, patience_seconds: float = 5.0) -> ExitCode:
        """Capture, deliver what is due, and return whether something is left.

        It waits for so long for running transactions, so that the watermark can move.
        """
        pipeline = self._open_first(self._settings, self._log)
        pipeline.report_start()
        self._journal.clear()
        code = pipeline.pass_once(patience_seconds)
        self._end(pipeline)
        return code

    # Start

    def _wait_for_database(self) -> Pipeline | None:
        """Open the first pipeline; None when stopped before that was possible."""
        while not self._is_stopping:
            report_progress()
            try:
                pipeline = self._open_first(self._settings, self._log)
            except (DatabaseUnavailableError, StartDelayedError) as error:
                self._report_wait(error)
                self._wait(self._start.seconds_to_wait("start"))
            else:
                self._start.recover("start")
                return pipeline
        self._journal.clear()
        return None

    def _report_wait(self, error: SyncdError) -> None:
        self._start.react("start", error)
        self._journal.keep("waiting", error)
        is_outage = isinstance(error, DatabaseUnavailableError)
        status = f"waiting for a person: {error}"[:_STATUS]
        self._notifier.status("waiting for the database" if is_outage else status)

    def _wait(self, seconds: float) -> None:
        """Wait for a signal while there is no pipeline yet."""
        received = signals.wait(seconds)
        if received is signal.SIGHUP:
            try:
                self._settings = self._read_again()
            except ConfigError as error:
                self._reject(error)
        elif received is not None:
            self._stop(received)

    # Pipelines

    def _serve(self, pipeline: Pipeline) -> Pipeline:
        """Run one pipeline after another; return the last, which has ended."""
        self._run(pipeline)
        while self._successor is not None and not self._is_stopping:
            pipeline.close()
            self._delivered += pipeline.delivered()
            pipeline, self._successor = self._successor, None
            configure_log(pipeline.settings)
            pipeline.report_reload()
            self._run(pipeline)
        if self._successor is not None:
            self._successor.close()
        return pipeline

    def _run(self, pipeline: Pipeline) -> None:
        """Start a pipeline, and supervise it until nothing of it is in hand."""
        self._settings, self._log = pipeline.settings, pipeline.log
        pipeline.begin()
        self._notifier.ready()
        pipeline.reactions.attempt("main", partial(self._supervise, pipeline))
        self._drain(pipeline)

    def _supervise(self, pipeline: Pipeline) -> None:
        while not pipeline.reactions.stopping.is_set():
            received = signals.wait(self._notifier.tick_seconds)
            if received is signal.SIGHUP:
                if self._reload(pipeline):
                    return
            elif received is not None:
                self._stop(received)
                return
            pipeline.check_clock()
            self._notifier.status(pipeline.status_line)
            if self._is_moving(pipeline):
                self._notifier.ping()

    def _is_moving(self, pipeline: Pipeline) -> bool:
        """Return whether all components make progress; log once what is stuck where."""
        overdue = pipeline.reactions.progress.overdue()
        for each in overdue:
            if each.component not in self._stalled:
                self._log.emit(
                    "daemon.stalled",
                    component=each.component,
                    age_seconds=each.seconds,
                    exception=stack_summary(each.thread),
                )
        self._stalled = {each.component for each in overdue}
        return not overdue

    # Reload

    def _reload(self, pipeline: Pipeline) -> bool:
        """Open a pipeline with the current configuration; False: the old one continues.

        Either way the API is tried again at once.
        """
        self._notifier.reloading()
        try:
            settings = self._read_again()
            successor = self._open(settings, Log(settings.feed))
        except SyncdError as error:
            self._reject(error)
            pipeline.retry()
            self._notifier.ready()
            return False
        self._journal = StartJournal(successor.settings)
        self._journal.clear()
        successor.retry()
        self._successor = successor
        return True

    def _read_again(self) -> Settings:
        """Read the configuration; one that makes it another daemon is refused."""
        settings, feed = self._reread(), self._settings.feed
        if settings.feed != feed:
            raise ConfigError(
                f"feed is {settings.feed!r} now, and this daemon serves {feed!r}",
                "Another feed needs another daemon: restart, or set it back.",
            )
        return settings

    def _reject(self, error: SyncdError) -> None:
        self._log.emit("config.rejected", reason=str(error), hint=error.hint)
        self._journal.keep("reload", error)

    # Stop

    def _stop(self, received: signal.Signals) -> None:
        self._is_stopping = True
        self._notifier.stopping()
        self._log.emit("daemon.stopping", signal=received.name)

    def _drain(self, pipeline: Pipeline) -> None:
        """Wait for the batches in hand; a second signal to stop ends at once."""
        pipeline.halt()
        while pipeline.is_at_work:
            if self._is_moving(pipeline):
                self._notifier.ping()
                self._notifier.extend()
            received = signals.wait(DRAIN_TICK_SECONDS, signals.STOPPING)
            if received is None:
                continue
            if self._is_stopping:
                os._exit(128 + received)
            self._stop(received)

    def _end(self, pipeline: Pipeline) -> ExitCode:
        reactions = pipeline.reactions
        fatal = reactions.fatal
        code = ExitCode.BUG if reactions.crashed else ExitCode.OK
        pipeline.close(in_order=fatal is None and not reactions.crashed)
        pipeline.log.emit(
            "daemon.stopped",
            exit_code=int(fatal.exit_code if fatal else code),
            uptime_seconds=time.monotonic() - self._started,
            delivered=self._delivered + pipeline.delivered(),
        )
        if fatal is not None:
            raise fatal
        return code


def configure_log(settings: Settings) -> None:
    """Write the log according to the settings."""
    write = settings.log
    configure(level=write.level, style=write.format, feed=settings.feed)
