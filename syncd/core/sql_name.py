"""Names as SQL writes them: without double quotes they are folded to lower case.

Every name that an operator gives, on the command line or in the configuration, is read
here, so that one set of rules holds for all of them.
"""

import re
from dataclasses import dataclass
from string import ascii_lowercase, ascii_uppercase

from typing_extensions import override

PART = r'(?:"(?:[^"\0]|"")+"|[^\W\d][\w$]*)'
"""A name, or one part of a name with its schema."""

LONGEST_BYTES = 63
"""Of a name; PostgreSQL cuts off what is longer."""

DEFAULT_SCHEMA = "public"

_RESERVED = re.compile(
    "all|analyse|analyze|and|any|array|as|asc|asymmetric|authorization|"
    "binary|both|case|cast|check|collate|collation|column|concurrently|"
    "constraint|create|cross|current_catalog|current_date|current_role|"
    "current_schema|current_time|current_timestamp|current_user|default|"
    "deferrable|desc|distinct|do|else|end|except|false|fetch|for|"
    "foreign|freeze|from|full|grant|group|having|ilike|in|initially|"
    "inner|intersect|into|is|isnull|join|lateral|leading|left|like|"
    "limit|localtime|localtimestamp|natural|not|notnull|null|offset|on|"
    "only|or|order|outer|overlaps|placing|primary|references|returning|"
    "right|select|session_user|similar|some|symmetric|system_user|table|"
    "tablesample|then|to|trailing|true|union|unique|user|using|variadic|"
    "verbose|when|where|window|with"
)
"""Words that are no table's name without double quotes."""

_PLAIN = re.compile(r"[a-z_][a-z0-9_$]*")
_QUALIFIED = re.compile(rf"(?:({PART})\.)?({PART})")
_FOLDED = str.maketrans(ascii_uppercase, ascii_lowercase)


@dataclass(frozen=True, slots=True, order=True)
class SqlName:
    """The name of a table or a view.

    Attributes:
        schema: None where it was not named.
    """

    schema: str | None
    name: str

    @classmethod
    def parse(cls, text: str) -> "SqlName | None":
        """Read NAME or SCHEMA.NAME; None: it is not of this form."""
        found = _QUALIFIED.fullmatch(text)
        if found is None:
            return None
        schema, name = (part and unquoted(part) for part in found.groups())
        parts = (schema or "", name)
        if any(len(part.encode(errors="replace")) > LONGEST_BYTES for part in parts):
            return None
        return cls(schema, name)

    @property
    def parts(self) -> tuple[str, ...]:
        """Its parts without quotes: the schema, if it was named, and the name."""
        return (self.name,) if self.schema is None else (self.schema, self.name)

    def qualified(self) -> "SqlName":
        """Return the name with a schema: `public` where none was named."""
        return SqlName(self.schema or DEFAULT_SCHEMA, self.name)

    @override
    def __str__(self) -> str:
        """Write it as SQL does, with double quotes only where they are needed."""
        return ".".join(map(quoted, self.parts))


def unquoted(name: str) -> str:
    """Return the name that one SQL identifier stands for."""
    if name.startswith('"'):
        return name[1:-1].replace('""', '"')
    return name.translate(_FOLDED)


def quoted(name: str) -> str:
    """Write a name as an SQL identifier, with double quotes if it needs them."""
    if _PLAIN.fullmatch(name) and not _RESERVED.fullmatch(name):
        return name
    return '"' + name.replace('"', '""') + '"'
