"""`syncd explain`: the history of an order in every state."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from support.feed_harness import ago
from support.harness import Harness
from support.shop import Shop

from syncd.demo.sandbox import Sandbox
from syncd.diagnostics.order_history import read_history

pytestmark = pytest.mark.db


@pytest.fixture(autouse=True)
def _steady_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every jittered wait longer than zero."""
    monkeypatch.setattr("syncd.delivery.settlement.random.random", lambda: 0.9)


@pytest.fixture
def history_harness(shop: Shop, tmp_path: Path) -> Iterator[Harness]:
    with Sandbox() as sandbox:
        opened = Harness(shop, sandbox, tmp_path, batch_size=4)
        yield opened
        opened.close()


def explain(harness: Harness, order: str) -> str:
    """Return an order's history as text."""
    feed = harness.feed
    history = read_history(harness.database, harness.source, feed, order)
    return "\n".join(history.lines()) if history else "nothing"


def test_the_history_of_a_delivered_order_has_its_receipt(
    history_harness: Harness,
) -> None:
    """Which capture, which batch, which response to which body."""
    (order,) = history_harness.confirm(1)
    history_harness.deliver_all()
    history = explain(history_harness, order)
    assert "order 1 (W-1) confirmed at" in history
    assert "captured by poll into the live lane, now in batch 1" in history
    assert "batch 1, attempt 1 at" in history
    assert "accepted, 1 events (HTTP 200, body " in history
    assert "now delivered at" in history
    assert "next:" not in history
    assert explain(history_harness, "W-99") == "nothing"


def test_an_order_of_an_older_syncd_has_no_capture(history_harness: Harness) -> None:
    """What was not recorded is not made up."""
    (order,) = history_harness.confirm(1)
    history_harness.shop.update("ledger", {"capture": None})
    assert "captured into the live lane" in explain(history_harness, order)


def test_a_pending_order_shows_what_it_waits_for(history_harness: Harness) -> None:
    """Batches before it, the endpoint, a person, or its own due time."""
    history_harness.confirm(4)
    (order,) = history_harness.confirm(1)
    assert "now pending: 1 batches go before it" in explain(history_harness, order)

    history_harness.breaker.back_off("backing_off", timedelta(hours=1), "HTTP 503")
    history = explain(history_harness, order)
    assert "sending is backing off (HTTP 503), tried again at" in history
    assert "next:" not in history

    history_harness.breaker.back_off("held", timedelta(hours=1), "HTTP 401")
    assert "next: mend what the reason names, then syncd resume" in explain(
        history_harness, order
    )

    history_harness.breaker.release()
    history_harness.shop.update("batch", {"due_at": ago(hours=-1)})
    assert "now pending: due at" in explain(history_harness, order)

    history_harness.shop.make_batches_due()
    history_harness.claim()
    assert "now sending" in explain(history_harness, "W-1")
    assert "under way" in explain(history_harness, "W-1")


def test_every_batch_that_an_order_left_is_listed(history_harness: Harness) -> None:
    """Its list has the attempts that included the order, and no other."""
    good = history_harness.confirm(3)
    (slow,) = history_harness.confirm(1, products="'[]'")
    history_harness.sandbox.fail("server-error", status=503)
    history_harness.deliver_all()
    assert "left batch 1 at" in explain(history_harness, slow)
    assert "so it waited in a batch of its own" in explain(history_harness, slow)
    assert "attempt 1" not in explain(history_harness, slow)
    assert "attempt 1" in explain(history_harness, good[0])

    history_harness.shop.sql("UPDATE orders SET products = DEFAULT")
    history_harness.sandbox.fail("refused", times=1, orderids=(good[2],))
    history_harness.finish(without_waits=True)
    history = explain(history_harness, good[2])
    outcomes = [
        line.split(": ")[1] for line in history.splitlines() if "attempt " in line
    ]
    assert outcomes[0].startswith("transient, 3 events (HTTP 503")
    assert outcomes[1].startswith("refused, 3 events (HTTP 400, orderid is not")
    assert outcomes[-1].startswith("accepted, 1 events (HTTP 200")
    assert "now delivered" in history
    assert "HTTP 400" not in explain(history_harness, slow)


def test_an_interrupted_attempt_is_listed_as_uncertain(
    history_harness: Harness,
) -> None:
    """It is not known which orders it had."""
    (order,) = history_harness.confirm(1)
    history_harness.claim()
    history_harness.expire_leases()
    history_harness.deliver_all()
    history = explain(history_harness, order)
    assert "uncertain, 0 events (the instance ended or its lease passed" in history
    assert "which orders it held is not known" in history
    assert "1 attempts with unknown outcome" in history


def test_an_attempt_after_an_order_left_is_not_listed(history_harness: Harness) -> None:
    """This holds even if it is not known what that attempt had."""
    (good,) = history_harness.confirm(1)
    (slow,) = history_harness.confirm(1, products="'[]'")
    history_harness.sandbox.fail("server-error", status=503)
    history_harness.deliver_all()
    history_harness.end_waits()
    assert history_harness.claim().attempt == 2
    history_harness.expire_leases()
    assert "attempt 2" in explain(history_harness, good)
    assert "attempt 2" not in explain(history_harness, slow)


def test_an_order_that_the_ledger_lacks_is_explained(history_harness: Harness) -> None:
    """Too early, stamped too far back, not captured yet, not confirmed."""
    start = history_harness.shop.row_of("feed").started_at
    day, second = timedelta(days=1), timedelta(seconds=1)
    times = ", ".join(f"'{start + n}'" for n in (-day, second, 9 * second))
    rows = history_harness.shop.rows(
        "INSERT INTO orders (confirmed_at) SELECT unnest("
        f"ARRAY[{times}, NULL]::timestamptz[]) RETURNING 'W-' || id"
    )
    history_harness.shop.update("watermark", {"confirmed_at": start + 5 * second})
    early, late, soon, never = (explain(history_harness, str(row[0])) for row in rows)
    for history in (early, late):
        assert "below the watermark" in history
        assert "next: syncd reconcile takes it at once" in history
    assert "will be captured" in soon
    assert "is not confirmed" in never
    assert "next:" not in soon + never


def test_a_failing_view_does_not_hide_the_history(history_harness: Harness) -> None:
    """The ledger has it under the order's key."""
    history_harness.confirm(1)
    history_harness.deliver_all()
    history_harness.shop.sql(
        "CREATE OR REPLACE VIEW syncd.purchases AS SELECT id AS order_key, "
        "'W-' || id AS orderid, email, 'EUR' AS currency, "
        "(total || 'x')::numeric AS totalvalue, products FROM orders"
    )
    assert "now delivered" in explain(history_harness, "1")
    assert "the row could not be read in the view" in explain(history_harness, "W-1")


def test_an_initial_order_is_explained(shop: Shop, tmp_path: Path) -> None:
    """By the start's list, whatever time the view has for it now."""
    shop.sql("INSERT INTO orders (confirmed_at) VALUES (now() - interval '1 hour')")
    with Sandbox() as sandbox:
        harness = Harness(shop, sandbox, tmp_path)
        shop.sql("UPDATE orders SET confirmed_at = now() + interval '1 hour'")
        history = explain(harness, "W-1")
        harness.close()
    assert (
        "it was confirmed before the feed started: confirmed_orders listed" in history
    )
    assert "next: syncd watermark reset --to TIME" in history


def test_an_order_without_a_usable_time_is_explained(
    history_harness: Harness,
) -> None:
    """The view lists it, so it is confirmed, and waits for its time."""
    history_harness.shop.sql(
        "CREATE OR REPLACE VIEW syncd.confirmed_orders AS "
        "SELECT id AS order_key, confirmed_at FROM orders; "
        "INSERT INTO orders (confirmed_at) VALUES (NULL), ('infinity')"
    )
    for order in ("W-1", "W-2"):
        history = explain(history_harness, order)
        assert "lists it, but without a usable confirmed_at" in history
        assert "next: let confirmed_orders give it the time" in history
