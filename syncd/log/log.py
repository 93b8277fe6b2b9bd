"""The log is the monitoring: one catalogue of events, JSON lines, nothing personal.

Only fields that an event declares are written, whatever a caller passes; so no
personal data and no secret can reach a line by accident.
"""

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TextIO

import structlog

from syncd.log.events import EVENTS
from syncd.log.render import for_people, only_declared, rendered

_FOLD_SECONDS = 60.0
_MAX_FOLDED = 500
_MAX_KINDS = 20
_MAX_PLACES = 8
_SHARED: Sequence[structlog.typing.Processor] = (
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
)
"""What every line passes: syncd's own, and those of libraries."""


class UndeclaredFieldError(Exception):
    """A caller passed a field that the event does not declare (a fault of syncd's)."""


class _Folds:
    """Counts repeats: the first of a kind passes at once, then one a minute."""

    def __init__(self) -> None:
        self._folded: dict[object, tuple[float, int]] = {}
        self._guard = threading.Lock()

    def passes(self, kind: object) -> int | None:
        """Return the number suppressed since the last one; None: suppress this one."""
        now = time.monotonic()
        with self._guard:
            since, count = self._folded.get(kind, (float("-inf"), 0))
            if now - since < _FOLD_SECONDS:
                self._folded[kind] = (since, count + 1)
                return None
            if len(self._folded) >= _MAX_FOLDED:
                self._drop_old(now)
            self._folded[kind] = (now, 0)
            return count

    def _drop_old(self, now: float) -> None:
        recent = self._folded.items()
        self._folded = {k: f for k, f in recent if now - f[0] < 10 * _FOLD_SECONDS}


class Log:
    """Writes events of the catalogue."""

    def __init__(self, feed: str) -> None:
        self._logger = structlog.get_logger("syncd").bind(feed=feed)
        self._folds = _Folds()
        self._seen: dict[str, set[str]] = {}
        self._guard = threading.Lock()

    def identify(self, instance: int) -> None:
        """Make every line from now on name this instance."""
        self._logger = self._logger.bind(instance=instance)

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
        count = self._folds.passes((event, kind))
        if count is not None:
            self.emit(event, suppressed=count, **fields)

    def emit_once(self, event: str, kind: str, **fields: object) -> None:
        """Write the first of a kind while the process runs; at most `_MAX_KINDS`."""
        with self._guard:
            seen = self._seen.setdefault(event, set())
            if kind in seen or len(seen) >= _MAX_KINDS:
                return
            seen.add(kind)
        self.emit(event, **fields)


def configure(
    *,
    level: str = "info",
    style: str | None = None,
    stream: TextIO = sys.stderr,
    feed: str = "-",
) -> None:
    """Send every line of syncd and of its libraries to `stream`.

    Args:
        level: The lowest that is written.
        style: "json" or "console"; None: console on a terminal, JSON elsewhere.
        stream: Where to; lines get journald's priority prefix when it is the journal.
        feed: Whose daemon it is; the lines of libraries name it.
    """
    console = style == "console" or (style is None and stream.isatty())
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers[:] = [_handler(stream, feed, console=console)]
    root.setLevel(logging.WARNING)
    logging.getLogger("syncd").setLevel(level.upper())
    # Its warnings name hosts we already report; the text of a URL could hold a secret.
    logging.getLogger("urllib3").setLevel(logging.ERROR)


def _handler(stream: TextIO, feed: str, *, console: bool) -> logging.Handler:
    """Return what writes the lines, those of libraries as well."""
    handler = logging.StreamHandler(stream)
    handler.addFilter(_from_libraries(_Folds(), feed))
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_SHARED,
            processors=[only_declared, *_rendering(console=console, stream=stream)],
            use_get_message=False,
        )
    )
    return handler


def report_crash(log: Log, error: BaseException) -> None:
    """Write a crash as one line: its kind and its places, never a message or value."""
    log.emit(
        "daemon.crashed", error_kind=type(error).__name__, exception=places_of(error)
    )


def places_of(error: BaseException) -> str:
    """Return the places of the code that an error passed, the last one last."""
    trace: TracebackType | None = error.__traceback__
    places = []
    while trace is not None:
        code = trace.tb_frame.f_code
        places.append(f"{code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}")
        trace = trace.tb_next
    return " > ".join(places[-_MAX_PLACES:])


def own_crashes(log: Log) -> None:
    """Log what nothing catches, and what Python warns of."""

    def crashed(_: object, error: BaseException, __: object) -> None:
        report_crash(log, error)

    sys.excepthook = crashed
    threading.excepthook = lambda arguments: report_crash(
        log, arguments.exc_value or SystemExit()
    )
    logging.captureWarnings(capture=True)


def _from_libraries(folds: _Folds, feed: str) -> Callable[[logging.LogRecord], bool]:
    """Remove values from libraries' messages, and fold repeats.

    syncd's own repeats are folded where their kind is known.
    """

    def passes(record: logging.LogRecord) -> bool:
        if record.name == "syncd":
            return True
        if not isinstance(record.msg, str):
            record.msg = type(record.msg).__name__
        record.args = ()
        count = folds.passes((record.name, record.msg[:200]))
        record.suppressed, record.feed = count or 0, feed
        return count is not None

    return passes


def _rendering(*, console: bool, stream: TextIO) -> list[structlog.typing.Processor]:
    if console:
        colors = "NO_COLOR" not in os.environ
        return [for_people, structlog.dev.ConsoleRenderer(colors=colors)]
    return [rendered(journal=_is_journal(stream))]


def _is_journal(stream: TextIO) -> bool:
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"
