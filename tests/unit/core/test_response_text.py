"""A body as a document, None if it is ambiguous; and as a line of text."""

from collections.abc import Callable

import pytest

from syncd.core.response_text import parse, quote, quote_marked, quote_whole


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
def test_an_ambiguous_body_is_no_document(body: bytes) -> None:
    """Other parsers read other values from it, or fail."""
    assert parse(body) is None


def test_a_document_is_read_with_or_without_its_byte_order_mark() -> None:
    """Fractions of numbers are kept."""
    assert parse(b'{"taken": 1.5}') == {"taken": 1.5}
    assert parse(b'\xef\xbb\xbf{"taken": 2}') == {"taken": 2}


@pytest.mark.parametrize("read", [quote, quote_whole, quote_marked])
def test_a_line_has_the_requested_number_of_characters(
    read: Callable[[bytes, int], str],
) -> None:
    """The rest is cut off."""
    assert read(b"no email", 8) == "no email"
    assert read(b"no email", 4) == "no e"


def test_markup_that_a_browser_hides_becomes_a_space() -> None:
    """In the whole text tags are kept, as separate words."""
    page = b"a<!-- x -->b<br>c"
    assert quote_marked(page, 100) == "a b <br> c"
    assert quote(page, 100) == quote_whole(page, 100) == "a b c"


def test_the_whole_text_is_longer_than_the_part_searched_for_an_error() -> None:
    """Its end may have the relevant message."""
    page = b"a" * 8192 + b"b"
    assert quote_whole(page, 10_000) == page.decode()
    assert quote(page, 10_000) == page[:-1].decode()
