"""SIGHUP and SIGTERM at inconvenient moments: no order is lost, none repeated."""

import json
import re
import signal

import pytest
from support.shop import Shop
from support.supervisor import SupervisedDaemon, wait_until

from syncd.demo.sandbox import Sandbox

pytestmark = pytest.mark.db


def test_a_reload_applies_the_new_settings_in_the_same_process(
    supervised: SupervisedDaemon,
) -> None:
    """Here another endpoint; pending orders go there, sent ones do not."""
    daemon = supervised.run()
    before = supervised.shop.confirm(3)
    wait_until(supervised.arrived(before))
    with Sandbox() as other:
        supervised.configure(endpoint=other.endpoint)
        supervised.reload(daemon)
        after = supervised.shop.confirm(3)
        wait_until(lambda: all(other.received.posts(order) for order in after))
        assert [other.received.posts(order) for order in before] == [0, 0, 0]
        (reloaded,) = supervised.events("config.reloaded")
        assert reloaded["endpoint"] == other.endpoint
        supervised.stop(daemon)
    assert [supervised.sandbox.received.posts(order) for order in before] == [1, 1, 1]
    assert supervised.shop.rows_of("instance", stopped_at=None) == []


def test_reloads_under_load_lose_and_repeat_nothing(
    notifying_shop: Shop, supervised: SupervisedDaemon
) -> None:
    """Switching the capture, while orders are confirmed and requests are slow."""
    notifying_shop.listen()
    supervised.shop = notifying_shop
    supervised.configure(max_in_flight=3, batch_size=5)
    daemon = supervised.run()
    supervised.sandbox.fail("latency", times=10_000, seconds=0.1)
    orders: list[str] = []
    for capture in ("listen", "poll", "listen", "poll"):
        orders += supervised.shop.confirm(20)
        supervised.configure({"capture": capture}, max_in_flight=3, batch_size=5)
        supervised.reload(daemon)
        orders += supervised.shop.confirm(20)
    wait_until(supervised.arrived(orders))
    supervised.stop(daemon)
    assert {supervised.sandbox.received.posts(order) for order in orders} == {1}
    assert len(supervised.events("config.reloaded")) == 4
    assert supervised.shop.attempts("uncertain") == 0


REFUSED = [
    ("batch_size = 0", "batch_size"),
    ("syntax error", "at line"),
    ('feed = "another"', "another"),
    ('dsn = "host=127.0.0.1 port=1 dbname=shop"', "cannot be reached"),
    ('purchases_view = "no_such_view"', "no_such_view"),
]


@pytest.mark.parametrize(
    ("line", "expected"), REFUSED, ids=[expected for _, expected in REFUSED]
)
def test_unusable_settings_are_refused_and_the_old_ones_stay(
    supervised: SupervisedDaemon, line: str, expected: str
) -> None:
    """One clear line, nothing drained; once fixed, the next reload applies them."""
    config = supervised.configure(batch_size=7)
    good = config.read_text()
    daemon = supervised.run()
    name = line.partition(" =")[0]
    bad, count = re.subn(rf"^{name} = .*$", line, good, flags=re.MULTILINE)
    section = "[source]" if name == "purchases_view" else "[squeezely]"
    config.write_text(bad if count else good.replace(section, f"{section}\n{line}"))
    supervised.reload(daemon)
    (rejected,) = supervised.events("config.rejected")
    assert expected in str(rejected["reason"])
    assert rejected["hint"]
    orders = supervised.shop.confirm(2)
    wait_until(supervised.arrived(orders))
    config.write_text(good)
    supervised.reload(daemon)
    assert len(supervised.events("config.reloaded")) == 1
    supervised.stop(daemon)
    assert [supervised.sandbox.received.posts(order) for order in orders] == [1, 1]


def test_a_rotated_key_is_read_from_its_file(supervised: SupervisedDaemon) -> None:
    """What the old key had held is retried at once."""
    key = supervised.folder / "api-key"
    key.write_text("an-old-key")
    supervised.configure(api_key_file=str(key))
    daemon = supervised.run()
    orders = supervised.shop.confirm(1)
    wait_until(lambda: supervised.events("sending.held"))
    key.write_text("sandbox-key")
    supervised.reload(daemon)
    wait_until(supervised.arrived(orders))
    supervised.stop(daemon)


def test_a_reload_waits_for_the_request_in_flight(supervised: SupervisedDaemon) -> None:
    """The new pipeline starts after the response to the old one: no repeat."""
    supervised.configure(timeout="20s")
    daemon = supervised.run()
    supervised.sandbox.fail("latency", times=1, seconds=3)
    orders = supervised.shop.confirm(1)
    wait_until(lambda: supervised.shop.batches("sending") == 1)  # fmt: skip
    supervised.reload(daemon)
    delivered, reloaded = (
        supervised.events("batch.delivered"),
        supervised.events("config.reloaded"),
    )
    assert str(delivered[0]["timestamp"]) < str(reloaded[0]["timestamp"])
    supervised.stop(daemon)
    assert [supervised.sandbox.received.posts(order) for order in orders] == [1]


def test_a_stop_during_a_reload_is_graceful(supervised: SupervisedDaemon) -> None:
    """The current batch is finished, and the next pipeline does not start."""
    supervised.configure(timeout="20s")
    daemon = supervised.run()
    supervised.sandbox.fail("latency", times=1, seconds=3)
    orders = supervised.shop.confirm(1)
    wait_until(lambda: supervised.shop.batches("sending") == 1)  # fmt: skip
    daemon.send_signal(signal.SIGHUP)
    wait_until(lambda: supervised.supervisor.lines("RELOADING=1"))
    wait_until(lambda: supervised.supervisor.lines("EXTEND_TIMEOUT_USEC="))
    supervised.stop(daemon)
    assert [supervised.sandbox.received.posts(order) for order in orders] == [1]
    assert supervised.events("config.reloaded") == []
    assert len(supervised.events("daemon.stopped")) == 1


# Stopping


def test_a_stop_during_an_outage_of_the_api_is_quick(
    supervised: SupervisedDaemon,
) -> None:
    """No batch is in flight; the orders wait in the ledger for the next start."""
    daemon = supervised.run()
    supervised.sandbox.fail("server-error", times=1_000, status=503)
    orders = supervised.shop.confirm(3)
    wait_until(lambda: supervised.events("batch.deferred"))
    supervised.stop(daemon)
    supervised.sandbox.clear_faults()
    daemon = supervised.run()
    wait_until(supervised.arrived(orders))
    supervised.stop(daemon)
    assert supervised.shop.attempts("uncertain") == 0


def test_a_stop_during_a_hanging_request_waits_and_extends_its_time_limit(
    supervised: SupervisedDaemon,
) -> None:
    """Until the request times out; meanwhile the daemon asks systemd for more time."""
    supervised.configure(timeout="4s")
    daemon = supervised.run()
    supervised.sandbox.fail("latency", times=1, seconds=60)
    orders = supervised.shop.confirm(1)
    wait_until(lambda: supervised.shop.batches("sending") == 1)  # fmt: skip
    before = len(supervised.supervisor.lines("EXTEND_TIMEOUT_USEC="))
    supervised.stop(daemon)
    assert len(supervised.supervisor.lines("EXTEND_TIMEOUT_USEC=")) > before
    assert len(supervised.events("batch.uncertain")) == 1
    left = [batch.state for batch in supervised.shop.rows_of("batch") if batch.orders]
    assert left == ["pending"]
    daemon = supervised.run()
    wait_until(supervised.arrived(orders))
    supervised.stop(daemon)


def test_a_second_stop_signal_ends_at_once(supervised: SupervisedDaemon) -> None:
    """The current batch is then uncertain, and counted by the next instance."""
    supervised.configure(timeout="60s")
    daemon = supervised.run()
    supervised.sandbox.fail("latency", times=1, seconds=60)
    supervised.shop.confirm(1)
    wait_until(lambda: supervised.shop.batches("sending") == 1)  # fmt: skip
    daemon.terminate()
    wait_until(lambda: supervised.supervisor.lines("STOPPING=1"))
    daemon.terminate()
    assert daemon.wait(60) == 128 + signal.SIGTERM
    daemon = supervised.run()
    wait_until(lambda: supervised.events("batch.uncertain"))
    daemon.kill()
    log = (supervised.folder / "syncd.log").read_text()
    assert all(json.loads(line) for line in log.splitlines()[:-1])
