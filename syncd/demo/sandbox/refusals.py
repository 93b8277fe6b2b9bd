"""Faults that refuse: nothing is accepted beyond what the response itself states."""

import json
from datetime import timedelta
from email.utils import format_datetime
from typing import Literal, TypeAlias

from syncd.demo.sandbox.answers import HTML_PAGE, Answer, Case, Form, Verdict, refusal

OrderIds: TypeAlias = tuple[str, ...]
Style: TypeAlias = Literal["text", "object"]


def credentials(_case: Case) -> Verdict:
    """401 as for a wrong key; takes nothing."""
    return Verdict((), refusal(401, ["Invalid credentials"]))


def forbidden(_case: Case) -> Verdict:
    """403 as for a key without rights; takes nothing."""
    return Verdict((), refusal(403, ["Invalid credentials"]))


def refused(
    case: Case,
    *,
    orderids: OrderIds = (),
    status: Literal[400, 409, 422] = 400,
    message: str = "orderid is not accepted",
    style: Style = "text",
) -> Verdict | None:
    """400 for the whole request if it holds one of `orderids` (none: any request)."""
    if not case.holds(orderids):
        return None
    return Verdict((), refusal(status, [_error(message, style)]))


def firewall(
    case: Case,
    *,
    orderids: OrderIds = (),
    status: Literal[401, 403, 404, 405, 406, 415, 451] = 403,
    word: str = "<script",
) -> Verdict | None:
    """403 with an HTML page for a body that holds one of `orderids`, or `word`."""
    is_named = bool(orderids) and case.holds(orderids)
    if not is_named and not (word and word in json.dumps(case.events)):
        return None
    page = b"<!doctype html><title>Request blocked</title><h1>Not acceptable</h1>\n"
    return Verdict((), Answer(status, page, "text/html"))


def duplicates_refused(case: Case) -> Verdict | None:
    """409 for a request with an orderid that the account has already."""
    if not case.known:
        return None
    return Verdict((), refusal(409, [f"orderid {case.known[0]} already exists"]))


def refused_in_200(
    case: Case,
    *,
    orderids: OrderIds = (),
    message: str = "orderid is missing",
    style: Style = "text",
) -> Verdict | None:
    """The same refusal inside a 200; takes nothing."""
    if not case.holds(orderids):
        return None
    return Verdict((), refusal(200, [_error(message, style)]))


def timestamp_error(
    case: Case, *, orderids: OrderIds = (), style: Style = "text"
) -> Verdict | None:
    """400 with TIMESTAMP_ERROR, as text or as an object; takes nothing."""
    if not case.holds(orderids):
        return None
    return Verdict((), refusal(400, [_error("TIMESTAMP_ERROR", style)]))


def partly_accepted(
    case: Case,
    *,
    orderids: OrderIds = (),
    status: Literal[200, 207, 400] = 400,
    message: str = "email is missing",
    style: Style = "text",
) -> Verdict | None:
    """Refuses `orderids` (none: the last event) and takes exactly the others."""
    if not (case.is_good and case.holds(orderids)):
        return None
    last = len(case.events) - 1
    bad = [
        i
        for i, event in enumerate(case.events)
        if (event["orderid"] in orderids if orderids else i == last)
    ]
    taken = tuple(event for i, event in enumerate(case.events) if i not in set(bad))
    errors = [_error(f"event {i}: {message}", style) for i in bad]
    return Verdict(taken, refusal(status, errors, created=len(taken)))


def too_many_requests(
    case: Case,
    *,
    retry_after_seconds: int = 30,
    form: Literal["seconds", "http-date", "none"] = "seconds",
) -> Verdict:
    """429 with Retry-After as seconds, as a date, or without it; takes nothing."""
    moment = case.at + timedelta(seconds=retry_after_seconds)
    after = {
        "seconds": (("Retry-After", str(retry_after_seconds)),),
        "http-date": (("Retry-After", format_datetime(moment, usegmt=True)),),
        "none": (),
    }
    document = {"success": False, "errors": ["too many requests"]}
    body = json.dumps(document).encode("ascii")
    return Verdict((), Answer(429, body, headers=after[form]))


def redirect(
    _case: Case,
    *,
    status: Literal[301, 302, 303, 307, 308] = 302,
    location: str = "/sandbox/totals",
) -> Verdict:
    """302 to a place that answers 200 with JSON; takes nothing."""
    return Verdict((), Answer(status, headers=(("Location", location),)))


def not_found(_case: Case) -> Verdict:
    """404 as for a wrong path; takes nothing."""
    return Verdict((), refusal(404, ["not found"]))


def method_not_allowed(_case: Case) -> Verdict:
    """405 as for a wrong method; takes nothing."""
    answer = Answer(405, HTML_PAGE, "text/html", headers=(("Allow", "GET"),))
    return Verdict((), answer)


def too_large(case: Case, *, limit_bytes: int = 100_000) -> Verdict | None:
    """413 with an HTML page for bodies over `limit_bytes`; takes nothing."""
    if case.size_bytes <= limit_bytes:
        return None
    return Verdict((), Answer(413, HTML_PAGE, "text/html"))


def body_form_refused(case: Case, *, form: Form = "events") -> Verdict | None:
    """400 for bodies of one form; takes nothing."""
    if case.form != form:
        return None
    wanted = "event" if form == "events" else "events"
    return Verdict((), refusal(400, [f"{wanted} is missing"]))


def _error(message: str, style: Style) -> object:
    if style == "text":
        return message
    return {"code": message.upper().replace(" ", "_"), "message": message}
