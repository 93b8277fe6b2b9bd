"""The clone guard: copies, restores and promotions of the ledger's database."""

import io
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from psycopg.conninfo import make_conninfo
from support.feed_harness import FeedHarness
from support.postgres import Cluster, cluster, standby, wait_until
from support.process import Process
from support.shop import Shop
from typing_extensions import override

from syncd.cli import cli
from syncd.core.continuity import Mark
from syncd.core.errors import ClonedDatabaseError, StateUnavailableError
from syncd.demo.sandbox import Sandbox
from syncd.ledger import clone_guard as lineage
from syncd.ledger.clone_guard import CloneGuard
from syncd.ledger.state_file import StateFile
from syncd.log import log as logging
from syncd.log.log import Log
from syncd.postgres.database import Database

pytestmark = [pytest.mark.db, pytest.mark.slow]


@dataclass
class GuardedDaemon:
    """A shop on a server of its own, and a daemon with a state directory."""

    server: Cluster
    shop: Shop
    sandbox: Sandbox
    folder: Path

    @property
    def config(self) -> Path:
        return self.folder / "syncd.toml"

    @property
    def log(self) -> list[dict[str, object]]:
        lines = self.config.with_suffix(".log").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def events(self, name: str) -> list[dict[str, object]]:
        return [line for line in self.log if line["event"] == name]

    def run(self) -> Process:
        self.config.with_suffix(".log").write_text("")
        daemon = self.shop.start(self.config)
        wait_until(lambda: self.events("heartbeat") or daemon.poll() is not None)
        return daemon

    def deliver(self, count: int) -> list[str]:
        """Confirm orders and wait until all of them have arrived."""
        orders = self.shop.confirm(count)
        wait_until(lambda: all(self.sandbox.received.posts(o) for o in orders))
        return orders

    def stop(self, daemon: Process) -> None:
        daemon.terminate()
        assert daemon.wait(60) == 0

    def syncd(self, *arguments: str) -> str:
        code, output = self.ask(*arguments)
        assert code == 0, output
        return output

    def ask(self, *arguments: str) -> tuple[int, str]:
        environment = {"SYNCD_SQUEEZELY_API_KEY": "sandbox-key"}
        command = [*arguments, "--config", str(self.config)]
        result = CliRunner().invoke(cli, command, env=environment)
        return result.exit_code, result.output

    def status(self) -> dict[str, Any]:
        """Return the feed's status after its daemon was stopped: down."""
        code, output = self.ask("status", "--json")
        assert code == 2, output
        facts: dict[str, Any] = json.loads(output)
        return facts

    def wait_for_mark(self) -> None:
        """Wait until the daemon has recorded its present state."""
        before = self.shop.row_of("feed").heartbeat_seq
        wait_until(lambda: self.shop.row_of("feed").heartbeat_seq != before)


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[GuardedDaemon]:
    with cluster() as server, Sandbox() as sandbox:
        server.sql("CREATE DATABASE shop")
        shop = Shop.open(server.dsn("shop"))
        made = GuardedDaemon(server, shop, sandbox, tmp_path)
        shop.configure(tmp_path, sandbox.endpoint)
        yield made
        shop.close()


def copy_of(server: Cluster) -> Path:
    """Copy the data of a stopped server."""
    target = server.data.with_name("copy")
    shutil.copytree(server.data, target, symlinks=True, copy_function=shutil.copy2)
    subprocess.run(["chown", "-R", "--reference", server.data, target], check=True)
    target.chmod(0o700)
    return target


def test_a_restored_ledger_is_not_sent_from_before_confirm_move(
    guarded: GuardedDaemon,
) -> None:
    """Orders delivered since the backup may then repeat, and each is counted."""
    daemon = guarded.run()
    guarded.deliver(3)
    guarded.wait_for_mark()
    guarded.stop(daemon)
    guarded.server.stop()
    backup = copy_of(guarded.server)
    guarded.server.start()
    daemon = guarded.run()
    since = guarded.deliver(4)
    guarded.wait_for_mark()
    guarded.stop(daemon)

    guarded.server.stop()
    shutil.rmtree(guarded.server.data)
    backup.rename(guarded.server.data)
    guarded.server.start()
    daemon = guarded.run()
    assert daemon.wait(60) == 78
    (failed,) = guarded.events("daemon.failed")
    assert "went back in time" in str(failed["reason"])
    assert "syncd confirm-move" in str(failed["hint"])
    assert {guarded.sandbox.received.posts(order) for order in since} == {1}

    guarded.shop.sql("INSERT INTO orders (id, confirmed_at) OVERRIDING SYSTEM VALUE "
                   f"SELECT right(n, -2)::bigint, now() FROM unnest(ARRAY{since}) AS n "
                   "ON CONFLICT DO NOTHING")  # fmt: skip
    guarded.syncd("confirm-move", "--yes")
    daemon = guarded.run()
    wait_until(
        lambda: {guarded.sandbox.received.posts(order) for order in since} == {2}
    )
    guarded.stop(daemon)
    status = guarded.status()
    assert status["possible_repeats"] == 4


def test_a_restore_under_the_running_daemon_stops_it(
    guarded: GuardedDaemon,
) -> None:
    """It stops at its next mark; nothing is captured from the restored ledger."""
    guarded.server.stop()
    guarded.server.start()
    daemon = guarded.run()
    guarded.deliver(1)
    guarded.server.stop()
    backup = copy_of(guarded.server)
    guarded.server.start()
    wait_until(lambda: guarded.events("database.recovered"))
    guarded.deliver(1)
    guarded.wait_for_mark()
    guarded.wait_for_mark()
    guarded.server.stop("immediate")
    shutil.rmtree(guarded.server.data)
    backup.rename(guarded.server.data)
    guarded.server.start()
    assert daemon.wait(60) == 78


def test_a_promotion_continues_and_counts_possible_repeats(
    guarded: GuardedDaemon,
) -> None:
    """The standby may lack a claim under which pending orders were sent."""
    with standby(guarded.server) as second:
        both = f"{guarded.server.folder},{second.folder}"
        guarded.shop.dsn = make_conninfo(
            guarded.shop.dsn, host=both, target_session_attrs="read-write"
        )
        guarded.shop.configure(guarded.folder, guarded.sandbox.endpoint)
        daemon = guarded.run()
        before = guarded.deliver(3)
        guarded.sandbox.fail("too-many-requests", times=1_000)
        waiting = guarded.shop.confirm(5)
        wait_until(lambda: guarded.events("batch.deferred"))
        guarded.server.stop("immediate")
        second.promote()
        guarded.shop.owner = second.dsn("shop")
        wait_until(lambda: guarded.events("database.promoted"))
        guarded.sandbox.clear_faults()
        guarded.syncd("resume")
        after = guarded.deliver(3)
        wait_until(lambda: all(guarded.sandbox.received.posts(o) for o in waiting))
        guarded.wait_for_mark()
        guarded.stop(daemon)
        assert {guarded.sandbox.received.posts(o) for o in before + after} == {1}
        assert len(guarded.events("database.promoted")) == 1
        status = guarded.status()
        assert status["possible_repeats"] == 5


def test_a_promotion_while_no_daemon_ran_is_logged_at_the_next_start(
    guarded: GuardedDaemon,
) -> None:
    """The daemon logs it before anything is sent."""
    with standby(guarded.server) as second:
        daemon = guarded.run()
        guarded.deliver(1)
        guarded.stop(daemon)
        guarded.server.stop("immediate")
        second.promote()
        guarded.shop.owner = second.dsn("shop")
        guarded.shop.dsn = second.dsn("shop", guarded.shop.role)
        guarded.shop.configure(guarded.folder, guarded.sandbox.endpoint)
        daemon = guarded.run()
        guarded.deliver(1)
        guarded.stop(daemon)
        (promoted,) = guarded.events("database.promoted")
        assert (promoted["timeline"], promoted["orders"]) == (2, 0)
        names = [line["event"] for line in guarded.log]
        assert names.index("database.promoted") < names.index("daemon.started")


def test_a_failover_while_sending_loses_and_repeats_nothing(
    guarded: GuardedDaemon,
) -> None:
    """The response to the batch in flight is settled on the new primary."""
    with standby(guarded.server) as second:
        both = f"{guarded.server.folder},{second.folder}"
        guarded.shop.dsn = make_conninfo(
            guarded.shop.dsn, host=both, target_session_attrs="read-write"
        )
        guarded.shop.configure(guarded.folder, guarded.sandbox.endpoint, batch_size=2)
        daemon = guarded.run()
        orders = guarded.deliver(3)
        guarded.sandbox.fail("latency", times=1_000, seconds=0.5)
        orders += guarded.shop.confirm(6)
        wait_until(lambda: guarded.shop.batches("sending") == 1)
        guarded.server.stop("immediate")
        second.promote()
        promoted = time.monotonic()
        guarded.shop.owner = second.dsn("shop")
        guarded.sandbox.clear_faults()
        orders += guarded.shop.confirm(3)
        wait_until(lambda: all(guarded.sandbox.received.posts(o) for o in orders))
        assert time.monotonic() - promoted < 20
        guarded.wait_for_mark()
        guarded.stop(daemon)
        assert guarded.shop.unsettled() == 0
        assert {guarded.sandbox.received.posts(o) for o in orders} == {1}
        status = guarded.status()
        assert status["possible_repeats"] >= 2
        assert status["delivered"] == len(orders)


def check_continuity(shop: Shop) -> list[str]:
    """Check a ledger as a daemon without a mark does; return the log events."""
    lines = io.StringIO()
    logging.configure(style="json", stream=lines)
    with closing(Database(shop.dsn)) as database:
        CloneGuard(database, 1, "shop", None, Log("shop")).check()
    return [json.loads(line)["event"] for line in lines.getvalue().splitlines()]


def test_a_clone_promoted_elsewhere_is_an_unknown_host(
    guarded: GuardedDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Same cluster id and database, a newer timeline, a host that the ledger lacks."""
    daemon = guarded.run()
    guarded.wait_for_mark()
    guarded.stop(daemon)
    with cluster({}, primary=guarded.server) as clone:
        clone.promote()
        guarded.shop.dsn = clone.dsn("shop", guarded.shop.role)
        assert check_continuity(guarded.shop) == [
            "database.promoted"
        ]  # this host: a failover
    with cluster({}, primary=guarded.server) as clone:
        clone.promote()
        guarded.shop.dsn = clone.dsn("shop", guarded.shop.role)
        monkeypatch.setattr(lineage, "this_host", lambda: "staging-7/boot/1")
        with pytest.raises(ClonedDatabaseError, match="a failover, or a clone"):
            check_continuity(guarded.shop)


def test_an_unusable_state_directory_is_reported(tmp_path: Path) -> None:
    """The error names the file, the reason and the next step."""
    (tmp_path / "shop.json").write_text("{")
    state_file = StateFile.of(tmp_path, "shop")
    assert state_file is not None
    with pytest.raises(StateUnavailableError, match=r"shop\.json.*damaged"):
        state_file.read()
    with pytest.raises(StateUnavailableError, match="Not a directory"):
        StateFile(tmp_path / "shop.json", "shop").read()


def test_the_state_directory_is_the_configured_one_or_systemds(tmp_path: Path) -> None:
    """Without either, no state file is kept."""
    environment = {"STATE_DIRECTORY": f"{tmp_path}/a:{tmp_path}/b"}
    assert StateFile.of(None, "shop", {}) is None
    state_file = StateFile.of(None, "shop", environment)
    assert state_file is not None
    assert state_file.place.name == "a"
    state_file = StateFile.of(tmp_path, "shop", environment)
    assert state_file is not None
    assert state_file.place == tmp_path


def test_a_connection_to_a_standby_is_retried(guarded: GuardedDaemon) -> None:
    """A ledger in recovery is read-only; the error is syncd's, not the driver's."""
    guarded.stop(guarded.run())
    with cluster({}, primary=guarded.server) as second:
        config = guarded.shop.configure(
            guarded.folder,
            guarded.sandbox.endpoint,
            {"dsn": second.dsn("shop", "postgres")},
        )
        daemon = guarded.shop.start(config)
        wait_until(lambda: guarded.events("views.unavailable"))
        (held, *_) = guarded.events("views.unavailable")
        assert "hot standby" in str(held["reason"])
        daemon.kill()


class ConcurrentStateFile(StateFile):
    """A state file that another daemon writes just before it is read."""

    other: CloneGuard | None = None

    @override
    def read(self) -> Mark | None:
        other, self.other = self.other, None
        if other is not None:
            other.mark()
        return super().read()


def test_two_daemons_may_share_a_state_directory(shop: Shop, tmp_path: Path) -> None:
    """A mark that the other makes meanwhile is not taken for a restore."""
    with closing(FeedHarness(shop)) as started, closing(Database(shop.dsn)) as database:
        feed_id = started.ledger.feed_id
        state_file = ConcurrentStateFile(tmp_path, "shop")
        ours, other = (
            CloneGuard(one, feed_id, "shop", state_file, Log("shop"))
            for one in (database, started.connections.ledger)
        )
        for _ in range(3):
            state_file.other = other
            ours.mark()


def test_the_state_file_is_readable_by_a_person(tmp_path: Path) -> None:
    """Plain JSON: place, number, time, timeline."""
    shop_file = tmp_path / "shop.json"
    shop_file.write_text(
        '{"place":[7,16384],"number":5,"at":"2026-11-23T12:00:00Z","timeline":1}'
    )
    mark = StateFile(tmp_path, "shop").read()
    assert mark is not None
    assert (mark.place, mark.number, mark.timeline) == ((7, 16384), 5, 1)
    StateFile(tmp_path, "shop").write(mark)
    assert json.loads(shop_file.read_text())["number"] == 5
