"""What would happen to sample orders."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from syncd.core.event import EventRules
from syncd.core.survey import OTHER_UNIT, Survey

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def surveyed(*rows: dict[str, Any] | None) -> Survey:
    survey = Survey(EventRules(), NOW)
    for number, row in enumerate(rows, 1):
        survey.add(f"k{number}", NOW, row)
    return survey


def row(**columns: object) -> dict[str, Any]:
    line = {"id": "MUG", "quantity": 2, "price": Decimal("4.50")}
    plain = {"orderid": "1", "email": "a@b.example", "products": [line]}
    return plain | {"totalvalue": 9} | columns


def test_each_order_is_sent_waiting_or_refused() -> None:
    """The result has the reason, and the key of the first order."""
    found = surveyed(
        row(), row(email=None), row(email="x"), row(email="y"), None, row(products=[])
    )
    assert found.sent == 1
    assert {what: tally.key for what, tally in found.waiting.items()} == {
        "email is missing": "k2",
        "there are no products": "k6",
    }
    refused = {what: (t.key, t.orders) for what, t in found.refused.items()}
    assert refused == {
        "email is not an address like name@example.com": ("k3", 2),
        "is confirmed but has no row in the purchases view": ("k5", 1),
    }
    assert found.events["k1"]["orderid"] == "1"


def test_spaces_and_excess_digits_are_counted_once_for_an_order() -> None:
    """Its lines count, too; an omitted value is not rounded."""
    line = {"id": " MUG", "quantity": 1, "price": Decimal("1.239"), "name": "x"}
    found = surveyed(
        row(products=[line, line], totalvalue=Decimal("2.478")),
        row(city="Gent ", totalvalue="no number"),
    )
    assert {name: (t.orders, t.key) for name, t in found.padded.items()} == {
        "products.id": (1, "k1"),
        "city": (1, "k2"),
    }
    assert {name: (t.orders, t.key) for name, t in found.rounded.items()} == {
        "totalvalue": (1, "k1"),
        "products.price": (1, "k1"),
    }
    assert {name: t.key for name, t in found.left_out.items()} == {
        "totalvalue: it is not a usable number": "k2"
    }


def test_amounts_in_another_unit_are_detected() -> None:
    """A total in cents beside prices in euros, and the reverse."""
    assert surveyed(row()).unit() is None
    assert surveyed().unit() is None
    assert surveyed(row(totalvalue=900)).unit() == 100
    cents = {"id": "MUG", "quantity": 2, "price": 450}
    assert surveyed(row(products=[cents])).unit() == Decimal("0.01")
    unpriced = [{"id": "MUG", "quantity": 1}]
    assert surveyed(row(products=unpriced, totalvalue=900)).unit() is None


@pytest.mark.parametrize(
    ("total", "price", "unit"),
    [
        (OTHER_UNIT, 1, OTHER_UNIT),
        (OTHER_UNIT - 1, 1, None),
        (1, OTHER_UNIT, 1 / Decimal(OTHER_UNIT)),
        (1, OTHER_UNIT - 1, None),
        (50, Decimal("0.5"), 100),
    ],
)
def test_the_unit_differs_from_a_ratio_on(
    total: int, price: Decimal, unit: Decimal | None
) -> None:
    """In both directions, however small the amounts are."""
    lines = [{"id": "MUG", "quantity": 1, "price": price}]
    assert surveyed(row(products=lines, totalvalue=total)).unit() == unit


def test_products_of_another_type_are_refused() -> None:
    """They are compared with nothing."""
    found = surveyed(row(products="[]"), row(products=[1]))
    assert found.sent == 0
    assert len(found.refused) == 2
