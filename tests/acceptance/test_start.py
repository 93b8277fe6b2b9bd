"""A start decides as `check` does: same codes, same exit; `status` gives the reason."""

import json
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from support.command import syncd
from support.postgres import wait_until
from support.shop import VIEWS, Shop

from syncd.demo.sandbox import Sandbox
from syncd.diagnostics.check.check import exit_code, run_checks
from syncd.diagnostics.check.finding import CODES

pytestmark = pytest.mark.db

ENDS = {"server.unreachable": 69, "server.refused": 77, "role.missing": 77}
KEY = {"SYNCD_SQUEEZELY_API_KEY": "sandbox-key"}

CONFIRMED = (
    "DROP VIEW syncd.confirmed_orders; CREATE VIEW syncd.confirmed_orders AS SELECT {} "
    "FROM orders; GRANT SELECT ON syncd.confirmed_orders TO {role}"
)
PURCHASES = (
    "DROP VIEW syncd.purchases; CREATE VIEW syncd.purchases AS SELECT id AS order_key, "
    "'W-' || id AS orderid, {} FROM orders; GRANT SELECT ON syncd.purchases TO {role}"
)
DROPPED = "DROP VIEW syncd.confirmed_orders, syncd.purchases"
BARE = CONFIRMED.replace("{}", "id AS order_key, now()::timestamp AS confirmed_at")

BROKEN: list[tuple[str, str, dict[str, object]]] = [
    ("views.no_time", BARE, {}),
    (
        "views.no_time",
        CONFIRMED.replace("{}", "id AS order_key, now()::date AS confirmed_at"),
        {"time_zone": "Europe/Amsterdam"},
    ),
    (
        "views.key",
        CONFIRMED.replace("{}", "id::text AS order_key, now() AS confirmed_at"),
        {},
    ),
    ("views.type", PURCHASES.replace("{}", "email, products::text AS products"), {}),
    ("views.field", PURCHASES.replace("{}", "email, products, 'x' AS colour"), {}),
    ("views.column", PURCHASES.replace("{}", "email"), {}),
    ("views.missing", DROPPED, {}),
    ("role.missing", "REVOKE SELECT ON syncd.purchases FROM {role}", {}),
    ("role.missing", "REVOKE UPDATE ON syncd.batch FROM {role}", {}),
    ("ledger.unusable", "UPDATE syncd.migration SET version = 99", {}),
    ("outbox.missing", "SELECT 1", {"capture": "listen"}),
    ("wal.misconfigured", "SELECT 1", {"capture": "wal"}),
    ("server.refused", "ALTER ROLE {role} NOLOGIN", {}),
    ("server.unreachable", "SELECT 1", {"dsn": "host=/nowhere dbname=shop"}),
    ("config.invalid", "SELECT 1", {"lookback": "0s"}),
]


def errors(config: Path) -> tuple[int, set[str]]:
    """Return the exit code of `check`, and its errors that decide about a start."""
    findings = run_checks(config, KEY)
    wrong = {f.code for f in findings if f.severity == "error"}
    deciding = {code for code in wrong if CODES[code].start != "continues"}
    return int(exit_code(findings, is_strict=False)), deciding


def run_once(config: Path, *options: str) -> tuple[int, Mapping[str, Any]]:
    """Return the exit code of a pass, and its log line of failure."""
    done = syncd("run", "--once", *options, "--config", config)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    failed = [line for line in lines if line["event"] == "daemon.failed"]
    return done.returncode, failed[0] if failed else {}


def events(config: Path, name: str) -> list[dict[str, Any]]:
    lines = config.with_suffix(".log").read_text().splitlines()
    return [e for line in lines if (e := json.loads(line))["event"] == name]


@pytest.mark.parametrize(
    ("code", "change", "source"),
    BROKEN,
    ids=[f"{number}-{code}" for number, (code, _, _) in enumerate(BROKEN)],
)
def test_a_first_start_and_a_check_agree(
    shop: Shop,
    sandbox: Sandbox,
    tmp_path: Path,
    code: str,
    change: str,
    source: dict[str, object],
) -> None:
    """Exit code and finding codes are the same, and nothing was started."""
    config = shop.configure(tmp_path, sandbox.endpoint, source)
    shop.sql(change.replace("{role}", shop.role))
    expected, wrong = errors(config)
    assert code in wrong
    ended, failed = run_once(config)
    assert ended == expected == ENDS.get(code, 78)
    assert set(failed["codes"].split(", ")) == wrong
    assert failed["hint"]
    assert shop.rows_of("feed") == []


@pytest.mark.parametrize(
    "proxy",
    [
        "http://",
        "http//proxy:3128",
        "http:/proxy:3128",
        "proxy:port",
        "proxy:99999",
        "proxy:0",
        "http://me:p#ss@proxy:1",
        "http://me:1/p#ss@proxy:1",
        "my proxy:1",
        "pr\u00f6xy:1",
        "ftp://proxy:21",
        "http://[::1:3128",
    ],
)
def test_an_invalid_proxy_address_is_refused_at_once(
    shop: Shop,
    sandbox: Sandbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    proxy: str,
) -> None:
    """The start fails, not the first order; the login is not shown."""
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, proxy)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "")
    config = shop.configure(tmp_path, sandbox.endpoint)
    assert errors(config) == (78, {"proxy.invalid"})
    ended, failed = run_once(config)
    assert (ended, failed["codes"]) == (78, "proxy.invalid")
    assert "p#ss" not in str(failed)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (DROPPED, "views.missing"),
        ("REVOKE SELECT ON syncd.purchases FROM {role}", "role.missing"),
    ],
)
def test_a_started_feed_waits_for_its_views(
    shop: Shop, sandbox: Sandbox, tmp_path: Path, change: str, code: str
) -> None:
    """Log and `status` report it; the feed continues when the views are back."""
    config = shop.configure(tmp_path, sandbox.endpoint)
    assert run_once(config)[0] == 0
    shop.sql(change.replace("{role}", shop.role))
    daemon = shop.start(config)
    wait_until(lambda: events(config, "views.unavailable"))
    assert daemon.poll() is None
    done = syncd("status", "--json", "--config", config)
    facts = json.loads(done.stdout)
    assert done.returncode == 2
    assert facts["failed_start"]["kind"] == "waiting"
    assert facts["failed_start"]["codes"] == [code]
    assert "waits with its start" in facts["reasons"][0]["reason"]
    orders = shop.confirm(1)
    shop.recreate_views()
    wait_until(lambda: all(sandbox.received.posts(order) for order in orders))
    done = syncd("status", "--json", "--config", config)
    assert json.loads(done.stdout)["failed_start"] is None
    daemon.terminate()
    assert daemon.wait(60) == 0


def test_a_restart_refuses_the_errors_of_check_and_status_reports_them(
    shop: Shop, sandbox: Sandbox, tmp_path: Path
) -> None:
    """`status` does not suggest "systemctl start"; a successful start clears it."""
    config = shop.configure(tmp_path, sandbox.endpoint)
    assert run_once(config)[0] == 0
    shop.sql(BARE.replace("{role}", shop.role))
    daemon = shop.start(config)
    assert daemon.wait(60) == 78
    (failed,) = events(config, "daemon.failed")
    assert failed["codes"] == "views.no_time"
    done = syncd("status", "--config", config)
    assert done.returncode == 2
    words = " ".join(done.stdout.split())
    assert "confirmed_at: is timestamp, which has no zone" in words
    assert "source.time_zone" in words
    assert "systemctl start" not in words
    shop.recreate_views()
    assert run_once(config)[0] == 0
    facts = json.loads(syncd("status", "--json", "--config", config).stdout)
    assert facts["failed_start"] is None


def test_a_refused_reload_keeps_the_old_pipeline(
    shop: Shop, sandbox: Sandbox, tmp_path: Path
) -> None:
    """Here the zone was removed, which a time without zone requires."""
    shop.sql("SET TIME ZONE 'UTC'; " + BARE.replace("{role}", shop.role))
    config = shop.configure(tmp_path, sandbox.endpoint, {"time_zone": "UTC"})
    daemon = shop.start(config)
    wait_until(lambda: events(config, "daemon.started"))
    shop.configure(tmp_path, sandbox.endpoint)
    daemon.send_signal(signal.SIGHUP)
    wait_until(lambda: events(config, "config.rejected"))
    (rejected,) = events(config, "config.rejected")
    assert "which has no zone" in rejected["reason"]
    facts = json.loads(syncd("status", "--json", "--config", config).stdout)
    assert facts["failed_start"]["kind"] == "reload"
    assert facts["failed_start"]["codes"] == ["views.no_time"]
    assert "old ones are used" in str(facts["reasons"])
    assert daemon.poll() is None
    shop.configure(tmp_path, sandbox.endpoint, {"time_zone": "UTC"})
    daemon.send_signal(signal.SIGHUP)
    wait_until(lambda: events(config, "config.reloaded"))
    facts = json.loads(syncd("status", "--json", "--config", config).stdout)
    assert facts["failed_start"] is None
    daemon.terminate()
    assert daemon.wait(60) == 0


def test_a_refused_first_start_is_reported_by_status(
    shop: Shop, sandbox: Sandbox, tmp_path: Path
) -> None:
    """The status explains the refusal though there is no feed yet."""
    shop.sql(DROPPED)
    config = shop.configure(tmp_path, sandbox.endpoint)
    assert run_once(config)[0] == 78
    done = syncd("status", "--config", config)
    assert done.returncode == 78
    assert "the view syncd.confirmed_orders is missing" in done.stderr
    shop.sql(shop.views())
    assert run_once(config)[0] == 0


def rename(config: Path, feed: str) -> None:
    text = config.read_text()
    first, rest = text.split("\n", 1)
    assert first.startswith("feed = ")
    config.write_text(f'feed = "{feed}"\n{rest}')


@pytest.mark.parametrize("has_state", [True, False])
def test_a_mistyped_feed_is_refused_until_a_new_one_is_requested(
    shop: Shop, sandbox: Sandbox, tmp_path: Path, *, has_state: bool
) -> None:
    """The ledger has the right name; the flag is needed once only."""
    config = shop.configure(tmp_path, sandbox.endpoint)
    if not has_state:
        lines = config.read_text().splitlines(keepends=True)
        config.write_text(
            "".join(x for x in lines if not x.startswith("state_directory"))
        )
    assert run_once(config)[0] == 0
    sandbox.fail("server-error", times=1000, status=503)
    shop.confirm(1)
    rename(config, "shopp")
    assert errors(config) == (78, {"feed.unexpected"})
    ended, failed = run_once(config)
    assert (ended, failed["codes"]) == (78, "feed.unexpected")
    assert "'shop'" in failed["reason"]
    assert "--new-feed" in failed["hint"]
    assert shop.row_of("feed").feed == "shop"
    assert run_once(config, "--new-feed")[0] == 0
    assert run_once(config)[0] == 0
    rename(config, "shop")
    assert errors(config) == (0, set())


def test_feeds_of_other_views_need_no_flag(
    shop: Shop, sandbox: Sandbox, tmp_path: Path
) -> None:
    """Two shops in one database: their orders differ."""
    config = shop.configure(tmp_path, sandbox.endpoint)
    assert run_once(config)[0] == 0
    other = VIEWS.replace("syncd.", "syncd.outlet_")
    shop.sql(f"{other} GRANT SELECT ON ALL TABLES IN SCHEMA syncd TO {shop.role}")
    views = {
        "confirmed_view": "syncd.outlet_confirmed_orders",
        "purchases_view": "syncd.outlet_purchases",
    }
    shop.configure(tmp_path, sandbox.endpoint, views)
    rename(config, "outlet")
    assert run_once(config)[0] == 0


def test_a_new_empty_ledger_is_refused_where_the_feed_was_served(
    shop: Shop, sandbox: Sandbox, tmp_path: Path
) -> None:
    """This host has recorded that there was one."""
    config = shop.configure(tmp_path, sandbox.endpoint)
    assert run_once(config)[0] == 0
    shop.delete("feed")
    assert errors(config) == (78, {"feed.unexpected"})
    ended, failed = run_once(config)
    assert (ended, failed["codes"]) == (78, "feed.unexpected")
    assert "has served 'shop' before" in failed["reason"]
    assert run_once(config, "--new-feed")[0] == 0
    assert run_once(config)[0] == 0


def test_a_ca_file_without_certificates_is_refused(
    shop: Shop, sandbox: Sandbox, tmp_path: Path
) -> None:
    """With such a file nothing could ever be sent."""
    (tmp_path / "ca.pem").write_text("nothing")
    config = shop.configure(
        tmp_path, sandbox.endpoint, ca_file=str(tmp_path / "ca.pem")
    )
    assert errors(config) == (78, {"tls.authorities"})
    assert run_once(config)[0] == 78


def test_a_state_file_that_cannot_be_written_stops_no_start(
    shop: Shop, tmp_path: Path
) -> None:
    """On a full disk only the record that this host serves the feed is lost."""
    with Sandbox() as sandbox:
        config = shop.configure(tmp_path, sandbox.endpoint)
        assert syncd("run", "--once", "--config", config).returncode == 0
        (tmp_path / "shop.served").unlink()
        (tmp_path / "shop.served").mkdir()
        daemon = shop.start(config)
        wait_until(lambda: "daemon.started" in config.with_suffix(".log").read_text())
        orders = shop.confirm(2)
        wait_until(lambda: all(sandbox.received.posts(order) == 1 for order in orders))
        daemon.terminate()
        assert daemon.wait(60) == 0
