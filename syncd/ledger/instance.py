"""A running daemon among others: its lock shows that it runs; its claims are its own.

A claim is taken over only past its lease, or when its owner is provably dead: its
advisory lock is free *and* its process is gone from this very host.
"""

import os
import socket
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

from syncd.postgres.database import Database
from syncd.postgres.statements import query


def this_host() -> str:
    """Name this boot of this machine and its process namespace."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    namespace = Path("/proc/self/ns/pid")
    fields = [socket.gethostname()]
    if boot.exists():
        fields.append(boot.read_text(encoding="ascii").strip())
    if namespace.exists():
        fields.append(str(namespace.stat().st_ino))
    return "/".join(fields)


@dataclass(frozen=True, slots=True)
class InstanceState:
    """An instance that holds its lock (`is_alive`), or a claim (`claims`), or both."""

    number: int
    host: str
    pid: int
    is_alive: bool
    claims: bool


class FreedClaim(NamedTuple):
    """A claim that was taken from whom it belonged to."""

    batch_id: int
    attempt: int
    orders: int


class Instance:
    """This process in the ledger; keeps a connection that holds its lock.

    Attributes:
        is_alone: At the last sweep no other ran or held a claim.

    Args:
        database: A connection of its own.
        holds: Claims that it takes over wait for a person.
        name: What stands for this host's name; None: its own.
        quiet: How long new orders are left alone first; None: not at all.
    """

    def __init__(
        self,
        database: Database,
        feed_id: int,
        *,
        holds: bool = False,
        name: str | None = None,
        quiet: timedelta | None = None,
    ) -> None:
        self._holds = holds
        self._database = database
        self._feed_id = feed_id
        self._host = this_host()
        if name is not None:
            self._host = "/".join([name, *self._host.split("/")[1:]])
        self.is_alone = False
        self.number = database.value(
            int,
            query("start_instance"),
            feed=feed_id,
            host=self._host,
            pid=os.getpid(),
            holds=holds,
            quiet=quiet or timedelta(0),
        )
        database.on_open(self._lock)
        self._lock()

    def _lock(self) -> None:
        self._database.run(query("hold_instance_lock"), instance=self.number)

    def release_dead_claims(self) -> list[FreedClaim]:
        """Release claims whose outcome will never be settled; ordered by batch."""
        found = self._database.rows(
            InstanceState, query("claimants"), feed=self._feed_id, own=self.number
        )
        self.is_alone = not found
        instances = [each for each in found if each.claims]
        if not instances:
            return []
        dead = [each.number for each in instances if self._is_dead(each)]
        return self._database.rows(
            FreedClaim,
            query("take_over"),
            feed=self._feed_id,
            dead=dead,
            holds=self._holds,
        )

    def _is_dead(self, other: InstanceState) -> bool:
        if other.is_alive or other.number == self.number or other.host != self._host:
            return False
        return other.pid == os.getpid() or not _is_running(other.pid)

    def note_trouble(self, trouble: str | None) -> None:
        """Record for `syncd status` what fails in this daemon; None: nothing does."""
        self._database.run(query("note_trouble"), instance=self.number, reason=trouble)

    def stop(self) -> None:
        """Report that this instance ended in order."""
        self._database.run(query("stop_instance"), instance=self.number)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    """Return whether a process is dead and only not yet collected by its parent."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[:1] == ["Z"]
