"""The Purchase event of one order: whole and valid, or not sent at all.

A row of the `purchases` view becomes an event, or a reason that a shop owner
understands. Field names and forms follow Squeezely's documentation as far as it
is known (ADR-0004).
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from typing import NamedTuple, TypeVar, cast

import msgspec

from syncd.core import field_value
from syncd.core.amount import digits_of
from syncd.core.event_text import TEXT_FIELDS, trimmed
from syncd.core.field_value import InvalidError, is_array, is_object, vendor_time
from syncd.core.several_rows import DIFFERS, differing

OWN_FIELDS = frozenset(
    {"orderid", "email", "currency", "totalvalue", "language", "products", "timestamp"}
)
ORDER_FIELDS = OWN_FIELDS - {"language"}
"""Fields of an old order that do not change today's profile (ADR-0012)."""

NEEDED = frozenset({"orderid", "email", "products"})

PRODUCT_FIELDS = frozenset(
    {"id", "name", "price", "quantity", "language", "category_ids"}
)

_ENCODER = msgspec.json.Encoder(decimal_format="number")
_DECODER = msgspec.json.Decoder(dict[str, object], float_hook=Decimal)

_NAME = re.compile(r"[A-Za-z_]{1,40}")
_LINE = "products."

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class EventRules:
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


class LeftOut(NamedTuple):
    """A detail that is not sent with its order, and why, in words for a shop owner.

    Attributes:
        field: Its name; a product's begin with `products.`, whichever line it was in.
        reason: Begins with a verb: the field "is negative".
    """

    field: str
    reason: str


@dataclass(frozen=True, slots=True)
class Event:
    """An event that may be sent, as the JSON that is sent of it.

    Attributes:
        left_out: Details that the view gives in a form that cannot be sent; in the
            view's order, most often empty.
    """

    orderid: str
    body: bytes
    left_out: Sequence[LeftOut] = ()

    @classmethod
    def of(
        cls, event: Mapping[str, object], left_out: Sequence[LeftOut] = ()
    ) -> "Event":
        """Write an event; it holds only what JSON can carry, and an `orderid`."""
        return cls(str(event["orderid"]), _ENCODER.encode(event), tuple(left_out))

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
class Incomplete:
    """What the order still lacks and may get from a later transaction."""

    reason: str
    orderid: str | None = None


class _RejectedError(Exception):
    """Carries the whole reason from a required field to `render`."""


class _MissingError(_RejectedError):
    """A required field is absent, which time may cure."""


def unknown_fields(columns: Iterable[str]) -> list[str]:
    """Return which columns of `purchases` are no field of Squeezely's, sorted."""
    known = OWN_FIELDS | TEXT_FIELDS | {"order_key"}
    return sorted(c for c in columns if c not in known and not c.startswith("custom_"))


def without_profile(row: Mapping[str, object]) -> dict[str, object]:
    """Leave of a row what belongs to the order alone."""
    return {name: value for name, value in row.items() if name in ORDER_FIELDS}


def render(
    row: Mapping[str, object], confirmed_at: datetime, rules: EventRules, now: datetime
) -> Event | Rejection | Incomplete:
    """Make the event of an order from its row in `purchases`.

    What the vendor needs (`email`, `orderid`, `products` with id and quantity) and what
    the rules ask for must be right; any other field of a wrong form is left out of the
    event, which has it. Texts are sent without blanks at their ends.

    Args:
        row: Columns by name; numbers are int or Decimal, `products` a list.
            Absent, None and blank text all mean "unknown" and are left out, and so
            are columns that are no field (`unknown_fields` names them).
        confirmed_at: Aware; the event's time unless the row has `timestamp`.
        rules: The shop's own demands.
        now: Aware; a later time is sent as this one (clocks of shops run ahead).
    """
    given = _known(row)
    unsure = {name: given.pop(name) for name in differing(given)}
    if needed := sorted(unsure.keys() & NEEDED):
        return Rejection(f"{needed[0]} {DIFFERS}")
    orderid = None
    try:
        orderid = _required(
            "orderid", field_value.as_identifier, given.pop("orderid", None)
        )
        rendering = _Rendering(rules, now, [LeftOut(n, DIFFERS) for n in unsure])
        event = rendering.event(orderid, given, confirmed_at)
        return Event.of(event, rendering.left_out)
    except _MissingError as missing:
        return Incomplete(str(missing), orderid)
    except _RejectedError as rejected:
        return Rejection(str(rejected), orderid)


def _known(given: Mapping[str, object]) -> dict[str, object]:
    """Trim texts; leave away what is unknown."""
    named = {k: trimmed(v) if isinstance(v, str) else v for k, v in given.items()}
    return {k: v for k, v in named.items() if v is not None and v != ""}


def _required(name: str, make: Callable[[object], Value], value: object) -> Value:
    if value is None:
        raise _MissingError(f"{name} is missing")
    try:
        return make(value)
    except InvalidError as invalid:
        raise _RejectedError(f"{name} {invalid}") from None


@dataclass(slots=True)
class _Rendering:
    """One order on its way to its event; collects what is left out."""

    rules: EventRules
    now: datetime
    left_out: list[LeftOut] = field(default_factory=list)

    def event(
        self, orderid: str, given: dict[str, object], confirmed_at: datetime
    ) -> dict[str, object]:
        event: dict[str, object] = {
            "event": "Purchase",
            "email": _required("email", field_value.as_email, given.pop("email", None)),
            "orderid": orderid,
            "timestamp": self._timestamp(given.pop("timestamp", None), confirmed_at),
        }
        products = given.pop("products", None)
        currency = self._currency(given)
        digits = digits_of(currency)
        event |= {"currency": currency} if currency else {}
        self._put(event, "language", field_value.as_language, given)
        self._put(event, "totalvalue", lambda v: field_value.as_total(v, digits), given)
        for name in given:
            if name in TEXT_FIELDS:
                self._put(event, name, field_value.in_form(name), given)
            elif name.startswith("custom_"):
                self._put(event, name, field_value.as_custom, given)
        event["products"] = self._products(products, digits)
        return event

    def _put(
        self,
        into: dict[str, object],
        name: str,
        make: Callable[[object], object],
        given: Mapping[str, object],
        within: str = "",
    ) -> None:
        """Put an optional field into an object, or note why it is left out."""
        if name not in given:
            return
        try:
            into[name] = make(given[name])
        except InvalidError as invalid:
            self.left_out.append(LeftOut(within + name, str(invalid)))

    def _timestamp(self, value: object, confirmed_at: datetime) -> str:
        zone = self.rules.zone
        if value is not None:
            try:
                return vendor_time(value, zone, self.now)
            except ValueError:
                reason = "is not a time like 2026-11-20T14:03:07+01:00"
                self.left_out.append(LeftOut("timestamp", reason))
        try:
            return vendor_time(confirmed_at, zone, self.now)
        except ValueError:
            raise _RejectedError("confirmed_at is not a usable time") from None

    def _currency(self, given: Mapping[str, object]) -> str | None:
        found: dict[str, object] = {}
        if self.rules.require_currency:
            value = given.get("currency")
            if value is None:
                raise _RejectedError("currency is missing (require_currency is on)")
            return _required("currency", field_value.as_currency, value)
        self._put(found, "currency", field_value.as_currency, given)
        return cast("str | None", found.get("currency"))

    def _products(self, value: object, digits: int) -> list[dict[str, object]]:
        if value is None or value == []:
            raise _MissingError("there are no products")
        if not is_array(value):
            raise _RejectedError("products is not a JSON array")
        return [
            self._product(f"products[{n}]", line, digits)
            for n, line in enumerate(value)
        ]

    def _product(self, where: str, value: object, digits: int) -> dict[str, object]:
        if not is_object(value):
            raise _RejectedError(f"{where} is not a JSON object")
        given = _known(value)
        if "id" not in given:
            raise _RejectedError(f"{where} has no id (the SKU)")
        if "quantity" not in given:
            raise _RejectedError(f"{where}.quantity is missing")
        sku = _required(f"{where}.id", field_value.as_identifier, given["id"])
        quantity = _required(
            f"{where}.quantity", field_value.as_quantity, given["quantity"]
        )
        line: dict[str, object] = {"id": sku}
        self._put(line, "name", field_value.as_text, given, _LINE)
        line["quantity"] = quantity
        self._put(
            line,
            "price",
            lambda v: field_value.as_price(v, quantity, digits),
            given,
            _LINE,
        )
        self._put(line, "language", field_value.as_language, given, _LINE)
        self._put(line, "category_ids", field_value.as_categories, given, _LINE)
        if self.rules.require_language and "language" not in line:
            what = "no usable language" if "language" in given else "no language"
            raise _RejectedError(f"a product has {what} (require_language is on)")
        self._note_unknown(given)
        return line

    def _note_unknown(self, given: Mapping[str, object]) -> None:
        for name in sorted(given.keys() - PRODUCT_FIELDS):
            named = name if _NAME.fullmatch(name) else "(another key)"
            self.left_out.append(LeftOut(_LINE + named, "is no field of a product"))
