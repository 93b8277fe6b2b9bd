"""How a text reads without its escapes."""

from syncd.core.echo import readings, unescaped


def test_escapes_are_taken_off_four_deep() -> None:
    """An answer cannot make that take long; what lies deeper stays escaped."""
    assert list(readings("a%25252540b")) == ["a@b"]
    assert list(readings("a%2525252540b")) == ["a%40b"]


def test_escapes_of_json_and_html_hide_nothing() -> None:
    """Those of URLs are left alone: they may be meant."""
    assert unescaped("M&uuml;ller \\u0040 100%25") == "Müller @ 100%25"
