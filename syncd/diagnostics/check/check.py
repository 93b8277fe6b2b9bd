"""What `syncd check` finds, and how it ends.

Nothing is written, nothing is sent, and what does not answer keeps nothing else from
being checked.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from syncd.config.configuration import survey
from syncd.core.errors import ExitCode
from syncd.diagnostics.check.codes import CODES, SECTIONS
from syncd.diagnostics.check.finding import Finding
from syncd.diagnostics.check.group import SECONDS, run_groups
from syncd.diagnostics.check.registry import database_groups, endpoint_group, host_group


def run_checks(
    path: Path,
    environment: Mapping[str, str] | None = None,
    *,
    seconds: float = SECONDS,
) -> list[Finding]:
    """Check everything that a feed needs, within half a minute.

    Args:
        path: The configuration; what is good of it is used.
        environment: For secrets and the state directory; the process's by default.
        seconds: What does not answer within them is left.

    Returns:
        By section, in the order of `SECTIONS`.
    """
    environment = os.environ if environment is None else environment
    settings, faults = survey(path, environment)
    groups = [host_group(path, settings, faults, environment)]
    if settings is not None:
        groups.append(endpoint_group(settings))
        groups += database_groups(settings, environment)
    findings = list(run_groups(groups, seconds))
    if any(f.code == "state.none" and f.severity == "warning" for f in findings):
        findings = [f for f in findings if (f.code, f.severity) != ("state.none", "ok")]
    return sorted(findings, key=lambda finding: SECTIONS.index(finding.section))


def as_json(findings: Sequence[Finding]) -> list[Mapping[str, object]]:
    """Return the findings as plain objects."""
    return [asdict(finding) for finding in findings]


def exit_code(findings: Sequence[Finding], *, is_strict: bool) -> ExitCode:
    """Report how the command ends: what only a person can mend goes before outages."""
    errors = [finding for finding in findings if finding.severity == "error"]
    if mended := [f for f in errors if not CODES[f.code].outage]:
        refused = all(CODES[finding.code].permission for finding in mended)
        return ExitCode.PERMISSION if refused else ExitCode.CONFIG
    if errors:
        return ExitCode.UNAVAILABLE
    has_warning = any(finding.severity == "warning" for finding in findings)
    return ExitCode.FAILED if is_strict and has_warning else ExitCode.OK
