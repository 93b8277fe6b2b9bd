"""The command line, run as a process of its own, on a terminal or without one."""

import os
import pty
import re
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


def on_terminal(columns: int, *arguments: object, answer: str = "") -> str:
    """Run the command on a terminal; return what it shows there."""
    ours, theirs = pty.openpty()
    environment = {
        **os.environ,
        "SYNCD_SQUEEZELY_API_KEY": "sandbox-key",
        "COLUMNS": str(columns),
        "TERM": "xterm-256color",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "syncd", *map(str, arguments)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment,
    )
    os.close(theirs)
    os.write(ours, answer.encode())
    shown = b""
    while True:
        try:
            piece = os.read(ours, 4096)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        shown += piece
    process.wait(30)
    os.close(ours)
    return shown.decode()


def plain(text: str) -> list[str]:
    """Take colours and the cursor's moves out; give the lines."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r", "").splitlines()
