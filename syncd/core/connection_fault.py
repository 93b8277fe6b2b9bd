"""Why a connection to PostgreSQL failed, from libpq's message: what is at fault.

libpq gives no SQLSTATE for a connection that did not come about, only its words.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum


class Cause(Enum):
    """What has to be corrected after a failed connection."""

    LOGIN = "login"  # the server refuses user, password or database
    TRUST = "trust"  # TLS: one of both sides does not accept the other
    SETTING = "setting"  # the connection string needs what libpq does not have
    SESSION = "session"  # a setting of the role, the database or the server
    FULL = "full"  # no connection is left
    NODE = "node"  # a hot standby answers where the primary is meant
    OUTAGE = "outage"  # the server does not answer; waiting may mend it


@dataclass(frozen=True, slots=True)
class ConnectionFault:
    """The cause, what is wrong in words, and what to do next."""

    cause: Cause
    what: str
    hint: str


_CA = (
    "Name the file of the CA that signed it as sslrootcert in the DSN "
    "(sslrootcert=system: the CAs that this host trusts)."
)
_CLIENT = "Name a certificate that the server accepts as sslcert and sslkey in the DSN."
_FILES = "Mend the file that is named, or sslcert, sslkey or sslrootcert in the DSN."
_NO_TLS = "Enable TLS on the server (ssl = on), or correct sslmode in the DSN."


@dataclass(frozen=True, slots=True)
class _Rule:
    pattern: re.Pattern[str]
    cause: Cause
    hint: str
    describe: Callable[[re.Match[str]], str] = lambda found: found.group().strip()


def _rule(pattern: str, cause: Cause, hint: str, words: str | None = None) -> _Rule:
    compiled = re.compile(pattern)
    if words is None:
        return _Rule(compiled, cause, hint)
    return _Rule(compiled, cause, hint, lambda found: found.expand(words))


_RULES = (
    _rule(
        r"certificate verify failed",
        Cause.TRUST,
        f"{_CA} If the CA is the right one, the certificate has expired, or is not "
        "valid yet by this host's clock.",
        "its certificate is not trusted (certificate verify failed)",
    ),
    _rule(
        r"server certificate for .* does not match host name .*",
        Cause.TRUST,
        "Connect by a name that its certificate has, or give the server another one.",
    ),
    _rule(
        r"server does not support SSL, but SSL was required",
        Cause.TRUST,
        _NO_TLS,
    ),
    _rule(
        r"root certificate file \"[^\"]*\" does not exist"
        r"|could not (read|load|open) [^:\n]*root certificate[^:\n]*",
        Cause.TRUST,
        _CA,
    ),
    _rule(
        r"connection requires a valid client certificate"
        r"|alert certificate required",
        Cause.TRUST,
        _CLIENT,
        "it requires a client certificate",
    ),
    _rule(
        r"alert (unknown ca|bad certificate|certificate (expired|revoked|unknown)"
        r"|unsupported certificate|access denied)",
        Cause.TRUST,
        _CLIENT,
        r"it does not accept the client certificate (\1)",
    ),
    _rule(
        r"(could not (read|load|open|get|initialize) [^:\n]*(certificate|private key)"
        r"|private key file|certificate present, but not private key"
        r"|certificate does not match private key)[^\n;]*",
        Cause.TRUST,
        _FILES,
    ),
    _rule(
        r"SSL error: [^\n]*(protocol|version|cipher|handshake failure|alert)[^\n]*"
        r"|(received invalid response|unsupported response) to SSL negotiation"
        r"|could not establish (an )?encrypt[^\n]*",
        Cause.TRUST,
        "See that it is PostgreSQL that answers there, and which versions of TLS it "
        "allows (ssl_min_protocol_version).",
    ),
    _rule(
        r"weak sslmode \"[^\"]*\" may not be used with sslrootcert=system",
        Cause.SETTING,
        "Set sslmode=verify-full beside sslrootcert=system.",
    ),
    _rule(
        r"invalid (?:integer value \"[^\"]*\" for connection option \"(\w+)\""
        r"|port (number))",
        Cause.SETTING,
        "Mend that part of the DSN.",
        "the connection string has a value that libpq does not know (a number)",
    ),
    _rule(
        r"invalid (\w+) value",
        Cause.SETTING,
        "Mend that part of the DSN.",
        r"\1 has a value that libpq does not know",
    ),
    _rule(
        r"could not match \d+ [a-z ]+ to \d+ hosts?|could not parse network address",
        Cause.SETTING,
        "Mend host, hostaddr and port in the DSN.",
    ),
    _rule(
        r"definition of service \"[^\"]*\" not found"
        r"|service file \"[^\"]*\" not found",
        Cause.SETTING,
        "Mend service in the DSN, or the service file that libpq reads.",
    ),
    _rule(
        r"no pg_hba.conf entry[^\n]*, no encryption",
        Cause.LOGIN,
        "Check pg_hba.conf; it may want TLS: sslmode=verify-full in the DSN.",
        "no pg_hba.conf entry without encryption",
    ),
    _rule(
        r"password authentication failed|no password supplied|"
        r"((role|database) \"[^\"]*\" )?does not exist|"
        r"authentication failed|no pg_hba.conf entry|not permitted to log in|"
        r"permission denied for database",
        Cause.LOGIN,
        "Check source.dsn: user, password and database name.",
    ),
    _rule(
        r"could not (access file|load library)[^\n]*|invalid value for parameter[^\n]*"
        r"|unrecognized configuration parameter[^\n]*",
        Cause.SESSION,
        "Mend that setting of the role or the database (ALTER ROLE … RESET).",
    ),
    _rule(
        r"(sorry, )?too many (clients|connections)[^\n]*"
        r"|remaining connection slots are reserved[^\n]*",
        Cause.FULL,
        "Raise max_connections, or the limit of the role or the database.",
    ),
    _rule(
        r"number of requested standby connections exceeds \"max_wal_senders\"[^\n]*",
        Cause.FULL,
        "Raise max_wal_senders, or end what replicates besides syncd.",
    ),
    _rule(
        r"server is in hot standby mode|session is read-only",
        Cause.NODE,
        "",
    ),
)


_OPENING = re.compile(r"^.* failed: (FATAL: *)?")
"""The driver's text before the reason: where it tried to connect."""


def connection_fault(message: str) -> ConnectionFault:
    """Return the cause of a failed connection; an unknown one is an outage.

    Args:
        message: The driver's; with several hosts, of all of them: what only a person
            can mend goes before what may come back by itself.
    """
    for rule in _RULES:
        if found := rule.pattern.search(message):
            return ConnectionFault(rule.cause, rule.describe(found), rule.hint)
    lines = message.strip().splitlines() or ["no answer"]
    tries = [line for line in lines if line.startswith("- ")] or lines[:1]
    what = "; ".join(dict.fromkeys(_OPENING.sub("", line) for line in tries))
    return ConnectionFault(
        Cause.OUTAGE, what, "Check the DSN and that the server runs."
    )
