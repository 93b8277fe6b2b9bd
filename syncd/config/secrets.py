"""Where a secret is: a systemd credential, a file, or the environment, in this order.

Never on the command line, never in a log.
"""

from collections.abc import Mapping
from pathlib import Path


def place_of(
    name: str, file: Path | None, environment: Mapping[str, str]
) -> Path | None:
    """Find the file of a secret: the credential `source-dsn`, or the configured one.

    Returns:
        None when there is neither: then only the environment can hold it.
    """
    folder = environment.get("CREDENTIALS_DIRECTORY")
    credential = Path(folder) / name.replace("_", "-") if folder else None
    if credential is not None and _is_given(credential):
        return credential
    return file


def read_secret(file: Path) -> tuple[str, str | None]:
    """Read a file's text, blanks around it left out.

    Returns:
        The text, and why there is none: None when it could be read.
    """
    try:
        return file.read_text(encoding="utf-8").strip(), None
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else "not a text"
        return "", f"cannot read {file} ({cause})"


def _is_given(credential: Path) -> bool:
    """Return whether it holds something: the units make absent ones empty files."""
    try:
        return bool(credential.read_bytes().strip())
    except FileNotFoundError:
        return False
    except OSError:
        return True  # reading it reports why it cannot be read
