"""The settings: their types, bounds and defaults, one class a section."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)

from syncd.config.types import (
    Dsn,
    Duration,
    Endpoint,
    File,
    HeaderText,
    Name,
    Rate,
    Span,
    ViewName,
    Zone,
    at_most,
    is_loopback,
)

SHORTEST_KEEP = timedelta(days=7)
"""The shortest `ledger.retention`."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SourceSettings(_Section):
    """The shop's order database."""

    dsn: Dsn | None = None
    dsn_file: File | None = None
    confirmed_view: ViewName = "syncd.confirmed_orders"
    purchases_view: ViewName = "syncd.purchases"
    primary_dsn: Dsn | None = None
    primary_dsn_file: File | None = None
    capture: Literal["poll", "listen", "wal"] = "poll"
    poll_interval: Annotated[Span, at_most("1d")] = timedelta(seconds=1)
    lookback: Span = timedelta(minutes=5)
    completeness_timeout: Span = timedelta(minutes=2)
    quiet: Annotated[Span, at_most("10m")] | None = None
    time_zone: Zone | None = None
    require_language: bool = False
    require_currency: bool = False


class SqueezelySettings(_Section):
    """The Squeezely account."""

    endpoint: Endpoint = "https://api.squeezely.tech/v1/track"
    allow_http: bool = False
    account: HeaderText
    api_key_file: File | None = None
    payload: Literal["events", "single"] = "events"
    batch_size: int = Field(default=100, ge=1, le=1000)
    max_in_flight: int = Field(default=1, ge=1, le=16)
    rate: Rate = 50.0
    timeout: Annotated[Span, at_most("1h")] = timedelta(seconds=30)
    on_uncertain: Literal["resend", "hold"] = "resend"
    ca_file: File | None = None

    @field_validator("ca_file")
    @classmethod
    def _holds_certificates(cls, value: Path | None) -> Path | None:
        """Refuse a missing file; `check` reads what is in it."""
        if value is not None and not value.is_file():
            raise ValueError("is no file")
        return value

    @model_validator(mode="after")
    def _is_encrypted(self) -> "SqueezelySettings":
        url = urlsplit(self.endpoint)
        local = is_loopback(url.hostname)
        if url.scheme == "https" or local or self.allow_http:
            return self
        raise ValueError(
            "endpoint must begin with https:// (http only to this machine, "
            "or with allow_http = true)"
        )

    @property
    def orders_per_batch(self) -> int:
        """Orders that are sent together: one, when the body is a single event."""
        return 1 if self.payload == "single" else self.batch_size


class BackfillSettings(_Section):
    """How past orders are sent."""

    rate: Rate = 20.0


class LedgerSettings(_Section):
    """Where the ledger is, unless beside the orders, and how long receipts are kept."""

    dsn: Dsn | None = None
    dsn_file: File | None = None
    state_directory: File | None = None
    retention: Duration | None = None


class LogSettings(_Section):
    """The log's format; None chooses by whether stderr is a terminal."""

    format: Literal["json", "console"] | None = None
    level: Literal["debug", "info", "warning", "error"] = "info"
    heartbeat: Annotated[Span, at_most("1d")] = timedelta(minutes=1)


class Settings(_Section):
    """The whole configuration, with its secrets read."""

    feed: Name = "shop"
    instance: Name | None = None
    source: SourceSettings = SourceSettings()
    squeezely: SqueezelySettings
    backfill: BackfillSettings = BackfillSettings()
    ledger: LedgerSettings = LedgerSettings()
    log: LogSettings = LogSettings()
    source_dsn: SecretStr = SecretStr("")
    primary_dsn: SecretStr = SecretStr("")
    ledger_dsn: SecretStr = SecretStr("")
    api_key: SecretStr = SecretStr("")

    @model_validator(mode="after")
    def _keeps_long_enough(self) -> "Settings":
        keep, lookback = self.ledger.retention, self.source.lookback
        if keep is not None and keep < max(SHORTEST_KEEP, 10 * lookback):
            raise ValueError(
                "ledger.retention must be at least 7d, and ten times source.lookback"
            )
        return self
