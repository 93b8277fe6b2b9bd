from collections.abc import Callable
from unittest.mock import patch

import pytest
from support.harness import Harness

from proof import claims
from proof.claims import explore
from syncd.ledger import batches as ledger
from syncd.postgres.statements import Statement, query

pytestmark = pytest.mark.db


def with_bug(name: str, old: str, new: str) -> Callable[[str], Statement]:
    """Find statements as syncd does, but one with a bug."""

    def find(requested: str) -> Statement:
        text = query(requested).text
        if requested != name:
            return query(requested)
        assert old.encode() in text
        return Statement(text.replace(old.encode(), new.encode()))

    return find


BEGINS: list[tuple[list[str], int]] = [
    ([], 1),
    (["crash 2"], 2),
    (["promotion 2"], 1),
    (["a hears nothing"], 1),
]
BUGS = {
    "any attempt of that number is proof": (
        ("deliver", "AND a.claim_token = %(token)s", ""),
        ["crash 2", "b claims"],
    ),
    "a lost claim is not counted": (
        ("doubt_orders", "uncertain_attempts = b.uncertain_attempts + 1,", ""),
        ["crash 2"],
    ),
    "a promotion counts nothing": (
        ("note_promotion", "uncertain_attempts = b.uncertain_attempts + 1,", ""),
        ["a hears nothing"],
    ),
    "who takes over counts nothing": (
        ("take_over", "uncertain_attempts = b.uncertain_attempts + 1,", ""),
        ["leases end"],
    ),
}


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("begin", "depth"), BEGINS)
def test_no_path_of_a_claim_hides_anything(
    harness: Harness, begin: list[str], depth: int
) -> None:
    """Captured, claimed, sent, set aside, taken over, settled late, lost."""
    for trail, broken in explore(harness, depth, begin):
        assert not broken, (broken, begin, trail)


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_no_longer_path_of_a_claim_hides_anything(harness: Harness) -> None:
    """The paths have any four moves after the first POST."""
    for trail, broken in explore(harness, 4):
        assert not broken, (broken, trail)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_found(harness: Harness, bug: str) -> None:
    """Otherwise the absence of findings would mean nothing."""
    plant, begin = BUGS[bug]
    find = with_bug(*plant)
    with patch.object(ledger, "query", find), patch.object(claims, "query", find):
        assert any(broken for _, broken in explore(harness, 1, begin))
