"""Connection strings: what is wrong with one, and what of it may be shown."""

import re
from collections.abc import Mapping
from contextlib import suppress

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import PGconn

from syncd.core.connection_fault import Cause, connection_fault
from syncd.core.text import odd_character

_LAST_PORT = 65535
_NOWHERE = "/nonexistent/syncd"
"""A folder without a server: libpq reads the whole string, and reaches no server."""


def dsn_fault(dsn: str) -> str | None:
    """Return what is wrong with a connection string, without quoting it."""
    if fault := odd_character(dsn, allowed="\n\r\t"):
        return f"has a character that no connection string may have: {fault}"
    try:
        parts = conninfo_to_dict(dsn)
    except psycopg.ProgrammingError:
        return "is not a libpq connection string or URI"
    hosts = str(parts.get("host") or "")
    return _host_fault(hosts) or _port_fault(parts) or _value_fault(parts)


def _host_fault(hosts: str) -> str | None:
    for host in hosts.split(","):
        if not host.startswith(("/", "@")):
            try:
                host.encode("idna")
            except UnicodeError:
                return "names a host that is no host name"
    return None


def _port_fault(parts: Mapping[str, object]) -> str | None:
    ports = str(parts.get("port") or "").split(",")
    if not all(map(_is_port, ports)):
        return "has a port that is no number from 1 to 65535"
    hosts = str(parts.get("host") or parts.get("hostaddr") or "").split(",")
    if len(ports) not in {1, len(hosts)}:
        return f"has {len(ports)} ports for {len(hosts)} hosts"
    return None


def _value_fault(parts: Mapping[str, object]) -> str | None:
    """Parse the values with libpq; no server is contacted."""
    kept = {
        name: str(value)
        for name, value in parts.items()
        if name not in {"host", "hostaddr", "port", "connect_timeout", "service"}
    }
    with suppress(psycopg.Error):
        tried = PGconn.connect_start(make_conninfo("", **kept, host=_NOWHERE).encode())
        fault = connection_fault(tried.get_error_message())
        tried.finish()
        if fault.cause is Cause.SETTING:
            return f"cannot be used: {fault.what}"
    return None


def _is_port(written: str) -> bool:
    if not written:
        return True
    return bool(re.fullmatch("[0-9]{1,5}", written)) and 0 < int(written) <= _LAST_PORT


def describe(dsn: str) -> str:
    """Name host and database of a connection string, without its secrets."""
    parts = conninfo_to_dict(dsn)
    return f"{parts.get('host') or 'the local socket'}/{parts.get('dbname') or ''}"


def holds_password(dsn: str) -> bool:
    """Return whether a password stands in a connection string; in a wrong one: no."""
    return dsn_fault(dsn) is None and bool(conninfo_to_dict(dsn).get("password"))


def without_password(dsn: str) -> str:
    """Return a connection string that libpq takes, as it is but for its password."""
    if not holds_password(dsn):
        return dsn
    kept = {k: v for k, v in conninfo_to_dict(dsn).items() if k != "password"}
    return make_conninfo("", **kept)
