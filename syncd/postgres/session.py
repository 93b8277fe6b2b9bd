"""How a PostgreSQL session is opened, and which server is at the other end."""

from dataclasses import dataclass

from psycopg.conninfo import conninfo_to_dict

from syncd.postgres.errors import LOCK_SECONDS, STATEMENT_SECONDS

OLDEST_SERVER = 15
NEWEST_SERVER = 18


CONNECT: dict[str, int | str] = {
    "client_encoding": "UTF8",  # whatever the server's, and PGCLIENTENCODING
    "connect_timeout": 5,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}

SESSION = {
    "statement_timeout": f"{STATEMENT_SECONDS}s",
    "lock_timeout": f"{LOCK_SECONDS}s",
    "idle_in_transaction_session_timeout": "60s",
    "idle_session_timeout": "0",
    "transaction_timeout": "0",
    "default_transaction_isolation": "read committed",
    "default_transaction_deferrable": "off",
    "row_security": "on",
    "plan_cache_mode": "force_custom_plan",  # a window is small, a generic plan not
    "jit": "off",
    "DateStyle": "ISO",  # times that go from one database to the other as text
    "extra_float_digits": "1",  # amounts keep every digit
    "standard_conforming_strings": "on",
    "transform_null_equals": "off",
    "array_nulls": "on",
    "quote_all_identifiers": "off",
}

_LOCAL = frozenset({"", "localhost", "::1"})


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end of a connection, as libpq sees it.

    Attributes:
        host: A name, an address, or the folder of a local socket.
        pid: Of the server's process; a pooler gives another number.
        sslmode: How far TLS is asked for and verified.
    """

    host: str
    pid: int
    sslmode: str

    @property
    def is_local(self) -> bool:
        """Whether no network is between."""
        return self.host.startswith(("/", "@", "127.")) or self.host in _LOCAL


def to_the_primary(dsn: str) -> dict[str, str]:
    """Return what lets libpq choose the primary among several hosts."""
    parts = conninfo_to_dict(dsn)
    hosts = f"{parts.get('host') or ''}{parts.get('hostaddr') or ''}"
    is_given = "target_session_attrs" in parts or "," not in hosts
    return {} if is_given else {"target_session_attrs": "primary"}
