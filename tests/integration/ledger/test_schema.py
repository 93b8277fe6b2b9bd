"""The ledger's own guards: impossible states, least privilege, indexes."""

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg
import pytest
from psycopg import errors
from support.ledger_rows import delivered_batch
from support.postgres import Cluster
from support.shop import Shop

from syncd.ledger.feed import SCHEMA_VERSION, FeedStore
from syncd.postgres.database import Database
from syncd.postgres.statements import compose
from syncd.setup.install.install import Grantees, install, installed
from syncd.source.connections import Connections
from syncd.source.orders import Source

pytestmark = pytest.mark.db

NAMES = ("syncd.confirmed_orders", "syncd.purchases")


NOW = datetime.now(UTC)
TOKEN, OTHER = UUID(int=1), UUID(int=2)


def start(shop: Shop) -> None:
    """Start the shop's feed, the first and only one: 1."""
    with closing(Database(shop.dsn)) as database:
        feeds = FeedStore(Connections(database, database), "shop")
        feeds.start(Source(database, *NAMES), timedelta(minutes=5))


@pytest.fixture(scope="module")
def large(server: Cluster, installed: str) -> Iterator[Shop]:
    """A started feed with 300,000 delivered orders, a queue and some exceptions."""
    server.sql(f"CREATE DATABASE large_ledger TEMPLATE {installed}")
    shop = Shop.clone(server.dsn("large_ledger"))
    start(shop)
    times = (NOW - n * timedelta(minutes=1) for n in range(1, 3001))
    shop.insert_many("batch", map(delivered_batch, times))
    waiting = {"feed_id": 1, "lane": "live", "orders": 100, "oldest_at": NOW}
    shop.insert_many("batch", [waiting] * 50)
    shop.insert_many("ledger", map(order, range(1, 300_001)))
    attempt = {"attempt": 1, "instance_id": 1, "outcome": "accepted"}
    shop.insert_many(
        "attempt",
        ({"batch_id": n, "settled_at": NOW, **attempt} for n in range(1, 3001)),
    )
    shop.sql("ANALYZE")
    yield shop
    shop.close()
    server.sql("DROP DATABASE large_ledger WITH (FORCE)")


def order(number: int) -> dict[str, object]:
    """Return an order's row; one of ten thousand is rejected."""
    rejected = number % 10_000 == 0
    return {
        "feed_id": 1,
        "order_key": str(number),
        "confirmed_at": NOW,
        "batch_id": 1 + number // 100,
        "state": "rejected" if rejected else None,
        "reason": "no email" if rejected else None,
    }


@pytest.fixture
def small(shop: Shop) -> Shop:
    """A started feed with a row in most tables."""
    start(shop)
    batch = shop.insert("batch", feed_id=1, lane="live", orders=1, oldest_at=NOW)
    number = batch.batch_id
    shop.insert("attempt", batch_id=number, attempt=1, instance_id=1, claim_token=TOKEN)
    shop.insert("ledger", **order(1) | {"batch_id": number})
    begin, end = datetime(2020, 1, 1, tzinfo=UTC), datetime(2020, 2, 1, tzinfo=UTC)
    shop.insert("backfill", feed_id=1, lower_at=begin, upper_at=end, reached_at=begin)
    return shop


DELIVERED = {"state": "delivered", "settled_at": NOW}
SENDING = {"state": "sending", "instance_id": 1, "lease_until": NOW}


@pytest.mark.parametrize(
    ("table", "columns", "constraint"),
    [
        ("feed", {"feed": ""}, "feed_named"),
        ("watermark", {"confirmed_at": "infinity"}, "watermark_finite"),
        ("endpoint", {"state": "held"}, "endpoint_trouble_has_reason"),
        ("endpoint", {"failures": -1}, "endpoint_counts_positive"),
        ("endpoint", {"suspect_batch": 1}, "endpoint_suspicion_holds"),
        ("endpoint", {"unknown_shape": ""}, "endpoint_unknown_holds"),
        ("endpoint", {"recent_rejected": -1}, "endpoint_recent_positive"),
        ("batch", {"state": "sending"}, "batch_claim_has_lease"),
        ("batch", {"state": "delivered"}, "batch_settled_once"),
        ("batch", {"state": "lost"}, "batch_state_known"),
        ("batch", {"orders": -1}, "batch_counts_positive"),
        ("batch", {"state": "emptied", "settled_at": NOW}, "batch_emptied_is_empty"),
        ("batch", {"state": "held", "settled_at": NOW}, "batch_settled_once"),
        ("batch", {"is_resend": True}, "batch_resend_for_a_backfill"),
        ("batch", {"backfill_id": 9}, "batch_of_backfill"),
        ("batch", {"is_pruned": True}, "batch_pruned_is_delivered"),
        ("batch", DELIVERED, "batch_token_proves_the_claim"),
        ("batch", {"claim_token": OTHER}, "batch_token_proves_the_claim"),
        ("batch", SENDING, "batch_token_proves_the_claim"),
        ("batch", {**DELIVERED, "claim_token": OTHER},
         "batch_delivered_by_its_attempt"),
        ("batch", {**DELIVERED, "claim_token": TOKEN},
         "batch_delivered_by_its_attempt"),
        ("ledger", {"state": "rejected"}, "ledger_exception_has_reason"),
        ("ledger", {"state": "gone", "reason": "x"}, "ledger_exception_known"),
        ("ledger", {"state": "held", "reason": "x"}, "ledger_exception_known"),
        ("ledger", {"uncertain_attempts": 1}, "ledger_exception_is_uncertain"),
        ("attempt", {"outcome": "accepted"}, "attempt_settled_has_outcome"),
        ("backfill", {"purpose": "x"}, "backfill_purpose_known"),
        ("backfill", {"purpose": "resend"}, "backfill_resend_has_reason"),
        ("backfill", {"released": -1}, "backfill_counts_positive"),
        ("backfill", {"reached_at": "infinity"}, "backfill_goes_forward"),
    ],
)  # fmt: skip
def test_the_database_refuses_an_impossible_state(
    small: Shop, table: str, columns: dict[str, object], constraint: str
) -> None:
    """The name of the constraint says what it guards."""
    with pytest.raises(errors.IntegrityError) as refused:
        small.update(table, columns)
    assert refused.value.diag.constraint_name == constraint


ANSWER = {"feed": "a", "account": "b", "endpoint": "c", "shape": "d", "example": "e"}
MOVE = {"feed_id": 1, "order_key": "1", "batch_id": 1}


@pytest.mark.parametrize(
    ("table", "columns", "constraint"),
    [
        ("answer", {**ANSWER, "means": "perhaps"}, "answer_means_known"),
        ("answer", {**ANSWER, "means": "success"}, "answer_when_classified"),
        ("order_move", {**MOVE, "why": ""}, "order_move_why_known"),
        ("ledger", order(1), "ledger_order_once"),
    ],
)
def test_the_database_refuses_an_impossible_row(
    small: Shop, table: str, columns: dict[str, object], constraint: str
) -> None:
    """Another row, which contradicts those in the table."""
    with pytest.raises(errors.IntegrityError) as refused:
        small.insert(table, **columns)
    assert refused.value.diag.constraint_name == constraint


def test_the_database_refuses_a_delivery_by_a_refused_attempt(small: Shop) -> None:
    """A constraint refuses it even with the batch's token."""
    small.update("attempt", {"outcome": "refused", "settled_at": NOW})
    with pytest.raises(errors.IntegrityError) as refused:
        small.update("batch", {**DELIVERED, "claim_token": TOKEN})
    assert refused.value.diag.constraint_name == "batch_delivered_by_its_attempt"


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM orders",
        "DELETE FROM syncd.ledger",
        "DELETE FROM syncd.attempt",
        "TRUNCATE syncd.ledger",
        "DROP VIEW syncd.purchases",
        "CREATE TABLE syncd.mine ()",
        "CREATE TABLE public.mine ()",
        "UPDATE syncd.confirmed_orders SET confirmed_at = now()",
        "UPDATE syncd.migration SET version = 2",
        "SELECT pg_read_file('/etc/passwd')",
    ],
)
def test_the_daemons_role_may_not(shop: Shop, statement: str) -> None:
    """Read a table of the shop, delete, own or create."""
    with (
        psycopg.connect(shop.dsn, autocommit=True) as connection,
        pytest.raises(errors.InsufficientPrivilege),
    ):
        connection.execute(statement.encode())


def test_installing_again_changes_nothing(shop: Shop) -> None:
    """The migrations are done already; the grants are repeated."""
    database = Database(shop.owner)
    assert install(Connections(database, database), Grantees(shop.role, *NAMES)) == []
    assert installed(database) == list(range(1, SCHEMA_VERSION + 1))
    database.close()


PLANNED: dict[str, dict[str, object]] = {
    "refused_orders": {"feed": 1},
    "claim": {
        "feed": 1,
        "lane": "live",
        "instance": 1,
        "lease": "1 min",
        "rereads": False,
    },
    "claim of the past": {
        "feed": 1,
        "lane": "backfill",
        "instance": 1,
        "lease": "1 min",
        "rereads": False,
    },
    "next_due": {"feed": 1, "rereads": False},
    "take_over": {"feed": 1, "dead": [1], "holds": False},
    "stats": {"feed": 1},
    "presence": {"feed": 1},
    "place": {"feed": 1},
    "lately": {"feed": 1, "since": "2100-01-01"},
    "uncertain_counts": {"feed": 1},
    "last_delivered": {"feed": 1, "last": 100},
    "fingerprints": {"feed": 1, "last": 100},
    "claimants": {"feed": 1, "own": 1},
    "reconciliations_due": {
        "feed": 1,
        "scopes": ["hours", "promotion"],
        "periods": ["5 min", "10 min"],
        "patience": "1 min",
    },
    "rejected": {"feed": 1, "states": ["rejected"], "reason": "x", "limit": 10},
    "retry_rejected": {
        "feed": 1,
        "states": ["rejected"],
        "reason": None,
        "orders": [],
        "all": True,
        "size": 100,
        "most_retries": 10,
    },
    "defer_touched": {"feed": 1, "keys": ["1"]},
    "rejected_orders": {
        "feed": 1,
        "keys": ["1"],
        "after": None,
        "most_retries": None,
        "limit": 10,
    },
    "discard_rejected": {
        "feed": 1,
        "states": ["rejected"],
        "reason": None,
        "orders": [],
        "all": True,
    },
    "active_backfills": {
        "feed": 1,
        "lag": timedelta(seconds=2),
        "period": timedelta(seconds=30),
    },
    "finish_backfill": {"backfill": 1},
    "held": {"feed": 1, "limit": 10},
    "requeue": {
        "batch": 5,
        "attempt": 1,
        "token": UUID(int=0),
        "wait": None,
        "refused": False,
        "refusals": None,
        "shape": None,
        "uncertain": 0,
        "held": False,
        "outcome": "transient",
        "reason": "x",
        "status": 503,
        "sent": 1,
        "sha256": b"",
        "orderids": ["W-1"],
    },
    "doubt_orders": {
        "feed": 1,
        "batch": 5,
        "attempt": 1,
        "token": UUID(int=0),
        "keys": ["7"],
        "holds": False,
    },
    "deliver": {
        "feed": 1,
        "batch": 5,
        "attempt": 1,
        "token": UUID(int=0),
        "keys": ["7"],
        "recent": 50,
        "status": 200,
        "sent": 1,
        "sha256": b"",
        "orderids": ["W-1"],
    },
    "thin": {"feed": 1, "keep": timedelta(days=30), "batches": 500, "orders": 5000},
    "order_history": {"feed": 1, "key": "7"},
    "attempts": {"feed": 1, "key": "7", "orderid": "W-7"},
}


def test_no_hot_statement_scans_a_big_table(large: Shop) -> None:
    """Its cost does not grow with the number of delivered orders."""
    reading: dict[str, object] = {}
    with psycopg.connect(large.owner) as connection:
        for name, values in PLANNED.items():
            text = compose(name.split(maxsplit=1)[0]).text
            explained = connection.execute(b"EXPLAIN (FORMAT JSON) " + text, values)
            (plan,) = explained.fetchone() or ((),)
            if {"batch", "ledger", "attempt"} & set(scanned_tables(plan)):
                reading[name] = plan
    assert not reading, json.dumps(reading, indent=1)


def scanned_tables(node: object) -> list[str]:
    """Return the tables that a plan scans."""
    if isinstance(node, list):
        return [name for child in node for name in scanned_tables(child)]
    if not isinstance(node, dict):
        return []
    here = [str(node["Relation Name"])] if node.get("Node Type") == "Seq Scan" else []
    below = [scanned_tables(node.get(name)) for name in ("Plan", "Plans")]
    return here + [name for names in below for name in names]
