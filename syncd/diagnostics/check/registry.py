"""Which checks make a group, in which order, and on which connections.

Each database has a group of its own, so that one that hangs hides nothing of another.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path

from syncd.config.configuration import Fault
from syncd.config.settings import Settings
from syncd.diagnostics.check.configuration import (
    check_configuration,
    check_secrets,
    check_state,
)
from syncd.diagnostics.check.endpoint import (
    check_authorities,
    check_endpoint,
    check_proxy,
)
from syncd.diagnostics.check.finding import Finding
from syncd.diagnostics.check.group import LOGIN, Check, CheckGroup
from syncd.diagnostics.check.growth import check_growth
from syncd.diagnostics.check.identity import check_identity
from syncd.diagnostics.check.ledger import (
    check_account,
    check_commits,
    check_feed,
    check_ledger,
    check_proof,
)
from syncd.diagnostics.check.listen import check_leftovers, check_listening
from syncd.diagnostics.check.lookback import check_lookback
from syncd.diagnostics.check.orders import check_orders, check_times
from syncd.diagnostics.check.role import (
    check_excess,
    check_ledger_rights,
    check_needs,
)
from syncd.diagnostics.check.server import (
    check_connections,
    check_pooler,
    check_primary,
    check_server,
    check_size,
    check_standby,
    check_timeouts,
    check_writing,
    require_read_only,
)
from syncd.diagnostics.check.side_effects import (
    check_dumps,
    check_limits,
    check_replicas,
)
from syncd.diagnostics.check.stamps import check_stamps
from syncd.diagnostics.check.views import (
    check_plans,
    check_rows,
    check_types,
    check_views,
)
from syncd.diagnostics.check.wal import check_leftover_slot, wal_findings
from syncd.postgres.database import Database
from syncd.source.connections import Connections, connect, source_on

_UNREADABLE = "orders.unreadable"


def host_group(
    path: Path,
    settings: Settings | None,
    faults: Sequence[Fault],
    environment: Mapping[str, str],
) -> CheckGroup:
    """Check what is on this host."""
    checks = [
        Check("configuration", lambda: check_configuration(path, settings, faults))
    ]
    if settings is not None:
        checks += [
            Check("secrets", lambda: check_secrets(settings, environment)),
            *_host(settings, environment),
        ]
    return CheckGroup(checks)


def start_group(settings: Settings, environment: Mapping[str, str]) -> CheckGroup:
    """Check what of this host decides about a start; its settings were read."""
    return CheckGroup(list(_host(settings, environment)))


def _host(settings: Settings, environment: Mapping[str, str]) -> Iterator[Check]:
    yield Check("state directory", lambda: check_state(settings, environment))
    yield Check("certificate", lambda: check_authorities(settings))
    yield Check("proxy", lambda: check_proxy(settings))


def endpoint_group(settings: Settings) -> CheckGroup:
    """Check the way to Squeezely."""
    checks = [
        Check("account", lambda: check_account(settings)),
        Check("endpoint", lambda: check_endpoint(settings)),
    ]
    return CheckGroup(checks)


def database_groups(
    settings: Settings,
    environment: Mapping[str, str],
    *,
    only_deciding: bool = False,
) -> Iterator[CheckGroup]:
    """Check each database that is named.

    Args:
        settings: Where to check.
        environment: For the state directory.
        only_deciding: Leave out what decides nothing about a start.
    """

    def make(checks: Iterator[Check], connections: Connections) -> CheckGroup:
        kept = [check for check in checks if check.decides or not only_deciding]
        return CheckGroup(kept, connections.close)

    if not settings.source_dsn.get_secret_value():
        return
    own = _connections(settings)
    checks = chain(_source(settings, own, environment), _views(settings, own))
    yield make(checks, own)
    if not own.is_one:
        apart = _connections(settings)
        yield make(_ledger_apart(settings, apart, environment), apart)
    if own.primary is not None:
        elsewhere = _connections(settings)
        yield make(_primary(elsewhere), elsewhere)


def _connections(settings: Settings) -> Connections:
    connections = connect(settings, "check")
    require_read_only(connections.source)
    if not connections.is_one:
        require_read_only(connections.ledger)
    if connections.primary is not None:
        require_read_only(connections.primary)
    return connections


def _server(name: str, database: Database, settings: Settings) -> Iterator[Check]:
    check = partial(check_server, name, database)
    yield Check(name, check, LOGIN, stops=True, decides=True)
    yield Check(
        "pooler",
        lambda: check_pooler(name, database, settings),
        decides=settings.source.capture == "wal",
    )
    yield Check("connections", lambda: check_connections(name, database, settings))
    yield Check("time-outs", lambda: check_timeouts(name))


def _source(
    settings: Settings, connections: Connections, environment: Mapping[str, str]
) -> Iterator[Check]:
    source = connections.source
    has_primary = connections.primary is not None
    yield from _server("order database", source, settings)
    yield Check("source", lambda: check_standby(source, has_primary=has_primary))
    yield Check("role", lambda: check_needs(source, settings), decides=True)
    yield Check("role", lambda: check_excess(source, settings))
    yield Check("server's disk", lambda: check_size(source))
    yield from _side_effects("order database", source)
    if connections.is_one:
        yield from _ledger(settings, connections, environment)
    yield from _capture(settings, connections)


def _ledger(
    settings: Settings, connections: Connections, environment: Mapping[str, str]
) -> Iterator[Check]:
    ledger = connections.ledger
    check = partial(check_ledger, settings, connections)
    yield Check("ledger", check, "ledger.unusable", decides=True)
    yield Check("role", lambda: check_ledger_rights(ledger), decides=True)
    feed = partial(check_feed, settings, connections, environment)
    yield Check("feed", feed, "ledger.unusable", decides=True)
    yield Check("account", lambda: check_proof(settings, ledger), "ledger.unusable")
    yield Check("commits", lambda: check_commits(ledger))
    yield Check("ledger", lambda: check_writing(ledger), decides=True)


def _ledger_apart(
    settings: Settings, connections: Connections, environment: Mapping[str, str]
) -> Iterator[Check]:
    yield from _server("ledger's database", connections.ledger, settings)
    yield from _ledger(settings, connections, environment)
    yield from _side_effects("ledger's database", connections.ledger)


def _side_effects(name: str, database: Database) -> Iterator[Check]:
    """Check what syncd's own tables may do to dumps and replicas."""
    yield Check("backup", lambda: check_dumps(name, database))
    yield Check("replicas", lambda: check_replicas(name, database))


def _primary(connections: Connections) -> Iterator[Check]:
    primary = connections.primary
    assert primary is not None  # noqa: S101  # narrows the type
    name = "primary"
    check = partial(check_server, name, primary)
    yield Check(name, check, LOGIN, stops=True, decides=True)
    source = connections.source
    yield Check(name, lambda: check_primary(primary, source), decides=True)


def _capture(settings: Settings, connections: Connections) -> Iterator[Check]:
    """Check what the configured capture needs, or an earlier one left."""
    source, feed = connections.source, settings.feed
    capture = settings.source.capture
    if capture == "poll":
        message = f"every {settings.source.poll_interval.total_seconds():g} s"
        yield Check("capture", lambda: [Finding("capture.poll", "poll", message)])
    if capture == "listen":
        writer = connections.primary or source
        listening = partial(check_listening, source, writer, feed)
        yield Check("triggers", listening, decides=True)
        yield Check("triggers", lambda: check_limits(source))
    else:
        yield Check("outbox", lambda: check_leftovers(source, feed))
    if capture == "wal":
        check = partial(wal_findings, settings, connections)
        yield Check("slot", check, "wal.unusable", decides=True)
    else:
        yield Check("slot", lambda: check_leftover_slot(source, feed))


def _views(settings: Settings, connections: Connections) -> Iterator[Check]:
    """Check the views; where they are not there, at nothing of them."""
    source = source_on(settings, connections)
    check = partial(check_views, source)
    yield Check("views", check, "views.column", stops=True, decides=True)
    yield Check("columns", lambda: check_types(settings, source), decides=True)
    yield Check("rows", lambda: check_rows(source), _UNREADABLE, stops=True)
    identity = partial(check_identity, settings, connections)
    yield Check("identity", identity, _UNREADABLE)
    yield Check("plans", lambda: check_plans(source), _UNREADABLE)
    yield Check("confirmed_at", lambda: check_times(source), _UNREADABLE)
    yield Check("orders", lambda: check_orders(settings, source), _UNREADABLE)
    yield Check("orders", lambda: check_stamps(settings, connections, source))
    yield Check("lookback", lambda: check_lookback(settings, connections))
    yield Check("orders", lambda: check_growth(settings, connections), _UNREADABLE)
