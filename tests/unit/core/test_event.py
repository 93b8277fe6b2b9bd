import re
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from syncd.core.amount import MAX_AMOUNT, digits_of
from syncd.core.event import (
    OWN_FIELDS,
    Event,
    EventRules,
    Incomplete,
    LeftOut,
    Rejection,
    render,
    unknown_fields,
)
from syncd.core.event_text import INVISIBLE, MAX_TEXT, TEXT_FIELDS

AMSTERDAM = ZoneInfo("Europe/Amsterdam")
CONFIRMED_AT = datetime(2026, 11, 20, 13, 3, 7, 999_999, tzinfo=UTC)
NOW = datetime(2026, 11, 20, 14, 0, tzinfo=UTC)
TIME = "2026-11-20T14:03:07+01:00"
MEGABYTE = "x" * 1_000_000
ENCODER = msgspec.json.Encoder(decimal_format="number")

Rendered = Event | Rejection | Incomplete


def attempt(rules: EventRules | None = None, /, **columns: object) -> Rendered:
    row: dict[str, object] = {
        "order_key": "17",
        "orderid": "W-100417",
        "email": "maud@example.com",
        "products": [{"id": "KAN-0042", "quantity": 2}],
    }
    return render(row | columns, CONFIRMED_AT, rules or EventRules(), NOW)


def event_of(rules: EventRules | None = None, /, **columns: object) -> Any:  # noqa: ANN401  # JSON
    rendered = attempt(rules, **columns)
    assert isinstance(rendered, Event), rendered
    return rendered.event


def product_of(**keys: object) -> Any:  # noqa: ANN401  # JSON
    (product,) = event_of(products=[{"id": "KAN-0042", "quantity": 2} | keys])[
        "products"
    ]
    return product


def product_refused(**keys: object) -> str:
    rendered = attempt(products=[{"id": "KAN-0042", "quantity": 2} | keys])
    assert isinstance(rendered, Rejection), rendered
    assert "products[0]" in rendered.reason
    return rendered.reason


def refused(rules: EventRules | None = None, /, **columns: object) -> str:
    rendered = attempt(rules, **columns)
    assert isinstance(rendered, Rejection), rendered
    return rendered.reason


def left_out(rules: EventRules | None = None, /, **columns: object) -> list[LeftOut]:
    """Render an order that is sent, and return the details that it omits."""
    rendered = attempt(rules, **columns)
    assert isinstance(rendered, Event), rendered
    for name in {detail.field for detail in rendered.left_out}:
        part = rendered.event
        if name.startswith("products."):
            part = rendered.event["products"][0]  # type: ignore[index]
        assert name.removeprefix("products.") not in part
    return list(rendered.left_out)


def product_left_out(**keys: object) -> list[LeftOut]:
    return left_out(products=[{"id": "KAN-0042", "quantity": 2} | keys])


# The whole event


def test_a_minimal_row_becomes_the_minimal_event() -> None:
    """Event, email, orderid, time and products; the order's key is not sent."""
    assert attempt() == Event.of(
        {
            "event": "Purchase",
            "email": "maud@example.com",
            "orderid": "W-100417",
            "timestamp": TIME,
            "products": [{"id": "KAN-0042", "quantity": 2}],
        },
    )


def test_a_full_row_becomes_the_documented_event() -> None:
    """The example of the contract, value for value, encoded as JSON."""
    event = event_of(
        currency="EUR",
        totalvalue=Decimal("84.85"),
        userid=58213,
        language="nl-NL",
        custom_province="Utrecht",
        products=[
            {
                "id": "KAN-0042",
                "name": "Enamel jug 1 l",
                "price": Decimal("24.95"),
                "quantity": 2,
                "language": "nl-NL",
                "category_ids": ["jugs", 7],
            },
        ],
    )

    assert msgspec.json.decode(ENCODER.encode(event)) == {
        "event": "Purchase",
        "email": "maud@example.com",
        "orderid": "W-100417",
        "timestamp": TIME,
        "currency": "EUR",
        "totalvalue": 84.85,
        "userid": "58213",
        "language": "nl-NL",
        "products": [
            {
                "id": "KAN-0042",
                "name": "Enamel jug 1 l",
                "price": 24.95,
                "quantity": 2,
                "language": "nl-NL",
                "category_ids": ["jugs", "7"],
            },
        ],
        "custom_province": "Utrecht",
    }


@pytest.mark.parametrize("unknown", [None, ""])
def test_unknown_values_are_omitted(unknown: object) -> None:
    """NULL and empty text never overwrite a profile with nothing."""
    columns = (OWN_FIELDS | TEXT_FIELDS | {"custom_x"}) - {"orderid", "email"}
    event = event_of(**dict.fromkeys(columns - {"products"}, unknown))

    assert event == event_of()


def test_an_unknown_value_of_a_product_is_omitted() -> None:
    """A line without a price or a name is sent without them."""
    assert product_of(price=None, name="", category_ids=None, language="") == {
        "id": "KAN-0042",
        "quantity": 2,
    }


def test_a_column_that_is_no_field_is_not_sent() -> None:
    """`check` reports it; it cannot replace the event's name either."""
    assert event_of(event="PrePurchase", created_at="2026", total=1) == event_of()


def test_unknown_fields_are_listed() -> None:
    """Sorted, with exact spelling; fields, custom fields and the key are known."""
    columns = ["zip", "order_key", *OWN_FIELDS, *TEXT_FIELDS, "custom_x", "Email"]

    assert unknown_fields(columns) == ["Email", "zip"]
    assert unknown_fields([]) == []


# Identity: orderid, email


@pytest.mark.parametrize(
    ("given", "sent"),
    [("0007", "0007"), (100417, "100417"), (Decimal(5), "5"), ("Ü-😀/1", "Ü-😀/1")],
)
def test_an_orderid_is_sent_as_text_unchanged(given: object, sent: str) -> None:
    """It must equal the front end's, leading zeros included."""
    rendered = attempt(orderid=given)

    assert isinstance(rendered, Event)
    assert rendered.orderid == rendered.event["orderid"] == sent


@pytest.mark.parametrize("column", ["orderid", "email", "products"])
@pytest.mark.parametrize("missing", [None, "", "absent"])
def test_a_missing_field_may_still_come(column: str, missing: str | None) -> None:
    """A later transaction may add lines or an address: retried, not rejected."""
    row = {"orderid": "W-1", "email": "a@example.com", "products": [{"id": "1"}]}
    row[column] = missing  # type: ignore[assignment]  # a column of any type
    if missing == "absent":
        del row[column]
    rendered = render(row, CONFIRMED_AT, EventRules(), NOW)

    assert isinstance(rendered, Incomplete)
    assert column in rendered.reason
    assert rendered.orderid == (None if column == "orderid" else "W-1")


def test_an_order_without_lines_may_still_get_them() -> None:
    """An aggregate over no lines returns an empty list."""
    assert isinstance(attempt(products=[]), Incomplete)


@pytest.mark.parametrize(
    "orderid",
    ["W\x001", "W\n1", "W\x7f1", True, 1.5, ["W-1"], {"a": 1}, MEGABYTE],
    ids=lambda value: repr(value)[:12].replace("\\", "/"),
)
def test_an_unusable_orderid_is_refused(orderid: object) -> None:
    """An unreadable one merges with nothing; the reason stays short."""
    assert "orderid" in refused(orderid=orderid)
    assert len(refused(orderid=orderid)) < 200


@pytest.mark.parametrize("blank", ["   ", "\u200b", "\ufeff \u00a0", "\x00\t"])
@pytest.mark.parametrize("column", ["orderid", "email"])
def test_a_blank_identity_is_missing(column: str, blank: str) -> None:
    """A blank orderid would merge unrelated orders; it may still come."""
    rendered = attempt(**{column: blank})

    assert isinstance(rendered, Incomplete)
    assert rendered.reason == f"{column} is missing"


@pytest.mark.parametrize(
    "edge", [" ", "\t", "\n", "\u00a0", "\u200b", "\ufeff", "\u2028"]
)
def test_invisible_characters_at_the_ends_of_a_text_are_not_sent(edge: str) -> None:
    """Neither in ids, which identify the front end's purchase, nor in other texts."""
    event = event_of(
        orderid=f"{edge}W-1{edge}",
        email=f"{edge}maud@example.com{edge}",
        firstname=f"{edge}Maud Ann{edge}",
        custom_note=f"{edge}gift{edge}",
        country=f"{edge}NL{edge}",
        currency=f"EUR{edge}",
        products=[
            {
                "id": f"KAN-1{edge}",
                "name": f"{edge}Jug",
                "quantity": 1,
                "language": f"nl-NL{edge}",
                "category_ids": [f"{edge}7"],
            }
        ],
    )
    assert event == event_of(
        orderid="W-1",
        firstname="Maud Ann",
        custom_note="gift",
        country="NL",
        currency="EUR",
        products=[
            {
                "id": "KAN-1",
                "name": "Jug",
                "quantity": 1,
                "language": "nl-NL",
                "category_ids": ["7"],
            }
        ],
    )


def test_every_unicode_space_is_invisible() -> None:
    """Those of `str.isspace`, controls, and characters that join or turn text."""
    named = {chr(c) for c in range(0x3001) if chr(c).isspace()}
    controls = {chr(c) for c in [*range(0x20), *range(0x7F, 0xA0)]}

    assert named | controls | set("\u200b\u200d\u200e\u2060\ufeff\u00ad") <= INVISIBLE
    assert not INVISIBLE & set("aé字😀\ufe0f-_.")


@pytest.mark.parametrize(
    "email",
    [
        "maud@example.com",
        "maud.o'kersten+shop@mail.example.co.uk",
        "jän@müller.example",
        "a" * 64,
        "0123456789abcdefABCDEF" + "0" * 42,
    ],
)
def test_an_address_or_its_sha256_passes_unchanged(email: str) -> None:
    """The vendor documents no normalisation, so there is none."""
    assert event_of(email=email)["email"] == email


@pytest.mark.parametrize(
    "email",
    [
        "maud",
        "maud@example",
        "@example.com",
        "maud@",
        "maud@@example.com",
        "maud kersten@example.com",
        "maud@exam\nple.com",
        "maud@exam\x00ple.com",
        "maud@example.com, piet@example.com",
        "g" * 64,
        "a" * 63,
        "a" * 65,
        17,
        True,
        [],
        f"{MEGABYTE}@example.com",
    ],
    ids=lambda value: repr(value)[:40].replace("\\", "/"),
)
def test_an_unusable_email_is_refused(email: object) -> None:
    """Nothing is invented or repaired; the reason does not repeat the address."""
    reason = refused(email=email)

    assert reason.startswith("email ")
    assert "maud" not in reason


# Texts


@pytest.mark.parametrize(
    "text",
    ["Zoë", "😀 Jansen", "tab\there", "line\nbreak", "nul\x00l", '"quoted\\', "Jan P."],
)
def test_a_name_is_sent_unchanged(text: str) -> None:
    """Emoji and control characters survive the JSON; a tab rejects no order."""
    event = event_of(firstname=text, custom_note=text)
    product = product_of(name=text)

    assert msgspec.json.decode(ENCODER.encode(event))["firstname"] == text
    assert event["custom_note"] == text
    assert product["name"] == text


@pytest.mark.parametrize(
    "value",
    [MEGABYTE, "x" * (MAX_TEXT + 1), 10**5_000, "half \ud83d", True, [], {}, 1.5],
    ids=["1 MB", "long", "digits", "surrogate", "bool", "list", "dict", "float"],
)
def test_an_unusable_text_is_omitted_with_a_short_reason(value: object) -> None:
    """The purchase is sent without it; the reason never contains the value."""
    ((field, reason),) = left_out(lastname=value)
    assert field == "lastname"
    assert len(reason) < 100
    ((field, reason),) = product_left_out(name=value)
    assert field == "products.name"
    assert len(reason) < 100


def test_a_text_of_the_maximal_length_passes() -> None:
    """The limit is inclusive."""
    assert event_of(city="x" * MAX_TEXT)["city"] == "x" * MAX_TEXT


@pytest.mark.parametrize(
    ("field", "given", "sent"),
    [
        ("country", "NL", "NL"),
        ("country", "nl", "NL"),
        ("gender", "F", "F"),
        ("gender", "m", "M"),
        ("gender", "Male", "male"),
        ("birthdate", "1980-12-31", "1980-12-31"),
        ("birthdate", "31-12-1980", "31-12-1980"),
        ("newsletter", "yes", "yes"),
        ("service", "NO", "no"),
        ("marketing", "Yes", "yes"),
        ("checkin_date", "2026-12-31", "2026-12-31"),
    ],
)
def test_a_field_with_a_documented_form_is_converted_to_it(
    field: str, given: str, sent: str
) -> None:
    """Countries, genders, dates and consents are sent only in the vendor's form."""
    assert event_of(**{field: given})[field] == sent


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("country", "NLD"),
        ("country", "Netherlands"),
        ("country", "ß"),
        ("gender", "2"),
        ("gender", "Mrs"),
        ("birthdate", "31/12/1980"),
        ("birthdate", "1980/12/31"),
        ("birthdate", "1980-13-31"),
        ("birthdate", "31-02-1980"),
        ("birthdate", "0000-00-00"),
        ("birthdate", "1980-12-31T00:00:00"),
        ("birthdate", "١٩٨٠-١٢-٣١"),
        ("newsletter", "unknown"),
        ("service", "enabled"),
        ("checkout_date", "tomorrow"),
    ],
)
def test_an_invalid_detail_does_not_reject_the_purchase(field: str, given: str) -> None:
    """It is omitted, and named with the expected form."""
    ((name, reason),) = left_out(**{field: given})
    assert name == field
    assert reason.startswith("is not ")
    assert given not in reason


def test_each_omitted_detail_is_named() -> None:
    """The details are in the view's order, beside valid ones."""
    details = left_out(country="Netherlands", city="Delft", phone=[], totalvalue=-1)
    assert [detail.field for detail in details] == ["totalvalue", "country", "phone"]


# Currency and language


@pytest.mark.parametrize("given", ["EUR", "eur", "Eur "])
def test_a_currency_has_three_capital_letters(given: str) -> None:
    """Whatever the shop writes, ISO 4217 is sent."""
    assert event_of(currency=given)["currency"] == "EUR"


@pytest.mark.parametrize("currency", ["EURO", "€", "E1R", "EU", "ﬀA", 978, True])
def test_another_currency_is_omitted_unless_one_is_required(currency: object) -> None:
    """Without one the account's own is assumed; a shop with several must send it."""
    ((field, _),) = left_out(currency=currency)
    assert field == "currency"
    assert refused(EventRules(require_currency=True), currency=currency) == (
        "currency is not three letters like EUR"
    )


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("nl", "nl"),
        ("nl-NL", "nl-NL"),
        ("pl-pl", "pl-pl"),
        ("nl_NL", "nl-NL"),
        ("NL", "nl"),
        ("EN-gb", "en-GB"),
        ("nl_NL.UTF-8", "nl-NL"),
        ("de_DE@euro", "de-DE"),
        ("zh-Hans-CN", "zh-CN"),
        ("sr-Latn", "sr"),
        ("nl-NL\n", "nl-NL"),
    ],
)
def test_a_locale_is_sent_as_a_language_code(given: str, sent: str) -> None:
    """The vendor's form is used in the event and in a product."""
    assert event_of(language=given)["language"] == sent
    assert product_of(language=given)["language"] == sent


@pytest.mark.parametrize(
    "language", ["es-419", "n", "dutch", "nl-", "nl-NL-x", "nl NL", 1, True, []]
)
def test_another_language_is_omitted(language: object) -> None:
    """The vendor would not know the tag; it is fatal only if a language is required."""
    assert [d.field for d in left_out(language=language)] == ["language"]
    assert [d.field for d in product_left_out(language=language)] == [
        "products.language"
    ]


def test_a_shop_may_require_a_currency() -> None:
    """With several currencies an order without one would be counted wrongly."""
    rules = EventRules(require_currency=True)

    missing = "currency is missing (require_currency is on)"
    assert refused(rules) == refused(rules, currency="") == missing
    assert event_of(rules, currency="SEK")["currency"] == "SEK"


def test_a_shop_may_require_a_language_of_each_product() -> None:
    """The documented place is the product; the event's own does not replace it."""
    rules = EventRules(require_language=True)
    spoken = {"id": "A", "quantity": 1, "language": "nl-NL"}
    mute = {"id": "B", "quantity": 1}
    strange = mute | {"language": "dutch"}
    why = "(require_language is on)"

    assert event_of(rules, products=[spoken])["products"] == [spoken]
    assert refused(rules, products=[spoken, mute]) == f"a product has no language {why}"
    assert refused(rules, products=[strange]) == (
        f"a product has no usable language {why}"
    )
    assert "no language" in refused(rules, language="nl-NL", products=[mute])
    assert "no usable language" in refused(
        rules, products=[spoken, mute | {"language": "es-419"}]
    )


# Numbers


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (5, "5"),
        (0, "0"),
        (Decimal("84.85"), "84.85"),
        (Decimal("84.8"), "84.80"),
        (Decimal("84.00"), "84"),
        (Decimal("2.005"), "2.01"),
        (Decimal("1.115"), "1.12"),
        (Decimal("2.0049999999999999999999999999999999999"), "2.00"),
        (Decimal("0.994999"), "0.99"),
        (Decimal("0.995"), "1"),
        (Decimal("1E+3"), "1000"),
        (Decimal("1E-9999999"), "0"),
        (Decimal("123456789012.345"), "123456789012.35"),
        (MAX_AMOUNT, "1000000000000"),
        ("84.85", "84.85"),
        (" 84.8500 ", "84.85"),
    ],
)
def test_totals_are_rounded_half_up_as_decimals(given: object, sent: str) -> None:
    """To the currency's last digit, exact: 2.005 as a float would become 2.00."""
    event = event_of(totalvalue=given)
    expected = Decimal(sent)

    assert event["totalvalue"] == expected
    assert Decimal(ENCODER.encode(event["totalvalue"]).decode()) == expected


@pytest.mark.parametrize(
    ("currency", "given", "sent"),
    [
        ("KWD", "1.2345", "1.235"),
        ("BHD", "0.0005", "0.001"),
        ("CLF", "1.23456", "1.2346"),
        ("JPY", "1500.5", "1500.5"),
        ("EUR", "1.235", "1.24"),
        (None, "1.235", "1.24"),
    ],
)
def test_an_amount_has_the_digits_of_its_currency(
    currency: str | None, given: str, sent: str
) -> None:
    """Three for a Kuwaiti dinar; at least two, since a shop may divide a yen."""
    line = {"id": "A", "quantity": 1, "price": Decimal(given)}
    event = event_of(currency=currency, totalvalue=Decimal(given), products=[line])

    assert event["totalvalue"] == Decimal(sent)
    assert event["products"][0]["price"] == Decimal(sent)


@pytest.mark.parametrize(
    ("given", "quantity", "sent"),
    [
        ("24.95", 2, "24.95"),
        ("0.3333", 1, "0.33"),
        ("0.3333", 300, "0.3333"),
        ("0.33333333", 300, "0.33333"),
        ("12.396694214876", 1, "12.40"),
        ("12.396694214876", 2, "12.397"),
        ("0.004", 1000, "0.004"),
    ],
)
def test_a_price_keeps_the_digits_that_its_quantity_needs(
    given: str, quantity: int, sent: str
) -> None:
    """A pack of 300 at a third of a cent each costs the shop's total."""
    line = product_of(price=Decimal(given), quantity=quantity)
    assert line["price"] == Decimal(sent)


@given(
    price=st.decimals(0, 10**6, places=9),
    quantity=st.integers(1, 10**6),
    currency=st.sampled_from(["EUR", "KWD", "JPY", "CLF"]),
)
def test_a_lines_sum_differs_by_no_more_than_the_currencys_last_digit(
    price: Decimal, quantity: int, currency: str
) -> None:
    """Price times quantity as sent, compared with the view's."""
    line = {"id": "A", "quantity": quantity, "price": price}
    (sent,) = event_of(currency=currency, products=[line])["products"]
    last = Decimal(1).scaleb(-digits_of(currency))

    assert abs(Decimal(str(sent["price"])) * quantity - price * quantity) <= last


@pytest.mark.parametrize(
    "amount",
    [
        Decimal("NaN"),
        Decimal("sNaN"),
        Decimal("Infinity"),
        Decimal("-Infinity"),
        Decimal("1E+9999999"),
        Decimal("1E+13"),
        10**30,
    ],
)
def test_an_invalid_amount_is_never_sent(amount: object) -> None:
    """NaN, infinity and absurd values reach no numeric field."""
    assert [d.field for d in left_out(totalvalue=amount)] == ["totalvalue"]
    assert [d.field for d in left_out(custom_x=amount)] == ["custom_x"]
    assert [d.field for d in product_left_out(price=amount)] == ["products.price"]
    assert "quantity" in product_refused(quantity=amount)


@pytest.mark.parametrize(
    "amount",
    ["NaN", "Infinity", "84,85", "1e3", "0x1", "٣", "1_000", True, 1.5, [], {}],
)
def test_an_amount_must_be_a_number(amount: object) -> None:
    """`to_jsonb` writes numeric NaN as the text "NaN"; a comma may mean thousands."""
    assert [d.field for d in left_out(totalvalue=amount)] == ["totalvalue"]
    assert [d.field for d in product_left_out(price=amount)] == ["products.price"]
    assert "quantity" in product_refused(quantity=amount)


def test_a_negative_amount_is_omitted() -> None:
    """No refund event is known; a negative total would be a wrong purchase."""
    assert left_out(totalvalue=Decimal("-0.01")) == [
        LeftOut("totalvalue", "is negative")
    ]
    assert product_left_out(price=-1) == [LeftOut("products.price", "is negative")]


@pytest.mark.parametrize(
    "quantity", [1, 2, 10**6, Decimal("3.0"), Decimal("1E+1"), "2", "2.00"]
)
def test_a_quantity_is_sent_as_a_whole_number(quantity: int | Decimal | str) -> None:
    """A numeric column's 3.0 is a 3."""
    sent = product_of(quantity=quantity)["quantity"]

    assert isinstance(sent, int)
    assert sent == Decimal(quantity)


@pytest.mark.parametrize(
    "quantity",
    [None, 0, -1, Decimal("1.5"), Decimal("0.25"), Decimal("2.999"), Decimal("1.004")],
)
def test_another_quantity_is_refused(quantity: object) -> None:
    """Missing, zero, negative and fractional ones, also when rounding would hide it."""
    assert "quantity" in product_refused(quantity=quantity)


# Custom fields


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (-5, "-5"),
        (Decimal("-1.235"), "-1.235"),
        (Decimal("0.000001"), "0.000001"),
        (Decimal("12.5000"), "12.5"),
        (True, "true"),
        (False, "false"),
        (0, "0"),
        ("2026-11-20", '"2026-11-20"'),
    ],
)
def test_a_custom_field_keeps_its_type(given: object, sent: str) -> None:
    """The account defines texts, numbers of any sign and booleans."""
    assert ENCODER.encode(event_of(custom_x=given)["custom_x"]) == sent.encode()


@pytest.mark.parametrize("value", ["x" * (MAX_TEXT + 1), [], {}, [1], {"a": 1}, 1.5])
def test_a_custom_field_is_a_short_text_or_a_number(value: object) -> None:
    """Lists, objects and long texts are omitted, naming the field."""
    assert [d.field for d in left_out(custom_x=value)] == ["custom_x"]


# Products


@pytest.mark.parametrize("products", ["x", "[]", {}, {"id": "1"}, 7, True, ()])
def test_products_are_a_json_array(products: object) -> None:
    """Other values of `products` refuse the order."""
    assert refused(products=products) == "products is not a JSON array"


@pytest.mark.parametrize("line", [None, 1, "KAN-0042", [], True])
def test_a_product_is_a_json_object(line: object) -> None:
    """The reason counts lines from 0, as the array does."""
    lines = [{"id": "A", "quantity": 1}, line]

    assert refused(products=lines).startswith("products[1] ")


@pytest.mark.parametrize(("given", "sent"), [(42, "42"), (Decimal(7), "7"), ("", None)])
def test_a_product_id_that_is_a_number_becomes_text(
    given: object, sent: str | None
) -> None:
    """A numeric SKU equals the catalogue's text; an empty one is none."""
    if sent is None:
        assert "SKU" in product_refused(id=given)
    else:
        assert product_of(id=given)["id"] == sent


@pytest.mark.parametrize("sku", [None, " ", "A\x00B", "A\nB", True, [], "\ud83d"])
def test_a_line_without_a_usable_id_is_refused(sku: object) -> None:
    """An id is never invented; a bad SKU does not improve by waiting."""
    assert "id" in product_refused(id=sku)


def test_an_unknown_product_key_is_omitted() -> None:
    """A misspelt key in the view is named, briefly, instead of being sent."""
    assert product_left_out(prijs=1) == [
        LeftOut("products.prijs", "is no field of a product")
    ]
    assert product_left_out(**{MEGABYTE: 1}) == [
        LeftOut("products.(another key)", "is no field of a product")
    ]


@pytest.mark.parametrize("categories", ["a", {}, [None], [["a"]], [True]])
def test_category_ids_are_an_array_of_texts(categories: object) -> None:
    """Numbers become text, anything else is omitted."""
    fields = [d.field for d in product_left_out(category_ids=categories)]
    assert fields == ["products.category_ids"]
    assert product_of(category_ids=[7, "b"])["category_ids"] == ["7", "b"]


# The time of the order


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("2026-11-20T13:03:07Z", TIME),
        ("2026-11-20T13:03:07.999999+00:00", TIME),
        ("2026-11-20 05:03:07-08:00", TIME),
        ("2026-07-01T12:00:00+00:00", "2026-07-01T14:00:00+02:00"),
        (datetime(2026, 7, 1, 12, tzinfo=UTC), "2026-07-01T14:00:00+02:00"),
        (1_700_000_000, "2023-11-14T23:13:20+01:00"),
        (Decimal("1700000000.75"), "2023-11-14T23:13:20+01:00"),
        (0, "1970-01-01T01:00:00+01:00"),
        ("2026-10-25T00:30:00+00:00", "2026-10-25T02:30:00+02:00"),
        ("2026-10-25T01:30:00+00:00", "2026-10-25T02:30:00+01:00"),
        (None, TIME),
        ("", TIME),
    ],
)
def test_a_time_is_written_in_amsterdam_local_time(given: object, sent: str) -> None:
    """ATOM form: whole seconds, numeric offset, correct whether it is used or not."""
    assert event_of(timestamp=given)["timestamp"] == sent


@pytest.mark.parametrize(
    ("zone", "given", "sent"),
    [
        (UTC, "2026-07-01T12:00:00", "2026-07-01T14:00:00+02:00"),
        (AMSTERDAM, "2026-07-01T12:00:00", "2026-07-01T12:00:00+02:00"),
        (AMSTERDAM, datetime(2026, 1, 1, 12), "2026-01-01T12:00:00+01:00"),  # noqa: DTZ001
        (AMSTERDAM, "2026-10-25T02:30:00", "2026-10-25T02:30:00+02:00"),
        (AMSTERDAM, "2026-03-29T02:30:00", "2026-03-29T03:30:00+02:00"),
        (AMSTERDAM, "2026-07-01", "2026-07-01T00:00:00+02:00"),
        (AMSTERDAM, "2026-07-01T12:00:00Z", "2026-07-01T14:00:00+02:00"),
        (ZoneInfo("Asia/Tokyo"), "2026-11-20", "2026-11-19T16:00:00+01:00"),
    ],
)
def test_a_time_without_a_zone_takes_the_configured_zone(
    zone: ZoneInfo, given: object, sent: str
) -> None:
    """So does a date, and an hour that daylight saving time repeats or skips."""
    assert event_of(EventRules(zone=zone), timestamp=given)["timestamp"] == sent


@pytest.mark.parametrize(
    "given",
    [
        "2026-11-20T14:00:01+00:00",
        "2027-01-01",
        "9999-12-31T00:00:00Z",
        NOW + timedelta(days=400),
        4_000_000_000,
    ],
)
def test_a_future_time_is_sent_as_now(given: object) -> None:
    """The fast way does as `core.purchase` does."""
    assert event_of(timestamp=given)["timestamp"] == "2026-11-20T15:00:00+01:00"


def test_a_future_time_in_the_repeated_hour_is_sent_as_now() -> None:
    """Local times of one zone compare without the fold; instants must not."""
    now = datetime(2026, 10, 25, 2, 40, tzinfo=AMSTERDAM)
    later = now.replace(minute=30, fold=1)
    row = {"orderid": "1", "email": "a@example.com", "products": [{"id": "1"}]}
    row["products"][0]["quantity"] = 1  # type: ignore[index]  # a JSON object
    rendered = render(row, later, EventRules(), now)

    assert isinstance(rendered, Event)
    assert rendered.event["timestamp"] == "2026-10-25T02:40:00+02:00"


@pytest.mark.parametrize(
    "given",
    [
        "infinity",
        "-infinity",
        "now",
        "20-11-2026 14:03",
        "2026-02-30",
        "0044-03-15T00:00:00 BC",
        "0001-01-01T00:00:00+14:00",
        10**20,
        -(10**20),
        Decimal("NaN"),
        Decimal("Infinity"),
        Decimal("1E+9999999"),
        True,
        1.5,
        [],
        {},
    ],
)
def test_an_invalid_time_is_replaced_by_the_time_of_confirmation(given: object) -> None:
    """The reason shows the expected form."""
    rendered = attempt(timestamp=given)

    assert isinstance(rendered, Event)
    assert rendered.event["timestamp"] == TIME
    assert rendered.left_out == (LeftOut("timestamp", f"is not a time like {TIME}"),)


def test_an_order_without_a_usable_time_is_refused() -> None:
    """The ledger has no such order; a caller's mistake gives a reason, no exception."""
    row = {"orderid": "1", "email": "a@example.com", "products": [{"id": "1"}]}
    first = datetime.min.replace(tzinfo=timezone(timedelta(hours=14)))
    rendered = render(row, first, EventRules(), NOW)

    assert rendered == Rejection("confirmed_at is not a usable time", "1")


# Any row of a view

ATOM = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d(:\d\d)?")

TEXTS = st.text(max_size=20) | st.sampled_from(
    ["", "NaN", "infinity", "nl-NL", "EUR", "a@example.com", "yes", "2026-11-20"]
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.decimals()
    | st.decimals(-1_000, 1_000, places=4)
    | TEXTS
    | st.characters(categories=["Cs"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "quantity", "price", "name", "x"]), inner, max_size=4
        )
    ),
    max_leaves=10,
)
LINES = st.lists(
    st.fixed_dictionaries(
        {"id": TEXTS | st.integers(0), "quantity": st.integers(0, 9) | SCALARS},
        optional={
            "name": SCALARS,
            "price": st.decimals(0, 1_000) | SCALARS,
            "language": st.just("nl-NL") | SCALARS,
            "category_ids": st.lists(SCALARS, max_size=2),
        },
    ),
    max_size=3,
)
COLUMNS = st.sampled_from(
    [*sorted(OWN_FIELDS | TEXT_FIELDS), "custom_a", "custom_b", "event", "order_key"]
)
ARBITRARY = st.dictionaries(COLUMNS | st.text(max_size=8), VALUES, max_size=8)
NEARLY_GOOD = st.fixed_dictionaries(
    {
        "orderid": TEXTS.filter(bool) | st.integers(1),
        "email": st.just("a@example.com"),
        "products": LINES | st.just([{"id": "1", "quantity": 1}]),
    },
    optional={
        "totalvalue": st.decimals(0, 10_000, allow_nan=False) | SCALARS,
        "custom_a": SCALARS,
        "custom_b": st.decimals(-1_000, 1_000),
        "firstname": TEXTS,
        "timestamp": st.integers(-(10**11), 10**11) | st.datetimes() | SCALARS,
    },
)


def numbers_in(body: bytes) -> list[str]:
    found: list[str] = []
    msgspec.json.Decoder(float_hook=found.append).decode(body)
    return found


@given(
    row=ARBITRARY | NEARLY_GOOD | st.builds(dict.__or__, NEARLY_GOOD, ARBITRARY),
    rules=st.builds(EventRules, st.booleans(), st.booleans(), st.just(AMSTERDAM)),
)
@example(
    row={
        "orderid": "1",
        "email": "a@example.com",
        "products": [{"id": 1, "quantity": 1, "price": Decimal("0.005")}],
        "custom_a": Decimal("-1.005"),
    },
    rules=EventRules(),
)
@example(
    row={
        "orderid": "1",
        "email": "a@example.com",
        "products": [{"id": "1", "quantity": 1}],
        "custom_b": Decimal("2.0980"),
    },
    rules=EventRules(),
)
def test_any_row_becomes_valid_json_or_a_reason(
    row: dict[str, object], rules: EventRules
) -> None:
    """Never an exception; numbers are written in digits; reasons stay short."""
    rendered = render(row, CONFIRMED_AT, rules, NOW)
    if not isinstance(rendered, Event):
        assert 0 < len(rendered.reason) < 200
        assert rendered.reason.isprintable()
        return
    body = ENCODER.encode(rendered.event)
    decoded = msgspec.json.decode(body)

    number = re.compile(r"-?\d+(\.\d+)?(E-\d+)?")
    assert all(number.fullmatch(written) for written in numbers_in(body))
    assert all(0 < len(detail.reason) < 200 for detail in rendered.left_out)
    assert decoded["event"] == "Purchase"
    assert decoded["orderid"] == rendered.orderid
    assert ATOM.fullmatch(decoded["timestamp"])
    assert decoded["products"]
    assert None not in decoded.values()
    assert not unknown_fields(decoded.keys() - {"event"})
