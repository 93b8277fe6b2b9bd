from collections.abc import Callable

import pytest
from support.harness import Harness
from support.postgres import wait_until

from syncd.core.errors import SyncdError
from syncd.core.turn import Turn
from syncd.daemon.housekeeping import Housekeeping
from syncd.ledger.clone_guard import CloneGuard
from syncd.log.log import Log

pytestmark = pytest.mark.db


@pytest.mark.parametrize("name", ["identity", "mended", "stamps"])
def test_a_job_that_failed_is_due_until_it_succeeds(
    harness: Harness, name: str
) -> None:
    """So its recovery is logged within seconds, not after its usual interval."""
    components, feed = harness.components, harness.feed
    run: Callable[[], Turn]
    first: Callable[[], object]
    if name == "mended":
        mended = components.mended_job(feed)
        run, first = mended.run, mended.run_pass
    elif name == "identity":
        run = first = components.identity_job(feed).run
    else:
        run = first = components.stamp_watch(feed).check
    with harness.shop.without("ledger"), pytest.raises(SyncdError):
        first()
    wait_until(lambda: run() is Turn.DONE, 10)
    assert run() is Turn.NOT_DUE


def test_a_requested_probe_survives_a_database_failure(harness: Harness) -> None:
    """SIGHUP requests it once; it is made when the database is available."""
    components = harness.components
    settings, feed = harness.settings, harness.feed
    database, log = harness.database, Log("shop")
    guard = CloneGuard(database, feed.feed_id, "shop", None, log)
    housekeeping = Housekeeping(settings, database, feed, harness.instance, guard)
    components.is_to_retry.set()
    with harness.shop.without("endpoint"), pytest.raises(SyncdError):
        housekeeping.run(components, log)
    assert components.is_to_retry.is_set()
    housekeeping.run(components, log)
    assert not components.is_to_retry.is_set()
