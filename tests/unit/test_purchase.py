import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from syncd.core.purchase import (
    MAX_AMOUNT,
    MAX_TEXT,
    OWN_FIELDS,
    TEXT_FIELDS,
    NotReady,
    Purchase,
    Rejection,
    Rules,
    render,
    unknown_fields,
)

AMSTERDAM = ZoneInfo("Europe/Amsterdam")
CONFIRMED_AT = datetime(2026, 11, 20, 13, 3, 7, 999_999, tzinfo=UTC)
NOW = datetime(2026, 11, 20, 14, 0, tzinfo=UTC)
TIME = "2026-11-20T14:03:07+01:00"
MEGABYTE = "x" * 1_000_000
ENCODER = msgspec.json.Encoder(decimal_format="number")

Rendered = Purchase | Rejection | NotReady


def attempt(rules: Rules | None = None, /, **columns: object) -> Rendered:
    row: dict[str, object] = {
        "order_key": "17",
        "orderid": "W-100417",
        "email": "maud@example.com",
        "products": [{"id": "KAN-0042", "quantity": 2}],
    }
    return render(row | columns, CONFIRMED_AT, rules or Rules(), NOW)


def event_of(rules: Rules | None = None, /, **columns: object) -> Any:  # noqa: ANN401  # JSON
    rendered = attempt(rules, **columns)
    assert isinstance(rendered, Purchase), rendered
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


def refused(rules: Rules | None = None, /, **columns: object) -> str:
    rendered = attempt(rules, **columns)
    assert isinstance(rendered, Rejection), rendered
    return rendered.reason


# The whole event


def test_a_minimal_row_becomes_the_minimal_event() -> None:
    """Event, email, orderid, time and products; the order's key stays at home."""
    assert attempt() == Purchase.of(
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
def test_unknown_values_are_left_out(unknown: object) -> None:
    """NULL and empty text never overwrite a profile with nothing."""
    columns = (OWN_FIELDS | TEXT_FIELDS | {"custom_x"}) - {"orderid", "email"}
    event = event_of(**dict.fromkeys(columns - {"products"}, unknown))

    assert event == event_of()


def test_an_unknown_value_of_a_product_is_left_out() -> None:
    """A line without a price or a name is sent without them."""
    assert product_of(price=None, name="", category_ids=None, language="") == {
        "id": "KAN-0042",
        "quantity": 2,
    }


def test_a_column_that_is_no_field_is_not_sent() -> None:
    """`check` reports it, nobody guesses; nor can it replace the event's name."""
    assert event_of(event="PrePurchase", created_at="2026", total=1) == event_of()


def test_unknown_fields_names_what_squeezely_does_not_know() -> None:
    """Sorted, exact in spelling; fields, custom fields and the key are known."""
    columns = ["zip", "order_key", *OWN_FIELDS, *TEXT_FIELDS, "custom_x", "Email"]

    assert unknown_fields(columns) == ["Email", "zip"]
    assert unknown_fields([]) == []


# Identity: orderid, email


@pytest.mark.parametrize(
    ("given", "sent"),
    [("0007", "0007"), (100417, "100417"), (Decimal(5), "5"), ("Ü-😀/1", "Ü-😀/1")],
)
def test_an_orderid_is_sent_as_text_unchanged(given: object, sent: str) -> None:
    """It must equal the front end's, zeros and all."""
    rendered = attempt(orderid=given)

    assert isinstance(rendered, Purchase)
    assert rendered.orderid == rendered.event["orderid"] == sent


@pytest.mark.parametrize("column", ["orderid", "email", "products"])
@pytest.mark.parametrize("missing", [None, "", "absent"])
def test_what_is_missing_may_still_come(column: str, missing: str | None) -> None:
    """A later transaction may add lines or an address: tried again, not rejected."""
    row = {"orderid": "W-1", "email": "a@example.com", "products": [{"id": "1"}]}
    row[column] = missing  # type: ignore[assignment]  # a column of any type
    if missing == "absent":
        del row[column]
    rendered = render(row, CONFIRMED_AT, Rules(), NOW)

    assert isinstance(rendered, NotReady)
    assert column in rendered.reason
    assert rendered.orderid == (None if column == "orderid" else "W-1")


def test_an_order_without_lines_may_still_get_them() -> None:
    """An empty list of products is what an aggregate over no lines gives."""
    assert isinstance(attempt(products=[]), NotReady)


@pytest.mark.parametrize(
    "orderid",
    ["   ", "W\x00", "W\n1", "W\x7f", True, 1.5, ["W-1"], {"a": 1}, MEGABYTE],
    ids=lambda value: repr(value)[:12],
)
def test_an_unusable_orderid_is_refused(orderid: object) -> None:
    """A blank one would merge strangers' orders; the reason stays short."""
    assert "orderid" in refused(orderid=orderid)
    assert len(refused(orderid=orderid)) < 200


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
    """The vendor documents no normalising, so none is done."""
    assert event_of(email=email)["email"] == email


@pytest.mark.parametrize(
    "email",
    [
        " ",
        "maud",
        "maud@example",
        "@example.com",
        "maud@",
        "maud@@example.com",
        "maud kersten@example.com",
        "maud@example.com\n",
        "maud@example.com\x00",
        "maud@example.com, piet@example.com",
        "g" * 64,
        "a" * 63,
        "a" * 65,
        17,
        True,
        [],
        f"{MEGABYTE}@example.com",
    ],
    ids=lambda value: repr(value)[:40],
)
def test_an_unusable_email_is_refused(email: object) -> None:
    """Nothing is invented or repaired; the reason does not repeat the address."""
    reason = refused(email=email)

    assert reason.startswith("email ")
    assert "maud" not in reason


# Texts


@pytest.mark.parametrize(
    "text",
    ["Zoë", "😀 Jansen", "tab\there", "line\nbreak", "nul\x00", '"quoted\\', " Jan "],
)
def test_a_name_is_sent_as_it_is(text: str) -> None:
    """Emoji and control characters survive the JSON; no order is lost for a tab."""
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
def test_what_is_no_usable_text_is_refused_briefly(value: object) -> None:
    """The reason names the field and never carries the value."""
    reason = refused(lastname=value)

    assert reason.startswith("lastname ")
    assert len(reason) < 100
    assert len(product_refused(name=value)) < 100


def test_a_text_of_the_greatest_length_passes() -> None:
    """The bound itself is allowed."""
    assert event_of(city="x" * MAX_TEXT)["city"] == "x" * MAX_TEXT


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ("country", "NL", "nl"),
        ("country", "NL", "NLD"),
        ("gender", "F", "2"),
        ("gender", "male", "Mrs"),
        ("birthdate", "1980-12-31", "31/12/1980"),
        ("birthdate", "31-12-1980", "1980-12-31T00:00:00"),
        ("newsletter", "yes", "unknown"),
        ("service", "no", "enabled"),
        ("marketing", "yes", "YES"),
    ],
)
def test_a_field_with_a_documented_form_has_it(field: str, good: str, bad: str) -> None:
    """Countries, genders, dates and consents are sent only in the vendor's form."""
    assert event_of(**{field: good})[field] == good
    assert refused(**{field: bad}).startswith(f"{field} is not ")


# Currency and language


@pytest.mark.parametrize("currency", ["eur", "EURO", "€", "E1R", "EUR ", 978, True])
def test_a_currency_has_three_capital_letters(currency: object) -> None:
    """ISO 4217; anything else is refused, not corrected."""
    assert event_of(currency="EUR")["currency"] == "EUR"
    assert refused(currency=currency).startswith("currency ")


@pytest.mark.parametrize("language", ["nl", "nl-NL", "pl-pl", "ja-JP"])
def test_a_language_code_passes_unchanged(language: str) -> None:
    """With a hyphen or without a country, in the event and in a product."""
    assert event_of(language=language)["language"] == language
    assert product_of(language=language)["language"] == language


@pytest.mark.parametrize(
    "language", ["nl_NL", "NL", "n", "dutch", "nl-", "nl-NL-x", "nl-NL\n", 1, True, []]
)
def test_another_form_of_language_is_refused(language: object) -> None:
    """`nl_NL` is what some shops store; Squeezely would not know the product."""
    assert "language" in refused(language=language)
    assert "language" in product_refused(language=language)


def test_a_shop_may_require_a_currency() -> None:
    """With several currencies an order without one would be counted wrongly."""
    rules = Rules(require_currency=True)

    assert "currency" in refused(rules)
    assert "currency" in refused(rules, currency="")
    assert event_of(rules, currency="SEK")["currency"] == "SEK"


def test_a_shop_may_require_a_language_of_each_product() -> None:
    """The documented place is the product; the event's own does not replace it."""
    rules = Rules(require_language=True)
    spoken = {"id": "A", "quantity": 1, "language": "nl-NL"}
    mute = {"id": "B", "quantity": 1}

    assert event_of(rules, products=[spoken])["products"] == [spoken]
    assert "language" in refused(rules, products=[spoken, mute])
    assert "language" in refused(rules, language="nl-NL", products=[mute])


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
    ],
)
def test_amounts_are_rounded_half_up_as_decimals(given: object, sent: str) -> None:
    """At most two decimals, exact: 2.005 as a float would become 2.00."""
    event = event_of(totalvalue=given, custom_total=given)
    expected = Decimal(sent)

    assert event["totalvalue"] == event["custom_total"] == expected
    assert product_of(price=given)["price"] == expected
    assert Decimal(ENCODER.encode(event["totalvalue"]).decode()) == expected


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
def test_what_is_no_amount_is_refused_everywhere(amount: object) -> None:
    """NaN, infinity and the absurd reach no field that holds a number."""
    assert "totalvalue" in refused(totalvalue=amount)
    assert "custom_x" in refused(custom_x=amount)
    assert "price" in product_refused(price=amount)
    assert "quantity" in product_refused(quantity=amount)


@pytest.mark.parametrize(
    "amount", ["NaN", "Infinity", "84.85", "84,85", "", True, 1.5, [], {}]
)
def test_an_amount_must_be_a_number(amount: object) -> None:
    """`to_jsonb` writes numeric NaN as the text "NaN"; texts are no amounts."""
    if amount != "":
        assert "totalvalue" in refused(totalvalue=amount)
        assert "price" in product_refused(price=amount)
    assert "quantity" in product_refused(quantity=amount)


def test_a_negative_amount_is_refused() -> None:
    """No refund event is known; a negative total would be a wrong purchase."""
    assert "negative" in refused(totalvalue=Decimal("-0.01"))
    assert "negative" in product_refused(price=-1)


@pytest.mark.parametrize("quantity", [1, 2, 10**6, Decimal("3.0"), Decimal("1E+1")])
def test_a_quantity_is_sent_as_a_whole_number(quantity: int | Decimal) -> None:
    """A numeric column's 3.0 is a 3."""
    sent = product_of(quantity=quantity)["quantity"]

    assert isinstance(sent, int)
    assert sent == quantity


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
        (Decimal("-1.235"), "-1.24"),
        (Decimal("-0.001"), "0"),
        (True, "true"),
        (False, "false"),
        (0, "0"),
        ("2026-11-20", '"2026-11-20"'),
    ],
)
def test_a_custom_field_keeps_its_type(given: object, sent: str) -> None:
    """Texts, numbers of any sign and booleans are the account's to define."""
    assert ENCODER.encode(event_of(custom_x=given)["custom_x"]) == sent.encode()


@pytest.mark.parametrize("value", ["x" * (MAX_TEXT + 1), [], {}, [1], {"a": 1}, 1.5])
def test_a_custom_field_is_a_short_text_or_a_number(value: object) -> None:
    """Lists, objects and long texts are refused, naming the field."""
    assert refused(custom_x=value).startswith("custom_x ")


# Products


@pytest.mark.parametrize("products", ["x", "[]", {}, {"id": "1"}, 7, True, ()])
def test_products_are_a_json_array(products: object) -> None:
    """Only then can they be read."""
    assert "products" in refused(products=products)


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


@pytest.mark.parametrize("sku", [None, " ", "A\x00", "A\n", True, [], "\ud83d"])
def test_a_line_without_a_usable_id_is_refused(sku: object) -> None:
    """Never invent an id; a bad SKU cannot be cured by waiting."""
    assert "id" in product_refused(id=sku)


def test_an_unknown_product_key_is_refused() -> None:
    """A misspelt key in the view is named, briefly, instead of being sent."""
    assert "'prijs'" in product_refused(prijs=1)
    assert len(product_refused(**{MEGABYTE: 1})) < 200


@pytest.mark.parametrize("categories", ["a", {}, [None], [["a"]], [True]])
def test_category_ids_are_an_array_of_texts(categories: object) -> None:
    """Numbers become text, anything else is refused."""
    assert "category_ids" in product_refused(category_ids=categories)
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
def test_a_time_is_written_in_amsterdam_wall_time(given: object, sent: str) -> None:
    """ATOM form: whole seconds, numeric offset, right whether it is honoured or not."""
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
def test_a_time_without_a_zone_takes_the_rules_zone(
    zone: ZoneInfo, given: object, sent: str
) -> None:
    """Also a date, and the hours that summer time repeats or skips."""
    assert event_of(Rules(zone=zone), timestamp=given)["timestamp"] == sent


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
    """Clocks of shops run ahead; the API may refuse what has not happened."""
    assert event_of(timestamp=given)["timestamp"] == "2026-11-20T15:00:00+01:00"


def test_a_future_time_in_the_repeated_hour_is_sent_as_now() -> None:
    """Wall clocks of one zone compare without the fold; moments must not."""
    now = datetime(2026, 10, 25, 2, 40, tzinfo=AMSTERDAM)
    later = now.replace(minute=30, fold=1)
    row = {"orderid": "1", "email": "a@example.com", "products": [{"id": "1"}]}
    row["products"][0]["quantity"] = 1  # type: ignore[index]  # a JSON object
    rendered = render(row, later, Rules(), now)

    assert isinstance(rendered, Purchase)
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
def test_what_is_no_time_is_refused(given: object) -> None:
    """The reason shows the form that is expected."""
    assert "timestamp" in refused(timestamp=given)
    assert TIME in refused(timestamp=given)


# Whatever a view may hold

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
    rules=st.builds(Rules, st.booleans(), st.booleans(), st.just(AMSTERDAM)),
)
@example(
    row={
        "orderid": "1",
        "email": "a@example.com",
        "products": [{"id": 1, "quantity": 1, "price": Decimal("0.005")}],
        "custom_a": Decimal("-1.005"),
    },
    rules=Rules(),
)
def test_any_row_becomes_valid_json_or_a_reason(
    row: dict[str, object], rules: Rules
) -> None:
    """Never an exception; numbers have at most two decimals; reasons stay short."""
    rendered = render(row, CONFIRMED_AT, rules, NOW)
    if not isinstance(rendered, Purchase):
        assert 0 < len(rendered.reason) < 200
        assert rendered.reason.isprintable()
        return
    body = ENCODER.encode(rendered.event)
    decoded = msgspec.json.decode(body)

    assert all(re.fullmatch(r"-?\d+\.\d{2}", number) for number in numbers_in(body))
    assert decoded["event"] == "Purchase"
    assert decoded["orderid"] == rendered.orderid
    assert ATOM.fullmatch(decoded["timestamp"])
    assert decoded["products"]
    assert None not in decoded.values()
    assert not unknown_fields(decoded.keys() - {"event"})
