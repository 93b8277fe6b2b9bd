"""Which rows `views draft` takes for confirmed orders, and its notes about others."""

import psycopg
import pytest
from support import draft_schemas

LINES = """
    CREATE TABLE order_lines (id int PRIMARY KEY, order_id int REFERENCES orders,
        sku text, quantity int, price numeric);
    INSERT INTO order_lines SELECT id, id, 'S' || id, 1, abs(total) FROM orders;
"""


CONFIRMED = """
SELECT order_key::text FROM syncd.confirmed_orders WHERE confirmed_at IS NOT NULL
"""
PURCHASES = "SELECT order_key::text FROM syncd.purchases"


def listed(database: str, sql: str) -> set[str]:
    """Apply a draft; return the keys that both views list."""
    draft_schemas.apply(database, sql)
    with psycopg.connect(database) as connection:
        confirmed = {row[0] for row in connection.execute(CONFIRMED).fetchall()}
        purchases = {row[0] for row in connection.execute(PURCHASES).fetchall()}
    assert confirmed <= purchases
    return confirmed


def test_quotes_and_refunds_of_the_same_table_are_no_orders(
    database: str, drafted: draft_schemas.Drafted
) -> None:
    """A row without a kind, or of a kind that is new, is an order."""
    made = drafted(
        """
        CREATE TABLE orders (id int PRIMARY KEY, number text UNIQUE, email text,
            total numeric, currency text, paid_at timestamptz, type text);
        INSERT INTO orders SELECT n, 'W' || n, n || '@example.com', 5, 'EUR', now(),
            (ARRAY['order', 'quotation', 'credit_note', 'refill', NULL])[1 + n % 5]
          FROM generate_series(0, 9) n;
        """
        + LINES
    )
    assert listed(database, made.sql) == {"0", "3", "4", "5", "8", "9"}
    doubts = " ".join(made.choice("confirmed_at").doubts)
    assert "orders.type is 'credit_note' or 'quotation'" in doubts


def test_a_draft_with_a_history_excludes_quotes(
    database: str, drafted: draft_schemas.Drafted
) -> None:
    """It excludes deleted orders, too: both views list the same ones."""
    made = drafted(
        """
        CREATE TABLE orders (id int PRIMARY KEY, number text UNIQUE, email text,
            total numeric, currency text, created_at timestamptz,
            deleted_at timestamptz, auftragsart text);
        INSERT INTO orders SELECT n, 'W' || n, n || '@example.com', 5, 'EUR', now(),
            CASE WHEN n = 2 THEN now() END,
            CASE WHEN n % 2 = 0 THEN 'Auftrag' ELSE 'Gutschrift' END
          FROM generate_series(0, 9) n;
        CREATE TABLE order_status_history (id int PRIMARY KEY, order_id int NOT NULL
            REFERENCES orders, status text, created_at timestamptz NOT NULL);
        INSERT INTO order_status_history SELECT id, id, 'paid', now() FROM orders;
        INSERT INTO order_status_history SELECT 10 + id, id, 'open', now() FROM orders;
        """
        + LINES
    )
    assert "public.order_status_history" in made.sql
    assert listed(database, made.sql) == {"0", "4", "6", "8"}


def test_the_kind_may_be_a_foreign_key(
    database: str, drafted: draft_schemas.Drafted
) -> None:
    """Sales and purchases, quotes and invoices: only the sales are orders."""
    made = drafted(
        """
        CREATE TABLE order_types (id int PRIMARY KEY, name text);
        INSERT INTO order_types VALUES (1, 'Sales order'), (2, 'Purchase order'),
            (3, 'Invoice');
        CREATE TABLE orders (id int PRIMARY KEY, number text UNIQUE, email text,
            total numeric, currency text, paid_at timestamptz,
            order_type_id int REFERENCES order_types);
        INSERT INTO orders SELECT n, 'W' || n, n || '@example.com', 5, 'EUR', now(),
            1 + n % 3 FROM generate_series(0, 8) n;
        """
        + LINES
    )
    assert listed(database, made.sql) == {"0", "3", "6"}


@pytest.mark.parametrize("kinds", ["text, 'web', 'b2b'", "int, 1, 2"])
def test_unknown_kinds_are_reported_as_uncertain(
    database: str, drafted: draft_schemas.Drafted, kinds: str
) -> None:
    """All of them are listed, since no order may be missed."""
    of_type, one, other = kinds.split(", ")
    made = drafted(
        f"""
        CREATE TABLE orders (id int PRIMARY KEY, number text UNIQUE, email text,
            total numeric, currency text, paid_at timestamptz, kind {of_type});
        INSERT INTO orders SELECT n, 'W' || n, n || '@example.com', 5, 'EUR', now(),
            CASE WHEN n % 2 = 0 THEN {one} ELSE {other} END
          FROM generate_series(0, 9) n;
        """
        + LINES
    )
    assert len(listed(database, made.sql)) == 10
    doubts = made.choice("confirmed_at").doubts
    assert (
        "public.orders.kind has several kinds, and all are taken for orders" in doubts
    )


def test_the_origin_of_an_order_is_not_its_kind(
    database: str, drafted: draft_schemas.Drafted
) -> None:
    """An order that was made from a quote is one."""
    made = drafted(
        """
        CREATE TABLE orders (id int PRIMARY KEY, number text UNIQUE, email text,
            total numeric, currency text, paid_at timestamptz, source text,
            payment_type text);
        INSERT INTO orders SELECT n, 'W' || n, n || '@example.com', 5, 'EUR', now(),
            (ARRAY['quote', 'web'])[1 + n % 2], (ARRAY['credit', 'invoice'])[1 + n % 2]
          FROM generate_series(0, 9) n;
        """
        + LINES
    )
    assert len(listed(database, made.sql)) == 10
    assert not made.choice("confirmed_at").doubts


@pytest.mark.parametrize("flag", ["paid", "is_paid", "betaald", "order_paid"])
def test_a_paid_flag_becomes_a_condition(
    database: str, drafted: draft_schemas.Drafted, flag: str
) -> None:
    """If no column has the time of payment; the draft then recommends `listen`."""
    made = drafted(
        f"""
        CREATE TABLE orders (id int PRIMARY KEY, number text UNIQUE, email text,
            total numeric, currency text, created_at timestamptz, {flag} boolean);
        INSERT INTO orders SELECT n, 'W' || n, n || '@example.com', 5, 'EUR', now(),
            (ARRAY[true, false, NULL])[1 + n % 3] FROM generate_series(0, 8) n;
        """
        + LINES
    )
    assert listed(database, made.sql) == {"0", "3", "6"}
    assert 'capture = "listen"' in " ".join(made.choice("confirmed_at").doubts)


def test_carts_and_refunds_are_excluded_by_flags(
    database: str, drafted: draft_schemas.Drafted
) -> None:
    """A refund is no order; an order that was refunded later is one."""
    made = drafted(
        """
        CREATE TABLE orders (id int PRIMARY KEY, number text UNIQUE, email text,
            total numeric, currency text, placed_at timestamptz, is_quote boolean,
            is_credit_note boolean, refunded boolean);
        INSERT INTO orders SELECT n, 'W' || n, n || '@example.com', 5, 'EUR', now(),
            n = 1, n = 2, n = 3 FROM generate_series(0, 8) n;
        """
        + LINES
    )
    assert listed(database, made.sql) == {"0", "3", "4", "5", "6", "7", "8"}


def test_a_kind_is_not_read_from_a_table_without_its_values(
    database: str, drafted: draft_schemas.Drafted
) -> None:
    """A name alone makes no reference: the kinds are texts of the column itself."""
    made = drafted(
        """
        CREATE TABLE order_type (order_type_id text PRIMARY KEY, name text);
        INSERT INTO order_type VALUES ('x', 'Standard'), ('y', 'Express');
        CREATE TABLE orders (id int PRIMARY KEY, number text UNIQUE, email text,
            total numeric, currency text, paid_at timestamptz, order_type_id text);
        INSERT INTO orders SELECT n, 'W' || n, n || '@example.com', 5, 'EUR', now(),
            (ARRAY['SALES_ORDER', 'PURCHASE_ORDER'])[1 + n % 2]
          FROM generate_series(0, 5) n;
        """
        + LINES
    )
    assert listed(database, made.sql) == {"0", "2", "4"}
