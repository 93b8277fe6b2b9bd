"""A recorded log of the real daemon, and what its consumers derive from it."""

import csv
import io
import json
import os
import re
import signal
import socket
import subprocess
from collections import Counter
from contextlib import closing, suppress
from pathlib import Path
from urllib.request import urlopen

import pytest
from support.consumers import MONITORING, Metrics, metrics, tool
from support.postgres import Cluster, wait_until
from support.recorded_log import RecordedLog, record_once

from syncd.log.events import EVENTS

pytestmark = pytest.mark.db


@pytest.fixture(scope="session")
def recorded(
    server: Cluster,
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> RecordedLog:
    base = tmp_path_factory.getbasetemp()
    if hasattr(request.config, "workerinput"):
        base = base.parent
    folder = base / "hour"
    folder.mkdir(exist_ok=True)
    return record_once(server, folder)


@pytest.fixture(scope="session")
def scraped(recorded: RecordedLog) -> Metrics:
    return metrics(recorded.log)


def test_the_metrics_count_what_the_ledger_has(
    recorded: RecordedLog, scraped: Metrics
) -> None:
    """Captured, delivered, rejected, withdrawn, missed: in orders."""
    true = recorded.facts
    assert (true["delivered"], true["rejected"], true["withdrawn"]) == (27, 2, 1)
    for counted in ("delivered", "rejected", "withdrawn", "repeated"):
        assert scraped.value(f"syncd_{counted}_orders_total") == true[counted], counted
    assert scraped.value("syncd_missed_orders_total") == 1
    assert scraped.by("syncd_captured_orders_total", "capture") == {
        "poll": true["captured"] - 1  # reconciliation captured the missed one
    }
    # Three were repeated; two that are kept for a person had arrived.
    assert (true["repeated"], true["posts"]) == (3 + 5, 27 + 3 + 2)


def test_the_metrics_count_attempts_as_the_ledger_does(
    recorded: RecordedLog, scraped: Metrics
) -> None:
    """Each once, by its outcome, also one that ended with its daemon."""
    known = recorded.facts["attempts"]
    outcomes = {"accepted", "transient", "unclear", "client_refused", "uncertain"}
    assert set(known) == outcomes
    assert scraped.by("syncd_attempts_total", "outcome") == known


def test_the_gauges_have_the_values_of_the_last_heartbeat(
    recorded: RecordedLog, scraped: Metrics
) -> None:
    """The values are correct: they are compared with the ledger."""
    beat = recorded.events("heartbeat")[-1]
    held = recorded.facts["held"]
    assert (beat["held"], beat["uncertain"], beat["rejected"]) == (held, held, 2)
    for metric, reported in {
        "syncd_held_orders": "held",
        "syncd_uncertain_orders": "uncertain",
        "syncd_rejected_orders": "rejected",
        "syncd_withdrawn_orders": "withdrawn",
        "syncd_sending_orders": "sending",
        "syncd_unexplained_orders": "unexplained",
        "syncd_lag_seconds": "lag_seconds",
        "syncd_watermark_age_seconds": "watermark_age_seconds",
        "syncd_reconciliation_age_seconds": "reconciled_seconds",
        "syncd_delivered_per_minute": "delivered_per_minute",
        "syncd_rate_factor": "rate_factor",
        "syncd_resident_memory_max_mebibytes": "rss_mb",
    }.items():
        assert scraped.value(metric) == pytest.approx(beat[reported]), metric
    pending = {"live": "pending", "backfill": "pending_backfill"}
    for lane, reported in pending.items():
        assert scraped.value("syncd_pending_orders", lane=lane) == beat[reported]
    assert scraped.by("syncd_endpoint_state", "state") == {
        str(beat["endpoint_state"]): 1
    }


def test_a_pause_is_a_gauge_of_its_own(
    recorded: RecordedLog, scraped: Metrics, tmp_path: Path
) -> None:
    """1 while heartbeats report it, for each half of the feed; 0 afterwards."""
    assert scraped.by("syncd_paused", "what") == {}
    text = recorded.log.read_text()
    (*_, last) = [line for line in text.splitlines() if '"paused":"' in line]
    until_then = tmp_path / "syncd.log"
    until_then.write_text(text[: text.index(last)] + last + "\n")
    paused = metrics(until_then).by("syncd_paused", "what")
    assert paused == {"sending": 1, "capture": 1}


def test_every_event_is_counted_and_dated(
    recorded: RecordedLog, scraped: Metrics
) -> None:
    """Rare ones too: their alerts depend on the time of the last one."""
    lines = recorded.lines()
    counted = Counter(str(line["event"]) for line in lines)
    assert scraped.by("syncd_events_total", "event") == counted
    levels = {str(line["event"]): str(line["level"]) for line in lines}
    assert levels == {event: EVENTS[event].level for event in counted}
    dates = scraped.by("syncd_last_event_timestamp_seconds", "event")
    assert dates.keys() == counted.keys()
    assert counted["daemon.started"] == 3
    expected = {"sending.held", "orders.missed", "batch.uncertain", "orders.rejected"}
    assert expected <= counted.keys()


def test_the_delivery_lag_is_a_histogram(
    recorded: RecordedLog, scraped: Metrics
) -> None:
    """One observation for each delivered batch, whatever its value."""
    batches = float(len(recorded.events("batch.delivered")))
    for name in ("syncd_delivery_lag_seconds", "syncd_delivery_duration_seconds"):
        assert scraped.value(f"{name}_count") == batches
        assert scraped.value(f"{name}_bucket", le="+Inf") == batches
    total = sum(x["lag_seconds"] for x in recorded.events("batch.delivered"))
    assert scraped.value("syncd_delivery_lag_seconds_sum") == pytest.approx(total)


def test_every_line_keeps_the_order_of_fields_that_consumers_match(
    recorded: RecordedLog,
) -> None:
    """Time, level, event, feed, run; then the instance, which a reload changes."""
    for line in recorded.lines():
        assert list(line)[:5] == ["timestamp", "level", "event", "feed", "run"]
    runs = {str(line["run"]) for line in recorded.lines()}
    instances = {line["instance"] for line in recorded.events("batch.delivered")}
    assert (len(runs), instances) == (3, {1, 2, 3, 4})


def test_the_shipped_unit_serves_the_metrics(
    recorded: RecordedLog, tmp_path: Path
) -> None:
    """Its command unchanged, with the log instead of the journal."""
    unit = (MONITORING / "syncd-mtail.service").read_text()
    (command,) = re.findall(r"^ExecStart=/bin/sh -c '(.+)'$", unit, re.MULTILINE)
    journal = re.search(r"journalctl [^|]+", command)
    assert journal is not None
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    pipe = tmp_path / "journal"
    os.mkfifo(pipe)
    here = {
        journal[0]: f"cat {pipe} ",
        "/etc/syncd/monitoring": str(MONITORING),
        "--port=3903": f"--port={port}",
        "exec mtail": f"exec {tool('mtail')}",
    }
    for there, stand_in in here.items():
        assert there in command
        command = command.replace(there, stand_in)
    served: list[str] = []

    def is_served() -> bool:
        with suppress(OSError):
            url = f"http://127.0.0.1:{port}/metrics"
            served[:] = [urlopen(url, timeout=5).read().decode()]
        return 'syncd_delivered_orders_total{feed="shop"} 27' in "".join(served)

    mtail = subprocess.Popen(
        ["/bin/sh", "-c", command], stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        with pipe.open("w") as journal_of_the_hour:
            journal_of_the_hour.write(recorded.log.read_text())
            journal_of_the_hour.flush()
            wait_until(is_served)
    finally:
        os.killpg(mtail.pid, signal.SIGTERM)  # the shell, and mtail that it runs
        mtail.wait(60)


def test_lnav_reads_the_log_and_counts_in_it(
    recorded: RecordedLog, tmp_path: Path
) -> None:
    """The shipped format allows SQL over the lines."""
    formats = tmp_path / "formats" / "syncd"
    formats.mkdir(parents=True)
    (formats / "syncd.json").write_text((MONITORING / "syncd.lnav.json").read_text())
    environment = {**os.environ, "HOME": str(tmp_path), "TERM": "dumb"}
    lnav = [tool("lnav"), "-I", str(tmp_path)]
    checked = subprocess.run([*lnav, "-C"], env=environment, check=False)
    assert checked.returncode == 0
    query = (
        ";SELECT log_body, count(*) AS lines, sum(orders) AS orders "
        "FROM syncd_log GROUP BY log_body ORDER BY log_body"
    )
    done = subprocess.run(
        [*lnav, "-n", "-c", query, "-c", ":write-csv-to -", str(recorded.log)],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    found = csv.DictReader(io.StringIO(done.stdout))
    rows = {row["log_body"].strip(): row for row in found}
    counted = Counter(str(line["event"]) for line in recorded.lines())
    assert {event: int(row["lines"]) for event, row in rows.items()} == counted
    assert rows["batch.delivered"]["orders"] == "27"


def test_rsyslog_writes_a_file_for_each_feed(
    recorded: RecordedLog, tmp_path: Path
) -> None:
    """The shipped rules on the real log; only the input is a file here."""
    shipped = (MONITORING / "rsyslog.conf").read_text()
    rules = shipped.split("# Input", 1)[0].replace("/var/log/syncd", str(tmp_path))
    config = tmp_path / "rsyslog.conf"
    config.write_text(
        f'global(workDirectory="{tmp_path}")\n{rules}\nmodule(load="imfile")\n'
        f'input(type="imfile" file="{recorded.log}" tag="syncd-shop:" '
        'ruleset="syncd" readMode="0")\n'
    )
    daemon = subprocess.Popen(
        [tool("rsyslogd"), "-n", "-f", str(config), "-i", str(tmp_path / "pid")]
    )
    written, errors = tmp_path / "shop.log", tmp_path / "urgent.log"
    lines = recorded.lines()
    try:
        wait_until(lambda: written.exists() and _count(written) == len(lines))
    finally:
        daemon.terminate()
        daemon.wait(60)
    assert [json.loads(line) for line in written.read_text().splitlines()] == lines
    urgent = [line for line in lines if line["level"] in {"error", "critical"}]
    assert _count(errors) == len(urgent) > 0


def test_the_documented_jq_commands_work(recorded: RecordedLog) -> None:
    """The log is plain JSON lines."""
    done = subprocess.run(
        [
            tool("jq"),
            "-s",
            'map(select(.event == "batch.delivered").orders) | add',
            str(recorded.log),
        ],
        check=True,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.stdout.strip() == "27"


def _count(file: Path) -> int:
    return len(file.read_text().splitlines())
