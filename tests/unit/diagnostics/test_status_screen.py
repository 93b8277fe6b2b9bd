"""The screen of `syncd status`, drawn from given facts."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from rich.console import Console

from syncd.config.settings import Settings
from syncd.core.health import assess
from syncd.core.health_inputs import InstanceInfo, RecentRefusals
from syncd.core.verdict import Health, HealthIssue, Severity
from syncd.diagnostics.status.document import check_line
from syncd.diagnostics.status.facts import FeedStatus
from syncd.diagnostics.status.rows import (
    Delivered,
    LedgerLocation,
    OutboxState,
    PastRange,
    Quick,
    Slow,
    Stream,
    Totals,
    UncertainCounts,
)
from syncd.diagnostics.status.screen import draw
from syncd.diagnostics.status.watch import History, bars, condense
from syncd.ledger.feed import Feed
from syncd.ledger.stats import FeedStats

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
AGO = NOW - timedelta(minutes=5)
SETTINGS = Settings.model_validate({"squeezely": {"account": "A"}})
PULSE = FeedStats(
    watermark=AGO,
    now=NOW,
    endpoint="available",
    endpoint_reason=None,
    endpoint_since=AGO,
    pending=0,
    pending_backfill=0,
    sending=0,
    oldest_at=None,
    rejected=0,
    withdrawn=0,
    held=0,
    uncertain=0,
)
SLOW = Slow(
    totals=Totals(delivered=1_204, adopted=3, read_at=NOW),
    accounts={"hours": "between a and b: 4 confirmed, 4 delivered, 0 unexplained"},
    backfills=[],
    source_fault=None,
    payload_verified=True,
    refusals=RecentRefusals(),
    left_out=[],
    outbox=None,
    stream=None,
)
ALIVE = InstanceInfo(3, "web1/boot/1", 4711, AGO, None, True)  # noqa: FBT003
QUICK = Quick(
    stats=PULSE,
    place=LedgerLocation(NOW, NOW, 1, 77, 5, 77, 5, "shop"),
    members=[ALIVE],
    delivered=Delivered(per_minute=12, since=2, last_at=NOW),
    uncertain=UncertainCounts(attempts=0, orders=0),
    holders=None,
)
WELL = FeedStatus(SETTINGS, Feed(1, AGO), QUICK, SLOW)
PAST = PastRange(
    9, AGO - timedelta(days=2), AGO, AGO, 5, AGO, None, "paused", "send", 4, 3
)
TROUBLED = replace(
    WELL,
    quick=replace(
        QUICK,
        stats=replace(
            PULSE,
            endpoint="held",
            endpoint_reason="HTTP 401 Invalid credentials",
            pending=12_000,
            pending_backfill=4,
            oldest_at=AGO,
            rejected=7,
            held=2,
            unexplained=1,
        ),
        place=replace(QUICK.place, system_identifier=78),
        holders=["pid 4711 billing since 2026-11-20 09:00:00+00"],
        uncertain=UncertainCounts(attempts=2, orders=1),
    ),
    slow=replace(
        SLOW,
        backfills=[PAST],
        accounts={},
        source_fault="the view syncd.purchases is missing",
        payload_verified=False,
        outbox=OutboxState(None, 3, 4),
        stream=Stream(None, "reserved", 5_000_000, None, AGO),
    ),
)


def shown(
    facts: FeedStatus | None, health: Health, width: int = 80, **more: object
) -> str:
    stream = StringIO()
    history = more.get("history")
    assert history is None or isinstance(history, History)
    Console(file=stream, width=width, highlight=False).print(
        draw("shop", health, facts, at=NOW, history=history.draw() if history else None)
    )
    return stream.getvalue()


def words(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize("facts", [WELL, TROUBLED])
def test_no_line_is_wider_than_the_terminal(facts: FeedStatus, width: int) -> None:
    """At any width the verdict is first."""
    history = History(2.0)
    for _ in range(500):
        history.add(facts)
    health = assess(facts.health_inputs())
    lines = shown(facts, health, width, history=history).splitlines()
    assert max(map(len, lines)) <= width
    assert f"shop is {health.verdict}" in lines[0]


def test_every_reason_is_shown_with_its_command() -> None:
    """Reasons first, then the figures behind them."""
    output = words(shown(TROUBLED, assess(TROUBLED.health_inputs()), 200))
    for text in (
        "▲ shop is degraded",
        "nothing is sent: HTTP 401 Invalid credentials → fix it, then `syncd resume`",
        "7 orders cannot be sent → `syncd rejected list`",
        "lag 5 min, 12,000 orders",
        "held by pid 4711 billing since 2026-11-20 09:00:00+00",
        "7 rejected, 2 held as uncertain",
        "1 possible repeat, 2 uncertain attempts",
        "4 orders pending; #9 paused, 3 of 5",
        "reconciled none yet",
        "poll, outbox 3 rows, 4 faults, slot reserved, keeps 5 MB, without a reader",
        "orders in cluster 78",
    ):
        assert text in output, output


def test_many_reasons_leave_room_for_the_figures() -> None:
    """The worst are shown; the JSON document has all of them."""
    reasons = [HealthIssue(Severity.DEGRADED, f"reason {n}") for n in range(9)]
    output = shown(WELL, Health(reasons))
    assert re.findall(r"reason (\d)", output) == [str(n) for n in range(6)]
    assert "3 more" in output


@pytest.mark.parametrize(
    ("members", "text"),
    [
        ([ALIVE], "web1, pid 4711, for 5 min, heartbeat 0 s ago"),
        ([replace(ALIVE, is_alive=False)], "none; the last, web1 pid 4711: dead"),
        (
            [replace(ALIVE, is_alive=False, stopped_at=AGO)],
            "none; the last, web1 pid 4711: ended 5 min ago",
        ),
    ],
)
def test_daemons_are_shown(members: list[InstanceInfo], text: str) -> None:
    """If none runs, what happened to the last one is shown."""
    facts = replace(WELL, quick=replace(QUICK, members=members))
    assert text in words(shown(facts, Health([])))


def test_an_unusable_slot_is_shown() -> None:
    """The reason replaces the slot's size."""
    lost = Stream("there is none", None, None, None, None)
    facts = replace(WELL, slow=replace(SLOW, stream=lost))
    assert "slot unusable: there is none" in words(shown(facts, Health([])))


def test_the_last_known_state_is_marked_as_old() -> None:
    """While the database is down; without any, only the verdict is shown."""
    old = replace(WELL, quick=replace(QUICK, stats=replace(PULSE, now=AGO)))
    down = Health([HealthIssue(Severity.DOWN, "cannot be reached", "start it")])
    assert "last read at" in shown(old, down)
    assert words(shown(None, down)).endswith("✖ cannot be reached → start it")


def test_a_reason_cannot_break_the_monitors_line() -> None:
    """The vertical bar separates text and figures."""
    line = check_line(Health([HealthIssue(Severity.DOWN, "a|b")]), None)
    assert line == "SYNCD CRITICAL - a/b"


def test_a_graph_is_as_wide_as_there_is_room() -> None:
    """Each bar is the maximum of its share, so that no peak is lost."""
    assert condense([1, 2, 3], 5) == [1, 2, 3]
    assert condense([0, 9, 0, 0, 1, 0, 0, 0], 4) == [9, 0, 1, 0]
    assert bars([0, 4, 8]) == "▁▅█"
    assert bars([0, 0]) == "▁▁"
    assert bars([]) == ""
