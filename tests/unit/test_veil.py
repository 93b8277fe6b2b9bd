"""A text about a request keeps what it says, and loses whom it is about."""

import pytest

from syncd.core.veil import HIDDEN, Veil

EVENT = {
    "event": "Purchase",
    "email": "mila.jansen@shop.example",
    "orderid": "W-1042",
    "firstname": "Mila",
    "lastname": "van der Berg",
    "city": "\u2019s-Hertogenbosch",
    "phone": "+31 6 12345678",
    "custom_vip": True,
    "products": [{"id": "MUG-1"}],
}


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("HTTP 400 firstname is too short", "HTTP 400 firstname is too short"),
        ("order W-1042: MUG-1 is unknown", "order W-1042: MUG-1 is unknown"),
        ("MILA is no name", f"{HIDDEN} is no name"),
        ("phone 12345678 is wrong", f"phone {HIDDEN} is wrong"),
        ("city Hertogen", f"city {HIDDEN}"),
        ("key s3cr-et!: bad", f"key {HIDDEN}: bad"),
        ("true is no text", "true is no text"),
    ],
)
def test_what_was_sent_is_hidden_and_the_rest_is_told(said: str, kept: str) -> None:
    """Whole words, in any case, also cut off; secrets wherever they stand."""
    assert Veil([EVENT], ["s3cr-et!", ""]).over(said) == kept
