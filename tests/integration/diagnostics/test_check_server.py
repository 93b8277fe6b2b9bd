"""What `syncd check` finds about server, role, pooler and standby, on real servers."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from support.certificates import issue
from support.checks import KEY, CheckRunner
from support.feed_harness import FeedHarness
from support.pooler import PidMaskingPooler
from support.postgres import SETTINGS, cluster, standby, wait_until
from support.shop import Shop

from syncd.core.errors import SettingError
from syncd.diagnostics.check import server as look_at
from syncd.diagnostics.check.check import run_checks
from syncd.postgres.database import Database
from syncd.postgres.session import Peer
from syncd.postgres.statements import query

pytestmark = [pytest.mark.db, pytest.mark.slow]

BOUNCER = "/usr/sbin/pgbouncer"


def test_a_role_made_by_install_has_enough_privileges_and_no_more(
    inspector: CheckRunner,
) -> None:
    """Server, role and limits are fine, and reported as such."""
    assert inspector.codes() >= {
        "server.reached",
        "link.safe",
        "role.least",
        "connections.enough",
        "timeouts.own",
        "pooler.none",
        "clock.agrees",
        "zone.shown",
        "disk.unseen",
        "ledger.there",
        "commit.durable",
        "capture.poll",
        "account.named",
        "account.unverified",
    }


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ("ALTER ROLE {role} SUPERUSER", "role.superuser", "is a superuser"),
        ("ALTER TABLE orders OWNER TO {role}", "role.owner", "owns orders"),
        (
            "GRANT {role} TO postgres; ALTER DATABASE {database} OWNER TO {role}",
            "role.owner",
            "owns this database",
        ),
        ("GRANT INSERT ON orders TO {role}", "role.writes", "may change orders"),
        ("GRANT UPDATE (email) ON orders TO {role}", "role.writes", "change orders"),
        ("GRANT TRUNCATE ON orders TO {role}", "role.writes", "change orders"),
        ("ALTER ROLE {role} BYPASSRLS", "role.powerful", "has BYPASSRLS"),
        ("ALTER ROLE {role} REPLICATION", "role.powerful", "has REPLICATION"),
        ("ALTER ROLE {role} CREATEROLE", "role.powerful", "has CREATEROLE"),
        ("GRANT pg_write_all_data TO {role}", "role.powerful", "of pg_write_all_data"),
        ("GRANT CREATE ON SCHEMA public TO PUBLIC", "role.creates", "schema public"),
        ("REVOKE SELECT ON syncd.purchases FROM {role}", "role.missing", "SELECT"),
        ("REVOKE USAGE ON SCHEMA syncd FROM {role}", "role.missing", "schema syncd"),
        ("REVOKE UPDATE ON syncd.batch FROM {role}", "role.missing", "UPDATE on batch"),
        ("REVOKE INSERT ON syncd.alarm FROM {role}", "role.missing", "INSERT on alarm"),
        (
            "REVOKE USAGE ON SEQUENCE syncd.batch_batch_id_seq FROM {role}",
            "role.missing",
            "USAGE on batch_batch_id_seq",
        ),
        ("ALTER ROLE {role} CONNECTION LIMIT 3", "connections.few", "of 3"),
        ("ALTER DATABASE {database} CONNECTION LIMIT 4", "connections.few", "of 4"),
        ("ALTER ROLE {role} NOLOGIN", "server.refused", "not permitted to log in"),
        (
            "ALTER ROLE {role} SET synchronous_commit = off",
            "commit.relaxed",
            "synchronous_commit is off",
        ),
        (
            "ALTER ROLE {role} SET default_transaction_read_only = on",
            "setting.read_only",
            "default_transaction_read_only = on",
        ),
        ("DROP SCHEMA syncd CASCADE", "ledger.unusable", "there is no ledger"),
        (
            "DELETE FROM syncd.migration WHERE version = 1",
            "ledger.unusable",
            "this syncd needs 1 to",
        ),
    ],
)
def test_a_wrong_privilege_or_limit_is_found(
    inspector: CheckRunner, change: str, code: str, words: str
) -> None:
    """Too much or too little; each with the next step, and gone when it is fixed."""
    assert code not in inspector.codes()
    shop = inspector.shop
    database = conninfo_to_dict(shop.owner)["dbname"]
    shop.sql(change.format(role=shop.role, database=database))
    found = inspector.of(code)
    assert [f for f in found if words in f.message], inspector.findings()
    assert all(f.next_step for f in found)
    shop.sql(f"ALTER DATABASE {database} OWNER TO postgres")


def test_replication_is_no_excess_privilege_for_capture_wal(
    shop: Shop, tmp_path: Path
) -> None:
    """The capture needs it; without a slot it cannot be used."""
    shop.sql(f"ALTER ROLE {shop.role} REPLICATION")
    inspector = CheckRunner(shop, tmp_path, {"capture": "wal"})
    assert "role.powerful" not in inspector.codes()
    assert "max_slot_wal_keep_size" in inspector.one("wal.misconfigured").message


def test_check_writes_nothing_and_could_not(inspector: CheckRunner) -> None:
    """Its sessions are read-only; the ledger is unchanged."""
    shop = inspector.shop
    shop.confirm(3)
    before = shop.value("SELECT sum(n_tup_ins + n_tup_upd) FROM pg_stat_user_tables")
    inspector.findings()
    shop.sql("SELECT pg_stat_force_next_flush()")
    after = shop.value("SELECT sum(n_tup_ins + n_tup_upd) FROM pg_stat_user_tables")
    assert after == before
    with closing(Database(shop.owner)) as database:
        look_at.require_read_only(database)
        with pytest.raises(SettingError, match="read-only"):
            database.run(query("start_endpoint"), feed=1)


def test_an_unreachable_server_does_not_hide_other_findings(
    shop: Shop, tmp_path: Path
) -> None:
    """The source is down: host, credentials, endpoint and ledger are checked."""
    shop.state = shop.owner
    inspector = CheckRunner(shop, tmp_path, {"dsn": "host=/nowhere dbname=shop"})
    found = {(f.code, f.subject) for f in inspector.findings()}
    assert ("server.unreachable", "order database") in found
    assert ("server.reached", "ledger's database") in found
    assert ("config.read", str(inspector.config)) in found
    assert ("endpoint.unreachable", "endpoint") in found
    assert not [code for code, _ in found if code.startswith("views.")]


def test_a_server_that_drops_packets_is_given_up_in_time(
    shop: Shop, tmp_path: Path
) -> None:
    """Other findings are reported; what was not checked is named."""
    with socket.create_server(("127.0.0.1", 0)) as hole:
        dsn = f"host=127.0.0.1 port={hole.getsockname()[1]} dbname=shop user=x"
        inspector = CheckRunner(shop, tmp_path, {"dsn": dsn})
        started = time.monotonic()
        found = run_checks(inspector.config, KEY, seconds=2)
        (late,) = [each for each in found if each.code == "check.timeout"]
        assert time.monotonic() - started < 30
    assert late.subject == "order database"
    assert "not checked" in late.message


def test_a_check_that_hangs_on_the_server_ends(inspector: CheckRunner) -> None:
    """The server ends the statement; the next check runs."""
    assert {"check.failed", "check.timeout"}.isdisjoint(inspector.codes())
    with psycopg.connect(inspector.shop.owner) as holder:
        holder.execute("LOCK TABLE syncd.migration IN ACCESS EXCLUSIVE MODE")
        found = inspector.findings()
    (failed,) = [f for f in found if f.code == "check.timeout"]
    assert "views.there" in {f.code for f in found}
    assert "check.failed" not in {f.code for f in found}
    assert failed.subject == "ledger"
    assert "timeout" in failed.message


# Poolers


@pytest.mark.parametrize(
    ("capture", "code", "words"),
    [
        ("poll", "pooler.found", "another daemon takes over only when"),
        ("listen", "pooler.found", "notifications do not arrive"),
        ("wal", "pooler.no_replication", "does not support replication"),
    ],
)
def test_a_pooler_is_reported_with_its_consequences(
    shop: Shop, tmp_path: Path, capture: str, code: str, words: str
) -> None:
    """They differ by capture; the session's settings are then left alone."""
    pooler = PidMaskingPooler(shop.dsn)
    try:
        source = {"dsn": pooler.dsn, "capture": capture}
        assert words in CheckRunner(shop, tmp_path, source).one(code).message
    finally:
        pooler.close()


@pytest.fixture
def bouncer(shop: Shop, tmp_path: Path) -> Iterator[str]:
    """Run a real PgBouncer in transaction mode; return its address."""
    if not Path(BOUNCER).exists():
        pytest.skip("no pgbouncer here")
    parts = conninfo_to_dict(shop.dsn)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    tmp_path.chmod(0o755)
    config = tmp_path / "pgbouncer.ini"
    config.write_text(
        f"""[databases]
{parts["dbname"]} = host={parts["host"]} user={parts["user"]}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
auth_type = any
pool_mode = transaction
unix_socket_dir =
"""
    )
    with config.open() as settings:  # whichever user it runs as may not read the folder
        process = subprocess.Popen(
            [BOUNCER, "-q", "/dev/stdin"], stdin=settings, user="nobody"
        )
    dsn = make_conninfo(shop.dsn, host="127.0.0.1", port=port)

    def answers() -> bool:
        try:
            psycopg.connect(dsn).close()
        except psycopg.OperationalError:
            return False
        return True

    try:
        wait_until(answers)
        yield dsn
    finally:
        process.terminate()
        process.wait()


def test_pgbouncer_is_reported_and_keeps_no_setting_of_the_check(
    shop: Shop, tmp_path: Path, bouncer: str
) -> None:
    """A session's setting there would affect the next client of that server."""
    inspector = CheckRunner(shop, tmp_path, {"dsn": bouncer})
    assert "another daemon" in inspector.one("pooler.found").message
    with psycopg.connect(bouncer) as connection:
        shown = connection.execute("SHOW default_transaction_read_only").fetchone()
    assert shown == ("off",)


# The connection


@pytest.mark.parametrize(
    ("peer", "is_encrypted", "code"),
    [
        (Peer("/run/postgresql", 1, "prefer"), False, "link.safe"),
        (Peer("127.0.0.1", 1, "prefer"), False, "link.safe"),
        (Peer("db.example.com", 1, "disable"), False, "link.open"),
        (Peer("db.example.com", 1, "prefer"), True, "link.unverified"),
        (Peer("10.0.0.3", 1, "require"), True, "link.unverified"),
        (Peer("10.0.0.3", 1, "verify-full"), True, "link.safe"),
    ],
)
def test_a_network_connection_must_be_verified(
    peer: Peer, code: str, *, is_encrypted: bool
) -> None:
    """`prefer` encrypts for any server, also an impostor's."""
    found = look_at.check_link("way", peer, is_encrypted=is_encrypted)
    assert found.code == code


def test_the_tls_state_of_libpq_and_server_is_read(tmp_path: Path) -> None:
    """A real server with a certificate: encrypted or not, as the DSN requires."""
    certificate = issue(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = {"listen_addresses": "'127.0.0.1'", "port": str(port)}
    with cluster({**SETTINGS, **settings}) as server:
        for name in (certificate.path, certificate.key):
            shutil.copy(name, server.data)
            shutil.chown(server.data / name.name, (server.data / "base").owner())
        dsn = f"host=127.0.0.1 port={port} dbname=postgres user=postgres"
        with psycopg.connect(dsn, autocommit=True) as owner:
            owner.execute(f"ALTER SYSTEM SET ssl_cert_file = '{certificate.path.name}'")
            owner.execute(f"ALTER SYSTEM SET ssl_key_file = '{certificate.key.name}'")
            try:
                owner.execute("ALTER SYSTEM SET ssl = on")
            except psycopg.errors.InvalidParameterValue:
                pytest.skip("this PostgreSQL was built without TLS")
            owner.execute("SELECT pg_reload_conf()")
        verified = f"{dsn} sslmode=verify-full sslrootcert={certificate.authority}"
        wait_until(lambda: tls_of(dsn) == (True, "prefer"))
        assert tls_of(verified) == (True, "verify-full")
        assert tls_of(f"{dsn} sslmode=disable") == (False, "disable")


def tls_of(dsn: str) -> tuple[bool, str]:
    with closing(Database(dsn)) as database:
        return look_at.facts_of(database).is_encrypted, database.peer().sslmode


# Standbys


def test_a_standby_reports_what_it_cannot_prove(tmp_path: Path) -> None:
    """The primary is missing, present, or itself a standby."""
    with cluster() as primary:
        primary.sql("CREATE DATABASE shop")
        primary.sql("CREATE DATABASE state")
        shop = Shop.open(primary.dsn("shop"), state=primary.dsn("state"))
        with standby(primary) as second:
            reading = {"dsn": second.dsn("shop", shop.role)}
            blind = CheckRunner(shop, tmp_path, reading).codes()
            assert {"standby.blind", "standby.fed"} <= blind
            seeing = {**reading, "primary_dsn": shop.dsn}
            inspector = CheckRunner(shop, tmp_path, seeing)
            subjects = {(f.code, f.subject) for f in inspector.findings()}
            assert ("server.reached", "primary") in subjects
            assert ("clock.agrees", "clock of the primary") in subjects
            assert not {c for c, _ in subjects} & {"standby.blind", "primary.standby"}
            wrong = {**reading, "primary_dsn": reading["dsn"]}
            assert "primary.standby" in CheckRunner(shop, tmp_path, wrong).codes()


@pytest.mark.parametrize(
    ("number", "code"), [(140_023, "server.old"), (190_000, "server.untested")]
)
def test_an_untested_version_is_reported(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, number: int, code: str
) -> None:
    """Older than 15 is an error, newer than 18 a warning."""
    with closing(Database(shop.dsn)) as database:
        facts = replace(look_at.facts_of(database), number=number)
        monkeypatch.setattr(look_at, "facts_of", lambda _database: facts)
        first, *_ = look_at.check_server("order database", database)
    assert first.code == code


def test_a_wrong_password_is_reported_as_a_refused_login(
    inspector: CheckRunner,
) -> None:
    """The same for a wrong database; no secret is shown."""
    text = inspector.config.read_text()
    inspector.config.write_text(text.replace("dbname=t", "password=hunter2 dbname=no"))
    refused = inspector.one("server.refused")
    assert "does not exist" in refused.message
    assert "hunter2" not in str(inspector.findings())


def test_an_unexpected_failure_of_a_check_is_reported(
    inspector: CheckRunner,
) -> None:
    """The finding has the server's message, and the other checks run."""
    with closing(FeedHarness(inspector.shop)):
        inspector.shop.sql("ALTER TABLE syncd.batch RENAME created_at TO made_at")
        found = inspector.findings()
    failed = {f.subject: f for f in found if f.code == "check.failed"}
    assert failed["lookback"].severity == "error"
    assert "created_at" in failed["lookback"].message
    assert failed["lookback"].next_step
    assert {"views.there", "endpoint.unreachable"} <= {f.code for f in found}
