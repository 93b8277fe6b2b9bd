"""What `syncd check` finds, and how it ends.

Nothing is written, nothing is sent, and what does not answer keeps nothing else from
being checked: each database has a group of its own.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path

from syncd.config.configuration import Fault, survey
from syncd.config.settings import Settings
from syncd.core.errors import ExitCode
from syncd.diagnostics.check import (
    capture,
    configuration,
    endpoint,
    ledger,
    orders,
    role,
    server,
    stamps,
    views,
)
from syncd.diagnostics.check.finding import CODES, SECTIONS, Finding
from syncd.diagnostics.check.group import LOGIN, SECONDS, Check, CheckGroup, run_groups
from syncd.postgres.database import Database
from syncd.source.connections import Connections, connect, source_on


def _host(settings: Settings, environment: Mapping[str, str]) -> Iterator[Check]:
    """Check what of this host decides about a start."""
    state = partial(configuration.check_state, settings, environment)
    yield Check("state directory", state)
    yield Check("certificate", lambda: endpoint.check_authorities(settings))
    yield Check("proxy", lambda: endpoint.check_proxy(settings))


def _whole_host(
    path: Path,
    settings: Settings | None,
    faults: Sequence[Fault],
    environment: Mapping[str, str],
) -> Iterator[Check]:
    file = partial(configuration.check_configuration, path, settings, faults)
    yield Check("configuration", file)
    if settings is not None:
        secrets = partial(configuration.check_secrets, settings, environment)
        yield Check("secrets", secrets)
        yield from _host(settings, environment)


def _api(settings: Settings) -> Iterator[Check]:
    yield Check("account", lambda: ledger.check_account(settings))
    yield Check("endpoint", lambda: endpoint.check_endpoint(settings))


def _database_groups(
    settings: Settings, environment: Mapping[str, str], *, only_deciding: bool = False
) -> Iterator[CheckGroup]:
    """Check each database that is named; perhaps only what decides about a start."""

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
    server.require_read_only(connections.source)
    if not connections.is_one:
        server.require_read_only(connections.ledger)
    if connections.primary is not None:
        server.require_read_only(connections.primary)
    return connections


def _server(name: str, database: Database, settings: Settings) -> Iterator[Check]:
    check = partial(server.check_server, name, database)
    yield Check(name, check, LOGIN, stops=True, decides=True)
    pooler = partial(server.check_pooler, name, database, settings)
    yield Check("pooler", pooler, decides=settings.source.capture == "wal")
    room = partial(server.check_connections, name, database, settings)
    yield Check("connections", room)
    yield Check("time-outs", lambda: server.check_timeouts(name))


def _source(
    settings: Settings, connections: Connections, environment: Mapping[str, str]
) -> Iterator[Check]:
    source = connections.source
    has_primary = connections.primary is not None
    yield from _server("order database", source, settings)
    yield Check("source", lambda: server.check_standby(source, has_primary=has_primary))
    yield Check("role", lambda: role.check_needs(source, settings), decides=True)
    yield Check("role", lambda: role.check_excess(source, settings))
    yield Check("server's disk", lambda: server.check_size(source))
    yield from _side_effects("order database", source)
    if connections.is_one:
        yield from _ledger(settings, connections, environment)
    yield from _capture(settings, connections)


def _ledger(
    settings: Settings, connections: Connections, environment: Mapping[str, str]
) -> Iterator[Check]:
    database, fault = connections.ledger, "ledger.unusable"
    check = partial(ledger.check_ledger, settings, connections)
    yield Check("ledger", check, fault, decides=True)
    yield Check("role", lambda: role.check_ledger_rights(database), decides=True)
    feed = partial(ledger.check_feed, settings, connections, environment)
    yield Check("feed", feed, fault, decides=True)
    yield Check("account", lambda: ledger.check_proof(settings, database), fault)
    yield Check("commits", lambda: ledger.check_commits(database))
    yield Check("ledger", lambda: server.check_writing(database), decides=True)


def _ledger_apart(
    settings: Settings, connections: Connections, environment: Mapping[str, str]
) -> Iterator[Check]:
    yield from _server("ledger's database", connections.ledger, settings)
    yield from _ledger(settings, connections, environment)
    yield from _side_effects("ledger's database", connections.ledger)


def _side_effects(name: str, database: Database) -> Iterator[Check]:
    """Check what syncd's own tables may do to dumps and replicas."""
    yield Check("backup", lambda: ledger.check_dumps(name, database))
    yield Check("replicas", lambda: ledger.check_replicas(name, database))


def _primary(connections: Connections) -> Iterator[Check]:
    primary, source = connections.primary, connections.source
    assert primary is not None  # noqa: S101  # narrows the type
    check = partial(server.check_server, "primary", primary)
    yield Check("primary", check, LOGIN, stops=True, decides=True)
    yield Check("primary", lambda: server.check_primary(primary, source), decides=True)


def _capture(settings: Settings, connections: Connections) -> Iterator[Check]:
    """Check what the configured capture needs, or an earlier one left."""
    source, feed, kind = connections.source, settings.feed, settings.source.capture
    if kind == "poll":
        message = f"every {settings.source.poll_interval.total_seconds():g} s"
        yield Check("capture", lambda: [Finding("capture.poll", "poll", message)])
    if kind == "listen":
        writer = connections.primary or source
        listening = partial(capture.check_listening, source, writer, feed)
        yield Check("triggers", listening, decides=True)
        yield Check("triggers", lambda: capture.check_limits(source))
    else:
        yield Check("outbox", lambda: capture.check_leftovers(source, feed))
    if kind == "wal":
        following = partial(capture.check_following, settings, connections)
        yield Check("slot", following, "wal.unusable", decides=True)
    else:
        yield Check("slot", lambda: capture.check_leftover_slot(source, feed))


def _views(settings: Settings, connections: Connections) -> Iterator[Check]:
    """Check the views; where they are not there, at nothing of them."""
    source, fault = source_on(settings, connections), "orders.unreadable"
    check = partial(views.check_views, source)
    yield Check("views", check, "views.column", stops=True, decides=True)
    yield Check("columns", lambda: views.check_types(settings, source), decides=True)
    yield Check("rows", lambda: views.check_rows(source), fault, stops=True)
    identity = partial(views.check_identity, settings, connections)
    yield Check("identity", identity, fault)
    yield Check("plans", lambda: views.check_plans(source), fault)
    yield Check("confirmed_at", lambda: orders.check_times(source), fault)
    yield Check("orders", lambda: orders.check_orders(settings, source), fault)
    yield Check("orders", lambda: stamps.check_stamps(settings, connections, source))
    yield Check("lookback", lambda: stamps.check_lookback(settings, connections))
    yield Check("orders", lambda: orders.check_growth(settings, connections), fault)


def run_checks(
    path: Path,
    environment: Mapping[str, str] | None = None,
    *,
    seconds: float = SECONDS,
) -> list[Finding]:
    """Check everything that a feed needs, within half a minute.

    Args:
        path: The configuration; what is good of it is used.
        environment: For secrets and the state directory; the process's by default.
        seconds: What does not answer within them is left.

    Returns:
        By section, in the order of `SECTIONS`.
    """
    environment = os.environ if environment is None else environment
    settings, faults = survey(path, environment)
    groups = [CheckGroup([*_whole_host(path, settings, faults, environment)])]
    if settings is not None:
        groups.append(CheckGroup([*_api(settings)]))
        groups += _database_groups(settings, environment)
    findings = list(run_groups(groups, seconds))
    if any(f.code == "state.none" and f.severity == "warning" for f in findings):
        findings = [f for f in findings if (f.code, f.severity) != ("state.none", "ok")]
    return sorted(findings, key=lambda finding: SECTIONS.index(finding.section))


def start_conditions(
    settings: Settings, environment: Mapping[str, str]
) -> list[Finding]:
    """Run the checks that decide about a start, one after the other."""
    findings: list[Finding] = []
    databases = _database_groups(settings, environment, only_deciding=True)
    for group in (CheckGroup([*_host(settings, environment)]), *databases):
        group.run_checks()
        findings += group.findings
    return list(dict.fromkeys(findings))


def exit_code(findings: Sequence[Finding], *, is_strict: bool) -> ExitCode:
    """Report how the command ends: what only a person can mend goes before outages."""
    errors = [finding for finding in findings if finding.severity == "error"]
    if mended := [f for f in errors if not CODES[f.code].outage]:
        refused = all(CODES[finding.code].permission for finding in mended)
        return ExitCode.PERMISSION if refused else ExitCode.CONFIG
    if errors:
        return ExitCode.UNAVAILABLE
    has_warning = any(finding.severity == "warning" for finding in findings)
    return ExitCode.FAILED if is_strict and has_warning else ExitCode.OK
