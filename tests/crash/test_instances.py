"""Several daemons for one feed share the work through claims alone."""

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from psycopg.conninfo import make_conninfo
from support.postgres import Cluster, wait_until
from support.proxy import proxy
from support.shop import Shop

from syncd.demo.sandbox import Sandbox

pytestmark = pytest.mark.db


ELSEWHERE = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
IMPATIENT = (str(Path(__file__).parents[1] / "support" / "run_impatient.py"), "3")


def events(log: Path, name: str) -> list[dict[str, object]]:
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    return [line for line in lines if line["event"] == name]


def uncertain(shop: Shop) -> object:
    return shop.uncertain_attempts()


def wait_for_request_in_flight(shop: Shop, sandbox: Sandbox) -> None:
    """Wait until a batch is claimed and the API has its request."""
    wait_until(lambda: sandbox.received.totals.requests == 1)
    wait_until(lambda: shop.batches("sending") == 1)


def test_two_daemons_share_the_work_and_repeat_nothing(
    shop: Shop, sandbox: Sandbox, tmp_path: Path
) -> None:
    """In parallel, as during a deployment; each sends some batches."""
    config = shop.configure(tmp_path, sandbox.endpoint, batch_size=5)
    logs = [tmp_path / "one.log", tmp_path / "two.log"]
    daemons = [shop.start(config, log=log) for log in logs]
    for log in logs:
        wait_until(lambda log=log: "daemon.started" in log.read_text())
    sandbox.fail("latency", times=1_000, seconds=0.1)
    orders = [order for _ in range(10) for order in shop.confirm(60)]
    wait_until(lambda: sandbox.received.totals.orderids == 600)
    for daemon in daemons:
        daemon.terminate()
        assert daemon.wait(60) == 0
    assert {sandbox.received.posts(order) for order in orders} == {1}
    assert all(events(log, "batch.delivered") for log in logs)
    assert uncertain(shop) == 0


def test_a_killed_daemons_claim_is_taken_over_by_another(
    shop: Shop, sandbox: Sandbox, tmp_path: Path
) -> None:
    """Its lock is free and its process is gone; the repeat is counted."""
    config = shop.configure(tmp_path, sandbox.endpoint, timeout="30s")
    logs = [tmp_path / "one.log", tmp_path / "two.log"]
    first = shop.start(config, log=logs[0])
    wait_until(lambda: "daemon.started" in logs[0].read_text())
    sandbox.fail("hang", times=1)
    orders = shop.confirm(10)
    wait_for_request_in_flight(shop, sandbox)
    shop.start(config, log=logs[1])
    wait_until(lambda: "daemon.started" in logs[1].read_text())
    first.kill()
    wait_until(lambda: sandbox.received.totals.orderids == 10)
    assert {sandbox.received.posts(order) for order in orders} == {1}
    assert uncertain(shop) == 1
    assert events(logs[1], "batch.uncertain")


@pytest.mark.skipif(
    subprocess.run([*ELSEWHERE, "true"], check=False, capture_output=True).returncode
    != 0,
    reason="needs the right to make a process namespace",
)
def test_a_daemon_of_another_host_keeps_its_claim_until_its_lease_ends(
    shop: Shop, sandbox: Sandbox, tmp_path: Path
) -> None:
    """Another host cannot know that it is dead; a free lock alone is no proof."""
    config = shop.configure(tmp_path, sandbox.endpoint, timeout="4s")
    logs = [tmp_path / "one.log", tmp_path / "two.log"]
    first = shop.start(config, log=logs[0], program=IMPATIENT)
    wait_until(lambda: "daemon.started" in logs[0].read_text())
    sandbox.fail("hang", times=1)
    orders = shop.confirm(10)
    wait_for_request_in_flight(shop, sandbox)
    lease_until = shop.row_of("batch").lease_until
    first.kill()
    first.wait()
    shop.start_alone(config, log=logs[1], program=IMPATIENT, within=ELSEWHERE)
    wait_until(lambda: sandbox.received.totals.orderids == 10)
    assert shop.row_of("attempt", attempt=2).started_at > lease_until
    assert len({instance.host for instance in shop.rows_of("instance")}) == 2
    assert {sandbox.received.posts(order) for order in orders} == {1}
    assert uncertain(shop) == 1


def test_a_suspended_daemon_cannot_settle_a_claim_that_it_lost(
    shop: Shop, sandbox: Sandbox, tmp_path: Path
) -> None:
    """SIGSTOP beyond the lease: another sends; after SIGCONT it changes nothing."""
    config = shop.configure(tmp_path, sandbox.endpoint, timeout="4s")
    logs = [tmp_path / "one.log", tmp_path / "two.log"]
    first = shop.start(config, log=logs[0], program=IMPATIENT)
    wait_until(lambda: "daemon.started" in logs[0].read_text())
    sandbox.fail("hang", times=1)
    orders = shop.confirm(10)
    wait_for_request_in_flight(shop, sandbox)
    os.kill(first.pid, signal.SIGSTOP)
    try:
        second = shop.start(config, log=logs[1], program=IMPATIENT)
        wait_until(lambda: sandbox.received.totals.orderids == 10)
        wait_until(lambda: events(logs[1], "batch.delivered"))
        before = shop.row_of("batch")
    finally:
        os.kill(first.pid, signal.SIGCONT)
    more = shop.confirm(5)
    wait_until(lambda: sandbox.received.totals.orderids == 15)
    for daemon in (first, second):
        daemon.terminate()
        assert daemon.wait(60) == 0
    assert shop.rows_of("batch")[0] == before
    assert (before.state, before.attempts) == ("delivered", 2)
    assert before.uncertain_attempts == 1
    assert {sandbox.received.posts(order) for order in orders + more} == {1}


def test_a_daemon_cut_off_from_the_database_loses_nothing(
    shop: Shop, server: Cluster, sandbox: Sandbox, tmp_path: Path
) -> None:
    """Another takes its claims over after the lease; reconnected, it continues."""
    logs = [tmp_path / "one.log", tmp_path / "two.log"]
    with proxy(server.folder) as line:
        through = {"dsn": make_conninfo(shop.dsn, host="127.0.0.1", port=line.port)}
        config = shop.configure(tmp_path, sandbox.endpoint, through, timeout="4s")
        first = shop.start(config, log=logs[0], program=IMPATIENT)
        wait_until(lambda: "daemon.started" in logs[0].read_text())
        sandbox.fail("latency", times=1, seconds=3)
        orders = shop.confirm(10)
        wait_until(lambda: sandbox.received.totals.requests == 1)
        line.freeze()  # the response comes, and cannot be settled
        direct = shop.configure(tmp_path, sandbox.endpoint, timeout="4s")
        second = shop.start(direct, log=logs[1], program=IMPATIENT)
        wait_until(lambda: events(logs[1], "batch.delivered"))
        line.thaw()
        more = shop.confirm(5)
        wait_until(lambda: sandbox.received.totals.orderids == 15)
        wait_until(lambda: events(logs[0], "batch.delivered"))
        for daemon in (first, second):
            daemon.terminate()
            assert daemon.wait(60) == 0
    assert {sandbox.received.posts(order) for order in orders} == {2}
    assert {sandbox.received.posts(order) for order in more} == {1}
    assert uncertain(shop) == 1
