"""What would become of some orders."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from syncd.core.event import EventRules
from syncd.core.survey import Survey

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


def test_each_order_is_sent_waited_for_or_refused() -> None:
    """With the reason, and the key of the first."""
    found = surveyed(
        row(), row(email=None), row(email="x"), row(email="y"), None, row(products=[])
    )
    assert found.sent == 1
    assert {what: tally.key for what, tally in found.waiting.items()} == {
        "email is missing": "k2",
        "there are no products": "k6",
    }
    refused = {tally.key: tally.orders for tally in found.refused.values()}
    assert refused == {"k3": 2, "k5": 1}


def test_blanks_and_digits_too_many_are_counted_once_for_an_order() -> None:
    """Also in its lines; what is left out is no rounding."""
    line = {"id": " MUG", "quantity": 1, "price": Decimal("1.239"), "name": "x"}
    found = surveyed(
        row(products=[line, line], totalvalue=Decimal("2.478")),
        row(city="Gent ", totalvalue="no number"),
    )
    assert {name: tally.orders for name, tally in found.padded.items()} == {
        "products.id": 1,
        "city": 1,
    }
    assert set(found.rounded) == {"totalvalue", "products.price"}
    assert [tally.key for tally in found.left_out.values()] == ["k2"]


def test_amounts_of_another_unit_show() -> None:
    """A total in cents beside prices in euros, and the reverse."""
    assert surveyed(row()).unit() is None
    assert surveyed().unit() is None
    assert surveyed(row(totalvalue=900)).unit() == 100
    cents = {"id": "MUG", "quantity": 2, "price": 450}
    assert surveyed(row(products=[cents])).unit() == Decimal("0.01")
    assert surveyed(row(products=[{"id": "MUG", "quantity": 1}])).unit() is None


def test_products_of_another_kind_are_refused() -> None:
    """They are compared with nothing."""
    found = surveyed(row(products="[]"), row(products=[1]))
    assert found.sent == 0
    assert len(found.refused) == 2
