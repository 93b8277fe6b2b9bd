"""Small schemas modelled on other shop systems, with the correct views of each.

`want_orders` and `want_lines` in each file are what a person would have written. The
rules of the draft were developed with `development`; `held_out` was written before
the rules were tried on it, and its first score is in docs/views.md.
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg

from support import shop_dumps
from syncd.postgres.database import Database
from syncd.setup.views.draft import Draft, draft

Views = tuple[dict[str, Any], dict[str, dict[str, Any]]]
Drafted = Callable[[str], Draft]
"""Creates a schema and drafts its views."""
FOLDER = Path(__file__).parents[1] / "schemas"
WANTED = """
SELECT o.order_key::text, o.confirmed_at,
       (to_jsonb(o) || jsonb_build_object('products', (
         SELECT json_agg(json_build_object(
                  'id', i.id, 'quantity', i.quantity, 'price', i.price))
           FROM want_lines AS i
          WHERE i.order_key = o.order_key)))::text
  FROM want_orders AS o
"""


def schemas(kind: str) -> Iterator[Path]:
    """List the files of `development` or `held_out`."""
    yield from sorted((FOLDER / kind).glob("*.sql"))


def load(conninfo: str, file: Path) -> None:
    """Create what a schema file defines."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        shop_dumps.run(connection, file.read_text("utf-8"))


def draft_of(conninfo: str) -> Draft | None:
    """Draft the views of a database, and close the connection."""
    with closing(Database(conninfo)) as database:
        return draft(database)


def wanted(conninfo: str) -> Views:
    """Read the correct rows, then drop the views that return them."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        rows = connection.execute(WANTED).fetchall()
        connection.execute("DROP VIEW want_orders, want_lines")
    return (
        {key: at for key, at, _ in rows},
        {key: shop_dumps.exact(text) for key, _, text in rows},
    )


def drafted(conninfo: str, script: str) -> Draft:
    """Create a schema and draft its views."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        shop_dumps.run(connection, script)
    found = draft_of(conninfo)
    assert found is not None
    return found


def apply(conninfo: str, script: str) -> None:
    """Create the views of a draft, or whatever a script holds."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA IF NOT EXISTS syncd")
        shop_dumps.run(connection, script)
