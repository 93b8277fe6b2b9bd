"""The demo from beginning to end: start, sell, wait, compare, leave nothing behind."""

import json
import secrets
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TextIO

import click

from syncd.core.errors import DatabaseUnavailableError, ExitCode
from syncd.demo.customers import Browsers
from syncd.demo.process import FEED, DaemonProcess
from syncd.demo.sandbox import PortUnavailableError, Sandbox
from syncd.demo.screen import Screen, Snapshot
from syncd.demo.server import (
    DemoUnavailableError,
    PostgresServer,
    programs,
    temporary_folder,
)
from syncd.demo.shop import (
    NAMES,
    Arrivals,
    Sales,
    Shop,
    confirmed_orders,
    count_confirmed,
    open_shop,
)
from syncd.demo.tally import Tally, print_summary, tally
from syncd.ledger.feed import FeedStore
from syncd.ledger.stats import read_stats
from syncd.postgres.database import Database
from syncd.source.connections import Connections

_ACCOUNT = "SQ-DEMO"
_DEFAULT_RATE = 5.0
_ARRIVAL_SECONDS = 60.0  # how long the last orders may take once the shop is closed
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
    def arrivals(self) -> Arrivals:
        """How fast the shop is to sell, and how much."""
        if self.rate is None and self.orders is not None:
            spread = self.orders / self.seconds if self.seconds else None
            return Arrivals(spread, self.orders)
        return Arrivals(self.rate or _DEFAULT_RATE, self.orders)

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
        result, facts = _run(options, terminal)
    except PortUnavailableError as error:
        raise DemoUnavailableError(
            str(error), "Choose another with --port, or leave --port out."
        ) from error
    except DatabaseUnavailableError as error:
        raise DemoUnavailableError(
            f"the embedded PostgreSQL ended: {error}",
            "Look for memory and disk space, then run `syncd demo` again.",
        ) from error
    if as_json:
        figures = asdict(result)
        lags = {f"lag_{name}_ms": ms for name, ms in figures.pop("lags").items()}
        missed = {"missed_orderids": figures.pop("missed_orderids")}
        click.echo(json.dumps(figures | lags | facts | missed, indent=2))
    else:
        print_summary(sys.stdout, result, facts)
    is_clean = result.is_clean and facts["daemon_exit_code"] == 0
    return ExitCode.OK if is_clean else ExitCode.FAILED


def _run(options: DemoOptions, terminal: TextIO) -> tuple[Tally, dict[str, object]]:
    key = secrets.token_hex(16)
    sandbox = Sandbox(
        port=options.port, account=_ACCOUNT, api_key=key, keep_bodies=_BODIES_KEPT
    )
    with ExitStack() as stack:
        stopping = stack.enter_context(_interruptible())
        stack.enter_context(sandbox)
        folder = stack.enter_context(temporary_folder())
        with Screen(terminal) as screen:
            screen.announce("starting an embedded PostgreSQL, the shop and the daemon")
            server = stack.enter_context(PostgresServer(folder))
            owner = stack.enter_context(
                closing(Database(server.dsn(), application_name="syncd demo"))
            )
            open_shop(owner)
            daemon = stack.enter_context(
                DaemonProcess(
                    folder, server.dsn(NAMES.role), sandbox.endpoint, _ACCOUNT, key
                )
            )
            daemon.wait_until_started()
            commands = _suggestions(daemon.config, sandbox.url)
            sandbox.suggest(commands)
            screen.suggest(commands)
            demo = _Demo(owner, daemon, sandbox, screen, stopping)
            demo.sell(options, server.dsn())
            demo.wait_for_last_orders()
        seconds = demo.seconds
        exit_code = daemon.stop()
        result = tally(confirmed_orders(owner), sandbox.received)
        return result, demo.facts(seconds, exit_code)


def _suggestions(config: Path, url: str) -> list[str]:
    """List commands to try in another terminal while it runs."""
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


@dataclass
class _Demo:
    """Shop, daemon and fake API while they run together."""

    owner: Database
    daemon: DaemonProcess
    sandbox: Sandbox
    screen: Screen
    stopping: threading.Event
    sales: Sales = field(default_factory=Sales)
    started: float = field(default_factory=time.monotonic)
    in_ledger: int = 0

    @cached_property
    def _feed_id(self) -> int:
        return FeedStore(Connections(self.owner, self.owner), FEED).get().feed_id

    @property
    def seconds(self) -> float:
        """Time since the shop opened."""
        return time.monotonic() - self.started

    def sell(self, options: DemoOptions, owner_dsn: str) -> None:
        """Sell until the options are fulfilled, a stop, or the daemon's end."""
        with (
            Browsers(self.sandbox.url) as browsers,
            Shop(owner_dsn, options.arrivals, browsers) as shop,
        ):
            while shop.is_selling:
                is_over = self.stopping.is_set() or self.seconds >= options.closes_after
                if is_over or not self.daemon.is_running:
                    shop.close()
                self.sales = shop.sales
                self._show("closing the shop" if is_over else "selling")
                time.sleep(_TICK_SECONDS)
            self.sales = shop.sales

    def wait_for_last_orders(self) -> None:
        """Wait until every confirmed order has arrived and none is in the ledger.

        A second stop does not wait.
        """
        self.stopping.clear()
        confirmed = count_confirmed(self.owner)
        deadline = time.monotonic() + _ARRIVAL_SECONDS
        while self.daemon.is_running and not self.stopping.is_set():
            self._show("waiting for the last orders")
            has_arrived = self.sandbox.received.totals.orderids >= confirmed
            if (has_arrived and not self.in_ledger) or time.monotonic() > deadline:
                return
            time.sleep(_TICK_SECONDS / 5)

    def facts(self, seconds: float, exit_code: int) -> dict[str, object]:
        """Return the figures that are not part of the comparison."""
        return {
            "seconds": round(seconds, 2),
            "rolled_back": self.sales.rolled_back,
            "open": self.sales.open,
            "in_ledger": self.in_ledger,
            **asdict(self.sandbox.received.totals),
            "daemon_rss_mb": self.daemon.log.rss_mb,
            "daemon_exit_code": exit_code,
        }

    def _show(self, doing: str) -> None:
        log = self.daemon.log
        log.refresh()
        stats = read_stats(self.owner, self._feed_id)
        snapshot = Snapshot(
            doing=doing,
            seconds=self.seconds,
            sales=self.sales,
            stats=stats,
            totals=self.sandbox.received.totals,
            rss_mb=log.rss_mb,
            url=self.sandbox.url,
            events=log.events,
        )
        self.screen.show(snapshot)
        self.in_ledger = stats.pending + stats.sending
