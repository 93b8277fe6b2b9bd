from __future__ import annotations

import re
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, LiteralString

import psycopg
import pytest
from psycopg import sql
from support.shop_dumps import (
    VIEWS,
    advised_indexes,
    apply_views,
    dump_of,
    exact,
    expected_of,
    grow,
    load,
    restore,
    run,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.shop_dumps import Connection

pytestmark = [pytest.mark.db, pytest.mark.slow]

CONFIRMED = {
    "django-oscar": 28,
    "medusa": 35,
    "pretix": 22,
    "saleor": 13,
    "vendure": 30,
}
KEY_TYPES: dict[str, LiteralString] = {
    "django-oscar": "bigint",
    "medusa": "text",
    "pretix": "bigint",
    "saleor": "uuid",
    "template": "bigint",
    "vendure": "integer",
}
ZONELESS = {"vendure"}  # source.time_zone has the zone
LABELS = {
    "order_key", "orderid", "email", "currency", "totalvalue", "firstname", "lastname",
    "phone", "postcode", "city", "country", "language", "products",
}  # fmt: skip
WITHOUT_EMAIL: dict[str, LiteralString] = {
    # Deleting a user of Oscar leaves the order without any address.
    "django-oscar": "UPDATE public.order_order SET user_id = NULL, guest_email = ''",
    "medusa": 'UPDATE public."order" SET email = NULL',
    "pretix": "UPDATE public.pretixbase_order SET email = NULL",
    "vendure": 'UPDATE public."order" SET "customerId" = NULL',
    "saleor": "UPDATE public.order_order SET user_email = ''",
}
WITHOUT_LINES: dict[str, LiteralString] = {
    "django-oscar": "TRUNCATE public.order_line CASCADE",
    "medusa": "TRUNCATE public.order_item CASCADE",
    "pretix": "UPDATE public.pretixbase_orderposition SET canceled = true",
    "vendure": "TRUNCATE public.order_line CASCADE",
    "saleor": "TRUNCATE public.order_orderline CASCADE",
}
WINDOW_INDEX = {
    "django-oscar": "order_orderstatuschange_date_created_a5107b93",
    "medusa": "syncd_order_created_at",
    "pretix": "syncd_paid",
    "saleor": "order_orderevent_date_idx",
    "vendure": "IDX_af13739f4962eab899bdff34be",
}
KEY_INDEX = {
    "django-oscar": "order_orderstatuschange_order_id_43efdbe5",
    "medusa": "order_pkey",
    "pretix": "pretixbase_logentry_object_id_f43ba680",
    "saleor": "order_orderevent_order_token_id_56352b3d",
    "vendure": "PK_1031171c13130102495201e3e20",
}
READ_INDEXES = {
    "django-oscar": {
        "order_order_pkey",
        "order_billingaddress_pkey",
        "order_shippingaddress_pkey",
        "order_line_order_id_b9148391",
        "order_orderdiscount_order_id_bc91e123",
    },
    "medusa": {
        "order_pkey",
        "order_address_pkey",
        "order_cart_pkey",
        "order_line_item_pkey",
        "IDX_order_summary_order_id_version",
        "IDX_order_item_order_id_version",
        "IDX_order_line_item_tax_line_item_id",
    },
    "pretix": {
        "pretixbase_order_pkey",
        "pretixbase_invoiceaddress_order_id_key",
        "pretixbase_orderposition_order_id_0d44232b",
    },
    "vendure": {
        "PK_1031171c13130102495201e3e20",
        "IDX_239cfca2a55b98b90b6bef2e44",
        "PK_39853134b20afe9dfb25de18292",
        "IDX_d09d285fe1645cd2f0db811e29",
    },
    "saleor": {
        "order_order_token_ddb7fb7b_pk",
        "userprofile_address_pkey",
        "order_orderline_order_token_id_c8d256ee",
    },
}
# Tables that are small here, which a server may scan.
SMALL = {
    "auth_user", "channel", "channel_channel", "currency", "pretixbase_event",
    "pretixbase_item", "pretixbase_itemvariation", "product_variant",
    "product_variant_translation",
}  # fmt: skip


@dataclass(frozen=True)
class Preset:
    name: str
    connection: Connection

    def event(self, orderid: str) -> dict[str, Any]:
        """Build the event of an order as delivery does, without its timestamp."""
        found = self.connection.execute(
            "SELECT to_json(p)::text FROM syncd.purchases AS p WHERE p.orderid = %s",
            [orderid],
        ).fetchall()
        assert len(found) == 1
        row = exact(found[0][0])
        del row["order_key"]
        return {
            "event": "Purchase",
            **{label: value for label, value in row.items() if value is not None},
        }

    def confirmed(self, orderid: str) -> list[datetime]:
        """Return the times when an order was confirmed, oldest first; may be empty."""
        found = self.connection.execute(
            """
            SELECT c.confirmed_at
              FROM syncd.confirmed_orders AS c
              JOIN syncd.purchases AS p USING (order_key)
             WHERE p.orderid = %s
             ORDER BY c.confirmed_at
            """,
            [orderid],
        )
        return [at for (at,) in found]

    def one(self, query: LiteralString) -> Any:  # noqa: ANN401 - any column
        """Read one value."""
        row = self.connection.execute(query).fetchone()
        assert row is not None
        return row[0]

    def change(self, *statements: LiteralString) -> None:
        """Change the shop's tables as the shop would."""
        for statement in statements:
            self.connection.execute(statement)


@contextmanager
def opened(database: str, name: str) -> Iterator[Preset]:
    if not dump_of(name).exists():
        pytest.skip(f"{name} IS NOT TESTED: its dump is missing")
    restore(database, name)
    with psycopg.connect(database, autocommit=True) as connection:
        apply_views(connection, name)
        yield Preset(name, connection)


@pytest.fixture(params=sorted(CONFIRMED))
def preset(request: pytest.FixtureRequest, database: str) -> Iterator[Preset]:
    with opened(database, request.param) as found:
        yield found


@pytest.fixture
def oscar(database: str) -> Iterator[Preset]:
    with opened(database, "django-oscar") as found:
        yield found


@pytest.fixture
def medusa(database: str) -> Iterator[Preset]:
    with opened(database, "medusa") as found:
        yield found


@pytest.fixture
def saleor(database: str) -> Iterator[Preset]:
    with opened(database, "saleor") as found:
        yield found


@pytest.fixture
def vendure(database: str) -> Iterator[Preset]:
    with opened(database, "vendure") as found:
        yield found


@pytest.fixture
def pretix(database: str) -> Iterator[Preset]:
    with opened(database, "pretix") as found:
        yield found


@pytest.fixture
def template(database: str) -> Iterator[Preset]:
    with psycopg.connect(database, autocommit=True) as connection:
        run(connection, TEMPLATE_TABLES)
        apply_views(connection, "template")
        yield Preset("template", connection)


def test_the_events_are_those_of_a_perfect_sync(preset: Preset) -> None:
    """Every field and value of the expected events, and no other."""
    for expected in expected_of(preset.name):
        assert preset.event(expected["orderid"]) == expected


def test_every_confirmed_order_has_exactly_one_purchase(preset: Preset) -> None:
    """Every order of the first view has one row in the second."""
    keys = preset.one("SELECT count(DISTINCT order_key) FROM syncd.confirmed_orders")
    assert keys == CONFIRMED[preset.name]
    matched = preset.one(
        """
        SELECT count(*)
          FROM (SELECT DISTINCT order_key FROM syncd.confirmed_orders) AS c
          JOIN syncd.purchases AS p USING (order_key)
         WHERE p.products IS NOT NULL AND p.email IS NOT NULL
        """
    )
    assert matched == keys


def test_the_columns_are_squeezelys_labels_and_the_key_is_not_cast(
    preset: Preset,
) -> None:
    """Only known labels and custom fields; key and time have the table's types."""
    columns: dict[str, str] = dict(
        preset.connection.execute(
            """
            SELECT attname, format_type(atttypid, -1) FROM pg_catalog.pg_attribute
             WHERE attrelid = 'syncd.purchases'::regclass
            """
        ).fetchall()
    )
    assert {c for c in columns if not c.startswith("custom_")} == LABELS
    assert columns["order_key"] == KEY_TYPES[preset.name]
    assert columns["products"] == "json"
    types = preset.connection.execute(
        "SELECT DISTINCT pg_typeof(order_key)::text, pg_typeof(confirmed_at)::text"
        "  FROM syncd.confirmed_orders"
    ).fetchall()
    zone = "without" if preset.name in ZONELESS else "with"
    assert types == [(KEY_TYPES[preset.name], f"timestamp {zone} time zone")]


def test_a_field_without_value_is_absent(preset: Preset) -> None:
    """No null inside a product, and no empty text in a column or a product."""
    for (document,) in preset.connection.execute(
        "SELECT to_json(p)::text FROM syncd.purchases AS p"
    ):
        row = exact(document)
        assert "" not in row.values()
        for product in row["products"] or []:
            assert product.keys() <= {"id", "name", "quantity", "price", "language"}
            assert None not in product.values()
            assert "" not in product.values()


def test_an_order_without_email_is_not_hidden(preset: Preset) -> None:
    """It has a null email, and is rejected with its reason."""
    preset.change(WITHOUT_EMAIL[preset.name])
    found = preset.one(
        """
        SELECT count(DISTINCT order_key)
          FROM syncd.confirmed_orders
          JOIN syncd.purchases AS p USING (order_key)
         WHERE p.email IS NULL
        """
    )
    assert found == CONFIRMED[preset.name]


def test_an_order_without_lines_is_not_hidden(preset: Preset) -> None:
    """It has null products, is read again later, and then rejected."""
    preset.change(WITHOUT_LINES[preset.name])
    found = preset.one(
        """
        SELECT count(DISTINCT order_key)
          FROM syncd.confirmed_orders
          JOIN syncd.purchases AS p USING (order_key)
         WHERE p.products IS NULL
        """
    )
    assert found == CONFIRMED[preset.name]


def test_the_views_can_be_applied_again(preset: Preset) -> None:
    """A second run replaces the views and drops no privilege."""
    apply_views(preset.connection, preset.name)
    confirmed = preset.one(
        "SELECT count(DISTINCT order_key) FROM syncd.confirmed_orders"
    )
    assert confirmed == CONFIRMED[preset.name]


def test_the_daemons_role_needs_only_the_two_views(preset: Preset) -> None:
    """The views read the tables as their owner; the daemon's role cannot."""
    role = sql.Identifier(f"reader_{uuid.uuid4().hex}")
    for statement in (
        "CREATE ROLE {}",
        "GRANT USAGE ON SCHEMA syncd TO {}",
        "GRANT SELECT ON syncd.confirmed_orders, syncd.purchases TO {}",
        "SET ROLE {}",
    ):
        preset.connection.execute(sql.SQL(statement).format(role))
    try:
        found = preset.one(
            "SELECT count(DISTINCT order_key)"
            "  FROM syncd.confirmed_orders JOIN syncd.purchases USING (order_key)"
        )
        assert found == CONFIRMED[preset.name]
    finally:
        preset.change("RESET ROLE")
        preset.connection.execute(sql.SQL("DROP OWNED BY {}").format(role))
        preset.connection.execute(sql.SQL("DROP ROLE {}").format(role))


@pytest.mark.timeout(180)
def test_the_queries_use_indexes_on_50_000_orders(preset: Preset) -> None:
    """Orders by time, by key and their events are found without a table scan."""
    for statement in advised_indexes(preset.name):
        run(preset.connection, statement)
    grow(preset.connection, preset.name, copies=1351)
    indexes, tables = plan_of_window(preset)
    assert WINDOW_INDEX[preset.name] in indexes
    assert not tables
    indexes, tables = plan_of_keys(preset)
    assert KEY_INDEX[preset.name] in indexes
    assert not tables
    indexes, tables = plan_of_read(preset)
    assert indexes >= READ_INDEXES[preset.name]
    assert tables <= SMALL


def test_vendure_a_cancelled_order_has_its_original_lines(vendure: Preset) -> None:
    """Vendure sets totals and quantities to 0; payment and lines keep them."""
    event = vendure.event("DB7CJMAZMHNPTMJS")
    assert event["totalvalue"] == Decimal("336.22")
    assert [line["quantity"] for line in event["products"]] == [12, 2]


def test_vendure_a_cart_is_not_an_order(vendure: Preset) -> None:
    """A cart that waits for its payment is none either, in the same table."""
    assert not vendure.confirmed("A9V21A7J2H5UF4DN")
    assert not vendure.confirmed("B2FFWDGVAQ1LV4KX")


def test_vendure_an_order_split_among_sellers_is_one_order(vendure: Preset) -> None:
    """The sellers' sub-orders are not orders of their own."""
    vendure.change("""UPDATE public."order" SET type = 'Seller' WHERE id = 2""")
    assert not vendure.confirmed("VWGWSEMW4ZW2T7RA")
    vendure.change("""UPDATE public."order" SET type = 'Aggregate' WHERE id = 2""")
    assert len(vendure.confirmed("VWGWSEMW4ZW2T7RA")) == 1


def test_vendure_a_shop_without_the_custom_field_has_the_same_views(
    vendure: Preset,
) -> None:
    """The gift note is a field of one shop only."""
    vendure.change(
        "DROP VIEW syncd.confirmed_orders, syncd.purchases",
        'ALTER TABLE public."order" DROP COLUMN "customFieldsGiftnote"',
    )
    apply_views(vendure.connection, "vendure")
    assert "custom_gift_note" not in vendure.event("VWGWSEMW4ZW2T7RA")


def test_vendure_the_billing_address_is_used_as_a_whole(vendure: Preset) -> None:
    """A phone number of the shipping address would be another person's."""
    vendure.change(
        """
        UPDATE public."order"
           SET "billingAddress" = '{"fullName":"Mira  van der Berg","city":"Gent"}'
         WHERE id = 2
        """
    )
    event = vendure.event("VWGWSEMW4ZW2T7RA")
    assert (event["firstname"], event["lastname"]) == ("Mira", "van der Berg")
    assert event["city"] == "Gent"
    assert "phone" not in event


def test_pretix_an_order_paid_and_cancelled_stays_confirmed(pretix: Preset) -> None:
    """The shop's log has the payment."""
    assert len(pretix.confirmed("DEMO2026-EFQUB")) == 1
    assert not pretix.confirmed("DEMO2026-WRLVS")


def test_pretix_orders_in_test_mode_are_in_neither_view(pretix: Preset) -> None:
    """They would be sent to the real account."""
    pretix.change("UPDATE public.pretixbase_order SET testmode = true")
    assert pretix.one("SELECT count(*) FROM syncd.confirmed_orders") == 0
    assert pretix.one("SELECT count(*) FROM syncd.purchases") == 0


def test_pretix_structured_names_and_plain_item_names_are_read(
    pretix: Preset,
) -> None:
    """They come from an organizer's other name scheme, and an old event."""
    pretix.change(
        """
        UPDATE public.pretixbase_invoiceaddress
           SET name_parts = '{"_scheme": "given_family",
                              "given_name": "Anna Maria", "family_name": "de Vries"}'
        """,
        "UPDATE public.pretixbase_item SET name = 'Plain {ticket}'",
        "UPDATE public.pretixbase_order SET locale = 'de-informal'",
    )
    event = pretix.event("DEMO2026-GQTQN")
    assert (event["firstname"], event["lastname"]) == ("Anna Maria", "de Vries")
    assert event["language"] == "de"
    assert event["products"][0]["name"] == "Plain {ticket}"


def test_oscar_an_order_cancelled_after_confirmation_stays_confirmed(
    oscar: Preset,
) -> None:
    """Order 100004 is confirmed by its history, not by its present status."""
    assert oscar.one(
        "SELECT status = 'Cancelled' FROM public.order_order WHERE number = '100004'"
    )
    assert len(oscar.confirmed("100004")) == 1
    assert oscar.event("100004")["totalvalue"] == Decimal("97.90")


def test_oscar_an_order_cancelled_unpaid_was_never_confirmed(oscar: Preset) -> None:
    """Order 100015 went from Pending to Cancelled, 100006 is still Pending."""
    assert not oscar.confirmed("100015")
    assert not oscar.confirmed("100006")


def test_oscar_a_backdated_order_has_its_time_of_confirmation(
    oscar: Preset,
) -> None:
    """Orders 100009 to 100011 were placed with dates weeks before."""
    for number in ("100009", "100010", "100011"):
        assert oscar.confirmed(number)[0].date().isoformat() == "2026-11-23"


def test_oscar_an_order_without_addresses_has_its_other_fields(oscar: Preset) -> None:
    """Order 100022 needs no shipping and has neither address."""
    event = oscar.event("100022")
    assert event["email"] == "sam@example.com"
    assert not event.keys() & {"firstname", "phone", "postcode", "city", "country"}
    assert event["products"]


def test_oscar_the_shipping_address_replaces_a_missing_billing_address(
    oscar: Preset,
) -> None:
    """Order 100003 without its billing address has the same event."""
    before = oscar.event("100003")
    oscar.change("UPDATE public.order_order SET billing_address_id = NULL")
    assert oscar.event("100003") == before


def test_oscar_each_voucher_code_is_listed_once(oscar: Preset) -> None:
    """Two discounts with one code and one with another make two codes."""
    oscar.change(
        """
        INSERT INTO public.order_orderdiscount
               (category, voucher_code, offer_name, amount, message, order_id)
        SELECT 'Basket', code, '', 1, '', 4
          FROM unnest(ARRAY['TEN', 'FIVE', '']) AS code
        """
    )
    assert oscar.event("100005")["custom_coupon"] == "FIVE,TEN"


def test_oscar_an_order_confirmed_twice_is_listed_with_both_times(
    oscar: Preset,
) -> None:
    """Two history rows do not double the event; the first time stays listed."""
    first = oscar.confirmed("100003")
    oscar.change(
        """
        INSERT INTO public.order_orderstatuschange
               (old_status, new_status, date_created, order_id)
        VALUES ('Complete', 'Being processed', '2026-12-01 12:00+00', 2)
        """
    )
    assert oscar.confirmed("100003") == [
        *first,
        datetime(2026, 12, 1, 12, tzinfo=UTC),
    ]


def test_oscar_the_commented_branch_finds_orders_without_history(
    oscar: Preset,
) -> None:
    """The file offers it to shops that set the status themselves."""
    text = (VIEWS / "django-oscar.sql").read_text("utf-8")
    view = text[text.index("CREATE OR REPLACE VIEW") : text.index(";\n\n-- Only")]
    branch = text[text.index("--   UNION ALL") : text.index("\n\n-- Read by key")]
    oscar.change("DELETE FROM public.order_orderstatuschange WHERE order_id = 2")
    run(oscar.connection, view + "\n" + branch.replace("--", ""))
    placed = oscar.one("SELECT date_placed FROM public.order_order WHERE id = 2")
    assert oscar.confirmed("100003") == [placed]
    assert oscar.one("SELECT count(*) FROM syncd.confirmed_orders") == 28


def test_medusa_an_edit_does_not_double_the_lines(medusa: Preset) -> None:
    """Order 6 has two versions of lines and totals; the first was bought."""
    event = medusa.event("6")
    assert [line["quantity"] for line in event["products"]] == [1, 12, 1]
    assert event["totalvalue"] == Decimal("66.12")


def test_medusa_a_cancelled_order_has_its_original_lines(medusa: Preset) -> None:
    """Order 9 was paid, cancelled and credited down to nothing."""
    event = medusa.event("9")
    assert event["totalvalue"] == Decimal("163.22")
    assert [line["quantity"] for line in event["products"]] == [1, 12]
    assert len(medusa.confirmed("9")) == 1


def test_medusa_a_draft_is_not_an_order(medusa: Preset) -> None:
    """Row 36 is in neither view."""
    assert not medusa.confirmed("36")
    assert not medusa.one("SELECT count(*) FROM syncd.purchases WHERE orderid = '36'")


def test_medusa_a_soft_deleted_order_leaves_both_views(medusa: Preset) -> None:
    """A failed authorisation takes the order back, so that it is withdrawn."""
    medusa.change(
        """UPDATE public."order" SET deleted_at = now() WHERE display_id = 7"""
    )
    assert not medusa.confirmed("7")
    assert not medusa.one("SELECT count(*) FROM syncd.purchases WHERE orderid = '7'")


def test_medusa_a_converted_draft_has_the_lines_of_its_edits(medusa: Preset) -> None:
    """A draft is built by edits, so its first version is not what was bought."""
    medusa.change(
        """
        INSERT INTO public.order_item
        SELECT p.*
          FROM public.order_item AS i
          JOIN public."order" AS o ON o.id = i.order_id
         CROSS JOIN LATERAL jsonb_populate_record(
               i, '{"id": "edited", "version": 2, "quantity": 4}') AS p
         WHERE o.display_id = 36
        """,
        """
        INSERT INTO public.order_summary (id, order_id, version, totals)
        SELECT 'edited', o.id, 2,
               '{"raw_original_order_total": {"value": "6.57"},
                 "raw_current_order_total": {"value": "26.28"},
                 "raw_credit_line_total": {"value": "0"}}'
          FROM public."order" AS o
         WHERE o.display_id = 36
        """,
        """
        UPDATE public."order"
           SET status = 'pending', is_draft_order = false, version = 2
         WHERE display_id = 36
        """,
    )
    event = medusa.event("36")
    assert [line["quantity"] for line in event["products"]] == [4]
    assert event["totalvalue"] == Decimal("26.28")
    assert len(medusa.confirmed("36")) == 1


def test_medusa_the_variant_id_replaces_a_missing_sku(medusa: Preset) -> None:
    """Order 31 has a line whose product has none."""
    ids = [line["id"] for line in medusa.event("31")["products"]]
    assert "variant_01M83PGE012KK22PYBP0CK142M" in ids


def test_medusa_a_price_that_includes_tax_is_not_taxed_again(medusa: Preset) -> None:
    """A tax inclusive line keeps its price; the others are made gross."""
    prices = [line["price"] for line in medusa.event("3")["products"]]
    medusa.change("UPDATE public.order_line_item SET is_tax_inclusive = true")
    inclusive = [line["price"] for line in medusa.event("3")["products"]]
    assert prices == [Decimal("1.18"), Decimal("17.46")]
    assert inclusive == [Decimal("1.00"), Decimal("14.67")]


def test_medusa_a_custom_display_id_replaces_the_order_number(medusa: Preset) -> None:
    """The customer sees `custom_display_id` when the shop sets one."""
    medusa.change(
        """UPDATE public."order" SET custom_display_id = 'NL-7' WHERE display_id = 7"""
    )
    assert medusa.event("NL-7")["email"] == "hana@example.jp"


def test_medusa_an_order_is_complete_before_its_links_are(medusa: Preset) -> None:
    """The link to the cart commits after the order; the event does not need it."""
    before = medusa.event("3")
    medusa.change("TRUNCATE public.order_cart")
    assert medusa.event("3") == before


def test_saleor_a_confirmed_but_unpaid_order_is_not_confirmed(
    saleor: Preset,
) -> None:
    """Order 24 has two `confirmed` events and no payment, 56 is a draft."""
    assert not saleor.confirmed("24")
    assert not saleor.confirmed("56")


def test_saleor_each_paid_order_is_listed_by_its_payment(saleor: Preset) -> None:
    """Events and charge status agree, also for order 28, cancelled afterwards."""
    assert not saleor.one(
        """
        SELECT count(*)
          FROM public.order_order AS o
          FULL JOIN (SELECT DISTINCT order_key FROM syncd.confirmed_orders) AS c
            ON c.order_key = o.id
         WHERE (o.charge_status IN ('full', 'overcharged')) <> (c.order_key IS NOT NULL)
        """
    )
    assert len(saleor.confirmed("28")) == 1


def test_saleor_a_refunded_order_stays_confirmed(saleor: Preset) -> None:
    """The charge status loses the payment, the history keeps it."""
    saleor.change(
        "UPDATE public.order_order SET charge_status = 'none', total_charged_amount = 0"
    )
    assert len(saleor.confirmed("21")) == 1


def test_saleor_an_order_charged_repeatedly_is_listed_more_than_once(
    saleor: Preset,
) -> None:
    """Each charge at or above the total adds an event; the first time stays listed."""
    first = saleor.confirmed("21")
    saleor.change(
        """
        INSERT INTO public.order_orderevent (date, type, parameters, order_id)
        SELECT o.created_at + n * interval '1 day', 'order_fully_paid', '{}', o.id
          FROM public.order_order AS o
         CROSS JOIN generate_series(1, 2) AS n
         WHERE o.number = 21
        """
    )
    assert len(saleor.confirmed("21")) == 3
    assert saleor.confirmed("21")[0] == first[0]
    assert saleor.event("21")["orderid"] == "21"


def test_saleor_the_global_id_replaces_a_missing_sku(saleor: Preset) -> None:
    """Order 32 has a product without SKU."""
    ids = [line["id"] for line in saleor.event("32")["products"]]
    assert "UHJvZHVjdFZhcmlhbnQ6Mzg0" in ids


@pytest.mark.parametrize(
    ("currency", "amount"), [("JPY", "1235"), ("EUR", "1234.57"), ("KWD", "1234.567")]
)
def test_saleor_amounts_have_the_digits_of_their_currency(
    saleor: Preset, currency: str, amount: str
) -> None:
    """The tables store three digits for every currency."""
    saleor.connection.execute(
        "UPDATE public.order_order SET currency = %s, total_gross_amount = 1234.567",
        [currency],
    )
    assert saleor.event("21")["totalvalue"] == Decimal(amount)


def test_a_dump_with_copy_blocks_is_restored(database: str) -> None:
    """Both forms that pg_dump writes, without psql and its commands."""
    script = (
        "\\restrict x\nCREATE TABLE public.a (x text, y integer);\n"
        "COPY public.a (x, y) FROM stdin;\none\\ttab\t1\n\\N\t2\n\\.\n\n"
        "INSERT INTO public.a VALUES ('three', 3);\n\\unrestrict x\n"
    )
    with psycopg.connect(database, autocommit=True) as connection:
        load(connection, script)
        rows = connection.execute("SELECT x, y FROM public.a ORDER BY y").fetchall()
    assert rows == [("one\ttab", 1), (None, 2), ("three", 3)]


def test_the_template_makes_the_event_that_it_documents(template: Preset) -> None:
    """A copy of it works on the tables named in its comments."""
    template.change(
        """
        INSERT INTO public.orders (id, number, email, paid_at, currency, total, locale)
        VALUES (1, 'W-1', 'a@example.com', '2026-11-20 13:00+00', 'eur', 12.5, 'nl-NL'),
               (2, 'W-2', '', '2026-11-20 14:00+00', 'eur', 1, NULL),
               (3, 'W-3', 'c@example.com', NULL, 'eur', 1, NULL)
        """,
        "INSERT INTO public.order_lines VALUES (1, 1, 'X1', NULL, 2, 6.25)",
    )
    assert template.event("W-1") == {
        "event": "Purchase",
        "orderid": "W-1",
        "email": "a@example.com",
        "currency": "EUR",
        "totalvalue": Decimal("12.5"),
        "language": "nl-NL",
        "products": [
            {"id": "X1", "quantity": 2, "price": Decimal("6.25"), "language": "nl-NL"}
        ],
    }
    assert template.event("W-2").keys() == {
        "event", "orderid", "currency", "totalvalue",
    }  # fmt: skip
    assert len(template.confirmed("W-2")) == 1
    assert not template.confirmed("W-3")


GUARDS = re.findall(
    r"--   (CASE WHEN .* END AS products,)", (VIEWS / "template.sql").read_text("utf-8")
)


@pytest.mark.parametrize(
    ("guard", "column"), list(zip(GUARDS, ("line_count", "total"), strict=True))
)
def test_the_templates_guards_wait_for_all_lines(
    database: str, guard: str, column: str
) -> None:
    """There are no products until the declared lines are there."""
    text = (VIEWS / "template.sql").read_text("utf-8")
    with psycopg.connect(database, autocommit=True) as connection:
        run(connection, TEMPLATE_TABLES)
        run(
            connection,
            "ALTER TABLE orders ADD line_count int DEFAULT 2, ADD shipping numeric "
            "DEFAULT 5; CREATE SCHEMA IF NOT EXISTS syncd",
        )
        run(connection, text.replace("\n       l.products,\n", f"\n       {guard}\n"))
        template = Preset("template", connection)
        template.change(
            """
            INSERT INTO public.orders (id, number, email, paid_at, currency, total)
            VALUES (1, 'W-1', 'a@example.com', '2026-11-20 13:00+00', 'eur', 15)
            """,
            "INSERT INTO public.order_lines VALUES (1, 1, 'X1', NULL, 1, 6)",
        )
        assert "products" not in template.event("W-1"), column
        template.change(
            "INSERT INTO public.order_lines VALUES (2, 1, 'X2', NULL, 2, 2)"
        )
        products = template.event("W-1")["products"]
        assert [line["id"] for line in products] == ["X1", "X2"]


def test_the_template_uses_its_indexes_on_50_000_orders(template: Preset) -> None:
    """The window uses the index that the template's comment recommends."""
    template.change(
        """
        INSERT INTO public.orders (id, number, paid_at)
        SELECT n, n, CASE WHEN n % 10 > 0
                          THEN timestamptz '2026-11-20 13:00+00' - n * interval '1 min'
                     END
          FROM generate_series(1, 50000) AS n
        """,
        """
        INSERT INTO public.order_lines
        SELECT n, (n + 1) / 2, n, n, 1, 1 FROM generate_series(1, 100000) AS n
        """,
        "ANALYZE",
    )
    for statement in advised_indexes("template"):
        run(template.connection, statement)
    assert plan_of_window(template) == ({"syncd_orders_paid_at"}, set())
    assert plan_of_read(template) == ({"orders_pkey", "order_lines_order_id"}, set())


TEMPLATE_TABLES = """
CREATE TABLE public.orders (
    id bigint PRIMARY KEY, number text, email text, paid_at timestamptz, currency text,
    total numeric, first_name text, last_name text, phone text,
    postcode text, city text, country text, locale text, gift_note text);
CREATE TABLE public.order_lines (
    id bigint, order_id bigint, sku text, title text, quantity integer,
    unit_price numeric);
CREATE INDEX order_lines_order_id ON public.order_lines (order_id);
"""


def plan_of_window(preset: Preset) -> tuple[set[str], set[str]]:
    last = preset.one("SELECT max(confirmed_at) FROM syncd.confirmed_orders")
    return plan(
        preset,
        """
        SELECT c.order_key, c.confirmed_at
          FROM syncd.confirmed_orders AS c
         WHERE c.confirmed_at > %s::timestamptz
        """,
        last - timedelta(hours=1),
    )


def plan_of_keys(preset: Preset) -> tuple[set[str], set[str]]:
    return plan(
        preset,
        """
        SELECT DISTINCT c.order_key::text
          FROM syncd.confirmed_orders AS c
         WHERE c.order_key = ANY(%s::text[]::{key}[])
        """,
        some_keys(preset),
    )


def plan_of_read(preset: Preset) -> tuple[set[str], set[str]]:
    return plan(
        preset,
        """
        SELECT to_json(p)::text
          FROM syncd.purchases AS p
         WHERE p.order_key = ANY(%s::text[]::{key}[])
        """,
        some_keys(preset),
    )


def some_keys(preset: Preset) -> list[str]:
    keys = preset.one(
        """
        SELECT array_agg(c.order_key::text)
          FROM (SELECT order_key
                  FROM syncd.confirmed_orders
                 ORDER BY confirmed_at DESC
                 LIMIT 100) AS c
        """
    )
    assert len(keys) == 100
    return [str(key) for key in keys]


def plan(
    preset: Preset, query: LiteralString, argument: object
) -> tuple[set[str], set[str]]:
    """Return the indexes that a daemon's query uses, and the tables that it scans."""
    statement = sql.SQL("EXPLAIN (FORMAT JSON) " + query).format(
        key=sql.SQL(KEY_TYPES[preset.name])
    )
    row = preset.connection.execute(statement, [argument]).fetchone()
    assert row is not None
    nodes = [row[0][0]["Plan"]]
    for node in nodes:
        nodes.extend(node.get("Plans", []))
    return (
        {str(node["Index Name"]) for node in nodes if "Index Name" in node},
        {str(n["Relation Name"]) for n in nodes if n["Node Type"] == "Seq Scan"},
    )
