"""What is sent to the supervisor, datagram by datagram; and when nothing is."""

import os
import time
from pathlib import Path

import pytest
from support.clock import Clock
from support.postgres import wait_until
from support.supervisor import supervisor

from syncd.core.errors import DatabaseUnavailableError
from syncd.core.progress import report_progress, watched
from syncd.daemon import watchdog
from syncd.daemon.error_policy import ErrorPolicy
from syncd.daemon.systemd import Notifier
from syncd.daemon.watchdog import Watchdog
from syncd.log.log import Log


def test_a_repeated_status_is_not_sent_again(tmp_path: Path) -> None:
    """A status is sent when it is new, a ping when one is due."""
    with supervisor(tmp_path, watchdog_seconds=60) as listening:
        notifier = Notifier(listening.environment)
        for _ in range(3):
            notifier.status("lag 0 s")
            notifier.ping()
            notifier.extend()
        notifier.status("lag 1 s")
        wait_until(lambda: len(listening.datagrams) == 4)
    sent = ["STATUS=lag 0 s", "WATCHDOG=1", "EXTEND_TIMEOUT_USEC=10000000"]
    assert listening.datagrams == [[line] for line in [*sent, "STATUS=lag 1 s"]]


@pytest.mark.parametrize(
    "more",
    [
        {"WATCHDOG_PID": "1"},
        {"WATCHDOG_USEC": ""},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "soon"},
    ],
    ids=str,
)
def test_a_watchdog_of_another_process_gets_no_pings(
    tmp_path: Path, more: dict[str, str]
) -> None:
    """The variables name another process, or there is no watchdog."""
    with supervisor(tmp_path) as listening:
        notifier = Notifier({**listening.environment, **more})
        notifier.ping()
        notifier.ready()
        wait_until(lambda: listening.datagrams)
    assert listening.datagrams == [["READY=1"]]


def test_a_watchdog_of_this_process_gets_pings_in_time(tmp_path: Path) -> None:
    """The daemon pings three times within the watchdog's limit."""
    with supervisor(tmp_path, watchdog_seconds=0.3) as listening:
        environment = {**listening.environment, "WATCHDOG_PID": str(os.getpid())}
        notifier = Notifier(environment)
        assert notifier.tick_seconds == pytest.approx(0.1)
        notifier.ping()
        time.sleep(notifier.tick_seconds)
        notifier.ping()
        wait_until(lambda: len(listening.lines("WATCHDOG=1")) == 2)


@pytest.mark.parametrize("address", ["", "vsock:2:99", "/nowhere/notify", "@nobody"])
def test_a_missing_supervisor_stops_nothing(address: str) -> None:
    """A supervisor with another protocol does not stop the daemon either."""
    notifier = Notifier({"NOTIFY_SOCKET": address})
    notifier.ready()
    notifier.note_progress(1.0)


def test_a_component_that_reports_progress_is_never_overdue() -> None:
    """A reconciliation of millions of orders reports at each statement."""
    made = Watchdog(step_seconds=0.2)
    with made.work("reconcile"):
        for _ in range(8):
            time.sleep(0.05)
            report_progress()
            assert made.overdue() == []
        wait_until(made.overdue)
        (stuck,) = made.overdue()
        assert (
            stuck.component,
            "test_supervisor.py" in watchdog.stack_summary(stuck.thread),
        ) == (
            "reconcile",
            True,
        )


def test_components_of_a_suspended_process_get_their_time_back() -> None:
    """No component is at fault when the whole process was stopped."""
    clock = Clock()
    made = Watchdog(step_seconds=30, clock=clock)
    with made.work("capture"):
        clock.advance(60)
        assert made.overdue() == []
        for _ in range(31):
            clock.advance(1)
            made.overdue()
        assert [stuck.component for stuck in made.overdue()] == ["capture"]


def test_a_component_that_has_ended_is_not_expected() -> None:
    """While the daemon drains, only working components have to report."""
    made = Watchdog(step_seconds=0.05)
    with made.work("capture"):
        pass
    with made.work("delivery-0"):
        wait_until(lambda: len(made.overdue()) == 2)
        made.halt()
        assert [stuck.component for stuck in made.overdue()] == ["delivery-0"]
    assert made.overdue() == []


def test_a_component_that_backs_off_reports_progress() -> None:
    """It is not stuck; outside a watched thread the report has no effect."""
    report_progress()
    reported: list[float] = []
    with watched(reported.append):
        report_progress(7.0)
    assert reported == [7.0]
    reactions = ErrorPolicy(Log("shop"))
    reactions.react("capture", DatabaseUnavailableError("it is gone", "Wait."))
    assert reactions.is_failing("capture")
    reactions.run("capture", lambda: pytest.fail("it was to be left alone"))
    assert reactions.progress.overdue() == []
