"""`syncd uninstall` removes one feed, and keeps what belongs to others."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from support.command import syncd
from support.postgres import wait_until
from support.shop import Shop

from syncd.demo.sandbox import Sandbox

pytestmark = [pytest.mark.db, pytest.mark.timeout(300)]


@pytest.fixture
def feeds(shop: Shop, sandbox: Sandbox, tmp_path: Path) -> tuple[Path, Path]:
    """Two feeds that listen, over one ledger; each has sent an order or two."""
    first = shop.configure(tmp_path, sandbox.endpoint, {"capture": "listen"})
    second = tmp_path / "second" / "syncd.toml"
    second.parent.mkdir()
    second.write_text(
        first.read_text()
        .replace('feed = "shop"', 'feed = "second"')
        .replace(
            f'state_directory = "{tmp_path}"', f'state_directory = "{second.parent}"'
        )
    )
    for config in (first, second):
        done = syncd(
            "install", "--as", shop.owner, "--listen", "orders:id", "--config", config
        )
        assert done.returncode == 0, done.stderr
        started = syncd("run", "--once", "--new-feed", "--config", config)
        assert started.returncode == 0, started.stderr
    shop.confirm(2)
    for config in (first, second):
        assert syncd("run", "--once", "--config", config).returncode == 0
    return first, second


def known(shop: Shop) -> dict[str, int]:
    """Count the orders of each feed in the ledger."""
    orders = Counter(order.feed_id for order in shop.rows_of("ledger"))
    return {feed.feed: orders[feed.feed_id] for feed in shop.rows_of("feed")}


def test_a_feed_is_removed_and_the_other_continues(
    shop: Shop, feeds: tuple[Path, Path]
) -> None:
    """Ledger, triggers and outbox of the other stay, and it sends."""
    first, second = feeds
    assert known(shop) == {"second": 2, "shop": 2}
    shop.confirm()
    gone = syncd("uninstall", "--yes", "--as", shop.owner, "--config", first)
    assert gone.returncode == 0, gone.stderr
    assert "feed shop is gone; still there: second (2 orders since" in gone.stdout
    assert known(shop) == {"second": 2}
    triggers = "SELECT tgname FROM pg_trigger WHERE starts_with(tgname, 'syncd_')"
    assert {str(row[0]) for row in shop.rows(triggers)} == {
        "syncd_insert_second",
        "syncd_update_second",
    }
    assert shop.rows("SELECT DISTINCT feed FROM syncd.outbox") == [("second",)]
    assert syncd("run", "--once", "--config", second).returncode == 0
    assert known(shop) == {"second": 3}
    last = syncd("uninstall", "--yes", "--as", shop.owner, "--config", second)
    assert "the ledger is gone" in last.stdout
    assert not shop.has_ledger()
    assert shop.value("SELECT to_regclass('syncd.outbox')") is None


def test_a_removed_feed_can_be_installed_again_on_this_host(
    shop: Shop, feeds: tuple[Path, Path], tmp_path: Path
) -> None:
    """Its state files are removed as well; what cannot be removed is named."""
    first, second = feeds
    kept = {"shop.json", "shop.served", "second.served"}

    def files() -> set[str]:
        return {path.name for path in tmp_path.rglob("*") if path.name in kept}

    daemon = shop.start(first)
    wait_until(lambda: files() == kept)
    daemon.terminate()
    assert daemon.wait(60) == 0
    unfinished = tmp_path / "shop.4711.12345"
    unfinished.touch()
    out = ("uninstall", "--yes", "--as", shop.owner, "--config")
    gone = syncd(*out, first)
    assert f"{tmp_path / 'shop.served'}" in gone.stdout
    assert files() == {"second.served"}
    assert not unfinished.exists()
    assert first.exists()
    stubborn = second.parent / "second.served"
    stubborn.unlink()
    stubborn.mkdir()  # as where a file may not be removed
    gone = syncd(*out, second)
    assert gone.returncode == 0, gone.stderr
    assert f"remove by hand: {stubborn}" in gone.stdout
    install = ("install", "--as", shop.owner, "--listen", "orders:id", "--config")
    assert syncd(*install, first).returncode == 0
    done = syncd("run", "--once", "--config", first)
    assert done.returncode == 0, done.stderr
    assert known(shop) == {"shop": 0}


def test_state_files_elsewhere_are_named(
    shop: Shop, sandbox: Sandbox, tmp_path: Path
) -> None:
    """An administrator lacks the unit's environment."""
    config = shop.configure(tmp_path, sandbox.endpoint)
    kept = f'state_directory = "{tmp_path}"'
    assert kept in config.read_text()
    config.write_text(config.read_text().replace(kept, ""))
    gone = syncd("uninstall", "--yes", "--as", shop.owner, "--config", config)
    assert gone.returncode == 0, gone.stderr
    assert "remove: shop.json, shop.served, shop.failed" in gone.stdout


def test_the_triggers_of_one_feed_are_removed_alone(
    shop: Shop, feeds: tuple[Path, Path]
) -> None:
    """The option --listen does so, also with --print."""
    first, second = feeds
    command = ("uninstall", "--listen", "--as", shop.owner)
    assert "'shop'" in syncd(*command, "--print", "--config", first).stdout
    assert syncd(*command, "--config", first).returncode == 0
    shop.empty_outbox()
    shop.confirm()
    assert shop.rows("SELECT feed FROM syncd.outbox") == [("second",)]
    assert syncd(*command, "--config", second).returncode == 0
    assert shop.value("SELECT to_regclass('syncd.outbox')") is None
    assert known(shop) == {"second": 2, "shop": 2}


def test_the_prompt_lists_what_is_removed_and_what_stays(
    shop: Shop, feeds: tuple[Path, Path]
) -> None:
    """Feeds and orders; "no" changes nothing; --print shows the same choice."""
    first, _ = feeds
    command = ["uninstall", "--as", shop.owner, "--config", str(first)]
    prompt = subprocess.run(
        [sys.executable, "-m", "syncd", *command],
        input="n\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert "feeds that are kept: second (2 orders since" in prompt.stdout
    assert "Forget which orders were sent: shop (2 orders since" in prompt.stdout
    prompt = subprocess.run(
        [sys.executable, "-m", "syncd", *command, "--all-feeds"],
        input="n\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert "kept: none, the ledger goes as a whole" in prompt.stdout
    assert "sent: second (2 orders since" in prompt.stdout
    printed = syncd(*command, "--print").stdout
    assert "DROP TABLE IF EXISTS\n    syncd" not in printed
    assert known(shop) == {"second": 2, "shop": 2}
    shop.sql(printed.partition("-- wal")[0])  # as the DBA would
    assert known(shop) == {"second": 2}


def test_a_feed_whose_daemon_runs_is_not_removed(
    shop: Shop, feeds: tuple[Path, Path]
) -> None:
    """Only an explicit option removes it."""
    first, second = feeds
    shop.start(first)
    running = "SELECT count(*) FROM pg_locks WHERE classid = 1937337955"
    wait_until(lambda: shop.value(running) == 1)
    command = ("uninstall", "--yes", "--as", shop.owner)
    refused = syncd(*command, "--config", first)
    assert refused.returncode == 78
    assert "a daemon of feed shop runs: pid" in refused.stderr
    assert "--while-running" in refused.stderr
    assert syncd(*command, "--all-feeds", "--config", second).returncode == 78
    assert known(shop) == {"second": 2, "shop": 2}
    gone = syncd(*command, "--while-running", "--config", first)
    assert gone.returncode == 0, gone.stderr
    assert known(shop) == {"second": 2}
