"""Amounts of money as an event carries them: exact, in the digits that they need.

A total is rounded to the currency's smallest unit. A unit price keeps more digits
where price times quantity would otherwise differ from the view's by more than half of
that unit: 300 pieces at 0.3333 are 99.99, not 99.00.
"""

import re
from decimal import ROUND_HALF_UP, Context, Decimal

MAX_AMOUNT = Decimal(10) ** 12

_DIGITS = dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3) | {
    "CLF": 4,
    "UYW": 4,
}
"""Currencies whose smallest unit is less than a hundredth (ISO 4217, list one)."""

_WRITTEN = re.compile(r"[+-]?\d{1,30}(\.\d{1,30})?", re.ASCII)
_EXACT = Context(prec=100, rounding=ROUND_HALF_UP)
"""Amounts have at most 13 digits before the point and `_FINEST` after it."""

_FINEST = 30
"""Digits after the point beyond which nothing is kept."""


def number_of(value: object) -> Decimal | None:
    """Read a number, also one written as text with a point; None when it is none.

    Returns:
        A finite number of at most `MAX_AMOUNT`, either sign.
    """
    if isinstance(value, str) and _WRITTEN.fullmatch(value):
        value = Decimal(value)
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    amount = Decimal(value)
    is_usable = amount.is_finite() and amount.copy_abs() <= MAX_AMOUNT
    return amount if is_usable else None


def digits_of(currency: str | None) -> int:
    """Return how many digits after the point a total has; at least 2."""
    return _DIGITS.get(currency or "", 2)


def total(amount: Decimal, digits: int) -> int | Decimal:
    """Round half away from zero to so many digits after the point."""
    return plain(_rounded(amount, digits))


def price(amount: Decimal, quantity: int, digits: int) -> int | Decimal:
    """Round a unit price so that the line's sum stays within half of the last digit.

    Args:
        amount: Not negative.
        quantity: At least 1.
        digits: Of the currency, after the point.
    """
    allowed = Decimal(5).scaleb(-digits - 1)
    for kept in range(digits, _FINEST):
        rounded = _rounded(amount, kept)
        if _EXACT.multiply((amount - rounded).copy_abs(), quantity) <= allowed:
            return plain(rounded)
    return plain(_rounded(amount, _FINEST))


def plain(amount: Decimal) -> int | Decimal:
    """Return a whole number as int, another without zeros at its end."""
    if amount == amount.to_integral_value():
        return int(amount)
    return amount.normalize(_EXACT)


def custom(amount: Decimal) -> int | Decimal:
    """Return a number of the shop's own as it is, up to `_FINEST` digits."""
    return plain(_rounded(amount, _FINEST))


def _rounded(amount: Decimal, digits: int) -> Decimal:
    # quantizing never overflows, whatever the exponent, since the amount is bounded
    return amount.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP, _EXACT)
