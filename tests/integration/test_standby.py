import psycopg
import pytest
from postgres import cluster, standby

pytestmark = pytest.mark.db


def test_a_promoted_standby_has_all_that_was_acknowledged() -> None:
    """The tests' own standby: replayed at each commit, and a primary when asked."""
    with cluster() as primary, standby(primary) as second:
        primary.sql("CREATE TABLE kept AS SELECT 1")
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            second.sql("INSERT INTO kept VALUES (2)")
        assert second.holds("SELECT count(*) = 1 FROM kept")
        primary.stop("immediate")
        second.promote()
        second.sql("INSERT INTO kept VALUES (3)")
        assert second.holds("SELECT count(*) = 2 FROM kept")
