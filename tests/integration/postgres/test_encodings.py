"""Databases that are not UTF-8: from the installation to an order's history."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from support.harness import Harness
from support.postgres import Cluster, wait_until
from support.shop import Shop

from syncd.delivery.answers import Answers
from syncd.demo.sandbox import Sandbox
from syncd.ledger.claim import Receipt

pytestmark = [pytest.mark.db, pytest.mark.slow]

ENCODINGS = ["SQL_ASCII", "LATIN1", "LATIN9", "WIN1252", "EUC_JP"]
WORDS = "geweigerd ł kost 5 € aan Łukasz\0\udce9"
_numbers = count(1)


@pytest.fixture
def encoded(server: Cluster, request: pytest.FixtureRequest) -> Iterator[Shop]:
    """A shop in a database with another encoding."""
    name = f"enc{next(_numbers)}"
    server.sql(
        f"CREATE DATABASE {name} ENCODING '{request.param}' TEMPLATE template0 "
        "LC_COLLATE 'C' LC_CTYPE 'C'"
    )
    opened = Shop.open(f"{server.dsn(name)} client_encoding=utf8")
    yield opened
    opened.close()
    server.sql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def run(config: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "syncd", *arguments, "--config", str(config)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "SYNCD_SQUEEZELY_API_KEY": "sandbox-key"},
    )


@pytest.mark.parametrize("encoded", ENCODINGS, indirect=True)
def test_a_shop_with_any_encoding_works(encoded: Shop, tmp_path: Path) -> None:
    """Checked, started, captured, delivered, paused with any reason, and explained."""
    with Sandbox() as sandbox:
        config = encoded.configure(tmp_path, sandbox.endpoint)
        daemon = encoded.start(config)
        log = config.with_suffix(".log")
        wait_until(lambda: "daemon.started" in log.read_text())
        (order,) = encoded.confirm(1)
        wait_until(lambda: sandbox.received.totals.orderids == 1)
        checked = run(config, "check")
        assert "UnicodeEncodeError" not in checked.stderr
        assert "Traceback" not in checked.stderr
        assert run(config, "pause", "--reason", "5 € ł Łukasz").returncode == 0
        assert run(config, "resume").returncode == 0
        explained = run(config, "explain", order.removeprefix("W-"))
        assert "now delivered" in explained.stdout
        unknown = run(config, "explain", "W-€")
        assert (unknown.returncode, "Traceback" in unknown.stderr) == (1, False)
        daemon.terminate()
        assert daemon.wait(60) == 0


@pytest.mark.parametrize("encoded", ENCODINGS, indirect=True)
def test_a_reason_that_does_not_fit_is_stored_with_replacements(
    encoded: Shop, tmp_path: Path
) -> None:
    """The settlement succeeds, whatever the API's response contains."""
    with Sandbox() as sandbox:
        harness = Harness(encoded, sandbox, tmp_path)
        harness.confirm(1)
        assert harness.ledger.requeue(harness.claim(), Receipt("transient", 503, WORDS))
        reason = harness.shop.row_of("attempt").reason
        assert re.fullmatch(r"geweigerd .+ kost 5 .+ aan .+ukasz\?\?", reason)
        harness.close()


@pytest.mark.parametrize("encoded", ["LATIN1"], indirect=True)
def test_an_unknown_response_that_does_not_fit_holds_the_feed(
    encoded: Shop, tmp_path: Path
) -> None:
    """It is recorded once, and not sent again and again."""
    with Sandbox() as sandbox:
        harness = Harness(encoded, sandbox, tmp_path)
        (order,) = harness.confirm(1)
        body = '{"said": "gelukt, € 5 aan Łukasz"}'
        sandbox.fail("canned", times=None, status=200, body=body, takes=True)
        harness.deliver_all()
        harness.end_waits()
        harness.deliver_all()
        assert harness.posts([order]) == [1]
        assert len(Answers(harness.database, harness.settings).unexplained()) == 1
        harness.close()


@pytest.mark.parametrize("encoded", ["SQL_ASCII"], indirect=True)
def test_invalid_bytes_affect_only_their_order(encoded: Shop, tmp_path: Path) -> None:
    """An old import's é: the order is set aside, the others are sent."""
    with Sandbox() as sandbox:
        harness = Harness(encoded, sandbox, tmp_path)
        beside = harness.confirm(2)
        (bad,) = harness.confirm(
            1, email="convert_from('\\xe9406578616d706c652e636f6d'::bytea, 'SQL_ASCII')"
        )
        harness.deliver_all()
        beside += harness.confirm(2)
        harness.finish(without_waits=True)
        assert harness.posts(beside) == [1] * 4
        state, reason = harness.set_aside()[bad]
        assert (state, "22021" in str(reason)) == ("rejected", True)
        config = tmp_path / "syncd.toml"
        explained = run(config, "explain", bad.removeprefix("W-"))
        assert "now rejected" in explained.stdout
        harness.close()
