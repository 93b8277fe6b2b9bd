"""The connection to PostgreSQL hangs: every wait has an end, no order is lost."""

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
from syncd.postgres.database import Database
from syncd.postgres.deadline import ANSWER_SECONDS, DeadlineConnection
from syncd.postgres.statements import query

pytestmark = pytest.mark.db

IMPATIENT = Path(__file__).parents[2] / "support" / "run_impatient.py"


def test_a_statement_that_is_never_answered_ends(
    server: Cluster, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As unavailable, within the deadline; the next one opens another connection."""
    monkeypatch.setattr(DeadlineConnection, "answer_seconds", 1.0)
    with proxy(server.folder) as line:
        dsn = make_conninfo(database, host="127.0.0.1", port=line.port)
        client = Database(dsn)
        client.run(query("clock"))
        line.freeze()
        started = time.monotonic()
        with pytest.raises(DatabaseUnavailableError):
            client.run(query("clock"))
        assert 1.0 <= time.monotonic() - started < 20.0
        line.thaw()
        assert client.run(query("clock")) == 1
        client.close()


def test_a_statement_may_take_its_time(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up to the server's own limit, which ends it first and is shorter."""
    assert ANSWER_SECONDS > 30
    monkeypatch.setattr(DeadlineConnection, "answer_seconds", 5.0)
    with DeadlineConnection.connect(database) as connection:
        assert connection.execute("SELECT pg_sleep(1), 1").fetchone() == ("", 1)
        with pytest.raises(psycopg.OperationalError, match="no answer"):
            connection.execute("SELECT pg_sleep(20)")
        assert connection.closed


def test_the_daemon_outlives_a_line_that_hangs(
    shop: Shop, server: Cluster, tmp_path: Path
) -> None:
    """Capture, delivery, housekeeping alike: orders confirmed meanwhile arrive once."""
    with proxy(server.folder) as line, Sandbox() as sandbox:
        through = {"dsn": make_conninfo(shop.dsn, host="127.0.0.1", port=line.port)}
        config = shop.configure(tmp_path, sandbox.endpoint, through)
        log = config.with_suffix(".log")
        daemon = shop.start(config, program=(str(IMPATIENT), "2"))
        wait_until(lambda: "heartbeat" in log.read_text())
        orders = shop.confirm(5)
        wait_until(lambda: sandbox.book.totals.orderids == 5)
        line.freeze()
        orders += shop.confirm(5)
        wait_until(lambda: "database.unavailable" in log.read_text())
        line.thaw()
        wait_until(lambda: sandbox.book.totals.orderids == 10)
        daemon.terminate()
        assert daemon.wait(60) == 0
        assert {sandbox.book.posts(order) for order in orders} == {1}
