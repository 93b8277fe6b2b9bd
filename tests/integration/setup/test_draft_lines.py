"""Which rows `views draft` takes for products, and their amounts."""

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


def lines(columns: str, values: str, more: str = "") -> str:
    """Write a shop whose orders have two mugs, and lines with these columns."""
    return (
        ORDERS
        + f"""
        CREATE TABLE order_lines (id int PRIMARY KEY, order_id int REFERENCES orders,
            sku text, quantity int, price numeric(9, 2), {columns});
        INSERT INTO order_lines SELECT id, id, 'MUG', 2, 12.10, {values} FROM orders;
        {more}
        """
    )


@pytest.mark.parametrize("flag", ["is_delivery", "is_shipping_line", "is_downpayment"])
def test_a_line_that_a_flag_marks_as_a_charge_is_no_product(
    database: str, drafted: draft_schemas.Drafted, flag: str
) -> None:
    """A delivery is not bought; the other flags of a line do not matter."""
    made = drafted(
        lines(
            f"{flag} boolean, requires_shipping boolean, is_shipped boolean",
            "false, true, id = 3",
            "INSERT INTO order_lines SELECT 10 + id, id, 'SHIP', 1, 5, true, false,"
            " false FROM orders WHERE id % 2 = 1;",
        )
    )
    assert [p["id"] for p in products(database, made.sql, 3)] == ["MUG"]


def test_headings_and_notes_are_no_products(
    database: str, drafted: draft_schemas.Drafted
) -> None:
    """They have no product, no price and a quantity of 0."""
    made = drafted(
        lines(
            "display_type text",
            "NULL",
            "INSERT INTO order_lines SELECT 10 + id, id, NULL, 0, 0, 'section'"
            " FROM orders WHERE id % 3 = 0;",
        )
    )
    assert [p["id"] for p in products(database, made.sql, 3)] == ["MUG"]


@pytest.mark.parametrize("parent", ["parent_line_id", "parent_id", "hoofdregel_id"])
def test_components_whose_prices_add_up_are_not_counted_again(
    database: str, drafted: draft_schemas.Drafted, parent: str
) -> None:
    """A set has the price of its components; other linked lines are bought too."""
    made = drafted(
        lines(
            f"{parent} int REFERENCES order_lines, replaces_id int",
            "NULL, NULL",
            "INSERT INTO order_lines SELECT 10 * k + id, id, 'PART' || k, 1, 6.05, id"
            " FROM orders, generate_series(1, 2) k WHERE id % 2 = 1;",
        )
    )
    assert [p["id"] for p in products(database, made.sql, 3)] == ["MUG"]
    assert not made.choice("lines").doubts


def test_lines_that_may_count_twice_are_reported_as_uncertain(
    database: str, drafted: draft_schemas.Drafted
) -> None:
    """Components with prices may be extras, or included in the price of the set."""
    made = drafted(
        lines(
            "linked_line_id int",
            "NULL",
            "INSERT INTO order_lines SELECT 10 + id, id, 'LID', 1, 2, id"
            " FROM orders WHERE id % 2 = 1;",
        )
    )
    assert [p["id"] for p in products(database, made.sql, 3)] == ["MUG", "LID"]
    assert "linked_line_id have a price" in " ".join(made.choice("lines").doubts)


def test_an_unknown_kind_of_line_is_a_product(
    database: str, drafted: draft_schemas.Drafted
) -> None:
    """Charges are excluded by their names; the way of delivery is no kind."""
    made = drafted(
        lines(
            "type text, delivery_type text",
            "(ARRAY['physical', 'digital'])[1 + id % 2], 'pickup'",
            "INSERT INTO order_lines SELECT 10 + id, id, 'X' || id, 1, 1,"
            " (ARRAY['fee', 'discount', 'shipping', 'giftcard'])[1 + id % 4],"
            " 'delivery' FROM orders;",
        )
    )
    assert [p["id"] for p in products(database, made.sql, 2)] == ["MUG"]
    assert [p["id"] for p in products(database, made.sql, 3)] == ["MUG", "X3"]


def test_a_declared_key_is_preferred_to_a_name(
    database: str, drafted: draft_schemas.Drafted
) -> None:
    """In this schema the order is the parent of its lines."""
    made = drafted(
        ORDERS
        + """
        CREATE TABLE order_product (id int PRIMARY KEY, parent_id int NOT NULL
            REFERENCES orders, order_product_id int, sku text, quantity int,
            price numeric);
        INSERT INTO order_product SELECT id, id, CASE WHEN id > 3 THEN id % 3 END,
            'S' || id, 2, 12.10 FROM orders;
        """
    )
    assert [p["id"] for p in products(database, made.sql, 3)] == ["S3"]


def test_a_table_that_extends_the_orders_does_not_replace_them(
    database: str, drafted: draft_schemas.Drafted
) -> None:
    """Its key is the order's id, as is the lines' column: no key is declared."""
    made = drafted(
        ORDERS
        + """
        CREATE TABLE order_stats (order_id int PRIMARY KEY, items int);
        INSERT INTO order_stats SELECT id, 1 FROM orders;
        CREATE TABLE order_items (item_id int PRIMARY KEY, order_id int NOT NULL,
            sku text, quantity int, price numeric);
        INSERT INTO order_items SELECT id, id, 'S' || id, 2, 12.10 FROM orders;
        """
    )
    assert [p["id"] for p in products(database, made.sql, 3)] == ["S3"]
