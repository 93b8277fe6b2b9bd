"""The Purchase event of one order: whole and valid, or not sent at all.

A row of the `purchases` view becomes an event, or a reason that a shop owner
understands. Field names and forms follow Squeezely's documentation as far as it
is known (ADR-0004).
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from functools import lru_cache
from typing import cast
from zoneinfo import ZoneInfo

import msgspec

VENDOR_ZONE = ZoneInfo("Europe/Amsterdam")
"""The zone in which Squeezely reads and shows times (documented as "CET")."""

MAX_TEXT = 1_000
"""Characters that a text field may have; the vendor documents no bound."""

MAX_AMOUNT = Decimal(10) ** 12
CENT = Decimal("0.01")

TEXT_FIELDS = frozenset(
    {
        "firstname",
        "lastname",
        "gender",
        "birthdate",
        "phone",
        "postcode",
        "city",
        "country",
        "userid",
        "newsletter",
        "service",
        "marketing",
        "mobile_advertiser_ID",
        "checkin_date",
        "checkout_date",
        "sqzly_cookie",
    }
)
OWN_FIELDS = frozenset(
    {"orderid", "email", "currency", "totalvalue", "language", "products", "timestamp"}
)
ORDER_FIELDS = OWN_FIELDS - {"language"}
"""What an old order may say without changing what the profile says today (ADR-0012)."""

PRODUCT_FIELDS = frozenset(
    {"id", "name", "price", "quantity", "language", "category_ids"}
)

_ENCODER = msgspec.json.Encoder(decimal_format="number")
_DECODER = msgspec.json.Decoder(dict[str, object], float_hook=Decimal)

_EMAIL = re.compile(r"[^@\s\x00-\x1f\x7f]+@[^@\s\x00-\x1f\x7f]+\.[^@\s\x00-\x1f\x7f]+")
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_NAME = re.compile(r"[A-Za-z_]{1,40}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z]{2})?")
_FORMS = {
    "country": (re.compile(r"[A-Z]{2}"), "two capital letters like NL"),
    "gender": (re.compile(r"M|F|U|male|female|unknown"), "M, F or U"),
    "birthdate": (
        re.compile(r"\d{4}-\d{2}-\d{2}|\d{2}-\d{2}-\d{4}"),
        "a date like 1980-12-31",
    ),
    "newsletter": (re.compile(r"yes|no"), "yes or no"),
    "service": (re.compile(r"yes|no"), "yes or no"),
    "marketing": (re.compile(r"yes|no"), "yes or no"),
}


@dataclass(frozen=True, slots=True)
class Rules:
    """What a shop asks of its events beyond the minimum.

    Attributes:
        require_language: Refuse an order whose products do not all name their
            language (shops with several; the vendor reads it per product).
        require_currency: Refuse an order without a currency (shops with several).
        zone: Zone of times that the view gives without one.
    """

    require_language: bool = False
    require_currency: bool = False
    zone: tzinfo = UTC


@dataclass(frozen=True, slots=True)
class Purchase:
    """An event that may be sent, as the JSON that is sent of it."""

    orderid: str
    body: bytes

    @classmethod
    def of(cls, event: Mapping[str, object]) -> "Purchase":
        """Write an event; it holds only what JSON can carry, and an `orderid`."""
        return cls(cast("str", event["orderid"]), _ENCODER.encode(event))

    @property
    def event(self) -> dict[str, object]:
        """Read the event; its numbers are int or Decimal."""
        return _DECODER.decode(self.body)


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why this order cannot be sent, in words for a shop owner."""

    reason: str
    orderid: str | None = None


@dataclass(frozen=True, slots=True)
class NotReady:
    """What the order still lacks and may get from a later transaction."""

    reason: str
    orderid: str | None = None


class _InvalidError(Exception):
    """Carries a reason from a field's rule to `render`; never leaves this module."""


class _MissingError(_InvalidError):
    """The field is absent, which time may cure."""


def unknown_fields(columns: Iterable[str]) -> list[str]:
    """Tell which columns of `purchases` are no field of Squeezely's, sorted."""
    known = OWN_FIELDS | TEXT_FIELDS | {"order_key"}
    return sorted(c for c in columns if c not in known and not c.startswith("custom_"))


def without_profile(row: Mapping[str, object]) -> dict[str, object]:
    """Leave of a row what belongs to the order alone."""
    return {name: value for name, value in row.items() if name in ORDER_FIELDS}


def render(
    row: Mapping[str, object], confirmed_at: datetime, rules: Rules, now: datetime
) -> Purchase | Rejection | NotReady:
    """Make the event of an order from its row in `purchases`.

    Args:
        row: Columns by name; numbers are int or Decimal, `products` a list.
            Absent, None and empty text all mean "unknown" and are left out, and so
            are columns that are no field (`unknown_fields` names them).
        confirmed_at: Aware; the event's time unless the row has `timestamp`.
        rules: The shop's own demands.
        now: Aware; a later time is sent as this one (clocks of shops run ahead).
    """
    given = {k: v for k, v in row.items() if v is not None and v != ""}
    orderid = None
    try:
        orderid = _identifier("orderid", given.pop("orderid", None))
        return Purchase.of(_event(orderid, given, confirmed_at, rules, now))
    except _MissingError as missing:
        return NotReady(str(missing), orderid)
    except _InvalidError as invalid:
        return Rejection(str(invalid), orderid)


def _event(
    orderid: str,
    given: dict[str, object],
    confirmed_at: datetime,
    rules: Rules,
    now: datetime,
) -> dict[str, object]:
    event: dict[str, object] = {
        "event": "Purchase",
        "email": _email(given.pop("email", None)),
        "orderid": orderid,
        "timestamp": _timestamp(given.pop("timestamp", confirmed_at), rules.zone, now),
    }
    products = given.pop("products", None)
    event |= _currency(given, rules) | _language(given)
    if "totalvalue" in given:
        event["totalvalue"] = _amount("totalvalue", given.pop("totalvalue"))
    for name, value in given.items():
        if name in TEXT_FIELDS:
            event[name] = _profile(name, value)
        elif name.startswith("custom_"):
            event[name] = _custom(name, value)
    event["products"] = lines = _products(products)
    if rules.require_language and not all("language" in line for line in lines):
        raise _InvalidError("a product has no language (require_language is on)")
    return event


def _identifier(name: str, value: object) -> str:
    if value is None or value == "":
        raise _MissingError(f"{name} is missing")
    text = _text(name, value)
    if not text.strip() or _CONTROL.search(text):
        raise _InvalidError(f"{name} is blank or holds control characters")
    return text


def _text(name: str, value: object) -> str:
    if not isinstance(value, str | int | Decimal) or isinstance(value, bool):
        raise _InvalidError(f"{name} is not a text")
    try:
        text = str(value)
        text.encode()
    except ValueError:  # half a surrogate pair, or thousands of digits
        raise _InvalidError(f"{name} is not a usable text") from None
    if len(text) > MAX_TEXT:
        raise _InvalidError(f"{name} has {len(text)} characters, more than {MAX_TEXT}")
    return text


def is_email(text: str) -> bool:
    """Tell whether a text has the form of an email address."""
    return _EMAIL.fullmatch(text) is not None


def is_person(text: str) -> bool:
    """Tell whether a text may stand for a person: an email address, or its hash."""
    return is_email(text) or _SHA256.fullmatch(text) is not None


def _email(value: object) -> str:
    if value is None:
        raise _MissingError("email is missing")
    email = _text("email", value)
    if not is_person(email):
        raise _InvalidError("email is not an address like name@example.com")
    return email


def _amount(name: str, value: object) -> int | Decimal:
    amount = _number(name, value)
    if amount < 0:
        raise _InvalidError(f"{name} is negative")
    return amount


def _number(name: str, value: object) -> int | Decimal:
    """Round to cents, half away from zero; comparing and quantizing never overflow."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise _InvalidError(f"{name} is not a number")
    amount = Decimal(value)
    if not amount.is_finite() or amount.copy_abs() > MAX_AMOUNT:
        raise _InvalidError(f"{name} is not a usable amount")
    rounded = amount.quantize(CENT, ROUND_HALF_UP)
    is_whole = rounded == rounded.to_integral_value()
    return int(rounded) if is_whole else rounded.normalize()


def _currency(given: dict[str, object], rules: Rules) -> dict[str, object]:
    currency = given.pop("currency", None)
    if currency is None:
        if rules.require_currency:
            raise _InvalidError("currency is missing (require_currency is on)")
        return {}
    if not isinstance(currency, str) or not is_currency(currency):
        raise _InvalidError("currency is not three capital letters like EUR")
    return {"currency": currency}


@lru_cache(1000)
def is_currency(text: str) -> bool:
    """Tell whether a text has the form of a currency's code."""
    return re.fullmatch(r"[A-Z]{3}", text) is not None


@lru_cache(1000)
def is_language(text: str) -> bool:
    """Tell whether a text has the form of a language's code."""
    return _LANGUAGE.fullmatch(text) is not None


def _language(given: dict[str, object]) -> dict[str, object]:
    language = given.pop("language", None)
    return (
        {} if language is None else {"language": _language_code("language", language)}
    )


def _language_code(name: str, value: object) -> str:
    if not isinstance(value, str) or not is_language(value):
        raise _InvalidError(f"{name} is not a language code like nl-NL")
    return value


def has_form(name: str, text: str) -> bool:
    """Tell whether a text has the form that a profile field asks for, if it does."""
    form, _ = _FORMS.get(name, (None, ""))
    return form is None or form.fullmatch(text) is not None


def _profile(name: str, value: object) -> str:
    text = _text(name, value)
    if not has_form(name, text):
        raise _InvalidError(f"{name} is not {_FORMS[name][1]}")
    return text


def _custom(name: str, value: object) -> object:
    if isinstance(value, bool):
        return value
    if isinstance(value, int | Decimal):
        return _number(name, value)
    return _text(name, value)


def _products(value: object) -> list[dict[str, object]]:
    if value is None or value == []:
        raise _MissingError("there are no products")
    if not isinstance(value, list):
        raise _InvalidError("products is not a JSON array")
    lines = cast("list[object]", value)
    return [_product(f"products[{n}]", line) for n, line in enumerate(lines)]


def _product(where: str, value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise _InvalidError(f"{where} is not a JSON object")
    line = cast("dict[str, object]", value)
    given = {k: v for k, v in line.items() if v is not None and v != ""}
    if unknown := given.keys() - PRODUCT_FIELDS:
        name = min(unknown)[:40]
        told = f"{name!r}, which" if _NAME.fullmatch(name) else "a key that"
        raise _InvalidError(f"{where} has {told} is no field of a product")
    if "id" not in given:
        raise _InvalidError(f"{where} has no id (the SKU)")
    product: dict[str, object] = {"id": _identifier(f"{where}.id", given["id"])}
    if "name" in given:
        product["name"] = _text(f"{where}.name", given["name"])
    product["quantity"] = _quantity(f"{where}.quantity", given.get("quantity"))
    if "price" in given:
        product["price"] = _amount(f"{where}.price", given["price"])
    if "language" in given:
        product["language"] = _language_code(f"{where}.language", given["language"])
    if "category_ids" in given:
        product["category_ids"] = _categories(where, given["category_ids"])
    return product


def _quantity(name: str, value: object) -> int:
    if value is None:
        raise _InvalidError(f"{name} is missing")
    amount = _amount(name, value)
    if not isinstance(amount, int) or amount < 1 or amount != value:
        raise _InvalidError(f"{name} is not a whole number of at least 1")
    return amount


def _categories(where: str, value: object) -> list[str]:
    if not isinstance(value, list):
        raise _InvalidError(f"{where}.category_ids is not a JSON array")
    ids = cast("list[object]", value)
    return [_text(f"{where}.category_ids", one) for one in ids]


def _timestamp(value: object, zone: tzinfo, now: datetime) -> str:
    try:
        return vendor_time(value, zone, now)
    except ValueError:
        raise _InvalidError(
            "timestamp is not a time like 2026-11-20T14:03:07+01:00"
        ) from None


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
