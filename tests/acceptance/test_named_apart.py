"""What happened to several orders at once is told in a line for each kind of it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.command import syncd
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


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


def events(text: str, name: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in text.splitlines()]
    return [line for line in lines if line["event"] == name]


def test_rejected_orders_of_a_batch_have_a_line_for_each_reason(
    shop: Shop, sandbox: Sandbox, tmp_path: Path
) -> None:
    """With its number of orders and one of them; the good one is sent."""
    config = shop.configure(tmp_path, sandbox.endpoint, batch_size=100)
    assert syncd("run", "--once", "--config", config).returncode == 0
    shop.sql(FAULTY)
    shop.sql(
        "INSERT INTO orders (confirmed_at) SELECT now() FROM generate_series(1, 4)"
    )
    done = syncd("run", "--once", "--config", config)
    told = events(done.stderr, "orders.rejected")
    assert len({line["batch"] for line in told}) == 1
    found = sorted((str(e["order_key"]), e["orders"]) for e in told)
    assert found == [("1", 2), ("3", 1)]
    reasons = {str(e["order_key"]): str(e["reason"]) for e in told}
    assert "quantity" in reasons["1"]
    assert "email" in reasons["3"]
    assert [sandbox.book.posts(f"W-{n}") for n in (1, 2, 3, 4)] == [0, 0, 0, 1]
