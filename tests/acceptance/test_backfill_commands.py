"""The commands for past orders as processes: plan, prompt, invalid input."""

import json
from datetime import datetime
from pathlib import Path

import psycopg
import pytest
from support.backfill_harness import BEGIN, day, insert_past_orders
from support.command import on_terminal, plain, syncd
from support.feed_harness import ago
from support.shop import Shop

from syncd.demo.sandbox import Sandbox

pytestmark = pytest.mark.db

FROM = ("--from", BEGIN.isoformat())


@pytest.fixture
def past_config(shop: Shop, sandbox: Sandbox, tmp_path: Path) -> Path:
    """The configuration of a feed with 40 past orders, one of them unsendable."""
    path = shop.configure(tmp_path, sandbox.endpoint)
    with path.open("a") as file:
        file.write('\n[backfill]\nrate = "unlimited"\n')
    assert syncd("run", "--once", "--config", path).returncode == 0
    insert_past_orders(shop, 40, days=20)
    shop.sql("UPDATE orders SET email = 'nowhere' WHERE id = 7")
    return path


def test_the_plan_is_complete_before_the_prompt(shop: Shop, past_config: Path) -> None:
    """Counts, a histogram, what cannot be sent, the duration, consequences."""
    shown = syncd("backfill", *FROM, "--dry-run", "--config", past_config).stdout
    assert "40 confirmed orders" in shown
    assert "40 to send" in shown
    assert f"{day(1).date()} " in shown
    assert "1 of 40 that were tried cannot be sent" in shown
    assert "order 7: email is not an address" in shown
    assert "Flows in Squeezely may start" in shown
    assert "Only the orders' own fields are sent" in shown
    assert "@" not in shown.replace("name@example.com", "")
    assert shop.rows_of("backfill") == []


@pytest.fixture
def unstarted(shop: Shop, sandbox: Sandbox, tmp_path: Path) -> Path:
    """The configuration of a feed that was never started, with 40 past orders."""
    insert_past_orders(shop, 40, days=20)
    return shop.configure(tmp_path, sandbox.endpoint)


@pytest.mark.parametrize(
    "verb", [("backfill", *FROM), ("watermark", "reset", "--to", BEGIN.isoformat())]
)
def test_a_backfill_starts_a_feed_that_was_never_started(
    shop: Shop, sandbox: Sandbox, unstarted: Path, verb: tuple[str, ...]
) -> None:
    """The watermark starts at now: past orders are left to the backfill."""
    done = syncd(*verb, "--yes", "--config", unstarted)
    assert done.returncode == 0, done.stderr
    assert "feed 'shop' was never started: it starts with this" in done.stderr
    assert "feed 'shop' is started at " in done.stderr
    assert "40 to send" in done.stdout
    assert shop.count("backfill") == 1
    shop.confirm(2)
    assert syncd("run", "--once", "--config", unstarted).returncode in {0, 75}
    while syncd("run", "--once", "--config", unstarted).returncode == 75:
        pass
    assert len(sandbox.received.purchases()) == 42


def test_a_plan_for_a_feed_that_was_never_started_writes_nothing(
    shop: Shop, unstarted: Path
) -> None:
    """Neither a dry run nor an unanswered prompt starts it."""
    done = syncd("backfill", *FROM, "--dry-run", "--config", unstarted)
    assert done.returncode == 0, done.stderr
    assert "40 to send" in done.stdout
    assert syncd("backfill", *FROM, "--config", unstarted).returncode == 64
    prompt = on_terminal(80, "backfill", *FROM, "--config", unstarted, answer="n\n")
    assert "nothing was changed" in plain(prompt)[-1]
    assert shop.rows_of("feed") == []


def test_a_first_backfill_that_a_start_would_refuse_is_refused(
    shop: Shop, unstarted: Path
) -> None:
    """A backfill that starts the feed checks the conditions of a start."""
    shop.sql("DROP VIEW syncd.purchases")
    done = syncd("backfill", *FROM, "--yes", "--config", unstarted)
    assert done.returncode == 78
    assert "syncd.purchases" in done.stderr
    assert shop.rows_of("feed") == []


def test_the_plan_is_available_as_json(shop: Shop, past_config: Path) -> None:
    """The figures are the same; nothing is started without --yes."""
    arguments = ("backfill", *FROM, "--json", "--config", past_config)
    facts = json.loads(syncd(*arguments, "--dry-run").stdout)
    assert (facts["confirmed"], facts["orders"], facts["backfill"]) == (40, 40, None)
    assert sum(facts["days"].values()) == 40
    assert facts["examples"][0]["order_key"] == "7"
    refused = syncd(*arguments)
    assert refused.returncode == 64
    assert "pass --yes" in refused.stderr
    assert shop.rows_of("backfill") == []
    assert json.loads(syncd(*arguments, "--yes").stdout)["backfill"] == 1


@pytest.mark.parametrize("columns", [40, 80])
def test_a_terminal_shows_the_plan_in_its_width_and_asks(
    shop: Shop, past_config: Path, columns: int
) -> None:
    """Answering "no" changes nothing, "yes" starts the backfill."""
    arguments = (
        "watermark",
        "reset",
        "--to",
        BEGIN.isoformat(),
        "--config",
        past_config,
    )
    shown = on_terminal(columns, *arguments, answer="n\n")
    lines = [line for line in plain(shown) if not line.startswith("Send them?")]
    assert [line for line in lines if len(line) > columns] == []
    assert "█" in shown
    assert "nothing was changed" in shown
    assert shop.rows_of("backfill") == []
    shown = on_terminal(columns, *arguments, answer="y\n")
    assert "backfill 1:" in shown
    assert "watermark.reset" in shown
    assert shop.count("backfill") == 1


def test_at_40_columns_wrapped_lines_stay_indented(
    shop: Shop, past_config: Path
) -> None:
    """Continuation lines are indented, and the bars of the histogram have labels."""
    shop.sql("UPDATE orders SET email = 'nobody' WHERE id = 9")
    arguments = ("backfill", *FROM, "--dry-run", "--config", past_config)
    lines = syncd(*arguments, COLUMNS="40").stdout.splitlines()
    found_at = lines.index("  2 of 40 that were tried cannot be")
    assert lines[found_at + 1] == "    sent:"
    assert "per day" in lines
    assert max(map(len, lines)) <= 40


def test_times_are_in_the_shops_zone(past_config: Path) -> None:
    """Typed times and the days of the histogram; the zone is named."""
    text = past_config.read_text()
    past_config.write_text(
        text.replace("[source]", '[source]\ntime_zone = "Asia/Tokyo"')
    )
    day_of_it = f"{BEGIN:%Y-%m-%d}"
    until = f"{day(5):%Y-%m-%d}"
    arguments = ("--from", day_of_it, "--to", until, "--config", past_config)
    shown = syncd("backfill", *arguments, "--yes").stdout
    head = f"Orders confirmed after {day_of_it} 00:00 up to {until} 00:00 (Asia/Tokyo)"
    assert head in " ".join(shown.split())
    listed = " ".join(syncd("backfill", "list", "--config", past_config).stdout.split())
    assert f"{day_of_it} 00:00 {until} 00:00" in listed


def test_colours_are_not_used_where_unwanted(past_config: Path) -> None:
    """NO_COLOR is respected; a pipe never has any."""
    arguments = ("backfill", *FROM, "--dry-run", "--config", past_config)
    assert "\x1b[" not in syncd(*arguments).stdout
    assert "\x1b[" not in syncd(*arguments, NO_COLOR="1").stdout


def test_a_backfill_is_watched_and_listed_to_its_end(
    shop: Shop, sandbox: Sandbox, past_config: Path
) -> None:
    """The watch prints lines without a terminal, and a bar on one."""
    started = syncd("backfill", *FROM, "--yes", "--config", past_config)
    assert "no daemon runs now, `syncd run` begins with it" in started.stdout
    for columns in ("40", "80"):
        listed = syncd(
            "backfill", "list", "--config", past_config, COLUMNS=columns
        ).stdout
        assert "running" in listed
        assert max(len(line) for line in listed.splitlines()) <= int(columns)
    shop.start(past_config)
    watched = syncd("backfill", "watch", "1", "--config", past_config)
    assert watched.returncode == 0
    assert "backfill 1 finished: 40/40" in watched.stdout
    assert "1 rejected" in watched.stdout
    bar = on_terminal(80, "backfill", "watch", "1", "--config", past_config)
    assert "1 finished" in bar
    narrow = plain(on_terminal(40, "backfill", "watch", "1", "--config", past_config))
    assert "40/40, 1 rejected" in narrow
    assert max(len(line) for line in narrow) <= 40
    document = syncd("backfill", "list", "--json", "--config", past_config).stdout
    (facts,) = json.loads(document)
    assert facts["state"] == "finished"
    assert (facts["delivered"], facts["rejected"]) == (39, 1)
    assert "finished" in syncd("backfill", "--config", past_config, "list").stdout
    assert sandbox.received.totals.orderids == 39


def test_watching_a_cancelled_backfill_fails(past_config: Path) -> None:
    """The exit code is for scripts that wait for the backfill's end."""
    assert syncd("backfill", "list", "--config", past_config).stdout == "none\n"
    syncd("backfill", *FROM, "--yes", "--config", past_config)
    assert syncd("backfill", "pause", "--config", past_config).returncode == 0
    assert (
        syncd("backfill", "cancel", "1", "--yes", "--config", past_config).returncode
        == 0
    )
    watched = syncd("backfill", "watch", "1", "--config", past_config)
    assert (watched.returncode, "cancelled" in watched.stdout) == (1, True)


def test_an_adopted_range_is_never_sent_unless_resent(
    sandbox: Sandbox, past_config: Path
) -> None:
    """Only a resend, which requires a reason, sends adopted orders."""
    until = ("--to", day(10).isoformat())
    adopted = syncd("mark-delivered", *FROM, *until, "--yes", "--config", past_config)
    assert "20 to mark as delivered" in adopted.stdout
    assert syncd("run", "--once", "--config", past_config).returncode == 0
    again = syncd("backfill", *FROM, "--dry-run", "--config", past_config).stdout
    assert "20 adopted: delivered by something else" in again
    assert "20 to send" in again
    options = ("--resend", "--reason", "never arrived", "--yes")
    resent = syncd("backfill", *FROM, *until, *options, "--config", past_config)
    assert "to be sent AGAIN" in resent.stdout
    assert syncd("run", "--once", "--config", past_config).returncode == 0
    assert sandbox.received.totals.orderids == 19
    history = syncd("explain", "W-1", "--config", past_config).stdout
    assert "sent again on purpose: never arrived" in history


def test_preview_shows_an_event_as_a_backfill_sends_it(
    shop: Shop, past_config: Path
) -> None:
    """The event lacks the fields of the customer's profile."""
    shop.sql(
        "CREATE OR REPLACE VIEW syncd.purchases AS SELECT id AS order_key, "
        "'W-' || id AS orderid, email, 'EUR' AS currency, total AS totalvalue, "
        "products, 'Mila' AS firstname FROM orders"
    )
    whole = json.loads(syncd("preview", "W-1", "--config", past_config).stdout)
    bare = json.loads(
        syncd("preview", "W-1", "--backfill", "--config", past_config).stdout
    )
    assert set(whole) - set(bare) == {"firstname"}


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("backfill",), 64, "Name the range: --from"),
        (("backfill", "--from", "2999-01-01"), 64, "is in the future"),
        (("backfill", "--from", "0202-01-01"), 64, "0202-01-01 is before 1970"),
        (("backfill", "--from", "31/12/2025"), 64, "is not a valid time"),
        (("backfill", "--from", "2026-02-30"), 64, "is not a valid time"),
        (("backfill", "--from", "2025-02-01", "--to", "2025-01-01"), 64, "is empty"),
        (("backfill", "--from", "2025-02-01", "--to", "2025-02-01"), 64, "is empty"),
        (("backfill", "--from", "now"), 64, "now is not before the watermark"),
        (("watermark", "reset", "--to", "now"), 64, "is not before the watermark"),
        (("watermark", "reset"), 64, "--to"),
        (("mark-delivered",), 64, "--from"),
        (("backfill", *FROM, "--resend"), 64, "Give the reason"),
        (("backfill", *FROM, "--resend", "--reason", " "), 64, "Give the reason"),
        (("backfill", *FROM, "--reason", "x"), 64, "--reason needs --resend"),
        (("backfill", *FROM), 64, "Not a terminal"),
        (("backfill", *FROM, "list"), 64, "takes no range"),
        (("backfill", "pause"), 1, "no backfill is under way"),
        (("backfill", "cancel", "9", "--yes"), 1, "no backfill 9"),
        (("backfill", "watch", "9"), 1, "no backfill 9"),
        (("backfill", "resume", "nine"), 64, "not a valid integer"),
    ],
)
def test_invalid_input_is_reported_in_one_line_and_changes_nothing(
    shop: Shop, past_config: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    """The line has the next step; the exit code is that of the error's kind."""
    done = syncd(*arguments, "--config", past_config)
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert shop.rows_of("backfill") == []


def test_a_range_above_the_watermark_is_cut(past_config: Path) -> None:
    """The plan ends at the watermark, with a note about it."""
    done = syncd("backfill", *FROM, "--to", "now", "--dry-run", "--config", past_config)
    assert "note: only up to the watermark" in done.stderr
    assert "40 to send" in done.stdout


def test_overlapping_or_foreign_backfills_are_refused(
    shop: Shop, past_config: Path, tmp_path: Path
) -> None:
    """The line names the other backfill, or the feed that was never started."""
    assert syncd("backfill", *FROM, "--yes", "--config", past_config).returncode == 0
    again = syncd("backfill", *FROM, "--yes", "--config", past_config)
    assert (again.returncode, "is in backfill 1, which" in again.stderr) == (1, True)
    assert "syncd backfill watch 1" in again.stderr
    assert again.stdout == ""  # no plan of a backfill that cannot be started
    assert (
        syncd("backfill", *FROM, "--dry-run", "--config", past_config).returncode == 0
    )
    assert syncd("backfill", "resume", "1", "--config", past_config).returncode == 1
    other = tmp_path / "other.toml"
    other.write_text(past_config.read_text().replace('feed = "shop"', 'feed = "other"'))
    foreign = syncd("backfill", "cancel", "1", "--yes", "--config", other)
    assert foreign.returncode == 78
    assert "feed 'other' was never started" in foreign.stderr
    assert "If `feed` should be 'shop', mend the configuration" in foreign.stderr
    assert shop.row_of("backfill").state == "running"


def test_a_range_without_orders_starts_nothing(shop: Shop, past_config: Path) -> None:
    """The command neither prompts nor starts a backfill."""
    until = ("--to", "2001-01-01")
    done = syncd("backfill", "--from", "2000-01-01", *until, "--config", past_config)
    assert (done.returncode, "0 to send" in done.stdout) == (0, True)
    assert shop.rows_of("backfill") == []


def test_the_list_shows_what_a_backfill_waits_for(
    shop: Shop, past_config: Path
) -> None:
    """A pause, the API, live orders: by name, not as a rate of 0."""

    def waits_for() -> object:
        listed = syncd("backfill", "list", "--json", "--config", past_config).stdout
        return json.loads(listed)[0]["waits_for"]

    syncd("backfill", *FROM, "--yes", "--config", past_config)
    assert waits_for() is None
    times = {"oldest_at": ago(), "created_at": ago(seconds=3)}
    shop.insert("batch", feed_id=1, lane="live", orders=1, **times)
    assert waits_for() == "live orders go first"
    syncd("pause", "--capture", "--config", past_config)
    assert waits_for() == "capture is paused"
    syncd("pause", "--config", past_config)
    assert waits_for() == "sending is paused"
    status = json.loads(syncd("status", "--json", "--config", past_config).stdout)
    (listed,) = status["backfills"]
    assert (listed["state"], listed["purpose"], listed["settled"]) == (
        "running",
        "send",
        0,
    )


def test_the_watermark_is_shown_with_what_holds_it(
    shop: Shop, past_config: Path
) -> None:
    """The first line has its time; the JSON has everything."""
    show = ("watermark", "show", "--config", past_config)
    shop.set_watermark(ago(seconds=5))
    first, second = syncd(*show).stdout.splitlines()
    assert datetime.fromisoformat(first).tzinfo
    assert second.endswith("s ago (lookback 5 s)")
    shop.set_watermark(ago(hours=1))
    with psycopg.connect(shop.owner) as holding:
        holding.execute("SELECT pg_current_xact_id()")
        facts = json.loads(syncd(*show, "--json").stdout)
        assert facts["age_seconds"] >= 3600
        assert facts["held_by"]
        assert "held back by pid " in syncd(*show).stdout
    syncd("pause", "--capture", "--reason", "import", "--config", past_config)
    assert "capture is paused since" in syncd(*show).stdout
    assert json.loads(syncd(*show, "--json").stdout)["paused"]
