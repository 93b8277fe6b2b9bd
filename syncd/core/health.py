"""Whether a feed is healthy, and if not, what needs a person: the one table of rules.

Down: nothing is captured, or nothing is delivered although something waits, and only a
person changes that. Degraded: it continues, and needs attention.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta

from syncd.core.health_inputs import FailedStart, HealthInputs
from syncd.core.verdict import Health, HealthIssue, Severity
from syncd.core.wording import count, span

LAG_LIMIT = timedelta(minutes=10)
"""Lag from which a feed is degraded, and from which one without a daemon is down."""

WATERMARK_LIMIT = timedelta(hours=1)
"""How long something may hold the watermark back: a nightly dump should pass."""

PAUSE_LIMIT = timedelta(minutes=10)
"""How long a pause may last that is meant to end soon."""


SILENT_BEATS = 3
"""Heartbeats that a living daemon may miss."""


def assess(inputs: HealthInputs) -> Health:
    """Judge a feed; reasons of the same severity keep the order of the rules."""
    found = [reason for rule in RULES for reason in rule(inputs)]
    return Health(sorted(found, key=lambda reason: -reason.severity))


# The rules


def _nobody_serves(inputs: HealthInputs) -> Iterable[HealthIssue]:
    """A living daemon beats. Passes of `run --once` leave no mark, and may be apart."""
    alive = [member for member in inputs.members if member.is_alive]
    if alive:
        yield from _silence(inputs, max(member.started_at for member in alive))
        return
    if _newest_failure(inputs) is not None:
        return  # has its own rule
    last = max(inputs.members, key=lambda m: m.instance, default=None)
    start = "`systemctl start syncd`, or `syncd run`"
    if last is None:
        yield HealthIssue(Severity.DOWN, "no daemon has served it yet", start)
    elif last.stopped_at is None:
        what = f"the last daemon (pid {last.pid}) died, and nothing is captured or sent"
        yield HealthIssue(Severity.DOWN, what, f"see its log; {start}")
    elif inputs.heartbeat_at is not None and inputs.heartbeat_at >= last.started_at:
        ago = span(inputs.now - last.stopped_at)
        what = f"the daemon was stopped {ago} ago, and nothing is captured or sent"
        yield HealthIssue(Severity.DOWN, what, start)
    else:
        yield from _between_passes(inputs)


def _start_failed(inputs: HealthInputs) -> Iterable[HealthIssue]:
    """The reason of a failed start or reload replaces the missing daemon."""
    failed = _newest_failure(inputs)
    if failed is None:
        return
    served = any(member.is_alive for member in inputs.members)
    severity = Severity.DEGRADED if served else Severity.DOWN
    ago = span(inputs.now - failed.at)
    if failed.kind == "reload":
        what = f"new settings were refused {ago} ago, and the old ones are used"
    elif failed.kind == "waiting":
        what = f"a daemon on {failed.host} waits with its start for {ago}"
    else:
        what = f"the last start on {failed.host} was refused {ago} ago"
    yield HealthIssue(severity, f"{what}: {failed.reason}", failed.hint)


def _newest_failure(inputs: HealthInputs) -> FailedStart | None:
    """Return why the last start failed, unless another host's daemon came after it."""
    failed = inputs.failed_start
    if failed is None:
        return None
    is_newest = all(member.started_at <= failed.at for member in inputs.members)
    return failed if is_newest else None


def _silence(inputs: HealthInputs, started_at: datetime) -> Iterable[HealthIssue]:
    beaten_at = max(started_at, inputs.heartbeat_at or started_at)
    silent = inputs.now - beaten_at
    if silent > SILENT_BEATS * inputs.heartbeat + timedelta(seconds=30):
        what = f"a daemon runs, but has had no heartbeat for {span(silent)}"
        yield HealthIssue(Severity.DOWN, what, "see its log, then restart it")


def _between_passes(inputs: HealthInputs) -> Iterable[HealthIssue]:
    """Judge a feed that `run --once` serves, now and then."""
    passed = inputs.now - (inputs.moved_at or inputs.now)
    if passed >= LAG_LIMIT or inputs.lag >= LAG_LIMIT:
        what = f"no daemon runs, and the last pass was {span(passed)} ago"
        yield HealthIssue(Severity.DOWN, what, "`syncd run`, or `syncd run --once`")
    elif inputs.waiting:
        what = f"{count(inputs.waiting)} wait for the next pass; no daemon runs"
        yield HealthIssue(Severity.DEGRADED, what, "`syncd run --once`")


def _views_are_broken(inputs: HealthInputs) -> Iterable[HealthIssue]:
    if inputs.source_fault:
        what = f"the views cannot be read: {inputs.source_fault}"
        yield HealthIssue(Severity.DEGRADED, what, "`syncd check`")


def _a_component_fails(inputs: HealthInputs) -> Iterable[HealthIssue]:
    """What a living daemon tries again and again, whatever it is."""
    for member in inputs.members:
        if member.is_alive and member.trouble and member.trouble_since:
            lasts = span(inputs.now - member.trouble_since)
            what = f"it has failed for {lasts}: {member.trouble}"
            yield HealthIssue(Severity.DEGRADED, what, "see its log, and `syncd check`")


def _alarms_are_raised(inputs: HealthInputs) -> Iterable[HealthIssue]:
    for alarm in inputs.alarms:
        yield HealthIssue(Severity.DEGRADED, alarm, "`syncd check`")


def _orders_wait_for_the_view(inputs: HealthInputs) -> Iterable[HealthIssue]:
    for unread in inputs.unread:
        verb = "waits" if unread.orders == 1 else "wait"
        lasts = span(inputs.now - unread.since)
        what = f"{count(unread.orders)} {verb} for {lasts}: {unread.why}"
        next_step = f"`syncd explain {unread.key}`; read its row with EXPLAIN ANALYZE"
        yield HealthIssue(Severity.DEGRADED, what, next_step)


def _views_are_others(inputs: HealthInputs) -> Iterable[HealthIssue]:
    """Nothing new is captured until a person acts."""
    if inputs.keys_held:
        what = f"nothing is captured or sent: {inputs.keys_held}"
        yield HealthIssue(Severity.DOWN, what, "`syncd rebind-keys --dry-run`")
    for what, next_step in inputs.replaced:
        yield HealthIssue(Severity.DOWN, what, next_step)


def _capture_is_broken(inputs: HealthInputs) -> Iterable[HealthIssue]:
    if inputs.slot_fault:
        what = f"the replication slot is unusable: {inputs.slot_fault}"
        yield HealthIssue(Severity.DEGRADED, what, "`syncd check`")
    if inputs.outbox_fault:
        what = f"the outbox is unusable: {inputs.outbox_fault}"
        yield HealthIssue(Severity.DEGRADED, what, "`syncd install --listen` again")
    elif inputs.outbox_faults:
        what = f"the triggers missed {count(inputs.outbox_faults, 'change')}"
        next_step = "`syncd check`, then `syncd install --listen`: resets the count"
        yield HealthIssue(Severity.DEGRADED, what, next_step)


def _is_paused(inputs: HealthInputs) -> Iterable[HealthIssue]:
    """A pause is a person's own doing; one that lasts may have been forgotten."""
    for pause in inputs.pauses:
        lasts = inputs.now - pause.since
        severity = Severity.DEGRADED if lasts >= PAUSE_LIMIT else Severity.NOTICE
        why = f": {pause.why}" if pause.why else ""
        what = f"{pause.what} was paused {span(lasts)} ago{why}"
        yield HealthIssue(severity, what, f"`syncd resume --{pause.what}`")


def _endpoint_refuses(inputs: HealthInputs) -> Iterable[HealthIssue]:
    """After a failure it is known again only by sending; with nothing to send, fine."""
    why = inputs.endpoint_reason
    if inputs.is_spiked:
        what = "too many orders are refused while others are accepted; they wait"
        next_step = "`syncd rejected list`, mend the view, then `syncd resume`"
        yield HealthIssue(Severity.DEGRADED, what, next_step)
    if inputs.is_unknown:
        what = f"nothing is sent until you say what an answer means: {why}"
        yield HealthIssue(Severity.DEGRADED, what, "`syncd verify`")
    elif inputs.endpoint == "held":
        what = f"nothing is sent: {why}"
        what += f" ({inputs.suspect})" if inputs.suspect else ""
        next_step = "fix it, then `syncd resume`"
        if inputs.suspect:
            next_step += "; to never send that order: `syncd rejected discard`"
        yield HealthIssue(Severity.DEGRADED, what, next_step)
    elif inputs.endpoint == "backing_off" and inputs.waiting:
        what = f"the last attempt failed, syncd tries again: {why}"
        yield HealthIssue(Severity.DEGRADED, what, "nothing, unless it continues")
    elif inputs.endpoint == "backing_off":
        yield HealthIssue(
            Severity.NOTICE, f"the last attempt failed; nothing waits: {why}"
        )


def _orders_are_refused(inputs: HealthInputs) -> Iterable[HealthIssue]:
    """Until the API accepts or finally refuses them; a hold has its own rule."""
    if inputs.endpoint == "held" or inputs.is_spiked:
        return
    for refused in inputs.refused:
        verb = "was" if refused.orders == 1 else "were"
        again = "is" if refused.orders == 1 else "are"
        what = f"{count(refused.orders)} {verb} refused and {again} tried again"
        next_step = f"`syncd explain {refused.key}`, unless it is over soon"
        yield HealthIssue(Severity.DEGRADED, f"{what}: {refused.why}", next_step)


def _orders_lag(inputs: HealthInputs) -> Iterable[HealthIssue]:
    if inputs.lag >= LAG_LIMIT:
        what = f"the oldest of {count(inputs.waiting)} has waited {span(inputs.lag)}"
        yield HealthIssue(
            Severity.DEGRADED, what, "check the endpoint, and squeezely.rate"
        )


def _many_are_refused(inputs: HealthInputs) -> Iterable[HealthIssue]:
    """More than half of them is as bad as sending nothing."""
    refusals = inputs.refusals
    if refusals.are_many:
        is_most = refusals.rejected * 2 > refusals.orders
        share = f"{refusals.rejected} of the last {count(refusals.orders)}"
        what = f"{share} are refused: {refusals.reason}"
        severity = Severity.DOWN if is_most else Severity.DEGRADED
        yield HealthIssue(severity, what, "`syncd rejected list`, mend the view")


def _details_are_left_out(inputs: HealthInputs) -> Iterable[HealthIssue]:
    if inputs.details_left_out:
        field, reason, orders = inputs.details_left_out[0]
        more = len(inputs.details_left_out) - 1
        what = f"{count(orders)} went without {field}: it {reason}"
        what += f"; {count(more, 'other detail')} left out" if more else ""
        yield HealthIssue(Severity.NOTICE, what, "`syncd check`")


def _orders_wait_for_a_person(inputs: HealthInputs) -> Iterable[HealthIssue]:
    if inputs.rejected:
        what = f"{count(inputs.rejected)} cannot be sent"
        yield HealthIssue(Severity.DEGRADED, what, "`syncd rejected list`")
    if inputs.held:
        what = f"{count(inputs.held)} may have arrived and wait for you"
        yield HealthIssue(Severity.DEGRADED, what, "`syncd uncertain list`")
    if inputs.reused:
        what = f"{count(inputs.reused)} not sent: their keys belonged to others"
        yield HealthIssue(Severity.DEGRADED, what, "`syncd reused list`")
    if inputs.unexplained:
        what = f"{count(inputs.unexplained)} unexplained by the last account"
        yield HealthIssue(Severity.DEGRADED, what, "`syncd reconcile`")


def _capture_misses_orders(inputs: HealthInputs) -> Iterable[HealthIssue]:
    """An order or two that are late may be; account after account, capture is wrong."""
    if inputs.missed:
        what = f"capture misses orders: reconciliation captured {inputs.missed:,}"
        next_step = "`syncd check`: their times may be in another zone, or late"
        yield HealthIssue(Severity.DEGRADED, what, next_step)
    if inputs.without_time:
        what = f"{inputs.without_time:,} confirmed orders have no usable time"
        next_step = "let confirmed_orders return confirmed_at for every order"
        yield HealthIssue(Severity.DEGRADED, what, next_step)


def _watermark_is_held(inputs: HealthInputs) -> Iterable[HealthIssue]:
    """Without a daemon nothing moves it, which has its own rule."""
    is_served = any(member.is_alive for member in inputs.members)
    if not is_served or inputs.held_back <= timedelta(0):
        return
    long = inputs.held_back >= WATERMARK_LIMIT
    severity = Severity.DEGRADED if long else Severity.NOTICE
    what = f"the watermark has been held back for {span(inputs.held_back)}"
    yield HealthIssue(severity, what, "end the transaction named below")


def _payload_is_unverified(inputs: HealthInputs) -> Iterable[HealthIssue]:
    if not inputs.is_proven:
        what = "no test has shown that the account accepts this payload"
        yield HealthIssue(Severity.NOTICE, what, "`syncd verify`")


RULES: Sequence[Callable[[HealthInputs], Iterable[HealthIssue]]] = (
    _many_are_refused,
    _start_failed,
    _nobody_serves,
    _views_are_others,
    _views_are_broken,
    _a_component_fails,
    _alarms_are_raised,
    _orders_wait_for_the_view,
    _capture_is_broken,
    _is_paused,
    _endpoint_refuses,
    _orders_are_refused,
    _orders_lag,
    _orders_wait_for_a_person,
    _capture_misses_orders,
    _watermark_is_held,
    _details_are_left_out,
    _payload_is_unverified,
)
