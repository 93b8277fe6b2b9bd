"""The views that ship with syncd, as the command line shows them."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from syncd.cli import cli
from syncd.core.command_errors import ViewsUnknownError
from syncd.setup.views.shop import TEMPLATE, shops, sql_of

FILES = Path(__file__).parents[3] / "sql" / "shops"


def run(*arguments: str) -> str:
    done = CliRunner().invoke(
        cli, list(arguments), env={"COLUMNS": "80"}, catch_exceptions=False
    )
    assert done.exit_code == 0, done.output
    return done.output


def test_every_file_of_views_is_listed() -> None:
    """Each has its facts; the template has none, and is listed too."""
    names = {file.stem for file in FILES.glob("*.sql")}
    assert names == {*shops(), TEMPLATE}
    listed = run("views", "list")
    assert {line.split()[0] for line in listed.splitlines()[1:]} >= names


def test_a_list_of_views_fits_a_terminal() -> None:
    """80 columns; the versions are those that were tested."""
    listed = run("views", "list")
    assert max(map(len, listed.splitlines())) <= 80
    assert "Medusa 2.21.2" in listed


@pytest.mark.parametrize("name", [*shops(), TEMPLATE])
def test_shown_views_equal_the_file(name: str) -> None:
    """Byte for byte, so that the output can be saved and changed."""
    assert run("views", "show", name) == (FILES / f"{name}.sql").read_text("utf-8")


@pytest.mark.parametrize("name", ["shopify", "../../etc/passwd", "README", ""])
def test_unknown_views_are_refused(name: str) -> None:
    """A name is not a path."""
    with pytest.raises(ViewsUnknownError):
        sql_of(name)
