"""The report in a real browser."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.browser import DESKTOP, PHONE, PROGRAM, Tab, browser
from support.command import syncd
from support.ledger_rows import LedgerWriter
from support.postgres import Cluster
from support.shop import Shop

pytestmark = [
    pytest.mark.db,
    pytest.mark.skipif(
        not PROGRAM and not os.environ.get("CI"),
        reason="Chromium is not installed: nobody has looked at the report",
    ),
]

LONG = "HTTP 400: " + "a-reason-without-any-space-to-break-at" * 4

OVERFLOWING = """
[...document.querySelectorAll('body *:not(svg *)')]
  .filter(e => !e.closest('.scroll') && e.getClientRects().length
               && e.getBoundingClientRect().right > innerWidth + 0.5)
  .map(e => e.tagName + ' ' + e.textContent.slice(0, 40))
"""
CUT_OFF = """
[...document.querySelectorAll('svg text')]
  .filter(text => text.getClientRects().length)
  .filter(text => {
    const own = text.getBoundingClientRect();
    const plot = text.ownerSVGElement.getBoundingClientRect();
    return own.left < plot.left - 0.5 || own.right > plot.right + 0.5
        || own.bottom > plot.bottom + 0.5 || own.top < plot.top - 0.5;
  })
  .map(text => text.textContent)
"""
COLLIDING = """
[...document.querySelectorAll('svg')].flatMap(svg => {
  const boxes = [...svg.querySelectorAll('text')]
    .filter(text => text.getClientRects().length)
    .map(text => [text.textContent, text.getBoundingClientRect()]);
  return boxes.flatMap(([name, one], place) => boxes.slice(place + 1)
    .filter(([_, other]) => one.left < other.right && other.left < one.right
                            && one.top < other.bottom && other.top < one.bottom)
    .map(([other]) => `${name} on ${other}`));
})
"""
FAINT = """
(() => {
  const lightness = colour => {
    const [r, g, b] = colour.match(/[\\d.]+/g).map(Number).map(v => v / 255)
      .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = e => {
    for (; e; e = e.parentElement) {
      const colour = getComputedStyle(e).backgroundColor;
      if (!colour.startsWith('rgba(0, 0, 0, 0')) return colour;
    }
  };
  const contrast = (one, other) => {
    const [low, high] = [lightness(one), lightness(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  const words = [...document.querySelectorAll('h1, h2, p, li, dt, dd, th, td, summary')]
    .filter(e => contrast(getComputedStyle(e).color, behind(e)) < 4.5);
  const marks = [...document.querySelectorAll('svg rect:not(.hit)')]
    .filter(e => contrast(getComputedStyle(e).fill, behind(e)) < 3);
  const ticks = [...document.querySelectorAll('svg text')]
    .filter(e => contrast(getComputedStyle(e).fill, behind(e)) < 4.5);
  return [...words, ...marks, ...ticks].map(e => e.outerHTML.slice(0, 80));
})()
"""
UNTOLD = """
[...document.querySelectorAll('figure')]
  .filter(figure => {
    const plot = figure.querySelector('svg[role=img]');
    const told = id => document.getElementById(id)?.textContent;
    return plot && !(plot.getAttribute('aria-labelledby').split(' ').every(told)
                     && figure.querySelector('details table tbody tr'));
  })
  .map(figure => figure.textContent.slice(0, 40))
"""


@pytest.fixture(scope="module")
def pages(server: Cluster, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Pages by days, by hours and empty, of a ledger with every kind of row."""
    folder = tmp_path_factory.mktemp("pages")
    server.sql("CREATE DATABASE looked_at")
    shop = Shop.open(server.dsn("looked_at"))
    rows = LedgerWriter(shop)
    now = datetime.now(UTC)
    for hours in range(1, 29 * 24, 13):
        at = str(now - timedelta(hours=hours))
        lane = "backfill" if hours > 600 else "live"
        rows.batch(at, 1 + hours % 90, lag=f"{hours % 50 + 0.2} s", lane=lane)
        rows.attempt(at, "accepted")
        if hours % 4 == 0:
            rows.set_aside(at, "rejected", LONG if hours % 2 else "email is missing")
            rows.attempt(at, ("transient", "unclear", "refused")[hours % 3])
    config = shop.configure(folder, "http://127.0.0.1:1/track")
    functions = {
        "days": ("--from", "30 days ago"),
        "hours": ("--from", "3 days ago"),
        "months": ("--from", "800 days ago"),
        "empty": ("--from", "900 days ago", "--to", "899 days ago"),
    }
    made = {name: folder / f"{name}.html" for name in functions}
    for name, arguments in functions.items():
        done = syncd("report", "--out", made[name], *arguments, "--config", config)
        assert done.returncode == 0, done.stderr
    server.sql("DROP DATABASE looked_at WITH (FORCE)")
    return made


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with browser(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["days", "hours", "months", "empty"])
def test_the_page_is_legible_and_self_contained(
    pages: dict[str, Path], tab: Tab, name: str, scheme: str, size: tuple[int, int]
) -> None:
    """Nothing is cut off, overlaps or is faint; no requests, no logged errors."""
    tab.requests.clear()
    tab.show(pages[name], scheme=scheme, size=size)
    assert tab.evaluate("innerWidth") == size[0]
    assert tab.evaluate("document.documentElement.scrollWidth") <= size[0]
    assert tab.evaluate("document.querySelectorAll('figure').length") == (
        0 if name == "empty" else 6
    )
    for wrong in (OVERFLOWING, CUT_OFF, COLLIDING, FAINT, UNTOLD):
        assert tab.evaluate(wrong) == []
    assert tab.requests == [pages[name].as_uri()]
    assert tab.problems == []
    if folder := os.environ.get("SYNCD_TEST_PICTURES"):
        tab.screenshot(Path(folder) / f"{name}-{scheme}-{size[0]}.png")


def test_light_and_dark_schemes_are_painted(pages: dict[str, Path], tab: Tab) -> None:
    """A pixel of the page's edge and one within its verdict."""
    painted = {}
    for scheme in ("light", "dark"):
        tab.show(pages["days"], scheme=scheme, size=DESKTOP)
        box = tab.evaluate(
            "(b => [b.left + 60, b.top + 5])"
            "(document.querySelector('.verdict').getBoundingClientRect())"
        )
        painted[scheme] = tab.colour(2, 2), tab.colour(*map(int, box))
    (light, light_verdict), (dark, dark_verdict) = painted["light"], painted["dark"]
    assert min(light) > 240
    assert max(dark) < 40
    assert light_verdict not in {light, dark_verdict}
    assert dark_verdict != dark


def test_pointing_at_a_plot_shows_its_figures(pages: dict[str, Path], tab: Tab) -> None:
    """Every element of a plot has a tooltip."""
    tab.show(pages["days"], scheme="light", size=DESKTOP)
    tooltip = tab.evaluate(
        "(plot => { const box = plot.getBoundingClientRect();"
        " scrollTo(0, box.top + scrollY - 100);"
        " const now = plot.getBoundingClientRect();"
        " return document.elementFromPoint(now.left + now.width / 2, now.top + 60)"
        ".querySelector('title').textContent })"
        "(document.querySelector('svg[role=img]'))"
    )
    assert ": delivered " in tooltip


def test_the_printed_page_is_light_and_has_no_collapsed_tables(
    pages: dict[str, Path], tab: Tab
) -> None:
    """This holds for dark screens as well."""
    tab.show(pages["days"], scheme="dark", size=DESKTOP)
    features = [{"name": "prefers-color-scheme", "value": "dark"}]
    tab.call("Emulation.setEmulatedMedia", media="print", features=features)
    page = "getComputedStyle(document.documentElement).backgroundColor"
    assert tab.evaluate(page) == "rgb(255, 255, 255)"
    shown = "getComputedStyle(document.querySelector('details')).display"
    assert tab.evaluate(shown) == "none"
    tab.call("Emulation.setEmulatedMedia", media="")
