"""A body as a document: whatever could be read in two ways is none."""

import pytest

from syncd.core.response_text import parse


@pytest.mark.parametrize(
    "body",
    [
        b'{"taken": NaN}',
        b'{"taken": -Infinity}',
        b'{"taken": 1e999}',
        b'{"taken": 1, "taken": 2}',
        b'{"taken": 1} {}',
        b"\xff",
        b"[" * 100_000,
    ],
)
def test_what_can_be_read_in_two_ways_is_no_document(body: bytes) -> None:
    """Other readers take other values from it, or break."""
    assert parse(body) is None


def test_a_document_is_read_with_or_without_its_byte_order_mark() -> None:
    """With its fractions."""
    assert parse(b'{"taken": 1.5}') == {"taken": 1.5}
    assert parse(b'\xef\xbb\xbf{"taken": 2}') == {"taken": 2}
