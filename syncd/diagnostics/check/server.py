"""What `syncd check` finds about a database server: way, role, limits, clock."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from syncd.config.dsn import describe
from syncd.config.settings import Settings
from syncd.diagnostics.check.finding import Finding
from syncd.postgres.database import Database
from syncd.postgres.errors import LOCK_SECONDS, STATEMENT_SECONDS
from syncd.postgres.session import NEWEST_SERVER, OLDEST_SERVER, Peer
from syncd.postgres.statements import query

SKEW = timedelta(seconds=3)
"""Between clocks; from here on it is worth a line."""

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_UNVERIFIED = {"disable", "allow", "prefer", "require"}
# housekeeping, capture, reconcile, backfill, rereading, mended, stamps, identity, a
# command's
_HELD = 9
_HELD_BY_CAPTURE = {"poll": 0, "listen": 2, "wal": 2}


@dataclass(frozen=True, slots=True)
class Facts:
    """The server's settings."""

    number: int
    version: str
    user: str
    pid: int
    is_encrypted: bool
    zone: str
    own_zone: str


@dataclass(frozen=True, slots=True)
class StandbyFacts:
    """Whether a server is a hot standby, and how many bytes it has yet to replay."""

    is_standby: bool
    behind: int | None


@dataclass(frozen=True, slots=True)
class _Limits:
    """Limits on connections, -1: none; and how many there are, with syncd's own."""

    role_limit: int
    role_used: int
    database_limit: int
    database_used: int
    server_limit: int
    server_used: int
    own: int


@dataclass(frozen=True, slots=True)
class _ReadOnly:
    """Whether sessions begin read-only, and the statements that take that back."""

    is_read_only: bool
    statements: str


class _Timeline(NamedTuple):
    """Which cluster it is, and the timeline of its last checkpoint."""

    cluster: int
    timeline: int


def facts_of(database: Database) -> Facts:
    """Ask the server what it is.

    Raises:
        SyncdError: It does not answer, or refuses the login.
    """
    return database.row(Facts, query("server_facts"))


def require_read_only(database: Database) -> None:
    """Make a connection read-only and impatient, where that is safe."""

    def quieten() -> None:
        if database.peer().pid == facts_of(database).pid:
            database.run(query("require_read_only"))

    database.on_open(quieten)


def check_server(name: str, database: Database) -> Iterator[Finding]:
    """Check its place, the session's role, and the encryption of the connection."""
    peer, facts = database.peer(), facts_of(database)
    where = f"PostgreSQL {facts.version} at {describe(database.dsn)} as {facts.user}"
    major = facts.number // 10_000
    if major < OLDEST_SERVER:
        yield Finding("server.old", name, f"{where}: older than {OLDEST_SERVER}")
    elif major > NEWEST_SERVER:
        message = f"{where}: newer than {NEWEST_SERVER}, the last one tested"
        yield Finding("server.untested", name, message)
    else:
        yield Finding("server.reached", name, where)
    yield check_link(f"way to the {name}", peer, is_encrypted=facts.is_encrypted)
    yield from check_clock(name, database)
    message = f"times without a zone are read as {facts.zone}"
    if facts.own_zone != facts.zone:
        message += f" (the server's own zone is {facts.own_zone})"
    yield Finding("zone.shown", f"time zone of the {name}", message)


def check_link(subject: str, peer: Peer, *, is_encrypted: bool) -> Finding:
    """Check whether a third party could listen in, or pose as the server."""
    if peer.is_local:
        return Finding("link.safe", subject, "the connection stays on this host")
    if not is_encrypted:
        message = f"to {peer.host} without TLS (sslmode={peer.sslmode})"
        return Finding("link.open", subject, message)
    if peer.sslmode in _UNVERIFIED:
        message = f"TLS to {peer.host}, but sslmode={peer.sslmode} does not verify it"
        return Finding("link.unverified", subject, message)
    return Finding("link.safe", subject, f"TLS, sslmode={peer.sslmode}")


def check_clock(name: str, database: Database) -> Iterator[Finding]:
    """Compare the server's clock with this host's."""
    ahead = skew(lambda: database.value(datetime, query("clock")))
    if abs(ahead) <= SKEW:
        message = "agrees with this host's clock"
        yield Finding("clock.agrees", f"clock of the {name}", message)
        return
    way = "ahead of" if ahead > timedelta(0) else "behind"
    message = f"is {short_span(abs(ahead))} {way} this host's clock"
    yield Finding("clock.differs", f"clock of the {name}", message)


def short_span(span: timedelta) -> str:
    """Write a span for people, in its largest unit."""
    seconds = span.total_seconds()
    fitting = [unit for unit, size in _UNITS.items() if seconds >= size]
    unit = fitting[-1] if fitting else "s"
    return f"{seconds / _UNITS[unit]:.3g} {unit}"


def skew(database: Callable[[], datetime]) -> timedelta:
    """Report how far a database's clock is ahead of this host's; what is certain of it.

    Half of the time that the question took may be on either way.
    """
    asked = datetime.now(UTC)
    answer = database()
    answered = datetime.now(UTC)
    uncertainty = (answered - asked) / 2
    ahead = answer - (asked + uncertainty)
    certain = max(abs(ahead) - uncertainty, timedelta(0))
    return certain if ahead > timedelta(0) else -certain


def check_size(database: Database) -> Iterator[Finding]:
    """Report what can be seen of the server's disk."""
    size = database.value(str, query("database_size"))
    message = f"the database takes {size}; its free disk space cannot be seen from here"
    yield Finding("disk.unseen", "server's disk", message)


def check_pooler(
    name: str, database: Database, settings: Settings
) -> Iterator[Finding]:
    """Return whether a pooler is between, and what that means for the capture.

    A pooler gives its clients a number of its own as the server's process.
    """
    subject, capture = f"pooler before the {name}", settings.source.capture
    pids = {facts_of(database).pid for _ in range(3)}
    if pids == {database.peer().pid}:
        yield Finding("pooler.none", subject, "none: connected to the server directly")
    elif capture == "wal":
        message = "the connection passes one, which does not support replication"
        yield Finding("pooler.no_replication", subject, message)
    else:
        message = f"the connection passes one; in transaction mode {_POOLED[capture]}"
        yield Finding("pooler.found", subject, message)


_POOLED = {
    "poll": "another daemon takes over only when a lease ends",
    "listen": (
        "notifications do not arrive, so syncd polls the outbox every poll_interval, "
        "and another daemon takes over only when a lease ends"
    ),
}


def check_connections(
    name: str, database: Database, settings: Settings
) -> Iterator[Finding]:
    """Return whether the daemon finds room for all its connections."""
    limits = database.row(_Limits, query("connection_limits"), feed=settings.feed)
    own = limits.own
    needed = _HELD + settings.squeezely.max_in_flight
    needed += _HELD_BY_CAPTURE[settings.source.capture]
    few = False
    for what, limit, used in (
        ("the role's limit", limits.role_limit, limits.role_used),
        ("the database's limit", limits.database_limit, limits.database_used),
        ("the server", limits.server_limit, limits.server_used),
    ):
        if limit >= 0 and limit - (used - own) < needed:
            few = True
            left = max(0, limit - (used - own))
            message = f"{what} leaves {left} of {limit}; the daemon holds {needed}"
            yield Finding("connections.few", f"connections to the {name}", message)
    if not few:
        message = f"enough for the {needed} that the daemon holds at most"
        yield Finding("connections.enough", f"connections to the {name}", message)


def check_timeouts(name: str) -> Iterator[Finding]:
    """Report the limits of a session, whatever the role's own are."""
    message = f"syncd sets its own: {STATEMENT_SECONDS} s for a statement, "
    message += f"{LOCK_SECONDS} s for a lock"
    yield Finding("timeouts.own", f"time-outs of the {name}", message)


def check_writing(database: Database) -> Iterator[Finding]:
    """Check for a setting that lets the ledger's sessions begin read-only."""
    setting = database.row(_ReadOnly, query("read_only_setting"))
    if setting.is_read_only:
        server = "ALTER SYSTEM RESET default_transaction_read_only, then reload it"
        message = "sessions begin with default_transaction_read_only = on"
        step = f"{setting.statements or server}."
        yield Finding("setting.read_only", "ledger", message, step)


def check_standby(database: Database, *, has_primary: bool) -> Iterator[Finding]:
    """Report what a hot standby can prove, and how far it is behind."""
    standby = database.row(StandbyFacts, query("standby_facts"))
    if standby.is_standby and not has_primary:
        message = (
            "is a hot standby; without its primary syncd cannot see running "
            "transactions, so one longer than lookback may hide an order until "
            "reconciliation"
        )
        yield Finding("standby.blind", "source", message)
    if standby.is_standby:
        behind = f"{standby.behind} bytes behind what it has received"
        yield Finding("standby.fed", "source", f"is a hot standby, {behind}")


def check_primary(primary: Database, source: Database) -> Iterator[Finding]:
    """Refuse a primary that is none, or that is not the source's."""
    if primary.row(StandbyFacts, query("standby_facts")).is_standby:
        yield Finding("primary.standby", "primary", "is a hot standby itself")
        return
    cluster, timeline = primary.row(_Timeline, query("continuity_facts"))
    other, branch = source.row(_Timeline, query("continuity_facts"))
    if cluster != other:
        message = f"is cluster {cluster}, and source.dsn is of cluster {other}"
        yield Finding("primary.elsewhere", "primary", message)
    elif timeline < branch:
        message = (
            f"is on timeline {timeline}, and source.dsn follows timeline {branch}: "
            "another server was promoted in its place"
        )
        yield Finding("primary.elsewhere", "primary", message)
