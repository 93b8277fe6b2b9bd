"""Log lines have the declared fields of their event, and nothing else."""

import io
import json
import logging
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from syncd.core.errors import DatabaseUnavailableError, PausedError
from syncd.daemon.error_policy import ErrorPolicy
from syncd.log import log


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """Return the log as JSON lines; logging is restored afterwards."""
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    stream = io.StringIO()
    log.configure(level="debug", style="json", stream=stream)
    yield stream
    root.handlers[:], level = before
    root.setLevel(level)


def read(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_begins_with_time_level_event_and_feed(lines: io.StringIO) -> None:
    """Consumers that match by pattern rely on it."""
    log.Log("shop").emit("orders.captured", orders=3, duration_ms=12)
    (line,) = read(lines)
    assert list(line)[:4] == ["timestamp", "level", "event", "feed"]
    assert str(line["timestamp"]).endswith("Z")
    assert (line["event"], line["orders"], line["level"]) == (
        "orders.captured",
        3,
        "info",
    )


def test_an_undeclared_field_is_an_error(lines: io.StringIO) -> None:
    """Nothing reaches a line by accident."""
    with pytest.raises(log.UndeclaredFieldError):
        log.Log("shop").emit("orders.captured", email="mila@example.com")
    with pytest.raises(log.UndeclaredFieldError):
        log.Log("shop").emit("no.such.event")
    assert read(lines) == []


def test_a_librarys_message_is_logged_without_its_values(lines: io.StringIO) -> None:
    """Only the template of its text: an argument may be an address."""
    logging.getLogger("apscheduler").warning("job for %s missed", "mila@example.com")
    (line,) = read(lines)
    assert line["event"] == "library.log"
    assert line["message"] == "job for %s missed"


def test_a_crash_is_logged_with_kind_and_places_but_no_value(
    lines: io.StringIO,
) -> None:
    """An exception's message may quote anything."""
    try:
        _ = ["mila@example.com"].index("somebody else")
    except ValueError as error:
        log.report_crash(log.Log("shop"), error)
    (line,) = read(lines)
    assert line["error_kind"] == "ValueError"
    assert "test_log.py" in str(line["exception"])
    assert "mila" not in lines.getvalue()


def test_repeats_are_suppressed_and_counted(
    lines: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first is logged at once, the rest as a number in the next after a minute."""
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    writer = log.Log("shop")
    for _ in range(1000):
        writer.emit_folded("database.unavailable", "Down", reason="x")
    clock[0] = 61.0
    writer.emit_folded("database.unavailable", "Down", reason="x")
    assert [line["suppressed"] for line in read(lines)] == [0, 999]


def test_another_error_of_the_same_class_is_logged_at_once(lines: io.StringIO) -> None:
    """Only identical repeats are suppressed."""
    reactions = ErrorPolicy(log.Log("shop"))
    for reason in ("the line is cut", "the line is cut", "a standby answers"):
        reactions.react("capture", DatabaseUnavailableError(reason, "Wait."))
    reasons = [str(line["reason"]) for line in read(lines)]
    assert reasons == ["the line is cut. Wait.", "a standby answers. Wait."]


def test_a_paused_component_has_no_old_trouble(lines: io.StringIO) -> None:
    """A component that fails after a pause is not paused any more."""
    reactions = ErrorPolicy(log.Log("shop"))
    for _ in range(2):
        reactions.react("capture", DatabaseUnavailableError("cut", "Wait."))
    assert reactions.trouble() == "capture: cut"
    reactions.react("capture", PausedError("capture", datetime.now(UTC), "a count"))
    assert reactions.trouble() is None
    reactions.react("capture", DatabaseUnavailableError("cut", "Wait."))
    assert reactions.trouble() == "capture: cut"
    reactions.recover("capture")
    assert "feed.resumed" in [line["event"] for line in read(lines)]


def test_a_line_stays_below_4_kb(lines: io.StringIO) -> None:
    """Longer ones are dropped by journalctl."""
    log.Log("shop").emit("batch.split", reason="x" * 100_000)
    assert len(lines.getvalue()) < 4096


def test_the_journal_gets_priorities(monkeypatch: pytest.MonkeyPatch) -> None:
    """So `journalctl -p warning` works with JSON lines."""
    stream = io.StringIO()
    monkeypatch.setattr(log, "_is_journal", lambda _: True)
    root = logging.getLogger()
    before = root.handlers[:]
    log.configure(style="json", stream=stream)
    log.Log("shop").emit("sending.held", reason="HTTP 401")
    root.handlers[:] = before
    assert stream.getvalue().startswith("<3>{")
