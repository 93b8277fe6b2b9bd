"""The table of causes: whose fault a database error is."""

import pytest

from syncd.core.cause import Cause, Fault, Place, Symptom, cause_of

VIEWS = (Place.CONFIRMED, Place.PURCHASES)


@pytest.mark.parametrize("place", VIEWS)
@pytest.mark.parametrize(
    "state", ["22P02", "22012", "23514", "2F002", "P0001", "21000", "38000"]
)
def test_a_data_error_is_the_rows_fault(place: Place, state: str) -> None:
    """A cast, a division, a check, a RAISE without a code of its own."""
    cause = cause_of(Symptom(state, place))
    assert cause is Cause.ROW_DATA
    assert cause.fault is Fault.ROW


@pytest.mark.parametrize("place", VIEWS)
@pytest.mark.parametrize(
    "state",
    ["HV00L", "HV000", "08001", "08006", "53100", "53200", "54001", "55000", "57P03",
     "58030", "XX000", "40001", "25006", "F0000", "0A000", "P0002", "P0004", "44000",
     "ZZ999", "42P17"],
)  # fmt: skip
def test_other_and_unknown_errors_are_never_a_rows_fault(
    place: Place, state: str
) -> None:
    """The cause is behind the view; an unknown code rejects no order."""
    cause = cause_of(Symptom(state, place))
    assert cause is Cause.VIEW_FAILS
    assert cause.fault is Fault.VIEW


@pytest.mark.parametrize(
    ("state", "of_view", "of_ledger"),
    [
        ("57014", Cause.VIEW_SLOW, Cause.STATEMENT_SLOW),
        ("55P03", Cause.VIEW_LOCKED, Cause.TABLE_LOCKED),
        ("40P01", Cause.VIEW_LOCKED, Cause.TABLE_LOCKED),
        ("23505", Cause.ROW_DATA, Cause.LEDGER_REFUSES),
        ("22021", Cause.ROW_DATA, Cause.LEDGER_REFUSES),
        ("22P05", Cause.ROW_DATA, Cause.LEDGER_REFUSES),
        ("53100", Cause.VIEW_FAILS, Cause.SERVER_TROUBLE),
        ("XX001", Cause.VIEW_FAILS, Cause.SERVER_TROUBLE),
        ("42P01", Cause.OBJECT_MISSING, Cause.OBJECT_MISSING),
        ("42501", Cause.RIGHT_MISSING, Cause.RIGHT_MISSING),
        ("3D000", Cause.DATABASE_MISSING, Cause.DATABASE_MISSING),
    ],
)
def test_the_same_state_depends_on_the_place(
    state: str, of_view: Cause, of_ledger: Cause
) -> None:
    """An error in the ledger is no fault of a view."""
    assert cause_of(Symptom(state, Place.PURCHASES)) is of_view
    assert cause_of(Symptom(state, Place.LEDGER)) is of_ledger


@pytest.mark.parametrize(
    ("in_recovery", "cause"),
    [
        (True, Cause.READ_ONLY_NODE),
        (None, Cause.READ_ONLY_NODE),
        (False, Cause.READ_ONLY_SETTING),
    ],
)
def test_a_standby_is_distinguished_from_a_setting(
    *, in_recovery: bool | None, cause: Cause
) -> None:
    """Both return 25006; only a standby is left for another node."""
    assert cause_of(Symptom("25006", in_recovery=in_recovery)) is cause


def test_an_error_specific_to_standbys_is_no_server_trouble() -> None:
    """A standby has no write position (55000)."""
    node = Symptom("55000", in_recovery=True)
    assert cause_of(node) is Cause.READ_ONLY_NODE
    assert cause_of(Symptom("55000")) is Cause.SERVER_TROUBLE


@pytest.mark.parametrize(
    ("state", "cause"),
    [
        ("57P01", Cause.CONNECTION_LOST),
        ("57P05", Cause.CONNECTION_LOST),
        ("25P03", Cause.CONNECTION_LOST),
        ("08006", Cause.CONNECTION_LOST),
        ("28P01", Cause.LOGIN_REFUSED),
        ("28000", Cause.LOGIN_REFUSED),
        ("53300", Cause.CONNECTIONS_FULL),
        ("3D000", Cause.DATABASE_MISSING),
        ("42501", Cause.RIGHT_MISSING),
    ],
)
@pytest.mark.parametrize("place", list(Place))
def test_the_end_of_a_session_is_no_views_fault(
    place: Place, state: str, cause: Cause
) -> None:
    """What was read when the server ended it does not matter."""
    assert cause_of(Symptom(state, place, is_alive=False)) is cause
