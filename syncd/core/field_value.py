"""Values of an event's fields: each in the vendor's form, or refused with the reason.

Every rule takes what a view may give, trimmed, and returns what is sent. Raises
`InvalidError` with a phrase that begins with a verb; the caller has the field's name.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from decimal import Decimal, InvalidOperation
from typing import TypeGuard
from zoneinfo import ZoneInfo

from syncd.core import amount, event_text
from syncd.core.amount import MAX_AMOUNT


def is_array(value: object) -> TypeGuard[list[object]]:
    """Return whether a JSON value is an array."""
    return isinstance(value, list)


def is_object(value: object) -> TypeGuard[dict[str, object]]:
    """Return whether a JSON value is an object."""
    return isinstance(value, dict)


_EMAIL = re.compile(r"[^@\s\x00-\x1f\x7f]+@[^@\s\x00-\x1f\x7f]+\.[^@\s\x00-\x1f\x7f]+")
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class InvalidError(Exception):
    """Carries what is wrong with a value; never leaves `core`."""


def is_email(address: str) -> bool:
    """Whether a text has the form of an email address."""
    return _EMAIL.fullmatch(address) is not None


def is_person(address: str) -> bool:
    """Whether a text may stand for a person: an email address, or its hash."""
    return is_email(address) or _SHA256.fullmatch(address) is not None


def as_text(value: object) -> str:
    """Return a text, or a number's digits, of at most `MAX_TEXT` characters."""
    if not isinstance(value, str | int | Decimal) or isinstance(value, bool):
        raise InvalidError("is not a text")
    try:
        written = str(value)
        written.encode()
    except ValueError:  # half a surrogate pair, or thousands of digits
        raise InvalidError("is not a usable text") from None
    if len(written) > event_text.MAX_TEXT:
        raise InvalidError(f"has more than {event_text.MAX_TEXT} characters")
    return written


def as_identifier(value: object) -> str:
    """Return a text that a person can read and type."""
    written = as_text(value)
    if _CONTROL.search(written):
        raise InvalidError("holds control characters")
    return written


def as_email(value: object) -> str:
    """Return an address or its hash, unchanged."""
    email = as_text(value)
    if not is_person(email):
        raise InvalidError("is not an address like name@example.com")
    return email


def as_quantity(value: object) -> int:
    """Return a whole number, at least 1; nothing is rounded."""
    number = amount.number_of(value)
    if number is None or number < 1 or number != number.to_integral_value():
        raise InvalidError("is not a whole number of at least 1")
    return int(number)


def as_total(value: object, digits: int) -> int | Decimal:
    """Return an order's total, rounded to so many digits after the point."""
    return amount.total(_paid(value), digits)


def as_price(value: object, quantity: int, digits: int) -> int | Decimal:
    """Return a unit price in the digits that `quantity` of them need."""
    return amount.price(_paid(value), quantity, digits)


def _paid(value: object) -> Decimal:
    paid = _number(value)
    if paid < 0:
        raise InvalidError("is negative")
    return paid


def _number(value: object) -> Decimal:
    number = amount.number_of(value)
    if number is None:
        raise InvalidError("is not a usable number")
    return number


def as_currency(value: object) -> str:
    """Return an ISO 4217 code in capitals."""
    code = event_text.currency_code(value) if isinstance(value, str) else None
    if code is None:
        raise InvalidError("is not three letters like EUR")
    return code


def as_language(value: object) -> str:
    """Return a language's code like `nl-NL`, made of whatever locale names it."""
    code = event_text.language_code(value) if isinstance(value, str) else None
    if code is None:
        raise InvalidError("is not a language code like nl-NL")
    return code


def in_form(name: str) -> Callable[[object], str]:
    """Return the rule of a text field: its documented form, or any text."""

    def rule(value: object) -> str:
        written = event_text.in_form(name, as_text(value))
        if written is None:
            raise InvalidError(f"is not {event_text.form_of(name)}")
        return written

    return rule


def as_custom(value: object) -> object:
    """Return a text, a truth value, or a number with all of its digits."""
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return amount.custom(_number(value))
    return value if isinstance(value, bool) else as_text(value)


def as_categories(value: object) -> list[str]:
    """Return a list of texts, in the order given."""
    if not is_array(value):
        raise InvalidError("is not a JSON array")
    return [event_text.trimmed(as_text(one)) for one in value]


VENDOR_ZONE = ZoneInfo("Europe/Amsterdam")
"""The zone in which Squeezely reads and shows times (documented as "CET")."""


def vendor_time(value: object, zone: tzinfo, now: datetime) -> str:
    """Write a time as ATOM does: local to the vendor, whole seconds, numeric offset.

    Right when the API honours the offset, and still right when it ignores it. A time
    that is still to come is written as `now`.

    Raises:
        ValueError: The value is no time.
    """
    try:
        moment = min(_moment(value, zone).astimezone(UTC), now)
        return moment.astimezone(VENDOR_ZONE).isoformat(timespec="seconds")
    except (OverflowError, OSError, InvalidOperation) as error:
        raise ValueError(value) from error


def _moment(value: object, zone: tzinfo) -> datetime:
    if isinstance(value, datetime):
        moment = value
    elif isinstance(value, str):
        moment = datetime.fromisoformat(value)
    elif isinstance(value, int | Decimal) and not isinstance(value, bool):
        seconds = Decimal(value)
        if seconds.copy_abs() > MAX_AMOUNT:  # int() of 1E+999999 takes minutes
            raise OverflowError
        moment = datetime.fromtimestamp(int(seconds), UTC)
    else:
        raise ValueError(value)  # noqa: TRY004  # the caller reads one kind
    return moment if moment.tzinfo else moment.replace(tzinfo=zone)
