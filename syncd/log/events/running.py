"""The process: its start and end, its configuration, its heartbeat."""

from collections.abc import Mapping

from syncd.log.events.event import Event

EVENTS: Mapping[str, Event] = {
    "daemon.started": Event(
        "info",
        ("version", "instance", "watermark", "started_at", "endpoint"),
        "the daemon is connected to database and ledger, and starts",
    ),
    "daemon.stopping": Event(
        "info",
        ("signal",),
        "a signal requested a stop; syncd finishes the batch in flight",
    ),
    "daemon.stopped": Event(
        "info", ("exit_code", "uptime_seconds", "delivered"), "the daemon has stopped"
    ),
    "daemon.failed": Event(
        "critical",
        ("reason", "hint", "codes", "exit_code"),
        "the daemon could not start, or cannot continue by itself",
        "do what the hint says",
    ),
    "daemon.crashed": Event(
        "critical",
        ("error_kind", "exception"),
        "a bug in syncd; systemd restarts it, no order is lost",
        "report it with the line",
    ),
    "daemon.stalled": Event(
        "error",
        ("component", "age_seconds", "exception"),
        "a component has made no progress for longer than allowed, with its place in "
        "the code; syncd no longer notifies the watchdog, so systemd restarts it",
        "report it with the line",
    ),
    "config.reloaded": Event(
        "info",
        ("endpoint",),
        "SIGHUP: the configuration was reloaded and is in use",
    ),
    "config.rejected": Event(
        "error",
        ("reason", "hint"),
        "SIGHUP: the configuration is invalid; the daemon keeps the old one",
        "do what the hint says, then `systemctl reload` again; a restart would fail",
    ),
    "clock.jumped": Event(
        "warning",
        ("jump_seconds",),
        "the machine's clock was set, or the machine slept; no order is lost",
        "nothing; if it happens again, check the machine's time synchronisation",
    ),
    "heartbeat": Event(
        "info",
        (
            "lag_seconds",
            "watermark_age_seconds",
            "pending",
            "pending_backfill",
            "sending",
            "rejected",
            "withdrawn",
            "held",
            "uncertain",
            "endpoint_state",
            "paused",
            "delivered",
            "delivered_per_minute",
            "rate_factor",
            "unexplained",
            "missed",
            "without_time",
            "reconciled_seconds",
            "rss_mb",
        ),
        "written every minute, also when idle; its absence is the alarm",
    ),
    "library.log": Event(
        "warning",
        ("logger", "message", "suppressed"),
        "a third-party library logged a warning",
    ),
}
