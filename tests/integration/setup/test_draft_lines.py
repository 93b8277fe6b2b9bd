"""Which rows `views draft` takes for what was bought, and their amounts."""

from decimal import Decimal
from typing import Any

import psycopg
import pytest
from support import draft_schemas

ORDERS = """
    CREATE TABLE orders (id int PRIMARY KEY, number text UNIQUE, email text,
        total numeric(9, 2), currency text, paid_at timestamptz);
    INSERT INTO orders SELECT n, 'W' || n, n || '@example.com', 24.20, 'EUR', now()
      FROM generate_series(0, 9) n;
"""


def products(database: str, sql: str, key: int) -> list[dict[str, Any]]:
    """Apply a draft; return the products of one order."""
    draft_schemas.apply(database, sql)
    with psycopg.connect(database) as connection:
        row = connection.execute(
            "SELECT products FROM syncd.purchases WHERE order_key = %s", [key]
        ).fetchone()
    assert row is not None
    found: list[dict[str, Any]] = row[0]
    return found


@pytest.mark.parametrize(
    "rate",
    [
        "ALTER TABLE order_lines ADD tax_rate real NOT NULL DEFAULT 21;",
        "ALTER TABLE order_lines ADD tax_rate double precision DEFAULT 0.21;",
        """
        CREATE TABLE order_line_taxes (id int PRIMARY KEY, rate real NOT NULL,
            order_line_id int REFERENCES order_lines);
        INSERT INTO order_line_taxes SELECT id, 21, id FROM order_lines;
        """,
    ],
)
def test_a_rate_or_a_quantity_may_be_a_float(
    database: str, drafted: draft_schemas.Drafted, rate: str
) -> None:
    """The views run, and a price with tax is rounded as a number."""
    made = drafted(
        ORDERS
        + """
        CREATE TABLE order_lines (id int PRIMARY KEY, order_id int REFERENCES orders,
            sku text, quantity double precision, unit_price_net numeric(9, 2));
        INSERT INTO order_lines SELECT id, id, 'S' || id, 2, 10 FROM orders;
        """
        + rate
    )
    [product] = products(database, made.sql, 3)
    assert Decimal(str(product["price"])) == Decimal("12.1")
