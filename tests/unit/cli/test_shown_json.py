"""JSON that is shown to people."""

import json

from hypothesis import given
from hypothesis import strategies as st

from syncd.cli.prose import shown_json


def test_characters_are_shown_as_they_are() -> None:
    """Letters of any script, and emoji that are joined."""
    text = 'Zoë 李小龙 ½ 👩‍🍳 "x"'
    assert json.dumps(text, ensure_ascii=False) in shown_json([text])


def test_what_a_terminal_would_obey_stays_escaped() -> None:
    """Also what turns the direction of a line."""
    assert (
        shown_json("\x1b[2J\x9b31m\u202e\u2028") == r'"\u001b[2J\u009b31m\u202e\u2028"'
    )


@given(st.text() | st.lists(st.text()))
def test_what_is_shown_is_still_the_value(value: object) -> None:
    """Whoever copies it has the event."""
    assert json.loads(shown_json(value)) == value
