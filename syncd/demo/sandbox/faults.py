"""The faults: each turns a POST into another result.

Every public function is one, with the same name (`-` for `_`); its first line explains
it, its keywords are its options. It returns None where the POST does not concern it.
"""

import json
from dataclasses import replace
from datetime import timedelta
from email.utils import format_datetime
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from syncd.demo.sandbox.contract import (
    SUCCESS,
    Answer,
    Form,
    Post,
    Result,
    json_answer,
    refusal,
    refuse,
)

_Count: TypeAlias = Annotated[int, Field(ge=0, le=10**9)]
_Positive: TypeAlias = Annotated[float, Field(gt=0, le=10**9)]
_OrderIds: TypeAlias = Annotated[tuple[str, ...], Field(strict=False)]
_Style: TypeAlias = Literal["text", "object"]

_PAGE = b"<!doctype html><title>Trouble</title><h1>Something went wrong</h1>\n"


def credentials(_post: Post) -> Result:
    """401 as for a wrong key; takes nothing."""
    return refuse(401, "Invalid credentials")


def forbidden(_post: Post) -> Result:
    """403 as for a key without rights; takes nothing."""
    return refuse(403, "Invalid credentials")


def refused(
    post: Post,
    *,
    orderids: _OrderIds = (),
    status: Literal[400, 409, 422] = 400,
    message: str = "orderid is not accepted",
    style: _Style = "text",
) -> Result | None:
    """400 for the whole request if it holds one of `orderids` (none: any request)."""
    return _refused(post, orderids, status, _error(message, style))


def firewall(
    post: Post,
    *,
    orderids: _OrderIds = (),
    status: Literal[401, 403, 404, 405, 406, 415, 451] = 403,
    word: str = "<script",
) -> Result | None:
    """403 with an HTML page for a body that holds one of `orderids`, or `word`."""
    is_named = bool(orderids) and post.holds(orderids)
    if not is_named and not (word and word in json.dumps(post.events)):
        return None
    page = b"<!doctype html><title>Request blocked</title><h1>Not acceptable</h1>\n"
    return Result((), Answer(status, page, "text/html"))


def duplicates_refused(post: Post) -> Result | None:
    """409 for a request with an orderid that the account has already."""
    if not post.known:
        return None
    return refuse(409, f"orderid {post.known[0]} already exists")


def refused_in_200(
    post: Post,
    *,
    orderids: _OrderIds = (),
    message: str = "orderid is missing",
    style: _Style = "text",
) -> Result | None:
    """The same refusal inside a 200; takes nothing."""
    return _refused(post, orderids, 200, _error(message, style))


def timestamp_error(
    post: Post, *, orderids: _OrderIds = (), style: _Style = "text"
) -> Result | None:
    """400 with TIMESTAMP_ERROR, as text or as an object; takes nothing."""
    return _refused(post, orderids, 400, _error("TIMESTAMP_ERROR", style))


def partly_accepted(
    post: Post,
    *,
    orderids: _OrderIds = (),
    status: Literal[200, 207, 400] = 400,
    message: str = "email is missing",
    style: _Style = "text",
) -> Result | None:
    """Refuses `orderids` (none: the last event) and takes exactly the others."""
    if not (post.is_valid and post.holds(orderids)):
        return None
    chosen = orderids or (post.events[-1]["orderid"],)
    valid = tuple(e for e in post.events if e["orderid"] not in chosen)
    errors = [
        _error(f"event {i}: {message}", style)
        for i, event in enumerate(post.events)
        if event["orderid"] in chosen
    ]
    return Result(valid, refusal(status, errors, created=len(valid)))


def too_many_requests(
    post: Post,
    *,
    retry_after_seconds: _Count = 30,
    form: Literal["seconds", "http-date", "none"] = "seconds",
) -> Result:
    """429 with Retry-After as seconds, as a date, or without it; takes nothing."""
    moment = post.at + timedelta(seconds=retry_after_seconds)
    after = {
        "seconds": (("Retry-After", str(retry_after_seconds)),),
        "http-date": (("Retry-After", format_datetime(moment, usegmt=True)),),
        "none": (),
    }
    answer = refusal(429, ["too many requests"])
    return Result((), replace(answer, headers=after[form]))


def redirect(
    _post: Post,
    *,
    status: Literal[301, 302, 303, 307, 308] = 302,
    location: str = "/sandbox/totals",
) -> Result:
    """302 to a place that answers 200 with JSON; takes nothing."""
    return Result((), Answer(status, headers=(("Location", location),)))


def not_found(_post: Post) -> Result:
    """404 as for a wrong path; takes nothing."""
    return refuse(404, "not found")


def method_not_allowed(_post: Post) -> Result:
    """405 as for a wrong method; takes nothing."""
    return Result((), Answer(405, _PAGE, "text/html", (("Allow", "GET"),)))


def too_large(post: Post, *, limit_bytes: _Count = 100_000) -> Result | None:
    """413 with an HTML page for bodies over `limit_bytes`; takes nothing."""
    if post.size_bytes <= limit_bytes:
        return None
    return Result((), Answer(413, _PAGE, "text/html"))


def body_form_refused(post: Post, *, form: Form = "events") -> Result | None:
    """400 for bodies of one form; takes nothing."""
    if post.form != form:
        return None
    return refuse(400, f"{'event' if form == 'events' else 'events'} is missing")


def wordy_success(post: Post, *, updated: _Count = 0) -> Result | None:
    """201 with counts, `updated` of them as updates; takes the events."""
    if not post.is_valid:
        return None
    changed = min(updated, len(post.events))
    counts = {"created": len(post.events) - changed, "updated": changed}
    return post.answered(json_answer({"success": True, **counts, "errors": []}, 201))


def server_error(
    post: Post,
    *,
    status: Literal[500, 501, 502, 503, 504, 520, 524] = 500,
    body: Literal["empty", "html"] = "empty",
    takes: bool = False,
    orderids: _OrderIds = (),
) -> Result | None:
    """500 or another 5xx with an empty body or an HTML page."""
    if not post.holds(orderids):
        return None
    page = _PAGE if body == "html" else b""
    return post.answered(Answer(status, page, "text/html"), takes=takes)


def accept_then_drop(post: Post, *, reset: bool = False) -> Result:
    """Takes the events and closes the connection without an answer."""
    return post.answered(_drop(reset=reset))


def drop_before_reading(_post: object, *, reset: bool = False) -> Result:
    """Closes the connection before the body is read; takes nothing."""
    return Result((), _drop(reset=reset))


def hang(post: Post, *, seconds: _Positive = 60, takes: bool = False) -> Result:
    """Sends nothing for `seconds`, then closes; accepts the events or does not."""
    answer = Answer(is_silent=True, delay_seconds=seconds, ending="close")
    return post.answered(answer, takes=takes)


def latency(post: Post, *, seconds: _Positive = 1) -> Result:
    """Gives the normal answer `seconds` late; the events are taken on arrival."""
    return post.answered(replace(post.result.answer, delay_seconds=seconds))


def slow_drip(post: Post, *, bytes_per_second: _Positive = 10) -> Result:
    """Sends the normal answer, headers too, a few bytes at a time."""
    slow = replace(post.result.answer, bytes_per_second=bytes_per_second)
    return post.answered(slow)


def not_json(post: Post, *, body: str = "OK", takes: bool = True) -> Result:
    """200 that calls itself JSON and is not."""
    return post.answered(Answer(200, body.encode(errors="replace")), takes=takes)


def html(post: Post, *, takes: bool = True) -> Result:
    """200 with an HTML page."""
    return post.answered(Answer(200, _PAGE, "text/html"), takes=takes)


def empty(post: Post, *, status: Literal[200, 204] = 200, takes: bool = True) -> Result:
    """200 (or 204) without a body."""
    return post.answered(Answer(status), takes=takes)


def huge(post: Post, *, size_bytes: _Count = 8_000_000, takes: bool = True) -> Result:
    """200 with a success of `size_bytes` of valid JSON."""
    frame = len(json.dumps({"success": True, "padding": ""}))
    padding = "x" * max(size_bytes - frame, 0)
    answer = json_answer({"success": True, "padding": padding})
    return post.answered(answer, takes=takes)


def truncated(post: Post, *, missing_bytes: _Count = 8, takes: bool = True) -> Result:
    """200 that stops and closes before the Content-Length it declared."""
    declared = len(SUCCESS.body)
    body = SUCCESS.body[: max(declared - missing_bytes, 0)]
    answer = Answer(200, body, declared_bytes=declared, ending="close")
    return post.answered(answer, takes=takes)


def understated_length(
    post: Post, *, surplus_bytes: _Count = 8, takes: bool = True
) -> Result:
    """200 with more bytes than its Content-Length, left in the connection."""
    declared = max(len(SUCCESS.body) - surplus_bytes, 0)
    answer = Answer(200, SUCCESS.body, declared_bytes=declared)
    return post.answered(answer, takes=takes)


def broken_encoding(post: Post, *, takes: bool = True) -> Result:
    """200 that calls itself gzip and is not."""
    answer = replace(SUCCESS, headers=(("Content-Encoding", "gzip"),))
    return post.answered(answer, takes=takes)


def count_short(post: Post, *, missing: _Count = 1) -> Result | None:
    """200 whose `created` is below what was sent; takes exactly that many."""
    if not post.is_valid:
        return None
    valid = post.events[: max(len(post.events) - missing, 0)]
    document = {"success": True, "created": len(valid), "updated": 0, "errors": []}
    return Result(valid, json_answer(document))


def canned(
    post: Post,
    *,
    status: _Count = 200,
    body: str = "",
    content_type: str = "application/json",
    takes: bool = False,
) -> Result:
    """Any status and body that the others do not cover."""
    answer = Answer(status, body.encode(errors="replace"), content_type)
    return post.answered(answer, takes=takes)


def _refused(
    post: Post, orderids: _OrderIds, status: int, error: object
) -> Result | None:
    return refuse(status, error) if post.holds(orderids) else None


def _error(message: str, style: _Style) -> object:
    if style == "text":
        return message
    return {"code": message.upper().replace(" ", "_"), "message": message}


def _drop(*, reset: bool) -> Answer:
    return Answer(is_silent=True, ending="reset" if reset else "close")
