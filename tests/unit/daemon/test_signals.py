import os
import signal
import subprocess
import sys
import time

WAIT = """
import signal, sys
from syncd.daemon import signals
signals.block()
print("ready", flush=True)
received = signals.wait(2.0)
print(received.name if received else "none", flush=True)
"""


def waiting() -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", WAIT], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    return process


def test_a_suspended_and_continued_process_received_no_signal() -> None:
    """Neither a name nor an error: it waits for the rest of its time."""
    process = waiting()
    os.kill(process.pid, signal.SIGSTOP)
    time.sleep(2.2)  # longer than it would have waited
    os.kill(process.pid, signal.SIGCONT)
    out, _ = process.communicate(timeout=10)
    assert (process.returncode, out) == (0, "none\n")


def test_a_signal_is_reported_by_its_name() -> None:
    """A signal that does not stop the process is reported as well."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        process = waiting()
        process.send_signal(number)
        out, _ = process.communicate(timeout=10)
        assert (process.returncode, out) == (0, f"{number.name}\n")
