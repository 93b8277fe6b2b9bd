"""Commands for orders that wait for a person."""

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


class CommandLine:
    """Runs commands with a shop's configuration and returns their output."""

    def __init__(self, shop: Shop, config: Path) -> None:
        self.shop = shop
        self.config = config
        self.run_once()

    def run_once(self) -> int:
        """Capture and deliver what is due, with every wait ended."""
        self.shop.end_back_off()
        self.shop.make_batches_due()
        return syncd("run", "--once", "--config", self.config).returncode

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return syncd(*words, "--config", self.config)

    def output(self, *words: str, code: int = 0) -> str:
        done = self.run(*words)
        assert done.returncode == code, done.stderr
        return done.stdout

    def read_json(self, *words: str, code: int = 0) -> list[dict[str, object]]:
        found = json.loads(self.output(*words, "--json", code=code))
        return found if isinstance(found, list) else [found]

    def state(self, key: int) -> object:
        (order,) = self.shop.captured_orders(order_key=str(key))
        return order.standing


@pytest.fixture
def command_line(shop: Shop, sandbox: Sandbox, tmp_path: Path) -> CommandLine:
    config = shop.configure(tmp_path, sandbox.endpoint, batch_size=3)
    return CommandLine(shop, config)


@pytest.fixture
def holding_command_line(shop: Shop, sandbox: Sandbox, tmp_path: Path) -> CommandLine:
    """With a configuration that holds batches that may have arrived."""
    config = shop.configure(
        tmp_path, sandbox.endpoint, batch_size=3, on_uncertain="hold", timeout="2s"
    )
    return CommandLine(shop, config)


def test_orders_that_are_not_set_aside_are_reported(command_line: CommandLine) -> None:
    """By each command that takes them, with where to list them; nothing is changed."""
    for verbs, group in (
        (("rejected", "retry"), "rejected"),
        (("rejected", "discard", "--yes"), "rejected"),
        (("uncertain", "resend"), "uncertain"),
        (("uncertain", "discard", "--yes"), "uncertain"),
    ):
        done = command_line.run(*verbs, "W-404")
        assert (done.returncode, done.stdout) == (1, "")
        message, hint = done.stderr.splitlines()
        assert message == "syncd: the order 'W-404' is not set aside"
        assert f"`syncd {group} list`" in hint
        assert "none of these orders" in command_line.run(*verbs, "1", "2").stderr
    reject(command_line, "'nowhere'")
    done = command_line.run("rejected", "retry", "1", "404")
    assert done.stdout == "1 orders are pending again\n"
    assert done.stderr == "the others of 2 are not set aside\n"


@pytest.mark.parametrize("columns", [40, 80])
def test_a_terminal_wraps_lists_and_histories_to_its_width(
    command_line: CommandLine, columns: int
) -> None:
    """Between words; a pipe gets unwrapped lines to search in."""
    reject(command_line, "'nowhere'")
    reason = "products[0] " + "is odd, " * 9
    command_line.shop.update("ledger", {"reason": reason}, state="rejected")
    for words in (("rejected", "list"), ("rejected", "show", "1"), ("explain", "1")):
        lines = plain(on_terminal(columns, *words, "--config", command_line.config))
        assert max(map(len, lines)) <= columns
        if words != ("rejected", "list"):  # there a reason has a narrow column
            assert "products[0] is odd, is odd" in " ".join(" ".join(lines).split())
        assert "is odd, " * 9 in command_line.output(*words)
    assert (
        on_terminal(columns, "pause", "--config", command_line.config).split()[-1]
        == "continues"
    )


def reject(command_line: CommandLine, *emails: str) -> None:
    """Confirm an order for each address, all of them invalid, and one valid order."""
    for email in emails:
        command_line.shop.sql(
            f"INSERT INTO orders (confirmed_at, email, total) VALUES "
            f"(clock_timestamp(), {email}, {'1' if '@' not in email else 'NULL'})"
        )
    command_line.shop.confirm(1)
    command_line.run_once()


def test_rejected_orders_are_chosen_by_key_by_reason_or_all(
    command_line: CommandLine, sandbox: Sandbox
) -> None:
    """To list, retry and discard; choosing none is not a success."""
    reject(command_line, "'nowhere'", "'nowhere'", "'no where@x'", "'else'", "'other'")
    listed = command_line.read_json("rejected", "list")
    assert [row["order_key"] for row in listed] == ["1", "2", "3", "4", "5"]
    assert command_line.read_json("rejected", "list", "--reason", "NOT AN") == listed
    assert command_line.read_json("rejected", "list", "--reason", "weather") == []
    assert "5" in command_line.output("rejected", "list")

    command_line.shop.sql("UPDATE orders SET email = 'mila@example.com' WHERE id = 2")
    assert command_line.read_json("rejected", "retry", "W-2") == [{"orders": 1}]
    assert command_line.read_json(
        "rejected", "retry", "--reason", "weather", code=1
    ) == [{"orders": 0}]
    command_line.run_once()
    assert sandbox.received.posts("W-2") == 1
    assert command_line.read_json("rejected", "discard", "1", "--yes") == [
        {"orders": 1}
    ]
    assert command_line.state(1) == "discarded"
    discard = ("rejected", "discard", "--reason", "address", "--yes")
    assert command_line.output(*discard) == "3 orders were given up\n"
    assert command_line.read_json("rejected", "list") == []
    assert len(command_line.read_json("rejected", "list", "--discarded")) == 4
    assert command_line.read_json("status")[0]["healthy"] is True
    assert command_line.shop.counts_agree()


def test_a_discarded_order_is_not_captured_again_but_can_be_retried(
    command_line: CommandLine, sandbox: Sandbox
) -> None:
    """A backfill does not capture it again; a retry by its key does send it."""
    reject(command_line, "'nowhere'")
    command_line.output("rejected", "discard", "--all", "--yes")
    command_line.shop.sql("UPDATE orders SET email = 'mila@example.com'")
    past = ("watermark", "reset", "--to", "2020-01-01", "--yes")
    assert "0 to send" in command_line.output(*past)
    assert command_line.output("rejected", "retry", "--all", code=1) == (
        "0 orders are pending again\n"
    )
    command_line.run_once()
    assert sandbox.received.posts("W-1") == 0
    assert "discarded by hand: email" in command_line.output("explain", "W-1")
    command_line.output("rejected", "retry", "1")
    assert command_line.run_once() == 0
    assert sandbox.received.posts("W-1") == 1


def test_discarding_asks_for_confirmation(command_line: CommandLine) -> None:
    """Without an answer nothing is discarded."""
    reject(command_line, "'nowhere'")
    command_line.output("rejected", "discard", "--all", code=1)
    assert command_line.state(1) == "rejected"
    command_line.output("rejected", "discard", code=64)
    command_line.output("uncertain", "discard", "--yes", code=64)


def test_a_rejected_order_is_shown_with_its_attempts_and_the_next_step(
    command_line: CommandLine, sandbox: Sandbox
) -> None:
    """Also with attempts that it shared, before its batch was halved."""
    sandbox.fail("refused", times=None, orderids=("W-2",), message="sku is unknown")
    sandbox.fail("too-large", times=1, limit_bytes=1)
    command_line.shop.confirm(3)
    for _ in range(4):
        command_line.run_once()
    (shown,) = command_line.read_json("rejected", "show", "W-2")
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
    history = command_line.output("rejected", "show", "2")
    assert "HTTP 413" in history
    assert "smaller batch" in history
    assert "next: mend the data or the view, then syncd rejected retry 2" in history
    command_line.output("rejected", "show", "W-1", code=1)

    sandbox.clear_faults()
    command_line.output("rejected", "retry", "2")
    assert command_line.run_once() == 0
    history = command_line.output("explain", "W-2")
    assert "tried again by hand (it was set aside: HTTP 400 sku is unknown)" in history
    assert "HTTP 413" in history
    assert "captured by poll into the live lane" in history
    assert "now delivered" in history
    assert (
        history.index("HTTP 413")
        < history.index("tried again")
        < history.index("HTTP 200")
    )


def test_uncertain_orders_are_listed_resent_and_discarded(
    holding_command_line: CommandLine, sandbox: Sandbox
) -> None:
    """They are chosen by key or all; after a resend Squeezely has each twice."""
    sandbox.fail("accept-then-drop", times=1)
    holding_command_line.shop.confirm(3)
    assert holding_command_line.run_once() == 0
    listed = holding_command_line.read_json("uncertain", "list")
    assert [(r["order_key"], r["orderid"], r["attempt"]) for r in listed] == [
        ("1", "W-1", 1),
        ("2", "W-2", 1),
        ("3", "W-3", 1),
    ]
    assert "broke" in str(listed[0]["reason"])
    assert holding_command_line.read_json("status", code=1)[0]["held"] == 3
    assert "syncd uncertain discard 1" in holding_command_line.output("explain", "W-1")

    assert holding_command_line.read_json("uncertain", "resend", "W-2") == [
        {"orders": 1}
    ]
    assert holding_command_line.read_json("uncertain", "resend", "W-2", code=1) == [
        {"orders": 0}
    ]
    assert holding_command_line.read_json("uncertain", "discard", "3", "--yes") == [
        {"orders": 1}
    ]
    assert holding_command_line.shop.counts_agree()
    holding_command_line.run_once()
    assert [sandbox.received.posts(f"W-{n}") for n in (1, 2, 3)] == [1, 2, 1]
    assert (
        holding_command_line.state(1),
        holding_command_line.state(2),
        holding_command_line.state(3),
    ) == (
        "held",
        "delivered",
        "discarded",
    )
    assert holding_command_line.read_json("status", code=1)[0]["possible_repeats"] == 2
    history = holding_command_line.output("explain", "W-2")
    assert "unclear" in history
    assert "sent again by hand" in history
    assert "may have repeated" in history

    assert (
        holding_command_line.output("uncertain", "resend", "--all")
        == "1 orders are pending again\n"
    )
    assert holding_command_line.run_once() == 0
    assert holding_command_line.output("uncertain", "list") == "none\n"
    assert sandbox.received.posts("W-1") == 2
    assert holding_command_line.read_json("status")[0]["healthy"] is True
    assert holding_command_line.shop.counts_agree()


def test_discarding_all_uncertain_orders_leaves_nothing_pending(
    holding_command_line: CommandLine, sandbox: Sandbox
) -> None:
    """Their batches end; nothing is sent, and nothing waits for the endpoint."""
    sandbox.fail("accept-then-drop", times=2)
    holding_command_line.shop.confirm(5)
    holding_command_line.run_once()
    holding_command_line.run_once()
    assert holding_command_line.read_json("uncertain", "discard", "--all", "--yes") == [
        {"orders": 5}
    ]
    assert holding_command_line.run_once() == 0
    assert sandbox.received.totals.repeats == 0
    assert holding_command_line.read_json("status")[0]["held"] == 0
    assert holding_command_line.shop.counts_agree()


def test_an_uncertain_order_is_a_possible_repeat_however_it_is_resent(
    holding_command_line: CommandLine, sandbox: Sandbox
) -> None:
    """Discarded and retried after all: counted, apart from certain repeats."""
    reject(holding_command_line, "'nowhere'")
    sandbox.fail("accept-then-drop", times=1)
    holding_command_line.shop.confirm(1)
    holding_command_line.run_once()
    holding_command_line.output("uncertain", "discard", "3", "--yes")
    holding_command_line.shop.sql("UPDATE orders SET email = 'mila@example.com'")
    before = holding_command_line.read_json("status", code=1)[0]["possible_repeats"]
    assert holding_command_line.read_json("rejected", "retry", "1", "3") == [
        {"orders": 2}
    ]
    assert holding_command_line.run_once() == 0
    assert [sandbox.received.posts(f"W-{n}") for n in (1, 2, 3)] == [1, 1, 2]
    after = holding_command_line.read_json("status")[0]["possible_repeats"]
    assert int(str(after)) == int(str(before)) + 1
    assert "may have repeated" in holding_command_line.output("explain", "W-3")
    assert "may have repeated" not in holding_command_line.output("explain", "W-1")
    assert holding_command_line.shop.counts_agree()


def test_an_ambiguous_order_name_is_refused_by_every_command(
    command_line: CommandLine,
) -> None:
    """One order's key is another's number: both are listed, nothing is changed."""
    command_line.shop.sql(
        "CREATE OR REPLACE VIEW syncd.purchases AS SELECT id AS order_key, "
        "CASE id WHEN 2 THEN '1' ELSE 'W-' || id END AS orderid, 'nowhere' AS email, "
        "'EUR' AS currency, total AS totalvalue, products FROM orders"
    )
    command_line.shop.confirm(2)
    command_line.run_once()
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
        code, message = within(command_line, *verb.split())
        assert (code, "order_key 1, order_key 2" in message) == (1, True), (
            verb,
            message,
        )
    assert (command_line.state(1), command_line.state(2)) == ("rejected", "rejected")
    assert within(command_line, "rejected", "retry", "W-1")[0] == 0
    assert (command_line.state(1), command_line.state(2)) == ("pending", "rejected")


def within(command_line: CommandLine, *words: str) -> tuple[int, str]:
    """Run a command in this process."""
    key = {"SYNCD_SQUEEZELY_API_KEY": "sandbox-key"}
    command = [*words, "--config", str(command_line.config)]
    result = CliRunner().invoke(cli, command, env=key)
    return result.exit_code, f"{result.output}{result.exception or ''}"


def test_an_order_that_causes_a_hold_can_be_discarded(
    command_line: CommandLine, sandbox: Sandbox
) -> None:
    """`status` names it and the command, a list has it, and the feed continues."""
    (bad,) = command_line.shop.confirm(1)
    sandbox.fail("firewall", times=None, orderids=(bad,))
    command_line.run_once()
    command_line.run_once()
    key = bad.removeprefix("W-")
    ((reason, step),) = [
        (r["reason"], r["next"])
        for r in json.loads(command_line.run("status", "--json").stdout)["reasons"]
        if "nothing is sent" in r["reason"]
    ]
    assert "HTTP 403 Request blocked" in reason
    assert f"order {key}" in reason
    assert "syncd rejected discard" in step
    (listed,) = command_line.read_json("rejected", "list", "--suspected")
    assert (listed["order_key"], listed["state"]) == (key, "suspected")
    assert "1 orders were given up" in command_line.output(
        "rejected", "discard", "--yes", bad
    )
    assert command_line.state(int(key)) == "discarded"
    assert command_line.run("rejected", "list", "--suspected").stdout.strip() in {
        "",
        "none",
    }
    (good,) = command_line.shop.confirm(1)
    command_line.run_once()
    assert [sandbox.received.posts(o) for o in (bad, good)] == [0, 1]
    assert command_line.shop.counts_agree()


def test_a_waiting_uncertain_order_can_be_discarded(
    command_line: CommandLine, sandbox: Sandbox
) -> None:
    """It would be sent again automatically; it stays uncertain, and is not sent."""
    command_line.shop.confirm(1)
    sandbox.fail("accept-then-drop", times=1)
    command_line.run_once()
    assert command_line.state(1) == "pending"
    assert command_line.read_json("uncertain", "list") == []
    output = command_line.output("uncertain", "discard", "--yes", "W-1")
    assert "1 orders were given up" in output
    assert command_line.state(1) == "discarded"
    command_line.shop.confirm(1)
    command_line.run_once()
    assert [sandbox.received.posts(f"W-{n}") for n in (1, 2)] == [1, 1]
    assert command_line.shop.row_of("ledger", order_key="1").uncertain_attempts == 1
    assert command_line.shop.counts_agree()
