"""Names as SQL writes them, wherever an operator gives one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.core.sql_name import SqlName, quoted, unquoted


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
def test_a_name_means_what_it_means_to_postgresql(
    written: str, schema: str | None, name: str
) -> None:
    """Folded without double quotes, as it is within them."""
    assert SqlName.parse(written) == SqlName(schema, name)


@pytest.mark.parametrize(
    "written",
    ["", ".", "a.", "a.b.c", "1a", "a b", '"', '""', '"a', "a;b", "a-b", "x" * 64,
     '"a\0"', "é" * 32],
)  # fmt: skip
def test_what_is_no_name_is_refused(written: str) -> None:
    """Also one that PostgreSQL would cut off."""
    assert SqlName.parse(written) is None


LETTERS = st.characters(exclude_characters="\0", codec="ascii")


@given(st.text(LETTERS, min_size=1, max_size=63))
def test_a_written_name_is_read_as_itself(name: str) -> None:
    """Whatever is in it."""
    assert unquoted(quoted(name)) == name
    assert SqlName.parse(str(SqlName("s", name))) == SqlName("s", name)


def test_a_reserved_word_is_quoted() -> None:
    """Else the statement that it stands in is none."""
    assert str(SqlName("public", "order")) == 'public."order"'


def test_a_name_without_a_schema_is_in_public() -> None:
    """Where PostgreSQL puts it, unless told otherwise."""
    assert SqlName(None, "a").qualified() == SqlName("public", "a")
    assert SqlName("b", "a").qualified() == SqlName("b", "a")
