"""A file that is there whole or not at all."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from syncd.core.command_errors import FileUnwritableError


@contextmanager
def whole(path: Path) -> Iterator[TextIO]:
    """Write a file beside its place, and put it there once it is whole.

    What was there before stays until then, and stays when anything fails.

    Raises:
        FileUnwritableError: The folder is missing or takes no file.
    """
    try:
        if path.is_dir():
            raise IsADirectoryError(0, "is a folder")
        number, name = tempfile.mkstemp(
            dir=path.parent, prefix=f".{path.name}.", suffix=".part"
        )
    except OSError as error:
        raise _unwritable(path, error) from error
    part = Path(name)
    try:
        with open(number, "w", encoding="utf-8") as file:  # noqa: PTH123  # a descriptor
            yield file
            file.flush()
            os.fsync(number)
        part.chmod(0o666 & ~_umask())
        part.replace(path)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        with suppress(FileNotFoundError):
            part.unlink()


def _unwritable(path: Path, error: OSError) -> FileUnwritableError:
    return FileUnwritableError(
        f"{path}: {(error.strerror or str(error)).lower()}",
        "Name a file in a folder that you may write, with --out.",
    )


def _umask() -> int:
    """Read the process's mask for new files; reading it means setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
