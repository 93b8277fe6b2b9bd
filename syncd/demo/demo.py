"""The demo from beginning to end: set up, sell, settle, reckon, and leave no trace."""

import json
import secrets
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

import click

from syncd.core.errors import DatabaseUnavailableError, ExitCode
from syncd.demo.arrivals import Arrivals
from syncd.demo.browsers import Browsers
from syncd.demo.errors import DemoUnavailableError
from syncd.demo.process import FEED, DaemonProcess
from syncd.demo.sandbox import PortUnavailableError, Sandbox
from syncd.demo.screen import Scene, Screen, print_summary
from syncd.demo.server import (
    PostgresServer,
    embedded_postgres,
    programs,
    temporary_folder,
)
from syncd.demo.shop import (
    NAMES,
    Sales,
    Shop,
    confirmed_orders,
    count_confirmed,
    open_shop,
)
from syncd.demo.tally import Tally, tally
from syncd.ledger.feed import FeedStore
from syncd.ledger.stats import FeedStats, read_stats
from syncd.postgres.database import Database
from syncd.source.connections import Connections

ACCOUNT = "SQ-DEMO"
DEFAULT_RATE = 5.0

SETTLE_SECONDS = 60.0
"""How long the last orders may take to arrive once the shop is closed."""

_TICK_SECONDS = 0.25
_BODIES_KEPT = 2_000


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What was requested; None leaves it open.

    Attributes:
        orders: Orders to confirm in all.
        seconds: Selling time; with `orders`, what they are spread over.
        rate: Orders per second.
        port: Port of the fake API's page; 0 takes a free one.
    """

    orders: int | None = None
    seconds: float | None = None
    rate: float | None = None
    port: int = 0

    @property
    def pace(self) -> Arrivals:
        """How fast the shop is to sell."""
        if self.rate is None and self.orders is not None:
            spread = self.orders / self.seconds if self.seconds else None
            return Arrivals(spread, self.orders)
        return Arrivals(self.rate or DEFAULT_RATE, self.orders)

    @property
    def closes_after(self) -> float:
        """Selling time in seconds, unless the orders are what ends it."""
        if self.seconds is None or (self.orders is not None and self.rate is None):
            return float("inf")
        return self.seconds


def run_demo(
    options: DemoOptions, terminal: TextIO, *, as_json: bool = False
) -> ExitCode:
    """Run the demo in the main thread; print its figures to stdout.

    Args:
        options: What to show.
        terminal: Where the view, or plain lines, are shown meanwhile.
        as_json: Print the figures as JSON, and nothing else to stdout.

    Returns:
        OK when nothing was missed and the daemon ended well, else FAILED.

    Raises:
        DemoUnavailableError: The embedded PostgreSQL or the port cannot be had, or
            PostgreSQL ended meanwhile.
    """
    programs()
    try:
        result, facts = _play(options, terminal)
    except DatabaseUnavailableError as error:
        raise DemoUnavailableError(
            f"the embedded PostgreSQL ended: {error}",
            "Look for memory and disk space, then run `syncd demo` again.",
        ) from error
    _print(result, facts, as_json=as_json)
    is_clean = result.is_clean and facts["daemon_exit_code"] == 0
    return ExitCode.OK if is_clean else ExitCode.FAILED


def _play(options: DemoOptions, terminal: TextIO) -> tuple[Tally, dict[str, object]]:
    key = secrets.token_hex(16)
    with ExitStack() as stack:
        stopping = stack.enter_context(_interruptible())
        sandbox = stack.enter_context(_stand_in(options.port, key))
        folder = stack.enter_context(temporary_folder())
        with Screen(terminal) as screen:
            screen.say("starting an embedded PostgreSQL, the shop and the daemon")
            server = stack.enter_context(embedded_postgres(folder))
            stage = stack.enter_context(_stage(folder, server, sandbox, key))
            commands = suggestions(stage.daemon.config, sandbox.url)
            sandbox.suggest(commands)
            screen.suggest(commands)
            stage.sell(options, stopping, screen)
            stage.settle(stopping, screen)
        seconds = stage.seconds
        exit_code = stage.daemon.stop()
        result = tally(confirmed_orders(stage.owner), sandbox.received)
        return result, stage.facts(seconds, exit_code)


def suggestions(config: Path, url: str) -> list[str]:
    """List commands for another terminal that are worth typing while it runs."""
    fault = """'{"fault": "server-error", "times": 5}'"""
    return [
        f"export SYNCD_CONFIG={config}",
        "syncd status",
        "syncd check",
        "syncd explain ORDERID       # of an order on the page",
        'syncd pause --sending --reason "a look at the ledger"',
        "syncd resume --sending",
        f"curl {url}/sandbox/faults --json {fault}    # answers 500",
        'syncd backfill --from "1 hour ago" --resend --reason "a second time"',
    ]


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """Turn requests to stop into an event; long waits check it."""
    stopping = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: stopping.set())
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _stand_in(port: int, api_key: str) -> Iterator[Sandbox]:
    sandbox = Sandbox(
        port=port, account=ACCOUNT, api_key=api_key, keep_bodies=_BODIES_KEPT
    )
    try:
        sandbox.start()
    except PortUnavailableError as error:
        raise DemoUnavailableError(
            str(error), "Choose another with --port, or leave --port out."
        ) from error
    try:
        yield sandbox
    finally:
        sandbox.stop()


@contextmanager
def _stage(
    folder: Path, server: PostgresServer, sandbox: Sandbox, api_key: str
) -> Iterator["_Stage"]:
    """Open the shop's database, and start the daemon on it with a small role."""
    with closing(Database(server.dsn(), application_name="syncd demo")) as owner:
        open_shop(owner)
        dsn = server.dsn(NAMES.role)
        with DaemonProcess(folder, dsn, sandbox.endpoint, ACCOUNT) as daemon:
            daemon.start(api_key)
            feed = FeedStore(Connections(owner, owner), FEED).get()
            yield _Stage(server.dsn(), owner, feed.feed_id, daemon, sandbox)


class _Stage:
    """The parts while they run together."""

    def __init__(
        self,
        owner_dsn: str,
        owner: Database,
        feed_id: int,
        daemon: DaemonProcess,
        sandbox: Sandbox,
    ) -> None:
        self._owner_dsn = owner_dsn
        self.owner = owner
        self._feed_id = feed_id
        self.daemon = daemon
        self._sandbox = sandbox
        self._sales = Sales()
        self._started = time.monotonic()

    @property
    def seconds(self) -> float:
        """Time since the shop opened."""
        return time.monotonic() - self._started

    def sell(
        self, options: DemoOptions, stopping: threading.Event, screen: Screen
    ) -> None:
        """Sell until the options are fulfilled, a stop, or the daemon's end."""
        with (
            Browsers(self._sandbox.url) as browsers,
            Shop(self._owner_dsn, options.pace, browsers) as shop,
        ):
            while shop.is_selling:
                is_over = stopping.is_set() or self.seconds >= options.closes_after
                if is_over or not self.daemon.is_running:
                    shop.close()
                self._sales = shop.sales
                self._show(screen, "closing the shop" if is_over else "selling")
                time.sleep(_TICK_SECONDS)
            self._sales = shop.sales

    def settle(self, stopping: threading.Event, screen: Screen) -> None:
        """Wait until every confirmed order has arrived and none is in the ledger.

        A second stop does not wait.
        """
        stopping.clear()
        confirmed = count_confirmed(self.owner)
        deadline = time.monotonic() + SETTLE_SECONDS
        while self.daemon.is_running and not stopping.is_set():
            stats = self._show(screen, "waiting for the last orders")
            has_arrived = self._sandbox.received.totals.orderids >= confirmed
            is_settled = has_arrived and not stats.pending + stats.sending
            if is_settled or time.monotonic() > deadline:
                return
            time.sleep(_TICK_SECONDS / 5)

    def facts(self, seconds: float, exit_code: int) -> dict[str, object]:
        """Gather what the reckoning does not count."""
        totals = self._sandbox.received.totals
        return {
            "seconds": round(seconds, 2),
            "rolled_back": self._sales.rolled_back,
            "open": self._sales.open,
            "front_end": totals.front_end,
            "inserted": totals.inserted,
            "verified": totals.verified,
            "merged": totals.merged,
            "requests": totals.requests,
            "daemon_rss_mb": self.daemon.log.rss_mb,
            "daemon_exit_code": exit_code,
        }

    def _show(self, screen: Screen, doing: str) -> FeedStats:
        self.daemon.log.refresh()
        stats = read_stats(self.owner, self._feed_id)
        scene = Scene(
            doing=doing,
            seconds=self.seconds,
            sales=self._sales,
            stats=stats,
            totals=self._sandbox.received.totals,
            rss_mb=self.daemon.log.rss_mb,
            url=self._sandbox.url,
            events=self.daemon.log.events,
        )
        screen.show(scene)
        return stats


def _print(result: Tally, facts: dict[str, object], *, as_json: bool) -> None:
    if not as_json:
        print_summary(sys.stdout, result, facts)
        return
    figures = asdict(result)
    lags = {f"lag_{name}_ms": ms for name, ms in figures.pop("lags").items()}
    missed = {"missed_orderids": figures.pop("missed_orderids")}
    click.echo(json.dumps(figures | lags | facts | missed, indent=2))
