"""Text that a server's encoding cannot represent."""

import pytest

from syncd.core.text import codec_of, fits, fitted, fitted_all


@pytest.mark.parametrize(
    ("encoding", "codec"),
    [
        ("UTF8", "utf-8"),
        ("SQL_ASCII", "utf-8"),
        (None, "utf-8"),
        ("LATIN1", "iso8859-1"),
        ("LATIN9", "iso8859-15"),
        ("WIN1252", "cp1252"),
        ("LATIN99", "ascii"),
        ("EUC_JP", "ascii"),
        ("KOI8R", "ascii"),
    ],
)
def test_every_server_encoding_has_a_codec(encoding: str | None, codec: str) -> None:
    """Where Python and PostgreSQL may differ, it is ASCII."""
    assert codec_of(encoding) == codec


@pytest.mark.parametrize(
    ("text", "codec", "expected"),
    [
        ("prijs ł 5 €", "utf-8", "prijs ł 5 €"),
        ("prijs ł 5 €", "iso8859-1", "prijs ? 5 ?"),
        ("prijs ł 5 €", "iso8859-15", "prijs ? 5 €"),
        ("café", "iso8859-1", "café"),
        ("café", "ascii", "caf?"),
        ("a\0b", "utf-8", "a?b"),
        ("a\udce9b", "utf-8", "a?b"),
    ],
)
def test_an_unsupported_character_becomes_a_question_mark(
    text: str, codec: str, expected: str
) -> None:
    """So does a NUL, which no server stores, and half a character."""
    assert fitted(text, codec) == expected
    assert fits(text, codec) is (text == expected)


def test_every_text_of_a_list_is_converted() -> None:
    """Nested lists are converted, too; other values are unchanged."""
    given = ["café", ("ł", [7, None]), True]
    assert fitted_all(given, "iso8859-1") == ["café", ["?", [7, None]], True]
    assert fitted_all("ł", "ascii") == "?"
    assert fitted_all(7, "ascii") == 7
