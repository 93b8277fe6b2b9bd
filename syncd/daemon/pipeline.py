"""The pipeline: everything that is made from one configuration.

The scheduler runs what is periodic, each batch in flight has a thread, and so has a
follower. A pipeline that ends finishes the batches being sent; the next one may be open
by then, and begins afterwards (ADR-0016).
"""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial

from apscheduler.schedulers.background import BackgroundScheduler

from syncd import __version__
from syncd.capture.poll import SAFETY_POLL_INTERVAL
from syncd.config.settings import Settings
from syncd.core.errors import (
    DatabaseUnavailableError,
    ExitCode,
    KeysChangedError,
    PausedError,
    ViewsChangedError,
)
from syncd.daemon.build import Components
from syncd.daemon.error_policy import ErrorPolicy
from syncd.daemon.housekeeping import Housekeeping
from syncd.daemon.opening import OpenFeed, open_feed
from syncd.daemon.tuning import DEFAULTS, Tuning
from syncd.ledger.account import is_proven, load
from syncd.ledger.batches import Ledger
from syncd.ledger.identity import REBIND
from syncd.ledger.stats import FeedStats, read_stats
from syncd.log.log import Log

HOUSEKEEPING_SECONDS = 2.0
"""How often housekeeping runs; less often for dead claims without other instances."""

RECONCILE_SECONDS = 105.0
"""How often to check whether a reconciliation is due."""

MENDED_SECONDS = 2.0
"""How soon a rejected order that was changed is checked again."""

JUMP_SECONDS = 1.0
"""A wall clock that is this far off was set."""


class Pipeline:
    """One feed's components: `begin`, then `halt`, `close`; or `pass_once`, `close`.

    Attributes:
        schedule: Runs what is periodic.
    """

    def __init__(self, opened: OpenFeed, tuning: Tuning = DEFAULTS) -> None:
        self.settings = opened.settings
        self.log = opened.log
        self.reactions = ErrorPolicy(opened.log, step_seconds=tuning.step_seconds)
        defaults = {"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
        self.schedule = BackgroundScheduler(timezone=UTC, job_defaults=defaults)
        self._opened = opened
        components = self._components = Components(opened, self.reactions, tuning)
        self._housekeeping = Housekeeping(opened, components)
        self._capture_loop = components.capture_loop()
        self._mended_job = components.mended_job()
        self._reconciliation_job = components.reconciliation_job()
        self._stamp_watch = components.stamp_watch()
        self._identity_job = components.identity_job()
        self._backfill_loop = components.backfill_loop()
        self._stamp_seconds = tuning.stamps.check_seconds
        self._threads: list[threading.Thread] = []
        self._clock = tuning.wall_clock
        self._clock_offset = self._clock() - time.monotonic()

    @classmethod
    def open(
        cls,
        settings: Settings,
        log: Log,
        *,
        new_feed: bool = False,
        tuning: Tuning = DEFAULTS,
    ) -> "Pipeline":
        """Find the feed, or start it, and make its components; nothing works yet.

        With `new_feed` a new feed is wanted even beside others.

        Raises:
            SyncdError: It cannot begin like this; everything is closed again.
        """
        opened = open_feed(settings, log, tuning, new_feed=new_feed)
        try:
            return cls(opened, tuning)
        except BaseException:
            opened.connector.close()
            raise

    def report_start(self) -> None:
        """Log which feed begins, and where."""
        opened, stats = self._opened, self._stats()
        self.log.emit(
            "daemon.started",
            version=__version__,
            instance=opened.instance.number,
            watermark=stats.watermark.isoformat(),
            started_at=opened.feed.started_at.isoformat(),
            endpoint=self.settings.squeezely.endpoint,
        )
        self._report_unverified()

    def report_reload(self) -> None:
        """Log that this pipeline replaced one with other settings."""
        endpoint = self.settings.squeezely.endpoint
        self.log.emit("config.reloaded", endpoint=endpoint)
        self._report_unverified()

    def _report_unverified(self) -> None:
        if not is_proven(self.settings, load(self._opened.ledger, self.settings)):
            self.log.emit(
                "account.unverified",
                payload=self.settings.squeezely.payload,
                batch_size=self.settings.squeezely.orders_per_batch,
            )

    # Work

    def begin(self) -> None:
        """Capture and deliver from now on, in threads; compare the views first."""
        self.reactions.run("identity", self._identity_job.compare)
        self._threads = [*self._start_loops(), *self._capture_loop.start()]
        self._start_schedule()

    def pass_once(self, patience_seconds: float) -> ExitCode:
        """Capture and deliver what is due; return whether anything is left."""
        self._housekeeping.release_dead_claims()
        self._compare_keys()
        worker = self._components.worker(0)
        capture = partial(self._capture_once, patience_seconds)
        self._mended_job.run_pass()
        done = [
            self._is_done(capture),
            self._is_done(partial(worker.drain, self._backfill_loop.advance)),
            self._is_done(self._components.rereader().drain),
        ]
        stats, opened = self._stats(), self._opened
        continues = Ledger(opened.ledger, opened.feed.feed_id).next_due().backfill
        left = stats.pending + stats.pending_backfill + stats.sending + continues
        return ExitCode.LEFT if left or not all(done) else ExitCode.OK

    def _compare_keys(self) -> None:
        self.reactions.views_changed.set()
        if held := self._identity_job.compare().held:
            raise KeysChangedError(held, REBIND)

    def _capture_once(self, patience_seconds: float) -> None:
        """Capture; compare the keys as often as an admission waits for that."""
        while True:
            try:
                self._capture_loop.poll_until_closed(patience_seconds)
            except ViewsChangedError:
                self._compare_keys()
            else:
                return

    def _stats(self) -> FeedStats:
        return read_stats(self._opened.ledger, self._opened.feed.feed_id)

    def _is_done(self, action: Callable[[], object]) -> bool:
        """Do it; False when it is paused, which is logged."""
        try:
            action()
        except PausedError as pause:
            self.reactions.react("once", pause)
            return False
        return True

    def retry(self) -> None:
        """Probe the API at once, whatever its last response."""
        self._components.is_to_retry.set()

    @property
    def status_line(self) -> str:
        """How the feed stands, in a few words without anything personal."""
        if self.reactions.is_failing("housekeeping"):
            return "the database does not answer"
        return self._housekeeping.status_line

    def check_clock(self) -> None:
        """Log that the machine's clock was set; let no periodic job wait for that.

        The scheduler counts by it: set back by an hour, it would wait for an hour. Nor
        is that over once it was corrected: it may have read the clock just before.
        """
        offset = self._clock() - time.monotonic()
        jump, self._clock_offset = offset - self._clock_offset, offset
        if abs(jump) >= JUMP_SECONDS:
            self.log.emit("clock.jumped", jump_seconds=jump)
        now = datetime.now(UTC)
        latest = now + timedelta(seconds=JUMP_SECONDS)
        for job in self.schedule.get_jobs():
            if job.next_run_time > latest + job.trigger.interval:
                job.modify(next_run_time=now)

    def _start_loops(self) -> list[threading.Thread]:
        made = self._components
        workers = range(self.settings.squeezely.max_in_flight)
        loops = {f"send-{number}": made.worker(number).run for number in workers}
        loops["reread"] = made.rereader().run
        loops["backfill"] = partial(self._backfill_loop.run, self.reactions)
        threads = [threading.Thread(target=run, name=n) for n, run in loops.items()]
        for thread in threads:
            thread.start()
        made.offer.open()
        return threads

    def _jobs(self) -> list[tuple[str, Callable[[], object], float]]:
        return [
            ("capture", self._capture_loop.poll, self._poll_seconds()),
            ("housekeeping", self._housekeeping.run, HOUSEKEEPING_SECONDS),
            ("reconcile", self._reconciliation_job.run, RECONCILE_SECONDS),
            ("mended", self._mended_job.run, MENDED_SECONDS),
            ("stamps", self._stamp_watch.check, self._stamp_seconds),
            ("identity", self._identity_job.run, HOUSEKEEPING_SECONDS),
        ]

    def _start_schedule(self) -> None:
        for name, action, seconds in self._jobs():
            self.schedule.add_job(
                self.reactions.run,
                "interval",
                seconds=seconds,
                args=(name, action, seconds),
                next_run_time=datetime.now(UTC),
            )
        self.schedule.start()

    def _poll_seconds(self) -> float:
        interval = self.settings.source.poll_interval
        if self.settings.source.capture != "poll":
            interval = max(interval, SAFETY_POLL_INTERVAL)
        return interval.total_seconds()

    # End

    def halt(self) -> None:
        """Begin nothing more; what is in hand is finished while `is_at_work`."""
        self.reactions.stopping.set()
        self.reactions.progress.halt()
        self._components.wake_ups.notify()
        ending = threading.Thread(target=self.schedule.shutdown, name="schedule")
        ending.start()
        self._threads.append(ending)

    @property
    def is_at_work(self) -> bool:
        """Whether something is in hand still."""
        return any(thread.is_alive() for thread in self._threads)

    def delivered(self) -> int:
        """Count the events that this pipeline delivered."""
        return self._components.delivered()

    def close(self, *, in_order: bool = True) -> None:
        """Close every connection; first record this instance's end, if in order."""
        if in_order:
            # Only a courtesy: its lock is free anyhow, and nothing is in hand.
            with suppress(DatabaseUnavailableError):
                self._opened.instance.stop()
        self._opened.connector.close()
