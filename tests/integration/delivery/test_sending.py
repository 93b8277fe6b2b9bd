"""When sending is in trouble: probes, doubt, what may have arrived, the pace."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from operator import attrgetter
from pathlib import Path

import pytest
import structlog
from support.desk import LEASE, Desk
from support.ledgers import ago
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
    """No wait is drawn as nothing."""
    monkeypatch.setattr("syncd.delivery.settlement.random.random", lambda: 0.9)


@pytest.fixture
def cautious(shop: Shop, sandbox: Sandbox, tmp_path: Path) -> Iterator[Desk]:
    """It holds what may have arrived."""
    opened = Desk(shop, sandbox, tmp_path, batch_size=8, on_uncertain="hold")
    yield opened
    opened.close()


# The breaker


def let_time_pass(desk: Desk) -> None:
    desk.shop.update("endpoint", {"retry_at": ago(seconds=1)})


@pytest.mark.parametrize("state", ["backing_off", "held"])
def test_one_batch_probes_however_many_workers_there_are(
    shop: Shop, sandbox: Sandbox, tmp_path: Path, state: str
) -> None:
    """The others wait for what the endpoint says to it, those of other daemons too."""
    desks = [Desk(shop, sandbox, tmp_path, batch_size=1) for _ in range(6)]
    desks[0].confirm(30)
    shop.set_endpoint(state, "down")
    let_time_pass(desks[0])
    start = threading.Barrier(len(desks))
    claims: list[object] = []

    def claim(desk: Desk) -> None:
        start.wait(60)
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
    assert shop.batches("sending") == 1


def test_a_probe_that_is_never_settled_does_not_block_for_ever(desk: Desk) -> None:
    """After its lease another one is tried."""
    desk.confirm(1)
    desk.shop.set_endpoint("held", "down")
    assert desk.claim().probes
    assert timedelta(0) < desk.shop.row_of("endpoint").retry_at - ago() <= LEASE
    desk.let_lease_pass()
    let_time_pass(desk)
    assert desk.claim().probes


def test_after_a_good_probe_everything_goes_at_once(desk: Desk) -> None:
    """The breaker closes with the first accepted batch."""
    orders = desk.confirm(20)
    desk.sandbox.fail("server-error", status=503)
    desk.deliver_all()
    assert desk.endpoint() == ("backing_off", 1)
    let_time_pass(desk)
    desk.deliver_all()
    assert desk.posts(orders) == [1] * 20
    assert desk.endpoint() == ("available", 0)


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
    desk.shop.update("batch", {"attempts": 1})
    orders += desk.confirm(3)
    desk.shop.sql("DELETE FROM orders WHERE id = 2")
    desk.shop.set_endpoint("backing_off", "down")
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


def test_too_many_refused_orders_are_blamed_no_more_and_hold_nobody(
    desk: Desk,
) -> None:
    """Three in eight are no accident: the contract or the mapping broke."""
    orders = desk.confirm(40)
    bad = [order for place, order in enumerate(orders) if place % 8 < 3]
    good = [order for order in orders if order not in bad]
    spoil(desk, bad)

    def is_spiked() -> bool:
        desk.deliver_all()
        desk.hurry()
        spike_at = desk.shop.row_of("endpoint").spike_at
        return spike_at is not None and desk.posts(good) == [1] * len(good)

    wait_until(is_spiked)
    blamed = desk.set_aside()
    assert REJECTION_SPIKE_ORDERS - 1 <= len(blamed) <= REJECTION_SPIKE_ORDERS + 1
    assert set(blamed) <= set(bad)
    assert desk.endpoint()[0] == "available"
    for _ in range(10):
        before = desk.sandbox.book.totals.requests
        desk.hurry()
        desk.deliver_all()
        assert desk.sandbox.book.totals.requests - before <= len(bad) - len(blamed)
    assert desk.set_aside() == blamed
    desk.sandbox.clear_faults()
    desk.finish_hurriedly()
    assert desk.set_aside() == blamed
    sent = [order for order in orders if order not in blamed]
    assert desk.posts(sent) == [1] * len(sent)


def test_a_person_lets_more_be_rejected(desk: Desk) -> None:
    """`syncd resume` forgets what looked like too many."""
    orders = desk.confirm(16)
    spoil(desk, orders[:8])
    for _ in range(12):
        desk.confirm(1)
        desk.deliver_all()
        desk.hurry()
        if desk.shop.row_of("endpoint").spike_at:
            break
    blamed = len(desk.set_aside())
    assert blamed < 8
    assert desk.breaker.release()
    endpoint = desk.shop.row_of("endpoint")
    assert (endpoint.spike_at, endpoint.recent_rejected) == (None, 0)
    desk.confirm(1)
    for _ in range(6):
        desk.deliver_all()
        desk.hurry()
    assert len(desk.set_aside()) > blamed
    assert desk.posts(orders[8:]) == [1] * 8


def test_a_few_bad_orders_among_many_are_rejected_without_a_hold(desk: Desk) -> None:
    """One in twenty is set aside, each by itself."""
    orders = desk.confirm(120)
    bad = orders[10::20]
    spoil(desk, bad)
    desk.finish_hurriedly()
    assert sorted(desk.set_aside()) == sorted(bad)
    good = [order for order in orders if order not in bad]
    assert desk.posts(good) == [1] * len(good)
    assert desk.endpoint()[0] == "available"


# A hold, and one order in it


def block(desk: Desk, orders: list[str], **options: object) -> None:
    """Let a firewall refuse every body that holds one of the orders."""
    desk.sandbox.fail("firewall", times=None, orderids=tuple(orders), **options)


@pytest.mark.parametrize("status", [401, 403, 404, 405, 406, 415, 451])
@pytest.mark.parametrize("size", [1, 3, 8])
def test_an_order_that_a_firewall_refuses_holds_nobody(
    shop: Shop, sandbox: Sandbox, tmp_path: Path, status: int, size: int
) -> None:
    """It is set aside with the API's words; all others go, once each."""
    desk = Desk(shop, sandbox, tmp_path, batch_size=size)
    orders = desk.confirm(8)
    block(desk, orders[2:3], status=status)
    for _ in range(8):
        orders += desk.confirm(1)
        desk.hurry()
        desk.deliver_all()
    desk.finish_hurriedly()
    aside, endpoint, posts = desk.set_aside(), desk.endpoint()[0], desk.posts(orders)
    desk.close()
    assert list(aside) == orders[2:3]
    state, reason = aside[orders[2]]
    assert state == "rejected"
    assert str(reason).startswith(f"HTTP {status} Request blocked")
    assert posts == [int(order != orders[2]) for order in orders]
    assert endpoint == "available"


def test_a_hold_is_probed_with_another_batch_each_time(desk: Desk) -> None:
    """Of either lane and whatever its place; the suspect comes round at last."""
    desk.confirm(8)
    desk.confirm(8)
    desk.confirm(8)
    desk.sandbox.fail("credentials", times=None)
    probed = []
    for _ in range(6):
        desk.hurry()
        desk.deliver_all()
        last = max(desk.shop.rows_of("attempt"), key=attrgetter("started_at"))
        probed.append(last.batch_id)
    assert len(set(probed[:3])) == 3
    assert desk.endpoint()[0] == "held"
    assert desk.set_aside() == {}


def test_a_wrong_key_blames_nobody_and_ends_when_it_is_right(desk: Desk) -> None:
    """However long it takes: every order is sent once."""
    orders = desk.confirm(8)
    desk.sandbox.fail("credentials", times=None)
    for _ in range(12):
        desk.hurry()
        desk.deliver_all()
    assert desk.set_aside() == {}
    assert desk.uncertain() == 0
    assert desk.endpoint()[0] == "held"
    desk.sandbox.clear_faults()
    desk.finish_hurriedly()
    assert desk.posts(orders) == [1] * 8


def test_a_suspect_of_the_live_lane_is_passed_by_a_backfill(
    desk: Desk,
) -> None:
    """In a quiet shop it may be the only live order there is."""
    (suspect,) = desk.confirm(1)
    block(desk, [suspect])
    desk.deliver_all()
    orders = desk.confirm(1)
    desk.shop.update("batch", {"lane": "backfill"}, state="pending", attempts=0)
    desk.hurry()
    assert desk.deliver() is None
    assert desk.delivery.deliver_next("backfill") == DeliveryResult(1, accepted=True)
    assert desk.posts(orders) == [1]
    assert desk.endpoint()[0] == "available"


def test_a_batch_that_fails_alone_is_sent_in_halves(desk: Desk) -> None:
    """One order lets the API fail: the seven that share its batch are delivered."""
    orders = desk.confirm(8)
    desk.sandbox.fail("server-error", times=None, orderids=tuple(orders[5:6]))
    for _ in range(40):
        desk.confirm(1)
        let_time_pass(desk)
        desk.deliver_all()
        desk.hurry()
        desk.deliver_all()
        if desk.posts(orders).count(1) == 7:
            break
    assert desk.posts(orders) == [1, 1, 1, 1, 1, 0, 1, 1]
    assert desk.set_aside() == {}


# Known already


def take_and_drop(desk: Desk) -> list[str]:
    """Let the API take an order whose answer is lost; it refuses what it knows."""
    desk.sandbox.fail("accept-then-drop", times=1)
    orders = desk.confirm(3)
    desk.deliver_all()
    desk.sandbox.fail("duplicates-refused", times=None)
    return orders


def test_a_repeat_that_is_refused_as_known_was_delivered(desk: Desk) -> None:
    """The doubt is over: the first attempt did it; others go on."""
    orders = take_and_drop(desk)
    others = desk.confirm(2)
    desk.finish_hurriedly()
    assert desk.posts(orders) == [1, 1, 1]
    assert desk.posts(others) == [1, 1]
    assert desk.set_aside() == {}
    assert desk.endpoint()[0] == "available"
    states = {batch.state for batch in desk.shop.rows_of("batch")}
    assert states <= {"delivered", "emptied"}


def test_a_repeat_that_is_refused_without_saying_why_waits_for_a_person(
    desk: Desk,
) -> None:
    """It may be the earlier attempt, or something else."""
    desk.sandbox.fail("accept-then-drop", times=1)
    (order,) = desk.confirm(1)
    desk.deliver_all()
    desk.sandbox.fail("canned", times=None, status=409, body="<h1>Conflict</h1>")
    desk.hurry()
    desk.deliver_all()
    batch = desk.shop.row_of("batch")
    assert (batch.state, batch.uncertain_attempts) == ("held", 1)
    assert desk.posts([order]) == [1]


def test_an_order_that_is_in_conflict_at_once_is_rejected(
    shop: Shop, sandbox: Sandbox, tmp_path: Path
) -> None:
    """Nothing of ours can have been there before."""
    desk = Desk(shop, sandbox, tmp_path, batch_size=1)
    orders = desk.confirm(3)
    desk.sandbox.fail("refused", times=None, orderids=(orders[1],), status=409)
    for _ in range(4):
        desk.confirm(1)
        desk.hurry()
        desk.deliver_all()
    aside = list(desk.set_aside())
    desk.close()
    assert aside == [orders[1]]


# An answer that nobody has explained


STRANGE = '{"status": "success", "tracked": 3, "invalid": 0}'


def answer_strangely(desk: Desk) -> None:
    desk.sandbox.fail("canned", times=None, status=200, body=STRANGE, takes=True)


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
def test_an_unknown_answer_holds_the_feed_at_once(
    desk: Desk, fault: str, options: dict[str, object], words: str | None
) -> None:
    """Nothing is lost, nothing repeated: a person says first what it means."""
    orders = desk.confirm(3)
    desk.sandbox.fail(fault, times=None, **options)
    desk.deliver_all()
    more = desk.confirm(8)
    for _ in range(3):
        desk.hurry()
        desk.deliver_all()
    if words is None:  # all were counted: that is a success
        assert desk.posts(orders + more) == [1] * 11
        return
    assert desk.sandbox.book.totals.requests == 1
    assert desk.posts(more) == [0] * 8
    assert desk.ledger.next_due().seconds is None
    endpoint = desk.shop.row_of("endpoint")
    assert endpoint.state == "held"
    assert "is not known to mean success: " in endpoint.reason
    assert words in endpoint.reason
    assert desk.uncertain() == 1


@pytest.mark.parametrize("meaning", list(Meaning))
def test_what_a_person_says_settles_what_waits_and_all_that_comes(
    desk: Desk, meaning: Meaning
) -> None:
    """Delivered, or sent again; not counted as a repeat, since the outcome is known."""
    takes = meaning is Meaning.SUCCESS
    orders = desk.confirm(3)
    desk.sandbox.fail("canned", times=1, status=200, body=STRANGE, takes=takes)
    desk.deliver_all()
    answers = Answers(desk.database, desk.settings)
    ((shape, example, _),) = answers.unexplained()
    assert STRANGE in example
    assert answers.say(shape, meaning, desk.ledger.feed_id) == (
        (3, 0) if takes else (0, 3)
    )
    assert desk.uncertain() == 0
    assert desk.endpoint()[0] == "available"
    more = desk.confirm(3)
    if takes:
        answer_strangely(desk)
    desk.finish_hurriedly()
    assert desk.posts(orders + more) == [1] * 6
    assert answers.unexplained() == []
    delivered = desk.shop.rows_of("batch", state="delivered")
    assert sum(batch.orders for batch in delivered) == 6


def test_an_unknown_answer_is_kept_while_the_ledger_cannot_be_asked(
    desk: Desk,
) -> None:
    """It is an unknown answer all the same, and not sent again."""
    orders = desk.confirm(3)
    answer_strangely(desk)
    desk.shop.sql("ALTER TABLE syncd.answer RENAME TO away")
    with pytest.raises(SyncdError):
        desk.deliver_all()
    desk.shop.sql("ALTER TABLE syncd.away RENAME TO answer")
    desk.hurry()
    desk.deliver_all()
    assert desk.posts(orders) == [1] * 3
    assert desk.endpoint()[0] == "held"
    answers = Answers(desk.database, desk.settings)
    ((shape, _, _),) = answers.unexplained()
    assert answers.say(shape, Meaning.SUCCESS, desk.ledger.feed_id) == (3, 0)
    assert desk.uncertain() == 0


def test_what_a_person_says_meanwhile_is_not_lost(desk: Desk) -> None:
    """Between the look at what an answer means and its settlement."""
    desk.shop.sql(
        "CREATE FUNCTION say() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN "
        "UPDATE syncd.answer SET means = 'success', classified_at = now(); "
        "RETURN NULL; END$$"
    )
    desk.shop.sql(
        "CREATE TRIGGER say AFTER INSERT ON syncd.answer EXECUTE FUNCTION say()"
    )
    orders = desk.confirm(3)
    answer_strangely(desk)
    desk.deliver_all()
    assert desk.posts(orders) == [1] * 3
    assert desk.endpoint()[0] == "available"
    assert desk.uncertain() == 0
    assert desk.left() == 0
    assert desk.shop.row_of("batch").state == "delivered"


def test_what_was_explained_is_another_thing_when_its_words_change(
    desk: Desk,
) -> None:
    """Success for three of three says nothing of none of three."""
    desk.confirm(3)
    answer_strangely(desk)
    desk.deliver_all()
    answers = Answers(desk.database, desk.settings)
    answers.say(answers.unexplained()[0][0], Meaning.SUCCESS, desk.ledger.feed_id)
    desk.sandbox.clear_faults()
    lies = '{"status": "success", "tracked": 0, "invalid": 3}'
    desk.sandbox.fail("canned", times=None, status=200, body=lies)
    desk.confirm(3)
    desk.deliver_all()
    assert desk.endpoint()[0] == "held"
    assert lies in answers.unexplained()[0][1]


# What may have arrived


DOUBTS: list[tuple[str, dict[str, object]]] = [
    ("accept-then-drop", {}),
    ("truncated", {}),
    ("server-error", {"takes": True}),
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
    desk = Desk(
        shop, sandbox, tmp_path, batch_size=8, on_uncertain="hold", timeout="1s"
    )
    sandbox.fail(fault, times=1, **options)
    orders = desk.confirm(3)
    desk.deliver_all()
    desk.hurry()
    others = desk.confirm(2)
    desk.deliver_all()
    held = desk.shop.row_of("batch", state="held")
    desk.close()
    assert (held.orders, held.uncertain_attempts) == (3, 1)
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
    cautious.let_lease_pass()
    assert cautious.deliver() is None
    batch = cautious.shop.row_of("batch")
    assert (batch.state, batch.uncertain_attempts) == ("held", 1)
    assert cautious.accept(first) == 2
    assert cautious.shop.row_of("batch").state == "delivered"
    assert cautious.posts(orders) == [0, 0]


# Pace


def test_both_lanes_slow_down_when_the_api_asks_for_it() -> None:
    """By half; and come back with what is accepted."""
    pace = RateLimiter(50, 20)
    pace.pay("live", DeliveryResult(0, throttled=True))
    assert pace.share == 0.5
    pace.pay("backfill", DeliveryResult(31))
    assert 2 < pace.seconds_to_wait("backfill") <= 2.1
    assert pace.seconds_to_wait("live") == 0
    for _ in range(16):
        pace.pay("live", DeliveryResult(0, accepted=True))
    assert pace.share == 1.0


# Drift


def test_a_new_shape_of_answer_is_told_once(desk: Desk) -> None:
    """By its names and kinds, not by its values, however often it comes."""
    body = '{"success": false, "queue_id": "mila@example.com"}'
    desk.sandbox.fail("canned", times=None, status=400, body=body)
    with structlog.testing.capture_logs() as lines:
        for _ in range(3):
            desk.confirm(1)
            desk.deliver_all()
    told = [line for line in lines if line["event"] == "api.response_changed"]
    assert [line["shape"] for line in told] == [
        "HTTP 400 {queue_id: str, success: bool}"
    ]


# The daemon


def test_the_daemon_slows_down_and_holds_what_it_took_over(
    shop: Shop, sandbox: Sandbox, tmp_path: Path
) -> None:
    """As its heartbeat and its lines say."""
    config = shop.configure(
        tmp_path, sandbox.endpoint, on_uncertain="hold", rate="50/s"
    )
    log = config.with_suffix(".log")
    sandbox.fail("hang", seconds=30, takes=True)
    first = shop.start(config)
    wait_until(lambda: "daemon.started" in log.read_text())
    (lost,) = shop.confirm(1)
    wait_until(lambda: sandbox.book.posts(lost) == 1)
    first.kill()
    first.wait(60)

    sandbox.fail("too-many-requests", retry_after_seconds=0)
    second = shop.start(config)
    wait_until(lambda: '"is_held":true' in log.read_text())
    (order,) = shop.confirm(1)
    wait_until(lambda: sandbox.book.posts(order) == 1)
    wait_until(lambda: '"held":1,' in log.read_text())
    wait_until(lambda: '"rate_factor":0.531' in log.read_text())
    second.terminate()
    assert second.wait(60) == 0
    assert sandbox.book.posts(lost) == 1
