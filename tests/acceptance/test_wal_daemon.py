"""The real daemon, installed for and run with capture `wal`."""

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from itertools import count
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from support.command import syncd
from support.postgres import Cluster, cluster, wait_until
from support.shop import Shop
from support.wal_harness import SLOT, WAL_SETTINGS, opened_shop

from syncd.demo.sandbox import Sandbox

pytestmark = pytest.mark.db

_numbers = count(1)


def configured(shop: Shop, folder: Path, sandbox: Sandbox) -> Path:
    return shop.configure(folder, sandbox.endpoint, {"capture": "wal"})


def install(shop: Shop, config: Path, *more: str) -> subprocess.CompletedProcess[str]:
    tables = ("--wal", "orders:id", "--role", shop.role)
    return syncd("install", "--as", shop.owner, *tables, *more, "--config", config)


def test_installing_creates_what_it_prints(
    wal_shop: Shop, sandbox: Sandbox, tmp_path: Path
) -> None:
    """Before that the daemon reports what is missing; `--print` changes nothing."""
    config = configured(wal_shop, tmp_path, sandbox)
    refused = syncd("run", "--config", config)
    assert refused.returncode == 78
    assert "syncd install --wal" in refused.stderr
    printed = install(wal_shop, config, "--print").stdout
    assert "CREATE PUBLICATION" in printed
    assert "pg_create_logical_replication_slot('syncd_shop', 'pgoutput'" in printed
    assert wal_shop.value("SELECT count(*) FROM pg_publication") == 0
    done = install(wal_shop, config)
    assert done.returncode == 0, done.stderr
    assert "slot syncd_shop" in done.stdout
    assert wal_shop.value("SELECT count(*) FROM pg_publication") == 1


@pytest.mark.parametrize("has_right", [False, True])
def test_a_role_without_a_privilege_installs_nothing(
    wal_shop: Shop, sandbox: Sandbox, tmp_path: Path, *, has_right: bool
) -> None:
    """No ledger without its publication; the message names who may do it."""
    config = configured(wal_shop, tmp_path, sandbox)
    syncd("uninstall", "--yes", "--as", wal_shop.owner, "--config", config)
    dba = f"{wal_shop.role}_dba"
    database = wal_shop.value("SELECT current_database()")
    wal_shop.sql(
        f"CREATE ROLE {dba} LOGIN; ALTER SCHEMA syncd OWNER TO {dba};"
        f"ALTER VIEW syncd.confirmed_orders OWNER TO {dba};"
        f"ALTER VIEW syncd.purchases OWNER TO {dba};"
        f"ALTER TABLE orders OWNER TO {dba};"
        f"GRANT CREATE ON DATABASE {database} TO {dba}"
    )
    if has_right:  # the daemon's role, but not who installs
        wal_shop.sql(f"ALTER ROLE {wal_shop.role} REPLICATION")
    tables = ("--wal", "orders:id", "--role", wal_shop.role, "--config", config)
    done = syncd("install", "--as", make_conninfo(wal_shop.owner, user=dba), *tables)
    assert done.returncode == 77
    assert "superuser" in done.stderr
    assert wal_shop.value("SELECT count(*) FROM pg_publication") == 0
    assert wal_shop.has_ledger() == has_right


def test_a_wal_feed_is_run_checked_and_uninstalled(
    wal_shop: Shop, sandbox: Sandbox, tmp_path: Path
) -> None:
    """Every order by way of the WAL; no uninstall under a running daemon."""
    config = configured(wal_shop, tmp_path, sandbox)
    install(wal_shop, config)
    daemon = wal_shop.start(config)
    log = config.with_suffix(".log")
    wait_until(lambda: "stream.opened" in log.read_text())
    wal_shop.confirm(250)
    wait_until(lambda: sandbox.received.totals.orderids == 250)
    assert sandbox.received.totals.repeats == 0
    assert wal_shop.captures() == {"wal"}
    checked = syncd("check", "--config", config).stdout
    assert "slot: syncd_shop: reserved" in checked
    assert "public.orders, key column id" in checked
    facts = json.loads(syncd("status", "--json", "--config", config).stdout)
    assert (facts["slot_lost"], facts["slot_wal_status"]) == (None, "reserved")
    assert facts["slot_read_by_pid"]
    out = ("uninstall", "--yes", "--as", wal_shop.owner, "--config", config)
    assert "a daemon of feed shop runs" in syncd(*out).stderr
    daemon.terminate()
    assert daemon.wait(60) == 0
    wait_until(lambda: wal_shop.value(SLOT.format("NOT active")))
    assert "dropped: slot syncd_shop" in syncd(*out).stdout
    assert wal_shop.value("SELECT count(*) FROM pg_publication") == 0
    assert wal_shop.value("SELECT count(*) FROM pg_replication_slots") == 0


@pytest.mark.parametrize("capture", ["poll", "listen"])
def test_an_unread_slot_is_reported_and_removed(
    wal_shop: Shop, sandbox: Sandbox, tmp_path: Path, capture: str
) -> None:
    """The capture was changed, the slot stayed; the ledger is kept."""
    config = configured(wal_shop, tmp_path, sandbox)
    install(wal_shop, config)
    assert syncd("run", "--once", "--config", config).returncode == 0
    config.write_text(config.read_text().replace('"wal"', f'"{capture}"'))
    checked = syncd("check", "--config", config).stdout
    assert 'capture is not "wal": nothing reads it' in checked
    assert "syncd uninstall --wal" in checked
    out = ("uninstall", "--wal", "--as", wal_shop.owner, "--config", config)
    assert "pg_drop_replication_slot" in syncd(*out, "--print").stdout
    assert "dropped: slot syncd_shop" in syncd(*out).stdout
    assert wal_shop.value("SELECT count(*) FROM pg_publication") == 0
    assert "nothing reads it" not in syncd("check", "--config", config).stdout
    assert wal_shop.count("feed") == 1


def test_run_once_reads_the_slot_to_its_end(
    wal_shop: Shop, sandbox: Sandbox, tmp_path: Path
) -> None:
    """A slot read from cron then does not retain WAL for ever."""
    config = configured(wal_shop, tmp_path, sandbox)
    install(wal_shop, config)
    assert syncd("run", "--once", "--config", config).returncode == 0
    wal_shop.confirm(3)
    wal_shop.sql("CREATE TABLE other AS SELECT generate_series(1, 100000)")
    end = wal_shop.value("SELECT (pg_current_wal_lsn() - '0/0')::bigint")
    assert syncd("run", "--once", "--config", config).returncode == 0
    assert sandbox.received.totals.orderids == 3
    assert wal_shop.captures() == {"wal"}
    assert wal_shop.value(SLOT.format(f"confirmed_flush_lsn - '0/0' >= {end}")) is True


def test_a_lost_slot_ends_the_daemon_with_one_clear_line(
    wal_shop: Shop, sandbox: Sandbox, tmp_path: Path
) -> None:
    """Log, exit code and `status` report it, with the next step."""
    config = configured(wal_shop, tmp_path, sandbox)
    install(wal_shop, config)
    syncd("run", "--once", "--config", config)
    wait_until(lambda: wal_shop.value(SLOT.format("NOT active")))
    wal_shop.sql(SLOT.format("pg_drop_replication_slot(slot_name)"))
    ended = syncd("run", "--config", config)
    assert ended.returncode == 78
    assert "the slot syncd_shop is gone: orders may have been missed" in ended.stderr
    assert "wal.unusable" in ended.stderr
    assert "syncd reconcile --from" in ended.stderr
    status = syncd("status", "--json", "--config", config)
    assert status.returncode == 2
    assert json.loads(status.stdout)["slot_lost"] == "there is none"
    again = install(wal_shop, config, "--recreate-slot")
    assert "syncd reconcile --from" in again.stdout
    assert syncd("run", "--once", "--config", config).returncode == 0


def test_a_slot_is_not_recreated_without_its_tables(
    wal_shop: Shop, sandbox: Sandbox, tmp_path: Path
) -> None:
    """The tables to publish would be unknown."""
    config = configured(wal_shop, tmp_path, sandbox)
    refused = syncd(
        "install", "--as", wal_shop.owner, "--recreate-slot", "--config", config
    )
    assert refused.returncode == 78
    assert "--recreate-slot needs --wal" in refused.stderr


@pytest.mark.parametrize("is_running", [True, False])
def test_a_server_with_a_wrong_setting_is_waited_for(
    wal_server: Cluster,
    wal_shop: Shop,
    sandbox: Sandbox,
    tmp_path: Path,
    *,
    is_running: bool,
) -> None:
    """The feed waits at a start or while reading; `status` names the setting."""
    config = configured(wal_shop, tmp_path, sandbox)
    install(wal_shop, config)
    assert syncd("run", "--once", "--config", config).returncode == 0
    wait_until(lambda: wal_shop.value(SLOT.format("NOT active")))
    log = config.with_suffix(".log")
    daemon = wal_shop.start(config) if is_running else None
    if daemon:
        wait_until(lambda: "stream.opened" in log.read_text())
    wal_server.set("max_slot_wal_keep_size", "-1")
    try:
        if daemon:
            wal_shop.sql(SLOT.format("pg_terminate_backend(active_pid)"))
        daemon = daemon or wal_shop.start(config)
        wait_until(lambda: "views.unavailable" in log.read_text())
        assert "max_slot_wal_keep_size is unlimited" in log.read_text()
        wait_until(lambda: "max_slot_wal_keep_size is unlimited" in status(config))
        assert daemon.poll() is None
    finally:
        wal_server.set("max_slot_wal_keep_size", "1GB")
    opened = log.read_text().count("stream.opened")
    wait_until(lambda: log.read_text().count("stream.opened") > opened)
    wal_shop.confirm(3)
    wait_until(lambda: sandbox.received.totals.orderids == 3)
    daemon.terminate()
    assert daemon.wait(60) == 0


def status(config: Path) -> str:
    """Return what `status` shows, in one line."""
    return " ".join(syncd("status", "--config", config).stdout.split())


@contextmanager
def take_all_senders(shop: Shop) -> Iterator[None]:
    """Take every WAL sender of the server for other replication."""
    senders = int(str(shop.value("SHOW max_wal_senders")))
    dsn = make_conninfo(shop.owner, replication="true")
    with ExitStack() as others:
        for _ in range(senders):
            with suppress(psycopg.OperationalError):
                others.enter_context(psycopg.connect(dsn, autocommit=True))
        yield


@contextmanager
def revoke_replication(shop: Shop) -> Iterator[None]:
    """Revoke the role's right to replicate."""
    shop.sql(f"ALTER ROLE {shop.role} NOREPLICATION")
    try:
        yield
    finally:
        shop.sql(f"ALTER ROLE {shop.role} REPLICATION")


@pytest.mark.parametrize("is_running", [True, False])
@pytest.mark.parametrize(
    ("trouble", "words"),
    [(take_all_senders, "max_wal_senders"), (revoke_replication, "REPLICATION")],
    ids=["senders", "right"],
)
def test_a_feed_that_temporarily_cannot_replicate_waits(
    wal_shop: Shop,
    sandbox: Sandbox,
    tmp_path: Path,
    trouble: Callable[[Shop], AbstractContextManager[None]],
    words: str,
    *,
    is_running: bool,
) -> None:
    """It waits at a start or while reading: `status` reports it."""
    config = configured(wal_shop, tmp_path, sandbox)
    install(wal_shop, config)
    assert syncd("run", "--once", "--config", config).returncode == 0
    wait_until(lambda: wal_shop.value(SLOT.format("NOT active")))
    log = config.with_suffix(".log")
    daemon = wal_shop.start(config) if is_running else None
    if daemon:
        wait_until(lambda: "stream.opened" in log.read_text())
    with ExitStack() as lasting:
        if daemon and trouble is take_all_senders:
            wal_shop.sql(SLOT.format("pg_terminate_backend(active_pid)"))
        lasting.enter_context(trouble(wal_shop))
        if daemon:
            wal_shop.sql(SLOT.format("pg_terminate_backend(active_pid)"))
        daemon = daemon or wal_shop.start(config)
        wait_until(lambda: words.lower() in log.read_text().lower())
        wait_until(lambda: words.lower() in status(config).lower())
        assert syncd("status", "--config", config).returncode != 0
        assert daemon.poll() is None
    opened = log.read_text().count("stream.opened")
    wait_until(lambda: log.read_text().count("stream.opened") > opened)
    wal_shop.confirm(3)
    wait_until(lambda: sandbox.received.totals.orderids == 3)
    daemon.terminate()
    assert daemon.wait(60) == 0


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"wal_level": "replica"}, "wal_level is replica"),
        ({"max_slot_wal_keep_size": "-1"}, "max_slot_wal_keep_size is unlimited"),
    ],
    ids=["level", "limit"],
)
def test_a_first_start_on_an_unsuitable_server_is_refused(
    tmp_path: Path, sandbox: Sandbox, settings: dict[str, str], words: str
) -> None:
    """Both check and the daemon name the setting and its value."""
    with cluster({**WAL_SETTINGS, **settings}) as unfit:
        unfit.sql("CREATE DATABASE shop")
        shop = Shop.open(unfit.dsn("shop"))
        config = configured(shop, tmp_path, sandbox)
        checked = syncd("check", "--config", config)
        assert checked.returncode == 78
        assert words in " ".join(checked.stdout.split())
        refused = syncd("run", "--config", config)
        assert refused.returncode == 78
        assert words in refused.stderr
        assert "wal.misconfigured" in refused.stderr
        installed = install(shop, config)
        assert installed.returncode == 78
        assert words in installed.stderr


def test_no_slot_is_created_where_none_is_free(
    tmp_path: Path, sandbox: Sandbox
) -> None:
    """The limit is named, and nothing is created."""
    with cluster({**WAL_SETTINGS, "max_replication_slots": "1"}) as full:
        full.sql("CREATE DATABASE shop")
        full.sql("SELECT pg_create_physical_replication_slot('others')")
        shop = Shop.open(full.dsn("shop"))
        config = configured(shop, tmp_path, sandbox)
        installed = install(shop, config)
        assert installed.returncode != 0
        assert "max_replication_slots" in installed.stderr
        assert syncd("run", "--config", config).returncode == 78
        assert shop.value("SELECT count(*) FROM pg_publication") == 0


def test_touched_orders_without_a_time_are_logged(
    wal_shop: Shop, sandbox: Sandbox, tmp_path: Path
) -> None:
    """NULL and infinity; each is sent once it has a time."""
    wal_shop.sql(
        "DROP VIEW syncd.confirmed_orders; CREATE VIEW syncd.confirmed_orders AS "
        "SELECT id AS order_key, confirmed_at FROM orders; "
        f"GRANT SELECT ON syncd.confirmed_orders TO {wal_shop.role}"
    )
    config = configured(wal_shop, tmp_path, sandbox)
    assert install(wal_shop, config).returncode == 0
    daemon = wal_shop.start(config)
    log = config.with_suffix(".log")
    wait_until(lambda: "stream.opened" in log.read_text(), 60)
    wal_shop.sql("INSERT INTO orders (confirmed_at) VALUES (NULL), ('infinity')")
    wait_until(lambda: "orders.without_time" in log.read_text(), 30)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    (event,) = [line for line in lines if line["event"] == "orders.without_time"]
    assert (event["capture"], event["orders"]) == ("wal", 2)
    assert sandbox.received.totals.orderids == 0
    wal_shop.sql("UPDATE orders SET confirmed_at = now()")
    wait_until(lambda: sandbox.received.totals.orderids == 2, 30)
    daemon.terminate()
    assert daemon.wait(20) == 0


def test_a_standby_instance_takes_over(
    wal_shop: Shop, sandbox: Sandbox, tmp_path: Path
) -> None:
    """Two daemons, one slot: the second waits, and continues when the first dies."""
    config = configured(wal_shop, tmp_path, sandbox)
    install(wal_shop, config)
    first = wal_shop.start(config, log=tmp_path / "first.log")
    wait_until(lambda: "stream.opened" in (tmp_path / "first.log").read_text())
    wal_shop.start(config, log=tmp_path / "second.log")
    wait_until(lambda: "stream.waiting" in (tmp_path / "second.log").read_text())
    first.kill()
    wait_until(lambda: "stream.opened" in (tmp_path / "second.log").read_text())
    wal_shop.confirm(5)
    wait_until(lambda: sandbox.received.totals.orderids == 5)
    assert "capture.missed_changes" not in (tmp_path / "second.log").read_text()


def test_a_daemon_killed_repeatedly_loses_nothing(
    wal_shop: Shop, sandbox: Sandbox, tmp_path: Path
) -> None:
    """Every order by way of the WAL; a repeat only where syncd counted one."""
    config = configured(wal_shop, tmp_path, sandbox)
    install(wal_shop, config)
    log = config.with_suffix(".log")
    orders = []
    for round_ in range(1, 7):
        daemon = wal_shop.start(config)
        wait_until(lambda n=round_: log.read_text().count("stream.opened") >= n)
        for _ in range(15):
            orders += wal_shop.confirm(7)
        wait_until(lambda n=round_: sandbox.received.totals.orderids > 100 * (n - 1))
        orders += wal_shop.confirm(7)
        daemon.kill()
        daemon.wait()
    orders += wal_shop.confirm(7)
    wal_shop.start(config)
    wait_until(lambda: sandbox.received.totals.orderids == len(orders))
    facts = json.loads(syncd("status", "--json", "--config", config).stdout)
    assert sandbox.received.totals.repeats <= facts["possible_repeats"]
    assert [order for order in orders if not sandbox.received.posts(order)] == []
    # The poll runs first after each start.
    assert wal_shop.captured("wal") > wal_shop.captured() / 2


def test_the_ledger_may_be_in_another_database(
    wal_server: Cluster, sandbox: Sandbox, tmp_path: Path
) -> None:
    """The position is in the ledger's database, the slot in the orders'."""
    name = f"d{next(_numbers)}"
    with cluster() as elsewhere:
        elsewhere.sql(f"CREATE DATABASE {name}")
        elsewhere.sql(f"CREATE ROLE role_{name} LOGIN")
        with opened_shop(wal_server, name, state=elsewhere.dsn(name)) as apart:
            config = configured(apart, tmp_path, sandbox)
            done = install(apart, config, "--ledger-as", elsewhere.dsn(name))
            assert done.returncode == 0, done.stderr
            daemon = apart.start(config)
            log = config.with_suffix(".log")
            wait_until(lambda: "stream.opened" in log.read_text())
            apart.confirm(20)
            wait_until(lambda: sandbox.received.totals.orderids == 20)
            elsewhere.stop()
            apart.confirm(20)
            wait_until(lambda: "database.unavailable" in log.read_text())
            elsewhere.start()
            wait_until(lambda: sandbox.received.totals.orderids == 40, 45)
            daemon.terminate()
            assert daemon.wait(60) == 0
            assert "wal" in apart.captures()
            assert sandbox.received.totals.repeats == 0
            assert apart.count("replication_position") == 1
