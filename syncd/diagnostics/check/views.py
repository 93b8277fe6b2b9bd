"""What `syncd check` finds about the two views: columns, types, plans, tables."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import timedelta

from syncd.capture.identity import identity_guard
from syncd.capture.unreadable import MOST_LEFT_OUT
from syncd.config.settings import Settings
from syncd.core.errors import SlowStatementError, UnreadableRowError
from syncd.core.event import unknown_fields
from syncd.core.event_text import TEXT_FIELDS
from syncd.core.query_plan import MissingIndex, is_derived, missing_indexes, whole_reads
from syncd.diagnostics.check.finding import Finding
from syncd.diagnostics.check.ledger import feed_of
from syncd.postgres.statements import query
from syncd.source.connections import Connections
from syncd.source.orders import Source
from syncd.source.unreadable_rows import RowFinder

SAMPLE_SPAN = timedelta(days=30)
"""How old an order may be to be an example."""

_MARK = 123457  # microseconds: conditions of a plan show the time in any zone
_BOUND = f".{_MARK}"
_SMALL_COST = 100.0  # a table of a few pages may be read whole
_TIMES = {"timestamptz", "timestamp", "date"}
_NUMBERS = {"int2", "int4", "int8", "numeric", "float4", "float8"}
_NO_TEXT = {"bool", "json", "jsonb", "bytea", "xml"}
_NO_KEY = {"json", "jsonb", "float4", "float8", "bool", "bytea", "money", *_TIMES}
_TEXTS = TEXT_FIELDS | {"orderid", "email", "currency", "language"}
_CONSENTS = {"newsletter", "service", "marketing"}


def check_views(source: Source) -> Iterator[Finding]:
    """Check whether both are there, with the columns that they must have.

    Raises:
        SchemaMismatchError: They are not.
    """
    views = source.views
    views.check()
    names = [column.name for column in views.columns(views.purchases)]
    yield Finding("views.there", "views", f"both exist: {', '.join(names)}")
    for name in unknown_fields(names):
        step = f"Rename it to custom_{name}, or remove it from the view."
        message = "is not a field of Squeezely (name your own custom_<name>)"
        yield Finding("views.field", f"purchases.{name}", message, step)


def check_types(settings: Settings, source: Source) -> Iterator[Finding]:
    """Check whether each column has a type that its field can take."""
    views = source.views
    confirmed = {c.name: c.type for c in views.columns(views.confirmed)}
    purchases = {c.name: c.type for c in views.columns(views.purchases)}
    key, other = confirmed["order_key"], purchases["order_key"]
    if key != other:
        message = f"is {key} in {views.confirmed} but {other} in {views.purchases}"
        yield Finding("views.key", "order_key", message)
    elif key in _NO_KEY:
        message = f"is {key}, which cannot identify an order"
        yield Finding("views.key", "order_key", message)
    yield _time(settings, confirmed["confirmed_at"])
    yield from _fields(purchases)
    for name in views.timed():
        message = "depends on the present time: an order that leaves the view before "
        yield Finding("views.timed", name, f"{message}syncd has read it is never sent")
    stamp = purchases.get("timestamp")
    if stamp in _TIMES - {"timestamptz"} and settings.source.time_zone is None:
        message = f"is {stamp}, which has no zone: read as UTC"
        yield Finding("views.zoneless", "purchases.timestamp", message)


def _time(settings: Settings, kind: str) -> Finding:
    if kind not in _TIMES:
        message, step = f"is {kind}, not a time", "Cast it, or choose another column."
    elif kind != "timestamptz" and settings.source.time_zone is None:
        message = f"is {kind}, which has no zone"
        step = 'Set source.time_zone, for instance "Europe/Amsterdam".'
    elif kind == "date" and settings.source.lookback < timedelta(hours=25):
        message = "is a date, up to a day older than the confirmation"
        step = 'Set source.lookback to "25h" or more.'
    else:
        return Finding("views.time", "confirmed_at", f"is {kind}")
    return Finding("views.no_time", "confirmed_at", message, step)


def _fields(types: Mapping[str, str]) -> Iterator[Finding]:
    for name, kind in types.items():
        message, step = "", ""
        if name == "products" and kind not in {"json", "jsonb"}:
            message = f"is {kind}, not json"
            step = "Make it a json array, see sql/shops/template.sql."
        elif name == "totalvalue" and kind not in _NUMBERS:
            message = f"is {kind}, not a number"
            step = "Cast it in the view: totalvalue::numeric"
        elif name in _TEXTS and (kind in _NO_TEXT or kind.startswith("_")):
            message = f"is {kind}, not text"
            step = "Cast it in the view, for instance to text."
            if name in _CONSENTS:
                step = f"CASE WHEN {name} THEN 'yes' ELSE 'no' END AS {name}"
        if message:
            yield Finding("views.type", f"purchases.{name}", message, step)


def check_rows(source: Source) -> Iterator[Finding]:
    """Check whether the newest orders can be read; leave out those that cannot.

    Raises:
        UnreadableViewError: They cannot be left out, so that nothing else can be seen.
    """
    try:
        with suppress(SlowStatementError):  # the checks that need it report it
            source.sample(source.clock() - SAMPLE_SPAN, 3)
    except UnreadableRowError as error:
        keys = RowFinder(source).find(MOST_LEFT_OUT, error.sqlstate)
        source.leave_out(keys)
        failing = f"{len(keys)} orders fail with SQLSTATE {error.sqlstate}"
        message = f"{failing}, for example {keys[0]}: they are not sent"
        yield Finding("orders.unreadable", "confirmed_at", message)


def check_plans(source: Source) -> Iterator[Finding]:
    """Read the plans of the look-ups: none may read a large table whole."""
    recent = (source.clock() - timedelta(minutes=5)).replace(microsecond=_MARK)
    keys = [key for key, _ in source.sample(source.clock() - SAMPLE_SPAN, 3)]
    look_ups: tuple[tuple[str, str, Callable[[], object]], ...] = (
        ("look-up by time", "time", lambda: source.plan("plan_window", lower=recent)),
        ("look-up by key", "key", lambda: source.plan("plan_read", keys=keys)),
        ("confirmed by key", "key", lambda: source.plan("plan_touched", keys=keys)),
    )
    for subject, what, ask in look_ups:
        yield _plan(source, subject, what, ask)


def _plan(
    source: Source, subject: str, what: str, ask: Callable[[], object]
) -> Finding:
    """Judge a plan as it is, and as it would be were the tables large."""
    plan = ask()
    reads = whole_reads(plan, _BOUND)
    large = [read for read in reads if read.cost > _SMALL_COST]
    if not reads or _is_chosen(source, plan):
        return Finding("plan.indexed", subject, "uses indexes")
    with source.database.transaction(is_kept=False):
        source.database.run(query("prefer_indexes"))
        grown = ask()
    wanted = missing_indexes(grown, _BOUND)
    missing = [each for each in wanted if not _is_there(source, each)]
    if not large:
        plan, reads = grown, whole_reads(grown, _BOUND)
        has_all = not missing and len(wanted) >= len(reads) and not is_derived(grown)
        reads = [] if has_all else reads
    if not reads:
        message = "can use indexes once the tables grow"
        return Finding("plan.indexed", subject, message)
    if is_derived(plan):
        tables = ", ".join(read.table for read in reads)
        message = f"the {what} is computed by the view: it reads all of {tables}"
        return Finding("plan.derived", subject, message)
    statements = " ".join(each.statement for each in missing)
    step = f"{statements} (see sql/shops/README.md)" if statements else ""
    if large:
        tables = ", ".join(f"{r.table} ({r.how}, cost {r.cost})" for r in large)
        return Finding("plan.whole", subject, f"reads all of {tables}", step)
    tables = ", ".join(read.table for read in reads)
    message = f"has no index to use on {tables}, which is small now"
    return Finding("plan.small", subject, message, step)


def _is_chosen(source: Source, plan: object) -> bool:
    """Return whether an index of the bound is there, and another one costs less."""
    wanted = missing_indexes(plan, _BOUND)
    is_by_index = bool(wanted) and not whole_reads(plan)
    return is_by_index and all(_is_there(source, each) for each in wanted)


def _is_there(source: Source, index: MissingIndex) -> bool:
    """Return whether a table has such an index: it is too small for it to be used."""
    return source.database.value(
        bool, query("has_index"), table=index.table, columns=list(index.columns)
    )


def check_identity(settings: Settings, connections: Connections) -> Iterator[Finding]:
    """Compare the tables and keys behind the views with those of the ledger.

    Nothing is found before the feed was started.
    """
    feed = feed_of(settings, connections)
    if feed is None:
        return
    compared = identity_guard(settings, connections, feed).preview()
    for table in compared.replaced:
        yield Finding("tables.replaced", table.table, table.reason, table.next_step)
    if compared.held is not None:
        yield Finding("keys.changed", "order_key", compared.held)
    elif compared.accepted is not None:
        message = f"{compared.accepted}; the same orders are listed under their keys"
        yield Finding("keys.same", "order_key", message)
    elif compared.unlisted is not None:
        yield Finding("orders.unlisted", "confirmed_orders", compared.unlisted)
    elif not compared.replaced:
        message = "the views read the tables that they were accepted with"
        yield Finding("keys.same", "order_key", message)
