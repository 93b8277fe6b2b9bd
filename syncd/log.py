"""The log is the monitoring: one catalogue of events, JSON lines, nothing personal.

Only fields that an event declares are written, whatever a caller passes; so no
personal data and no secret can reach a line by accident.
"""

import logging
import os
import sys
import threading
import time
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TextIO

import structlog


@dataclass(frozen=True, slots=True)
class Event:
    """A kind of log line: its level, its fields (units in their names), its meaning."""

    level: str
    fields: tuple[str, ...]
    when: str
    action: str = "nothing"


EVENTS: Mapping[str, Event] = {
    "daemon.started": Event(
        "info",
        ("version", "instance", "watermark", "started_at", "endpoint"),
        "the daemon has reached database and ledger and begins",
    ),
    "daemon.stopping": Event(
        "info", ("signal",), "a signal asked for the end; the batch in hand is finished"
    ),
    "daemon.stopped": Event(
        "info", ("exit_code", "uptime_seconds", "delivered"), "the daemon has ended"
    ),
    "daemon.failed": Event(
        "critical",
        ("reason", "hint", "exit_code"),
        "the daemon could not start, or only a person can help",
        "do what the hint says",
    ),
    "daemon.crashed": Event(
        "critical",
        ("error_kind", "exception"),
        "a fault of syncd's own; systemd starts it again, no order is lost",
        "report it with the line",
    ),
    "orders.captured": Event(
        "info",
        ("capture", "orders", "duration_ms"),
        "newly confirmed orders were written into the ledger",
    ),
    "capture.doubted": Event(
        "error",
        ("capture", "orders", "order_key"),
        "only the poll found these orders: a trigger is missing or disabled, or a "
        "table is not followed; no order was lost",
        "`syncd check`, then `syncd install --listen` or `--wal` again",
    ),
    "listen.deaf": Event(
        "warning",
        ("reason",),
        "no hints are heard, so the outbox is looked at every `poll_interval`; said "
        "once, until hints are heard again",
        "nothing, or let source.dsn reach PostgreSQL without a transaction pooler",
    ),
    "outbox.failed": Event(
        "error",
        ("faults",),
        "the triggers could not note changes (counted since they were installed, or "
        "since the last such line); the shop went on, the poll finds its orders",
        "`syncd check`, then `syncd install --listen` again, which counts from 0",
    ),
    "stream.opened": Event(
        "info",
        ("slot", "behind_bytes"),
        "changes come from the replication slot; so far behind it begins",
    ),
    "stream.waiting": Event(
        "info",
        ("slot", "pid"),
        "another instance reads the slot; this one takes over when it ends",
    ),
    "stream.held": Event(
        "warning",
        ("transactions", "age_seconds", "suppressed"),
        "commits are in the WAL but not visible; their orders wait for them",
        "see whether a synchronous standby is missing",
    ),
    "stream.gapped": Event(
        "error",
        ("slot", "since"),
        "a promoted standby's slot is past what its ledger knows: orders may be "
        "unheard of; capture goes on",
        "`syncd reconcile --from` that time, unless the daemon does so itself",
    ),
    "slot.endangered": Event(
        "warning",
        ("slot", "reason", "wal_status", "retained_bytes", "safe_bytes"),
        "the slot keeps much WAL, or may keep too much; it is lost at the limit",
        "see why syncd lags (`syncd status`), or raise `max_slot_wal_keep_size`",
    ),
    "publication.unfit": Event(
        "error",
        ("table", "reason", "cure"),
        "a published table was changed: PostgreSQL refuses the shop's UPDATEs of it, "
        "or it is not followed any more",
        "run the cure at once, then mend the table and `syncd install --wal` again",
    ),
    "window.closed": Event(
        "debug", ("watermark", "orders"), "the watermark moved; late orders are in"
    ),
    "window.held": Event(
        "warning",
        (
            "age_seconds",
            "transactions",
            "prepared",
            "pid",
            "application",
            "suppressed",
        ),
        "a long transaction holds the watermark back; visible orders are sent anyway",
        "end the transaction if nobody needs it",
    ),
    "batch.delivered": Event(
        "info",
        (
            "batch",
            "attempt",
            "orders",
            "duration_ms",
            "bytes",
            "lag_seconds",
            "repeat",
            "late",
        ),
        "the API accepted a batch",
    ),
    "batch.deferred": Event(
        "warning",
        ("batch", "attempt", "orders", "outcome", "status", "reason", "retry_seconds"),
        "an attempt did not succeed; the batch is sent again later",
        "nothing, unless it goes on: then see `syncd status`",
    ),
    "batch.split": Event(
        "warning",
        ("batch", "attempt", "orders", "status", "reason"),
        "a batch was refused as a whole; its halves are tried one by one",
    ),
    "batch.uncertain": Event(
        "warning",
        ("batch", "attempt", "orders", "reason", "held"),
        "an attempt's outcome is unknown; its orders are sent again and may repeat, "
        'or wait for a person (`held`, with `uncertain = "hold"`)',
        "nothing: Squeezely merges a repeat by its orderid; when held: "
        "`syncd uncertain list`",
    ),
    "contract.drifted": Event(
        "warning",
        ("batch", "attempt", "shape"),
        "an answer has a shape that the known contract does not; it is judged all the "
        "same; told once for each shape while the daemon runs",
        "compare it with docs/squeezely.md, and look for a newer syncd",
    ),
    "orders.rejected": Event(
        "error",
        ("batch", "orders", "order_key", "reason"),
        "orders cannot be sent and were set aside; the first one is named",
        "`syncd rejected list`, mend the data, `syncd rejected retry`",
    ),
    "orders.withdrawn": Event(
        "info",
        ("batch", "orders", "order_key"),
        "orders stopped being confirmed before they were sent",
    ),
    "orders.waiting": Event(
        "info",
        ("batch", "orders", "order_key", "reason"),
        "orders are not complete yet; they are looked at again shortly",
    ),
    "sending.held": Event(
        "error",
        ("status", "reason", "retry_seconds"),
        "the API refuses us, or too many orders at once: nothing is sent or rejected, "
        "capture goes on",
        "mend the credentials, the address or the view, then `syncd resume` or SIGHUP",
    ),
    "sending.retried": Event(
        "info", (), "SIGHUP asked to try the API again at once, after it was mended"
    ),
    "sending.resumed": Event("info", (), "the API accepts again after trouble"),
    "source.failed": Event(
        "warning",
        ("error_kind", "reason", "retry_seconds", "suppressed"),
        "the database does not answer or a view is broken; syncd tries again",
        "see `syncd check`",
    ),
    "database.promoted": Event(
        "warning",
        ("timeline", "orders"),
        "a standby took over from the ledger's database and may lack its last moments: "
        "the pending orders, and those of the last day that have to be captured again, "
        "count as possible repeats",
        "nothing: the last hours are reconciled",
    ),
    "account.unproven": Event(
        "warning",
        ("body", "batch_size"),
        "no test has shown that the account takes events in this form and number",
        "`syncd verify`",
    ),
    "source.unproven": Event(
        "warning",
        (),
        "the orders are read on a hot standby whose primary cannot be asked: an order "
        "of a transaction longer than `lookback` is found by reconciliation only",
        "set `source.primary_dsn`",
    ),
    "source.recovered": Event("info", ("down_seconds",), "the database answers again"),
    "orders.missed": Event(
        "error",
        ("depth", "orders", "captured", "order_key"),
        "reconciliation found confirmed orders that no capture had taken; they are "
        "captured now; the first one is named",
        "`syncd explain` that order, then `syncd check`: a larger `source.lookback`, "
        "or a table that is not followed",
    ),
    "reconciliation.finished": Event(
        "info",
        (
            "depth",
            "lower",
            "upper",
            "confirmed",
            "delivered",
            "pending",
            "adopted",
            "rejected",
            "withdrawn",
            "held",
            "discarded",
            "missing",
            "unexplained",
            "duration_ms",
        ),
        "every confirmed order of a range is accounted for",
    ),
    "heartbeat": Event(
        "info",
        (
            "lag_seconds",
            "watermark_age_seconds",
            "pending",
            "pending_backfill",
            "sending",
            "rejected",
            "withdrawn",
            "held",
            "endpoint",
            "delivered",
            "pace",
            "unexplained",
            "reconciled_seconds",
            "rss_mb",
        ),
        "every minute, also when idle; its absence is the alarm",
    ),
    "watermark.reset": Event(
        "warning",
        ("lower", "upper", "orders"),
        "somebody asked for past orders; they wait in the backfill lane",
    ),
    "library.log": Event("warning", ("logger", "message"), "a library spoke"),
}

_FIRST = ("timestamp", "level", "event", "feed")
_PRIORITY = {"critical": 2, "error": 3, "warning": 4, "info": 6, "debug": 7}
_MAX_TEXT = 500
_FOLD_SECONDS = 60.0
_MAX_KINDS = 20

EventDict = MutableMapping[str, Any]


class UndeclaredFieldError(Exception):
    """A caller passed a field that the event does not declare (a fault of syncd's)."""


class Log:
    """Writes events of the catalogue."""

    def __init__(self, feed: str) -> None:
        self._logger = structlog.get_logger("syncd").bind(feed=feed)
        self._folded: dict[tuple[str, object], tuple[float, int]] = {}
        self._told: dict[str, set[str]] = {}
        self._guard = threading.Lock()

    def emit(self, event: str, **fields: object) -> None:
        """Write one line.

        Raises:
            UndeclaredFieldError: The event is not in the catalogue, or a field is not
                among its own.
        """
        declared = EVENTS.get(event)
        if declared is None or not fields.keys() <= set(declared.fields):
            raise UndeclaredFieldError(event, sorted(fields))
        getattr(self._logger, declared.level)(event, **fields)

    def emit_folded(self, event: str, kind: object, **fields: object) -> None:
        """Write the first of a kind at once; count its repeats for a minute."""
        now = time.monotonic()
        with self._guard:
            since, count = self._folded.get((event, kind), (float("-inf"), 0))
            if now - since < _FOLD_SECONDS:
                self._folded[event, kind] = (since, count + 1)
                return
            self._folded[event, kind] = (now, 0)
        self.emit(event, suppressed=count, **fields)

    def emit_once(self, event: str, kind: str, **fields: object) -> None:
        """Write the first of a kind while the process runs; at most `_MAX_KINDS`."""
        with self._guard:
            told = self._told.setdefault(event, set())
            if kind in told or len(told) >= _MAX_KINDS:
                return
            told.add(kind)
        self.emit(event, **fields)


def configure(
    *, level: str = "info", style: str | None = None, stream: TextIO = sys.stderr
) -> None:
    """Send every line of syncd and of its libraries to `stream`.

    Args:
        level: The lowest that is written.
        style: "json" or "console"; None: console on a terminal, JSON elsewhere.
        stream: Where to; lines get journald's priority prefix when it is the journal.
    """
    console = style == "console" or (style is None and stream.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                _only_declared,
                _renderer(console=console, journal=_is_journal(stream)),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("syncd").setLevel(level.upper())
    # Its warnings name hosts we already report; the text of a URL could hold a secret.
    logging.getLogger("urllib3").setLevel(logging.ERROR)


def report_crash(log: Log, error: BaseException) -> None:
    """Write a crash as one line: its kind and its places, never a message or value."""
    trace: TracebackType | None = error.__traceback__
    places = []
    while trace is not None:
        code = trace.tb_frame.f_code
        places.append(f"{code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}")
        trace = trace.tb_next
    log.emit(
        "daemon.crashed",
        error_kind=type(error).__name__,
        exception=" > ".join(places[-8:]),
    )


def _only_declared(_: object, __: str, line: EventDict) -> EventDict:
    """Drop what the event does not declare.

    A library's line gets one name, and only its template: arguments may hold anything.
    """
    if line.get("logger") != "syncd":
        template = str(line["_record"].msg)
        line = {**line, "message": template, "event": "library.log", "feed": "-"}
    declared = EVENTS[line["event"]].fields
    kept = {k: line[k] for k in _FIRST if k in line}
    return kept | {k: _short(line[k]) for k in declared if k in line}


def _short(value: object) -> object:
    """Cap texts, so that a line stays below journald's 4 kB."""
    if isinstance(value, str) and len(value) > _MAX_TEXT:
        return value[:_MAX_TEXT] + "…"
    return round(value, 3) if isinstance(value, float) else value


def _renderer(*, console: bool, journal: bool) -> structlog.typing.Processor:
    if console:
        return structlog.dev.ConsoleRenderer(colors="NO_COLOR" not in os.environ)
    render = structlog.processors.JSONRenderer(separators=(",", ":"), default=str)

    def line(logger: object, name: str, event: EventDict) -> str:
        text = str(render(logger, name, event))
        return f"<{_PRIORITY[event['level']]}>{text}" if journal else text

    return line


def _is_journal(stream: TextIO) -> bool:
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"
