"""What `syncd check` finds: each fault with its severity and the next step."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from datetime import timedelta
from typing import cast

from syncd.check_wal import wal_findings
from syncd.config import Settings
from syncd.connections import Connections, source_on, transactions_of
from syncd.core.purchase import Purchase, render
from syncd.errors import SyncdError
from syncd.feed import Feeds
from syncd.finding import Finding
from syncd.lineage import Memory
from syncd.rendering import refuse_unknown_fields, rules_of
from syncd.source import Source

TIME_TYPES = {"timestamptz", "timestamp", "date"}
SAMPLE_ORDERS = 20
SMALL_COST = 100.0  # a table of a few pages may be read whole
SAMPLE_SPAN = timedelta(days=30)


def run_checks(settings: Settings, connections: Connections) -> list[Finding]:
    """Look at everything that a feed needs, in order; stop where nothing can follow."""
    source = source_on(settings, connections)
    checks: list[Callable[[], Iterator[Finding]]] = [
        lambda: _ledger(settings, connections),
        lambda: _standby(connections),
        lambda: _views(source),
        lambda: _types(settings, source),
        lambda: _plans(source),
        lambda: _samples(settings, source),
        lambda: _account(settings),
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
            yield str(plan["Relation Name"])
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


def _account(settings: Settings) -> Iterator[Finding]:
    squeezely = settings.squeezely
    yield Finding(
        "ok", "squeezely", f"account {squeezely.account} at {squeezely.endpoint}"
    )
    if squeezely.body == "events" and squeezely.batch_size > 1:
        yield Finding(
            "warning",
            "squeezely",
            "whether the account takes several events in one list is not proven yet",
            'Look at the first orders in Squeezely; body = "single" avoids it.',
        )
