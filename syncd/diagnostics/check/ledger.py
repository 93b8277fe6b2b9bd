"""What `syncd check` finds about the ledger: feed, account, backups and replicas."""

from collections.abc import Iterator, Mapping
from contextlib import suppress

from syncd.capture.wal.publication import ledger_publications
from syncd.config.settings import Settings
from syncd.core.continuity import Continuity
from syncd.core.errors import SchemaMismatchError
from syncd.diagnostics.check.configuration import state_file_of
from syncd.diagnostics.check.finding import Finding
from syncd.diagnostics.check.server import StandbyFacts
from syncd.ledger.account import is_proven, load
from syncd.ledger.clone_guard import CloneGuard, host_name
from syncd.ledger.feed import SCHEMA_VERSION, Feed, FeedStore
from syncd.ledger.state_file import Served
from syncd.log.log import Log
from syncd.postgres.database import Database
from syncd.postgres.statements import query
from syncd.source.connections import Connections

_DESCENTS = {
    Continuity.REWOUND: "ledger.rewound",
    Continuity.UNKNOWN_HOST: "ledger.promoted",
}


def check_ledger(settings: Settings, connections: Connections) -> Iterator[Finding]:
    """Check whether the ledger is there, of this version, and can be written.

    Raises:
        SyncdError: It is not.
    """
    feeds = FeedStore(connections, settings.feed)
    feeds.check_schema()
    feed = feeds.find()
    if connections.ledger.row(StandbyFacts, query("standby_facts")).is_standby:
        message = "its server is a hot standby, which is read-only"
        yield Finding("ledger.standby", "ledger", message)
        return
    state = f"started {feed.started_at:%Y-%m-%d %H:%M}" if feed else "not started yet"
    message = f"installed, schema {SCHEMA_VERSION}; feed {settings.feed!r} {state}"
    yield Finding("ledger.there", "ledger", message)


def check_commits(ledger: Database) -> Iterator[Finding]:
    """Check that the server has a commit on its disk before it confirms it."""
    setting = ledger.value(str, query("default_synchronous_commit"))
    code = "commit.relaxed" if setting == "off" else "commit.durable"
    yield Finding(code, "commits", f"synchronous_commit is {setting}")


def check_feed(
    settings: Settings, connections: Connections, environment: Mapping[str, str]
) -> Iterator[Finding]:
    """Check whether this feed may be started, or continue, from this host."""
    feeds = FeedStore(connections, settings.feed)
    feeds.check_schema()
    feed = feeds.find()
    if feed is None:
        yield from _unexpected(settings, feeds, environment)
    elif not connections.ledger.row(StandbyFacts, query("standby_facts")).is_standby:
        yield from _clone_guard(settings, connections, feed, environment)
    yield from _forgetful(settings, connections, feed, environment)


def _unexpected(
    settings: Settings, feeds: FeedStore, environment: Mapping[str, str]
) -> Iterator[Finding]:
    """Check for the feed that is probably meant by one that was never started."""
    view, served = settings.source.confirmed_view, Served.of(settings, environment)
    place, others = feeds.source_identity(), feeds.others(view)
    others += served.others(place, view) if served else []
    if others := sorted(set(others) - {settings.feed}):
        message = (
            f"{settings.feed!r} was never started, and {view} of this database is "
            f"already served as {' and '.join(map(repr, others))}"
        )
        yield Finding("feed.unexpected", "feed", message)
    elif served and served.is_known() and feeds.find() is None:
        # Asked again: another daemon may have started it, and noted that, meanwhile.
        message = (
            f"this host has served {settings.feed!r} before, and this ledger does not "
            "know it: another database, or a new ledger in place of the old one"
        )
        yield Finding("feed.unexpected", "feed", message)


def feed_of(settings: Settings, connections: Connections) -> Feed | None:
    """Return the feed; None before its first start, and without a ledger."""
    with suppress(SchemaMismatchError):  # other checks report that
        return FeedStore(connections, settings.feed).find()
    return None


def _clone_guard(
    settings: Settings,
    connections: Connections,
    feed: Feed,
    environment: Mapping[str, str],
) -> Iterator[Finding]:
    """Decide as a start does whether the ledger is the one that was served."""
    clone_guard = CloneGuard(
        connections.ledger,
        feed.feed_id,
        settings.feed,
        state_file_of(settings, environment),
        Log(settings.feed),
        name=settings.instance,
    )
    continuity, refusal = clone_guard.assess()
    if refusal is not None:
        yield Finding(_DESCENTS[continuity], "ledger", str(refusal), refusal.hint)


def _forgetful(
    settings: Settings,
    connections: Connections,
    feed: Feed | None,
    environment: Mapping[str, str],
) -> Iterator[Finding]:
    """Report what it costs to remember nothing where hosts change."""
    if state_file_of(settings, environment) is not None:
        return
    feed_id = feed.feed_id if feed else 0
    hosts = connections.ledger.values(str, query("hosts"), feed=feed_id)
    own = host_name(settings.instance)
    if hosts == [own]:
        return
    what = f"{len(hosts)} hosts have" if own in hosts else f"{own} has not"
    message = (
        f"none, and {what} served this ledger before: after a failover of the database "
        "a start on a new host name exits with 78"
    )
    yield Finding("state.none", "state directory", message, severity="warning")


def check_account(settings: Settings) -> Iterator[Finding]:
    """Name the account."""
    squeezely = settings.squeezely
    message = f"{squeezely.account} at {squeezely.endpoint}"
    yield Finding("account.named", "account", message)


def check_proof(settings: Settings, ledger: Database) -> Iterator[Finding]:
    """Return whether the account is known to take what is sent."""
    if is_proven(settings, load(ledger, settings)):
        message = "test purchases were accepted with this payload"
        yield Finding("account.proven", "account", message)
        return
    message = "no test has shown that it accepts this payload and batch size"
    yield Finding("account.unverified", "account", message)


def check_dumps(name: str, database: Database) -> Iterator[Finding]:
    """Check for roles that could dump the database, were it not for schema syncd."""
    blocked = database.mapping(str, str, query("blocked_dumps"), made=False)
    for role, statements in blocked.items():
        reads = "which that role may not read"
        message = f"pg_dump as {role} fails at schema syncd, {reads}"
        step = f"{statements} or run `syncd install` again."
        yield Finding("backup.blocked", f"backup of the {name}", message, step)


def check_replicas(name: str, database: Database) -> Iterator[Finding]:
    """Check for publications that take syncd's own tables along."""
    for publication, recipe in ledger_publications(database).items():
        message = (
            f"the publication {publication} sends syncd's tables to its subscribers, "
            "which stop if they do not have them"
        )
        yield Finding("publication.own", f"replicas of the {name}", message, recipe)
