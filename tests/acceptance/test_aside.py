"""Orders that wait for a person, from the command line."""

import json
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner
from support.command import on_terminal, plain, syncd
from support.shop import Shop

from syncd.cli import cli
from syncd.demo.sandbox import Sandbox

pytestmark = pytest.mark.db


class Counter:
    """A shop with its configuration; runs commands and reads what they say."""

    def __init__(self, shop: Shop, config: Path) -> None:
        self.shop = shop
        self.config = config
        self.once()

    def once(self) -> int:
        """Capture and deliver what is due, as if every wait were over."""
        self.shop.end_back_off()
        self.shop.make_batches_due()
        return syncd("run", "--once", "--config", self.config).returncode

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return syncd(*words, "--config", self.config)

    def say(self, *words: str, code: int = 0) -> str:
        done = self.run(*words)
        assert done.returncode == code, done.stderr
        return done.stdout

    def read(self, *words: str, code: int = 0) -> list[dict[str, object]]:
        found = json.loads(self.say(*words, "--json", code=code))
        return found if isinstance(found, list) else [found]

    def state(self, key: int) -> object:
        (order,) = self.shop.captured_orders(order_key=str(key))
        return order.standing


@pytest.fixture
def counter(shop: Shop, sandbox: Sandbox, tmp_path: Path) -> Counter:
    config = shop.configure(tmp_path, sandbox.endpoint, batch_size=3)
    return Counter(shop, config)


@pytest.fixture
def cautious(shop: Shop, sandbox: Sandbox, tmp_path: Path) -> Counter:
    """It holds what may have arrived."""
    config = shop.configure(
        tmp_path, sandbox.endpoint, batch_size=3, on_uncertain="hold", timeout="2s"
    )
    return Counter(shop, config)


def test_orders_that_are_not_set_aside_are_told(counter: Counter) -> None:
    """Each verb that names them says so, and where to look; nothing is changed."""
    for verbs, group in (
        (("rejected", "retry"), "rejected"),
        (("rejected", "discard", "--yes"), "rejected"),
        (("uncertain", "resend"), "uncertain"),
        (("uncertain", "discard", "--yes"), "uncertain"),
    ):
        done = counter.run(*verbs, "W-404")
        assert (done.returncode, done.stdout) == (1, "")
        told, hint = done.stderr.splitlines()
        assert told == "syncd: the order 'W-404' is not set aside"
        assert f"`syncd {group} list`" in hint
        assert "none of these orders" in counter.run(*verbs, "1", "2").stderr
    reject(counter, "'nowhere'")
    done = counter.run("rejected", "retry", "1", "404")
    assert done.stdout == "1 orders are pending again\n"
    assert done.stderr == "the others of 2 are not set aside\n"


@pytest.mark.parametrize("columns", [40, 80])
def test_a_terminal_shows_lists_and_stories_in_its_width(
    counter: Counter, columns: int
) -> None:
    """Broken between words; whoever searches in them elsewhere finds whole lines."""
    reject(counter, "'nowhere'")
    reason = "products[0] " + "is odd, " * 9
    counter.shop.update("ledger", {"reason": reason}, state="rejected")
    for words in (("rejected", "list"), ("rejected", "show", "1"), ("explain", "1")):
        lines = plain(on_terminal(columns, *words, "--config", counter.config))
        assert max(map(len, lines)) <= columns
        if words != ("rejected", "list"):  # there a reason has a narrow column
            assert "products[0] is odd, is odd" in " ".join(" ".join(lines).split())
        assert "is odd, " * 9 in counter.say(*words)
    assert (
        on_terminal(columns, "pause", "--config", counter.config).split()[-1]
        == "continues"
    )


def reject(counter: Counter, *emails: str) -> None:
    """Confirm an order for each address, all of them bad, and one good one."""
    for email in emails:
        counter.shop.sql(
            f"INSERT INTO orders (confirmed_at, email, total) VALUES "
            f"(clock_timestamp(), {email}, {'1' if '@' not in email else 'NULL'})"
        )
    counter.shop.confirm(1)
    counter.once()


def test_rejected_orders_are_chosen_by_name_by_reason_or_all(
    counter: Counter, sandbox: Sandbox
) -> None:
    """To list, to try again and to give up; none is not a success."""
    reject(counter, "'nowhere'", "'nowhere'", "'no where@x'", "'else'", "'other'")
    listed = counter.read("rejected", "list")
    assert [row["order_key"] for row in listed] == ["1", "2", "3", "4", "5"]
    assert counter.read("rejected", "list", "--reason", "NOT AN") == listed
    assert counter.read("rejected", "list", "--reason", "weather") == []
    assert "5" in counter.say("rejected", "list")

    counter.shop.sql("UPDATE orders SET email = 'mila@example.com' WHERE id = 2")
    assert counter.read("rejected", "retry", "W-2") == [{"orders": 1}]
    assert counter.read("rejected", "retry", "--reason", "weather", code=1) == [
        {"orders": 0}
    ]
    counter.once()
    assert sandbox.book.posts("W-2") == 1
    assert counter.read("rejected", "discard", "1", "--yes") == [{"orders": 1}]
    assert counter.state(1) == "discarded"
    discard = ("rejected", "discard", "--reason", "address", "--yes")
    assert counter.say(*discard) == "3 orders were given up\n"
    assert counter.read("rejected", "list") == []
    assert len(counter.read("rejected", "list", "--discarded")) == 4
    assert counter.read("status")[0]["healthy"] is True
    assert counter.shop.counts_agree()


def test_a_discarded_order_is_not_captured_again_but_can_be_retried(
    counter: Counter, sandbox: Sandbox
) -> None:
    """No backfill brings it back; its name does."""
    reject(counter, "'nowhere'")
    counter.say("rejected", "discard", "--all", "--yes")
    counter.shop.sql("UPDATE orders SET email = 'mila@example.com'")
    past = ("watermark", "reset", "--to", "2020-01-01", "--yes")
    assert "0 to send" in counter.say(*past)
    assert counter.say("rejected", "retry", "--all", code=1) == (
        "0 orders are pending again\n"
    )
    counter.once()
    assert sandbox.book.posts("W-1") == 0
    assert "discarded by hand: email" in counter.say("explain", "W-1")
    counter.say("rejected", "retry", "1")
    assert counter.once() == 0
    assert sandbox.book.posts("W-1") == 1


def test_giving_up_asks_first(counter: Counter) -> None:
    """Without an answer nothing is changed."""
    reject(counter, "'nowhere'")
    counter.say("rejected", "discard", "--all", code=1)
    assert counter.state(1) == "rejected"
    counter.say("rejected", "discard", code=64)
    counter.say("uncertain", "discard", "--yes", code=64)


def test_a_rejected_order_is_shown_with_its_attempts_and_what_to_do(
    counter: Counter, sandbox: Sandbox
) -> None:
    """Those too that it took part in with others, before the batch was halved."""
    sandbox.fail("refused", times=None, orderids=("W-2",), message="sku is unknown")
    sandbox.fail("too-large", times=1, limit_bytes=1)
    counter.shop.confirm(3)
    for _ in range(4):
        counter.once()
    (shown,) = counter.read("rejected", "show", "W-2")
    attempts = shown["attempts"]
    assert isinstance(attempts, list)
    assert [(a["outcome"], a["status"], a["sent"]) for a in attempts[:2]] == [
        ("refused", 413, 3),
        ("refused", 400, 2),
    ]
    assert {a["sent"] for a in attempts[2:]} == {1}
    assert all(len(a["body_sha256"]) == 64 for a in attempts)
    assert (shown["state"], shown["reason"]) == (
        "rejected",
        "HTTP 400 sku is unknown",
    )
    told = counter.say("rejected", "show", "2")
    assert "HTTP 413" in told
    assert "smaller batch" in told
    assert "next: mend the data or the view, then syncd rejected retry 2" in told
    counter.say("rejected", "show", "W-1", code=1)

    sandbox.clear_faults()
    counter.say("rejected", "retry", "2")
    assert counter.once() == 0
    told = counter.say("explain", "W-2")
    assert "tried again by hand (it was set aside: HTTP 400 sku is unknown)" in told
    assert "HTTP 413" in told
    assert "captured by poll into the live lane" in told
    assert "now delivered" in told
    assert told.index("HTTP 413") < told.index("tried again") < told.index("HTTP 200")


def test_uncertain_orders_are_listed_resent_and_discarded(
    cautious: Counter, sandbox: Sandbox
) -> None:
    """By name or all; Squeezely then has each of those sent again."""
    sandbox.fail("accept-then-drop", times=1)
    cautious.shop.confirm(3)
    assert cautious.once() == 0
    listed = cautious.read("uncertain", "list")
    assert [(r["order_key"], r["orderid"], r["attempt"]) for r in listed] == [
        ("1", "W-1", 1),
        ("2", "W-2", 1),
        ("3", "W-3", 1),
    ]
    assert "broke" in str(listed[0]["reason"])
    assert cautious.read("status", code=1)[0]["held"] == 3
    assert "syncd uncertain discard 1" in cautious.say("explain", "W-1")

    assert cautious.read("uncertain", "resend", "W-2") == [{"orders": 1}]
    assert cautious.read("uncertain", "resend", "W-2", code=1) == [{"orders": 0}]
    assert cautious.read("uncertain", "discard", "3", "--yes") == [{"orders": 1}]
    assert cautious.shop.counts_agree()
    cautious.once()
    assert [sandbox.book.posts(f"W-{n}") for n in (1, 2, 3)] == [1, 2, 1]
    assert (cautious.state(1), cautious.state(2), cautious.state(3)) == (
        "held",
        "delivered",
        "discarded",
    )
    assert cautious.read("status", code=1)[0]["possible_repeats"] == 2
    told = cautious.say("explain", "W-2")
    assert "unclear" in told
    assert "sent again by hand" in told
    assert "may have repeated" in told

    assert (
        cautious.say("uncertain", "resend", "--all") == "1 orders are pending again\n"
    )
    assert cautious.once() == 0
    assert cautious.say("uncertain", "list") == "none\n"
    assert sandbox.book.posts("W-1") == 2
    assert cautious.read("status")[0]["healthy"] is True
    assert cautious.shop.counts_agree()


def test_discarding_all_uncertain_orders_leaves_nothing_to_do(
    cautious: Counter, sandbox: Sandbox
) -> None:
    """Their batches end; nothing is sent, and nothing waits for the endpoint."""
    sandbox.fail("accept-then-drop", times=2)
    cautious.shop.confirm(5)
    cautious.once()
    cautious.once()
    assert cautious.read("uncertain", "discard", "--all", "--yes") == [{"orders": 5}]
    assert cautious.once() == 0
    assert sandbox.book.totals.repeats == 0
    assert cautious.read("status")[0]["held"] == 0
    assert cautious.shop.counts_agree()


def test_an_order_that_may_have_arrived_is_a_repeat_however_it_is_sent_again(
    cautious: Counter, sandbox: Sandbox
) -> None:
    """Given up and then retried after all: counted, and apart from sure ones."""
    reject(cautious, "'nowhere'")
    sandbox.fail("accept-then-drop", times=1)
    cautious.shop.confirm(1)
    cautious.once()
    cautious.say("uncertain", "discard", "3", "--yes")
    cautious.shop.sql("UPDATE orders SET email = 'mila@example.com'")
    before = cautious.read("status", code=1)[0]["possible_repeats"]
    assert cautious.read("rejected", "retry", "1", "3") == [{"orders": 2}]
    assert cautious.once() == 0
    assert [sandbox.book.posts(f"W-{n}") for n in (1, 2, 3)] == [1, 1, 2]
    after = cautious.read("status")[0]["possible_repeats"]
    assert int(str(after)) == int(str(before)) + 1
    assert "may have repeated" in cautious.say("explain", "W-3")
    assert "may have repeated" not in cautious.say("explain", "W-1")
    assert cautious.shop.counts_agree()


def test_a_name_that_two_orders_have_is_refused_by_every_verb(
    counter: Counter,
) -> None:
    """The key of one is the number of another: both are listed, and nothing is done."""
    counter.shop.sql(
        "CREATE OR REPLACE VIEW syncd.purchases AS SELECT id AS order_key, "
        "CASE id WHEN 2 THEN '1' ELSE 'W-' || id END AS orderid, 'nowhere' AS email, "
        "'EUR' AS currency, total AS totalvalue, products FROM orders"
    )
    counter.shop.confirm(2)
    counter.once()
    for verb in (
        "rejected retry 1",
        "rejected discard 1 --yes",
        "rejected show 1",
        "uncertain resend 1",
        "uncertain discard 1 --yes",
        "explain 1",
        "preview 1",
        "erase 1 --yes",
    ):
        code, said = within(counter, *verb.split())
        assert (code, "order_key 1, order_key 2" in said) == (1, True), (verb, said)
    assert (counter.state(1), counter.state(2)) == ("rejected", "rejected")
    assert within(counter, "rejected", "retry", "W-1")[0] == 0
    assert (counter.state(1), counter.state(2)) == ("pending", "rejected")


def within(counter: Counter, *words: str) -> tuple[int, str]:
    """Run a command in this process."""
    key = {"SYNCD_SQUEEZELY_API_KEY": "sandbox-key"}
    command = [*words, "--config", str(counter.config)]
    result = CliRunner().invoke(cli, command, env=key)
    return result.exit_code, f"{result.output}{result.exception or ''}"


def test_an_order_that_is_named_in_a_hold_can_be_given_up(
    counter: Counter, sandbox: Sandbox
) -> None:
    """`status` names it and the verb, a list has it, and the feed goes on."""
    (bad,) = counter.shop.confirm(1)
    sandbox.fail("firewall", times=None, orderids=(bad,))
    counter.once()
    counter.once()
    key = bad.removeprefix("W-")
    ((reason, step),) = [
        (r["reason"], r["next"])
        for r in json.loads(counter.run("status", "--json").stdout)["reasons"]
        if "nothing is sent" in r["reason"]
    ]
    assert "HTTP 403 Request blocked" in reason
    assert f"order {key}" in reason
    assert "syncd rejected discard" in step
    (listed,) = counter.read("rejected", "list", "--suspected")
    assert (listed["order_key"], listed["state"]) == (key, "suspected")
    assert "1 orders were given up" in counter.say("rejected", "discard", "--yes", bad)
    assert counter.state(int(key)) == "discarded"
    assert counter.run("rejected", "list", "--suspected").stdout.strip() in {"", "none"}
    (good,) = counter.shop.confirm(1)
    counter.once()
    assert [sandbox.book.posts(o) for o in (bad, good)] == [0, 1]
    assert counter.shop.counts_agree()


def test_an_order_that_waits_in_doubt_can_be_given_up(
    counter: Counter, sandbox: Sandbox
) -> None:
    """Where it would be sent again by itself; its doubt is kept, and it is not sent."""
    counter.shop.confirm(1)
    sandbox.fail("accept-then-drop", times=1)
    counter.once()
    assert counter.state(1) == "pending"
    assert counter.read("uncertain", "list") == []
    said = counter.say("uncertain", "discard", "--yes", "W-1")
    assert "1 orders were given up" in said
    assert counter.state(1) == "discarded"
    counter.shop.confirm(1)
    counter.once()
    assert [sandbox.book.posts(f"W-{n}") for n in (1, 2)] == [1, 1]
    assert counter.shop.row_of("ledger", order_key="1").uncertain_attempts == 1
    assert counter.shop.counts_agree()
