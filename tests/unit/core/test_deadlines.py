"""Which components are stuck, and which only wait."""

import pytest

from syncd.core.deadlines import Deadline, Overdue, forgiven, overdue

CASES = [
    ("nobody has begun", {}, 100, []),
    ("a step takes its time", {"capture": Deadline(0, 90, 7)}, 90, []),
    ("a step takes longer", {"capture": Deadline(0, 90, 7)}, 91, ["capture"]),
    ("a request may take its timeout", {"delivery-0": Deadline(0, 390, 7)}, 300, []),
    ("it rests for an hour, as told", {"reconcile": Deadline(0, 3690)}, 3600, []),
    ("its turn did not come", {"housekeeping": Deadline(0, 92)}, 93, ["housekeeping"]),
    (
        "one moves, another does not",
        {"capture": Deadline(199, 289, 7), "housekeeping": Deadline(0, 92, 8)},
        200,
        ["housekeeping"],
    ),
    (
        "two wait for each other",
        {"capture": Deadline(0, 90, 7), "housekeeping": Deadline(1, 91, 8)},
        100,
        ["capture", "housekeeping"],
    ),
]


@pytest.mark.parametrize(
    ("stamps", "now", "parts"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_a_component_is_overdue_when_its_time_is_over(
    stamps: dict[str, Deadline], now: float, parts: list[str]
) -> None:
    """Its last report set the length of that time."""
    assert [found.component for found in overdue(stamps, now)] == parts


def test_an_overdue_component_is_reported_with_its_duration() -> None:
    """The log line has both."""
    (found,) = overdue({"housekeeping": Deadline(10, 20, 8)}, 25)
    assert found == Overdue("housekeeping", 15, 8)


@pytest.mark.parametrize(("paused", "until"), [(1.0, 90.0), (5.0, 90.0), (60.0, 150.0)])
def test_a_suspended_process_makes_no_component_overdue(
    paused: float, until: float
) -> None:
    """A process that was stopped, or a machine that slept, paused as a whole."""
    assert forgiven({"housekeeping": Deadline(0, 90)}, paused) == {
        "housekeeping": Deadline(0, until)
    }
