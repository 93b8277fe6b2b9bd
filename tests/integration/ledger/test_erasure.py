"""Erasure: nothing names the person any more, and nothing sends the order again."""

import json
import os
from pathlib import Path

import pytest
from support.command import forked, syncd
from support.feed_harness import FeedHarness, ago
from support.harness import Harness
from support.shop import Shop

from syncd.core.command_errors import OrderUnknownError
from syncd.core.errors import SlowStatementError
from syncd.core.tally import ReconciliationTally
from syncd.delivery.answers import Answers
from syncd.diagnostics.order_history import read_history
from syncd.ledger.claim import Receipt
from syncd.ledger.erasure import Erasure

pytestmark = pytest.mark.db

TABLES = "attempt", "ledger", "order_move", "endpoint", "answer"


def dump(shop: Shop) -> str:
    """Return the contents of every table that could name an order."""
    return str([shop.rows_of(table) for table in TABLES])


def states(shop: Shop) -> dict[str, str | None]:
    """Return the state of each order in the ledger."""
    return {order.order_key: order.state for order in shop.rows_of("ledger")}


def erasure(harness: Harness) -> Erasure:
    return Erasure(harness.source, harness.ledger)


def run(config: Path, *arguments: str, given: str = "") -> tuple[int, str, str]:
    key = {"SYNCD_SQUEEZELY_API_KEY": "sandbox-key"}
    words = ["erase", *arguments, "--config", config]
    done = forked(words, os.environ | key, given)
    return done.returncode, done.stdout, done.stderr


def test_an_erased_delivered_order_loses_its_number(
    pair_harness: Harness,
) -> None:
    """Receipts and moves lose it, too; its history says that it is erased."""
    pair_harness.confirm(2)
    pair_harness.finish()
    (trace,) = erasure(pair_harness).erase(["1"])
    assert (trace.state, trace.sent) == ("delivered", "yes")
    assert pair_harness.shop.row_of("attempt").orderids == ["W-2"]
    assert states(pair_harness.shop) == {"1": "erased", "2": None}
    assert pair_harness.shop.row_of("batch").orders == 1
    feed = pair_harness.feed
    history = read_history(pair_harness.database, pair_harness.source, feed, "1")
    assert history
    assert [line for line in history.lines() if "erased" in line] == [
        "now erased by hand: it had been sent; nothing sends it any more"
    ]
    other = read_history(pair_harness.database, pair_harness.source, feed, "2")
    assert other
    assert "accepted" in " ".join(other.lines())


def test_an_erased_pending_order_is_never_sent(pair_harness: Harness) -> None:
    """Neither an erasure of its whole batch nor a manual retry sends it."""
    orders = pair_harness.confirm(3)
    found = erasure(pair_harness)
    assert [t.sent for t in found.erase(["1", "2", "3"])] == ["never"] * 3
    assert pair_harness.shop.unsettled() == 0
    pair_harness.finish()
    pair_harness.shop.sql("UPDATE orders SET confirmed_at = clock_timestamp()")
    assert pair_harness.admit() == 0
    assert pair_harness.posts(orders) == [0, 0, 0]


def test_rejected_and_held_orders_are_erased_with_their_reasons(
    pair_harness: Harness,
) -> None:
    """Orders that may have arrived are distinguished from those never sent."""
    pair_harness.confirm(1, email="'nowhere'")
    pair_harness.finish()
    pair_harness.confirm(1)
    claim = pair_harness.claim()
    receipt = Receipt("unclear", 502, "HTTP 502 about W-2", 1, b"x", ["W-2"])
    pair_harness.ledger.requeue(claim, receipt, uncertain=True, held=True)
    pair_harness.shop.set_endpoint("held", "HTTP 401 for W-2")
    answers = Answers(pair_harness.database, pair_harness.settings)
    answers.note("HTTP 200 text <id>", "HTTP 200 W-2 was put in the queue")
    traces = erasure(pair_harness).erase(["1", "2"])
    assert [(t.state, t.sent) for t in traces] == [
        ("rejected", "never"),
        ("held", "perhaps"),
    ]
    left = dump(pair_harness.shop)
    assert "W-1" not in left
    assert "W-2" not in left
    assert "email" not in left


def test_the_recorded_response_shape_names_no_order(pair_harness: Harness) -> None:
    """An order number without digits, in a response without a recorded meaning."""
    pair_harness.shop.sql(
        "CREATE OR REPLACE VIEW syncd.purchases AS SELECT id AS order_key, "
        "CASE id WHEN 1 THEN 'kanarie' ELSE 'geelvink' END AS orderid, email, "
        "'EUR' AS currency, total AS totalvalue, products FROM orders"
    )
    body = '{"said": "kanarie and geelvink, K%41NARIE"}'
    pair_harness.sandbox.fail("canned", 1, status=200, body=body)
    pair_harness.confirm(2)
    pair_harness.deliver()
    shape = pair_harness.shop.row_of("attempt").shape
    assert shape == pair_harness.shop.row_of("answer").shape
    assert "kanarie" not in shape.lower()
    erasure(pair_harness).erase(["1"])
    assert pair_harness.shop.row_of("attempt").shape == shape
    erasure(pair_harness).erase(["2"])
    left = dump(pair_harness.shop).lower()
    assert "kanarie" not in left
    assert "geelvink" not in left


def test_an_order_that_is_being_sent_is_reported_and_erased_afterwards(
    pair_harness: Harness, tmp_path: Path
) -> None:
    """A failed attempt is not repeated; a second erasure completes it."""
    config = tmp_path / "syncd.toml"
    pair_harness.confirm(2)
    claim = pair_harness.claim()
    code, output, _ = run(config, "1", "--yes")
    assert code == 75
    assert "Being sent right now: 1; run this again" in output
    receipt = Receipt("accepted", 200, None, 2, b"x", ["W-1", "W-2"])
    assert pair_harness.accept(claim, receipt) == 1
    assert "W-1" in dump(pair_harness.shop)
    code, output, _ = run(config, "1", "--yes")
    assert (code, "Erase at Squeezely by hand: 1" in output) == (0, True)
    assert "W-1" not in dump(pair_harness.shop)
    pair_harness.confirm(1)
    claim = pair_harness.claim()
    erasure(pair_harness).erase(["3"])
    pair_harness.ledger.requeue(claim, Receipt("transient"))
    pair_harness.finish()
    assert pair_harness.posts(["W-3"]) == [0]
    assert min(batch.orders for batch in pair_harness.shop.rows_of("batch")) == 0


def test_an_erased_order_unknown_to_the_ledger_is_never_captured(shop: Shop) -> None:
    """No capture, reconciliation or backfill takes it, whatever its stamp."""
    feed = FeedHarness(shop)
    feed.backdate("10 days")
    keys = [one.removeprefix("W-") for one in shop.confirm(2)]
    (trace,) = Erasure(feed.source, feed.ledger).erase(keys[:1])
    assert (trace.state, trace.sent) == (None, "never")
    feed.poll(whole=True)
    with feed.ledger.admission():
        found = feed.source.of_keys(keys)
        assert feed.ledger.admit(found, "listen", size=5).orders == 0
    feed.shop.set_watermark(ago(seconds=-1))
    assert feed.tally() == ReconciliationTally(pending=1, erased=1)
    shop.sql(f"UPDATE orders SET confirmed_at = now() WHERE id = {keys[0]}")
    feed.poll(whole=True)
    assert feed.captures() == [("poll", 1), (None, 1)]
    feed.close()


def test_a_batch_is_not_claimed_during_an_erasure(pair_harness: Harness) -> None:
    """Of two concurrent erasures the second sees what the first has done."""
    pair_harness.confirm(1)
    with pair_harness.database.transaction():
        erasure(pair_harness).hold_batches(["1"])
        skipped = (
            "SELECT count(*) FROM (SELECT FROM syncd.batch FOR UPDATE SKIP LOCKED)"
        )
        assert pair_harness.shop.value(f"{skipped} AS s") == 0


@pytest.mark.parametrize("given", ["mila@shop.example", " MILA@SHOP.EXAMPLE "])
def test_a_persons_orders_are_found_by_address(
    pair_harness: Harness, tmp_path: Path, given: str
) -> None:
    """It may be in any case, hashed, or on standard input."""
    config = tmp_path / "syncd.toml"
    pair_harness.confirm(2, email="'Mila@shop.example'")
    hashed = "encode(sha256('mila@shop.example'), 'hex')"
    pair_harness.confirm(1, email=hashed)
    pair_harness.confirm(1)
    pair_harness.finish()
    code, output, _ = run(config, given, "--dry-run")
    assert (code, output.splitlines()[-2]) == (0, "3 orders found, nothing was changed")
    assert states(pair_harness.shop)["1"] is None
    code, output, errors = run(config, "-", "--yes", "--json", given=f"{given}\n")
    facts = json.loads(output)
    assert (code, facts["erase_at_squeezely"]) == (0, ["1", "2", "3"])
    assert "orders.erased" in errors
    assert "mila" not in (output + errors).lower()
    code, again, _ = run(config, "--email-stdin", "--yes", given=f"{given}\n")
    assert code == 0
    assert "order 1: erased" in again
    assert "Erase at Squeezely by hand: 1, 2, 3" in again
    assert states(pair_harness.shop)["4"] is None


def test_invalid_requests_change_nothing(pair_harness: Harness, tmp_path: Path) -> None:
    """Unknown, ambiguous, nothing named, another feed, not confirmed: one line each."""
    config = tmp_path / "syncd.toml"
    pair_harness.confirm(2)
    pair_harness.shop.sql(
        "CREATE OR REPLACE VIEW syncd.purchases AS SELECT id AS order_key, "
        "CASE id WHEN 1 THEN '2' ELSE 'W-' || id END AS orderid, email, "
        "'EUR' AS currency, total AS totalvalue, products FROM orders"
    )
    for target, message in (
        ("W-9", "no order is known as 'W-9'"),
        ("2", "several orders may be meant by '2'"),
        ("nobody@shop.example", "has no order of that address"),
    ):
        code, output, errors = run(config, "W-2", target, "--yes")
        assert (code, output) == (1, "")
        assert message in errors
        assert "nobody@" not in errors
    assert run(config)[0] == 64
    code, _, errors = run(config, "W-2")
    assert (code, "nothing was changed" in errors) == (1, True)
    assert set(states(pair_harness.shop).values()) == {None}
    config.write_text(config.read_text().replace('feed = "shop"', 'feed = "other"'))
    code, _, errors = run(config, "W-2", "--yes")
    assert (code, "feed 'other' was never started" in errors) == (78, True)


def test_a_search_that_takes_too_long_is_reported(pair_harness: Harness) -> None:
    """The role's own time limit ends it; nothing is changed."""
    pair_harness.confirm(1)
    pair_harness.shop.sql(
        "CREATE OR REPLACE VIEW syncd.purchases AS SELECT id AS order_key, "
        "'W-' || id AS orderid, email || pg_sleep(1) AS email, 'EUR' AS currency, "
        "total AS totalvalue, products FROM orders"
    )
    pair_harness.limit_reads(50)
    with pytest.raises(SlowStatementError, match="cannot be searched in the time"):
        erasure(pair_harness).find(["mila@shop.example"])
    with pytest.raises((SlowStatementError, OrderUnknownError)):
        erasure(pair_harness).find(["W-77"])


def test_an_erased_order_stays_erased(pair_harness: Harness, tmp_path: Path) -> None:
    """No command for rejected orders brings it back."""
    config = tmp_path / "syncd.toml"
    pair_harness.confirm(1, email="'nowhere'")
    pair_harness.finish()
    erasure(pair_harness).erase(["1"])
    pair_harness.shop.sql("UPDATE orders SET email = 'mila@shop.example'")
    assert syncd("rejected", "retry", "1", "--config", config).returncode == 1
    assert "erased by hand" in syncd("explain", "1", "--config", config).stdout
    assert states(pair_harness.shop) == {"1": "erased"}
