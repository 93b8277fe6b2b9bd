"""`syncd pause` and `resume`: for every daemon, across restarts, with clear output."""

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from support.command import syncd
from support.feed_harness import ago
from support.postgres import wait_until
from support.shop import Shop

from syncd.demo.sandbox import Sandbox

pytestmark = pytest.mark.db


def events(log: Path, name: str) -> list[dict[str, object]]:
    lines = log.read_text().splitlines(keepends=True)
    read = [json.loads(line) for line in lines if line.endswith("\n")]
    return [line for line in read if line["event"] == name]


def wait_for_event(log: Path, name: str, times: int = 1) -> Callable[[], bool]:
    return lambda: len(events(log, name)) >= times


def facts(config: Path) -> dict[str, object]:
    read: dict[str, object] = json.loads(
        syncd("status", "--json", "--config", config).stdout
    )
    return read


def severities(config: Path) -> list[object]:
    """Return the severities of the pauses only."""
    reasons = facts(config)["reasons"]
    assert isinstance(reasons, list)
    return [r["severity"] for r in reasons if "was paused" in r["reason"]]


def test_two_daemons_respect_a_pause_that_outlives_them(
    shop: Shop, sandbox: Sandbox, tmp_path: Path
) -> None:
    """One is killed, one stopped; the one that starts later sends nothing either."""
    config = shop.configure(tmp_path, sandbox.endpoint)
    logs = [tmp_path / f"{name}.log" for name in ("one", "two", "three")]
    one, two = (shop.start(config, log=log) for log in logs[:2])
    for log in logs[:2]:
        wait_until(wait_for_event(log, "heartbeat"))
    done = syncd("pause", "--reason", "the campaign changes", "--config", config)
    assert done.stdout == (
        "sending is paused: batches in flight are finished, then none is sent; "
        "capture continues\n"
    )
    for log in logs[:2]:
        wait_until(wait_for_event(log, "feed.paused"))
        wait_until(lambda log=log: events(log, "heartbeat")[-1]["paused"] == "sending")
    orders = shop.confirm(5)
    wait_until(lambda: shop.captured() == 5)
    one.send_signal(signal.SIGKILL)
    two.terminate()
    assert two.wait(60) == 0
    three = shop.start(config, log=logs[2])
    wait_until(wait_for_event(logs[2], "feed.paused"))
    assert events(logs[2], "feed.paused")[0]["reason"] == "the campaign changes"
    assert ": the campaign changes" in str(facts(config)["reasons"])
    assert sandbox.received.totals.requests == 0
    done = syncd("resume", "--config", config)
    assert done.stdout.startswith("sending continues: the pause since ")
    wait_until(lambda: all(sandbox.received.posts(order) == 1 for order in orders))
    wait_until(wait_for_event(logs[2], "feed.resumed"))
    three.terminate()
    assert three.wait(60) == 0
    assert [len(events(log, "feed.paused")) for log in logs] == [1, 1, 1]
    assert len(events(logs[2], "feed.resumed")) == 1
    assert not [e for log in logs for e in events(log, "database.unavailable")]


def test_a_pause_while_the_api_hangs_finishes_only_that_batch(
    shop: Shop, sandbox: Sandbox, tmp_path: Path
) -> None:
    """The command does not wait for it; its outcome is settled."""
    config = shop.configure(tmp_path, sandbox.endpoint, batch_size=1, timeout="60s")
    log = config.with_suffix(".log")
    daemon = shop.start(config)
    wait_until(wait_for_event(log, "heartbeat"))
    sandbox.fail("hang", times=1)
    orders = shop.confirm(3)
    wait_until(lambda: shop.batches("sending") == 1)
    assert syncd("pause", "--config", config).returncode == 0
    assert shop.batches("sending") == 1
    sandbox.stop()
    sandbox.start()
    wait_until(wait_for_event(log, "feed.paused"))
    assert shop.batches("sending") == 0
    assert sandbox.received.totals.orderids == 0
    assert syncd("resume", "--config", config).returncode == 0
    wait_until(lambda: all(sandbox.received.posts(order) for order in orders))
    daemon.terminate()
    assert daemon.wait(60) == 0


def test_a_pause_of_an_idle_daemon_is_logged_once(
    shop: Shop, sandbox: Sandbox, tmp_path: Path
) -> None:
    """One that listens does not poll; it is notified, and stays paused."""
    shop.listen("orders:id")
    config = shop.configure(tmp_path, sandbox.endpoint, {"capture": "listen"})
    log = config.with_suffix(".log")
    shop.start(config)
    wait_until(wait_for_event(log, "heartbeat"))
    assert syncd("pause", "--config", config).returncode == 0
    wait_until(wait_for_event(log, "feed.paused"))
    beats = len(events(log, "heartbeat"))
    wait_until(wait_for_event(log, "heartbeat", beats + 2))
    assert events(log, "feed.resumed") == []
    assert syncd("resume", "--config", config).returncode == 0
    wait_until(wait_for_event(log, "feed.resumed"))
    assert len(events(log, "feed.paused")) == 1


@pytest.mark.parametrize("capture", ["poll", "listen"])
def test_after_a_pause_of_capture_everything_is_captured(
    shop: Shop, sandbox: Sandbox, tmp_path: Path, capture: str
) -> None:
    """This holds after kill -9; what the ledger has is sent meanwhile."""
    if capture == "listen":
        shop.listen("orders:id")
    config = shop.configure(tmp_path, sandbox.endpoint, {"capture": capture})
    log = config.with_suffix(".log")
    first = shop.start(config)
    wait_until(wait_for_event(log, "heartbeat"))
    done = syncd("pause", "--capture", "--json", "--config", config)
    assert set(json.loads(done.stdout)) == {"capture"}
    orders = shop.confirm(4)
    wait_until(wait_for_event(log, "feed.paused"))
    first.kill()
    first.wait()
    second = shop.start(config)
    wait_until(wait_for_event(log, "feed.paused", 2))
    assert shop.captured() == 0
    assert syncd("resume", "--capture", "--config", config).returncode == 0
    wait_until(lambda: all(sandbox.received.posts(order) == 1 for order in orders))
    second.terminate()
    assert second.wait(60) == 0
    assert not events(log, "capture.missed_changes")


def test_run_once_respects_a_pause_and_reports_it(
    shop: Shop, sandbox: Sandbox, tmp_path: Path
) -> None:
    """Exit code 75; the half that is not paused runs."""
    config = shop.configure(tmp_path, sandbox.endpoint)
    once = ("run", "--once", "--config", config)
    assert syncd(*once).returncode == 0
    syncd("pause", "--config", config)
    first = shop.confirm(2)
    done = syncd(*once)
    assert (done.returncode, "feed.paused" in done.stderr) == (75, True)
    assert (shop.captured(), sandbox.received.totals.requests) == (2, 0)
    syncd("resume", "--config", config)
    syncd("pause", "--capture", "--config", config)
    second = shop.confirm(1)
    assert syncd(*once).returncode == 75
    assert [sandbox.received.posts(order) for order in first + second] == [1, 1, 0]
    assert "missing" not in syncd("reconcile", "--config", config).stdout
    assert syncd("reconcile", "--config", config).returncode == 75
    syncd("resume", "--all", "--config", config)
    assert syncd(*once).returncode == 0
    assert sandbox.received.posts(second[0]) == 1


def test_the_messages_about_pauses(
    shop: Shop, sandbox: Sandbox, tmp_path: Path
) -> None:
    """One clear line each; a feed never started, or another name, is reported."""
    config = shop.configure(tmp_path, sandbox.endpoint)

    def output(*arguments: str) -> list[str]:
        return syncd(*arguments, "--config", config).stdout.splitlines()

    refused = syncd("pause", "--config", config)
    assert (refused.returncode, "never started" in refused.stderr) == (78, True)
    syncd("run", "--once", "--config", config)
    assert output("resume") == ["sending was neither paused nor held"]
    assert output("resume", "--capture") == ["capture was not paused"]
    assert len(output("pause", "--all", "--reason", "Black Friday")) == 2
    again = output("pause")
    assert again[0].startswith("sending was already paused since ")
    assert again[0].endswith("(Black Friday)")
    assert severities(config) == ["notice", "notice"]
    for table in ("endpoint", "watermark"):
        shop.update(table, {"paused_at": ago(hours=1)})
    assert (syncd("status", "--config", config).returncode, len(output("resume"))) == (
        1,
        2,
    )
    assert output("resume", "--all")[1].startswith(
        "capture continues: the pause since "
    )
    shop.set_endpoint("held", "HTTP 401")
    assert output("resume") == ["sending continues: syncd tries the API again at once"]
    config.write_text(config.read_text().replace('feed = "shop"', 'feed = "other"'))
    refused = syncd("pause", "--config", config)
    assert "feed 'other' was never started" in refused.stderr
