"""Why the last start failed, or a reload was refused: kept until one succeeds.

It is in the ledger, and in the daemon's own directory while the ledger cannot be
written. `syncd status` shows it.
"""

from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Literal

import msgspec

from syncd.config.settings import Settings
from syncd.core.errors import SyncdError
from syncd.core.health_inputs import FailedStart
from syncd.ledger.clone_guard import host_name
from syncd.ledger.state_file import state_directory
from syncd.postgres.database import Database
from syncd.postgres.statements import query
from syncd.source.connections import connect

FAILED_SUFFIX = ".failed"


class StartJournal:
    """Keeps why a feed's daemon did not start on this host."""

    def __init__(
        self, settings: Settings, environment: Mapping[str, str] | None = None
    ) -> None:
        self._settings = settings
        self._host = host_name(settings.instance)
        place = state_directory(settings.ledger.state_directory, environment)
        self._file = place / f"{settings.feed}{FAILED_SUFFIX}" if place else None

    def keep(
        self, kind: Literal["start", "waiting", "reload"], error: SyncdError
    ) -> None:
        """Keep why it failed, wherever that is possible; the log has it anyhow."""
        at, codes = datetime.now(UTC), list(error.codes)
        failed = FailedStart(kind, self._host, at, codes, str(error), error.hint)
        row = {"feed": self._settings.feed, **asdict(failed)}
        try:
            with closing(connect(self._settings, "start")) as connections:
                connections.ledger.run(query("keep_failed_start"), **row)
        except SyncdError:
            self._write(failed)

    def _write(self, failed: FailedStart) -> None:
        if self._file is not None:
            with suppress(OSError):
                self._file.write_bytes(msgspec.json.encode(failed))

    def clear(self) -> None:
        """Erase it: a start has succeeded."""
        with suppress(SyncdError), closing(connect(self._settings, "start")) as opened:
            opened.ledger.run(
                query("clear_failed_start"), feed=self._settings.feed, host=self._host
            )
        if self._file is not None:
            with suppress(OSError):
                self._file.unlink(missing_ok=True)

    def newest(self, ledger: Database) -> FailedStart | None:
        """Return the newest failure, of any host; None while all have started."""
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
            return msgspec.json.decode(self._file.read_bytes(), type=FailedStart)
        except (OSError, msgspec.MsgspecError):
            return None
