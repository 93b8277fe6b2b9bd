import hashlib

import pytest

from syncd.core.response import Response
from syncd.core.response_shape import MAX_SHAPE, shape_of

SHAPES = [
    (b'{"a": true, "b": false, "c": null}', "{a: true, b: false, c: null}"),
    (b"[]", "[]"),
    (b'[1, "a", 2, 5]', '["a" | <all> | <n>] of <n>'),
    (b"[0, -3, 0, 0, 0]", "[-<n> | 0] of <all>"),
    (b'{"left": 1}', "{left: <n>}"),
    (b'{"code": 999999999999999999}', "{code: 999999999999999999}"),
    (b'{"code": 1000000000000000000}', "{code: <n>}"),
    (b'{"status": "S234567890123456"}', '{status: "S234567890123456"}'),
    (b'{"status": "S2345678901234567"}', '{status: "<id>"}'),
    (b"(-3) of 5, W-17.", "text -<n> of <all> <id>"),
    (b"123456789012345678 X7X", "text <n> <id>"),
    (b"1234567890123456789", "<n>"),
    (b"x 1234567890123456789", "text x <id>"),
    (b"code: 7 codeX: 7", "text code: 7 codeX: <n>"),
    (b'{"said": "a\\u0007b"}', '{said: "a?b"}'),
]
"""Bodies of responses to 5 events, and the shape that follows the status."""


def shape(body: bytes) -> str:
    return shape_of(Response(200, {}, body), 5)


@pytest.mark.parametrize(("body", "expected"), SHAPES, ids=range(len(SHAPES)))
def test_the_form_of_a_shape(body: bytes, expected: str) -> None:
    """The person who records its meaning reads this form."""
    assert shape(body) == f"HTTP 200 {expected}"


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a": ', "}")])
def test_a_shape_has_twelve_levels(opening: str, closing: str) -> None:
    """Deeper parts are the digest of the whole body."""
    last = f"{opening * 12}7{closing * 12}".encode()
    deeper = f"{opening * 13}7{closing * 13}".encode()

    assert "deeper" not in shape(last)
    assert f"deeper {hashlib.sha256(deeper).hexdigest()}" in shape(deeper)


def test_a_shape_is_of_the_first_100_000_characters() -> None:
    """Longer than any page with an error message."""
    most = b"a" * 100_000
    assert shape(most) == shape(most + b"b") != shape(most[1:])


def test_a_long_shape_ends_with_the_digest_of_all() -> None:
    """One of 500 characters is complete; of a longer one the beginning is kept."""
    longest = "a" * (MAX_SHAPE - len("HTTP 200 text "))
    whole = f"HTTP 200 text {longest}"
    digest = hashlib.sha256(f"{whole}a".encode()).hexdigest()

    assert shape(longest.encode()) == whole
    assert shape(f"{longest}a".encode()) == f"{whole[:428]} sha256 {digest}"
