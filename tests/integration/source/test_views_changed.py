"""Changes behind the views: which table a name denotes, which order a key denotes."""

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta

import pytest
from support.feed_harness import VIEWS, FeedHarness, ago
from support.shop import Shop

from syncd.capture.wal.slot import slot_name
from syncd.core.errors import PausedError, PermissionDeniedError, ViewsChangedError
from syncd.ledger.identity import IdentityGuard
from syncd.ledger.key_comparison import IdentityCheck
from syncd.ledger.rebinding import KeyRebinding, UndecidedError
from syncd.postgres.database import Database
from syncd.source.orders import Source

pytestmark = pytest.mark.db

SWAP = """
ALTER TABLE orders RENAME TO orders_old;
CREATE TABLE orders (LIKE orders_old INCLUDING ALL);
ALTER TABLE orders ALTER id RESTART WITH 100;
"""
TO_UUID = """
DROP VIEW syncd.confirmed_orders, syncd.purchases;
ALTER TABLE orders ADD uid uuid DEFAULT gen_random_uuid();
"""

UUID_VIEWS = """
CREATE VIEW syncd.confirmed_orders AS
SELECT uid AS order_key, confirmed_at FROM orders WHERE confirmed_at IS NOT NULL;
CREATE VIEW syncd.purchases AS
SELECT uid AS order_key, 'W-' || id AS orderid, email, 'EUR' AS currency,
       total AS totalvalue, products
  FROM orders;
"""


@pytest.fixture
def started(shop: Shop) -> Iterator[FeedHarness]:
    with closing(FeedHarness(shop)) as feed:
        yield feed


def guard(started: FeedHarness, capture: str = "poll") -> IdentityGuard:
    source = Source(started.connections.source, *VIEWS)
    publication = slot_name("shop")
    return IdentityGuard(
        source,
        started.connections.ledger,
        started.ledger.feed_id,
        "shop",
        publication=publication,
        capture=capture,
    )


def check(started: FeedHarness, capture: str = "poll") -> IdentityCheck:
    return guard(started, capture).check()


# Tables


def test_a_table_that_took_the_name_of_another_is_reported(
    started: FeedHarness,
) -> None:
    """The views still read the other one: reported until they are recreated."""
    started.shop.confirm(3)
    started.poll()
    assert check(started) == IdentityCheck()
    started.shop.sql(SWAP)
    (found,) = check(started).replaced
    assert found.table == "public.orders"
    assert "is another table now" in found.reason
    assert "public.orders_old" in found.reason
    assert found.next_step == "create both views again"
    assert check(started).replaced == (found,)
    started.shop.recreate_views()
    result = check(started)
    assert (result.replaced, result.held) == ((), None)
    assert check(started) == IdentityCheck()


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE orders RENAME TO sales",
        "ALTER TABLE orders RENAME confirmed_at TO paid_at",
        "CREATE SCHEMA archive; ALTER TABLE orders SET SCHEMA archive",
        "VACUUM FULL orders",
        "TRUNCATE orders; INSERT INTO orders (confirmed_at) VALUES (now())",
        "CREATE TABLE public.others (LIKE orders)",
        "ALTER TABLE orders ADD extra text",
        "ALTER VIEW syncd.purchases SET (security_barrier = true)",
    ],
)
def test_a_table_that_keeps_its_name_or_its_oid_is_no_alarm(
    started: FeedHarness, change: str
) -> None:
    """A rename alone, a rebuild in place, a new column."""
    started.shop.confirm(3)
    started.poll()
    started.shop.sql(change)
    result = check(started)
    assert (list(result.replaced), result.held) == ([], None)


def test_a_table_moved_to_another_schema_is_replaced_by_its_namesake(
    started: FeedHarness,
) -> None:
    """ALTER TABLE SET SCHEMA, then a new table under the old name."""
    started.shop.sql("CREATE SCHEMA archive; ALTER TABLE orders SET SCHEMA archive")
    assert list(check(started).replaced) == []
    started.shop.sql("CREATE TABLE public.orders (LIKE archive.orders)")
    (found,) = check(started).replaced
    assert "archive.orders" in found.reason


def test_a_table_behind_nested_views_is_found(shop: Shop) -> None:
    """Through a view and a materialized view of the shop's own."""
    shop.sql(
        "DROP VIEW syncd.confirmed_orders;"
        "CREATE TABLE paid (id bigint, at timestamptz);"
        "CREATE MATERIALIZED VIEW paid_copy AS SELECT * FROM paid;"
        "CREATE VIEW paid_orders AS SELECT * FROM paid_copy;"
        "CREATE VIEW syncd.confirmed_orders AS"
        " SELECT id AS order_key, at AS confirmed_at FROM paid_orders;"
        f"GRANT SELECT ON syncd.confirmed_orders TO {shop.role}"
    )
    with closing(FeedHarness(shop)) as started:
        shop.sql("ALTER TABLE paid RENAME TO paid_2025; CREATE TABLE paid (id bigint)")
        (found,) = check(started).replaced
        assert found.table == "public.paid"
        shop.sql("ALTER TABLE paid RENAME TO x; ALTER TABLE paid_2025 RENAME TO paid")
        assert list(check(started).replaced) == []


def test_partitions_that_come_and_go_are_no_alarm(shop: Shop) -> None:
    """Attached, detached, dropped; the parent is what the views read."""
    shop.sql("DROP TABLE orders CASCADE")
    shop.sql(
        "CREATE TABLE orders (id bigint, confirmed_at timestamptz, email text,"
        " total numeric, products jsonb) PARTITION BY RANGE (confirmed_at);"
        "CREATE TABLE orders_1 PARTITION OF orders"
        " FOR VALUES FROM ('2020-01-01') TO ('2026-01-01');"
    )
    shop.recreate_views()
    shop.listen()
    with closing(FeedHarness(shop)) as started:
        shop.sql(
            "CREATE TABLE orders_2 PARTITION OF orders"
            " FOR VALUES FROM ('2026-01-01') TO ('2099-01-01');"
            "ALTER TABLE orders DETACH PARTITION orders_1; DROP TABLE orders_1;"
            "CREATE TABLE orders_1 PARTITION OF orders"
            " FOR VALUES FROM ('2020-01-01') TO ('2026-01-01')"
        )
        result = check(started, "listen")
        assert (list(result.replaced), result.held) == ([], None)


def test_triggers_on_a_table_that_lost_its_name_are_reported(
    started: FeedHarness,
) -> None:
    """The views read the new table; the triggers are on the old one, or gone."""
    shop = started.shop
    shop.listen()
    assert list(check(started, "listen").replaced) == []
    shop.sql(SWAP)
    shop.recreate_views()
    (found,) = check(started, "listen").replaced
    assert "the triggers are on the one that had this name" in found.reason
    assert found.next_step == "`syncd install --listen public.orders:KEYCOLUMN`"
    assert list(check(started, "poll").replaced) == []
    shop.sql("DROP TABLE orders_old")
    (found,) = check(started, "listen").replaced
    assert "no enabled trigger" in found.reason
    shop.listen()
    assert list(check(started, "listen").replaced) == []


def test_a_publication_of_a_table_that_lost_its_name_is_reported(
    started: FeedHarness,
) -> None:
    """The publication still has the old table."""
    shop = started.shop
    shop.sql(f"CREATE PUBLICATION {slot_name('shop')} FOR TABLE orders")
    assert list(check(started, "wal").replaced) == []
    shop.sql(SWAP)
    shop.recreate_views()
    (found,) = check(started, "wal").replaced
    assert "the publication has the one that had this name" in found.reason
    shop.sql(f"ALTER PUBLICATION {slot_name('shop')} ADD TABLE orders")
    assert list(check(started, "wal").replaced) == []


# Keys


def test_recreated_views_with_the_same_orders_are_accepted(
    started: FeedHarness,
) -> None:
    """A restore of the shop's tables, which changes their oids, is accepted too."""
    started.shop.confirm(3)
    started.poll()
    started.shop.recreate_views()
    result = check(started)
    assert (result.held, result.compared) == (None, 3)
    assert result.accepted is not None
    assert check(started).accepted is None
    started.shop.sql(
        "CREATE TABLE copy AS TABLE orders; DROP TABLE orders CASCADE;"
        "ALTER TABLE copy RENAME TO orders;"
    )
    started.shop.recreate_views()
    result = check(started)
    assert (result.held, list(result.replaced)) == (None, [])
    assert result.accepted is not None


@pytest.mark.parametrize(
    "views",
    [
        UUID_VIEWS,
        UUID_VIEWS.replace("uid AS", "'A-' || id AS"),
        UUID_VIEWS.replace("uid AS", "lpad(id::text, 8, '0') AS"),
        UUID_VIEWS.replace("uid AS", "id + 5000 AS"),
    ],
)
def test_known_orders_with_other_keys_hold_the_feed(
    started: FeedHarness, views: str
) -> None:
    """uuid, a prefix, leading zeros, other numbers; the hold ends by itself."""
    shop = started.shop
    shop.confirm(20)
    started.poll()
    shop.sql(TO_UUID + views)
    shop.sql(f"GRANT SELECT ON ALL TABLES IN SCHEMA syncd TO {shop.role}")
    result = check(started)
    assert result.held is not None
    assert "not listed under their keys" in result.held
    assert shop.row_of("endpoint").paused_at
    assert shop.row_of("watermark").paused_at
    shop.recreate_views()
    assert check(started).held is None
    assert shop.row_of("endpoint").paused_at is None
    assert shop.row_of("watermark").paused_at is None


def test_a_missing_view_is_never_accepted(started: FeedHarness) -> None:
    """A comparison between DROP and CREATE changes nothing: the keys stay known."""
    started.shop.sql("DROP VIEW syncd.purchases")
    assert check(started) == IdentityCheck()
    started.shop.recreate_views()
    assert check(started).held is None


def test_a_view_with_only_new_orders_is_accepted(started: FeedHarness) -> None:
    """It lists no known order under any key: nothing can be sent again."""
    started.shop.confirm(5)
    started.poll()
    started.shop.sql(SWAP)
    started.shop.recreate_views()
    started.shop.sql("SELECT pg_sleep(1.1)")
    started.shop.confirm(5)
    assert check(started).held is None


def test_a_pause_by_a_person_survives_the_end_of_a_hold(started: FeedHarness) -> None:
    """A hold that ends resumes only what it paused itself."""
    shop = started.shop
    shop.confirm(3)
    started.poll()
    shop.update("endpoint", {"paused_at": ago(), "paused_reason": "mine"})
    shop.sql(TO_UUID + UUID_VIEWS)
    shop.sql(f"GRANT SELECT ON ALL TABLES IN SCHEMA syncd TO {shop.role}")
    assert check(started).held
    shop.recreate_views()
    assert check(started).held is None
    assert shop.row_of("endpoint").paused_reason == "mine"
    assert shop.row_of("watermark").paused_at is None


def test_a_comparison_is_cheap(started: FeedHarness) -> None:
    """Without changes it writes nothing, and takes one statement each."""
    started.shop.confirm(1)
    started.poll()
    check(started)
    with closing(Database(started.shop.owner)):
        version = "SELECT xmin::text FROM syncd.identity"
        before = started.shop.ledger(version)
        check(started)
        assert started.shop.ledger(version) == before


# Rebinding


def rebinding(started: FeedHarness) -> KeyRebinding:
    return KeyRebinding(started.source, started.ledger, guard(started), size=100)


def test_orders_keep_their_state_under_their_new_keys(shop: Shop) -> None:
    """Initial orders stay initial, known ones known; new ones are captured."""
    shop.confirm(5)
    with closing(FeedHarness(shop)) as started:
        shop.confirm(5)
        assert started.poll() == 5
        shop.sql(TO_UUID + UUID_VIEWS)
        shop.sql(f"GRANT SELECT ON ALL TABLES IN SCHEMA syncd TO {shop.role}")
        assert check(started).held
        shop.confirm(2)
        shop.insert(
            "reconciliation",
            feed_id=1,
            scope="hours",
            lower_at=ago(hours=1),
            upper_at=ago(),
            reached_at=ago(minutes=1),
            reached_key="7",
        )
        plan = rebinding(started).plan()
        assert (plan.renamed, plan.before, plan.unmatched, plan.new) == (5, 5, 0, 2)
        assert rebinding(started).rebind(None) == plan
        assert shop.row_of("reconciliation").reached_key is None
        shop.delete("reconciliation")
        assert check(started).held is None
        assert started.poll(whole=True) == 2
        started.backdate("1 hour")
        account = started.tally()
        assert (account.missing, account.initial) == (0, 5)
        known = [len(order.order_key) for order in shop.rows_of("ledger")]
        assert known == [36] * 7


def test_an_unreadable_row_is_matched_by_its_time(
    started: FeedHarness,
) -> None:
    """Its number is unknown, but those of the others are; each page is reported."""
    shop = started.shop
    shop.confirm(20)
    shop.sql("UPDATE orders SET confirmed_at = confirmed_at - id * interval '1 ms'")
    started.poll()
    number = "CASE id WHEN 7 THEN 1 / (id - 7) ELSE id END"
    shop.sql(TO_UUID + UUID_VIEWS.replace("'W-' || id", f"'W-' || {number}"))
    shop.sql(f"GRANT SELECT ON ALL TABLES IN SCHEMA syncd TO {shop.role}")
    assert check(started).held
    seen: list[tuple[str, int]] = []
    done = rebinding(started).rebind(None, lambda *more: seen.append(more))
    assert (done.renamed, done.unmatched) == (20, 0)
    assert seen == [("read", 20), ("matched", 20)]


def test_a_role_without_temporary_tables_is_refused_with_the_grant(
    started: FeedHarness,
) -> None:
    """PUBLIC has the privilege unless it was revoked; nothing is changed."""
    shop = started.shop
    name = shop.value("SELECT current_database()")
    shop.sql(f"REVOKE TEMPORARY ON DATABASE {name} FROM PUBLIC")
    with pytest.raises(PermissionDeniedError) as refused:
        rebinding(started).plan()
    assert "Grant TEMPORARY on the database" in refused.value.hint
    shop.sql(f"GRANT TEMPORARY ON DATABASE {name} TO {shop.role}")
    assert rebinding(started).plan().renamed == 0


def test_initial_orders_with_other_keys_hold_the_feed(shop: Shop) -> None:
    """Nothing was sent yet, and every initial order would count as new."""
    shop.confirm(5)
    with closing(FeedHarness(shop)) as started:
        shop.sql(TO_UUID + UUID_VIEWS.replace("uid AS", "id + 5000 AS"))
        shop.sql(f"GRANT SELECT ON ALL TABLES IN SCHEMA syncd TO {shop.role}")
        with pytest.raises(ViewsChangedError):
            started.poll()
        assert check(started).held


def test_a_person_decides_about_orders_that_cannot_be_matched(
    started: FeedHarness,
) -> None:
    """Refused without a decision; if sent, each counts as a possible repeat."""
    shop = started.shop
    shop.confirm(3)
    started.poll()
    shop.sql(TO_UUID + UUID_VIEWS.replace("'W-' || id", "'N-' || id"))
    shop.sql("UPDATE orders SET confirmed_at = confirmed_at + interval '3 ms'")
    shop.sql(f"GRANT SELECT ON ALL TABLES IN SCHEMA syncd TO {shop.role}")
    assert check(started).held
    with pytest.raises(UndecidedError, match="3 orders may have been sent"):
        rebinding(started).rebind(None)
    assert [order.order_key for order in shop.rows_of("ledger")] == ["1", "2", "3"]
    assert rebinding(started).rebind("send").unmatched == 3
    uncertain = [b.orders for b in shop.rows_of("batch") if b.uncertain_attempts > 0]
    assert sum(uncertain) == 3
    assert started.poll(whole=True) == 0


@pytest.mark.parametrize("which", ["ALL", "syncd_update_shop"])
def test_disabled_triggers_are_reported(started: FeedHarness, which: str) -> None:
    """An import may not enable them again; installing again does."""
    started.shop.listen()
    assert check(started, "listen") == IdentityCheck()
    started.shop.sql(f"ALTER TABLE orders DISABLE TRIGGER {which}")
    (found,) = check(started, "listen").replaced
    assert "no enabled trigger" in found.reason
    assert found.next_step == "`syncd install --listen public.orders:KEYCOLUMN`"
    started.shop.listen("public.orders:id")
    assert check(started, "listen") == IdentityCheck()


# What the views read, when they were not replaced

HIDDEN = """
ALTER TABLE orders OWNER TO {role}_owner;
ALTER VIEW syncd.confirmed_orders OWNER TO {role}_owner;
ALTER TABLE orders ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
"""


@pytest.mark.parametrize(
    "hide",
    [HIDDEN, "UPDATE orders SET confirmed_at = NULL", "DELETE FROM orders"],
    ids=["row level security", "no time", "deleted"],
)
def test_views_that_no_longer_list_the_newest_orders_are_reported(
    started: FeedHarness, hide: str
) -> None:
    """Row level security, for example, may hide new orders until one is listed."""
    shop = started.shop
    shop.confirm(3)
    started.poll()
    assert check(started).unlisted is None
    shop.sql(f"CREATE ROLE {shop.role}_owner")
    shop.sql(hide.replace("{role}", shop.role))
    found = check(started)
    assert found.unlisted == guard(started).preview().unlisted
    assert "3 of the 3 newest known orders" in str(found.unlisted)
    assert found.held is None
    shop.sql("ALTER TABLE orders DISABLE ROW LEVEL SECURITY")
    shop.confirm()
    started.poll()
    assert check(started).unlisted is None
    shop.sql(f"REASSIGN OWNED BY {shop.role}_owner TO CURRENT_USER")
    shop.sql(f"DROP ROLE {shop.role}_owner")


def test_a_few_cancelled_orders_are_no_finding(started: FeedHarness) -> None:
    """Orders older than a listed one are none either."""
    started.shop.confirm(5)
    started.poll()
    started.shop.sql("DELETE FROM orders WHERE id > 3")
    assert check(started) == IdentityCheck()
    started.shop.confirm()
    started.poll()
    started.shop.sql("DELETE FROM orders WHERE id <= 3")
    assert check(started) == IdentityCheck()


def test_keys_that_were_rewritten_in_the_table_hold_the_feed(
    started: FeedHarness,
) -> None:
    """The views are unchanged; nothing is sent again under the new keys."""
    shop = started.shop
    shop.confirm(5)
    started.poll()
    shop.sql(
        "ALTER TABLE orders ALTER id DROP IDENTITY; UPDATE orders SET id = id + 900"
    )
    found = check(started)
    assert "list other keys now" in str(found.held)
    assert found == check(started)
    with pytest.raises(PausedError):
        started.poll()
    assert rebinding(started).rebind(None).renamed == 5
    assert check(started) == IdentityCheck()
    assert started.poll(whole=True) == 0


def test_orders_from_the_past_wait_for_a_comparison(started: FeedHarness) -> None:
    """Three unknown ones may be known ones under other keys; two are no coincidence."""
    shop = started.shop
    shop.confirm(5)
    started.poll()
    shop.shift("identity", timedelta(hours=-1), "compared_at")
    old = "INSERT INTO orders (confirmed_at) SELECT now() - interval '2 minutes' "
    shop.sql(old + "FROM generate_series(1, 2)")
    assert started.poll(whole=True) == 2
    shop.sql(old + "FROM generate_series(1, 3)")
    with pytest.raises(ViewsChangedError, match="from the past"):
        started.poll(whole=True)
    assert shop.captured() == 7
    guard(started).note_compared()
    assert started.poll(whole=True) == 3


def test_a_reconciliation_captures_nothing_under_rewritten_keys(
    started: FeedHarness,
) -> None:
    """It does not matter whether it or the guard detects them first."""
    shop = started.shop
    shop.confirm(5)
    started.poll()
    shop.sql(
        "ALTER TABLE orders ALTER id DROP IDENTITY; UPDATE orders SET id = id + 900"
    )
    started.backdate("1 hour")
    with pytest.raises(ViewsChangedError):
        started.reconcile()
    assert shop.captured() == 5
    assert check(started).held


def test_a_schema_that_the_role_may_not_use_is_compared_as_well(shop: Shop) -> None:
    """The role reads the views alone; a schema swapped under them is named."""
    swap = "CREATE SCHEMA sales; ALTER TABLE orders SET SCHEMA sales"
    shop.sql(swap)
    with closing(FeedHarness(shop)) as started:
        shop.sql("INSERT INTO sales.orders (confirmed_at) VALUES (now())")
        assert started.poll() == 1
        assert check(started) == IdentityCheck()
        shop.sql("ALTER SCHEMA sales RENAME TO sales_old; CREATE SCHEMA sales")
        assert check(started) == IdentityCheck()
        shop.sql("CREATE TABLE sales.orders (LIKE sales_old.orders)")
        (found,) = check(started).replaced
        assert found.table == "sales.orders"
