"""What the daemon tells its supervisor, and what makes it fall silent."""

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

# Just now, and so for a while: stopped at work, it may hold a lock that all wait for.
AT_REST = """
SELECT pid
  FROM pg_stat_activity
 WHERE application_name LIKE '%/capture'
   AND datname = current_database()
   AND state = 'idle'
   AND state_change BETWEEN now() - interval '1 s' AND now() - interval '100 ms'
"""


# What it tells


def test_a_life_is_told_from_ready_to_stopping(supervised: SupervisedDaemon) -> None:
    """Ready after the start; how it stands, without anything personal; the end."""
    daemon = supervised.run()
    assert supervised.events("daemon.started")
    wait_until(lambda: supervised.supervisor.lines("STATUS=lag "))
    wait_until(lambda: len(supervised.supervisor.lines("WATCHDOG=1")) > 2)
    well = "STATUS=lag 0 s, 0 pending, endpoint available"
    assert well in supervised.supervisor.lines("STATUS=")
    supervised.stop(daemon)


def test_a_reload_is_told_with_its_time(supervised: SupervisedDaemon) -> None:
    """In one datagram, as Type=notify-reload wants it; then ready again."""
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


def test_an_abstract_socket_is_spoken_to(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As containers have it."""
    with Sandbox() as sandbox, supervisor(tmp_path, abstract=True) as listening:
        for name, value in listening.environment.items():
            monkeypatch.setenv(name, value)
        supervised = SupervisedDaemon(shop, sandbox, tmp_path, listening)
        supervised.stop(supervised.run())


def test_a_watchdog_of_another_process_is_not_fed(
    supervised: SupervisedDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a daemon sees it that was started by a wrapper."""
    monkeypatch.setenv("WATCHDOG_PID", "1")
    daemon = supervised.run()
    wait_until(lambda: supervised.supervisor.lines("STATUS=lag "))
    supervised.stop(daemon)
    assert supervised.supervisor.lines("WATCHDOG=1") == []


def test_ready_comes_after_the_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then it asks for more time; a mended configuration is taken by SIGHUP."""
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


# What makes it fall silent


def test_a_part_that_hangs_is_named_and_the_watchdog_starves(
    supervised: SupervisedDaemon,
) -> None:
    """Its own file does not answer, as on a dead network share; the others go on."""
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


def test_a_log_that_nobody_takes_starves_the_watchdog(
    supervised: SupervisedDaemon,
) -> None:
    """Whoever writes to it stands still; once it is read, all goes on."""
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
    assert {supervised.sandbox.book.posts(order) for order in orders} == {1}


def test_a_stopped_process_is_silent_and_goes_on_where_it_was(
    supervised: SupervisedDaemon,
) -> None:
    """SIGSTOP; nobody is accused afterwards of not having moved meanwhile."""
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


def test_an_outage_of_the_api_is_no_hang(supervised: SupervisedDaemon) -> None:
    """However long it backs off."""
    daemon = supervised.run(*IMPATIENT)
    supervised.sandbox.fail("server-error", times=1_000, status=503)
    supervised.shop.confirm(1)
    wait_until(lambda: supervised.events("batch.deferred"))
    supervised.assert_pings(STALE + 2)
    supervised.stop(daemon)
    assert supervised.events("daemon.stalled") == []


def test_a_slow_request_within_its_time_is_no_hang(
    supervised: SupervisedDaemon,
) -> None:
    """It may take as long as `timeout` says."""
    supervised.configure(timeout="30s")
    daemon = supervised.run(*IMPATIENT)
    supervised.sandbox.fail("latency", times=1, seconds=STALE + 2)
    orders = supervised.shop.confirm(1)
    supervised.assert_pings(STALE + 1)
    wait_until(supervised.arrived(orders))
    supervised.stop(daemon)
    assert supervised.events("daemon.stalled") == []


def test_a_wire_that_freezes_is_no_hang(
    server: Cluster, supervised: SupervisedDaemon
) -> None:
    """No answer comes, connections are given up and opened anew, for hours."""
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


def test_a_backend_that_stands_still_is_left_and_no_hang(
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
