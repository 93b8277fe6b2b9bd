"""A throw-away machine with a real systemd, PostgreSQL, the fake API, and syncd."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from support.postgres import wait_until
from support.shop import TABLES, VIEWS

ROOT = Path(__file__).parents[2]
BOX = Path(__file__).with_name("box")
BUILD = ROOT / "packaging" / "build-deb"
API = "http://127.0.0.1:8377"
CLAIMED = "SELECT count(*) FROM syncd.batch WHERE state = 'sending'"
LEFT = "SELECT count(*) FROM syncd.batch WHERE state IN ('pending', 'sending')"
QUICK = """
[Service]
RestartSec=200ms
WatchdogSec=3s
TimeoutAbortSec=1s
"""
CONFIGURATION = """
feed = "{feed}"
[source]
dsn = "{dsn}"
poll_interval = "100ms"
lookback = "5s"
completeness_timeout = "1s"
[squeezely]
account = "SQ-SANDBOX"
endpoint = "{api}/v1/track"
rate = "unlimited"
{more}
[log]
heartbeat = "1s"
"""


def obstacle() -> str | None:
    """Return why no machine can be booted here; None when it can."""
    if os.geteuid() != 0:
        return "not root"
    needed = [
        "/lib/systemd/systemd",
        "/usr/bin/dbus-daemon",
        "/usr/bin/pg_createcluster",
        "/usr/bin/dh_virtualenv",
    ]
    absent = [path for path in needed if not Path(path).exists()]
    if absent:
        return f"{', '.join(absent)} not there"
    if " cgroup2 " not in Path("/proc/mounts").read_text():
        return "no cgroup2 mount"
    return None


class Machine:
    """The booted machine; commands run inside as root by default."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "box"
        subprocess.run([BOX, "up", self.folder], check=True)

    def shut_down(self) -> None:
        subprocess.run([BOX, "down", self.folder], check=True)

    def run(self, *command: object, check: bool = True, stdin: str = "") -> str:
        """Run a command inside; return its output, error lines included."""
        done = subprocess.run(
            [BOX, "exec", self.folder, *map(str, command)],
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert not check or done.returncode == 0, done.stdout
        return done.stdout

    def write(self, path: str, text: str, mode: str = "644") -> None:
        script = 'mkdir -p "${1%/*}" && umask 077 && cat >"$1" && chmod "$2" "$1"'
        self.run("sh", "-c", script, "sh", path, mode, stdin=text)

    def pid_outside(self, pid: int) -> int:
        """Return the host's process number of a process inside."""
        init = (self.folder / "pid").read_text().strip()
        space = Path(f"/proc/{init}/ns/pid").readlink()
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                status = (process / "status").read_text()
                here, *inside = status.partition("NSpid:")[2].partition("\n")[0].split()
                if inside == [str(pid)] and (process / "ns/pid").readlink() == space:
                    return int(here)
        raise LookupError(pid)

    # systemd

    def systemctl(self, *arguments: str, check: bool = True) -> str:
        return self.run("systemctl", *arguments, check=check)

    def show(self, unit: str, *properties: str) -> list[str]:
        """Read a unit's properties, in the order of the given names."""
        names = ",".join(properties)
        text = self.run("systemctl", "show", unit, "-p", names)
        found = dict(line.split("=", 1) for line in text.splitlines())
        return [found[name] for name in properties]

    def is_active(self, unit: str) -> bool:
        return self.show(unit, "ActiveState", "SubState") == ["active", "running"]

    def drop_in(self, unit: str, text: str) -> None:
        self.write(f"/etc/systemd/system/{unit}.service.d/50-test.conf", text)
        self.systemctl("daemon-reload")

    def entries(self, unit: str) -> list[dict[str, str]]:
        """Return the daemon's own journal entries of a unit, oldest first."""
        command = ["journalctl", "-o", "json", "--all", "--no-pager"]
        text = self.run(*command, f"_SYSTEMD_UNIT={unit}.service")
        return [json.loads(line) for line in text.splitlines()]

    def events(self, unit: str, name: str) -> list[dict[str, object]]:
        """Return the log lines of one event."""
        read = [json.loads(entry["MESSAGE"]) for entry in self.entries(unit)]
        return [line for line in read if line["event"] == name]

    # Orders

    def sql(self, statement: str, database: str = "shop") -> str:
        psql = ["psql", "-qtAX", "-v", "ON_ERROR_STOP=1", "-d", database]
        return self.run("runuser", "-u", "postgres", "--", *psql, stdin=statement)

    def confirm(self, count: int, database: str = "shop") -> list[str]:
        """Confirm new orders now; return their public numbers."""
        numbers = self.sql(
            "INSERT INTO orders (confirmed_at) SELECT clock_timestamp() "
            f"FROM generate_series(1, {count}) RETURNING 'W-' || id",
            database,
        )
        return numbers.split()

    def posts(self) -> dict[str, int]:
        """Return how often each order has arrived."""
        found = json.loads(self.run("curl", "-s", f"{API}/sandbox/purchases?limit=500"))
        return {row["orderid"]: row["posts"] for row in found["purchases"]}

    def totals(self) -> dict[str, int]:
        """Return the API's counts."""
        found = json.loads(self.run("curl", "-s", f"{API}/sandbox/totals"))
        return {name: found[name] for name in ("orderids", "repeats")}

    def arrived(self, orders: Sequence[str]) -> Callable[[], bool]:
        return lambda: set(orders) <= self.posts().keys()

    def fail(self, fault: str, **options: object) -> None:
        body = json.dumps({"fault": fault, **options})
        head = "Content-Type: application/json"
        self.run("curl", "-sf", "-H", head, "-d", body, f"{API}/sandbox/faults")

    # Setting up

    def apt(self, *arguments: str) -> str:
        return self.run("apt-get", "-q", "-y", *arguments)

    def install(self, package: Path) -> None:
        """Install a Debian package as an operator does."""
        with package.open("rb") as file:
            save: list[str | Path] = [BOX, "exec", self.folder]
            save += ["tee", f"/root/{package.name}"]
            subprocess.run(save, stdin=file, stdout=subprocess.DEVNULL, check=True)
        self.apt("install", f"/root/{package.name}")

    def serve(self) -> None:
        """Start PostgreSQL and the fake API."""
        version = max(Path("/usr/lib/postgresql").iterdir()).name
        self.run("pg_createcluster", version, "box", "--port", "5432")
        self.postgresql = f"postgresql@{version}-box"
        self.systemctl("start", self.postgresql)
        sandbox = ["/usr/bin/syncd", "sandbox"]
        self.run("systemd-run", "-q", "--unit=sandbox", *sandbox)

    def make_shop(self, name: str, first: int) -> None:
        """Create a shop database with the two views; orders count from `first`."""
        self.sql(f'CREATE DATABASE "{name}"', "postgres")
        tables = TABLES.split("CREATE ROLE")[0]
        self.sql(f"{tables} CREATE SCHEMA syncd; {VIEWS}", name)
        self.sql(f"ALTER TABLE orders ALTER id RESTART {first}", name)

    def open_shop(self, name: str, first: int) -> None:
        """Create a shop, its configuration and its ledger, as an operator does."""
        self.make_shop(name, first)
        self.configure(name, f"dbname={name} user=syncd")
        self.write(f"/etc/syncd/{name}.api-key", "sandbox-key", "600")
        install = ["/usr/bin/syncd", "install", "--role", "syncd"]
        options = ["--as", f"dbname={name}", "--config", f"/etc/syncd/{name}.toml"]
        key = "SYNCD_SQUEEZELY_API_KEY=sandbox-key"
        self.run("runuser", "-u", "postgres", "--", "env", key, *install, *options)

    def configure(self, name: str, dsn: str, more: str = "") -> None:
        text = CONFIGURATION.format(feed=name, dsn=dsn, api=API, more=more)
        self.write(f"/etc/syncd/{name}.toml", text)


def package(folder: Path) -> Path:
    """Build the Debian package, unless SYNCD_TEST_DEB names a folder that has it."""
    if built := os.environ.get("SYNCD_TEST_DEB"):
        folder = Path(built)
    else:
        subprocess.run([BUILD, folder], check=True)
    (file,) = folder.glob("*.deb")
    return file


def renumbered(package: Path, version: str, folder: Path) -> Path:
    """Build the same package with another version."""
    subprocess.run(["dpkg-deb", "-R", package, folder / "tree"], check=True)
    control = folder / "tree" / "DEBIAN" / "control"
    text = re.sub(r"(?m)^Version: .*", f"Version: {version}", control.read_text())
    control.write_text(text)
    made = folder / f"syncd_{version}.deb"
    subprocess.run(["dpkg-deb", "-Zgzip", "-b", folder / "tree", made], check=True)
    return made


def machine(folder: Path, package: Path) -> Machine:
    """Boot a machine with everything installed."""
    made = Machine(folder)
    try:
        made.install(package)
        made.serve()
        made.sql("CREATE ROLE syncd LOGIN", "postgres")
        for unit in ("syncd", "syncd@"):
            made.drop_in(unit, QUICK)
        for number, name in enumerate(("shop", "second", "syncd")):
            made.open_shop(name, 1 + 100_000 * number)
        wait_until(lambda: made.run("curl", "-sf", API, check=False))
    except BaseException:
        sys.stderr.write(made.run("journalctl", "-n", "30", "--no-pager", check=False))
        made.shut_down()
        raise
    return made
