"""`syncd diff`: a changed view's events beside the present view's or sent ones."""

import json
from pathlib import Path

import pytest
from support.command import syncd
from support.feed_harness import ago
from support.shop import Shop

from syncd.demo.sandbox import Sandbox

pytestmark = pytest.mark.db

CANDIDATE = """
CREATE VIEW syncd.purchases_new AS
SELECT id AS order_key, 'W-' || id AS orderid,
       CASE WHEN id <> 2 THEN lower(email) ELSE 'nobody' END AS email,
       'EUR' AS currency,
       total AS totalvalue, 'NL' AS country, products #- '{{0,price}}' AS products
  FROM orders WHERE id <> 3;
GRANT SELECT ON syncd.purchases_new TO {role}
"""


@pytest.fixture
def sent_config(shop: Shop, sandbox: Sandbox, tmp_path: Path) -> Path:
    """A shop that has delivered five orders."""
    path = shop.configure(tmp_path, sandbox.endpoint)
    assert syncd("run", "--once", "--config", path).returncode == 0
    shop.confirm(5)
    assert syncd("run", "--once", "--config", path).returncode == 0
    assert sandbox.received.totals.orderids == 5
    return path


def read_json(config: Path, *arguments: str, code: int = 1) -> dict[str, object]:
    done = syncd("diff", "--json", "--config", config, *arguments)
    assert done.returncode == code, done.stderr
    facts: dict[str, object] = json.loads(done.stdout)
    return facts


def changes(facts: dict[str, object]) -> dict[str, list[str]]:
    """Return the differences of each order by its key."""
    orders = facts["orders"]
    assert isinstance(orders, list)
    return {
        order["order_key"]: [
            f"{c['kind']} {c['field']} {c['product'] or ''}".strip()
            for c in order["changes"]
        ]
        for order in orders
    }


def test_a_view_with_the_same_events_has_no_difference(
    shop: Shop, sent_config: Path
) -> None:
    """Exit 0, also in comparison with what was sent."""
    same = "CREATE VIEW syncd.same AS SELECT * FROM syncd.purchases; "
    shop.sql(f"{same} GRANT SELECT ON syncd.same TO {shop.role}")
    for arguments in ((), ("--with", "syncd.same")):
        facts = read_json(sent_config, *arguments, code=0)
        assert (facts["compared"], facts["different"]) == (5, 0)
    output = syncd("diff", "--config", sent_config).stdout
    assert output == "5 orders compared with what was sent: no difference\n"


def test_a_candidate_is_compared_field_by_field(shop: Shop, sent_config: Path) -> None:
    """Orders that appear, change, cannot be sent, and disappear."""
    shop.sql(CANDIDATE.format(role=shop.role))
    facts = read_json(sent_config, "--with", "syncd.purchases_new")
    differs = ["added country", "removed products.price MUG-1"]
    assert changes(facts) == {
        "5": differs,
        "4": differs,
        "3": [],
        "2": [],
        "1": differs,
    }
    assert (facts["gone"], facts["unsendable"]) == (["3"], ["2"])
    assert facts["fields"] == [
        {"field": "country", "kind": "added", "orders": 3},
        {"field": "products.price", "kind": "removed", "orders": 3},
    ]
    assert (
        read_json(sent_config, "--with", "syncd.purchases_new", "--last", "1")[
            "compared"
        ]
        == 1
    )
    output = syncd(
        "diff", "--with", "syncd.purchases_new", "--config", sent_config
    ).stdout
    assert "5 differ, of which 1 cannot be sent, 1 are gone" in " ".join(output.split())
    assert "order 5 and 2 like it: 4, 1" in output
    assert "order 2 cannot be sent: email is not an address like" in output


def test_values_are_shown_only_on_request(shop: Shop, sent_config: Path) -> None:
    """Neither as text nor as JSON, and the ledger has none."""
    shop.sql("UPDATE orders SET email = 'secret@example.com'")
    plain = syncd("diff", "--config", sent_config)
    document = syncd("diff", "--json", "--config", sent_config)
    assert "secret" not in plain.stdout + document.stdout
    assert "email  now text of 18" in plain.stdout
    shown = syncd("diff", "--show-values", "--config", sent_config)
    assert "now secret@example.com" in shown.stdout
    kept = str(shop.rows_of("fingerprint"))
    assert "email/" in kept
    assert "mila" not in kept
    assert "MUG" not in kept


def test_sent_events_are_compared_by_their_fingerprints(
    shop: Shop, sent_config: Path
) -> None:
    """First with an order changed in the shop, then with a changed view."""
    shop.sql(
        "UPDATE orders SET total = 7 WHERE id = 4; DELETE FROM orders WHERE id = 1"
    )
    facts = read_json(sent_config)
    assert changes(facts) == {"4": ["changed totalvalue"], "1": []}
    assert (facts["gone"], facts["same_mapping"]) == (["1"], True)
    assert (
        "the shop's data has changed" in syncd("diff", "--config", sent_config).stdout
    )
    shop.sql(
        "CREATE OR REPLACE VIEW syncd.purchases AS SELECT id AS order_key, "
        "'W-' || id AS orderid, email, 'USD' AS currency, total AS totalvalue, "
        "products FROM orders"
    )
    facts = read_json(sent_config)
    assert facts["same_mapping"] is False
    assert facts["fields"] == [
        {"field": "currency", "kind": "changed", "orders": 4},
        {"field": "totalvalue", "kind": "changed", "orders": 1},
    ]
    assert "the view was changed since" in syncd("diff", "--config", sent_config).stdout


def test_a_rotated_key_leaves_nothing_to_compare(sent_config: Path) -> None:
    """It is reported, with an exit code other than that of no difference."""
    done = syncd("diff", "--config", sent_config, SYNCD_SQUEEZELY_API_KEY="rotated")
    assert done.returncode == 1
    assert "5 orders cannot be compared: the API key was another" in " ".join(
        done.stdout.split()
    )


def test_backfilled_orders_leave_no_fingerprints(shop: Shop, sent_config: Path) -> None:
    """A backfill sends the order's own fields only, and its speed counts."""
    shop.sql("INSERT INTO orders (confirmed_at) VALUES (now() - interval '1 day')")
    reset = (
        "watermark",
        "reset",
        "--yes",
        "--to",
        "2 days ago",
        "--config",
        sent_config,
    )
    assert syncd(*reset).returncode == 0
    assert syncd("run", "--once", "--config", sent_config).returncode == 0
    assert shop.count("fingerprint") == 5


def test_a_row_that_breaks_the_candidate_is_named(
    shop: Shop, sent_config: Path
) -> None:
    """The other orders are compared."""
    shop.sql(
        "UPDATE orders SET email = 'x' WHERE id = 2; CREATE VIEW syncd.broken AS "
        "SELECT id AS order_key, 'W-' || id AS orderid, products, "
        "CASE WHEN email = 'x' THEN (1 / (id - 2))::text ELSE email END AS email "
        f"FROM orders; GRANT SELECT ON syncd.broken TO {shop.role}"
    )
    facts = read_json(sent_config, "--with", "syncd.broken")
    assert facts["compared"] == 5
    assert facts["unsendable"] == ["2"]
    assert "22012" in str(facts["orders"])


@pytest.mark.parametrize(
    ("view", "code", "words"),
    [
        ("syncd.nowhere", 78, "the view syncd.nowhere is missing"),
        ("orders", 78, "the view orders lacks the column order_key"),
        ("syncd.closed", 77, "GRANT SELECT ON syncd.closed"),
        ("syncd.odd", 78, "no fields of Squeezely's: shoesize"),
        ("syncd.purchases; DROP TABLE orders", 64, "syncd.purchases_new"),
    ],
)
def test_an_unusable_view_is_reported(
    shop: Shop, sent_config: Path, view: str, code: int, words: str
) -> None:
    """The error names the view and the next step."""
    shop.sql(
        "CREATE VIEW syncd.closed AS SELECT * FROM syncd.purchases; "
        "CREATE VIEW syncd.odd AS SELECT *, 44 AS shoesize FROM syncd.purchases; "
        f"GRANT SELECT ON syncd.odd TO {shop.role}"
    )
    done = syncd("diff", "--with", view, "--config", sent_config)
    assert done.returncode == code
    assert words in done.stderr


def test_orders_that_differ_are_sent_again(
    shop: Shop, sandbox: Sandbox, sent_config: Path
) -> None:
    """The chosen ones, whole and with their reason; then they no longer differ."""
    shop.sql("UPDATE orders SET total = 7 WHERE id IN (2, 4)")
    again = ("--resend", "--yes", "--reason", "wrong totals")
    facts = read_json(sent_config, "4", *again)
    assert facts["compared"] == 1
    assert (changes(facts), facts["resent"]) == ({"4": ["changed totalvalue"]}, 1)
    assert syncd("run", "--once", "--config", sent_config).returncode == 0
    assert [sandbox.received.posts(f"W-{n}") for n in range(1, 6)] == [1, 1, 1, 2, 1]
    assert changes(read_json(sent_config)) == {"2": ["changed totalvalue"]}
    assert "wrong totals" in syncd("explain", "4", "--config", sent_config).stdout
    assert read_json(sent_config, "5", *again, code=0)["resent"] == 0


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--resend",), 64, "Give the reason"),
        (("--reason", "x"), 64, "--reason needs --resend"),
        (
            ("--resend", "--reason", "x", "--with", "syncd.v"),
            64,
            "apply the view first",
        ),
        (("--resend", "--reason", "x"), 1, "nothing was changed"),
        (("1", "404", "--resend", "--reason", "x"), 1, "orders compared: 404"),
    ],
)
def test_sending_again_requires_a_reason_and_confirmation(
    shop: Shop, sent_config: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    """Without them nothing is sent."""
    shop.sql("UPDATE orders SET total = 7")
    done = syncd("diff", *arguments, "--config", sent_config)
    assert done.returncode == code
    assert words in done.stderr
    assert shop.rows_of("backfill") == []


def test_only_the_newest_fingerprints_are_kept(shop: Shop, sent_config: Path) -> None:
    """A thousand for a feed; the oldest are deleted first."""
    common = {"feed_id": 1, "key_id": b"", "mapping": "", "fields": "{}"}
    shop.insert_many(
        "fingerprint",
        (
            {**common, "order_key": f"x{n}", "sent_at": ago(hours=n)}
            for n in range(1, 1201)
        ),
    )
    shop.confirm(2)
    assert syncd("run", "--once", "--config", sent_config).returncode == 0
    kept = {fingerprint.order_key for fingerprint in shop.rows_of("fingerprint")}
    assert len(kept) == 1000
    assert {"6", "7", "x993"} <= kept
