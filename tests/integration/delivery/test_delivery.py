from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from support.feed_harness import ago
from support.harness import Harness
from support.postgres import wait_until
from support.shop import Shop

from syncd.core.errors import DatabaseUnavailableError
from syncd.delivery.delivery import DeliveryResult
from syncd.delivery.rendering import Rendered, Renderer
from syncd.delivery.squeezely import Squeezely
from syncd.demo.sandbox import Sandbox
from syncd.ledger.claim import Claim, ExcludedOrder, Receipt
from syncd.ledger.instance import Instance
from syncd.postgres.database import Database
from syncd.postgres.statements import Statement

pytestmark = pytest.mark.db

LEASE = timedelta(seconds=30)
KEY = {"SYNCD_SQUEEZELY_API_KEY": "sandbox-key"}
UNCLEAR = Receipt("unclear", None, "no answer in time", 1)


# What is sent


def test_orders_arrive_in_order_of_confirmation(harness: Harness) -> None:
    """Batches are sent one after the other, each with its orders as confirmed."""
    orders = [order for _ in range(5) for order in harness.confirm(5)]
    harness.deliver_all()
    assert harness.received() == orders
    assert harness.posts(orders) == [1] * 25
    assert harness.shop.unsettled() == 0


def test_a_long_outage_does_not_change_the_order_of_sending(harness: Harness) -> None:
    """The number of attempts of the first batch does not matter."""
    orders = [order for _ in range(5) for order in harness.confirm(harness.size)]
    harness.sandbox.fail("server-error", times=12, status=503)
    for _ in range(12):
        harness.deliver()
        harness.shop.end_back_off()
    harness.deliver_all()
    assert harness.received() == orders
    assert harness.shop.unsettled() == 0


def test_a_batch_that_is_never_answered_does_not_block_the_others(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This holds even after it alone has put the feed on hold."""
    monkeypatch.setattr("syncd.delivery.settlement.random.random", lambda: 0.9)
    poison = harness.confirm(1)
    harness.sandbox.fail("drop-before-reading", times=7)
    for _ in range(7):
        harness.deliver()
        harness.end_waits()
    assert harness.endpoint()[0] == "held"
    harness.sandbox.fail("drop-before-reading", times=1)
    harness.deliver()
    others = harness.confirm(3)
    harness.shop.end_back_off()
    harness.deliver_all()
    assert harness.posts(others) == [1, 1, 1]
    assert harness.posts(poison) == [0]


BAD = {
    "negative": (
        {"products": """'[{"id": "MUG-1", "quantity": -1}]'"""},
        "products[0].quantity is not a whole number of at least 1",
    ),
    "address": ({"email": "'nowhere'"}, "email is not an address"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_order_is_rejected_with_its_reason(harness: Harness, name: str) -> None:
    """It is set aside with a readable reason; the others of its batch are sent."""
    values, reason = BAD[name]
    good = harness.confirm(2)
    (bad,) = harness.confirm(**values)
    good += harness.confirm(2)
    harness.deliver_all()
    assert harness.posts(good) == [1] * 4
    state, cause = harness.set_aside()[bad]
    assert state == "rejected"
    assert reason in str(cause)
    assert harness.shop.unsettled() == 0


def test_an_order_without_address_is_rejected_after_the_settling_time(
    harness: Harness,
) -> None:
    """A missing address is waited for first."""
    good, (bad,) = harness.confirm(2), harness.confirm(email="NULL")
    harness.deliver_all()
    assert harness.posts(good) == [1, 1]
    assert harness.set_aside() == {}
    harness.finish()
    assert harness.set_aside() == {bad: ("rejected", "email is missing")}


def test_an_unreadable_row_is_isolated(harness: Harness) -> None:
    """A row whose cast fails stops neither the daemon nor the other orders."""
    harness.shop.sql(
        "CREATE OR REPLACE VIEW syncd.purchases AS SELECT id AS order_key, "
        "'W-' || id AS orderid, email, 'EUR' AS currency, "
        "CASE total WHEN 7 THEN (total || 'x')::numeric ELSE total END AS totalvalue, "
        "products FROM orders"
    )
    good, (bad,) = harness.confirm(3), harness.confirm(total="7")
    harness.deliver_all()
    good += harness.confirm(4)
    harness.finish(without_waits=True)
    assert harness.posts(good) == [1] * 7
    state, reason = harness.set_aside()[bad]
    assert (state, "22P02" in str(reason)) == ("rejected", True)
    assert harness.sandbox.received.totals.repeats == 0


def test_a_view_that_fails_for_every_order_rejects_none(harness: Harness) -> None:
    """When no row can be read, the view is broken: orders wait until it is fixed."""
    good = harness.shop.value("SELECT pg_get_viewdef('syncd.purchases'::regclass)")
    harness.shop.sql(
        "CREATE OR REPLACE VIEW syncd.purchases AS SELECT id AS order_key, "
        "'W-' || id AS orderid, email, 'EUR' AS currency, "
        "(total || 'x')::numeric AS totalvalue, products FROM orders"
    )
    orders = harness.confirm(20)
    for _ in range(10):
        harness.deliver_all()
        harness.end_waits()
    assert harness.set_aside() == {}
    harness.shop.sql(f"CREATE OR REPLACE VIEW syncd.purchases AS {good}")
    harness.finish(without_waits=True)
    assert harness.posts(orders) == [1] * 20


def test_lines_that_arrive_later_are_waited_for(harness: Harness) -> None:
    """An order whose lines another transaction adds is sent with them."""
    (early,) = harness.confirm(products="'[]'")
    harness.deliver_all()
    assert harness.posts([early]) == [0]
    harness.shop.sql("UPDATE orders SET products = DEFAULT")
    harness.finish()
    assert harness.posts([early]) == [1]
    assert harness.set_aside() == {}


def test_an_order_that_left_both_views_is_withdrawn(harness: Harness) -> None:
    """It is not sent, and given up only after the settling time."""
    (gone,), (kept,) = harness.confirm(), harness.confirm()
    harness.shop.sql("DELETE FROM orders WHERE id = 1")
    harness.deliver_all()
    assert harness.set_aside() == {}
    harness.finish()
    assert harness.set_aside()[gone][0] == "withdrawn"
    assert harness.posts([gone, kept]) == [0, 1]


def test_a_confirmed_order_without_a_row_is_rejected_not_withdrawn(
    harness: Harness,
) -> None:
    """A confirmed order that `purchases` lacks is a fault of the view."""
    harness.shop.sql(
        "CREATE OR REPLACE VIEW syncd.purchases AS SELECT id AS order_key, "
        "'W-' || id AS orderid, email, 'EUR' AS currency, total AS totalvalue, "
        "products FROM orders WHERE total <> 7"
    )
    (hidden,) = harness.confirm(total="7")
    harness.finish()
    assert harness.set_aside()[hidden][0] == "rejected"


def test_single_events_are_sent_one_by_one(
    shop: Shop, sandbox: Sandbox, tmp_path: Path
) -> None:
    """With `payload = "single"` each order is a POST of its own, in order."""
    harness = Harness(shop, sandbox, tmp_path, payload="single")
    orders = harness.confirm(3)
    shop.confirm(4)
    harness.admit(size=100)  # a batch built before the setting was changed
    harness.deliver_all()
    harness.close()
    assert harness.received()[:3] == orders
    assert sandbox.received.totals.requests == sandbox.received.totals.events == 7


# Responses of the API


@pytest.mark.parametrize("fault", ["credentials", "forbidden", "not-found", "redirect"])
def test_a_client_refusal_holds_all_sending(harness: Harness, fault: str) -> None:
    """No order is rejected for it, and all arrive once the cause is fixed."""
    unread = {"status": 307} if fault == "redirect" else {}
    harness.sandbox.fail(fault, times=None, **unread)
    orders = harness.confirm(20)
    harness.deliver_all()
    assert harness.sandbox.received.totals.requests == 1
    assert harness.endpoint()[0] == "held"
    harness.sandbox.clear_faults()
    assert harness.deliver() is None
    assert harness.breaker.release()
    harness.deliver_all()
    assert sorted(harness.received()) == sorted(orders)
    assert harness.posts(orders) == [1] * 20
    assert harness.set_aside() == {}
    assert (harness.endpoint()[0], harness.shop.uncertain_attempts()) == (
        "available",
        0,
    )


def test_a_server_error_is_retried(harness: Harness) -> None:
    """A 500 may hide a success: it counts as uncertain, and the orders arrive."""
    harness.sandbox.fail("server-error", times=2)
    orders = harness.confirm(3)
    harness.finish()
    assert harness.posts(orders) == [1] * 3
    assert harness.shop.uncertain_attempts() == 2
    assert harness.endpoint() == ("available", 0)


@pytest.mark.parametrize("status", [501, 502, 503, 504, 520, 524])
def test_an_error_status_of_a_gateway_is_uncertain(
    harness: Harness, status: int
) -> None:
    """The origin may have accepted the batch: it is counted, and sent again."""
    harness.sandbox.fail("server-error", times=1, status=status, takes=True)
    orders = harness.confirm(3)
    harness.finish()
    assert harness.posts(orders) == [2] * 3
    assert harness.shop.uncertain_attempts() == 1


DOUBTS: list[tuple[str, dict[str, object]]] = [
    ("accept-then-drop", {}),
    ("truncated", {}),
    ("server-error", {"takes": True}),
]


@pytest.mark.parametrize(("fault", "options"), DOUBTS)
def test_an_attempt_without_response_is_counted_and_repeated(
    harness: Harness, fault: str, options: dict[str, object]
) -> None:
    """The repeat has the same orderid, and the batch counts it as possible."""
    harness.sandbox.fail(fault, times=1, **options)
    orders = harness.confirm(3)
    harness.finish()
    assert harness.posts(orders) == [2] * 3
    assert harness.shop.uncertain_attempts() == 1
    assert harness.sandbox.received.totals.orderids == 3


def test_a_refused_order_is_isolated(harness: Harness) -> None:
    """The batch is halved down to the one order that the API refuses."""
    orders = harness.confirm(8)
    bad = orders[5]
    harness.sandbox.fail("refused", times=None, orderids=(bad,))
    harness.finish(without_waits=True)
    assert harness.posts(orders) == [int(order != bad) for order in orders]
    assert harness.set_aside() == {
        bad: ("rejected", "HTTP 400 orderid is not accepted")
    }


def test_a_lone_refused_order_is_not_rejected_before_another_is_accepted(
    harness: Harness,
) -> None:
    """Only an endpoint that accepts other orders proves that this one is bad."""
    (bad,) = harness.confirm()
    harness.sandbox.fail("refused", times=None, orderids=(bad,))
    for _ in range(4):
        harness.deliver_all()
        harness.end_waits()
    assert harness.set_aside() == {}
    good = harness.confirm(2)
    harness.finish(without_waits=True)
    assert harness.posts([bad, *good]) == [0, 1, 1]
    assert harness.set_aside()[bad][0] == "rejected"


def test_a_refusal_of_every_order_holds_and_rejects_nothing(harness: Harness) -> None:
    """When every order is refused, the contract has changed."""
    orders = harness.confirm(40)
    harness.sandbox.fail("refused", times=None)

    def is_held() -> bool:
        harness.end_waits()
        harness.deliver_all()
        return harness.endpoint()[0] == "held"

    wait_until(is_held)
    assert harness.set_aside() == {}
    harness.sandbox.clear_faults()
    harness.finish(without_waits=True)
    assert harness.posts(orders) == [1] * 40
    assert harness.set_aside() == {}


@pytest.mark.parametrize("form", ["seconds", "http-date"])
def test_retry_after_is_respected(harness: Harness, form: str) -> None:
    """Nothing is sent before the time that the API requested."""
    harness.sandbox.fail("too-many-requests", retry_after_seconds=60, form=form)
    harness.confirm(3)
    harness.deliver_all()
    wait = cast("float", harness.ledger.next_due().seconds)
    assert 55 < wait <= 60
    assert harness.sandbox.received.totals.requests == 1
    assert harness.shop.uncertain_attempts() == 0


def test_a_body_that_is_too_large_is_halved(harness: Harness) -> None:
    """Halves that fit are sent, nothing is rejected, and the order is kept."""
    harness.sandbox.fail("too-large", times=None, limit_bytes=700)
    orders = harness.confirm(8)
    harness.deliver_all()
    assert harness.received() == orders
    assert harness.posts(orders) == [1] * 8
    assert harness.shop.uncertain_attempts() == 0


# Claims


def test_a_late_failure_does_not_requeue_a_batch_claimed_again(
    harness: Harness,
) -> None:
    """A worker that lost its claim cannot requeue the batch of the new one."""
    harness.confirm()
    first = harness.claim()
    harness.expire_leases()
    second = harness.claim()
    assert (first.batch_id, second.attempt, second.uncertain) == (second.batch_id, 2, 1)
    assert not harness.ledger.requeue(first, UNCLEAR)
    assert harness.shop.row_of("batch").state == "sending"
    assert harness.accept(second) == 1


@pytest.mark.parametrize("is_claimed_again", [False, True])
def test_a_late_success_is_accepted(
    harness: Harness, *, is_claimed_again: bool
) -> None:
    """A batch that arrived is delivered, whichever claim is current."""
    harness.confirm()
    first = harness.claim()
    harness.expire_leases()
    second = harness.claim() if is_claimed_again else None
    assert harness.accept(first) == 1
    if second:
        assert not harness.ledger.requeue(second, UNCLEAR)
        assert harness.accept(second) is None
    assert harness.shop.row_of("batch").state == "delivered"
    assert harness.ledger.claim(harness.instance.number, "live", LEASE) is None


@pytest.mark.parametrize("way", ["postpone", "reject"])
def test_a_lost_claim_does_not_settle_orders_that_were_not_sent(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """A worker that overran its lease may not deliver what it left out."""
    harness.confirm(2)
    email = "NULL" if way == "postpone" else "'nowhere'"
    (unready,) = harness.confirm(email=email)
    render = Renderer.render

    def sleep_through_lease(
        self: Renderer, claim: Claim, rows: Mapping[str, str]
    ) -> Rendered:
        rendered = render(self, claim, rows)
        monkeypatch.undo()
        harness.expire_leases()
        return rendered

    monkeypatch.setattr(Renderer, "render", sleep_through_lease)
    harness.deliver()
    harness.shop.sql("UPDATE orders SET email = 'mila@example.com'")
    harness.finish()
    assert harness.sandbox.received.posts(unready) >= 1


@pytest.mark.parametrize("is_lost", [True, False])
def test_a_claim_is_renewed_before_a_late_post(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, *, is_lost: bool
) -> None:
    """A worker that overran its lease does not send what another may be sending."""
    orders = harness.confirm(2)
    claim_it = harness.ledger.claim

    def take_long(*args: Any, **options: Any) -> Claim | None:  # noqa: ANN401
        claim = claim_it(*args, **options)
        harness.shop.update("batch", {"lease_until": ago(seconds=-1)})
        if is_lost:
            harness.expire_leases()
        return claim

    harness.delivery.fresh_seconds = 0
    monkeypatch.setattr(harness.ledger, "claim", take_long)
    sent = harness.deliver()
    monkeypatch.undo()
    assert sent == (DeliveryResult() if is_lost else DeliveryResult(2, accepted=True))
    harness.finish()
    assert harness.posts(orders) == [1, 1]


def test_a_claim_brings_the_rows_of_its_orders(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Claim and rows take one exchange with the database, not two."""
    orders = harness.confirm(3)
    monkeypatch.setattr(harness.source, "read_json", None)
    assert harness.deliver() == DeliveryResult(3, accepted=True)
    assert harness.posts(orders) == [1] * 3


def test_without_a_due_batch_the_view_is_not_read(harness: Harness) -> None:
    """A view may be expensive: this one reads all orders for any key."""
    made = str(harness.shop.value("SELECT pg_get_viewdef('syncd.purchases'::regclass)"))
    whole = f"{made.rstrip(';')} OFFSET 0"
    harness.shop.sql(f"CREATE OR REPLACE VIEW syncd.purchases AS {whole}")
    harness.confirm(3)
    harness.finish()
    before = scans_of_orders(harness)
    assert harness.deliver() is None
    assert scans_of_orders(harness) == before


def scans_of_orders(harness: Harness) -> object:
    harness.database.run(Statement(b"SELECT pg_stat_force_next_flush()"))
    return harness.shop.value(
        "SELECT coalesce(seq_scan, 0) + coalesce(idx_scan, 0) "
        "FROM pg_stat_user_tables WHERE relname = 'orders'"
    )


def test_an_excluded_order_is_counted_once(harness: Harness) -> None:
    """Excluding an order again, or from a lost claim, changes nothing."""
    harness.confirm(2)
    first = harness.claim()
    exemption = ExcludedOrder(first.orders[0].key, "rejected", "bad", "W-1")
    harness.ledger.exclude_orders(first, [exemption])
    harness.ledger.exclude_orders(first, [exemption])
    assert harness.shop.row_of("batch").orders == 1
    harness.expire_leases()
    other = ExcludedOrder(first.orders[1].key, "rejected", "bad", "W-2")
    harness.ledger.exclude_orders(first, [other])
    assert harness.shop.row_of("batch").orders == 1


def test_two_workers_share_the_batches(
    shop: Shop, sandbox: Sandbox, tmp_path: Path
) -> None:
    """Two daemons on one ledger never send the same order twice."""
    harnesses = [Harness(shop, sandbox, tmp_path, batch_size=2) for _ in range(2)]
    harnesses[0].confirm(120)
    with ThreadPoolExecutor() as pool:
        list(pool.map(Harness.deliver_all, harnesses))
    for harness in harnesses:
        harness.deliver_all()
        harness.close()
    totals = sandbox.received.totals
    assert (totals.orderids, totals.repeats) == (120, 0)
    assert len({attempt.instance_id for attempt in shop.rows_of("attempt")}) == 2


def terminate(shop: Shop) -> None:
    shop.sql(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
        "WHERE datname = current_database() AND application_name LIKE 'syncd%'"
    )


def test_an_outage_between_post_and_settlement_repeats_nothing(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The response is kept, and settled once the database is back."""
    orders = harness.confirm(3)
    post = Squeezely.post

    def post_and_break(self: Squeezely, body: bytes) -> object:
        answer = post(self, body)
        terminate(harness.shop)
        return answer

    monkeypatch.setattr(Squeezely, "post", post_and_break)
    with pytest.raises(DatabaseUnavailableError):
        harness.deliver()
    monkeypatch.undo()
    harness.finish()
    assert harness.posts(orders) == [1] * 3
    assert harness.shop.uncertain_attempts() == 0


def test_an_outage_while_reading_repeats_nothing(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A claim whose orders could not be read is released at once, not by its lease."""
    orders = harness.confirm(3)
    read = harness.source.read_json

    def break_and_read(keys: list[str]) -> dict[str, str]:
        monkeypatch.undo()
        terminate(harness.shop)
        return read(keys)

    monkeypatch.setattr(harness.source, "reading_claimed", lambda: None)
    monkeypatch.setattr(harness.source, "read_json", break_and_read)
    with pytest.raises(DatabaseUnavailableError):
        harness.deliver()
    harness.finish()
    assert harness.posts(orders) == [1] * 3
    assert harness.shop.uncertain_attempts() == 0


# Daemons


def test_two_daemons_send_no_order_twice_and_log_no_secret(
    shop: Shop, sandbox: Sandbox, tmp_path: Path
) -> None:
    """Through outages and refusals each order is sent once, without personal data."""
    config = shop.configure(tmp_path, sandbox.endpoint, batch_size=3)
    logs = [tmp_path / "one.log", tmp_path / "two.log"]
    daemons = [shop.start(config, log=log) for log in logs]
    wait_until(lambda: all("daemon.started" in log.read_text() for log in logs))
    orders = []
    sandbox.fail("server-error", times=2, status=503)
    for _ in range(40):
        orders += shop.confirm(2)
    shop.sql(
        "INSERT INTO orders (confirmed_at, email) "
        "VALUES (now(), 'not.an.address') RETURNING id"
    )
    terminate(shop)
    orders += shop.confirm(10)
    wait_until(lambda: all(sandbox.received.posts(order) for order in orders))
    for daemon in daemons:
        daemon.terminate()
    assert [daemon.wait(60) for daemon in daemons] == [0, 0]
    may_repeat = sum(b.uncertain_attempts * b.orders for b in shop.rows_of("batch"))
    assert sandbox.received.totals.repeats <= may_repeat
    text = "".join(log.read_text() for log in logs)
    assert "batch.delivered" in text
    for secret in ("sandbox-key", "mila", "not.an.address", "MUG-1"):
        assert secret not in text


def test_a_lock_in_another_database_does_not_keep_a_claim_alive(
    harness: Harness,
) -> None:
    """Two ledgers of one server number their instances alike."""
    harness.confirm(2)
    harness.claim()
    harness.shop.update("instance", {"pid": 2147483647})
    harness.end_session()
    elsewhere = make_conninfo(harness.shop.owner, dbname="postgres")
    with (
        psycopg.connect(elsewhere, autocommit=True) as other,
        closing(Database(harness.shop.dsn)) as database,
    ):
        other.execute(
            "SELECT pg_advisory_lock(1937337955, %s)", (harness.instance.number,)
        )
        heir = Instance(database, harness.ledger.feed_id)
        assert [orders for _, _, orders in heir.release_dead_claims()] == [2]
