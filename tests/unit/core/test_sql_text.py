"""A file of SQL split into statements, as PostgreSQL would."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.core.sql_text import SqlTextError, statements

ENDLESS = "begins a text or a comment that does not end"


def texts(script: str) -> list[str]:
    return [statement.text for statement in statements(script)]


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT ';'",
        "SELECT 'it''s; so'",
        r"SELECT E'it\'s; so'",
        r"SELECT e'\\'",
        r"SELECT 'a\'",
        'SELECT "a;b"',
        'SELECT "a"";b"',
        "SELECT $$;$$",
        "SELECT $a$ $$;$b$ $a$",
        "SELECT a$b$c",
        "SELECT 1 /* ; /* ; */ ; */ + 1",
        "SELECT '/*' /* ; */ + 1",
        "SELECT 1 -- ;\n + 1",
        "SELECT 1.5e3",
        "SELECT $1",
    ],
)
def test_a_semicolon_in_a_literal_ends_no_statement(statement: str) -> None:
    """Nor does one in a quoted name or a comment."""
    assert texts(f"{statement};SELECT 2") == [statement, "SELECT 2"]


def test_a_dollar_quoted_text_ends_with_its_own_tag() -> None:
    """A later text's tag does not end it."""
    assert texts("SELECT $$a$$;SELECT $$b$$") == ["SELECT $$a$$", "SELECT $$b$$"]


@pytest.mark.parametrize("nothing", ["", " \n", ";;", "-- x", "/* x */ ; -- y\n;"])
def test_comments_alone_are_no_statement(nothing: str) -> None:
    """There is nothing to run."""
    assert texts(nothing) == []


@pytest.mark.parametrize(
    ("script", "line", "words"),
    [("SELECT 1;\n'\n", 2, ENDLESS), ('\n\n"a\n', 3, ENDLESS),
     ("/* /* */\n", 1, ENDLESS), ("\n$a$ $b$\n", 2, ENDLESS), (r"E'\'", 1, ENDLESS),
     ("SELECT 1;\n\\set x 1\n", 2, "is a command of psql's, no SQL")],
)  # fmt: skip
def test_an_unterminated_text_is_refused_where_it_begins(
    script: str, line: int, words: str
) -> None:
    """Commands of psql are refused as well."""
    with pytest.raises(SqlTextError) as refused:
        texts(script)
    assert (refused.value.line, str(refused.value)) == (line, words)


def test_each_token_has_its_kind() -> None:
    """Only words are words; quoted names and texts are not."""
    script = """a "b" 'c' e'd' E'e' $$f$$ $g$h$g$ 1.5 Xe'f' X'0' ="""
    (statement,) = statements(script)
    assert [(token.kind, token.text) for token in statement.tokens] == [
        ("word", "a"),
        ("quoted", '"b"'),
        ("text", "'c'"),
        ("text", "e'd'"),
        ("text", "E'e'"),
        ("text", "$$f$$"),
        ("text", "$g$h$g$"),
        ("sign", "1.5"),
        ("word", "Xe"),
        ("text", "'f'"),
        ("word", "X"),
        ("text", "'0'"),
        ("sign", "="),
    ]
    assert [token.keyword for token in statement.tokens[:3]] == ["A", "", ""]


def test_a_statement_has_its_line_and_first_keywords() -> None:
    """Error messages use them; a comment in between is no word."""
    first, second = statements("-- head\nBEGIN;\n\nCreate /* or */ view\n x AS 1")
    assert (first.line, first.keywords) == (2, ["BEGIN"])
    assert (second.line, second.keywords[:2]) == (4, ["CREATE", "VIEW"])
    view = second.tokens[1]
    assert second.text[view.start : view.end] == "view"
    places = (-1, 0, 1, second.text.index("x"))
    assert [second.line_of(place) for place in places] == [4, 4, 4, 5]


@given(st.text())
def test_any_text_is_split_or_refused(script: str) -> None:
    """Every token is at its stated position."""
    try:
        found = list(statements(script))
    except SqlTextError:
        return
    for statement in found:
        for token in statement.tokens:
            assert statement.text[token.start : token.end] == token.text
