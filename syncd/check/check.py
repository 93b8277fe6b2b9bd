"""What `syncd check` finds: each fault with its severity and the next step."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from datetime import timedelta
from typing import cast

from syncd.check.finding import Finding
from syncd.check.lateness import Lateness, measure, recommended, skew, told
from syncd.check.listen import look_at_leftovers, look_at_listening
from syncd.check.wal import look_at_leftover_slot, wal_findings
from syncd.config import Settings
from syncd.connections import Connections, source_on, transactions_of
from syncd.core.purchase import Purchase, render
from syncd.database import Database
from syncd.delivery.rendering import refuse_unknown_fields, rules_of
from syncd.delivery.verification import is_proven, known
from syncd.errors import SyncdError
from syncd.feed import Feeds
from syncd.lineage import Memory
from syncd.source import Source
from syncd.transactions import Transactions

TIME_TYPES = {"timestamptz", "timestamp", "date"}
SAMPLE_ORDERS = 20
SMALL_COST = 100.0  # a table of a few pages may be read whole
SAMPLE_SPAN = timedelta(days=30)
SKEW = timedelta(seconds=3)  # between clocks; from here on it is worth a line


def run_checks(settings: Settings, connections: Connections) -> list[Finding]:
    """Look at everything that a feed needs, in order; stop where nothing can follow."""
    source = source_on(settings, connections)
    checks: list[Callable[[], Iterator[Finding]]] = [
        lambda: _ledger(settings, connections),
        lambda: _standby(connections),
        lambda: _views(source),
        lambda: _types(settings, source),
        lambda: _capture(settings, connections),
        lambda: _plans(source),
        lambda: _clocks(connections, source),
        lambda: _times(source),
        lambda: _lookback(settings, connections),
        lambda: _samples(settings, source),
        lambda: _account(settings, connections.ledger),
    ]
    if settings.source.capture == "wal":
        checks.append(lambda: wal_findings(settings, connections))
    findings: list[Finding] = []
    for check in checks:
        try:
            findings.extend(check())
        except SyncdError as error:
            findings.append(Finding("error", "database", str(error), error.hint))
            break
    return findings


def as_json(findings: list[Finding]) -> list[Mapping[str, object]]:
    """Give the findings as plain objects."""
    return [asdict(finding) for finding in findings]


def _ledger(settings: Settings, connections: Connections) -> Iterator[Finding]:
    feeds = Feeds(connections, settings.feed)
    feeds.check_schema()
    feed = feeds.find()
    state = f"started {feed.started_at:%Y-%m-%d %H:%M}" if feed else "not started yet"
    yield Finding("ok", "ledger", f"installed; feed {settings.feed!r} {state}")
    if Memory.of(settings.state.directory, settings.feed) is None:
        yield Finding(
            "ok",
            "guard",
            "without systemd's StateDirectory a restore of the ledger is not noticed",
            "Outside systemd, set state.directory to a place that is kept.",
        )


def _standby(connections: Connections) -> Iterator[Finding]:
    """Tell what a hot standby can prove, and what not."""
    transactions = transactions_of(connections)
    if transactions.is_blind:
        yield Finding(
            "warning",
            "source",
            "is a hot standby; without its primary nobody can tell which transactions "
            "run, so one longer than lookback may hide an order until reconciliation",
            "Set source.primary_dsn to where the shop writes.",
        )
    elif transactions.written() is not None:
        yield Finding("ok", "source", "is a hot standby; its primary answers")


def _views(source: Source) -> Iterator[Finding]:
    source.views.check()
    columns = source.views.columns(source.views.purchases)
    refuse_unknown_fields(source.views.purchases, [c.name for c in columns])
    yield Finding(
        "ok", "views", "both are there, every column is a field of Squeezely's"
    )


def _types(settings: Settings, source: Source) -> Iterator[Finding]:
    views = source.views
    confirmed = {c.name: c.type for c in views.columns(views.confirmed)}
    purchases = {c.name: c.type for c in views.columns(views.purchases)}
    if confirmed["order_key"] != purchases["order_key"]:
        yield Finding(
            "error",
            "order_key",
            f"is {confirmed['order_key']} in {views.confirmed} but "
            f"{purchases['order_key']} in {views.purchases}",
            "Give both views the order's own primary key, without a cast.",
        )
    yield from _time_type(settings, confirmed["confirmed_at"])
    if purchases["products"] not in {"jsonb", "json"}:
        yield Finding(
            "error",
            "products",
            f"is {purchases['products']}, not jsonb",
            "Make it a jsonb array, see sql/shops/template.sql.",
        )


def _time_type(settings: Settings, kind: str) -> Iterator[Finding]:
    if kind not in TIME_TYPES:
        message, step = f"is {kind}, no time", "Cast it, or choose another column."
    elif kind != "timestamptz" and settings.source.time_zone is None:
        message = f"is {kind}, which has no zone"
        step = 'Set source.time_zone, for instance "Europe/Amsterdam".'
    elif kind == "date" and settings.source.lookback < timedelta(hours=25):
        message = "is a date, up to a day older than the confirmation"
        step = 'Set source.lookback to "25h" or more.'
    else:
        yield Finding("ok", "confirmed_at", f"is {kind}")
        return
    yield Finding("error", "confirmed_at", message, step)


def _capture(settings: Settings, connections: Connections) -> Iterator[Finding]:
    """Look at what the configured capture needs, or an earlier one left."""
    source = connections.source
    if settings.source.capture == "listen":
        writer = connections.primary or source
        yield from look_at_listening(source, writer, settings.feed)
    else:
        yield from look_at_leftovers(source, settings.feed)
    if settings.source.capture != "wal":
        yield from look_at_leftover_slot(source, settings.feed)


def _plans(source: Source) -> Iterator[Finding]:
    """Read the plans of both look-ups: neither may read a large table whole."""
    recent = source.clock() - timedelta(minutes=5)
    keys = [key for key, _ in source.sample(source.clock() - SAMPLE_SPAN, 3)]
    yield _plan("plan of confirmed_orders", source.plan("plan_window", lower=recent))
    if keys:
        yield _plan("plan of purchases", source.plan("plan_read", keys=keys))


def _plan(subject: str, plan: object) -> Finding:
    tables = sorted(set(_sequential(plan)))
    if not tables:
        return Finding("ok", subject, "uses indexes")
    return Finding(
        "warning",
        subject,
        f"reads the whole of {', '.join(tables)}",
        "Add an index (see sql/shops/README.md), then ANALYZE the table.",
    )


def _sequential(node: object) -> Iterator[str]:
    """Name the tables of more than a few pages that a plan reads whole."""
    if isinstance(node, list):
        for child in cast("list[object]", node):
            yield from _sequential(child)
    elif isinstance(node, dict):
        plan = cast("dict[str, object]", node)
        costly = cast("float", plan.get("Total Cost", 0.0)) > SMALL_COST
        if plan.get("Node Type") == "Seq Scan" and costly:
            yield f"{plan['Relation Name']} (Seq Scan, cost {plan['Total Cost']})"
        for name in ("Plan", "Plans"):
            yield from _sequential(plan.get(name))


def _samples(settings: Settings, source: Source) -> Iterator[Finding]:
    """Render the orders confirmed last, as delivery would."""
    now = source.clock()
    sample = source.sample(now - SAMPLE_SPAN, SAMPLE_ORDERS)
    if not sample:
        yield Finding("warning", "orders", "none confirmed in the last 30 days")
        return
    rows = source.read([key for key, _ in sample])
    rules = rules_of(settings)
    faults: dict[str, str] = {}
    for key, confirmed_at in sample:
        made = render(rows.get(key, {}), confirmed_at, rules, now)
        if not isinstance(made, Purchase):
            faults.setdefault(made.reason, key)
    for reason, key in faults.items():
        yield Finding(
            "warning", "orders", f"order {key}: {reason}", f"syncd preview {key}"
        )
    if not faults:
        yield Finding("ok", "orders", f"the last {len(sample)} can all be sent")


def _clocks(connections: Connections, source: Source) -> Iterator[Finding]:
    """Compare the databases' clocks with this host's."""
    clocks = {"order database": source.clock}
    if not connections.is_one:
        clocks["ledger's database"] = Transactions(connections.ledger).clock
    for name, clock in clocks.items():
        ahead = skew(clock)
        if abs(ahead) > SKEW:
            way = "ahead of" if ahead > timedelta(0) else "behind"
            yield Finding(
                "warning",
                "clocks",
                f"the {name}'s is {told(abs(ahead))} {way} this host's",
                "Keep both by NTP; hosts that stamp orders must agree within lookback.",
            )


def _times(source: Source) -> Iterator[Finding]:
    if orders := source.timeless():
        yield Finding(
            "warning",
            "confirmed_at",
            f"{orders} orders have infinity or a time that no clock shows: never sent",
            "Give the view the time at which they were confirmed.",
        )


def _lookback(settings: Settings, connections: Connections) -> Iterator[Finding]:
    """Tell whether `lookback` covers what was seen of late orders."""
    feed = Feeds(connections, settings.feed).find()
    if feed is None:
        return
    late = measure(connections.ledger, feed.feed_id)
    lookback = settings.source.lookback
    if late.missed and late.oldest > lookback:
        yield _too_small(
            f"{late.missed} orders were stamped up to {told(late.oldest)} before they "
            f"were found, by reconciliation; lookback is {told(lookback)}",
            late,
            "Set",
        )
    elif late.longest > lookback:
        yield _too_small(
            f"an order showed {told(late.longest)} after its stamp "
            f"(99 of 100 within {told(late.usual)}); lookback is {told(lookback)}",
            late,
            "Unless a long transaction explains it, set",
        )
    elif late.orders:
        yield Finding(
            "ok",
            "lookback",
            f"{told(lookback)}; the last {late.orders} orders showed within "
            f"{told(late.longest)} (99 of 100 within {told(late.usual)})",
        )


def _too_small(message: str, late: Lateness, verb: str) -> Finding:
    enough = recommended(max(late.oldest, late.longest))
    return Finding(
        "warning", "lookback", message, f'{verb} source.lookback to "{enough}".'
    )


def _account(settings: Settings, database: Database) -> Iterator[Finding]:
    squeezely = settings.squeezely
    yield Finding(
        "ok", "squeezely", f"account {squeezely.account} at {squeezely.endpoint}"
    )
    if is_proven(settings, known(database, settings)):
        yield Finding("ok", "squeezely", "test purchases were taken in this form")
    else:
        yield Finding(
            "warning",
            "squeezely",
            "that the account takes events in this form and number is not proven",
            "Run `syncd verify`.",
        )
