"""Installing affects no live shop, no replica and no backup."""

import subprocess
import threading
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from support.installing import install_all
from support.postgres import Cluster, cluster, program, wait_until
from support.shop import TABLES, VIEWS, Shop

from syncd.core.errors import ConfigError

pytestmark = pytest.mark.db

_numbers = count(1)
ORDER = "INSERT INTO orders (confirmed_at) VALUES (now()) RETURNING id::text"
MADE = """
SELECT oid, xmin::text FROM pg_trigger WHERE NOT tgisinternal
 UNION ALL
SELECT oid, xmin::text FROM pg_proc WHERE pronamespace = 'syncd'::regnamespace
 UNION ALL
SELECT oid, xmin::text FROM pg_class
 WHERE relnamespace = 'syncd'::regnamespace AND relkind IN ('r', 'S')
 ORDER BY 1
"""
DO = (
    "DO $$ BEGIN EXECUTE (SELECT format('{}', oid::regprocedure) FROM pg_proc "
    "WHERE starts_with(proname, 'listen_')); END $$"
)


def test_installing_again_under_load_loses_no_outbox_row(shop: Shop) -> None:
    """What exists already is neither locked nor created again."""
    install_all(shop, "orders:id")
    before = shop.rows(MADE)
    written, stop = [], threading.Event()

    def sell() -> None:
        with psycopg.connect(shop.owner, autocommit=True) as sellerion:
            while not stop.is_set():
                row = sellerion.execute(ORDER).fetchone()
                assert row
                written.append(str(row[0]))

    sellerion = threading.Thread(target=sell)
    sellerion.start()
    try:
        for _ in range(10):
            install_all(shop, "orders:id")
    finally:
        stop.set()
        sellerion.join()
    recorded = {str(row[0]) for row in shop.rows("SELECT order_key FROM syncd.outbox")}
    assert set(written) - recorded == set()
    assert len(written) > 10
    after = shop.rows(MADE)
    assert after == before


def test_installing_again_does_not_wait_for_an_open_checkout(shop: Shop) -> None:
    """When nothing is missing, it takes no lock on the shop's tables."""
    install_all(shop, "orders:id")
    with psycopg.connect(shop.owner) as session:
        session.execute("INSERT INTO orders (confirmed_at) VALUES (now())")
        install_all(shop, "orders:id")
    assert shop.in_outbox() == 1


def test_installing_again_repairs_the_triggers(shop: Shop) -> None:
    """A trigger that is disabled, missing, or calls an older function."""
    install_all(shop, "orders:id")
    breaks = (
        "ALTER TABLE orders DISABLE TRIGGER syncd_update_shop",
        "DROP TRIGGER syncd_insert_shop ON orders",
        DO.format(
            "CREATE OR REPLACE FUNCTION %s RETURNS trigger LANGUAGE plpgsql AS "
            "''BEGIN RETURN NULL; END''"
        ),
        DO.format("GRANT EXECUTE ON FUNCTION %s TO PUBLIC"),
    )
    for number, broken in enumerate(breaks, 1):
        shop.sql(broken)
        install_all(shop, "orders:id")
        shop.confirm()
        shop.sql("UPDATE orders SET total = 1")
        assert shop.in_outbox() == 1 + number
        shop.empty_outbox()
    kept = "SELECT count(*) FROM pg_proc WHERE starts_with(proname, 'listen_')"
    assert shop.value(kept) == 1


# Replicas


@pytest.fixture(scope="module")
def publisher() -> Iterator[Cluster]:
    """A server whose tables are published."""
    with cluster() as running:
        yield running


def subscribed(publisher: Cluster, name: str) -> tuple[Shop, Shop]:
    """Replicate every table of a shop to another database of the server."""
    publisher.sql(f"CREATE DATABASE {name}")
    publisher.sql(f"CREATE DATABASE {name}_replica")
    shop, replica = (
        Shop.at(publisher.dsn(name)),
        Shop.at(publisher.dsn(f"{name}_replica")),
    )
    shop.sql(TABLES.replace("{role}", shop.role))
    replica.sql(TABLES.replace("{role}", replica.role))
    shop.sql("CREATE PUBLICATION everything FOR ALL TABLES")
    shop.sql(f"SELECT pg_create_logical_replication_slot('{name}', 'pgoutput')")
    replica.sql(
        f"CREATE SUBSCRIPTION {name} CONNECTION '{publisher.dsn(name)}' "
        f"PUBLICATION everything WITH (create_slot = false, slot_name = '{name}')"
    )
    return shop, replica


def is_replicated(shop: Shop, replica: Shop) -> None:
    (order,) = shop.confirm()
    wait_until(
        lambda: (
            replica.value(
                f"SELECT count(*) FROM orders WHERE id = {order.removeprefix('W-')}"
            )
            == 1
        ),
        30,
    )


def subscription(replica: Shop) -> object:
    return replica.value(
        "SELECT s.subname FROM pg_subscription AS s JOIN pg_database AS d "
        "ON d.oid = s.subdbid WHERE d.datname = current_database()"
    )


def test_replicas_of_all_tables_keep_working(publisher: Cluster) -> None:
    """Refused first; the recommended statements work, and so does --published."""
    shop, replica = subscribed(publisher, f"p{next(_numbers)}")
    is_replicated(shop, replica)
    with pytest.raises(ConfigError, match="publication everything") as refused:
        install_all(shop)
    assert shop.value("SELECT to_regnamespace('syncd')") is None
    is_replicated(shop, replica)
    name = subscription(replica)
    make, switch, drop = refused.value.hint.split(";")[:3]
    shop.sql(make)
    statement = switch[switch.index("ALTER SUBSCRIPTION") :].replace("...", str(name))
    replica.sql(statement)
    shop.sql(drop.removeprefix(" then "))
    install_all(shop)
    is_replicated(shop, replica)
    replica.sql(f"DROP SUBSCRIPTION {name}")


def test_replicas_that_have_syncds_tables_keep_working(publisher: Cluster) -> None:
    """With --published, after the tables were created there as well."""
    shop, replica = subscribed(publisher, f"p{next(_numbers)}")
    install_all(replica)
    install_all(shop, published=True)
    for each in (replica, shop):
        each.sql(VIEWS)
        install_all(each, "orders:id", published=True)
    is_replicated(shop, replica)
    shop.sql("UPDATE orders SET total = 2; DELETE FROM syncd.outbox")
    is_replicated(shop, replica)
    replica.sql(f"DROP SUBSCRIPTION {subscription(replica)}")


def test_a_publication_of_schema_syncd_is_detected(shop: Shop) -> None:
    """The install detects it before it creates the outbox."""
    if int(str(shop.value("SHOW server_version_num"))) < 150000:
        pytest.skip("this PostgreSQL publishes no schemas")
    shop.sql("CREATE PUBLICATION ours FOR TABLES IN SCHEMA syncd")
    with pytest.raises(ConfigError, match="the publication ours would") as refused:
        install_all(shop, "orders:id")
    assert "ALTER PUBLICATION ours DROP TABLES IN SCHEMA syncd;" in refused.value.hint
    shop.sql('ALTER PUBLICATION "ours" DROP TABLES IN SCHEMA syncd')
    install_all(shop, "orders:id")
    install_all(shop, "orders:id")


# Dumps


def dump(shop: Shop, role: str, target: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program("pg_dump"), "-Fc", "-f", target,
         "-d", make_conninfo(shop.owner, user=role)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_every_role_that_could_dump_the_database_still_can(
    bare: Shop, tmp_path: Path
) -> None:
    """The owner of database and tables, and a role that may read all of them."""
    name = bare.value("SELECT current_database()")
    keeper, backup = f"{bare.role}_keeper", f"{bare.role}_backup"
    bare.sql(
        f"CREATE ROLE {keeper} LOGIN; CREATE ROLE {backup} LOGIN;"
        f"ALTER DATABASE {name} OWNER TO {keeper};"
        f"ALTER TABLE orders OWNER TO {keeper};"
        f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {backup};"
        f"GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO {backup}"
    )
    for step in ("before", "ledger", "views", "triggers"):
        if step == "ledger":
            install_all(bare)
        elif step == "views":
            bare.sql(VIEWS)
            install_all(bare)
        elif step == "triggers":
            install_all(bare, "orders:id")
        for role in (keeper, backup):
            done = dump(bare, role, tmp_path / f"{role}.dump")
            assert done.returncode == 0, (step, role, done.stderr)
    mallory = dump(bare, f"{bare.role}_mallory", tmp_path / "mallory.dump")
    assert mallory.returncode != 0
    assert (
        bare.value(
            f"SELECT has_schema_privilege('{bare.role}_mallory', 'syncd', 'USAGE')"
        )
        is False
    )
