"""Which shop system a database is: by tables and columns that no other system has.

The catalogue is asked by name, so that ten thousand tables cost no more than ten.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from syncd.config.settings import Settings
from syncd.core.errors import SyncdError
from syncd.core.sql_text import SqlName
from syncd.postgres.database import Database
from syncd.postgres.statements import composed, identifier, query
from syncd.setup.views.file import DEFAULT_NAMES, ViewFile
from syncd.setup.views.shop import Shop, in_schema, shops, sql_of
from syncd.setup.views.trial import Trial, TrialResult

TRIED_ORDERS = 200
NONE = "none"
"""Stands for a currency or language that an order does not have."""

MOST_COLUMNS = 20_000
"""Columns of the catalogue that are read; more mean many shops in one database."""


@dataclass(frozen=True, slots=True)
class Recognised:
    """A shop system that was found.

    Attributes:
        schema: Where its tables are.
        version: What its columns show of its version; empty: nothing.
        migration: The last one of the orders that the system noted; empty: none.
        lacking: Columns (`table.column`) that the views read and that are not there.
        is_readable: Whether this role may read the tables.
        index: Statements for indexes that are missing.
        trial: What the views would do; None: they were not tried.
        untried: Why they were not.
    """

    shop: Shop
    schema: str
    version: str
    lacking: Sequence[str]
    is_readable: bool
    migration: str = ""
    index: Sequence[str] = ()
    trial: TrialResult | None = None
    untried: str = ""

    @property
    def fits(self) -> bool:
        """Whether the views that ship with syncd can be made here."""
        return not self.lacking

    @property
    def listen(self) -> Sequence[str]:
        """Tables and keys for `syncd install --listen`, in this schema."""
        return [in_schema(each, self.schema) for each in self.shop.listen]

    @property
    def settings(self) -> Mapping[str, object]:
        """Settings of [source] that this shop needs, by name; maybe empty."""
        found: dict[str, object] = {}
        if self.shop.time_zone is not None:
            found["time_zone"] = self.shop.time_zone
        if self.trial is not None:
            for name in ("currency", "language"):
                values = self.values(name)
                if len(values) > 1 and NONE not in values:
                    found[f"require_{name}"] = True
        return found

    def values(self, name: str) -> Sequence[str]:
        """Return the values that a field has in the orders that were tried, sorted."""
        events = self.trial.survey.events.values() if self.trial else ()
        return sorted({str(event.get(name, NONE)) for event in events})


class _KnownColumn(NamedTuple):
    """A column with its table's name, and whether the table may be read."""

    schema: str
    column: str
    is_readable: bool


class Detection:
    """Detects the shop systems of one database.

    Args:
        database: As any role; one that may read the tables finds more.
        settings: For the trial of the views.
    """

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings

    def tables(self) -> int:
        """Count the tables that could be a shop's, up to ten thousand."""
        return self._database.value(int, query("count_tables"))

    def run(self) -> list[Recognised]:
        """Return the shop systems that are here, those that fit first."""
        found = [
            self._examined(each)
            for schema, columns in self._columns().items()
            for each in _recognised(schema, columns)
        ]
        return sorted(found, key=lambda each: (not each.fits, each.schema != "public"))

    def _columns(self) -> Mapping[str, Mapping[str, bool]]:
        """Read the columns by schema, with whether their table may be read."""
        wanted = {mark for shop in shops().values() for mark in _known(shop)}
        columns = self._database.rows(
            _KnownColumn,
            query("known_columns"),
            tables=sorted({mark.partition(".")[0] for mark in wanted}),
            columns=sorted({mark.partition(".")[2] for mark in wanted}),
            most=MOST_COLUMNS,
        )
        found: dict[str, dict[str, bool]] = {}
        for schema, column, is_readable in columns:
            found.setdefault(schema, {})[column] = is_readable
        return found

    def _examined(self, found: Recognised) -> Recognised:
        """Read what only a role with privileges on the tables can."""
        if not (found.is_readable and found.fits):
            return found
        found = replace(found, index=list(self._missing_indexes(found)))
        try:
            return replace(
                found, migration=self._migration(found), trial=self._try(found)
            )
        except SyncdError as error:
            return replace(found, untried=str(error))

    def _missing_indexes(self, found: Recognised) -> Iterator[str]:
        for statement in found.shop.index:
            name = statement.split()[3]
            index = str(SqlName(found.schema, name))
            if not self._database.value(bool, query("relation_exists"), name=index):
                yield in_schema(f"{statement};", found.schema)

    def _migration(self, found: Recognised) -> str:
        app = found.shop.django_app
        table = str(SqlName(found.schema, "django_migrations"))
        if not app or not self._database.value(bool, query("may_read"), table=table):
            return ""
        statement = composed("last_migration", table=identifier(table))
        return self._database.find_value(str, statement, app=app) or ""

    def _try(self, found: Recognised) -> TrialResult:
        text = sql_of(found.shop.name, found.schema)
        file = ViewFile.parse(found.shop.name, text, DEFAULT_NAMES)
        zone = self._settings.source.time_zone or found.shop.time_zone
        source = self._settings.source.model_copy(update={"time_zone": zone})
        settings = self._settings.model_copy(update={"source": source})
        return Trial(self._database, settings).run(file, TRIED_ORDERS)


def _recognised(schema: str, columns: Mapping[str, bool]) -> Iterator[Recognised]:
    for shop in shops().values():
        if {*shop.marks} <= columns.keys():
            since = [each for each in shop.since if each.column in columns]
            yield Recognised(
                shop,
                schema,
                f"{since[0].version} or later" if since else "",
                [column for column in _read(shop) if column not in columns],
                all(columns.get(column, True) for column in _read(shop)),
            )


def _known(shop: Shop) -> list[str]:
    """List every column that a shop's facts name."""
    return [*shop.marks, *(since.column for since in shop.since), *_read(shop)]


def _read(shop: Shop) -> list[str]:
    return [f"{table}.{one}" for table, some in shop.columns.items() for one in some]
