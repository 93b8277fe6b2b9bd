"""The connection to PostgreSQL hangs: every wait ends, and no order is lost."""

import time
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from support.postgres import Cluster, wait_until
from support.proxy import proxy
from support.shop import Shop

from syncd.core.errors import DatabaseUnavailableError
from syncd.demo.sandbox import Sandbox
from syncd.postgres.connection import ANSWER_SECONDS, DeadlineConnection
from syncd.postgres.database import Database
from syncd.postgres.statements import query

pytestmark = pytest.mark.db

IMPATIENT = Path(__file__).parents[2] / "support" / "run_impatient.py"


def test_a_statement_without_response_ends(
    server: Cluster, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within the deadline, as unavailable; the next one opens another connection."""
    monkeypatch.setattr(DeadlineConnection, "answer_seconds", 1.0)
    with proxy(server.folder) as tunnel:
        dsn = make_conninfo(database, host="127.0.0.1", port=tunnel.port)
        client = Database(dsn)
        client.run(query("clock"))
        tunnel.freeze()
        started = time.monotonic()
        with pytest.raises(DatabaseUnavailableError):
            client.run(query("clock"))
        assert 1.0 <= time.monotonic() - started < 20.0
        tunnel.thaw()
        assert client.run(query("clock")) == 1
        client.close()


def test_a_statement_may_take_as_long_as_the_server_allows(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server's own limit is shorter than the deadline and ends it first."""
    assert ANSWER_SECONDS > 30
    monkeypatch.setattr(DeadlineConnection, "answer_seconds", 5.0)
    with DeadlineConnection.connect(database) as connection:
        assert connection.execute("SELECT pg_sleep(1), 1").fetchone() == ("", 1)
        with pytest.raises(psycopg.OperationalError, match="no answer"):
            connection.execute("SELECT pg_sleep(20)")
        assert connection.closed


def test_the_daemon_survives_a_hung_connection(
    shop: Shop, server: Cluster, tmp_path: Path
) -> None:
    """Capture, delivery and housekeeping; orders confirmed meanwhile arrive once."""
    with proxy(server.folder) as tunnel, Sandbox() as sandbox:
        through = {"dsn": make_conninfo(shop.dsn, host="127.0.0.1", port=tunnel.port)}
        config = shop.configure(tmp_path, sandbox.endpoint, through)
        log = config.with_suffix(".log")
        daemon = shop.start(config, program=(str(IMPATIENT), "2"))
        wait_until(lambda: "heartbeat" in log.read_text())
        orders = shop.confirm(5)
        wait_until(lambda: sandbox.received.totals.orderids == 5)
        tunnel.freeze()
        orders += shop.confirm(5)
        wait_until(lambda: "database.unavailable" in log.read_text())
        tunnel.thaw()
        wait_until(lambda: sandbox.received.totals.orderids == 10)
        daemon.terminate()
        assert daemon.wait(60) == 0
        assert {sandbox.received.posts(order) for order in orders} == {1}
