"""`syncd views apply`: both views and their grants, or nothing."""

import os
import threading
from pathlib import Path
from subprocess import CompletedProcess

import psycopg
import pytest
from support.command import forked
from support.postgres import wait_until
from support.shop import Shop

from syncd.postgres.database import Database
from syncd.source.orders import Source

pytestmark = pytest.mark.db

VIEWS = """
CREATE VIEW syncd.confirmed_orders AS
SELECT id AS order_key, confirmed_at FROM public.orders WHERE confirmed_at IS NOT NULL;
CREATE VIEW syncd.purchases AS
SELECT id AS order_key, 'V-' || id AS orderid, email, 'EUR' AS currency,
       total AS totalvalue, products
  FROM public.orders;
"""
OTHERS = VIEWS.replace("'EUR' AS currency,", "")
PRIVILEGES = """
SELECT c.relname::text, pg_get_userbyid(c.relowner)::text, coalesce(r.rolname, 'public')
  FROM pg_class AS c
 CROSS JOIN aclexplode(c.relacl) AS a
  LEFT JOIN pg_roles AS r ON r.oid = a.grantee
 WHERE c.relnamespace = 'syncd'::regnamespace AND c.relkind = 'v'
   AND a.privilege_type = 'SELECT'
 ORDER BY 1, 3
"""


def apply(shop: Shop, folder: Path, text: str, *options: str) -> CompletedProcess[str]:
    file = folder / "views.sql"
    file.write_text(text)
    config = shop.configure(folder, "http://127.0.0.1:9")
    where = ["--as", shop.owner, "--config", config]
    return forked(["views", "apply", file, *where, *options], os.environ)


@pytest.fixture
def viewless_shop(database: str) -> Shop:
    """A shop with the ledger, and without views."""
    return Shop.open(database, views=False)


def orderid(shop: Shop) -> object:
    """Read an order's number as the daemon's role."""
    source = Source(Database(shop.dsn), "syncd.confirmed_orders", "syncd.purchases")
    (row,) = source.read([str(shop.value("SELECT max(id) FROM orders"))]).values()
    source.database.close()
    return row["orderid"]


def test_views_are_created_and_granted_to_the_daemon(
    viewless_shop: Shop, tmp_path: Path
) -> None:
    """One command does it, and prints the next step."""
    viewless_shop.confirm(1)
    done = apply(viewless_shop, tmp_path, VIEWS)
    assert done.returncode == 0, done.stderr
    assert "syncd.confirmed_orders and syncd.purchases: created" in done.stdout
    assert "next: `syncd check`" in done.stdout
    assert orderid(viewless_shop) == "V-1"


def test_existing_views_are_replaced(shop: Shop, tmp_path: Path) -> None:
    """Their grants stay, and a file need not have OR REPLACE."""
    shop.confirm(1)
    shop.sql("GRANT SELECT ON syncd.purchases TO PUBLIC")
    before = shop.rows(PRIVILEGES)
    done = apply(shop, tmp_path, VIEWS)
    assert "replaced" in done.stdout, done.stderr
    assert orderid(shop) == "V-1"
    assert shop.rows(PRIVILEGES) == before


def test_views_with_other_columns_are_recreated_for_the_same_roles(
    shop: Shop, tmp_path: Path
) -> None:
    """CREATE OR REPLACE cannot do that; owner and grants stay."""
    shop.confirm(1)
    reader, owner = f'"Bi {shop.role}"', f"owner_{shop.role}"
    shop.sql(f"CREATE ROLE {reader}; CREATE ROLE {owner}")
    shop.sql(f"GRANT USAGE, CREATE ON SCHEMA syncd TO {owner}")
    shop.sql(f"GRANT SELECT ON orders TO {owner}")
    for view in ("syncd.purchases", "syncd.confirmed_orders"):
        shop.sql(f"ALTER VIEW {view} OWNER TO {owner}")
        shop.sql(f"GRANT SELECT ON {view} TO {reader}, PUBLIC")
    before = shop.rows(PRIVILEGES)
    done = apply(shop, tmp_path, OTHERS)
    assert "recreated" in done.stdout, done.stderr
    assert shop.rows(PRIVILEGES) == before
    assert orderid(shop) == "V-1"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (VIEWS.replace("public.orders;", "public.nowhere;"), "does not exist"),
        (OTHERS + "DROP TABLE orders", "DROP TABLE orders"),
        (VIEWS.replace("email,", ""), "lacks the column email"),
        (VIEWS.replace("AS totalvalue", "AS total"), "no fields of Squeezely's"),
        (VIEWS.replace("SELECT id AS order_key, c", "SELECT id::text AS order_key, c"),
         "order_key is text in syncd.confirmed_orders"),
    ],
)  # fmt: skip
def test_unusable_views_change_nothing(
    shop: Shop, tmp_path: Path, text: str, words: str
) -> None:
    """One line gives the reason, also when the first of two statements was valid."""
    shop.confirm(1)
    before = shop.rows(PRIVILEGES)
    done = apply(shop, tmp_path, text)
    assert done.returncode == 78
    assert words in done.stderr.splitlines()[0], done.stderr
    assert len(done.stderr.splitlines()) == 2
    assert orderid(shop) == "W-1"
    assert shop.rows(PRIVILEGES) == before


def test_a_view_that_others_depend_on_is_not_dropped(
    shop: Shop, tmp_path: Path
) -> None:
    """Nothing is dropped with CASCADE."""
    shop.confirm(1)
    shop.sql("CREATE VIEW report AS SELECT currency FROM syncd.purchases")
    done = apply(shop, tmp_path, OTHERS)
    assert done.returncode == 78
    assert "view report depends on view syncd.purchases" in done.stderr
    assert orderid(shop) == "W-1"


@pytest.mark.parametrize("role", ["nobody_here", "a-b", "x.y", ""])
def test_a_role_that_does_not_exist_is_refused(
    shop: Shop, tmp_path: Path, role: str
) -> None:
    """The command checks the role before it creates anything."""
    done = apply(shop, tmp_path, VIEWS, "--role", role)
    assert done.returncode == 78
    assert shop.value("SELECT pg_get_viewdef('syncd.purchases') LIKE '%V-%'") is False


def test_a_role_name_follows_the_rules_of_sql(shop: Shop, tmp_path: Path) -> None:
    """It becomes lower case unless it stands in double quotes."""
    name = f"Role-{shop.role}"
    shop.sql(f'CREATE ROLE "{name}"')
    assert apply(shop, tmp_path, VIEWS, "--role", f'"{name}"').returncode == 0
    assert apply(shop, tmp_path, VIEWS, "--role", shop.role.upper()).returncode == 0
    readers = {reader for _, _, reader in shop.rows(PRIVILEGES)}
    assert {name, shop.role} <= readers


def test_a_database_without_the_schema_gets_the_next_step(
    database: str, tmp_path: Path
) -> None:
    """`syncd install` creates the schema."""
    shop = Shop.at(database)
    shop.sql(f"CREATE ROLE {shop.role}")
    done = apply(shop, tmp_path, VIEWS)
    assert done.returncode == 78
    assert "there is no schema syncd" in done.stderr
    assert "syncd install" in done.stderr


def test_views_that_are_being_read_are_waited_for(shop: Shop, tmp_path: Path) -> None:
    """Briefly; then nothing is changed, and the command says so."""
    with psycopg.connect(shop.owner) as other:
        other.execute("SELECT FROM syncd.purchases")
        done = apply(shop, tmp_path, VIEWS)
    assert done.returncode == 75, done.stderr
    results = []
    with psycopg.connect(shop.owner) as other:
        other.execute("SELECT FROM syncd.purchases")
        thread = threading.Thread(
            target=lambda: results.append(apply(shop, tmp_path, VIEWS))
        )
        thread.start()
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        wait_until(lambda: shop.value(waiting) == 1)
    thread.join()
    assert results[0].returncode == 0, results[0].stderr
