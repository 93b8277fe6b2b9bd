"""Lines of a plan, wrapped for a terminal."""

from io import StringIO

import pytest
from rich.console import Console

from syncd.cli.output import print_line
from syncd.cli.plan import duration


@pytest.mark.parametrize(
    ("line", "hang", "expected"),
    [
        ("orders are sent once", 0, ["orders are sent", "once"]),
        ("  2 cannot be sent", 0, ["  2 cannot be", "    sent"]),
        ("1 paused: 3 of 5 left", 4, ["1 paused: 3", "    of 5", "    left"]),
        ("  order [red]: bad", 0, ["  order [red]:", "    bad"]),
    ],
)
def test_a_long_line_is_wrapped_with_a_hanging_indent(
    line: str, hang: int, expected: list[str]
) -> None:
    """Brackets in the line are text, not markup."""
    shown = StringIO()
    print_line(Console(file=shown, width=15 if hang == 0 else 12), line, hang=hang)
    assert shown.getvalue().splitlines() == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(1, "1 s"), (89, "89 s"), (90, "2 min"), (7_200, "2 h"), (300_000, "3 days")],
)
def test_a_duration_has_one_unit(seconds: float, expected: str) -> None:
    """The largest of which there are at least one and a half."""
    assert duration(seconds) == expected
