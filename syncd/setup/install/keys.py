"""Whether a column holds keys of the orders: by what it holds, not only by its type.

A history table has an id of its own beside that of the order; both are numbers.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from psycopg import sql

from syncd.capture.keys import KeyTable, are_alike, key_table, order_key_type
from syncd.core.errors import ConfigError, SyncdError
from syncd.core.target import Target
from syncd.postgres.database import Database
from syncd.postgres.statements import composed, identifier, query
from syncd.setup.install.install import Grantees
from syncd.setup.install.scripts import SqlScript, run, script, view_grants
from syncd.source.views import Views

_SAMPLE = 500
"""Values of a column that are compared."""

_ENOUGH = 3
"""Values that may all be of orders that the views do not list: fewer prove nothing."""

_SHOWN = {"smallint", "integer", "bigint", "uuid"}
"""Types whose values reveal nothing about a person."""


@dataclass(frozen=True, slots=True)
class _Compared:
    """A column's values beside the keys of the views.

    Attributes:
        values: How many were compared.
        known: How many of them are keys.
        held: How many of the newest keys the column holds; None: there are none.
        example: A value that is no key, if it may be shown.
    """

    column: str
    values: int
    known: int
    held: int | None
    example: str | None

    @property
    def share(self) -> float:
        return self.known / self.values if self.values else 1.0

    @property
    def title(self) -> str:
        example = f" ({self.example} is none)" if self.example else ""
        return (
            f"{self.known} of {self.values} values of {self.column} are keys of the "
            f"views{example}"
        )


def refuse_other_keys(
    database: Database, names: Grantees, target: Target, oid: int
) -> None:
    """Refuse a column that is not of the type of the views' keys, or has other values.

    What cannot be read in time is not compared: `syncd check` reads the views.

    Args:
        database: In the open transaction.
        names: The views, and the role that reads them.
        target: Table and column as they were named.
        oid: The table's.

    Raises:
        ConfigError: They are others; with an example.
        SchemaMismatchError: A view is missing.
    """
    table = key_table(database, target, oid, names.confirmed)
    fault: str | None = None
    with suppress(SyncdError), database.transaction(is_kept=False):
        fault = _Columns(database, names, table).fault(target.key)
    if fault:
        raise ConfigError(
            f"{target.table}:{target.key} is not the orders' key: {fault}; nothing was "
            "changed",
            "Name the column that holds the same key as the views.",
        )


class _Columns:
    """The columns of one table, beside the keys of the views."""

    def __init__(self, database: Database, names: Grantees, table: KeyTable) -> None:
        self._database = database
        self._views = [names.confirmed, names.purchases]
        self._oid = table.oid
        self._table = sql.Identifier(table.schema, table.name)
        views = Views(database, *self._views)
        self._types = {
            column.name: sql.Identifier(column.schema, column.type)
            for column in views.columns(self._table.as_string())
        }
        self._key_type = order_key_type(database, names.confirmed)
        database.run(query("soon"))
        run(database, self._reading(names, views))

    def _reading(self, names: Grantees, views: Views) -> Iterator[SqlScript]:
        """Compose what reads the views, as the daemon's role if that is possible."""
        is_super = self._database.value(bool, query("is_super"))
        yield script(
            "capture/keys.sql",
            confirmed=identifier(names.confirmed),
            purchases=identifier(names.purchases),
            key_type=views.names()["key_type"],
            security=sql.SQL("SECURITY DEFINER" if is_super else ""),
        )
        if is_super:
            yield view_grants(names.role, *self._views)
            yield script("capture/keys_owner.sql", role=sql.Identifier(names.role))

    def fault(self, column: str) -> str | None:
        """Return why a column cannot hold the orders' keys; None: it may.

        Others are compared if the views read them: these may be what was meant.
        """
        chosen = self._compare(column)
        if chosen.values >= _ENOUGH and not chosen.known and chosen.held == 0:
            return chosen.title
        columns = self._database.mapping(
            str, str, query("read_columns"), table=self._oid, views=self._views
        )
        read = [name for name, t in columns.items() if are_alike(t, self._key_type)]
        if column in read or not chosen.values:
            return None
        for other in read:
            better = self._compare(other)
            if better.share > chosen.share:
                return f"{chosen.title}, and {better.title}"
        return None

    def _compare(self, column: str) -> _Compared:
        names = {"table": self._table, "column": sql.Identifier(column)}
        database = self._database
        sample = composed("sample_values", **names)
        values = sorted(database.values(str, sample, limit=_SAMPLE))
        known = set(database.values(str, query("known_keys"), keys=values))
        newest = database.values(str, query("newest_keys"))
        held = None
        if newest:
            counted = composed("count_held", **names, type=self._types[column])
            held = database.value(int, counted, keys=newest)
        strangers = [value for value in values if value not in known]
        example = strangers[0] if strangers and self._key_type in _SHOWN else None
        return _Compared(column, len(values), len(known), held, example)
