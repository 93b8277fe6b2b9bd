"""SQL names as an operator writes them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.core.sql_text import SqlName, quoted, unquoted


@pytest.mark.parametrize(
    ("written", "schema", "name"),
    [
        ("orders", None, "orders"),
        ("Orders", None, "orders"),
        ("Shop.Orders", "shop", "orders"),
        ('"Shop"."My Orders"', "Shop", "My Orders"),
        ('shop."He said ""no"""', "shop", 'He said "no"'),
        ("bestellingen_é", None, "bestellingen_é"),
        ("x" * 63, None, "x" * 63),
        ("É", None, "É"),  # PostgreSQL folds ASCII alone
    ],
)
def test_a_name_is_read_as_postgresql_reads_it(
    written: str, schema: str | None, name: str
) -> None:
    """It becomes lower case without double quotes, and is unchanged within them."""
    assert SqlName.parse(written) == SqlName(schema, name)


@pytest.mark.parametrize(
    "written",
    ["", ".", "a.", "a.b.c", "1a", "a b", '"', '""', '"a', "a;b", "a-b", "x" * 64,
     '"a\0"', "é" * 32],
)  # fmt: skip
def test_an_invalid_name_is_refused(written: str) -> None:
    """A name that PostgreSQL would truncate is invalid."""
    assert SqlName.parse(written) is None


LETTERS = st.characters(exclude_characters="\0", codec="ascii")


@given(st.text(LETTERS, min_size=1, max_size=63))
def test_a_quoted_name_is_read_as_itself(name: str) -> None:
    """This holds for any characters."""
    assert unquoted(quoted(name)) == name
    assert SqlName.parse(str(SqlName("s", name))) == SqlName("s", name)


def test_a_reserved_word_is_quoted() -> None:
    """Otherwise its statement would be invalid."""
    assert str(SqlName("public", "order")) == 'public."order"'


def test_a_name_without_a_schema_is_in_public() -> None:
    """PostgreSQL's default, unless another schema is given."""
    assert SqlName(None, "a").qualified() == SqlName("public", "a")
    assert SqlName("b", "a").qualified() == SqlName("b", "a")


def test_names_are_quoted_where_sql_needs_it() -> None:
    """Capitals, spaces, reserved words, quotes."""
    assert [quoted(n) for n in ("a_b", "Order", "order", 'a"b', "1a")] == [
        "a_b",
        '"Order"',
        '"order"',
        '"a""b"',
        '"1a"',
    ]
