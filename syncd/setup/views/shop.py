"""The shop systems that syncd ships views for: `sql/shops/NAME.toml` and `NAME.sql`."""

import tomllib
from collections.abc import Mapping, Sequence
from functools import cache

import msgspec

from syncd.config.share import shared
from syncd.core.command_errors import ViewsUnknownError
from syncd.core.sql_text import DEFAULT_SCHEMA, quoted

TEMPLATE = "template"
"""The views of a shop of one's own, to be copied."""


class Since(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A column that a version of a shop system was the first to have."""

    version: str
    column: str


class Shop(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A shop system that syncd ships views for.

    Attributes:
        name: Of its files, and on the command line.
        title: Of the system.
        tested: Versions that the views were tested on, to the letter.
        confirmed: When an order counts as confirmed, as the end of "when …".
        marks: Columns (`table.column`) that no other system has together.
        columns: By table, those that the views read.
        listen: Tables and keys (TABLE:KEYCOLUMN) for `syncd install --listen`.
        since: Columns by which a version is known, the newest first.
        index: Statements that make the indexes which the system lacks.
        time_zone: Of times without one, on most servers; None: they have a zone.
        django_app: The app whose migrations show the version; None: not Django.
    """

    name: str
    title: str
    tested: Sequence[str]
    confirmed: str
    marks: Sequence[str]
    columns: Mapping[str, Sequence[str]]
    listen: Sequence[str]
    since: Sequence[Since] = ()
    index: Sequence[str] = ()
    time_zone: str | None = None
    django_app: str | None = None


@cache
def shops() -> Mapping[str, Shop]:
    """Return all shop systems by name, in the order of their names."""
    found = {}
    for file in (shared("sql") / "shops").iterdir():
        name, _, extension = file.name.rpartition(".")
        if extension == "toml":
            facts = tomllib.loads(file.read_text(encoding="utf-8"))
            found[name] = msgspec.convert({"name": name, **facts}, Shop)
    return dict(sorted(found.items()))


def shop(name: str) -> Shop:
    """Return the shop system of a name.

    Raises:
        ViewsUnknownError: There is none.
    """
    if name not in shops():
        raise ViewsUnknownError(name)
    return shops()[name]


def sql_of(name: str, schema: str = DEFAULT_SCHEMA) -> str:
    """Return the file of a shop system's views, or the template.

    Args:
        name: Of the shop system.
        schema: Where its tables are.

    Raises:
        ViewsUnknownError: There is none of that name.
    """
    if name != TEMPLATE:
        shop(name)
    file = shared("sql") / "shops" / f"{name}.sql"
    return in_schema(file.read_text(encoding="utf-8"), schema)


def in_schema(text: str, schema: str) -> str:
    """Put another schema in the place of `public`, in what ships with syncd."""
    if schema == DEFAULT_SCHEMA:
        return text
    return text.replace(f"{DEFAULT_SCHEMA}.", f"{quoted(schema)}.")
