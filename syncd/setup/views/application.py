"""Putting two views in their place: both with their grants, or nothing.

What can be replaced is replaced. Where the columns changed, both views are recreated in
the same transaction, for the same owner and the same readers.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from syncd.config.settings import Settings
from syncd.core.command_errors import ViewFileError
from syncd.core.errors import ConfigError, SlowStatementError
from syncd.core.sql_text import SqlName
from syncd.delivery.rendering import refuse_unknown_fields
from syncd.diagnostics.check.finding import Finding
from syncd.diagnostics.check.views import check_plans, check_types
from syncd.postgres.database import Database
from syncd.postgres.statements import composed, identifier, query, quoted, trusted_sql
from syncd.setup.install.install import may_replicate
from syncd.setup.install.scripts import view_grants
from syncd.setup.install.session import run
from syncd.setup.views.definition import define, is_of_other_columns
from syncd.setup.views.file import ViewFile, ViewNames
from syncd.source.orders import Source

How = Literal["created", "replaced", "recreated, since their columns changed"]


@dataclass(frozen=True, slots=True)
class _Standing:
    """A view that is there: its owner, and who else may read it (None: everybody)."""

    view: SqlName
    owner: str
    readers: Sequence[str | None]


@dataclass(frozen=True, slots=True)
class _Owned:
    owner: str
    readers: Sequence[str | None]


class Application:
    """Applies views in one database, as a role that may read the shop's tables."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings
        self._names = ViewNames.of(settings)

    def run(self, file: ViewFile, role: str) -> How:
        """Create or replace both views, and let the daemon's role read them.

        Raises:
            ConfigError: There is no such role or schema; nothing was changed.
            ViewFileError: PostgreSQL refuses one; nothing was changed.
            SchemaMismatchError: One lacks a column; nothing was changed.
        """
        with self._database.transaction():
            may_replicate(self._database, role)
            self._refuse_schemas()
            standing = list(self._standing())
            how = self._make(file, standing)
            self._check(file)
            names = map(str, self._names.both)
            run(self._database, [view_grants(role, *names)])
        return how

    def plans(self) -> list[Finding]:
        """Judge the plans of the look-ups; none where that takes too long."""
        try:
            return list(check_plans(self._source()))
        except SlowStatementError:
            return []

    def _source(self) -> Source:
        return Source(self._database, *map(str, self._names.both))

    def _refuse_schemas(self) -> None:
        for name in self._names.both:
            schema = SqlName(None, name.schema or "")
            if not self._database.value(
                bool, query("schema_exists"), schema=str(schema)
            ):
                raise ConfigError(
                    f"there is no schema {schema} here; nothing was changed",
                    "`syncd install --as DSN` makes it, with the ledger.",
                )

    def _standing(self) -> Iterator[_Standing]:
        for name in self._names.both:
            found = self._database.find(_Owned, query("standing_view"), view=str(name))
            if found:
                yield _Standing(name, found.owner, found.readers)

    def _make(self, file: ViewFile, standing: Sequence[_Standing]) -> How:
        try:
            with self._database.transaction():
                self._define(file)
        except ViewFileError as error:
            if len(standing) < len(self._names.both) or not is_of_other_columns(error):
                raise
        else:
            return "replaced" if standing else "created"
        self._drop(file)
        self._define(file)
        for each in standing:
            self._restore(each)
        return "recreated, since their columns changed"

    def _define(self, file: ViewFile) -> None:
        for definition in file.definitions(self._names):
            define(self._database, file, definition)

    def _drop(self, file: ViewFile) -> None:
        confirmed, purchases = map(identifier, map(str, self._names.both))
        statement = composed("drop_views", confirmed=confirmed, purchases=purchases)
        define(self._database, file, statement.text.decode())

    def _restore(self, standing: _Standing) -> None:
        view = identifier(str(standing.view))
        owner = quoted(standing.owner)
        self._database.run(composed("own_view", view=view, role=owner))
        for reader in standing.readers:
            role = trusted_sql("PUBLIC") if reader is None else quoted(reader)
            self._database.run(composed("let_read", view=view, role=role))

    def _check(self, file: ViewFile) -> None:
        """Refuse views that no daemon could read."""
        source = self._source()
        source.views.check()
        columns = [c.name for c in source.views.columns(source.views.purchases)]
        refuse_unknown_fields(f"{file.title}: the view", columns)
        for finding in check_types(self._settings, source):
            if finding.code == "views.key" and finding.severity == "error":
                reason = f"{finding.subject} {finding.message}"
                raise ViewFileError(file.title, None, reason)
