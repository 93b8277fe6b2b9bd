"""Why the demo cannot be shown."""

from syncd.core.errors import ExitCode, SyncdError


class DemoUnavailableError(SyncdError):
    """Something that the demo needs is missing, taken or does not start."""

    exit_code = ExitCode.UNAVAILABLE
