"""Notifications that the shop committed something; a lost one costs time, not an order.

Poolers and broken connections drop notifications silently. So the daemon now and then
sends one to itself, over another connection, and expects to receive it.
"""

import secrets
import time
from collections.abc import Callable

from syncd.capture.listen.outbox import channel_of
from syncd.core.errors import SyncdError
from syncd.postgres.database import Database
from syncd.postgres.statements import composed, query, quoted

ANSWER_SECONDS = 2.0
"""Within which a probe has to arrive."""

LEDGER_CHANGED = "look"
"""What a command sends after changing the ledger, so that daemons read it soon."""

SHUT_SECONDS = 1.0
"""How long the listener is left alone after it failed."""

FAILURES = 3
"""After so many in a row nothing is to be expected of the listener."""


class NotifyListener:
    """Waits for notifications on a feed's channel.

    Args:
        listener: A connection for nothing else; not through a transaction pooler.
        sender: Another one to the same server.
        feed: Whose channel.
        on_notify: Called when a command has changed the ledger.
    """

    def __init__(
        self,
        listener: Database,
        sender: Database,
        feed: str,
        on_notify: Callable[[], None] = lambda: None,
        *,
        answer_seconds: float = ANSWER_SECONDS,
        shut_seconds: float = SHUT_SECONDS,
    ) -> None:
        self._listener = listener
        self._sender = sender
        self._channel = channel_of(feed)
        self._on_notify = on_notify
        self._answer_seconds = answer_seconds
        self._shut_seconds = shut_seconds
        self._missed = False
        self._token = ""
        self._asked_at: float | None = None
        self._probe_lost = False
        self._failures = 0
        self._shut_until = 0.0
        listener.on_open(self._listen)

    def _listen(self) -> None:
        self._listener.run(composed("listen", channel=quoted(self._channel)))
        self._missed = True
        self._asked_at = None  # the answer would have gone to the connection before

    def wait(self, seconds: float) -> bool:
        """Wait for a notification; False when the time is over without one."""
        if time.monotonic() < self._shut_until:
            time.sleep(seconds)
            return False
        try:
            payloads = self._listener.notified(seconds)
        except SyncdError:
            self._failures += 1
            self._shut_until = time.monotonic() + self._shut_seconds
            return False
        self._failures = 0
        if self._token in payloads:
            self._asked_at, self._probe_lost = None, False
        if LEDGER_CHANGED in payloads:
            self._on_notify()
        missed, self._missed = self._missed, False
        return missed or "" in payloads

    def probe(self) -> None:
        """Send oneself a notification; reopen the listener if the last one was lost."""
        if self._asked_at is not None:
            self._listener.close()
            self._probe_lost = True
        self._missed = self.wait(0.0)
        self._token = secrets.token_hex(8)
        self._sender.run(query("notify"), channel=self._channel, payload=self._token)
        self._asked_at = time.monotonic()

    @property
    def fault(self) -> str | None:
        """Why notifications do not arrive; None when they do, as far as is known."""
        if self._failures >= FAILURES:
            return "LISTEN fails"
        asked_at = self._asked_at
        waited = 0.0 if asked_at is None else time.monotonic() - asked_at
        if waited > self._answer_seconds or self._probe_lost:
            return "a notification sent to itself did not arrive: a transaction pooler?"
        return None

    def close(self) -> None:
        """Close the listener."""
        self._listener.close()


def notify_daemons(database: Database, feed: str) -> None:
    """Wake the daemons of a feed that listen."""
    database.run(query("notify"), channel=channel_of(feed), payload=LEDGER_CHANGED)
