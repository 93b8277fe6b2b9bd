"""The getting-started page, executed: each command and its documented output."""

import os
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest
from support.postgres import Cluster, wait_until
from support.shop_dumps import REPOSITORY, restore

PAGE = REPOSITORY / "docs" / "getting-started.md"
PORT = "8377"
WEBSHOP = REPOSITORY / "tests" / "shops" / "webshop.sql"

pytestmark = [pytest.mark.db, pytest.mark.timeout(300)]


@dataclass
class Step:
    """A command of the page, and the output shown below it."""

    command: str
    shown: list[str] = field(default_factory=list)

    def pattern(self) -> re.Pattern[str]:
        """Return a pattern of the output, with any figures, times and paths."""
        parts = []
        for line in self.shown:
            if line.strip() == "…":
                parts.append(r"(?:[^\n]*\n)*?")
                continue
            text = re.escape(line.rstrip()).replace("…", r"[^\n]*")
            parts.append(re.sub(r"\d+", r"\\d+", text) + r"[^\S\n]*\n")
        return re.compile("".join(parts) + "$")


def steps() -> list[Step]:
    found: list[Step] = []
    for block in re.findall(r"```console\n(.*?)```", PAGE.read_text(), re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append(Step(line[2:]))
            else:
                found[-1].shown.append(line)
    return found


class PageRunner:
    """Executes the page's steps in an empty folder."""

    def __init__(self, server: Cluster, folder: Path, port: str) -> None:
        self._server = server
        self._folder = folder
        self._port = port
        self._environment = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PGHOST": str(server.folder),
            "COLUMNS": "80",
            "LC_ALL": "C.UTF-8",
        }
        self.background: list[subprocess.Popen[bytes]] = []

    def run(self, step: Step) -> str:
        """Execute a step; return its output."""
        command = step.command.replace(PORT, self._port)
        if command.startswith("pip "):
            return "installed\n"
        if command.startswith("psql "):
            return self._sql(shlex.split(command))
        if command.startswith("export "):
            name, _, value = command.removeprefix("export ").partition("=")
            self._environment[name] = value.replace("$PWD", str(self._folder))
            return ""
        if command.endswith("&"):
            return self._start(shlex.split(command.removesuffix("&")))
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            check=False,
            cwd=self._folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
        )
        return done.stdout.replace(self._port, PORT)

    def _sql(self, words: Sequence[str]) -> str:
        _, database, _, statement = words
        with psycopg.connect(self._server.dsn(database), autocommit=True) as connection:
            done = connection.execute(statement.encode())
        return f"{done.statusmessage}\n"

    def _start(self, words: Sequence[str]) -> str:
        words = [*words, "--port", self._port]
        self.background.append(
            subprocess.Popen(
                words,
                cwd=self._folder,
                env=self._environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )
        wait_until(lambda: is_open(int(self._port)))
        return ""


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def runner(server: Cluster, tmp_path: Path) -> Iterator[PageRunner]:
    for database in ("shop", "webshop"):
        server.sql(f"CREATE DATABASE {database}")
    restore(server.dsn("shop"), "medusa")
    server.sql(WEBSHOP.read_text(), "webshop")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    found = PageRunner(server, tmp_path, port)
    yield found
    for process in found.background:
        process.terminate()
        process.wait(60)
    for database in ("shop", "webshop"):
        server.sql(f"DROP DATABASE {database} WITH (FORCE)")
    server.sql("DROP ROLE IF EXISTS syncd")


def test_every_command_prints_what_its_page_shows(runner: PageRunner) -> None:
    """They run in the page's order; figures and times may differ."""
    for step in steps():
        came = runner.run(step)
        assert step.pattern().match(came), f"$ {step.command}\n{came}"


def test_the_page_has_the_important_commands() -> None:
    """They range from detection to the delivered order, for both kinds of shop."""
    commands = [step.command for step in steps()]
    for words in ("views detect", "views draft", "views try", "views apply",
                  "init", "install", "check", "backfill", "run", "status"):  # fmt: skip
        assert [c for c in commands if c.startswith(f"syncd {words}")], words
    assert all(len(step.shown) for step in steps() if step.command == "syncd status")
