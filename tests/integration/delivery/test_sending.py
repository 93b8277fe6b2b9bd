"""Sending with faults: probes, uncertain attempts, holds, the rate."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from operator import attrgetter
from pathlib import Path

import pytest
import structlog
from support.feed_harness import ago
from support.harness import LEASE, Harness
from support.postgres import wait_until
from support.shop import Shop

from syncd.core.errors import SyncdError
from syncd.core.response import Meaning
from syncd.core.settlement import REJECTION_SPIKE_ORDERS
from syncd.daemon.delivery_loop import RateLimiter
from syncd.delivery.answers import Answers
from syncd.delivery.delivery import DeliveryResult
from syncd.demo.sandbox import Sandbox

pytestmark = pytest.mark.db


@pytest.fixture(autouse=True)
def _steady_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every jittered wait longer than zero."""
    monkeypatch.setattr("syncd.delivery.settlement.random.random", lambda: 0.9)


@pytest.fixture
def holding_harness(shop: Shop, sandbox: Sandbox, tmp_path: Path) -> Iterator[Harness]:
    """Delivery that holds batches that may have arrived."""
    opened = Harness(shop, sandbox, tmp_path, batch_size=8, on_uncertain="hold")
    yield opened
    opened.close()


# The circuit breaker


def let_time_pass(harness: Harness) -> None:
    harness.shop.update("endpoint", {"retry_at": ago(seconds=1)})


@pytest.mark.parametrize("state", ["backing_off", "held"])
def test_one_batch_probes_however_many_workers_there_are(
    shop: Shop, sandbox: Sandbox, tmp_path: Path, state: str
) -> None:
    """The others, also of other daemons, wait for the endpoint's response to it."""
    harnesses = [Harness(shop, sandbox, tmp_path, batch_size=1) for _ in range(6)]
    harnesses[0].confirm(30)
    shop.set_endpoint(state, "down")
    let_time_pass(harnesses[0])
    start = threading.Barrier(len(harnesses))
    claims: list[object] = []

    def claim(harness: Harness) -> None:
        start.wait(60)
        number = harness.instance.number
        claims.append(harness.ledger.claim(number, "live", LEASE))

    threads = [threading.Thread(target=claim, args=(harness,)) for harness in harnesses]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    for harness in harnesses:
        harness.close()
    assert len([c for c in claims if c]) == 1
    assert shop.batches("sending") == 1


def test_an_unsettled_probe_does_not_block_for_ever(
    harness: Harness,
) -> None:
    """After its lease another batch probes."""
    harness.confirm(1)
    harness.shop.set_endpoint("held", "down")
    assert harness.claim().probes
    assert timedelta(0) < harness.shop.row_of("endpoint").retry_at - ago() <= LEASE
    harness.expire_leases()
    let_time_pass(harness)
    assert harness.claim().probes


def test_after_a_successful_probe_everything_is_sent_at_once(harness: Harness) -> None:
    """The circuit breaker closes with the first accepted batch."""
    orders = harness.confirm(20)
    harness.sandbox.fail("server-error", status=503)
    harness.deliver_all()
    assert harness.endpoint() == ("backing_off", 1)
    let_time_pass(harness)
    harness.deliver_all()
    assert harness.posts(orders) == [1] * 20
    assert harness.endpoint() == ("available", 0)


def test_a_failed_probe_is_the_only_request(harness: Harness) -> None:
    """While the API is down, each attempt costs it one request."""
    harness.confirm(40)
    harness.sandbox.fail("server-error", times=None, status=503)
    harness.deliver_all()
    for _ in range(3):
        before = harness.sandbox.received.totals.requests
        let_time_pass(harness)
        harness.deliver_all()
        assert harness.sandbox.received.totals.requests == before + 1


def test_a_probe_that_sends_nothing_releases_its_turn(harness: Harness) -> None:
    """An order that is not ready does not make the others wait for a lease."""
    harness.confirm(1, products="'[]'")
    orders = harness.confirm(1)
    harness.shop.update("batch", {"attempts": 1})
    orders += harness.confirm(3)
    harness.shop.sql("DELETE FROM orders WHERE id = 2")
    harness.shop.set_endpoint("backing_off", "down")
    harness.deliver_all()
    assert harness.posts(orders) == [0, 1, 1, 1]


def test_a_refused_probe_ends_the_back_off(harness: Harness) -> None:
    """The endpoint responds, so the halves follow at once."""
    orders = harness.confirm(4)
    harness.sandbox.fail("server-error", status=503)
    harness.deliver_all()
    harness.sandbox.fail("refused", times=None, orderids=(orders[3],))
    let_time_pass(harness)
    harness.deliver_all()
    assert harness.posts(orders) == [1, 1, 1, 0]


# Too many orders refused at once


def make_unsendable(harness: Harness, orders: list[str]) -> None:
    harness.sandbox.fail("refused", times=None, orderids=tuple(orders))


def test_beyond_the_rejection_limit_no_order_is_rejected_and_others_are_sent(
    harness: Harness,
) -> None:
    """Three bad orders in eight suggest that the contract or the views broke."""
    orders = harness.confirm(40)
    bad = [order for place, order in enumerate(orders) if place % 8 < 3]
    good = [order for order in orders if order not in bad]
    make_unsendable(harness, bad)

    def is_spiked() -> bool:
        harness.deliver_all()
        harness.end_waits()
        spike_at = harness.shop.row_of("endpoint").spike_at
        return spike_at is not None and harness.posts(good) == [1] * len(good)

    wait_until(is_spiked)
    blamed = harness.set_aside()
    assert REJECTION_SPIKE_ORDERS - 1 <= len(blamed) <= REJECTION_SPIKE_ORDERS + 1
    assert set(blamed) <= set(bad)
    assert harness.endpoint()[0] == "available"
    for _ in range(10):
        before = harness.sandbox.received.totals.requests
        harness.end_waits()
        harness.deliver_all()
        assert harness.sandbox.received.totals.requests - before <= len(bad) - len(
            blamed
        )
    assert harness.set_aside() == blamed
    harness.sandbox.clear_faults()
    harness.finish(without_waits=True)
    assert harness.set_aside() == blamed
    sent = [order for order in orders if order not in blamed]
    assert harness.posts(sent) == [1] * len(sent)


def test_resume_allows_further_rejections(harness: Harness) -> None:
    """The command `syncd resume` resets the count of recent rejections."""
    orders = harness.confirm(16)
    make_unsendable(harness, orders[:8])
    for _ in range(12):
        harness.confirm(1)
        harness.deliver_all()
        harness.end_waits()
        if harness.shop.row_of("endpoint").spike_at:
            break
    blamed = len(harness.set_aside())
    assert blamed < 8
    assert harness.breaker.release()
    endpoint = harness.shop.row_of("endpoint")
    assert (endpoint.spike_at, endpoint.recent_rejected) == (None, 0)
    harness.confirm(1)
    for _ in range(6):
        harness.deliver_all()
        harness.end_waits()
    assert len(harness.set_aside()) > blamed
    assert harness.posts(orders[8:]) == [1] * 8


def test_a_few_bad_orders_among_many_are_rejected_without_a_hold(
    harness: Harness,
) -> None:
    """One in twenty is rejected by itself."""
    orders = harness.confirm(120)
    bad = orders[10::20]
    make_unsendable(harness, bad)
    harness.finish(without_waits=True)
    assert sorted(harness.set_aside()) == sorted(bad)
    good = [order for order in orders if order not in bad]
    assert harness.posts(good) == [1] * len(good)
    assert harness.endpoint()[0] == "available"


# A hold because of one order


def block_by_firewall(harness: Harness, orders: list[str], **options: object) -> None:
    """Make a firewall refuse every body with one of the orders."""
    harness.sandbox.fail("firewall", times=None, orderids=tuple(orders), **options)


@pytest.mark.parametrize("status", [401, 403, 404, 405, 406, 415, 451])
@pytest.mark.parametrize("size", [1, 3, 8])
def test_an_order_that_a_firewall_refuses_holds_no_other(
    shop: Shop, sandbox: Sandbox, tmp_path: Path, status: int, size: int
) -> None:
    """It is rejected with the response's text; all others are sent once."""
    harness = Harness(shop, sandbox, tmp_path, batch_size=size)
    orders = harness.confirm(8)
    block_by_firewall(harness, orders[2:3], status=status)
    for _ in range(8):
        orders += harness.confirm(1)
        harness.end_waits()
        harness.deliver_all()
    harness.finish(without_waits=True)
    aside, endpoint, posts = (
        harness.set_aside(),
        harness.endpoint()[0],
        harness.posts(orders),
    )
    harness.close()
    assert list(aside) == orders[2:3]
    state, reason = aside[orders[2]]
    assert state == "rejected"
    assert str(reason).startswith(f"HTTP {status} Request blocked")
    assert posts == [int(order != orders[2]) for order in orders]
    assert endpoint == "available"


def test_a_hold_is_probed_with_another_batch_each_time(harness: Harness) -> None:
    """Batches of both lanes take turns; the suspect one is last."""
    harness.confirm(8)
    harness.confirm(8)
    harness.confirm(8)
    harness.sandbox.fail("credentials", times=None)
    probed = []
    for _ in range(6):
        harness.end_waits()
        harness.deliver_all()
        last = max(harness.shop.rows_of("attempt"), key=attrgetter("started_at"))
        probed.append(last.batch_id)
    assert len(set(probed[:3])) == 3
    assert harness.endpoint()[0] == "held"
    assert harness.set_aside() == {}


def test_a_wrong_key_rejects_no_order_and_ends_when_it_is_fixed(
    harness: Harness,
) -> None:
    """However long that takes, every order is sent once."""
    orders = harness.confirm(8)
    harness.sandbox.fail("credentials", times=None)
    for _ in range(12):
        harness.end_waits()
        harness.deliver_all()
    assert harness.set_aside() == {}
    assert harness.shop.uncertain_attempts() == 0
    assert harness.endpoint()[0] == "held"
    harness.sandbox.clear_faults()
    harness.finish(without_waits=True)
    assert harness.posts(orders) == [1] * 8


def test_a_backfill_probes_when_the_only_live_batch_is_suspect(
    harness: Harness,
) -> None:
    """In a quiet shop there may be no other live order."""
    (suspect,) = harness.confirm(1)
    block_by_firewall(harness, [suspect])
    harness.deliver_all()
    orders = harness.confirm(1)
    harness.shop.update("batch", {"lane": "backfill"}, state="pending", attempts=0)
    harness.end_waits()
    assert harness.deliver() is None
    assert harness.delivery.deliver_next("backfill") == DeliveryResult(1, accepted=True)
    assert harness.posts(orders) == [1]
    assert harness.endpoint()[0] == "available"


def test_a_batch_that_fails_alone_is_sent_in_halves(harness: Harness) -> None:
    """One order makes the API fail: the seven others of its batch are delivered."""
    orders = harness.confirm(8)
    harness.sandbox.fail("server-error", times=None, orderids=tuple(orders[5:6]))
    for _ in range(40):
        harness.confirm(1)
        let_time_pass(harness)
        harness.deliver_all()
        harness.end_waits()
        harness.deliver_all()
        if harness.posts(orders).count(1) == 7:
            break
    assert harness.posts(orders) == [1, 1, 1, 1, 1, 0, 1, 1]
    assert harness.set_aside() == {}


# Known to the API already


def accept_and_drop(harness: Harness) -> list[str]:
    """Make the API accept an order, drop the response, and refuse known orders."""
    harness.sandbox.fail("accept-then-drop", times=1)
    orders = harness.confirm(3)
    harness.deliver_all()
    harness.sandbox.fail("duplicates-refused", times=None)
    return orders


def test_a_repeat_that_is_refused_as_known_counts_as_delivered(
    harness: Harness,
) -> None:
    """The first attempt delivered it; other orders are sent."""
    orders = accept_and_drop(harness)
    others = harness.confirm(2)
    harness.finish(without_waits=True)
    assert harness.posts(orders) == [1, 1, 1]
    assert harness.posts(others) == [1, 1]
    assert harness.set_aside() == {}
    assert harness.endpoint()[0] == "available"
    states = {batch.state for batch in harness.shop.rows_of("batch")}
    assert states <= {"delivered", "emptied"}


def test_a_repeat_that_is_refused_without_reason_waits_for_a_person(
    harness: Harness,
) -> None:
    """The reason may be the earlier attempt, or something else."""
    harness.sandbox.fail("accept-then-drop", times=1)
    (order,) = harness.confirm(1)
    harness.deliver_all()
    harness.sandbox.fail("canned", times=None, status=409, body="<h1>Conflict</h1>")
    harness.end_waits()
    harness.deliver_all()
    batch = harness.shop.row_of("batch")
    assert (batch.state, batch.uncertain_attempts) == ("held", 1)
    assert harness.posts([order]) == [1]


def test_an_order_in_conflict_at_its_first_attempt_is_rejected(
    shop: Shop, sandbox: Sandbox, tmp_path: Path
) -> None:
    """An earlier attempt of syncd cannot have delivered it."""
    harness = Harness(shop, sandbox, tmp_path, batch_size=1)
    orders = harness.confirm(3)
    harness.sandbox.fail("refused", times=None, orderids=(orders[1],), status=409)
    for _ in range(4):
        harness.confirm(1)
        harness.end_waits()
        harness.deliver_all()
    aside = list(harness.set_aside())
    harness.close()
    assert aside == [orders[1]]


# A response without a recorded meaning


STRANGE = '{"status": "success", "tracked": 3, "invalid": 0}'


def respond_unexpectedly(harness: Harness) -> None:
    harness.sandbox.fail("canned", times=None, status=200, body=STRANGE, takes=True)


@pytest.mark.parametrize(
    ("fault", "options", "words"),
    [
        ("canned", {"body": STRANGE, "takes": True}, STRANGE),
        ("not-json", {}, "OK"),
        ("html", {}, "Trouble Something went wrong"),
        ("empty", {}, "an empty body"),
        ("empty", {"status": 204}, "an empty body"),
        ("count-short", {"missing": 0}, None),
        ("count-short", {}, '"created": 2'),
    ],
)
def test_an_unknown_response_holds_the_feed_at_once(
    harness: Harness, fault: str, options: dict[str, object], words: str | None
) -> None:
    """Nothing is lost or repeated: first a person decides what it means."""
    orders = harness.confirm(3)
    harness.sandbox.fail(fault, times=None, **options)
    harness.deliver_all()
    more = harness.confirm(8)
    for _ in range(3):
        harness.end_waits()
        harness.deliver_all()
    if words is None:  # all orders are counted: a success
        assert harness.posts(orders + more) == [1] * 11
        return
    assert harness.sandbox.received.totals.requests == 1
    assert harness.posts(more) == [0] * 8
    assert harness.ledger.next_due().seconds is None
    endpoint = harness.shop.row_of("endpoint")
    assert endpoint.state == "held"
    assert "is not known to mean success: " in endpoint.reason
    assert words in endpoint.reason
    assert harness.shop.uncertain_attempts() == 1


@pytest.mark.parametrize("meaning", list(Meaning))
def test_the_recorded_meaning_settles_held_and_later_batches(
    harness: Harness, meaning: Meaning
) -> None:
    """Delivered or sent again; not a possible repeat, since the outcome is known."""
    takes = meaning is Meaning.SUCCESS
    orders = harness.confirm(3)
    harness.sandbox.fail("canned", times=1, status=200, body=STRANGE, takes=takes)
    harness.deliver_all()
    answers = Answers(harness.database, harness.settings)
    ((shape, example, _),) = answers.unexplained()
    assert STRANGE in example
    assert answers.record_meaning(shape, meaning, harness.ledger.feed_id) == (
        (3, 0) if takes else (0, 3)
    )
    assert harness.shop.uncertain_attempts() == 0
    assert harness.endpoint()[0] == "available"
    more = harness.confirm(3)
    if takes:
        respond_unexpectedly(harness)
    harness.finish(without_waits=True)
    assert harness.posts(orders + more) == [1] * 6
    assert answers.unexplained() == []
    delivered = harness.shop.rows_of("batch", state="delivered")
    assert sum(batch.orders for batch in delivered) == 6


def test_an_unknown_response_is_kept_while_the_ledger_is_unavailable(
    harness: Harness,
) -> None:
    """It is settled as unknown afterwards, and not sent again."""
    orders = harness.confirm(3)
    respond_unexpectedly(harness)
    with harness.shop.without("answer"), pytest.raises(SyncdError):
        harness.deliver_all()
    harness.end_waits()
    harness.deliver_all()
    assert harness.posts(orders) == [1] * 3
    assert harness.endpoint()[0] == "held"
    answers = Answers(harness.database, harness.settings)
    ((shape, _, _),) = answers.unexplained()
    assert answers.record_meaning(shape, Meaning.SUCCESS, harness.ledger.feed_id) == (
        3,
        0,
    )
    assert harness.shop.uncertain_attempts() == 0


def test_a_meaning_recorded_during_the_settlement_is_applied(harness: Harness) -> None:
    """Between the query of a response's meaning and its settlement."""
    harness.shop.sql(
        "CREATE FUNCTION say() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN "
        "UPDATE syncd.answer SET means = 'success', classified_at = now(); "
        "RETURN NULL; END$$"
    )
    harness.shop.sql(
        "CREATE TRIGGER say AFTER INSERT ON syncd.answer EXECUTE FUNCTION say()"
    )
    orders = harness.confirm(3)
    respond_unexpectedly(harness)
    harness.deliver_all()
    assert harness.posts(orders) == [1] * 3
    assert harness.endpoint()[0] == "available"
    assert harness.shop.uncertain_attempts() == 0
    assert harness.shop.unsettled() == 0
    assert harness.shop.row_of("batch").state == "delivered"


def test_a_recorded_meaning_does_not_apply_to_changed_numbers(
    harness: Harness,
) -> None:
    """A success for three of three differs from one for none of three."""
    harness.confirm(3)
    respond_unexpectedly(harness)
    harness.deliver_all()
    answers = Answers(harness.database, harness.settings)
    answers.record_meaning(
        answers.unexplained()[0][0], Meaning.SUCCESS, harness.ledger.feed_id
    )
    harness.sandbox.clear_faults()
    misleading = '{"status": "success", "tracked": 0, "invalid": 3}'
    harness.sandbox.fail("canned", times=None, status=200, body=misleading)
    harness.confirm(3)
    harness.deliver_all()
    assert harness.endpoint()[0] == "held"
    assert misleading in answers.unexplained()[0][1]


# Batches that may have arrived


DOUBTS: list[tuple[str, dict[str, object]]] = [
    ("accept-then-drop", {}),
    ("truncated", {}),
    ("server-error", {"takes": True}),
    ("partly-accepted", {}),
    ("partly-accepted", {"status": 200}),
    ("hang", {"seconds": 9, "takes": True}),
]


@pytest.mark.parametrize(("fault", "options"), DOUBTS)
def test_a_batch_that_may_have_arrived_waits_for_a_person(
    shop: Shop,
    sandbox: Sandbox,
    tmp_path: Path,
    fault: str,
    options: dict[str, object],
) -> None:
    """It is counted, and none of it is sent again; other orders are sent."""
    harness = Harness(
        shop, sandbox, tmp_path, batch_size=8, on_uncertain="hold", timeout="1s"
    )
    sandbox.fail(fault, times=1, **options)
    orders = harness.confirm(3)
    harness.deliver_all()
    harness.end_waits()
    others = harness.confirm(2)
    harness.deliver_all()
    held = harness.shop.row_of("batch", state="held")
    harness.close()
    assert (held.orders, held.uncertain_attempts) == (3, 1)
    assert max(harness.posts(orders)) <= 1
    assert harness.posts(others) == [1, 1]


@pytest.mark.parametrize("fault", ["too-many-requests", "credentials", "not-found"])
def test_a_batch_that_was_certainly_not_accepted_is_sent_again(
    holding_harness: Harness, fault: str
) -> None:
    """It does not wait for a person."""
    holding_harness.sandbox.fail(fault, times=1)
    orders = holding_harness.confirm(3)
    holding_harness.finish(without_waits=True)
    assert holding_harness.posts(orders) == [1] * 3
    assert holding_harness.shop.uncertain_attempts() == 0


def test_a_lone_bad_order_is_still_isolated(holding_harness: Harness) -> None:
    """A refusal of one event is certain, and so is a response that accepts none."""
    orders = holding_harness.confirm(1)
    holding_harness.sandbox.fail("refused", times=None, orderids=tuple(orders))
    holding_harness.deliver_all()
    others = holding_harness.confirm(1)
    holding_harness.finish(without_waits=True)
    assert holding_harness.set_aside()[orders[0]][0] == "rejected"
    assert holding_harness.posts(others) == [1]


def test_a_claim_that_is_taken_over_waits_for_a_person(
    holding_harness: Harness,
) -> None:
    """Its outcome is unknown; a late success still delivers it."""
    orders = holding_harness.confirm(2)
    first = holding_harness.claim()
    holding_harness.expire_leases()
    assert holding_harness.deliver() is None
    batch = holding_harness.shop.row_of("batch")
    assert (batch.state, batch.uncertain_attempts) == ("held", 1)
    assert holding_harness.accept(first) == 2
    assert holding_harness.shop.row_of("batch").state == "delivered"
    assert holding_harness.posts(orders) == [0, 0]


# The rate


def test_both_lanes_slow_down_when_the_api_asks_for_it() -> None:
    """To half the rate; accepted batches raise it again."""
    pace = RateLimiter(50, 20)
    pace.record("live", DeliveryResult(0, throttled=True))
    assert pace.share == 0.5
    pace.record("backfill", DeliveryResult(31))
    assert 2 < pace.seconds_to_wait("backfill") <= 2.1
    assert pace.seconds_to_wait("live") == 0
    for _ in range(16):
        pace.record("live", DeliveryResult(0, accepted=True))
    assert pace.share == 1.0


# Changed responses


def test_a_new_response_shape_is_logged_once(harness: Harness) -> None:
    """By its names and types, not its values, however often it comes."""
    body = '{"success": false, "queue_id": "mila@example.com"}'
    harness.sandbox.fail("canned", times=None, status=400, body=body)
    with structlog.testing.capture_logs() as lines:
        for _ in range(3):
            harness.confirm(1)
            harness.deliver_all()
    logged = [line for line in lines if line["event"] == "api.response_changed"]
    assert [line["shape"] for line in logged] == [
        "HTTP 400 {queue_id: str, success: bool}"
    ]


# The daemon


def test_the_daemon_slows_down_and_holds_what_it_took_over(
    shop: Shop, sandbox: Sandbox, tmp_path: Path
) -> None:
    """Its heartbeat and its log lines report both."""
    config = shop.configure(
        tmp_path, sandbox.endpoint, on_uncertain="hold", rate="50/s"
    )
    log = config.with_suffix(".log")
    sandbox.fail("hang", seconds=30, takes=True)
    first = shop.start(config)
    wait_until(lambda: "daemon.started" in log.read_text())
    (lost,) = shop.confirm(1)
    wait_until(lambda: sandbox.received.posts(lost) == 1)
    first.kill()
    first.wait(60)

    sandbox.fail("too-many-requests", retry_after_seconds=0)
    second = shop.start(config)
    wait_until(lambda: '"is_held":true' in log.read_text())
    (order,) = shop.confirm(1)
    wait_until(lambda: sandbox.received.posts(order) == 1)
    wait_until(lambda: '"held":1,' in log.read_text())
    wait_until(lambda: '"rate_factor":0.531' in log.read_text())
    second.terminate()
    assert second.wait(60) == 0
    assert sandbox.received.posts(lost) == 1


def test_an_order_with_several_rows_is_sent_without_what_differs(
    harness: Harness,
) -> None:
    """Two payments give two totals: the right one is unknown, and it is reported."""
    shop = harness.shop
    shop.sql("CREATE TABLE payments (order_id bigint, amount numeric)")
    shop.sql("INSERT INTO payments VALUES (1, 20), (1, 5), (2, 25), (2, 25)")
    shop.sql(
        "DROP VIEW syncd.purchases; CREATE VIEW syncd.purchases AS "
        "SELECT id AS order_key, 'W-' || id AS orderid, email, products, "
        "       amount AS totalvalue "
        "  FROM orders LEFT JOIN payments ON order_id = id; "
        f"GRANT SELECT ON syncd.purchases TO {shop.role}"
    )
    harness.confirm(2)
    harness.deliver_all()
    bodies = [purchase.body for purchase in harness.sandbox.received.purchases()]
    assert [(body or {}).get("totalvalue") for body in bodies] == [None, 25]
    assert [row["totalvalue"] for row in harness.source.read(["2"]).values()] == [25]
