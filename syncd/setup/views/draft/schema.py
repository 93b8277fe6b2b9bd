"""A database's tables: columns, keys, references. Plain data."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from syncd.core.sql_text import SqlName, quoted
from syncd.setup.views.draft.words import Meaning, meaning_with_comment


class Kind(StrEnum):
    """Families of types."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    MONEY = "money"
    TIME = "time"
    DATE = "date"
    BOOLEAN = "boolean"
    JSON = "json"
    UUID = "uuid"
    ENUM = "enum"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Attributes:
        type: As `format_type` writes it.
        is_unique: A unique index has this column alone.
        is_indexed: An index begins with it.
        labels: Of an enum, in its order.
    """

    name: str
    kind: Kind
    type: str = "text"
    is_required: bool = False
    is_unique: bool = False
    is_indexed: bool = False
    labels: tuple[str, ...] = ()
    comment: str = ""

    @property
    def meaning(self) -> Meaning:
        """What its name means, or, where that says nothing, its comment."""
        return meaning_with_comment(self.name, self.comment)

    @property
    def aliased(self) -> str:
        """Its name as a condition has it, with `{alias}.` before it."""
        return f"{{alias}}.{quoted(self.name)}"


@dataclass(frozen=True, slots=True)
class Reference:
    """A column that holds another table's key.

    Attributes:
        is_declared: By a foreign key; else by names and values.
    """

    column: str
    table: SqlName
    to: str
    is_declared: bool = True


@dataclass(frozen=True, slots=True)
class Table:
    """A table, a partitioned one, or a view.

    Attributes:
        rows: As the statistics have it; -1: never counted.
        key: The columns of the primary key.
    """

    name: SqlName
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    rows: float = -1
    is_view: bool = False
    comment: str = ""
    references: tuple[Reference, ...] = ()

    @property
    def meaning(self) -> Meaning:
        """What its name means, or, where that says nothing, its comment."""
        return meaning_with_comment(self.name.name, self.comment)

    @property
    def title(self) -> str:
        """Its name, for a comment."""
        return one_line(str(self.name))

    def column(self, name: str) -> Column:
        """Find a column that is there."""
        return next(c for c in self.columns if c.name == name)

    def path(self, column: str) -> str:
        """Return the name of a column with the table's, for a comment."""
        return one_line(f"{self.name}.{quoted(column)}")

    def of_kind(self, *kinds: Kind) -> list[Column]:
        """List its columns of some kinds."""
        return [c for c in self.columns if c.kind in kinds]


@dataclass(frozen=True)
class Catalogue:
    """The tables of a database that may have to do with orders.

    Attributes:
        seen: How many tables the database has for this role.
        unreadable: Names of those that the role may not read.
    """

    tables: Sequence[Table]
    seen: int = 0
    unreadable: Sequence[SqlName] = ()

    @cached_property
    def _by_name(self) -> dict[SqlName, Table]:
        return {table.name: table for table in self.tables}

    @cached_property
    def _children(self) -> dict[SqlName, list[tuple[Table, Reference]]]:
        children: dict[SqlName, list[tuple[Table, Reference]]] = defaultdict(list)
        for table in self.tables:
            for each in table.references:
                children[each.table].append((table, each))
        return children

    def get(self, name: SqlName) -> Table | None:
        """Find a table; None: it is not among those that were read."""
        return self._by_name.get(name)

    def children(self, parent: Table) -> Sequence[tuple[Table, Reference]]:
        """List the tables that refer to one, each reference once."""
        return self._children.get(parent.name, ())


def literal(text: str) -> str:
    """Quote a text constant."""
    return "'" + text.replace("'", "''") + "'"


def one_line(text: str) -> str:
    """Make a name that has line ends safe for a comment."""
    return " ".join(text.split())
