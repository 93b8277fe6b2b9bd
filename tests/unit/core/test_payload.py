"""The body of a request, beyond what the contract tests send."""

import pytest

from syncd.core.payload import encode


def test_what_is_not_ascii_is_escaped_as_json_does() -> None:
    """Some characters need a pair of surrogates."""
    assert encode(['"é😀"'.encode()], "single") == rb'"\u00e9\ud83d\ude00"'


def test_bytes_that_are_no_text_are_refused() -> None:
    """The escaping applies to valid UTF-8 only."""
    with pytest.raises(UnicodeDecodeError):
        b"\xff".decode("utf-8", "syncd.json")


def test_events_are_a_list_in_an_object_or_a_single_object() -> None:
    """They are in the given order, byte for byte."""
    assert encode([b'{"a":1}', b'{"b":2}'], "events") == b'{"events":[{"a":1},{"b":2}]}'
    assert encode([b'{"a":1}'], "single") == b'{"a":1}'
    assert encode(['"é"'.encode(), b"2"], "events") == rb'{"events":["\u00e9",2]}'
