"""What the daemon reports to its supervisor, and what stops its watchdog pings."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest
from support.postgres import Cluster, cluster
from support.proxy import proxy
from support.shop import Shop
from support.supervisor import (
    IMPATIENT,
    STALE,
    SupervisedDaemon,
    supervisor,
    wait_until,
)

from syncd.demo.sandbox import Sandbox

pytestmark = pytest.mark.db

# For a while: a process stopped at work may hold a lock that all wait for.
AT_REST = """
SELECT pid
  FROM pg_stat_activity
 WHERE application_name LIKE '%/capture'
   AND datname = current_database()
   AND state = 'idle'
   AND state_change BETWEEN now() - interval '1 s' AND now() - interval '100 ms'
"""


# What it reports


def test_the_daemon_reports_from_ready_to_stopping(
    supervised: SupervisedDaemon,
) -> None:
    """Ready after the start; its status, without personal data; the end."""
    daemon = supervised.run()
    assert supervised.events("daemon.started")
    wait_until(lambda: supervised.supervisor.lines("STATUS=lag "))
    wait_until(lambda: len(supervised.supervisor.lines("WATCHDOG=1")) > 2)
    well = "STATUS=lag 0 s, 0 pending, endpoint available"
    assert well in supervised.supervisor.lines("STATUS=")
    supervised.stop(daemon)


def test_a_reload_is_reported_with_its_time(supervised: SupervisedDaemon) -> None:
    """It is one datagram, as Type=notify-reload requires; then ready again."""
    daemon = supervised.run()
    before = time.monotonic_ns() // 1000
    supervised.reload(daemon)
    (reloading,) = [
        lines for lines in supervised.supervisor.datagrams if "RELOADING=1" in lines
    ]
    (at,) = [line for line in reloading if line.startswith("MONOTONIC_USEC=")]
    assert before <= int(at.partition("=")[2]) <= time.monotonic_ns() // 1000
    assert len(supervised.events("config.reloaded")) == 1
    supervised.stop(daemon)
    assert (
        len(supervised.events("daemon.started"))
        == len(supervised.events("daemon.stopped"))
        == 1
    )


def test_an_abstract_socket_is_supported(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Containers use abstract sockets."""
    with Sandbox() as sandbox, supervisor(tmp_path, abstract=True) as listening:
        for name, value in listening.environment.items():
            monkeypatch.setenv(name, value)
        supervised = SupervisedDaemon(shop, sandbox, tmp_path, listening)
        supervised.stop(supervised.run())


def test_a_watchdog_of_another_process_gets_no_pings(
    supervised: SupervisedDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variables name another process, or there is no watchdog."""
    monkeypatch.setenv("WATCHDOG_PID", "1")
    daemon = supervised.run()
    wait_until(lambda: supervised.supervisor.lines("STATUS=lag "))
    supervised.stop(daemon)
    assert supervised.supervisor.lines("WATCHDOG=1") == []


def test_ready_is_reported_after_the_database_is_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then it asks for more time; SIGHUP applies a fixed configuration."""
    with cluster() as server, Sandbox() as sandbox, supervisor(tmp_path) as listening:
        for name, value in listening.environment.items():
            monkeypatch.setenv(name, value)
        server.sql("CREATE DATABASE shop")
        shop = Shop.open(server.dsn("shop"))
        supervised = SupervisedDaemon(shop, sandbox, tmp_path, listening)
        server.stop()
        nowhere = f"host={tmp_path} dbname=shop user={shop.role}"
        supervised.configure({"dsn": nowhere})
        daemon = supervised.start()
        try:
            wait_until(lambda: len(listening.lines("EXTEND_TIMEOUT_USEC=")) > 1)
            assert listening.lines("STATUS=") == ["STATUS=waiting for the database"]
            server.start()
            supervised.configure()
            assert listening.lines("READY=1") == []
            daemon.send_signal(signal.SIGHUP)
            wait_until(lambda: listening.lines("READY=1"))
            supervised.stop(daemon)
        finally:
            shop.close()


# What stops its pings


def test_a_hanging_component_is_named_and_stops_the_pings(
    supervised: SupervisedDaemon,
) -> None:
    """Its own file does not respond, as on a dead network share; the others run."""
    daemon = supervised.run(*IMPATIENT)
    memory = supervised.folder / "shop.json"
    wait_until(memory.exists)
    os.mkfifo(supervised.folder / "pipe")
    (supervised.folder / "pipe").rename(memory)
    wait_until(lambda: supervised.supervisor.seconds_since_ping > STALE / 2)
    (stalled,) = supervised.events("daemon.stalled")
    assert stalled["component"] == "housekeeping"
    assert "clone_guard.py" in str(stalled["exception"])
    orders = supervised.shop.confirm(1)
    wait_until(supervised.arrived(orders))
    daemon.kill()


def test_a_blocked_log_stops_the_pings(
    supervised: SupervisedDaemon,
) -> None:
    """Every component that logs is blocked; once the log is read, all continue."""
    config = supervised.configure(payload="single")
    read, write = os.pipe()
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 4096)
    with subprocess.Popen(
        [sys.executable, *IMPATIENT, str(config)],
        stderr=write,
        env={**os.environ, "SYNCD_SQUEEZELY_API_KEY": "sandbox-key"},
    ) as daemon:
        os.close(write)
        wait_until(lambda: supervised.supervisor.lines("READY=1"))
        orders = supervised.shop.confirm(20)
        wait_until(lambda: supervised.supervisor.seconds_since_ping > STALE / 2)
        with os.fdopen(read) as log:
            wait_until(
                lambda: log.readline() and supervised.supervisor.seconds_since_ping < 1
            )
            wait_until(lambda: log.readline() and supervised.arrived(orders)())
            daemon.terminate()
            log.read()
        assert daemon.wait(60) == 0
    assert {supervised.sandbox.received.posts(order) for order in orders} == {1}


def test_a_stopped_process_sends_no_pings_and_continues(
    supervised: SupervisedDaemon,
) -> None:
    """SIGSTOP; afterwards no component is reported as stalled meanwhile."""
    daemon = supervised.run(*IMPATIENT)
    daemon.send_signal(signal.SIGSTOP)
    wait_until(lambda: supervised.supervisor.seconds_since_ping > STALE + 1)
    orders = supervised.shop.confirm(1)
    daemon.send_signal(signal.SIGCONT)
    wait_until(supervised.arrived(orders))
    wait_until(lambda: supervised.supervisor.seconds_since_ping < 1)
    assert supervised.events("daemon.stalled") == []
    supervised.stop(daemon)


# What does not


def test_an_outage_of_the_api_is_no_stall(supervised: SupervisedDaemon) -> None:
    """The watchdog gets its pings however long sending backs off."""
    daemon = supervised.run(*IMPATIENT)
    supervised.sandbox.fail("server-error", times=1_000, status=503)
    supervised.shop.confirm(1)
    wait_until(lambda: supervised.events("batch.deferred"))
    supervised.assert_pings(STALE + 2)
    supervised.stop(daemon)
    assert supervised.events("daemon.stalled") == []


def test_a_slow_request_within_its_time_limit_is_no_stall(
    supervised: SupervisedDaemon,
) -> None:
    """It may take as long as `timeout` allows."""
    supervised.configure(timeout="30s")
    daemon = supervised.run(*IMPATIENT)
    supervised.sandbox.fail("latency", times=1, seconds=STALE + 2)
    orders = supervised.shop.confirm(1)
    supervised.assert_pings(STALE + 1)
    wait_until(supervised.arrived(orders))
    supervised.stop(daemon)
    assert supervised.events("daemon.stalled") == []


def test_a_frozen_connection_is_no_stall(
    server: Cluster, supervised: SupervisedDaemon
) -> None:
    """No response comes; connections are closed and opened again, for hours."""
    with proxy(server.folder) as laid:
        dsn = psycopg.conninfo.make_conninfo(
            supervised.shop.dsn, host="127.0.0.1", port=laid.port
        )
        supervised.configure({"dsn": dsn})
        daemon = supervised.run(*IMPATIENT)
        laid.freeze()
        wait_until(lambda: "STATUS=the database does not answer"
                   in supervised.supervisor.lines("STATUS="), 30)  # fmt: skip
        supervised.assert_pings(STALE + 2)
        laid.thaw()
        listening = supervised.supervisor
        wait_until(lambda: listening.lines("STATUS=")[-1].startswith("STATUS=lag"))
        supervised.stop(daemon)
    assert supervised.events("daemon.stalled") == []


def test_a_stopped_backend_is_disconnected_and_no_stall(
    supervised: SupervisedDaemon,
) -> None:
    """SIGSTOP of the server's process: no time-out of its own can end that."""
    supervised.configure({"poll_interval": "3s"})
    daemon = supervised.run(*IMPATIENT)
    wait_until(lambda: supervised.shop.rows(AT_REST))
    backend = supervised.shop.value(AT_REST)
    assert isinstance(backend, int)
    os.kill(backend, signal.SIGSTOP)
    try:
        wait_until(lambda: supervised.events("database.unavailable"))
        orders = supervised.shop.confirm(1)
        supervised.assert_pings(STALE + 1)
        wait_until(supervised.arrived(orders))
    finally:
        os.kill(backend, signal.SIGCONT)
    supervised.stop(daemon)
    assert supervised.events("daemon.stalled") == []
