"""A machine with faults: a full disk, no memory, no API. Nothing is lost."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.postgres import wait_until

from system.machine import API, CLAIMED, LEFT, Machine

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]

UNIT = "syncd@shop"
STATE = "/var/lib/private/syncd/shop"
MOVE = """
SELECT format('ALTER %s syncd.%I SET TABLESPACE small',
              CASE relkind WHEN 'i' THEN 'INDEX' ELSE 'TABLE' END, relname)
  FROM pg_class
 WHERE relnamespace = 'syncd'::regnamespace AND relkind IN ('r', 'i')
\\gexec
"""
MEMORY = Path("/sys/fs/cgroup/memory")
FILL = "dd if=/dev/zero of={}/filler bs=4k 2>/dev/null; true"


@pytest.fixture
def serving_box(box: Machine) -> Iterator[Machine]:
    """The machine with one shop's daemon running."""
    box.configure("shop", "dbname=shop user=syncd")
    box.systemctl("reset-failed")
    box.systemctl("start", UNIT)
    yield box
    box.run("curl", "-sf", "-X", "DELETE", f"{API}/sandbox/faults")
    box.systemctl("stop", UNIT)
    box.run("rm", "-rf", f"/etc/systemd/system/{UNIT}.service.d")
    box.systemctl("daemon-reload")


@contextmanager
def limit_memory(pid: int) -> Iterator[Path]:
    """Limit the memory of a process of this machine to what it has."""
    group = MEMORY / f"short-{pid}"
    group.mkdir()
    try:
        (group / "memory.limit_in_bytes").write_text("64K")
        (group / "cgroup.procs").write_text(str(pid))
        yield group
    finally:
        wait_until(lambda: not (group / "cgroup.procs").read_text())
        group.rmdir()


def test_after_the_oom_killer_nothing_is_lost(
    serving_box: Machine,
) -> None:
    """The real one: by a memory limit, while a request is in flight."""
    if not (MEMORY / "cgroup.procs").exists():
        pytest.skip("WANT OF MEMORY IS NOT TESTED: no memory controller of cgroup v1")
    serving_box.fail("latency", seconds=2)
    orders = serving_box.confirm(5)
    wait_until(lambda: serving_box.sql(CLAIMED) == "1\n")
    (main,) = serving_box.show(UNIT, "MainPID")
    with limit_memory(serving_box.pid_outside(int(main))) as group:
        orders += serving_box.confirm(100)
        wait_until(lambda: serving_box.show(UNIT, "NRestarts") == ["1"], 60)
        assert "oom_kill 1" in (group / "memory.oom_control").read_text()
    wait_until(lambda: serving_box.is_active(UNIT), 30)
    wait_until(serving_box.arrived(orders), 60)
    wait_until(lambda: serving_box.sql(LEFT) == "0\n")


def test_a_stop_during_an_outage_of_the_api_is_quick(serving_box: Machine) -> None:
    """No batch is in flight; the orders are sent by the next start."""
    serving_box.fail("server-error", times=1_000, status=503)
    before = len(serving_box.events(UNIT, "batch.deferred"))
    orders = serving_box.confirm(3)
    wait_until(lambda: len(serving_box.events(UNIT, "batch.deferred")) > before)
    serving_box.drop_in(UNIT, "[Service]\nTimeoutStopSec=5s\n")
    serving_box.systemctl("stop", UNIT)
    assert serving_box.show(UNIT, "Result", "ExecMainStatus") == ["success", "0"]
    serving_box.run("curl", "-sf", "-X", "DELETE", f"{API}/sandbox/faults")
    serving_box.systemctl("start", UNIT)
    wait_until(serving_box.arrived(orders), 30)


@pytest.fixture
def small(box: Machine) -> Iterator[Machine]:
    """The machine with a disk of 8 MB at /small; the daemon is not running."""
    box.run("mkdir", "-p", "/small")
    box.run("mount", "-t", "tmpfs", "-o", "size=8m,mode=777", "small", "/small")
    box.configure("shop", "dbname=shop user=syncd")
    yield box
    box.systemctl("stop", UNIT)
    box.run("umount", "-l", "/small")


def out_of_space(machine: Machine) -> list[str]:
    """Return the reasons: a statement that reads a view may be the one out of space."""
    events = ("database.unavailable", "views.unavailable")
    found = [line for event in events for line in machine.events("syncd@full", event)]
    return [str(line["reason"]) for line in found]


def faults(machine: Machine, kind: str) -> list[dict[str, object]]:
    """Return the faults in the journal, which also has those of earlier tests."""
    failed = machine.events(UNIT, "database.unavailable")
    return [line for line in failed if line["error_kind"] == kind]


def test_a_full_state_directory_stops_no_order(small: Machine) -> None:
    """The state file cannot be written: one line logs it, orders are sent."""
    small.run("mkdir", "-p", STATE)
    small.run("mount", "-t", "tmpfs", "-o", "size=64k,mode=700", "state", STATE)
    try:
        small.run("sh", "-c", FILL.format(STATE))
        small.systemctl("start", UNIT)
        wait_until(lambda: faults(small, "StateUnavailableError"))
        (failed, *_) = faults(small, "StateUnavailableError")
        assert "No space left on device" in str(failed["reason"])
        orders = small.confirm(3)
        wait_until(small.arrived(orders))
        small.run("rm", f"{STATE}/filler")
        wait_until(lambda: small.events(UNIT, "database.recovered"), 40)
    finally:
        small.systemctl("stop", UNIT)
        small.run("umount", STATE)


def test_a_full_disk_of_the_database_is_waited_for(small: Machine) -> None:
    """SQLSTATE 53100 when the ledger has to grow; no order is lost or repeated."""
    small.open_shop("full", 300_001)
    small.run("install", "-d", "-o", "postgres", "/small/pg")
    small.sql("CREATE TABLESPACE small LOCATION '/small/pg'", "postgres")
    small.sql(MOVE, "full")
    before = small.totals()
    small.systemctl("start", "syncd@full")
    try:
        small.run("sh", "-c", FILL.format("/small"))
        orders = 0
        while not (failed := out_of_space(small)):
            if orders < 30_000:  # more than there is room for
                orders += len(small.confirm(1_000, "full"))
            assert small.is_active("syncd@full")
        assert "No space left on device" in failed[0] or "53100" in failed[0]
        assert small.is_active("syncd@full")
        small.run("rm", "/small/filler")
        sent = before["orderids"] + orders
        wait_until(lambda: small.totals()["orderids"] == sent, 90)
        wait_until(lambda: small.sql(LEFT, "full") == "0\n")
        assert small.totals()["repeats"] == before["repeats"]
    finally:
        small.systemctl("stop", "syncd@full")
        small.sql('DROP DATABASE "full" WITH (FORCE)', "postgres")
        small.sql("DROP TABLESPACE small", "postgres")
