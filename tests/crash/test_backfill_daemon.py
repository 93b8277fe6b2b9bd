"""A backfill with real daemons: killed, paused from another shell, shared by two."""

import json
from pathlib import Path

import pytest
from support.backfill_harness import BEGIN, day, insert_past_orders
from support.command import syncd
from support.postgres import wait_until
from support.shop import Shop

from syncd.demo.sandbox import Sandbox

pytestmark = [pytest.mark.db, pytest.mark.timeout(180)]

SMALL_PAGES = (str(Path(__file__).parents[1] / "support" / "run_small_pages.py"), "20")
FROM = ("--from", BEGIN.isoformat())


@pytest.fixture
def backfill_config(shop: Shop, sandbox: Sandbox, tmp_path: Path) -> Path:
    path = shop.configure(tmp_path, sandbox.endpoint, batch_size=5)
    with path.open("a") as file:
        file.write('\n[backfill]\nrate = "100/s"\n')
    assert syncd("run", "--once", "--config", path).returncode == 0
    return path


def request_backfill(config: Path, *options: str) -> int:
    """Start a backfill of all past orders; return its number."""
    arguments = ("backfill", *FROM, "--yes", "--json", "--config", config, *options)
    done = syncd(*arguments)
    assert done.returncode == 0, done.stderr
    return int(json.loads(done.stdout)["backfill"])


def facts(config: Path) -> dict[str, object]:
    """Return the last backfill as the command shows it."""
    listed = json.loads(syncd("backfill", "list", "--json", "--config", config).stdout)
    found: dict[str, object] = listed[-1]
    return found


def state(shop: Shop) -> object:
    return shop.rows_of("backfill")[-1].state


def logged_states(log: Path) -> list[str]:
    """Return the states of backfills in a daemon's log, in order."""
    names = [json.loads(line)["event"] for line in log.read_text().splitlines()]
    return [n.removeprefix("backfill.") for n in names if n.startswith("backfill.")]


def test_a_backfill_survives_kills_and_sends_each_order(
    shop: Shop, sandbox: Sandbox, backfill_config: Path
) -> None:
    """Exactly the orders of the range; a repeat only for a claim in flight."""
    wanted = insert_past_orders(shop, 300)
    request_backfill(backfill_config, "--to", day(40).isoformat())
    for killed_at in (30, 110, 200):
        daemon = shop.start(backfill_config, program=SMALL_PAGES)
        wait_until(lambda: sandbox.received.totals.orderids >= killed_at)  # noqa: B023
        assert state(shop) == "running"
        daemon.kill()
        daemon.wait()
    shop.start(backfill_config, program=SMALL_PAGES)
    wait_until(lambda: state(shop) == "finished")
    posts = {order: sandbox.received.posts(order) for order in wanted}
    inside = wanted[:240]
    assert [order for order in wanted if posts[order]] == inside
    counted = shop.uncertain_attempts_of_orders()
    assert [o for o in inside if posts[o] - 1 > counted[o]] == []
    assert sum(posts.values()) <= 240 + 3 * 5
    assert shop.row_of("backfill").orders == 240


def test_a_backfill_is_paused_and_cancelled_from_any_shell(
    shop: Shop, sandbox: Sandbox, backfill_config: Path
) -> None:
    """A running daemon pauses, continues, and releases the rest; each is logged."""
    insert_past_orders(shop, 2_000)
    log = backfill_config.with_suffix(".log")
    daemon = shop.start(backfill_config, program=SMALL_PAGES)
    wait_until(lambda: "daemon.started" in log.read_text())
    request_backfill(backfill_config)
    wait_until(lambda: sandbox.received.totals.orderids >= 20)
    assert syncd("backfill", "pause", "--config", backfill_config).returncode == 0
    wait_until(lambda: logged_states(log) == ["started", "paused"])
    resting = sandbox.received.totals.orderids
    live = shop.confirm(3)
    wait_until(lambda: all(sandbox.received.posts(order) for order in live))
    assert sandbox.received.totals.orderids <= resting + 3 + 5
    assert facts(backfill_config)["state"] == "paused"
    assert syncd("backfill", "resume", "--config", backfill_config).returncode == 0
    wait_until(lambda: sandbox.received.totals.orderids >= resting + 40)
    cancel = syncd("backfill", "cancel", "--yes", "--config", backfill_config)
    assert "is cancelled" in cancel.stdout
    wait_until(
        lambda: logged_states(log) == ["started", "paused", "resumed", "cancelled"]
    )
    wait_until(
        lambda: (
            facts(backfill_config)["pending"] == facts(backfill_config)["sending"] == 0
        )
    )
    assert sandbox.received.totals.orderids < 2_000
    daemon.terminate()
    assert daemon.wait(60) == 0
    text = backfill_config.read_text()
    backfill_config.write_text(text.replace("100/s", "unlimited"))
    request_backfill(backfill_config)
    shop.start(backfill_config, program=SMALL_PAGES)
    wait_until(lambda: state(shop) == "finished")
    assert sandbox.received.totals.orderids == 2_003
    assert sandbox.received.totals.repeats == 0


def test_two_daemons_share_a_backfill(
    shop: Shop, sandbox: Sandbox, backfill_config: Path, tmp_path: Path
) -> None:
    """Each page is captured once, each order sent once, each state logged once."""
    orders = insert_past_orders(shop, 300)
    logs = [tmp_path / "one.log", tmp_path / "two.log"]
    for log in logs:
        shop.start(backfill_config, log=log, program=SMALL_PAGES)
    for log in logs:
        wait_until(lambda log=log: "daemon.started" in log.read_text())
    request_backfill(backfill_config)
    wait_until(lambda: state(shop) == "finished")
    assert {sandbox.received.posts(order) for order in orders} == {1}
    assert shop.row_of("backfill").orders == 300
    wait_until(lambda: len(logged_states(logs[0]) + logged_states(logs[1])) >= 2)
    assert sorted(logged_states(logs[0]) + logged_states(logs[1])) == [
        "finished",
        "started",
    ]


def test_a_stopped_daemon_leaves_the_rest_to_the_next(
    shop: Shop, sandbox: Sandbox, backfill_config: Path
) -> None:
    """`run --once` continues where the daemon was, up to the end."""
    insert_past_orders(shop, 200)
    request_backfill(backfill_config)
    daemon = shop.start(backfill_config, program=SMALL_PAGES)
    wait_until(lambda: sandbox.received.totals.orderids >= 20)
    daemon.terminate()
    assert daemon.wait(60) == 0
    assert state(shop) == "running"
    assert syncd("run", "--once", "--config", backfill_config).returncode == 0
    assert state(shop) == "finished"
    assert sandbox.received.totals.orderids == 200
    assert sandbox.received.totals.repeats == 0
