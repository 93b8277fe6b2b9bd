"""The consumers of the journal, as the documents install them, on a real systemd."""

import json
from collections.abc import Iterator

import pytest
from support.consumers import MONITORING, tool
from support.postgres import wait_until

from system.machine import Machine

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]

UNITS = {"syncd@shop": "shop", "syncd": "syncd"}


@pytest.fixture
def both(box: Machine) -> Iterator[Machine]:
    """The machine with the single shop's daemon and one of several."""
    for unit, name in UNITS.items():
        box.configure(name, f"dbname={name} user=syncd")
        box.systemctl("start", unit)
    yield box
    box.systemctl("stop", *UNITS)


def test_mtail_reads_every_unit_of_the_host(both: Machine) -> None:
    """By the shipped unit, as a user who may read the journal and nothing else."""
    tool("mtail")
    program = (MONITORING / "syncd.mtail").read_text()
    both.write("/etc/syncd/monitoring/syncd.mtail", program)
    unit = (MONITORING / "syncd-mtail.service").read_text()
    both.write("/etc/systemd/system/syncd-mtail.service", unit)
    both.systemctl("daemon-reload")
    both.systemctl("start", "syncd-mtail")
    try:
        for name in UNITS.values():
            both.confirm(1, name)
            wait_until(
                lambda feed=name: (
                    f'syncd_captured_orders_total{{capture="poll",feed='
                    f'"{feed}"}}' in both.run("curl", "-s", "localhost:3903/metrics")
                ),
                30,
            )
    finally:
        both.systemctl("stop", "syncd-mtail")


def test_rsyslog_writes_a_file_for_every_feed_of_the_host(both: Machine) -> None:
    """From the journal, by the shipped rules as they are."""
    tool("rsyslogd")
    rules = (MONITORING / "rsyslog.conf").read_text()
    both.write("/etc/rsyslog-syncd.conf", rules)
    rsyslog = ["/usr/sbin/rsyslogd", "-n", "-f", "/etc/rsyslog-syncd.conf"]
    both.run("systemd-run", "-q", "--unit=rsyslog-syncd", *rsyslog)
    try:
        for name in UNITS.values():
            both.confirm(1, name)
            file = f"/var/log/syncd/{name}.log"
            wait_until(
                lambda path=file: (
                    "batch.delivered" in both.run("cat", path, check=False)
                ),
                30,
            )
            lines = [json.loads(x) for x in both.run("cat", file).splitlines()]
            assert {line["feed"] for line in lines} == {name}
    finally:
        both.systemctl("stop", "rsyslog-syncd")
