"""Installing into a shop's database, as its owner and as an untrusted role."""

from contextlib import closing

import psycopg
from psycopg.conninfo import make_conninfo

from support.shop import TABLES, Shop, target_of
from syncd.postgres.database import Database
from syncd.setup.install.install import Capture, Grantees, carry_out, look
from syncd.setup.install.scripts import pinned
from syncd.setup.install.triggers import Triggers
from syncd.source.connections import Connections
from syncd.source.views import Views

VIEW_NAMES = ("syncd.confirmed_orders", "syncd.purchases")


def install_all(shop: Shop, *tables: str, published: bool = False) -> None:
    """Install as the owner of the database, with triggers on tables."""
    names = Grantees(shop.role, *VIEW_NAMES)
    with closing(Database(shop.owner)) as source, pinned(source):
        capture = Capture()
        if tables:
            views = Views(source, *VIEW_NAMES)
            targets = [target_of(table) for table in tables]
            capture = Triggers(source, "shop", views).missing(targets, names)
        owners = Connections(source, source)
        carry_out(owners, look(owners, names, capture, published=published))


def bare_shop(database: str) -> Shop:
    """Create a shop's tables without syncd, and the untrusted role mallory."""
    shop = Shop.at(database)
    shop.sql(TABLES.replace("{role}", shop.role))
    shop.sql(
        f"CREATE ROLE {shop.role}_mallory LOGIN;"
        f"GRANT CREATE ON DATABASE {shop.value('SELECT current_database()')} "
        f"TO {shop.role}_mallory;"
        f"GRANT SELECT, INSERT, UPDATE ON orders TO {shop.role}_mallory"
    )
    return shop


def as_mallory(shop: Shop, statement: str) -> None:
    """Execute a statement as the untrusted role."""
    dsn = make_conninfo(shop.owner, user=f"{shop.role}_mallory")
    with psycopg.connect(dsn, autocommit=True) as session:
        session.execute(statement.replace("{role}", shop.role).encode())


def became_superuser(shop: Shop) -> bool:
    """Return whether mallory became superuser."""
    query = f"SELECT rolsuper FROM pg_roles WHERE rolname = '{shop.role}_mallory'"
    return shop.value(query) is True
