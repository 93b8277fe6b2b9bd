"""`syncd status`: verdict, screen, JSON document, monitoring line, watch."""

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.command import syncd
from support.feed_harness import ago
from support.postgres import cluster, wait_until
from support.shop import Shop

from syncd.demo.sandbox import Sandbox

pytestmark = pytest.mark.db

DOCUMENT = Path(__file__).parents[2] / "docs" / "status.md"
KEY = {"SYNCD_SQUEEZELY_API_KEY": "sandbox-key"}


@pytest.fixture
def served_config(shop: Shop, sandbox: Sandbox, tmp_path: Path) -> Path:
    """A shop whose daemon ran once, and delivered three orders."""
    path = shop.configure(tmp_path, sandbox.endpoint)
    assert syncd("run", "--once", "--config", path).returncode == 0
    shop.confirm(3)
    assert syncd("run", "--once", "--config", path).returncode == 0
    return path


def documented() -> dict[str, str]:
    rows = re.findall(r"^\| `(\w+)` \| ([\w ]+) \|", DOCUMENT.read_text(), re.MULTILINE)
    return dict(rows)


def is_time(value: object) -> bool:
    return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None


TYPES: Mapping[str, Callable[[object], bool]] = {
    "text": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: type(value) is int,
    "number": lambda value: type(value) in {int, float},
    "list": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
    "time": is_time,
    "null": lambda value: value is None,
}


def test_the_documentation_describes_every_field_and_its_type(
    shop: Shop, served_config: Path
) -> None:
    """It has the document's order, and the fields of lists and objects."""
    lower, upper = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)
    shop.insert("backfill", feed_id=1, lower_at=lower, upper_at=upper, reached_at=lower)
    syncd("reconcile", "--config", served_config)
    facts = json.loads(syncd("status", "--json", "--config", served_config).stdout)
    types = documented()
    assert list(facts) == list(types)
    wrong = {
        name: value
        for name, value in facts.items()
        if not any(TYPES[kind](value) for kind in types[name].split(" or "))
    }
    assert wrong == {}
    text = DOCUMENT.read_text()
    for part in ("reasons", "instances", "backfills"):
        (row,) = (line for line in text.splitlines() if line.startswith(f"| `{part}`"))
        assert facts[part]
        assert {name for name in facts[part][0] if f"`{name}`" not in row} == set()
    (row,) = (line for line in text.splitlines() if line.startswith("| `identity`"))
    assert {name for name in facts["identity"] if f"`{name}`" not in row} == set()


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_the_screen_fits(served_config: Path, columns: int) -> None:
    """Verdict first; no line too wide; at 80 columns within 24 lines; no colours."""
    done = syncd("status", "--config", served_config, COLUMNS=str(columns))
    lines = done.stdout.splitlines()
    assert done.returncode == 0
    assert lines[0].startswith("● shop is healthy")
    assert max(map(len, lines)) <= columns
    assert "3 delivered" in done.stdout
    assert "\x1b" not in done.stdout
    assert columns < 80 or len(lines) <= 23


def test_every_reason_is_listed_before_the_figures(
    shop: Shop, served_config: Path
) -> None:
    """A broken view and a rejected order: each with its command."""
    shop.sql("INSERT INTO orders (confirmed_at, email) VALUES (now(), 'nobody')")
    syncd("run", "--once", "--config", served_config)
    shop.sql("ALTER VIEW syncd.purchases RENAME TO away")
    done = syncd("status", "--config", served_config)
    output = " ".join(done.stdout.split())
    assert done.returncode == 1
    places = [
        output.index(words)
        for words in (
            "shop is degraded",
            "the view syncd.purchases is missing → `syncd check`",
            "1 order cannot be sent → `syncd rejected list`",
            "progress",
            "1 rejected",
        )
    ]
    assert places == sorted(places)


def test_a_monitor_gets_one_line(shop: Shop, served_config: Path) -> None:
    """OK, WARNING or CRITICAL as Nagios plugins print them, with figures."""
    done = syncd("status", "--nagios", "--config", served_config)
    assert (done.returncode, done.stdout.count("\n")) == (0, 1)
    assert done.stdout.startswith("SYNCD OK - lag 0 s, 0 orders wait | lag=0s;600 ")
    shop.sql("INSERT INTO orders (confirmed_at, email) VALUES (now(), 'nobody')")
    syncd("run", "--once", "--config", served_config)
    done = syncd("status", "--nagios", "--config", served_config)
    assert done.returncode == 1
    assert "SYNCD WARNING - 1 order cannot be sent | lag=0s;600" in done.stdout


def test_an_unreachable_database_is_down(tmp_path: Path) -> None:
    """Screen, document and line show it; other commands exit with 69."""
    config = tmp_path / "syncd.toml"
    config.write_text(
        '[source]\ndsn = "host=/nowhere dbname=shop"\n[squeezely]\naccount = "A"'
    )
    done = syncd("status", "--config", config)
    assert done.returncode == 2
    assert "✖ shop is down" in done.stdout
    done = syncd("status", "--json", "--config", config)
    facts = json.loads(done.stdout)
    assert done.returncode == 2
    assert list(facts) == list(documented())[:4]
    assert (facts["verdict"], facts["healthy"]) == ("down", False)
    done = syncd("status", "--nagios", "--config", config)
    assert done.returncode == 2
    assert done.stdout.startswith("SYNCD CRITICAL - PostgreSQL at /nowhere/shop cannot")
    assert syncd("explain", "1", "--config", config).returncode == 69


def test_a_feed_that_was_never_started_is_unknown_to_a_monitor(
    shop: Shop, tmp_path: Path
) -> None:
    """With --nagios the exit code is 3, otherwise 78."""
    config = shop.configure(tmp_path, "http://127.0.0.1:1/track")
    done = syncd("status", "--nagios", "--config", config)
    assert (done.returncode, done.stderr) == (3, "")
    assert done.stdout == "SYNCD UNKNOWN - feed 'shop' was never started\n"
    assert syncd("status", "--json", "--config", config).returncode == 78
    assert syncd("status", "--json", "--nagios", "--config", config).returncode == 64


def test_a_daemon_that_died_or_was_stopped_makes_the_feed_down(
    shop: Shop, served_config: Path
) -> None:
    """The two are distinguished, and shown at once; a running feed is healthy."""
    daemon = shop.start(served_config)
    wait_until(lambda: shop.row_of("feed").heartbeat_at)
    facts = json.loads(syncd("status", "--json", "--config", served_config).stdout)
    assert facts["verdict"] == "healthy"
    (living,) = facts["instances"]
    assert (living["pid"], living["is_alive"]) == (daemon.pid, True)
    daemon.kill()
    daemon.wait()
    alive = "SELECT NOT EXISTS (SELECT FROM pg_locks WHERE classid = 1937337955)"
    wait_until(lambda: shop.value(alive))
    done = syncd("status", "--config", served_config)
    assert done.returncode == 2
    assert f"the last daemon (pid {daemon.pid}) died" in done.stdout
    shop.update("feed", {"heartbeat_at": ago(hours=1)})
    daemon = shop.start(served_config)
    wait_until(lambda: shop.row_of("feed").heartbeat_at > ago(minutes=1), 30)
    daemon.terminate()
    daemon.wait(60)
    done = syncd("status", "--config", served_config)
    assert done.returncode == 2
    assert "the daemon was stopped" in done.stdout


def test_a_retrying_endpoint_is_no_fault_while_nothing_waits(
    shop: Shop, sandbox: Sandbox, served_config: Path
) -> None:
    """Only sending could end the back-off; it is a notice."""
    sandbox.fail("too-many-requests", times=1)
    shop.confirm(1)
    syncd("run", "--once", "--config", served_config)
    waiting = json.loads(syncd("status", "--json", "--config", served_config).stdout)
    assert (waiting["endpoint"], waiting["verdict"]) == ("backing_off", "degraded")
    delivered = {"state": "delivered", "settled_at": ago(), "is_pruned": True}
    shop.update("batch", delivered, state="pending")
    done = syncd("status", "--config", served_config)
    assert done.returncode == 0
    assert "nothing waits" in done.stdout


def test_a_feed_whose_order_is_refused_is_not_healthy(
    shop: Shop, sandbox: Sandbox, served_config: Path
) -> None:
    """The endpoint answers, so it is available; the order waits for another attempt."""
    sandbox.fail("refused", times=None)
    shop.start(served_config)
    shop.confirm(1)

    def verdict() -> tuple[str, int]:
        found = syncd("status", "--json", "--config", served_config).stdout
        status = json.loads(found)
        return status["verdict"], status["refused"]

    wait_until(lambda: verdict() == ("degraded", 1))
    done = syncd("status", "--config", served_config)
    assert "1 order was refused and is tried again: HTTP " in done.stdout
    sandbox.clear_faults()
    assert syncd("resume", "--config", served_config).returncode == 0
    wait_until(lambda: verdict() == ("healthy", 0), 60)


def test_a_feed_whose_past_order_is_refused_is_not_healthy(
    shop: Shop, sandbox: Sandbox, served_config: Path
) -> None:
    """An order of a backfill waits for another attempt as a live one does."""
    sandbox.fail("refused", times=None)
    shop.sql("UPDATE orders SET confirmed_at = confirmed_at - interval '5 minutes'")
    resend = ("backfill", "--from", "1 hour ago", "--resend", "--reason", "again")
    shop.start(served_config)
    asked = syncd(*resend, "--yes", "--config", served_config)
    assert asked.returncode == 0, asked.stderr

    def status() -> dict[str, object]:
        found = syncd("status", "--json", "--config", served_config).stdout
        return dict(json.loads(found))

    wait_until(lambda: status()["refused"] and status()["verdict"] == "degraded", 60)


# Watch


def watch(
    config: Path, stdin: int | None = None, stdout: int = subprocess.PIPE
) -> subprocess.Popen[str]:
    # a shell starts background processes, as of tests, with SIGINT ignored
    attended = ["env", "--default-signal=INT"]
    command = [*attended, sys.executable, "-m", "syncd", "status", "--watch", "0.3"]
    environment = {**os.environ, **KEY, "TERM": "xterm", "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        [*command, "--config", str(config)],
        text=True,
        env=environment,
        stdin=stdin,
        stdout=stdout,
    )


def interrupt(watching: subprocess.Popen[str]) -> None:
    """Press Ctrl-C once, perhaps in the middle of a line."""
    watching.send_signal(signal.SIGINT)
    watching.communicate(timeout=30)


def test_a_watch_continues_while_the_database_is_unreachable(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    """One line each time without a terminal; Ctrl-C ends it with 0."""
    with cluster() as server:
        server.sql("CREATE DATABASE shop")
        shop = Shop.open(server.dsn("shop"))
        config = shop.configure(tmp_path, sandbox.endpoint)
        syncd("run", "--once", "--config", config)
        watching = watch(config)
        assert watching.stdout
        try:
            assert " SYNCD OK - " in watching.stdout.readline()
            server.stop("immediate")
            critical = next(line for line in watching.stdout if "CRITICAL" in line)
            assert "cannot be reached" in critical or "terminat" in critical
            server.start()
            assert next(line for line in watching.stdout if " SYNCD OK - " in line)
        finally:
            interrupt(watching)
        assert watching.returncode == 0


def test_a_watch_on_a_terminal_ends_with_q(served_config: Path) -> None:
    """Drawn in place, with plots of the last minutes."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    before = termios.tcgetattr(theirs)
    watching = watch(served_config, stdin=theirs, stdout=theirs)
    seen = b""
    while "▁".encode() not in seen or b"waiting" not in seen:
        seen += os.read(ours, 65_536)
    assert b"shop is healthy" in seen
    os.write(ours, b"q")
    assert watching.wait(60) == 0
    assert termios.tcgetattr(theirs) == before
    os.close(theirs)
    os.close(ours)
