"""A body as a document, none if it could be read in two ways; and as a line of text."""

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
def test_what_can_be_read_in_two_ways_is_no_document(body: bytes) -> None:
    """Other readers take other values from it, or break."""
    assert parse(body) is None


def test_a_document_is_read_with_or_without_its_byte_order_mark() -> None:
    """With its fractions."""
    assert parse(b'{"taken": 1.5}') == {"taken": 1.5}
    assert parse(b'\xef\xbb\xbf{"taken": 2}') == {"taken": 2}


@pytest.mark.parametrize("read", [quote, quote_whole, quote_marked])
def test_a_line_has_as_many_characters_as_asked(
    read: Callable[[bytes, int], str],
) -> None:
    """The rest is cut off."""
    assert read(b"no email", 8) == "no email"
    assert read(b"no email", 4) == "no e"


def test_what_a_browser_does_not_show_is_a_blank() -> None:
    """Tags are kept, as separate words, where the whole text is told."""
    page = b"a<!-- x -->b<br>c"
    assert quote_marked(page, 100) == "a b <br> c"
    assert quote(page, 100) == quote_whole(page, 100) == "a b c"


def test_a_whole_text_is_longer_than_what_is_searched_for_an_error() -> None:
    """Its end may be what tells."""
    page = b"a" * 8192 + b"b"
    assert quote_whole(page, 10_000) == page.decode()
    assert quote(page, 10_000) == page[:-1].decode()
