"""`syncd check` for its users: what it prints, where, and its exit code."""

import fcntl
import json
import os
import pty
import re
import socket
import struct
import subprocess
import sys
import termios
import time
from contextlib import suppress
from pathlib import Path

import pytest
from support.command import syncd
from support.postgres import wait_until
from support.shop import Shop

from syncd.demo.sandbox import Sandbox
from syncd.diagnostics.check.finding import CODES, SECTIONS

pytestmark = pytest.mark.db

COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture
def sold_config(shop: Shop, sandbox: Sandbox, tmp_path: Path) -> Path:
    shop.confirm(3)
    return shop.configure(tmp_path, sandbox.endpoint)


def on_terminal(config: Path, columns: int, **environment: str) -> str:
    """Return what a terminal of so many columns displays."""
    own, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    plain = {k: v for k, v in os.environ.items() if k not in {"COLUMNS", "NO_COLOR"}}
    process = subprocess.Popen(
        [sys.executable, "-m", "syncd", "check", "--config", str(config)],
        stdin=its,
        stdout=its,
        stderr=its,
        env={**plain, "TERM": "xterm", "SYNCD_SQUEEZELY_API_KEY": "k", **environment},
    )
    os.close(its)
    shown = b""
    with suppress(OSError):  # the other end is closed
        while piece := os.read(own, 65536):
            shown += piece
    process.wait(60)
    os.close(own)
    return shown.decode().replace("\r\n", "\n")


def test_a_correct_shop_exits_with_0_and_fails_strictly_by_a_warning(
    sold_config: Path,
) -> None:
    """The account is not verified yet, which is a warning only."""
    done = syncd("check", "--config", sold_config)
    assert done.returncode == 0, done.stdout
    *_, summary, first = done.stdout.splitlines()
    assert re.fullmatch(r"0 errors, 1 warning, \d+ ok", summary)
    assert first == "Begin with account: Run `syncd verify`."
    assert "\x1b" not in done.stdout
    assert syncd("check", "--strict", "--config", sold_config).returncode == 1


def test_nothing_is_posted(sold_config: Path, sandbox: Sandbox) -> None:
    """The endpoint is connected to, without a request."""
    found = json.loads(syncd("check", "--json", "--config", sold_config).stdout)
    assert "endpoint.reached" in {finding["code"] for finding in found}
    assert sandbox.received.totals.requests == 0


def test_json_has_codes_and_sections_in_order(sold_config: Path) -> None:
    """Its form is that of docs/check.md."""
    found = json.loads(syncd("check", "--json", "--config", sold_config).stdout)
    fields = ["code", "subject", "message", "next_step", "severity", "section"]
    assert all(list(finding) == fields for finding in found)
    assert all(CODES[f["code"]].severity == f["severity"] for f in found)
    places = [SECTIONS.index(finding["section"]) for finding in found]
    assert places == sorted(places)


@pytest.mark.parametrize("columns", [40, 80])
def test_the_output_is_readable_on_a_narrow_terminal(
    sold_config: Path, columns: int
) -> None:
    """No line is wrapped by the terminal; continuation lines are indented."""
    shown = on_terminal(sold_config, columns)
    lines = COLOUR.sub("", shown).splitlines()
    assert max(map(len, lines)) <= columns
    assert set(SECTIONS) <= set(lines)
    body = lines[: next(n for n, line in enumerate(lines) if line[0].isdigit())]
    assert all(line in SECTIONS or line.startswith("  ") for line in body)
    texts = [line for line in body if line.startswith("   ")]
    assert texts
    assert all(line[:9].strip() in {"", "->"} for line in texts)
    whole = "database: syncd sets its own: 30 s for a statement, 5 s for a lock"
    assert "".join(whole.split()) in "".join("".join(lines).split())


def test_colours_are_only_for_terminals_without_no_color(sold_config: Path) -> None:
    """Output to a file or a pipe has no colours."""
    assert "\x1b[32m" in on_terminal(sold_config, 80)
    assert "\x1b[3" not in on_terminal(sold_config, 80, NO_COLOR="1")


def test_a_faulty_configuration_does_not_stop_the_other_checks(
    sold_config: Path,
) -> None:
    """All else is reported; the exit code is that of the configuration."""
    sold_config.write_text(sold_config.read_text().replace("lookback", "lookbak"))
    done = syncd("check", "--config", sold_config)
    assert done.returncode == 78
    assert "do you mean source.lookback?" in done.stdout
    assert "look-up by time: " in done.stdout
    assert "endpoint: 127.0.0.1:" in done.stdout
    done = syncd("check", "--config", sold_config, SYNCD_SQUEEZELY_API_KEY="")
    assert "squeezely.api_key_file is missing" in done.stdout
    assert "look-up by time: " in done.stdout


def test_an_unreachable_database_is_an_outage(
    shop: Shop, sandbox: Sandbox, tmp_path: Path
) -> None:
    """Exit code 69: nothing to fix in the configuration; the endpoint was checked."""
    down = {"dsn": "host=/nowhere dbname=shop"}
    config = shop.configure(tmp_path, sandbox.endpoint, down)
    done = syncd("check", "--config", config)
    assert done.returncode == 69, done.stdout
    assert "endpoint: 127.0.0.1:" in done.stdout
    assert "Begin with order database: " in done.stdout


def test_it_ends_though_no_server_responds(shop: Shop, tmp_path: Path) -> None:
    """Databases and endpoint accept the connection and send nothing."""
    with socket.create_server(("127.0.0.1", 0)) as hole:
        port = hole.getsockname()[1]
        dsn = f"host=127.0.0.1 port={port} dbname=shop user=x"
        source = {"dsn": dsn, "primary_dsn": dsn}
        config = shop.configure(tmp_path, f"https://127.0.0.1:{port}/", source)
        started = time.monotonic()
        done = syncd("check", "--json", "--config", config)
        taken = time.monotonic() - started
    assert done.returncode == 69, done.stdout
    found = {f["code"] for f in json.loads(done.stdout)}
    assert found & {"server.unreachable", "check.timeout"}
    assert "endpoint.unreachable" in found
    assert taken < 30


@pytest.mark.parametrize("capture", ["poll", "listen"])
def test_the_daemon_opens_no_more_connections_than_documented(
    shop: Shop, sandbox: Sandbox, tmp_path: Path, capture: str
) -> None:
    """So a connection limit that passes the check is enough for the daemon."""
    shop.listen("orders:id")
    reading = {"capture": capture}
    config = shop.configure(tmp_path, sandbox.endpoint, reading, max_in_flight=2)
    shop.start(config)
    log = config.with_suffix(".log")
    wait_until(lambda: "daemon.started" in log.read_text())
    orders = shop.confirm(5)
    wait_until(lambda: all(sandbox.received.posts(order) for order in orders))
    held = shop.value(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'syncd/%'"
    )
    output = syncd("check", "--config", config).stdout
    found = re.search(r"enough for the (\d+) that", output)
    assert found
    assert int(str(held)) <= int(found[1])
