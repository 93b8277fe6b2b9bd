"""A log line is valid and safe, whatever is logged."""

import io
import json
import logging
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import structlog
from hypothesis import example, given
from hypothesis import strategies as st

from syncd.log import log
from syncd.log.events import EVENTS, FIELDS, FIRST
from syncd.log.render import run_id

HOSTILE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.binary(),
    st.datetimes(),
    st.sampled_from(
        [
            "x" * 100_000,
            "\U0001f600" * 2_000,
            "\x00\x1b[31m\r\n\u2028\ud800",
            '","event":"heartbeat","lag_seconds":0.0,"pending":0,"',
            10**5000,
            ValueError("mila@example.com"),
            {"email": "mila@example.com", "more": [1, {"two": 2}]},
        ]
    ),
    st.recursive(st.text(), lambda inner: st.lists(inner) | st.tuples(inner)),
)
KINDS: dict[str, type | tuple[type, ...]] = {
    "integer": int,
    "number": float,
    "flag": bool,
    "text": str,
    "time": str,
}


@contextmanager
def written() -> Iterator[io.StringIO]:
    """Return the log's stream; logging is restored afterwards."""
    root = logging.getLogger()
    before = (root.handlers[:], root.level, sys.excepthook, threading.excepthook)
    stream = io.StringIO()
    log.configure(level="debug", style="json", stream=stream)
    try:
        yield stream
    finally:
        root.handlers[:], level, sys.excepthook, threading.excepthook = before
        root.setLevel(level)
        logging.captureWarnings(capture=False)


def only_line(stream: io.StringIO) -> dict[str, object]:
    """Return the line; it is one, short, and has declared fields in their order."""
    text = stream.getvalue()
    assert text.count("\n") == 1
    assert len(text.splitlines()) == 1
    assert len(text.encode()) < 4096
    line = json.loads(text, parse_constant=pytest.fail)
    assert isinstance(line, dict)
    first = [name for name in FIRST if name in line]
    assert list(line)[: len(first)] == first
    assert first[:4] == ["timestamp", "level", "event", "feed"]
    declared = EVENTS[line["event"]].fields
    assert set(line) <= {*FIRST, *declared}
    for name, value in line.items():
        assert value is None or type(value) is KINDS[FIELDS[name].kind], name
    return line


@given(st.data(), st.sampled_from(sorted(EVENTS)))
def test_any_value_of_any_field_makes_a_valid_line(
    data: st.DataObject, event: str
) -> None:
    """The field has a value of its type or null, which is in no other field."""
    values = {name: data.draw(HOSTILE, name) for name in EVENTS[event].fields}
    with written() as stream:
        log.Log("shop").emit(event, **values)
        line = only_line(stream)
    assert line["event"] == event
    assert line["feed"] == "shop"


@given(st.dictionaries(st.text(min_size=1), HOSTILE), st.text())
@example({}, "views.unavailable")
@example({"_record": False}, "")
def test_undeclared_fields_do_not_reach_the_line(
    fields: dict[str, object], event: str
) -> None:
    """They are dropped even when code bypasses the catalogue."""
    reserved = {"event", "exc_info", "stack_info", "stacklevel", "extra", "name"}
    reserved |= {"self", "_record"}
    extra = {name: v for name, v in fields.items() if name not in reserved}
    with written() as stream:
        structlog.get_logger("syncd").bind(feed="shop").info(event, **extra)
        line = only_line(stream)
    assert line["event"] in {event, "library.log"}


@given(st.text() | HOSTILE, HOSTILE)
def test_a_library_may_log_anything(template: object, value: object) -> None:
    """Neither its values nor a traceback are written."""
    canary = "canary of a value"
    with written() as stream:
        try:
            int(canary)
        except ValueError:
            logging.getLogger("apscheduler").exception(template, canary, value)
        line = only_line(stream)
    assert line["event"] == "library.log"
    assert "Traceback" not in stream.getvalue()
    assert canary not in stream.getvalue()


def _raised(error: Exception) -> Exception:
    """Raise an error, so that it has a traceback."""
    try:
        raise error  # noqa: TRY301  # only that makes a traceback
    except Exception as caught:  # noqa: BLE001  # whatever it is
        return caught


@given(HOSTILE)
def test_a_crash_is_one_line_without_the_errors_message(value: object) -> None:
    """Values of local variables are not logged either."""
    canary = "canary of a value"
    with written() as stream:
        log.report_crash(log.Log("shop"), _raised(ValueError(value, canary)))
        line = only_line(stream)
    assert line["error_kind"] == "ValueError"
    assert canary not in stream.getvalue()
    assert "@" not in stream.getvalue()


def test_an_uncaught_error_is_a_line_too() -> None:
    """This holds in any thread, where Python would print a traceback."""
    error = KeyError("mila@example.com")
    with written() as stream:
        log.own_crashes(log.Log("shop"))
        sys.excepthook(KeyError, error, None)
        thread = threading.Thread(target=dict[str, str]().pop, args=("mila@x.org",))
        thread.start()
        thread.join()
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["event"] for line in lines] == ["daemon.crashed"] * 2
    assert [line["error_kind"] for line in lines] == ["KeyError"] * 2
    assert "mila" not in stream.getvalue()


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("no profile mila@example.com here", "no profile …@… here"),
        ("postgresql://syncd:hunter2@db/shop fails", "…@… fails"),
        ("host=db password=hunter2 user=syncd", "host=db password=… user=syncd"),
        ("Api-Key: hunter2", "Api-Key: …"),
        ("two\nlines\tand \x1b[31mmore", "two lines and [31mmore"),
    ],
)
def test_a_text_loses_addresses_passwords_and_line_breaks(text: str, kept: str) -> None:
    """A second safeguard: normally no such text is logged."""
    with written() as stream:
        log.Log("shop").emit("sending.held", reason=text)
        line = only_line(stream)
    assert line["reason"] == kept


def test_a_number_has_a_decimal_point_and_a_count_has_none() -> None:
    """Consumers that match lines by pattern rely on it."""
    with written() as stream:
        log.Log("shop").emit("heartbeat", lag_seconds=0, pending=3, rate_factor=1)
    assert '"lag_seconds":0.0,"pending":3,"rate_factor":1.0' in stream.getvalue()


def test_repeats_of_a_librarys_message_are_suppressed() -> None:
    """A scheduler that complains every second is logged once a minute."""
    with written() as stream:
        for _ in range(500):
            logging.getLogger("apscheduler").warning("missed by %s", "a second")
        logging.getLogger("apscheduler").warning("something else")
    messages = [json.loads(x)["message"] for x in stream.getvalue().splitlines()]
    assert messages == ["missed by %s", "something else"]


def test_a_library_logs_with_the_feed_of_its_process() -> None:
    """So its line is found among the others of that shop."""
    with written() as stream:
        log.configure(style="json", stream=stream, feed="shop")
        logging.getLogger("apscheduler").warning("missed")
    assert only_line(stream)["feed"] == "shop"


def test_every_line_names_its_instance_and_run() -> None:
    """So lines of two daemons, or around a restart, are distinguishable."""
    with written() as stream:
        writer = log.Log("shop")
        writer.emit("sending.resumed")
        writer.identify(7)
        writer.emit("sending.resumed")
    before, after = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert ("instance" in before, after["instance"]) == (False, 7)
    assert before["run"] == after["run"]
    assert re.fullmatch("[0-9a-f]{32}", str(after["run"]))


def test_the_run_has_systemds_invocation_id() -> None:
    """INVOCATION_ID is used if it is valid."""
    given_by_systemd = "0123456789abcdef0123456789abcdef"
    assert run_id({"INVOCATION_ID": given_by_systemd}) == given_by_systemd
    assert run_id({"INVOCATION_ID": 'x","level":"info'}) != 'x","level":"info'
    assert run_id({}) != run_id({})
