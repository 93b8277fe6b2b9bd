"""Each row class has its statement's columns, checked by the server without a run."""

import ast
import dataclasses
import importlib
import re
from collections.abc import Iterator, Mapping

import psycopg
import pytest
from psycopg import sql
from support.shop import Shop
from support.sources import CODE, ROOT, nodes

from syncd.postgres.statements import compose, statements, trusted_sql

pytestmark = pytest.mark.db

SPANS = {b"lag", b"lease", b"period", b"wait", b"keep", b"patience", b"within"}
VIEWS = {
    "confirmed": sql.Identifier("syncd", "confirmed_orders"),
    "purchases": sql.Identifier("syncd", "purchases"),
    "key_type": sql.Identifier("pg_catalog", "int8"),
    "found": trusted_sql(statements()["given"]),
    "seal": trusted_sql(statements()["given_seal"]),
    "sealed": trusted_sql(statements()["is_unsealed"]),
}


def named(call: ast.AST, names: Mapping[str, ast.AST]) -> str | None:
    """Return the statement that an argument denotes, also by a local name."""
    if isinstance(call, ast.Name):
        return named(names[call.id], names) if call.id in names else None
    if not isinstance(call, ast.Call) or not call.args:
        return None
    function, first = call.func, call.args[0]
    name = getattr(function, "id", getattr(function, "attr", ""))
    if name in {"query", "compose", "composed", "statement"} and isinstance(
        first, ast.Constant
    ):
        return str(first.value)
    return None


def uses() -> Iterator[tuple[str, str, str]]:
    """Yield module, row class and statement of each place that reads rows."""
    for file in CODE:
        module = ".".join(file.relative_to(ROOT).with_suffix("").parts)
        for function in nodes(file):
            if not isinstance(function, ast.FunctionDef):
                continue
            names = {
                node.targets[0].id: node.value
                for node in ast.walk(function)
                if isinstance(node, ast.Assign)
                and isinstance(node.targets[0], ast.Name)
            }
            for call in ast.walk(function):
                if (
                    isinstance(call, ast.Call)
                    and getattr(call.func, "attr", "")
                    in {"row", "rows", "find", "_rows", "locked", "row_and_pairs"}
                    and len(call.args) > 1
                    and isinstance(call.args[0], ast.Name)
                    and (statement := named(call.args[1], names))
                ):
                    yield module, call.args[0].id, statement


def columns(connection: psycopg.Connection, name: str) -> list[str]:
    """Return the columns of a statement, as the server describes them."""
    text = statements()[name]
    braces = {
        brace: VIEWS[brace]
        for brace in re.findall(r"(?<!\{)\{(\w+)\}(?!\})", text)
        if brace in VIEWS
    }
    if braces:
        spare = {"listings": "no_listings", "initial": "was_listed_initially",
                 "taken": "nothing_taken", "rows": "nothing_read"}  # fmt: skip
        braces |= {
            brace: trusted_sql(statements()[other])
            for brace, other in spare.items()
            if f"{{{brace}}}" in text
        }
        made = trusted_sql(text).format(**braces).as_bytes()
    else:
        made = compose(name).text
    plain = re.sub(
        rb"%\((\w+)\)s",
        lambda m: b"NULL::interval" if m[1] in SPANS else b"NULL",
        made,
    ).replace(b"%%", b"%")
    prepared = connection.pgconn.prepare(b"", plain)
    assert prepared.status == psycopg.pq.ExecStatus.COMMAND_OK, prepared.error_message
    described = connection.pgconn.describe_prepared(b"")
    names = [described.fname(i) or b"" for i in range(described.nfields)]
    return [name.decode() for name in names]


def fields(module: str, name: str) -> dict[str, bool]:
    """Return the fields of a row class, and whether each is required."""
    kind = getattr(importlib.import_module(module), name)
    if hasattr(kind, "_fields"):
        return {field: field not in kind._field_defaults for field in kind._fields}
    return {
        field.name: field.default is field.default_factory
        for field in dataclasses.fields(kind)
    }


def test_every_statement_returns_the_fields_of_its_row_class(shop: Shop) -> None:
    """A missing or extra column would otherwise fail only at run time."""
    wrong = []
    used = sorted(set(uses()))
    with psycopg.connect(shop.owner, autocommit=True) as connection:
        connection.execute((ROOT / "sql/capture/outbox.sql").read_bytes())
        kept = statements()["create_relisted"].replace("ON COMMIT DROP", "")
        connection.execute(trusted_sql(kept))
        for module, kind, name in used:
            given = columns(connection, name)
            given = given[:-2] if name == "claim" else given
            known = fields(module, kind)
            needed = {field for field, is_needed in known.items() if is_needed}
            if not needed <= set(given) <= known.keys() or len(set(given)) < len(given):
                wrong.append((module, kind, name, given))
    assert len(used) > 60
    assert wrong == []
