"""A small shop's database for the tests: orders, their lines, the two views."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from typing_extensions import override

from support.ledger_queries import LedgerQueries
from support.process import KEY, SYNCD, Forked, Process
from syncd.core.target import Target
from syncd.postgres.database import Database
from syncd.setup.install.install import Grantees, install
from syncd.setup.install.scripts import pinned, run
from syncd.setup.install.triggers import Triggers
from syncd.source.connections import Connections
from syncd.source.views import Views

RUN = (*SYNCD, "run", "--config")
TABLES = """
CREATE TABLE orders (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    confirmed_at timestamptz,
    email text DEFAULT 'mila@example.com',
    total numeric DEFAULT 25.00,
    products jsonb DEFAULT '[{"id": "MUG-1", "quantity": 2, "price": 12.50}]'
);
CREATE INDEX orders_confirmed_at ON orders (confirmed_at);
CREATE ROLE {role} LOGIN;
"""
VIEWS = """
CREATE VIEW syncd.confirmed_orders AS
SELECT id AS order_key, confirmed_at FROM orders WHERE confirmed_at IS NOT NULL;
CREATE VIEW syncd.purchases AS
SELECT id AS order_key, 'W-' || id AS orderid, email, 'EUR' AS currency,
       total AS totalvalue, products
  FROM orders;
"""


@dataclass
class Shop(LedgerQueries):
    """A shop in an empty database: `owner` has all rights, the daemon few."""

    owner: str
    role: str
    dsn: str
    state: str | None = None  # owner of a separate ledger database
    processes: list[Process] = field(default_factory=list)

    @classmethod
    def open(
        cls,
        owner: str,
        *,
        views: bool = True,
        state: str | None = None,
        tables: str = TABLES,
        made: str = VIEWS,
    ) -> "Shop":
        shop = cls.at(owner, state=state)
        role = shop.role
        shop.sql(tables.replace("{role}", role))
        source = Database(owner)
        owners = Connections(source, Database(state) if state else source)
        names = Grantees(role, "syncd.confirmed_orders", "syncd.purchases")
        install(owners, names)
        if views:
            shop.sql("CREATE SCHEMA IF NOT EXISTS syncd")
            shop.sql(made)
            install(owners, names)
        owners.close()
        return shop

    @classmethod
    def clone(cls, owner: str) -> "Shop":
        """Open a shop in a cloned database, with a role of its own."""
        shop = cls.at(owner)
        shop.sql(f"CREATE ROLE {shop.role} LOGIN")
        with closing(Database(owner)) as source:
            names = Grantees(shop.role, "syncd.confirmed_orders", "syncd.purchases")
            install(Connections(source, source), names)
        return shop

    def disown(self) -> None:
        """Drop the role, with everything that it was granted."""
        self.sql(f"DROP OWNED BY {self.role}; DROP ROLE {self.role}")

    def listen(
        self, *tables: str, owner: str | None = None, feed: str = "shop"
    ) -> None:
        """Install the triggers of `capture = "listen"` on tables."""
        with closing(Database(owner or self.owner)) as source:
            views = Views(source, "syncd.confirmed_orders", "syncd.purchases")
            targets = [target_of(table) for table in tables or ["orders:id"]]
            names = Grantees(self.role, views.confirmed, views.purchases)
            with pinned(source):
                missing = Triggers(source, feed, views).missing(targets, names)
                run(source, [*missing.made, *missing.attached])

    @classmethod
    def at(cls, owner: str, *, state: str | None = None) -> "Shop":
        """Return a shop that was opened before, perhaps on another server."""
        role = f"role_{psycopg.conninfo.conninfo_to_dict(owner)['dbname']}"
        dsn = psycopg.conninfo.make_conninfo(owner, user=role)
        return cls(owner, role, dsn, state)

    @property
    def state_dsn(self) -> str | None:
        """Return the daemon's connection string of a ledger in another database."""
        if self.state is None:
            return None
        return psycopg.conninfo.make_conninfo(self.state, user=self.role)

    @property
    @override
    def ledger_owner(self) -> str:
        return self.state or self.owner

    @override
    def ledger(self, query: str) -> list[tuple[object, ...]]:
        """Query the ledger's database, wherever it is."""
        with psycopg.connect(self.ledger_owner, autocommit=True) as connection:
            return connection.execute(query.encode()).fetchall()

    @override
    def sql(self, statement: str) -> None:
        with psycopg.connect(self.owner, autocommit=True) as connection:
            connection.execute(statement)

    def rows(self, query: str) -> list[tuple[object, ...]]:
        with psycopg.connect(self.owner, autocommit=True) as connection:
            return connection.execute(query).fetchall()

    @override
    def value(self, query: str) -> object:
        return self.rows(query)[0][0]

    def confirm(self, count: int = 1) -> list[str]:
        """Confirm new orders now; return their public numbers."""
        rows = self.rows(
            "INSERT INTO orders (confirmed_at) SELECT clock_timestamp() "
            f"FROM generate_series(1, {count}) RETURNING id"
        )
        return [f"W-{row[0]}" for row in rows]

    def views(self) -> str:
        """Return the SQL that creates the two views and grants them to the daemon."""
        both = "syncd.confirmed_orders, syncd.purchases"
        return f"{VIEWS} GRANT SELECT ON {both} TO {self.role};"

    def recreate_views(self) -> None:
        both = "syncd.confirmed_orders, syncd.purchases"
        self.sql(f"DROP VIEW IF EXISTS {both}; {self.views()}")

    def configure(
        self,
        folder: Path,
        endpoint: str,
        source: Mapping[str, object] | None = None,
        **squeezely: object,
    ) -> Path:
        """Write a configuration with short intervals."""
        sending = {
            "account": "SQ-SANDBOX",
            "timeout": "5s",
            "rate": "unlimited",
        } | squeezely
        lines = [f"{name} = {_toml(value)}" for name, value in sending.items()]
        lines += ["[ledger]", f'state_directory = "{folder}"']
        lines += [f'dsn = "{self.state_dsn}"'] if self.state_dsn else []
        reading = {
            "dsn": self.dsn,
            "poll_interval": "100ms",
            "lookback": "5s",
            "completeness_timeout": "1s",
        } | dict(source or {})
        read = "\n".join(f"{name} = {_toml(value)}" for name, value in reading.items())
        path = folder / "syncd.toml"
        path.write_text(
            f"""feed = "shop"
[source]
{read}
[squeezely]
endpoint = "{endpoint}"
"""
            + "\n".join(lines)
            + '\n[log]\nheartbeat = "1s"\n'
        )
        return path

    def start(
        self,
        config: Path,
        *arguments: str,
        log: Path | None = None,
        program: Sequence[str] = RUN,
    ) -> Process:
        """Start the real daemon, or a program that wraps it, as a process."""
        words = [*program, str(config), *arguments]
        streams = os.devnull, os.devnull, log or config.with_suffix(".log")
        process = Forked(words, os.environ | KEY, streams)
        self.processes.append(process)
        return process

    def start_alone(
        self,
        config: Path,
        *arguments: str,
        log: Path | None = None,
        program: Sequence[str] = RUN,
        within: Sequence[str] = (),
    ) -> Process:
        """Start the daemon in an interpreter of its own.

        Args:
            config: Its configuration.
            arguments: Further ones.
            log: The file for its log, instead of one beside the configuration.
            program: The daemon, or a program that wraps it.
            within: A command that runs another, for instance in a namespace.
        """
        with (log or config.with_suffix(".log")).open("a") as target:
            process = subprocess.Popen(
                [*within, sys.executable, *program, str(config), *arguments],
                stderr=target,
                stdout=subprocess.DEVNULL,
                env=os.environ | KEY,
            )
        self.processes.append(process)
        return process

    def close(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()


def target_of(text: str) -> Target:
    """Parse TABLE:KEYCOLUMN."""
    target = Target.parse(text)
    assert target
    return target


def _toml(value: object) -> str:
    return str(value).lower() if isinstance(value, bool | int) else f'"{value}"'
