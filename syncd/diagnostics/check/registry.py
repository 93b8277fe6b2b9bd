"""Which checks make a group, in which order, and on which connections.

Each database has a round of its own, so that one that hangs hides nothing of another.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path

from syncd.config.configuration import Fault
from syncd.config.settings import Settings
from syncd.diagnostics.check.configuration import (
    look_at_configuration,
    look_at_secrets,
    look_at_state,
)
from syncd.diagnostics.check.endpoint import (
    look_at_authorities,
    look_at_endpoint,
    look_at_proxy,
)
from syncd.diagnostics.check.finding import Finding
from syncd.diagnostics.check.group import LOGIN, Check, CheckGroup
from syncd.diagnostics.check.growth import look_at_growth
from syncd.diagnostics.check.identity import look_at_identity
from syncd.diagnostics.check.ledger import (
    look_at_account,
    look_at_commits,
    look_at_feed,
    look_at_ledger,
    look_at_proof,
)
from syncd.diagnostics.check.listen import look_at_leftovers, look_at_listening
from syncd.diagnostics.check.lookback import look_at_lookback
from syncd.diagnostics.check.orders import look_at_orders, look_at_times
from syncd.diagnostics.check.role import (
    look_at_excess,
    look_at_ledger_rights,
    look_at_needs,
)
from syncd.diagnostics.check.server import (
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
from syncd.diagnostics.check.side_effects import (
    look_at_dumps,
    look_at_limits,
    look_at_replicas,
)
from syncd.diagnostics.check.stamps import look_at_stamps
from syncd.diagnostics.check.views import (
    look_at_plans,
    look_at_rows,
    look_at_types,
    look_at_views,
)
from syncd.diagnostics.check.wal import look_at_leftover_slot, wal_findings
from syncd.postgres.database import Database
from syncd.source.connections import Connections, connect, source_on

_UNREADABLE = "orders.unreadable"


def host_round(
    path: Path,
    settings: Settings | None,
    faults: Sequence[Fault],
    environment: Mapping[str, str],
) -> CheckGroup:
    """Check what is on this host."""
    looks = [
        Check("configuration", lambda: look_at_configuration(path, settings, faults))
    ]
    if settings is not None:
        looks += [
            Check("secrets", lambda: look_at_secrets(settings, environment)),
            *_host(settings, environment),
        ]
    return CheckGroup(looks)


def start_round(settings: Settings, environment: Mapping[str, str]) -> CheckGroup:
    """Check what of this host decides about a start; its settings were read."""
    return CheckGroup(list(_host(settings, environment)))


def _host(settings: Settings, environment: Mapping[str, str]) -> Iterator[Check]:
    yield Check("state directory", lambda: look_at_state(settings, environment))
    yield Check("certificate", lambda: look_at_authorities(settings))
    yield Check("proxy", lambda: look_at_proxy(settings))


def endpoint_round(settings: Settings) -> CheckGroup:
    """Check the way to Squeezely."""
    looks = [
        Check("account", lambda: look_at_account(settings)),
        Check("endpoint", lambda: look_at_endpoint(settings)),
    ]
    return CheckGroup(looks)


def database_rounds(
    settings: Settings,
    environment: Mapping[str, str],
    *,
    only_deciding: bool = False,
) -> Iterator[CheckGroup]:
    """Check each database that is named.

    Args:
        settings: Where to look.
        environment: For the state directory.
        only_deciding: Leave out what decides nothing about a start.
    """

    def make(looks: Iterator[Check], connections: Connections) -> CheckGroup:
        kept = [look for look in looks if look.decides or not only_deciding]
        return CheckGroup(kept, connections.close)

    if not settings.source_dsn.get_secret_value():
        return
    own = _connections(settings)
    looks = chain(_source(settings, own, environment), _views(settings, own))
    yield make(looks, own)
    if not own.is_one:
        apart = _connections(settings)
        yield make(_ledger_apart(settings, apart, environment), apart)
    if own.primary is not None:
        elsewhere = _connections(settings)
        yield make(_primary(elsewhere), elsewhere)


def _connections(settings: Settings) -> Connections:
    connections = connect(settings, "check")
    look_only(connections.source)
    if not connections.is_one:
        look_only(connections.ledger)
    if connections.primary is not None:
        look_only(connections.primary)
    return connections


def _server(name: str, database: Database, settings: Settings) -> Iterator[Check]:
    look = partial(look_at_server, name, database)
    yield Check(name, look, LOGIN, stops=True, decides=True)
    yield Check(
        "pooler",
        lambda: look_at_pooler(name, database, settings),
        decides=settings.source.capture == "wal",
    )
    yield Check("connections", lambda: look_at_connections(name, database, settings))
    yield Check("time-outs", lambda: look_at_timeouts(name))


def _source(
    settings: Settings, connections: Connections, environment: Mapping[str, str]
) -> Iterator[Check]:
    source = connections.source
    has_primary = connections.primary is not None
    yield from _server("order database", source, settings)
    yield Check("source", lambda: look_at_standby(source, has_primary=has_primary))
    yield Check("role", lambda: look_at_needs(source, settings), decides=True)
    yield Check("role", lambda: look_at_excess(source, settings))
    yield Check("server's disk", lambda: look_at_size(source))
    yield from _harm("order database", source)
    if connections.is_one:
        yield from _ledger(settings, connections, environment)
    yield from _capture(settings, connections)


def _ledger(
    settings: Settings, connections: Connections, environment: Mapping[str, str]
) -> Iterator[Check]:
    ledger = connections.ledger
    look = partial(look_at_ledger, settings, connections)
    yield Check("ledger", look, "ledger.unusable", decides=True)
    yield Check("role", lambda: look_at_ledger_rights(ledger), decides=True)
    feed = partial(look_at_feed, settings, connections, environment)
    yield Check("feed", feed, "ledger.unusable", decides=True)
    yield Check("account", lambda: look_at_proof(settings, ledger), "ledger.unusable")
    yield Check("commits", lambda: look_at_commits(ledger))
    yield Check("ledger", lambda: look_at_writing(ledger), decides=True)


def _ledger_apart(
    settings: Settings, connections: Connections, environment: Mapping[str, str]
) -> Iterator[Check]:
    yield from _server("ledger's database", connections.ledger, settings)
    yield from _ledger(settings, connections, environment)
    yield from _harm("ledger's database", connections.ledger)


def _harm(name: str, database: Database) -> Iterator[Check]:
    """Check what syncd's own tables may do to dumps and replicas."""
    yield Check("backup", lambda: look_at_dumps(name, database))
    yield Check("replicas", lambda: look_at_replicas(name, database))


def _primary(connections: Connections) -> Iterator[Check]:
    primary = connections.primary
    assert primary is not None  # noqa: S101  # narrows the type
    name = "primary"
    look = partial(look_at_server, name, primary)
    yield Check(name, look, LOGIN, stops=True, decides=True)
    source = connections.source
    yield Check(name, lambda: look_at_primary(primary, source), decides=True)


def _capture(settings: Settings, connections: Connections) -> Iterator[Check]:
    """Check what the configured capture needs, or an earlier one left."""
    source, feed = connections.source, settings.feed
    capture = settings.source.capture
    if capture == "poll":
        message = f"every {settings.source.poll_interval.total_seconds():g} s"
        yield Check("capture", lambda: [Finding("capture.poll", "poll", message)])
    if capture == "listen":
        writer = connections.primary or source
        listening = partial(look_at_listening, source, writer, feed)
        yield Check("triggers", listening, decides=True)
        yield Check("triggers", lambda: look_at_limits(source))
    else:
        yield Check("outbox", lambda: look_at_leftovers(source, feed))
    if capture == "wal":
        look = partial(wal_findings, settings, connections)
        yield Check("slot", look, "wal.unusable", decides=True)
    else:
        yield Check("slot", lambda: look_at_leftover_slot(source, feed))


def _views(settings: Settings, connections: Connections) -> Iterator[Check]:
    """Check the views; where they are not there, at nothing of them."""
    source = source_on(settings, connections)
    look = partial(look_at_views, source)
    yield Check("views", look, "views.column", stops=True, decides=True)
    yield Check("columns", lambda: look_at_types(settings, source), decides=True)
    yield Check("rows", lambda: look_at_rows(source), _UNREADABLE, stops=True)
    identity = partial(look_at_identity, settings, connections)
    yield Check("identity", identity, _UNREADABLE)
    yield Check("plans", lambda: look_at_plans(source), _UNREADABLE)
    yield Check("confirmed_at", lambda: look_at_times(source), _UNREADABLE)
    yield Check("orders", lambda: look_at_orders(settings, source), _UNREADABLE)
    yield Check("orders", lambda: look_at_stamps(settings, connections, source))
    yield Check("lookback", lambda: look_at_lookback(settings, connections))
    yield Check("orders", lambda: look_at_growth(settings, connections), _UNREADABLE)
