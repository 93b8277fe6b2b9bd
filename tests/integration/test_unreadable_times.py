"""One row that makes `confirmed_orders` fail stops the poll for nobody else."""

from pathlib import Path

import pytest
from command import syncd
from shop import Shop

from syncd.sandbox import Sandbox

pytestmark = pytest.mark.db

VIEW = """
ALTER TABLE orders ADD COLUMN paid text;
DROP VIEW syncd.confirmed_orders;
CREATE VIEW syncd.confirmed_orders AS
SELECT id AS order_key, paid::timestamptz AS confirmed_at
  FROM orders WHERE paid IS NOT NULL;
GRANT SELECT ON syncd.confirmed_orders TO {role};
"""
ALARMS = "SELECT reason FROM syncd.alarm"


def pay(shop: Shop, *times: str) -> None:
    for time in times:
        shop.sql(f"INSERT INTO orders (paid) VALUES ({time})")


def test_one_unreadable_time_stops_nobody_else(shop: Shop, tmp_path: Path) -> None:
    """The others are sent, the one is named, and is sent once it is mended."""
    shop.sql(VIEW.format(role=shop.role))
    with Sandbox() as sandbox:
        config = shop.configure(tmp_path, sandbox.endpoint)
        assert syncd("run", "--once", "--config", config).returncode == 0
        pay(shop, "clock_timestamp()", "'yesterday, about noon'", "clock_timestamp()")
        done = syncd("run", "--once", "--config", config)
        assert [sandbox.book.posts(f"W-{n}") for n in (1, 2, 3)] == [1, 0, 1], (
            done.stderr
        )
        ((reason,),) = shop.rows(ALARMS)
        assert reason == ("1 of confirmed_orders cannot be read (SQLSTATE 22007): 2")
        status = syncd("status", "--config", config)
        assert status.returncode != 0
        assert "cannot be read (SQLSTATE 22007): 2" in " ".join(status.stdout.split())
        shop.sql("UPDATE orders SET paid = clock_timestamp() WHERE id = 2")
        syncd("run", "--once", "--config", config)
        assert sandbox.book.posts("W-2") == 1
        assert shop.rows(ALARMS) == []
