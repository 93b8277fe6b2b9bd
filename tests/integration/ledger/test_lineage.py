"""Copies, restores and promotions of the ledger's database."""

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
from syncd.ledger.clone_guard import CloneGuard, StateFile
from syncd.log import log as logging
from syncd.log.log import Log
from syncd.postgres.database import Database

pytestmark = [pytest.mark.db, pytest.mark.slow]


@dataclass
class GuardedDaemon:
    """A shop on a server of its own, and a daemon with a place to remember."""

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
        wait_until(lambda: all(self.sandbox.book.posts(o) for o in orders))
        return orders

    def stop(self, daemon: Process) -> None:
        daemon.terminate()
        assert daemon.wait(60) == 0

    def syncd(self, *arguments: str) -> str:
        code, said = self.ask(*arguments)
        assert code == 0, said
        return said

    def ask(self, *arguments: str) -> tuple[int, str]:
        environment = {"SYNCD_SQUEEZELY_API_KEY": "sandbox-key"}
        command = [*arguments, "--config", str(self.config)]
        result = CliRunner().invoke(cli, command, env=environment)
        return result.exit_code, result.output

    def status(self) -> dict[str, Any]:
        """Ask how the feed stands after its daemon was stopped, so: down."""
        code, said = self.ask("status", "--json")
        assert code == 2, said
        facts: dict[str, Any] = json.loads(said)
        return facts

    def marked(self) -> None:
        """Wait until the daemon has remembered what it did so far."""
        before = self.shop.row_of("feed").heartbeat_seq
        wait_until(lambda: self.shop.row_of("feed").heartbeat_seq != before)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[GuardedDaemon]:
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


def test_a_restore_of_the_same_cluster_is_not_sent_from_until_told(
    scene: GuardedDaemon,
) -> None:
    """Then what was delivered since may repeat, and each such order is counted."""
    daemon = scene.run()
    scene.deliver(3)
    scene.marked()
    scene.stop(daemon)
    scene.server.stop()
    backup = copy_of(scene.server)
    scene.server.start()
    daemon = scene.run()
    since = scene.deliver(4)
    scene.marked()
    scene.stop(daemon)

    scene.server.stop()
    shutil.rmtree(scene.server.data)
    backup.rename(scene.server.data)
    scene.server.start()
    daemon = scene.run()
    assert daemon.wait(60) == 78
    (failed,) = scene.events("daemon.failed")
    assert "went back in time" in str(failed["reason"])
    assert "syncd confirm-move" in str(failed["hint"])
    assert {scene.sandbox.book.posts(order) for order in since} == {1}

    scene.shop.sql("INSERT INTO orders (id, confirmed_at) OVERRIDING SYSTEM VALUE "
                   f"SELECT right(n, -2)::bigint, now() FROM unnest(ARRAY{since}) AS n "
                   "ON CONFLICT DO NOTHING")  # fmt: skip
    scene.syncd("confirm-move", "--yes")
    daemon = scene.run()
    wait_until(lambda: {scene.sandbox.book.posts(order) for order in since} == {2})
    scene.stop(daemon)
    status = scene.status()
    assert status["possible_repeats"] == 4


def test_a_restore_under_the_running_daemon_stops_it(scene: GuardedDaemon) -> None:
    """At its next mark; nothing is captured from the past."""
    scene.server.stop()
    scene.server.start()
    daemon = scene.run()
    scene.deliver(1)
    scene.server.stop()
    backup = copy_of(scene.server)
    scene.server.start()
    wait_until(lambda: scene.events("database.recovered"))
    scene.deliver(1)
    scene.marked()
    scene.marked()
    scene.server.stop("immediate")
    shutil.rmtree(scene.server.data)
    backup.rename(scene.server.data)
    scene.server.start()
    assert daemon.wait(60) == 78


def test_a_promotion_goes_on_and_counts_what_may_repeat(scene: GuardedDaemon) -> None:
    """What was pending may have been sent by a claim that the standby lacks."""
    with standby(scene.server) as second:
        both = f"{scene.server.folder},{second.folder}"
        scene.shop.dsn = make_conninfo(
            scene.shop.dsn, host=both, target_session_attrs="read-write"
        )
        scene.shop.configure(scene.folder, scene.sandbox.endpoint)
        daemon = scene.run()
        before = scene.deliver(3)
        scene.sandbox.fail("too-many-requests", times=1_000)
        waiting = scene.shop.confirm(5)
        wait_until(lambda: scene.events("batch.deferred"))
        scene.server.stop("immediate")
        second.promote()
        scene.shop.owner = second.dsn("shop")
        wait_until(lambda: scene.events("database.promoted"))
        scene.sandbox.clear_faults()
        scene.syncd("resume")
        after = scene.deliver(3)
        wait_until(lambda: all(scene.sandbox.book.posts(o) for o in waiting))
        scene.marked()
        scene.stop(daemon)
        assert {scene.sandbox.book.posts(o) for o in before + after} == {1}
        assert len(scene.events("database.promoted")) == 1
        status = scene.status()
        assert status["possible_repeats"] == 5


def test_a_promotion_while_no_daemon_ran_is_told_at_the_next_start(
    scene: GuardedDaemon,
) -> None:
    """Whoever notices it first says so: here the start, before anything is sent."""
    with standby(scene.server) as second:
        daemon = scene.run()
        scene.deliver(1)
        scene.stop(daemon)
        scene.server.stop("immediate")
        second.promote()
        scene.shop.owner = second.dsn("shop")
        scene.shop.dsn = second.dsn("shop", scene.shop.role)
        scene.shop.configure(scene.folder, scene.sandbox.endpoint)
        daemon = scene.run()
        scene.deliver(1)
        scene.stop(daemon)
        (promoted,) = scene.events("database.promoted")
        assert (promoted["timeline"], promoted["orders"]) == (2, 0)
        names = [line["event"] for line in scene.log]
        assert names.index("database.promoted") < names.index("daemon.started")


def test_a_failover_while_sending_loses_and_repeats_nothing(
    scene: GuardedDaemon,
) -> None:
    """The answer of the batch on its way is settled on the new primary."""
    with standby(scene.server) as second:
        both = f"{scene.server.folder},{second.folder}"
        scene.shop.dsn = make_conninfo(
            scene.shop.dsn, host=both, target_session_attrs="read-write"
        )
        scene.shop.configure(scene.folder, scene.sandbox.endpoint, batch_size=2)
        daemon = scene.run()
        orders = scene.deliver(3)
        scene.sandbox.fail("latency", times=1_000, seconds=0.5)
        orders += scene.shop.confirm(6)
        wait_until(lambda: scene.shop.batches("sending") == 1)
        scene.server.stop("immediate")
        second.promote()
        promoted = time.monotonic()
        scene.shop.owner = second.dsn("shop")
        scene.sandbox.clear_faults()
        orders += scene.shop.confirm(3)
        wait_until(lambda: all(scene.sandbox.book.posts(o) for o in orders))
        assert time.monotonic() - promoted < 20
        scene.marked()
        scene.stop(daemon)
        assert scene.shop.unsettled() == 0
        assert {scene.sandbox.book.posts(o) for o in orders} == {1}
        status = scene.status()
        assert status["possible_repeats"] >= 2
        assert status["delivered"] == len(orders)


def check(shop: Shop) -> list[str]:
    """Look at a ledger as a daemon does that remembers nothing; give what it says."""
    lines = io.StringIO()
    logging.configure(style="json", stream=lines)
    with closing(Database(shop.dsn)) as database:
        CloneGuard(database, 1, "shop", None, Log("shop")).check()
    return [json.loads(line)["event"] for line in lines.getvalue().splitlines()]


def test_a_clone_that_was_promoted_elsewhere_is_a_stranger(
    scene: GuardedDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Same cluster id, same database, newer timeline, a host that nobody knows."""
    daemon = scene.run()
    scene.marked()
    scene.stop(daemon)
    with cluster({}, primary=scene.server) as clone:
        clone.promote()
        scene.shop.dsn = clone.dsn("shop", scene.shop.role)
        assert check(scene.shop) == ["database.promoted"]  # this host: a failover
    with cluster({}, primary=scene.server) as clone:
        clone.promote()
        scene.shop.dsn = clone.dsn("shop", scene.shop.role)
        monkeypatch.setattr(lineage, "this_host", lambda: "staging-7/boot/1")
        with pytest.raises(ClonedDatabaseError, match="a failover, or a clone"):
            check(scene.shop)


def test_a_directory_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    """Which file, why, and what to do."""
    (tmp_path / "shop.json").write_text("{")
    memory = StateFile.of(tmp_path, "shop")
    assert memory is not None
    with pytest.raises(StateUnavailableError, match=r"shop\.json.*damaged"):
        memory.read()
    with pytest.raises(StateUnavailableError, match="Not a directory"):
        StateFile(tmp_path / "shop.json", "shop").read()


def test_the_place_is_the_configured_one_or_systemds(tmp_path: Path) -> None:
    """Without either nothing is remembered."""
    environment = {"STATE_DIRECTORY": f"{tmp_path}/a:{tmp_path}/b"}
    assert StateFile.of(None, "shop", {}) is None
    memory = StateFile.of(None, "shop", environment)
    assert memory is not None
    assert memory.place.name == "a"
    memory = StateFile.of(tmp_path, "shop", environment)
    assert memory is not None
    assert memory.place == tmp_path


def test_a_connection_to_a_standby_is_tried_again(scene: GuardedDaemon) -> None:
    """A ledger on a server in recovery cannot be served: no line of the driver's."""
    scene.stop(scene.run())
    with cluster({}, primary=scene.server) as second:
        config = scene.shop.configure(
            scene.folder,
            scene.sandbox.endpoint,
            {"dsn": second.dsn("shop", "postgres")},
        )
        daemon = scene.shop.start(config)
        wait_until(lambda: scene.events("views.unavailable"))
        (held, *_) = scene.events("views.unavailable")
        assert "hot standby" in str(held["reason"])
        daemon.kill()


class Shared(StateFile):
    """A file that another daemon writes just before it is read."""

    other: CloneGuard | None = None

    @override
    def read(self) -> Mark | None:
        other, self.other = self.other, None
        if other is not None:
            other.mark()
        return super().read()


def test_two_daemons_may_share_a_directory(shop: Shop, tmp_path: Path) -> None:
    """A mark that the other makes meanwhile is no sign of a restore."""
    with closing(FeedHarness(shop)) as started, closing(Database(shop.dsn)) as database:
        feed_id = started.ledger.feed_id
        memory = Shared(tmp_path, "shop")
        ours, other = (
            CloneGuard(one, feed_id, "shop", memory, Log("shop"))
            for one in (database, started.connections.ledger)
        )
        for _ in range(3):
            memory.other = other
            ours.mark()


def test_what_is_remembered_can_be_read_by_a_person(tmp_path: Path) -> None:
    """The file is plain JSON: place, number, time, timeline."""
    shop_file = tmp_path / "shop.json"
    shop_file.write_text(
        '{"place":[7,16384],"number":5,"at":"2026-11-23T12:00:00Z","timeline":1}'
    )
    mark = StateFile(tmp_path, "shop").read()
    assert mark is not None
    assert (mark.place, mark.number, mark.timeline) == ((7, 16384), 5, 1)
    StateFile(tmp_path, "shop").write(mark)
    assert json.loads(shop_file.read_text())["number"] == 5
