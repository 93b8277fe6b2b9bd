"""What `syncd check` finds on this host: configuration, secrets, state directory."""

import os
import platform
import re
import shutil
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from syncd import __version__
from syncd.config.configuration import FAULT_CODES, Fault, secret_files
from syncd.config.dsn import holds_password
from syncd.config.settings import Settings
from syncd.diagnostics.check.finding import Finding
from syncd.ledger.state_file import StateFile

LEAST_BYTES = 100_000_000
"""Room that is worth a line when there is less of it."""

_OTHERS = stat.S_IROTH | stat.S_IWOTH
_GROUP = stat.S_IRGRP | stat.S_IWGRP
_ODD_KEY = re.compile(r"\s|^['\"]|['\"]$|^\w+\s*=\s*\S")


def check_configuration(
    path: Path, settings: Settings | None, faults: Sequence[Fault]
) -> Iterator[Finding]:
    """Report what is wrong with the file, and who else may read or write it."""
    for fault in faults:
        step = fault.hint if fault.kind == "unreadable" else ""
        yield Finding(FAULT_CODES[fault.kind], str(path), fault.message, step)
    mode = _mode(path)
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        message = f"users other than its owner may write it (mode {mode:o})"
        yield Finding("config.writable", str(path), message, f"chmod go-w {path}")
    if settings and _has_password(settings):
        yield from _exposed(path, mode)
    if settings and not faults:
        yield Finding("config.read", str(path), f"feed {settings.feed!r}")
    version = platform.python_version()
    message = f"syncd {__version__} on Python {version}"
    yield Finding("python.runs", "program", message)


def _exposed(path: Path, mode: int) -> Iterator[Finding]:
    """Check who may read a password in the file."""
    step = f"chmod 600 {path}, or remove the password: use a passfile, or dsn_file."
    if mode & _OTHERS:
        message = f"it contains a password; every user may read it (mode {mode:o})"
        yield Finding("config.exposed", str(path), message, step)
    elif mode & _GROUP:
        message = f"it contains a password; a group may read it (mode {mode:o})"
        yield Finding("config.shared", str(path), message, step)


def _mode(path: Path) -> int:
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return 0


def _has_password(settings: Settings) -> bool:
    source, ledger = settings.source, settings.ledger
    return any(
        holds_password(dsn)
        for dsn in (source.dsn, source.primary_dsn, ledger.dsn)
        if dsn is not None
    )


def check_secrets(
    settings: Settings, environment: Mapping[str, str]
) -> Iterator[Finding]:
    """Check who else may read the files of secrets, and whether the key looks like one.

    What cannot be read at all is a fault of the configuration.
    """
    for name, file in secret_files(settings, environment).items():
        if file is not None and (mode := _mode(file)):
            yield _readers(name.replace("_", " "), file, mode)
    key = settings.api_key.get_secret_value()
    if key.isprintable() and _ODD_KEY.search(key):
        message = "it contains blanks or quotation marks, or has a name before it"
        yield Finding("secret.odd", "squeezely api key", message)


def _readers(subject: str, file: Path, mode: int) -> Finding:
    step = f"chmod 600 {file}"
    if mode & _OTHERS:
        message = f"every user may read or write {file} (mode {mode:o})"
        return Finding("secret.exposed", subject, message, step)
    if mode & _GROUP:
        message = f"a whole group may read or write {file} (mode {mode:o})"
        step += ", unless the group is syncd's own"
        return Finding("secret.shared", subject, message, step)
    return Finding("secret.read", subject, f"only its owner may read {file}")


def state_file_of(
    settings: Settings, environment: Mapping[str, str]
) -> StateFile | None:
    """Find where the daemon remembers which ledger it served; None: nowhere."""
    return StateFile.of(settings.ledger.state_directory, settings.feed, environment)


def check_state(
    settings: Settings, environment: Mapping[str, str]
) -> Iterator[Finding]:
    """Check whether the daemon can remember which ledger it served.

    Raises:
        StateUnavailableError: What it remembered cannot be read.
    """
    state_file = state_file_of(settings, environment)
    if state_file is None:
        message = (
            "none: without it a restore of the ledger is not detected, and after a "
            "failover of the database a start on a new host name exits with 78"
        )
        yield Finding("state.none", "state directory", message)
        return
    place = state_file.place
    if not place.is_dir() or not os.access(place, os.R_OK | os.W_OK | os.X_OK):
        what = "may not be written" if place.is_dir() else "does not exist"
        yield Finding("state.unusable", "state directory", f"{place} {what}")
        return
    mark = state_file.read()
    free = shutil.disk_usage(place).free
    place_text = f"{place}, {free / 1e9:.1f} GB free"
    if free < LEAST_BYTES:
        yield Finding("state.full", "state directory", place_text)
        return
    known = "it records the ledger" if mark else "it records no ledger yet"
    yield Finding("state.kept", "state directory", f"{place_text}; {known}")
