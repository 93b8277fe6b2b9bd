"""The ledger's own walls: impossible states, least privilege, indexes underneath."""

import json
from datetime import timedelta
from uuid import UUID

import psycopg
import pytest
from psycopg import errors
from support.shop import Shop

from syncd.ledger.feed import SCHEMA_VERSION, FeedStore
from syncd.postgres.database import Database
from syncd.postgres.statements import compose
from syncd.setup.install.install import Grantees, install, installed
from syncd.source.connections import Connections
from syncd.source.orders import Source

pytestmark = pytest.mark.db

NAMES = ("syncd.confirmed_orders", "syncd.purchases")


@pytest.fixture
def feed_id(shop: Shop) -> int:
    """A started feed with 300,000 delivered orders, a queue and some exceptions."""
    database = Database(shop.dsn)
    feeds = FeedStore(Connections(database, database), "shop")
    feed = feeds.start(Source(database, *NAMES), timedelta(minutes=5))
    database.close()
    shop.sql(
        f"""
INSERT INTO syncd.batch
       (feed_id, lane, state, orders, oldest_at, settled_at, is_pruned)
SELECT {feed.feed_id}, 'live', 'delivered', 100, now(), now() - n * interval '1 min',
       true
  FROM generate_series(1, 3000) AS n;
INSERT INTO syncd.batch (feed_id, lane, orders, oldest_at)
SELECT {feed.feed_id}, 'live', 100, now() FROM generate_series(1, 50);
INSERT INTO syncd.ledger (feed_id, order_key, confirmed_at, batch_id, state, reason)
SELECT {feed.feed_id}, n::text, now(), 1 + n / 100,
       CASE WHEN n % 10000 = 0 THEN 'rejected' END,
       CASE WHEN n % 10000 = 0 THEN 'no email' END
  FROM generate_series(1, 300000) AS n;
INSERT INTO syncd.attempt (batch_id, attempt, instance_id, outcome, settled_at)
SELECT n, 1, 1, 'accepted', now() FROM generate_series(1, 3000) AS n;
ANALYZE syncd.attempt, syncd.batch, syncd.ledger, syncd.endpoint, syncd.watermark;
"""
    )
    return feed.feed_id


@pytest.mark.parametrize(
    ("statement", "constraint"),
    [
        ("UPDATE syncd.feed SET feed = ''", "feed_named"),
        ("UPDATE syncd.watermark SET confirmed_at = 'infinity'", "watermark_finite"),
        ("UPDATE syncd.endpoint SET state = 'held'", "endpoint_trouble_has_reason"),
        ("UPDATE syncd.endpoint SET failures = -1", "endpoint_counts_positive"),
        ("UPDATE syncd.batch SET state = 'sending'", "batch_claim_has_lease"),
        ("UPDATE syncd.batch SET state = 'delivered'", "batch_settled_once"),
        ("UPDATE syncd.batch SET state = 'lost'", "batch_state_known"),
        ("UPDATE syncd.batch SET orders = -1", "batch_counts_positive"),
        ("UPDATE syncd.batch SET state = 'emptied', settled_at = now()",
         "batch_emptied_is_empty"),
        ("UPDATE syncd.ledger SET state = 'rejected'", "ledger_exception_has_reason"),
        ("UPDATE syncd.ledger SET state = 'gone', reason = 'x'",
         "ledger_exception_known"),
        ("UPDATE syncd.ledger SET state = 'held', reason = 'x'",
         "ledger_exception_known"),
        ("UPDATE syncd.batch SET state = 'held', settled_at = now()",
         "batch_settled_once"),
        ("UPDATE syncd.endpoint SET suspect_batch = 1", "endpoint_suspicion_holds"),
        ("UPDATE syncd.endpoint SET unknown_shape = ''", "endpoint_unknown_holds"),
        ("INSERT INTO syncd.answer VALUES ('a', 'b', 'c', 'd', 'e', 'perhaps')",
         "answer_means_known"),
        ("INSERT INTO syncd.answer VALUES ('a', 'b', 'c', 'd', 'e', 'success')",
         "answer_when_classified"),
        ("UPDATE syncd.endpoint SET recent_rejected = -1", "endpoint_recent_positive"),
        ("INSERT INTO syncd.order_move SELECT 1, '1', 1, now(), '' FROM syncd.batch",
         "order_move_why_known"),
        ("INSERT INTO syncd.ledger SELECT * FROM syncd.ledger", "ledger_order_once"),
        ("UPDATE syncd.batch SET is_resend = true", "batch_resend_for_a_backfill"),
        ("UPDATE syncd.batch SET backfill_id = 9", "batch_of_backfill"),
        ("UPDATE syncd.backfill SET purpose = 'x'", "backfill_purpose_known"),
        ("UPDATE syncd.backfill SET purpose = 'resend'", "backfill_resend_has_reason"),
        ("UPDATE syncd.backfill SET released = -1", "backfill_counts_positive"),
        ("UPDATE syncd.backfill SET reached_at = 'infinity'", "backfill_goes_forward"),
        ("UPDATE syncd.attempt SET outcome = 'accepted'",
         "attempt_settled_has_outcome"),
        ("UPDATE syncd.batch SET state = 'delivered', settled_at = now()",
         "batch_token_proves_the_claim"),
        ("UPDATE syncd.batch SET claim_token = gen_random_uuid()",
         "batch_token_proves_the_claim"),
        (("UPDATE syncd.batch SET state = 'sending', instance_id = 1, "
         "lease_until = now()"), "batch_token_proves_the_claim"),
        ("UPDATE syncd.batch SET is_pruned = true", "batch_pruned_is_delivered"),
        (("UPDATE syncd.batch AS b SET state = 'delivered', settled_at = now(), "
         "claim_token = gen_random_uuid()"), "batch_delivered_by_its_attempt"),
        (("UPDATE syncd.batch AS b SET state = 'delivered', settled_at = now(), "
         "claim_token = a.claim_token FROM syncd.attempt AS a"),
         "batch_delivered_by_its_attempt"),
        (("UPDATE syncd.attempt SET outcome = 'refused', settled_at = now(); "
         "UPDATE syncd.batch AS b SET state = 'delivered', settled_at = now(), "
         "claim_token = a.claim_token FROM syncd.attempt AS a"),
         "batch_delivered_by_its_attempt"),
        ("UPDATE syncd.ledger SET uncertain_attempts = 1",
         "ledger_exception_is_uncertain"),
    ],
)  # fmt: skip
def test_the_database_refuses_an_impossible_state(
    shop: Shop, statement: str, constraint: str
) -> None:
    """By a constraint whose name says what it guards."""
    database = Database(shop.dsn)
    feed = FeedStore(Connections(database, database), "shop").start(
        Source(database, *NAMES),
        timedelta(minutes=5),
    )
    database.close()
    shop.sql(
        "INSERT INTO syncd.batch (feed_id, lane, orders, oldest_at) "
        f"VALUES ({feed.feed_id}, 'live', 1, now()); "
        "INSERT INTO syncd.ledger (feed_id, order_key, confirmed_at, batch_id) "
        f"SELECT {feed.feed_id}, '1', now(), max(batch_id) FROM syncd.batch; "
        "INSERT INTO syncd.attempt (batch_id, attempt, instance_id) "
        "SELECT batch_id, 1, 1 FROM syncd.batch; "
        "INSERT INTO syncd.backfill (feed_id, lower_at, upper_at, reached_at) "
        f"VALUES ({feed.feed_id}, '2020-01-01', '2020-02-01', '2020-01-01')"
    )
    with pytest.raises(errors.IntegrityError) as refused:
        shop.sql(statement)
    assert refused.value.diag.constraint_name == constraint


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
    """Read a table of the shop's, delete, own or create."""
    with (
        psycopg.connect(shop.dsn, autocommit=True) as connection,
        pytest.raises(errors.InsufficientPrivilege),
    ):
        connection.execute(statement.encode())


def test_installing_again_changes_nothing(shop: Shop) -> None:
    """It finds the migrations done, and grants once more."""
    database = Database(shop.owner)
    assert install(Connections(database, database), Grantees(shop.role, *NAMES)) == []
    assert installed(database) == list(range(1, SCHEMA_VERSION + 1))
    database.close()


PLANNED: dict[str, dict[str, object]] = {
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
    "doubts": {"feed": 1},
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
    "steering": {
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
    "story": {"feed": 1, "key": "7"},
    "attempts": {"feed": 1, "key": "7", "orderid": "W-7"},
}


@pytest.mark.parametrize("name", sorted(PLANNED))
def test_a_hot_statement_reads_no_big_table_whole(
    shop: Shop, feed_id: int, name: str
) -> None:
    """Its cost does not grow with what was delivered."""
    params = PLANNED[name] | {"feed": feed_id}
    explained = b"EXPLAIN (FORMAT JSON) " + compose(name.split(maxsplit=1)[0]).text
    with psycopg.connect(shop.owner) as connection:
        (plan,) = connection.execute(explained, params).fetchone() or ((),)
    scanned = set(whole_reads(plan))
    assert not scanned & {"batch", "ledger", "attempt"}, json.dumps(plan, indent=1)


def whole_reads(node: object) -> list[str]:
    """Name the tables that a plan reads whole."""
    if isinstance(node, list):
        return [name for child in node for name in whole_reads(child)]
    if not isinstance(node, dict):
        return []
    here = [str(node["Relation Name"])] if node.get("Node Type") == "Seq Scan" else []
    below = [whole_reads(node.get(name)) for name in ("Plan", "Plans")]
    return here + [name for names in below for name in names]
