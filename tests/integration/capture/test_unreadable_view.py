"""A row that cannot be left out stops capture, and everything reports it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.backfill_harness import insert_past_orders
from support.checks import CheckRunner
from support.command import syncd
from support.postgres import Cluster, wait_until
from support.shop import Shop

from syncd.demo.sandbox import Sandbox

pytestmark = [pytest.mark.db, pytest.mark.slow, pytest.mark.timeout(300)]

SHOWN = """
ALTER TABLE orders ADD COLUMN IF NOT EXISTS data text;
DROP VIEW syncd.confirmed_orders;
CREATE VIEW syncd.confirmed_orders AS {};
GRANT SELECT ON syncd.confirmed_orders TO {};
"""
KEY = "SELECT coalesce(data, id::text)::bigint AS order_key, confirmed_at FROM orders"
CONDITION = (
    "SELECT id AS order_key, confirmed_at FROM orders "
    "WHERE 1 / length(coalesce(data, 'x')) > 0"
)
TIME = (
    "SELECT id AS order_key, confirmed_at + coalesce(data, '0 s')::interval "
    "AS confirmed_at FROM orders"
)
BLOCKED = "orders are not captured"
HIDDEN = {"key": (KEY, "'x-y'", "22P02"), "condition": (CONDITION, "''", "22012")}
UNREADABLE = "orders.unreadable"


def show(shop: Shop, view: str) -> None:
    shop.sql(SHOWN.format(view, shop.role))


@pytest.mark.parametrize("capture", ["poll", "listen"])
@pytest.mark.parametrize("hidden", HIDDEN)
def test_a_row_with_an_unreadable_key_is_reported_everywhere(
    shop: Shop, sandbox: Sandbox, tmp_path: Path, hidden: str, capture: str
) -> None:
    """Log, status, check and reconciliation name it; all is sent once it is fixed."""
    view, data, sqlstate = HIDDEN[hidden]
    show(shop, view)
    config = shop.configure(tmp_path, sandbox.endpoint, {"capture": capture})
    if capture == "listen":
        listen = ("install", "--as", shop.owner, "--listen", "orders:id", "--config")
        assert syncd(*listen, config).returncode == 0
    daemon = shop.start(config)
    wait_until(lambda: "daemon.started" in config.with_suffix(".log").read_text(), 60)
    shop.confirm(1)
    wait_until(lambda: sandbox.received.posts("W-1") == 1, 30)
    shop.sql(f"INSERT INTO orders (confirmed_at, data) VALUES (now(), {data})")
    shop.confirm(1)
    wait_until(lambda: shop.alarms(UNREADABLE), 60)
    expected = f"{BLOCKED}: syncd.confirmed_orders fails with SQLSTATE {sqlstate}"
    assert_reported_everywhere(shop, config, expected)
    at = shop.value("SELECT confirmed_at FROM orders WHERE id = 2")
    assert (
        f"on a row confirmed at {at}, in its key"
        in shop.row_of("alarm", alarm=UNREADABLE).reason
    )
    by_key = (hidden, capture) == ("condition", "listen")  # beside the unreadable row
    reachable = 2 if by_key else 1
    wait_until(lambda: sandbox.received.totals.orderids >= reachable, 30)
    assert sandbox.received.totals.orderids == reachable
    shop.sql("UPDATE orders SET data = NULL WHERE id = 2")
    wait_until(lambda: sandbox.received.totals.orderids == 3, 60)
    wait_until(lambda: not shop.alarms(UNREADABLE), 60)
    daemon.terminate()
    assert daemon.wait(20) == 0


def errors(config: Path) -> list[str]:
    lines = map(json.loads, config.with_suffix(".log").read_text().splitlines())
    return [str(e.get("reason")) for e in lines if e["level"] == "error"]


def assert_reported_everywhere(shop: Shop, config: Path, expected: str) -> None:
    """Assert that alarm, log, status, reconciliation and check report it."""
    assert shop.row_of("alarm", alarm=UNREADABLE).reason.startswith(expected)
    wait_until(lambda: any(expected in reason for reason in errors(config)), 30)
    status = syncd("status", "--config", config)
    assert status.returncode != 0
    assert expected in " ".join(status.stdout.split())
    account = syncd("reconcile", "--config", config)
    assert account.returncode == 1
    assert expected in account.stderr
    assert "unexplained" not in account.stdout
    checked = syncd("check", "--json", "--config", config)
    assert checked.returncode != 0
    (found,) = [
        f for f in json.loads(checked.stdout) if f["code"] == "orders.unreadable"
    ]
    assert found["severity"] == "error"
    assert expected in found["message"]


def test_too_many_unreadable_times_are_reported_everywhere(
    shop: Shop, sandbox: Sandbox, tmp_path: Path
) -> None:
    """They count as a fault of the view, not of single orders."""
    show(shop, TIME)
    config = shop.configure(tmp_path, sandbox.endpoint)
    assert syncd("run", "--once", "--config", config).returncode == 0
    shop.sql(
        "INSERT INTO orders (confirmed_at, data) "
        "SELECT now(), 'soon' FROM generate_series(1, 101)"
    )
    syncd("run", "--once", "--config", config)
    (reason,) = shop.alarms(UNREADABLE)
    assert BLOCKED in reason
    assert "too many orders to leave them out, for example 1" in reason
    assert "too many" in CheckRunner(shop, tmp_path).one("orders.unreadable").message


@pytest.fixture(params=["beside", "apart"])
def any_shop(
    server: Cluster, database: str, request: pytest.FixtureRequest
) -> Iterator[Shop]:
    """A shop with the ledger beside it, or in a database of its own."""
    state = None
    if request.param == "apart":
        server.sql("CREATE DATABASE ledger_apart")
        state = server.dsn("ledger_apart")
    opened = Shop.open(database, state=state)
    yield opened
    opened.close()
    if state:
        server.sql("DROP DATABASE ledger_apart WITH (FORCE)")


def test_a_first_start_sets_an_unreadable_row_aside(
    any_shop: Shop, sandbox: Sandbox, tmp_path: Path
) -> None:
    """The others are initial, the unreadable one is named, and new orders are sent."""
    shop = any_shop
    show(shop, TIME)
    shop.confirm(3)
    shop.sql("UPDATE orders SET data = 'soon' WHERE id = 2")
    config = shop.configure(tmp_path, sandbox.endpoint)
    started = syncd("run", "--once", "--config", config)
    assert started.returncode == 0, started.stderr
    assert '"orders.unreadable"' in started.stderr
    shop.confirm(1)
    assert syncd("run", "--once", "--config", config).returncode == 0
    assert [sandbox.received.posts(f"W-{n}") for n in (1, 2, 3, 4)] == [0, 0, 0, 1]
    status = " ".join(syncd("status", "--config", config).stdout.split())
    assert "1 of confirmed_orders cannot be read (SQLSTATE 22007): 2" in status
    shop.sql("UPDATE orders SET data = NULL, confirmed_at = now() WHERE id = 2")
    assert syncd("run", "--once", "--config", config).returncode == 0
    assert sandbox.received.posts("W-2") == 1


@pytest.mark.parametrize("is_started", [False, True])
def test_a_backfill_sets_an_unreadable_row_aside(
    shop: Shop, sandbox: Sandbox, tmp_path: Path, *, is_started: bool
) -> None:
    """The plan counts it, the others are sent; once fixed it can be backfilled."""
    show(shop, TIME)
    config = shop.configure(tmp_path, sandbox.endpoint)
    if is_started:
        assert syncd("run", "--once", "--config", config).returncode == 0
        orders = insert_past_orders(shop, 5)
    else:
        shop.confirm(5)
        shop.sql("UPDATE orders SET confirmed_at = confirmed_at - interval '3 days'")
        orders = [f"W-{n}" for n in range(1, 6)]
    shop.sql("UPDATE orders SET data = 'soon' WHERE id = 2")
    ask = ("backfill", "--from", "200 days ago", "--yes", "--config", config)
    planned = syncd(*ask)
    assert planned.returncode == 0, planned.stderr
    assert "1 orders of syncd.confirmed_orders cannot be read" in planned.stderr
    daemon = shop.start(config)
    wait_until(lambda: sum(map(sandbox.received.posts, orders)) == 4, 60)
    wait_until(
        lambda: '"backfill.finished"' in config.with_suffix(".log").read_text(), 60
    )
    daemon.terminate()
    assert daemon.wait(20) == 0
    assert sandbox.received.posts(orders[1]) == 0
    (reason,) = shop.alarms(UNREADABLE)
    assert reason.endswith("cannot be read (SQLSTATE 22007): 2")
    shop.sql("UPDATE orders SET data = NULL WHERE id = 2")
    assert syncd(*ask).returncode == 0
    syncd("run", "--once", "--config", config)
    syncd("run", "--once", "--config", config)
    assert list(map(sandbox.received.posts, orders)) == [1] * 5
