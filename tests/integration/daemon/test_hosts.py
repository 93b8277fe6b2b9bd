"""Hosts that change their names, promotions, and servers of another cluster."""

import json
from pathlib import Path

import pytest
from support.command import syncd
from support.postgres import cluster, standby
from support.shop import Shop

from syncd.demo.sandbox import Sandbox
from syncd.diagnostics.check.check import exit_code, run_checks
from syncd.diagnostics.check.finding import Finding

pytestmark = [pytest.mark.db, pytest.mark.slow, pytest.mark.timeout(300)]

KEY = {"SYNCD_SQUEEZELY_API_KEY": "sandbox-key"}


def check(config: Path, host: str) -> tuple[int, dict[str, Finding]]:
    """Return the exit code of `check` on a host, and its findings by code."""
    findings = run_checks(config, {**KEY, "SYNCD_INSTANCE": host})
    return int(exit_code(findings, is_strict=False)), {f.code: f for f in findings}


def run_once(config: Path, host: str) -> tuple[int, str | None]:
    """Return the exit code of a pass on a host, and the findings that stopped it."""
    done = syncd("run", "--once", "--config", config, SYNCD_INSTANCE=host)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    codes = [line.get("codes") for line in lines if line["event"] == "daemon.failed"]
    return done.returncode, codes[0] if codes else None


def without_directory(config: Path) -> Path:
    lines = config.read_text().splitlines(keepends=True)
    config.write_text("".join(x for x in lines if not x.startswith("state_directory")))
    return config


def test_after_a_failover_check_refuses_a_new_host_as_a_start_does(
    tmp_path: Path,
) -> None:
    """A warning comes first; a stable name, or `confirm-move`, permits the host."""
    with cluster() as primary, Sandbox() as sandbox:
        primary.sql("CREATE DATABASE shop")
        shop = Shop.open(primary.dsn("shop"))
        with standby(primary) as second:
            config = without_directory(shop.configure(tmp_path, sandbox.endpoint))
            assert run_once(config, "pod-1") == (0, None)
            _, found = check(config, "pod-1")
            assert found["state.none"].severity == "ok"
            assert "exits with 78" in found["state.none"].message
            _, found = check(config, "pod-2")
            assert found["state.none"].severity == "warning"
            assert "pod-2 has not served" in found["state.none"].message
            assert run_once(config, "pod-3") == (0, None)  # no failover: it continues
            _, found = check(config, "pod-1")
            assert "2 hosts have served" in found["state.none"].message
            primary.stop("immediate")
            second.promote()
            shop.dsn = second.dsn("shop", shop.role)
            without_directory(shop.configure(tmp_path, sandbox.endpoint))
            ended, found = check(config, "pod-2")
            assert ended == 78
            assert "syncd confirm-move" in found["ledger.promoted"].next_step
            assert run_once(config, "pod-2") == (78, "ledger.promoted")
            assert check(config, "pod-1")[0] != 78
            assert run_once(config, "pod-1") == (0, None)
            done = syncd("confirm-move", "--yes", "--config", config)
            assert done.returncode == 0
            assert run_once(config, "pod-2") == (0, None)


def test_check_refuses_a_ledger_that_went_back_as_a_start_does(
    shop: Shop, tmp_path: Path
) -> None:
    """This host has recorded a later mark than the ledger has."""
    with Sandbox() as sandbox:
        config = shop.configure(tmp_path, sandbox.endpoint)
        daemon = shop.start(config)
        remembered = tmp_path / "shop.json"
        while not remembered.exists():
            assert daemon.poll() is None
        daemon.terminate()
        assert daemon.wait(60) == 0
        mark = json.loads(remembered.read_text())
        remembered.write_text(json.dumps({**mark, "number": mark["number"] + 5}))
        findings = run_checks(config, KEY)
        assert exit_code(findings, is_strict=False) == 78
        assert "ledger.rewound" in {f.code for f in findings}
        done = syncd("run", "--once", "--config", config)
        assert done.returncode == 78
        assert '"codes":"ledger.rewound"' in done.stderr.replace(" ", "")


def test_servers_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    """A ledger on a standby; a primary of another cluster."""
    with cluster() as primary, cluster() as other, Sandbox() as sandbox:
        for server in (primary, other):
            server.sql("CREATE DATABASE shop")
        shop = Shop.open(primary.dsn("shop"))
        other.sql(f"CREATE ROLE {shop.role} LOGIN")
        with standby(primary) as second:
            own = second.dsn("shop", shop.role)
            config = shop.configure(tmp_path, sandbox.endpoint, {"dsn": own})
            ended, found = check(config, "a")
            assert ended == 78
            assert "[ledger] dsn" in found["ledger.standby"].next_step
            assert run_once(config, "a") == (78, "ledger.standby")
            elsewhere = other.dsn("shop", shop.role)
            reading = {"dsn": own, "primary_dsn": elsewhere}
            config = shop.configure(tmp_path, sandbox.endpoint, reading)
            _, found = check(config, "a")
            assert "source.dsn is of cluster" in found["primary.elsewhere"].message
            ended, codes = run_once(config, "a")
            assert ended == 78
            assert "primary.elsewhere" in str(codes)


def test_a_primary_of_an_older_timeline_is_refused(tmp_path: Path) -> None:
    """The source follows another server, which was promoted."""
    with cluster() as left, Sandbox() as sandbox:
        left.sql("CREATE DATABASE shop")
        shop = Shop.open(left.dsn("shop"))
        old = left.dsn("shop", shop.role)
        with standby(left) as promoted:
            promoted.promote()
            own = promoted.dsn("shop", shop.role)
            reading = {"dsn": own, "primary_dsn": old}
            config = shop.configure(tmp_path, sandbox.endpoint, reading)
            ended, found = check(config, "a")
            assert ended == 78
            message = found["primary.elsewhere"].message
            assert message.startswith(
                "is on timeline 1, and source.dsn follows timeline 2"
            )
            ended, codes = run_once(config, "a")
            assert ended == 78
            assert "primary.elsewhere" in str(codes)
