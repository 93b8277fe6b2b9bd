"""`syncd init`: a commented configuration, filled in from a database."""

import json
import re
from collections.abc import Mapping
from contextlib import closing
from importlib.resources import files
from pathlib import Path

import click

from syncd.cli.option import DEFAULT_PATH
from syncd.cli.output import print_lines
from syncd.config.dsn import dsn_fault, holds_password, without_password
from syncd.config.settings import Settings, SqueezelySettings
from syncd.core.errors import ConfigError
from syncd.postgres.database import Database
from syncd.setup.views.detection import Detection, Recognised


@click.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=DEFAULT_PATH,
    show_default=True,
    help="The file to write.",
)
@click.option(
    "--dsn", metavar="DSN", help="The shop's order database, to detect settings from."
)
@click.option(
    "--as",
    "owner",
    metavar="DSN",
    help="A role that may read the shop's tables [default: --dsn].",
)
def init(out: Path, dsn: str | None, owner: str | None) -> None:
    """Write a commented configuration (never over an existing one).

    With --dsn, which names the daemon's own role, it detects the shop system of the
    database, as `syncd views detect` does, and writes the settings that it needs. It
    never writes a password: use a passfile.

    \b
    Examples: syncd init --out ./syncd.toml
              syncd init --dsn "dbname=shop user=syncd"
                         --as "dbname=shop user=postgres"
    """  # noqa: D301  # click's mark for "do not rewrap"
    text = (files("syncd.config") / "configuration.toml").read_text(encoding="utf-8")
    found = None
    if owner is not None and dsn is None:
        raise click.UsageError("--as needs --dsn, which is written.")
    if dsn is not None:
        for option, given in (("--dsn", dsn), ("--as", owner)):
            if given and (fault := dsn_fault(given)):
                raise click.BadParameter(fault, param_hint=option)
        if out.exists():
            raise ConfigError(f"{out}: File exists", _ELSEWHERE)
        found = _detected(owner or dsn)
        text = filled(text, {"dsn": without_password(dsn)})
        text = filled(text, found.settings if found else {})
    _write(out, text)
    if dsn is None:
        next_step = "set source.dsn and squeezely.account, then syncd install"
        print_lines(f"wrote {out}: {next_step}")
    else:
        print_lines(*_result_lines(out, dsn, found))


_ELSEWHERE = "Name another place with --out."


def _write(out: Path, text: str) -> None:
    try:
        with out.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise ConfigError(f"{out}: {error.strerror}", _ELSEWHERE) from error


def filled(text: str, values: Mapping[str, object]) -> str:
    """Set settings of [source] in a commented configuration.

    Args:
        text: In which each setting has a line of its own, perhaps commented out.
        values: Texts and booleans, by the settings' names.
    """
    for name, value in values.items():
        line = f"{name} = {json.dumps(value, ensure_ascii=False)}"
        pattern = rf"^(?:# )?{re.escape(name)} = (?:\"[^\"]*\"|\S+)"
        found = re.search(pattern, text, re.MULTILINE)
        assert found is not None  # noqa: S101  # each setting has its line
        text = text[: found.start()] + line + text[found.end() :]
    return text


def _detected(dsn: str) -> Recognised | None:
    settings = Settings(squeezely=SqueezelySettings(account="-"))
    with closing(Database(dsn, application_name="syncd/init")) as database:
        found = Detection(database, settings).run()
    return found[0] if found and found[0].fits else None


def _result_lines(out: Path, dsn: str, found: Recognised | None) -> list[str]:
    lines = [f"wrote {out}"]
    if holds_password(dsn):
        lines.append("the password is not in it: use a passfile, or SYNCD_SOURCE_DSN")
    if found is None:
        lines.append("no shop system that syncd has views for: `syncd views detect`")
        views = "FILE"
    else:
        views = found.shop.name
        names = ", ".join(found.settings) or "nothing"
        lines.append(f"{found.shop.title}: {names} set")
    next_steps = f"then syncd install, syncd views apply {views}, syncd check"
    return [*lines, f"next: set squeezely.account, {next_steps}"]
