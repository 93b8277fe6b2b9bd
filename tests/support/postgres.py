"""PostgreSQL servers for the tests: the wheel's, or one named by SYNCD_TEST_PG_BIN."""

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from syncd.demo.server import programs, runnable

SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "100",
    "max_prepared_transactions": "20",
    "wal_level": "logical",
    "listen_addresses": "''",
    "log_min_messages": "fatal",
}
STANDBY = "standby"
FOLDER = "SYNCD_TEST_PG_FOLDER"
"""The variable that sets where servers keep their data; by default on disk."""
_MEMORY = Path("/dev/shm")  # noqa: S108  # memory, where the system has such a folder
_ROOM = 6 << 30
IN_STEP = "SELECT count(*) = 1 FROM pg_stat_replication WHERE sync_state = 'sync'"


def _binaries() -> Path:
    folder = os.environ.get("SYNCD_TEST_PG_BIN")
    return Path(folder) if folder else programs()


def program(name: str) -> Path:
    """Return the path of a server program, like pg_dump; skip the test without it."""
    return _existing(_binaries() / name)


def _existing(program: Path) -> Path:
    if not program.exists():
        pytest.skip(f"this PostgreSQL comes without {program.name}")
    return program


def prefer_memory() -> None:
    """Keep the servers' data in memory where there is room.

    Copying and dropping a database then takes an eighth of the processor time.
    """
    if _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _ROOM:
        os.environ.setdefault(FOLDER, str(_MEMORY))


class Cluster:
    """A throw-away server on a Unix socket; PostgreSQL never runs as root."""

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, str] = SETTINGS,
        *,
        primary: "Cluster | None" = None,
    ) -> None:
        self.folder = folder
        self.data = folder / "data"
        self._bin = _binaries()
        self._user = "nobody" if os.geteuid() == 0 else None
        if self._user:
            folder.chmod(0o755)
            self._bin = runnable(self._bin, folder)
            entry = pwd.getpwnam(self._user)
            os.chown(folder, entry.pw_uid, entry.pw_gid)
        self._copy(primary) if primary else self._initialise()
        lines = [f"{name} = {value}\n" for name, value in settings.items()]
        lines.append(f"unix_socket_directories = '{folder}'\n")
        with (self.data / "postgresql.auto.conf").open("a") as file:
            file.writelines(lines)

    def _initialise(self) -> None:
        self._pg(
            "initdb",
            "-D",
            str(self.data),
            "-U",
            "postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--no-sync",
            "--locale=C.UTF-8",
        )

    def _copy(self, primary: "Cluster") -> None:
        self._pg(
            "pg_basebackup",
            "-D",
            str(self.data),
            "-d",
            f"host={primary.folder} user=postgres application_name={STANDBY}",
            "--write-recovery-conf",
            "--checkpoint=fast",
            "--no-sync",
        )

    def _pg(self, name: str, *arguments: str) -> None:
        subprocess.run(
            [str(_existing(self._bin / name)), *arguments],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            user=self._user,
            cwd="/",
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
        )

    def start(self) -> None:
        self._pg(
            "pg_ctl",
            "-D",
            str(self.data),
            "-w",
            "-l",
            str(self.data / "server.log"),
            "start",
        )

    def stop(self, mode: str = "fast") -> None:
        self._pg("pg_ctl", "-D", str(self.data), "-w", "-m", mode, "stop")

    def count_from(self, epoch: int, xid: int) -> None:
        """Restart with `xid` as the next transaction id, as after years of use."""
        self.sql("VACUUM (FREEZE)")
        self.stop()
        segment = self.data / "pg_xact" / f"{xid >> 20:04X}"
        segment.write_bytes(bytes(32 * 8192))
        shutil.chown(segment, (self.data / "PG_VERSION").owner())
        self._pg("pg_resetwal", "-D", str(self.data), "-e", str(epoch), "-x", str(xid))
        self.start()

    def promote(self) -> None:
        """Promote a standby; return when it accepts writes."""
        self._pg("pg_ctl", "-D", str(self.data), "-w", "promote")

    def set(self, name: str, value: str) -> None:
        self.sql(f"ALTER SYSTEM SET {name} = '{value}'")
        self.sql("SELECT pg_reload_conf()")

    def holds(self, query: str) -> bool:
        """Return whether a query's only value is true."""
        with psycopg.connect(self.dsn(), autocommit=True) as connection:
            row = connection.execute(query).fetchone()
        return row == (True,)

    def dsn(self, database: str = "postgres", user: str = "postgres") -> str:
        return f"host={self.folder} dbname={database} user={user}"

    def runs(self) -> bool:
        return (self.data / "postmaster.pid").exists()

    def create(self, database: str, template: str = "template1") -> None:
        """Create a database as a file copy of the template, the cheapest way."""
        self.sql(f"CREATE DATABASE {database} TEMPLATE {template} STRATEGY file_copy")

    def drop(self, database: str) -> None:
        self.sql(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")

    def sql(self, statement: str, database: str = "postgres") -> None:
        with psycopg.connect(self.dsn(database), autocommit=True) as connection:
            connection.execute(statement)


@contextmanager
def cluster(
    settings: Mapping[str, str] = SETTINGS, *, primary: Cluster | None = None
) -> Iterator[Cluster]:
    parent = os.environ.get(FOLDER, "/tmp")  # noqa: S108
    folder = Path(tempfile.mkdtemp(prefix="syncd-pg-", dir=parent))
    server = Cluster(folder, settings, primary=primary)
    server.start()
    try:
        yield server
    finally:
        if server.runs():
            server.stop("immediate")
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def standby(primary: Cluster) -> Iterator[Cluster]:
    """Run a hot standby; the primary then commits once the standby has replayed.

    To fail over, stop the primary first (`stop("immediate")`), then promote.
    """
    quickly = {"wal_retrieve_retry_interval": "100ms", "synchronous_commit": "on"}
    with cluster(quickly, primary=primary) as server:
        primary.set("synchronous_commit", "remote_apply")
        primary.set("synchronous_standby_names", STANDBY)
        wait_until(lambda: primary.holds(IN_STEP))
        try:
            yield server
        finally:
            if primary.runs():
                primary.set("synchronous_standby_names", "")


def wait_until(condition: object, seconds: float = 60.0) -> None:
    """Poll `condition` until it holds; fail after the time limit."""
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
