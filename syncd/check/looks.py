"""Which looks make a round, in which order, and on whose connections.

Each database has a round of its own, so that one that hangs hides nothing of another.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from syncd.check.configuration import (
    look_at_configuration,
    look_at_secrets,
    look_at_state,
)
from syncd.check.endpoint import look_at_endpoint
from syncd.check.finding import Finding
from syncd.check.growth import look_at_growth
from syncd.check.harm import look_at_dumps, look_at_limits, look_at_replicas
from syncd.check.ledger import look_at_account, look_at_commits, look_at_ledger
from syncd.check.listen import look_at_leftovers, look_at_listening
from syncd.check.lookback import look_at_lookback
from syncd.check.orders import look_at_orders, look_at_times
from syncd.check.role import look_at_excess, look_at_ledger_rights, look_at_needs
from syncd.check.round import LOGIN, Look, Round
from syncd.check.server import (
    look_at_connections,
    look_at_pooler,
    look_at_primary,
    look_at_server,
    look_at_size,
    look_at_standby,
    look_at_timeouts,
    look_at_writing,
    look_only,
)
from syncd.check.views import look_at_plans, look_at_types, look_at_views
from syncd.check.wal import look_at_leftover_slot, wal_findings
from syncd.config import Fault, Settings
from syncd.connections import Connections, connect, source_on
from syncd.database import Database


def host_round(
    path: Path,
    settings: Settings | None,
    faults: Sequence[Fault],
    environment: Mapping[str, str],
) -> Round:
    """Look at what lies on this host."""
    looks = [
        Look("configuration", lambda: look_at_configuration(path, settings, faults))
    ]
    if settings is not None:
        looks += [
            Look("secrets", lambda: look_at_secrets(settings, environment)),
            Look("state directory", lambda: look_at_state(settings, environment)),
        ]
    return Round(looks)


def endpoint_round(settings: Settings) -> Round:
    """Look at the way to Squeezely."""
    looks = [
        Look("account", lambda: look_at_account(settings)),
        Look("endpoint", lambda: look_at_endpoint(settings)),
    ]
    return Round(looks)


def database_rounds(settings: Settings) -> Iterator[Round]:
    """Look at each database that is named."""
    if not settings.source_dsn.get_secret_value():
        return
    own = _connections(settings)
    yield Round([*_source(settings, own), *_views(settings, own)], own.close)
    if not own.is_one:
        apart = _connections(settings)
        yield Round(list(_ledger_apart(settings, apart)), apart.close)
    if own.primary is not None:
        elsewhere = _connections(settings)
        yield Round(list(_primary(elsewhere)), elsewhere.close)


def _connections(settings: Settings) -> Connections:
    connections = connect(settings, "check")
    look_only(connections.source)
    if not connections.is_one:
        look_only(connections.ledger)
    if connections.primary is not None:
        look_only(connections.primary)
    return connections


def _server(name: str, database: Database, settings: Settings) -> Iterator[Look]:
    yield Look(name, lambda: look_at_server(name, database), LOGIN, stops=True)
    yield Look("pooler", lambda: look_at_pooler(name, database, settings))
    yield Look("connections", lambda: look_at_connections(name, database, settings))
    yield Look("time-outs", lambda: look_at_timeouts(name))


def _source(settings: Settings, connections: Connections) -> Iterator[Look]:
    source = connections.source
    has_primary = connections.primary is not None
    yield from _server("order database", source, settings)
    yield Look("source", lambda: look_at_standby(source, has_primary=has_primary))
    yield Look("role", lambda: look_at_needs(source, settings))
    yield Look("role", lambda: look_at_excess(source, settings))
    yield Look("server's disk", lambda: look_at_size(source))
    yield from _harm("order database", source)
    if connections.is_one:
        yield from _ledger(settings, connections)
    yield from _capture(settings, connections)


def _ledger(settings: Settings, connections: Connections) -> Iterator[Look]:
    ledger = connections.ledger
    yield Look(
        "ledger", lambda: look_at_ledger(settings, connections), "ledger.unusable"
    )
    yield Look("role", lambda: look_at_ledger_rights(ledger))
    yield Look("commits", lambda: look_at_commits(ledger))
    yield Look("ledger", lambda: look_at_writing(ledger))


def _ledger_apart(settings: Settings, connections: Connections) -> Iterator[Look]:
    yield from _server("ledger's database", connections.ledger, settings)
    yield from _ledger(settings, connections)
    yield from _harm("ledger's database", connections.ledger)


def _harm(name: str, database: Database) -> Iterator[Look]:
    """Look at what syncd's own tables may do to dumps and replicas."""
    yield Look("backup", lambda: look_at_dumps(name, database))
    yield Look("replicas", lambda: look_at_replicas(name, database))


def _primary(connections: Connections) -> Iterator[Look]:
    primary = connections.primary
    assert primary is not None  # noqa: S101  # narrows the type
    name = "primary"
    yield Look(name, lambda: look_at_server(name, primary), LOGIN, stops=True)
    yield Look(name, lambda: look_at_primary(primary))


def _capture(settings: Settings, connections: Connections) -> Iterator[Look]:
    """Look at what the configured capture needs, or an earlier one left."""
    source, feed = connections.source, settings.feed
    capture = settings.source.capture
    if capture == "poll":
        message = f"every {settings.source.poll_interval.total_seconds():g} s"
        yield Look("capture", lambda: [Finding("capture.poll", "poll", message)])
    if capture == "listen":
        writer = connections.primary or source
        yield Look("triggers", lambda: look_at_listening(source, writer, feed))
        yield Look("triggers", lambda: look_at_limits(source))
    else:
        yield Look("outbox", lambda: look_at_leftovers(source, feed))
    if capture == "wal":
        look = partial(wal_findings, settings, connections)
        yield Look("slot", look, "wal.unusable")
    else:
        yield Look("slot", lambda: look_at_leftover_slot(source, feed))


def _views(settings: Settings, connections: Connections) -> Iterator[Look]:
    """Look at the views; where they are not there, at nothing of them."""
    source = source_on(settings, connections)
    yield Look("views", lambda: look_at_views(source), "views.missing", stops=True)
    yield Look("columns", lambda: look_at_types(settings, source))
    yield Look("plans", lambda: look_at_plans(source), "orders.unreadable")
    yield Look("confirmed_at", lambda: look_at_times(source), "orders.unreadable")
    yield Look("orders", lambda: look_at_orders(settings, source), "orders.unreadable")
    yield Look("lookback", lambda: look_at_lookback(settings, connections))
    yield Look(
        "orders", lambda: look_at_growth(settings, connections), "orders.unreadable"
    )
