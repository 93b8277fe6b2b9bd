"""What an answer of the API means: one outcome for everything that can come back.

A batch counts as sent only when status *and* body say so (ADR-0006).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import Enum
from http import HTTPStatus
from typing import cast

import msgspec

MAX_REASON = 300
"""Characters of an answer's text that are kept."""

MAX_RETRY_AFTER = timedelta(hours=1)

_REFUSED = frozenset({400, 413, 422})
_ADDRESS = re.compile(r"[^\s\"'<>]+@[^\s\"'<>]+")
_TRANSIENT = frozenset({408, 425, 429})
_BEHIND_A_GATEWAY = frozenset(
    {500, 502, 504}
)  # the work may have been done all the same


class Outcome(Enum):
    """What became of an attempt."""

    ACCEPTED = "accepted"
    REFUSED = "refused"  # these orders
    CLIENT_REFUSED = "client_refused"  # us: credentials, address or form
    TRANSIENT = "transient"  # certainly not taken; later perhaps
    UNCLEAR = "unclear"  # perhaps taken


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP answer that arrived whole. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class NoResponse:
    """No whole answer came; `taken` is false only if nothing can have been taken.

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
        maybe_taken: Some of the events may have been taken, whatever the answer says;
            sending them again is a possible repeat.
    """

    outcome: Outcome
    reason: str = ""
    retry_after: timedelta = timedelta(0)
    too_large: bool = False
    throttled: bool = False
    maybe_taken: bool = False


def classify(answer: Response | NoResponse, sent: int, now: datetime) -> Classification:
    """Decide what an answer to `sent` events means.

    Args:
        answer: What came back.
        sent: Number of events in the request, at least 1.
        now: Aware; to read a Retry-After that is a date.
    """
    if isinstance(answer, NoResponse):
        outcome = Outcome.UNCLEAR if answer.taken else Outcome.TRANSIENT
        outcome = Outcome.CLIENT_REFUSED if answer.untrusted else outcome
        return Classification(
            outcome, answer.reason[:MAX_REASON], maybe_taken=answer.taken
        )
    status = answer.status
    if status < HTTPStatus.OK:
        reason = f"HTTP {status} is no final answer"
        return Classification(Outcome.UNCLEAR, reason, maybe_taken=True)
    if status < HTTPStatus.MULTIPLE_CHOICES:
        return _classify_success(answer, sent)
    reason = _reason(answer)
    if status in _REFUSED:
        too_large = status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        partial = not too_large and _is_partial(answer, sent)
        return Classification(
            Outcome.REFUSED, reason, too_large=too_large, maybe_taken=partial
        )
    if status in _TRANSIENT or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _classify_trouble(answer, reason, now)
    return Classification(Outcome.CLIENT_REFUSED, reason)


def _classify_trouble(answer: Response, reason: str, now: datetime) -> Classification:
    return Classification(
        Outcome.TRANSIENT,
        reason,
        _retry_after(answer, now),
        throttled=answer.status == HTTPStatus.TOO_MANY_REQUESTS,
        maybe_taken=answer.status in _BEHIND_A_GATEWAY,
    )


def _classify_success(answer: Response, sent: int) -> Classification:
    body = _object(answer.body)
    if body is None:
        return Classification(
            Outcome.UNCLEAR, f"{answer.status} without a JSON object", maybe_taken=True
        )
    if body.get("success") in (False, "false") or body.get("errors"):
        partial = _is_partial(answer, sent)
        return Classification(Outcome.REFUSED, _reason(answer), maybe_taken=partial)
    counted = _count(body)
    if counted is not None and counted < sent:
        reason = f"{counted} of {sent} events counted as taken"
        return Classification(Outcome.UNCLEAR, reason, maybe_taken=True)
    return Classification(Outcome.ACCEPTED)


def _is_partial(answer: Response, sent: int) -> bool:
    """Whether a refusal may concern only some of the events."""
    counted = _count(_object(answer.body))
    return sent > 1 if counted is None else counted > 0


def counted(answer: Response) -> int | None:
    """Tell how many events an answer counts as taken; None when it does not say."""
    return _count(_object(answer.body))


def _count(body: Mapping[str, object] | None) -> int | None:
    """Add up what the answer says was taken; None when it does not say."""
    given = [(body or {}).get(name) for name in ("created", "updated")]
    counts = [n for value in given if (n := _whole(value)) is not None]
    return sum(counts) if counts else None


def _whole(value: object) -> int | None:
    """Read a count, also one written as text or with a point; at most a billion."""
    if isinstance(value, str) and value.isdecimal():
        return int(value[:9])
    return int(max(0, min(value, 1e9))) if isinstance(value, int | float) else None


def _object(body: bytes) -> dict[str, object] | None:
    try:
        decoded: object = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return None
    return cast("dict[str, object]", decoded) if isinstance(decoded, dict) else None


def _reason(answer: Response) -> str:
    """Name the status and the first error's text, in one line, without addresses."""
    text = _first_text((_object(answer.body) or {}).get("errors"))
    text = _ADDRESS.sub("[address]", text)
    plain = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(f"HTTP {answer.status} {plain}".split())[:MAX_REASON]


def _first_text(errors: object) -> str:
    """Find the first text in errors of any shape."""
    while isinstance(errors, list | dict) and errors:
        if isinstance(errors, list):
            errors = cast("list[object]", errors)[0]
            continue
        named = cast("dict[str, object]", errors)
        if "code" in named or "message" in named:
            return f"{named.get('code', '')} {named.get('message', '')}"
        errors = next(iter(named.values()))
    return str(errors) if isinstance(errors, str | int) else ""


def _retry_after(answer: Response, now: datetime) -> timedelta:
    value = answer.headers.get("retry-after", "").strip()
    if value.isdecimal():
        wait = timedelta(seconds=min(int(value[:9]), 3600))
    else:
        wait = _until(value, now)
    return max(timedelta(0), min(wait, MAX_RETRY_AFTER))


def _until(date: str, now: datetime) -> timedelta:
    try:
        moment = parsedate_to_datetime(date)
    except ValueError:
        return timedelta(0)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now
