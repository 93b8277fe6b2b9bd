from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from support.desk import Desk
from support.ledgers import ago
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


def test_orders_arrive_in_order_of_confirmation(desk: Desk) -> None:
    """Batches go one after the other, and each holds its orders as confirmed."""
    orders = [order for _ in range(5) for order in desk.confirm(5)]
    desk.deliver_all()
    assert desk.received() == orders
    assert desk.posts(orders) == [1] * 25
    assert desk.left() == 0


def test_a_long_outage_changes_nothing_about_the_order(desk: Desk) -> None:
    """However often the first batch was tried before."""
    orders = [order for _ in range(5) for order in desk.confirm(desk.size)]
    desk.sandbox.fail("server-error", times=12, status=503)
    for _ in range(12):
        desk.deliver()
        desk.shop.end_back_off()
    desk.deliver_all()
    assert desk.received() == orders
    assert desk.left() == 0


def test_a_batch_that_is_never_answered_does_not_block_the_others(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even after it alone has made the feed hold."""
    monkeypatch.setattr("syncd.delivery.settlement.random.random", lambda: 0.9)
    poison = desk.confirm(1)
    desk.sandbox.fail("drop-before-reading", times=7)
    for _ in range(7):
        desk.deliver()
        desk.hurry()
    assert desk.endpoint()[0] == "held"
    desk.sandbox.fail("drop-before-reading", times=1)
    desk.deliver()
    others = desk.confirm(3)
    desk.shop.end_back_off()
    desk.deliver_all()
    assert desk.posts(others) == [1, 1, 1]
    assert desk.posts(poison) == [0]


BAD = {
    "negative": (
        {"products": """'[{"id": "MUG-1", "quantity": -1}]'"""},
        "products[0].quantity is not a whole number of at least 1",
    ),
    "address": ({"email": "'nowhere'"}, "email is not an address"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_order_is_rejected_with_its_reason(desk: Desk, name: str) -> None:
    """The order is set aside in words; the others of its batch go."""
    values, reason = BAD[name]
    good = desk.confirm(2)
    (bad,) = desk.confirm(**values)
    good += desk.confirm(2)
    desk.deliver_all()
    assert desk.posts(good) == [1] * 4
    state, said = desk.set_aside()[bad]
    assert state == "rejected"
    assert reason in str(said)
    assert desk.left() == 0


def test_an_order_without_address_is_rejected_after_settling(desk: Desk) -> None:
    """A missing address is waited for, and then becomes a reason."""
    good, (bad,) = desk.confirm(2), desk.confirm(email="NULL")
    desk.deliver_all()
    assert desk.posts(good) == [1, 1]
    assert desk.set_aside() == {}
    desk.finish()
    assert desk.set_aside() == {bad: ("rejected", "email is missing")}


def test_an_unreadable_row_is_isolated(desk: Desk) -> None:
    """A row whose cast fails stops neither the daemon nor the orders beside it."""
    desk.shop.sql(
        "CREATE OR REPLACE VIEW syncd.purchases AS SELECT id AS order_key, "
        "'W-' || id AS orderid, email, 'EUR' AS currency, "
        "CASE total WHEN 7 THEN (total || 'x')::numeric ELSE total END AS totalvalue, "
        "products FROM orders"
    )
    good, (bad,) = desk.confirm(3), desk.confirm(total="7")
    desk.deliver_all()
    good += desk.confirm(4)
    desk.finish_hurriedly()
    assert desk.posts(good) == [1] * 7
    state, reason = desk.set_aside()[bad]
    assert (state, "22P02" in str(reason)) == ("rejected", True)
    assert desk.sandbox.book.totals.repeats == 0


def test_a_view_that_fails_for_every_order_rejects_none(desk: Desk) -> None:
    """When no row can be read, the view broke: orders wait until it is mended."""
    good = desk.shop.value("SELECT pg_get_viewdef('syncd.purchases'::regclass)")
    desk.shop.sql(
        "CREATE OR REPLACE VIEW syncd.purchases AS SELECT id AS order_key, "
        "'W-' || id AS orderid, email, 'EUR' AS currency, "
        "(total || 'x')::numeric AS totalvalue, products FROM orders"
    )
    orders = desk.confirm(20)
    for _ in range(10):
        desk.deliver_all()
        desk.hurry()
    assert desk.set_aside() == {}
    desk.shop.sql(f"CREATE OR REPLACE VIEW syncd.purchases AS {good}")
    desk.finish_hurriedly()
    assert desk.posts(orders) == [1] * 20


def test_lines_that_arrive_later_are_waited_for(desk: Desk) -> None:
    """An order whose lines another transaction brings is sent with them."""
    (early,) = desk.confirm(products="'[]'")
    desk.deliver_all()
    assert desk.posts([early]) == [0]
    desk.shop.sql("UPDATE orders SET products = DEFAULT")
    desk.finish()
    assert desk.posts([early]) == [1]
    assert desk.set_aside() == {}


def test_an_order_that_left_both_views_is_withdrawn(desk: Desk) -> None:
    """It is not sent, and only after a settling time is it given up."""
    (gone,), (kept,) = desk.confirm(), desk.confirm()
    desk.shop.sql("DELETE FROM orders WHERE id = 1")
    desk.deliver_all()
    assert desk.set_aside() == {}
    desk.finish()
    assert desk.set_aside()[gone][0] == "withdrawn"
    assert desk.posts([gone, kept]) == [0, 1]


def test_a_confirmed_order_without_a_row_is_rejected_not_withdrawn(desk: Desk) -> None:
    """An order that `purchases` lacks while it is confirmed is a fault of the view."""
    desk.shop.sql(
        "CREATE OR REPLACE VIEW syncd.purchases AS SELECT id AS order_key, "
        "'W-' || id AS orderid, email, 'EUR' AS currency, total AS totalvalue, "
        "products FROM orders WHERE total <> 7"
    )
    (hidden,) = desk.confirm(total="7")
    desk.finish()
    assert desk.set_aside()[hidden][0] == "rejected"


def test_single_events_are_sent_one_by_one(
    shop: Shop, sandbox: Sandbox, tmp_path: Path
) -> None:
    """With `payload = "single"` each order is a POST of its own, in order."""
    desk = Desk(shop, sandbox, tmp_path, payload="single")
    orders = desk.confirm(3)
    shop.confirm(4)
    desk.admit(size=100)  # a batch cut before the setting was changed
    desk.deliver_all()
    desk.close()
    assert desk.received()[:3] == orders
    assert sandbox.book.totals.requests == sandbox.book.totals.events == 7


# What the API answers


@pytest.mark.parametrize("fault", ["credentials", "forbidden", "not-found", "redirect"])
def test_a_refusal_of_us_holds_everything(desk: Desk, fault: str) -> None:
    """Nothing more is sent, no order is blamed, and all arrive once it is mended."""
    unread = {"status": 307} if fault == "redirect" else {}
    desk.sandbox.fail(fault, times=None, **unread)
    orders = desk.confirm(20)
    desk.deliver_all()
    assert desk.sandbox.book.totals.requests == 1
    assert desk.endpoint()[0] == "held"
    desk.sandbox.clear_faults()
    assert desk.deliver() is None
    assert desk.breaker.release()
    desk.deliver_all()
    assert sorted(desk.received()) == sorted(orders)
    assert desk.posts(orders) == [1] * 20
    assert desk.set_aside() == {}
    assert (desk.endpoint()[0], desk.uncertain()) == ("available", 0)


def test_a_server_error_is_tried_again(desk: Desk) -> None:
    """A 500 may hide a success: it counts as uncertain, and the orders arrive."""
    desk.sandbox.fail("server-error", times=2)
    orders = desk.confirm(3)
    desk.finish()
    assert desk.posts(orders) == [1] * 3
    assert desk.uncertain() == 2
    assert desk.endpoint() == ("available", 0)


@pytest.mark.parametrize("status", [501, 502, 503, 504, 520, 524])
def test_whatever_a_gateway_says_may_follow_the_work(desk: Desk, status: int) -> None:
    """The origin may have taken the batch: it is counted, and sent again."""
    desk.sandbox.fail("server-error", times=1, status=status, takes=True)
    orders = desk.confirm(3)
    desk.finish()
    assert desk.posts(orders) == [2] * 3
    assert desk.uncertain() == 1


DOUBTS: list[tuple[str, dict[str, object]]] = [
    ("accept-then-drop", {}),
    ("truncated", {}),
    ("server-error", {"takes": True}),
]


@pytest.mark.parametrize(("fault", "options"), DOUBTS)
def test_an_answer_that_never_came_is_counted_and_repeated(
    desk: Desk, fault: str, options: dict[str, object]
) -> None:
    """The repeat carries the same orderid, and the batch says that it may be one."""
    desk.sandbox.fail(fault, times=1, **options)
    orders = desk.confirm(3)
    desk.finish()
    assert desk.posts(orders) == [2] * 3
    assert desk.uncertain() == 1
    assert desk.sandbox.book.totals.orderids == 3


def test_a_refused_order_is_isolated(desk: Desk) -> None:
    """The batch is halved down to the one that the API does not take."""
    orders = desk.confirm(8)
    bad = orders[5]
    desk.sandbox.fail("refused", times=None, orderids=(bad,))
    desk.finish_hurriedly()
    assert desk.posts(orders) == [int(order != bad) for order in orders]
    assert desk.set_aside() == {bad: ("rejected", "HTTP 400 orderid is not accepted")}


def test_a_lone_refused_order_is_not_blamed_before_another_was_taken(
    desk: Desk,
) -> None:
    """Only an endpoint that takes other orders proves that this one is bad."""
    (bad,) = desk.confirm()
    desk.sandbox.fail("refused", times=None, orderids=(bad,))
    for _ in range(4):
        desk.deliver_all()
        desk.hurry()
    assert desk.set_aside() == {}
    good = desk.confirm(2)
    desk.finish_hurriedly()
    assert desk.posts([bad, *good]) == [0, 1, 1]
    assert desk.set_aside()[bad][0] == "rejected"


def test_a_refusal_of_everything_holds_and_rejects_nothing(desk: Desk) -> None:
    """When every order is refused, it is the contract that broke."""
    orders = desk.confirm(40)
    desk.sandbox.fail("refused", times=None)

    def is_held() -> bool:
        desk.hurry()
        desk.deliver_all()
        return desk.endpoint()[0] == "held"

    wait_until(is_held)
    assert desk.set_aside() == {}
    desk.sandbox.clear_faults()
    desk.finish_hurriedly()
    assert desk.posts(orders) == [1] * 40
    assert desk.set_aside() == {}


@pytest.mark.parametrize("form", ["seconds", "http-date"])
def test_retry_after_is_respected(desk: Desk, form: str) -> None:
    """Nothing is sent before the time that the API asked for."""
    desk.sandbox.fail("too-many-requests", retry_after_seconds=60, form=form)
    desk.confirm(3)
    desk.deliver_all()
    wait = cast("float", desk.ledger.next_due().seconds)
    assert 55 < wait <= 60
    assert desk.sandbox.book.totals.requests == 1
    assert desk.uncertain() == 0


def test_a_body_that_is_too_large_is_halved(desk: Desk) -> None:
    """Halves that fit are sent, nothing is rejected, and the order is kept."""
    desk.sandbox.fail("too-large", times=None, limit_bytes=700)
    orders = desk.confirm(8)
    desk.deliver_all()
    assert desk.received() == orders
    assert desk.posts(orders) == [1] * 8
    assert desk.uncertain() == 0


# Claims


def test_a_late_failure_is_fenced_off(desk: Desk) -> None:
    """Whoever lost a claim cannot put the batch of the new owner back."""
    desk.confirm()
    first = desk.claim()
    desk.let_lease_pass()
    second = desk.claim()
    assert (first.batch_id, second.attempt, second.uncertain) == (second.batch_id, 2, 1)
    assert not desk.ledger.requeue(first, UNCLEAR)
    assert desk.shop.row_of("batch").state == "sending"
    assert desk.accept(second) == 1


@pytest.mark.parametrize("is_claimed_again", [False, True])
def test_a_late_success_is_accepted(desk: Desk, *, is_claimed_again: bool) -> None:
    """What arrived has arrived, whoever holds the claim by now."""
    desk.confirm()
    first = desk.claim()
    desk.let_lease_pass()
    second = desk.claim() if is_claimed_again else None
    assert desk.accept(first) == 1
    if second:
        assert not desk.ledger.requeue(second, UNCLEAR)
        assert desk.accept(second) is None
    assert desk.shop.row_of("batch").state == "delivered"
    assert desk.ledger.claim(desk.instance.number, "live", LEASE) is None


@pytest.mark.parametrize("way", ["postpone", "reject"])
def test_who_lost_a_claim_does_not_settle_orders_that_it_left_out(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """A worker that slept through its lease may not deliver what it did not send."""
    desk.confirm(2)
    email = "NULL" if way == "postpone" else "'nowhere'"
    (unready,) = desk.confirm(email=email)
    render = Renderer.render

    def sleep_through_lease(
        self: Renderer, claim: Claim, rows: Mapping[str, str]
    ) -> Rendered:
        rendered = render(self, claim, rows)
        monkeypatch.undo()
        desk.let_lease_pass()
        return rendered

    monkeypatch.setattr(Renderer, "render", sleep_through_lease)
    desk.deliver()
    desk.shop.sql("UPDATE orders SET email = 'mila@example.com'")
    desk.finish()
    assert desk.sandbox.book.posts(unready) >= 1


@pytest.mark.parametrize("is_lost", [True, False])
def test_a_claim_is_renewed_before_a_late_post(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, *, is_lost: bool
) -> None:
    """Who slept through the lease does not send what another may be sending."""
    orders = desk.confirm(2)
    claim_it = desk.ledger.claim

    def take_long(*args: Any, **options: Any) -> Claim | None:  # noqa: ANN401
        claim = claim_it(*args, **options)
        desk.shop.update("batch", {"lease_until": ago(seconds=-1)})
        if is_lost:
            desk.let_lease_pass()
        return claim

    desk.delivery.fresh_seconds = 0
    monkeypatch.setattr(desk.ledger, "claim", take_long)
    sent = desk.deliver()
    monkeypatch.undo()
    assert sent == (DeliveryResult() if is_lost else DeliveryResult(2, accepted=True))
    desk.finish()
    assert desk.posts(orders) == [1, 1]


def test_a_claim_brings_the_rows_of_its_orders(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One exchange with the database, not two."""
    orders = desk.confirm(3)
    monkeypatch.setattr(desk.source, "read_json", None)
    assert desk.deliver() == DeliveryResult(3, accepted=True)
    assert desk.posts(orders) == [1] * 3


def test_without_a_due_batch_the_view_is_not_read(desk: Desk) -> None:
    """However dear a look at it may be: this one reads all orders for any."""
    made = str(desk.shop.value("SELECT pg_get_viewdef('syncd.purchases'::regclass)"))
    whole = f"{made.rstrip(';')} OFFSET 0"
    desk.shop.sql(f"CREATE OR REPLACE VIEW syncd.purchases AS {whole}")
    desk.confirm(3)
    desk.finish()
    before = looks_at_orders(desk)
    assert desk.deliver() is None
    assert looks_at_orders(desk) == before


def looks_at_orders(desk: Desk) -> object:
    desk.database.run(Statement(b"SELECT pg_stat_force_next_flush()"))
    return desk.shop.value(
        "SELECT coalesce(seq_scan, 0) + coalesce(idx_scan, 0) "
        "FROM pg_stat_user_tables WHERE relname = 'orders'"
    )


def test_an_exempted_order_is_counted_once(desk: Desk) -> None:
    """Setting an order aside again, or from a lost claim, changes nothing."""
    desk.confirm(2)
    first = desk.claim()
    exemption = ExcludedOrder(first.orders[0].key, "rejected", "bad", "W-1")
    desk.ledger.exclude_orders(first, [exemption])
    desk.ledger.exclude_orders(first, [exemption])
    assert desk.shop.row_of("batch").orders == 1
    desk.let_lease_pass()
    other = ExcludedOrder(first.orders[1].key, "rejected", "bad", "W-2")
    desk.ledger.exclude_orders(first, [other])
    assert desk.shop.row_of("batch").orders == 1


def test_two_workers_share_the_batches(
    shop: Shop, sandbox: Sandbox, tmp_path: Path
) -> None:
    """Two daemons over one ledger never send the same order twice."""
    desks = [Desk(shop, sandbox, tmp_path, batch_size=2) for _ in range(2)]
    desks[0].confirm(120)
    with ThreadPoolExecutor() as pool:
        list(pool.map(Desk.deliver_all, desks))
    for desk in desks:
        desk.deliver_all()
        desk.close()
    totals = sandbox.book.totals
    assert (totals.orderids, totals.repeats) == (120, 0)
    assert len({attempt.instance_id for attempt in shop.rows_of("attempt")}) == 2


def terminate(shop: Shop) -> None:
    shop.sql(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
        "WHERE datname = current_database() AND application_name LIKE 'syncd%'"
    )


def test_an_outage_between_post_and_settlement_repeats_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the API said is kept, and settled once the database is back."""
    orders = desk.confirm(3)
    post = Squeezely.post

    def post_and_break(self: Squeezely, body: bytes) -> object:
        answer = post(self, body)
        terminate(desk.shop)
        return answer

    monkeypatch.setattr(Squeezely, "post", post_and_break)
    with pytest.raises(DatabaseUnavailableError):
        desk.deliver()
    monkeypatch.undo()
    desk.finish()
    assert desk.posts(orders) == [1] * 3
    assert desk.uncertain() == 0


def test_an_outage_while_reading_repeats_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A claim whose orders could not be read is given back, not left to its lease."""
    orders = desk.confirm(3)
    read = desk.source.read_json

    def break_and_read(keys: list[str]) -> dict[str, str]:
        monkeypatch.undo()
        terminate(desk.shop)
        return read(keys)

    monkeypatch.setattr(desk.source, "reading_claimed", lambda: None)
    monkeypatch.setattr(desk.source, "read_json", break_and_read)
    with pytest.raises(DatabaseUnavailableError):
        desk.deliver()
    desk.finish()
    assert desk.posts(orders) == [1] * 3
    assert desk.uncertain() == 0


# Daemons


def test_two_daemons_send_no_order_twice_and_tell_no_secret(
    shop: Shop, sandbox: Sandbox, tmp_path: Path
) -> None:
    """Side by side, through outages and refusals, each order goes once, unnamed."""
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
    wait_until(lambda: all(sandbox.book.posts(order) for order in orders))
    for daemon in daemons:
        daemon.terminate()
    assert [daemon.wait(60) for daemon in daemons] == [0, 0]
    may_repeat = sum(b.uncertain_attempts * b.orders for b in shop.rows_of("batch"))
    assert sandbox.book.totals.repeats <= may_repeat
    text = "".join(log.read_text() for log in logs)
    assert "batch.delivered" in text
    for secret in ("sandbox-key", "mila", "not.an.address", "MUG-1"):
        assert secret not in text


def test_a_lock_in_another_database_is_no_sign_of_life(desk: Desk) -> None:
    """Two ledgers of one server number their instances alike."""
    desk.confirm(2)
    desk.claim()
    desk.shop.update("instance", {"pid": 2147483647})
    desk.let_die()
    elsewhere = make_conninfo(desk.shop.owner, dbname="postgres")
    with (
        psycopg.connect(elsewhere, autocommit=True) as other,
        closing(Database(desk.shop.dsn)) as database,
    ):
        other.execute(
            "SELECT pg_advisory_lock(1937337955, %s)", (desk.instance.number,)
        )
        heir = Instance(database, desk.ledger.feed_id)
        assert [orders for _, _, orders in heir.sweep()] == [2]
