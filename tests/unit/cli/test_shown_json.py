"""JSON as it is shown to people."""

import json

from hypothesis import given
from hypothesis import strategies as st

from syncd.cli.output import shown_json


def test_characters_are_not_escaped() -> None:
    """Letters of any script, and emoji sequences."""
    text = 'Zoë 李小龙 ½ 👩‍🍳 "x"'
    assert json.dumps(text, ensure_ascii=False) in shown_json([text])


def test_control_characters_stay_escaped() -> None:
    """Characters that change the direction of a line do, too."""
    assert (
        shown_json("\x1b[2J\x9b31m\u202e\u2028") == r'"\u001b[2J\u009b31m\u202e\u2028"'
    )


@given(st.text() | st.lists(st.text()))
def test_the_output_parses_to_the_value(value: object) -> None:
    """A person may copy the output and use it as the event."""
    assert json.loads(shown_json(value)) == value
