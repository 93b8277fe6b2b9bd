"""The glossary: its words exist in the code, and those that it refuses do not."""

import ast
import re
from collections.abc import Iterator

from pydantic import BaseModel
from support.sources import CODE, ROOT, nodes

from syncd.cli import cli
from syncd.config.settings import Settings
from syncd.diagnostics.check.finding import CODES
from syncd.log.events import EVENTS, FIELDS

GLOSSARY = (ROOT / "docs" / "glossary.md").read_text()
ALERTS = re.findall(
    r"alert: (\w+)", (ROOT / "systemd" / "monitoring" / "alerts.yml").read_text()
)
USED, REFUSED = GLOSSARY.split("## Words that we do not use")


def classes() -> set[str]:
    """List the classes of the package."""
    found = (node for file in CODE for node in nodes(file))
    return {node.name for node in found if isinstance(node, ast.ClassDef)}


def settings(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """List the settings and their sections, dotted."""
    for name, field in model.model_fields.items():
        yield prefix + name
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from settings(kind, f"{prefix}{name}.")


def tables() -> Iterator[tuple[str, str]]:
    """List the tables and columns of the migrations, by their kind."""
    folder = ROOT / "sql" / "migrations"
    sql = "".join(file.read_text() for file in folder.glob("*.sql"))
    for table, body in re.findall(
        r"CREATE TABLE syncd\.(\w+) \((.*?)\n\)", sql, re.DOTALL
    ):
        yield "table", table
        for column in re.findall(r"^    ([a-z]\w*) ", body, re.MULTILINE):
            yield "column", f"{table}.{column}"


WORKING = ("backfill", "capture", "daemon", "delivery", "ledger")
"""The packages whose functions, attributes and variables are read as well."""


def identifiers(node: ast.AST) -> Iterator[str]:
    """List the names that a node of the syntax tree defines."""
    if isinstance(node, ast.FunctionDef):
        yield node.name
    elif isinstance(node, ast.arg):
        yield node.arg
    elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
        yield node.id if isinstance(node, ast.Name) else node.attr


def names() -> set[tuple[str, str]]:
    """List every name that others read: (kind, name)."""
    modules = [str(file.relative_to(ROOT).with_suffix("")) for file in CODE]
    fields = {field for event in EVENTS.values() for field in event.fields}
    return {
        *(("module", name) for name in modules),
        *(("class", name) for name in classes()),
        *(
            ("identifier", name)
            for file in CODE
            if file.relative_to(ROOT).parts[1] in WORKING
            for node in nodes(file)
            for name in identifiers(node)
        ),
        *(("event", name) for name in EVENTS),
        *(("field", name) for name in fields | set(FIELDS)),
        *(("setting", name) for name in settings(Settings)),
        *(("finding", name) for name in CODES),
        *(("alert", name) for name in ALERTS),
        *tables(),
    }


def words(kind: str, name: str) -> set[str]:
    """Split a name into its words; the package or table before it is another name."""
    name = name.removesuffix("/__init__")
    own = re.split(r"[/.]", name)[-1] if kind in {"module", "column"} else name
    return {w.lower() for w in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", own)}


def refused() -> dict[str, str]:
    """Read the refused words, with the kinds of names that they are refused in."""
    rows = [r.split("|")[1] for r in REFUSED.splitlines() if r.startswith("| `")]
    found = re.findall(r"`(\w+)`(?: \((\w+)\))?", "\n".join(rows))
    return {str(word): str(kind) for word, kind in found}


def test_no_name_has_a_word_that_the_glossary_refuses() -> None:
    """Public names are read, and all identifiers in packages that process orders."""
    kinds = refused()
    found = {
        (kind, name)
        for kind, name in names()
        for word in words(kind, name) & set(kinds)
        if kinds[word] in {"", kind}
    }
    assert found == set(), "see docs/glossary.md for other words"


def test_names_of_every_kind_are_found() -> None:
    """A list that is empty by mistake would refuse nothing."""
    assert {kind for kind, _ in names()} == {
        "module", "class", "identifier", "event", "field", "setting", "finding",
        "alert", "table", "column",
    }  # fmt: skip
    assert len(refused()) > 30
    assert words("class", "LCDPulse") == {"lcd", "pulse"}
    assert words("column", "pulse.lag_seconds") == {"lag", "seconds"}


def test_the_code_that_the_glossary_names_exists() -> None:
    """Classes, modules, tables, columns, settings, events, commands."""
    known = {name for _, name in names()} | classes()
    known |= {f"syncd.{name}" for kind, name in names() if kind == "table"}
    known |= {f"syncd {verb}" for verb in cli.commands}
    rows = [row.split("|")[4] for row in USED.splitlines() if row.count("|") == 5]
    cited = {name for row in rows for name in re.findall(r"`([^`]+)`", row)}
    missing = {
        name
        for name in cited
        if name not in known
        and " ".join(name.split()[:2]) not in known
        and not (ROOT / "syncd" / name).is_file()
    }
    assert len(cited) > 40
    assert missing == {"syncd.outbox", "classify"}  # a script's table, a function
