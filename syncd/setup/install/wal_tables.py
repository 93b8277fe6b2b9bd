"""Chooses the tables that a publication has, and what publishes them."""

from collections.abc import Sequence
from dataclasses import dataclass

from syncd.capture.keys import key_table
from syncd.capture.wal.publication import Publication, Table
from syncd.core.errors import ConfigError
from syncd.core.target import Target
from syncd.postgres.database import Database
from syncd.postgres.statements import query
from syncd.setup.install.install import Grantees
from syncd.setup.install.keys import refuse_other_keys
from syncd.setup.install.scripts import SqlScript
from syncd.setup.install.session import find_table
from syncd.setup.install.wal_scripts import (
    publication_script,
    publishing,
    role_scripts,
)


@dataclass(frozen=True, slots=True)
class Publishing:
    """What publishes some tables.

    Attributes:
        scripts: For the role, then for the publication, as far as it is missing.
        undo: Takes them back; a publication that was there before stays.
        remarks: On each table whose whole rows are published, a sentence.
    """

    scripts: Sequence[SqlScript]
    undo: Sequence[SqlScript]
    remarks: Sequence[str]

    @classmethod
    def of(
        cls,
        source: Database,
        publication: Publication,
        names: Grantees,
        wanted: Sequence[Target],
    ) -> "Publishing":
        """Find the tables; change nothing.

        Raises:
            SyncdError: One of them cannot be published.
        """
        tables, remarks = _choose(source, publication, names, wanted)
        role = role_scripts(source, names.role)
        name = publication.name
        exists = source.run(query("publication"), publication=name) > 0
        stands = exists and publication.is_of(tables)
        return cls(
            [*role[:1], *([] if stands else [publishing(name, tables)])],
            [
                *role[1:],
                *([] if exists else [publication_script("wal_undo.sql", name)]),
            ],
            remarks,
        )


def _choose(
    source: Database,
    publication: Publication,
    names: Grantees,
    wanted: Sequence[Target],
) -> tuple[list[Table], list[str]]:
    chosen = [
        publication.choose(each, find_table(source, each.table), names.confirmed)
        for each in wanted
    ]
    tables = [table for table, _ in chosen]
    _refuse_twice(tables)
    for target, table in zip(wanted, tables, strict=True):
        found = key_table(source, target, table.oid, names.confirmed)
        refuse_other_keys(source, names, target, found)
    return tables, [
        f"{table.title}: whole rows are published, {why}"
        for table, why in chosen
        if why
    ]


def _refuse_twice(tables: Sequence[Table]) -> None:
    for place, table in enumerate(tables):
        if table.oid in {other.oid for other in tables[:place]}:
            raise ConfigError(f"{table.title} is named twice", "Name each table once.")
