"""Whether a column of the shop's holds the keys of the orders that the views list."""

from dataclasses import dataclass

from syncd.core.errors import ConfigError, SchemaMismatchError
from syncd.core.target import EXAMPLE, Target
from syncd.postgres.database import Database
from syncd.postgres.statements import query

_ALIKE = (
    {"smallint", "integer", "bigint"},
    {"text", "character varying"},
)
"""Types whose values have the same text, so that a key of one is found as the other.

Fewer than in `core.identity`, which compares the keys themselves then: a number with
decimals or a padded text would be looked up in vain.
"""


@dataclass(frozen=True, slots=True)
class KeyTable:
    """A table that an operator named, as in the catalogue.

    Attributes:
        kind: PostgreSQL's `relkind`.
        persistence: PostgreSQL's `relpersistence`.
        has_heirs: Whether other tables inherit from it.
        key_type: Of the column that was named with it; None: it has no such column.
        columns: The names of all, for people.
    """

    oid: int
    schema: str
    name: str
    kind: str
    persistence: str
    has_heirs: bool
    key_type: str | None
    columns: str | None


def key_table(
    database: Database, target: Target, oid: int | None, view: str
) -> KeyTable:
    """Find a table whose column has the type of the orders' key in `view`.

    `oid` is that of the target's table; None: there is none.

    Raises:
        ConfigError: There is no such table or column, or it holds something else.
        SchemaMismatchError: The view is missing.
    """
    table = database.find(KeyTable, query("find_table"), table=oid, column=target.key)
    if table is None:
        raise ConfigError(f"there is no table {target.table} in this database", EXAMPLE)
    if table.key_type is None:
        raise ConfigError(
            f"{target.table} has no column {target.key}",
            f"It has {table.columns}. {EXAMPLE}",
        )
    wanted = order_key_type(database, view)
    if not are_alike(table.key_type, wanted):
        raise ConfigError(
            f"{target.table}.{target.key} is {table.key_type}, but the order_key of "
            f"{view} is {wanted}",
            "Name the column that holds the same key as the views.",
        )
    return table


def order_key_type(database: Database, view: str) -> str:
    """Return the type of the orders' key in a view.

    Raises:
        SchemaMismatchError: The view is missing, or has no such column.
    """
    key_type = database.find_value(str, query("key_type"), view=view)
    if key_type is None:
        raise SchemaMismatchError(
            f"the view {view} with a column order_key is missing",
            "Create the two views (sql/shops/template.sql) first.",
        )
    return key_type


def are_alike(one: str, other: str) -> bool:
    """Return whether keys of two types have the same text."""
    return one == other or any({one, other} <= alike for alike in _ALIKE)
