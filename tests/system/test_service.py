"""The unit on a real systemd: started, killed, stopped, reloaded, misconfigured."""

import json
from collections.abc import Iterator

import pytest
from support.postgres import wait_until

from system.machine import CLAIMED, LEFT, Machine

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]

UNIT = "syncd@shop"


@pytest.fixture
def shop(box: Machine) -> Iterator[Machine]:
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


def test_a_start_ends_when_the_daemon_is_ready(shop: Machine) -> None:
    """Active means: database and ledger answer; how it stands is shown by systemctl."""
    assert shop.is_active(UNIT)
    (started, *_) = shop.events(UNIT, "daemon.started")
    assert started["feed"] == "shop"
    orders = shop.confirm(5)
    wait_until(shop.arrived(orders))
    wait_until(lambda: shop.show(UNIT, "StatusText") ==
               ["lag 0 s, 0 pending, endpoint available"])  # fmt: skip


def test_the_journal_has_priorities_and_json(shop: Machine) -> None:
    """So `journalctl -p warning` works, and each message is one object."""
    orders = shop.confirm(1)
    wait_until(shop.arrived(orders))
    entries = shop.entries(UNIT)
    read = [(entry["PRIORITY"], json.loads(entry["MESSAGE"])) for entry in entries]
    level = {"critical": "2", "error": "3", "warning": "4", "info": "6"}
    assert {p == level[line["level"]] for p, line in read} == {True}
    assert {"info", "warning"} <= {line["level"] for _, line in read}
    assert {entry["SYSLOG_IDENTIFIER"] for entry in entries} == {"syncd-shop"}
    user = shop.run("id", "-u", "syncd").strip()
    assert {entry["_UID"] for entry in entries} == {user} != {"0"}


def test_a_killed_daemon_is_restarted_and_nothing_is_lost(shop: Machine) -> None:
    """SIGKILL, as from the kernel when memory is short; the claim is found again."""
    shop.fail("latency", seconds=2)
    orders = shop.confirm(5)
    wait_until(lambda: shop.sql(CLAIMED) == "1\n")
    shop.systemctl("kill", "-s", "KILL", UNIT)
    orders += shop.confirm(5)
    wait_until(lambda: restarts(shop) == 1 and shop.is_active(UNIT), 30)
    wait_until(shop.arrived(orders), 60)
    wait_until(lambda: shop.sql(LEFT) == "0\n")


def test_a_stopped_process_is_restarted_by_the_watchdog(shop: Machine) -> None:
    """SIGSTOP: alive, and doing nothing."""
    shop.systemctl("kill", "-s", "STOP", "--kill-whom=main", UNIT)
    orders = shop.confirm(3)
    wait_until(lambda: restarts(shop) == 1 and shop.is_active(UNIT), 60)
    wait_until(shop.arrived(orders), 30)
    journal = shop.run("journalctl", "-u", UNIT, "-o", "cat", "--no-pager")
    assert "Watchdog timeout" in journal


def test_a_stop_finishes_the_request_in_hand(shop: Machine) -> None:
    """Also when that takes longer than TimeoutStopSec: it says that it goes on."""
    shop.drop_in(UNIT, "[Service]\nTimeoutStopSec=1s\n")
    shop.fail("latency", seconds=4)
    orders = shop.confirm(1)
    wait_until(lambda: shop.sql(CLAIMED) == "1\n")
    shop.systemctl("stop", UNIT)
    assert shop.show(UNIT, "Result", "ActiveState") == ["success", "inactive"]
    assert [shop.posts()[order] for order in orders] == [1]
    assert shop.events(UNIT, "daemon.stopped")[-1]["exit_code"] == 0


def test_a_reload_takes_new_settings_and_loses_nothing(shop: Machine) -> None:
    """Same process; while orders come in."""
    pid = shop.show(UNIT, "MainPID")
    before = len(shop.events(UNIT, "config.reloaded"))
    orders = []
    for size in (3, 5):
        orders += shop.confirm(20)
        shop.configure("shop", "dbname=shop user=syncd", f"batch_size = {size}")
        shop.systemctl("reload", UNIT)
        count = before + (size - 1) // 2
        wait_until(lambda n=count: len(shop.events(UNIT, "config.reloaded")) == n)
    orders += shop.confirm(20)
    wait_until(shop.arrived(orders), 30)
    assert {shop.posts()[order] for order in orders} == {1}
    assert shop.show(UNIT, "MainPID") == pid
    assert shop.is_active(UNIT)


def test_a_reload_of_a_wrong_configuration_changes_nothing(shop: Machine) -> None:
    """It stays active, and one line says what is wrong."""
    shop.configure("shop", "dbname=shop user=syncd", "batch_size = 0")
    shop.systemctl("reload", UNIT)
    wait_until(lambda: shop.events(UNIT, "config.rejected"))
    assert "batch_size" in str(shop.events(UNIT, "config.rejected")[-1]["reason"])
    orders = shop.confirm(2)
    wait_until(shop.arrived(orders))
    wait_until(lambda: shop.is_active(UNIT))


def test_a_wrong_configuration_fails_once(shop: Machine) -> None:
    """One clear line, exit code 78, and no second start."""
    shop.systemctl("stop", UNIT)
    shop.configure("shop", "dbname=shop user=syncd", "batch_size = 0")
    before = len(shop.events(UNIT, "daemon.failed"))
    shop.systemctl("start", UNIT, check=False)
    wait_until(lambda: shop.show(UNIT, "ActiveState") == ["failed"])
    shop.run("sleep", "1")  # five times RestartSec
    assert shop.show(UNIT, "ActiveState", "ExecMainStatus", "NRestarts") == \
        ["failed", "78", "0"]  # fmt: skip
    (failed,) = shop.events(UNIT, "daemon.failed")[before:]
    assert "batch_size" in str(failed["reason"])


def test_a_database_that_is_down_at_boot_is_waited_for(shop: Machine) -> None:
    """Activating, beyond TimeoutStartSec; then active without anybody's help."""
    shop.drop_in(UNIT, "[Service]\nTimeoutStartSec=2s\n")
    shop.systemctl("stop", UNIT, shop.postgresql)
    shop.systemctl("start", "--no-block", UNIT)
    try:
        wait_until(
            lambda: shop.show(UNIT, "StatusText") == ["waiting for the database"]
        )
        shop.run("sleep", "3")
        assert shop.show(UNIT, "ActiveState", "NRestarts") == ["activating", "0"]
    finally:
        shop.systemctl("start", shop.postgresql)
    wait_until(lambda: shop.is_active(UNIT), 60)
    assert restarts(shop) == 0


def test_two_shops_run_side_by_side(shop: Machine) -> None:
    """Each with its own configuration, key, state and lines."""
    shop.systemctl("start", "syncd@second")
    assert shop.is_active("syncd@second")
    orders = shop.confirm(1), shop.confirm(1, "second")
    wait_until(lambda: [e["orders"] for e in shop.events(
        "syncd@second", "batch.delivered")] == [1])  # fmt: skip
    wait_until(shop.arrived(orders[0]))
    for name in ("shop", "second"):
        wait_until(lambda n=name: shop.run("cat", f"/var/lib/syncd/{n}/{n}.json"))


def test_the_single_shops_unit_takes_its_password_from_a_credential(
    shop: Machine,
) -> None:
    """The whole DSN, over TCP; in no file that the daemon's user could read."""
    shop.sql("ALTER ROLE syncd PASSWORD 'canary-4711'", "postgres")
    dsn = "host=127.0.0.1 dbname=syncd user=syncd password=canary-4711"
    shop.configure("syncd", "dbname=nowhere user=nobody")
    shop.write("/etc/syncd/syncd.source-dsn", dsn, "600")
    shop.systemctl("start", "syncd")
    orders = shop.confirm(1, "syncd")
    wait_until(lambda: shop.events("syncd", "batch.delivered"))
    assert orders
    over_tcp = "SELECT count(*) > 0 FROM pg_stat_activity WHERE client_addr IS NOT NULL"
    assert shop.sql(over_tcp) == "t\n"
    assert "canary-4711" not in json.dumps(shop.entries("syncd"))
