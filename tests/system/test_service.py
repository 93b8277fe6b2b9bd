"""The unit on a real systemd: started, killed, stopped, reloaded, misconfigured."""

import json
from collections.abc import Iterator

import pytest
from support.postgres import wait_until

from system.machine import CLAIMED, LEFT, Machine

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]

UNIT = "syncd@shop"


@pytest.fixture
def serving_box(box: Machine) -> Iterator[Machine]:
    """The machine with one shop's daemon running."""
    box.run("curl", "-sf", "-X", "DELETE", "http://127.0.0.1:8377/sandbox/faults")
    box.configure("shop", "dbname=shop user=syncd")
    box.systemctl("reset-failed")
    box.systemctl("start", UNIT)
    yield box
    box.systemctl("stop", UNIT, "syncd", "syncd@second")
    box.run("rm", "-rf", f"/etc/systemd/system/{UNIT}.service.d")
    box.systemctl("daemon-reload")


def restarts(box: Machine) -> int:
    return int(box.show(UNIT, "NRestarts")[0])


def test_a_start_ends_when_the_daemon_is_ready(serving_box: Machine) -> None:
    """Active means that database and ledger respond; systemctl shows the status."""
    assert serving_box.is_active(UNIT)
    (started, *_) = serving_box.events(UNIT, "daemon.started")
    assert started["feed"] == "shop"
    orders = serving_box.confirm(5)
    wait_until(serving_box.arrived(orders))
    wait_until(lambda: serving_box.show(UNIT, "StatusText") ==
               ["lag 0 s, 0 pending, endpoint available"])  # fmt: skip


def test_the_journal_has_priorities_and_json(serving_box: Machine) -> None:
    """So `journalctl -p warning` works, and each message is one object."""
    orders = serving_box.confirm(1)
    wait_until(serving_box.arrived(orders))
    entries = serving_box.entries(UNIT)
    read = [(entry["PRIORITY"], json.loads(entry["MESSAGE"])) for entry in entries]
    level = {"critical": "2", "error": "3", "warning": "4", "info": "6"}
    assert {p == level[line["level"]] for p, line in read} == {True}
    assert {"info", "warning"} <= {line["level"] for _, line in read}
    assert {entry["SYSLOG_IDENTIFIER"] for entry in entries} == {"syncd-shop"}
    user = serving_box.run("id", "-u", "syncd").strip()
    assert {entry["_UID"] for entry in entries} == {user} != {"0"}


def test_a_killed_daemon_is_restarted_and_nothing_is_lost(serving_box: Machine) -> None:
    """SIGKILL, as from the kernel when memory is short; the claim is taken over."""
    serving_box.fail("latency", seconds=2)
    orders = serving_box.confirm(5)
    wait_until(lambda: serving_box.sql(CLAIMED) == "1\n")
    serving_box.systemctl("kill", "-s", "KILL", UNIT)
    orders += serving_box.confirm(5)
    wait_until(lambda: restarts(serving_box) == 1 and serving_box.is_active(UNIT), 30)
    wait_until(serving_box.arrived(orders), 60)
    wait_until(lambda: serving_box.sql(LEFT) == "0\n")


def test_a_suspended_process_is_restarted_by_the_watchdog(serving_box: Machine) -> None:
    """A process after SIGSTOP is alive, but sends no pings."""
    serving_box.systemctl("kill", "-s", "STOP", "--kill-whom=main", UNIT)
    orders = serving_box.confirm(3)
    wait_until(lambda: restarts(serving_box) == 1 and serving_box.is_active(UNIT), 60)
    wait_until(serving_box.arrived(orders), 30)
    journal = serving_box.run("journalctl", "-u", UNIT, "-o", "cat", "--no-pager")
    assert "Watchdog timeout" in journal


def test_a_stop_finishes_the_request_in_flight(serving_box: Machine) -> None:
    """The daemon extends the limit beyond TimeoutStopSec."""
    serving_box.drop_in(UNIT, "[Service]\nTimeoutStopSec=1s\n")
    serving_box.fail("latency", seconds=4)
    orders = serving_box.confirm(1)
    wait_until(lambda: serving_box.sql(CLAIMED) == "1\n")
    serving_box.systemctl("stop", UNIT)
    assert serving_box.show(UNIT, "Result", "ActiveState") == ["success", "inactive"]
    assert [serving_box.posts()[order] for order in orders] == [1]
    assert serving_box.events(UNIT, "daemon.stopped")[-1]["exit_code"] == 0


def test_a_reload_applies_new_settings_and_loses_nothing(serving_box: Machine) -> None:
    """In the same process, while orders are confirmed."""
    pid = serving_box.show(UNIT, "MainPID")
    before = len(serving_box.events(UNIT, "config.reloaded"))
    orders = []
    for size in (3, 5):
        orders += serving_box.confirm(20)
        serving_box.configure("shop", "dbname=shop user=syncd", f"batch_size = {size}")
        serving_box.systemctl("reload", UNIT)
        count = before + (size - 1) // 2
        wait_until(
            lambda n=count: len(serving_box.events(UNIT, "config.reloaded")) == n
        )
    orders += serving_box.confirm(20)
    wait_until(serving_box.arrived(orders), 30)
    assert {serving_box.posts()[order] for order in orders} == {1}
    assert serving_box.show(UNIT, "MainPID") == pid
    assert serving_box.is_active(UNIT)


def test_a_reload_of_a_wrong_configuration_changes_nothing(
    serving_box: Machine,
) -> None:
    """It stays active, and one line has the reason."""
    serving_box.configure("shop", "dbname=shop user=syncd", "batch_size = 0")
    serving_box.systemctl("reload", UNIT)
    wait_until(lambda: serving_box.events(UNIT, "config.rejected"))
    assert "batch_size" in str(
        serving_box.events(UNIT, "config.rejected")[-1]["reason"]
    )
    orders = serving_box.confirm(2)
    wait_until(serving_box.arrived(orders))
    wait_until(lambda: serving_box.is_active(UNIT))


def test_a_wrong_configuration_fails_once(serving_box: Machine) -> None:
    """One clear line, exit code 78, and no second start."""
    serving_box.systemctl("stop", UNIT)
    serving_box.configure("shop", "dbname=shop user=syncd", "batch_size = 0")
    before = len(serving_box.events(UNIT, "daemon.failed"))
    serving_box.systemctl("start", UNIT, check=False)
    wait_until(lambda: serving_box.show(UNIT, "ActiveState") == ["failed"])
    serving_box.run("sleep", "1")  # five times RestartSec
    assert serving_box.show(UNIT, "ActiveState", "ExecMainStatus", "NRestarts") == \
        ["failed", "78", "0"]  # fmt: skip
    (failed,) = serving_box.events(UNIT, "daemon.failed")[before:]
    assert "batch_size" in str(failed["reason"])


def test_a_database_that_is_down_at_boot_is_waited_for(serving_box: Machine) -> None:
    """Activating, beyond TimeoutStartSec; then active without intervention."""
    serving_box.drop_in(UNIT, "[Service]\nTimeoutStartSec=2s\n")
    serving_box.systemctl("stop", UNIT, serving_box.postgresql)
    serving_box.systemctl("start", "--no-block", UNIT)
    try:
        wait_until(
            lambda: serving_box.show(UNIT, "StatusText") == ["waiting for the database"]
        )
        serving_box.run("sleep", "3")
        assert serving_box.show(UNIT, "ActiveState", "NRestarts") == ["activating", "0"]
    finally:
        serving_box.systemctl("start", serving_box.postgresql)
    wait_until(lambda: serving_box.is_active(UNIT), 60)
    assert restarts(serving_box) == 0


def test_two_shops_run_in_parallel(serving_box: Machine) -> None:
    """Each with its own configuration, key, state and lines."""
    serving_box.systemctl("start", "syncd@second")
    assert serving_box.is_active("syncd@second")
    orders = serving_box.confirm(1), serving_box.confirm(1, "second")
    wait_until(lambda: [e["orders"] for e in serving_box.events(
        "syncd@second", "batch.delivered")] == [1])  # fmt: skip
    wait_until(serving_box.arrived(orders[0]))
    for name in ("shop", "second"):
        wait_until(
            lambda n=name: serving_box.run("cat", f"/var/lib/syncd/{n}/{n}.json")
        )


def test_the_single_shops_unit_reads_its_password_from_a_credential(
    serving_box: Machine,
) -> None:
    """The whole DSN, over TCP; in no file that the daemon's user could read."""
    serving_box.sql("ALTER ROLE syncd PASSWORD 'canary-4711'", "postgres")
    dsn = "host=127.0.0.1 dbname=syncd user=syncd password=canary-4711"
    serving_box.configure("syncd", "dbname=nowhere user=nobody")
    serving_box.write("/etc/syncd/syncd.source-dsn", dsn, "600")
    serving_box.systemctl("start", "syncd")
    orders = serving_box.confirm(1, "syncd")
    wait_until(lambda: serving_box.events("syncd", "batch.delivered"))
    assert orders
    over_tcp = "SELECT count(*) > 0 FROM pg_stat_activity WHERE client_addr IS NOT NULL"
    assert serving_box.sql(over_tcp) == "t\n"
    assert "canary-4711" not in json.dumps(serving_box.entries("syncd"))
