"""Servers that refuse writes: a standby is disconnected, a setting is reported."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from psycopg.conninfo import make_conninfo
from support.postgres import Cluster, cluster, wait_until
from support.shop import Shop

from syncd.core.errors import ReadOnlyNodeError, SettingError
from syncd.demo.sandbox import Sandbox
from syncd.postgres.database import Database
from syncd.postgres.statements import Statement, query

pytestmark = [pytest.mark.db, pytest.mark.slow]


@dataclass
class Servers:
    """A shop with its ledger on a primary, and an asynchronous standby of it."""

    primary: Cluster
    second: Cluster
    shop: Shop


@pytest.fixture
def servers() -> Iterator[Servers]:
    with cluster() as primary:
        primary.sql("CREATE DATABASE shop")
        shop = Shop.open(primary.dsn("shop"))
        with cluster({"max_connections": "100"}, primary=primary) as second:
            yield Servers(primary, second, shop)
        shop.close()


def test_a_feed_returns_to_the_primary_among_several_hosts(
    servers: Servers, tmp_path: Path
) -> None:
    """The standby answers meanwhile, but no connection stays there."""
    primary, shop = servers.primary, servers.shop
    hosts = f"{primary.folder},{servers.second.folder}"
    with Sandbox() as sandbox:
        reading = {"dsn": make_conninfo(shop.dsn, host=hosts)}
        config = shop.configure(tmp_path, sandbox.endpoint, reading)
        daemon = shop.start(config)
        log = config.with_suffix(".log")
        wait_until(lambda: "daemon.started" in log.read_text())
        shop.confirm(1)
        wait_until(lambda: sandbox.received.totals.orderids == 1)
        primary.stop("immediate")
        wait_until(lambda: "hot standby" in log.read_text())
        primary.start()
        shop.confirm(1)
        wait_until(lambda: sandbox.received.totals.orderids == 2)
        daemon.terminate()
        assert daemon.wait(60) == 0


def test_a_feed_returns_to_the_primary_behind_one_name(
    servers: Servers, tmp_path: Path
) -> None:
    """The name points at the standby for a while: sessions opened then are closed."""
    primary, shop = servers.primary, servers.shop
    address = tmp_path / "address"
    address.symlink_to(primary.folder)
    with Sandbox() as sandbox:
        reading = {"dsn": make_conninfo(shop.dsn, host=str(address))}
        config = shop.configure(tmp_path, sandbox.endpoint, reading)
        daemon = shop.start(config)
        log = config.with_suffix(".log")
        wait_until(lambda: "daemon.started" in log.read_text())
        shop.confirm(1)
        wait_until(lambda: sandbox.received.totals.orderids == 1)
        primary.stop("immediate")
        address.unlink()
        address.symlink_to(servers.second.folder)
        wait_until(lambda: "hot standby" in log.read_text())
        primary.start()
        address.unlink()
        address.symlink_to(primary.folder)
        shop.confirm(1)
        wait_until(lambda: sandbox.received.totals.orderids == 2)
        daemon.terminate()
        assert daemon.wait(60) == 0


def test_a_connection_to_a_standby_is_not_used_twice(servers: Servers) -> None:
    """The next statement opens another connection."""
    dsn = servers.second.dsn("shop", servers.shop.role)
    with closing(Database(dsn)) as database:
        wait_until(lambda: servers.second.holds("SELECT pg_is_in_recovery()"))
        first = database.peer().pid
        with pytest.raises(ReadOnlyNodeError, match="hot standby"):
            database.run(query("move_watermark"), feed=1, upper="infinity")
        assert database.peer().pid != first


@pytest.mark.parametrize("whose", ["ROLE {role}", "DATABASE {database}"])
def test_a_setting_that_forbids_writes_is_not_reported_as_a_standby(
    shop: Shop, whose: str
) -> None:
    """The message names it, with the statement that resets it."""
    whose = whose.format(
        role=shop.role, database=shop.value("SELECT current_database()")
    )
    shop.sql(f"ALTER {whose} SET default_transaction_read_only = on")
    with (
        closing(Database(shop.dsn)) as database,
        pytest.raises(SettingError, match="default_transaction_read_only") as raised,
    ):
        database.run(query("move_watermark"), feed=1, upper="infinity")
    assert "ALTER ROLE" in raised.value.hint


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("statement_timeout", "100ms"),
        ("lock_timeout", "1ms"),
        ("idle_session_timeout", "100ms"),
        ("idle_in_transaction_session_timeout", "50ms"),
        ("transaction_timeout", "100ms"),
        ("default_transaction_isolation", "serializable"),
        ("row_security", "off"),
        ("search_path", "nowhere"),
    ],
)
def test_settings_of_the_role_do_not_affect_syncds_sessions(
    shop: Shop, setting: str, value: str
) -> None:
    """Each session sets its own, where the server has the setting."""
    known = shop.value(f"SELECT count(*) FROM pg_settings WHERE name = '{setting}'")
    if not known:
        pytest.skip(f"this server has no {setting}")
    shop.sql(f"ALTER ROLE {shop.role} SET {setting} = '{value}'")
    with closing(Database(shop.dsn)) as database:
        first = database.peer().pid
        database.run(query("feeds"))
        deadline = "SELECT clock_timestamp() > now()"
        wait_until(lambda: shop.value(deadline))
        database.run(Statement(b"SELECT pg_catalog.pg_sleep(0.2)"))
        with database.transaction():
            database.run(query("feeds"))
            shop.sql("SELECT pg_sleep(0.2)")
            database.run(query("feeds"))
        shop.sql("SELECT pg_sleep(0.2)")
        database.run(query("feeds"))
        assert database.peer().pid == first


@pytest.mark.parametrize(
    ("setting", "value", "expression"),
    [
        ("standard_conforming_strings", "off", r"length('\000') = 4"),
        ("extra_float_digits", "-10", "1234567.89::float8::text = '1234567.89'"),
        ("transform_null_equals", "on", "(1 = NULL) IS NULL"),
        ("array_nulls", "off", "('{NULL}'::text[])[1] IS NULL"),
        ("quote_all_identifiers", "on", "quote_ident('shop') = 'shop'"),
    ],
)
def test_settings_of_the_role_do_not_change_values(
    shop: Shop, setting: str, value: str, expression: str
) -> None:
    """Texts, amounts, NULL and names are read with PostgreSQL's defaults."""
    shop.sql(f"ALTER ROLE {shop.role} SET {setting} = '{value}'")
    with closing(Database(shop.dsn)) as database:
        assert database.value(bool, Statement(f"SELECT {expression}".encode()))
