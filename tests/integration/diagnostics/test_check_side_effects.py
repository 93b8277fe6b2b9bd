"""What `syncd check` finds of syncd's own objects that may harm the shop."""

from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from support.checks import CheckRunner
from support.shop import Shop

pytestmark = pytest.mark.db


@pytest.fixture
def listening_inspector(shop: Shop, tmp_path: Path) -> CheckRunner:
    return CheckRunner(shop, tmp_path, {"capture": "listen"})


def test_a_role_whose_dump_is_blocked_is_named_until_it_may_read(
    listening_inspector: CheckRunner,
) -> None:
    """The finding has the grants that allow the dump; they suffice."""
    shop = listening_inspector.shop
    keeper = f"{shop.role}_keeper"
    assert "backup.blocked" not in listening_inspector.codes()
    shop.sql(f"CREATE ROLE {keeper} LOGIN; ALTER TABLE orders OWNER TO {keeper}")
    found = listening_inspector.one("backup.blocked")
    assert f"pg_dump as {keeper} fails" in found.message
    shop.sql(found.next_step.partition(" or run")[0])
    assert "backup.blocked" not in listening_inspector.codes()
    shop.sql("CREATE TABLE syncd.newer (id int)")
    assert "backup.blocked" in listening_inspector.codes()


def test_a_publication_that_includes_syncds_tables_is_found(
    listening_inspector: CheckRunner,
) -> None:
    """It may have been created after the installation."""
    shop = listening_inspector.shop
    assert "publication.own" not in listening_inspector.codes()
    shop.sql("CREATE PUBLICATION everything FOR ALL TABLES")
    found = listening_inspector.one("publication.own")
    assert "the publication everything sends" in found.message
    assert "CREATE PUBLICATION everything_shop FOR" in found.next_step


BULK = "UPDATE orders SET total = total + 1"


def test_a_temp_file_limit_that_blocks_a_bulk_update_is_found(
    listening_inspector: CheckRunner,
) -> None:
    """The finding has the statement that lifts it for one role."""
    shop = listening_inspector.shop
    clerk = f"{shop.role}_clerk"
    shop.sql(
        f"CREATE ROLE {clerk} LOGIN; GRANT SELECT, UPDATE ON orders TO {clerk};"
        f"ALTER ROLE {clerk} SET temp_file_limit = '1MB';"
        f"ALTER ROLE {clerk} SET work_mem = '64kB'"
    )
    shop.confirm(20_000)
    dsn = make_conninfo(shop.owner, user=clerk)
    with psycopg.connect(dsn) as session:
        session.execute(BULK)
    shop.listen("orders:id")
    with (
        pytest.raises(psycopg.errors.ConfigurationLimitExceeded),
        psycopg.connect(dsn) as session,
    ):
        session.execute(BULK)
    found = listening_inspector.one("trigger.limited")
    assert f"temp_file_limit is 1MB for role {clerk}" in found.message
    shop.sql(found.next_step)
    with psycopg.connect(dsn) as session:
        session.execute(BULK)
    assert "trigger.limited" not in listening_inspector.codes()
