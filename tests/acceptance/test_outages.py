"""The database becomes unreachable for the running daemon, and comes back."""

import io
import json
import signal
from pathlib import Path

import psycopg
import pytest
from support.command import syncd
from support.feed_harness import ago
from support.postgres import cluster, wait_until
from support.shop import Shop

from syncd.capture.tuning import PollTuning
from syncd.config.configuration import load
from syncd.daemon.process import Daemon
from syncd.daemon.tuning import Tuning
from syncd.demo.sandbox import Sandbox
from syncd.log import log as logging

pytestmark = pytest.mark.db


def test_a_restart_of_the_server_loses_and_repeats_nothing(tmp_path: Path) -> None:
    """One line logs the outage, one its end; the process survives."""
    with cluster() as server, Sandbox() as sandbox:
        server.sql("CREATE DATABASE shop")
        shop = Shop.open(server.dsn("shop"))
        config = shop.configure(tmp_path, sandbox.endpoint)
        daemon = shop.start(config)
        log = config.with_suffix(".log")
        try:
            wait_until(lambda: "daemon.started" in log.read_text())
            orders = shop.confirm(30)
            wait_until(lambda: sandbox.received.totals.orderids == 30)
            server.stop()
            wait_until(lambda: "database.unavailable" in log.read_text())
            server.start()
            orders += shop.confirm(30)
            wait_until(lambda: sandbox.received.totals.orderids == 60)
            wait_until(lambda: "database.recovered" in log.read_text())
            assert {sandbox.received.posts(order) for order in orders} == {1}
            daemon.terminate()
            assert daemon.wait(60) == 0
        finally:
            shop.close()
    failed = [line for line in map(json.loads, log.read_text().splitlines())
              if line["event"] == "database.unavailable"]  # fmt: skip
    assert len(failed) <= 3
    assert "Traceback" not in log.read_text()


def test_a_database_that_is_not_up_yet_is_waited_for(tmp_path: Path) -> None:
    """As at boot: no exit, no restart loop; then the daemon starts by itself."""
    with cluster() as server, Sandbox() as sandbox:
        server.sql("CREATE DATABASE shop")
        shop = Shop.open(server.dsn("shop"))
        config = shop.configure(tmp_path, sandbox.endpoint)
        server.stop()
        daemon = shop.start(config)
        log = config.with_suffix(".log")
        try:
            wait_until(lambda: "database.unavailable" in log.read_text())
            server.start()
            wait_until(lambda: "daemon.started" in log.read_text())
            shop.confirm(1)
            wait_until(lambda: sandbox.received.totals.orderids == 1)
            daemon.terminate()
            assert daemon.wait(60) == 0
        finally:
            shop.close()


def test_a_long_transaction_holds_the_watermark_and_is_named(
    shop: Shop, tmp_path: Path
) -> None:
    """It does not hold the orders: those that are visible are sent."""
    tuning = Tuning(poll=PollTuning(held_seconds=-1))
    lines = io.StringIO()
    logging.configure(style="json", stream=lines)
    with Sandbox() as sandbox:
        config = shop.configure(tmp_path, sandbox.endpoint)
        settings = load(config, {"SYNCD_SQUEEZELY_API_KEY": "sandbox-key"})
        Daemon(settings, tuning=tuning).run_once()
        with psycopg.connect(shop.owner) as report:
            report.execute("SELECT count(*) FROM orders")
            shop.confirm(2)
            before = shop.watermark()
            Daemon(settings, tuning=tuning).run_once(patience_seconds=0.2)
            pid = report.info.backend_pid
        assert sandbox.received.totals.orderids == 2
    assert shop.watermark() == before
    events = [json.loads(line) for line in lines.getvalue().splitlines()]
    held = [event for event in events if event["event"] == "watermark.held_back"]
    assert held[-1]["transactions"] == 1
    assert held[-1]["pid"] == pid
    assert "query_start" in held[-1]  # shown to roles with pg_read_all_stats only


def test_a_prepared_transaction_that_holds_the_watermark_is_named(
    shop: Shop, tmp_path: Path
) -> None:
    """Its name is that for ROLLBACK PREPARED, not a running session's."""
    config = shop.configure(tmp_path, "http://127.0.0.1:1/track")
    assert syncd("run", "--once", "--config", config).returncode == 0
    with psycopg.connect(shop.owner, autocommit=True) as session:
        session.execute("BEGIN; SELECT 1")
        session.execute("INSERT INTO orders DEFAULT VALUES")
        session.execute(f"PREPARE TRANSACTION '{shop.role}'")
    shop.set_watermark(ago(hours=1))
    try:
        facts = json.loads(syncd("status", "--json", "--config", config).stdout)
    finally:
        shop.sql(f"ROLLBACK PREPARED '{shop.role}'")
    (holder,) = facts["watermark_held_by"]
    assert holder.startswith(f"prepared transaction {shop.role} since ")


def test_a_held_feed_continues_after_sighup(shop: Shop, tmp_path: Path) -> None:
    """It waits neither for the next probe nor for a restart."""
    with Sandbox() as sandbox:
        config = shop.configure(tmp_path, sandbox.endpoint)
        log = config.with_suffix(".log")
        daemon = shop.start(config)
        wait_until(lambda: "daemon.started" in log.read_text())
        sandbox.fail("credentials", times=None)
        (order,) = shop.confirm(1)
        wait_until(lambda: "sending.held" in log.read_text())
        assert sandbox.received.posts(order) == 0
        sandbox.clear_faults()
        daemon.send_signal(signal.SIGHUP)
        wait_until(lambda: sandbox.received.posts(order) == 1)
        assert "sending.retried" in log.read_text()
        daemon.terminate()
        assert daemon.wait(60) == 0
