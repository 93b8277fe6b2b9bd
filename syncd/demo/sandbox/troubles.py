"""Faults that leave the client in doubt, make it wait, or break the connection."""

import json
from dataclasses import replace
from typing import Literal

from syncd.demo.sandbox.answers import (
    HTML_PAGE,
    SUCCESS,
    Answer,
    Case,
    Verdict,
    json_answer,
)


def wordy_success(case: Case, *, updated: int = 0) -> Verdict | None:
    """201 with counts, `updated` of them as updates; takes the events."""
    if not case.is_good:
        return None
    changed = min(updated, len(case.events))
    counts = {"created": len(case.events) - changed, "updated": changed}
    return case.taking(json_answer({"success": True, **counts, "errors": []}, 201))


def server_error(
    case: Case,
    *,
    status: Literal[500, 501, 502, 503, 504, 520, 524] = 500,
    body: Literal["empty", "html"] = "empty",
    takes: bool = False,
    orderids: tuple[str, ...] = (),
) -> Verdict | None:
    """500 or another 5xx with an empty body or an HTML page."""
    if not case.holds(orderids):
        return None
    page = HTML_PAGE if body == "html" else b""
    return case.taking(Answer(status, page, "text/html"), takes=takes)


def accept_then_drop(case: Case, *, reset: bool = False) -> Verdict:
    """Takes the events and closes the connection without an answer."""
    return case.taking(_drop(reset=reset))


def drop_before_reading(_case: object, *, reset: bool = False) -> Verdict:
    """Closes the connection before the body is read; takes nothing."""
    return Verdict((), _drop(reset=reset))


def hang(case: Case, *, seconds: float = 60, takes: bool = False) -> Verdict:
    """Sends nothing for `seconds`, then closes; accepts the events or does not."""
    answer = Answer(is_silent=True, delay_seconds=seconds, ending="close")
    return case.taking(answer, takes=takes)


def latency(case: Case, *, seconds: float = 1) -> Verdict:
    """Gives the normal answer `seconds` late; the events are taken on arrival."""
    return case.taking(replace(case.verdict.answer, delay_seconds=seconds))


def slow_drip(case: Case, *, bytes_per_second: float = 10) -> Verdict:
    """Sends the normal answer, headers too, a few bytes at a time."""
    answer = replace(case.verdict.answer, bytes_per_second=bytes_per_second)
    return case.taking(answer)


def not_json(case: Case, *, body: str = "OK", takes: bool = True) -> Verdict:
    """200 that calls itself JSON and is not."""
    return case.taking(Answer(200, body.encode(errors="replace")), takes=takes)


def html(case: Case, *, takes: bool = True) -> Verdict:
    """200 with an HTML page."""
    return case.taking(Answer(200, HTML_PAGE, "text/html"), takes=takes)


def empty(
    case: Case, *, status: Literal[200, 204] = 200, takes: bool = True
) -> Verdict:
    """200 (or 204) without a body."""
    return case.taking(Answer(status), takes=takes)


def huge(case: Case, *, size_bytes: int = 8_000_000, takes: bool = True) -> Verdict:
    """200 with a success of `size_bytes` of valid JSON."""
    frame = len(json.dumps({"success": True, "padding": ""}))
    padding = "x" * max(size_bytes - frame, 0)
    return case.taking(json_answer({"success": True, "padding": padding}), takes=takes)


def truncated(case: Case, *, missing_bytes: int = 8, takes: bool = True) -> Verdict:
    """200 that stops and closes before the Content-Length it declared."""
    declared = len(SUCCESS.body)
    body = SUCCESS.body[: max(declared - missing_bytes, 0)]
    answer = Answer(200, body, declared_bytes=declared, ending="close")
    return case.taking(answer, takes=takes)


def understated_length(
    case: Case, *, surplus_bytes: int = 8, takes: bool = True
) -> Verdict:
    """200 with more bytes than its Content-Length, left in the connection."""
    declared = max(len(SUCCESS.body) - surplus_bytes, 0)
    answer = Answer(200, SUCCESS.body, declared_bytes=declared)
    return case.taking(answer, takes=takes)


def broken_encoding(case: Case, *, takes: bool = True) -> Verdict:
    """200 that calls itself gzip and is not."""
    headers = (("Content-Encoding", "gzip"),)
    return case.taking(Answer(200, SUCCESS.body, headers=headers), takes=takes)


def count_short(case: Case, *, missing: int = 1) -> Verdict | None:
    """200 whose `created` is below what was sent; takes exactly that many."""
    if not case.is_good:
        return None
    taken = case.events[: max(len(case.events) - missing, 0)]
    document = {"success": True, "created": len(taken), "updated": 0, "errors": []}
    return Verdict(taken, json_answer(document))


def canned(
    case: Case,
    *,
    status: int = 200,
    body: str = "",
    content_type: str = "application/json",
    takes: bool = False,
) -> Verdict:
    """Any status and body that the others do not cover."""
    return case.taking(
        Answer(status, body.encode(errors="replace"), content_type), takes=takes
    )


def _drop(*, reset: bool) -> Answer:
    return Answer(is_silent=True, ending="reset" if reset else "close")
