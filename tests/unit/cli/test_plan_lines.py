"""Lines of a plan, wrapped for a terminal."""

from io import StringIO

import pytest
from rich.console import Console

from syncd.cli.plan import duration
from syncd.cli.prose import print_line


@pytest.mark.parametrize(
    ("line", "hang", "said"),
    [
        ("orders are sent once", 0, ["orders are sent", "once"]),
        ("  2 cannot be sent", 0, ["  2 cannot be", "    sent"]),
        ("1 paused: 3 of 5 left", 4, ["1 paused: 3", "    of 5", "    left"]),
        ("  order [red]: bad", 0, ["  order [red]:", "    bad"]),
    ],
)
def test_what_is_left_of_a_line_stands_below_it(
    line: str, hang: int, said: list[str]
) -> None:
    """Indented like its beginning and more; brackets are text."""
    shown = StringIO()
    print_line(Console(file=shown, width=15 if hang == 0 else 12), line, hang=hang)
    assert shown.getvalue().splitlines() == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(1, "1 s"), (89, "89 s"), (90, "2 min"), (7_200, "2 h"), (300_000, "3 days")],
)
def test_a_duration_has_one_unit(seconds: float, said: str) -> None:
    """The largest of which there are one and a half."""
    assert duration(seconds) == said
