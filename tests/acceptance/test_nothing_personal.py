"""No personal data is stored or printed: canaries are found nowhere."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.command import syncd
from support.postgres import wait_until
from support.shop import Shop

from syncd.demo.sandbox import Sandbox

pytestmark = [pytest.mark.db, pytest.mark.timeout(180)]

PERSON = {
    "email": "kanarie.geel@canary-mail.example",
    "firstname": "Kwetterina",
    "lastname": "van Zangvogel-Pietje",
    "phone": "+31 6 73919173",
    "city": "Vogelenzangdorp",
    "postcode": "9731KN",
    "birthdate": "1973-11-29",
    "custom_street": "Kooistraat 117bis",
}
WORDS = [
    "kanarie", "canary-mail", "kwetterina", "zangvogel", "pietje", "73919173",
    "vogelenzang", "9731kn", "1973-11-29", "kooistraat", "117bis",
    "sleutelkanarie", "wachtwoordkanarie",
]  # fmt: skip
KEY = "sleutelkanarie-0815"
PASSWORD = "wachtwoordkanarie"  # noqa: S105  # one that must show nowhere
ECHO = " ".join([*PERSON.values(), KEY])
COLUMNS = ", ".join(f"'{value}' AS {name}" for name, value in PERSON.items())
VIEW = f"""
CREATE FUNCTION quoting(text) RETURNS text LANGUAGE plpgsql STABLE AS $$
BEGIN
    EXECUTE format('SELECT 1 FROM %I', $1);
    RETURN $1;
END $$;
CREATE TABLE persons AS SELECT {COLUMNS};
DROP VIEW syncd.purchases;
CREATE VIEW syncd.purchases AS
SELECT o.id AS order_key, 'W-' || o.id AS orderid, 'EUR' AS currency,
       CASE o.total WHEN 3 THEN p.firstname::numeric
                      WHEN 5 THEN quoting(p.email)::numeric
                      WHEN 7 THEN p.birthdate::numeric
                      ELSE o.total END AS totalvalue,
       CASE o.total WHEN 9 THEN jsonb_build_array(jsonb_build_object(p.email, 1))
                      ELSE o.products END AS products,
       p.*
  FROM orders AS o, persons AS p;
"""
TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'syncd' ORDER BY 1"
BROKEN = """
INSERT INTO orders (confirmed_at, total)
SELECT clock_timestamp(), total FROM unnest(ARRAY[3, 5, 7, 9]) AS total
"""


@pytest.fixture
def keyed_sandbox() -> Iterator[Sandbox]:
    with Sandbox(api_key=KEY) as running:
        yield running


def echoing_responses() -> Iterator[tuple[int, str, str]]:
    """Responses that quote what was sent, one for each outcome; one accepts."""
    error = {"success": False, "errors": [{"code": 1, "message": ECHO}]}
    yield 400, json.dumps(error), "application/json"
    yield 422, json.dumps({"errors": {ECHO: [ECHO]}}), "application/json"
    yield 200, json.dumps({"success": False, "errors": [ECHO]}), "application/json"
    yield 201, json.dumps({"Kwetterina": 1, ECHO: 2}), "application/json"
    yield 401, json.dumps({"errors": [ECHO.upper()]}), "application/json"
    yield 500, f"<html>{ECHO}</html>", "text/html"
    yield 429, json.dumps({"errors": ECHO}), "application/json"
    yield 302, ECHO, "text/plain"


LOOKS = (
    "status", "status --json", "check --json", "explain W-25", "explain W-1 --json",
    "rejected list", "rejected show W-28", "uncertain list", "watermark show",
    "reconcile", "watermark reset --to 2020-01-01 --dry-run", "pause --all",
    "resume --all", "rejected retry W-26", "erase W-1 --dry-run", "diff",
    "backfill --from 2020-01-01 --dry-run", "backfill list --json", "report --json",
    "mark-delivered --from 2020-01-01 --dry-run --json", "watermark show --json",
    "erase kanarie.geel@canary-mail.example --dry-run",
    "erase kanarie@nowhere.example --yes",
)  # fmt: skip
"""Commands that show something; `preview` and `verify` print an event on purpose."""


def run_commands(config: Path, *lines: str) -> list[str]:
    """Return what commands print."""
    done = [(line, syncd(*line.split(), "--config", config)) for line in lines]
    return [f"{one.stdout} {one.stderr}" for _, one in done]


def run_everything(shop: Shop, sandbox: Sandbox, config: Path, log: Path) -> list[str]:
    """Sell, deliver, run every command, also without a database."""
    daemon = shop.start(config, log=log)
    wait_until(lambda: "heartbeat" in log.read_text())
    printed = []
    for status, body, kind in echoing_responses():
        times = 1 if status == 201 else 2
        sandbox.fail("canned", times, status=status, body=body, content_type=kind)
        shop.confirm(3)
        wait_until(lambda: end_waits(shop) or not sandbox.queued_faults())
        if status == 201:  # nothing is sent until a person records its meaning
            wait_until(lambda: "sending.held" in log.read_text())
            printed += run_commands(config, "verify --json", "verify --means refusal")
    shop.sql(BROKEN)
    shop.confirm(3)
    wait_until(lambda: end_waits(shop) or "views.unavailable" in log.read_text())
    shop.sql("UPDATE orders SET total = 25 WHERE total = 5")
    wait_until(lambda: end_waits(shop) or settled(shop))
    text = config.read_text()
    printed += run_commands(
        config, *LOOKS, f"report --out {config.parent / 'report.html'}"
    )
    config.write_text(text.replace(shop.dsn, "host=127.0.0.1 port=1 dbname=x user=y"))
    printed += run_commands(config, "status", "check", "run --once")
    config.write_text(text)
    daemon.terminate()
    assert daemon.wait(60) == 0
    return printed


def test_no_canary_is_stored_or_printed(
    shop: Shop, keyed_sandbox: Sandbox, tmp_path: Path
) -> None:
    """No table, log line, file of the daemon or command's output has one."""
    shop.sql(VIEW)
    shop.sql(f"GRANT SELECT ON syncd.purchases TO {shop.role}")
    shop.listen()
    key = tmp_path / "key"
    key.write_text(KEY)
    reading = {"dsn": f"{shop.dsn} password={PASSWORD}", "capture": "listen"}
    sending = {"batch_size": 3, "api_key_file": key}
    config = shop.configure(tmp_path, keyed_sandbox.endpoint, reading, **sending)
    config.write_text(config.read_text().replace("[log]", '[log]\nlevel = "debug"'))
    printed = run_everything(shop, keyed_sandbox, config, tmp_path / "daemon.log")
    stored = {str(name): rows(shop, str(name)) for (name,) in shop.rows(TABLES)}
    stored |= {f"output {n}": line for n, line in enumerate(printed)}
    files = {f for f in tmp_path.rglob("*") if f.is_file()} - {config, key}
    stored |= {str(file): file.read_text(errors="replace") for file in files}
    assert "[hidden]" in stored["attempt"]
    assert len(files) >= 3
    assert "<html" in stored[str(tmp_path / "report.html")]
    found = [
        (place, word, text[max(0, at - 80) : at + 40])
        for place, text in stored.items()
        for word in WORDS
        if (at := text.lower().find(word)) >= 0
    ]
    assert found == []


def rows(shop: Shop, table: str) -> str:
    return str(shop.rows(f"SELECT t::text FROM syncd.{table} AS t"))


def end_waits(shop: Shop) -> bool:
    """End every wait."""
    shop.end_back_off()
    shop.make_batches_due()
    shop.sql("SELECT pg_notify('syncd_shop', 'look')")
    return False


def settled(shop: Shop) -> bool:
    """Return whether each unsendable order is known to be unsendable."""
    broken = {
        str(order.order_key)
        for order in shop.captured_orders()
        if order.state == "rejected"
        or (order.batch and "SQLSTATE" in (order.batch.read_reason or ""))
    }
    totals = shop.rows("SELECT total::integer, id::text FROM orders")
    return {total for total, key in totals if key in broken} >= {3, 7, 9}
