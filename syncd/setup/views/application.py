"""Putting two views in their place: both with their grants, or nothing.

What can be replaced is replaced. Where the columns changed, both views are recreated in
the same transaction, for the same owner and the same readers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from syncd.config.settings import Settings
from syncd.core.command_errors import ViewFileError
from syncd.core.errors import ConfigError, SlowStatementError
from syncd.core.sql_text import SqlName
from syncd.diagnostics.check.finding import Finding
from syncd.diagnostics.check.views import check_plans, check_types
from syncd.postgres.database import Database
from syncd.postgres.statements import composed, identifier, query, quoted, trusted_sql
from syncd.setup.install.install import may_replicate
from syncd.setup.install.scripts import run, view_grants
from syncd.setup.views.file import (
    ViewFile,
    ViewNames,
    create,
    drop,
    is_of_other_columns,
)
from syncd.setup.views.trial import refuse_other_columns

How = Literal["created", "replaced", "recreated, since their columns changed"]


@dataclass(frozen=True, slots=True)
class _Owned:
    """A view that is there: its owner, and who else may read it (None: everybody)."""

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
            how = self._make(file, self._standing())
            self._check(file)
            names = map(str, self._names.both)
            run(self._database, [view_grants(role, *names)])
        return how

    def plans(self) -> list[Finding]:
        """Judge the plans of the look-ups; none where that takes too long."""
        try:
            return list(check_plans(self._names.source(self._database)))
        except SlowStatementError:
            return []

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

    def _standing(self) -> Mapping[SqlName, _Owned]:
        found = {
            name: self._database.find(_Owned, query("standing_view"), view=str(name))
            for name in self._names.both
        }
        return {name: owned for name, owned in found.items() if owned}

    def _make(self, file: ViewFile, standing: Mapping[SqlName, _Owned]) -> How:
        try:
            with self._database.transaction():
                create(self._database, file, self._names)
        except ViewFileError as error:
            if len(standing) < len(self._names.both) or not is_of_other_columns(error):
                raise
        else:
            return "replaced" if standing else "created"
        drop(self._database, file, self._names)
        create(self._database, file, self._names)
        for name, owned in standing.items():
            self._restore(name, owned)
        return "recreated, since their columns changed"

    def _restore(self, name: SqlName, owned: _Owned) -> None:
        view, owner = identifier(str(name)), quoted(owned.owner)
        self._database.run(composed("own_view", view=view, role=owner))
        for reader in owned.readers:
            role = trusted_sql("PUBLIC") if reader is None else quoted(reader)
            self._database.run(composed("let_read", view=view, role=role))

    def _check(self, file: ViewFile) -> None:
        """Refuse views that no daemon could read."""
        source = self._names.source(self._database)
        refuse_other_columns(file, source)
        for finding in check_types(self._settings, source):
            if finding.code == "views.key" and finding.severity == "error":
                reason = f"{finding.subject} {finding.message}"
                raise ViewFileError(file.title, None, reason)
