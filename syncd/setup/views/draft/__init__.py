"""Drafts both views for an unknown schema.

It reads the catalogue and bounded samples, and writes SQL with a reason for each
choice. It changes nothing; of the rows, its text holds names of statuses only.
"""

from syncd.postgres.database import Database
from syncd.setup.views.draft.catalogue import DatabaseSamples, read_catalogue, reading
from syncd.setup.views.draft.draft import Draft, compose

__all__ = ["Draft", "draft"]


def draft(database: Database) -> Draft | None:
    """Draft the two views of a shop; None: no table of orders was found.

    Raises:
        SyncdError: The database cannot be read.
    """
    with reading(database):
        return compose(read_catalogue(database), DatabaseSamples(database))
