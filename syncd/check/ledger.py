"""What `syncd check` finds about the ledger, and what it knows of the account."""

from collections.abc import Iterator

from syncd.check.finding import Finding
from syncd.config import Settings
from syncd.connections import Connections
from syncd.database import Database, named
from syncd.feed import SCHEMA_VERSION, Feeds
from syncd.verified import is_proven, known


def look_at_ledger(settings: Settings, connections: Connections) -> Iterator[Finding]:
    """Look whether the ledger is there, of this version, and made for these orders.

    Raises:
        SyncdError: It is not.
    """
    feeds = Feeds(connections, settings.feed)
    feeds.check_schema()
    yield _proof(settings, connections.ledger)
    feed = feeds.find()
    state = f"started {feed.started_at:%Y-%m-%d %H:%M}" if feed else "not started yet"
    message = f"installed, schema {SCHEMA_VERSION}; feed {settings.feed!r} {state}"
    yield Finding("ledger.there", "ledger", message)


def look_at_commits(ledger: Database) -> Iterator[Finding]:
    """Check that the server has a commit on its disk before it says so."""
    (setting,) = ledger.one(named("default_synchronous_commit"))
    code = "commit.relaxed" if setting == "off" else "commit.durable"
    yield Finding(code, "commits", f"synchronous_commit is {setting}")


def look_at_account(settings: Settings) -> Iterator[Finding]:
    """Name the account."""
    squeezely = settings.squeezely
    message = f"{squeezely.account} at {squeezely.endpoint}"
    yield Finding("account.named", "account", message)


def _proof(settings: Settings, ledger: Database) -> Finding:
    """Tell whether the account is known to take what is sent."""
    if is_proven(settings, known(ledger, settings)):
        message = "test purchases were taken in this form"
        return Finding("account.proven", "account", message)
    message = "that it takes events in this form and number is not proven"
    return Finding("account.unproven", "account", message)
