"""Which time `views draft` takes for the confirmation, and contradicting facts."""

from datetime import datetime

import psycopg
import pytest
from support import draft_schemas

from syncd.setup.views.draft.choice import Certainty, Choice


def confirmed_at(drafted: draft_schemas.Drafted, columns: str, values: str) -> Choice:
    """Draft a shop whose orders have these columns as well; return the choice."""
    made = drafted(
        f"""
        CREATE TABLE orders (id int PRIMARY KEY, number text UNIQUE, email text,
            total numeric, currency text, {columns});
        INSERT INTO orders SELECT n, 'W' || n, n || '@example.com', 5, 'EUR', {values}
          FROM generate_series(0, 59) n;
        CREATE TABLE order_lines (id int PRIMARY KEY, order_id int REFERENCES orders,
            sku text, quantity int, price numeric);
        INSERT INTO order_lines SELECT id, id, 'S' || id, 1, total FROM orders;
        """
    )
    return made.choice("confirmed_at")


def test_an_event_that_few_orders_have_is_not_the_confirmation(
    drafted: draft_schemas.Drafted,
) -> None:
    """A manual approval is no event of every order."""
    chosen = confirmed_at(
        drafted,
        "completed_at timestamptz, approved_at timestamptz",
        "CASE WHEN n % 3 > 0 THEN now() END, CASE WHEN n % 10 = 1 THEN now() END",
    )
    assert chosen.expression == "c.completed_at"
    assert "public.orders.approved_at" in chosen.others


def test_a_payment_may_be_rare(drafted: draft_schemas.Drafted) -> None:
    """What most customers never pay is no order."""
    chosen = confirmed_at(
        drafted,
        "placed_at timestamptz, paid_at timestamptz",
        "CASE WHEN n % 10 > 0 THEN now() END, CASE WHEN n % 3 = 1 THEN now() END",
    )
    assert chosen.expression == "c.paid_at"


@pytest.mark.parametrize("name", ["closed_at", "archived_at", "finished_on"])
def test_the_end_of_an_order_is_not_its_confirmation(
    drafted: draft_schemas.Drafted, name: str
) -> None:
    """A shop closes an order days after its payment, or never."""
    chosen = confirmed_at(
        drafted,
        f"created_at timestamptz, {name} timestamptz, state text",
        "now(), CASE WHEN n % 2 = 0 THEN now() END,"
        " (ARRAY['paid', 'pending', 'paid'])[1 + n % 3]",
    )
    assert chosen.expression == "c.created_at"
    assert chosen.certainty is Certainty.DOUBTFUL


def test_a_status_may_contradict_a_time(drafted: draft_schemas.Drafted) -> None:
    """Some placed orders are unpaid; some paid ones were not placed."""
    chosen = confirmed_at(
        drafted,
        "placed_at timestamptz, payment_status text",
        "CASE WHEN n % 4 > 0 THEN now() END,"
        " (ARRAY['paid', 'paid', 'pending', 'paid'])[1 + n % 4]",
    )
    assert chosen.expression == "c.placed_at"
    assert chosen.certainty is Certainty.LIKELY
    assert chosen.doubts == (
        "33% of the orders that have it are 'pending' in public.orders.payment_status",
        "100% of the orders without it are 'paid' in public.orders.payment_status",
    )


def test_a_status_without_a_paid_value_contradicts_nothing(
    drafted: draft_schemas.Drafted,
) -> None:
    """A status of cancelled or refunded orders does not either."""
    chosen = confirmed_at(
        drafted,
        "paid_at timestamptz, state text, payment_status text",
        "CASE WHEN n % 3 > 0 THEN now() END, (ARRAY['new', 'open'])[1 + n % 2],"
        " CASE WHEN n % 3 = 0 THEN 'open' WHEN n % 5 = 0 THEN 'refunded'"
        " ELSE 'paid' END",
    )
    assert chosen.certainty is Certainty.SURE


@pytest.mark.parametrize("time", ["created_at", "placed_at"])
def test_a_numeric_status_is_a_question(
    drafted: draft_schemas.Drafted, time: str
) -> None:
    """Only the shop knows what 2 means."""
    chosen = confirmed_at(
        drafted,
        f"{time} timestamptz, order_status smallint",
        "CASE WHEN n > 4 THEN now() END, n % 3",
    )
    question = "public.orders.order_status is a number: which of its values mean"
    assert question in " ".join(chosen.doubts)
    assert chosen.certainty is not Certainty.SURE


@pytest.mark.parametrize(
    ("of_type", "seconds", "default"),
    [
        ("int", "", "NULL"),
        ("int NOT NULL", "", "0"),
        ("bigint", "::bigint * 1000", "NULL"),
    ],
)
def test_a_time_may_be_a_number_since_1970(
    database: str,
    drafted: draft_schemas.Drafted,
    of_type: str,
    seconds: str,
    default: str,
) -> None:
    """It counts seconds or milliseconds; 0 is no time; its index has the expression."""
    chosen = confirmed_at(
        drafted,
        f"placed {of_type}, created_at {of_type}, version int",
        f"CASE WHEN n % 3 > 0 THEN (1777593600 + n){seconds} ELSE {default} END,"
        f" (1777590000 + n){seconds}, 1777593600",
    )
    made = draft_schemas.draft_of(database)
    assert made is not None
    draft_schemas.apply(database, made.sql)
    index = next(part for part in made.sql.split("--   ") if "CONCURRENTLY" in part)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(index.replace("\n--", "\n").split(";")[0].encode())
        listed = connection.execute(
            "SELECT order_key, confirmed_at AT TIME ZONE 'UTC' FROM"
            " syncd.confirmed_orders ORDER BY 1"
        ).fetchall()
        found = connection.execute(
            "SELECT pg_get_indexdef(indexrelid) FROM pg_index"
            " WHERE indrelid = 'orders'::regclass AND indexprs IS NOT NULL"
        ).fetchall()
    assert len(listed) == 40
    assert listed[0] == (1, datetime(2026, 5, 1, 0, 0, 1))  # noqa: DTZ001 - as UTC
    assert "to_timestamp" in str(found)
    assert "a number since 1970, which needs an index of its own" in chosen.doubts


def test_a_number_is_no_time_because_of_its_size(
    drafted: draft_schemas.Drafted,
) -> None:
    """Its name has to be that of a time, too."""
    chosen = confirmed_at(drafted, "order_reference bigint", "1777590000 + n")
    assert chosen.certainty is Certainty.GAP
