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
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
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


Duration = Annotated[timedelta, BeforeValidator(_duration)]
Rate = Annotated[float | None, BeforeValidator(_rate)]
ViewName = Annotated[str, Field(pattern=r"^[A-Za-z_][\w$]*(\.[A-Za-z_][\w$]*)?$")]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SourceSettings(_Section):
    """The shop's order database."""

    dsn: str | None = None
    dsn_file: Path | None = None
    confirmed: ViewName = "syncd.confirmed_orders"
    purchases: ViewName = "syncd.purchases"
    capture: Literal["poll"] = "poll"
    poll_interval: Duration = timedelta(seconds=1)
    lookback: Duration = timedelta(minutes=5)
    settle: Duration = timedelta(minutes=2)
    time_zone: str | None = None
    require_language: bool = False
    require_currency: bool = False

    @field_validator("dsn")
    @classmethod
    def _dsn_has_form(cls, value: str | None) -> str | None:
        if value is not None and (fault := dsn_fault(value)):
            raise ValueError(fault)
        return value

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
    ca_file: Path | None = None

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
    squeezely: SqueezelySettings
    backfill: BackfillSettings = BackfillSettings()
    log: LogSettings = LogSettings()
    source_dsn: SecretStr = SecretStr("")
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
    source, squeezely = settings.source, settings.squeezely
    dsn = _secret("source-dsn", source.dsn_file, "SYNCD_SOURCE_DSN", environment)
    key = _secret(
        "squeezely-api-key",
        squeezely.api_key_file,
        "SYNCD_SQUEEZELY_API_KEY",
        environment,
    )
    faults = []
    dsn = dsn or source.dsn
    if not dsn:
        faults.append("source.dsn is missing")
    elif fault := dsn_fault(dsn):
        faults.append(f"source.dsn {fault}")
    if not key:
        faults.append("squeezely.api_key_file is missing")
    elif not key.isascii() or not key.isprintable():
        faults.append("the API key holds characters that no HTTP header may have")
    if faults:
        raise ConfigError(
            "\n".join(f"{path}: {fault}" for fault in faults),
            "A secret comes from a systemd credential, a file, or the environment.",
        )
    secrets = {"source_dsn": SecretStr(dsn or ""), "api_key": SecretStr(key or "")}
    return settings.model_copy(update=secrets)


def _secret(
    credential: str,
    file: Path | None,
    variable: str,
    environment: Mapping[str, str],
) -> str | None:
    folder = environment.get("CREDENTIALS_DIRECTORY")
    if folder and (Path(folder) / credential).exists():
        return _read_secret(Path(folder) / credential)
    if file is not None:
        return _read_secret(file)
    return environment.get(variable)


def _read_secret(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else "not a text"
        raise ConfigError(
            f"{file}: cannot be read ({cause})",
            "Make it a text file that syncd's user may read, and nobody else.",
        ) from error
