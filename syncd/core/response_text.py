"""Reading a response's text as gateways, firewalls and PHP sites write it.

Nothing here raises, whatever the bytes are.
"""

import json
import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import NoReturn

from syncd.core.echo import unescaped
from syncd.core.field_value import is_array, is_object

MAX_RETRY_AFTER = timedelta(hours=1)

_READ_CHARACTERS = 8192
"""Bytes of a body that are searched for an error's words."""

_ADDRESS = re.compile(r"(?<![^\s\"'<>])[^\s\"'<>]+@[^\s\"'<>]+")
_UNSEEN = re.compile(
    r"<(script|style|svg)\b.*?(</\1\s*>|\Z)|<!--.*?(-->|\Z)", re.DOTALL | re.IGNORECASE
)
_TAG = re.compile(r"</?[A-Za-z!][^<>]*>")
_SECONDS = re.compile(r"(?s)0*(\d+)(\.\d*)?\s*(,.*)?")
_TEXT_FIELDS = ("errors", "error", "message", "error_description", "detail", "title")


class _UnreadableError(ValueError):
    pass


def parse(body: bytes) -> object:
    """Return the JSON document that a body is; None when it is none.

    A byte order mark is ignored. What could be read in two ways is no document: a name
    given twice, NaN, anything before or after it.
    """
    try:
        return json.loads(
            body.decode("utf-8-sig"),
            object_pairs_hook=_once,
            parse_constant=_refuse,
            parse_float=_finite,
        )
    except (ValueError, RecursionError):
        return None


def parse_object(body: bytes) -> dict[str, object] | None:
    """Return the JSON object that a body is; None for anything else."""
    decoded = parse(body)
    return decoded if is_object(decoded) else None


def _once(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    named = dict(pairs)
    if len(named) != len(pairs):
        raise _UnreadableError
    return named


def _refuse(_constant: str) -> NoReturn:
    raise _UnreadableError


def _finite(number: str) -> float:
    value = float(number)
    if not math.isfinite(value):
        raise _UnreadableError
    return value


def quote(body: bytes, limit: int) -> str:
    """Return a body's error text, in one printable line without addresses.

    The first error's text, where there is one; else the text without its markup.
    """
    return _line(_first_text(parse_object(body)) or _plain(body), limit)


def quote_whole(body: bytes, limit: int) -> str:
    """Return a body's whole text, without markup, in one such line."""
    return _line(_plain(body, len(body)), limit)


def quote_marked(body: bytes, limit: int) -> str:
    """Return a body's whole text, with its tags as separate words."""
    text = _UNSEEN.sub(" ", body.decode("utf-8-sig", "replace"))
    return _line(_TAG.sub(lambda tag: f" {tag[0]} ", text), limit)


def _line(text: str, limit: int) -> str:
    text = _ADDRESS.sub("[address]", unescaped(text))
    seen = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(seen.split())[:limit]


def _plain(body: bytes, limit: int = _READ_CHARACTERS) -> str:
    text = body[:limit].decode("utf-8-sig", "replace")
    return _TAG.sub(" ", _UNSEEN.sub(" ", text))


def _first_text(body: dict[str, object] | None) -> str:
    """Find the first text under a name that errors are given by."""
    found = (_first(body[name]) for name in _TEXT_FIELDS if body and name in body)
    return next(filter(None, found), "")


def _first(errors: object) -> str:
    """Find the first text in errors of any shape."""
    while errors:
        if is_array(errors):
            errors = errors[0]
        elif not is_object(errors):
            break
        elif "code" in errors or "message" in errors:
            parts = (errors.get("code", ""), errors.get("message", ""))
            return " ".join(str(part)[:_READ_CHARACTERS] for part in parts if part)
        else:
            errors = next(iter(errors.values()))
    if isinstance(errors, bool) or not isinstance(errors, str | int):
        return ""
    return errors if isinstance(errors, str) else f"{min(errors, 10**18)}"


def retry_after(header: str, now: datetime) -> timedelta:
    """Return how long to wait at least: seconds or a date, between 0 and an hour."""
    value = header.strip()
    if seconds := _SECONDS.fullmatch(value):
        wait = timedelta(seconds=int(seconds[1][:9]) + bool(seconds[2]))
    else:
        wait = _until(value[:100], now)
    return max(timedelta(0), min(wait, MAX_RETRY_AFTER))


def _until(date: str, now: datetime) -> timedelta:
    for read in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            moment = read(date)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            continue
    return timedelta(0)
