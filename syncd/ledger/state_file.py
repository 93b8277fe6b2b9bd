"""What daemons remember on this host, outside every database: files for each feed.

The last mark shows that the ledger was restored or cloned. Which feeds were served
shows a mistyped `feed`, or an empty ledger in place of the right one.
"""

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from syncd.config.settings import Settings
from syncd.core.continuity import Mark
from syncd.core.errors import StateUnavailableError

SERVED_SUFFIX = ".served"


def state_directory(
    configured: Path | None, environment: Mapping[str, str] | None = None
) -> Path | None:
    """Find the directory: as configured, or systemd's; None when there is neither."""
    environment = os.environ if environment is None else environment
    given = environment.get("STATE_DIRECTORY", "").split(":")[0]
    return configured or (Path(given) if given else None)


class StateFile:
    """The file in which the daemon remembers a feed's last mark."""

    def __init__(self, directory: Path, feed: str) -> None:
        self._path = directory / f"{feed}.json"

    @classmethod
    def of(
        cls,
        directory: Path | None,
        feed: str,
        environment: Mapping[str, str] | None = None,
    ) -> "StateFile | None":
        """Find it in `state_directory`; None where there is none."""
        place = state_directory(directory, environment)
        return cls(place, feed) if place else None

    @property
    def place(self) -> Path:
        """The directory that it is in."""
        return self._path.parent

    def read(self) -> Mark | None:
        """Read the last mark; None before the first.

        Raises:
            StateUnavailableError: The file is there and cannot be used.
        """
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Mark)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError) as error:
            raise self._unusable(error) from error

    def write(self, mark: Mark) -> None:
        """Replace the last mark, whole or not at all.

        Raises:
            StateUnavailableError: The directory cannot be written.
        """
        # Daemons in containers share the directory, and have the same number.
        fresh = self._path.with_suffix(f".{os.getpid()}.{time.monotonic_ns()}")
        try:
            with fresh.open("wb") as file:
                file.write(msgspec.json.encode(mark))
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._path)
        except OSError as error:
            raise self._unusable(error) from error

    def _unusable(self, error: Exception) -> StateUnavailableError:
        cause = error.strerror if isinstance(error, OSError) else "it is damaged"
        return StateUnavailableError(
            f"{self._path}: cannot be used ({cause})",
            "Let syncd's user write there, or set ledger.state_directory.",
        )


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
        place = state_directory(settings.ledger.state_directory, environment)
        return cls(place, settings.feed) if place else None

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
