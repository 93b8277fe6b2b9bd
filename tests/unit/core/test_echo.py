"""How a text reads without its escapes, and in which encodings it may be echoed."""

import hashlib

import pytest

from syncd.core.echo import forms, hidden_texts, readings, unescaped


def plain_forms(value: str) -> set[str]:
    """Return the forms of a value that are no digests."""
    return {form for form in forms(value) if form and len(form) < 32}


def test_escapes_are_removed_four_levels_deep() -> None:
    """A response cannot make that slow; deeper ones stay escaped."""
    assert list(readings("a%25252540b")) == ["a@b"]
    assert list(readings("a%2525252540b")) == ["a%40b"]


def test_escapes_of_json_and_html_are_removed() -> None:
    """Those of URLs are kept: they may be literal."""
    assert unescaped("M&uuml;ller \\u0040 100%25") == "Müller @ 100%25"


def test_an_escaped_control_character_is_a_space() -> None:
    """It separates two words."""
    assert unescaped(r"a\nb\\c") == r"a b\c"


@pytest.mark.parametrize("number", ["1234-5678", "+31 (6) 12.34/5678", "12345678"])
def test_a_telephone_number_may_be_echoed_without_its_prefix(number: str) -> None:
    """The last eight digits are the same in every notation."""
    assert plain_forms(number) == {number, "12345678"}


@pytest.mark.parametrize("value", ["1234-567", "order 12345678", "Rotterdam", "x"])
def test_other_values_have_no_last_digits(value: str) -> None:
    """A text, or a number with fewer digits, has none."""
    assert plain_forms(value) == {value}


@pytest.mark.parametrize("local", ["jan", '"jan@home"'])
def test_a_domain_may_be_echoed_in_punycode(local: str) -> None:
    """Each label that is not ASCII is encoded."""
    value = f"{local}@müller.Bücher.example"
    assert {"mller-kva", "bcher-kva"} <= plain_forms(value)
    assert "example-" not in plain_forms(value)


def test_a_digest_may_be_of_the_value_in_lower_case() -> None:
    """Spaces at its ends are removed, the usual way to hash addresses."""
    for text in ("Mila@shop.example", "mila@shop.example"):
        assert hashlib.sha256(text.encode()).hexdigest() in forms(" Mila@shop.example ")


@pytest.mark.parametrize(
    ("digits", "text"),
    [
        ("YWJX", "abW"),
        ("YWJjZGU=", "abcde"),
        ("YWJ-", "ab~"),
        ("YWI_", "ab?"),
        ("YWJjZ", "abc"),
        ("610062", "a b"),
    ],
)
def test_encoded_digits_contain_a_text(digits: str, text: str) -> None:
    """In either base64, without its padding; unprintable characters are spaces."""
    assert (digits, text) in set(hidden_texts(digits))


def test_hexadecimal_digits_may_begin_in_two_places() -> None:
    """They begin with the first, or after a letter that looks like one."""
    assert list(hidden_texts("616263"))[4:] == [("616263", "abc"), ("616263", " &")]
