"""The comparison of `tests/support/mutants.py`; mutmut itself is run manually."""

import pytest
from support.mutants import NAMED, changed_line, faults, read_named


def test_a_mutant_is_identified_by_the_line_it_changes() -> None:
    """A long line is shortened around the change."""
    original = f"def f(a):\n    if a < 1:\n        return {'a' * 40, 2}"
    mutant = original.replace("<", "<=")
    other = original.replace("2", "3")

    assert changed_line(original, mutant) == "if a < 1: => if a <= 1:"
    shown = f"{'a' * 27}', "
    assert changed_line(original, other) == f"{shown}2) => {shown}3)"


def test_survivors_and_listed_mutants_must_agree() -> None:
    """An obsolete reason is reported as well."""
    assert faults({"a", "b"}, {"b", "c"}) == [
        "survived, not named: a",
        "named, but caught: c",
    ]
    assert faults({"a"}, {"a"}) == []


@pytest.mark.parametrize(("reason", "mutants"), [("", "a"), ("why", "a\na")])
def test_a_survivor_has_one_reason(reason: str, mutants: str) -> None:
    """One without a reason, or listed twice, is refused."""
    document = f"[[group]]\nreason = '{reason}'\nmutants = '''{mutants}'''"
    with pytest.raises(ValueError, match="named twice, or without"):
        read_named(document)


def test_each_survivor_of_the_core_has_a_reason() -> None:
    """The committed list can be parsed."""
    assert all(": " in name for name in read_named(NAMED.read_text()))
