"""TLS to PostgreSQL: an untrusted certificate is a finding, and never an outage."""

import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from support.certificates import Certificate, issue
from support.checks import CheckRunner
from support.command import syncd
from support.postgres import SETTINGS, Cluster, cluster, wait_until
from support.shop import Shop

from syncd.core.errors import Reaction, UntrustedServerError
from syncd.postgres.database import Database
from syncd.postgres.statements import query

pytestmark = pytest.mark.db


@dataclass
class TlsShop:
    """A shop on a server with TLS and a certificate from the tests' own CA."""

    server: Cluster
    shop: Shop
    certificate: Certificate
    folder: Path
    port: int

    def dsn(self, **parameters: object) -> str:
        return make_conninfo(
            f"host=127.0.0.1 port={self.port} dbname=shop user={self.shop.role}",
            **{name: str(value) for name, value in parameters.items()},
        )

    def use_certificate(self, **of: str) -> Certificate:
        """Make the server use another certificate, or an expired one."""
        folder = self.folder / f"c{len(list(self.folder.iterdir()))}"
        folder.mkdir()
        certificate = issue(folder, **of)  # type: ignore[arg-type]  # texts
        for name, file in (
            ("cert.pem", certificate.path),
            ("key.pem", certificate.key),
        ):
            shutil.copy(file, self.server.data / name)
            (self.server.data / name).chmod(0o600)
            shutil.chown(self.server.data / name, (self.server.data / "base").owner())
        self.server.sql("SELECT pg_reload_conf()")
        verified = self.dsn(sslmode="verify-ca", sslrootcert=certificate.authority)
        if "until" not in of:
            wait_until(lambda: opens(verified))
        return certificate


def opens(dsn: str) -> bool:
    try:
        psycopg.connect(dsn).close()
    except psycopg.OperationalError:
        return False
    return True


@pytest.fixture(scope="module")
def tls_shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsShop]:
    """The wheel's PostgreSQL is built without TLS: Debian's has it."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    named_one = os.environ.get("SYNCD_TEST_PG_BIN")
    if not found and not named_one:
        pytest.skip("no PostgreSQL with TLS here")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("tls")
    folder.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SYNCD_TEST_PG_BIN", named_one or str(found[-1].parent))
        patch.setenv("PGPORT", str(port))
        settings = {"listen_addresses": "'127.0.0.1'", "port": str(port)}
        with cluster({**SETTINGS, **settings}) as server:
            server.sql("CREATE DATABASE shop")
            shop = Shop.open(server.dsn("shop"))
            made = TlsShop(
                server, shop, Certificate(folder, folder, folder), folder, port
            )
            for name, value in (
                ("ssl_cert_file", "cert.pem"),
                ("ssl_key_file", "key.pem"),
            ):
                server.sql(f"ALTER SYSTEM SET {name} = '{value}'")
            yield made
            shop.close()


@pytest.fixture
def trusted_shop(tls_shop: TlsShop) -> Iterator[TlsShop]:
    """A shop with TLS on, and a valid certificate."""
    try:
        tls_shop.server.sql("ALTER SYSTEM SET ssl = on")
    except psycopg.errors.InvalidParameterValue:
        pytest.skip("this PostgreSQL was built without TLS")
    tls_shop.certificate = tls_shop.use_certificate()
    yield tls_shop
    tls_shop.server.sql("ALTER SYSTEM SET ssl = off")
    tls_shop.server.sql("SELECT pg_reload_conf()")


def refusal(dsn: str) -> UntrustedServerError:
    """Return the error of a connection; it is never an outage."""
    with (
        closing(Database(dsn)) as database,
        pytest.raises(UntrustedServerError) as caught,
    ):
        database.run(query("clock"))
    assert caught.value.reaction is Reaction.HOLD
    assert caught.value.exit_code == 78
    assert caught.value.hint
    return caught.value


def test_a_certificate_of_an_unknown_ca_is_not_trusted(trusted_shop: TlsShop) -> None:
    """The CAs of this host (sslrootcert=system) do not trust it either."""
    system = trusted_shop.dsn(sslmode="verify-full", sslrootcert="system")
    assert "is not trusted" in str(refusal(system))
    assert "sslrootcert" in refusal(system).hint
    (trusted_shop.folder / "other").mkdir(exist_ok=True)
    other = issue(trusted_shop.folder / "other").authority
    error = refusal(trusted_shop.dsn(sslmode="verify-full", sslrootcert=other))
    assert "is not trusted" in str(error)


def test_an_expired_certificate_is_not_trusted(trusted_shop: TlsShop) -> None:
    """The hint mentions the expiry, which libpq does not."""
    certificate = trusted_shop.use_certificate(until="20210101000000Z")
    dsn = trusted_shop.dsn(sslmode="verify-full", sslrootcert=certificate.authority)
    wait_until(lambda: not opens(dsn))
    assert "has expired" in refusal(dsn).hint


def test_a_certificate_for_another_name_is_not_trusted(trusted_shop: TlsShop) -> None:
    """Both names are reported."""
    certificate = trusted_shop.use_certificate(name="DNS:db.example")
    dsn = trusted_shop.dsn(sslmode="verify-full", sslrootcert=certificate.authority)
    assert 'does not match host name "127.0.0.1"' in str(refusal(dsn))


def test_a_missing_ca_file_is_named(trusted_shop: TlsShop) -> None:
    """Without it nothing could be verified."""
    dsn = trusted_shop.dsn(sslmode="verify-full", sslrootcert="/nowhere/ca.pem")
    assert 'root certificate file "/nowhere/ca.pem"' in str(refusal(dsn))


def test_a_missing_or_untrusted_client_certificate_is_reported(
    trusted_shop: TlsShop,
) -> None:
    """The server verifies clients as well."""
    server = trusted_shop.server
    hba = server.data / "pg_hba.conf"
    before = hba.read_text()
    ca = server.data / "ca.pem"
    shutil.copy(trusted_shop.certificate.authority, ca)
    shutil.chown(ca, (server.data / "base").owner())
    hba.write_text(
        "local all all trust\nhostssl all all 127.0.0.1/32 trust clientcert=verify-ca\n"
    )
    server.sql("ALTER SYSTEM SET ssl_ca_file = 'ca.pem'")
    server.sql("SELECT pg_reload_conf()")
    try:
        verified = {
            "sslmode": "verify-full",
            "sslrootcert": trusted_shop.certificate.authority,
        }
        bare = trusted_shop.dsn(**verified)
        wait_until(lambda: not opens(bare))
        assert "requires a client certificate" in str(refusal(bare))
        (trusted_shop.folder / "client").mkdir(exist_ok=True)
        foreign = issue(trusted_shop.folder / "client")
        foreign.key.chmod(0o600)
        shown = {**verified, "sslcert": foreign.path, "sslkey": foreign.key}
        assert "(unknown ca)" in str(refusal(trusted_shop.dsn(**shown)))
    finally:
        hba.write_text(before)
        server.sql("ALTER SYSTEM RESET ssl_ca_file")
        server.sql("SELECT pg_reload_conf()")
        wait_until(lambda: opens(trusted_shop.dsn(sslmode="require")))


def test_check_and_run_once_report_a_server_without_tls(tls_shop: TlsShop) -> None:
    """TLS is required, and the server has none: exit code 78, not 69."""
    dsn = tls_shop.dsn(sslmode="require")
    wait_until(lambda: not opens(dsn))
    inspector = CheckRunner(tls_shop.shop, tls_shop.folder, {"dsn": dsn})
    finding = inspector.one("server.untrusted")
    assert "does not support SSL" in finding.message
    assert "ssl = on" in finding.next_step
    done = syncd("check", "--config", inspector.config)
    assert done.returncode == 78, done.stdout
    done = syncd("run", "--once", "--config", inspector.config)
    assert done.returncode == 78
    assert "does not support SSL" in done.stderr
