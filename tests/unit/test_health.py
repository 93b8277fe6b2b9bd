"""The verdict on a feed."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from syncd.core.health import assess
from syncd.core.health_inputs import (
    FailedStart,
    HealthInputs,
    InstanceInfo,
    Pause,
    RecentRefusals,
    Unread,
)
from syncd.core.verdict import Health, Severity
from syncd.core.wording import count, span

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
ALIVE = InstanceInfo(2, "web1/boot/4026", 4711, NOW - timedelta(hours=3), None, True)  # noqa: FBT003
DEAD = replace(ALIVE, is_alive=False)
WELL = HealthInputs(
    NOW, [ALIVE], NOW - timedelta(seconds=40), moved_at=NOW - timedelta(seconds=1)
)
PASSES = replace(
    WELL,
    members=[replace(DEAD, stopped_at=NOW - timedelta(minutes=3))],
    heartbeat_at=None,
    moved_at=NOW - timedelta(minutes=3),
)


HOUR = timedelta(hours=1)
HOUR_AGO = NOW - HOUR


def minutes(number: float) -> timedelta:
    return timedelta(minutes=number)


DEGRADED: list[tuple[dict[str, object], str, str]] = [
    ({"source_fault": "it is missing"}, "views cannot be read: it is", "syncd check"),
    ({"slot_fault": "there is none"}, "slot is unusable: there is", "syncd check"),
    ({"outbox_fault": "cannot be read"}, "outbox is unusable", "install --listen"),
    ({"outbox_faults": 1}, "triggers missed 1 change", "install --listen"),
    (
        {"endpoint": "held", "endpoint_reason": "HTTP 401"},
        "nothing is sent: HTTP 401",
        "syncd resume",
    ),
    (
        {"endpoint": "backing_off", "endpoint_reason": "HTTP 503", "waiting": 3},
        "the last attempt failed, syncd tries again: HTTP 503",
        "unless it continues",
    ),
    ({"lag": minutes(10), "waiting": 1}, "oldest of 1 order has waited 10 min", ""),
    ({"rejected": 1_200}, "1,200 orders cannot be sent", "syncd rejected list"),
    (
        {"refusals": RecentRefusals(25, 6, "email is missing")},
        "6 of the last 25 orders are refused: email is missing",
        "mend the view",
    ),
    ({"held": 2}, "2 orders may have arrived", "syncd uncertain list"),
    ({"unexplained": 1}, "1 order unexplained", "syncd reconcile"),
    ({"missed": 7}, "reconciliation captured 7", "syncd check"),
    ({"without_time": 3}, "3 confirmed orders have no usable time", "confirmed_orders"),
    ({"held_back": HOUR}, "watermark has been held back for 1 h", "transaction"),
    (
        {"members": [replace(ALIVE, trouble="no right", trouble_since=NOW - HOUR)]},
        "it has failed for 1 h: no right",
        "syncd check",
    ),
    ({"alarms": ["the zone was changed"]}, "the zone was changed", "syncd check"),
    ({"unread": [Unread(1, "slow", HOUR_AGO, "17")]}, "1 order waits", "explain 17"),
    ({"unread": [Unread(2, "slow", HOUR_AGO, "17")]}, "2 orders wait for 1 h", ""),
    ({"is_spiked": True}, "too many orders are refused", "syncd resume"),
    ({"is_unknown": True, "endpoint_reason": "HTTP 207"}, "HTTP 207", "syncd verify"),
    (
        {"endpoint": "held", "endpoint_reason": "HTTP 400", "suspect": "order 9"},
        "nothing is sent: HTTP 400 (order 9)",
        "syncd rejected discard",
    ),
    ({"pauses": [Pause("sending", NOW - 30 * HOUR)]}, "paused 1 d", "resume --sending"),
    (
        {"reused": 3},
        "3 orders not sent: their keys belonged to others",
        "syncd reused list",
    ),
]
NOTICED: list[tuple[dict[str, object], str]] = [
    ({"endpoint": "backing_off", "endpoint_reason": "HTTP 503"}, "nothing waits"),
    ({"held_back": minutes(1)}, "the watermark has been held back for 1 min"),
    ({"is_proven": False}, "no test has shown"),
    ({"pauses": [Pause("capture", NOW - minutes(3), "sale")]}, "3 min ago: sale"),
    (
        {"details_left_out": [("country", "is not two letters like NL", 7)]},
        "7 orders went without country: it is not two letters like NL",
    ),
    (
        {"details_left_out": [("country", "is not", 7), ("phone", "is not", 1)]},
        "1 other detail left out",
    ),
]


def changed(vitals: HealthInputs, values: dict[str, object]) -> HealthInputs:
    return replace(vitals, **values)  # type: ignore[arg-type]  # by its fields' names


REFUSED = FailedStart("start", "web2", NOW - minutes(300), ["x"], "no key", "set it")


def test_a_start_that_was_refused_before_the_living_began_is_over() -> None:
    """Nobody tries again on that host; one that comes after them all is told."""
    later = replace(REFUSED, at=NOW - minutes(1))
    assert assess(replace(WELL, failed_start=REFUSED)).verdict == "healthy"
    assert assess(replace(WELL, failed_start=later)).verdict == "degraded"
    alone = replace(WELL, members=[], failed_start=REFUSED)
    assert assess(alone).verdict == "down"


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("start", "the last start on web2 was refused 1 h ago"),
        ("waiting", "a daemon on web2 waits with its start for 1 h"),
        ("reload", "new settings were refused 1 h ago, and the old ones are used"),
    ],
)
def test_a_start_that_failed_says_which_and_why(kind: str, words: str) -> None:
    """With the reason that it gave, and its hint."""
    failed = FailedStart(kind, "web2", HOUR_AGO, ["x"], "no key", "set it")
    (reason, *_) = assess(replace(WELL, members=[], failed_start=failed)).reasons
    assert reason.text == f"{words}: no key"
    assert reason.next_step == "set it"


@pytest.mark.parametrize(
    "values",
    [
        {"keys_held": "its keys are others"},
        {"replaced": [("orders is another table", "install again")]},
    ],
)
def test_views_over_other_keys_or_tables_are_down(values: dict[str, object]) -> None:
    """Nothing new is captured until a person acts."""
    assert assess(changed(WELL, values)).verdict == "down"


def test_a_pause_says_since_when_and_why() -> None:
    """Why, when a reason was given."""
    assert Pause("sending", HOUR_AGO).line() == "paused since 2026-11-20 11:00:00+0000"
    assert Pause("sending", HOUR_AGO, "sale").line().endswith("+0000 (sale)")


def test_a_feed_without_trouble_is_healthy() -> None:
    """There is nothing to say."""
    assert assess(WELL) == Health([])
    assert (assess(WELL).verdict, int(assess(WELL).severity)) == ("healthy", 0)
    assert assess(changed(WELL, {"waiting": 5, "lag": minutes(9)})).reasons == []


@pytest.mark.parametrize(("values", "words", "step"), DEGRADED)
def test_a_feed_is_degraded_when_it_goes_on_but_somebody_should_look(
    values: dict[str, object], words: str, step: str
) -> None:
    """One reason, with the next command."""
    health = assess(changed(WELL, values))
    (reason,) = health.reasons
    assert (health.verdict, int(health.severity)) == ("degraded", 1)
    assert words in reason.text
    assert step in str(reason.next_step)


@pytest.mark.parametrize(("values", "words"), NOTICED)
def test_a_notice_leaves_a_feed_healthy(values: dict[str, object], words: str) -> None:
    """It is shown all the same."""
    health = assess(changed(WELL, values))
    assert health.verdict == "healthy"
    assert [r.severity for r in health.reasons] == [Severity.NOTICE]
    assert words in health.reasons[0].text


@pytest.mark.parametrize(
    ("orders", "rejected", "verdict"),
    [
        (50, 10, "healthy"),
        (50, 11, "degraded"),
        (50, 25, "degraded"),
        (50, 26, "down"),
        (20, 20, "down"),
        (4, 4, "healthy"),
        (5, 5, "down"),
        (0, 0, "healthy"),
    ],
)
def test_orders_that_are_refused_one_after_the_other_wake_somebody(
    orders: int, rejected: int, verdict: str
) -> None:
    """More than a fifth and at least five are the view's fault; it comes first."""
    refusals = RecentRefusals(orders, rejected, "email is missing")
    health = assess(changed(WELL, {"refusals": refusals, "rejected": rejected}))
    known = {"healthy": "degraded"}.get(verdict, verdict) if rejected else verdict
    assert health.verdict == known
    if verdict != "healthy":
        assert health.reasons[0].text == (
            f"{rejected} of the last {orders} orders are refused: email is missing"
        )


def test_an_outbox_that_cannot_be_read_is_told_once() -> None:
    """Not with its faults besides."""
    values: dict[str, object] = {"outbox_fault": "cannot be read", "outbox_faults": 3}
    assert len(assess(changed(WELL, values)).reasons) == 1


@pytest.mark.parametrize(
    ("vitals", "words"),
    [
        (replace(WELL, members=[]), "no daemon has served it yet"),
        (replace(WELL, members=[DEAD]), "the last daemon (pid 4711) died"),
        (
            replace(WELL, members=[replace(DEAD, stopped_at=NOW - minutes(5))]),
            "the daemon was stopped 5 min ago",
        ),
        (
            replace(WELL, heartbeat_at=NOW - minutes(3.6)),
            "no heartbeat for 3 min 36 s",
        ),
        (
            replace(WELL, heartbeat_at=None, heartbeat=minutes(30)),
            "no heartbeat for 3 h",
        ),
        (
            replace(PASSES, moved_at=NOW - minutes(10)),
            "no daemon runs, and the last pass was 10 min ago",
        ),
        (replace(PASSES, waiting=1, lag=minutes(11)), "the last pass was 3 min ago"),
    ],
)
def test_a_feed_that_nobody_serves_is_down(vitals: HealthInputs, words: str) -> None:
    """Dead, stopped, silent, or no pass lately."""
    health = assess(vitals)
    assert (health.verdict, int(health.severity)) == ("down", 2)
    assert words in health.reasons[0].text
    assert health.reasons[0].next_step


def test_passes_of_run_once_are_enough() -> None:
    """What waits between two of them is told."""
    assert assess(PASSES).verdict == "healthy"
    assert assess(replace(PASSES, moved_at=None)).verdict == "healthy"
    waiting = assess(replace(PASSES, waiting=2))
    assert waiting.verdict == "degraded"
    assert "2 orders wait for the next pass" in waiting.reasons[0].text


def test_a_second_daemon_makes_up_for_a_dead_one() -> None:
    """One that lives and beats is enough; a new one has time for its first beat."""
    assert assess(replace(WELL, members=[DEAD, ALIVE])).verdict == "healthy"
    started = replace(ALIVE, started_at=NOW - minutes(1))
    late = replace(WELL, members=[started], heartbeat_at=NOW - timedelta(days=2))
    assert assess(late).verdict == "healthy"


def test_a_watermark_that_no_daemon_moves_is_not_held_back() -> None:
    """The missing daemon is the reason."""
    health = assess(replace(WELL, members=[DEAD], held_back=minutes(90)))
    assert len(health.reasons) == 1


def test_the_worst_reason_stands_first_and_gives_the_verdict() -> None:
    """Others of the same severity keep their order."""
    worst = replace(WELL, members=[DEAD], rejected=1, held=1, is_proven=False)
    health = assess(worst)
    assert health.severity is Severity.DOWN
    assert [int(reason.severity) for reason in health.reasons] == [2, 1, 1, 0]
    assert "cannot be sent" in health.reasons[1].text
    noted = assess(replace(WELL, endpoint="backing_off", rejected=1))
    assert [int(reason.severity) for reason in noted.reasons] == [1, 0]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (125, "2 min 5 s"),
        (3_600, "1 h"),
        (12_000, "3 h 20 min"),
        (86_400, "1 d"),
        (200_000, "2 d 7 h"),
    ],
)
def test_a_span_is_told_in_its_two_largest_units(seconds: float, text: str) -> None:
    """Cut, not rounded; never negative."""
    assert span(timedelta(seconds=seconds)) == text


def test_counts_are_read_as_words() -> None:
    """With the noun's plural, and thousands apart."""
    assert [count(n) for n in (0, 1, 1_000)] == ["0 orders", "1 order", "1,000 orders"]


def test_a_host_is_named_without_its_boot() -> None:
    """The ledger keeps more, to tell the dead from the living."""
    assert ALIVE.machine == "web1"
