"""SIGHUP and SIGTERM at inconvenient moments: no order lost, none repeated."""

import json
import re
import signal

import pytest
from support.overseer import Post, wait_until
from support.shop import Shop

from syncd.demo.sandbox import Sandbox

pytestmark = pytest.mark.db


def test_a_reload_takes_the_new_settings_in_the_same_process(post: Post) -> None:
    """Here another endpoint; what was pending goes there, what was sent does not."""
    daemon = post.run()
    before = post.shop.confirm(3)
    wait_until(post.arrived(before))
    with Sandbox() as other:
        post.configure(endpoint=other.endpoint)
        post.reload(daemon)
        after = post.shop.confirm(3)
        wait_until(lambda: all(other.book.posts(order) for order in after))
        assert [other.book.posts(order) for order in before] == [0, 0, 0]
        (reloaded,) = post.events("config.reloaded")
        assert reloaded["endpoint"] == other.endpoint
        post.stop(daemon)
    assert [post.sandbox.book.posts(order) for order in before] == [1, 1, 1]
    assert post.shop.rows_of("instance", stopped_at=None) == []


def test_reloads_under_load_lose_and_repeat_nothing(hinting: Shop, post: Post) -> None:
    """Back and forth between the captures, while orders come and requests are slow."""
    hinting.listen()
    post.shop = hinting
    post.configure(max_in_flight=3, batch_size=5)
    daemon = post.run()
    post.sandbox.fail("latency", times=10_000, seconds=0.1)
    orders: list[str] = []
    for capture in ("listen", "poll", "listen", "poll"):
        orders += post.shop.confirm(20)
        post.configure({"capture": capture}, max_in_flight=3, batch_size=5)
        post.reload(daemon)
        orders += post.shop.confirm(20)
    wait_until(post.arrived(orders))
    post.stop(daemon)
    assert {post.sandbox.book.posts(order) for order in orders} == {1}
    assert len(post.events("config.reloaded")) == 4
    assert post.shop.attempts("uncertain") == 0


REFUSED = [
    ("batch_size = 0", "batch_size"),
    ("syntax error", "at line"),
    ('feed = "another"', "another"),
    ('dsn = "host=127.0.0.1 port=1 dbname=shop"', "cannot be reached"),
    ('purchases_view = "no_such_view"', "no_such_view"),
]


@pytest.mark.parametrize(("line", "said"), REFUSED, ids=[said for _, said in REFUSED])
def test_settings_that_cannot_work_are_refused_and_the_old_ones_go_on(
    post: Post, line: str, said: str
) -> None:
    """One clear line, nothing drained; mended, the next reload takes them."""
    config = post.configure(batch_size=7)
    good = config.read_text()
    daemon = post.run()
    name = line.partition(" =")[0]
    bad, count = re.subn(rf"^{name} = .*$", line, good, flags=re.MULTILINE)
    section = "[source]" if name == "purchases_view" else "[squeezely]"
    config.write_text(bad if count else good.replace(section, f"{section}\n{line}"))
    post.reload(daemon)
    (rejected,) = post.events("config.rejected")
    assert said in str(rejected["reason"])
    assert rejected["hint"]
    orders = post.shop.confirm(2)
    wait_until(post.arrived(orders))
    config.write_text(good)
    post.reload(daemon)
    assert len(post.events("config.reloaded")) == 1
    post.stop(daemon)
    assert [post.sandbox.book.posts(order) for order in orders] == [1, 1]


def test_a_rotated_key_is_read_from_its_file(post: Post) -> None:
    """And what the old key had held is tried at once."""
    key = post.folder / "api-key"
    key.write_text("an-old-key")
    post.configure(api_key_file=str(key))
    daemon = post.run()
    orders = post.shop.confirm(1)
    wait_until(lambda: post.events("sending.held"))
    key.write_text("sandbox-key")
    post.reload(daemon)
    wait_until(post.arrived(orders))
    post.stop(daemon)


def test_a_reload_waits_for_the_request_under_way(post: Post) -> None:
    """The new life begins when the old one has its answer: so it is sent once."""
    post.configure(timeout="20s")
    daemon = post.run()
    post.sandbox.fail("latency", times=1, seconds=3)
    orders = post.shop.confirm(1)
    wait_until(lambda: post.shop.batches("sending") == 1)  # fmt: skip
    post.reload(daemon)
    delivered, reloaded = post.events("batch.delivered"), post.events("config.reloaded")
    assert str(delivered[0]["timestamp"]) < str(reloaded[0]["timestamp"])
    post.stop(daemon)
    assert [post.sandbox.book.posts(order) for order in orders] == [1]


def test_a_stop_during_a_reload_ends_in_order(post: Post) -> None:
    """The batch in hand is finished, and the next life does not begin."""
    post.configure(timeout="20s")
    daemon = post.run()
    post.sandbox.fail("latency", times=1, seconds=3)
    orders = post.shop.confirm(1)
    wait_until(lambda: post.shop.batches("sending") == 1)  # fmt: skip
    daemon.send_signal(signal.SIGHUP)
    wait_until(lambda: post.overseer.heard("RELOADING=1"))
    wait_until(lambda: post.overseer.heard("EXTEND_TIMEOUT_USEC="))
    post.stop(daemon)
    assert [post.sandbox.book.posts(order) for order in orders] == [1]
    assert post.events("config.reloaded") == []
    assert len(post.events("daemon.stopped")) == 1


# Stopping


def test_a_stop_during_an_outage_of_the_api_is_quick(post: Post) -> None:
    """Nothing is in hand; the orders wait in the ledger for the next start."""
    daemon = post.run()
    post.sandbox.fail("server-error", times=1_000, status=503)
    orders = post.shop.confirm(3)
    wait_until(lambda: post.events("batch.deferred"))
    post.stop(daemon)
    post.sandbox.clear_faults()
    daemon = post.run()
    wait_until(post.arrived(orders))
    post.stop(daemon)
    assert post.shop.attempts("uncertain") == 0


def test_a_stop_during_a_hanging_request_waits_and_says_so(post: Post) -> None:
    """Until the request's own time is over; more time is asked for while it goes on."""
    post.configure(timeout="4s")
    daemon = post.run()
    post.sandbox.fail("latency", times=1, seconds=60)
    orders = post.shop.confirm(1)
    wait_until(lambda: post.shop.batches("sending") == 1)  # fmt: skip
    before = len(post.overseer.heard("EXTEND_TIMEOUT_USEC="))
    post.stop(daemon)
    assert len(post.overseer.heard("EXTEND_TIMEOUT_USEC=")) > before
    assert len(post.events("batch.uncertain")) == 1
    left = [batch.state for batch in post.shop.rows_of("batch") if batch.orders]
    assert left == ["pending"]
    daemon = post.run()
    wait_until(post.arrived(orders))
    post.stop(daemon)


def test_a_second_signal_to_stop_ends_at_once(post: Post) -> None:
    """The batch in hand is uncertain then, and counted by whoever comes next."""
    post.configure(timeout="60s")
    daemon = post.run()
    post.sandbox.fail("latency", times=1, seconds=60)
    post.shop.confirm(1)
    wait_until(lambda: post.shop.batches("sending") == 1)  # fmt: skip
    daemon.terminate()
    wait_until(lambda: post.overseer.heard("STOPPING=1"))
    daemon.terminate()
    assert daemon.wait(60) == 128 + signal.SIGTERM
    daemon = post.run()
    wait_until(lambda: post.events("batch.uncertain"))
    daemon.kill()
    log = (post.folder / "syncd.log").read_text()
    assert all(json.loads(line) for line in log.splitlines()[:-1])
