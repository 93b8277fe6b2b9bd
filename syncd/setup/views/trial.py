"""Trying two views: made for one session, read as the daemon reads them, rolled back.

The invariant: nothing is left behind, and no session waits for it. The views are
temporary, and from the moment that they are there the transaction takes no writes, so
that not even a sequence moves.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from syncd.config.settings import Settings
from syncd.core.errors import (
    PermissionDeniedError,
    SlowStatementError,
    SyncdError,
    ViewError,
)
from syncd.core.event_diff import compare, places
from syncd.core.survey import Row, Survey, Tally
from syncd.delivery.rendering import refuse_unknown_fields, rules_of
from syncd.diagnostics.check.finding import Finding
from syncd.diagnostics.check.views import check_plans, check_types, check_views
from syncd.postgres.database import Database
from syncd.postgres.statements import composed, query
from syncd.setup.views.file import TRIAL_NAMES, ViewFile, ViewNames, create
from syncd.source.orders import Source

NEWEST_ORDERS = 1_000
PAGE_ORDERS = 100
LONGEST_SECONDS = 60.0
"""How long orders are read, all together."""

_READER = "Name with --as who may read the shop's tables: their owner, or the DBA."
_EVER = datetime.min.replace(tzinfo=UTC)


@dataclass(slots=True)
class Difference:
    """How two trials differ; of the orders that are newer than the oldest of both.

    Attributes:
        compared: Orders that both list.
        fields: By field and kind (`email changed`): how many events.
    """

    compared: int = 0
    added: Tally = field(default_factory=Tally)
    gone: Tally = field(default_factory=Tally)
    moved: Tally = field(default_factory=Tally)
    changed: Tally = field(default_factory=Tally)
    fields: dict[str, int] = field(default_factory=dict)

    @property
    def is_none(self) -> bool:
        """Whether there is no difference."""
        tallies = self.added, self.gone, self.moved, self.changed
        return not any(tally.orders for tally in tallies)


@dataclass(slots=True)
class TrialResult:
    """What views would do.

    Attributes:
        most: How many orders were asked for.
        listed: Key and time of the newest orders, newest first.
        survey: What would become of those that were read.
        findings: About the columns, their types, and the plans of the look-ups.
        without_time: Orders that are confirmed at no usable time; None: not counted.
        repeated: Orders with several rows in `purchases`, with the key of one.
        keys: Of the orders that were read.
        slow: What took too long, so that not all was checked; usually empty.
        change: What becomes of the events with the views in place; None: there are
            none that may be read.
        marks: How many comments of the file have a draft's DOUBT or GAP.
    """

    title: str
    survey: Survey
    most: int
    listed: Mapping[str, datetime] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    without_time: int | None = None
    repeated: tuple[int, str] = (0, "")
    change: Difference | None = None
    keys: Sequence[str] = ()
    slow: str = ""
    marks: int = 0

    @property
    def now(self) -> datetime:
        """The time of the trial."""
        return self.survey.now

    @property
    def since(self) -> datetime:
        """From when on every order is listed."""
        return _EVER if len(self.listed) < self.most else min(self.listed.values())

    @property
    def is_good(self) -> bool:
        """Whether there are orders, all can be sent, and no finding is an error."""
        survey = self.survey
        is_whole = not (survey.refused or survey.waiting or self.repeated[0])
        errors = [f for f in self.findings if f.severity == "error"]
        return survey.sent > 0 and is_whole and not errors and not self.slow


class Trial:
    """Tries views in one database; each trial is a transaction of its own.

    Args:
        database: As a role that may read the shop's tables.
        settings: Names of the views in place, zone, and the shop's demands.
    """

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings

    def run(self, file: ViewFile, orders: int = NEWEST_ORDERS) -> TrialResult:
        """Read the newest orders through the views of a file.

        Raises:
            ViewFileError: PostgreSQL refuses one of the statements.
            SchemaMismatchError: A view lacks a column, or has one too many.
            PermissionDeniedError: The role may not read a table.
        """
        try:
            with self._database.transaction(is_kept=False):
                create(self._database, file, TRIAL_NAMES)
                self._database.run(query("take_no_writes"))
                source = TRIAL_NAMES.source(self._database)
                refuse_other_columns(file, source)
                return self._examine(file, source, orders)
        except PermissionDeniedError as error:
            raise PermissionDeniedError(str(error), _READER) from error

    def _examine(self, file: ViewFile, source: Source, orders: int) -> TrialResult:
        survey = Survey(rules_of(self._settings), source.clock())
        result = TrialResult(file.title, survey, orders, marks=file.marks)
        result.findings += check_views(source)
        result.findings += check_types(self._settings, source)
        try:
            self._survey(source, result)
            with self._database.transaction():
                result.findings += check_plans(source)
                result.repeated = _repeated(source, result.keys)
                result.without_time = source.without_time()
        except SlowStatementError as error:
            result.slow = str(error)
        result.change = self._compare(result)
        return result

    def _survey(self, source: Source, result: TrialResult) -> None:
        with self._database.transaction():
            newest = source.newest_stamps(result.most)
            result.listed = {key: at for key, at, _ in newest}
        result.keys = self._read(source, result)

    def _read(self, source: Source, result: TrialResult) -> Sequence[str]:
        """Survey as many of the listed orders as time allows; return their keys."""
        keys = list(result.listed)
        ends_at = time.monotonic() + LONGEST_SECONDS
        for first in range(0, len(keys), PAGE_ORDERS):
            if time.monotonic() > ends_at:
                result.slow = f"reading stopped after {LONGEST_SECONDS:.0f} s"
                return keys[:first]
            page = keys[first : first + PAGE_ORDERS]
            found = self._page(source, page)
            for key in page:
                row = found.get(key)
                if isinstance(row, str):
                    result.survey.refuse(key, row)
                else:
                    result.survey.add(key, result.listed[key], row)
        return keys

    def _page(self, source: Source, keys: Sequence[str]) -> dict[str, Row | str]:
        """Read rows by key; of one over which the view fails, why."""
        try:
            with self._database.transaction():
                return dict(source.read(keys))
        except ViewError as error:
            if len(keys) == 1:
                return {keys[0]: f"the view fails with SQLSTATE {error.sqlstate}"}
        middle = len(keys) // 2
        return self._page(source, keys[:middle]) | self._page(source, keys[middle:])

    def _compare(self, result: TrialResult) -> Difference | None:
        """Compare the newest orders with those of the current views."""
        source = ViewNames.of(self._settings).source(self._database)
        survey = Survey(result.survey.rules, result.now)
        current = TrialResult("", survey, result.most)
        try:
            with self._database.transaction():
                source.views.check()
            self._survey(source, current)
        except SyncdError:
            return None
        return _difference(current, result)


def refuse_other_columns(file: ViewFile, source: Source) -> None:
    """Refuse views that no daemon could read.

    Raises:
        SchemaMismatchError: One lacks a column, or has one too many.
    """
    source.views.check()
    columns = [c.name for c in source.views.columns(source.views.purchases)]
    refuse_unknown_fields(f"{file.title}: the view", columns)


def _repeated(source: Source, keys: Sequence[str]) -> tuple[int, str]:
    statement = composed("repeated_rows", **source.views.names())
    repeated = source.database.values(str, statement, keys=list(keys))
    return len(repeated), next(iter(repeated), "")


def _difference(before: TrialResult, after: TrialResult) -> Difference:
    since = max(before.since, after.since)
    found = Difference()
    for key in dict.fromkeys([*after.listed, *before.listed]):
        was, now = before.listed.get(key), after.listed.get(key)
        if max(t for t in (was, now) if t) < since:
            continue
        if was is None or now is None:
            (found.added if was is None else found.gone).add(key)
            continue
        found.compared += 1
        if was != now:
            found.moved.add(key)
        events = (each.survey.events.get(key, {}) for each in (before, after))
        changes = compare(*map(places, events))
        kinds = {
            f"{each.place.field} {each.kind}"
            for each in changes
            if each.place.field != "timestamp"
        }
        if kinds:
            found.changed.add(key)
        for kind in kinds:
            found.fields[kind] = found.fields.get(kind, 0) + 1
    return found
