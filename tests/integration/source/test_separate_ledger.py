"""The ledger in one PostgreSQL server, the orders in another."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from support.postgres import Cluster, cluster, wait_until
from support.shop import Shop

from syncd.cli import cli
from syncd.demo.sandbox import Sandbox

pytestmark = [pytest.mark.db, pytest.mark.slow]


@pytest.fixture(scope="module")
def ledger_server() -> Iterator[Cluster]:
    """Run a second server, for ledgers."""
    with cluster() as running:
        yield running


@pytest.fixture
def split_shop(database: str, ledger_server: Cluster) -> Iterator[Shop]:
    """A shop whose ledger is on the other server."""
    name = database.split("dbname=")[1].split(maxsplit=1)[0]
    ledger_server.sql(f"CREATE DATABASE {name}")
    ledger_server.sql(f"CREATE ROLE role_{name} LOGIN")
    shop = Shop.open(database, state=ledger_server.dsn(name))
    yield shop
    shop.close()
    ledger_server.sql(f"DROP DATABASE {name} WITH (FORCE)")
    ledger_server.sql(f"DROP ROLE role_{name}")


def test_orders_are_delivered_and_nothing_is_written_to_their_database(
    split_shop: Shop, tmp_path: Path
) -> None:
    """The shop's database has the two views and no table of syncd's."""
    with Sandbox() as sandbox:
        config = split_shop.configure(tmp_path, sandbox.endpoint)
        split_shop.confirm(3)
        daemon = split_shop.start(config)
        wait_until(lambda: "daemon.started" in config.with_suffix(".log").read_text())
        orders = split_shop.confirm(250)
        wait_until(lambda: sandbox.received.totals.orderids == 250)
        daemon.terminate()
        assert daemon.wait(60) == 0
        assert {sandbox.received.posts(order) for order in orders} == {1}
    assert split_shop.captured("poll") == split_shop.captured() == 250
    assert split_shop.rows("SELECT relname FROM pg_class WHERE relkind IN ('r', 'S') "
                      "AND relnamespace = 'syncd'::regnamespace") == []  # fmt: skip


@pytest.mark.parametrize("away", ["orders", "ledger"])
def test_either_server_may_go_away(tmp_path: Path, away: str) -> None:
    """Nothing is lost or repeated, and the process survives."""
    with cluster() as orders, cluster() as ledger, Sandbox() as sandbox:
        orders.sql("CREATE DATABASE shop")
        ledger.sql("CREATE DATABASE shop")
        ledger.sql("CREATE ROLE role_shop LOGIN")
        shop = Shop.open(orders.dsn("shop"), state=ledger.dsn("shop"))
        config = shop.configure(tmp_path, sandbox.endpoint)
        daemon = shop.start(config)
        log = config.with_suffix(".log")
        try:
            wait_until(lambda: "daemon.started" in log.read_text())
            confirmed = shop.confirm(30)
            wait_until(lambda: sandbox.received.totals.orderids == 30)
            server = orders if away == "orders" else ledger
            server.stop()
            wait_until(lambda: "database.unavailable" in log.read_text())
            if away == "ledger":
                confirmed += shop.confirm(15)
            server.start()
            confirmed += shop.confirm(15)
            wait_until(lambda: sandbox.received.totals.orderids == len(confirmed))
            assert {sandbox.received.posts(order) for order in confirmed} == {1}
            daemon.terminate()
            assert daemon.wait(60) == 0
        finally:
            shop.close()


def test_commands_read_both_databases(split_shop: Shop, tmp_path: Path) -> None:
    """Status, explain, check, preview and reset find what they need."""
    with Sandbox() as sandbox:
        config = str(split_shop.configure(tmp_path, sandbox.endpoint))
        past = split_shop.confirm(1)[0]
        split_shop.sql("UPDATE orders SET confirmed_at = now() - interval '2 days'")
        environment = {"SYNCD_SQUEEZELY_API_KEY": "sandbox-key"}

        def syncd(*arguments: str) -> str:
            result = CliRunner().invoke(
                cli, [*arguments, "--config", config], env=environment
            )
            assert result.exit_code == 0, (result.output, result.exception)
            return result.output

        syncd("run", "--once")
        reset = syncd("watermark", "reset", "--to", "2020-01-01", "--yes")
        assert "1 to send" in reset
        syncd("run", "--once")
        assert sandbox.received.posts(past) == 1
        assert json.loads(syncd("status", "--json"))["delivered"] == 1
        assert "delivered" in syncd("explain", past)
        assert '"orderid"' in syncd("preview", past)
        assert "ledger: installed" in syncd("check")
