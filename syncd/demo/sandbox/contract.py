"""What a Squeezely in good health makes of one POST (SQUEEZELY.md 5.2).

Pure. What the real one does with a bad event is not documented; here it is refused.
"""

import hmac
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from syncd.demo.sandbox.answers import SUCCESS, Case, Event, Form, Verdict, refusal
from syncd.demo.sandbox.timestamps import TimestampError, shown

BodyForms: TypeAlias = Literal["both", "events", "single"]


@dataclass(frozen=True, slots=True)
class Post:
    """The parts of a POST to the track endpoint that decide about it."""

    account: str
    api_key: str
    content_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Terms:
    """What one account accepts: its credentials and body forms."""

    account: str
    api_key: str
    body: BodyForms = "both"


class UnreadableBodyError(ValueError):
    """A body without events; the text has the reason."""


def judge(post: Post, terms: Terms, at: datetime) -> Case:
    """Decide what is taken from `post` and what is answered, faults aside."""
    form: Form | None = None
    events: tuple[Event, ...] = ()
    try:
        form, events = read_events(post.content_type, post.body)
        verdict = _verdict(form, events, terms)
    except UnreadableBodyError as error:
        verdict = _refused(400, str(error))
    if not is_authorised(post, terms):
        verdict = _refused(401, "Invalid credentials")
    return Case(at, len(post.body), form, events, verdict)


def is_authorised(post: Post, terms: Terms) -> bool:
    """Compare both credentials in constant time."""
    account = hmac.compare_digest(post.account.encode(), terms.account.encode())
    api_key = hmac.compare_digest(post.api_key.encode(), terms.api_key.encode())
    return account and api_key


def read_json(content_type: str, body: bytes) -> Event:
    """Parse a JSON object; numbers that JSON itself does not know are refused.

    Raises:
        UnreadableBodyError: Wrong content type, or not a JSON object.
    """
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise UnreadableBodyError("content type is not application/json")
    try:
        document = json.loads(body, parse_float=_finite, parse_constant=_finite)
    except (ValueError, RecursionError) as error:
        raise UnreadableBodyError("body is not valid JSON") from error
    if not isinstance(document, dict):
        raise UnreadableBodyError("body is not a JSON object")
    return document


def read_events(content_type: str, body: bytes) -> tuple[Form, tuple[Event, ...]]:
    """Read the events of a body in either form, without judging them.

    Raises:
        UnreadableBodyError: There is no event to be found.
    """
    document = read_json(content_type, body)
    if "events" not in document:
        return "single", (document,)
    events = document["events"]
    if not isinstance(events, list) or not events:
        raise UnreadableBodyError("events is not a list of events")
    return "events", tuple(events)


def flaw_of(event: object) -> str | None:
    """Name the first thing wrong with a back-end purchase event; None is good."""
    if not isinstance(event, dict):
        return "event is not an object"
    return next(_flaws(event), None)


def _finite(number: str) -> float:
    value = float(number)
    if value - value != 0:
        raise ValueError("not a finite number")
    return value


def _refused(status: int, *errors: str) -> Verdict:
    return Verdict((), refusal(status, errors))


def _verdict(form: Form, events: tuple[Event, ...], terms: Terms) -> Verdict:
    """Judge readable events; the message about a wrong form is a guess."""
    if terms.body not in ("both", form):
        wanted = "event" if terms.body == "single" else "events"
        return _refused(400, f"{wanted} is missing")
    flaws = [flaw_of(event) for event in events]
    if not any(flaws):
        return Verdict(events, SUCCESS)
    if form == "single":
        return _refused(400, *filter(None, flaws))
    return _partly_taken(events, flaws)


def _partly_taken(events: tuple[Event, ...], flaws: list[str | None]) -> Verdict:
    """Take the good ones; positions in the list count from 0."""
    pairs = zip(events, flaws, strict=True)
    taken = tuple(event for event, flaw in pairs if flaw is None)
    errors = [f"event {i}: {flaw}" for i, flaw in enumerate(flaws) if flaw]
    return Verdict(taken, refusal(400, errors, created=len(taken)))


def _flaws(event: Event) -> Iterator[str]:
    if event.get("event") != "Purchase":
        yield "event is not Purchase" if event.get("event") else "event is missing"
    for field in ("email", "orderid"):
        yield from _text_flaws(field, event.get(field))
    yield from _product_flaws(event.get("products"))
    if "timestamp" in event:
        yield from _timestamp_flaws(event["timestamp"])


def _text_flaws(label: str, value: object) -> Iterator[str]:
    if value is None or value == "":
        yield f"{label} is missing"
    elif not isinstance(value, str):
        yield f"{label} is not text"


def _product_flaws(products: object) -> Iterator[str]:
    if not products:
        yield "products is missing"
    elif not isinstance(products, list):
        yield "products is not a list"
    else:
        for product in products:
            known = product.get("id") if isinstance(product, dict) else None
            yield from _text_flaws("product id", known)


def _timestamp_flaws(value: object) -> Iterator[str]:
    try:
        shown(value)
    except TimestampError as error:
        yield str(error)
