"""The configuration file, read and checked whole: each fault with its place and a hint.

Secrets come from a systemd credential, a file or the environment, in this order;
never from the command line.
"""

import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

from pydantic import SecretStr, ValidationError
from pydantic_core import ErrorDetails

from syncd.config.dsn import dsn_fault
from syncd.config.settings import Settings, _Section
from syncd.core.errors import ConfigError
from syncd.core.field_value import is_object
from syncd.core.text import BLANKS, header_character, shown

FaultKind = Literal["unreadable", "unknown", "invalid", "secret", "key"]

FAULT_CODES: Mapping[FaultKind, str] = {
    "unreadable": "config.unreadable",
    "unknown": "config.unknown",
    "invalid": "config.invalid",
    "secret": "secret.missing",
    "key": "secret.missing",
}
"""The findings of `syncd check` for the same."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a configuration: in one line, with what to do next."""

    kind: FaultKind
    message: str
    hint: str


def load(
    path: Path,
    environment: Mapping[str, str] | None = None,
    *,
    wants_key: bool = True,
) -> Settings:
    """Read the configuration and its secrets.

    Args:
        path: Of the file.
        environment: With credentials and secrets; None: the process's own.
        wants_key: Whether an API key that is missing, or may not be read, is a fault;
            it is empty otherwise.

    Raises:
        ConfigError: It names every fault, one a line.
    """
    settings, faults = survey(path, environment)
    if not wants_key:
        faults = [fault for fault in faults if fault.kind != "key"]
    if settings is None or faults:
        lines = [f"{path}: {fault.message}" for fault in faults]
        codes = dict.fromkeys(FAULT_CODES[fault.kind] for fault in faults)
        raise ConfigError("\n".join(lines), faults[0].hint).of(list(codes))
    return settings


def survey(
    path: Path, environment: Mapping[str, str] | None = None
) -> tuple[Settings | None, list[Fault]]:
    """Read a configuration as far as it can be read.

    Returns:
        What is good of it, with defaults in the place of what is not (None when too
        little is left), and every fault.
    """
    environment = os.environ if environment is None else environment
    try:
        written = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        hint = "Write one with `syncd init`, or name yours with --config."
        message = f"cannot be read ({error.strerror})"
        return None, [Fault("unreadable", message, hint)]
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        message = shown(str(error))
        return None, [Fault("unreadable", message, "Mend the TOML at that place.")]
    if name := environment.get("SYNCD_INSTANCE"):
        written["instance"] = name
    settings, faults = _settings_of(written)
    if settings is None:
        return None, faults
    settings, missing = _with_secrets(settings, environment)
    reported = {fault.message.partition(":")[0] for fault in faults}
    new = [
        fault for fault in missing if fault.message.partition(" ")[0] not in reported
    ]
    return settings, faults + new


def _settings_of(written: dict[str, object]) -> tuple[Settings | None, list[Fault]]:
    """Validate; what is faulty is left out, and the rest validated again."""
    try:
        return Settings.model_validate(written), []
    except ValidationError as error:
        details = error.errors()
    for detail in details:
        _leave_out(written, detail["loc"])
    faults = [_fault(detail) for detail in details]
    try:
        return Settings.model_validate(written), faults
    except ValidationError:
        return None, faults


def _leave_out(written: dict[str, object], place: tuple[int | str, ...]) -> None:
    section: object = written
    for part in place[:-1]:
        section = section.get(str(part)) if is_object(section) else None
    if place and is_object(section):
        section.pop(str(place[-1]), None)


def _fault(detail: ErrorDetails) -> Fault:
    where = shown(".".join(str(part) for part in detail["loc"])) or "the file"
    hint = "Mend these settings."
    if detail["type"] == "extra_forbidden":
        return Fault("unknown", f"{where} is no setting{_nearest(where)}", hint)
    if detail["type"] == "missing":
        return Fault("invalid", f"{where} is missing", hint)
    message = detail["msg"].removeprefix("Value error, ")
    return Fault("invalid", f"{where}: {message}", hint)


def _nearest(where: str) -> str:
    """Name the setting that was probably meant, or where all of them are."""
    names = list(_names())
    near = get_close_matches(where, names, n=1)
    last = where.rpartition(".")[2]
    near = near or [name for name in names if name.rpartition(".")[2] == last]
    if near:
        return f"; do you mean {near[0]}?"
    return " (see `syncd init` for all of them)"


def _names() -> Iterator[str]:
    """Name every setting and section that a file may hold, dotted."""
    for name, field in Settings.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, _Section):
            yield name
            yield from (f"{name}.{each}" for each in kind.model_fields)
        elif kind is not SecretStr:
            yield name


def secret_files(
    settings: Settings, environment: Mapping[str, str]
) -> Mapping[str, Path | None]:
    """Find the file of each secret, by the secret's name; None: there is none.

    The credential `source-dsn` goes before the file that the configuration names.
    """
    folder = environment.get("CREDENTIALS_DIRECTORY")
    files = {}
    for name, (_, _, file) in _secrets(settings).items():
        credential = Path(folder) / name.replace("_", "-") if folder else None
        is_given = credential is not None and _is_given(credential)
        files[name] = credential if is_given else file
    return files


def _secrets(
    settings: Settings,
) -> Mapping[str, tuple[str, str | None, Path | None]]:
    """Return each secret's setting, its value in the configuration, and its file."""
    source, ledger = settings.source, settings.ledger
    key_file = settings.squeezely.api_key_file
    return {
        "source_dsn": ("source.dsn", source.dsn, source.dsn_file),
        "primary_dsn": (
            "source.primary_dsn",
            source.primary_dsn,
            source.primary_dsn_file,
        ),
        "ledger_dsn": ("ledger.dsn", ledger.dsn, ledger.dsn_file),
        "squeezely_api_key": ("squeezely.api_key_file", None, key_file),
    }


def _is_given(credential: Path) -> bool:
    """Return whether it holds something: the units make absent ones empty files."""
    try:
        return bool(credential.read_bytes().strip())
    except FileNotFoundError:
        return False
    except OSError:
        return True  # reading it reports why it cannot be read


def _with_secrets(
    settings: Settings, environment: Mapping[str, str]
) -> tuple[Settings, list[Fault]]:
    hint = (
        "A secret comes from a systemd credential, from the environment, or from a "
        "text file that only syncd's user may read."
    )
    files = secret_files(settings, environment)
    secrets, faults = {}, []
    for name, (place, written, _) in _secrets(settings).items():
        given, fault = environment.get(f"SYNCD_{name.upper()}"), None
        if file := files[name]:
            given, fault = _read_secret(file)
        secrets[name] = (given or written or "").strip(BLANKS)
        fault = fault or _secret_fault(place, secrets[name])
        kind: FaultKind = "key" if name == "squeezely_api_key" else "secret"
        faults += [Fault(kind, fault, hint)] if fault else []
    secrets["api_key"] = secrets.pop("squeezely_api_key")
    found = {name: SecretStr(value) for name, value in secrets.items()}
    return settings.model_copy(update=found), faults


def _read_secret(file: Path) -> tuple[str, str | None]:
    """Return a file's text, and why there is none: None when it could be read."""
    try:
        return file.read_text(encoding="utf-8").strip(), None
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else "not a text"
        return "", f"cannot read {file} ({cause})"


def _secret_fault(place: str, value: str) -> str | None:
    """Return what is wrong with a secret, without quoting it."""
    if not value:
        is_needed = place in {"source.dsn", "squeezely.api_key_file"}
        return f"{place} is missing" if is_needed else None
    if place != "squeezely.api_key_file":
        fault = dsn_fault(value)
        return f"{place} {fault}" if fault else None
    if fault := header_character(value):
        return f"the API key: {fault}, which no HTTP header may have"
    return None
