"""Which feeds this host has served: a file for each, beside what a daemon remembers.

A mistyped `feed`, or an empty ledger in place of the right one, is noticed by it.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from syncd.config.settings import Settings
from syncd.ledger.clone_guard import StateFile

SERVED_SUFFIX = ".served"


@dataclass(frozen=True, slots=True)
class _Orders:
    """Where the orders of a feed come from: cluster and database, and the view."""

    source: tuple[int, int]
    view: str


class Served:
    """The feeds that daemons of this host have started."""

    def __init__(self, folder: Path, feed: str) -> None:
        self._folder = folder
        self._path = folder / f"{feed}{SERVED_SUFFIX}"
        self._state_file = StateFile(folder, feed)

    @classmethod
    def of(
        cls, settings: Settings, environment: Mapping[str, str] | None = None
    ) -> "Served | None":
        """Return what this host has stored; None where it stores nothing."""
        environment = os.environ if environment is None else environment
        state_file = StateFile.of(
            settings.ledger.state_directory, settings.feed, environment
        )
        return cls(state_file.place, settings.feed) if state_file else None

    def is_known(self) -> bool:
        """Return whether a daemon of this host has started the feed before."""
        return self._path.exists() or self._state_file.read() is not None

    def others(self, source: tuple[int, int], view: str) -> list[str]:
        """Return the feeds that were started for the same orders, this one too."""
        found = []
        with suppress(OSError):
            for path in self._folder.glob(f"*{SERVED_SUFFIX}"):
                with suppress(OSError, msgspec.MsgspecError):
                    orders = msgspec.json.decode(path.read_bytes(), type=_Orders)
                    if orders == _Orders(source, view):
                        found.append(path.name.removesuffix(SERVED_SUFFIX))
        return found

    def keep(self, source: tuple[int, int], view: str) -> None:
        """Note that the feed is served from here, where that can be written.

        Where not, the daemon's mark beside it cannot either, which is reported.
        """
        served = msgspec.json.encode(_Orders(source, view))
        with suppress(OSError):
            if not self._path.exists() or self._path.read_bytes() != served:
                self._path.write_bytes(served)
