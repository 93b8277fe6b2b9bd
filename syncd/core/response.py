"""What a response of the API means: one outcome for everything that can come back.

Success must be confirmed: a batch counts as sent only when status and body confirm it
in documented fields, or with a meaning that an operator gave (ADR-0006).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from http import HTTPStatus

from syncd.core.response_text import parse_object, quote, quote_whole, retry_after

MAX_REASON = 300
"""Characters of a response's text that are kept."""

SUCCESS_STATUSES = frozenset({200, 201})
SUCCESS_FIELDS = frozenset({"success", "created", "updated", "errors"})
"""What a success may hold, as far as the API is known; more than that is not."""

_COUNTS = ("created", "updated")
_ORDER_REFUSED = frozenset({400, 409, 413, 422})
_TRANSIENT = frozenset({408, 425, 429})
_CONCERN_ALL = frozenset({408, 425, 429, 503})
_REFUSED_BEFORE_WORK = frozenset(
    {301, 307, 308, 401, 402, 403, 404, 405, 406, 407, 410, 411, 412, 414, 415, 416}
    | {417, 421, 425, 426, 428, 429, 431, 451}
)
"""Statuses that mean that the server did not begin."""

_TAKEN = "exists?|known|received|tracked|processed|recorded|registered|stored|imported"
_KNOWN_ALREADY = re.compile(
    rf"(?<!not[ _])(?<![a-z])already[ _](been[ _])?({_TAKEN}|taken|sent)(?![a-z])"
    r"|(?<![a-z])duplicate[ _](order|event|purchase|transaction|entry|key)(?![a-z])"
    r"|(?<!not )\bexists already\b",
    re.IGNORECASE,
)
"""Means that the event was accepted; `already in progress` does not."""


class Outcome(Enum):
    """What became of an attempt."""

    ACCEPTED = "accepted"
    REFUSED = "refused"  # these orders
    CLIENT_REFUSED = "client_refused"  # syncd, or one of the orders: unknown which
    TRANSIENT = "transient"  # not now; later perhaps
    UNCLEAR = "unclear"  # perhaps taken


class Meaning(Enum):
    """The meaning that an operator gave a response."""

    SUCCESS = "success"  # the events were taken
    REFUSAL = "refusal"  # none of them was


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP response that arrived whole. Header names are lower case.

    Attributes:
        status: Three digits.
        headers: Bounded by the transport.
        body: Decoded from its transfer and content encoding.
        request_was_sent: Whole; False when the answer came before that.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes = b""
    request_was_sent: bool = True


@dataclass(frozen=True, slots=True)
class NoResponse:
    """No whole response came; `taken` is false only if nothing can have been taken.

    Attributes:
        untrusted: The endpoint's certificate was refused: only a person can mend it.
    """

    reason: str
    taken: bool
    untrusted: bool = False


@dataclass(frozen=True, slots=True)
class Classification:
    """An outcome with its reason.

    Attributes:
        outcome: What became of the attempt.
        reason: At most `MAX_REASON` characters; empty when accepted.
        retry_after: Lower bound that the API asked for, at most an hour.
        too_large: The body exceeds what the API takes: send fewer at once.
        throttled: The API asked for a slower pace.
        maybe_taken: Some of the events may have been taken, whatever the response
            says; sending them again is a possible repeat.
        is_unknown: A 2xx without a known meaning; an operator decides.
        concerns_all: The endpoint seems unavailable for all.
        puts_off: A server answered with "later".
        is_conflict: The API reports that it has something already.
        known_already: It means the event itself.
    """

    outcome: Outcome
    reason: str = ""
    retry_after: timedelta = timedelta(0)
    too_large: bool = False
    throttled: bool = False
    maybe_taken: bool = False
    is_unknown: bool = False
    concerns_all: bool = False
    puts_off: bool = False
    is_conflict: bool = False
    known_already: bool = False


def classify(
    response: Response | NoResponse, sent: int, now: datetime
) -> Classification:
    """Decide what a response to `sent` events means; never raise.

    Args:
        response: What came back.
        sent: Number of events in the request, at least 1.
        now: Aware; to read a Retry-After that is a date.
    """
    if isinstance(response, NoResponse):
        outcome = Outcome.UNCLEAR if response.taken else Outcome.TRANSIENT
        outcome = Outcome.CLIENT_REFUSED if response.untrusted else outcome
        reason = response.reason[:MAX_REASON]
        general = not response.taken
        return Classification(
            outcome, reason, maybe_taken=response.taken, concerns_all=general
        )
    status = response.status
    if not HTTPStatus.OK <= status < 600:  # noqa: PLR2004  # the last of HTTP's classes
        reason = _reason(f"HTTP {status} is no final answer", response)
        return Classification(Outcome.UNCLEAR, reason, maybe_taken=True)
    if status < HTTPStatus.MULTIPLE_CHOICES:
        return _classify_success(response, sent)
    reason = _reason(f"HTTP {status}", response)
    if status in _ORDER_REFUSED:
        return _classify_refusal(response, sent, reason)
    if status in _TRANSIENT or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _classify_trouble(response, reason, now)
    began = status not in _REFUSED_BEFORE_WORK
    return Classification(Outcome.CLIENT_REFUSED, reason, maybe_taken=began)


def explained(
    classification: Classification, meaning: Meaning | None
) -> Classification:
    """Return what an unknown response means, by the operator's meaning of its shape."""
    if meaning is Meaning.SUCCESS:
        return Classification(Outcome.ACCEPTED)
    if meaning is Meaning.REFUSAL:
        return Classification(Outcome.REFUSED, classification.reason)
    return classification


def counted(response: Response) -> int | None:
    """Return how many events a response counts as accepted; None without a count."""
    return _count(parse_object(response.body) or {})


def _classify_success(response: Response, sent: int) -> Classification:
    """Take only what is known to mean success for one."""
    body = parse_object(response.body)
    if body is not None and response.status in SUCCESS_STATUSES:
        if body.get("success") is False or body.get("errors"):
            reason = _reason(f"HTTP {response.status}", response)
            partial = _is_partial(body, sent)
            return Classification(Outcome.REFUSED, reason, maybe_taken=partial)
        if _says_success(body, sent):
            return Classification(Outcome.ACCEPTED)
    words = quote_whole(response.body, MAX_REASON) or "an empty body"
    reason = f"HTTP {response.status} is not known to mean success: {words}"[
        :MAX_REASON
    ]
    return Classification(Outcome.UNCLEAR, reason, maybe_taken=True, is_unknown=True)


def _says_success(body: Mapping[str, object], sent: int) -> bool:
    """Whether a body confirms success in documented fields, counting all events."""
    if body.get("success") is not True or not body.keys() <= SUCCESS_FIELDS:
        return False
    counts = [body[name] for name in _COUNTS if name in body]
    whole = [n for n in counts if type(n) is int and n >= 0]
    return len(whole) == len(counts) and (not counts or sum(whole) == sent)


def _classify_refusal(response: Response, sent: int, reason: str) -> Classification:
    status = response.status
    too_large = status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    conflicts = status == HTTPStatus.CONFLICT
    body = parse_object(response.body) or {}
    none_taken = too_large or (conflicts and _count(body) is None)
    partial = not none_taken and _is_partial(body, sent)
    return Classification(
        Outcome.REFUSED,
        reason,
        too_large=too_large,
        maybe_taken=partial,
        is_conflict=conflicts,
        known_already=conflicts and bool(_KNOWN_ALREADY.search(reason)),
    )


def _classify_trouble(response: Response, reason: str, now: datetime) -> Classification:
    """Wait; a failing server may have accepted the events, whatever it answers."""
    status = response.status
    late = status == HTTPStatus.REQUEST_TIMEOUT and response.request_was_sent
    return Classification(
        Outcome.TRANSIENT,
        reason,
        retry_after(response.headers.get("retry-after", ""), now),
        throttled=status == HTTPStatus.TOO_MANY_REQUESTS,
        maybe_taken=late or status >= HTTPStatus.INTERNAL_SERVER_ERROR,
        concerns_all=status in _CONCERN_ALL,
        puts_off=True,
    )


def _is_partial(body: Mapping[str, object], sent: int) -> bool:
    """Whether a refusal may concern only some of the events."""
    taken = _count(body)
    if taken is None:
        return sent > 1 or body.get("success") is True
    return taken > 0


def _count(body: Mapping[str, object]) -> int | None:
    """Add up what a body counts as accepted; None without a count."""
    given = [body.get(name) for name in _COUNTS]
    counts = [n for value in given if (n := _whole(value)) is not None]
    return sum(counts) if counts else None


def _whole(value: object) -> int | None:
    """Read a count, also one written as text or with a point; at most a billion."""
    if isinstance(value, str) and value.isdecimal():
        return int(value[:9])
    return int(max(0, min(value, 1e9))) if isinstance(value, int | float) else None


def _reason(what: str, response: Response) -> str:
    return f"{what} {quote(response.body, MAX_REASON)}".strip()[:MAX_REASON]
