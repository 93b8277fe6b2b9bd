"""`syncd reconcile`, and the daemon's own reconciliation."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from support.command import syncd
from support.feed_harness import ago
from support.postgres import wait_until
from support.shop import Shop

from syncd.demo.sandbox import Sandbox

pytestmark = pytest.mark.db


@pytest.fixture
def old_config(shop: Shop, sandbox: Sandbox, tmp_path: Path) -> Path:
    """A shop whose feed began two days ago and has sent everything since."""
    path = shop.configure(tmp_path, sandbox.endpoint)
    assert syncd("run", "--once", "--config", path).returncode == 0
    shop.shift("feed", timedelta(days=-2), "floor_at")
    shop.confirm(3)
    assert syncd("run", "--once", "--config", path).returncode == 0
    shop.set_watermark(ago(seconds=-1))
    return path


def confirm_unseen(shop: Shop, before: str) -> None:
    """Confirm an order with a stamp that no poll reads."""
    shop.sql(f"INSERT INTO orders (confirmed_at) VALUES (now() - interval '{before}')")


def test_reconcile_prints_a_sentence_and_exits_by_missing_orders(
    shop: Shop, old_config: Path
) -> None:
    """Missing ones are captured, named in the log, and shown by `status`."""
    done = syncd("reconcile", "--config", old_config)
    assert done.returncode == 0
    assert done.stdout.endswith("3 confirmed, 3 delivered, 0 unexplained\n")
    confirm_unseen(shop, "3 hours")
    done = syncd("reconcile", "--config", old_config)
    assert done.returncode == 1
    assert "4 confirmed, 3 delivered, 1 missing (1 captured now), 0 une" in done.stdout
    line = json.loads(done.stderr)
    assert (line["event"], line["level"], line["order_key"]) == (
        "orders.missed",
        "error",
        "4",
    )
    assert syncd("run", "--once", "--config", old_config).returncode == 0
    done = syncd("reconcile", "--json", "--config", old_config)
    facts = json.loads(done.stdout)
    assert (facts["confirmed"], facts["delivered"], facts["missing"]) == (4, 4, 0)
    status = syncd("status", "--json", "--config", old_config)
    status_facts = json.loads(status.stdout)
    assert status_facts["reconciled"] == {"asked": facts["sentence"]}
    assert status_facts["unexplained"] == 0
    status_facts = syncd("status", "--config", old_config).stdout
    assert "asked: 4 confirmed, 4 delivered, 0 unexplained" in status_facts


def test_an_unexplained_order_makes_the_feed_degraded(
    shop: Shop, old_config: Path
) -> None:
    """The last reconciliation decides."""
    assert syncd("status", "--config", old_config).returncode == 0
    shop.delete("batch")
    assert syncd("reconcile", "--config", old_config).returncode == 1
    assert syncd("status", "--config", old_config).returncode == 1


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--from", "soon"], 64, "'soon' is not a valid time"),
        # An unset variable is not "all".
        (["--from", ""], 64, "'' is not a valid time"),
        (["--from", "now", "--to", "2 hours ago"], 64, "is not before --to"),
        (["--to", "2999-01-01"], 64, "is in the future"),
    ],
)
def test_an_invalid_range_is_refused_in_one_line(
    old_config: Path, arguments: list[str], code: int, words: str
) -> None:
    """The line names the option to use instead."""
    done = syncd("reconcile", "--config", old_config, *arguments)
    assert done.returncode == code
    assert words in done.stderr
    assert done.stdout == ""


def test_a_range_may_be_given(shop: Shop, old_config: Path) -> None:
    """Only its orders are accounted for, and captured."""
    for before in ("40 hours", "20 hours"):
        confirm_unseen(shop, before)
    done = syncd(
        "reconcile",
        "--from",
        "30 hours ago",
        "--to",
        "10 hours ago",
        "--config",
        old_config,
    )
    assert "1 confirmed, 0 delivered, 1 missing (1 captured now)" in done.stdout
    done = syncd("reconcile", "--to", "2020-01-01", "--config", old_config)
    assert (done.returncode, ": 0 confirmed, 0 delivered" in done.stdout) == (0, True)


def test_orders_just_delivered_are_accounted_for(shop: Shop, old_config: Path) -> None:
    """Also above the watermark, which is behind by the lookback and more."""
    shop.set_watermark(ago(hours=1))
    done = syncd("reconcile", "--from", "1 hour ago", "--config", old_config)
    assert done.stdout.endswith("3 confirmed, 3 delivered, 0 unexplained\n")


def events(log: Path, name: str) -> list[dict[str, object]]:
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    return [line for line in lines if line["event"] == name]


def test_the_daemon_finds_and_sends_what_capture_missed(
    shop: Shop, sandbox: Sandbox, old_config: Path
) -> None:
    """It reconciles by itself, also after restarts; the heartbeat reports it."""
    confirm_unseen(shop, "90 minutes")
    log = old_config.with_suffix(".log")
    daemon = shop.start(old_config)
    wait_until(lambda: sandbox.received.totals.orderids == 4)
    wait_until(lambda: len(events(log, "reconciliation.finished")) == 3)
    beats = len(events(log, "heartbeat"))
    wait_until(lambda: len(events(log, "heartbeat")) > beats)
    daemon.terminate()
    assert daemon.wait(60) == 0
    (missed,) = events(log, "orders.missed")
    assert (missed["orders"], missed["order_key"]) == (1, "4")
    beat = events(log, "heartbeat")[-1]
    assert beat["unexplained"] == 0
    assert isinstance(beat["reconciled_seconds"], float)
    shop.shift("reconciliation", timedelta(minutes=-6), "started_at")
    daemon = shop.start(old_config)
    wait_until(lambda: len(events(log, "reconciliation.finished")) == 4)
    daemon.terminate()
    assert daemon.wait(60) == 0
    last = events(log, "reconciliation.finished")[-1]
    assert (last["scope"], last["delivered"], last["missing"]) == ("hours", 4, 0)
