"""When sending is in trouble: probes, doubt, what may have arrived, the pace."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
import structlog
from desk import LEASE, Desk
from postgres import wait_until
from shop import Shop

from syncd.core.settlement import REJECTION_SPIKE_ORDERS
from syncd.delivery.delivery import REJECTION_SPIKE, Trip
from syncd.delivery.worker import Pace
from syncd.ledger import Receipt
from syncd.sandbox import Sandbox

pytestmark = pytest.mark.db


@pytest.fixture(autouse=True)
def _steady_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    """No wait is drawn as nothing."""
    monkeypatch.setattr("syncd.delivery.delivery.random.random", lambda: 0.9)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


@pytest.fixture
def desk(shop: Shop, sandbox: Sandbox, tmp_path: Path) -> Iterator[Desk]:
    opened = Desk(shop, sandbox, tmp_path, batch_size=8)
    yield opened
    opened.close()


@pytest.fixture
def cautious(shop: Shop, sandbox: Sandbox, tmp_path: Path) -> Iterator[Desk]:
    """It holds what may have arrived."""
    opened = Desk(shop, sandbox, tmp_path, batch_size=8, uncertain="hold")
    yield opened
    opened.close()


# The breaker


def let_time_pass(desk: Desk) -> None:
    desk.shop.sql("UPDATE syncd.endpoint SET retry_at = now() - interval '1 s'")


@pytest.mark.parametrize("state", ["retrying", "held"])
def test_one_batch_probes_however_many_workers_there_are(
    shop: Shop, sandbox: Sandbox, tmp_path: Path, state: str
) -> None:
    """The others wait for what the endpoint says to it, those of other daemons too."""
    desks = [Desk(shop, sandbox, tmp_path, batch_size=1) for _ in range(6)]
    desks[0].confirm(30)
    shop.sql(f"UPDATE syncd.endpoint SET state = '{state}', reason = 'down'")
    let_time_pass(desks[0])
    start = threading.Barrier(len(desks))
    claims: list[object] = []

    def claim(desk: Desk) -> None:
        start.wait(10)
        number = desk.instance.number
        claims.append(desk.ledger.claim(number, "live", LEASE))

    threads = [threading.Thread(target=claim, args=(desk,)) for desk in desks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    for desk in desks:
        desk.close()
    assert len([c for c in claims if c]) == 1
    assert shop.value("SELECT count(*) FROM syncd.batch WHERE state = 'sending'") == 1


def test_a_probe_that_is_never_settled_does_not_block_for_ever(desk: Desk) -> None:
    """After its lease another one is tried."""
    desk.confirm(1)
    desk.shop.sql("UPDATE syncd.endpoint SET state = 'held', reason = 'down'")
    assert desk.claim().probes
    wait = cast("float", desk.shop.value(
        "SELECT extract(epoch FROM retry_at - now())::float8 FROM syncd.endpoint"
    ))  # fmt: skip
    assert 0 < wait <= LEASE.total_seconds()
    desk.let_lease_pass()
    let_time_pass(desk)
    assert desk.claim().probes


def test_after_a_good_probe_everything_goes_at_once(desk: Desk) -> None:
    """The breaker closes with the first accepted batch."""
    orders = desk.confirm(20)
    desk.sandbox.fail("server-error", status=503)
    desk.deliver_all()
    assert desk.endpoint() == ("retrying", 1)
    let_time_pass(desk)
    desk.deliver_all()
    assert desk.posts(orders) == [1] * 20
    assert desk.endpoint() == ("open", 0)


def test_a_bad_probe_is_the_only_request(desk: Desk) -> None:
    """While the API is down, each look costs it one request."""
    desk.confirm(40)
    desk.sandbox.fail("server-error", times=None, status=503)
    desk.deliver_all()
    for _ in range(3):
        before = desk.sandbox.book.totals.requests
        let_time_pass(desk)
        desk.deliver_all()
        assert desk.sandbox.book.totals.requests == before + 1


def test_a_probe_that_sends_nothing_gives_its_turn_back(desk: Desk) -> None:
    """An order that is not ready does not keep the others waiting for a lease."""
    desk.confirm(1, products="'[]'")
    orders = desk.confirm(1)
    desk.shop.sql("UPDATE syncd.batch SET attempts = 1")
    orders += desk.confirm(3)
    desk.shop.sql("DELETE FROM orders WHERE id = 2")
    desk.shop.sql("UPDATE syncd.endpoint SET state = 'retrying', reason = 'down'")
    desk.deliver_all()
    assert desk.posts(orders) == [0, 1, 1, 1]


def test_a_refused_probe_is_an_answer(desk: Desk) -> None:
    """The endpoint works, so its halves follow at once."""
    orders = desk.confirm(4)
    desk.sandbox.fail("server-error", status=503)
    desk.deliver_all()
    desk.sandbox.fail("refused", times=None, orderids=(orders[3],))
    let_time_pass(desk)
    desk.deliver_all()
    assert desk.posts(orders) == [1, 1, 1, 0]


# Too many refused at once


def spoil(desk: Desk, orders: list[str]) -> None:
    desk.sandbox.fail("refused", times=None, orderids=tuple(orders))


def test_too_many_refused_orders_hold_everything_and_blame_no_more(
    desk: Desk,
) -> None:
    """Three in eight are no accident: the contract or the mapping broke."""
    orders = desk.confirm(40)
    bad = [order for place, order in enumerate(orders) if place % 8 < 3]
    spoil(desk, bad)

    def is_held() -> bool:
        desk.deliver_all()
        if desk.endpoint()[0] == "held":
            return True
        desk.hurry()
        return False

    wait_until(is_held)
    blamed = desk.set_aside()
    assert REJECTION_SPIKE_ORDERS - 1 <= len(blamed) <= REJECTION_SPIKE_ORDERS + 1
    assert set(blamed) <= set(bad)
    reason = desk.shop.value("SELECT reason FROM syncd.endpoint")
    assert str(reason).startswith(REJECTION_SPIKE)
    for _ in range(10):
        before = desk.sandbox.book.totals
        desk.hurry()
        desk.deliver_all()
        after = desk.sandbox.book.totals
        assert (after.requests - before.requests, after.orderids) == (
            1,
            before.orderids,
        )
    assert (desk.endpoint()[0], desk.set_aside()) == ("held", blamed)
    desk.sandbox.clear_faults()
    desk.finish_hurriedly()
    assert desk.set_aside() == blamed
    assert desk.endpoint()[0] == "open"
    sent = [order for order in orders if order not in blamed]
    assert desk.posts(sent) == [1] * len(sent)


def test_a_few_bad_orders_among_many_are_rejected_without_a_hold(desk: Desk) -> None:
    """One in twenty is set aside, each by itself."""
    orders = desk.confirm(120)
    bad = orders[10::20]
    spoil(desk, bad)
    desk.finish_hurriedly()
    assert sorted(desk.set_aside()) == sorted(bad)
    good = [order for order in orders if order not in bad]
    assert desk.posts(good) == [1] * len(good)
    assert desk.endpoint()[0] == "open"


def doubt(desk: Desk) -> int:
    """Let the last batch look as if the contract broke."""
    desk.confirm(1)
    claim = desk.claim()
    desk.ledger.put_back(claim, Receipt("refused", 400, "no", 1))
    desk.breaker.back_off("held", LEASE, "x", doubted=claim.batch_id)
    return claim.batch_id


def test_only_the_doubted_order_is_tried(desk: Desk) -> None:
    """Not an older one that may well be good."""
    desk.confirm(1)
    older = desk.claim()
    doubted = doubt(desk)
    desk.ledger.put_back(older, Receipt("unread"))
    assert desk.ledger.claim(desk.instance.number, "live", LEASE) is None
    desk.hurry()
    claim = desk.claim()
    assert claim.batch_id == doubted
    let_time_pass(desk)
    assert desk.ledger.claim(desk.instance.number, "live", LEASE) is None
    desk.ledger.put_back(claim, Receipt("refused", 400, "no", 1), wait=LEASE)
    assert cast("float", desk.ledger.next_due().seconds) > 1


def test_only_the_doubted_order_s_success_ends_the_doubt(desk: Desk) -> None:
    """Others were accepted before as well; what fails meanwhile changes nothing."""
    desk.confirm(1)
    older = desk.claim()
    doubted = doubt(desk)
    assert desk.accept(older) == 1
    assert desk.endpoint()[0] == "held"
    desk.breaker.back_off("retrying", LEASE, "down")
    assert desk.shop.rows(
        "SELECT state, reason, doubted_batch FROM syncd.endpoint"
    ) == [("held", "x", doubted)]
    desk.hurry()
    desk.deliver_all()
    assert desk.endpoint()[0] == "open"


def test_a_person_ends_the_doubt(desk: Desk) -> None:
    """`syncd resume` tries again, and forgets what looked like too many."""
    doubt(desk)
    assert desk.deliver() is None
    assert desk.breaker.release()
    assert desk.deliver() == Trip(1, accepted=True)
    left = "SELECT doubted_batch, recent_rejected FROM syncd.endpoint"
    assert desk.shop.rows(left) == [(None, 0)]


def test_a_doubted_order_that_is_gone_does_not_hold_for_ever(desk: Desk) -> None:
    """Then any other batch is the probe."""
    doubt(desk)
    desk.shop.sql("UPDATE orders SET email = 'nowhere'")
    desk.hurry()
    desk.deliver_all()
    assert desk.set_aside()["W-1"][0] == "rejected"
    (good,) = desk.confirm(1)
    desk.deliver_all()
    assert desk.posts([good]) == [1]
    assert desk.endpoint()[0] == "open"


# What may have arrived


DOUBTS: list[tuple[str, dict[str, object]]] = [
    ("accept-then-drop", {}),
    ("not-json", {}),
    ("truncated", {}),
    ("server-error", {"takes": True}),
    ("count-short", {}),
    ("partly-accepted", {}),
    ("partly-accepted", {"status": 200}),
    ("hang", {"seconds": 9, "takes": True}),
]


@pytest.mark.parametrize(("fault", "options"), DOUBTS)
def test_what_may_have_arrived_waits_for_a_person(
    shop: Shop,
    sandbox: Sandbox,
    tmp_path: Path,
    fault: str,
    options: dict[str, object],
) -> None:
    """It is counted, and nothing of it is sent again; other orders go."""
    desk = Desk(shop, sandbox, tmp_path, batch_size=8, uncertain="hold", timeout="1s")
    sandbox.fail(fault, times=1, **options)
    orders = desk.confirm(3)
    desk.deliver_all()
    desk.hurry()
    others = desk.confirm(2)
    desk.deliver_all()
    held = desk.shop.rows("SELECT orders, uncertain FROM syncd.batch "
                          "WHERE state = 'held'")  # fmt: skip
    desk.close()
    assert held == [(3, 1)]
    assert max(desk.posts(orders)) <= 1
    assert desk.posts(others) == [1, 1]


@pytest.mark.parametrize("fault", ["too-many-requests", "credentials", "not-found"])
def test_what_was_certainly_not_taken_never_waits_for_a_person(
    cautious: Desk, fault: str
) -> None:
    """It is sent again."""
    cautious.sandbox.fail(fault, times=1)
    orders = cautious.confirm(3)
    cautious.finish_hurriedly()
    assert cautious.posts(orders) == [1] * 3
    assert cautious.uncertain() == 0


def test_a_lone_bad_order_is_still_isolated(cautious: Desk) -> None:
    """A refusal of one event is certain, and so is one that counts none as taken."""
    orders = cautious.confirm(1)
    cautious.sandbox.fail("refused", times=None, orderids=tuple(orders))
    cautious.deliver_all()
    others = cautious.confirm(1)
    cautious.finish_hurriedly()
    assert cautious.set_aside()[orders[0]][0] == "rejected"
    assert cautious.posts(others) == [1]


def test_a_claim_that_is_taken_over_waits_for_a_person(cautious: Desk) -> None:
    """Nobody knows what became of it; its late success is believed all the same."""
    orders = cautious.confirm(2)
    first = cautious.claim()
    vars(cautious.instance)["_holds"] = True
    cautious.let_lease_pass()
    assert cautious.deliver() is None
    assert cautious.shop.rows("SELECT state, uncertain FROM syncd.batch") == [
        ("held", 1)
    ]
    assert cautious.accept(first) == 2
    assert cautious.shop.value("SELECT state FROM syncd.batch") == "delivered"
    assert cautious.posts(orders) == [0, 0]


# Pace


def test_both_lanes_slow_down_when_the_api_asks_for_it() -> None:
    """By half; and come back with what is accepted."""
    pace = Pace(50, 20)
    pace.pay("live", Trip(0, throttled=True))
    assert pace.share == 0.5
    pace.pay("backfill", Trip(31))
    assert 2 < pace.seconds_to_wait("backfill") <= 2.1
    assert pace.seconds_to_wait("live") == 0
    for _ in range(16):
        pace.pay("live", Trip(0, accepted=True))
    assert pace.share == 1.0


# Drift


def test_a_new_shape_of_answer_is_told_once(desk: Desk) -> None:
    """By its names and kinds, not by its values, however often it comes."""
    body = '{"success": true, "queue_id": "mila@example.com"}'
    desk.sandbox.fail("canned", times=None, body=body, takes=True)
    with structlog.testing.capture_logs() as lines:
        for _ in range(3):
            desk.confirm(1)
            desk.deliver_all()
    told = [line for line in lines if line["event"] == "contract.drifted"]
    assert [line["shape"] for line in told] == [
        "HTTP 200 {queue_id: str, success: bool}"
    ]
    assert desk.left() == 0


# The daemon


def test_the_daemon_slows_down_and_holds_what_it_took_over(
    shop: Shop, sandbox: Sandbox, tmp_path: Path
) -> None:
    """As its heartbeat and its lines say."""
    config = shop.configure(tmp_path, sandbox.endpoint, uncertain="hold", rate="50/s")
    log = config.with_suffix(".log")
    sandbox.fail("hang", seconds=30, takes=True)
    first = shop.start(config)
    wait_until(lambda: "daemon.started" in log.read_text())
    (lost,) = shop.confirm(1)
    wait_until(lambda: sandbox.book.posts(lost) == 1)
    first.kill()
    first.wait(10)

    sandbox.fail("too-many-requests", retry_after_seconds=0)
    second = shop.start(config)
    wait_until(lambda: '"is_held":true' in log.read_text())
    (order,) = shop.confirm(1)
    wait_until(lambda: sandbox.book.posts(order) == 1)
    wait_until(lambda: '"held":1,' in log.read_text())
    wait_until(lambda: '"pace":0.531' in log.read_text())
    second.terminate()
    assert second.wait(20) == 0
    assert sandbox.book.posts(lost) == 1
