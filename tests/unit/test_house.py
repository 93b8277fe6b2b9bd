"""The project's own rules: one place for SQL, one list of events, correct documents."""

import ast
import os
import re
from collections import Counter
from pathlib import Path

import click
import pytest
from hypothesis import settings
from pydantic import BaseModel
from support.sources import CODE, ROOT, nodes

from syncd.cli import cli
from syncd.config import settings as config
from syncd.postgres.statements import statements

PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "sql").rglob("*.md")),
]


def strings(file: Path) -> list[str]:
    """List the string literals of a file, without docstrings."""
    docs = {
        id(node.body[0].value)
        for node in nodes(file)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    return [
        node.value
        for node in nodes(file)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and id(node) not in docs
    ]


def test_every_statement_is_used_and_every_used_one_exists() -> None:
    """`postgres/queries/` has the statements that the code names, nothing else."""
    used = {
        call.args[0].value
        for file in CODE
        for call in nodes(file)
        if isinstance(call, ast.Call)
        and getattr(call.func, "id", getattr(call.func, "attr", ""))
        in {"query", "compose", "composed", "part", "statement", "plan"}
        and call.args
        and isinstance(call.args[0], ast.Constant)
    }
    assert used == set(statements())


def test_sql_is_in_files_only() -> None:
    """Except one statement, and the demo's own shop."""
    sql = re.compile(r"\b(SELECT|INSERT|UPDATE|DELETE|CREATE|DROP|GRANT)\b .*[a-z]")
    found = [
        (file.name, text)
        for file in CODE
        if "demo" not in file.parts
        for text in strings(file)
        if sql.search(text)
    ]
    assert [name for name, _ in found] == ["scripts.py"], found


def test_docstrings_name_what_a_function_does_for_its_caller() -> None:
    """Return, claim, wait; no docstring begins with Tell, Say or Look."""
    spoken = re.compile(r'^\s*"""(Tell|Say|Give|Look|Let) (?!up )\b', re.MULTILINE)
    files = [*CODE, *(ROOT / "tests").rglob("*.py")]
    found = [f.name for f in files for _ in spoken.finditer(f.read_text())]
    assert found == []


@pytest.mark.parametrize("driver", ["psycopg", "requests", "urllib3"])
def test_drivers_are_imported_by_their_adapters_only(driver: str) -> None:
    """psycopg: connections and SQL composition; requests: API and transport."""
    doors = {
        "psycopg": {
            "postgres/connection.py",
            "postgres/database.py",
            "postgres/session.py",
            "postgres/statements.py",
            "config/dsn.py",
            "postgres/errors.py",
            "source/views.py",
            "capture/wal/stream.py",
            "setup/install/install.py",
            "setup/install/keys.py",
            "setup/install/removal.py",
            "setup/install/scripts.py",
            "setup/install/triggers.py",
            "setup/install/wal.py",
            "setup/install/wal_tables.py",
        },
        "requests": {"delivery/squeezely.py", "delivery/transport.py"},
        "urllib3": {"delivery/squeezely.py", "delivery/transport.py"},
    }[driver]
    pattern = re.compile(rf"^\s*(import|from) {driver}\b", re.MULTILINE)
    named = {
        str(file.relative_to(ROOT / "syncd"))
        for file in CODE
        if pattern.search(file.read_text()) and "demo" not in file.parts
    }
    assert named <= doors


def settings_of(model: type[BaseModel], prefix: str = "") -> set[str]:
    """List the settings of the configuration by their dotted names."""
    names = set()
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            names |= settings_of(kind, f"{prefix}{name}.")
        elif not prefix and name in {
            "source_dsn",
            "primary_dsn",
            "ledger_dsn",
            "api_key",
        }:
            continue  # secrets, from any source
        else:
            names.add(prefix + name)
    return names


def test_the_page_of_settings_names_every_setting_and_no_other() -> None:
    """Its tables match the configuration."""
    page = (ROOT / "docs" / "settings.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    named = {n for row in rows for n in re.findall(r"`([a-z_.]+)`", row.split("|")[1])}
    assert named == settings_of(config.Settings)


def test_the_configuration_that_init_writes_names_every_setting() -> None:
    """Commented-out settings count as named."""
    text = (ROOT / "syncd" / "config" / "configuration.toml").read_text()
    names = {n.rpartition(".")[2] for n in settings_of(config.Settings)}
    assert {
        n for n in names if not re.search(rf"^(# )?{n} = ", text, re.MULTILINE)
    } == set()


def commands(group: click.Group, prefix: str = "syncd") -> set[str]:
    """List the commands with their groups."""
    names = set()
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            names |= commands(command, f"{prefix} {name}")
        else:
            names.add(f"{prefix} {name}")
    return names


def test_the_page_of_operations_names_every_command() -> None:
    """An undocumented command is not found."""
    page = (ROOT / "docs" / "operations.md").read_text()
    assert {verb for verb in commands(cli) if verb not in page} == set()


def test_the_readme_links_to_every_page() -> None:
    """A page without a link is not found."""
    readme = (ROOT / "README.md").read_text()
    pages = {f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")}
    assert {page for page in pages if f"({page})" not in readme} == set()


def headings(page: Path) -> set[str]:
    """List the anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", t.lower()).replace(" ", "-") for t in titles}


@pytest.mark.parametrize("page", PAGES, ids=[str(p.relative_to(ROOT)) for p in PAGES])
def test_every_link_between_pages_is_valid(page: Path) -> None:
    """Its file or folder exists, and so does its heading."""
    links = re.findall(r"\]\((?!https?://|mailto:)([^)\s]+)\)", page.read_text())
    broken = []
    for link in links:
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in headings(target)):
            broken.append(link)
    assert broken == []


def test_every_path_that_a_page_names_exists() -> None:
    """A module that was moved is named at its new place; NAME stands for any."""
    path = re.compile(r"(?<![\w/.-])(?:syncd|tests|sql|docs)/[\w./-]*\w")
    missing = {
        (page.name, named)
        for page in PAGES
        if page.parent.name != "adr"  # an ADR describes the decision of its time
        for named in path.findall(page.read_text())
        if "NAME" not in named and not (ROOT / named).exists()
    }
    assert missing == set()


def test_a_line_of_the_readme_fits_100_columns() -> None:
    """This holds for links and tables, too."""
    lines = (ROOT / "README.md").read_text().splitlines()
    assert [line for line in lines if len(line) > 100] == []


def test_the_first_screen_of_the_readme_has_the_essentials() -> None:
    """What, guarantee, path, demo, the two commands, state, health: in 40 lines."""
    lines = (ROOT / "README.md").read_text().splitlines()
    assert [line for line in lines if len(line) > 100] == []
    screen = "\n".join(lines[:40])
    for words in (
        "The guarantee",
        "capture → ledger → delivery",
        "pip install '.[demo]' && syncd demo",
        "pip install -e '.[test]' && pytest -n 4",
        "every confirmed order was received, and no other",
        "**State**",
        "**Healthy**",
    ):
        assert words in screen


def test_properties_use_the_same_examples_in_each_run() -> None:
    """No run fails by chance unless other examples are requested."""
    if "SYNCD_TEST_EXAMPLES" not in os.environ:
        assert settings.default is not None
        assert settings.default.derandomize
        assert settings.default.deadline is None
    chosen = [
        file.name
        for file in (ROOT / "tests").rglob("test_*.py")
        if file.name != Path(__file__).name and "derandomize" in file.read_text()
    ]
    assert chosen == []


def test_every_server_encoding_can_store_our_sql() -> None:
    """Some encodings have no ellipsis and no euro sign."""
    folders = ROOT / "sql", ROOT / "syncd" / "postgres" / "queries"
    files = [file for folder in folders for file in folder.rglob("*.sql")]
    assert {folder for folder in folders if not any(folder.rglob("*.sql"))} == set()
    assert not [file.name for file in files if not file.read_text().isascii()]


def test_an_uninstallation_drops_every_table_that_a_migration_creates() -> None:
    """Otherwise it would fail, or leave something behind."""
    migrations = "".join(
        file.read_text() for file in (ROOT / "sql" / "migrations").glob("*.sql")
    )
    made = set(re.findall(r"CREATE TABLE (syncd\.\w+)", migrations))
    dropped = re.findall(r"syncd\.\w+", (ROOT / "sql" / "uninstall.sql").read_text())
    assert made == set(dropped)


CASTS = 10
IGNORES = 8


def calls() -> list[ast.Call]:
    """List every call in the code."""
    return [n for file in CODE for n in nodes(file) if isinstance(n, ast.Call)]


def test_the_listing_shows_the_path_of_an_order() -> None:
    """It has at most 16 entries; no helper files lie beside the tests' folders."""
    entries = {path.name for path in (ROOT / "syncd").iterdir()} - {"__pycache__"}
    assert len(entries) <= 16
    assert {"capture", "ledger", "delivery"} <= entries
    assert [path.name for path in (ROOT / "tests").glob("*.py")] == ["conftest.py"]


def test_a_file_fits_300_lines() -> None:
    """No file of the package is longer."""
    assert [f.name for f in CODE if len(f.read_text().splitlines()) > 300] == []


def functions() -> list[tuple[str, int]]:
    """List every function of the code, with its length in lines."""
    return [
        (f"{file.name}: {node.name}", (node.end_lineno or 0) - node.lineno + 1)
        for file in CODE
        for node in nodes(file)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def test_a_function_fits_40_lines() -> None:
    """No function of the package is longer."""
    assert [name for name, lines in functions() if lines > 40] == []


def test_most_functions_are_short() -> None:
    """The median fits 8 lines, nine of ten fit 18."""
    lengths = sorted(lines for _, lines in functions())
    assert lengths[len(lengths) // 2] <= 8
    assert lengths[int(len(lengths) * 0.9)] <= 18


def attributes(function: ast.FunctionDef, kind: type[ast.expr_context]) -> set[str]:
    """List the attributes of `self` that a method assigns, or reads."""
    return {
        node.attr
        for node in ast.walk(function)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, kind)
        and getattr(node.value, "id", "") == "self"
    }


def uninitialised(cls: ast.ClassDef) -> set[str]:
    """List the attributes that no `__init__`, nor a method that it calls, assigns."""
    methods = {m.name: m for m in cls.body if isinstance(m, ast.FunctionDef)}
    init = methods.get("__init__")
    if cls.bases or init is None:
        return set()
    called = attributes(init, ast.Load) & methods.keys()
    initialised = set[str]().union(
        *(attributes(methods[name], ast.Store) for name in ["__init__", *called])
    )
    assigned = (attributes(method, ast.Store) for method in methods.values())
    return set[str]().union(*assigned) - initialised - methods.keys()


def test_attributes_are_initialised_in_init() -> None:
    """A method that `__init__` calls may initialise them, too."""
    classes = [n for f in CODE for n in nodes(f) if isinstance(n, ast.ClassDef)]
    assert {c.name: sorted(uninitialised(c)) for c in classes if uninitialised(c)} == {}


def test_casts_and_ignored_findings_do_not_increase() -> None:
    """Types are inferred or declared instead."""
    casts = [c for c in calls() if getattr(c.func, "id", "") == "cast"]
    ignored = re.compile(r"#.*(type|pyright): ignore")
    ignores = [line for f in CODE for line in ignored.findall(f.read_text())]
    assert (len(casts) <= CASTS, len(ignores) <= IGNORES) == (True, True)


def test_rows_are_read_by_column_names() -> None:
    """No row is unpacked into a class."""
    starred = [
        call
        for call in calls()
        for each in call.args
        if isinstance(each, ast.Starred) and "row" in getattr(each.value, "id", "")
    ]
    assert starred == []


@pytest.mark.parametrize(
    ("found", "most"),
    [
        (r"^(?!\s*(from|import) ).*\bsyncd\.(TABLES)\b(?!\.\w|\()", 40),
        (r"\bsetattr\(\s*[\w.]+,\s*\"[A-Z_]+\"", 0),
        (r"\bsetattr\(\s*\"[\w.]+\.[A-Z_]+\"", 0),
        (r"\bvars\(\w[\w.()\[\]\"]*\)\[\"", 0),
        (r"noqa: SLF001", 0),
    ],
    ids=[
        "SQL of the ledger",
        "constants",
        "constants by path",
        "attributes",
        "private",
    ],
)
def test_the_tests_use_of_internals_does_not_increase(found: str, most: int) -> None:
    """Tables are used through tests/support; the numbers may only decrease."""
    migrations = "".join(
        file.read_text() for file in (ROOT / "sql" / "migrations").glob("*.sql")
    )
    tables = "|".join(re.findall(r"CREATE TABLE syncd\.(\w+)", migrations))
    pattern = re.compile(found.replace("TABLES", tables), re.MULTILINE)
    outside = [
        file
        for file in (ROOT / "tests").rglob("*.py")
        if file.parent.name != "support" and file != Path(__file__)
    ]
    assert sum(len(pattern.findall(file.read_text())) for file in outside) <= most


def fixtures(file: Path) -> list[str]:
    """List the fixtures that a file defines."""
    return [
        node.name
        for node in nodes(file)
        if isinstance(node, ast.FunctionDef)
        and any("pytest.fixture" in ast.unparse(d) for d in node.decorator_list)
    ]


def test_a_name_of_a_fixture_has_one_meaning() -> None:
    """A fixture shared by three files is in a conftest.py; others have other names."""
    files = (ROOT / "tests").rglob("*.py")
    counted = Counter(name for file in files for name in fixtures(file))
    assert {name for name, times in counted.items() if times > 2} == set()
