"""What the demo shows: a live view on a terminal, plain lines elsewhere."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from syncd.demo.sandbox import Totals
from syncd.demo.shop import Sales
from syncd.ledger.stats import FeedStats

_PLAIN_SECONDS = 2.0  # between two plain lines
_FRAME_ROWS = 14  # rows of the view that are not events
_FIRST_FIELDS = ("reason", "orders", "lag_seconds", "duration_ms")
_HIDDEN_FIELDS = frozenset({"timestamp", "level", "event", "feed", "run", "instance"})
_STYLES = {
    "info": "cyan",
    "warning": "yellow",
    "error": "bold red",
    "critical": "bold red",
}

Event = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One moment of the demo."""

    doing: str
    seconds: float
    sales: Sales
    stats: FeedStats
    totals: Totals
    rss_mb: float | None
    url: str
    events: Iterable[Event] = ()


class Screen:
    """Shows snapshots of the demo; a context manager that restores the terminal."""

    def __init__(self, stream: TextIO) -> None:
        self._console = Console(file=stream, highlight=False)
        self._live = Live(console=self._console, auto_refresh=False, screen=True)
        self._is_live = self._console.is_terminal
        self._line_at = float("-inf")
        self._doing = ""
        self._hint = ""

    def __enter__(self) -> Self:
        if self._is_live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_live:
            self._live.stop()

    def announce(self, doing: str) -> None:
        """Report what is being done, before there is anything to show."""
        if self._is_live:
            self._live.update(Text(f" {doing} …", style="dim"), refresh=True)
        else:
            self._console.print(doing, markup=False)

    def suggest(self, commands: Sequence[str]) -> None:
        """Show how to try syncd's commands on the demo: the whole list, or one line."""
        setting = commands[0].removeprefix("export ")
        self._hint = f"elsewhere: {setting} {commands[1]}"
        if not self._is_live:
            self._console.print("from another terminal, for instance:", markup=False)
            for command in commands:
                self._console.print(f"  {command}", markup=False, soft_wrap=True)

    def show(self, snapshot: Snapshot) -> None:
        """Show a snapshot; where there is no terminal, only now and then."""
        if self._is_live:
            room = max(1, self._console.height - _FRAME_ROWS)
            hint = Text(f" {self._hint}", no_wrap=True, style="dim")
            self._live.update(Group(_view(snapshot, room), hint), refresh=True)
            return
        now = time.monotonic()
        if snapshot.doing != self._doing or now - self._line_at >= _PLAIN_SECONDS:
            self._line_at, self._doing = now, snapshot.doing
            self._console.print(_line(snapshot), markup=False, soft_wrap=True)


def _view(snapshot: Snapshot, room: int) -> Group:
    return Group(
        _at_both_ends(
            Text.assemble((" syncd demo ", "bold"), (snapshot.doing, "dim")),
            Text(f"{_clock(snapshot.seconds)} ", style="dim"),
        ),
        _path(snapshot),
        _health(snapshot),
        _events(snapshot, room),
        _at_both_ends(
            Text.assemble(
                " the fake Squeezely API: ", (snapshot.url, "bold underline")
            ),
            Text("Ctrl-C to stop ", style="bold"),
        ),
    )


def _at_both_ends(left: Text, right: Text) -> Table:
    line = Table.grid(expand=True)
    line.add_column(no_wrap=True)
    line.add_column(justify="right", no_wrap=True)
    line.add_row(left, right)
    return line


def _path(snapshot: Snapshot) -> Table:
    """The path of an order, left to right."""
    sales, stats, totals = snapshot.sales, snapshot.stats, snapshot.totals
    shop = (
        (sales.confirmed, "confirmed", "bold green"),
        (sales.open, "not yet", ""),
        (sales.rolled_back, "rolled back", "dim"),
        (round(sales.confirmed / max(snapshot.seconds, 1)), "per second", "dim"),
    )
    ledger = (
        (stats.pending, "pending", "bold yellow" if stats.pending else "bold"),
        (stats.sending, "sending", ""),
        (stats.rejected, "rejected", "bold red" if stats.rejected else "dim"),
        (stats.withdrawn, "withdrawn", "dim"),
    )
    squeezely = (
        (totals.orderids, "received", "bold green"),
        (totals.inserted, "API inserted", ""),
        (totals.verified, "API verified", ""),
        (totals.repeats, "repeated", "yellow" if totals.repeats else "dim"),
    )
    path = Table.grid(expand=True)
    for ratio in (1, None, 1, None, 1):
        path.add_column(ratio=ratio, vertical="middle")
    arrow = Text(" → ", style="bold")
    path.add_row(
        _counts("order database", shop),
        arrow,
        _counts("syncd's ledger", ledger),
        arrow,
        _counts("Squeezely", squeezely),
    )
    return path


def _counts(title: str, counts: Iterable[tuple[int, str, str]]) -> Panel:
    grid = Table.grid(padding=(0, 1))
    grid.add_column(justify="right", min_width=5, no_wrap=True)
    grid.add_column(no_wrap=True)
    for count, name, style in counts:
        grid.add_row(Text(f"{count:,}", style=style), name)
    return Panel(grid, title=title, padding=(0, 0))


def _health(snapshot: Snapshot) -> Table:
    stats = snapshot.stats
    grid = Table.grid(padding=(0, 1))
    for width in (10, 7, None):
        grid.add_column(no_wrap=True, overflow="ellipsis", min_width=width)
    grid.add_row(
        " lag",
        Text(f"{stats.lag_seconds:.1f} s", style="bold"),
        _dim("age of the oldest unsent order"),
    )
    grid.add_row(
        " watermark",
        Text(f"{stats.watermark_age_seconds:.1f} s", style="bold"),
        _dim("older orders are in the ledger: 10 s, plus open transactions"),
    )
    grid.add_row(
        " daemon",
        Text(megabytes(snapshot.rss_mb), style="bold"),
        Text("delivers", style="green")
        if stats.endpoint == "available"
        else Text(f"{stats.endpoint}: {stats.endpoint_reason}", style="bold red"),
    )
    return grid


def _events(snapshot: Snapshot, room: int) -> Panel:
    grid = Table.grid(padding=(0, 1), expand=True)
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    for event in list(snapshot.events)[-room:]:
        grid.add_row(
            _dim(_time(event.get("timestamp"))),
            Text(str(event["event"]), style=_STYLES.get(str(event.get("level")), "")),
            _dim(_details(event)),
        )
    return Panel(grid, title="the daemon's log", height=room + 2, padding=(0, 1))


def _line(snapshot: Snapshot) -> str:
    return (
        f"{_clock(snapshot.seconds)} {snapshot.doing}: "
        f"{snapshot.sales.confirmed} confirmed -> "
        f"{snapshot.stats.pending + snapshot.stats.sending} in the ledger -> "
        f"{snapshot.totals.orderids} received, lag {snapshot.stats.lag_seconds:.1f} s, "
        f"watermark {snapshot.stats.watermark_age_seconds:.1f} s behind"
    )


def _details(event: Event) -> str:
    """Write the fields of a log line as `name=value`, the most important first."""
    names = dict.fromkeys((*_FIRST_FIELDS, *event))
    fields = {n: event.get(n) for n in names if n not in _HIDDEN_FIELDS}
    shown = (f"{n}={v}" for n, v in fields.items() if v is not None and v is not False)
    return " ".join(shown).replace("\n", " ")


def _time(stamp: object) -> str:
    try:
        return datetime.fromisoformat(str(stamp)).astimezone().strftime("%H:%M:%S")
    except ValueError:
        return ""


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=int(seconds))).zfill(8)


def megabytes(value: object) -> str:
    """Write a number of megabytes; `-` for none."""
    return f"{value:.0f} MB" if isinstance(value, int | float) else "-"


def _dim(text: str) -> Text:
    return Text(text, style="dim")
