"""The event of a plain row, made quickly: read, checked and written as typed values.

A row is plain when each field has the form that most shops give it, and nothing about
it needs a word. Every other row is left to `core.event`, which has the messages.
The invariant: what is made here is the event that is made there (ADR-0020).
"""

from collections.abc import Collection
from datetime import datetime
from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import Meta, Struct

from syncd.core.event import Event, EventRules
from syncd.core.event_text import (
    FORMED,
    INVISIBLE,
    MAX_TEXT,
    in_form,
    is_currency,
    is_language,
)
from syncd.core.field_value import is_person, vendor_time

Text: TypeAlias = Annotated[str, Meta(max_length=MAX_TEXT)]
Name: TypeAlias = Text | int  # a number stands for its digits
MAX_AMOUNT = 10**12
_PAID = Meta(ge=0, le=MAX_AMOUNT)
_COUNTED = Meta(ge=1, le=MAX_AMOUNT)
_ANY = Meta(ge=-MAX_AMOUNT, le=MAX_AMOUNT)
Amount: TypeAlias = Annotated[int, _PAID] | Annotated[float, _PAID]
Count: TypeAlias = Annotated[int, _COUNTED] | Annotated[float, _COUNTED]
Custom: TypeAlias = bool | Annotated[int, _ANY] | Annotated[float, _ANY] | Text | None

_NEEDED = frozenset({"email", "orderid", "id"})
_NAMES = ("userid", "phone", "postcode", "mobile_advertiser_ID")
_FREE = ("firstname", "lastname", "city", "sqzly_cookie", *_NAMES)
"""Fields that hold any text."""


class NeedsFullCheckError(Exception):
    """A row needs a longer look; never leaves this module."""


class ProductLine(Struct, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """A product of an order."""

    id: Name
    quantity: Count
    name: Text | None = None
    price: Amount | None = None
    language: Text | None = None
    category_ids: list[Text] | None = None


class OrderRow(
    Struct, tag_field="event", tag="Purchase", omit_defaults=True, kw_only=True
):
    """A row's columns about the order itself; other columns are ignored."""

    email: Text
    orderid: Name
    timestamp: Text | None = None
    currency: Text | None = None
    totalvalue: Amount | None = None
    products: Annotated[list[ProductLine], Meta(min_length=1)]


class ProfileRow(OrderRow, kw_only=True):
    """A row's columns about the customer too; `custom_…` come with the view."""

    language: Text | None = None
    userid: Name | None = None
    firstname: Text | None = None
    lastname: Text | None = None
    gender: Text | None = None
    birthdate: Text | None = None
    phone: Name | None = None
    postcode: Name | None = None
    city: Text | None = None
    country: Text | None = None
    newsletter: Text | None = None
    service: Text | None = None
    marketing: Text | None = None
    mobile_advertiser_ID: Name | None = None  # noqa: N815  # the vendor's spelling
    checkin_date: Text | None = None
    checkout_date: Text | None = None
    sqzly_cookie: Text | None = None


# Here and now, by one thread: a second one that makes a reader of the same type at the
# same time gets it half made, and the process dies of it (msgspec 0.22).
_READERS = {kind: msgspec.json.Decoder(kind) for kind in (OrderRow, ProfileRow)}


class FastRenderer:
    """Makes the events of plain rows of one view.

    Args:
        columns: The view's; those that are no field are passed over.
        rules: The shop's own demands.
        with_profile: Whether events hold what describes the customer too.
    """

    def __init__(
        self, columns: Collection[str], rules: EventRules, *, with_profile: bool
    ) -> None:
        self._rules = rules
        self._customs = sorted(c for c in columns if c.startswith("custom_"))
        self._names = [name for name in _NAMES if name in columns]
        self._free = [name for name in _FREE if name in columns] + self._customs
        self._formed = [name for name in FORMED if name in columns]
        self._reader: msgspec.json.Decoder[Any] = (
            _reader_of(self._customs) if with_profile else _READERS[OrderRow]
        )
        self._encoder = msgspec.json.Encoder()

    def purchase(
        self, text: str, confirmed_at: datetime, now: datetime
    ) -> Event | None:
        """Make the event of a row; None when the row is not plain.

        Args:
            text: The row as JSON.
            confirmed_at: As for `core.purchase.render`.
            now: As there.
        """
        try:
            row = self._reader.decode(text)
            if '""' in text:
                _leave_out_empty(row)
            self._check(row)
            row.timestamp = vendor_time(
                confirmed_at if row.timestamp is None else row.timestamp,
                self._rules.zone,
                now,
            )
        except (msgspec.DecodeError, NeedsFullCheckError, ValueError):
            return None
        return Event(str(row.orderid), self._encoder.encode(row))

    def _check(self, row: OrderRow) -> None:
        row.orderid = _identifier(row.orderid)
        _refuse_untrimmed(row.email)
        if not is_person(row.email):
            raise NeedsFullCheckError
        if type(row.totalvalue) is float:
            row.totalvalue = _cents(row.totalvalue)
        if row.currency is None:
            if self._rules.require_currency:
                raise NeedsFullCheckError
        elif not is_currency(row.currency):
            raise NeedsFullCheckError
        if isinstance(row, ProfileRow):
            self._check_profile(row)
        self._check_lines(row.products)

    def _check_profile(self, row: ProfileRow) -> None:
        if row.language is not None and not is_language(row.language):
            raise NeedsFullCheckError
        self._check_texts(row)
        for name in self._customs:
            value = getattr(row, name)
            if type(value) is float:
                setattr(row, name, _cents(value))

    def _check_texts(self, row: ProfileRow) -> None:
        for name in self._names:
            value = getattr(row, name)
            if type(value) is int:
                setattr(row, name, str(value))
        for name in self._formed:
            value = getattr(row, name)
            if value is not None and in_form(name, value) != value:
                raise NeedsFullCheckError
        for name in self._free:
            _refuse_untrimmed(getattr(row, name))

    def _check_lines(self, lines: list[ProductLine]) -> None:
        needs_language = self._rules.require_language
        for line in lines:
            line.id = _identifier(line.id)
            _refuse_untrimmed(line.name)
            for category in line.category_ids or ():
                _refuse_untrimmed(category)
            if type(line.quantity) is float:
                line.quantity = _whole(line.quantity)
            if type(line.price) is float:
                line.price = _cents(line.price)
            if line.language is not None:
                if not is_language(line.language):
                    raise NeedsFullCheckError
            elif needs_language:
                raise NeedsFullCheckError


def _reader_of(names: list[str]) -> msgspec.json.Decoder[Any]:
    if not names:
        return _READERS[ProfileRow]
    fields = [(name, Custom, None) for name in names]
    made = msgspec.defstruct("CustomRow", fields, bases=(ProfileRow,))
    return msgspec.json.Decoder(made)


def _leave_out_empty(row: OrderRow) -> None:
    """Treat an empty text as unknown, where a field may be."""
    for part in (row, *row.products):
        for name in part.__struct_fields__:
            if getattr(part, name) == "" and name not in _NEEDED:
                setattr(part, name, None)


def _identifier(value: str | int) -> str:
    """Take a number's digits, or a text that anybody can read."""
    text = str(value)
    if not (text.isascii() and text.isprintable() and text == text.strip() != ""):
        raise NeedsFullCheckError
    return text


def _refuse_untrimmed(value: object) -> None:
    if type(value) is str and value and {value[0], value[-1]} & INVISIBLE:
        raise NeedsFullCheckError


def _cents(value: float) -> float:
    """Take an amount of whole cents; of whole units as int.

    A float within the bound distinguishes each cent, and is written as it was.
    """
    if value.is_integer():
        return int(value)
    if round(value, 2) != value:
        raise NeedsFullCheckError
    return value


def _whole(value: float) -> int:
    if not value.is_integer():
        raise NeedsFullCheckError
    return int(value)
