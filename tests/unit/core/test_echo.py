"""How a text reads without its escapes, and in which forms it may come back."""

import hashlib

import pytest

from syncd.core.echo import forms, hidden_texts, readings, unescaped


def spelt(value: str) -> set[str]:
    """Return the forms of a value that are no digests."""
    return {form for form in forms(value) if form and len(form) < 32}


def test_escapes_are_taken_off_four_deep() -> None:
    """An answer cannot make that take long; what lies deeper stays escaped."""
    assert list(readings("a%25252540b")) == ["a@b"]
    assert list(readings("a%2525252540b")) == ["a%40b"]


def test_escapes_of_json_and_html_hide_nothing() -> None:
    """Those of URLs are left alone: they may be meant."""
    assert unescaped("M&uuml;ller \\u0040 100%25") == "Müller @ 100%25"


def test_an_escaped_control_character_is_a_blank() -> None:
    """It parts two words."""
    assert unescaped(r"a\nb\\c") == r"a b\c"


@pytest.mark.parametrize("number", ["1234-5678", "+31 (6) 12.34/5678", "12345678"])
def test_a_telephone_number_may_come_back_without_its_beginning(number: str) -> None:
    """The last eight digits stay the same however it is written."""
    assert spelt(number) == {number, "12345678"}


@pytest.mark.parametrize("value", ["1234-567", "order 12345678", "Rotterdam", "x"])
def test_what_is_no_telephone_number_has_no_last_digits(value: str) -> None:
    """Neither a text, nor fewer digits."""
    assert spelt(value) == {value}


@pytest.mark.parametrize("local", ["jan", '"jan@home"'])
def test_a_domain_may_come_back_as_the_dns_has_it(local: str) -> None:
    """Each name of it that is not ASCII."""
    value = f"{local}@müller.Bücher.example"
    assert {"mller-kva", "bcher-kva"} <= spelt(value)
    assert "example-" not in spelt(value)


def test_a_digest_may_be_of_the_value_in_small_letters() -> None:
    """Without blanks at its ends, as those who digest addresses do it."""
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
def test_encoded_digits_hide_a_text(digits: str, text: str) -> None:
    """Of either base64, without its end, and with a blank for what nobody can read."""
    assert (digits, text) in set(hidden_texts(digits))


def test_hexadecimal_digits_may_begin_in_two_places() -> None:
    """With the first, or with the second after a letter that looks like one."""
    assert list(hidden_texts("616263"))[4:] == [("616263", "abc"), ("616263", " &")]
