"""A slot must not fill the disk, nor lose its position unnoticed."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest
from support.postgres import Cluster, cluster, standby, wait_until
from support.shop import Shop
from support.wal_harness import (
    QUICK,
    SLOT,
    WAL_SETTINGS,
    WalHarness,
    install_wal,
    opened_shop,
    uninstall_wal,
)

from syncd.capture.tuning import WalTuning
from syncd.capture.wal.monitor import slot_risk
from syncd.capture.wal.slot import Server, Slot, SlotCatalog, slot_name
from syncd.config.configuration import load
from syncd.core.errors import (
    ConfigError,
    DatabaseUnavailableError,
    ExitCode,
    PermissionDeniedError,
    StreamBrokenError,
    SyncdError,
)
from syncd.diagnostics.check.capture import check_following
from syncd.diagnostics.check.finding import Finding
from syncd.postgres.database import Database
from syncd.source.connections import connect

pytestmark = pytest.mark.db

_numbers = count(1)
SEVENTEEN = "SELECT current_setting('server_version_num')::int >= 170000"
FED_BACK = """
SELECT count(*) = 1 FROM pg_replication_slots
 WHERE slot_name = 'physical' AND active AND xmin IS NOT NULL
"""
TAKEN_OVER = """
SELECT count(*) = 1 FROM pg_replication_slots WHERE synced AND NOT temporary
"""
WRITE = "INSERT INTO filler SELECT repeat('x', 1000) FROM generate_series(1, 4000)"


def lose_slot(server: Cluster, shop: Shop) -> None:
    """Write WAL until the server invalidates the slot."""
    shop.sql("CREATE TABLE IF NOT EXISTS filler (text text)")
    server.set("max_slot_wal_keep_size", "1MB")

    def written() -> bool:
        shop.sql(WRITE)
        shop.sql("SELECT pg_switch_wal()")
        shop.sql("CHECKPOINT")
        return shop.value(SLOT.format("wal_status")) == "lost"

    wait_until(written)


def stopping_error(step: Callable[[], object]) -> SyncdError:
    """Step until an error that only a person can fix; return it."""
    raised: list[SyncdError] = []

    def stopped() -> bool:
        try:
            step()
        except DatabaseUnavailableError:
            return False
        except SyncdError as error:
            raised.append(error)
            return True
        return False

    wait_until(stopped)
    return raised[0]


# A lost position


def test_a_lost_slot_stops_capture_with_the_range_to_reconcile(
    tmp_path: Path,
) -> None:
    """A new slot has to be requested; the error says from when on to reconcile."""
    with cluster(WAL_SETTINGS) as server, opened_shop(server, "shop") as shop:
        wal_feed = WalHarness(shop, tmp_path, tuning=QUICK)
        try:
            wal_feed.step_until_read()
            reached_at = shop.row_of("replication_position").reached_at
            wal_feed.wal.close()
            lose_slot(server, shop)
            error = stopping_error(wal_feed.step)
            assert isinstance(error, StreamBrokenError)
            assert "the slot syncd_shop is lost" in str(error)
            since = (reached_at - timedelta(seconds=5)).astimezone(UTC)
            assert f"--from {since:%Y-%m-%dT%H:%M:%SZ}" in error.hint
            assert shop.value(SLOT.format("wal_status")) == "lost"
            with pytest.raises(StreamBrokenError, match="is lost") as refused:
                install_wal(shop, "orders:id")
            assert refused.value.hint == error.hint
            server.set("max_slot_wal_keep_size", "1GB")
            done = install_wal(shop, "orders:id", recreate=True)
            assert f"syncd reconcile --from {since:%Y-%m-%dT%H:%M:%SZ}" in done[-1]
            assert "--recreate-slot" not in done[-1]  # the install just did that
            shop.confirm(1)
            wal_feed.step_until_admitted(1)
        finally:
            wal_feed.close()


def test_a_slot_that_is_lost_while_it_is_read_stops_capture(tmp_path: Path) -> None:
    """The server ends the connection; the next check of the slot gives the reason."""
    with cluster(WAL_SETTINGS) as server, opened_shop(server, "shop") as shop:
        wal_feed = WalHarness(shop, tmp_path, tuning=WalTuning(note_seconds=1000))
        try:
            wal_feed.step(1)
            lose_slot(server, shop)
            assert "is lost" in str(stopping_error(lambda: wal_feed.step(0.05)))
        finally:
            wal_feed.close()


def test_a_dropped_slot_stops_capture(wal_feed: WalHarness) -> None:
    """The command `install` does not hide that by creating a new one."""
    wal_feed.wal.close()
    wait_until(lambda: wal_feed.value(SLOT.format("NOT active")))
    wal_feed.shop.sql(SLOT.format("pg_drop_replication_slot(slot_name)"))
    assert "is gone" in str(stopping_error(wal_feed.step))
    with pytest.raises(StreamBrokenError, match="is gone"):
        install_wal(wal_feed.shop, "orders:id")
    install_wal(wal_feed.shop, "orders:id", recreate=True)
    wal_feed.shop.confirm(1)
    wal_feed.step_until_admitted(1)


def test_a_recreated_slot_stops_capture(wal_feed: WalHarness) -> None:
    """It is ahead of the ledger: nobody received the changes in between."""
    wal_feed.wal.close()
    wait_until(lambda: wal_feed.value(SLOT.format("NOT active")))
    wal_feed.shop.sql(SLOT.format("pg_drop_replication_slot(slot_name)"))
    wal_feed.shop.confirm(1)
    wal_feed.shop.sql(
        "SELECT pg_create_logical_replication_slot('syncd_shop', 'pgoutput')"
    )
    error = stopping_error(wal_feed.step)
    assert "is further than the ledger" in str(error)
    assert "--recreate-slot" in error.hint
    assert wal_feed.admitted() == 0


def test_a_missing_publication_stops_capture(wal_feed: WalHarness) -> None:
    """It stops while the slot is read as well; the shop's writes succeed."""
    wal_feed.retune(guard_seconds=0)
    wal_feed.step_until(lambda: wal_feed.wal.is_open)
    wal_feed.shop.sql("DROP PUBLICATION syncd_shop")
    wal_feed.shop.confirm(1)
    error = stopping_error(lambda: wal_feed.step(0.5))
    assert "publication" in str(error)
    assert "--recreate-slot" in error.hint
    again = stopping_error(lambda: wal_feed.step(0.5))
    assert "the publication syncd_shop is missing" in str(again)


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        (
            "ALTER PUBLICATION syncd_shop SET (publish = 'insert')",
            "is not as syncd made",
        ),
        ("COMMENT ON PUBLICATION syncd_shop IS 'ours'", "has lost its note"),
        ("COMMENT ON PUBLICATION syncd_shop IS NULL", "has lost its note"),
    ],
)
def test_a_changed_publication_stops_capture(
    wal_feed: WalHarness, statement: str, message: str
) -> None:
    """Otherwise updates would be missed, or keys be unknown."""
    wal_feed.wal.close()
    wal_feed.shop.sql(statement)
    with pytest.raises(ConfigError, match=message):
        wal_feed.step()


def test_a_renamed_key_column_stops_capture(wal_feed: WalHarness) -> None:
    """Otherwise nothing would be read; a renamed table is still followed."""
    wal_feed.shop.sql("ALTER TABLE orders RENAME TO orders_2")
    wal_feed.shop.sql("INSERT INTO orders_2 (confirmed_at) VALUES (now())")
    wal_feed.step_until_admitted(1)
    wal_feed.shop.sql("ALTER TABLE orders_2 RENAME id TO number")
    wal_feed.shop.sql("INSERT INTO orders_2 (confirmed_at) VALUES (now())")
    error = stopping_error(lambda: wal_feed.step(0.5))
    assert "public.orders_2 has no column id" in str(error)
    assert "--from" in error.hint


# Unsuitable servers


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"wal_level": "replica"}, "wal_level is replica, wal needs logical"),
        ({"max_slot_wal_keep_size": "-1"}, "max_slot_wal_keep_size is unlimited"),
        ({"max_replication_slots": "0"}, "no room for another slot"),
    ],
)
def test_an_unsuitable_server_is_refused_and_nothing_is_created(
    settings: dict[str, str], message: str, tmp_path: Path
) -> None:
    """`install` and `check` name the setting."""
    with ExitStack() as stack:
        server = stack.enter_context(cluster(WAL_SETTINGS | settings))
        shop = stack.enter_context(opened_shop(server, "shop"))
        with pytest.raises(ConfigError, match=message) as raised:
            install_wal(shop, "orders:id")
        assert raised.value.hint
        assert shop.value("SELECT count(*) FROM pg_publication") == 0
        shop.sql("UPDATE orders SET email = ''")
        if "room" not in message:
            assert message in str(findings(shop, tmp_path)[-1])


def test_capture_refuses_to_start_without_a_limit(
    wal_server: Cluster, wal_feed: WalHarness
) -> None:
    """When the limit is removed later, capture goes on and reports it."""
    wal_feed.retune(guard_seconds=0)
    wal_feed.step_until(lambda: wal_feed.wal.is_open)
    wal_server.set("max_slot_wal_keep_size", "-1")
    try:
        wait_until(
            lambda: wal_server.holds(
                "SELECT current_setting('max_slot_wal_keep_size') = '-1'"
            )
        )
        wal_feed.step()
        assert "unlimited" in str(wal_feed.events("slot.at_risk"))
        wal_feed.wal.close()
        with pytest.raises(ConfigError, match="unlimited"):
            wal_feed.step()
    finally:
        wal_server.set("max_slot_wal_keep_size", "1GB")


def test_a_slot_that_retains_much_wal_is_reported(tmp_path: Path) -> None:
    """The report begins at half of what the slot may retain."""
    with ExitStack() as stack:
        server = stack.enter_context(
            cluster(WAL_SETTINGS | {"max_slot_wal_keep_size": "64MB"})
        )
        shop = stack.enter_context(opened_shop(server, "shop"))
        wal_feed = WalHarness(shop, tmp_path, tuning=WalTuning(guard_seconds=0))
        wal_feed.step()
        assert not wal_feed.events("slot.at_risk")
        wal_feed.wal.close()
        shop.sql("CREATE TABLE filler (text text)")
        wait_until(lambda: write_wal(shop) > 40_000_000)
        wal_feed.step(0.0)
        (line, *_) = wal_feed.events("slot.at_risk")
        assert "of max_slot_wal_keep_size" in str(line["reason"])
        assert line["wal_status"] in {"reserved", "extended"}
        wal_feed.close()


def write_wal(shop: Shop) -> int:
    """Write some WAL; return how much the slot retains."""
    shop.sql(WRITE)
    kept = shop.value(SLOT.format("(pg_current_wal_lsn() - restart_lsn)::bigint"))
    assert isinstance(kept, int)
    return kept


SERVER = Server(
    version=180_000,
    in_recovery=False,
    wal_level="logical",
    kept_megabytes=100,
    idle_seconds=0,
    has_room=True,
    now=datetime.now(UTC),
)
KEPT = Slot(
    plugin="pgoutput",
    database="shop",
    is_here=True,
    active_pid=None,
    wal_status="reserved",
    invalidation=None,
    confirmed=0,
    retained=49 << 20,
    safe=None,
    failover=False,
    synced=False,
)


def test_slots_at_risk_are_recognised() -> None:
    """No limit, beyond the limit, or at half of it."""
    over = replace(KEPT, wal_status="unreserved")
    assert slot_risk(SERVER, KEPT) is None
    assert slot_risk(SERVER, replace(KEPT, retained=50 << 20)) == (
        "it keeps 50% of max_slot_wal_keep_size"
    )
    assert "next checkpoint" in str(slot_risk(SERVER, over))
    assert "unlimited" in str(slot_risk(replace(SERVER, kept_megabytes=-1), KEPT))


def test_a_hot_standby_and_a_slot_of_another_plugin_are_refused() -> None:
    """Both errors have a next step."""
    with pytest.raises(ConfigError, match="hot standby"):
        replace(SERVER, in_recovery=True).check()
    slots = SlotCatalog(Database(""), "shop")
    with pytest.raises(ConfigError, match="plugin wal2json"):
        slots.refuse_foreign(replace(KEPT, plugin="wal2json"))


def test_two_databases_do_not_share_a_slot(wal_server: Cluster, wal_shop: Shop) -> None:
    """Slots belong to the server: a second feed of the same name is refused."""
    install_wal(wal_shop, "orders:id")
    with opened_shop(wal_server, f"u{next(_numbers)}") as other:
        with pytest.raises(ConfigError, match="belongs to database"):
            install_wal(other, "orders:id")
        assert other.value("SELECT count(*) FROM pg_publication") == 0
        assert uninstall_wal(other) == []
    assert wal_shop.value(SLOT.format("count(*)")) == 1


@pytest.mark.parametrize(
    ("feed", "name"),
    [
        ("shop", "syncd_shop"),
        ("shop_2", "syncd_shop_2"),
        ("Shop", "syncd_shop_"),
        ("shop.nl", "syncd_shop_nl_"),
        ("shop-nl", "syncd_shop_nl_"),
        ("a" * 63, "syncd_aaaa"),
    ],
)
def test_every_feed_has_a_slot_name_of_its_own(feed: str, name: str) -> None:
    """It has only characters that PostgreSQL allows; similar feeds stay distinct."""
    made = slot_name(feed)
    assert made.startswith(name)
    assert len(made) <= 63
    assert made == made.lower()
    assert len({slot_name(f) for f in ("Shop", "shop", "shop.nl", "shop-nl")}) == 4


# Findings of check


def findings(shop: Shop, folder: Path) -> list[Finding | SyncdError]:
    config = shop.configure(folder, "http://127.0.0.1:9/x", {"capture": "wal"})
    settings = load(config, {"SYNCD_SQUEEZELY_API_KEY": "sandbox-key"})
    connections = connect(settings, "cli")
    found: list[Finding | SyncdError] = []
    try:
        found.extend(check_following(settings, connections))
    except SyncdError as error:
        found.append(error)
    finally:
        connections.close()
    return found


def test_check_reports_the_followed_tables_and_every_problem(
    wal_feed: WalHarness, tmp_path: Path
) -> None:
    """Slot, reader, tables, and each problem with its fix."""
    wal_feed.shop.sql("CREATE TABLE t (id bigint PRIMARY KEY)")
    messages = json.dumps([str(f) for f in findings(wal_feed.shop, tmp_path)])
    assert "syncd_shop: reserved" in messages
    assert "public.orders, key column id" in messages
    assert "warning" not in messages
    wal_feed.shop.sql("ALTER PUBLICATION syncd_shop ADD TABLE t")
    wal_feed.shop.sql("ALTER TABLE orders REPLICA IDENTITY NOTHING")
    wal_feed.wal.close()
    wait_until(lambda: wal_feed.value(SLOT.format("NOT active")))
    messages = json.dumps([str(f) for f in findings(wal_feed.shop, tmp_path)])
    assert "orders has REPLICA IDENTITY NOTHING" in messages
    assert "ALTER PUBLICATION syncd_shop DROP TABLE public.orders;" in messages
    assert "public.t is published, but syncd does not know its key" in messages
    assert "no process reads it" in messages


def test_check_reports_a_missing_slot_and_a_missing_privilege(
    wal_shop: Shop, tmp_path: Path
) -> None:
    """Each finding has its next step."""
    (missing,) = findings(wal_shop, tmp_path)
    assert "there is no slot syncd_shop" in str(missing)
    install_wal(wal_shop, "orders:id")
    wal_shop.sql(f"ALTER ROLE {wal_shop.role} NOREPLICATION")
    *_, refused = findings(wal_shop, tmp_path)
    assert isinstance(refused, PermissionDeniedError)
    assert "may not read a replication slot" in str(refused)
    assert "superuser" in refused.hint


def test_a_slot_is_synchronised_to_standbys_where_supported(
    wal_shop: Shop, tmp_path: Path
) -> None:
    """PostgreSQL 17 and later; a slot that is not is reported."""
    install_wal(wal_shop, "orders:id")
    if int(str(wal_shop.value("SHOW server_version_num"))) < 170_000:
        pytest.skip("no failover slots before PostgreSQL 17")
    assert wal_shop.value(SLOT.format("failover")) is True
    wal_shop.sql(SLOT.format("pg_drop_replication_slot(slot_name)"))
    wal_shop.sql("SELECT pg_create_logical_replication_slot('syncd_shop', 'pgoutput')")
    assert "does not survive a failover" in str(findings(wal_shop, tmp_path))


@contextmanager
def standby_with_slots(primary: Cluster, dsn: str) -> Iterator[Cluster]:
    """Run a standby that can synchronise the slots of its primary."""
    primary.sql("SELECT pg_create_physical_replication_slot('physical', true)")
    with standby(primary) as other:
        other.set("primary_slot_name", "physical")
        other.set("primary_conninfo", f"{dsn} application_name=standby")
        other.set("hot_standby_feedback", "on")
        other.set("sync_replication_slots", "on")
        wait_until(lambda: primary.holds(FED_BACK))
        yield other


def synchronise_slot(primary: Cluster, other: Cluster, wal_feed: WalHarness) -> None:
    """Copy the slot to the standby; it persists once both have its WAL."""

    def is_there() -> bool:
        primary.sql("SELECT pg_log_standby_snapshot()")
        wal_feed.step_until_read()
        return other.holds(TAKEN_OVER)

    wait_until(is_there)


def test_capture_continues_from_the_slot_after_a_failover(tmp_path: Path) -> None:
    """The promoted standby has the slot; a gap in the ledger is reported."""
    with cluster(WAL_SETTINGS) as primary:
        if not primary.holds(SEVENTEEN):
            pytest.skip("no failover slots before PostgreSQL 17")
        primary.sql("CREATE DATABASE shop")
        wal_feed = WalHarness(Shop.open(primary.dsn("shop")), tmp_path, tuning=QUICK)
        with standby_with_slots(primary, primary.dsn("shop")) as other:
            wal_feed.shop.confirm(1)
            wal_feed.step_until_admitted(1)
            synchronise_slot(primary, other, wal_feed)
            wal_feed.shop.confirm(1)
            wal_feed.close()
            primary.stop("immediate")
            other.promote()
            there = Shop.at(other.dsn("shop"))
            moved = WalHarness(there, tmp_path, tables=(), tuning=QUICK)
            moved.step_until_admitted(2)
            assert not moved.events("stream.gap_detected")
            moved.close()
            moved.shop.update("replication_position", {"reached": "0/1"})
            moved.shop.confirm(1)
            moved.step_until_admitted(3)
            assert moved.events("stream.gap_detected")
            moved.close()


def test_errors_that_only_a_person_can_fix_prevent_a_restart() -> None:
    """The unit tells systemd not to restart on this exit code."""
    assert StreamBrokenError.exit_code is ExitCode.CONFIG
