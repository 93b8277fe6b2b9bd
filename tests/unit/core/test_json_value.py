"""The types of decoded JSON values."""

import json

import pytest

from syncd.core.field_value import is_array, is_object


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[]", (True, False)),
        ("{}", (False, True)),
        ('"[]"', (False, False)),
        ("0", (False, False)),
        ("null", (False, False)),
    ],
)
def test_a_json_value_is_an_array_or_an_object(
    text: str, expected: tuple[bool, bool]
) -> None:
    """No other value is either."""
    value = json.loads(text)
    assert (is_array(value), is_object(value)) == expected
