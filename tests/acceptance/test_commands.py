"""The command line, as its users run it."""

import json
from pathlib import Path

import pytest
from support.command import syncd
from support.postgres import wait_until
from support.shop import Shop

from syncd.demo.sandbox import Sandbox

pytestmark = pytest.mark.db


def test_orders_confirmed_after_the_start_arrive_and_earlier_ones_do_not(
    shop: Shop, sandbox: Sandbox, tmp_path: Path
) -> None:
    """The main task, with the daemon stopped by SIGTERM."""
    before = shop.confirm(5)
    config = shop.configure(tmp_path, sandbox.endpoint)
    daemon = shop.start(config)
    log = config.with_suffix(".log")
    wait_until(lambda: "daemon.started" in log.read_text())
    after = shop.confirm(250)
    wait_until(lambda: sandbox.received.totals.orderids == 250)
    daemon.terminate()
    assert daemon.wait(60) == 0
    assert [sandbox.received.posts(orderid) for orderid in before] == [0] * 5
    assert {sandbox.received.posts(orderid) for orderid in after} == {1}
    last = json.loads(log.read_text().splitlines()[-1])
    assert (last["event"], last["exit_code"]) == ("daemon.stopped", 0)


def test_run_once_delivers_what_is_due_and_exits_by_what_remains(
    shop: Shop, sandbox: Sandbox, tmp_path: Path
) -> None:
    """0 with nothing left; 75 while the API is down; 0 again when it is back."""
    config = shop.configure(tmp_path, sandbox.endpoint)
    assert syncd("run", "--once", "--config", config).returncode == 0
    shop.confirm(3)
    sandbox.fail("server-error", None, status=503)
    assert syncd("run", "--once", "--config", config).returncode == 75
    sandbox.clear_faults()
    assert syncd("resume", "--config", config).returncode == 0
    assert syncd("run", "--once", "--config", config).returncode == 0
    assert sandbox.received.totals.orderids == 3


def test_run_once_respects_the_rate_and_delivers_everything(
    shop: Shop, sandbox: Sandbox, tmp_path: Path
) -> None:
    """A wait for the rate limit does not end the pass."""
    config = shop.configure(tmp_path, sandbox.endpoint, batch_size=25)
    text = config.read_text().replace('rate = "unlimited"', 'rate = "50/s"')
    config.write_text(text)
    syncd("run", "--once", "--config", config)
    shop.confirm(125)
    assert syncd("run", "--once", "--config", config).returncode == 0
    assert sandbox.received.totals.orderids == 125


def test_resetting_the_watermark_sends_past_orders_once(
    shop: Shop, sandbox: Sandbox, tmp_path: Path
) -> None:
    """The plan counts them, the backfill lane delivers them, the watermark stays."""
    shop.sql(
        "INSERT INTO orders (confirmed_at) SELECT now() - interval '1 day' "
        "FROM generate_series(1, 120)"
    )
    config = shop.configure(tmp_path, sandbox.endpoint)
    with config.open("a") as file:
        file.write('\n[backfill]\nrate = "unlimited"\n')
    syncd("run", "--once", "--config", config)
    show = ("watermark", "show", "--config", config)
    shown = syncd(*show).stdout.splitlines()[0]
    arguments = ("watermark", "reset", "--to", "2020-01-01", "--config", config)
    assert "120 to send" in syncd(*arguments, "--dry-run").stdout
    assert shop.batches() == 0
    assert syncd(*arguments, "--yes").returncode == 0
    assert syncd(*show).stdout.splitlines()[0] == shown
    assert syncd("run", "--once", "--config", config).returncode == 0
    assert "0 to send" in syncd(*arguments, "--yes").stdout
    assert sandbox.received.totals.orderids == 120
    assert sandbox.received.totals.repeats == 0


def test_resetting_the_watermark_sends_initial_orders(
    shop: Shop, sandbox: Sandbox, tmp_path: Path
) -> None:
    """Orders within the lookback of the start are past orders like any other."""
    shop.confirm(5)
    config = shop.configure(tmp_path, sandbox.endpoint, batch_size=2)
    syncd("run", "--once", "--config", config)
    assert "not sent" in syncd("explain", "W-1", "--config", config).stdout
    reset = ("watermark", "reset", "--yes", "--to", "2020-01-01", "--config", config)
    assert "5 to send" in syncd(*reset).stdout
    assert syncd("run", "--once", "--config", config).returncode == 0
    assert "0 to send" in syncd(*reset).stdout
    assert [sandbox.received.posts(f"W-{n}") for n in range(1, 6)] == [1] * 5
    facts = json.loads(syncd("status", "--json", "--config", config).stdout)
    assert (facts["delivered"], facts["adopted"]) == (5, 0)


def test_preview_prints_the_event_and_sends_nothing(
    shop: Shop, sandbox: Sandbox, tmp_path: Path
) -> None:
    """It finds an order by key or number; an unsendable one has a reason."""
    shop.confirm(1)
    shop.sql(
        "INSERT INTO orders (confirmed_at, products) VALUES (now(), "
        """'[{"id": "A", "quantity": -1}]')"""
    )
    config = shop.configure(tmp_path, sandbox.endpoint)
    event = json.loads(syncd("preview", "W-1", "--config", config).stdout)
    assert (event["event"], event["orderid"], event["totalvalue"]) == (
        "Purchase",
        "W-1",
        25,
    )
    assert event["products"] == [{"id": "MUG-1", "quantity": 2, "price": 12.5}]
    refused = syncd("preview", "2", "--config", config)
    assert refused.returncode == 1
    assert "quantity" in refused.stderr
    assert syncd("preview", "nope", "--config", config).returncode == 1
    assert sandbox.received.totals.requests == 0


def test_a_rejected_order_is_listed_explained_and_retried(
    shop: Shop, sandbox: Sandbox, tmp_path: Path
) -> None:
    """One command sends it once its data is fixed."""
    config = shop.configure(tmp_path, sandbox.endpoint)
    syncd("run", "--once", "--config", config)
    shop.sql("INSERT INTO orders (confirmed_at, email) VALUES (now(), 'nobody')")
    syncd("run", "--once", "--config", config)
    listed = json.loads(syncd("rejected", "list", "--json", "--config", config).stdout)
    assert [(row["order_key"], row["reason"]) for row in listed] == [
        ("1", "email is not an address like name@example.com")
    ]
    assert "rejected retry 1" in syncd("explain", "W-1", "--config", config).stdout
    assert syncd("status", "--config", config).returncode == 1
    shop.sql("UPDATE orders SET email = 'mila@example.com'")
    assert "1 orders" in syncd("rejected", "retry", "W-1", "--config", config).stdout
    assert syncd("run", "--once", "--config", config).returncode == 0
    assert sandbox.received.posts("W-1") == 1
    facts = json.loads(syncd("status", "--json", "--config", config).stdout)
    assert (facts["healthy"], facts["delivered"], facts["rejected"]) == (True, 1, 0)


def test_explain_gives_the_reason_why_an_order_was_not_sent(
    shop: Shop, sandbox: Sandbox, tmp_path: Path
) -> None:
    """It covers unconfirmed, early, repeated and unknown orders."""
    shop.sql("INSERT INTO orders (confirmed_at) VALUES (now() - interval '1 day'), "
             "(NULL)")  # fmt: skip
    config = shop.configure(tmp_path, sandbox.endpoint)
    syncd("run", "--once", "--config", config)
    shop.confirm(1)
    sandbox.fail("accept-then-drop")
    syncd("run", "--once", "--config", config)
    syncd("resume", "--config", config)
    syncd("run", "--once", "--config", config)

    def explain(order: str) -> str:
        return syncd("explain", order, "--config", config).stdout

    assert "before the feed started" in explain("W-1")
    history = json.loads(syncd("explain", "W-3", "--json", "--config", config).stdout)
    assert [attempt["status"] for attempt in history["attempts"]] == [None, 200]
    assert history["lines"] == explain("W-3").splitlines()
    assert "it is not confirmed" in explain("W-2")
    history = explain("W-3")
    assert "attempt 1" in history
    assert "unclear" in history
    assert "accepted, 1 events (HTTP 200, body " in history
    assert "may have repeated" in history
    assert "now delivered" in history
    assert sandbox.received.posts("W-3") == 2
    assert syncd("explain", "nope", "--config", config).returncode == 1


@pytest.mark.parametrize(
    ("change", "words", "code"),
    [
        (("DROP VIEW syncd.purchases",), ["syncd.purchases is missing"], 78),
        (("DROP VIEW syncd.confirmed_orders",), ["confirmed_orders is missing"], 78),
        (("DROP TABLE syncd.migration",), ["no ledger", "syncd install"], 78),
        (("REVOKE SELECT ON syncd.purchases FROM {role}",), ["permission denied"], 77),
        (
            ("ALTER VIEW syncd.purchases RENAME COLUMN email TO mail",),
            ["lacks the column email"],
            78,
        ),
        (
            ("ALTER VIEW syncd.purchases RENAME COLUMN currency TO valuta",),
            ["valuta", "custom_<name>"],
            78,
        ),
        (("UPDATE syncd.feed SET system_identifier = 1",), ["confirm-move"], 78),
        (("ALTER ROLE {role} NOLOGIN",), ["not permitted to log in"], 77),
    ],
)
def test_an_unprepared_database_gets_one_clear_message(
    shop: Shop,
    sandbox: Sandbox,
    tmp_path: Path,
    change: tuple[str],
    words: list[str],
    code: int,
) -> None:
    """The problem, the next step, a documented exit code; no restart loop."""
    config = shop.configure(tmp_path, sandbox.endpoint)
    assert syncd("run", "--once", "--config", config).returncode == 0
    shop.confirm(1)
    shop.sql(change[0].format(role=shop.role))
    done = syncd("run", "--once", "--config", config)
    assert done.returncode == code, done.stderr
    failed = json.loads(done.stderr.splitlines()[-1])
    message = failed["reason"] + failed["hint"]
    if words != ["permission denied"]:
        assert failed["event"] == "daemon.failed"
    assert all(word in message for word in words), message


def test_all_wrong_settings_are_reported_at_once(tmp_path: Path) -> None:
    """Each with its location; exit code 78; nothing was done."""
    config = tmp_path / "syncd.toml"
    config.write_text(
        """[source]
dsn = "postgresql://u:hunter2@[/shop"
lookback = "0s"
pol_interval = "1s"
time_zone = "Mars"
[squeezely]
endpoint = "http://shop.example.com/track"
account = "SQ"
rate = "fast"
"""
    )
    done = syncd("status", "--config", config)
    assert done.returncode == 78
    for place in (
        "source.dsn",
        "source.lookback",
        "source.pol_interval",
        "source.time_zone",
        "squeezely.rate",
    ):
        assert place in done.stderr
    assert "hunter2" not in done.stderr
    config.write_text(
        '[source]\ndsn = ""\n[squeezely]\naccount = "SQ"\n'
        'endpoint = "http://shop.example.com/track"\n'
    )
    assert "https://" in syncd("status", "--config", config).stderr


@pytest.mark.parametrize(
    ("verb", "text", "words", "code"),
    [
        ("explain 1", "[source", "TOML", 78),
        (
            "explain 1",
            '[source]\ndsn = "host=/nowhere"\n[squeezely]\naccount = "A"',
            "reached",
            69,
        ),
        (
            "verify",
            '[squeezely]\naccount = "A"\napi_key_file = "/nowhere/key"',
            "cannot read /nowhere/key",
            78,
        ),
    ],
)
def test_what_cannot_be_reached_or_read_is_named(
    tmp_path: Path, verb: str, text: str, words: str, code: int
) -> None:
    """The error has its location and the next step."""
    config = tmp_path / "syncd.toml"
    config.write_text(text)
    done = syncd(*verb.split(), "--config", config)
    assert done.returncode == code
    assert words in done.stderr


def test_a_command_that_sends_nothing_works_without_the_key(
    shop: Shop, sandbox: Sandbox, tmp_path: Path
) -> None:
    """An operator may be able to read the configuration, but not the daemon's key."""
    config = shop.configure(tmp_path, sandbox.endpoint)
    assert syncd("run", "--once", "--config", config).returncode == 0
    shop.configure(tmp_path, sandbox.endpoint, api_key_file="/nowhere/api-key")
    owner = ("--as", shop.owner, "--role", shop.role)
    for line in (("install", *owner), ("watermark", "show"), ("rejected", "list")):
        done = syncd(*line, "--config", config)
        assert (done.returncode, done.stderr) == (0, ""), line
    for verb in ("run", "diff"):
        done = syncd(verb, "--config", config)
        assert done.returncode == 78, verb
        assert "cannot read /nowhere/api-key (No such file" in done.stderr, verb


def test_init_writes_a_configuration_that_lacks_only_its_secrets(
    tmp_path: Path,
) -> None:
    """It loads; every commented default is the real one; it never overwrites."""
    config = tmp_path / "syncd.toml"
    assert syncd("init", "--out", config).returncode == 0
    assert syncd("init", "--out", config).returncode == 78
    text = config.read_text().replace("/etc/syncd/api-key", str(config))
    config.write_text(text)
    errors = syncd("diff", "--config", config).stderr
    assert "which no HTTP header may have" in errors


def test_check_prints_the_next_steps(
    shop: Shop, sandbox: Sandbox, tmp_path: Path
) -> None:
    """A missing index and an unsendable order are warnings."""
    shop.confirm(3)
    config = shop.configure(tmp_path, sandbox.endpoint)
    found = json.loads(syncd("check", "--json", "--config", config).stdout)
    assert not [f for f in found if f["severity"] == "error"]
    shop.sql(
        "DROP INDEX orders_confirmed_at; INSERT INTO orders (confirmed_at, email) "
        "SELECT now() - interval '1 hour' * n, NULL "
        "FROM generate_series(1, 20000) n; ANALYZE orders"
    )
    output = syncd("check", "--config", config).stdout
    assert "reads all of orders (Seq Scan, cost " in output
    assert "email is missing" in output


@pytest.mark.parametrize(
    ("arguments", "words", "code"),
    [
        (["--as", "secret"], "--as: is not a libpq connection string", 64),
        (["--ledger-as", "secret"], "--ledger-as: is not a libpq", 64),
        (["--as", "{owner}", "--role", "nobody"], "there is no role nobody", 78),
        (["--listen", "orders:id", "--wal", "orders:id"], "exclude each other", 64),
    ],
)
def test_an_installation_without_a_valid_role_is_refused_in_one_line(
    shop: Shop, tmp_path: Path, arguments: list[str], words: str, code: int
) -> None:
    """The argument is named, a connection string is not quoted."""
    config = shop.configure(tmp_path, "http://127.0.0.1:1/track")
    given = [each.replace("{owner}", shop.owner) for each in arguments]
    done = syncd("install", *given, "--config", config)
    assert (done.returncode, done.stdout) == (code, "")
    assert words in done.stderr
    assert "secret" not in done.stderr


def test_uninstall_keeps_the_views(
    shop: Shop, sandbox: Sandbox, tmp_path: Path
) -> None:
    """The ledger is dropped, the views stay; `--print` changes nothing."""
    config = shop.configure(tmp_path, sandbox.endpoint)
    printed = syncd("uninstall", "--print", "--config", config).stdout
    assert "DROP TABLE" in printed
    syncd("uninstall", "--yes", "--as", shop.owner, "--config", config)
    assert not shop.has_ledger()
    assert shop.value("SELECT to_regclass('syncd.purchases')") is not None
    assert syncd("install", "--as", shop.owner, "--config", config).returncode == 0
    assert syncd("run", "--once", "--config", config).returncode == 0


def test_a_usage_error_has_its_own_exit_code() -> None:
    """The exit code is 64, as in sysexits."""
    assert syncd("nonsense").returncode == 64
    assert syncd("rejected", "retry", "--config", "/nowhere").returncode == 78
