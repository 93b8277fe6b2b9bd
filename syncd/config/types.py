"""The types of settings: each value is checked for where it goes.

A header, a URL, an identifier, a file's name: what could not be written there is
refused here, with the character and its place, and never quoted: it may be a secret.
"""

import re
from datetime import timedelta
from ipaddress import AddressValueError, IPv6Address
from pathlib import Path
from typing import Annotated
from urllib.parse import SplitResult, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator

from syncd.config.dsn import dsn_fault
from syncd.core.sql_text import SqlName
from syncd.core.text import (
    BLANKS,
    address_character,
    bad_escape,
    header_character,
    is_host_name,
    odd_character,
)

LONGEST = timedelta(days=36_500)
"""No setting is longer, so that no time of it is before the calendar begins."""

LONGEST_NAME = 40
"""Characters of a feed's name: `application_name` has 63, the part's name included."""

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def is_loopback(host: str | None) -> bool:
    """Return whether a host is this machine."""
    return host in _LOOPBACK


def _text(value: object) -> object:
    """Cut the blanks off around a text; refuse invisible characters in it."""
    if not isinstance(value, str):
        return value
    text = value.strip(BLANKS)
    if fault := odd_character(text):
        raise ValueError(fault)
    return text


def _duration(value: object) -> object:
    found = re.fullmatch(
        r"([0-9]{1,15}(?:\.[0-9]{1,15})?)\s*(ms|s|m|h|d)", str(value).strip(BLANKS)
    )
    if not found:
        raise ValueError('is not a valid duration, e.g. "1s", "5m" or "2h"')
    seconds = float(found[1]) * _UNITS[found[2]]
    if seconds > LONGEST.total_seconds():
        raise ValueError(f"is longer than {LONGEST.days}d")
    return timedelta(seconds=seconds)


def _positive(value: timedelta) -> timedelta:
    if value <= timedelta(0):
        raise ValueError("must be more than nothing")
    return value


def at_most(longest: str) -> AfterValidator:
    """Refuse a duration that is longer."""
    limit = _duration(longest)
    assert isinstance(limit, timedelta)  # noqa: S101  # narrows the type

    def check(value: timedelta) -> timedelta:
        if value > limit:
            raise ValueError(f"is longer than {longest}")
        return value

    return AfterValidator(check)


def _rate(value: object) -> object:
    if value == "unlimited":
        return None
    found = re.fullmatch(
        r"([0-9]{1,15}(?:\.[0-9]{1,15})?)\s*/\s*(s|m|h)", str(value).strip(BLANKS)
    )
    if not found or float(found[1]) == 0:
        raise ValueError('is not a valid rate, e.g. "50/s" or "unlimited"')
    rate = float(found[1]) / _UNITS[found[2]]
    if rate < 1 / _UNITS["h"]:
        raise ValueError("is less than 1/h; `syncd pause` stops sending")
    return rate


def _dsn(value: str) -> str:
    if fault := dsn_fault(value):
        raise ValueError(fault)
    return value


def _name(value: str) -> str:
    """Refuse what is no name of a file, a channel and a connection at once."""
    if not re.fullmatch(r"[A-Za-z0-9_.-]*", value):
        raise ValueError('has other characters than letters, digits and "_.-"')
    if not 0 < len(value) <= LONGEST_NAME:
        raise ValueError(f"has {len(value)} characters; 1 to {LONGEST_NAME} are good")
    return value


def _view(value: str) -> str:
    """Take a name as SQL writes it; one that SQL would fold is refused, not guessed."""
    name = SqlName.parse(value)
    if name is None or any(part not in value for part in name.parts):
        raise ValueError(
            "is no view's name: schema.name, in lower case, or as in SQL in double "
            "quotes"
        )
    return str(name)


def _header(value: str) -> str:
    if fault := header_character(value):
        raise ValueError(f"{fault}, which no HTTP header may have")
    if not value:
        raise ValueError("is empty")
    return value


def _zone(value: str) -> str:
    try:
        ZoneInfo(value or "-")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError('is not a valid time zone, e.g. "Europe/Amsterdam"') from None
    return value


def _endpoint(value: str) -> str:
    """Refuse an address that cannot be asked, and one with a login: it is shown."""
    if fault := address_character(value):
        hint = "a host's name in other letters is written as xn--…, a path as %XX"
        raise ValueError(f"{fault}; {hint}")
    url = urlsplit(value)
    if "@" in url.netloc:
        raise ValueError("holds a login, which would be shown; take it out")
    if url.scheme not in {"http", "https"} or not url.hostname:
        raise ValueError("must begin with https:// and a host")
    if url.port == 0:
        raise ValueError("has a port that is no number from 1 to 65535")
    if not _is_host(url, url.hostname):
        raise ValueError("has a host that is no host name")
    if bad_escape(value) or "#" in value or set("[]") & set(url.path + url.query):
        raise ValueError("has a path or query that is not escaped")
    return value


def _is_host(url: SplitResult, host: str) -> bool:
    if "[" in url.netloc:
        try:
            return IPv6Address(host).scope_id is None
        except AddressValueError:
            return False
    return is_host_name(host)


def _path(value: Path) -> Path:
    if fault := odd_character(str(value)):
        raise ValueError(fault)
    return value


Text = Annotated[str, BeforeValidator(_text)]
Dsn = Annotated[str, AfterValidator(_dsn)]
Duration = Annotated[timedelta, BeforeValidator(_duration)]
Span = Annotated[Duration, AfterValidator(_positive)]
"""A duration that is not nothing."""
Rate = Annotated[float | None, BeforeValidator(_rate)]
Name = Annotated[Text, AfterValidator(_name)]
ViewName = Annotated[Text, AfterValidator(_view)]
HeaderText = Annotated[Text, AfterValidator(_header)]
Endpoint = Annotated[Text, AfterValidator(_endpoint)]
Zone = Annotated[Text, AfterValidator(_zone)]
File = Annotated[Path, BeforeValidator(_text), AfterValidator(_path)]
