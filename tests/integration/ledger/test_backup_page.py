"""The documented commands for dump and restore, run as the shop's own role."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.command import syncd
from support.installing import install_all
from support.postgres import Cluster, cluster, program
from support.shop import VIEWS, Shop

pytestmark = pytest.mark.db

PAGE = Path(__file__).parents[3] / "docs" / "backup.md"
SECTIONS = {
    title: "\n".join(line.strip() for line in text.splitlines() if line[:4] == "    ")
    for title, text in re.findall(
        r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.MULTILINE | re.DOTALL
    )
}
TABLES = """
CREATE TABLE orders (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, confirmed_at timestamptz,
    email text DEFAULT 'mila@example.com', total numeric DEFAULT 25.00,
    products jsonb DEFAULT '[{"id": "MUG-1", "quantity": 2, "price": 12.50}]'
);
CREATE INDEX ON orders (confirmed_at);
CREATE TABLE order_lines (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    order_id bigint NOT NULL REFERENCES orders (id)
);
"""


@pytest.fixture(scope="module")
def backup_server() -> Iterator[Cluster]:
    """A server with the database and the role that the page names."""
    with cluster() as running:
        running.sql("CREATE ROLE shop LOGIN")
        running.sql("CREATE ROLE syncd LOGIN")
        running.sql("CREATE DATABASE shop OWNER shop")
        shop = Shop(running.dsn("shop"), "syncd", running.dsn("shop", "syncd"))
        shop.sql(f"SET ROLE shop; {TABLES}")
        install_all(shop)
        shop.sql(VIEWS)
        install_all(shop, "orders:id", "order_lines:order_id")
        shop.sql("INSERT INTO orders (confirmed_at) VALUES (now()), (now())")
        shop.sql("INSERT INTO order_lines (order_id) VALUES (1), (2)")
        yield running


@pytest.fixture
def restored(backup_server: Cluster) -> Iterator[Shop]:
    """The database that the page restores to."""
    yield Shop(
        backup_server.dsn("shop_restored"),
        "syncd",
        backup_server.dsn("shop_restored", "syncd"),
    )
    backup_server.sql("DROP DATABASE IF EXISTS shop_restored WITH (FORCE)")


def run_commands(server: Cluster, commands: str, folder: Path) -> None:
    """Run commands of the page in a shell, as the shop's role."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={
            **os.environ,
            "PATH": f"{program('pg_dump').parent}:{os.environ['PATH']}",
            "PGHOST": str(server.folder),
            "PGUSER": "shop",
        },
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("title", SECTIONS)
def test_the_pages_commands_restore_the_shop(
    backup_server: Cluster, restored: Shop, tmp_path: Path, title: str
) -> None:
    """Rows and foreign keys, in one transaction; the shop can sell afterwards."""
    run_commands(backup_server, SECTIONS[title], tmp_path)
    assert restored.value("SELECT count(*) FROM orders") == 2
    keys = "SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND conrelid = "
    assert restored.value(f"{keys} 'order_lines'::regclass") == 1
    restored.sql("INSERT INTO orders (confirmed_at) VALUES (now())")
    triggers = "SELECT count(*) FROM pg_trigger WHERE starts_with(tgname, 'syncd_')"
    if "whole" in title:
        assert restored.value(triggers) == 4
        assert (
            restored.value("SELECT count(*) FROM syncd.outbox WHERE order_key = '3'")
            == 1
        )
    else:
        assert restored.value(triggers) == 0
        assert restored.value("SELECT to_regnamespace('syncd')") is None


def test_without_the_object_list_a_restore_fails_at_the_triggers(
    backup_server: Cluster, restored: Shop, tmp_path: Path
) -> None:
    """The objects that the page leaves out have to be left out."""
    commands = SECTIONS["The shop without syncd"].replace("-L shop.list ", "")
    with pytest.raises(AssertionError, match='schema "syncd" does not exist'):
        run_commands(backup_server, commands, tmp_path)
    assert restored.value("SELECT to_regclass('orders')") is None


def test_a_restored_ledger_is_a_copy_that_does_not_send(
    backup_server: Cluster, restored: Shop, tmp_path: Path
) -> None:
    """Until `syncd confirm-move` lets it take the original's place."""
    original = Shop(
        backup_server.dsn("shop"), "syncd", backup_server.dsn("shop", "syncd")
    )
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    config = original.configure(tmp_path / "one", "http://127.0.0.1:1/track")
    syncd("run", "--once", "--config", config)
    run_commands(backup_server, SECTIONS["The whole database"], tmp_path)
    config = restored.configure(tmp_path / "two", "http://127.0.0.1:1/track")
    refused = syncd("run", "--once", "--config", config)
    assert refused.returncode == 78
    assert "syncd confirm-move" in refused.stderr
