"""Why the demo cannot be shown."""

from syncd.core.errors import SyncdError
from syncd.core.exit_code import ExitCode


class DemoUnavailableError(SyncdError):
    """Something that the demo needs is missing, taken or does not start."""

    exit_code = ExitCode.UNAVAILABLE
