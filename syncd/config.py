"""One TOML file, checked whole: every fault with its place and a hint.

Secrets come from a systemd credential, a file or the environment, in this order;
never from the command line.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FilePath,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails

from syncd.database import dsn_fault
from syncd.errors import ConfigError

DEFAULT_PATH = Path("/etc/syncd/syncd.toml")

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_DSNS = {
    "source.dsn": "source_dsn",
    "source.primary_dsn": "primary_dsn",
    "state.dsn": "state_dsn",
}
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def _duration(value: object) -> object:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)", str(value).strip())
    if not found:
        raise ValueError('is no duration; write it like "1s", "5m" or "2h"')
    return timedelta(seconds=float(found[1]) * _UNITS[found[2]])


def _rate(value: object) -> object:
    if value == "unlimited":
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*/\s*(s|m|h)", str(value).strip())
    if not found or float(found[1]) == 0:
        raise ValueError('is no rate; write it like "50/s" or "unlimited"')
    return float(found[1]) / _UNITS[found[2]]


def _dsn(value: str) -> str:
    if fault := dsn_fault(value):
        raise ValueError(fault)
    return value


Dsn = Annotated[str, AfterValidator(_dsn)]
Duration = Annotated[timedelta, BeforeValidator(_duration)]
Rate = Annotated[float | None, BeforeValidator(_rate)]
ViewName = Annotated[str, Field(pattern=r"^[A-Za-z_][\w$]*(\.[A-Za-z_][\w$]*)?$")]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SourceSettings(_Section):
    """The shop's order database."""

    dsn: Dsn | None = None
    dsn_file: Path | None = None
    confirmed: ViewName = "syncd.confirmed_orders"
    purchases: ViewName = "syncd.purchases"
    primary_dsn: Dsn | None = None
    primary_dsn_file: Path | None = None
    capture: Literal["poll", "listen", "wal"] = "poll"
    poll_interval: Duration = timedelta(seconds=1)
    lookback: Duration = timedelta(minutes=5)
    settle: Duration = timedelta(minutes=2)
    time_zone: str | None = None
    require_language: bool = False
    require_currency: bool = False

    @field_validator("time_zone")
    @classmethod
    def _zone_exists(cls, value: str | None) -> str | None:
        try:
            ZoneInfo(value or "UTC")
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(
                'is no time zone; write it like "Europe/Amsterdam"'
            ) from None
        return value

    @field_validator("lookback", "poll_interval", "settle")
    @classmethod
    def _positive(cls, value: timedelta) -> timedelta:
        if value <= timedelta(0):
            raise ValueError("must be more than nothing")
        return value


class StateSettings(_Section):
    """Where the ledger is, unless beside the orders."""

    dsn: Dsn | None = None
    dsn_file: Path | None = None
    directory: Path | None = None


class SqueezelySettings(_Section):
    """The Squeezely account."""

    endpoint: str = "https://api.squeezely.tech/v1/track"
    allow_http: bool = False
    account: str = Field(min_length=1)
    api_key_file: Path | None = None
    body: Literal["events", "single"] = "events"
    batch_size: int = Field(default=100, ge=1, le=1000)
    max_in_flight: int = Field(default=1, ge=1, le=16)
    rate: Rate = 50.0
    timeout: Duration = timedelta(seconds=30)
    uncertain: Literal["resend", "hold"] = "resend"
    ca_file: FilePath | None = None

    @model_validator(mode="after")
    def _endpoint_is_safe(self) -> "SqueezelySettings":
        url = urlsplit(self.endpoint)
        local = url.hostname in _LOOPBACK
        if url.scheme == "https" and url.hostname:
            return self
        if url.scheme == "http" and url.hostname and (local or self.allow_http):
            return self
        raise ValueError(
            "endpoint must begin with https:// (http only to this machine, "
            "or with allow_http = true)"
        )

    @property
    def orders_per_batch(self) -> int:
        """Orders that are sent together: one, when the body is a single event."""
        return 1 if self.body == "single" else self.batch_size


class BackfillSettings(_Section):
    """How past orders are sent."""

    rate: Rate = 20.0


class LogSettings(_Section):
    """How the log looks; None chooses by whether stderr is a terminal."""

    format: Literal["json", "console"] | None = None
    level: Literal["debug", "info", "warning", "error"] = "info"
    heartbeat: Duration = timedelta(minutes=1)


class Settings(_Section):
    """The whole configuration, with its secrets read."""

    feed: str = Field(default="shop", pattern=r"^[A-Za-z0-9_.-]{1,63}$")
    source: SourceSettings = SourceSettings()
    state: StateSettings = StateSettings()
    squeezely: SqueezelySettings
    backfill: BackfillSettings = BackfillSettings()
    log: LogSettings = LogSettings()
    source_dsn: SecretStr = SecretStr("")
    primary_dsn: SecretStr = SecretStr("")
    state_dsn: SecretStr = SecretStr("")
    api_key: SecretStr = SecretStr("")


def load(path: Path, environment: Mapping[str, str] | None = None) -> Settings:
    """Read the configuration and its secrets.

    Raises:
        ConfigError: It names every fault, one a line.
    """
    environment = os.environ if environment is None else environment
    try:
        text = path.read_text(encoding="utf-8")
        settings = Settings.model_validate(tomllib.loads(text))
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror})",
            "Write one with `syncd init`, or name yours with --config.",
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}", "Mend the TOML at that place.") from error
    except ValidationError as error:
        raise ConfigError(_faults(path, error), "Mend these settings.") from error
    return _with_secrets(path, settings, environment)


def _faults(path: Path, error: ValidationError) -> str:
    return "\n".join(f"{path}: {_fault(detail)}" for detail in error.errors())


def _fault(detail: ErrorDetails) -> str:
    where = ".".join(str(part) for part in detail["loc"]) or "the file"
    if detail["type"] == "extra_forbidden":
        return f"{where} is no setting (see `syncd init` for all of them)"
    if detail["type"] == "missing":
        return f"{where} is missing"
    message = detail["msg"].removeprefix("Value error, ")
    return f"{where}: {message}"


def _with_secrets(
    path: Path, settings: Settings, environment: Mapping[str, str]
) -> Settings:
    source, state = settings.source, settings.state
    secrets = {
        name: _secret(name, file, environment) or written or ""
        for name, file, written in (
            ("source_dsn", source.dsn_file, source.dsn),
            ("primary_dsn", source.primary_dsn_file, source.primary_dsn),
            ("state_dsn", state.dsn_file, state.dsn),
            ("squeezely_api_key", settings.squeezely.api_key_file, None),
        )
    }
    if faults := _secret_faults(secrets):
        raise ConfigError(
            "\n".join(f"{path}: {fault}" for fault in faults),
            "A secret comes from a systemd credential, a file, or the environment.",
        )
    secrets["api_key"] = secrets.pop("squeezely_api_key")
    return settings.model_copy(
        update={name: SecretStr(value) for name, value in secrets.items()}
    )


def _secret_faults(secrets: Mapping[str, str]) -> list[str]:
    faults = []
    if not secrets["source_dsn"]:
        faults.append("source.dsn is missing")
    faults += [
        f"{place} {fault}"
        for place, name in _DSNS.items()
        if secrets[name] and (fault := dsn_fault(secrets[name]))
    ]
    key = secrets["squeezely_api_key"]
    if not key:
        faults.append("squeezely.api_key_file is missing")
    elif not key.isascii() or not key.isprintable():
        faults.append("the API key holds characters that no HTTP header may have")
    return faults


def _secret(name: str, file: Path | None, environment: Mapping[str, str]) -> str | None:
    """Read a secret: the credential `source-dsn`, a file, or SYNCD_SOURCE_DSN."""
    folder = environment.get("CREDENTIALS_DIRECTORY")
    credential = Path(folder) / name.replace("_", "-") if folder else None
    if credential is not None and credential.exists():
        return _read_secret(credential)
    if file is not None:
        return _read_secret(file)
    return environment.get(f"SYNCD_{name.upper()}")


def _read_secret(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else "not a text"
        raise ConfigError(
            f"{file}: cannot be read ({cause})",
            "Make it a text file that syncd's user may read, and nobody else.",
        ) from error
