from collections.abc import Callable

import pytest
from support.harness import Harness
from support.postgres import wait_until

from syncd.core.errors import SyncdError
from syncd.core.schedule import Turn
from syncd.daemon.housekeeping import Housekeeping

pytestmark = pytest.mark.db


@pytest.mark.parametrize("name", ["identity", "mended", "stamps"])
def test_a_job_that_failed_is_due_until_it_succeeds(
    harness: Harness, name: str
) -> None:
    """So its recovery is logged within seconds, not after its usual interval."""
    components = harness.components
    run: Callable[[], Turn]
    first: Callable[[], object]
    if name == "mended":
        mended = components.mended_job()
        run, first = mended.run, mended.run_pass
    elif name == "identity":
        run = first = components.identity_job().run
    else:
        run = first = components.stamp_watch().check
    with harness.shop.without("ledger"), pytest.raises(SyncdError):
        first()
    wait_until(lambda: run() is Turn.DONE, 10)
    assert run() is Turn.NOT_DUE


def test_a_requested_probe_survives_a_database_failure(harness: Harness) -> None:
    """SIGHUP requests it once; it is made when the database is available."""
    components = harness.components
    housekeeping = Housekeeping(harness.opened, components)
    components.is_to_retry.set()
    with harness.shop.without("endpoint"), pytest.raises(SyncdError):
        housekeeping.run()
    assert components.is_to_retry.is_set()
    housekeeping.run()
    assert not components.is_to_retry.is_set()
