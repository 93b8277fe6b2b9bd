"""Stamps without a zone: a wrong zone is detected, a right one raises no alarm."""

import json
import re
from pathlib import Path

import psycopg
import pytest
from support.command import syncd
from support.postgres import wait_until
from support.shop import Shop

from syncd.demo.sandbox import Sandbox

pytestmark = pytest.mark.db

LOOK_SECONDS = 0.2
WATCHFUL = (
    str(Path(__file__).parents[1] / "support" / "run_watchful.py"),
    str(LOOK_SECONDS),
)
BARE = """
ALTER DATABASE {database} SET timezone = 'Europe/Amsterdam';
ALTER TABLE orders ADD COLUMN paid_at timestamp
    DEFAULT (clock_timestamp() AT TIME ZONE 'UTC');
CREATE INDEX ON orders (paid_at);
DROP VIEW syncd.confirmed_orders;
CREATE VIEW syncd.confirmed_orders AS
SELECT id AS order_key, paid_at AS confirmed_at FROM orders;
GRANT SELECT ON syncd.confirmed_orders TO {role};
"""
AT_ONCE = 4
"""Orders between two checks."""

ROUNDS = 10
SOLD = (
    "INSERT INTO orders (email) "
    f"SELECT 'mila@example.com' FROM generate_series(1, {AT_ONCE})"
)
STAMPS = {"orders.shifted", "orders.stale", "orders.future", "orders.backdated"}
CAPTURES = pytest.mark.parametrize("capture", ["poll", "listen"])


@pytest.fixture
def zoneless_shop(shop: Shop) -> Shop:
    """A shop that writes UTC without a zone; its database has another zone."""
    database = psycopg.conninfo.conninfo_to_dict(shop.owner)["dbname"]
    shop.sql(BARE.format(database=database, role=shop.role))
    shop.listen()
    return shop


def alarms(shop: Shop) -> list[str]:
    return shop.alarms("stamps.shifted")


def last_stamp_check(shop: Shop) -> object:
    """Return when the daemon's check of stamps last ran."""
    return shop.value(
        "SELECT max(query_start) FROM pg_stat_activity "
        "WHERE application_name LIKE 'syncd/shop/stamps%'"
    )


def sell(shop: Shop) -> int:
    """Sell orders, and wait until the daemon has checked them; return their number."""
    shop.sql(SOLD)
    for _ in range(2):
        before = last_stamp_check(shop)
        wait_until(lambda before=before: last_stamp_check(shop) != before)
    return AT_ONCE


def stamp_findings(config: Path) -> set[str]:
    done = syncd("check", "--json", "--config", config)
    return {finding["code"] for finding in json.loads(done.stdout)} & STAMPS


@CAPTURES
def test_without_a_zone_the_daemon_does_not_start(
    zoneless_shop: Shop, sandbox: Sandbox, tmp_path: Path, capture: str
) -> None:
    """The exit code is that of `check`; `status` gives the reason."""
    config = zoneless_shop.configure(tmp_path, sandbox.endpoint, {"capture": capture})
    assert syncd("run", "--once", "--config", config).returncode == 78
    assert syncd("check", "--config", config).returncode == 78


@CAPTURES
@pytest.mark.parametrize(
    ("read_as", "side"), [("Europe/Amsterdam", "before"), ("America/New_York", "after")]
)
def test_a_wrong_zone_is_reported_with_the_matching_one(
    zoneless_shop: Shop,
    sandbox: Sandbox,
    tmp_path: Path,
    capture: str,
    read_as: str,
    side: str,
) -> None:
    """By the daemon, `status` and `check`, after a few orders; none of them is lost."""
    reading = {"capture": capture, "time_zone": read_as}
    config = zoneless_shop.configure(tmp_path, sandbox.endpoint, reading)
    daemon = zoneless_shop.start(config, program=WATCHFUL)
    wait_until(lambda: last_stamp_check(zoneless_shop) is not None)
    sold = 0
    while not alarms(zoneless_shop) and sold < ROUNDS * AT_ONCE:
        sold += sell(zoneless_shop)
    (reason,) = alarms(zoneless_shop)
    expected = (
        rf"orders are stamped \d+ min {side} the moment they appear; .* probably UTC"
    )
    assert re.fullmatch(expected, reason)
    assert syncd("status", "--config", config).returncode == 1
    assert stamp_findings(config) >= {"orders.shifted"}
    syncd("reconcile", "--config", config)
    wait_until(lambda: sandbox.received.totals.orderids == sold)
    daemon.terminate()
    assert daemon.wait(60) == 0
    assert '"stamps.shifted"' in config.with_suffix(".log").read_text()


@CAPTURES
def test_the_right_zone_raises_no_alarm(
    zoneless_shop: Shop, sandbox: Sandbox, tmp_path: Path, capture: str
) -> None:
    """The running time of the daemon does not matter."""
    reading = {"capture": capture, "time_zone": "UTC"}
    config = zoneless_shop.configure(tmp_path, sandbox.endpoint, reading)
    daemon = zoneless_shop.start(config, program=WATCHFUL)
    wait_until(lambda: last_stamp_check(zoneless_shop) is not None)
    sold = sum(sell(zoneless_shop) for _ in range(ROUNDS))
    wait_until(lambda: sandbox.received.totals.orderids == sold)
    assert alarms(zoneless_shop) == []
    assert stamp_findings(config) == set()
    daemon.terminate()
    assert daemon.wait(60) == 0
    assert '"stamps.shifted"' not in config.with_suffix(".log").read_text()
