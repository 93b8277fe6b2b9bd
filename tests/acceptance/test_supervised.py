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
from support.overseer import IMPATIENT, STALE, Post, overseer, wait_until
from support.postgres import Cluster, cluster
from support.shop import Shop
from support.wire import wire

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


def test_a_life_is_told_from_ready_to_stopping(post: Post) -> None:
    """Ready after the start; how it stands, without anything personal; the end."""
    daemon = post.run()
    assert post.events("daemon.started")
    wait_until(lambda: post.overseer.heard("STATUS=lag "))
    wait_until(lambda: len(post.overseer.heard("WATCHDOG=1")) > 2)
    well = "STATUS=lag 0 s, 0 pending, endpoint available"
    assert well in post.overseer.heard("STATUS=")
    post.stop(daemon)


def test_a_reload_is_told_with_its_time(post: Post) -> None:
    """In one datagram, as Type=notify-reload wants it; then ready again."""
    daemon = post.run()
    before = time.monotonic_ns() // 1000
    post.reload(daemon)
    (reloading,) = [lines for lines in post.overseer.told if "RELOADING=1" in lines]
    (at,) = [line for line in reloading if line.startswith("MONOTONIC_USEC=")]
    assert before <= int(at.partition("=")[2]) <= time.monotonic_ns() // 1000
    assert len(post.events("config.reloaded")) == 1
    post.stop(daemon)
    assert len(post.events("daemon.started")) == len(post.events("daemon.stopped")) == 1


def test_an_abstract_socket_is_spoken_to(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As containers have it."""
    with Sandbox() as sandbox, overseer(tmp_path, abstract=True) as listening:
        for name, value in listening.environment.items():
            monkeypatch.setenv(name, value)
        post = Post(shop, sandbox, tmp_path, listening)
        post.stop(post.run())


def test_a_watchdog_of_another_process_is_not_fed(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a daemon sees it that was started by a wrapper."""
    monkeypatch.setenv("WATCHDOG_PID", "1")
    daemon = post.run()
    wait_until(lambda: post.overseer.heard("STATUS=lag "))
    post.stop(daemon)
    assert post.overseer.heard("WATCHDOG=1") == []


def test_ready_comes_after_the_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then it asks for more time; a mended configuration is taken by SIGHUP."""
    with cluster() as server, Sandbox() as sandbox, overseer(tmp_path) as listening:
        for name, value in listening.environment.items():
            monkeypatch.setenv(name, value)
        server.sql("CREATE DATABASE shop")
        shop = Shop.open(server.dsn("shop"))
        post = Post(shop, sandbox, tmp_path, listening)
        server.stop()
        nowhere = f"host={tmp_path} dbname=shop user={shop.role}"
        post.configure({"dsn": nowhere})
        daemon = post.start()
        try:
            wait_until(lambda: len(listening.heard("EXTEND_TIMEOUT_USEC=")) > 1)
            assert listening.heard("STATUS=") == ["STATUS=waiting for the database"]
            server.start()
            post.configure()
            assert listening.heard("READY=1") == []
            daemon.send_signal(signal.SIGHUP)
            wait_until(lambda: listening.heard("READY=1"))
            post.stop(daemon)
        finally:
            shop.close()


# What makes it fall silent


def test_a_part_that_hangs_is_named_and_the_watchdog_starves(post: Post) -> None:
    """Its own file does not answer, as on a dead network share; the others go on."""
    daemon = post.run(*IMPATIENT)
    memory = post.folder / "shop.json"
    wait_until(memory.exists)
    os.mkfifo(post.folder / "pipe")
    (post.folder / "pipe").rename(memory)
    wait_until(lambda: post.overseer.silent_seconds > STALE / 2)
    (stalled,) = post.events("daemon.stalled")
    assert stalled["component"] == "housekeeping"
    assert "clone_guard.py" in str(stalled["exception"])
    orders = post.shop.confirm(1)
    wait_until(post.arrived(orders))
    daemon.kill()


def test_a_log_that_nobody_takes_starves_the_watchdog(post: Post) -> None:
    """Whoever writes to it stands still; once it is read, all goes on."""
    config = post.configure(payload="single")
    read, write = os.pipe()
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 4096)
    with subprocess.Popen(
        [sys.executable, *IMPATIENT, str(config)],
        stderr=write,
        env={**os.environ, "SYNCD_SQUEEZELY_API_KEY": "sandbox-key"},
    ) as daemon:
        os.close(write)
        wait_until(lambda: post.overseer.heard("READY=1"))
        orders = post.shop.confirm(20)
        wait_until(lambda: post.overseer.silent_seconds > STALE / 2)
        with os.fdopen(read) as log:
            wait_until(lambda: log.readline() and post.overseer.silent_seconds < 1)
            wait_until(lambda: log.readline() and post.arrived(orders)())
            daemon.terminate()
            log.read()
        assert daemon.wait(60) == 0
    assert {post.sandbox.book.posts(order) for order in orders} == {1}


def test_a_stopped_process_is_silent_and_goes_on_where_it_was(post: Post) -> None:
    """SIGSTOP; nobody is accused afterwards of not having moved meanwhile."""
    daemon = post.run(*IMPATIENT)
    daemon.send_signal(signal.SIGSTOP)
    wait_until(lambda: post.overseer.silent_seconds > STALE + 1)
    orders = post.shop.confirm(1)
    daemon.send_signal(signal.SIGCONT)
    wait_until(post.arrived(orders))
    wait_until(lambda: post.overseer.silent_seconds < 1)
    assert post.events("daemon.stalled") == []
    post.stop(daemon)


# What does not


def test_an_outage_of_the_api_is_no_hang(post: Post) -> None:
    """However long it backs off."""
    daemon = post.run(*IMPATIENT)
    post.sandbox.fail("server-error", times=1_000, status=503)
    post.shop.confirm(1)
    wait_until(lambda: post.events("batch.deferred"))
    post.keeps_pinging(STALE + 2)
    post.stop(daemon)
    assert post.events("daemon.stalled") == []


def test_a_slow_request_within_its_time_is_no_hang(post: Post) -> None:
    """It may take as long as `timeout` says."""
    post.configure(timeout="30s")
    daemon = post.run(*IMPATIENT)
    post.sandbox.fail("latency", times=1, seconds=STALE + 2)
    orders = post.shop.confirm(1)
    post.keeps_pinging(STALE + 1)
    wait_until(post.arrived(orders))
    post.stop(daemon)
    assert post.events("daemon.stalled") == []


def test_a_wire_that_freezes_is_no_hang(server: Cluster, post: Post) -> None:
    """No answer comes, connections are given up and opened anew, for hours."""
    with wire(server.folder) as laid:
        dsn = psycopg.conninfo.make_conninfo(
            post.shop.dsn, host="127.0.0.1", port=laid.port
        )
        post.configure({"dsn": dsn})
        daemon = post.run(*IMPATIENT)
        laid.freeze()
        wait_until(lambda: "STATUS=the database does not answer"
                   in post.overseer.heard("STATUS="), 30)  # fmt: skip
        post.keeps_pinging(STALE + 2)
        laid.thaw()
        wait_until(lambda: post.overseer.heard("STATUS=")[-1].startswith("STATUS=lag"),
                   60)  # fmt: skip
        post.stop(daemon)
    assert post.events("daemon.stalled") == []


def test_a_backend_that_stands_still_is_left_and_no_hang(post: Post) -> None:
    """SIGSTOP of the server's process: no time-out of its own can end that."""
    post.configure({"poll_interval": "3s"})
    daemon = post.run(*IMPATIENT)
    wait_until(lambda: post.shop.rows(AT_REST))
    backend = post.shop.value(AT_REST)
    assert isinstance(backend, int)
    os.kill(backend, signal.SIGSTOP)
    try:
        wait_until(lambda: post.events("database.unavailable"))
        orders = post.shop.confirm(1)
        post.keeps_pinging(STALE + 1)
        wait_until(post.arrived(orders))
    finally:
        os.kill(backend, signal.SIGCONT)
    post.stop(daemon)
    assert post.events("daemon.stalled") == []
