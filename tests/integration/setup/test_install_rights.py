"""Installing as a superuser gives no other role its rights, whatever exists already."""

from contextlib import closing

import psycopg
import pytest
from support.feed_harness import FeedHarness
from support.installing import as_mallory, became_superuser, install_all
from support.postgres import Cluster
from support.shop import VIEWS, Shop

from syncd.core.errors import ConfigError

pytestmark = pytest.mark.db


TRAP = (
    "CREATE FUNCTION {schema}.trap() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
    "ALTER ROLE {role}_mallory SUPERUSER; RETURN NEW; END $$;"
)
TRAPPED_TABLE = (
    "CREATE TABLE syncd.outbox (feed text, order_key text);"
    + TRAP.replace("{schema}", "syncd")
    + "CREATE TRIGGER trap BEFORE INSERT ON syncd.outbox "
    "FOR EACH ROW EXECUTE FUNCTION syncd.trap();"
)
TAKEN = {
    "schema": "CREATE SCHEMA syncd",
    "schema with an outbox": "CREATE SCHEMA syncd;" + TRAPPED_TABLE,
    "schema with a ledger that runs something":
        "CREATE SCHEMA syncd; CREATE FUNCTION syncd.trap() RETURNS int "
        "LANGUAGE plpgsql AS $$ BEGIN ALTER ROLE {role}_mallory SUPERUSER; "
        "RETURN 1; END $$;"
        "CREATE VIEW syncd.migration AS SELECT syncd.trap() AS version",
}  # fmt: skip


@pytest.mark.parametrize("how", TAKEN)
def test_a_schema_of_another_role_is_refused(bare: Shop, how: str) -> None:
    """Its owner could make the triggers run anything as the installer."""
    as_mallory(bare, TAKEN[how])
    with pytest.raises(ConfigError, match=r"belongs to role_t\d+_mallory") as refused:
        install_all(bare)
    assert "ALTER SCHEMA syncd OWNER TO postgres" in refused.value.hint
    assert not bare.has_ledger()
    assert not became_superuser(bare)


PLANTED = {
    "an outbox": TRAPPED_TABLE,
    "a function of a trigger": "CREATE FUNCTION syncd.listen_x() RETURNS trigger "
        "LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$",
    "a view as the list of migrations":
        "CREATE VIEW syncd.migration AS SELECT 1 AS version",
}  # fmt: skip


@pytest.mark.parametrize("what", PLANTED)
def test_objects_planted_in_the_schema_are_refused(bare: Shop, what: str) -> None:
    """The schema belongs to the installer, the objects in it do not."""
    bare.sql(f"CREATE SCHEMA syncd; GRANT ALL ON SCHEMA syncd TO {bare.role}_mallory")
    as_mallory(bare, PLANTED[what])
    with pytest.raises(ConfigError, match=r"belongs to role_t\d+_mallory"):
        install_all(bare)
    assert not became_superuser(bare)


def test_a_foreign_trigger_on_a_table_of_syncd_is_refused(bare: Shop) -> None:
    """It would run as whichever role writes there."""
    install_all(bare)
    bare.sql(
        "CREATE TABLE IF NOT EXISTS syncd.outbox (feed text, order_key text);"
        f"GRANT TRIGGER ON syncd.outbox TO {bare.role}_mallory;"
        f"GRANT USAGE ON SCHEMA syncd TO {bare.role}_mallory;"
        f"GRANT CREATE ON SCHEMA public TO {bare.role}_mallory"
    )
    trap = TRAP.replace("{schema}", "public")
    as_mallory(
        bare,
        trap + "CREATE TRIGGER trap BEFORE INSERT ON syncd.outbox "
        "FOR EACH ROW EXECUTE FUNCTION public.trap()",
    )
    with pytest.raises(ConfigError, match=r"trap on syncd\.outbox belongs"):
        install_all(bare)


def test_default_privileges_allow_no_triggers_on_syncds_tables(
    bare: Shop,
) -> None:
    """A shop may grant an application all rights on what its superuser creates."""
    bare.sql(
        f"ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO {bare.role}_mallory;"
        f"ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO {bare.role}_mallory;"
        "ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC;"
        f"GRANT CREATE ON SCHEMA public TO {bare.role}_mallory"
    )
    install_all(bare)
    bare.sql(VIEWS)
    install_all(bare, "orders:id")
    bare.sql("ALTER DEFAULT PRIVILEGES REVOKE ALL ON TABLES FROM PUBLIC")
    writable = bare.rows(
        "SELECT relname FROM pg_class WHERE relnamespace = 'syncd'::regnamespace "
        f"AND relkind IN ('r', 'p') AND has_table_privilege('{bare.role}_mallory', "
        "oid, 'INSERT, UPDATE, DELETE, TRUNCATE, TRIGGER')"
    )
    assert writable == []
    bare.sql(f"GRANT USAGE ON SCHEMA syncd TO {bare.role}_mallory")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        as_mallory(
            bare,
            TRAP.replace("{schema}", "public")
            + "CREATE TRIGGER trap BEFORE INSERT ON syncd.outbox "
            "FOR EACH ROW EXECUTE FUNCTION public.trap()",
        )
    bare.confirm()
    assert not became_superuser(bare)


def test_the_daemon_needs_no_right_to_execute_functions(bare: Shop) -> None:
    """A hardened server withholds it by default."""
    bare.sql("ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC")
    install_all(bare)
    bare.sql(VIEWS)
    install_all(bare)
    with closing(FeedHarness(bare)) as started:
        bare.confirm(2)
        assert started.poll() == 2


SHADOWS = "".join(
    f"CREATE FUNCTION evil.{name}({args}) RETURNS {gives} LANGUAGE plpgsql AS $$ BEGIN "
    "ALTER ROLE {role}_mallory SUPERUSER; "
    f"RETURN {value}; END $$;"
    for name, args, gives, value in (
        ("clock_timestamp", "", "timestamptz", "now()"),
        ("starts_with", "name, text", "boolean", "true"),
        ("starts_with", "text, text", "boolean", "true"),
        ("to_regclass", "text", "regclass", "NULL"),
        ("current_setting", "text", "text", "'x'"),
        ("pg_backend_pid", "", "int", "1"),
        ("set_config", "text, text, boolean", "text", "''"),
        ("pg_get_userbyid", "oid", "name", "'x'"),
        ("isfinite", "timestamptz", "boolean", "true"),
        ("quote_ident", "text", "text", "'x'"),
        ("setval", "regclass, int, boolean", "bigint", "1"),
    )
)
PATHS = {
    "behind PostgreSQL's own": "public, evil",
    "before PostgreSQL's own": "evil, public, pg_catalog",
}


@pytest.mark.parametrize("path", PATHS)
def test_functions_of_other_roles_are_never_run(
    server: Cluster, bare: Shop, path: str
) -> None:
    """The search path may find them anywhere, also when installing again."""
    name = bare.value("SELECT current_database()")
    as_mallory(bare, "CREATE SCHEMA evil;" + SHADOWS)
    bare.sql(
        "GRANT USAGE ON SCHEMA evil TO PUBLIC;"
        f"ALTER DATABASE {name} SET search_path = {PATHS[path]}"
    )
    for statement in ("", VIEWS.replace("FROM orders", "FROM public.orders")):
        if statement:
            bare.sql(f"SET search_path = pg_catalog; {statement}")
        install_all(bare, *(["orders:id"] if statement else []))
    server.sql(f"ALTER DATABASE {name} RESET search_path")
    assert not became_superuser(bare)
    bare.confirm()
    assert bare.in_outbox() == 1
