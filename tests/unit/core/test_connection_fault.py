"""Why a connection failed, by libpq's messages."""

import pytest

from syncd.core.connection_fault import Cause, ConnectionFault, connection_fault

BEGIN = 'connection failed: connection to server at "10.0.0.3", port 5432 failed: '
SAID = [
    (Cause.TRUST, "SSL error: certificate verify failed", "is not trusted"),
    (
        Cause.TRUST,
        (
            'server certificate for "a.example" (and 1 other name) does not match host '
            'name "10.0.0.3"'
        ),
        'does not match host name "10.0.0.3"',
    ),
    (
        Cause.TRUST,
        "server does not support SSL, but SSL was required",
        "does not support SSL",
    ),
    (
        Cause.TRUST,
        'root certificate file "/nope" does not exist\nEither provide the file, use',
        'root certificate file "/nope" does not exist',
    ),
    (
        Cause.TRUST,
        'could not read root certificate file "/x.pem": no start line',
        'could not read root certificate file "/x.pem"',
    ),
    (
        Cause.TRUST,
        "FATAL:  connection requires a valid client certificate",
        "requires a client certificate",
    ),
    (
        Cause.TRUST,
        "SSL error: tlsv13 alert certificate required",
        "requires a client certificate",
    ),
    (Cause.TRUST, "SSL error: tlsv1 alert unknown ca", "(unknown ca)"),
    (
        Cause.TRUST,
        "SSL error: sslv3 alert certificate expired",
        "(certificate expired)",
    ),
    (
        Cause.TRUST,
        (
            'private key file "/k.pem" has group or world access; file must have '
            "permissions u=rw (0600)"
        ),
        'private key file "/k.pem" has group or world access',
    ),
    (
        Cause.TRUST,
        "SSL error: tlsv1 alert protocol version\nThis may indicate that",
        "alert protocol version",
    ),
    (Cause.TRUST, "received invalid response to SSL negotiation: H", "SSL negotiation"),
    (
        Cause.SETTING,
        (
            'weak sslmode "require" may not be used with sslrootcert=system '
            '(use "verify-full")'
        ),
        "weak sslmode",
    ),
    (Cause.SETTING, 'invalid sslmode value: "secret"', "sslmode has a value"),
    (Cause.SETTING, 'invalid port number: "70000"', "a number"),
    (
        Cause.SETTING,
        'invalid integer value "a" for connection option "keepalives"',
        "a number",
    ),
    (Cause.SETTING, "could not match 3 port numbers to 2 hosts", "3 port numbers"),
    (
        Cause.SETTING,
        'could not parse network address "1.2.3.999": Name or service not known',
        "network address",
    ),
    (Cause.SETTING, 'definition of service "shop" not found', 'service "shop"'),
    (
        Cause.LOGIN,
        (
            'FATAL:  no pg_hba.conf entry for host "10.0.0.9", user "syncd", database '
            '"shop", no encryption'
        ),
        "without encryption",
    ),
    (
        Cause.LOGIN,
        'FATAL:  password authentication failed for user "syncd"',
        "password authentication failed",
    ),
    (Cause.LOGIN, 'FATAL:  database "shp" does not exist', 'database "shp" does not'),
    (Cause.OUTAGE, "Connection refused\n\tIs the server running", "refused"),
    (
        Cause.FULL,
        'FATAL:  number of requested standby connections exceeds "max_wal_senders"',
        '"max_wal_senders"',
    ),
    (Cause.OUTAGE, "SSL SYSCALL error: EOF detected", "EOF"),
    (Cause.OUTAGE, "server closed the connection unexpectedly", "unexpectedly"),
    (Cause.OUTAGE, "FATAL:  the database system is starting up", "starting up"),
]


@pytest.mark.parametrize(
    ("cause", "message", "words"),
    SAID,
    ids=[ascii(s[:40]).replace("\\", "/") for _, s, _ in SAID],
)
def test_libpqs_message_determines_the_cause(
    cause: Cause, message: str, words: str
) -> None:
    """Each with a next step; a configured value is not quoted."""
    fault = connection_fault(BEGIN + message)
    assert fault.cause is cause
    assert words in fault.what
    assert "\n" not in fault.what
    assert fault.hint
    assert "secret" not in fault.what


@pytest.mark.parametrize(
    ("message", "what"),
    [
        (f"{BEGIN}Connection refused\n\tIs the server running?", "Connection refused"),
        (
            f"{BEGIN}FATAL:  the database system is shutting down",
            "the database system is shutting down",
        ),
        (
            (
                "Multiple connection attempts failed. All failures were:\n"
                f"- host: 'a', port: None: {BEGIN}Connection refused\n"
                "\tIs the server running?\n"
                f"- host: 'b', port: None: {BEGIN}timeout expired"
            ),
            "Connection refused; timeout expired",
        ),
        ("connection is closed", "connection is closed"),
        ("", "no answer"),
    ],
)
def test_an_outage_is_described_by_its_reason_alone(message: str, what: str) -> None:
    """The caller adds the place."""
    assert connection_fault(message).what == what


def test_of_several_hosts_the_fault_that_a_person_must_fix_comes_first() -> None:
    """The driver lists the failures of all hosts."""
    lines = [
        "Multiple connection attempts failed. All failures were:",
        f"- host: 'a': {BEGIN}Connection refused",
        f"- host: 'b': {BEGIN}SSL error: certificate verify failed",
    ]
    assert connection_fault("\n".join(lines)).cause is Cause.TRUST


def test_a_failure_without_message_is_an_outage() -> None:
    """Nothing is known, so it may recover by itself."""
    assert connection_fault("") == ConnectionFault(
        Cause.OUTAGE, "no answer", "Check the DSN and that the server runs."
    )
