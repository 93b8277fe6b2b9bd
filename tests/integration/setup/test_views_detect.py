"""`syncd views detect` and `syncd init --dsn`: which shop system a database has."""

import json
import time
import tomllib
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import psycopg
import pytest
from support.command import forked
from support.shop import Shop
from support.shop_dumps import REPOSITORY, dump_of, restore

from syncd.config.configuration import load
from syncd.setup.views.shop import shops

pytestmark = [pytest.mark.db, pytest.mark.slow]

VERSIONS = {
    "django-oscar": "4.2 or later",
    "medusa": "2.13 or later",
    "pretix": "2025.10 or later",
    "saleor": None,
    "vendure": "2.0 or later",
}
MANY_TABLES = """
DO $$ BEGIN
    FOR n IN 1..10000 LOOP
        EXECUTE format('CREATE TABLE "order line %s" (id integer)', n);
        IF n % 500 = 0 THEN COMMIT; END IF;
    END LOOP;
END $$
"""


def syncd(*arguments: str) -> CompletedProcess[str]:
    few = {"PATH": "/usr/bin", "COLUMNS": "80", "LC_ALL": "C.UTF-8"}
    return forked(arguments, few)


def detect(dsn: str) -> list[dict[str, Any]]:
    done = syncd("views", "detect", "--dsn", dsn, "--json")
    found: list[dict[str, Any]] = json.loads(done.stdout)
    assert done.returncode == int(not any(each["fits"] for each in found))
    return found


def execute(dsn: str, *statements: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


@pytest.mark.parametrize("name", sorted(shops()))
def test_each_shop_system_is_recognised_by_its_tables(database: str, name: str) -> None:
    """No other system is; its views fit, and all its orders could be sent."""
    if not dump_of(name).exists():
        pytest.skip(f"{name} IS NOT TESTED: its dump is not here")
    restore(database, name)
    (found,) = detect(database)
    assert found["name"] == name
    assert found["version"] == VERSIONS.get(name, found["version"])
    assert found["fits"]
    assert found["sent"] == found["tried"] > 0
    assert found["settings"].get("require_currency") in {None, True}
    assert found["settings"].get("time_zone") == shops()[name].time_zone
    assert found["listen"] == list(shops()[name].listen)


def test_an_existing_index_is_not_recommended(database: str) -> None:
    """Once it was created, the statement is no longer printed."""
    restore(database, "medusa")
    (found,) = detect(database)
    (statement,) = found["index"]
    execute(database, statement)
    assert detect(database)[0]["index"] == []


def test_djangos_last_migration_is_reported(database: str) -> None:
    """It is read from the table of migrations, if that exists."""
    restore(database, "django-oscar")
    execute(
        database,
        "CREATE TABLE django_migrations (id serial, app text, name text)",
        "INSERT INTO django_migrations (app, name) VALUES ('order', '0021_x'), "
        "('basket', '0099_y')",
    )
    assert detect(database)[0]["migration"] == "0021_x"


def test_an_older_version_that_lacks_a_column_does_not_fit(
    database: str,
) -> None:
    """It names the column, and says that a copy can be changed."""
    restore(database, "medusa")
    execute(database, 'ALTER TABLE "order" DROP COLUMN locale')
    (found,) = detect(database)
    assert (found["version"], found["fits"]) == ("2.12 or later", False)
    assert found["lacking"] == ["order.locale"]
    done = syncd("views", "detect", "--dsn", database)
    assert "there is no order.locale" in done.stdout
    assert "syncd views show medusa > my-shop.sql" in done.stdout


def test_tables_in_another_schema_are_found_and_their_views_work(
    database: str,
) -> None:
    """Its name may have capitals and spaces; the printed command works."""
    restore(database, "vendure")
    execute(database, 'ALTER SCHEMA public RENAME TO "My Shop"', "CREATE SCHEMA public")
    (found,) = detect(database)
    assert found["schema"] == "My Shop"
    assert found["sent"] == 30
    assert found["listen"] == ['"My Shop"."order":id']
    output = syncd("views", "detect", "--dsn", database).stdout
    assert """`syncd views try vendure --schema "My Shop"`""" in output
    done = syncd("views", "try", "vendure", "--schema", '"My Shop"', "--as", database)
    assert "30 orders would be sent" in done.stdout, done.stderr


def test_a_role_without_read_privileges_is_reported(shop: Shop) -> None:
    """The catalogue still identifies the system."""
    restore(shop.owner, "pretix")
    (found,) = detect(shop.dsn)
    assert (found["fits"], found["readable"]) == (True, False)
    done = syncd("views", "detect", "--dsn", shop.dsn)
    assert "name with --dsn who may" in done.stdout


def test_ten_thousand_tables_are_searched_quickly(database: str) -> None:
    """Tables of no known shop system are reported as such."""
    execute(database, MANY_TABLES)
    started = time.monotonic()
    assert detect(database) == []
    assert time.monotonic() - started < 20
    done = syncd("views", "detect", "--dsn", database)
    assert done.returncode == 1
    assert "none of the shop systems" in done.stdout


def test_a_database_without_tables_is_reported(database: str) -> None:
    """Such a database is probably not the intended one."""
    done = syncd("views", "detect", "--dsn", database)
    assert done.returncode == 1
    assert "this database has no tables" in done.stdout


def test_a_detection_writes_nothing(database: str) -> None:
    """It runs read-only even as the owner of everything."""
    restore(database, "vendure")
    count = "SELECT count(*), max(oid::bigint) FROM pg_class"
    with psycopg.connect(database, autocommit=True) as connection:
        before = connection.execute(count).fetchall()
        detect(database)
        assert connection.execute(count).fetchall() == before


def test_init_fills_in_what_it_detects(database: str, tmp_path: Path) -> None:
    """The file is a valid configuration without the password."""
    restore(database, "vendure")
    out = tmp_path / "syncd.toml"
    dsn = f"{database} password='it is 5ecret'"
    done = syncd("init", "--out", str(out), "--dsn", dsn)
    assert done.returncode == 0, done.stderr
    written = tomllib.loads(out.read_text())["source"]
    assert written["time_zone"] == "UTC"
    assert written["require_currency"] is True
    assert "5ecret" not in out.read_text()
    assert "passfile" in done.stdout
    assert "views apply vendure" in done.stdout
    settings = load(out, {}, wants_key=False)
    assert psycopg.conninfo.conninfo_to_dict(
        settings.source_dsn.get_secret_value()
    ) == psycopg.conninfo.conninfo_to_dict(database)


def test_init_of_an_unknown_shop_sets_the_dsn_and_prints_the_next_step(
    shop: Shop, tmp_path: Path
) -> None:
    """All other settings are those of `init` alone."""
    out = tmp_path / "syncd.toml"
    done = syncd("init", "--out", str(out), "--dsn", shop.owner)
    assert done.returncode == 0, done.stderr
    assert "no shop system that syncd has views for" in done.stdout
    plain = (
        (REPOSITORY / "syncd" / "config" / "configuration.toml")
        .read_text()
        .splitlines()
    )
    changed = [
        line
        for line, was in zip(out.read_text().splitlines(), plain, strict=True)
        if line != was
    ]
    assert len(changed) == 1


def test_init_writes_nothing_when_the_database_is_unreachable(
    tmp_path: Path,
) -> None:
    """Nor does it overwrite an existing file."""
    out = tmp_path / "syncd.toml"
    done = syncd("init", "--out", str(out), "--dsn", "host=/nowhere dbname=x")
    assert done.returncode == 69
    assert not out.exists()
    out.write_text("mine")
    done = syncd("init", "--out", str(out), "--dsn", "host=/nowhere dbname=x")
    assert done.returncode == 78
    assert out.read_text() == "mine"
