"""`syncd install --listen` and the operator's other commands for it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from support.command import syncd as command_line
from support.postgres import wait_until
from support.shop import TABLES, VIEWS, Shop

from syncd.demo.sandbox import Sandbox

pytestmark = pytest.mark.db

Syncd = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def listening_config(shop: Shop, tmp_path: Path) -> Path:
    """A configuration that listens."""
    return shop.configure(tmp_path, "http://127.0.0.1:1/track", {"capture": "listen"})


@pytest.fixture
def syncd(listening_config: Path) -> Syncd:
    """Returns a function that runs a command with the configuration."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                sys.executable,
                "-m",
                "syncd",
                *arguments,
                "--config",
                str(listening_config),
            ],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "SYNCD_SQUEEZELY_API_KEY": "sandbox-key"},
        )

    return run


def objects_left(shop: Shop) -> list[tuple[object, ...]]:
    """Return the objects of an installation in the shop's database."""
    return shop.rows(
        "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal UNION ALL "
        "SELECT proname FROM pg_proc WHERE pronamespace = 'syncd'::regnamespace "
        "UNION ALL SELECT relname FROM pg_class WHERE relname LIKE 'outbox%'"
    )


def test_triggers_are_installed_and_removed(shop: Shop, syncd: Syncd) -> None:
    """They are on orders and payments; the removal leaves nothing behind."""
    shop.sql('CREATE TABLE "Pay.ments" ("Order" int, state text)')
    tables = ("--listen", "public.orders:id", "--listen", '"Pay.ments":"Order"')
    printed = syncd("install", "--as", shop.owner, *tables, "--print").stdout
    assert objects_left(shop) == []
    assert printed.startswith("BEGIN;")
    done = syncd("install", "--as", shop.owner, *tables)
    assert done.returncode == 0, done.stderr
    assert "listening to public.orders, by its column id" in done.stdout
    shop.confirm(1)
    shop.sql("INSERT INTO \"Pay.ments\" VALUES (77, 'paid')")
    keys = "SELECT order_key FROM syncd.outbox ORDER BY ctid"
    assert shop.rows(keys) == [("1",), ("77",)]
    assert syncd("install", "--as", shop.owner, *tables).returncode == 0
    assert shop.rows(keys) == [("1",), ("77",)]
    let_go = syncd("uninstall", "--listen", "--as", shop.owner)
    assert let_go.returncode == 0, let_go.stderr
    assert objects_left(shop) == []
    assert shop.has_ledger()
    shop.confirm(1)
    shop.sql(printed)  # by the DBA, as it was shown
    shop.confirm(1)
    assert shop.rows(keys) == [("3",)]
    gone = syncd("uninstall", "--yes", "--as", shop.owner)
    assert gone.returncode == 0, gone.stderr
    assert objects_left(shop) == []
    shop.confirm(1)


AWAY = (
    "CREATE FOREIGN DATA WRAPPER far; CREATE SERVER far FOREIGN DATA WRAPPER far; "
    "CREATE TABLE split (id bigint) PARTITION BY LIST (id); "
    "CREATE FOREIGN TABLE away PARTITION OF split DEFAULT SERVER far"
)
SPLIT = (
    "CREATE TABLE split (id bigint) PARTITION BY LIST (id); "
    "CREATE TABLE part PARTITION OF split DEFAULT"
)
DBA = (
    "CREATE ROLE {role}_dba LOGIN; GRANT CREATE ON DATABASE {database} TO {role}_dba; "
    "GRANT ALL ON ALL TABLES IN SCHEMA syncd TO {role}_dba; "
    "ALTER SCHEMA syncd OWNER TO {role}_dba"
)
BAD: list[tuple[str, str, list[str], int]] = [
    ("", "orders", ["'orders'", "TABLE:KEYCOLUMN", "orders:id"], 78),
    ("", "orders:", ["TABLE:KEYCOLUMN"], 78),
    ("", "no_such:id", ["no table no_such", "double quotes"], 78),
    ("", "nowhere.orders:id", ["no table nowhere.orders"], 78),
    ('CREATE TABLE "Carts" (id bigint)', "Carts:id",
     ["no table Carts", "double quotes"], 78),
    ("", "orders:number", ["no column number", "confirmed_at, email, id"], 78),
    ("", "orders:email", ["orders.email is text", "is bigint", "same key"], 78),
    ("CREATE VIEW shown AS SELECT * FROM orders", "shown:id", ["is a view"], 78),
    (AWAY, "split:id", ["public.away is a foreign table", "below split"], 78),
    (SPLIT, "split:id --listen part:id", ["part twice"], 78),
    (DBA, "orders:id --as-dba", ["may not put triggers on public.orders",
                            "GRANT TRIGGER"], 77),
    ("DROP VIEW syncd.confirmed_orders", "orders:id",
     ["confirmed_orders is missing", "template.sql"], 78),
]  # fmt: skip


@pytest.mark.parametrize(("before", "what", "words", "code"), BAD)
def test_an_unsuitable_table_is_refused_and_nothing_is_installed(
    shop: Shop, syncd: Syncd, before: str, what: str, words: list[str], code: int
) -> None:
    """One line and the next step; a suitable table beside it is not touched either."""
    name = shop.value("SELECT current_database()")
    if before:
        shop.sql(before.replace("{role}", shop.role).replace("{database}", str(name)))
    shop.sql("CREATE TABLE good (id bigint)")
    owner = shop.owner
    if what.endswith(" --as-dba"):
        owner = make_conninfo(shop.owner, user=f"{shop.role}_dba")
        what = what.removesuffix(" --as-dba")
        good: tuple[str, ...] = ()
    else:
        good = ("--listen", "good:id")
    done = syncd("install", "--as", owner, *good, "--listen", *what.split())
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr
    assert objects_left(shop) == []


def test_a_padded_key_type_is_refused(shop: Shop, syncd: Syncd) -> None:
    """A char(8) key is recorded with its padding, so no order would be found."""
    shop.sql(
        "DROP VIEW syncd.confirmed_orders; CREATE VIEW syncd.confirmed_orders AS "
        "SELECT id::text AS order_key, confirmed_at FROM orders;"
        "CREATE TABLE payments (number char(8), order_id varchar)"
    )
    done = syncd("install", "--as", shop.owner, "--listen", "payments:number")
    assert done.returncode == 78
    assert "payments.number is character, but the order_key" in done.stderr
    assert objects_left(shop) == []
    done = syncd("install", "--as", shop.owner, "--listen", "payments:order_id")
    assert done.returncode == 0, done.stderr


def test_a_table_in_use_is_waited_for_only_briefly(shop: Shop, syncd: Syncd) -> None:
    """The shop goes on; nothing is half-installed; the command can be run again."""
    shop.sql("CREATE TABLE payments (order_id bigint)")
    with psycopg.connect(shop.owner) as session:
        session.execute("INSERT INTO payments VALUES (1)")
        tables = ("--listen", "orders:id", "--listen", "payments:order_id")
        done = syncd("install", "--as", shop.owner, *tables)
        assert done.returncode == 75, done.stderr
        assert "nothing was changed" in done.stderr
        assert objects_left(shop) == []
    assert syncd("install", "--as", shop.owner, *tables).returncode == 0


HISTORY = (
    "CREATE TABLE history (id int GENERATED ALWAYS AS IDENTITY, order_id int, "
    "state text, at timestamptz DEFAULT now());"
    "DROP VIEW syncd.confirmed_orders; CREATE VIEW syncd.confirmed_orders AS "
    "SELECT order_id::bigint AS order_key, at AS confirmed_at FROM history "
    "WHERE state = 'paid';"
)


def test_a_column_with_other_values_than_keys_is_refused(
    shop: Shop, syncd: Syncd
) -> None:
    """A history table's own id: a number too, with an example; nothing is created."""
    shop.sql(HISTORY)
    shop.confirm(20)
    shop.sql("INSERT INTO history (order_id, state) SELECT 1 + n / 3, 'paid' "
             "FROM generate_series(0, 59) AS n")  # fmt: skip
    refused = syncd("install", "--as", shop.owner, "--listen", "history:id")
    assert refused.returncode == 78, refused.stdout
    assert "20 of 60 values of id are keys" in refused.stderr
    assert "is none), and 20 of 20 values of order_id" in refused.stderr
    assert objects_left(shop) == []
    for column in ("history:order_id", "orders:id"):
        done = syncd("install", "--as", shop.owner, "--listen", column)
        assert done.returncode == 0, done.stderr


def test_a_column_without_any_key_is_refused(shop: Shop, syncd: Syncd) -> None:
    """It does not matter whether the views read the table; drafts are no reason."""
    shop.confirm(20)
    shop.sql("CREATE TABLE payments (id int, order_id int);"
             "INSERT INTO payments SELECT n + 1000, n FROM generate_series(1, 20) n;"
             "INSERT INTO orders (total) SELECT n FROM generate_series(1, 2000) n;"
             "CREATE OR REPLACE VIEW syncd.purchases AS "
             "SELECT id AS order_key, 'W-' || id AS orderid, email, 'EUR' AS currency, "
             "total AS totalvalue, products FROM orders "
             "WHERE confirmed_at IS NOT NULL")  # fmt: skip
    refused = syncd("install", "--as", shop.owner, "--listen", "payments:id")
    assert refused.returncode == 78, refused.stdout
    assert "0 of 20 values of id are keys" in refused.stderr
    for column in ("payments:order_id", "orders:id"):
        done = syncd("install", "--as", shop.owner, "--listen", column)
        assert done.returncode == 0, done.stderr


def test_the_first_installation_creates_the_schema_and_the_next_step(
    database: str, tmp_path: Path
) -> None:
    """The views are in schema syncd, so it has to exist before them."""
    shop = Shop.at(database)
    shop.sql(TABLES.replace("{role}", shop.role))
    config = shop.configure(tmp_path, "http://127.0.0.1:1/track", {"capture": "listen"})
    command = ("install", "--as", shop.owner, "--listen", "orders:id")
    first = command_line(*command, "--config", config)
    assert first.returncode == 0, first.stderr
    assert "next: create the two views (sql/shops/template.sql)" in first.stdout
    assert "listening to" not in first.stdout
    shop.sql(VIEWS)
    second = command_line(*command, "--config", config)
    assert second.returncode == 0, second.stderr
    assert "listening to orders, by its column id" in second.stdout
    again = command_line(*command, "--print", "--config", config)
    assert again.stdout == "-- nothing is missing\n"


def found(syncd: Syncd, subject: str) -> list[tuple[str, str, str]]:
    """Return what `check` finds about a subject: severity, message, next step."""
    listed = json.loads(syncd("check", "--json").stdout)
    return [
        (f["severity"], f["message"], f["next_step"])
        for f in listed
        if f["subject"] == subject
    ]


def test_check_reports_what_the_triggers_miss(shop: Shop, syncd: Syncd) -> None:
    """Missing, disabled, incomplete, bypassed, unprivileged, in the wrong mode."""
    assert found(syncd, "outbox")[0][:2] == ("error", "does not exist")
    shop.sql(
        "CREATE TABLE sales (id bigint) PARTITION BY LIST (id); "
        "CREATE TABLE sales_1 PARTITION OF sales FOR VALUES IN (1)"
    )
    shop.listen("orders:id", "sales:id")
    assert found(syncd, "triggers on orders") == [("ok", "changes are recorded", "")]
    assert found(syncd, "triggers on sales_1") == [("ok", "changes are recorded", "")]
    assert found(syncd, "outbox")[-1][1] == "0 rows wait to be read"
    shop.sql("CREATE TABLE sales_2 PARTITION OF sales FOR VALUES IN (2)")
    assert found(syncd, "triggers on sales_2")[0][0] == "warning"
    shop.sql("ALTER TABLE orders ENABLE TRIGGER USER")
    assert (
        "but not for session_replication_role"
        in found(syncd, "triggers on orders")[0][1]
    )
    shop.sql("ALTER TABLE orders DISABLE TRIGGER syncd_update_shop")
    severity, message, step = found(syncd, "triggers on orders")[0]
    assert (severity, message) == ("error", "trigger syncd_update_shop is disabled")
    shop.sql(step)
    shop.sql(found(syncd, "triggers on orders")[0][2])
    assert found(syncd, "triggers on orders")[0][0] == "ok"
    shop.sql("DROP TRIGGER syncd_insert_shop ON orders")
    assert found(syncd, "triggers on orders")[0][:2] == (
        "error",
        "one of its two triggers is missing",
    )
    shop.sql(f"REVOKE DELETE ON syncd.outbox FROM {shop.role}")
    assert ("error", "this role may not delete rows from it") in [
        f[:2] for f in found(syncd, "outbox")
    ]


def test_faults_and_outbox_rows_are_shown(shop: Shop, syncd: Syncd) -> None:
    """Both `status` and `check` show them; installing again resets the count."""
    assert "capture" not in syncd("status").stderr
    shop.listen("orders:id")
    syncd("run", "--once")
    shop.confirm(1)
    shop.sql("ALTER TABLE syncd.outbox ADD CHECK (order_key = '') NOT VALID")
    shop.confirm(1)
    shop.sql("ALTER TABLE syncd.outbox DROP CONSTRAINT outbox_order_key_check")
    facts = json.loads(syncd("status", "--json").stdout)
    assert (facts["outbox_rows"], facts["outbox_faults"]) == (1, 1)
    assert "1 changes could not be recorded" in found(syncd, "outbox")[0][1]
    shop.listen("orders:id")
    assert json.loads(syncd("status", "--json").stdout)["outbox_faults"] == 0
    let_go = syncd("uninstall", "--listen", "--as", shop.owner)
    assert let_go.returncode == 0
    refused = syncd("run", "--once")
    assert refused.returncode == 78
    assert "the outbox is not there" in refused.stderr
    assert "syncd install --listen" in refused.stderr
    status = syncd("status", "--json")
    assert "cannot be read" in json.loads(status.stdout)["outbox"]
    assert status.returncode == 2  # down: the last pass was refused


def test_an_outbox_that_nothing_empties_is_reported(
    shop: Shop, syncd: Syncd, listening_config: Path
) -> None:
    """The capture was changed back, the triggers stayed."""
    shop.listen("orders:id")
    listening_config.write_text(
        listening_config.read_text().replace('"listen"', '"poll"')
    )
    severity, message, step = found(syncd, "outbox")[0]
    assert severity == "warning"
    assert "nothing empties it" in message
    assert "syncd uninstall --listen" in step


def test_a_command_wakes_a_listening_daemon(shop: Shop, tmp_path: Path) -> None:
    """It polls the ledger once a minute, but a command takes effect soon."""
    with Sandbox() as sandbox:
        config = shop.configure(tmp_path, sandbox.endpoint, {"capture": "listen"})
        shop.listen("orders:id")
        shop.start(config)
        log = config.with_suffix(".log")
        wait_until(lambda: "daemon.started" in log.read_text())
        (order,) = shop.confirm()
        wait_until(lambda: sandbox.received.posts(order) == 1)
        shop.sql("INSERT INTO orders (confirmed_at, email) VALUES (now(), 'nowhere')")
        wait_until(lambda: shop.rows_of("ledger", state="rejected"))
        shop.sql(
            "ALTER TABLE orders DISABLE TRIGGER ALL"
        )  # so that no notification wakes it
        # Discarded, so that only a person retries it.
        for verb in (["discard", "--yes"], ["retry"]):
            done = command_line("rejected", *verb, "W-2", "--config", str(config))
            assert done.returncode == 0
            shop.sql("UPDATE orders SET email = 'mila@example.com'")
        wait_until(lambda: sandbox.received.posts("W-2") == 1)
