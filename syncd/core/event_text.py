"""Texts of an event in the vendor's forms: trimmed, codes as they are documented.

Source: docs/squeezely.md names the forms; ADR-0029 has what is written differently
and what is left out.
"""

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import date
from functools import lru_cache

MAX_TEXT = 1_000
"""Characters that a text field may have; the vendor documents no bound."""

TEXT_FIELDS = frozenset(
    {
        "userid",
        "firstname",
        "lastname",
        "gender",
        "birthdate",
        "phone",
        "postcode",
        "city",
        "country",
        "newsletter",
        "service",
        "marketing",
        "mobile_advertiser_ID",
        "checkin_date",
        "checkout_date",
        "sqzly_cookie",
    }
)
"""Fields of an event that describe the customer, in a text."""

BLANKS = (
    "".join(map(chr, range(0x21)))
    + "".join(map(chr, range(0x7F, 0xA1)))
    + "\u00ad\u034f\u061c\u115f\u1160\u1680\u180e"
    + "".join(map(chr, range(0x2000, 0x2010)))
    + "".join(map(chr, range(0x2028, 0x2030)))
    + "\u205f"
    + "".join(map(chr, range(0x2060, 0x2070)))
    + "\u2800\u3000\u3164\ufeff\uffa0\ufff9\ufffa\ufffb"
)
"""Invisible characters: blanks, controls, joiners, fillers, direction marks."""

INVISIBLE = frozenset(BLANKS)

_CURRENCY = re.compile(r"[A-Z]{3}")
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z]{2})?")
_LOCALE = re.compile(
    r"(?P<language>[A-Za-z]{2,3})([-_][A-Za-z]{4})?([-_](?P<region>[A-Za-z]{2}))?"
    r"([.@][\w.@-]*)?",
    re.ASCII,
)
_COUNTRY = re.compile(r"[A-Z]{2}")
_GENDERS = frozenset({"M", "F", "U", "male", "female", "unknown"})
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_DAY_FIRST = re.compile(r"(\d{2})-(\d{2})-(\d{4})", re.ASCII)


def trimmed(text: str) -> str:
    """Return a text without blanks and invisible characters at its ends."""
    return text.strip(BLANKS)


@lru_cache(1000)
def currency_code(text: str) -> str | None:
    """Return an ISO 4217 code in capitals; None for what has not its form."""
    code = text.upper()
    return code if text.isascii() and _CURRENCY.fullmatch(code) else None


@lru_cache(1000)
def language_code(text: str) -> str | None:
    """Return a language, with its country if it names one, like `nl` or `nl-NL`.

    What has that form already is not touched: it may be what the front end sends.

    A locale's underscore, script, encoding and modifier are left away (`nl_NL.UTF-8`,
    `zh-Hans-CN`); None for what names a region that is no country (`es-419`).
    """
    if is_language(text):
        return text
    found = _LOCALE.fullmatch(text)
    if found is None:
        return None
    language, region = found["language"].lower(), found["region"]
    return f"{language}-{region.upper()}" if region else language


@lru_cache(1000)
def is_language(text: str) -> bool:
    """Whether a text is a language's code as it is sent."""
    return _LANGUAGE.fullmatch(text) is not None


def is_currency(text: str) -> bool:
    """Whether a text is a currency's code as it is sent."""
    return _CURRENCY.fullmatch(text) is not None


def _country(text: str) -> str | None:
    code = text.upper()
    return code if text.isascii() and _COUNTRY.fullmatch(code) else None


def _gender(text: str) -> str | None:
    code = text.upper() if len(text) == 1 else text.lower()
    return code if code in _GENDERS else None


def _consent(text: str) -> str | None:
    word = text.lower()
    return word if word in {"yes", "no"} else None


def _is_day(text: str) -> bool:
    with suppress(ValueError):
        return _DATE.fullmatch(text) is not None and bool(date.fromisoformat(text))
    return False


def _birthdate(text: str) -> str | None:
    day_first = _DAY_FIRST.fullmatch(text)
    written = "-".join(reversed(day_first.groups())) if day_first else text
    return text if _is_day(written) else None


def _day(text: str) -> str | None:
    return text if _is_day(text) else None


_FORMS: Mapping[str, tuple[Callable[[str], str | None], str]] = {
    "country": (_country, "two letters like NL"),
    "gender": (_gender, "M, F or U"),
    "birthdate": (_birthdate, "a date like 1980-12-31"),
    "newsletter": (_consent, "yes or no"),
    "service": (_consent, "yes or no"),
    "marketing": (_consent, "yes or no"),
    "checkin_date": (_day, "a date like 2026-12-31"),
    "checkout_date": (_day, "a date like 2026-12-31"),
}

FORMED = frozenset(_FORMS)
"""Fields that have a form of their own."""


def in_form(name: str, text: str) -> str | None:
    """Return a field's text in its documented form; None when it cannot have it."""
    if name not in _FORMS:
        return text
    return _FORMS[name][0](text)


def form_of(name: str) -> str:
    """Name the form that a field of `FORMED` has, in words for a shop owner."""
    return _FORMS[name][1]
