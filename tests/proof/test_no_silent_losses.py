"""Faults of whole shops: keys, tables, zones and times that change."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from itertools import count
from pathlib import Path
from unittest.mock import patch

import pytest
from support.postgres import Cluster

from proof.silent_losses import days, lose
from syncd.capture import stamps
from syncd.capture.reconciliation_run import OrderCount
from syncd.core.stamps import Appearance, Shift, find_shift
from syncd.ledger import identity
from syncd.ledger import reused_keys as reuse

pytestmark = [pytest.mark.db, pytest.mark.timeout(300)]

ALONE = [troubles for troubles in days() if len(troubles) == 1]


def only_late(seen: Sequence[Appearance]) -> Shift | None:
    shift = find_shift(seen)
    return shift if shift and shift.offset > timedelta(0) else None


BUGS: dict[str, AbstractContextManager[object]] = {
    "reused keys": patch.object(
        reuse, "is_another", lambda known, listed: known.orderid != listed.orderid
    ),
    "swapped table": patch.object(
        identity,
        "replaced",
        lambda known, _now, names, *_: [t for t in known.tables if t.name not in names],
    ),
    "changed zone": patch.object(stamps, "find_shift", only_late),
    "NULL times": patch.object(OrderCount, "count_without_time", lambda *_: 0),
}
"""The same number is the same order; a table that has its name is the same; stamps are
only ever too late; what has no time lies in no range."""

_numbers = count(1)


@pytest.fixture
def empty(server: Cluster) -> Iterator[str]:
    name = f"silence{next(_numbers)}"
    server.sql(f"CREATE DATABASE {name}")
    yield server.dsn(name)
    server.sql(f"DROP DATABASE {name} WITH (FORCE)")
    server.sql(f"DROP ROLE role_{name}")


@pytest.mark.parametrize("troubles", ALONE, ids=" then ".join)
def test_a_fault_is_reported(
    empty: str, tmp_path: Path, troubles: tuple[str, ...]
) -> None:
    """Each order was sent, or the fault that hid it is reported."""
    loss = lose(empty, tmp_path, troubles)
    assert not loss, loss


@pytest.mark.soak
@pytest.mark.parametrize(
    "troubles", [t for t in days() if t not in ALONE], ids=" then ".join
)
def test_two_faults_are_both_reported(
    empty: str, tmp_path: Path, troubles: tuple[str, ...]
) -> None:
    """The faults occur one after the other, in each order."""
    loss = lose(empty, tmp_path, troubles)
    assert not loss, loss


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_found(empty: str, tmp_path: Path, bug: str) -> None:
    """Otherwise the absence of findings would mean nothing."""
    with BUGS[bug]:
        assert lose(empty, tmp_path, (bug,))
