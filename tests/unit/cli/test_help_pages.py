"""The command line's pages: help, manual, and what they list beside the commands."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from typing_extensions import override

from syncd.cli import cli
from syncd.cli.manual import SHELLS, manual, reference
from syncd.cli.pages import NARROWEST, continued, split_examples, summary
from syncd.config.configuration import load
from syncd.core.errors import ConfigError, ExitCode

ROOT = Path(__file__).parents[3]
OURS = re.compile(r'"(SYNCD_[A-Z_]+|[A-Z]+_DIRECTORY)"')


def commands(
    command: click.Command = cli, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name, each in command.commands.items():
            yield from commands(each, (*path, name))


PAGES = dict(commands())
VERBS = {path: c for path, c in PAGES.items() if not isinstance(c, click.Group)}


def named(path: tuple[str, ...]) -> str:
    return " ".join(path) or "syncd"


def page(path: tuple[str, ...], columns: int, **environment: str) -> str:
    given = {"COLUMNS": str(columns), **environment}
    done = CliRunner().invoke(cli, [*path, "--help"], prog_name="syncd", env=given)
    assert done.exit_code == 0, done.output
    return done.output


def test_every_page_begins_with_a_summary() -> None:
    """One sentence, short enough for the list of commands."""
    summaries = {named(path): summary(command) for path, command in PAGES.items()}
    assert {n for n, text in summaries.items() if not 10 < len(text) <= 90} == set()
    assert {n for n, text in summaries.items() if not text[0].isupper()} == set()


@pytest.mark.parametrize("path", PAGES, ids=named)
def test_no_example_contains_the_exit_codes(path: tuple[str, ...]) -> None:
    """A command can be copied: exit codes below it are no part of it."""
    text, examples = split_examples(PAGES[path].help or "")
    assert not [example for example in examples if "Exit codes" in example]
    assert ("Exit codes" in (PAGES[path].help or "")) == ("Exit codes" in text)


@pytest.mark.parametrize("path", VERBS, ids=named)
def test_every_command_has_a_valid_example(path: tuple[str, ...]) -> None:
    """It names this command, and options that exist."""
    _, examples = split_examples(VERBS[path].help or "")
    assert examples, f"syncd {named(path)}: end its docstring with Example: syncd …"
    for example in examples:
        words = re.split(r" [|>] |<\(|\)", example)
        ours = next(part for part in words if part.startswith("syncd"))
        _, *rest = shlex.split(ours)
        assert tuple(rest[: len(path)]) == path, example
        options = {flag for param in VERBS[path].params for flag in param.opts}
        assert {word for word in rest if word.startswith("--")} <= options, example


def test_every_option_has_a_help_text() -> None:
    """Options whose name seems to explain them have one, too."""
    silent = [
        f"{named(path)} {param.opts[0]}"
        for path, command in PAGES.items()
        for param in command.params
        if isinstance(param, click.Option) and not param.help
    ]
    assert silent == []


@pytest.mark.parametrize("columns", [NARROWEST, 80, 200])
def test_no_line_of_a_page_is_too_long(columns: int) -> None:
    """From 40 columns; wide terminals get 80, which is easiest to read."""
    lines = [line for path in PAGES for line in page(path, columns).splitlines()]
    assert [line for line in lines if len(line) > min(columns, 80)] == []


def test_a_group_lists_the_whole_summary_of_each_command() -> None:
    """The summary is not truncated at 40 columns."""
    groups = [p for p, c in PAGES.items() if p and isinstance(c, click.Group)]
    assert groups
    for path in groups:
        text = " ".join(page(path, 40).split())
        for verb, command in PAGES.items():
            if verb[:-1] == path:
                assert summary(command) in text, verb


def test_every_command_is_in_one_section_of_the_overview() -> None:
    """A new command without a section would not be found."""
    shelved = [command for section in cli.sections.values() for command in section]
    assert sorted(str(c.name) for c in shelved) == sorted(cli.commands)
    text = page((), 80)
    assert all(f"\n  {name} " in text for name in cli.commands)
    assert [f"\n{section}:\n" in text for section in cli.sections] == [True] * 8


def test_the_overview_and_the_page_of_operations_list_the_exit_codes() -> None:
    """Both match the exit codes of the code."""
    text = " ".join(page((), 80).split())
    operations = " ".join((ROOT / "docs" / "operations.md").read_text().split())
    for code in ExitCode:
        assert f"{int(code)} {code.meaning}" in text
        assert f"{int(code)} {code.meaning}" in operations


def test_a_long_example_is_continued_with_a_backslash() -> None:
    """Never within quotes; the joined lines are the original command."""
    example = 'syncd rejected discard --reason "email is missing" --yes --config a.toml'
    lines = continued(example, 36)
    assert all(len(line) <= 36 for line in lines)
    assert all(line.endswith(" \\") for line in lines[:-1])
    joined = "\n".join(lines).replace("\\\n", "")
    assert shlex.split(joined) == shlex.split(example)


@pytest.mark.parametrize(
    ("environment", "coloured"),
    [
        ({}, False),
        ({"FORCE_COLOR": "1"}, True),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
    ],
)
def test_colours_are_for_terminals_or_on_request(
    environment: dict[str, str], *, coloured: bool
) -> None:
    """NO_COLOR wins over FORCE_COLOR; a pipe gets none by default."""
    unset = {"NO_COLOR": None, "FORCE_COLOR": None}
    done = CliRunner().invoke(cli, ["--help"], env={**unset, **environment})
    assert ("\x1b[1m" in done.output) == coloured


class RecordingEnvironment(dict[str, str]):
    """An environment that records which variables are read."""

    def __init__(self) -> None:
        super().__init__()
        self.requested: set[str] = set()

    @override
    def get(self, key: str, default: object = None) -> Any:
        self.requested.add(key)
        return default


def test_every_variable_that_is_read_is_documented(tmp_path: Path) -> None:
    """Those of secrets, and those that the code names."""
    config = tmp_path / "syncd.toml"
    config.write_text('[source]\ndsn = "dbname=a"\n[squeezely]\naccount = "A"')
    environment = RecordingEnvironment()
    with pytest.raises(ConfigError):
        load(config, environment)
    named_in_code = {
        name
        for file in (ROOT / "syncd").rglob("*.py")
        if "demo" not in file.parts
        for name in OURS.findall(file.read_text())
    }
    assert len(environment.requested) == 6
    assert environment.requested | named_in_code <= {*reference()["environment"]}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("man") / "syncd.1"
    text = manual(cli.context_class(cli, info_name="syncd"))
    file.write_text(text, encoding="utf-8")
    return file


def test_the_manual_has_every_command_option_variable_and_exit_code(
    written: Path,
) -> None:
    """It is made from the same texts as the help."""
    text = written.read_text().replace(r"\-", "-")
    for path, command in VERBS.items():
        assert f"\n.B syncd {named(path)}" in text
        for option in command.params:
            if isinstance(option, click.Option):
                assert option.opts[0] in text
    assert all(name in text for name in reference()["environment"])
    assert all(f"\n.B {int(code)}\n" in text for code in ExitCode)


@pytest.mark.parametrize(
    "checker",
    [
        ["mandoc", "-T", "lint", "-W", "warning"],
        ["groff", "-man", "-ww", "-Tutf8", "-z"],
    ],
    ids=lambda command: command[0],
)
def test_the_manual_is_displayed_without_warnings(
    written: Path, checker: list[str]
) -> None:
    """Both programs that display manuals accept it."""
    if not shutil.which(checker[0]) and not os.environ.get("CI"):
        pytest.skip(f"{checker[0]} is not installed: the manual was not checked by it")
    done = subprocess.run(
        [*checker, str(written)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_manual_has_the_date_of_its_sources(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """If a build sets it, so that equal sources make an equal page."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1767225600")
    assert '.TH SYNCD 1 "2026-01-01"' in manual(
        cli.context_class(cli, info_name="syncd")
    )


@pytest.mark.parametrize("shell", SHELLS)
def test_a_completion_script_is_printed_for_each_shell(shell: str) -> None:
    """There is one for each shell that click can complete."""
    done = CliRunner().invoke(cli, ["completion", shell], prog_name="syncd")
    assert done.exit_code == 0
    assert f"_SYNCD_COMPLETE={shell}_complete" in done.output


def test_status_starts_without_the_modules_of_other_commands() -> None:
    """A monitor runs it each minute; it needs no HTTP client."""
    looked = (
        "import sys; from syncd.cli import cli; "
        "assert not {'psycopg', 'pydantic', 'rich'} & {*sys.modules}; "
        "cli.commands['status']; print(*{'requests', 'structlog', 'apscheduler', "
        "'syncd.cli.running'} & {*sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", looked], capture_output=True, text=True, check=True
    )
    assert done.stdout == "\n"
