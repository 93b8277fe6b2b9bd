"""`syncd report`, as its users run it."""

import json
import os
import stat
from pathlib import Path

import pytest
from support.command import syncd
from support.ledger_rows import LedgerWriter
from support.shop import Shop

pytestmark = pytest.mark.db

UNREACHED = "http://127.0.0.1:1/track"


@pytest.fixture
def reported_config(shop: Shop, tmp_path: Path) -> Path:
    rows = LedgerWriter(shop)
    rows.batch("2026-01-05 12:00+01", 3)
    rows.attempt("2026-01-05 12:00+01", "accepted")
    zone = {"time_zone": "Europe/Amsterdam"}
    return shop.configure(tmp_path, UNREACHED, zone)


def test_the_page_is_replaced_atomically_and_readable_for_all(
    reported_config: Path, tmp_path: Path
) -> None:
    """An existing page is replaced; no other file is left in the folder."""
    out = tmp_path / "out" / "syncd.html"
    out.parent.mkdir()
    out.write_text("an older one")
    arguments = ("--from", "2026-01-05", "--to", "2026-01-06")
    done = syncd("report", "--out", out, *arguments, "--config", reported_config)
    assert (done.returncode, done.stdout) == (0, f"wrote {out}\n"), done.stderr
    assert done.stderr == ""  # no progress without a running backfill
    text = out.read_text()
    assert text.startswith("<!doctype html>")
    assert text.endswith("</html>\n")
    for words in (
        "5 Jan 2026, 00:00",
        "Europe/Amsterdam",
        "by hour",
        "3 in all",
        "no daemon has served it yet",  # as `syncd status` judges
        "<code>syncd run</code>",
    ):
        assert words in " ".join(text.split())
    assert [file.name for file in out.parent.iterdir()] == ["syncd.html"]
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(out.stat().st_mode) == 0o666 & ~mask


def test_json_has_the_same_figures_as_the_page(
    reported_config: Path, tmp_path: Path
) -> None:
    """It has them with or without a page; times and intervals are equal."""
    options = (
        "--from",
        "2026-01-04",
        "--to",
        "2026-01-09",
        "--config",
        reported_config,
    )
    facts = json.loads(syncd("report", "--json", *options).stdout)
    assert facts["unit"] == "day"
    assert facts["starts"][0] == "2026-01-04T00:00:00+01:00"
    assert facts["confirmed"] == [0, 3, 0, 0, 0]
    assert facts["attempts"]["accepted"] == [0, 1, 0, 0, 0]
    assert facts["lags_seconds"][1] == {"p50": 1, "p95": 1, "p99": 1}
    out = tmp_path / "page.html"
    again = json.loads(syncd("report", "--json", "--out", out, *options).stdout)
    assert again["confirmed"] == facts["confirmed"]
    assert out.exists()


@pytest.mark.parametrize(
    ("arguments", "words", "code"),
    [
        ((), "--out FILE.html", 64),
        (("--out", "{folder}/nowhere/a.html"), "no such file or directory", 64),
        (("--out", "{folder}"), "is a folder", 64),
        (("--out", "/proc/a.html"), "/proc/a.html: ", 64),
        (("--out", "{folder}/a.html", "--from", "tomorrow"), "is not a valid time", 64),
        (("--out", "{folder}/a.html", "--from", "2999-01-01"), "in the future", 64),
        (
            ("--out", "{folder}/a.html", "--from", "2026-02-01", "--to", "2026-01-01"),
            "is not before --to",
            64,
        ),
    ],
)
def test_an_impossible_report_is_refused_in_one_line(
    reported_config: Path,
    tmp_path: Path,
    arguments: tuple[str, ...],
    words: str,
    code: int,
) -> None:
    """The line has the next step; nothing is left behind."""
    folder = tmp_path / "out"
    folder.mkdir()
    given = [each.replace("{folder}", str(folder)) for each in arguments]
    done = syncd("report", *given, "--config", reported_config)
    assert (done.returncode, done.stdout) == (code, "")
    message, hint = done.stderr.splitlines()
    assert words in message
    assert hint.startswith("  ")
    assert list(folder.iterdir()) == []


def test_an_unreadable_ledger_leaves_the_older_page(shop: Shop, tmp_path: Path) -> None:
    """A feed that was never started has no page yet; the error says how to start it."""
    config = shop.configure(tmp_path, UNREACHED)
    folder = tmp_path / "out"
    folder.mkdir()
    out = folder / "syncd.html"
    out.write_text("an older one")
    done = syncd("report", "--out", out, "--config", config)
    assert done.returncode == 78
    assert "syncd run" in done.stderr
    assert out.read_text() == "an older one"
    assert [file.name for file in folder.iterdir()] == ["syncd.html"]


def test_the_page_of_a_feed_without_orders_gives_the_next_step(
    shop: Shop, tmp_path: Path
) -> None:
    """The page has the next command instead of empty plots."""
    LedgerWriter(shop)
    config = shop.configure(tmp_path, UNREACHED)
    out = tmp_path / "syncd.html"
    assert syncd("report", "--out", out, "--config", config).returncode == 0
    assert "No order was confirmed" in out.read_text()
