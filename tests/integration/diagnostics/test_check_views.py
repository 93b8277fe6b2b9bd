"""What `syncd check` finds about the views, their plans, and the newest orders."""

from pathlib import Path

import pytest
from support.checks import CheckRunner
from support.shop import Shop

pytestmark = pytest.mark.db

LINE = '[{"id": "MUG-1", "quantity": 1}]'
VIEW = """
DROP VIEW syncd.purchases;
CREATE VIEW syncd.purchases AS SELECT {columns} FROM {tables};
GRANT SELECT ON syncd.purchases TO {role};
"""
COLUMNS = {
    "order_key": "id",
    "orderid": "'W-' || id",
    "email": "email",
    "totalvalue": "total",
    "products": "products",
}


def show(shop: Shop, tables: str = "orders", **columns: str) -> None:
    """Add columns to the view purchases, or replace some."""
    chosen = COLUMNS | columns
    written = ", ".join(f"{sql} AS {name}" for name, sql in chosen.items())
    shop.sql(VIEW.format(columns=written, tables=tables, role=shop.role))


def test_a_correct_shop_has_no_finding_to_fix(inspector: CheckRunner) -> None:
    """Views, types, plans and orders; the plan also while the tables are small."""
    inspector.shop.confirm(5)
    found = {f.code: f for f in inspector.findings()}
    assert {"views.there", "views.time", "orders.fit"} <= set(found)
    plans = [f.message for f in inspector.of("plan.indexed")]
    assert len(plans) == 3
    wrong = {code for code, f in found.items() if f.severity == "error"}
    assert wrong == {"endpoint.unreachable"}  # there is none in these tests


def test_a_schema_that_the_role_may_not_use_has_no_finding(
    inspector: CheckRunner,
) -> None:
    """The role reads the views alone; an index is proposed all the same."""
    inspector.shop.sql("CREATE SCHEMA sales; ALTER TABLE orders SET SCHEMA sales")
    inspector.shop.sql("DROP INDEX sales.orders_confirmed_at")
    codes = inspector.codes()
    assert "plan.small" in codes
    assert not codes & {"check.failed", "role.missing"}


def test_an_empty_schema_leads_to_the_next_step(database: str, tmp_path: Path) -> None:
    """The views have to be created; checks that need them are skipped."""
    shop = Shop.open(database, views=False)
    found = CheckRunner(shop, tmp_path).findings()
    (missing,) = [f for f in found if f.code == "views.missing"]
    assert "syncd.confirmed_orders is missing" in missing.message
    assert "sql/shops/template.sql" in missing.next_step
    assert {f.code for f in found if f.section == "Views and orders"} == {
        "views.missing"
    }


@pytest.mark.parametrize(
    ("columns", "code", "words"),
    [
        ({"colour": "'red'"}, "views.field", "not a field"),
        ({"totalvalue": "total::text"}, "views.type", "is text, not a number"),
        ({"products": "products::text"}, "views.type", "is text, not json"),
        ({"newsletter": "true"}, "views.type", "is bool, not text"),
        ({"phone": "ARRAY['1']"}, "views.type", "is _text, not text"),
        ({"order_key": "id::text"}, "views.key", "is int8 in"),
        ({"timestamp": "now()::timestamp"}, "views.zoneless", "no zone"),
    ],
)
def test_a_column_of_the_wrong_type_is_found(
    inspector: CheckRunner, columns: dict[str, str], code: str, words: str
) -> None:
    """By its type alone, before there is any order."""
    assert code not in inspector.codes()
    show(inspector.shop, **columns)
    found = inspector.one(code)
    assert words in found.message
    assert found.next_step


@pytest.mark.parametrize(
    ("kind", "source", "words"),
    [
        ("'x'::text", {}, "not a time"),
        ("now()::timestamp", {}, "no zone"),
        ("now()::date", {"time_zone": "Europe/Amsterdam"}, "up to a day older"),
    ],
)
def test_a_time_of_the_wrong_type_is_an_error(
    shop: Shop, tmp_path: Path, kind: str, source: dict[str, str], words: str
) -> None:
    """The finding has the setting that fixes it."""
    shop.sql(
        "DROP VIEW syncd.confirmed_orders; CREATE VIEW syncd.confirmed_orders AS "
        f"SELECT id AS order_key, {kind} AS confirmed_at FROM orders; "
        f"GRANT SELECT ON syncd.confirmed_orders TO {shop.role}"
    )
    assert words in CheckRunner(shop, tmp_path, source).one("views.no_time").message


def test_a_key_of_an_unusable_type_is_an_error(inspector: CheckRunner) -> None:
    """Both views agree on a type that cannot be a key."""
    shop = inspector.shop
    shop.sql(
        "DROP VIEW syncd.confirmed_orders; CREATE VIEW syncd.confirmed_orders AS "
        "SELECT id::float8 AS order_key, confirmed_at FROM orders; "
        f"GRANT SELECT ON syncd.confirmed_orders TO {shop.role}"
    )
    show(shop, order_key="id::float8")
    assert "cannot identify an order" in inspector.one("views.key").message


def test_a_missing_index_is_reported(inspector: CheckRunner) -> None:
    """As a hint while the table is small, as a warning when it is not."""
    shop = inspector.shop
    shop.confirm(3)
    shop.sql("DROP INDEX orders_confirmed_at")
    assert "has no index to use on orders" in inspector.one("plan.small").message
    shop.confirm(20_000)
    shop.sql("ANALYZE orders")
    (whole,) = inspector.of("plan.whole")
    assert "all of orders (Seq Scan, cost" in whole.message
    assert whole.subject == "look-up by time"


CONFIRMED = (
    "CREATE OR REPLACE VIEW syncd.confirmed_orders AS {}; "
    "GRANT SELECT ON syncd.confirmed_orders TO {{role}}"
)
HISTORY = (
    "CREATE TABLE history (id bigint PRIMARY KEY, order_id bigint, at timestamptz);"
    "CREATE INDEX ON history (at); CREATE INDEX ON history (order_id);"
    "INSERT INTO history SELECT id, id, confirmed_at FROM orders; ANALYZE history;"
)
DERIVED = {
    "look-up by time": "SELECT order_id AS order_key, min(at) AS confirmed_at "
    "FROM history GROUP BY 1",
    "confirmed by key": "SELECT max(order_id) AS order_key, at AS confirmed_at "
    "FROM history GROUP BY at",
}


def test_an_index_of_a_condition_does_not_limit_the_time(
    inspector: CheckRunner,
) -> None:
    """An index of the state finds every paid order; one of the time the newest only."""
    shop = inspector.shop
    shop.confirm(3)
    view = "SELECT id AS order_key, confirmed_at FROM orders WHERE state = 'paid'"
    shop.sql(
        "DROP INDEX orders_confirmed_at; ALTER TABLE orders ADD state text DEFAULT"
        " 'paid'; CREATE INDEX ON orders (state); ANALYZE orders;"
        + CONFIRMED.format(view).format(role=shop.role)
    )
    assert "has no index to use on orders" in inspector.one("plan.small").message
    assert "orders (confirmed_at)" in inspector.one("plan.small").next_step
    shop.confirm(20_000)
    shop.sql("UPDATE orders SET state = 'open' WHERE id % 4 > 0; ANALYZE orders")
    (whole,) = inspector.of("plan.whole")
    assert "all of orders (Bitmap Heap Scan, cost" in whole.message
    shop.sql("CREATE INDEX ON orders (confirmed_at)")
    assert len(inspector.of("plan.indexed")) == 3


@pytest.mark.parametrize("subject", DERIVED)
def test_a_derived_time_is_reported_while_the_tables_are_small(
    inspector: CheckRunner, subject: str
) -> None:
    """Every column has an index, but none helps: the view has to be changed."""
    shop = inspector.shop
    shop.confirm(3)
    shop.sql(HISTORY + CONFIRMED.format(DERIVED[subject]).format(role=shop.role))
    found = {f.subject: f for f in inspector.of("plan.derived")}
    assert "it reads all of history" in found[subject].message
    assert "Change the view" in found[subject].next_step


def test_the_query_of_confirmed_orders_by_key_is_checked(
    inspector: CheckRunner,
) -> None:
    """A view over a history table whose only index leads with the time."""
    shop = inspector.shop
    shop.confirm(3)
    view = "SELECT order_id AS order_key, at AS confirmed_at FROM history"
    shop.sql(HISTORY + CONFIRMED.format(view).format(role=shop.role))
    assert {f.subject for f in inspector.of("plan.indexed")} == {
        "look-up by time",
        "look-up by key",
        "confirmed by key",
    }
    shop.sql("DROP INDEX history_order_id_idx")
    found = inspector.one("plan.small")
    assert found.subject == "confirmed by key"
    assert "has no index to use on history" in found.message


@pytest.mark.parametrize(
    ("values", "code", "words"),
    [
        ("email = NULL", "orders.incomplete", "1 of the last 4 (25 %): email is"),
        ("products = '[]'", "orders.incomplete", "there are no products"),
        ('products = \'[{"id": "", "quantity": 1}]\'', "orders.invalid", "the SKU"),
        (
            'products = products || \'[{"id": "A", "quantity": 1, "price": -5}]\'',
            "orders.left_out",
            "1 of the last 4 (25 %) are sent without products.price: it is negative",
        ),
        ("email = 'mila'", "orders.invalid", "email is not an address"),
        ("confirmed_at = now() + interval '3 hours'", "orders.future", "3.0 h ahead"),
        (
            "confirmed_at = 'infinity'",
            "orders.without_time",
            "1 orders have no usable time",
        ),
    ],
)
def test_an_unusual_order_is_found_with_an_example(
    inspector: CheckRunner, values: str, code: str, words: str
) -> None:
    """Reason, share, and the key of an order."""
    shop = inspector.shop
    shop.confirm(4)
    assert code not in inspector.codes()
    shop.sql(f"UPDATE orders SET {values} WHERE id = 2")
    found = inspector.one(code)
    assert words in found.message
    assert "mila" not in found.message
    assert "2" in found.message or code == "orders.without_time"


def test_a_view_without_orders_is_reported(inspector: CheckRunner) -> None:
    """Its condition may be wrong."""
    assert "last 30 days" in inspector.one("orders.none").message


def test_orders_and_rows_must_match_one_to_one(inspector: CheckRunner) -> None:
    """A confirmed order without a row; one with several; two with one number."""
    shop = inspector.shop
    shop.confirm(3)
    show(shop, "orders WHERE id <> 2")
    assert (
        "1 of the last 3 (33 %) have no row" in inspector.one("orders.rowless").message
    )
    show(shop, "orders CROSS JOIN generate_series(1, 3)")
    assert "has 3" in inspector.one("orders.multiplied").message
    show(shop, orderid="'W-' || id / 2")
    assert "W-1" in inspector.one("orders.same_number").message


@pytest.mark.parametrize("clock", ["now()", "CURRENT_DATE", "clock_timestamp()"])
def test_a_view_that_drops_older_orders_is_reported(
    inspector: CheckRunner, clock: str
) -> None:
    """An order confirmed while syncd was stopped for longer would never be listed."""
    shop = inspector.shop
    assert "views.timed" not in inspector.codes()
    shop.sql(
        "CREATE VIEW lately AS SELECT * FROM orders "
        f" WHERE confirmed_at > {clock} - interval '1 day'; "
        "CREATE OR REPLACE VIEW syncd.confirmed_orders AS "
        "SELECT id AS order_key, confirmed_at FROM lately"
    )
    assert inspector.one("views.timed").subject == "lately"


def test_a_row_that_makes_the_view_fail_is_named(inspector: CheckRunner) -> None:
    """The others are checked; the row's data is not quoted."""
    shop = inspector.shop
    shop.confirm(3)
    shop.sql("UPDATE orders SET email = 'secret' WHERE id = 2")
    show(shop, totalvalue="CASE WHEN email = 'secret' THEN email ELSE '1' END::numeric")
    found = inspector.findings()
    (broken,) = [f for f in found if f.code == "orders.unreadable"]
    assert (
        "1 of the last 3 (33 %) fail with SQLSTATE 22P02, for example 2"
        in broken.message
    )
    assert "secret" not in str(found)


def test_several_currencies_and_languages_suggest_a_setting(
    shop: Shop, tmp_path: Path
) -> None:
    """There is no finding if the settings require them already."""
    shop.confirm(4)
    mixed = "CASE id % 3 WHEN 0 THEN 'EUR' WHEN 1 THEN 'SEK' END"
    lines = (
        "jsonb_build_array(jsonb_build_object('id', 'A', 'quantity', 1, 'language', "
        "CASE id % 2 WHEN 0 THEN 'nl-NL' END))"
    )
    show(shop, currency=mixed, products=lines)
    inspector = CheckRunner(shop, tmp_path)
    assert "EUR, SEK and none" in inspector.one("orders.currencies").message
    show(shop, currency="CASE id % 2 WHEN 0 THEN 'EUR' ELSE email END", products=lines)
    assert "EUR, no code" in inspector.one("orders.currencies").message
    assert "nl-NL and none" in inspector.one("orders.languages").message
    requirements = {"require_currency": True, "require_language": True}
    codes = CheckRunner(shop, tmp_path, requirements).codes()
    assert not codes & {"orders.currencies", "orders.languages"}
    assert "orders.invalid" in codes


def test_a_view_that_is_slow_for_single_rows_is_reported(
    inspector: CheckRunner,
) -> None:
    """The finding comes before a batch of a hundred exceeds the timeout."""
    inspector.shop.confirm(25)
    show(inspector.shop, totalvalue="(SELECT 1 FROM pg_sleep(0.02 + 0 * id))")
    assert "ms each" in inspector.one("orders.slow").message
    show(inspector.shop, totalvalue="(SELECT 1 FROM pg_sleep(1 + 0 * id))")
    assert "longer than a check waits" in inspector.one("orders.slow").message
