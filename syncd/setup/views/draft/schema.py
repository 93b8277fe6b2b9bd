"""A database's tables: columns, keys, references. Plain data."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from typing_extensions import override

from syncd.core.sql_text import quoted
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
    table: "Name"
    to: str
    is_declared: bool = True


@dataclass(frozen=True, slots=True, order=True)
class Name:
    """The name of a table or view."""

    schema: str
    name: str

    @override
    def __str__(self) -> str:
        """Return it as SQL writes it."""
        return f"{quoted(self.schema)}.{quoted(self.name)}"

    @property
    def title(self) -> str:
        """It on one line, for a comment."""
        return one_line(str(self))


@dataclass(frozen=True, slots=True)
class Table:
    """A table, a partitioned one, or a view.

    Attributes:
        rows: As the statistics have it; -1: never counted.
        key: The columns of the primary key.
    """

    name: Name
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

    def column(self, name: str) -> Column:
        """Find a column that is there."""
        return next(c for c in self.columns if c.name == name)

    def path(self, column: str) -> str:
        """Return the name of a column with the table's, for a comment."""
        return one_line(f"{self.name}.{quoted(column)}")

    def of_kind(self, *kinds: Kind) -> list[Column]:
        """List its columns of some kinds."""
        return [c for c in self.columns if c.kind in kinds]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The tables of a database that may have to do with orders.

    Attributes:
        seen: How many tables the database has for this role.
        unreadable: Names of those that the role may not read.
    """

    tables: Sequence[Table]
    seen: int = 0
    unreadable: Sequence[Name] = ()
    _by_name: dict[Name, Table] = field(default_factory=dict)
    _children: dict[Name, list[tuple[Table, Reference]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Index the tables by name, and by what they refer to."""
        for table in self.tables:
            self._by_name[table.name] = table
            for reference in table.references:
                pairs = self._children.setdefault(reference.table, [])
                pairs.append((table, reference))

    def get(self, name: Name) -> Table | None:
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
