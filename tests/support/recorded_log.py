"""A log of the real daemon with successes and faults, for the log consumers."""

import fcntl
import json
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.command import syncd
from support.postgres import Cluster, wait_until
from support.shop import Shop
from syncd.demo.sandbox import Sandbox

CLAIMED = "SELECT count(*) FROM syncd.batch WHERE state = 'sending'"
PASSED = """
SELECT max(o.confirmed_at) < (SELECT confirmed_at FROM syncd.watermark) FROM orders AS o
"""
LONG_AGO = "UPDATE syncd.reconciliation SET started_at = started_at - interval '2 days'"
TRUTH = """
SELECT jsonb_build_object(
    'captured', (SELECT count(*) FROM syncd.ledger),
    'rejected', (SELECT count(*) FROM syncd.ledger WHERE state = 'rejected'),
    'withdrawn', (SELECT count(*) FROM syncd.ledger WHERE state = 'withdrawn'),
    'delivered', sum(orders) FILTER (WHERE state = 'delivered'),
    'repeated', sum(orders) FILTER (WHERE state = 'delivered'
                                    AND uncertain_attempts > 0),
    'held', sum(orders) FILTER (WHERE state = 'held'),
    'attempts', (SELECT jsonb_object_agg(outcome, attempts)
                   FROM (SELECT outcome, count(*) AS attempts
                           FROM syncd.attempt
                          WHERE outcome <> 'nothing_to_send'
                          GROUP BY outcome) AS a))
  FROM syncd.batch
"""


@dataclass
class LogScenario:
    """A shop, its daemon and the API: normal operation, faults and recoveries."""

    shop: Shop
    sandbox: Sandbox
    folder: Path
    orders: list[str] = field(default_factory=list)

    def run_all(self) -> None:
        """Run every step once."""
        self.run()
        self.orders_are_delivered()
        self.orders_are_retried()
        self.orders_cannot_be_sent()
        self.credentials_are_refused()
        self.feed_is_paused()
        self.order_is_missed()
        self.daemon_is_killed_while_sending()
        self.run(on_uncertain="hold")
        self.wait_for(self.shop.confirm(4))
        self.batch_is_held()
        self.stop()

    def run(self, **squeezely: object) -> None:
        config = self.shop.configure(
            self.folder,
            self.sandbox.endpoint,
            {"lookback": "1s"},
            batch_size=5,
            timeout="2s",
            **squeezely,
        )
        self.log = config.with_suffix(".log")
        beats = len(self.events("heartbeat"))
        self.daemon = self.shop.start(config)
        wait_until(lambda: len(self.events("heartbeat")) > beats, 30)

    def events(self, name: str) -> list[dict[str, object]]:
        return [line for line in self.lines() if line["event"] == name]

    def lines(self) -> list[dict[str, object]]:
        text = self.log.read_text() if self.log.exists() else ""
        whole = [line for line in text.splitlines(keepends=True) if line.endswith("\n")]
        return [json.loads(line) for line in whole]

    def wait_for(self, orders: list[str]) -> None:
        self.orders += orders
        wait_until(lambda: all(self.sandbox.received.posts(o) for o in orders), 30)
        wait_until(lambda: self.shop.value(CLAIMED) == 0)

    def orders_are_delivered(self) -> None:
        self.wait_for(self.shop.confirm(12))

    def orders_are_retried(self) -> None:
        self.sandbox.fail("server-error", times=2, status=503)
        self.wait_for(self.shop.confirm(5))
        self.sandbox.fail("accept-then-drop", times=1)
        orders = self.shop.confirm(3)
        self.wait_for(orders)
        wait_until(lambda: all(self.sandbox.received.posts(o) == 2 for o in orders), 30)
        wait_until(lambda: self.shop.value(CLAIMED) == 0)

    def orders_cannot_be_sent(self) -> None:
        self.shop.sql(
            "INSERT INTO orders (confirmed_at, email) "
            "SELECT clock_timestamp(), 'no address' FROM generate_series(1, 2)"
        )
        wait_until(lambda: self.events("orders.rejected"), 30)
        self.shop.sql(
            "INSERT INTO orders (confirmed_at, email) VALUES (clock_timestamp(), NULL)"
        )
        wait_until(lambda: self.events("orders.waiting"), 30)
        self.shop.sql("DELETE FROM orders WHERE email IS NULL")
        wait_until(lambda: self.events("orders.withdrawn"), 30)

    def credentials_are_refused(self) -> None:
        self.sandbox.fail("credentials", times=1_000)
        orders = self.shop.confirm(2)
        wait_until(lambda: self.events("sending.held"), 30)
        wait_until(lambda: self.events("heartbeat")[-1]["endpoint_state"] == "held", 30)
        self.sandbox.clear_faults()
        self.daemon.send_signal(signal.SIGHUP)
        self.wait_for(orders)

    def feed_is_paused(self) -> None:
        """Pause capture and sending, then resume both."""
        for verb, reported in (("pause", "sending and capture"), ("resume", None)):
            done = syncd(verb, "--all", "--config", self.log.with_suffix(".toml"))
            assert done.returncode == 0, done.stderr
            wait_until(
                lambda s=reported: self.events("heartbeat")[-1]["paused"] == s, 30
            )

    def order_is_missed(self) -> None:
        """Confirm an order whose stamp is older than the lookback allows.

        The previous daemon's reconciliation is set long ago, so that a new one is due.
        """
        wait_until(lambda: self.shop.value(PASSED), 30)
        self.stop()
        rows = self.shop.rows(
            "INSERT INTO orders (confirmed_at) SELECT max(confirmed_at) "
            "- interval '2 s' FROM orders RETURNING 'W-' || id"
        )
        self.shop.sql(LONG_AGO)
        self.run()
        wait_until(lambda: self.events("orders.missed"), 30)
        self.wait_for([str(row[0]) for row in rows])

    def daemon_is_killed_while_sending(self) -> None:
        self.sandbox.fail("hang", times=1)
        self.orders += self.shop.confirm(4)
        wait_until(lambda: not self.sandbox.queued_faults(), 30)
        assert self.shop.value(CLAIMED) == 1
        self.daemon.send_signal(signal.SIGKILL)
        self.daemon.wait(60)

    def batch_is_held(self) -> None:
        self.sandbox.fail("accept-then-drop", times=1)
        self.orders += self.shop.confirm(2)
        wait_until(lambda: self.events("heartbeat")[-1]["held"] == 6, 30)

    def stop(self) -> None:
        self.daemon.terminate()
        assert self.daemon.wait(60) == 0

    def facts(self) -> dict[str, object]:
        """Return what the ledger and the sandbox hold, independently of the log."""
        ((facts,),) = self.shop.rows(TRUTH)
        assert isinstance(facts, dict)
        posts = sum(self.sandbox.received.posts(order) for order in self.orders)
        return {"posts": posts, **facts}


@dataclass(frozen=True)
class RecordedLog:
    """A recorded log, with the facts that it must agree with."""

    log: Path
    facts: Mapping[str, Any]

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def events(self, name: str) -> list[dict[str, Any]]:
        return [line for line in self.lines() if line["event"] == name]


def record_once(server: Cluster, folder: Path) -> RecordedLog:
    """Record the log, or return the one that another pytest worker recorded."""
    facts, log = folder / "facts.json", folder / "syncd.log"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not facts.exists():
            facts.write_text(json.dumps(_record(server, folder)))
    return RecordedLog(log, json.loads(facts.read_text()))


def _record(server: Cluster, folder: Path) -> dict[str, object]:
    server.sql("CREATE DATABASE an_hour")
    shop = Shop.open(server.dsn("an_hour"))
    try:
        with Sandbox() as sandbox:
            scenario = LogScenario(shop, sandbox, folder)
            scenario.run_all()
            return scenario.facts()
    finally:
        shop.close()
        server.sql("DROP DATABASE an_hour WITH (FORCE)")
