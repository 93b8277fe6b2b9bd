"""Why a value cannot be sent, in the words that an operator reads."""

from collections.abc import Callable
from decimal import Decimal

import pytest

from syncd.core.field_value import (
    InvalidError,
    as_categories,
    as_currency,
    as_email,
    as_identifier,
    as_language,
    as_quantity,
    as_text,
    as_total,
    in_form,
)

INVALID: list[tuple[Callable[[object], object], object, str]] = [
    (as_text, [], "is not a text"),
    (as_text, True, "is not a text"),
    (as_text, "\ud800", "is not a usable text"),
    (as_text, "x" * 1001, "has more than 1000 characters"),
    (as_identifier, "W\n1", "holds control characters"),
    (as_email, "maud", "is not an address like name@example.com"),
    (as_quantity, 0, "is not a whole number of at least 1"),
    (as_quantity, Decimal("1.5"), "is not a whole number of at least 1"),
    (as_quantity, "one", "is not a whole number of at least 1"),
    (lambda value: as_total(value, 2), -1, "is negative"),
    (lambda value: as_total(value, 2), "much", "is not a usable number"),
    (as_currency, "euro", "is not three letters like EUR"),
    (as_currency, 7, "is not three letters like EUR"),
    (as_language, "dutch", "is not a language code like nl-NL"),
    (as_language, None, "is not a language code like nl-NL"),
    (as_categories, "a", "is not a JSON array"),
    (in_form("country"), "7", "is not two letters like NL"),
]


@pytest.mark.parametrize(("rule", "value", "words"), INVALID, ids=range(len(INVALID)))
def test_an_invalid_value_has_a_plain_reason(
    rule: Callable[[object], object], value: object, words: str
) -> None:
    """Each rule has a reason of its own."""
    with pytest.raises(InvalidError) as refused:
        rule(value)
    assert str(refused.value) == words


def test_the_longest_text_and_the_smallest_amounts_pass() -> None:
    """1000 characters; one piece; a total of 0."""
    assert as_text("x" * 1000) == "x" * 1000
    assert as_quantity(1) == 1
    assert as_total(0, 2) == 0
