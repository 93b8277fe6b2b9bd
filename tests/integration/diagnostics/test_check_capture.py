"""What `syncd check` finds about captures and the ledger: triggers, outbox, slot."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict
from support.checks import CheckRunner
from support.feed_harness import ago
from support.postgres import Cluster, cluster
from support.shop import Shop
from support.wal_harness import WAL_SETTINGS, install_wal, opened_shop

from syncd.capture.wal.slot import Server, SlotCatalog
from syncd.diagnostics.check import capture

pytestmark = pytest.mark.db

_numbers = count(1)
LISTEN = {"capture": "listen"}


def codes_of(inspector: CheckRunner, section: str) -> set[str]:
    return {f.code for f in inspector.findings() if f.section == section}


def test_triggers_without_a_fault_are_reported_as_firing(
    notifying_shop: Shop, tmp_path: Path
) -> None:
    """The server has no prepared transactions, so that NOTIFY works."""
    inspector = CheckRunner(notifying_shop, tmp_path, LISTEN)
    assert codes_of(inspector, "Capture") == {"outbox.missing"}
    notifying_shop.listen("orders:id")
    assert codes_of(inspector, "Capture") == {"trigger.fires", "outbox.ready"}


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        (
            "ALTER TABLE orders ENABLE TRIGGER USER",
            "trigger.origin",
            "but not for session_replication_role",
        ),
        (
            "ALTER TABLE orders DISABLE TRIGGER syncd_insert_shop",
            "trigger.disabled",
            "syncd_insert_shop is disabled",
        ),
        (
            "DROP TRIGGER syncd_insert_shop ON orders",
            "trigger.missing",
            "one of its two triggers is missing",
        ),
        (
            (
                "DROP TRIGGER syncd_insert_shop ON orders; "
                "DROP TRIGGER syncd_update_shop ON orders"
            ),
            "trigger.missing",
            "this feed has none",
        ),
        (
            "CREATE TABLE heir () INHERITS (orders)",
            "trigger.escaped",
            "written directly into it",
        ),
        (
            (
                "CREATE FOREIGN DATA WRAPPER far; "
                "CREATE SERVER far FOREIGN DATA WRAPPER far; "
                "CREATE FOREIGN TABLE away () INHERITS (orders) SERVER far"
            ),
            "trigger.foreign",
            "writes to it fail",
        ),
        (
            "ALTER DATABASE {database} SET session_replication_role = 'replica'",
            "trigger.replica",
            "every role in",
        ),
        (
            (
                "ALTER TABLE syncd.outbox ADD CHECK (order_key = '') NOT VALID; "
                "INSERT INTO orders (confirmed_at) VALUES (now())"
            ),
            "outbox.faults",
            "1 changes could not be recorded",
        ),
        (
            "REVOKE DELETE ON syncd.outbox FROM {role}",
            "outbox.missing",
            "may not delete",
        ),
    ],
)
def test_what_prevents_a_change_from_being_recorded_is_found(
    notifying_shop: Shop, tmp_path: Path, change: str, code: str, words: str
) -> None:
    """The finding has the table and the statement or command that fixes it."""
    notifying_shop.listen("orders:id")
    inspector = CheckRunner(notifying_shop, tmp_path, LISTEN)
    assert code not in inspector.codes()
    database = conninfo_to_dict(notifying_shop.owner)["dbname"]
    notifying_shop.sql(change.format(role=notifying_shop.role, database=database))
    found = inspector.of(code)
    assert any(words in f.message and f.next_step for f in found), found


def test_a_subscription_that_fills_a_table_is_found(
    notifying_shop: Shop, tmp_path: Path
) -> None:
    """The subscription's changes fire no statement trigger."""
    notifying_shop.listen("orders:id")
    notifying_shop.sql(
        "CREATE SUBSCRIPTION filling CONNECTION 'host=/nowhere' PUBLICATION p "
        "WITH (connect = false, slot_name = NONE)"
    )
    notifying_shop.sql(
        "INSERT INTO pg_subscription_rel (srsubid, srrelid, srsubstate) "
        "SELECT oid, 'orders'::regclass, 'r' FROM pg_subscription"
    )
    found = CheckRunner(notifying_shop, tmp_path, LISTEN).one("trigger.subscribed")
    assert "filled by a subscription" in found.message
    notifying_shop.sql("DROP SUBSCRIPTION filling")


def test_missing_notifications_and_an_abandoned_outbox_are_reported(
    shop: Shop, tmp_path: Path
) -> None:
    """Prepared transactions are allowed here; later the capture is changed."""
    shop.listen("orders:id")
    assert "outbox.no_notifications" in CheckRunner(shop, tmp_path, LISTEN).codes()
    assert "outbox.abandoned" in CheckRunner(shop, tmp_path).codes()


# The WAL


@pytest.fixture(scope="module")
def logical() -> Iterator[Cluster]:
    """A server whose slots may retain 1 GB."""
    with cluster(WAL_SETTINGS) as running:
        yield running


@pytest.fixture
def followed(logical: Cluster, tmp_path: Path) -> Iterator[CheckRunner]:
    """A shop whose WAL has a slot, which nothing reads yet."""
    with opened_shop(logical, f"w{next(_numbers)}") as shop:
        install_wal(shop, "orders:id")
        yield CheckRunner(shop, tmp_path, {"capture": "wal"})


def test_slot_and_publication_are_checked(followed: CheckRunner) -> None:
    """How much WAL is retained, which tables are followed, who reads."""
    assert {"slot.reserved", "slot.unread", "publication.followed"} <= codes_of(
        followed, "Capture"
    )
    assert "bytes of WAL" in followed.one("slot.reserved").message
    shop = followed.shop
    shop.sql("CREATE TABLE t (id bigint PRIMARY KEY)")
    shop.sql("ALTER PUBLICATION syncd_shop ADD TABLE t")
    assert "public.t" in followed.one("publication.keyless").message
    shop.sql("ALTER TABLE orders REPLICA IDENTITY NOTHING")
    problem = followed.one("publication.harmful")
    assert "REPLICA IDENTITY NOTHING" in problem.message
    assert "ALTER PUBLICATION syncd_shop DROP TABLE" in problem.next_step


def test_published_whole_rows_are_reported(followed: CheckRunner) -> None:
    """They include personal data."""
    followed.shop.sql("ALTER PUBLICATION syncd_shop SET TABLE orders")
    assert "whole rows" in followed.one("publication.whole").message


def test_a_slot_at_risk_is_reported(
    followed: CheckRunner, logical: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Near its limit; dropped when idle; left behind by a failover."""
    if logical.holds("SELECT current_setting('server_version_num')::int >= 170000"):
        shop = followed.shop
        shop.sql("SELECT pg_drop_replication_slot('syncd_shop')")
        shop.sql("SELECT pg_create_logical_replication_slot('syncd_shop', 'pgoutput')")
        assert "slot.stays_behind" in followed.codes()
    server = SlotCatalog.server

    def with_idle_timeout(slots: SlotCatalog) -> Server:
        return replace(server(slots), idle_seconds=60)

    with monkeypatch.context() as patch:
        patch.setattr(SlotCatalog, "server", with_idle_timeout)
        assert "after 60 s" in followed.one("slot.dropped_when_idle").message
    with monkeypatch.context() as patch:
        patch.setattr(capture, "slot_risk", lambda _server, _slot: "it keeps 80 %")
        assert "80 %" in followed.one("slot.at_risk").message


def test_an_abandoned_slot_is_reported(followed: CheckRunner, tmp_path: Path) -> None:
    """The capture was changed."""
    inspector = CheckRunner(followed.shop, tmp_path)
    assert "syncd uninstall --wal" in inspector.one("slot.abandoned").next_step


# The ledger


def test_a_ledger_of_another_database_is_a_copy(shop: Shop, tmp_path: Path) -> None:
    """It must not send; the finding names the command for a ledger that was moved."""
    inspector = CheckRunner(shop, tmp_path)
    identity = "system_identifier", "database_oid", "ledger_identifier", "ledger_oid"
    now = ago()
    shop.insert(
        "feed", feed="shop", started_at=now, floor_at=now, **dict.fromkeys(identity, 1)
    )
    assert "syncd confirm-move" in inspector.one("ledger.copied").next_step
