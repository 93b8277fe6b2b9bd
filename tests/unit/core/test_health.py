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
    WaitingOrders,
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
    (
        {"source_fault": "it is missing"},
        "the views cannot be read: it is missing",
        "`syncd check`",
    ),
    (
        {"slot_fault": "there is none"},
        "the replication slot is unusable: there is none",
        "`syncd check`",
    ),
    (
        {"outbox_fault": "cannot be read"},
        "the outbox is unusable: cannot be read",
        "`syncd install --listen` again",
    ),
    (
        {"outbox_faults": 1},
        "the triggers missed 1 change",
        "`syncd check`, then `syncd install --listen`: resets the count",
    ),
    (
        {"endpoint": "held", "endpoint_reason": "HTTP 401"},
        "nothing is sent: HTTP 401",
        "fix it, then `syncd resume`",
    ),
    (
        {"endpoint": "backing_off", "endpoint_reason": "HTTP 503", "waiting": 3},
        "the last attempt failed, syncd tries again: HTTP 503",
        "nothing, unless it continues",
    ),
    (
        {"lag": minutes(10), "waiting": 1},
        "the oldest of 1 order has waited 10 min",
        "check the endpoint, and squeezely.rate",
    ),
    ({"rejected": 1_200}, "1,200 orders cannot be sent", "`syncd rejected list`"),
    (
        {"refusals": RecentRefusals(25, 6, "email is missing")},
        "6 of the last 25 orders are refused: email is missing",
        "`syncd rejected list`, mend the view",
    ),
    (
        {"held": 2},
        "2 orders may have arrived and wait for you",
        "`syncd uncertain list`",
    ),
    (
        {"unexplained": 1},
        "1 order unexplained by the last account",
        "`syncd reconcile`",
    ),
    (
        {"missed": 7},
        "capture misses orders: reconciliation captured 7",
        "`syncd check`: their times may be in another zone, or late",
    ),
    (
        {"without_time": 3},
        "3 confirmed orders have no usable time",
        "let confirmed_orders return confirmed_at for every order",
    ),
    (
        {"held_back": HOUR},
        "the watermark has been held back for 1 h",
        "end the transaction named below",
    ),
    (
        {"members": [replace(ALIVE, trouble="no right", trouble_since=NOW - HOUR)]},
        "it has failed for 1 h: no right",
        "see its log, and `syncd check`",
    ),
    ({"alarms": ["the zone was changed"]}, "the zone was changed", "`syncd check`"),
    (
        {"unread": [WaitingOrders(1, "slow", HOUR_AGO, "17")]},
        "1 order waits for 1 h: slow",
        "`syncd explain 17`; read its row with EXPLAIN ANALYZE",
    ),
    (
        {"unread": [WaitingOrders(2, "slow", HOUR_AGO, "17")]},
        "2 orders wait for 1 h: slow",
        "`syncd explain 17`; read its row with EXPLAIN ANALYZE",
    ),
    (
        {"refused": [WaitingOrders(1, "no email", HOUR_AGO, "17")]},
        "1 order was refused and is tried again: no email",
        "`syncd explain 17`, unless it is over soon",
    ),
    (
        {"refused": [WaitingOrders(2, "no email", HOUR_AGO, "17")]},
        "2 orders were refused and are tried again: no email",
        "`syncd explain 17`, unless it is over soon",
    ),
    (
        {"is_spiked": True},
        "too many orders are refused while others are accepted; they wait",
        "`syncd rejected list`, mend the view, then `syncd resume`",
    ),
    (
        {"is_unknown": True, "endpoint_reason": "HTTP 207"},
        "nothing is sent until you say what an answer means: HTTP 207",
        "`syncd verify`",
    ),
    (
        {"endpoint": "held", "endpoint_reason": "HTTP 400", "suspect": "order 9"},
        "nothing is sent: HTTP 400 (order 9)",
        (
            "fix it, then `syncd resume`; to never send that order: `syncd "
            "rejected discard`"
        ),
    ),
    (
        {"pauses": [Pause("sending", NOW - 30 * HOUR)]},
        "sending was paused 1 d 6 h ago",
        "`syncd resume --sending`",
    ),
    (
        {"reused": 3},
        "3 orders not sent: their keys belonged to others",
        "`syncd reused list`",
    ),
]
NOTICED: list[tuple[dict[str, object], str, str | None]] = [
    (
        {"endpoint": "backing_off", "endpoint_reason": "HTTP 503"},
        "the last attempt failed; nothing waits: HTTP 503",
        None,
    ),
    (
        {"held_back": minutes(1)},
        "the watermark has been held back for 1 min",
        "end the transaction named below",
    ),
    (
        {"is_proven": False},
        "no test has shown that the account accepts this payload",
        "`syncd verify`",
    ),
    (
        {"pauses": [Pause("capture", NOW - minutes(3), "sale")]},
        "capture was paused 3 min ago: sale",
        "`syncd resume --capture`",
    ),
    (
        {"details_left_out": [("country", "is not two letters like NL", 7)]},
        "7 orders went without country: it is not two letters like NL",
        "`syncd check`",
    ),
    (
        {"details_left_out": [("country", "is not", 7), ("phone", "is not", 1)]},
        "7 orders went without country: it is not; 1 other detail left out",
        "`syncd check`",
    ),
]


def changed(vitals: HealthInputs, values: dict[str, object]) -> HealthInputs:
    return replace(vitals, **values)  # type: ignore[arg-type]  # by its fields' names


def test_refused_orders_behind_a_hold_are_reported_once() -> None:
    """The hold names them, and so does a spike of rejections."""
    refused = [WaitingOrders(2, "no email", HOUR_AGO, "17")]
    vitals = replace(WELL, refused=refused)
    for held in (replace(vitals, endpoint="held"), replace(vitals, is_spiked=True)):
        assert len(assess(held).reasons) == 1


REFUSED = FailedStart("start", "web2", NOW - minutes(300), ["x"], "no key", "set it")


def test_a_refused_start_before_a_running_daemon_started_is_obsolete() -> None:
    """Another one is not retried on that host; one after all daemons is reported."""
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
def test_a_failed_start_is_reported_with_its_reason(kind: str, words: str) -> None:
    """The reason's hint is the next step."""
    failed = FailedStart(kind, "web2", HOUR_AGO, ["x"], "no key", "set it")
    (reason, *_) = assess(replace(WELL, members=[], failed_start=failed)).reasons
    assert reason.text == f"{words}: no key"
    assert reason.next_step == "set it"


@pytest.mark.parametrize(
    ("values", "words", "step"),
    [
        (
            {"keys_held": "its keys are others"},
            "nothing is captured or sent: its keys are others",
            "`syncd rebind-keys --dry-run`",
        ),
        (
            {"replaced": [("orders is another table", "install again")]},
            "orders is another table",
            "install again",
        ),
    ],
)
def test_views_with_other_keys_or_tables_are_down(
    values: dict[str, object], words: str, step: str
) -> None:
    """Nothing new is captured until a person acts."""
    health = assess(changed(WELL, values))
    (reason,) = health.reasons
    assert (health.verdict, reason.text, reason.next_step) == ("down", words, step)


def test_a_pause_is_shown_with_its_beginning_and_reason() -> None:
    """A pause without a reason shows its beginning."""
    assert Pause("sending", HOUR_AGO).line() == "paused since 2026-11-20 11:00:00+0000"
    assert Pause("sending", HOUR_AGO, "sale").line().endswith("+0000 (sale)")


def test_a_feed_without_trouble_is_healthy() -> None:
    """A healthy feed has no reasons."""
    assert assess(WELL) == Health([])
    assert (assess(WELL).verdict, int(assess(WELL).severity)) == ("healthy", 0)
    assert assess(changed(WELL, {"waiting": 5, "lag": minutes(9)})).reasons == []


@pytest.mark.parametrize(("values", "words", "step"), DEGRADED)
def test_a_feed_is_degraded_when_it_runs_but_needs_attention(
    values: dict[str, object], words: str, step: str
) -> None:
    """The verdict has one reason, with the next command."""
    health = assess(changed(WELL, values))
    (reason,) = health.reasons
    assert (health.verdict, int(health.severity)) == ("degraded", 1)
    assert (reason.text, reason.next_step) == (words, step)


@pytest.mark.parametrize(("values", "words", "step"), NOTICED)
def test_a_notice_leaves_a_feed_healthy(
    values: dict[str, object], words: str, step: str | None
) -> None:
    """It is shown nevertheless."""
    health = assess(changed(WELL, values))
    assert health.verdict == "healthy"
    assert [r.severity for r in health.reasons] == [Severity.NOTICE]
    (reason,) = health.reasons
    assert (reason.text, reason.next_step) == (words, step)


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
def test_many_refused_orders_in_a_row_are_reported(
    orders: int, rejected: int, verdict: str
) -> None:
    """More than a fifth and at least five are the view's fault, the first reason."""
    refusals = RecentRefusals(orders, rejected, "email is missing")
    health = assess(changed(WELL, {"refusals": refusals, "rejected": rejected}))
    known = {"healthy": "degraded"}.get(verdict, verdict) if rejected else verdict
    assert health.verdict == known
    if verdict != "healthy":
        assert health.reasons[0].text == (
            f"{rejected} of the last {orders} orders are refused: email is missing"
        )


def test_an_unreadable_outbox_is_reported_once() -> None:
    """Its faults are not reported in addition."""
    values: dict[str, object] = {"outbox_fault": "cannot be read", "outbox_faults": 3}
    assert len(assess(changed(WELL, values)).reasons) == 1


@pytest.mark.parametrize(
    ("vitals", "words", "step"),
    [
        (
            replace(WELL, members=[]),
            "no daemon has served it yet",
            "`systemctl start syncd`, or `syncd run`",
        ),
        (
            replace(WELL, members=[DEAD]),
            "the last daemon (pid 4711) died, and nothing is captured or sent",
            "see its log; `systemctl start syncd`, or `syncd run`",
        ),
        (
            replace(WELL, members=[replace(DEAD, stopped_at=NOW - minutes(5))]),
            "the daemon was stopped 5 min ago, and nothing is captured or sent",
            "`systemctl start syncd`, or `syncd run`",
        ),
        (
            replace(WELL, heartbeat_at=NOW - minutes(3.6)),
            "a daemon runs, but has had no heartbeat for 3 min 36 s",
            "see its log, then restart it",
        ),
        (
            replace(WELL, heartbeat_at=None, heartbeat=minutes(30)),
            "a daemon runs, but has had no heartbeat for 3 h",
            "see its log, then restart it",
        ),
        (
            replace(PASSES, moved_at=NOW - minutes(10)),
            "no daemon runs, and the last pass was 10 min ago",
            "`syncd run`, or `syncd run --once`",
        ),
        (
            replace(PASSES, waiting=1, lag=minutes(11)),
            "no daemon runs, and the last pass was 3 min ago",
            "`syncd run`, or `syncd run --once`",
        ),
    ],
)
def test_a_feed_without_a_running_daemon_is_down(
    vitals: HealthInputs, words: str, step: str
) -> None:
    """Dead, stopped, silent, or no recent pass."""
    health = assess(vitals)
    assert (health.verdict, int(health.severity)) == ("down", 2)
    assert (health.reasons[0].text, health.reasons[0].next_step) == (words, step)


def test_passes_of_run_once_are_enough() -> None:
    """Orders that wait between two of them are reported."""
    assert assess(PASSES).verdict == "healthy"
    assert assess(replace(PASSES, moved_at=None)).verdict == "healthy"
    waiting = assess(replace(PASSES, waiting=2))
    assert waiting.verdict == "degraded"
    (reason,) = waiting.reasons
    assert reason.text == "2 orders wait for the next pass; no daemon runs"
    assert reason.next_step == "`syncd run --once`"


def test_a_second_daemon_makes_up_for_a_dead_one() -> None:
    """One with a heartbeat is enough; a new one has time for its first."""
    assert assess(replace(WELL, members=[DEAD, ALIVE])).verdict == "healthy"
    started = replace(ALIVE, started_at=NOW - minutes(1))
    late = replace(WELL, members=[started], heartbeat_at=NOW - timedelta(days=2))
    assert assess(late).verdict == "healthy"


def test_a_watermark_without_a_daemon_is_not_held_back() -> None:
    """The missing daemon is the reason."""
    health = assess(replace(WELL, members=[DEAD], held_back=minutes(90)))
    assert len(health.reasons) == 1


def test_the_worst_reason_is_first_and_determines_the_verdict() -> None:
    """Others of the same severity keep their order."""
    worst = replace(WELL, members=[DEAD], rejected=1, held=1, is_proven=False)
    health = assess(worst)
    assert health.severity is Severity.DOWN
    assert [int(reason.severity) for reason in health.reasons] == [2, 1, 1, 0]
    assert "cannot be sent" in health.reasons[1].text
    with_notice = assess(replace(WELL, endpoint="backing_off", rejected=1))
    assert [int(reason.severity) for reason in with_notice.reasons] == [1, 0]


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
def test_a_duration_is_shown_in_its_two_largest_units(
    seconds: float, text: str
) -> None:
    """Truncated, not rounded; never negative."""
    assert span(timedelta(seconds=seconds)) == text


def test_counts_are_shown_with_their_noun() -> None:
    """The noun may be in the plural; thousands have separators."""
    assert [count(n) for n in (0, 1, 1_000)] == ["0 orders", "1 order", "1,000 orders"]


def test_a_host_is_shown_without_its_boot_id() -> None:
    """The ledger stores more, to tell dead instances from running ones."""
    assert ALIVE.machine == "web1"


PAUSED = Pause("sending", NOW - minutes(10))
BEATEN = replace(WELL, heartbeat_at=NOW - minutes(3.5))
MOMENT = timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("vitals", "verdict"),
    [
        (BEATEN, "healthy"),
        (replace(BEATEN, now=NOW + MOMENT), "down"),
        (replace(PASSES, moved_at=NOW - minutes(10) + MOMENT), "healthy"),
        (replace(PASSES, lag=minutes(10)), "down"),
        (replace(PASSES, lag=minutes(10) - MOMENT), "healthy"),
        (replace(WELL, pauses=[PAUSED]), "degraded"),
        (replace(WELL, now=NOW - MOMENT, pauses=[PAUSED]), "healthy"),
        (replace(WELL, held_back=HOUR - MOMENT), "healthy"),
        (replace(WELL, lag=minutes(10) - MOMENT, waiting=1), "healthy"),
    ],
)
def test_each_limit_is_exact(vitals: HealthInputs, verdict: str) -> None:
    """The verdict changes neither a microsecond before nor after it."""
    assert assess(vitals).verdict == verdict


def test_a_watermark_that_is_not_held_back_is_no_notice() -> None:
    """Held back by any duration, it is one."""
    assert assess(replace(WELL, held_back=timedelta(0))).reasons == []
    assert len(assess(replace(WELL, held_back=timedelta(seconds=1))).reasons) == 1


def test_a_stopped_daemon_is_distinguished_from_passes_by_its_heartbeat() -> None:
    """One at the moment of its start counts; an instance without any is a pass."""
    stopped = replace(DEAD, stopped_at=NOW - minutes(5))
    began = replace(WELL, members=[stopped], heartbeat_at=stopped.started_at)
    assert assess(began).verdict == "down"
    before = replace(began, heartbeat_at=stopped.started_at - MOMENT)
    assert assess(before).verdict == "healthy"


def test_of_several_dead_daemons_the_newest_is_reported() -> None:
    """The order in which they were read does not matter."""
    newer = replace(DEAD, instance=3, pid=9)
    for members in ([DEAD, newer], [newer, DEAD]):
        (reason,) = assess(replace(WELL, members=members)).reasons
        assert reason.text == (
            "the last daemon (pid 9) died, and nothing is captured or sent"
        )


def test_the_newest_running_daemon_counts_for_silence() -> None:
    """An old one's start is no heartbeat."""
    newer = replace(ALIVE, instance=3, started_at=NOW - minutes(1))
    both = replace(WELL, members=[newer, ALIVE], heartbeat_at=None)
    assert assess(both).verdict == "healthy"


def test_a_start_that_failed_as_another_began_is_reported() -> None:
    """Only a later start makes it obsolete; the dead daemon is not reported."""
    failed = replace(REFUSED, at=ALIVE.started_at)
    served = assess(replace(WELL, failed_start=failed)).reasons
    assert [(r.severity, r.text) for r in served] == [
        (Severity.DEGRADED, "the last start on web2 was refused 3 h ago: no key")
    ]
    dead = assess(replace(WELL, members=[DEAD], failed_start=failed)).reasons
    assert [(r.severity, r.next_step) for r in dead] == [(Severity.DOWN, "set it")]


@pytest.mark.parametrize("named", [{"trouble": "x"}, {"trouble_since": HOUR_AGO}])
def test_an_incomplete_trouble_is_ignored(named: dict[str, object]) -> None:
    """It is written together with its time."""
    member = replace(ALIVE, **named)  # type: ignore[arg-type]  # by its fields' names
    assert assess(replace(WELL, members=[member])).reasons == []


def test_a_dead_daemons_trouble_is_obsolete() -> None:
    """Only the trouble of running daemons counts."""
    dead = replace(DEAD, instance=1, trouble="x", trouble_since=HOUR_AGO)
    assert assess(replace(WELL, members=[dead, ALIVE])).reasons == []
