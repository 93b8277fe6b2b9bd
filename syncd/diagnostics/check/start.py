"""Whether a daemon may start: exactly the checks of `syncd check` that decide it.

`run`, `run --once` and a reload ask here before anything is written, so that none of
them begins with what `check` calls an error (ADR-0026).
"""

import os
from collections.abc import Mapping, Sequence
from contextlib import closing

from syncd.config.settings import Settings
from syncd.core.errors import (
    DatabaseUnavailableError,
    ExitCode,
    StartDelayedError,
    StartForbiddenError,
    StartRefusedError,
    StartUnpermittedError,
    SyncdError,
)
from syncd.diagnostics.check.check import exit_code, start_conditions
from syncd.diagnostics.check.finding import CODES, Decision, Finding
from syncd.ledger.feed import FeedStore
from syncd.ledger.state_file import Served
from syncd.source.connections import connect


def ask(settings: Settings, *, new_feed: bool = False) -> None:
    """Return when a daemon may start with these settings; write nothing.

    `new_feed` allows a new feed even beside others.

    Raises:
        StartRefusedError: Only an operator can fix it (a privilege:
        StartForbiddenError). StartDelayedError: The feed was started before, and waits
        for an operator. DatabaseUnavailableError: Something does not respond.
    """
    found = start_conditions(settings, os.environ)
    wrong = [finding for finding in found if finding.severity == "error"]
    if new_feed:
        wrong = [finding for finding in wrong if finding.code != "feed.unexpected"]
    if wrong:
        _decide(wrong, was_started=_was_started(settings))


def _decide(wrong: Sequence[Finding], *, was_started: bool) -> None:
    found: dict[Decision, list[Finding]] = {"stops": [], "waits": [], "continues": []}
    for finding in wrong:
        found[CODES[finding.code].decision(was_started=was_started)].append(finding)
    if found["stops"]:
        raise _error(found["stops"], StartRefusedError, StartForbiddenError)
    if found["waits"]:
        raise _error(found["waits"], StartDelayedError, StartUnpermittedError)


def _error(
    findings: Sequence[Finding], mendable: type[SyncdError], forbidden: type[SyncdError]
) -> SyncdError:
    """Make the error with `check`'s exit code: all reasons, the first next step."""
    message = "; ".join(f"{each.subject}: {each.message}" for each in findings)
    kinds: Mapping[ExitCode, type[SyncdError]] = {
        ExitCode.UNAVAILABLE: DatabaseUnavailableError,
        ExitCode.PERMISSION: forbidden,
    }
    kind = kinds.get(exit_code(findings, is_strict=False), mendable)
    codes = dict.fromkeys(each.code for each in findings)
    return kind(message, findings[0].next_step).of(list(codes))


def _was_started(settings: Settings) -> bool:
    """Return whether the feed was started before, by the ledger or this host."""
    try:
        with closing(connect(settings, "start")) as connections:
            return FeedStore(connections, settings.feed).find() is not None
    except SyncdError:
        served = Served.of(settings, os.environ)
        return served is not None and served.is_known()
