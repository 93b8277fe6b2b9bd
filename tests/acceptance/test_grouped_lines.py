"""What happened to several orders at once is logged in one line for each kind."""

import json
from pathlib import Path
from typing import Any

import pytest
from support.command import syncd
from support.postgres import wait_until
from support.shop import Shop

from syncd.demo.sandbox import Sandbox

pytestmark = [pytest.mark.db, pytest.mark.timeout(300)]

FAULTY = """
CREATE OR REPLACE VIEW syncd.purchases AS
SELECT id AS order_key, 'W-' || id AS orderid,
       CASE id WHEN 3 THEN 'nowhere' ELSE email END AS email,
       'EUR' AS currency, total AS totalvalue,
       CASE WHEN id IN (1, 2)
            THEN jsonb_set(products, '{0,quantity}', '1.5') ELSE products END
           AS products
  FROM orders
"""
TIMELESS = """
DROP VIEW syncd.confirmed_orders;
CREATE VIEW syncd.confirmed_orders AS
SELECT id AS order_key, confirmed_at FROM orders;
GRANT SELECT ON syncd.confirmed_orders TO {};
"""


def events(text: str, name: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in text.splitlines()]
    return [line for line in lines if line["event"] == name]


def test_rejected_orders_of_a_batch_have_a_line_for_each_reason(
    shop: Shop, sandbox: Sandbox, tmp_path: Path
) -> None:
    """A line has the number of orders and one of them; the valid order is sent."""
    config = shop.configure(tmp_path, sandbox.endpoint, batch_size=100)
    assert syncd("run", "--once", "--config", config).returncode == 0
    shop.sql(FAULTY)
    shop.sql(
        "INSERT INTO orders (confirmed_at) SELECT now() FROM generate_series(1, 4)"
    )
    done = syncd("run", "--once", "--config", config)
    logged = events(done.stderr, "orders.rejected")
    assert len({line["batch"] for line in logged}) == 1
    found = sorted((str(e["order_key"]), e["orders"]) for e in logged)
    assert found == [("1", 2), ("3", 1)]
    reasons = {str(e["order_key"]): str(e["reason"]) for e in logged}
    assert "quantity" in reasons["1"]
    assert "email" in reasons["3"]
    assert [sandbox.received.posts(f"W-{n}") for n in (1, 2, 3, 4)] == [0, 0, 0, 1]


def test_touched_orders_without_a_time_are_logged_under_listen(
    shop: Shop, sandbox: Sandbox, tmp_path: Path
) -> None:
    """NULL and infinity; each is sent once it has a time."""
    shop.sql(TIMELESS.format(shop.role))
    config = shop.configure(tmp_path, sandbox.endpoint, {"capture": "listen"})
    install = ("install", "--as", shop.owner, "--listen", "orders:id", "--config")
    assert syncd(*install, config).returncode == 0
    daemon = shop.start(config)
    log = config.with_suffix(".log")
    wait_until(lambda: "daemon.started" in log.read_text(), 60)
    shop.sql("INSERT INTO orders (confirmed_at) VALUES (NULL), ('infinity')")
    wait_until(lambda: events(log.read_text(), "orders.without_time"), 30)
    (line,) = events(log.read_text(), "orders.without_time")
    assert (line["level"], line["capture"], line["orders"]) == ("warning", "listen", 2)
    assert sandbox.received.totals.orderids == 0
    shop.sql("UPDATE orders SET confirmed_at = now()")
    wait_until(lambda: sandbox.received.totals.orderids == 2, 30)
    daemon.terminate()
    assert daemon.wait(20) == 0
