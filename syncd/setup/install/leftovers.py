"""What a feed leaves in the daemon's own directory when its ledger is taken out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from syncd.config.settings import Settings
from syncd.ledger.clone_guard import StateFile
from syncd.ledger.start_journal import FAILED_SUFFIX
from syncd.ledger.state_file import SERVED_SUFFIX

_SUFFIXES = (".json", SERVED_SUFFIX, FAILED_SUFFIX)
_UNFINISHED = ".[0-9]*.[0-9]*"


@dataclass(frozen=True, slots=True)
class Leftovers:
    """Files of feeds that are no more.

    Attributes:
        gone: Those that were removed.
        left: Those that could not be.
    """

    gone: Sequence[Path]
    left: Sequence[Path]


def remove_leftovers(
    settings: Settings, feeds: Sequence[str], environment: Mapping[str, str]
) -> Leftovers | None:
    """Remove what this host remembers of feeds whose ledger was taken out.

    The next start of such a feed would be refused: the files know another ledger.

    Returns:
        None where the directory is not known, as outside the daemon's unit.
    """
    state_file = StateFile.of(
        settings.ledger.state_directory, settings.feed, environment
    )
    if state_file is None:
        return None
    gone: list[Path] = []
    left: list[Path] = []
    for file in _files(state_file.place, feeds):
        try:
            file.unlink()
        except FileNotFoundError:
            continue
        except OSError:
            left.append(file)
        else:
            gone.append(file)
    return Leftovers(gone, left)


def file_names(feed: str) -> list[str]:
    """Return the names of the files that a daemon of the feed keeps."""
    return [f"{feed}{suffix}" for suffix in _SUFFIXES]


def _files(folder: Path, feeds: Sequence[str]) -> Iterator[Path]:
    for feed in feeds:
        yield from (folder / name for name in file_names(feed))
        yield from sorted(folder.glob(f"{feed}{_UNFINISHED}"))
