"""Characters that a name, an address or a header may have."""

import pytest

from syncd.core.text import (
    address_character,
    bad_escape,
    header_character,
    is_host_name,
    odd_character,
    shown,
)


def test_the_first_invalid_character_is_named_with_its_position() -> None:
    """By its code, since it may be invisible; counted from 1."""
    assert odd_character("a b é") is None
    assert odd_character("SQ-1234\u200b\n") == "character 8 is U+200B"
    assert odd_character("a\nb", allowed="\n") is None
    assert odd_character("a\nb\t", allowed="\n") == "character 4 is U+0009"
    assert odd_character("X\n") == "character 2 is U+000A"


def test_a_header_allows_only_printable_ascii() -> None:
    """Spaces inside are allowed."""
    assert header_character("SQ 1234~") is None
    assert header_character("SQé") == "character 3 is U+00E9"
    assert header_character("SQ\n") == "character 3 is U+000A"


def test_an_address_allows_the_characters_of_a_url() -> None:
    """Anything else has to be escaped."""
    assert address_character("https://api.example:1/a%20b?c=[d]&e'f") is None
    assert address_character("https://a b") == "character 10 is U+0020"


@pytest.mark.parametrize(
    ("text", "bad"), [("a%2Fb", False), ("a%2", True), ("%", True)]
)
def test_a_percent_sign_begins_an_escaped_byte(text: str, *, bad: bool) -> None:
    """Two hexadecimal digits follow."""
    assert bad_escape(text) is bad


LONGEST = ".".join(["a" * 63] * 3 + ["b" * 61])


@pytest.mark.parametrize(
    ("host", "is_name"),
    [
        ("api.example", True),
        ("api.example.", True),
        ("a-1.b_2", True),
        (LONGEST, True),
        (f"{LONGEST[:-1]}b.", False),
        (f"c{LONGEST}", False),
        (".api.example", False),
        ("api..example", False),
        ("api.example..", False),
        ("-api", False),
        ("api-", False),
        ("a b", False),
        ("a" * 64, False),
        ("", False),
    ],
)
def test_a_host_name_consists_of_labels(host: str, *, is_name: bool) -> None:
    """Each of 63 characters at most, and 253 in all."""
    assert is_host_name(host) is is_name


def test_a_text_is_shown_in_one_line() -> None:
    """Invisible characters are shown as their codes."""
    assert shown("a\nb\u200bc") == "a<U+000A>b<U+200B>c"
