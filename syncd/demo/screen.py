"""What the demo shows: a live view on a terminal, plain lines elsewhere."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import Self, TextIO

from rich.box import ROUNDED
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from syncd.demo.sandbox import Totals
from syncd.demo.shop import Sales
from syncd.demo.tally import Tally
from syncd.ledger.stats import FeedStats

PLAIN_SECONDS = 2.0
"""Between two plain lines."""

_FRAME_ROWS = 14  # rows of the view that are not events
_FIRST_FIELDS = ("reason", "orders", "lag_seconds", "duration_ms")
_QUIET_FIELDS = frozenset({"timestamp", "level", "event", "feed"})

Event = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Scene:
    """One moment of the demo."""

    doing: str
    seconds: float
    sales: Sales
    stats: FeedStats
    totals: Totals
    rss_mb: float | None
    url: str
    events: Iterable[Event] = field(default=())


class Screen:
    """Shows scenes; a context manager that leaves the terminal as it was."""

    def __init__(self, stream: TextIO) -> None:
        self._console = Console(file=stream, highlight=False)
        self._live = Live(console=self._console, auto_refresh=False, screen=True)
        self._is_live = self._console.is_terminal
        self._line_at = float("-inf")
        self._last_line = ""
        self._last_line = ""

    def __enter__(self) -> Self:
        if self._is_live:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._is_live:
            self._live.stop()

    def say(self, doing: str) -> None:
        """Report what is being done, before there is anything to show."""
        if self._is_live:
            self._live.update(Text(f" {doing} …", style="dim"), refresh=True)
        else:
            self._console.print(doing, markup=False)

    def suggest(self, commands: Sequence[str]) -> None:
        """Show how to try syncd's commands on the demo: the whole list, or one line."""
        place = commands[0].removeprefix("export ")
        self._last_line = f"elsewhere: {place} {commands[1]}"
        if not self._is_live:
            self._console.print("from another terminal, for instance:", markup=False)
            for command in commands:
                self._console.print(f"  {command}", markup=False, soft_wrap=True)

    def show(self, scene: Scene) -> None:
        """Show a scene; plainly, only now and then."""
        if self._is_live:
            room = max(1, self._console.height - _FRAME_ROWS)
            last = Text(f" {self._last_line}", no_wrap=True, style="dim")
            self._live.update(Group(_view(scene, room), last), refresh=True)
            return
        now = time.monotonic()
        if scene.doing != self._last_line or now - self._line_at >= PLAIN_SECONDS:
            self._line_at, self._last_line = now, scene.doing
            self._console.print(_line(scene), markup=False, soft_wrap=True)


def print_summary(stream: TextIO, result: Tally, facts: Mapping[str, object]) -> None:
    """Print the figures as a small table, and what they mean."""
    console = Console(file=stream, highlight=False)
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold")
    table.add_column(justify="right")
    table.add_column(style="dim")
    lags = result.lags
    rows: list[tuple[str, object, str]] = [
        ("confirmed", result.confirmed, "orders that the shop committed as confirmed"),
        ("delivered", result.delivered, "of them received by the fake API"),
        ("missed", result.missed, ", ".join(result.missed_orderids)),
        ("repeated", result.repeated, "events beyond the first of an order"),
        ("lag p50", _milliseconds(lags.p50), "from commit to receipt"),
        ("lag p95", _milliseconds(lags.p95), ""),
        ("lag p99", _milliseconds(lags.p99), ""),
        ("lag max", _milliseconds(lags.max), ""),
        ("daemon", _megabytes(facts["daemon_rss_mb"]), "resident at most"),
    ]
    if result.unconfirmed:
        rows.append(("unconfirmed", result.unconfirmed, "received, never confirmed"))
    for name, value, note in rows:
        shown = f"{value:,}" if isinstance(value, int) else str(value)
        table.add_row(name, shown, Text(note))
    console.print(table)
    console.print(_verdict(result, facts), markup=False, soft_wrap=True)


def _verdict(result: Tally, facts: Mapping[str, object]) -> str:
    if code := facts["daemon_exit_code"]:
        return f"the daemon ended with exit code {code}"
    if result.missed or result.unconfirmed:
        return "what was received is NOT what was confirmed"
    return "every confirmed order was received, and no other"


def _view(scene: Scene, room: int) -> Group:
    header = Table.grid(expand=True)
    header.add_column()
    header.add_column(justify="right")
    header.add_row(
        Text.assemble((" syncd demo ", "bold"), (scene.doing, "dim")),
        Text(f"{_clock(scene.seconds)} ", style="dim"),
    )
    return Group(
        header, _path(scene), _health(scene), _events(scene, room), _footer(scene)
    )


def _path(scene: Scene) -> Table:
    """The path of an order, left to right."""
    sales, stats, totals = scene.sales, scene.stats, scene.totals
    shop = (
        (sales.confirmed, "confirmed", "bold green"),
        (sales.open, "not yet", ""),
        (sales.rolled_back, "rolled back", "dim"),
        (round(sales.confirmed / max(scene.seconds, 1)), "per second", "dim"),
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
        _station("order database", shop),
        arrow,
        _station("syncd's ledger", ledger),
        arrow,
        _station("Squeezely", squeezely),
    )
    return path


def _station(title: str, counts: Iterable[tuple[int, str, str]]) -> Panel:
    grid = Table.grid(padding=(0, 1))
    grid.add_column(justify="right", min_width=5)
    grid.add_column(no_wrap=True)
    for count, name, style in counts:
        grid.add_row(Text(f"{count:,}", style=style), name)
    return Panel(grid, title=title, box=ROUNDED, padding=(0, 0))


def _health(scene: Scene) -> Table:
    stats = scene.stats
    is_open = stats.endpoint == "available"
    lag = f"{stats.lag_seconds:.1f} s"
    grid = Table.grid(padding=(0, 1))
    for width in (10, 7, None):
        grid.add_column(no_wrap=True, overflow="ellipsis", min_width=width)
    grid.add_row(
        " lag", Text(lag, style="bold"), _dim("age of the oldest unsent order")
    )
    grid.add_row(
        " watermark",
        Text(f"{stats.watermark_age_seconds:.1f} s", style="bold"),
        _dim("behind now (10 s by design): all up to it is in the ledger"),
    )
    grid.add_row(
        " daemon",
        Text(_megabytes(scene.rss_mb), style="bold"),
        Text("delivers", style="green")
        if is_open
        else Text(f"{stats.endpoint}: {stats.endpoint_reason}", style="bold red"),
    )
    return grid


def _events(scene: Scene, room: int) -> Panel:
    grid = Table.grid(padding=(0, 1), expand=True)
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    events = list(scene.events)[-room:]
    for event in events:
        grid.add_row(
            _dim(_time(event.get("timestamp"))),
            Text(str(event["event"]), style=_STYLES.get(str(event.get("level")), "")),
            _dim(_details(event)),
        )
    for _ in range(room - len(events)):
        grid.add_row()
    return Panel(grid, title="the daemon's log", box=ROUNDED, padding=(0, 1))


_STYLES = {
    "info": "cyan",
    "warning": "yellow",
    "error": "bold red",
    "critical": "bold red",
}


def _footer(scene: Scene) -> Table:
    footer = Table.grid(expand=True)
    footer.add_column(no_wrap=True)
    footer.add_column(justify="right", no_wrap=True)
    footer.add_row(
        Text.assemble(" the fake Squeezely API: ", (scene.url, "bold underline")),
        Text("Ctrl-C to stop ", style="bold"),
    )
    return footer


def _line(scene: Scene) -> str:
    return (
        f"{_clock(scene.seconds)} {scene.doing}: "
        f"{scene.sales.confirmed} confirmed -> "
        f"{scene.stats.pending + scene.stats.sending} in the ledger -> "
        f"{scene.totals.orderids} received, lag {scene.stats.lag_seconds:.1f} s, "
        f"watermark {scene.stats.watermark_age_seconds:.1f} s behind"
    )


def _details(event: Event) -> str:
    """Write the fields of a log line as `name=value`, the telling ones first."""
    fields = {
        name: value
        for name, value in event.items()
        if name not in _QUIET_FIELDS and value is not None and value is not False
    }
    first = [name for name in _FIRST_FIELDS if name in fields]
    names = first + [name for name in fields if name not in first]
    return " ".join(f"{name}={fields[name]}" for name in names).replace("\n", " ")


def _time(stamp: object) -> str:
    try:
        return datetime.fromisoformat(str(stamp)).astimezone().strftime("%H:%M:%S")
    except ValueError:
        return ""


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{rest:02}"


def _milliseconds(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f} ms"


def _megabytes(value: object) -> str:
    return f"{value:.0f} MB" if isinstance(value, int | float) else "-"


def _dim(text: str) -> Text:
    return Text(text, style="dim")
