"""Why the last start failed, or a reload was refused: kept until one succeeds.

It is in the ledger, and in the daemon's own directory while the ledger cannot be
written. `syncd status` shows it.
"""

import os
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec

from syncd.config.settings import Settings
from syncd.core.errors import SyncdError
from syncd.core.health_inputs import FailedStart
from syncd.ledger.clone_guard import StateFile, host_name
from syncd.postgres.database import Database
from syncd.postgres.statements import query
from syncd.source.connections import connect

FAILED_SUFFIX = ".failed"


@dataclass(frozen=True, slots=True)
class _Kept:
    kind: Literal["start", "waiting", "reload"]
    at: datetime
    codes: tuple[str, ...]
    reason: str
    hint: str


class StartJournal:
    """Keeps why a feed's daemon did not start on this host."""

    def __init__(
        self, settings: Settings, environment: Mapping[str, str] | None = None
    ) -> None:
        environment = os.environ if environment is None else environment
        self._settings = settings
        self._host = host_name(settings.instance)
        state_file = StateFile.of(
            settings.ledger.state_directory, settings.feed, environment
        )
        self._file: Path | None = None
        if state_file is not None:
            self._file = state_file.place / f"{settings.feed}{FAILED_SUFFIX}"

    def keep(
        self, kind: Literal["start", "waiting", "reload"], error: SyncdError
    ) -> None:
        """Keep why it failed, wherever that is possible; the log has it anyhow."""
        kept = _Kept(kind, datetime.now(UTC), error.codes, str(error), error.hint)
        try:
            with closing(connect(self._settings, "start")) as connections:
                connections.ledger.run(
                    query("keep_failed_start"),
                    feed=self._settings.feed,
                    host=self._host,
                    kind=kind,
                    codes=list(kept.codes),
                    reason=kept.reason,
                    hint=kept.hint,
                )
        except SyncdError:
            self._write(kept)

    def _write(self, kept: _Kept) -> None:
        if self._file is not None:
            with suppress(OSError):
                self._file.write_bytes(msgspec.json.encode(kept))

    def clear(self) -> None:
        """Forget it: a start has succeeded."""
        with suppress(SyncdError), closing(connect(self._settings, "start")) as opened:
            opened.ledger.run(
                query("clear_failed_start"), feed=self._settings.feed, host=self._host
            )
        if self._file is not None:
            with suppress(OSError):
                self._file.unlink(missing_ok=True)

    def newest(self, ledger: Database) -> FailedStart | None:
        """Return the newest failure, of any host; None while all have started.

        Raises:
            SyncdError: The ledger cannot be read.
        """
        found = ledger.rows(
            FailedStart, query("failed_starts"), feed=self._settings.feed
        )
        if own := self._read():
            found.append(own)
        return max(found, key=lambda failed: failed.at, default=None)

    def _read(self) -> FailedStart | None:
        if self._file is None:
            return None
        try:
            kept = msgspec.json.decode(self._file.read_bytes(), type=_Kept)
        except (OSError, msgspec.MsgspecError):
            return None
        codes = list(kept.codes)
        return FailedStart(
            kept.kind, self._host, kept.at, codes, kept.reason, kept.hint
        )
