"""`syncd views try`: what two views would do; the trial leaves nothing behind."""

import json
import re
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import psycopg
import pytest
from support.command import forked
from support.shop import Shop
from support.shop_dumps import dump_of, restore

from syncd.core.command_errors import StatementRefusedError
from syncd.postgres.database import Database

pytestmark = pytest.mark.db

VIEWS = """
BEGIN;
CREATE OR REPLACE VIEW syncd.confirmed_orders AS
SELECT id AS order_key, confirmed_at FROM public.orders WHERE {which};
-- every order that is in syncd.confirmed_orders
CREATE VIEW syncd.purchases AS
SELECT id AS order_key, {columns} products FROM public.orders;
COMMIT;
"""
COLUMNS = "'W-' || id AS orderid, email, total AS totalvalue,"
STATE = """
SELECT (SELECT count(*) FROM pg_class), (SELECT count(*) FROM pg_namespace),
       (SELECT count(*) FROM pg_type), (SELECT max(oid::bigint) FROM pg_rewrite),
       (SELECT json_agg((n.nspname, c.relname, c.relacl)::text ORDER BY c.oid)::text
          FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
         WHERE n.nspname = 'syncd')
"""

Try = Callable[..., CompletedProcess[str]]


def views(which: str = "confirmed_at IS NOT NULL", columns: str = COLUMNS) -> str:
    return VIEWS.format(which=which, columns=columns)


def syncd(*arguments: str, columns: int = 500) -> CompletedProcess[str]:
    few = {"PATH": "/usr/bin", "COLUMNS": str(columns), "LC_ALL": "C.UTF-8"}
    return forked(arguments, few)


@pytest.fixture
def attempt(shop: Shop, tmp_path: Path) -> Try:
    """Try a file of views in the small shop, as the owner of its tables."""

    def run(text: str, *options: str) -> CompletedProcess[str]:
        file = tmp_path / "my shop.sql"
        file.write_text(text)
        config = shop.configure(tmp_path, "http://127.0.0.1:9")
        where = ["--as", shop.owner, "--config", str(config)]
        return syncd("views", "try", str(file), *where, *options)

    return run


def facts(done: CompletedProcess[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(
    ("comments", "next_step"),
    [
        ("-- the word GAP alone, or a DOUBT of somebody's", "Next: `syncd views apply"),
        (
            "-- total: doubtful. DOUBT: with tax?\n-- city: GAP.\n-- GAP",
            "Next: check the comments with DOUBT or GAP (3) in",
        ),
    ],
    ids=["none", "three"],
)
def test_the_next_step_names_the_marks_that_a_draft_has_left(
    shop: Shop, attempt: Try, comments: str, next_step: str
) -> None:
    """All orders could be sent, and still a total may be the wrong one."""
    shop.confirm(1)
    done = attempt(f"{comments}\n{views()}")
    assert next_step in done.stdout


def test_a_trial_leaves_nothing_behind(shop: Shop, attempt: Try) -> None:
    """No view, schema, grant or statistics; the existing views stay."""
    shop.confirm(3)
    before = shop.rows(STATE)
    done = attempt(views())
    assert done.returncode == 0, done.stderr
    assert "3 orders would be sent" in done.stdout
    assert shop.rows(STATE) == before


def test_a_trial_does_not_advance_a_sequence(shop: Shop, attempt: Try) -> None:
    """A view that calls nextval() fails, since the transaction is read-only."""
    shop.sql("CREATE SEQUENCE counter")
    shop.confirm(1)
    number = "nextval('public.counter')::text || id AS orderid, email,"
    done = attempt(views(columns=number))
    assert done.returncode != 0
    assert shop.value("SELECT is_called FROM counter") is False


def test_a_trial_neither_waits_nor_blocks(shop: Shop, attempt: Try) -> None:
    """Another session locks both existing views meanwhile."""
    shop.confirm(1)
    with psycopg.connect(shop.owner) as other:
        other.execute("SELECT FROM syncd.confirmed_orders, syncd.purchases LIMIT 1")
        done = attempt(views(), "--json")
    assert facts(done)["sent"] == 1


def test_orders_that_are_not_sent_are_counted_by_reason(
    shop: Shop, attempt: Try
) -> None:
    """Each reason has the key of its first order."""
    shop.confirm(4)
    shop.sql("UPDATE orders SET email = 'nobody' WHERE id IN (1, 2)")
    shop.sql("UPDATE orders SET products = NULL WHERE id = 3")
    done = attempt(views(), "--json")
    found = facts(done)
    assert done.returncode == 1
    assert found["sent"] == 1
    assert [(r["orders"], r["order_key"]) for r in found["refused"]] == [(2, "2")]
    assert found["waiting"][0]["what"] == "there are no products"


def test_a_row_that_makes_the_view_fail_is_one_refused_order(
    shop: Shop, attempt: Try
) -> None:
    """The other rows are read."""
    shop.confirm(230)
    broken = "(1 / (id - 117))::text || id AS orderid, email,"
    found = facts(attempt(views(columns=broken), "--json"))
    assert found["sent"] == 229
    (refused,) = found["refused"]
    assert refused["what"] == "the view fails with SQLSTATE 22012"
    assert refused["order_key"] == "117"


def test_a_missing_index_is_printed_as_a_statement(shop: Shop, attempt: Try) -> None:
    """The statement has the view's condition and can be copied."""
    shop.confirm(1)
    shop.sql("DROP INDEX orders_confirmed_at")
    done = attempt(views())
    assert (
        "CREATE INDEX CONCURRENTLY ON public.orders (confirmed_at) "
        "WHERE (confirmed_at IS NOT NULL);" in done.stdout
    )


def test_sample_events_are_printed_as_they_would_be_sent(
    shop: Shop, attempt: Try
) -> None:
    """Three of them, without escaped characters."""
    shop.confirm(5)
    shop.sql("""UPDATE orders SET products = '[{"id": "Käse 🧀", "quantity": 1}]'""")
    done = attempt(views())
    assert done.stdout.count('"event": "Purchase"') == 3
    assert done.stdout.count('"Käse 🧀"') == 3


def test_unusual_values_are_reported(shop: Shop, attempt: Try) -> None:
    """Zone, spaces, digits, the unit of the amounts, several rows."""
    shop.confirm(2)
    columns = """'W-' || id AS orderid, email, 'EUR' AS currency, ' Gent ' AS city,
        1999.999 AS totalvalue, '[{"id": "A", "quantity": 1, "price": 20}]'::json AS"""
    text = views(columns=columns).replace(
        "id AS order_key, confirmed_at",
        "id AS order_key, confirmed_at + interval '2 hours' AS confirmed_at",
    )
    out = attempt(text).stdout
    assert "up to 1 h 59 min in the future" in out
    assert "city has blanks around in 2 orders" in out
    assert "totalvalue has more digits than its currency in 2 orders" in out
    assert "totalvalue is 100 times its lines" in out


def test_refunds_among_the_orders_are_reported(shop: Shop, attempt: Try) -> None:
    """A negative total is not sent; its row may not be an order at all."""
    shop.confirm(2)
    columns = COLUMNS.replace("total AS totalvalue", "-5 AS totalvalue")
    out = attempt(views(columns=columns)).stdout
    assert "2 orders sent without totalvalue: it is negative, for example" in out
    assert "totalvalue is negative in 2 orders, for example" in out
    assert "are refunds listed as orders?" in out


def test_the_difference_to_the_existing_views_is_reported(
    shop: Shop, attempt: Try
) -> None:
    """Orders that appear and disappear, and the fields that differ."""
    shop.confirm(4)
    text = views("id <> 2", COLUMNS.replace("'W-'", "'X-'"))
    change = facts(attempt(text, "--json"))["difference"]
    assert change["compared"] == 3
    assert change["gone"]["key"] == "2"
    assert change["fields"]["orderid changed"] == 3


def test_views_that_refer_to_each_other_are_tried_together(
    shop: Shop, attempt: Try
) -> None:
    """The trial does not mix them with the existing views."""
    shop.confirm(2)
    shop.sql("DROP VIEW syncd.confirmed_orders")
    joined = views().replace(
        "products FROM public.orders;",
        "products FROM public.orders"
        ' WHERE id IN (SELECT c.order_key FROM "syncd" . Confirmed_Orders AS c);',
    )
    assert facts(attempt(joined, "--json"))["sent"] == 2


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("SELECT 1;" + views(), 1, "makes neither of the two views"),
        (views() + "DROP TABLE orders", 9, "DROP TABLE orders"),
        (views() + "GRANT SELECT ON syncd.purchases TO public", 9, "GRANT SELECT ON"),
        (views() + "ROLLBACK", 9, "ROLLBACK"),
        (views() + "\\set x 1", 9, "a command of psql's"),
        (views() + "CREATE TABLE syncd.x ()", 9, "CREATE TABLE syncd"),
        (views() + "CREATE VIEW public.x AS SELECT 1", 9, "the view public.x is not"),
        (views() + "CREATE VIEW syncd.purchases AS SELECT 1", 9, "comes again"),
        (views() + "CREATE TEMP VIEW purchases AS SELECT 1", 9, "CREATE TEMP VIEW"),
        (views() + "'", 9, "does not end"),
        ("", None, "makes no syncd.confirmed_orders"),
        (views().replace("products FROM", "products FORM"), 7, "syntax error"),
        (views().replace("public.orders;", "public.ordersx;"), 7, "does not exist"),
    ],
)
def test_a_file_with_another_statement_is_refused_in_one_line(
    shop: Shop, attempt: Try, text: str, line: int | None, reason: str
) -> None:
    """It names the line and the statement, and that nothing was changed."""
    before = shop.rows(STATE)
    done = attempt(text)
    errors = done.stderr.splitlines()
    assert done.returncode == 78
    assert reason in errors[0]
    assert (f"line {line}: " in errors[0]) == (line is not None)
    assert errors[0].endswith("nothing was changed")
    assert len(errors) == 2
    assert shop.rows(STATE) == before


def test_two_statements_in_one_are_refused_by_the_server(shop: Shop) -> None:
    """If the parser missed it: they are sent as one statement."""
    with (
        closing(Database(shop.owner)) as database,
        pytest.raises(StatementRefusedError, match="multiple commands"),
    ):
        database.define("CREATE VIEW x AS SELECT 1; DROP TABLE orders")
    assert shop.value("SELECT count(*) FROM orders") == 0


def test_names_with_spaces_and_quotes_are_accepted(shop: Shop, attempt: Try) -> None:
    """This holds for tables, columns and schemas."""
    shop.sql('CREATE SCHEMA "my shop"; ALTER TABLE orders SET SCHEMA "my shop"')
    shop.sql('ALTER TABLE "my shop".orders RENAME TO "Order ""2"""')
    shop.sql("""INSERT INTO "my shop"."Order ""2\""" (confirmed_at) VALUES (now())""")
    text = views().replace("public.orders", '"my shop"."Order ""2"""')
    done = attempt(text)
    assert "1 order would be sent" in done.stdout
    assert done.returncode == 0, done.stderr


def test_an_unreadable_schema_is_reported(shop: Shop, tmp_path: Path) -> None:
    """The error names the role that may read it; the daemon's may not."""
    file = tmp_path / "views.sql"
    file.write_text(views())
    shop.sql(f"CREATE SCHEMA hidden; REVOKE ALL ON orders FROM {shop.role}")
    done = syncd("views", "try", str(file), "--as", shop.dsn)
    assert done.returncode == 77
    assert "permission denied for table orders" in done.stderr
    assert "--as" in done.stderr
    file.write_text(views().replace("public.orders", "hidden.orders"))
    done = syncd("views", "try", str(file), "--as", shop.dsn)
    assert done.returncode == 77
    assert "permission denied for schema hidden" in done.stderr


def test_a_database_without_orders_has_nothing_to_send(
    shop: Shop, attempt: Try
) -> None:
    """The exit code shows that this is no success."""
    done = attempt(views())
    assert done.returncode == 1
    assert "the views list no order" in done.stdout
    assert shop.value("SELECT count(*) FROM orders") == 0


@pytest.mark.parametrize("name", ["no-such-shop", "/nowhere/x.sql", "", "."])
def test_what_is_neither_a_preset_nor_a_file_is_refused(shop: Shop, name: str) -> None:
    """The error is one line; a folder cannot be read either."""
    done = syncd("views", "try", name, "--as", shop.owner)
    assert done.returncode in {64, 78}
    assert len(done.stderr.splitlines()) == 2
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["medusa", "vendure", "pretix", "django-oscar"])
def test_a_preset_is_tried_without_a_configuration(database: str, name: str) -> None:
    """Its name is enough, as a first step, at 80 columns."""
    restore(database, name)
    assert dump_of(name).exists()
    done = syncd("views", "try", name, "--as", database, columns=80)
    assert re.search(r"[0-9]+ orders would be sent", done.stdout), done.stderr
    assert "this role can read no current views" in done.stdout
