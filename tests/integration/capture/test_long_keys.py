"""Keys that are too long for the ledger."""

from contextlib import closing

import pytest
from support.feed_harness import FeedHarness
from support.shop import Shop

pytestmark = pytest.mark.db

VIEWS = """
DROP VIEW syncd.confirmed_orders, syncd.purchases;
CREATE VIEW syncd.keyed AS
SELECT CASE WHEN id = 2 THEN (SELECT string_agg(md5(n::text), '')
                                FROM generate_series(1, {lines}) AS n)
            ELSE id::text END AS order_key, orders.*
  FROM orders;
CREATE VIEW syncd.confirmed_orders AS
SELECT order_key, confirmed_at FROM syncd.keyed WHERE confirmed_at IS NOT NULL;
CREATE VIEW syncd.purchases AS
SELECT order_key, 'W-' || id AS orderid, email, 'EUR' AS currency,
       total AS totalvalue, products
  FROM syncd.keyed;
GRANT SELECT ON syncd.confirmed_orders, syncd.purchases TO {role};
"""


@pytest.mark.parametrize(("lines", "captured"), [(62, 3), (63, 2), (300, 2)])
def test_an_order_with_too_long_a_key_keeps_no_other_from_being_captured(
    shop: Shop, lines: int, captured: int
) -> None:
    """A key has 2,000 bytes at most; an account reports the order as unexplained."""
    shop.sql(VIEWS.format(lines=lines, role=shop.role))
    with closing(FeedHarness(shop)) as started:
        shop.confirm(3)
        assert started.poll() == captured
        started.backdate("1 hour")
        assert started.tally().unexplained == 3 - captured
