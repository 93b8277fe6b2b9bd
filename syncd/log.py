"""The log is the monitoring: one catalogue of events, JSON lines, nothing personal.

Only fields that an event declares are written, whatever a caller passes; so no
personal data and no secret can reach a line by accident.
"""

import logging
import os
import sys
import threading
import time
from collections.abc import MutableMapping
from types import TracebackType
from typing import Any, TextIO

import structlog

from syncd.events import EVENTS

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
