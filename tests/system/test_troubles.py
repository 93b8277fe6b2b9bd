"""A machine in trouble: no room on a disk. Nothing is lost, it goes on by itself."""

from collections.abc import Iterator

import pytest
from postgres import wait_until

from system.machine import Machine

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]

UNIT = "syncd@shop"
STATE = "/var/lib/private/syncd/shop"
LEFT = "SELECT count(*) FROM syncd.batch WHERE state IN ('pending', 'sending')"
MOVE = """
SELECT format('ALTER %s syncd.%I SET TABLESPACE small',
              CASE relkind WHEN 'i' THEN 'INDEX' ELSE 'TABLE' END, relname)
  FROM pg_class
 WHERE relnamespace = 'syncd'::regnamespace AND relkind IN ('r', 'i')
\\gexec
"""
FILL = "dd if=/dev/zero of={}/filler bs=4k 2>/dev/null; true"


@pytest.fixture
def small(box: Machine) -> Iterator[Machine]:
    """The machine with a disk of 8 MB at /small; the daemon is not running."""
    box.run("mkdir", "-p", "/small")
    box.run("mount", "-t", "tmpfs", "-o", "size=8m,mode=777", "small", "/small")
    box.configure("shop", "dbname=shop user=syncd")
    yield box
    box.systemctl("stop", UNIT)
    box.run("umount", "-l", "/small")


def faults(machine: Machine, kind: str) -> list[dict[str, object]]:
    """The journal is the session's: other tests had their faults."""
    failed = machine.events(UNIT, "source.failed")
    return [line for line in failed if line["error_kind"] == kind]


def test_a_full_state_directory_stops_no_order(small: Machine) -> None:
    """What it remembers cannot be written: one line says so, orders go on."""
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
        wait_until(lambda: small.events(UNIT, "source.recovered"), 40)
    finally:
        small.systemctl("stop", UNIT)
        small.run("umount", STATE)


def test_a_full_disk_of_the_database_is_waited_for(small: Machine) -> None:
    """SQLSTATE 53100 when the ledger wants to grow; no order is lost or repeated."""
    small.open_shop("full", 300_001)
    small.run("install", "-d", "-o", "postgres", "/small/pg")
    small.sql("CREATE TABLESPACE small LOCATION '/small/pg'", "postgres")
    small.sql(MOVE, "full")
    before = small.totals()
    small.systemctl("start", "syncd@full")
    try:
        small.run("sh", "-c", FILL.format("/small"))
        orders = 0
        while not small.events("syncd@full", "source.failed"):
            orders += len(small.confirm(1_000, "full"))
            assert orders < 30_000
        (failed, *_) = small.events("syncd@full", "source.failed")
        assert failed["error_kind"] == "DatabaseUnavailableError"
        assert "No space left on device" in str(failed["reason"])
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
