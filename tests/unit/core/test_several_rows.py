"""Orders with several rows: a value that differs between them is not sent."""

from datetime import UTC, datetime

import msgspec

from syncd.core.event import Event, EventRules, LeftOut, Rejection, render
from syncd.core.several_rows import DIFFERS, merged
from syncd.source.views import columns_of

NOW = datetime(2026, 11, 20, 14, 0, tzinfo=UTC)
ROW: dict[str, object] = {
    "order_key": 7,
    "orderid": "W-7",
    "email": "mila@example.com",
    "products": [{"id": "MUG-1", "quantity": 2}],
    "totalvalue": 25,
    "city": "Delft",
}


def text(**columns: object) -> str:
    return msgspec.json.encode(ROW | columns).decode()


def rendered(*rows: str) -> object:
    (row,) = merged([("7", row) for row in rows]).values()
    return render(columns_of(row), NOW, EventRules(), NOW)


def test_equal_rows_are_merged() -> None:
    """Other orders are unchanged, and so is a text that is not JSON."""
    rows = [
        ("7", text()),
        ("7", text()),
        ("8", text(order_key=8)),
        ("9", "x"),
        ("9", "y"),
    ]
    assert merged(rows) == {"7": text(), "8": text(order_key=8), "9": "x"}
    assert merged([]) == {}


def test_a_detail_that_differs_between_rows_is_omitted() -> None:
    """Two payments of an order give two totals, for example: neither is sent."""
    made = rendered(text(), text(totalvalue=12.5), text(city=None))
    assert isinstance(made, Event)
    assert set(made.event) == {"event", "orderid", "email", "timestamp", "products"}
    assert made.left_out == (LeftOut("totalvalue", DIFFERS), LeftOut("city", DIFFERS))


def test_an_order_whose_rows_differ_in_a_required_field_is_rejected() -> None:
    """Its lines were not aggregated into one list, for example."""
    lines = [{"id": "MUG-2", "quantity": 1}]
    assert rendered(text(), text(products=lines)) == Rejection(f"products {DIFFERS}")
    assert rendered(text(email="a@example.com"), text()) == Rejection(
        f"email {DIFFERS}"
    )
