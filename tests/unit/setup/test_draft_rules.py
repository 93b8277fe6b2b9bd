"""The draft's rules, without a database: names, statuses, values, whole schemas."""

import tomllib
from collections.abc import Sequence
from importlib.resources import files

import pytest

from syncd.core.sql_text import SqlName
from syncd.setup.views.draft import Draft, compose
from syncd.setup.views.draft.choice import Certainty
from syncd.setup.views.draft.references import with_guesses
from syncd.setup.views.draft.roles import ROLES
from syncd.setup.views.draft.samples import Row, facts_of
from syncd.setup.views.draft.schema import Catalogue, Column, Kind, Table
from syncd.setup.views.draft.status import Step, confirmed_now, first_confirmed, step_of
from syncd.setup.views.draft.words import meaning_of

KINDS = {
    "id": Kind.INTEGER,
    "int": Kind.INTEGER,
    "text": Kind.TEXT,
    "money": Kind.NUMBER,
    "time": Kind.TIME,
}


class ListSamples:
    """Samples of tables that are lists."""

    def __init__(self, rows: dict[str, list[dict[str, str | None]]]) -> None:
        self._rows = rows
        self.failed: set[SqlName] = set()

    def rows(self, table: Table) -> Sequence[Row]:
        return self._rows.get(table.name.name, [])

    def matching(self, table: Table, column: str, keys: Sequence[str]) -> Sequence[Row]:
        return [row for row in self.rows(table) if row.get(column) in keys]

    def values(self, table: Table, column: str) -> Sequence[str]:
        return sorted({v for row in self.rows(table) if (v := row.get(column))})


def table(name: str, columns: str) -> Table:
    """Make a table of `name:kind` pairs; the column of kind `id` is its key."""
    pairs = [each.split(":") for each in columns.split()]
    return Table(
        SqlName("public", name),
        tuple(Column(column, KINDS[kind]) for column, kind in pairs),
        tuple(column for column, kind in pairs if kind == "id"),
    )


ORDERS = table(
    "orders",
    "id:id number:text email:text total:money currency:text created_at:time"
    " paid_at:time",
)
LINES = table("order_items", "id:id order_id:int sku:text quantity:int price:money")
ORDER_ROWS: list[dict[str, str | None]] = [
    {
        "id": str(n),
        "number": f"W{n}",
        "email": f"{n}@example.com",
        "total": f"{n}.50",
        "currency": "EUR",
        "created_at": "2026-05-01",
        "paid_at": "2026-05-01" if n % 2 else None,
    }
    for n in range(1, 9)
]
LINE_ROWS: list[dict[str, str | None]] = [
    {
        "id": str(n),
        "order_id": str(n),
        "sku": "S",
        "quantity": "1",
        "price": f"{n}.50",
    }
    for n in range(1, 9)
]


def drafted(rows: dict[str, list[dict[str, str | None]]], *tables: Table) -> Draft:
    made = compose(Catalogue(tables), ListSamples(rows))
    assert made is not None
    return made


@pytest.mark.parametrize(
    ("name", "concepts"),
    [
        ("bestellnummer", {"order", "number"}),
        ("orderNumber", {"order", "number"}),
        ("numero_commande", {"order", "number"}),
        ("Auftragspositionen", {"order", "line"}),
        ("bestelregels", {"order", "line"}),
        ("total_incl_tax", {"total", "gross"}),
        ("subTotalWithTax", {"subtotal", "gross"}),
        ("prix_unitaire_ttc", {"price", "unit", "gross"}),
        ("E-Mail", {"email"}),
        ("unit_price__number", {"unit", "price"}),
        ("Belegart", {"sale", "group"}),
        ("emailadres", {"email"}),
        ("Währung", {"currency"}),
        ("betaald_op", {"paid"}),
        ("xyzzy", set()),
    ],
)
def test_a_name_means_the_same_in_each_language(name: str, concepts: set[str]) -> None:
    """Case, compounds and accents do not matter."""
    assert meaning_of(name).concepts == concepts


@pytest.mark.parametrize(
    ("status", "step"),
    [
        ("paid", Step.PAID),
        ("order_fully_paid", Step.PAID),
        ("betaald", Step.PAID),
        ("payée", Step.PAID),
        ("unpaid", Step.NONE),
        ("niet betaald", Step.NONE),
        ("partially_paid", Step.NONE),
        ("payment_pending", Step.NONE),
        ("refunded", Step.NONE),
        ("Being processed", Step.PROCESSING),
        ("in_progress", Step.PROCESSING),
        ("shipped", Step.LATER),
        ("cancelled", Step.NONE),
        ("Paid by jan@example.com", Step.NONE),
    ],
)
def test_a_status_is_a_step_of_an_order(status: str, step: Step) -> None:
    """A status that means not paid yet is not paid; a text that may be data is none."""
    assert step_of(status) is step


def test_the_paid_status_of_a_history_takes_precedence() -> None:
    """Otherwise the first of the shop's own steps, with those that follow it."""
    assert first_confirmed(["placed", "confirmed", "order_paid"])[0] == ["order_paid"]
    chosen, _ = first_confirmed(["Pending", "Processing", "Complete", "Cancelled"])
    assert chosen == ["Complete", "Processing"]
    assert confirmed_now(["draft", "sent", "sale", "cancel"]) == ["sale"]


def test_a_status_of_a_line_is_no_step_of_the_order() -> None:
    """If a history has both, the order's own steps count."""
    steps = ["ORDER_CREATED", "ITEM_APPROVED", "ORDER_APPROVED", "ITEM_COMPLETED"]
    assert first_confirmed(steps)[0] == ["ORDER_APPROVED"]
    assert first_confirmed(["item_paid", "open"])[0] == ["item_paid"]


def test_values_are_described_and_not_stored() -> None:
    """The description has shares of what the values look like."""
    facts = facts_of(["a@example.com", "b@example.com", None, ""])
    assert (facts.filled, facts.emails, facts.distinct) == (0.5, 1.0, 1.0)
    assert facts_of(["eur", "USD"]).currencies == 1.0
    assert facts_of([]).filled == 0.0


def test_a_column_named_after_a_table_references_it() -> None:
    """Without a foreign key, if its type is that of the key."""
    found = with_guesses(Catalogue([ORDERS, LINES])).tables[1].references
    assert [(r.column, r.table.name, r.to) for r in found] == [
        ("order_id", "orders", "id")
    ]
    text = table("order_items", "id:id order_id:text sku:text quantity:int")
    assert with_guesses(Catalogue([ORDERS, text])).tables[1].references == ()


def test_a_plain_schema_is_sure_except_for_what_is_undeclared() -> None:
    """The lines' reference is a guess that values confirm; the draft says so."""
    made = drafted({"orders": ORDER_ROWS, "order_items": LINE_ROWS}, ORDERS, LINES)
    degrees = {c.column: c.certainty for c in made.choices}
    assert degrees.pop("lines") is Certainty.LIKELY
    assert degrees["orderid"] is Certainty.LIKELY  # no unique index
    for column in ("confirmed_at", "email", "currency", "totalvalue"):
        assert degrees[column] is Certainty.SURE
    assert made.choice("confirmed_at").expression == "c.paid_at"
    assert "c.paid_at IS NOT NULL" in made.sql


def test_a_reference_whose_values_are_not_found_is_dropped() -> None:
    """The names alone do not make it one."""
    strange = [{**row, "order_id": f"9{row['order_id']}"} for row in LINE_ROWS]
    made = drafted({"orders": ORDER_ROWS, "order_items": strange}, ORDERS, LINES)
    assert made.choice("lines").certainty is Certainty.GAP


def test_a_price_that_does_not_sum_up_is_not_sure() -> None:
    """It is unknown whether such a price includes tax."""
    rows = [{**row, "price": "0.10"} for row in LINE_ROWS]
    made = drafted({"orders": ORDER_ROWS, "order_items": rows}, ORDERS, LINES)
    assert made.choice("products.price").certainty is not Certainty.SURE


def test_two_equally_likely_columns_are_uncertain() -> None:
    """They are certain if they have the same values."""
    both = table(
        "orders", "id:id email:text contact_email:text total:money paid_at:time"
    )
    same = [{**row, "contact_email": row["email"]} for row in ORDER_ROWS]
    other = [{**row, "contact_email": f"x{row['email']}"} for row in ORDER_ROWS]
    assert drafted({"orders": same}, both).choice("email").certainty is Certainty.SURE
    chosen = drafted({"orders": other}, both).choice("email")
    assert chosen.certainty is Certainty.LIKELY
    assert "public.orders.contact_email is as likely" in chosen.doubts


def test_views_without_keys_are_read_like_tables() -> None:
    """A view has neither a primary key nor foreign keys."""
    orders = Table(
        SqlName("public", "orders"),
        (Column("order_id", Kind.INTEGER), *ORDERS.columns[1:]),
        is_view=True,
    )
    lines = Table(LINES.name, LINES.columns, is_view=True)
    rows = [{**row, "order_id": row["id"]} for row in ORDER_ROWS]
    made = drafted({"orders": rows, "order_items": LINE_ROWS}, orders, lines)
    assert made.choice("lines").expression == "public.order_items"
    assert made.choice("order_key").expression == "o.order_id"
    assert made.choice("order_key").certainty is Certainty.DOUBTFUL


def test_a_table_of_the_same_name_in_another_schema_is_uncertain() -> None:
    """The catalogue does not show which tenant is meant."""
    other = Table(SqlName("tenant", "orders"), ORDERS.columns, ORDERS.key)
    made = drafted({"orders": ORDER_ROWS}, ORDERS, other)
    assert made.choice("orders").certainty is Certainty.LIKELY
    assert "tenant.orders has the same name" in made.choice("orders").doubts


def test_roles_name_meanings_that_words_have() -> None:
    """Another one would never count."""
    file = files("syncd.setup.views.draft") / "vocabulary.toml"
    known = tomllib.loads(file.read_text("utf-8"))["concepts"].keys()
    named: set[str] = set()
    for role in ROLES.values():
        named |= role.never | role.neutral | role.not_of | (role.topics or set())
        for patterns in (role.patterns, *role.within.values()):
            named |= {*role.within, *(meaning for each in patterns for meaning in each)}
    assert named - known == set()
