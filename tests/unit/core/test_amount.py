"""Amounts in an event."""

from decimal import Decimal

import pytest

from syncd.core.amount import price


@pytest.mark.parametrize(
    ("amount", "quantity", "expected"),
    [
        ("12.50", 1, Decimal("12.5")),
        ("12.00", 3, 12),
        ("0.3333", 300, Decimal("0.3333")),
        ("0.3333", 1, Decimal("0.33")),
        ("0.331", 5, Decimal("0.33")),
        ("0.3311", 5, Decimal("0.331")),
        ("0." + "3" * 40, 10**35, Decimal("0." + "3" * 30)),
    ],
)
def test_a_price_has_the_digits_that_its_quantity_needs(
    amount: str, quantity: int, expected: Decimal
) -> None:
    """The currency's, more for many pieces, and at most 30."""
    assert price(Decimal(amount), quantity, 2) == expected
