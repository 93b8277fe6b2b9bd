"""Standard output and error: unprintable characters never end a command.

When the reader stops (`| head`) the rest is discarded, and the exit code stays the
command's own.
"""

import io
import sys

from typing_extensions import Buffer, override

from syncd.core.command_errors import FileUnwritableError


class _Output(io.FileIO):
    """A descriptor that is written to as long as it is read."""

    is_lost = False

    @override
    def write(self, data: Buffer, /) -> int:
        size = len(memoryview(data))
        if self.is_lost:
            return size
        try:
            return super().write(data)
        except BrokenPipeError:
            self.is_lost = True
            return size
        except OSError as error:
            self.is_lost = True
            raise FileUnwritableError(
                f"standard output cannot be written ({error.strerror})",
                "Make room there, then run the command again.",
            ) from error


def prepare() -> None:
    """Make standard output and error replace what their encoding does not have."""
    output, errors = sys.stdout, sys.stderr
    if isinstance(errors, io.TextIOWrapper):
        errors.reconfigure(errors="backslashreplace")
    if isinstance(output, io.TextIOWrapper):
        raw = _Output(output.fileno(), "w", closefd=False)
        sys.stdout = io.TextIOWrapper(
            io.BufferedWriter(raw),
            encoding=output.encoding,
            errors="replace",
            line_buffering=output.line_buffering,
        )


def finish() -> None:
    """Write what is still held back.

    Raises:
        FileUnwritableError: It cannot be written.
    """
    output: io.TextIOBase | None = sys.stdout  # type: ignore[assignment]  # None: closed
    if output is not None:
        output.flush()
