"""`views draft` on schemas of many kinds: the proposed views run and are correct."""

import json
from functools import partial
from pathlib import Path

import psycopg
import pytest
from benchmarks.draft import MATTER, TABLES, compare, judge, read
from click.testing import CliRunner
from psycopg import sql
from support import draft_schemas, shop_dumps

from syncd.cli import cli

SCHEMAS = [*draft_schemas.schemas("development"), *draft_schemas.schemas("held_out")]
SECOND = [
    *draft_schemas.schemas("second_held_out"),
    *draft_schemas.schemas("third_held_out"),
]
SHOPS = [
    pytest.param(
        shop,
        marks=pytest.mark.skipif(
            not shop_dumps.dump_of(shop).exists(), reason="its dump is not here"
        ),
    )
    for shop in TABLES
]


@pytest.mark.parametrize("file", SCHEMAS, ids=lambda file: file.stem)
def test_the_draft_of_a_development_schema_is_correct(
    database: str, file: Path
) -> None:
    """Its views run as they are, and return what a person would have written."""
    draft_schemas.load(database, file)
    wanted = draft_schemas.wanted(database)
    made = draft_schemas.draft_of(database)
    assert made is not None
    draft_schemas.apply(database, made.sql)
    with psycopg.connect(database) as connection:
        ours = read(connection)
    found = {name: judge(name, wanted, ours, made) for name in MATTER}
    assert set(found.values()) == {"right"}, found


@pytest.mark.parametrize("file", SECOND, ids=lambda file: file.stem)
def test_what_is_wrong_in_a_draft_is_marked_as_unsure(
    database: str, file: Path
) -> None:
    """The rules were not developed with these schemas; both tables are found."""
    draft_schemas.load(database, file)
    wanted = draft_schemas.wanted(database)
    made = draft_schemas.draft_of(database)
    assert made is not None
    draft_schemas.apply(database, made.sql)
    with psycopg.connect(database) as connection:
        ours = read(connection)
    found = {name: judge(name, wanted, ours, made) for name in MATTER}
    assert "wrong, sure" not in found.values(), found
    assert found["order_key"] == found["products.quantity"] == "right"


@pytest.mark.parametrize("shop", SHOPS)
def test_the_draft_of_a_real_shop_is_mostly_correct(database: str, shop: str) -> None:
    """Both tables and most columns are correct; nothing wrong is unmarked."""
    found = compare(database, shop)
    assert found is not None
    assert found["orders' table"] == found["lines' table"] == "right"
    assert "wrong, sure" not in found.values(), found
    assert sum(found[name] == "right" for name in MATTER) >= 6


@pytest.mark.parametrize("file", SCHEMAS, ids=lambda file: file.stem)
def test_a_schema_without_rows_has_a_draft_that_runs(database: str, file: Path) -> None:
    """It uses names alone, and says that there were no orders."""
    draft_schemas.load(database, file)
    draft_schemas.wanted(database)
    with psycopg.connect(database, autocommit=True) as connection:
        for schema, name in connection.execute(
            "SELECT schemaname, tablename FROM pg_tables"
            " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        ).fetchall():
            connection.execute(
                sql.SQL("TRUNCATE {} CASCADE").format(sql.Identifier(schema, name))
            )
    made = draft_schemas.draft_of(database)
    assert made is not None
    assert "There were no orders to look at" in made.sql
    draft_schemas.apply(database, made.sql)


def test_a_draft_contains_no_value_of_a_row(drafted: draft_schemas.Drafted) -> None:
    """Neither in expressions nor in comments, neither of columns nor of JSON keys."""
    made = drafted(
        """
        CREATE TABLE orders (id int PRIMARY KEY, number text, email text,
            total numeric, currency text, paid_at timestamptz, status text,
            type text, address jsonb);
        CREATE TABLE order_lines (id int PRIMARY KEY, order_id int REFERENCES orders,
            sku text, quantity int, price numeric, type text);
        INSERT INTO orders SELECT n, 'W' || n, 'secret' || n || '@example.com', 5,
            'EUR', now(), 'paid by Secret ' || n, 'order of Secret',
            jsonb_build_object('billing secret@example.com', 1, 'city', 'Secretville')
          FROM generate_series(1, 9) n;
        INSERT INTO order_lines
        SELECT n, n, 'SECRET-' || n, 1, 5, 'product Secret ' || n
          FROM generate_series(1, 9) n;
        """
    )
    assert "secret" not in made.sql.lower()
    assert "secret" not in str(made.as_json()).lower()


def test_a_draft_changes_nothing(database: str, drafted: draft_schemas.Drafted) -> None:
    """Its transaction is read-only: a view whose function writes has no sample."""
    made = drafted(
        """
        CREATE TABLE written (n int);
        CREATE FUNCTION writes() RETURNS int LANGUAGE sql VOLATILE
            AS 'INSERT INTO public.written VALUES (1) RETURNING n';
        CREATE TABLE orders (id int PRIMARY KEY, number text, email text,
            total numeric, paid_at timestamptz);
        CREATE VIEW order_lines AS
            SELECT id AS order_id, writes() AS quantity, 'x' AS sku, 1 AS price
              FROM orders;
        INSERT INTO orders SELECT n, 'W' || n, 'a@example.com', 1, now()
          FROM generate_series(1, 9) n;
        """
    )
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT count(*) FROM written").fetchone() == (0,)
    assert "GAP: no rows of public.order_lines: they could not be read" in made.sql


def test_a_missing_column_is_marked_as_a_gap(
    database: str, drafted: draft_schemas.Drafted
) -> None:
    """It is a NULL with a comment, and the views run."""
    made = drafted("CREATE TABLE orders (id int PRIMARY KEY, total numeric)")
    gaps = {c.column for c in made.choices if c.certainty == "gap"}
    assert gaps == {"confirmed_at", "email", "currency", "language", "lines"}
    assert "NULL::text AS email" in made.sql
    assert "NULL::json AS products  -- GAP" in made.sql
    draft_schemas.apply(database, made.sql)


def test_a_database_without_orders_has_no_draft(database: str) -> None:
    """No other table is taken for one of orders."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE TABLE measurements (id int PRIMARY KEY, at date)")
    assert draft_schemas.draft_of(database) is None


def test_an_unreadable_table_is_named(database: str) -> None:
    """The draft uses the others, and says so."""
    draft_schemas.apply(
        database,
        """
        CREATE ROLE draft_reader LOGIN;
        CREATE TABLE orders (id int PRIMARY KEY, number text, customer_id int,
            total numeric, paid_at timestamptz);
        CREATE TABLE customers (id int PRIMARY KEY, email text);
        GRANT SELECT ON orders TO draft_reader;
        """,
    )
    try:
        made = draft_schemas.draft_of(f"{database} user=draft_reader")
    finally:
        draft_schemas.apply(
            database, "DROP OWNED BY draft_reader; DROP ROLE draft_reader"
        )
    assert made is not None
    assert "GAP: your role may not read public.customers" in made.sql
    assert made.choice("email").certainty == "gap"


def test_ten_thousand_tables_are_searched(database: str) -> None:
    """All names are read, but columns only of the most promising tables."""
    draft_schemas.apply(
        database,
        """
        DO $$ BEGIN
            FOR n IN 1..2000 LOOP
                EXECUTE format('CREATE TABLE tenant_%s (id int, order_ref int)', n);
            END LOOP;
        END $$;
        CREATE TABLE orders (id int PRIMARY KEY, number text UNIQUE, email text,
            total numeric, currency text, paid_at timestamptz);
        CREATE TABLE order_lines (id int PRIMARY KEY, order_id int REFERENCES orders,
            sku text, quantity int, price numeric);
        INSERT INTO orders VALUES (1, 'W1', 'a@example.com', 5, 'EUR', now());
        INSERT INTO order_lines VALUES (1, 1, 'S', 1, 5);
        """,
    )
    made = draft_schemas.draft_of(database)
    assert made is not None
    assert made.choice("orders").expression == "public.orders"
    assert made.choice("lines").expression == "public.order_lines"


def test_a_name_with_a_line_break_stays_in_its_comment(
    database: str, drafted: draft_schemas.Drafted
) -> None:
    """A table's name cannot add a statement to the draft."""
    made = drafted(
        """
        CREATE TABLE "orders
DROP TABLE kept; --" (id int PRIMARY KEY, "number
DROP TABLE kept; --" text, "paid at
DROP TABLE kept; --" timestamptz, email text);
        CREATE TABLE kept (id int);
        """
    )
    draft_schemas.apply(database, made.sql)
    with psycopg.connect(database) as connection:
        connection.execute("SELECT FROM kept")


def test_the_command_writes_sql_that_views_try_accepts(
    database: str, tmp_path: Path
) -> None:
    """The SQL goes to standard output, the notes to standard error."""
    draft_schemas.load(database, draft_schemas.FOLDER / "development" / "blanks.sql")
    draft_schemas.wanted(database)
    run = partial(CliRunner().invoke, cli, prog_name="syncd")
    drafted = run(["views", "draft", "--as", database])
    assert drafted.exit_code == 0, drafted.output
    assert "confirmed_at" in drafted.stdout
    assert "sure" in drafted.stderr
    file = tmp_path / "my-shop.sql"
    file.write_text(drafted.stdout, "utf-8")
    tried = run(["views", "try", str(file), "--as", database])
    assert "12 orders would be sent" in tried.output
    document = run(["views", "draft", "--json", "--as", database])
    assert json.loads(document.stdout)["sql"] == drafted.stdout


def test_the_command_reports_that_there_are_no_orders(database: str) -> None:
    """It prints one line, with an exit code of its own."""
    run = partial(CliRunner().invoke, cli, prog_name="syncd")
    drafted = run(["views", "draft", "--as", database])
    assert drafted.exit_code == 1
    assert drafted.stderr.startswith("syncd: no table of orders was found")
    assert drafted.stderr.count("\n") == 1
