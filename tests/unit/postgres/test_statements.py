from psycopg.sql import SQL

from syncd.postgres.statements import Statement


def test_placeholders_are_numbered_in_the_order_of_their_names() -> None:
    """One number for each name, however often it occurs; `%%` is a percent sign."""
    text = "SELECT %(b)s, %(a)s, %(b)s FROM t WHERE c LIKE '50%%'"
    statement = Statement.of(SQL(text))
    assert statement.numbered == (
        b"SELECT $1, $2, $1 FROM t WHERE c LIKE '50%'",
        ("b", "a"),
    )
