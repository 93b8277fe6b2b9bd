"""The command line, run as a process of its own."""

import os
import subprocess
import sys


def syncd(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command; nothing may ever print a traceback."""
    done = subprocess.run(
        [sys.executable, "-m", "syncd", *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
        timeout=50,
        env={**os.environ, "SYNCD_SQUEEZELY_API_KEY": "sandbox-key", **environment},
    )
    assert "Traceback" not in done.stderr + done.stdout
    return done
